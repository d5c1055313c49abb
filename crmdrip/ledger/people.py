"""People's records as last pulled, what happened to them, and whom never to mail again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Dialect, bindparam, case, select, text, update
from sqlalchemy.sql.dml import UpdateBase

from crmdrip.core.keys import normalize_address, person_key
from crmdrip.core.model import BoxPending, Record, RecordKind, RecordRef, Signal, SignalKind
from crmdrip.core.struct import Struct, replace
from crmdrip.ledger import marks, suppressions
from crmdrip.ledger.schema import record, signal, suppression
from crmdrip.ledger.statements import Bulk, Lookup, chunks, upsert, upsert_of

SUPPRESSING = {
    SignalKind.UNSUBSCRIBE: "unsubscribed",
    SignalKind.SPAM_REPORT: "reported an email as spam",
    SignalKind.BOUNCE: "bounced",
    SignalKind.OPT_OUT: "opted out of email",
    SignalKind.ERASED: "was erased at the person's request",
}
"""Signals that suppress an address for good, and how a sentence goes on about it."""


class KnownRecord(Struct, frozen=True, kw_only=True):
    """What the ledger remembers of a record."""

    ref: RecordRef
    address: str
    account_id: str | None
    enrolled: bool
    sequence_id: str | None
    box_pending: BoxPending
    modified_at: datetime
    deleted: bool


def _to_known(row: Sequence[Any]) -> KnownRecord:
    """The columns in the table's order."""
    record_id, kind, address, account_id, enrolled, sequence_id, box_pending, _, modified_at, deleted = row
    return KnownRecord(
        ref=RecordRef(kind=RecordKind(kind), id=record_id),
        address=address,
        account_id=account_id,
        enrolled=enrolled,
        sequence_id=sequence_id,
        box_pending=BoxPending(box_pending),
        modified_at=modified_at,
        deleted=deleted,
    )


def known_records(connection: Connection, ids: Iterable[str]) -> dict[str, KnownRecord]:
    """The remembered records among the ids."""
    return {known.ref.id: known for known in map(_to_known, _KNOWN.rows(connection, ids))}


_KNOWN = Lookup(select(record), record.c.id)


def records_of_addresses(connection: Connection, addresses: Iterable[str]) -> dict[str, list[KnownRecord]]:
    """Every remembered, not deleted record of each normalized address: the twins an opt-out is written to."""
    found: dict[str, list[KnownRecord]] = defaultdict(list)
    for known in map(_to_known, _KNOWN_BY_ADDRESS.rows(connection, addresses)):
        found[known.address].append(known)
    return found


_KNOWN_BY_ADDRESS = Lookup(select(record).where(record.c.deleted.is_(False)), record.c.address)


def pending_boxes(connection: Connection, ids: Iterable[str]) -> dict[str, BoxPending]:
    """Which way the boxes of these records are about to be set, for those that are."""
    return {one: BoxPending(pending) for one, pending in _PENDING.rows(connection, ids)}


_PENDING = Lookup(select(record.c.id, record.c.box_pending).where(record.c.box_pending != text("''")), record.c.id)


