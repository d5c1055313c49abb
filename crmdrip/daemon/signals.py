"""What happened, stored once and acted on at once: every run of the person stops, every twin is told (B22)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.decisions import Stop
from crmdrip.core.effects import Effect, Setting, tell_suppression
from crmdrip.core.model import Enrollment, Signal, SignalKind
from crmdrip.core.snapshot import View
from crmdrip.core.stops import plan_stop
from crmdrip.daemon.colleagues import tell_colleagues
from crmdrip.daemon.enact import enact
from crmdrip.daemon.snapshots import Background, load_histories, take_snapshot
from crmdrip.ledger import due_runs, outbox, people, runs

log = structlog.get_logger()


def apply_signals(
    connection: Connection, signals: Iterable[Signal], background: Background, org_id: str, now: datetime
) -> list[Signal]:
    """Store signals, stop the runs they end, and have those looked at that they make wait or go on.

    A reply is told to the others of the account, by their sequences' policies (B6). Returns those whose address must be
    told to all its records: the new ones that speak for every record of it, and what a record says as before where a
    run ended by it.
    """
    signals = people.with_addresses(connection, signals)
    new = people.add_signals(connection, signals, now)
    known = {one.key for one in new}
    again = [one for one in signals if one.source == people.NOTED and one.key not in known]
    people.renew_signals(connection, again)
    heard = [*new, *again]
    if not heard:
        return []
    heard += tell_colleagues(connection, new, background, org_id, now)
    by_record = runs.live_runs_of_records(connection, [s.record_id for s in heard if s.record_id])
    by_address = runs.live_runs_of_addresses(connection, [s.address for s in heard if s.address])
    concerned = {run.id: run for run in (*by_record.values(), *by_address.values())}
    stopped = stop_runs(connection, concerned.values(), background, org_id, now)
    waiting = {key for one in heard if one.kind in _WAITS for key in (one.record_id, one.address)}
    due_runs.wake_runs(connection, [r.id for r in concerned.values() if {r.ref.id, r.address} & waiting], now)
    told = [one for one in new if speaks_for_all(one)]
    tell_twins(connection, told, now)
    return [*told, *(one for one in again if speaks_for_all(one) and one.address in stopped)]


_WAITS = frozenset({SignalKind.OUT_OF_OFFICE, SignalKind.COLLEAGUE_REPLY, SignalKind.TASK_DONE})
"""What makes a run wait, or ends a wait. The next look decides, which knows the record, its owner and its zone (B8)."""


def speaks_for_all(signal: Signal) -> bool:
    """Whether every record of the address must show it. A bounce noted on one record is that record's own affair."""
    return people.lasting(signal) or (signal.kind is SignalKind.OPT_OUT and bool(signal.address))


def stop_runs(
    connection: Connection, concerned: Iterable[Enrollment], background: Background, org_id: str, now: datetime
) -> set[str]:
    """End those of the runs that their signals end; returns their addresses.

    A record is not needed: a signal alone can stop.
    """
    locked = runs.lock_runs(connection, [run.id for run in concerned])
    live = [run for run in locked.values() if run.status.live]
    histories = load_histories(connection, live, (), entering=False)
    stopped: list[Effect] = []
    addresses: set[str] = set()
    for run in live:
        snapshot = take_snapshot(
            view=View.BLIND, record=None, run=run, owner=None, background=background, histories=histories
        )
        decision = plan_stop(snapshot, run)
        if isinstance(decision, Stop):
            setting = Setting(org_id=org_id, now=now, sequence=snapshot.sequence)
            replied = next((s.at for s in snapshot.signals if s.kind is SignalKind.REPLY), None)
            stopped.append(effects.stop(decision, run, setting, replied_at=replied))
            addresses.add(run.address)
            log.info("run_stopped", run=run.id, record=run.ref.id, reason=decision.reason.key)
    enact(connection, stopped, now)
    return addresses


def tell_twins(connection: Connection, suppressing: Iterable[Signal], now: datetime) -> None:
    """Owe the CRM the suppression on every record of the address that is known here, but for the one that says so."""
    suppressing = list(suppressing)
    known = people.records_of_addresses(connection, [s.address for s in suppressing if s.address])
    for signal in suppressing:
        found = known.get(signal.address or "", ())
        refs = tuple(record.ref for record in found if record.ref.id != _said_on(signal))
        outbox.owe(connection, tell_suppression(signal.kind, refs, signal.detail, signal.at), now)


def _said_on(signal: Signal) -> str | None:
    """The record on which the CRM itself says it."""
    return signal.record_id if signal.source == people.NOTED else None
