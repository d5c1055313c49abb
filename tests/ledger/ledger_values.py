"""Runs, touches and records for the ledger's tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from crmdrip.core.keys import person_key
from crmdrip.core.model import (
    Enrollment,
    Record,
    RecordKind,
    RecordRef,
    RunStatus,
    Sequence,
    SequenceStatus,
    Signal,
    SignalKind,
    StepKind,
    Touch,
    TouchState,
)
from crmdrip.core.struct import replace

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def contact(number: int = 1) -> RecordRef:
    """A contact's reference."""
    return RecordRef(kind=RecordKind.CONTACT, id=f"003{number:015d}")


def run(number: int = 1, **changes: Any) -> Enrollment:
    """A queued run of person number `number`, due now."""
    address = f"p{number}@example.com"
    plain = Enrollment(
        id=0,
        person=person_key(address),
        address=address,
        ref=contact(number),
        sequence_id="seq",
        run=1,
        status=RunStatus.QUEUED,
        entered_at=NOW,
        due_at=NOW,
        check_at=NOW,
    )
    return replace(plain, **changes)


def touch(number: int = 1, **changes: Any) -> Touch:
    """An intended touch of the run with that id."""
    plain = Touch(
        id=f"{number:032x}",
        enrollment_id=number,
        step_id="step",
        order=1.0,
        kind=StepKind.EMAIL,
        state=TouchState.INTENDED,
        attempt=1,
        at=NOW,
    )
    return replace(plain, **changes)


def record(number: int = 1, **changes: Any) -> Record:
    """A ticked record."""
    plain = Record(
        ref=contact(number), email=f"P{number}@Example.com", enrolled=True, sequence_id="seq", modified_at=NOW
    )
    return replace(plain, **changes)


def signal(key: str = "key", **changes: Any) -> Signal:
    """An unsubscribe of person 1."""
    plain = Signal(
        key=key, kind=SignalKind.UNSUBSCRIBE, at=NOW, source="test", record_id=contact().id, address="p1@example.com"
    )
    return replace(plain, **changes)


def sequence(**changes: Any) -> Sequence:
    """A live sequence without steps."""
    plain = Sequence(id="seq", name="Trial", status=SequenceStatus.LIVE, version="v1", steps=())
    return replace(plain, **changes)
