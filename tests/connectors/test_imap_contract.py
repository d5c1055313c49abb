"""The IMAP mailbox keeps the Mailbox port's promises: against a strict server, and one that knows no IDLE."""

from __future__ import annotations

import pytest
from imap_mailboxes import build_mailbox
from imap_server import ImapServer

from crmdrip.testing.mailbox import MailboxContract


class TestImapMailbox(MailboxContract):
    """Every promise of the port."""

    @pytest.fixture
    def server(self):
        """The other side."""
        with ImapServer() as server:
            yield server

    @pytest.fixture
    def build(self, server):
        """Another mailbox each time."""
        return lambda: build_mailbox(server.port)


class TestImapMailboxWithoutIdle(MailboxContract):
    """Every promise of the port, by polling."""

    @pytest.fixture
    def server(self):
        """A server of the last century."""
        with ImapServer() as server:
            server.manners.capabilities = "IMAP4rev1"
            yield server

    @pytest.fixture
    def build(self, server):
        """Another mailbox each time."""
        return lambda: build_mailbox(server.port, poll_seconds=0.05)
