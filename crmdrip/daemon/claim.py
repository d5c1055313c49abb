"""Whose org it is: of several daemons with a ledger each, the one that claimed it last sends, and no other (B3, P1).

The control record carries the newest heartbeat and, in the same write, the claim of the ledger that left it. A ledger
claims the org at each start, before it is compared with the CRM; every later look reads whose heartbeat stands just
before it leaves its own. Whoever finds a later claim stands down until it is started again. Whoever finds an earlier
one was not seen by a daemon that looked just before: what that one sent then is asked of the provider's log first.
Claims are ordered, by their heartbeat and then by chance, so that two never both stand down, or both go on.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from sqlalchemy import Connection

from crmdrip.core.errors import CrmdripError, ErrorClass, RetriableError
from crmdrip.core.model import Brake
from crmdrip.core.writes import ControlWrite
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.timekeeping import measure_clock, note_clock
from crmdrip.ledger import marks, runs
from crmdrip.ledger.errors import LedgerBrokenError, LedgerBusyError

log = structlog.get_logger()

RUNNING = "Running."
FRESH = timedelta(seconds=30)
"""How young a heartbeat is that no other need follow."""
RIVAL = "another crmdrip works on this org with a ledger of its own. Stop one of the two and start the other again"


class Standing(StrEnum):
    """Whose heartbeat stands in the CRM."""

    OURS = "ours"
    """Or nobody's: the org has no place for one."""
    EARLIER = "earlier"
    """Of a claim that ours came after."""
    LATER = "later"
    """Of a claim that came after ours; or of a copy of this ledger."""


class Found(StrEnum):
    """Whose heartbeat a claim took the place of."""

    OURS = "ours"
    NOBODY = "nobody"
    OTHER = "other"
    """Another ledger's, or one that a copy of this ledger left."""
    NO_PLACE = "no_place"
    """This CRM carries none, so that nothing can be told."""


def read_state(connection: Connection) -> str:
    """What the daemon does, in one sentence for the CRM's control record."""
    by = marks.read_mark(connection, marks.BRAKE)
    if by is not None:
        return f"The emergency brake is pulled{f' by {by}' if by else ''}: no email goes out."
    if marks.read_mark(connection, marks.PAUSED) is not None:
        return "Paused by command: no email goes out until somebody types crmdrip resume."
    return RUNNING


def announce(parts: Parts) -> Found:
    """Claim the org before anything goes out; whose it was.

    From then on an empty ledger is known to be a lost one, and an old copy to be old (B4), so nothing may go out before
    it stands. One call where the control record is there. Raises what CrmSource.look and CrmSink.write raise,
    RetriableError where the CRM cannot take it just now, LedgerBusyError after this process stood down, and
    LedgerBrokenError.
    """
    demand_no_rival(parts)
    with parts.ledger.write() as connection:
        before, known = marks.read_mark(connection, marks.CLAIM), marks.read_heartbeat(connection)
        left = marks.next_heartbeat(connection, parts.clock.now())
        claim = f"{left:%Y-%m-%dT%H:%M:%SZ} {secrets.token_hex(8)}"
        marks.set_mark(connection, marks.CLAIM, claim)
        marks.clear_mark(connection, marks.STATE)
        write = heartbeat_write(connection, parts, left, "Starting.")
    brake = parts.source.look((), frozenset(), None, (), write).brake
    if brake is not None and brake.heartbeat is not None:
        ours = brake.claim in ("", before, claim) and (
            brake.heartbeat == left or (known is not None and brake.heartbeat <= known)
        )
        return Found.OURS if ours else Found.OTHER
    for outcome in parts.sink.write([write]):
        if outcome.error is None:
            return Found.NOBODY
        log.warning("heartbeat_not_written", error_class=outcome.error.value, code=outcome.code)
        if outcome.error not in _FOR_GOOD:
            raise RetriableError(f"the heartbeat could not be written: {outcome.detail or outcome.code}.")
    return Found.NO_PLACE


_FOR_GOOD = frozenset({ErrorClass.CONFIGURATION, ErrorClass.REJECTED})
"""The org has no place for a heartbeat, or does not let us write it."""


