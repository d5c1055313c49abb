"""A ticked box without a live run: one row per situation, to be checked by eye. First the box, then re-enrollment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from run_values import DAY, HOUR, LEAD, NOW, REP, ada, sequence_of, steps_with, ticked

from crmdrip.core.decisions import Enroll, Refuse
from crmdrip.core.model import BoxPending, OnElsewhere, Reenrollment, RunStatus, SequenceStatus, ZonePolicy
from crmdrip.core.plan import plan
from crmdrip.core.snapshot import PastRun
from crmdrip.core.struct import replace

NOTHING = "nothing"
STARTS = "starts"
UNREADABLE = None


def row(
    case: str,
    then: str,
    *,
    record: dict[str, Any] | None = None,
    sequence: dict[str, Any] | None = {},  # noqa: B006 - never changed; None stands for a sequence that is not there
    **snapshot: Any,
) -> Any:
    """One line of the table: the situation, what differs from a plain ticked contact, and what comes of it."""
    of = sequence_of(**sequence) if sequence is not None else None
    whole = {"record": ada(**(record or {})), "sequence": of} | snapshot
    return pytest.param(ticked(**whole), then, id=case)


BOX = [
    row("ticked", STARTS),
    row("not ticked", NOTHING, record={"enrolled": False}),
    row("B9 the box is still to be unticked by us", NOTHING, box_pending=BoxPending.OFF),
    row("B9 the pull gives the record as it was dealt with before", NOTHING, reread=True),
    row("B12 merged away", NOTHING, record={"merged_into": "003W", "deleted": True}),
    row("B11 a converted lead is never written to", NOTHING, record={"ref": LEAD, "converted_to": ada().ref}),
    row("B14 deleted", NOTHING, record={"deleted": True}),
    row(
        "B14 restored with its box on",
        "Not started: the record was deleted and restored. Tick the box to start a new run.",
        restored=True,
    ),
    row(
        "B14 restored with the status of a run that is over",
        "Not started: the record was deleted and restored. Tick the box to start a new run.",
        record={"enrolled": False, "status": "Active"},
        restored=True,
    ),
    row("B14 restored, and never was in a sequence", NOTHING, record={"enrolled": False}, restored=True),
    row(
        "no sequence chosen",
        "Not started: choose a sequence on this record, then tick the box.",
        record={"sequence_id": None},
        sequence=UNREADABLE,
    ),
    row(
        "no address",
        "Not started: this record has no email address. Add one and tick the box again.",
        record={"email": " "},
    ),
    row(
        "an address that no provider takes",
        "Not started: the email address is not valid. Correct it and tick the box again.",
        record={"email": "ada..byron@example.com"},
    ),
    row("an address in another script", STARTS, record={"email": "山田@例え.jp"}),
    row(
        "B22 opted out",
        "Not started: the CRM says that this person opted out of email, and no email goes out.",
        record={"opted_out": True},
    ),
    row(
        "B22 suppressed",
        "Not started: this address unsubscribed on 1 Nov 2026.",
        suppression="unsubscribed on 1 Nov 2026",
    ),
    row(
        "the CRM knows of a bounce",
        "Not started: this address bounced; correct it, clear the bounce and tick the box again.",
        record={"bounced": True},
    ),
    row(
        "the CRM's own sequence has the person, and ours is to end then",
        "Not started: the person is in a sequence of HubSpot's own. Once they have left it, tick the box again.",
        record={"elsewhere": "a sequence of HubSpot's own", "on_elsewhere": OnElsewhere.STOP},
    ),
    row("the CRM's own sequence has the person: the run waits", STARTS, record={"elsewhere": "a sequence of its own"}),
    row(
        "B13 the address is in a sequence on another record",
        "Not started: same address as lead 00Q, which is already in a sequence.",
        twin="lead 00Q",
    ),
    row(
        "B17 the sequence was never valid",
        "Not started: the sequence has an error (Step 1 has no Body). Correct it and tick the box again.",
        sequence=UNREADABLE,
        sequence_error="Step 1 has no Body.",
    ),
    row(
        "the sequence cannot be read",
        "Not started: the sequence has an error (it cannot be read). Correct it and tick the box again.",
        sequence=UNREADABLE,
    ),
    row(
        "the sequence is retired",
        "Not started: the sequence is retired. Choose another.",
        sequence={"status": SequenceStatus.RETIRED},
    ),
    row("a sequence that is not Live yet is entered and waits", STARTS, sequence={"status": SequenceStatus.DRAFT}),
    row("a paused sequence is entered and waits", STARTS, sequence={"status": SequenceStatus.PAUSED}),
    row(
        "no step is active",
        "Not started: the sequence has no active step. Give it one and tick the box again.",
        sequence={"steps": steps_with(A={"active": False}, B={"active": False}, C={"active": False})},
    ),
]


def past(status: RunStatus, days: int, *, touched: bool = True, sequence_id: str = "seq", run: int = 1) -> PastRun:
    """A run that ended so many days ago."""
    return PastRun(sequence_id=sequence_id, run=run, status=status, ended_at=NOW - days * DAY, touched=touched)


FINISHED = past(RunStatus.FINISHED, 10)
STOPPED = past(RunStatus.STOPPED, 10)
STOPPED_AGAIN = past(RunStatus.STOPPED, 5, run=2)
UNTOUCHED = past(RunStatus.STOPPED, 10, touched=False)
ELSEWHERE = past(RunStatus.FINISHED, 10, sequence_id="b")
NEVER = {"reenrollment": Reenrollment.NEVER}
AFTER_FINISH = {"reenrollment": Reenrollment.AFTER_FINISH}
AFTER_14_DAYS = {"reenrollment": Reenrollment.AFTER_DAYS, "reenroll_after_days": 14}
AFTER_10_DAYS = {"reenrollment": Reenrollment.AFTER_DAYS, "reenroll_after_days": 10}

ONCE = "Not started: this person already went through the sequence, and it does not run twice."
UNFINISHED = "Not started: the last run was stopped, and this sequence runs again only after a finished one."

AGAIN = [
    row("never, and it finished", ONCE, sequence=NEVER, past=(FINISHED,)),
    row("never, and it was stopped on its way", ONCE, sequence=NEVER, past=(STOPPED,)),
    row("never, and it was stopped before its first step", STARTS, sequence=NEVER, past=(UNTOUCHED,)),
    row("never, and it was another sequence", STARTS, sequence=NEVER, past=(ELSEWHERE,)),
    row("after finish, and it finished", STARTS, sequence=AFTER_FINISH, past=(FINISHED,)),
    row("after finish, and it was stopped", UNFINISHED, sequence=AFTER_FINISH, past=(STOPPED,)),
    row("after finish, but stopped since", UNFINISHED, sequence=AFTER_FINISH, past=(STOPPED_AGAIN, FINISHED)),
    row("after 10 days, on the tenth", STARTS, sequence=AFTER_10_DAYS, past=(STOPPED,)),
    row(
        "after 14 days, on the tenth",
        "Not started: the sequence may run again for this person from 7 Nov 2026.",
        sequence=AFTER_14_DAYS,
        past=(FINISHED,),
    ),
    row(
        "after 10 days, counted from the last run",
        "Not started: the sequence may run again for this person from 8 Nov 2026.",
        sequence=AFTER_10_DAYS,
        past=(FINISHED, STOPPED_AGAIN),
    ),
]


def outcome(snapshot: Any) -> str:
    """What plan decides, in the words the record shows."""
    match plan(snapshot, NOW):
        case ():
            return NOTHING
        case (Enroll(),):
            return STARTS
        case (Refuse(reason=reason),):
            return reason.sentence
        case other:
            return repr(other)


@pytest.mark.parametrize(("snapshot", "then"), BOX)
def test_a_box_without_a_run_starts_one_or_says_why_not(snapshot: Any, then: str) -> None:
    """B9, B11, B12, B13, B14, B17, B22: whoever ticks a box is answered on the record."""
    assert outcome(snapshot) == then


@pytest.mark.parametrize(("snapshot", "then"), AGAIN)
def test_off_then_on_is_a_new_run_where_the_policy_allows(snapshot: Any, then: str) -> None:
    """B9: the re-enrollment policy decides about a person who was in the sequence before."""
    assert outcome(snapshot) == then


@pytest.mark.parametrize(
    ("on_record", "in_ledger", "number"),
    [(0, (), 1), (3, (), 4), (1, (past(RunStatus.STOPPED, 9, sequence_id="b", run=5),), 6)],
    ids=["first", "a ledger that was lost", "counted over all sequences"],
)
def test_a_run_never_takes_a_number_that_was_used(on_record: int, in_ledger: tuple[PastRun, ...], number: int) -> None:
    """P1: the number is part of a touch's id, so it goes up whether the record or the ledger remembers more."""
    decision = plan(ticked(record=ada(run=on_record), past=in_ledger), NOW)[0]
    assert isinstance(decision, Enroll)
    assert decision.run == number


