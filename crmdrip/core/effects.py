"""What a decision changes: the run's next state, and the write-backs and touches it causes. Pure.

The daemon stores an effect in one transaction; nothing else changes a run. What a step that was taken changes is in
core.taken, what the record shows in core.status.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from crmdrip.core import words
from crmdrip.core.decisions import Enroll, Hold, Move, Readdress, Refuse, Skip, Stop, Wait
from crmdrip.core.keys import person_key, touch_id
from crmdrip.core.model import (
    BoxPending,
    Enrollment,
    Record,
    RecordRef,
    RunStatus,
    Sequence,
    SignalKind,
    StepKind,
    Touch,
    TouchState,
)
from crmdrip.core.reasons import HoldReason, Reason, SkipReason, StopReason
from crmdrip.core.schedule import plan_due
from crmdrip.core.status import (
    finished_sentence,
    on_its_way,
    on_its_way_write,
    shown,
    shown_step,
    status_key,
    status_write,
)
from crmdrip.core.steps import Passed, next_step, progress
from crmdrip.core.struct import Struct, replace
from crmdrip.core.writes import ASKED, BounceWrite, OptOutWrite, Priority, StatusWrite, TaskWrite, Write
from crmdrip.core.zones import ZoneUsed

LATE = timedelta(minutes=15)
"""A touch that waits for the CRM to answer is not called held before it is this late: most such waits are seconds,
and telling of each would cost the CRM more than it is worth."""


class Effect(Struct, frozen=True, kw_only=True):
    """Everything one decision changes."""

    run: Enrollment | None = None
    """The run as it shall be stored; None when no run is concerned."""
    writes: tuple[tuple[Write, Priority], ...] = ()
    touches: tuple[Touch, ...] = ()
    """Touches that are over with the decision itself (passed over, a rep's task)."""
    totals: tuple[tuple[str, int], ...] = ()
    """Changes of the sequence's figures: active, held, sent, replied, meetings, stopped, finished."""
    box: BoxPending = BoxPending.NO
    """Which way the record's box is about to be set."""
    deleted: tuple[str, ...] = ()
    """Ids of records that are deleted, for the ledger to remember: restored, they stay stopped (B14)."""
    dropped: tuple[str, ...] = ()
    """Keys of write-backs that are owed no more: nothing is written to a record that is gone (B11, B12, B14)."""


class Setting(Struct, frozen=True, kw_only=True):
    """What effects need to know besides the run."""

    org_id: str
    now: datetime
    sequence: Sequence | None
    record: Record | None = None
    touches: Mapping[str, Passed] = {}


GONE = frozenset(Reason(code=code).key for code in (StopReason.DELETED, StopReason.MERGED))
"""Ends after which there is no record to write to (B12, B14)."""


def enroll(decision: Enroll, record: Record, address: str, now: datetime) -> Effect:
    """A run begins."""
    run = Enrollment(
        id=0,
        person=person_key(address),
        address=address,
        ref=record.ref,
        sequence_id=decision.sequence.id,
        run=decision.run,
        status=RunStatus.QUEUED,
        entered_at=now,
        due_at=decision.due_at,
        check_at=decision.due_at,
        next_step_id=decision.step.id,
    )
    step = progress(decision.sequence, decision.step, 0)
    text = words.queued(decision.due_at, decision.zone.zone)
    return Effect(run=run, writes=((status_write(run, text, step), Priority.REPORT),), totals=(("active", 1),))


def refuse(decision: Refuse, record: Record) -> Effect:
    """No run begins; the box is unticked and the record says why."""
    write = StatusWrite(
        key=status_key(record.ref),
        ref=record.ref,
        status=RunStatus.REFUSED.value,
        reason=words.clip(decision.reason.sentence),
        step="",
        next_touch=None,
        last_touch=record.last_touch,
        run=record.run,
        enrolled=False,
    )
    return Effect(writes=((write, Priority.REPORT),), box=BoxPending.OFF)


_FIGURE_OF = {StopReason.REPLIED: "replied", StopReason.MEETING: "meetings"}


def _left(run: Enrollment, *more: tuple[str, int]) -> tuple[tuple[str, int], ...]:
    """The figures of a run that ends or leaves its hold."""
    held = (("held", -1),) if run.status in (RunStatus.HELD, RunStatus.PAUSED) else ()
    return (*held, *more)


def stop(decision: Stop, run: Enrollment, setting: Setting, *, replied_at: datetime | None = None) -> Effect:
    """The run ends for good."""
    code = decision.reason.code
    ended = replace(
        run,
        ref=decision.shown_on or run.ref,
        status=RunStatus.STOPPED,
        reason=decision.reason.key,
        reason_detail=decision.reason.detail,
        due_at=None,
        check_at=None,
        next_step_id=None,
    )
    figures = _left(run, ("active", -1), ("stopped", 1))
    if isinstance(code, StopReason) and code in _FIGURE_OF:
        figures = (*figures, (_FIGURE_OF[code], 1))
    dropped = (status_key(run.ref),) if ended.reason in GONE or ended.ref != run.ref else ()
    if ended.reason in GONE:
        deleted = (run.ref.id,) if code is StopReason.DELETED else ()
        return Effect(run=ended, totals=figures, dropped=dropped, deleted=deleted)
    write = status_write(
        ended,
        decision.reason.sentence,
        shown_step(ended, setting.sequence),
        enrolled=False if decision.untick else None,
        replied_at=replied_at,
    )
    box = BoxPending.OFF if decision.untick else BoxPending.NO
    return Effect(run=ended, writes=((write, Priority.STOP),), totals=figures, box=box, dropped=dropped)


def tell_suppression(
    kind: SignalKind, refs: tuple[RecordRef, ...], detail: str, now: datetime
) -> tuple[tuple[Write, Priority], ...]:
    """An unsubscribe, complaint, opt-out or bounce is written to every record of the address (B13, B22)."""
    writes: list[tuple[Write, Priority]] = []
    for ref in refs:
        if kind is SignalKind.BOUNCE:
            reason = words.clip(words.say_codes_once(detail) or "the address does not accept mail")
            writes.append((BounceWrite(key=f"bounce:{ref.id}", ref=ref, reason=reason, at=now), Priority.STOP))
        else:
            writes.append((OptOutWrite(key=f"opt_out:{ref.id}", ref=ref), Priority.STOP))
    return tuple(writes)


def hold(decision: Hold, run: Enrollment, setting: Setting) -> Effect:
    """The run waits. The record is written only when what it shows changes, and the rep told once."""
    reason = decision.reason
    if reason.code is HoldReason.NO_LAST_LOOK and run.due_at is not None and setting.now - run.due_at < LATE:
        return Effect(run=replace(run, check_at=decision.check_at))
    held = replace(
        run, status=decision.status, reason=reason.key, reason_detail=reason.detail, check_at=decision.check_at
    )
    was_held = run.status in (RunStatus.HELD, RunStatus.PAUSED)
    figures = () if was_held else (("held", 1),)
    unseen = reason.code is HoldReason.RECORD_GONE
    if unseen or shown(run) == shown(held):
        return Effect(run=held, totals=figures)
    write = status_write(held, reason.sentence, shown_step(held, setting.sequence))
    if decision.away_until is not None:
        write = replace(write, out_of_office_until=decision.away_until)
    writes: list[tuple[Write, Priority]] = [(write, Priority.REPORT)]
    if decision.tell_rep and run.reason != held.reason:
        writes.append((_note_for_rep(reason, run, setting, decision.task_id), Priority.REPORT))
    return Effect(run=held, writes=tuple(writes), totals=figures)


def _note_for_rep(reason: Reason, run: Enrollment, setting: Setting, task_id: str = "") -> TaskWrite:
    key = task_id or touch_id(setting.org_id, run.person, run.sequence_id, run.run, f"note:{reason.key}")
    return TaskWrite(
        key=f"task:{key}",
        touch_id=key,
        ref=run.ref,
        owner_id=setting.record.owner_id if setting.record is not None else None,
        at=setting.now,
        subject="Sequence paused: please decide",
        body=reason.sentence,
        sequence=setting.sequence.name if setting.sequence is not None else "",
        sequence_id=run.sequence_id,
        step="",
        step_id="",
        run=run.run,
        outcome=ASKED if task_id else "Waiting",
        open=True,
    )


def wait(decision: Wait, run: Enrollment, setting: Setting) -> Effect:
    """Nothing is in the way; the touch waits for its time. The record is written only when what it shows changes."""
    waiting = replace(
        run,
        status=on_its_way(run),
        reason="",
        reason_detail="",
        due_at=decision.due_at,
        check_at=decision.opens_at,
        next_step_id=decision.step.id,
    )
    if shown(run) == shown(waiting):
        return Effect(run=waiting)
    write = on_its_way_write(waiting, setting.sequence, decision.zone.zone)
    return Effect(run=waiting, writes=((write, Priority.REPORT),), totals=_left(run))


def retell(run: Enrollment, sequence: Sequence | None) -> Effect:
    """The record shows something else, written by a daemon that the ledger knows nothing of: it shows the run again."""
    zone = run.last_touch_zone or (sequence.time_zone if sequence is not None else "UTC")
    return Effect(writes=((on_its_way_write(run, sequence, zone), Priority.REPORT),))


def finish(run: Enrollment, setting: Setting, sentence: str = "") -> Effect:
    """Every step was taken or passed over: the box is unticked. sentence: what just happened, for the record."""
    ended = replace(
        run, status=RunStatus.FINISHED, reason="", reason_detail="", due_at=None, check_at=None, next_step_id=None
    )
    text = f"{sentence} {finished_sentence(run)}".strip()
    write = status_write(ended, text, shown_step(ended, setting.sequence), enrolled=False)
    return Effect(
        run=ended,
        writes=((write, Priority.REPORT),),
        totals=_left(run, ("active", -1), ("finished", 1)),
        box=BoxPending.OFF,
    )


def move(decision: Move, run: Enrollment, setting: Setting) -> Effect:
    """The run goes on under another record, whose box and sequence are set (B11, B12)."""
    moved = replace(run, ref=decision.to, check_at=setting.now)
    zone = run.last_touch_zone or (setting.sequence.time_zone if setting.sequence is not None else "UTC")
    told = on_its_way_write(moved, setting.sequence, zone, f"Carried over: the record was {decision.because}.")
    write = replace(told, enrolled=True, sequence_id=run.sequence_id)
    dropped = (status_key(run.ref),)
    return Effect(run=moved, writes=((write, Priority.REPORT),), box=BoxPending.ON, dropped=dropped)


def readdress(decision: Readdress, run: Enrollment, setting: Setting) -> Effect:
    """The address changed within its domain: it is the run's from now on, in a new thread (B15)."""
    return Effect(
        run=replace(run, address=decision.address, thread=(), thread_subject="", sender="", check_at=setting.now)
    )


def skip(decision: Skip, run: Enrollment, setting: Setting, zone: ZoneUsed) -> Effect:
    """One step is passed over. After an expired one the delay of the next counts from now, so that gaps stay (B19).

    A step that is no longer there leaves no gap: the next comes when the sequence as it now stands has it, though never
    nearer to the last touch than the minimum gap (B17).
    """
    steps = setting.sequence.steps if setting.sequence is not None else ()
    kind = next((step.kind for step in steps if step.id == decision.step_id), StepKind.EMAIL)
    touch = Touch(
        id=touch_id(setting.org_id, run.person, run.sequence_id, run.run, decision.step_id),
        enrollment_id=run.id,
        step_id=decision.step_id,
        order=decision.order,
        kind=kind,
        state=TouchState.SKIPPED,
        attempt=0,
        at=setting.now,
        address=run.address,
        version=setting.sequence.version if setting.sequence is not None else "",
        zone=zone.zone,
        zone_source=zone.source,
        detail=decision.reason.key,
    )
    passed = {
        **setting.touches,
        decision.step_id: Passed(state=TouchState.SKIPPED, order=decision.order, at=setting.now),
    }
    after = replace(run, position=decision.order, next_step_id=None)
    late = decision.reason.code is SkipReason.EXPIRED
    anchor = setting.now if late else run.last_touch_at or run.entered_at
    sentence = decision.reason.sentence
    effect = advance(after, replace(setting, touches=passed), zone, sentence, anchor=anchor, at_end=sentence)
    return replace(effect, touches=(touch,))


def advance(
    run: Enrollment, setting: Setting, zone: ZoneUsed, sentence: str, *, anchor: datetime, at_end: str = ""
) -> Effect:
    """Plan the step after the one just passed, or finish.

    sentence: what just happened, for the record. at_end: the same where it is worth telling beside "Finished".
    """
    sequence = setting.sequence
    if sequence is None:
        return _without_sequence(run, setting, sentence)
    step = next_step(sequence, run, setting.touches)
    if step is None:
        return finish(run, setting, at_end)
    due_at = plan_due(
        step,
        anchor=anchor,
        last_touch_at=run.last_touch_at,
        zone=zone.zone,
        sequence=sequence,
        last_touch_zone=run.last_touch_zone,
    )
    active = replace(
        run,
        status=on_its_way(run),
        reason="",
        reason_detail="",
        due_at=due_at,
        check_at=due_at,
        next_step_id=step.id,
    )
    write = on_its_way_write(active, sequence, zone.zone, sentence)
    return Effect(run=active, writes=((write, Priority.REPORT),), totals=_left(run))


def _without_sequence(run: Enrollment, setting: Setting, sentence: str) -> Effect:
    """The sequence went out of sight while the step was on its way: planned anew at once, and held for that."""
    left = replace(run, status=on_its_way(run), reason="", reason_detail="", check_at=setting.now, due_at=setting.now)
    write = status_write(left, sentence, shown_step(left, None))
    return Effect(run=left, writes=((write, Priority.REPORT),), totals=_left(run))
