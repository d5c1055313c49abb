"""The HubSpot connector: reads and writes one portal through its REST API, in the fewest calls its limits allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.hubspot.check import check_portal
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.description import describe_portal
from connectors.hubspot.install import HubSpotInstaller
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.sink import HubSpotSink
from connectors.hubspot.source import HubSpotSource
from connectors.hubspot.webhooks import ChangeHint
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import (
    CheckResult,
    ConnectorContext,
    CrmSink,
    CrmSource,
    Hint,
    Installer,
    Mailer,
    Place,
    Role,
    SignalFeed,
)

__all__ = ["connector"]


class HubSpotConnector:
    """How to configure, build and check HubSpot."""

    name = "hubspot"
    role = Role.CRM
    settings_model = HubSpotSettings

    def build_source(self, context: ConnectorContext) -> CrmSource:
        """Makes no call. Raises ConfigurationError."""
        return _build(context)

    def build_sink(self, context: ConnectorContext, source: CrmSource) -> CrmSink:
        """Shares the source's connections and budget; makes no call. Raises ConfigurationError."""
        del context
        if not isinstance(source, HubSpotSource):
            raise ConfigurationError("the HubSpot sink needs the HubSpot source.", where="hubspot")
        return HubSpotSink(source)

    def build_mailer(self, context: ConnectorContext) -> Mailer:
        """HubSpot sends no email here. Raises ConfigurationError."""
        del context
        raise ConfigurationError(
            "HubSpot does not send email here.", where="[mail]", do_next='Choose "sendgrid" or "smtp".'
        )

    def build_feed(self, context: ConnectorContext) -> SignalFeed | None:
        """HubSpot's signals come with the pull."""
        del context
        return None

    def build_hints(self, context: ConnectorContext) -> tuple[Hint, ...]:
        """The app's webhooks, where the settings say how to tell HubSpot from others."""
        settings: HubSpotSettings = context.settings
        if not settings.client_secrets:
            return ()
        secrets = [secret.get_secret_value() for secret in settings.client_secrets]
        return (ChangeHint(secrets, settings.webhook_url),)

    def build_installer(self, context: ConnectorContext) -> Installer:
        """Makes no call. Raises ConfigurationError."""
        portal = _build(context).portal
        return HubSpotInstaller(portal.client, portal.mapping)

    def describe(self, context: ConnectorContext) -> Sequence[Place]:
        """What the portal has already. Only reads. Raises what the client raises."""
        portal = _build(context).portal
        return describe_portal(portal.client, portal.mapping)

    def check(self, context: ConnectorContext) -> Iterator[CheckResult]:
        """Every preflight check, in order; makes calls; raises nothing."""
        yield from check_portal(_build(context))


def _build(context: ConnectorContext) -> HubSpotSource:
    if context.mapping is None:
        raise ConfigurationError("HubSpot needs a mapping.", where="[crm]", do_next="Name mappings/hubspot.toml.")
    if not isinstance(context.settings, HubSpotSettings):
        raise ConfigurationError("these are no settings for HubSpot.", where="[crm]")
    return HubSpotSource(HubSpotClient(context.settings, context.clock), context.mapping)


connector = HubSpotConnector()
