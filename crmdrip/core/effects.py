"""What a decision changes: the run's next state, and the write-backs and touches it causes. Pure.

The daemon stores an effect in one transaction; nothing else changes a run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum

from crmdrip.core import words
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
from crmdrip.core.plan import Enroll, Hold, Move, Readdress, Refuse, Skip, Stop, Wait
from crmdrip.core.reasons import HoldReason, Reason, StopReason, parse_reason
from crmdrip.core.schedule import plan_due
from crmdrip.core.steps import Passed, next_step, progress
from crmdrip.core.writes import BounceWrite, OptOutWrite, StatusWrite, TaskWrite, Write
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """Everything one decision changes."""

    run: Enrollment | None = None
    """The run as it shall be stored; None when no run is concerned."""
    writes: tuple[tuple[Write, Priority], ...] = ()
    touches: tuple[Touch, ...] = ()
    """Touches that are over with the decision itself (passed over, a rep's task)."""
    totals: tuple[tuple[str, int], ...] = ()
    """Changes of the sequence's figures: active, held, sent, replied, meetings, stopped."""
    box: BoxPending = BoxPending.NO
    """Which way the record's box is about to be set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What effects need to know besides the run."""

    org_id: str
    now: datetime
    sequence: Sequence | None
    record: Record | None = None
    touches: dict[str, Passed] = field(default_factory=dict)


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
        key=f"status:{run.ref.id}",
        ref=run.ref,
        status=run.status.value,
        reason=words.clip(reason),
        step=step,
        next_touch=run.due_at if run.status.live else None,
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
        key=f"status:{record.ref.id}",
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
        status=RunStatus.STOPPED,
        reason=decision.reason.key,
        reason_detail=decision.reason.detail,
        due_at=None,
        check_at=None,
        next_step_id=None,
    )
    gone = code in (StopReason.DELETED, StopReason.MERGED, StopReason.CONVERTED)
    figures = _left(run, ("active", -1), ("stopped", 1))
    if isinstance(code, StopReason) and code in _FIGURE_OF:
        figures = (*figures, (_FIGURE_OF[code], 1))
    if gone:  # nothing is ever written to a deleted, merged or converted record (B11, B14)
        return Effect(run=ended, totals=figures)
    done = progress(setting.sequence, None, run.steps_done) if setting.sequence is not None else f"{run.steps_done}"
    write = status_write(
        ended,
        decision.reason.sentence,
        done,
        enrolled=False if decision.untick else None,
        replied_at=replied_at,
    )
    box = BoxPending.OFF if decision.untick else BoxPending.NO
    return Effect(run=ended, writes=((write, Priority.STOP),), totals=figures, box=box)


def tell_suppression(
    kind: SignalKind, refs: tuple[RecordRef, ...], detail: str, now: datetime
) -> tuple[tuple[Write, Priority], ...]:
    """An unsubscribe, complaint, opt-out or bounce is written to every record of the address (B13, B22)."""
    writes: list[tuple[Write, Priority]] = []
    for ref in refs:
        if kind is SignalKind.BOUNCE:
            reason = words.clip(detail or "the address does not accept mail")
            writes.append((BounceWrite(key=f"bounce:{ref.id}", ref=ref, reason=reason, at=now), Priority.STOP))
        else:
            writes.append((OptOutWrite(key=f"opt_out:{ref.id}", ref=ref), Priority.STOP))
    return tuple(writes)


def hold(decision: Hold, run: Enrollment, setting: Setting) -> Effect:
    """The run waits. The record is written only when what it shows changes."""
    reason = decision.reason
    if reason.code is HoldReason.NO_LAST_LOOK and run.due_at is not None and setting.now - run.due_at < LATE:
        return Effect(run=replace(run, check_at=decision.check_at))
    held = replace(
        run, status=decision.status, reason=reason.key, reason_detail=reason.detail, check_at=decision.check_at
    )
    if (run.status, run.reason, run.reason_detail) == (held.status, held.reason, held.reason_detail):
        return Effect(run=held)
    done = progress(setting.sequence, None, run.steps_done) if setting.sequence is not None else f"{run.steps_done}"
    writes: list[tuple[Write, Priority]] = [(status_write(held, reason.sentence, done), Priority.REPORT)]
    if decision.tell_rep:
        writes.append((_note_for_rep(reason, run, setting), Priority.REPORT))
    was_held = run.status in (RunStatus.HELD, RunStatus.PAUSED)
    return Effect(run=held, writes=tuple(writes), totals=() if was_held else (("held", 1),))


def _note_for_rep(reason: Reason, run: Enrollment, setting: Setting) -> TaskWrite:
    key = touch_id(setting.org_id, run.person, run.sequence_id, run.run, f"note:{reason.key}:{reason.detail}")
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
        outcome="Waiting",
        open=True,
    )


