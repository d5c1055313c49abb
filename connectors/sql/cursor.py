"""The pull's cursor: how far people were read, and which sequences were given out, as opaque text.

It also carries our statements of the last day by the hour, so that a restart does not renew the daily cap (P5).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.struct import Struct

_VERSION = 1


class Reading(Struct, frozen=True, kw_only=True):
    """A reading of people that is not through yet, in the order of their ids."""

    begin: datetime | None
    """Who changed since comes; None for the first reading, which has no lower end."""
    end: datetime
    full: bool
    """Whether everybody in or after a sequence comes, whenever they changed."""
    last_id: str | None = None
    """Everybody up to it was given out."""


class Cursor(Struct, frozen=True, kw_only=True):
    """One saveable point of a pull."""

    org_id: str
    version: int = _VERSION
    at: datetime | None = None
    """Everything changed before was given out; None before the first reading is through."""
    swept: datetime | None = None
    """When the last full reading began."""
    reading: Reading | None = None
    heard: datetime | None = None
    """Signals since then come next; None before the first reading is through."""
    sequences: Mapping[str, str] = {}
    """The digest of each sequence that was given out, by id."""
    hours: Mapping[str, int] = {}

    def dump(self) -> str:
        """As text."""
        return msgspec.json.encode(self).decode()


def parse_cursor(text: str | None, org_id: str) -> Cursor:
    """Read a cursor; None is the beginning. Raises ConfigurationError for another database's, or for what is none."""
    if text is None:
        return Cursor(org_id=org_id)
    try:
        cursor = msgspec.json.decode(text, type=Cursor)
    except msgspec.DecodeError:
        cursor = None
    if cursor is None or cursor.version != _VERSION:
        raise ConfigurationError(
            "the saved pull cursor cannot be read.",
            where="the database",
            do_next="Move the ledger away: it is filled from the CRM again.",
        )
    if cursor.org_id != org_id:
        raise ConfigurationError(
            f"the ledger belongs to the database {cursor.org_id}, and {org_id} answers.",
            where="the database",
            do_next="Give each database a ledger of its own.",
        )
    return cursor
