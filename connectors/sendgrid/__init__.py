"""SendGrid: emails by its v3 API, doubts settled by its Email Logs, stops heard from its suppression lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectors.sendgrid.check import check_account
from connectors.sendgrid.client import SendGridClient
from connectors.sendgrid.feed import SuppressionFeed
from connectors.sendgrid.mailer import SendGridMailer
from connectors.sendgrid.settings import SendGridSettings
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


class SendGridConnector:
    """Builds and checks the SendGrid mailer."""

    name = "sendgrid"
    role = Role.MAILER
    settings_model: type[Any] = SendGridSettings

    def build_source(self, context: ConnectorContext) -> CrmSource:  # noqa: ARG002 - the port's signature
        """SendGrid is no CRM. Raises ConfigurationError."""
        raise _no_crm()

    def build_sink(self, context: ConnectorContext, source: CrmSource) -> CrmSink:  # noqa: ARG002 - as above
        """SendGrid is no CRM. Raises ConfigurationError."""
        raise _no_crm()

    def build_mailer(self, context: ConnectorContext) -> Mailer:
        """The mailer; makes no call. Raises ConfigurationError when ca_file holds no certificate."""
        return SendGridMailer(context.settings, context.clock, SendGridClient(context.settings, context.clock))

    def build_feed(self, context: ConnectorContext) -> SignalFeed:
        """The suppression lists; makes no call. Raises as build_mailer."""
        return SuppressionFeed(SendGridClient(context.settings, context.clock))

    def check(self, context: ConnectorContext) -> Iterator[CheckResult]:
        """Every preflight check, in order. Raises nothing."""
        try:
            client = SendGridClient(context.settings, context.clock)
        except ConfigurationError as error:
            yield CheckResult(code="SG-CA", level=CheckLevel.FAIL, what=error.what, do_next=error.do_next)
            return
        try:
            yield from check_account(context.settings, client)
        finally:
            client.close()


def _no_crm() -> ConfigurationError:
    return ConfigurationError("SendGrid sends email and is no CRM", where="crm.connector", do_next="Name a CRM.")


connector: Connector = SendGridConnector()
