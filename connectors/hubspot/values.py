"""Property values: HubSpot answers text for everything, and takes ISO times. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Properties = Mapping[str, Any]
"""A record's properties by their internal names; None for an empty one."""

LONGEST = 65_536
"""Characters of a property (docs: CRM properties)."""


def parse_time(value: str | None) -> datetime | None:
    """A datetime or a date as HubSpot answers it, aware UTC; a date is its midnight. None for none."""
    if not value:
        return None
    if value.isdecimal():
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    at = datetime.fromisoformat(value)
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)


def show_time(at: datetime | None) -> str:
    """As HubSpot takes it, to the millisecond; "" clears the property."""
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_millis(at: datetime) -> str:
    """Milliseconds since 1970 as text: what searches compare with."""
    return str(int(at.timestamp() * 1000))


def is_ticked(value: str | None) -> bool:
    """A checkbox."""
    return value == "true"


def show_box(*, ticked: bool) -> str:
    """A checkbox as HubSpot takes it."""
    return "true" if ticked else "false"


def to_number(value: str | None) -> int:
    """A whole number, 0 for none."""
    return int(float(value)) if value else 0


def to_zone(value: str | None) -> str:
    """An IANA name from hs_timezone ("europe_slash_berlin"); "" for none."""
    parts = (value or "").split("_slash_")
    return "/".join("_".join(word.capitalize() for word in part.split("_")) for part in parts)
