"""What happened, stored once and acted on at once: every run of the person stops, every twin is told (B22)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.effects import Setting, tell_suppression
from crmdrip.core.model import Enrollment, Signal, SignalKind
from crmdrip.core.plan import Stop, View, plan_stop
from crmdrip.daemon.enact import enact
from crmdrip.daemon.snapshots import Background, load_histories, take_snapshot
from crmdrip.ledger import outbox, people, runs

log = structlog.get_logger()


def apply_signals(
    connection: Connection, signals: Iterable[Signal], background: Background, org_id: str, now: datetime
) -> list[Signal]:
    """Store new signals and stop the runs they end. Returns the new ones that suppress an address."""
    new = people.add_signals(connection, signals, now)
    if not new:
        return []
    by_record = runs.live_runs_of_records(connection, [s.record_id for s in new if s.record_id])
    by_address = runs.live_runs_of_addresses(connection, [s.address for s in new if s.address])
    concerned = {run.id: run for run in (*by_record.values(), *by_address.values())}
    stop_runs(connection, concerned.values(), background, org_id, now)
    suppressing = [signal for signal in new if people.lasting(signal)]
    tell_twins(connection, suppressing, now)
    return suppressing


def stop_runs(
    connection: Connection, concerned: Iterable[Enrollment], background: Background, org_id: str, now: datetime
) -> None:
    """End those of the runs that their signals end. A record is not needed: a signal alone can stop."""
    locked = runs.lock_runs(connection, [run.id for run in concerned])
    live = [run for run in locked.values() if run.status.live]
    histories = load_histories(connection, live, (), entering=False)
    stopped = []
    for run in live:
        snapshot = take_snapshot(
            view=View.BLIND, record=None, run=run, owner=None, background=background, histories=histories
        )
        decision = plan_stop(snapshot, run)
        if isinstance(decision, Stop):
            setting = Setting(org_id=org_id, now=now, sequence=snapshot.sequence)
            replied = next((s.at for s in snapshot.signals if s.kind is SignalKind.REPLY), None)
            stopped.append(effects.stop(decision, run, setting, replied_at=replied))
            log.info("run_stopped", run=run.id, record=run.ref.id, reason=decision.reason.key)
    enact(connection, stopped, now)


def tell_twins(connection: Connection, suppressing: Iterable[Signal], now: datetime) -> None:
    """Owe the CRM the suppression on every record of the address that is known here."""
    suppressing = list(suppressing)
    known = people.records_of_addresses(connection, [s.address for s in suppressing if s.address])
    for signal in suppressing:
        refs = tuple(record.ref for record in known.get(signal.address or "", ()))
        outbox.owe(connection, tell_suppression(signal.kind, refs, signal.detail, signal.at), now)