def wait(decision: Wait, run: Enrollment, setting: Setting) -> Effect:
    """Nothing is in the way; the touch waits for its time."""
    status = RunStatus.QUEUED if run.steps_done == 0 else RunStatus.ACTIVE
    waiting = replace(
        run,
        status=status,
        reason="",
        reason_detail="",
        due_at=decision.due_at,
        check_at=decision.due_at,
        next_step_id=decision.step.id,
    )
    shown = (run.status, run.due_at, run.next_step_id) == (status, decision.due_at, decision.step.id)
    if shown or setting.sequence is None:
        return Effect(run=waiting)
    label = progress(setting.sequence, decision.step, run.steps_done)
    zone = decision.zone.zone
    text = words.queued(decision.due_at, zone) if run.steps_done == 0 else words.upcoming(label, decision.due_at, zone)
    return Effect(run=waiting, writes=((status_write(waiting, text, label), Priority.REPORT),), totals=_left(run))


def finish(run: Enrollment, setting: Setting, sentence: str = "") -> Effect:
    """Every step was taken: the box is unticked."""
    ended = replace(
        run, status=RunStatus.FINISHED, reason="", reason_detail="", due_at=None, check_at=None, next_step_id=None
    )
    zone = run.last_touch_zone or "UTC"
    text = f"{sentence} {words.finished(run.steps_done, run.last_touch_at, zone)}".strip()
    done = progress(setting.sequence, None, run.steps_done) if setting.sequence is not None else f"{run.steps_done}"
    write = status_write(ended, text, done, enrolled=False)
    return Effect(
        run=ended,
        writes=((write, Priority.REPORT),),
        totals=_left(run, ("active", -1), ("finished", 1)),
        box=BoxPending.OFF,
    )


def move(decision: Move, run: Enrollment, setting: Setting) -> Effect:
    """The run goes on under another record, whose box and sequence are set (B11, B12)."""
    moved = replace(run, ref=decision.to, check_at=setting.now)
    text = f"Carried over: the record was {decision.because}."
    step = progress(setting.sequence, None, run.steps_done) if setting.sequence is not None else ""
    write = status_write(moved, text, step, enrolled=True, sequence_id=run.sequence_id)
    return Effect(run=moved, writes=((write, Priority.REPORT),), box=BoxPending.ON)


def readdress(decision: Readdress, run: Enrollment, setting: Setting) -> Effect:
    """The address changed within its domain: it is the run's from now on, in a new thread (B15)."""
    return Effect(
        run=replace(run, address=decision.address, thread=(), thread_subject="", sender="", check_at=setting.now)
    )


def skip(decision: Skip, run: Enrollment, setting: Setting, zone: ZoneUsed) -> Effect:
    """One step is passed over; the next is planned from now."""
    touch = Touch(
        id=touch_id(setting.org_id, run.person, run.sequence_id, run.run, decision.step_id),
        enrollment_id=run.id,
        step_id=decision.step_id,
        order=decision.order,
        kind=StepKind.EMAIL,
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
    effect = advance(after, replace(setting, touches=passed), zone, decision.reason.sentence, anchor=setting.now)
    return replace(effect, touches=(touch,))


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
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
    label = progress(sequence, step, run.steps_done) if sequence is not None else f"{after.steps_done}"
    told = (_timeline(taken, run, setting, label), Priority.REPORT)
    sent = ("sent", 1)
    if not run.status.live:
        write = status_write(
            after, parse_reason(run.reason, run.reason_detail).sentence if run.reason else run.status.value, label
        )
        return Effect(run=after, writes=(told, (write, Priority.REPORT)), totals=(sent,))
    passed = {**setting.touches, step.id: Passed(state=TouchState.ACCEPTED, order=step.order, at=taken.at)}
    sentence = words.went_out(label, taken.at, taken.zone.zone)
    effect = advance(after, replace(setting, touches=passed), taken.zone, sentence, anchor=taken.at, left=run)
    return replace(effect, writes=(told, *effect.writes), totals=(sent, *effect.totals))


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
    run: Enrollment,
    setting: Setting,
    zone: ZoneUsed,
    sentence: str,
    *,
    anchor: datetime,
    left: Enrollment | None = None,
) -> Effect:
    """Plan the step after the one just passed, or finish. sentence: what just happened, for the record."""
    sequence = setting.sequence
    step = next_step(sequence, run, setting.touches) if sequence is not None else None
    if sequence is None or step is None:
        return finish(replace(run, status=left.status) if left is not None else run, setting)
    due_at = plan_due(
        step,
        anchor=anchor,
        last_touch_at=run.last_touch_at,
        zone=zone.zone,
        sequence=sequence,
        last_touch_zone=run.last_touch_zone,
    )
    figures = _left(left or run)
    active = replace(
        run,
        status=RunStatus.ACTIVE if run.steps_done else RunStatus.QUEUED,
        reason="",
        reason_detail="",
        due_at=due_at,
        check_at=due_at,
        next_step_id=step.id,
    )
    label = progress(sequence, step, run.steps_done)
    text = f"{sentence} {words.upcoming(label, due_at, zone.zone)}"
    return Effect(run=active, writes=((status_write(active, text, label), Priority.REPORT),), totals=figures)
