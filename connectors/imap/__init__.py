"""IMAP: any mailbox into which people answer, heard as mail comes (IDLE), read and never changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectors.imap.check import check_account
from connectors.imap.mailbox import ImapMailbox
from connectors.imap.settings import ImapSettings
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import (
    CheckResult,
    Connector,
    ConnectorContext,
    CrmSink,
    CrmSource,
    Mailbox,
    Mailer,
    Role,
    SignalFeed,
)


class ImapConnector:
    """Builds and checks the folders of one account."""

    name = "imap"
    role = Role.MAILBOX
    settings_model: type[Any] = ImapSettings

    def build_source(self, context: ConnectorContext) -> CrmSource:  # noqa: ARG002 - the port's signature
        """IMAP is no CRM. Raises ConfigurationError."""
        raise _only_reads("crm.connector")

    def build_sink(self, context: ConnectorContext, source: CrmSource) -> CrmSink:  # noqa: ARG002 - as above
        """IMAP is no CRM. Raises ConfigurationError."""
        raise _only_reads("crm.connector")

    def build_mailer(self, context: ConnectorContext) -> Mailer:  # noqa: ARG002 - as above
        """IMAP sends nothing. Raises ConfigurationError."""
        raise _only_reads("mail.connector")

    def build_feed(self, context: ConnectorContext) -> SignalFeed | None:  # noqa: ARG002 - as above
        """None: a mailbox has no suppression lists."""
        return None

    def build_mailboxes(self, context: ConnectorContext) -> tuple[Mailbox, ...]:
        """One per folder; makes no call. Raises ConfigurationError when ca_file holds no certificate."""
        settings: ImapSettings = context.settings
        return tuple(ImapMailbox(settings, context.account, folder, context.clock) for folder in settings.folders)

    def check(self, context: ConnectorContext) -> Iterator[CheckResult]:
        """Every preflight check, in order. Raises nothing."""
        yield from check_account(context.settings, context.account, context.clock)


def _only_reads(where: str) -> ConfigurationError:
    return ConfigurationError("IMAP reads mail and does nothing else", where=where, do_next="Name it in [[mailbox]].")


connector: Connector = ImapConnector()
