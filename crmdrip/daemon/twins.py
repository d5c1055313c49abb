"""Several records, one human: merges, conversions, and opt-outs that every record of an address must show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.decisions import Stop
from crmdrip.core.effects import Effect, Setting, tell_suppression
from crmdrip.core.errors import CrmdripError
from crmdrip.core.keys import normalize_address, touch_id
from crmdrip.core.model import Enrollment, Record, RunStatus, Signal, SignalKind, Touch, TouchState
from crmdrip.core.reasons import Reason, SkipReason, StopReason, parse_reason
from crmdrip.core.snapshot import Snapshot
from crmdrip.core.struct import replace
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import outbox, runs, touches
from crmdrip.ledger.people import SUPPRESSING
from crmdrip.ports import Capability

log = structlog.get_logger()

NONE_MOVED: Mapping[str, Enrollment] = MappingProxyType({})

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


def successor_of(record: Record | None) -> str | None:
    """The id of the record that took this one's place, None while it has its own."""
    if record is None:
        return None
    if record.merged_into is not None:
        return record.merged_into
    return record.converted_to.id if record.converted_to is not None else None


def _was_stopped(found: Iterable[Enrollment], sequence_id: str) -> bool:
    return any(run.sequence_id == sequence_id and _is_stopped(run) for run in found)


def _is_stopped(run: Enrollment) -> bool:
    """Whether the run ended by what the person did or wished, which counts for every record of theirs."""
    return run.status is RunStatus.STOPPED and run.reason not in _MILD


def _was_taken_out(found: Iterable[Enrollment], sequence_id: str) -> bool:
    """Whether somebody took the record out of the sequence and left it out. Its box is not ticked again (P2)."""
    own = [run for run in found if run.sequence_id == sequence_id]
    newest = max(own, key=lambda run: (run.entered_at, run.id), default=None)
    return newest is not None and newest.status is RunStatus.STOPPED and newest.reason in _TAKEN_OUT


_TAKEN_OUT = frozenset(Reason(code=code).key for code in (StopReason.UNTICKED, StopReason.SEQUENCE_CLEARED))


def look_ahead(connection: Connection, snapshot: Snapshot, moved: Mapping[str, Enrollment] = NONE_MOVED) -> Snapshot:
    """The snapshot with what is known of the record that took this one's place.

    moved: live runs by record as they stand by decisions that are not stored yet.
    """
    successor, run = successor_of(snapshot.record), snapshot.enrollment
    if successor is None or run is None:
        return snapshot
    others = runs.runs_of_record(connection, successor)
    return replace(
        snapshot,
        moved_to_live_run=successor in moved or any(other.status.live for other in others),
        winner_stopped=_was_stopped(others, run.sequence_id) or _was_taken_out(others, run.sequence_id),
    )


def stops_before_merge(connection: Connection, record_id: str) -> dict[str, str]:
    """In which sequences the record was stopped for what its person did, with how, as OTHER_STOP tells it."""
    stopped = [run for run in runs.runs_of_record(connection, record_id) if _is_stopped(run)]
    return {run.sequence_id: _before_merge(run) for run in stopped}


def _before_merge(run: Enrollment) -> str:
    """The clause " before the merge (the person replied on 3 Nov 2026)"."""
    how = parse_reason(run.reason, run.reason_detail).sentence.partition(". ")[0].removesuffix(".")
    return f" before the merge ({how[:1].lower()}{how[1:]})"


def join_histories(
    connection: Connection, record: Record, winner: Enrollment, setting: Setting
) -> tuple[Stop, Effect] | None:
    """After a merge or conversion: steps sent to either record count, and a stop on either wins (B12).

    record: the one that lost its place; winner: the live run of its successor, by what is decided but not stored yet,
    locked; setting: the winner's. Returns how that run ends, None when it goes on.
    """
    lost = [run for run in runs.runs_of_record(connection, record.ref.id) if run.sequence_id == winner.sequence_id]
    stopped = next((run for run in reversed(lost) if _is_stopped(run)), None)
    if stopped is not None:
        reason = Reason(code=StopReason.OTHER_STOP, detail=_before_merge(stopped))
        stop = Stop(reason=reason, untick=True)
        return stop, effects.stop(stop, winner, setting)
    known = touches.touches_of(connection, [winner.id]).get(winner.id, {})
    sent = [
        touch
        for touch in touches.touches_in_full(connection, [run.id for run in lost if run.id != winner.id])
        if touch.state is TouchState.ACCEPTED
    ]
    touches.add_touches(
        connection, [_counted(touch, winner, setting.org_id) for touch in sent if touch.step_id not in known]
    )
    return None


def lock_live_run(connection: Connection, record_id: str) -> Enrollment | None:
    """The live run of a record, locked; None when it has none."""
    found = runs.live_runs_of_records(connection, [record_id])
    locked = runs.lock_runs(connection, [run.id for run in found.values()])
    return next((run for run in locked.values() if run.status.live), None)


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
