"""Answers that came to us are sent on to the rep: each at most once, whatever breaks (B1).

The row is "intended" before the request leaves. What may have gone out is never sent again: the answer stands on the
timeline, which was owed before.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core.errors import CrmdripError, ErrorClass, RateLimitedError
from crmdrip.core.forward import address_forward
from crmdrip.core.keys import normalize_address, share
from crmdrip.core.model import Owner
from crmdrip.core.retry import LONGEST_DELAY, Verdict, decide_retry
from crmdrip.core.sender import is_address
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import forwards
from crmdrip.ledger.errors import LedgerBrokenError
from crmdrip.ledger.forwards import Claimed, Unaddressed
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
        _address(parts)
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


def _address(parts: Parts) -> None:
    """Ask the CRM for the reps whose address nobody here knows: again and again, for as long as it cannot be asked."""
    with parts.ledger.read() as connection:
        waiting = forwards.read_unaddressed(connection, parts.clock.now(), TOGETHER)
    if not waiting:
        return
    try:
        owners = parts.source.owners({one.owner_id for one in waiting})
    except LedgerBrokenError:
        raise
    except CrmdripError as error:
        log.warning("owners_not_read", error_class=error.error_class.value)
        with parts.ledger.write() as connection:
            for one in waiting:
                _wait_for_owner(parts, connection, one, error)
        return
    with parts.ledger.write() as connection:
        for one in waiting:
            _address_one(connection, one, owners)


def _address_one(connection: Connection, one: Unaddressed, owners: Mapping[str, Owner]) -> None:
    owner = owners.get(one.owner_id)
    rep = normalize_address(owner.email) if owner is not None and owner.active and owner.email else ""
    if is_address(rep):
        forwards.address(connection, address_forward(one.message, rep))
        return
    detail = f"the CRM knows no active user with an address as {one.owner_id}"
    forwards.fail(connection, one.message.touch_id, detail, was=forwards.WAITING)
    log.error("forward_given_up", forward=one.message.touch_id, detail=detail)


def _wait_for_owner(parts: Parts, connection: Connection, one: Unaddressed, error: CrmdripError) -> None:
    now, forward_id, attempt = parts.clock.now(), one.message.touch_id, one.attempt + 1
    retry = decide_retry(
        error.error_class,
        attempt,
        now,
        jitter=share(forward_id, str(attempt)),
        retry_after=error.retry_after if isinstance(error, RateLimitedError) else None,
    )
    forwards.put_off(connection, forward_id, retry.not_before or now + LONGEST_DELAY, error.what, was=forwards.WAITING)


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
