"""Gathers, in few statements, everything that decides about many people at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from crmdrip.core.keys import domain_of, normalize_address, person_key
from crmdrip.core.model import BoxPending, Brake, Enrollment, Owner, Record, SequenceStatus, Signal, SignalKind
from crmdrip.core.snapshot import RELEASED, PastRun, Snapshot, View
from crmdrip.core.steps import Passed
from crmdrip.core.words import day
from crmdrip.ledger import definitions, marks, past_runs, people, runs, suppressions, touches
from crmdrip.ledger.definitions import KnownSequence
from crmdrip.ledger.people import SUPPRESSING, KnownRecord
from crmdrip.ledger.runs import LiveRun

NO_OBJECTIONS: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Background:
    """What holds for everybody at the moment."""

    sequences: Mapping[str, KnownSequence]
    brake: Brake
    paused: frozenset[str]
    """Sequences paused by command; "" stands for all."""
    rebuilding: bool


def load_background(connection: Connection) -> Background:
    """The sequences, the brake and the pauses."""
    found = marks.read_marks(connection, "")
    paused = {name.partition(":")[2] for name in found if name.partition(":")[0] == marks.PAUSED}
    by = found.get(marks.BRAKE)
    return Background(
        sequences=definitions.load_sequences(connection),
        brake=Brake(pulled=True, by=by) if by is not None else RELEASED,
        paused=frozenset(paused),
        rebuilding=found.get(marks.MODE) == marks.REBUILDING,
    )


def halts(background: Background, sequence_id: str) -> bool:
    """Whether nothing of the sequence goes out at the moment, to whomever: by brake, pause or its own status."""
    paused = "" in background.paused or sequence_id in background.paused
    known = background.sequences.get(sequence_id)
    live = known is not None and known.good is not None and known.good.status is SequenceStatus.LIVE
    return (
        background.brake.pulled or background.rebuilding or paused or not live or (known is not None and known.removed)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Histories:
    """What the ledger knows of a set of people, ready for look-up."""

    touches: Mapping[int, Mapping[str, Passed]]
    by_record: Mapping[str, Sequence[Signal]]
    by_address: Mapping[str, Sequence[Signal]]
    suppressed: Mapping[str, tuple[SignalKind, datetime]]
    left: Mapping[str, Mapping[str, datetime]]
    """Which sequences whoever has a keys.person_key unsubscribed from, by sequence id, and when."""
    live_by_address: dict[str, LiveRun]
    """Grows while a page is planned, so that of two twins in one page the second is refused."""
    past: Mapping[str, Sequence[PastRun]]
    """Ended runs by keys.person_key."""
    past_of_record: Mapping[str, Sequence[tuple[str, PastRun]]]
    """Ended runs by record id, each with its address."""
    last_numbers: Mapping[str, int]
    """The highest number of a run by keys.person_key."""
    boxes: dict[str, BoxPending]
    objections: Mapping[str, str]
    """Why an address must not be entered, as another record of it says: "opted out of email on lead 00Q..."."""


def load_histories(
    connection: Connection,
    live: Iterable[Enrollment],
    records: Iterable[Record],
    *,
    entering: bool,
    objections: Mapping[str, str] = NO_OBJECTIONS,
) -> Histories:
    """Read what concerns these runs and records. Past runs are read only where somebody may enter."""
    live = list(live)
    records = list(records)
    mailed = {run.ref.id: run.address for run in live}
    shown = {record.ref.id: normalize_address(record.email) for record in records}
    changed = {address for one, address in shown.items() if address and address != mailed.get(one)}
    addresses = changed | {run.address for run in live}
    record_ids = {run.ref.id for run in live} | {record.ref.id for record in records}
    keys = {address: person_key(address) for address in addresses}
    by_record, by_address = people.signals_about(connection, record_ids, addresses)
    return Histories(
        touches=touches.touches_of(connection, [run.id for run in live]),
        by_record=by_record,
        by_address=by_address,
        suppressed=people.suppressed(connection, keys.values()),
        left=suppressions.left_sequences(connection, keys.values()),
        # A live run's own address has no other: the ledger's unique key holds that (B13).
        live_by_address=runs.holders_of_addresses(connection, addresses if entering else changed),
        past=past_runs.of_people(connection, keys.values()) if entering else {},
        past_of_record=past_runs.of_records(connection, record_ids) if entering else {},
        last_numbers=runs.last_numbers(connection, keys.values()) if entering else {},
        objections=objections,
        boxes=people.pending_boxes(connection, record_ids),
    )


def signals_of(run: Enrollment, histories: Histories) -> tuple[Signal, ...]:
    """What happened to the run's person since the run began. An absence that was told before may last."""
    found = (*histories.by_record.get(run.ref.id, ()), *histories.by_address.get(run.address, ()))
    return tuple(one for one in found if one.at >= run.entered_at or one.kind is SignalKind.OUT_OF_OFFICE)


