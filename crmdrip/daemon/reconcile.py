"""The reconcile worker: what is in doubt is settled by our own id in the provider's log, never by sending (B1, B4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import product

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.decisions import Hold
from crmdrip.core.effects import Effect, Setting
from crmdrip.core.errors import RejectedError, RetriableError
from crmdrip.core.model import DelayUnit, Enrollment, Sequence, Step, Touch, TouchState
from crmdrip.core.reasons import HoldReason, Reason
from crmdrip.core.steps import progress_of
from crmdrip.core.struct import replace
from crmdrip.core.taken import Taken, take
from crmdrip.core.zones import ZoneUsed
from crmdrip.daemon import proof
from crmdrip.daemon.enact import enact, is_newest, without_status
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import definitions, engagements, people, runs, touches
from crmdrip.ledger.touches import TouchMove
from crmdrip.ports import Finding, LogFinding

log = structlog.get_logger()

PER_PASS = 50
"""Touches in doubt looked up in the log per pass: each is a call or two to the provider."""

PROOFS_PER_PASS = 500
"""Runs proven per pass after a rebuild: the calls of the lot take minutes, and everybody waits for them."""

LOG_KEPT = timedelta(days=30)
"""How far back SendGrid's Email Logs reach."""

_UNKNOWN_BODY = "The text is that of the sequence's step; the daemon was interrupted while this email went out."
_UNKNOWN_SUBJECT = "(subject not known)"


class Verdict(StrEnum):
    """What a person found out about a touch of which the daemon could not tell."""

    WENT_OUT = "went_out"
    DID_NOT_GO_OUT = "did_not_go_out"
    """The step may be sent again."""


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
        doubtful = touches.unsettled(connection, now, PER_PASS)
        heard = engagements.first_heard(connection, [touch.id for touch in doubtful])
        known = [one.id for one in definitions.load_sequences(connection).values() if one.good is not None]
        complete = _log_is_complete(connection, parts, now)
        unproven = runs.unproven_runs(connection, known, PROOFS_PER_PASS) if complete else []
    sent = person = proven = 0
    for touch in doubtful:
        if parts.stopping.is_set():
            break
        since = max(touch.at - timedelta(minutes=5), now - LOG_KEPT)
        try:
            # An event may have come before anybody doubted; it needs no look into the log.
            finding = _told(touch, heard) or parts.mailer.find(touch.id, touch.address, since)
        except RetriableError:
            _look_again(parts, touch, now)  # should it be this one that cannot be asked for, the others come first
            raise
        if finding.finding is Finding.SENT:
            sent += _settle_sent(parts, touch, finding)
        elif _overdue(parts, touch, finding, now):
            person += _ask_person(parts, touch)
        else:
            _look_again(parts, touch, now)
    for run in unproven:
        if parts.stopping.is_set():
            break
        proven += _prove(parts, run, now)
    return ReconcileCount(sent=sent, needs_person=person, proven=proven)


def _told(touch: Touch, heard: Mapping[str, datetime]) -> LogFinding | None:
    """What the provider's events say of the touch, None when they say nothing (B1)."""
    at = heard.get(touch.id)
    return None if at is None else LogFinding(touch_id=touch.id, finding=Finding.SENT, at=max(at, touch.at))


def settle_by_person(parts: Parts, touch_id: str, verdict: Verdict) -> Touch:
    """A person decides about a touch that needs one; returns it as it was before.

    After WENT_OUT the run goes on with the next step, after DID_NOT_GO_OUT with the same one, which is then sent
    again. Raises RejectedError when there is no such touch or nobody has to decide about it, and LedgerBrokenError.
    """
    with parts.ledger.write() as connection:
        touch = touches.find_touch(connection, touch_id)
        if touch is None or touch.state is not TouchState.NEEDS_PERSON:
            state = "is not known here" if touch is None else f"is {touch.state.value.replace('_', ' ')}"
            raise RejectedError(
                f"touch {touch_id} {state}: there is nothing to decide about it.",
                do_next="Type crmdrip status to see the touches that wait for a person.",
            )
        run = runs.lock_runs(connection, [touch.enrollment_id])[touch.enrollment_id]
        if verdict is Verdict.WENT_OUT:
            detail = "a person found that it went out"
            touches.move_touches(connection, [TouchMove(id=touch.id, state=TouchState.ACCEPTED, detail=detail)])
            effect = taken_effect(connection, parts, touch, run, touch.at)
        else:
            detail = "a person found that it did not go out"
            touches.move_touches(connection, [TouchMove(id=touch.id, state=TouchState.REFUSED, detail=detail)])
            effect = Effect(run=replace(run, check_at=parts.clock.now()) if run.status.live else run)
        enact(connection, [effect], parts.clock.now())
    log.info("touch_settled", touch=touch.id, finding=verdict.value, by="person")
    return touch


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
    """What effects need to know of a run when there is no record at hand.

    The last good definition counts even if the sequence is gone by now: whether the run goes on is decided by its
    next last look, not here.
    """
    known = definitions.load_sequences(connection).get(run.sequence_id)
    passed = touches.touches_of(connection, [run.id]).get(run.id, {})
    return Setting(org_id=parts_org, now=now, sequence=known.good if known is not None else None, touches=dict(passed))


