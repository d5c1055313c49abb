"""How values are shown to people: times in the reader's zone, statuses as colours. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

STATUS_TONES = {
    "Queued": "calm",
    "Active": "good",
    "Held": "warn",
    "Paused": "warn",
    "Finished": "done",
    "Stopped": "stop",
    "Refused": "stop",
}
"""The colour of a status; the word itself always stands beside it."""

FATE_TONES = {"delivered": "good", "processed": "calm", "dropped": "stop", "bounced": "stop", "blocked": "warn"}

TRUTH_TONES = {
    "reply": "good",
    "unsubscribe": "stop",
    "left_company": "stop",
    "bounce": "stop",
    "out_of_office": "warn",
}
"""Of what came back; the others are calm."""


def moment(value: datetime | str | None, zone: str = "UTC") -> str:
    """A time as a person reads it: "Tue 3 Mar 2026, 09:12"; "" for none. Text is what Salesforce answers."""
    if value is None or value == "":
        return ""
    local = to_datetime(value).astimezone(_zone(zone))
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M}"


def brief(value: datetime) -> str:
    """A time in UTC where there is little room: "3 Mar, 09:12"."""
    return f"{value.day} {value:%b, %H:%M}"


def to_datetime(value: datetime | str) -> datetime:
    """A datetime, or Salesforce's text for one, as aware UTC."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).astimezone(UTC)


def initials(name: str | None) -> str:
    """One or two letters for the picture of a person."""
    words = (name or "?").split()
    return "".join(word[0] for word in (words[0], words[-1]) if word)[: 2 if len(words) > 1 else 1].upper()


def hue(text: str | None) -> int:
    """A stable colour for somebody's picture, one of twelve."""
    return sum(map(ord, text or "")) % 12


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
