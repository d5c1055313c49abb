"""Several records, one human: merges, conversions, and opt-outs that every record of an address must show."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.decisions import Stop
from crmdrip.core.effects import Setting, tell_suppression
from crmdrip.core.errors import CrmdripError
from crmdrip.core.keys import normalize_address, touch_id
from crmdrip.core.model import Enrollment, Record, RunStatus, Signal, SignalKind, Touch, TouchState
from crmdrip.core.reasons import Reason, SkipReason, StopReason
from crmdrip.core.snapshot import Snapshot
from crmdrip.core.struct import replace
from crmdrip.daemon.enact import enact
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import outbox, runs, touches
from crmdrip.ledger.people import SUPPRESSING
from crmdrip.ports import Capability

log = structlog.get_logger()

_MILD = frozenset(
    {
        Reason(code=code).key
        for code in (
            StopReason.UNTICKED,
            StopReason.MERGED,
            StopReason.SEQUENCE_CHANGED,
            StopReason.SEQUENCE_CLEARED,
            StopReason.SEQUENCE_RETIRED,
        )
    }
)
"""Stops that say nothing about the person's wish, and are not carried over to a twin."""


def _successor(snapshot: Snapshot) -> str | None:
    record = snapshot.record
    if record is None:
        return None
    if record.merged_into is not None:
        return record.merged_into
    return record.converted_to.id if record.converted_to is not None else None


def _was_stopped(found: Iterable[Enrollment], sequence_id: str) -> bool:
    return any(
        run.status is RunStatus.STOPPED and run.reason not in _MILD and run.sequence_id == sequence_id for run in found
    )


def _was_taken_out(found: Iterable[Enrollment], sequence_id: str) -> bool:
    """Whether somebody took the record out of the sequence and left it out. Its box is not ticked again (P2)."""
    own = [run for run in found if run.sequence_id == sequence_id]
    newest = max(own, key=lambda run: (run.entered_at, run.id), default=None)
    return newest is not None and newest.status is RunStatus.STOPPED and newest.reason in _TAKEN_OUT


_TAKEN_OUT = frozenset(Reason(code=code).key for code in (StopReason.UNTICKED, StopReason.SEQUENCE_CLEARED))


def look_ahead(connection: Connection, snapshot: Snapshot) -> Snapshot:
    """The snapshot with what is known of the record that took this one's place."""
    successor, run = _successor(snapshot), snapshot.enrollment
    if successor is None or run is None:
        return snapshot
    others = runs.runs_of_record(connection, successor)
    return replace(
        snapshot,
        moved_to_live_run=any(other.status.live for other in others),
        winner_stopped=_was_stopped(others, run.sequence_id) or _was_taken_out(others, run.sequence_id),
    )


def join_histories(connection: Connection, snapshot: Snapshot, org_id: str, now: datetime) -> None:
    """After a merge or conversion: steps sent to either record count, and a stop on either wins (B12)."""
    record, successor = snapshot.record, _successor(snapshot)
    if record is None or successor is None:
        return
    winner = next((run for run in runs.runs_of_record(connection, successor) if run.status.live), None)
    if winner is None:
        return
    lost = [run for run in runs.runs_of_record(connection, record.ref.id) if run.sequence_id == winner.sequence_id]
    if _was_stopped(lost, winner.sequence_id):
        locked = runs.lock_runs(connection, [winner.id])[winner.id]
        reason = Reason(code=StopReason.OTHER_STOP, detail=" before the merge")
        setting = Setting(org_id=org_id, now=now, sequence=snapshot.sequence)
        enact(connection, [effects.stop(Stop(reason=reason, untick=True), locked, setting)], now)
        return
    known = touches.touches_of(connection, [winner.id]).get(winner.id, {})
    sent = [t for t in touches.touches_in_full(connection, [run.id for run in lost]) if t.state is TouchState.ACCEPTED]
    touches.add_touches(connection, [_counted(touch, winner, org_id) for touch in sent if touch.step_id not in known])


def _counted(touch: Touch, winner: Enrollment, org_id: str) -> Touch:
    """A step sent to the twin, as passed in the winner's own run."""
    return replace(
        touch,
        id=touch_id(org_id, winner.person, winner.sequence_id, winner.run, touch.step_id),
        enrollment_id=winner.id,
        state=TouchState.SKIPPED,
        detail=Reason(code=SkipReason.ALREADY_SENT).key,
    )


def twins_of(parts: Parts, entering: Iterable[Record]) -> list[Record]:
    """Every other record of the entering people's addresses, in sequences or not (B13).

    One call per thousand addresses, none where no two records have the same. Raises what CrmSource.records_of raises.
    """
    if Capability.ONE_PER_ADDRESS in parts.source.capabilities():
        return []
    own = {record.ref.id for record in entering}
    addresses = {address for record in entering if (address := normalize_address(record.email))}
    found = parts.source.records_of(addresses) if addresses else ()
    return [record for record in found if record.ref.id not in own and not record.deleted]


def objections_of(twins: Iterable[Record]) -> dict[str, str]:
    """What these records say against mailing their addresses, by address (B13)."""
    found: dict[str, str] = {}
    for record in twins:
        where = f"on {record.ref.kind.value} {record.ref.id}"
        if record.opted_out:
            found[normalize_address(record.email)] = f"{SUPPRESSING[SignalKind.OPT_OUT]} {where}"
        elif record.bounced:
            found.setdefault(normalize_address(record.email), f"{SUPPRESSING[SignalKind.BOUNCE]} {where}")
    return found


def tell(parts: Parts, suppressing: Iterable[Signal]) -> None:
    """Write a suppression on every record of the address, also on those that never were in a sequence (B13).

    One further call for up to 200 addresses; when it cannot be made now the suppression holds all the same, and
    the records known here were told already.
    """
    by_address = {signal.address: signal for signal in suppressing if signal.address}
    if not by_address:
        return
    try:
        found = parts.source.records_of(by_address)
    except CrmdripError as error:
        log.warning("twins_not_read", error_class=error.error_class.value)
        return
    now = parts.clock.now()
    with parts.ledger.write() as connection:
        for record in found:
            signal = by_address.get(normalize_address(record.email))
            if signal is not None and not record.opted_out and not record.deleted and record.converted_to is None:
                writes = tell_suppression(signal.kind, (record.ref,), signal.detail, signal.at)
                outbox.owe(connection, writes, now)
