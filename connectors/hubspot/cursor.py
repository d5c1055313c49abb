"""The pull's cursor: how far people were read, and which sequences were given out, as opaque text.

It also carries our calls of the last day by the hour, so that a restart does not renew the admin's daily cap (P5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from crmdrip.core.errors import ConfigurationError

_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A reading of people that is not through yet: everybody changed within, up to an id."""

    begin: datetime | None
    """None for the first reading, which has no lower end."""
    end: datetime
    last_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """One saveable point of a pull."""

    portal_id: str
    at: datetime | None = None
    """Everything changed before was given out; None before the first reading is through."""
    reading: Reading | None = None
    heard: datetime | None = None
    """Signals since then come next; None before the first reading is through."""
    sequences: Mapping[str, str] = field(default_factory=dict)
    """The digest of each sequence that was given out, by id."""
    hours: Mapping[str, int] = field(default_factory=dict)

    def dump(self) -> str:
        """As text."""
        value = {
            "v": _VERSION,
            "portal": self.portal_id,
            "at": self.at,
            "reading": None
            if self.reading is None
            else {"begin": self.reading.begin, "end": self.reading.end, "last_id": self.reading.last_id},
            "heard": self.heard,
            "sequences": dict(self.sequences),
            "hours": dict(self.hours),
        }
        return orjson.dumps(value).decode()


def parse_cursor(text: str | None, portal_id: str) -> Cursor:
    """Read a cursor; None is the beginning. Raises ConfigurationError for another portal's, or for what is none."""
    if text is None:
        return Cursor(portal_id=portal_id)
    try:
        value: dict[str, Any] = orjson.loads(text)
        if value["v"] != _VERSION:
            raise ValueError(value["v"])  # noqa: TRY301 - handled with every other unreadable cursor
        reading = value["reading"]
        cursor = Cursor(
            portal_id=value["portal"],
            at=_time(value["at"]),
            reading=None
            if reading is None
            else Reading(
                begin=_time(reading["begin"]),
                end=datetime.fromisoformat(reading["end"]),
                last_id=reading["last_id"],
            ),
            heard=_time(value["heard"]),
            sequences=value["sequences"],
            hours=value["hours"],
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(
            "the saved pull cursor cannot be read.",
            where="HubSpot",
            do_next="Move the ledger away: it is filled from the CRM again.",
        ) from None
    if cursor.portal_id != portal_id:
        raise ConfigurationError(
            f"the ledger belongs to the portal {cursor.portal_id}, and {portal_id} answers.",
            where="HubSpot",
            do_next="Give each portal a ledger of its own.",
        )
    return cursor


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
