"""What a person's own unsubscribe does: from everything on all twins (B22), or from one sequence alone.

Whoever reads the wish, the door or the mail, comes here; what they must have checked is the signature on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core.keys import person_key
from crmdrip.core.model import Enrollment, Signal, SignalKind, TouchRecord
from crmdrip.core.tokens import Unsubscriber
from crmdrip.core.unsubscribing import LEFT, left_task
from crmdrip.core.writes import Priority
from crmdrip.daemon.signals import apply_signals, stop_runs
from crmdrip.daemon.snapshots import load_background
from crmdrip.ledger import outbox, people, runs, suppressions
from crmdrip.ledger.people import KnownRecord

log = structlog.get_logger()


def unsubscribe(connection: Connection, who: Unsubscriber, source: str, now: datetime) -> list[Signal]:
    """Suppress the person and stop every run; a repeat changes nothing. source: for history ("web").

    Returns the new signals, for `twins.tell` once this is committed. A person nobody remembers (the ledger was lost)
    is suppressed too: their key is all that is needed for that.
    """
    people.suppress_person(connection, who.person, SignalKind.UNSUBSCRIBE, now, source)
    found = runs.runs_of_person(connection, who.person)
    signals = _signals(_addresses(connection, found), source, now)
    new = apply_signals(connection, signals, load_background(connection), who.org, now)
    if new:
        log.info("unsubscribed", source=source, records=len({signal.record_id for signal in new}))
    return new


def leave_sequence(connection: Connection, who: Unsubscriber, source: str, now: datetime) -> None:
    """The person wants no more email from `who.sequence`; other sequences go on. A repeat changes nothing.

    The run stops, and the record's timeline says why: that entry is where a lost ledger learns it again (P6).
    """
    found = runs.runs_of_person(connection, who.person)
    keys = {who.person, *(person_key(address) for _, address in _addresses(connection, found))}
    known = suppressions.left_sequences(connection, keys)
    if all(who.sequence in known.get(key, {}) for key in keys):
        return
    suppressions.leave_sequence(connection, keys, who.sequence, now, source)
    background = load_background(connection)
    stop_runs(connection, [run for run in found if run.status.live], background, who.org, now)
    sequence = background.sequences.get(who.sequence)
    newest = {run.ref.id: run for run in found if run.sequence_id == who.sequence}
    for run in newest.values():
        task = left_task(run, sequence.good if sequence is not None else None, who.org, now)
        outbox.owe(connection, [(task, Priority.STOP)], now)
    log.info("sequence_left", source=source, sequence=who.sequence, runs=len(newest))


def leave_again(connection: Connection, found: Iterable[TouchRecord], org_id: str, now: datetime) -> None:
    """What timelines say about people who left a sequence holds again in a ledger that was lost (P6)."""
    told = [one for one in found if one.outcome == LEFT and one.sequence_id]
    if not told:
        return
    adopted = runs.runs_of_records(connection, {one.record_id for one in told})
    records = people.known_records(connection, {one.record_id for one in told})
    addresses: set[str] = set()
    for one in told:
        run, record = adopted.get((one.record_id, one.sequence_id, one.run)), records.get(one.record_id)
        meant = {known.address for known in (run, record) if known is not None and known.address}
        keys = {person_key(address) for address in meant} | ({run.person} if run is not None else set())
        suppressions.leave_sequence(connection, keys, one.sequence_id, one.at, people.NOTED)
        addresses |= meant
    live = runs.live_runs_of_addresses(connection, addresses)
    stop_runs(connection, live.values(), load_background(connection), org_id, now)


def _addresses(connection: Connection, found: list[Enrollment]) -> set[tuple[str, str]]:
    """Each record of the person with each address: the run's own, and what the record has meanwhile (B15)."""
    known: dict[str, KnownRecord] = people.known_records(connection, {run.ref.id for run in found})
    pairs = {(run.ref.id, run.address) for run in found}
    pairs |= {(record_id, record.address) for record_id, record in known.items()}
    return {(record_id, address) for record_id, address in pairs if address}  # of an erased person there is none


def _signals(targets: set[tuple[str, str]], source: str, now: datetime) -> list[Signal]:
    return [
        Signal(
            key=f"{source}:unsubscribe:{record_id}:{person_key(address)}",
            kind=SignalKind.UNSUBSCRIBE,
            at=now,
            source=source,
            record_id=record_id,
            address=address,
        )
        for record_id, address in sorted(targets)
    ]
