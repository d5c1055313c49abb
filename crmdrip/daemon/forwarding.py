"""Answers that came to us are sent on to the rep: each at most once, whatever breaks (B1).

The row is "intended" before the request leaves. What may have gone out is never sent again: the answer stands on the
timeline, which was owed before.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

import structlog

from crmdrip.core.errors import ErrorClass
from crmdrip.core.keys import share
from crmdrip.core.retry import Verdict, decide_retry
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import forwards
from crmdrip.ledger.forwards import Claimed
from crmdrip.ports import SendOutcome, SendStatus

log = structlog.get_logger()

TOGETHER = 50

GIVE_UP = 12
"""Refusals after which it is given up; the timeline has it."""

KEPT = timedelta(days=30)
"""How long it is known what became of one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardCount:
    """What one pass did."""

    forwarded: int = 0
    put_off: int = 0
    lost: int = 0
    """In doubt, or given up."""


def recover_forwards(parts: Parts) -> int:
    """At a start, before anything is sent: what was intended is in doubt. Returns how many there were."""
    with parts.ledger.write() as connection:
        doubtful = forwards.recover(connection)
        forwards.forget(connection, parts.clock.now() - KEPT)
    if doubtful:
        log.warning("forwards_in_doubt_after_restart", forwards=doubtful)
    return doubtful


def forward_once(parts: Parts) -> ForwardCount:
    """Send on what waits. Only one at a time may call this. Raises LedgerBrokenError.

    What an earlier call intended and never concluded is in doubt.
    """
    total = ForwardCount()
    while not parts.stopping.is_set():
        now = parts.clock.now()
        with parts.ledger.read() as connection:
            if not forwards.any_to_do(connection, now):
                break
        with parts.ledger.write() as connection:
            forwards.recover(connection)
            claimed = forwards.claim(connection, now, TOGETHER)
        if not claimed:
            break
        count = _send(parts, {one.message.touch_id: one for one in claimed})
        total = ForwardCount(
            forwarded=total.forwarded + count.forwarded,
            put_off=total.put_off + count.put_off,
            lost=total.lost + count.lost,
        )
        if not count.forwarded:
            break
    return total


def _send(parts: Parts, claimed: dict[str, Claimed]) -> ForwardCount:
    forwarded = put_off = lost = 0
    # Closed when an outcome cannot be stored: what was not begun by then is not sent (B30).
    with closing(parts.mailer.send([one.message for one in claimed.values()])) as outcomes:
        for outcome in outcomes:
            state = _conclude(parts, claimed[outcome.touch_id], outcome)
            forwarded += state == forwards.ACCEPTED
            put_off += state == forwards.WAITING
            lost += state in (forwards.IN_DOUBT, forwards.FAILED)
    return ForwardCount(forwarded=forwarded, put_off=put_off, lost=lost)


def _conclude(parts: Parts, one: Claimed, outcome: SendOutcome) -> str:
    """Commit what became of it; returns its state."""
    now, forward_id = parts.clock.now(), outcome.touch_id
    with parts.ledger.write() as connection:
        if outcome.status is SendStatus.ACCEPTED:
            forwards.accept(connection, forward_id)
            log.info("answer_forwarded", forward=forward_id)
            return forwards.ACCEPTED
        if outcome.status is SendStatus.UNKNOWN:
            forwards.doubt(connection, forward_id, outcome.detail)
            log.warning("forward_in_doubt", forward=forward_id, detail=outcome.detail)
            return forwards.IN_DOUBT
        error, attempt = outcome.error or ErrorClass.RETRIABLE, one.attempt + 1
        jitter = share(forward_id, str(attempt))
        retry = decide_retry(error, attempt, now, jitter=jitter, retry_after=outcome.retry_after)
        if retry.verdict is Verdict.AGAIN and retry.not_before is not None and attempt < GIVE_UP:
            forwards.put_off(connection, forward_id, retry.not_before, outcome.detail)
            return forwards.WAITING
        forwards.fail(connection, forward_id, outcome.detail)
    log.error("forward_given_up", forward=forward_id, detail=outcome.detail)
    return forwards.FAILED
