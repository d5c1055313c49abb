"""Values that the tests of schedule and zones speak about."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from crmdrip.core.model import (
    DelayUnit,
    Owner,
    Record,
    RecordKind,
    RecordRef,
    Sequence,
    SequenceStatus,
    Step,
    StepKind,
)

ALL_DAYS = frozenset(range(7))


def make_sequence(**changes: Any) -> Sequence:
    """A live sequence that sends on weekdays from nine to five, with the given fields changed."""
    fields: dict[str, Any] = {
        "id": "seq",
        "name": "Trial",
        "status": SequenceStatus.LIVE,
        "version": "v",
        "steps": (),
        "send_from": time(9),
        "send_until": time(17),
    }
    return Sequence(**(fields | changes))


def make_step(delay: int, unit: DelayUnit = DelayUnit.DAYS, **changes: Any) -> Step:
    """An email step with the given delay."""
    fields: dict[str, Any] = {
        "id": "step",
        "order": 1.0,
        "kind": StepKind.EMAIL,
        "delay": delay,
        "delay_unit": unit,
        "subject": "Hello",
        "body": "Hello.",
    }
    return Step(**(fields | changes))


def make_record(**changes: Any) -> Record:
    """A ticked contact about whose place nothing is known."""
    fields: dict[str, Any] = {
        "ref": RecordRef(kind=RecordKind.CONTACT, id="003"),
        "email": "ada@example.com",
        "enrolled": True,
        "sequence_id": "seq",
        "modified_at": datetime(2026, 11, 2, tzinfo=UTC),
    }
    return Record(**(fields | changes))


def make_owner(time_zone: str) -> Owner:
    """A rep in the given zone."""
    return Owner(id="005", name="Rep", email="rep@example.com", active=True, time_zone=time_zone)


def at(text: str, zone: str = "UTC", *, fold: int = 0) -> datetime:
    """The instant, in UTC, at which the wall of the zone shows this time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def wall(instant: datetime, zone: str) -> str:
    """What the wall of the zone shows, with its offset from UTC."""
    return instant.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes")
