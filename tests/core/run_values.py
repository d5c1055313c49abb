"""Values that the tests of planning, steps and effects speak about: Ada, halfway through a sequence of three emails.

It is Tuesday noon. Step A went out on Sunday, B is due now, C comes four days after B.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from schedule_values import at, make_record, make_sequence, make_step

from crmdrip.core.effects import Setting
from crmdrip.core.keys import person_key
from crmdrip.core.model import (
    Enrollment,
    Owner,
    Record,
    RecordKind,
    RecordRef,
    RunStatus,
    Sequence,
    Signal,
    SignalKind,
    TouchState,
)
from crmdrip.core.reasons import AnyReason, Reason
from crmdrip.core.snapshot import Snapshot, View
from crmdrip.core.steps import Passed
from crmdrip.core.struct import replace
from crmdrip.core.zones import ZoneSource, ZoneUsed

NOW = at("2026-11-03T12:00")
SUNDAY = at("2026-11-01T12:00")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
UTC_ZONE = ZoneUsed(zone="UTC", source=ZoneSource.SEQUENCE)
CONTACT = RecordRef(kind=RecordKind.CONTACT, id="003")
LEAD = RecordRef(kind=RecordKind.LEAD, id="00Q")
WINNER = "003W"

STEPS = (
    make_step(0, id="A", order=10.0),
    make_step(2, id="B", order=20.0),
    make_step(4, id="C", order=30.0),
)
REP = Owner(id="005", name="Rita Rep", email="rita@acme.example", active=True)


def sequence_of(**changes: Any) -> Sequence:
    """The live sequence of three steps, with the given fields changed."""
    return make_sequence(**({"steps": STEPS} | changes))


def steps_with(**changes: dict[str, Any]) -> tuple[Any, ...]:
    """The three steps with fields of some changed, by step id."""
    changed = [replace(step, **changes.get(step.id, {})) for step in STEPS]
    return tuple(sorted(changed, key=lambda step: (step.order, step.id)))


def ada(**changes: Any) -> Record:
    """Ada's contact, ticked and owned by Rita."""
    return make_record(**({"ref": CONTACT, "owner_id": REP.id} | changes))


def run_of(**changes: Any) -> Enrollment:
    """Ada's run: A went out, B is due now."""
    fields: dict[str, Any] = {
        "id": 7,
        "person": person_key("ada@example.com"),
        "address": "ada@example.com",
        "ref": CONTACT,
        "sequence_id": "seq",
        "run": 1,
        "status": RunStatus.ACTIVE,
        "entered_at": SUNDAY,
        "due_at": NOW,
        "check_at": NOW,
        "next_step_id": "B",
        "position": 10.0,
        "steps_done": 1,
        "last_touch_at": SUNDAY,
        "last_touch_zone": "UTC",
        "sender": REP.email,
        "owner_id": REP.id,
        "thread": ("<a@acme.example>",),
        "thread_subject": "Hello",
    }
    return Enrollment(**(fields | changes))


def new_run(**changes: Any) -> Enrollment:
    """Ada's run before its first step, which is due now."""
    fields = {
        "status": RunStatus.QUEUED,
        "entered_at": NOW,
        "next_step_id": "A",
        "position": None,
        "steps_done": 0,
        "last_touch_at": None,
        "last_touch_zone": "",
        "sender": "",
        "owner_id": None,
        "thread": (),
        "thread_subject": "",
    }
    return run_of(**(fields | changes))


def held_for(code: AnyReason, detail: str = "", status: RunStatus = RunStatus.HELD) -> dict[str, Any]:
    """The fields of a run that waits for this reason."""
    reason = Reason(code=code, detail=detail)
    return {"status": status, "reason": reason.key, "reason_detail": reason.detail}


def touched(state: TouchState = TouchState.ACCEPTED, order: float = 10.0, **changes: Any) -> Passed:
    """A step's touch, by default that of A on Sunday."""
    return Passed(**({"state": state, "order": order, "at": SUNDAY} | changes))


A_SENT = {"A": touched()}


def signal_of(kind: SignalKind, **changes: Any) -> Signal:
    """Something that happened on Monday."""
    fields = {"key": f"test:{kind}", "kind": kind, "at": SUNDAY + DAY, "source": "test"}
    return Signal(**(fields | changes))


def seen(**changes: Any) -> Snapshot:
    """What the last look shows of Ada's run."""
    fields: dict[str, Any] = {
        "view": View.LOOKED,
        "record": ada(),
        "enrollment": run_of(),
        "sequence": sequence_of(),
        "owner": REP,
        "touches": A_SENT,
    }
    return Snapshot(**(fields | changes))


def ticked(**changes: Any) -> Snapshot:
    """What the pull shows of Ada, who was ticked and is in no sequence yet."""
    return seen(**({"view": View.PULLED, "enrollment": None, "touches": {}} | changes))


def setting_of(**changes: Any) -> Setting:
    """What effects know besides Ada's run, on Tuesday noon."""
    fields: dict[str, Any] = {
        "org_id": "00D",
        "now": NOW,
        "sequence": sequence_of(),
        "record": ada(),
        "touches": dict(A_SENT),
    }
    return Setting(**(fields | changes))
