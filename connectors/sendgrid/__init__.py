"""SendGrid: emails by its v3 API, doubts settled by its Email Logs, what became of them heard from events and lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectors.sendgrid.check import check_account
from connectors.sendgrid.client import SendGridClient
from connectors.sendgrid.events import EventHook
from connectors.sendgrid.feed import SuppressionFeed
from connectors.sendgrid.inbound import InboundHook
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
    Hook,
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
        settings: SendGridSettings = context.settings
        groups = settings.counts_group if settings.unsubscribe_groups else None
        return SuppressionFeed(SendGridClient(settings, context.clock), groups)

    def build_hooks(self, context: ConnectorContext) -> tuple[Hook, ...]:
        """Event Webhook and Inbound Parse, each where the settings say how to tell SendGrid from others."""
        settings: SendGridSettings = context.settings
        hooks: list[Hook] = []
        if settings.event_keys:
            hooks.append(EventHook(settings.event_keys, settings.counts_group))
        if settings.inbound_keys or settings.inbound_secrets:
            secrets = tuple(secret.get_secret_value() for secret in settings.inbound_secrets)
            limit = int(settings.inbound_megabytes * 1024 * 1024)
            hooks.append(InboundHook(keys=settings.inbound_keys, secrets=secrets, limit=limit))
        return tuple(hooks)

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
