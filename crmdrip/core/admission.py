"""Whether a ticked box starts a run (B9, B13). Never says anything about a run that is live."""

from __future__ import annotations

from datetime import datetime, timedelta

from crmdrip.core.decisions import Decision, Enroll, Refuse
from crmdrip.core.keys import is_valid_address, normalize_address, person_key
from crmdrip.core.model import (
    BoxPending,
    Enrollment,
    OnElsewhere,
    Record,
    Reenrollment,
    RunStatus,
    Sequence,
    SequenceStatus,
)
from crmdrip.core.reasons import Reason, RefuseReason
from crmdrip.core.schedule import plan_due
from crmdrip.core.snapshot import Snapshot
from crmdrip.core.steps import next_step
from crmdrip.core.words import day
from crmdrip.core.zones import resolve_zone


def plan_entry(snapshot: Snapshot, now: datetime) -> tuple[Decision, ...]:
    """Enroll or refuse a ticked record without a live run; nothing for an unticked one.

    A sequence that is not Live yet is entered too: the run then waits, and the record says for what. A converted lead
    can neither enter nor be told so: nothing is ever written to it (B11).
    """
    record = snapshot.record
    if record is None or record.deleted or record.merged_into is not None or record.converted_to is not None:
        return ()
    if snapshot.restored and (record.enrolled or record.status in _LIVE_WORDS):
        return (Refuse(reason=Reason(code=RefuseReason.RESTORED)),)
    if not record.enrolled or snapshot.reread or snapshot.box_pending is not BoxPending.NO:
        return ()
    sequence = snapshot.sequence
    reason = refuse(snapshot, record, now)
    if reason is not None or sequence is None:
        return (Refuse(reason=reason or Reason(code=RefuseReason.SEQUENCE_INVALID)),)
    run = max(record.run, snapshot.last_number, *(past.run for past in snapshot.past)) + 1
    zone = resolve_zone(sequence.zone_policy, record, snapshot.owner, sequence)
    step = next_step(sequence, _candidate(record, sequence, run, now), {})
    if step is None:
        return (Refuse(reason=Reason(code=RefuseReason.SEQUENCE_EMPTY)),)
    last_touch_at, last_zone = _touched_last(snapshot, record)
    due_at = plan_due(
        step, anchor=now, last_touch_at=last_touch_at, zone=zone.zone, sequence=sequence, last_touch_zone=last_zone
    )
    return (Enroll(sequence=sequence, run=run, step=step, due_at=due_at, zone=zone),)


def _touched_last(snapshot: Snapshot, record: Record) -> tuple[datetime | None, str]:
    """When the person was touched last, in whatever run, and in which zone: never twice on one day (B19).

    What the record says may be newer than what is known here, or tell of a ledger that was lost.
    """
    known = [(past.last_touch_at, past.last_touch_zone) for past in snapshot.past if past.last_touch_at is not None]
    if record.last_touch is not None:
        known.append((record.last_touch, ""))
    return max(known, default=(None, ""), key=lambda one: one[0])


_LIVE_WORDS = frozenset(status.value for status in RunStatus if status.live)


def _candidate(record: Record, sequence: Sequence, run: int, now: datetime) -> Enrollment:
    """A run that is not stored yet, to ask for its first step."""
    address = normalize_address(record.email)
    return Enrollment(
        id=0,
        person=person_key(address),
        address=address,
        ref=record.ref,
        sequence_id=sequence.id,
        run=run,
        status=RunStatus.QUEUED,
        entered_at=now,
        due_at=None,
    )


def refuse(snapshot: Snapshot, record: Record, now: datetime) -> Reason | None:
    """Why a ticked record does not start, None when it may. Read from the top."""
    sequence = snapshot.sequence
    if record.sequence_id is None:
        return Reason(code=RefuseReason.NO_SEQUENCE)
    if not record.email.strip():
        return Reason(code=RefuseReason.NO_ADDRESS)
    if not is_valid_address(record.email):
        return Reason(code=RefuseReason.INVALID_ADDRESS)
    if record.opted_out:
        return Reason(code=RefuseReason.OPTED_OUT)
    if snapshot.suppression:
        return Reason(code=RefuseReason.SUPPRESSED, detail=snapshot.suppression)
    if record.bounced:
        return Reason(
            code=RefuseReason.SUPPRESSED, detail="bounced; correct it, clear the bounce and tick the box again"
        )
    if record.elsewhere and record.on_elsewhere is OnElsewhere.STOP:
        return Reason(code=RefuseReason.ELSEWHERE, detail=record.elsewhere)
    if snapshot.twin:
        return Reason(code=RefuseReason.SAME_ADDRESS, detail=snapshot.twin)
    if sequence is None:
        error = snapshot.sequence_error or "it cannot be read"
        return Reason(code=RefuseReason.SEQUENCE_INVALID, detail=error)
    if sequence.status is SequenceStatus.RETIRED:
        return Reason(code=RefuseReason.SEQUENCE_RETIRED)
    if snapshot.left_at is not None:
        return Reason(code=RefuseReason.LEFT_SEQUENCE, detail=f" on {day(snapshot.left_at)}")
    return _refuse_again(snapshot, sequence, now)


def _refuse_again(snapshot: Snapshot, sequence: Sequence, now: datetime) -> Reason | None:
    """Why the sequence does not run once more for this person (B9). Runs that took no step do not count."""
    past = [run for run in snapshot.past if run.sequence_id == sequence.id and run.touched]
    if not past:
        return None
    last = max(past, key=lambda run: (run.ended_at, run.run))
    match sequence.reenrollment:
        case Reenrollment.NEVER:
            return Reason(code=RefuseReason.ALREADY_RUN)
        case Reenrollment.AFTER_FINISH:
            return None if last.status is RunStatus.FINISHED else Reason(code=RefuseReason.NOT_FINISHED)
        case Reenrollment.AFTER_DAYS:
            free = last.ended_at + timedelta(days=sequence.reenroll_after_days)
            return Reason(code=RefuseReason.TOO_SOON, detail=day(free)) if now < free else None