def _settle(parts: Parts, touch: Touch, act: Callable[[Connection, Enrollment], Effect]) -> bool:
    """Act on a touch that is in doubt. False where an event settled it while the log was asked: it counts once."""
    with parts.ledger.write() as connection:
        known = touches.find_touch(connection, touch.id)
        if known is None or known.state is not TouchState.IN_DOUBT:
            return False
        run = runs.lock_runs(connection, [touch.enrollment_id])[touch.enrollment_id]
        enact(connection, [act(connection, run)], parts.clock.now())
    return True


def _settle_sent(parts: Parts, touch: Touch, finding: LogFinding) -> bool:
    def act(connection: Connection, run: Enrollment) -> Effect:
        move = TouchMove(id=touch.id, state=TouchState.ACCEPTED, provider_id=finding.provider_id)
        touches.move_touches(connection, [move])
        at = finding.sent_at(parts.clock.now(), otherwise=touch.at)
        return taken_effect(connection, parts, touch, run, at)

    settled = _settle(parts, touch, act)
    if settled:
        log.info("touch_settled", touch=touch.id, finding="sent")
    return settled


def taken_effect(connection: Connection, parts: Parts, touch: Touch, run: Enrollment, at: datetime) -> Effect:
    """A touch turns out to have gone out: the run goes on as after any accepted touch."""
    setting = setting_of(connection, parts.org_id, run, parts.clock.now())
    step = _step_of(connection, touch, setting.sequence)
    taken = Taken(
        touch_id=touch.id,
        step=step,
        at=at,
        zone=ZoneUsed(zone=touch.zone or "UTC", source=touch.zone_source or "sequence"),  # type: ignore[arg-type]  # read back from our own column
        address=touch.address,
        sender=touch.sender,
        owner_id=run.owner_id,
        subject=touch.subject or _UNKNOWN_SUBJECT,
        body=_UNKNOWN_BODY,
        message_id=touch.message_id,
        begins_thread=not run.thread or not step.continue_thread,
    )
    # What else may have gone out while the ledger was lost is not known any better by this one touch.
    effect = take(taken, replace(run, unproven=False), setting)
    if effect.run is not None and run.unproven and effect.run.status.live:
        effect = replace(effect, run=replace(effect.run, unproven=True))
    return effect if is_newest(connection, run) else without_status(effect)


def _step_of(connection: Connection, touch: Touch, sequence: Sequence | None) -> Step:
    """The step as it was when the touch was made: definitions are kept by version.

    Where none is kept that has it, the touch itself tells enough.
    """
    made_from = definitions.find_version(connection, touch.version)
    for known in (made_from, sequence):
        for step in known.steps if known is not None else ():
            if step.id == touch.step_id:
                return step
    return Step(
        id=touch.step_id,
        order=touch.order,
        kind=touch.kind,
        delay=0,
        delay_unit=DelayUnit.DAYS,
        subject=touch.subject,
        body="",
        active=False,
    )


def _look_again(parts: Parts, touch: Touch, now: datetime) -> None:
    """Absence proves nothing: look again after as long as it is in doubt already, at most an hour."""
    pause = min(max(now - touch.at, timedelta(minutes=1)), timedelta(hours=1))
    with parts.ledger.write() as connection:
        touches.postpone(connection, touch.id, now + pause)


