"""After a rebuild: which email a lost ledger may have sent without the CRM knowing, and what its log entry means (B4).

The question is asked about every email of a run that is not known to be out. Tasks before it leave no trace in the log;
they are keyed in the CRM and may be put there again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from crmdrip.core.effects import Setting
from crmdrip.core.keys import touch_id
from crmdrip.core.model import Enrollment, Step, StepKind, Touch, TouchState
from crmdrip.core.steps import PASSED, Passed, next_step
from crmdrip.core.struct import replace
from crmdrip.ledger import marks, touches
from crmdrip.ledger.touches import TouchMove
from crmdrip.ports import Finding, LogFinding

EARLY = timedelta(minutes=5)
"""How much before its time, by the CRM's clock, an email may have gone out: a machine's clock may be two minutes ahead
(timekeeping.CLOCK_SLACK), and CRMs tell theirs in seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Whether one email went out."""

    touch_id: str
    email: Step
    before: tuple[Step, ...]
    """Tasks that come before it, and were done if it went out."""
    org_id: str
    version: str


def ask(run: Enrollment, setting: Setting) -> tuple[Question, ...]:
    """One question for each email that is not known to have gone out, the one that comes next first.

    All of them: steps may have been moved since one went out (B17). Of a slot that is passed no other variant goes out.
    Raises ValueError where the sequence is not known: nothing can be asked then.
    """
    sequence = setting.sequence
    if sequence is None:
        raise ValueError("a run is proven by the steps of its sequence")
    touches, after = setting.touches, next_step(sequence, run, setting.touches)
    first = after.order if after is not None else math.inf
    open_steps = [step for slot in sequence.slots if not any(_passed(one, touches) for one in slot) for step in slot]
    emails = sorted(
        (step for step in open_steps if step.kind is StepKind.EMAIL), key=lambda step: (step.order < first, step.order)
    )
    return tuple(
        Question(
            touch_id=touch_id(setting.org_id, run.person, run.sequence_id, run.run, email.id),
            email=email,
            before=tuple(
                step
                for step in open_steps
                if step.kind is StepKind.TASK and step.active and first <= step.order < email.order
            ),
            org_id=setting.org_id,
            version=sequence.version,
        )
        for email in emails
    )


def _passed(step: Step, touches: Mapping[str, Passed]) -> bool:
    return step.id in touches and touches[step.id].state in PASSED


def ids_are_known(run: Enrollment, touches: Iterable[Touch], org_id: str) -> bool:
    """Whether the ids of the run's emails can be told.

    They derive from the address that the run began with. Where that was changed since, the touches on the timeline have
    other ids than those of the present address, and no log can be asked for the id of the next one (B15).
    """
    return all(touch.id == touch_id(org_id, run.person, run.sequence_id, run.run, touch.step_id) for touch in touches)


def rebuilt_at(connection: Connection) -> datetime | None:
    """When the last rebuild began, None when there was none."""
    text = marks.read_mark(connection, marks.REBUILT_AT)
    return datetime.fromisoformat(text) if text is not None else None


def came_before(run: Enrollment, rebuild: datetime | None) -> bool:
    """Whether the rebuild came before the email was due, so that no earlier ledger can have sent it.

    Holds only where the CRM knows the touch before it: without one the due time is counted from the rebuild.
    """
    if rebuild is None or run.last_touch_at is None or run.due_at is None:
        return False
    return run.due_at > rebuild + EARLY


def proven(run: Enrollment, now: datetime) -> Enrollment:
    """The run may go on."""
    if not run.status.live:
        return run
    return replace(run, unproven=False, check_at=run.due_at or now)


def known_elsewhere(connection: Connection, questions: Iterable[Question]) -> tuple[Question, LogFinding] | None:
    """An email of this run that a timeline told of beside another run's: two records became one since (B12)."""
    for question in questions:
        touch = touches.find_touch(connection, question.touch_id)
        if touch is not None and touch.state is TouchState.ACCEPTED:
            sent = LogFinding(touch_id=touch.id, finding=Finding.SENT, provider_id=touch.provider_id, at=touch.at)
            return question, sent
    return None


def record_finding(
    connection: Connection, question: Question, run: Enrollment, finding: LogFinding, now: datetime
) -> Touch:
    """Store the email as accepted where the log has it, else as one that a person decides about; returns it."""
    stored = touches.find_touch(connection, question.touch_id)
    if stored is not None and stored.state is TouchState.ACCEPTED:
        touches.hand_over(connection, stored.id, run.id)
        return replace(stored, enrollment_id=run.id)
    sent = finding.finding is Finding.SENT
    at = finding.sent_at(now, otherwise=now)
    touch = Touch(
        id=question.touch_id,
        enrollment_id=run.id,
        step_id=question.email.id,
        order=question.email.order,
        kind=StepKind.EMAIL,
        state=TouchState.INTENDED,
        attempt=1,
        at=at,
        address=run.address,
        version=question.version,
    )
    detail = "found in the provider's log" if sent else "the ledger was lost and no log can be asked about it"
    touches.intend(connection, [touch])
    if sent:
        done = TouchState.ACCEPTED
        touches.move_touches(
            connection, [TouchMove(id=touch.id, state=done, provider_id=finding.provider_id, detail=detail)]
        )
        touches.add_touches(connection, [_done(step, question, run, at) for step in question.before])
    else:
        done = TouchState.NEEDS_PERSON
        touches.move_touches(connection, [TouchMove(id=touch.id, state=TouchState.IN_DOUBT)])
        touches.move_touches(connection, [TouchMove(id=touch.id, state=done, detail=detail)])
    return replace(touch, state=done, provider_id=finding.provider_id, detail=detail)


def _done(step: Step, question: Question, run: Enrollment, at: datetime) -> Touch:
    return Touch(
        id=touch_id(question.org_id, run.person, run.sequence_id, run.run, step.id),
        enrollment_id=run.id,
        step_id=step.id,
        order=step.order,
        kind=StepKind.TASK,
        state=TouchState.ACCEPTED,
        attempt=1,
        at=at,
        version=question.version,
        detail="an email after it was found in the provider's log",
    )
