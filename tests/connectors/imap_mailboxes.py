"""Mailboxes on servers of this machine, as the command line builds them."""

from __future__ import annotations

from datetime import UTC, datetime

from imap_server import PASSWORD, USERNAME
from pydantic import SecretStr

from connectors.imap import connector
from connectors.imap.settings import ImapSettings
from crmdrip.ports import ConnectorContext, OffersMailboxes


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
