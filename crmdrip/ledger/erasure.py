"""Everything the ledger holds about one person: found, read out for them, and erased.

A touch's row stays, under its derived id and its person's hash, because its uniqueness is what keeps P1; all that
could tell a reader who it was is taken out of it. Whatever is deleted is overwritten on the disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, delete, func, or_, select, update
from sqlalchemy.exc import DatabaseError

from crmdrip.core.errors import RetriableError
from crmdrip.core.keys import normalize_address, person_key
from crmdrip.core.model import BoxPending, TouchState
from crmdrip.core.struct import replace
from crmdrip.ledger import received
from crmdrip.ledger.errors import explain
from crmdrip.ledger.schema import (
    ERASED,
    engagement,
    enrollment,
    forward,
    mail,
    outbox,
    record,
    sequence_suppression,
    signal,
    suppression,
    touch,
)
from crmdrip.ledger.schema import received as delivery
from crmdrip.ledger.store import Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Traces:
    """By what a person is known in the ledger."""

    addresses: frozenset[str]
    """Normalized."""
    record_ids: frozenset[str]
    run_ids: frozenset[int]
    touch_ids: frozenset[str]

    @property
    def keys(self) -> frozenset[str]:
        """keys.person_key of every address."""
        return frozenset(map(person_key, self.addresses))

    def mention(self) -> re.Pattern[bytes]:
        """Matches bytes that name the person, in whatever case. Never matches where nothing is known of them."""
        names = sorted({*self.addresses, *self.record_ids, *self.touch_ids}, key=len, reverse=True)
        return re.compile(b"|".join(re.escape(name.encode()) for name in names) or b"(?!)", re.IGNORECASE)


def find_traces(connection: Connection, addresses: Iterable[str], record_ids: Iterable[str]) -> Traces:
    """All that belongs to whoever has these addresses and records: the addresses of the records too, and so on."""
    known_addresses = set(filter(None, map(normalize_address, addresses)))
    known_ids = set(record_ids)
    found: dict[int, str] = {}
    before = -1
    while len(known_addresses) + len(known_ids) > before:
        before = len(known_addresses) + len(known_ids)
        rows = connection.execute(
            select(enrollment.c.id, enrollment.c.address, enrollment.c.record_id).where(
                enrollment.c.record_id != ERASED,
                or_(
                    enrollment.c.address.in_(known_addresses),
                    enrollment.c.person.in_(map(person_key, known_addresses)),
                    enrollment.c.record_id.in_(known_ids),
                ),
            )
        ).all()
        found = {row.id: row.record_id for row in rows}
        known_addresses |= {row.address for row in rows}
        known_ids |= {row.record_id for row in rows}
        records = connection.execute(
            select(record.c.id, record.c.address).where(
                or_(record.c.address.in_(known_addresses), record.c.id.in_(known_ids))
            )
        ).all()
        known_ids |= {row.id for row in records}
        known_addresses |= {row.address for row in records if row.address}
    touch_ids = connection.execute(select(touch.c.id).where(touch.c.enrollment_id.in_(found))).scalars()
    return Traces(
        addresses=frozenset(known_addresses),
        record_ids=frozenset(known_ids),
        run_ids=frozenset(found),
        touch_ids=frozenset(touch_ids),
    )


_NOBODY = b"erased"
"""Stands where the person was named among others."""

_Condition = Callable[[Traces], ColumnElement[bool]]

_ROWS: tuple[tuple[str, Table, _Condition], ...] = (
    ("records", record, lambda t: or_(record.c.id.in_(t.record_ids), record.c.address.in_(t.addresses))),
    ("runs", enrollment, lambda t: enrollment.c.id.in_(t.run_ids)),
    ("touches", touch, lambda t: touch.c.enrollment_id.in_(t.run_ids)),
    ("engagements", engagement, lambda t: engagement.c.touch_id.in_(t.touch_ids)),
    (
        "signals",
        signal,
        lambda t: or_(
            signal.c.record_id.in_(t.record_ids),
            signal.c.address.in_(t.addresses),
            signal.c.touch_id.in_(t.touch_ids),
        ),
    ),
    (
        "mails",
        mail,
        lambda t: or_(
            mail.c.address.in_(t.addresses),
            mail.c.sender.in_(t.addresses),
            mail.c.record_id.in_(t.record_ids),
            mail.c.touch_id.in_(t.touch_ids),
        ),
    ),
    ("suppressions", suppression, lambda t: suppression.c.address_key.in_(t.keys)),
    ("left_sequences", sequence_suppression, lambda t: sequence_suppression.c.address_key.in_(t.keys)),
)
_READ_THROUGH = (("forwards", forward, "message"), ("deliveries", delivery, "body"), ("write_backs", outbox, "payload"))
"""What is kept as bytes: whom a row is about stands somewhere in them."""


def read_rows(connection: Connection, traces: Traces) -> dict[str, list[dict[str, Any]]]:
    """Every row about the person, by what the rows are, bytes as text: what a data access request is answered with."""
    found = {
        name: [_readable(row) for row in connection.execute(select(table).where(condition(traces)))]
        for name, table, condition in _ROWS
    }
    for name, table, _ in _READ_THROUGH:
        found[name] = [_readable(row) for row in _mentioning(connection, table, traces)]
    return found


def _readable(row: Row[Any]) -> dict[str, Any]:
    return {
        name: bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else value
        for name, value in row._mapping.items()  # noqa: SLF001 - SQLAlchemy's documented way to read a row by name
    }


def _mentioning(connection: Connection, table: Table, traces: Traces) -> Iterator[Row[Any]]:
    """The rows of a table that name the person in the column kept as bytes, or in an envelope."""
    column = next(column for _, one, column in _READ_THROUGH if one is table)
    mention = traces.mention()
    for row in connection.execute(select(table)):
        values = row._mapping  # noqa: SLF001 - as above
        if mention.search(bytes(values[column])) or mention.search(str(values.get("envelope_to", "")).encode()):
            yield row


def refuse_while_sending(connection: Connection, traces: Traces) -> None:
    """Raises RetriableError while an email to the person is on its way: its outcome must find its row."""
    going = select(touch.c.id).where(
        touch.c.enrollment_id.in_(traces.run_ids), touch.c.state == TouchState.INTENDED.value
    )
    if connection.execute(going).first() is not None:
        raise RetriableError(
            "an email to this person is on its way at this moment.",
            do_next="Try again in a minute. If no daemon runs, type crmdrip once first: it settles what a crash left.",
        )


def erase(connection: Connection, traces: Traces) -> None:
    """Take the person out of every table. Their runs must have ended; suppressions, which are hashes, stay.

    What is owed to the CRM is forgotten, but for the records' status and opt-out. Raises RetriableError as
    refuse_while_sending.
    """
    refuse_while_sending(connection, traces)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    _erase_write_backs(connection, traces)  # first, and deliveries and forwards: they are found by what goes next
    _erase_deliveries(connection, traces)
    gone = [row.id for row in _mentioning(connection, forward, traces)]
    connection.execute(delete(forward).where(forward.c.id.in_(gone)))
    for _, table, condition in _ROWS:
        if table is engagement or table is signal:
            connection.execute(delete(table).where(condition(traces)))
    _erase_touches(connection, traces)
    connection.execute(
        update(enrollment)
        .where(enrollment.c.id.in_(traces.run_ids))
        .values(
            address=ERASED,
            record_id=ERASED,
            reason_detail="",
            last_touch_zone="",
            sender="",
            owner_id=None,
            thread="",
            thread_subject="",
            revision=enrollment.c.revision + 1,
        )
    )
    _erase_from_others(connection, traces)
    nobody = {"sender": "", "subject": "", "address": "", "record_id": "", "touch_id": "", "body": b""}
    connection.execute(update(mail).where(_condition_of(mail)(traces)).values(nobody))
    # Where we are about to set a box, how it stands means nothing until then (B9): that much is remembered.
    waiting = record.c.box_pending != BoxPending.NO.value
    connection.execute(delete(record).where(_condition_of(record)(traces), ~waiting))
    connection.execute(
        update(record).where(record.c.id.in_(traces.record_ids), waiting).values(address="", account_id=None)
    )


def _condition_of(table: Table) -> _Condition:
    return next(condition for _, one, condition in _ROWS if one is table)


def _erase_touches(connection: Connection, traces: Traces) -> None:
    """Nobody looks for an answer any more: what was open is passed over, by the moves that the database allows."""
    own = touch.c.enrollment_id.in_(traces.run_ids)
    for before, after in (
        (TouchState.IN_DOUBT, TouchState.NEEDS_PERSON),
        (TouchState.NEEDS_PERSON, TouchState.SKIPPED),
        (TouchState.REFUSED, TouchState.SKIPPED),
    ):
        connection.execute(update(touch).where(own, touch.c.state == before.value).values(state=after.value))
    nothing = dict.fromkeys(("address", "sender", "message_id", "subject", "zone", "provider_id", "detail"), "")
    connection.execute(update(touch).where(own).values(nothing))


def _erase_write_backs(connection: Connection, traces: Traces) -> None:
    """Their own go; one about a colleague may name them (who answered), and goes on without the name."""
    kept = {f"{kind}:{record_id}" for kind in ("status", "opt_out") for record_id in traces.record_ids}
    own = replace(traces, addresses=frozenset()).mention()
    mention = traces.mention()
    for row in list(_mentioning(connection, outbox, traces)):
        if row.key in kept:
            continue
        this = outbox.c.key == row.key
        if own.search(row.payload):
            connection.execute(delete(outbox).where(this))
        else:
            connection.execute(update(outbox).where(this).values(payload=mention.sub(_NOBODY, row.payload)))


def _erase_from_others(connection: Connection, traces: Traces) -> None:
    """What happened to colleagues may name them: who of the account answered."""
    for address in traces.addresses:
        for column in (enrollment.c.reason_detail, signal.c.detail, touch.c.detail):
            # Whoever holds a copy of the run sees by it that theirs is an old one.
            changed = {enrollment.c.revision: enrollment.c.revision + 1} if column.table is enrollment else {}
            connection.execute(
                update(column.table)
                .where(column.contains(address, autoescape=True))
                .values({column: func.replace(column, address, _NOBODY.decode())} | changed)
            )


def _erase_deliveries(connection: Connection, traces: Traces) -> None:
    """A batch of events is about others too: of it only the person's names go. A mail of theirs goes as a whole."""
    mention = traces.mention()
    for row in list(_mentioning(connection, delivery, traces)):
        values: dict[str, Any] = {"envelope_to": ""}
        if row.content_type.partition(";")[0].strip().lower() == "application/json":
            values["body"] = mention.sub(_NOBODY, bytes(row.body))
        else:
            values |= {"body": b"", "error": "", "state": received.DONE}
        connection.execute(update(delivery).where(delivery.c.id == row.id).values(values))


def scrub(ledger: Ledger) -> None:
    """Take what was erased out of what the database keeps of old rows as well.

    Of SQLite's journal as far as nobody reads it just now. PostgreSQL writes the tables anew, for which all others
    wait; its own log, replicas and backups of the server are not reached. Raises LedgerBrokenError.
    """
    if ledger.path is not None:
        connection = ledger.engine.raw_connection()  # SQLAlchemy's own begins a transaction, in which there is none
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
        return
    names = ", ".join(f'"{table.name}"' for table in (*(table for _, table, _ in _ROWS), delivery, forward, outbox))
    try:
        with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as outside:
            outside.exec_driver_sql(f"VACUUM (FULL) {names}")  # a plain one leaves the bytes where they are
    except DatabaseError as error:
        raise explain(error, ledger.where) from error
