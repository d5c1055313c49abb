"""The calendar part of a mail: an answer to an invitation, or an invitation (RFC 5545, 5546).

Reads the first event only, and of it what tells whose answer it is and to what.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from crmdrip.core.inbound import Attendance, CalendarAnswer, CalendarMethod
from crmdrip.core.keys import normalize_address
from crmdrip.inbound import limits
from crmdrip.inbound.mime import Part, tidy_line

LINES = 2_000
"""Lines of a calendar that are looked at."""

_LINE = re.compile(r"([A-Za-z-]{1,40})((?:;[A-Za-z0-9-]{1,40}=(?:\"[^\"]*+\"|[^;:\"]*+))*+):(.*)", re.DOTALL)
_PARAMETER = re.compile(r";([A-Za-z0-9-]{1,40})=(\"[^\"]*+\"|[^;:\"]*+)")
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_ESCAPED = re.compile(r"\\([\\;,nN])")
_METHODS = {one.value: one for one in CalendarMethod}
_ATTENDANCES = {one.value: one for one in Attendance}


def read_calendar(part: Part) -> CalendarAnswer | None:
    """What a text/calendar part says, None when it holds no event."""
    text = part.text()
    unfolded = re.sub(r"\n[ \t]", "", text)
    method = part.parameters.get("method", "")
    event: dict[str, str] = {}
    attendees: list[tuple[str, str]] = []
    zone, inside, begun = "", 0, False
    for line in unfolded.split("\n", LINES)[:LINES]:
        read = _LINE.match(line.rstrip())
        if read is None:
            continue
        name, value = read.group(1).upper(), read.group(3)
        if name == "BEGIN":
            if value.strip().upper() == "VEVENT":
                begun = True
            inside += begun
        elif name == "END":
            if begun and value.strip().upper() == "VEVENT":
                break
            inside -= begun
        elif name == "METHOD" and not begun:
            method = value  # what the calendar itself says stands above the part's label
        elif begun and inside == 1:  # a VALARM inside has its own fields
            parameters = {key.upper(): text.strip('"') for key, text in _PARAMETER.findall(read.group(2))}
            if name == "ATTENDEE":
                attendees.append((_address(value, parameters), parameters.get("PARTSTAT", "")))
            elif name not in event:
                event[name] = _address(value, parameters) if name == "ORGANIZER" else value
                zone = parameters.get("TZID", zone) if name == "DTSTART" else zone
    if not begun:
        return None
    kind = _METHODS.get(method.strip().lower(), CalendarMethod.OTHER)
    # An answer carries the one who answers, and nobody else (RFC 5546 section 3.2.3).
    attendee, partstat = attendees[0] if attendees else ("", "")
    answers = kind in (CalendarMethod.REPLY, CalendarMethod.COUNTER)
    return CalendarAnswer(
        method=kind,
        attendance=_ATTENDANCES.get(partstat.strip().lower(), Attendance.NONE) if answers else Attendance.NONE,
        uid=tidy_line(event.get("UID", ""))[: limits.NAME_CHARACTERS],
        summary=_plain(event.get("SUMMARY", "")),
        attendee=attendee,
        organizer=event.get("ORGANIZER", ""),
        starts_at=_moment(event.get("DTSTART", ""), zone),
    )


def _address(value: str, parameters: Mapping[str, str]) -> str:
    for given in (value, parameters.get("EMAIL", "")):
        scheme, _, address = given.strip().partition(":")
        if scheme.lower() != "mailto":
            address = given
        if "@" in address and (normal := normalize_address(address[: limits.NAME_CHARACTERS])):
            return normal
    return ""


def _plain(value: str) -> str:
    return tidy_line(_ESCAPED.sub(lambda found: found.group(1).replace("n", " ").replace("N", " "), value))[
        : limits.NAME_CHARACTERS
    ]


def _moment(value: str, zone: str) -> datetime | None:
    found = _TIME.match(value.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(one or 0) for one in found.groups()[:6])
    with suppress(
        ValueError, KeyError, OSError, OverflowError
    ):  # an impossible date, or a zone of the sender's own invention
        naive = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        if found.group(7) == "Z" or not zone:
            return naive
        if not _ZONE.fullmatch(zone):
            return None
        return naive.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return None
