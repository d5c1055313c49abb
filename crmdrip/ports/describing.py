"""What a CRM account has already, and could stand for what crmdrip would install: for crmdrip map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from crmdrip.ports.vendor import ConnectorContext


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A field or object of the account."""

    name: str
    """By which the mapping would name it."""
    label: str
    """What people call it."""
    kind: str
    """Its type, as the CRM's people call it."""
    problems: tuple[str, ...] = ()
    """Why it cannot stand for the word, () when it can: "is Date, and Number is needed"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One word of the mapping, and what the account has for it."""

    table: str
    """Of the mapping's file: "objects", "contact", ..."""
    word: str
    name: str
    """As mapped now."""
    label: str
    """What the installation would call it, without any product's name."""
    kind: str
    there: bool
    """Whether the account has what is mapped now."""
    vital: bool
    """Whether nothing works without it."""
    candidates: tuple[Candidate, ...] = ()


@runtime_checkable
class OffersDescription(Protocol):
    """A connector that can tell what its account has already."""

    def describe(self, context: ConnectorContext) -> Sequence[Place]:
        """Every word that an installation would make, in the order of the mapping.

        Of an object that is not there it tells the object alone. Only reads. Raises AuthError, RetriableError,
        RateLimitedError, ConfigurationError.
        """
        ...
