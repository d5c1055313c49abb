"""SMTP: emails by any mail server, over STARTTLS or TLS. It has no log to settle doubts and no suppression lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectors.smtp.check import check_server
from connectors.smtp.mailer import SmtpMailer
from connectors.smtp.settings import SmtpSettings, build_tls
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import (
    CheckLevel,
    CheckResult,
    Connector,
    ConnectorContext,
    CrmSink,
    CrmSource,
    Mailer,
    Role,
    SignalFeed,
)


class SmtpConnector:
    """Builds and checks the SMTP mailer."""

    name = "smtp"
    role = Role.MAILER
    settings_model: type[Any] = SmtpSettings

    def build_source(self, context: ConnectorContext) -> CrmSource:  # noqa: ARG002 - the port's signature
        """SMTP is no CRM. Raises ConfigurationError."""
        raise _no_crm()

    def build_sink(self, context: ConnectorContext, source: CrmSource) -> CrmSink:  # noqa: ARG002 - as above
        """SMTP is no CRM. Raises ConfigurationError."""
        raise _no_crm()

    def build_mailer(self, context: ConnectorContext) -> Mailer:
        """The mailer; makes no call. Raises ConfigurationError when ca_file holds no certificate."""
        return SmtpMailer(context.settings, context.clock)

    def build_feed(self, context: ConnectorContext) -> SignalFeed | None:  # noqa: ARG002 - the port's signature
        """None: a mail server has no suppression lists."""
        return None

    def check(self, context: ConnectorContext) -> Iterator[CheckResult]:
        """Every preflight check, in order. Raises nothing."""
        try:
            tls = build_tls(context.settings)
        except ConfigurationError as error:
            yield CheckResult(code="SMTP-CA", level=CheckLevel.FAIL, what=error.what, do_next=error.do_next)
            return
        yield from check_server(context.settings, tls)


def _no_crm() -> ConfigurationError:
    return ConfigurationError("SMTP sends email and is no CRM", where="crm.connector", do_next="Name a CRM.")


connector: Connector = SmtpConnector()
