"""What became of the emails that were handed over, committed with all it causes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import structlog

from crmdrip.core import effects
from crmdrip.core.caps import Counter
from crmdrip.core.decisions import Hold, Stop
from crmdrip.core.effects import Effect, Setting
from crmdrip.core.errors import ErrorClass
from crmdrip.core.holds import RECHECK
from crmdrip.core.keys import share
from crmdrip.core.model import Enrollment, TouchState
from crmdrip.core.reasons import HoldReason, Reason, StopReason
from crmdrip.core.retry import Verdict, decide_retry
from crmdrip.core.taken import Taken, take
from crmdrip.daemon.enact import enact, is_newest, without_status
from crmdrip.daemon.intents import setting_of
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.queue import Ready, claim_of
from crmdrip.ledger import runs, tallies, touches
from crmdrip.ledger.conflicts import store_each
from crmdrip.ledger.touches import TouchMove
from crmdrip.ports import SendOutcome, SendStatus

log = structlog.get_logger()

ADDRESS = "address:"
"""How a mailer's detail begins when the recipient's address itself was refused."""


def conclude(parts: Parts, ready: Mapping[str, Ready], outcomes: list[SendOutcome], now: datetime) -> None:
    """Commit what became of these touches, with what they cause. Raises LedgerBrokenError."""
    bound = log.bind()  # once: the lazy one makes a new logger for each event, also for those not wanted
    with parts.ledger.write() as connection:
        known = {(run := ready[one.touch_id].run).id: run for one in outcomes}
        locked = runs.lock_runs(connection, known, known)
        moves: list[tuple[TouchMove, Effect]] = []
        used: dict[Counter, int] = {}
        for outcome in outcomes:
            one = ready[outcome.touch_id]
            run = locked[one.run.id]
            move, effect = _outcome(parts, outcome, one, run, setting_of(parts, one.snapshot, now))
            if outcome.status is SendStatus.ACCEPTED:
                bound.debug("touch_accepted", touch=outcome.touch_id, run=run.id)
            if outcome.status is SendStatus.REFUSED:
                _make_room(used, one)
            newest = run.status.live or is_newest(connection, run)
            moves.append((move, effect if newest else without_status(effect)))
        refused = store_each(
            connection, moves, lambda within, some: touches.move_touches(within, [one for one, _ in some])
        )
        for (move, _), problem in refused:
            log.error("outcome_not_stored", touch=move.id, state=move.state.value, problem=problem)
        left_out = {move.id for (move, _), _ in refused}
        enact(connection, [effect for move, effect in moves if move.id not in left_out], now)
        tallies.add(connection, used)


def withdraw(parts: Parts, unsent: Iterable[Ready], why: str) -> None:
    """Take back emails that were not begun; their runs stay as whoever changed them meanwhile left them.

    Raises LedgerBrokenError.
    """
    unsent, used = list(unsent), dict[Counter, int]()
    for one in unsent:
        _make_room(used, one)
        log.info("touch_withdrawn", touch=one.touch.id, run=one.run.id)
    moves = [TouchMove(id=one.touch.id, state=TouchState.REFUSED, detail=f"not attempted: {why}") for one in unsent]
    with parts.ledger.write() as connection:
        touches.move_touches(connection, moves)
        tallies.add(connection, used)


def _make_room(used: dict[Counter, int], one: Ready) -> None:
    """What did not go out counts to no cap."""
    for counter, _ in claim_of(one, 0, 0, one.touch.at).caps:
        used[counter] = used.get(counter, 0) - 1


def _outcome(
    parts: Parts, outcome: SendOutcome, one: Ready, run: Enrollment, setting: Setting
) -> tuple[TouchMove, Effect]:
    if outcome.status is SendStatus.ACCEPTED:
        move = TouchMove(id=outcome.touch_id, state=TouchState.ACCEPTED, provider_id=outcome.provider_id)
        return move, take(_taken(one, one.touch.message_id, setting.now), run, setting)
    if outcome.status is SendStatus.UNKNOWN:
        log.warning("touch_in_doubt", touch=outcome.touch_id, run=run.id, detail=outcome.detail)
        first = setting.now + timedelta(minutes=parts.limits.doubt_first_look_minutes)
        move = TouchMove(id=outcome.touch_id, state=TouchState.IN_DOUBT, detail=outcome.detail, not_before=first)
        reason = Reason(code=HoldReason.IN_DOUBT, detail=one.send.progress)
        return move, _hold_if_live(reason, None, run, setting)
    log.warning("touch_refused", touch=outcome.touch_id, run=run.id, detail=outcome.detail)
    move = TouchMove(id=outcome.touch_id, state=TouchState.REFUSED, detail=outcome.detail)
    return move, _refused(outcome, one, run, setting)


def _hold_if_live(reason: Reason, check_at: datetime | None, run: Enrollment, setting: Setting) -> Effect:
    if not run.status.live:
        return Effect(run=run)
    return effects.hold(Hold(reason=reason, check_at=check_at), run, setting)


def _refused(outcome: SendOutcome, one: Ready, run: Enrollment, setting: Setting) -> Effect:
    """The provider did not take it: try later, or stop where the address itself was refused."""
    if not run.status.live:
        return Effect(run=run)
    error = outcome.error or ErrorClass.RETRIABLE
    if error is ErrorClass.REJECTED and outcome.detail.startswith(ADDRESS):
        detail = f" ({outcome.detail})" if outcome.detail else ""
        stop = Stop(reason=Reason(code=StopReason.ADDRESS_REFUSED, detail=detail), untick=True)
        return effects.stop(stop, run, setting)
    before = one.snapshot.touches.get(one.touch.step_id)
    attempt = before.attempt + 1 if before is not None else 1
    retry = decide_retry(
        error, attempt, setting.now, jitter=share(one.touch.id, str(attempt)), retry_after=outcome.retry_after
    )
    # Refused for what it says rather than for where it goes: the step has to be mended, and then it is tried anew.
    again = retry.not_before if retry.verdict is Verdict.AGAIN else setting.now + RECHECK
    return _hold_if_live(Reason(code=HoldReason.PROVIDER, detail=outcome.detail), again, run, setting)


def _taken(one: Ready, message_id: str, at: datetime) -> Taken:
    owner = one.snapshot.owner
    return Taken(
        touch_id=one.touch.id,
        step=one.send.step,
        at=at,
        zone=one.send.zone,
        address=one.touch.address,
        sender=one.touch.sender,
        owner_id=owner.id if owner is not None else None,
        subject=one.message.subject,
        body=one.message.text,
        message_id=message_id,
        begins_thread="In-Reply-To" not in one.message.headers,
    )
