"""The reconcile worker: what is in doubt is settled by our own id in the provider's log, never by sending (B1, B4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.effects import Effect, Setting, Taken
from crmdrip.core.keys import touch_id
from crmdrip.core.model import Enrollment, Sequence, Step, StepKind, Touch, TouchState
from crmdrip.core.plan import Hold
from crmdrip.core.reasons import HoldReason, Reason
from crmdrip.core.zones import ZoneUsed
from crmdrip.daemon.enact import enact
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import definitions, runs
from crmdrip.ledger.runs import TouchMove
from crmdrip.ports import Finding, LogFinding

log = structlog.get_logger()

PER_PASS = 50
"""Log look-ups per pass: each is a call or two to the provider."""

LOG_KEPT = timedelta(days=30)
"""How far back SendGrid's Email Logs reach."""

_UNKNOWN_BODY = "The text is that of the sequence's step; the daemon was interrupted while this email went out."


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileCount:
    """What one pass settled."""

    sent: int = 0
    needs_person: int = 0
    proven: int = 0


def reconcile_once(parts: Parts) -> ReconcileCount:
    """Look up what is in doubt and due for it. Raises what Mailer.find raises; what was settled stays settled."""
    now = parts.clock.now()
    with parts.ledger.read() as connection:
        doubtful = runs.unsettled(connection, now, PER_PASS)
        unproven = runs.unproven_runs(connection, PER_PASS)
    sent = person = proven = 0
    for touch in doubtful:
        since = max(touch.at - timedelta(minutes=5), now - LOG_KEPT)
        finding = parts.mailer.find(touch.id, touch.address, since)
        if finding.finding is Finding.SENT:
            _settle_sent(parts, touch, finding)
            sent += 1
        elif _overdue(parts, touch, finding, now):
            _ask_person(parts, touch)
            person += 1
        else:
            _look_again(parts, touch, now)
    for run in unproven:
        proven += _prove(parts, run, now)
    return ReconcileCount(sent=sent, needs_person=person, proven=proven)


def _overdue(parts: Parts, touch: Touch, finding: LogFinding, now: datetime) -> bool:
    """Whether looking further is of no use: the deadline passed, or there is no log to look in."""
    if finding.finding is Finding.UNAVAILABLE:
        return True
    return now - touch.at > timedelta(hours=parts.limits.doubt_deadline_hours)


def _change(parts: Parts, run_id: int, act: Callable[[Connection, Enrollment], Effect]) -> None:
    """Lock the run, act, store."""
    with parts.ledger.write() as connection:
        run = runs.lock_runs(connection, [run_id])[run_id]
        enact(connection, [act(connection, run)], parts.clock.now())


def setting_of(connection: Connection, parts_org: str, run: Enrollment, now: datetime) -> Setting:
    """What effects need to know of a run when there is no record at hand."""
    known = definitions.load_sequences(connection).get(run.sequence_id)
    touches = runs.touches_of(connection, [run.id]).get(run.id, {})
    good = known.good if known is not None and not known.removed else None
    return Setting(org_id=parts_org, now=now, sequence=good, touches=dict(touches))


def _settle_sent(parts: Parts, touch: Touch, finding: LogFinding) -> None:
    def act(connection: Connection, run: Enrollment) -> Effect:
        move = TouchMove(id=touch.id, state=TouchState.ACCEPTED, provider_id=finding.provider_id)
        runs.move_touches(connection, [move])
        return taken_effect(connection, parts, touch, run, finding.at or touch.at)

    _change(parts, touch.enrollment_id, act)
    log.info("touch_settled", touch=touch.id, finding="sent")