def deleted_records(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Those of the records that were deleted when the ledger heard of them last."""
    return {row[0] for row in _DELETED.rows(connection, ids)}


_DELETED = Lookup(select(record.c.id).where(record.c.deleted.is_(True)), record.c.id)


def remember_records(connection: Connection, records: Iterable[Record]) -> None:
    """Store records as pulled. A box seen as we meant to set it ends the wait for our own write."""
    records = list(records)
    known = _addresses_kept(connection, records)
    _REMEMBER.run(
        connection,
        [
            (
                r.ref.id,
                r.ref.kind.value,
                known[r.ref.id],
                r.account_id,
                r.enrolled,
                r.sequence_id,
                BoxPending.NO.value,
                0,
                r.modified_at,
                r.deleted or r.merged_into is not None,
            )
            for r in records
        ],
    )


def remember_twins(connection: Connection, records: Iterable[Record]) -> None:
    """Whose addresses these records have, where they are not known yet; how they stand is for a pull to tell."""
    records = list(records)
    known = _addresses_kept(connection, records)
    _REMEMBER_TWINS.run(
        connection,
        [(r.ref.id, r.ref.kind.value, known[r.ref.id], None, False, None, "", 0, _NEVER, False) for r in records],
    )


def _addresses_kept(connection: Connection, records: Iterable[Record]) -> dict[str, str]:
    """The normalized address of each record; "" for people whose data was erased, though the CRM still has it."""
    found = {record.ref.id: normalize_address(record.email) for record in records}
    gone = suppressions.erased(connection, {person_key(address) for address in found.values() if address})
    return {one: "" if gone and person_key(address) in gone else address for one, address in found.items()}


def _remember(dialect: Dialect) -> UpdateBase:
    statement = upsert_of(dialect, record)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[record.c.id],
        set_={
            "kind": new.kind,
            "address": new.address,
            "account_id": new.account_id,
            "enrolled": new.enrolled,
            "sequence_id": new.sequence_id,
            "box_pending": case(
                ((record.c.box_pending == BoxPending.OFF.value) & new.enrolled, BoxPending.OFF.value),
                ((record.c.box_pending == BoxPending.ON.value) & ~new.enrolled, BoxPending.ON.value),
                else_=BoxPending.NO.value,
            ),
            "modified_at": new.modified_at,
            "deleted": new.deleted,
        },
    )


_RECORD_NAMES = tuple(column.name for column in record.c)

_REMEMBER = Bulk(_remember, _RECORD_NAMES)
_REMEMBER_TWINS = Bulk(lambda dialect: upsert_of(dialect, record).on_conflict_do_nothing(), _RECORD_NAMES)


def expect_box(connection: Connection, refs: Iterable[RecordRef], pending: BoxPending) -> None:
    """We are about to set these boxes: until that stands in the CRM, how they stand means nothing (B9).

    A record that was never pulled (the contact a lead became) is remembered for it.
    """
    _EXPECT.run(
        connection, [(ref.id, ref.kind.value, "", None, False, None, pending.value, 0, _NEVER, False) for ref in refs]
    )


_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Older than whatever a pull may bring."""


def _expect(dialect: Dialect) -> UpdateBase:
    statement = upsert_of(dialect, record)
    return statement.on_conflict_do_update(
        index_elements=[record.c.id], set_={"box_pending": statement.excluded.box_pending}
    )


_EXPECT = Bulk(_expect, _RECORD_NAMES)


def mark_deleted(connection: Connection, record_ids: Iterable[str]) -> None:
    """A write found these records deleted, before a pull told so."""
    for chunk in chunks(record_ids):
        connection.execute(update(record).where(record.c.id.in_(chunk)).values(deleted=True))


def confirm_box(connection: Connection, boxes: Iterable[tuple[str, bool]]) -> None:
    """The boxes stand in the CRM as we meant: record id and ticked or not. What was asked for before is overtaken."""
    rows = [
        {"b_id": record_id, "b_on": ticked, "b_pending": (BoxPending.ON if ticked else BoxPending.OFF).value}
        for record_id, ticked in boxes
    ]
    if rows:
        number = boxes_set(connection) + 1
        marks.set_mark(connection, marks.BOXES, str(number))
        statement = (
            update(record)
            .where(record.c.id == bindparam("b_id"), record.c.box_pending == bindparam("b_pending"))
            .values(box_pending=BoxPending.NO.value, enrolled=bindparam("b_on"), box_set=number)
        )
        connection.execute(statement, rows)


def boxes_set(connection: Connection) -> int:
    """How many times boxes were set so far: what `overtaken` is to be told of records that are asked for after this."""
    return int(marks.read_mark(connection, marks.BOXES) or 0)


def overtaken(
    connection: Connection, records: Iterable[Record], asked: int, again: Mapping[str, int] | None = None
) -> list[RecordRef]:
    """Those of the records that show their box the other way, and were asked for before we set it (B9).

    Whoever set it and whoever asked: what was set is stored with the record, before the wait for it ends. So while one
    machine's page is on its way another may write, or a process may begin anew. asked: what boxes_set said before they
    were asked for; again: the same of single records that were asked for later, by id.
    """
    if boxes_set(connection) == asked:
        return []
    shown = {one.ref.id: one for one in records}
    found = _SET_SINCE.rows(connection, shown, asked=asked)
    return [
        shown[record_id].ref
        for record_id, number, ticked in found
        if number > (again or {}).get(record_id, asked) and ticked != shown[record_id].enrolled
    ]


_SET_SINCE = Lookup(
    select(record.c.id, record.c.box_set, record.c.enrolled).where(record.c.box_set > bindparam("asked")), record.c.id
)


# --- signals -------------------------------------------------------------------------------------------------


def add_signals(connection: Connection, signals: Iterable[Signal], now: datetime) -> list[Signal]:
    """Store what is new and return it; what was known by its key is passed over (B23)."""
    statement = upsert(connection, signal).on_conflict_do_nothing().returning(signal.c.key)
    new: list[Signal] = []
    signals = list(signals)
    gone = suppressions.erased(connection, {person_key(one.address) for one in signals if one.address})
    for one in signals:
        if gone and one.address and person_key(one.address) in gone:
            continue  # that they are never mailed is known without it
        row = {
            "key": one.key,
            "kind": one.kind.value,
            "at": one.at,
            "source": one.source,
            "record_id": one.record_id,
            "address": one.address,
            "touch_id": one.touch_id,
            "detail": one.detail,
            "until": one.until,
            "seen_at": now,
        }
        if connection.execute(statement, row).first() is not None:
            new.append(one)
    suppress(connection, [one for one in new if lasting(one)])
    return new


def with_addresses(connection: Connection, signals: Iterable[Signal]) -> list[Signal]:
    """A meeting or an opportunity stands on one record; whoever has the record's address is the same human (B13)."""
    signals = list(signals)
    bare = {s.record_id for s in signals if s.record_id is not None and s.address is None and s.kind in _OF_THE_HUMAN}
    known = known_records(connection, bare)
    return [
        replace(s, address=known[s.record_id].address)
        if s.record_id in bare and s.record_id in known and known[s.record_id].address
        else s
        for s in signals
    ]


_OF_THE_HUMAN = frozenset({SignalKind.REPLY, SignalKind.MEETING, SignalKind.OPPORTUNITY})


def renew_signals(connection: Connection, signals: Iterable[Signal]) -> None:
    """What is said by the state of a record still holds, or holds again: it happened at the later time."""
    rows = [{"b_key": one.key, "b_at": one.at} for one in signals]
    if rows:
        statement = update(signal).where(signal.c.key == bindparam("b_key"), signal.c.at < bindparam("b_at"))
        connection.execute(statement.values(at=bindparam("b_at")), rows)


NOTED: Final = "crm"
"""The source of what a CRM record itself says: its opt-out box, a bounce noted on it."""


def lasting(one: Signal) -> bool:
    """Whether the signal suppresses its address for good.

    What is noted on a CRM record does not: it is read with the records of the address, and holds until somebody clears
    it there. What the person said or did elsewhere stays, however the CRM's box stands.
    """
    return one.kind in SUPPRESSING and bool(one.address) and one.source != NOTED


def _to_signal(row: Sequence[Any]) -> Signal:
    key, kind, at, source, record_id, address, touch_id, detail, until, _ = row
    return Signal(
        key=key,
        kind=SignalKind(kind),
        at=at,
        source=source,
        record_id=record_id,
        address=address,
        touch_id=touch_id,
        detail=detail,
        until=until,
    )


def signals_about(
    connection: Connection, record_ids: Iterable[str], addresses: Iterable[str]
) -> tuple[dict[str, list[Signal]], dict[str, list[Signal]]]:
    """What happened, by record id and by normalized address."""
    by_record: dict[str, list[Signal]] = defaultdict(list)
    by_address: dict[str, list[Signal]] = defaultdict(list)
    for one in map(_to_signal, _BY_RECORD.rows(connection, record_ids)):
        by_record[one.record_id or ""].append(one)
    for one in map(_to_signal, _BY_ADDRESS.rows(connection, addresses)):
        by_address[one.address or ""].append(one)
    return by_record, by_address


_BY_RECORD = Lookup(select(signal), signal.c.record_id)
_BY_ADDRESS = Lookup(select(signal), signal.c.address)


def signals_in_full(connection: Connection, record_id: str, address: str) -> list[Signal]:
    """Everything that happened to one person, oldest first: for history."""
    by_record, by_address = signals_about(connection, [record_id], [address] if address else [])
    found = {one.key: one for one in [*by_record[record_id], *by_address.get(address, [])]}
    return sorted(found.values(), key=lambda one: one.at)


# --- suppression ---------------------------------------------------------------------------------------------


def suppress(connection: Connection, signals: Iterable[Signal]) -> None:
    """Never mail these addresses again. The first reason stays."""
    rows = [
        {"address_key": person_key(one.address), "kind": one.kind.value, "at": one.at, "source": one.source}
        for one in signals
        if one.address
    ]
    if rows:
        connection.execute(upsert(connection, suppression).on_conflict_do_nothing(), rows)


def suppress_person(connection: Connection, key: str, kind: SignalKind, at: datetime, source: str) -> None:
    """Never mail whoever has this keys.person_key, whose address need not be known. The first reason stays."""
    row = {"address_key": key, "kind": kind.value, "at": at, "source": source}
    connection.execute(upsert(connection, suppression).on_conflict_do_nothing(), row)


def suppressed(connection: Connection, keys: Iterable[str]) -> dict[str, tuple[SignalKind, datetime]]:
    """Why and since when, by keys.person_key, for those that are suppressed."""
    return {key: (SignalKind(kind), at) for key, kind, at in _SUPPRESSED.rows(connection, keys)}


_SUPPRESSED = Lookup(select(suppression.c.address_key, suppression.c.kind, suppression.c.at), suppression.c.address_key)
