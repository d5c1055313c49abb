"""A step that was taken: what it changes, and what of it goes on the timeline. Pure."""

from __future__ import annotations

from datetime import datetime

from crmdrip.core import words
from crmdrip.core.effects import GONE, Effect, Setting, advance
from crmdrip.core.model import Enrollment, RunStatus, Step, StepKind, TouchState
from crmdrip.core.reasons import Reason, StopReason, parse_reason
from crmdrip.core.status import finished_sentence, shown_step, status_write
from crmdrip.core.steps import Passed, progress
from crmdrip.core.struct import Struct, replace
from crmdrip.core.writes import ApprovalWrite, Priority, TaskWrite, Write, approval_key
from crmdrip.core.zones import ZoneUsed

THREAD_KEPT = 10
"""Message-IDs kept per thread: the root and the nine newest, as much as a References header needs."""

_REPLIED = Reason(code=StopReason.REPLIED).key


class Taken(Struct, frozen=True, kw_only=True):
    """A step that was taken: an email the provider accepted, or a task put on the rep's list."""

    touch_id: str
    step: Step
    at: datetime
    zone: ZoneUsed
    address: str = ""
    """Where the email went; "" for a task."""
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
    # To an address that the person has no more since: the thread does not go on at the new one (B15).
    threads = email and taken.address in ("", run.address)
    begins = threads and taken.begins_thread
    thread = _thread(() if begins else run.thread, taken.message_id) if threads else run.thread
    after = replace(
        run,
        position=step.order,
        steps_done=run.steps_done + 1,
        last_touch_at=taken.at,
        last_touch_zone=taken.zone.zone,
        sender=taken.sender if threads else run.sender,
        owner_id=taken.owner_id if email and (begins or run.owner_id is None) else run.owner_id,
        thread=thread,
        thread_subject=taken.subject if begins else run.thread_subject,
        unproven=False,
    )
    label = progress(sequence, step, run.steps_done) if sequence is not None else str(after.steps_done)
    told: tuple[tuple[Write, Priority], ...] = ((_timeline(taken, run, setting, label), Priority.REPORT),)
    if step.needs_approval and run.reason not in GONE:
        told = (*told, (ApprovalWrite(key=approval_key(run.ref.id), ref=run.ref), Priority.REPORT))
    sent = ("sent", 1)
    if not run.status.live:
        # A reply's status, with its time, may be owed yet; a stop that was read back stands on the record as it is.
        adopted = not run.reason and run.status is RunStatus.STOPPED
        if run.reason in GONE or run.reason == _REPLIED or adopted:
            return Effect(run=after, writes=told, totals=(sent,))
        ended = parse_reason(run.reason, run.reason_detail).sentence if run.reason else finished_sentence(after)
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