def taken_effect(connection: Connection, parts: Parts, touch: Touch, run: Enrollment, at: datetime) -> Effect:
    """A touch turns out to have gone out: the run goes on as after any accepted touch."""
    setting = setting_of(connection, parts.org_id, run, parts.clock.now())
    step = _step_of(connection, touch, setting.sequence)
    taken = Taken(
        touch_id=touch.id,
        step=step,
        at=at,
        zone=ZoneUsed(zone=touch.zone or "UTC", source=touch.zone_source or "sequence"),  # type: ignore[arg-type]
        sender=touch.sender,
        owner_id=run.owner_id,
        subject=touch.subject,
        body=_UNKNOWN_BODY,
        message_id=touch.message_id,
        begins_thread=not run.thread or not step.continue_thread,
    )
    return effects.take(taken, run, setting)


def _step_of(connection: Connection, touch: Touch, sequence: Sequence | None) -> Step:
    """The step as it was when the touch was made: definitions are kept by version."""
    made_from = definitions.find_version(connection, touch.version) or sequence
    for step in made_from.steps if made_from is not None else ():
        if step.id == touch.step_id:
            return step
    raise LookupError(f"no definition with step {touch.step_id} is kept")


def _look_again(parts: Parts, touch: Touch, now: datetime) -> None:
    """Absence proves nothing: look again after as long as it is in doubt already, at most an hour."""
    pause = min(max(now - touch.at, timedelta(minutes=1)), timedelta(hours=1))
    with parts.ledger.write() as connection:
        runs.postpone(connection, touch.id, now + pause)


def _ask_person(parts: Parts, touch: Touch) -> None:
    def act(connection: Connection, run: Enrollment) -> Effect:
        move = TouchMove(id=touch.id, state=TouchState.NEEDS_PERSON, detail="nobody could tell")
        runs.move_touches(connection, [move])
        if not run.status.live:
            return Effect(run=run)
        reason = Reason(code=HoldReason.NEEDS_PERSON, detail=f"{touch.order:g}")
        setting = setting_of(connection, parts.org_id, run, parts.clock.now())
        return effects.hold(Hold(reason=reason, check_at=None), run, setting)

    _change(parts, touch.enrollment_id, act)
    log.warning("touch_needs_person", touch=touch.id)


def _prove(parts: Parts, run: Enrollment, now: datetime) -> int:
    """After a rebuild: look up the next touch before it may go out (B4). Returns 1 when the run is proven."""
    if run.next_step_id is None:
        return 0
    identity = touch_id(parts.org_id, run.person, run.sequence_id, run.run, run.next_step_id)
    finding = parts.mailer.find(identity, run.address, now - LOG_KEPT)

    def act(connection: Connection, locked: Enrollment) -> Effect:
        if finding.finding is Finding.NOT_FOUND:
            return Effect(run=replace(locked, unproven=False, check_at=locked.due_at))
        sequence = setting_of(connection, parts.org_id, locked, now).sequence
        touch = _found_touch(sequence, locked, identity, finding, now)
        runs.add_touches(connection, [touch])
        if finding.finding is Finding.SENT:
            return taken_effect(connection, parts, touch, locked, touch.at)
        reason = Reason(code=HoldReason.NEEDS_PERSON, detail=f"{touch.order:g}")
        setting = setting_of(connection, parts.org_id, locked, now)
        return effects.hold(Hold(reason=reason, check_at=None), replace(locked, unproven=False), setting)

    _change(parts, run.id, act)
    return 1


def _found_touch(
    sequence: Sequence | None, run: Enrollment, identity: str, finding: LogFinding, now: datetime
) -> Touch:
    """The touch that a lost ledger may have sent: accepted when the log has it, else for a person to decide."""
    step = next((s for s in sequence.steps if s.id == run.next_step_id), None) if sequence is not None else None
    sent = finding.finding is Finding.SENT
    return Touch(
        id=identity,
        enrollment_id=run.id,
        step_id=run.next_step_id or "",
        order=step.order if step is not None else 0.0,
        kind=step.kind if step is not None else StepKind.EMAIL,
        state=TouchState.ACCEPTED if sent else TouchState.NEEDS_PERSON,
        attempt=1,
        at=finding.at or now,
        address=run.address,
        version=sequence.version if sequence is not None else "",
        provider_id=finding.provider_id,
        detail="found in the provider's log" if sent else "the ledger was lost and the provider has no log to ask",
    )