def test_a_number_that_a_live_run_of_the_person_bears_is_used() -> None:
    """P1, B15: the run began with this address and went on at another one; its touches have the ids of this person."""
    decision = plan(ticked(last_number=2), NOW)[0]
    assert isinstance(decision, Enroll)
    assert decision.run == 3


@pytest.mark.parametrize(
    ("on_record", "in_ledger"),
    [(NOW - HOUR, ()), (None, (replace(STOPPED, last_touch_at=NOW - HOUR, last_touch_zone="UTC"),))],
    ids=["on the record", "in the ledger"],
)
def test_nobody_is_touched_by_two_runs_on_one_day(on_record: datetime | None, in_ledger: tuple[PastRun, ...]) -> None:
    """B19: the box was ticked again an hour after an email; the new run begins the next day."""
    again = {"reenrollment": Reenrollment.AFTER_DAYS, "reenroll_after_days": 0, "time_zone": "UTC"}
    sequence = sequence_of(zone_policy=ZonePolicy.FIXED, **again)
    decision = plan(ticked(record=ada(last_touch=on_record), sequence=sequence, past=in_ledger), NOW)[0]
    assert isinstance(decision, Enroll)
    assert decision.due_at.date() == (NOW + DAY).date()


def test_the_first_email_is_due_at_the_next_opening_of_the_recipient() -> None:
    """B18: ticked at noon in London, it is seven in the morning in New York, whose window opens at nine."""
    record, policy = ada(time_zone="America/New_York"), ZonePolicy.RECIPIENT
    decision = plan(ticked(record=record, sequence=sequence_of(zone_policy=policy), owner=REP), NOW)[0]
    assert isinstance(decision, Enroll)
    assert decision.due_at == NOW + 2 * HOUR
    assert (decision.zone.zone, decision.zone.source) == ("America/New_York", "recipient")


def test_a_first_step_with_a_delay_is_due_after_it() -> None:
    """The delay of a first step counts from the tick."""
    decision = plan(ticked(sequence=sequence_of(steps=steps_with(A={"delay": 3}))), NOW)[0]
    assert isinstance(decision, Enroll)
    assert decision.due_at == NOW + timedelta(days=3)
