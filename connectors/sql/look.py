"""The last look: the people about to be mailed by id, what happened since, and the brake, in one transaction.

The heartbeat is left in it too, after the one before was read and while nobody else may write it (B3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from connectors.sql.control import ControlRow
from connectors.sql.cursor import parse_cursor
from connectors.sql.database import Database, Transaction
from connectors.sql.definitions import read_drafts, read_statuses, stop_columns
from connectors.sql.merge_fields import MergeColumns, resolve
from connectors.sql.people import PeopleReader, Row
from connectors.sql.pull import Pull
from connectors.sql.schema import Schema
from connectors.sql.signals import SignalReader
from connectors.sql.values import read_key, read_merge_value
from crmdrip.core.model import Record, RecordRef
from crmdrip.ports import ControlWrite, Look, Purpose


class LastLook:
    """Reads by id, and never from memory."""

    def __init__(self, database: Database, control: ControlRow, signals: SignalReader, pull: Pull) -> None:
        self._database = database
        self._control = control
        self._signals = signals
        self._pull = pull

    def look(
        self,
        refs: Sequence[RecordRef],
        paths: frozenset[str],
        cursor: str | None,
        sequences: Iterable[str],
        heartbeat: ControlWrite | None,
    ) -> Look:
        """Raises AuthError, RetriableError, RateLimitedError, ConfigurationError, UnknownPathsError."""
        database = self._database
        schema = database.schema(Purpose.LOOK)
        columns = resolve(database, schema, paths)
        at = database.clock.now()
        opened = database.read if heartbeat is None else database.write
        wanted = list(dict.fromkeys(sequences))
        with opened(Purpose.LOOK) as transaction:
            control = self._control.read(transaction, schema, held=heartbeat is not None)
            state = parse_cursor(cursor, control.org_id)
            drafts = self._pull.drafts if self._pull.drafts is not None else read_drafts(transaction, schema)
            stops = stop_columns(schema.contact, drafts)
            records = self._records(transaction, schema, refs, columns, stops)
            overlap = timedelta(minutes=database.settings.overlap_minutes)
            signals = [] if state.heard is None else self._signals.read(transaction, schema, state.heard - overlap)
            statuses = read_statuses(transaction, schema, wanted) if wanted else {}
            if heartbeat is not None:
                self._control.leave(transaction, schema, heartbeat)
        problems = {one: " ".join(drafts[one].problems) for one in wanted if one in drafts and drafts[one].problems}
        if problems:
            database.forget_schema()  # somebody may have added the column by the next look
        return Look(
            records=records,
            signals=tuple(signals),
            brake=control.brake,
            at=at,
            statuses=statuses,
            problems=problems,
        )

    def _records(
        self,
        transaction: Transaction,
        schema: Schema,
        refs: Sequence[RecordRef],
        columns: MergeColumns,
        stops: Mapping[str, str],
    ) -> dict[str, Record]:
        people = PeopleReader(schema, self._database.zone)
        names = list(dict.fromkeys([*columns.own.values(), *stops.values()]))
        rows: dict[str, Row] = {}
        for part in self._database.parts(people.keys(dict.fromkeys(ref.id for ref in refs))):
            rows |= people.rows(transaction.rows(people.select(names).where(people.key.in_(part))), names)
        if not refs:
            # Nobody is asked for, and that the opt-outs can be seen is asked all the same (B26).
            transaction.rows(select(schema.contact["opted_out"].column).limit(0))
        rows = {one: row for one, row in rows.items() if not people.is_gone(row)}
        fields = self._merge_fields(transaction, schema, rows, columns)
        return {
            one: people.read(row, stop=stops.get(str(row.get("sequence")), ""), fields=fields[one])
            for one, row in rows.items()
        }

    def _merge_fields(
        self, transaction: Transaction, schema: Schema, rows: Mapping[str, Row], columns: MergeColumns
    ) -> dict[str, dict[str, Any]]:
        """The merge fields asked for of each row, those of its account and owner included."""
        fields = {
            one: {path: read_merge_value(row.get(f".{name}")) for path, name in columns.own.items()}
            for one, row in rows.items()
        }
        for parent, wanted in columns.parents.items():
            mapped = schema[parent]
            ids = {key: row.get(parent) for key, row in rows.items() if row.get(parent) is not None}
            known: dict[str, tuple[Any, ...]] = {}
            for part in self._database.parts(dict.fromkeys(ids.values())):
                asked = [mapped["id"].column, *(mapped.columns[name].column for name in wanted.values())]
                found = transaction.rows(select(*asked).where(mapped["id"].column.in_(part)))
                known.update((read_key(row[0]), tuple(row[1:])) for row in found)
            nothing = (None,) * len(wanted)
            for one, values in fields.items():
                of = known.get(read_key(ids.get(one)), nothing)
                values.update(zip(wanted, map(read_merge_value, of), strict=True))
        return fields
