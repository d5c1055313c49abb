"""The Salesforce connector: reads and writes one org through its REST API, in the fewest calls its limits allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.salesforce.check import check_org
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.description import describe_org
from connectors.salesforce.install import SalesforceInstaller
from connectors.salesforce.probe import WRITES, probe_org
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.sink import SalesforceSink
from connectors.salesforce.source import SalesforceSource
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import CheckResult, ConnectorContext, CrmSink, CrmSource, Installer, Mailer, Place, Role, SignalFeed

__all__ = ["connector"]


class SalesforceConnector:
    """How to configure, build and check Salesforce."""

    name = "salesforce"
    role = Role.CRM
    settings_model = SalesforceSettings
    probe_writes = WRITES

    def build_source(self, context: ConnectorContext) -> CrmSource:
        """Makes no call. Raises ConfigurationError."""
        return _build(context)

    def build_sink(self, context: ConnectorContext, source: CrmSource) -> CrmSink:
        """Shares the source's session and budget; makes no call. Raises ConfigurationError."""
        del context
        if not isinstance(source, SalesforceSource):
            raise ConfigurationError("the Salesforce sink needs the Salesforce source.", where="salesforce")
        return SalesforceSink(source)

    def build_mailer(self, context: ConnectorContext) -> Mailer:
        """Salesforce sends no email here. Raises ConfigurationError."""
        del context
        raise ConfigurationError(
            "Salesforce does not send email here.", where="[mail]", do_next='Choose "sendgrid" or "smtp".'
        )

    def build_feed(self, context: ConnectorContext) -> SignalFeed | None:
        """Salesforce's signals come with the pull."""
        del context
        return None

    def build_installer(self, context: ConnectorContext) -> Installer:
        """Makes no call. Raises ConfigurationError."""
        source = _build(context)
        return SalesforceInstaller(source.org.client.settings, source.org.mapping, context.clock)

    def check(self, context: ConnectorContext) -> Iterator[CheckResult]:
        """Every preflight check, in order; makes calls; raises nothing."""
        source = _build(context)
        yield from check_org(source, source.org.client.settings)

    def describe(self, context: ConnectorContext) -> Sequence[Place]:
        """What the org has already. Only reads. Raises what the client raises."""
        source = _build(context)
        client = SalesforceInstaller(source.org.client.settings, source.org.mapping, context.clock).client
        return describe_org(client, source.org.mapping)

    def probe(self, context: ConnectorContext) -> Iterator[CheckResult]:
        """What only a write can tell; deletes what it wrote; raises nothing."""
        yield from probe_org(_build(context))


def _build(context: ConnectorContext) -> SalesforceSource:
    if context.mapping is None:
        raise ConfigurationError("Salesforce needs a mapping.", where="[crm]", do_next="Name mappings/salesforce.toml.")
    if not isinstance(context.settings, SalesforceSettings):
        raise ConfigurationError("these are no settings for Salesforce.", where="[crm]")
    return SalesforceSource(SalesforceClient(context.settings, context.clock), context.mapping)


connector = SalesforceConnector()
