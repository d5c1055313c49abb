"""What a vendor offers, how it is found and checked, and what a connector is built with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from crmdrip.core.mapping import CrmMapping
from crmdrip.ports.crm import CrmSink, CrmSource
from crmdrip.ports.mail import Mailer, SignalFeed
from crmdrip.ports.outside import Clock


class CheckLevel(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    """The daemon refuses to send."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """One finding of the doctor."""

    code: str
    """Stable, such as "SF-OPTOUT-HIDDEN"."""
    level: CheckLevel
    what: str
    do_next: str = ""


class Role(StrEnum):
    """The ports a connector can fill."""

    CRM = "crm"
    MAILER = "mailer"
    MAILBOX = "mailbox"
    """Implements OffersMailboxes as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectorContext:
    """What a connector is built with."""

    settings: Any
    """An instance of the connector's own settings model, already validated."""
    mapping: CrmMapping | None
    """For CRM connectors."""
    clock: Clock
    account: str = ""
    """For mailboxes: the name the account has in the configuration."""
    extras: Mapping[str, Any] = field(default_factory=dict)


class Connector(Protocol):
    """What an entry point of group "crmdrip.connectors" names: how to configure, build and check a vendor."""

    name: str
    role: Role
    settings_model: type[Any]
    """A pydantic model (strict); its fields are documented in config.example.toml."""

    def build_source(self, context: ConnectorContext) -> CrmSource:
        """For Role.CRM. Makes no call. Raises ConfigurationError."""
        ...

    def build_sink(self, context: ConnectorContext, source: CrmSource) -> CrmSink:
        """For Role.CRM; shares the source's session and budget. Makes no call."""
        ...

    def build_mailer(self, context: ConnectorContext) -> Mailer:
        """For Role.MAILER. Makes no call. Raises ConfigurationError."""
        ...

    def build_feed(self, context: ConnectorContext) -> SignalFeed | None:
        """For Role.MAILER: the provider's suppression lists, None when it has none."""
        ...

    def check(self, context: ConnectorContext) -> Iterator[CheckResult]:
        """Every preflight check of this vendor, in order; makes calls; raises nothing."""
        ...
