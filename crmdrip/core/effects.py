"""What a decision changes: the run's next state, and the write-backs and touches it causes. Pure.

The daemon stores an effect in one transaction; nothing else changes a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import IntEnum

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
    Step,
    StepKind,
    Touch,
    TouchState,
)
from crmdrip.core.reasons import HoldReason, Reason, SkipReason, StopReason, parse_reason
from crmdrip.core.schedule import plan_due
from crmdrip.core.steps import Passed, next_step, progress, progress_of
from crmdrip.core.struct import Struct, replace
from crmdrip.core.writes import ASKED, ApprovalWrite, BounceWrite, OptOutWrite, StatusWrite, TaskWrite, Write
from crmdrip.core.zones import ZoneUsed

LATE = timedelta(minutes=15)
"""A touch that waits for the CRM to answer is not called held before it is this late: most such waits are seconds,
and telling of each would cost the CRM more than it is worth."""

THREAD_KEPT = 10
"""Message-IDs kept per thread: the root and the nine newest, as much as a References header needs."""


class Priority(IntEnum):
    """What is written first when calls are scarce (P5)."""

    STOP = 0
    REPORT = 1
    FIGURES = 2


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


_GONE = frozenset(Reason(code=code).key for code in (StopReason.DELETED, StopReason.MERGED))
"""Ends after which there is no record to write to (B12, B14)."""

_REPLIED = Reason(code=StopReason.REPLIED).key

_TIMED = frozenset(
    Reason(code=code).key for code in (HoldReason.PAUSED_UNTIL, HoldReason.OUT_OF_OFFICE, HoldReason.DAILY_CAP)
)
"""Holds that end at a known time."""


def shown_next(run: Enrollment) -> datetime | None:
    """When the record says the next touch goes out; None when the run has ended, or waits for nobody knows how long."""
    if not run.status.live or run.due_at is None or (run.reason and run.reason not in _TIMED):
        return None
    return max(run.due_at, run.check_at or run.due_at)


def shown_step(run: Enrollment, sequence: Sequence | None) -> str:
    """Such as "2 of 4": the step that comes next, or how many were taken once the run has ended."""
    return progress_of(sequence, run.next_step_id if run.status.live else None, run.steps_done)


def _status_key(ref: RecordRef) -> str:
    return f"status:{ref.id}"


def status_write(
    run: Enrollment,
    reason: str,
    step: str,
    *,
    enrolled: bool | None = None,
    replied_at: datetime | None = None,
    sequence_id: str | None = None,
) -> StatusWrite:
    """The daemon's fields of the run's record, as the run stands now."""
    return StatusWrite(
        key=_status_key(run.ref),
        ref=run.ref,
        status=run.status.value,
        reason=words.clip(reason),
        step=step,
        next_touch=shown_next(run),
        last_touch=run.last_touch_at,
        run=run.run,
        enrolled=enrolled,
        replied_at=replied_at,
        sequence_id=sequence_id,
    )


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
        key=_status_key(record.ref),
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
    dropped = (_status_key(run.ref),) if ended.reason in _GONE or ended.ref != run.ref else ()
    if ended.reason in _GONE:
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
    if unseen or _shown(run) == _shown(held):
        return Effect(run=held, totals=figures)
    write = status_write(held, reason.sentence, shown_step(held, setting.sequence))
    if decision.away_until is not None:
        write = replace(write, out_of_office_until=decision.away_until)
    writes: list[tuple[Write, Priority]] = [(write, Priority.REPORT)]
    if decision.tell_rep and run.reason != held.reason:
        writes.append((_note_for_rep(reason, run, setting, decision.task_id), Priority.REPORT))
    return Effect(run=held, writes=tuple(writes), totals=figures)


def _shown(run: Enrollment) -> tuple[object, ...]:
    """What the record shows of a run on its way; while it stays the same the CRM is left alone (P5)."""
    return (run.status, run.reason, run.reason_detail, shown_next(run), run.next_step_id)


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
        status=_on_its_way(run),
        reason="",
        reason_detail="",
        due_at=decision.due_at,
        check_at=decision.opens_at,
        next_step_id=decision.step.id,
    )
    if _shown(run) == _shown(waiting):
        return Effect(run=waiting)
    write = _on_its_way_write(waiting, setting.sequence, decision.zone.zone)
    return Effect(run=waiting, writes=((write, Priority.REPORT),), totals=_left(run))


def _on_its_way(run: Enrollment) -> RunStatus:
    return RunStatus.ACTIVE if run.steps_done else RunStatus.QUEUED


def _on_its_way_write(run: Enrollment, sequence: Sequence | None, zone: str, sentence: str = "") -> StatusWrite:
    """What happened, if anything, and what comes next."""
    label, at = shown_step(run, sequence), shown_next(run)
    if run.reason:
        coming = parse_reason(run.reason, run.reason_detail).sentence
    elif at is None:
        coming = ""
    else:
        coming = words.upcoming(label, at, zone) if run.steps_done or sentence else words.queued(at, zone)
    return status_write(run, f"{sentence} {coming}".strip(), label)


def retell(run: Enrollment, sequence: Sequence | None) -> Effect:
    """The record shows something else, written by a daemon that the ledger knows nothing of: it shows the run again."""
    zone = run.last_touch_zone or (sequence.time_zone if sequence is not None else "UTC")
    return Effect(writes=((_on_its_way_write(run, sequence, zone), Priority.REPORT),))


def finish(run: Enrollment, setting: Setting, sentence: str = "") -> Effect:
    """Every step was taken or passed over: the box is unticked. sentence: what just happened, for the record."""
    ended = replace(
        run, status=RunStatus.FINISHED, reason="", reason_detail="", due_at=None, check_at=None, next_step_id=None
    )
    text = f"{sentence} {_finished(run)}".strip()
    write = status_write(ended, text, shown_step(ended, setting.sequence), enrolled=False)
    return Effect(
        run=ended,
        writes=((write, Priority.REPORT),),
        totals=_left(run, ("active", -1), ("finished", 1)),
        box=BoxPending.OFF,
    )


def _finished(run: Enrollment) -> str:
    return words.finished(run.steps_done, run.last_touch_at, run.last_touch_zone or "UTC")


def move(decision: Move, run: Enrollment, setting: Setting) -> Effect:
    """The run goes on under another record, whose box and sequence are set (B11, B12)."""
    moved = replace(run, ref=decision.to, check_at=setting.now)
    zone = run.last_touch_zone or (setting.sequence.time_zone if setting.sequence is not None else "UTC")
    told = _on_its_way_write(moved, setting.sequence, zone, f"Carried over: the record was {decision.because}.")
    write = replace(told, enrolled=True, sequence_id=run.sequence_id)
    dropped = (_status_key(run.ref),)
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


class Taken(Struct, frozen=True, kw_only=True):
    """A step that was taken: an email the provider accepted, or a task put on the rep's list."""

    touch_id: str
    step: Step
    at: datetime
    zone: ZoneUsed
    sender: str = ""
    owner_id: str | None = None
    subject: str = ""
    body: str = ""
    """Plain text, for the timeline."""
    message_id: str = ""
    outcome: str = "Sent"
    begins_thread: bool = True
    """The email refers to no earlier one: first email, another sender or address, or a step that asks for it."""


