"""Installing in a CRM what crmdrip reads and writes: what is missing is shown first, nothing is ever deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from crmdrip.ports.vendor import ConnectorContext


class ChangeKind(StrEnum):
    """What an installation would do about one thing."""

    CREATE = "create"
    UPDATE = "update"
    """It stands there and gets what it lacks: a value of a picklist, a help text."""
    KEEP = "keep"
    """It stands there as it should."""
    CONFLICT = "conflict"
    """It stands there as something else, and is left as it is: a person has to decide."""
    UNAVAILABLE = "unavailable"
    """This account cannot have it; detail says what is done instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaChange:
    """One thing that is or would be installed."""

    kind: ChangeKind
    what: str
    """As the CRM's people call it, such as "Contact.Drip_Status__c" or "contacts.crmdrip_status"."""
    detail: str = ""
    """What differs, and for a conflict what to do; "" when there is nothing to say."""


class Installer(Protocol):
    """Brings one CRM account to what the mapping names. Running it again changes nothing."""

    def preview(self) -> Sequence[SchemaChange]:
        """What stands there and what would be made, in the order of making; changes nothing.

        Raises AuthError, RetriableError, RateLimitedError, ConfigurationError.
        """
        ...

    def install(self, changes: Sequence[SchemaChange], progress: Callable[[str], None]) -> Sequence[SchemaChange]:
        """Make what the preview showed as CREATE or UPDATE; returns what was made. progress gets a line for each step.

        Never deletes, and never changes what is in conflict. Raises as preview, and RejectedError with the vendor's own
        words for each part that it refused; what was made before stands.
        """
        ...

    def check(self, progress: Callable[[str], None]) -> None:
        """Let the vendor validate the installation without making it, where it can. Raises as install."""
        ...

    def write_package(self, folder: Path) -> Sequence[str]:
        """Write what people install with the vendor's own tools; returns the commands to type, () for none.

        folder: empty or not there yet. Makes no call. Raises ConfigurationError where the vendor has no such tools, and
        OSError.
        """
        ...


@runtime_checkable
class NamesItsPlace(Protocol):
    """An installer of a CRM that cannot say who it is before anything is installed, such as an empty database."""

    def place(self) -> str:
        """Where it installs, for people; makes no call."""
        ...


@runtime_checkable
class OffersInstallation(Protocol):
    """A connector that can install its part in the CRM."""

    def build_installer(self, context: ConnectorContext) -> Installer:
        """Makes no call. Raises ConfigurationError."""
        ...
