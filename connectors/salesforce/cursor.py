"""The pull's cursor: how far each stream was read, as opaque text that is safe to keep anywhere.

It also carries our calls of the last day by the hour, so that a restart does not renew the admin's daily cap (P5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from connectors.salesforce.soql import Position
from crmdrip.core.errors import ConfigurationError

_VERSION = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far one stream of records was read."""

    position: Position
    """Everything before it was given out."""
    then: datetime | None = None
    """Set in the middle of a reading: when it began, which is where the next one starts once this is through."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """One saveable point of a pull."""

    org_id: str
    people: Mapping[str, Progress] = field(default_factory=dict)
    """By object word; absent before the first reading."""
    since: Mapping[str, datetime] = field(default_factory=dict)
    """When each of the other streams was read last, by name; empty before the first reading."""
    passed_over: frozenset[str] = frozenset()
    """The streams that were left out of the newest reading: their turn comes with the next."""
    hours: Mapping[str, int] = field(default_factory=dict)

    def since_of(self, name: str) -> datetime | None:
        """When the stream was read last; the newest reading for one that came to light since. None before the first."""
        return self.since.get(name, max(self.since.values(), default=None))

    def dump(self) -> str:
        """As text."""
        people = {
            word: {"at": one.position.at, "id": one.position.id, "then": one.then} for word, one in self.people.items()
        }
        value = {
            "v": _VERSION,
            "org": self.org_id,
            "people": people,
            "since": dict(self.since),
            "passed_over": sorted(self.passed_over),
            "hours": dict(self.hours),
        }
        return orjson.dumps(value).decode()


def parse_cursor(text: str | None, org_id: str) -> Cursor:
    """Read a cursor; None is the beginning. Raises ConfigurationError for another org's, or for what is none."""
    if text is None:
        return Cursor(org_id=org_id)
    try:
        value: dict[str, Any] = orjson.loads(text)
        if value["v"] != _VERSION:
            raise ValueError(value["v"])  # noqa: TRY301 - handled with every other unreadable cursor
        cursor = Cursor(
            org_id=value["org"],
            people={
                word: Progress(
                    position=Position(at=datetime.fromisoformat(one["at"]), id=one["id"]), then=_time(one["then"])
                )
                for word, one in value["people"].items()
            },
            since={name: datetime.fromisoformat(at) for name, at in value["since"].items()},
            passed_over=frozenset(value["passed_over"]),
            hours=value["hours"],
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(
            "the saved pull cursor cannot be read.",
            where="Salesforce",
            do_next="Move the ledger away: it is filled from the CRM again.",
        ) from None
    if cursor.org_id[:15] != org_id[:15]:
        raise ConfigurationError(
            f"the ledger belongs to the org {cursor.org_id}, and {org_id} answers: a copy of it, or another one.",
            where="Salesforce",
            do_next="Give each org a ledger of its own.",
        )
    return cursor


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