def take(taken: Taken, run: Enrollment, setting: Setting) -> Effect:
    """The step is done: on to the next, and the touch goes on the timeline.

    A run that was stopped while the email was on its way stays stopped; the touch is told all the same (P3).
    """
    sequence, step = setting.sequence, taken.step
    email = step.kind is StepKind.EMAIL
    begins = email and taken.begins_thread
    thread = _thread(() if begins else run.thread, taken.message_id) if email else run.thread
    after = replace(
        run,
        position=step.order,
        steps_done=run.steps_done + 1,
        last_touch_at=taken.at,
        last_touch_zone=taken.zone.zone,
        sender=taken.sender if email else run.sender,
        owner_id=taken.owner_id if email and (begins or run.owner_id is None) else run.owner_id,
        thread=thread,
        thread_subject=taken.subject if begins else run.thread_subject,
        unproven=False,
    )
    label = progress(sequence, step, run.steps_done) if sequence is not None else str(after.steps_done)
    told: tuple[tuple[Write, Priority], ...] = ((_timeline(taken, run, setting, label), Priority.REPORT),)
    if step.needs_approval and run.reason not in _GONE:
        told = (*told, (ApprovalWrite(key=f"approval:{run.ref.id}", ref=run.ref), Priority.REPORT))
    sent = ("sent", 1)
    if not run.status.live:
        # A reply's status, with its time, may be owed yet; a stop that was read back stands on the record as it is.
        adopted = not run.reason and run.status is RunStatus.STOPPED
        if run.reason in _GONE or run.reason == _REPLIED or adopted:
            return Effect(run=after, writes=told, totals=(sent,))
        ended = parse_reason(run.reason, run.reason_detail).sentence if run.reason else _finished(after)
        write = status_write(after, ended, shown_step(after, sequence))
        return Effect(run=after, writes=(*told, (write, Priority.REPORT)), totals=(sent,))
    passed = {**setting.touches, step.id: Passed(state=TouchState.ACCEPTED, order=step.order, at=taken.at)}
    sentence = words.went_out(label, taken.at, taken.zone.zone)
    effect = advance(after, replace(setting, touches=passed), taken.zone, sentence, anchor=taken.at)
    return replace(effect, writes=(*told, *effect.writes), totals=(sent, *effect.totals))


def _thread(thread: tuple[str, ...], message_id: str) -> tuple[str, ...]:
    grown = (*thread, message_id) if message_id else thread
    return grown if len(grown) <= THREAD_KEPT else (grown[0], *grown[-(THREAD_KEPT - 1) :])


def _timeline(taken: Taken, run: Enrollment, setting: Setting, label: str) -> TaskWrite:
    task = taken.step.kind is StepKind.TASK
    return TaskWrite(
        key=f"task:{taken.touch_id}",
        touch_id=taken.touch_id,
        ref=run.ref,
        owner_id=taken.owner_id,
        at=taken.at,
        subject=taken.subject,
        body=taken.body,
        sequence=setting.sequence.name if setting.sequence is not None else "",
        sequence_id=run.sequence_id,
        step=label,
        step_id=taken.step.id,
        run=run.run,
        outcome=taken.outcome,
        message_id=taken.message_id,
        open=task,
    )


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
        status=_on_its_way(run),
        reason="",
        reason_detail="",
        due_at=due_at,
        check_at=due_at,
        next_step_id=step.id,
    )
    write = _on_its_way_write(active, sequence, zone.zone, sentence)
    return Effect(run=active, writes=((write, Priority.REPORT),), totals=_left(run))


def _without_sequence(run: Enrollment, setting: Setting, sentence: str) -> Effect:
    """The sequence went out of sight while the step was on its way: planned anew at once, and held for that."""
    left = replace(run, status=_on_its_way(run), reason="", reason_detail="", check_at=setting.now, due_at=setting.now)
    write = status_write(left, sentence, shown_step(left, None))
    return Effect(run=left, writes=((write, Priority.REPORT),), totals=_left(run))