def _ask_person(parts: Parts, touch: Touch) -> bool:
    def act(connection: Connection, run: Enrollment) -> Effect:
        move = TouchMove(id=touch.id, state=TouchState.NEEDS_PERSON, detail="nobody could tell")
        touches.move_touches(connection, [move])
        return _wait_for_person(connection, parts, touch, run)

    asked = _settle(parts, touch, act)
    if asked:
        log.warning("touch_needs_person", touch=touch.id)
    return asked


def _wait_for_person(connection: Connection, parts: Parts, touch: Touch, run: Enrollment) -> Effect:
    if not run.status.live:
        return Effect(run=run)
    setting = setting_of(connection, parts.org_id, run, parts.clock.now())
    step = progress_of(setting.sequence, touch.step_id, run.steps_done)
    reason = Reason(code=HoldReason.NEEDS_PERSON, detail=step)
    return effects.hold(Hold(reason=reason, check_at=None), run, setting)


# --- after a rebuild (B4) -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Unproven:
    """Runs that wait until it is known what a ledger that was lost had sent."""

    runs: int
    asked_from: datetime | None
    """Until when the provider's log is given the time to show the last email; None when it has had it."""


def count_unproven(parts: Parts) -> Unproven:
    """Who still waits after a rebuild."""
    now = parts.clock.now()
    with parts.ledger.read() as connection:
        known = [one.id for one in definitions.load_sequences(connection).values() if one.good is not None]
        waiting = len(runs.unproven_runs(connection, known, 10_000_000))
        rebuilt_at = proof.rebuilt_at(connection)
        complete = _log_is_complete(connection, parts, now)
    first_look = timedelta(minutes=parts.limits.doubt_first_look_minutes)
    return Unproven(runs=waiting, asked_from=None if complete or rebuilt_at is None else rebuilt_at + first_look)


def _log_is_complete(connection: Connection, parts: Parts, now: datetime) -> bool:
    """Whether the provider's log has had the time to show the last email that went out before the rebuild."""
    rebuilt_at = proof.rebuilt_at(connection)
    first_look = timedelta(minutes=parts.limits.doubt_first_look_minutes)
    return rebuilt_at is None or not timedelta() <= now - rebuilt_at < first_look


def _prove(parts: Parts, run: Enrollment, now: datetime) -> int:
    """Look up every email that may go out by then. Returns 1 when that was possible."""
    with parts.ledger.read() as connection:
        setting = setting_of(connection, parts.org_id, run, now)
        rebuilt_at = proof.rebuilt_at(connection)
        history = touches.touches_in_full(connection, [run.id])
        record = people.known_records(connection, [run.ref.id]).get(run.ref.id)
        questions = proof.ask(run, setting)
        known = proof.known_elsewhere(connection, questions)
    if not questions:
        _change(parts, run.id, lambda _, locked: Effect(run=proof.proven(locked, now)))
        return 1
    question, finding = questions[0], LogFinding(touch_id=questions[0].touch_id, finding=Finding.UNAVAILABLE)
    if known is not None:
        question, finding = known
    elif proof.ids_are_known(run, history, parts.org_id):
        since = min(now, rebuilt_at or now) - LOG_KEPT
        # A ledger that is lost may have gone on at the address that the record has by now (B15).
        addresses = {run.address, record.address if record is not None else ""} - {""}
        for question, address in product(questions, sorted(addresses)):
            finding = parts.mailer.find(question.touch_id, address, since)
            if finding.finding is not Finding.NOT_FOUND:
                break
    cannot_be_out = finding.finding is Finding.UNAVAILABLE and proof.came_before(run, rebuilt_at)

    def act(connection: Connection, locked: Enrollment) -> Effect:
        if not locked.status.live or locked.next_step_id != run.next_step_id:
            return Effect(run=locked)
        if finding.finding is Finding.NOT_FOUND or cannot_be_out:
            return Effect(run=proof.proven(locked, now))
        touch = proof.record_finding(connection, question, locked, finding, now)
        if finding.finding is Finding.SENT:
            return taken_effect(connection, parts, touch, locked, touch.at)
        return _wait_for_person(connection, parts, touch, replace(locked, unproven=False))

    _change(parts, run.id, act)
    if finding.finding is Finding.SENT:
        log.info("touch_settled", touch=question.touch_id, finding="sent")
    return 1
