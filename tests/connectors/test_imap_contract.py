"""The IMAP mailbox keeps the Mailbox port's promises: against a strict server, and one that knows no IDLE."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from imap_server import PASSWORD, USERNAME, ImapServer
from pydantic import SecretStr

from connectors.imap import connector
from connectors.imap.settings import ImapSettings
from crmdrip.ports import ConnectorContext, OffersMailboxes
from crmdrip.testing.mailbox import MailboxContract


class SystemClock:
    """The real time."""

    def now(self):
        """Aware UTC."""
        return datetime.now(UTC)


def build_mailbox(port, **settings):
    """A mailbox on the server."""
    known = {"username": USERNAME, "password": SecretStr(PASSWORD), "tls": "none", "reply_timeout": 5.0}
    chosen = ImapSettings(host="127.0.0.1", port=port, **{**known, **settings})
    assert isinstance(connector, OffersMailboxes)
    (mailbox,) = connector.build_mailboxes(
        ConnectorContext(settings=chosen, mapping=None, clock=SystemClock(), account="replies")
    )
    return mailbox


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