def demand_claim(parts: Parts) -> None:
    """The claim still stands now that the ledger is filled, and nobody came in between.

    Raises LedgerBusyError for a later claim, RetriableError where an earlier daemon was still at work: what it sent
    meanwhile may not be in the ledger. Raises what CrmSource.look raises.
    """
    brake = parts.source.look((), frozenset(), None).brake
    with parts.ledger.read() as connection:
        standing = whose(connection, brake, marks.read_heartbeat(connection))
    if standing is Standing.LATER:
        stand_down(parts, brake)
        demand_no_rival(parts)
    if standing is Standing.EARLIER:
        raise RetriableError("another crmdrip was still at work on this org.", do_next="It is claimed once more.")


def demand_no_rival(parts: Parts) -> None:
    """Raises LedgerBusyError once this process has stood down."""
    if parts.stood_down.is_set():
        raise LedgerBusyError(f"{RIVAL}.", where=parts.ledger.where)


def whose(
    connection: Connection, brake: Brake | None, known: datetime | None, left: datetime | None = None
) -> Standing:
    """Whose heartbeat a look found. known: our newest before it. left: what it leaves, and finds when it is repeated.

    Ours are in the ledger before they are in the CRM. Other ledgers are told by their claims, a copy of this one by a
    heartbeat that only the copy knows.
    """
    if brake is None or brake.heartbeat is None:
        return Standing.OURS
    claim = marks.read_mark(connection, marks.CLAIM) or ""
    if brake.claim and brake.claim != claim:
        return Standing.LATER if brake.claim > claim else Standing.EARLIER
    if brake.heartbeat == left or (known is not None and brake.heartbeat <= known):
        return Standing.OURS
    meanwhile = brake.heartbeat in marks.heartbeats_left(connection)  # another pass left it, or another daemon of ours
    return Standing.OURS if meanwhile else Standing.LATER


def stand_down(parts: Parts, brake: Brake | None) -> None:
    """Send nothing more, and leave the control record alone, until the process is started again."""
    parts.stood_down.set()
    beat = brake.heartbeat if brake is not None else None
    log.error("rival_daemon", heartbeat=beat.isoformat() if beat is not None else None)


def beat(parts: Parts) -> None:
    """Leave a heartbeat with the budget and the daemon's state, in one call that also tells whose stood before.

    None is needed right after a last look, which left one. A CRM that cannot take it just now gets the next one. Raises
    LedgerBrokenError.
    """
    if parts.stood_down.is_set():
        return
    now = parts.clock.now()
    with parts.ledger.write() as connection:
        state, known = read_state(connection), marks.read_heartbeat(connection)
        told = marks.read_mark(connection, marks.STATE) == state
        if told and known is not None and timedelta() <= now - known < FRESH:
            return
        heartbeat = marks.next_heartbeat(connection, now)
        write = heartbeat_write(connection, parts, heartbeat, state)
    try:
        look = parts.source.look((), frozenset(), None, (), write)
        brake, after = look.brake, parts.clock.now()
        if brake is not None and brake.heartbeat is None:
            list(parts.sink.write([write]))  # somebody deleted the record: it is made again
    except LedgerBrokenError:
        raise
    except CrmdripError as error:
        log.warning("heartbeat_not_left", error_class=error.error_class.value)
        return
    settle(parts, brake, known, heartbeat, parts.clock.now(), measure_clock(now, look.at, after))
    with parts.ledger.write() as connection:
        marks.set_mark(connection, marks.STATE, state)


def settle(  # noqa: PLR0917 - all of one look
    parts: Parts, brake: Brake | None, known: datetime | None, left: datetime, at: datetime, off: timedelta
) -> Standing:
    """Whose heartbeat a look found that left its own, with what follows.

    at: of the look, by the CRM's clock. off: how far this machine's was from it.
    """
    with parts.ledger.write() as connection:
        note_clock(connection, off)
        standing = whose(connection, brake, known, left)
        if standing is Standing.EARLIER:
            runs.doubt_all(connection)
            marks.set_mark(connection, marks.REBUILT_AT, at.isoformat())
            log.warning("earlier_daemon_at_work")
    if standing is Standing.LATER:
        stand_down(parts, brake)
    return standing


def heartbeat_write(connection: Connection, parts: Parts, heartbeat: datetime, state: str) -> ControlWrite:
    """The control record as this ledger leaves it."""
    budget = parts.source.budget()
    return ControlWrite(
        key="control",
        heartbeat=heartbeat,
        claim=marks.read_mark(connection, marks.CLAIM) or "",
        calls_used=budget.used,
        calls_limit=budget.limit,
        state=state,
    )