def suppression_of(address: str, histories: Histories) -> str:
    """Why the address must not be mailed, as a clause, "" when it may."""
    if not address:
        return ""
    found = histories.suppressed.get(person_key(address))
    return f"{SUPPRESSING[found[0]]} on {day(found[1])}" if found is not None else ""


def _left_at(address: str, sequence_id: str | None, histories: Histories) -> datetime | None:
    """When the person unsubscribed from this sequence alone; almost nobody ever did from any."""
    if not histories.left or not address or sequence_id is None:
        return None
    return histories.left.get(person_key(address), {}).get(sequence_id)


def _past_of(record: Record, address: str, histories: Histories) -> tuple[PastRun, ...]:
    """The person's ended runs: those of the address, and those of the record while its address was of this domain.

    At another domain a person begins anew: that is what a rep is told to do when an address moves there (B15).
    """
    own = histories.past_of_record.get(record.ref.id, ())
    same = [past for before, past in own if domain_of(before) == domain_of(address)]
    return tuple({(p.sequence_id, p.run): p for p in (*histories.past.get(person_key(address), ()), *same)}.values())


def take_snapshot(
    *,
    view: View,
    record: Record | None,
    run: Enrollment | None,
    owner: Owner | None,
    background: Background,
    histories: Histories,
    blind_because: str = "",
    before: KnownRecord | None = None,
) -> Snapshot:
    """One person's snapshot. before: the record as it was dealt with last, where it comes with a pull."""
    sequence_id = run.sequence_id if run is not None else (record.sequence_id if record is not None else None)
    known = background.sequences.get(sequence_id) if sequence_id is not None else None
    address = normalize_address(record.email) if record is not None else (run.address if run is not None else "")
    other = histories.live_by_address.get(address)
    twin = ""
    if other is not None and (run is None or other.id != run.id):
        twin = f"{other.ref.kind.value} {other.ref.id}"
    paused = "" in background.paused or (sequence_id is not None and sequence_id in background.paused)
    objection = histories.objections.get(address, "")
    record_id = run.ref.id if run is not None else (record.ref.id if record is not None else "")
    return Snapshot(
        view=view,
        record=record,
        enrollment=run,
        sequence=known.good if known is not None and not known.removed else None,
        sequence_error=known.error if known is not None else "",
        owner=owner,
        touches=histories.touches.get(run.id, {}) if run is not None else {},
        signals=signals_of(run, histories) if run is not None else (),
        suppression=suppression_of(address, histories) or (objection if run is None else ""),
        left_at=_left_at(address, sequence_id, histories),
        twin=twin,
        past=_past_of(record, address, histories) if record is not None and run is None and address else (),
        last_number=histories.last_numbers.get(person_key(address), 0) if run is None and address else 0,
        brake=background.brake,
        paused=paused,
        suspicion=known.suspicion if known is not None else "",
        safe_mode=background.rebuilding,
        blind_because=blind_because,
        box_pending=histories.boxes.get(record_id, BoxPending.NO),
        reread=before is not None
        and record is not None
        and not before.deleted
        and record.modified_at <= before.modified_at
        and (record.enrolled, record.sequence_id) == (before.enrolled, before.sequence_id),  # stamps: whole seconds
        restored=before is not None and before.deleted,
    )
