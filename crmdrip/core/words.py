"""What a CRM record shows about a run that is on its way: one plain sentence or two on what was and what comes next.

For a run that is held, stopped or refused the sentence is the reason's own (core.reasons).
"""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

LIMIT = 255
"""A Salesforce text field holds 255 characters."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""Not strftime's, which speaks the language of the machine."""


@lru_cache(maxsize=4_096)
def moment(at: datetime, zone: str) -> str:
    """A time as a person reads it: "3 Nov 2026, 09:00 (Europe/Berlin)".

    What some type for "for ever" is told in UTC: the last hours of the year 9999 are past the calendar in the east.
    """
    try:
        local = at.astimezone(ZoneInfo(zone))
    except OverflowError:
        local, zone = at, "UTC"
    return f"{day(local)}, {local:%H:%M} ({zone})"


def day(at: date) -> str:
    """A date as a person reads it: "3 Nov 2026"."""
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def queued(due_at: datetime, zone: str) -> str:
    """Accepted, the first step is still to come."""
    return f"Queued, expected start {moment(due_at, zone)}."


def went_out(step: str, at: datetime, zone: str) -> str:
    """A step was sent."""
    return f"Step {step} went out {moment(at, zone)}."


def upcoming(step: str, due_at: datetime, zone: str) -> str:
    """Nothing is in the way, the step waits for its time."""
    return f"Step {step} is due {moment(due_at, zone)}."


def finished(steps: int, sent_at: datetime | None, zone: str) -> str:
    """Every step has been taken."""
    last = f", the last {moment(sent_at, zone)}" if sent_at is not None else ""
    return f"Finished: {steps} {'step' if steps == 1 else 'steps'} went out{last}."


_CODE = re.compile(
    r"(?<![\w.])(?:([45]\d\d)[ -]+#?)?([45]\.\d{1,3}\.\d{1,3})(?![\w.])[ -]*|^([45]\d\d)[ -]+|\b([45]\d\d)-"
)
"""An SMTP reply code, an enhanced status code (RFC 3463), or both. Without one, a reply code is known by its place: in
the front, or before the hyphen of a reply of several lines (RFC 5321 section 4.2.1)."""

_FRONT = re.compile(r"([45]\.(\d{1,3}\.\d{1,3})) +")


def say_codes_once(said: str) -> str:
    """What a mail server said of an email, with each SMTP code once: "550 5.1.1 No such user".

    A provider puts the status before a reply that begins with it ("5.1.1 550 5.1.1 No such user"), and a reply of
    several lines repeats its codes on each of them.
    """
    front = _FRONT.match(said)
    if front is not None:
        rest = said[front.end() :]
        if re.search(rf"[45]\d\d[ -]+#?{re.escape(front[1])}(?![\w.])", rest) or (
            front[2] == "0.0" and re.match(r"[45]\d\d\b", rest)
        ):
            said = rest
    seen: set[str] = set()

    def keep(found: re.Match[str]) -> str:
        codes = {code for code in found.groups() if code}
        repeated = codes <= seen
        seen.update(codes)
        return "" if repeated else found[0]

    return " ".join(_CODE.sub(keep, said).split())


def clip(text: str, limit: int = LIMIT) -> str:
    """The text in at most limit characters, cut at a word where it must be cut and one ends near."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    end = head.rfind(" ")
    return (head[:end] if end > len(head) // 2 else head).rstrip(",;: ") + "…"
