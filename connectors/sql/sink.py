"""Writing a CRM by its database: batches in one transaction each, and row by row where one of them is refused (B21).

Everything can be repeated: a row is set to what is owed, and what happened is inserted once under its touch id, which
is unique. So an answer that is lost with its connection costs a repeat and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from connectors.sql.database import BUSY_RETRY, Database, Transaction
from connectors.sql.faults import Fault, read_fault
from connectors.sql.people import PeopleReader
from connectors.sql.rows import (
    Row,
    column_values,
    join,
    news_row,
    person_row,
    sequence_row,
    touch_row,
)
from connectors.sql.schema import Mapped, Schema
from connectors.sql.source import SqlSource
from connectors.sql.values import read_key
from crmdrip.core.errors import ConfigurationError, ErrorClass, RejectedError, RetriableError
from crmdrip.core.struct import replace
from crmdrip.ports import (
    ApprovalWrite,
    BounceWrite,
    ControlWrite,
    OptOutWrite,
    Purpose,
    ReplyWrite,
    SequenceWrite,
    StatusWrite,
    TaskWrite,
    TouchWrite,
    Write,
    WriteOutcome,
    reads_answers_of,
)

_BATCH = 200
"""Rows of one transaction: what it locks, others wait for."""
_NOTHING_LEFT = frozenset({ErrorClass.AUTH, ErrorClass.RATE_LIMITED})
"""After which no other row is worth trying."""

Put = Callable[[Transaction, Schema, Sequence[Row]], Sequence[Row]]
"""Writes rows in a transaction, and returns those for which there was nothing to write."""


@dataclass(kw_only=True, slots=True)
class _Plan:
    """What is written by which way, in this order."""

    people: dict[str, Row] = field(default_factory=dict)
    touches: dict[str, Row] = field(default_factory=dict)
    news: dict[str, Row] = field(default_factory=dict)
    sequences: dict[str, Row] = field(default_factory=dict)
    controls: list[ControlWrite] = field(default_factory=list)

    @staticmethod
    def add(rows: dict[str, Row], row: Row) -> None:
        """A row stands in a batch once, whatever changes of it."""
        before = rows.get(row.key)
        rows[row.key] = row if before is None else join(before, row)


@reads_answers_of("the database")
class SqlSink:
    """A CrmSink on the source's database: one pool of connections and one budget for both."""

    def __init__(self, source: SqlSource) -> None:
        self._database: Database = source.database
        self._control = source.control

    def write(self, writes: Iterable[Write]) -> Iterator[WriteOutcome]:
        """Write everything, each at most once under its key; an outcome per write, as batches are committed.

        Raises AuthError, RateLimitedError, RetriableError, ConfigurationError when nothing further can be written
        now; what was not yielded was not settled.
        """
        plan = _plan(writes)
        schema = self._database.schema(Purpose.STOP)
        with self._database.read(Purpose.STOP) as transaction:
            self._control.read(transaction, schema)  # nothing is written to another database (B25)
        urgent = [row for row in plan.people.values() if row.urgent]
        yield from self._send(schema, urgent, self._put_people, Purpose.STOP)
        rest = [row for row in plan.people.values() if not row.urgent]
        yield from self._send(schema, rest, self._put_people, Purpose.REPORT)
        yield from self._send(schema, list(plan.touches.values()), self._put_touches, Purpose.REPORT)
        # After the touches themselves, which an update does not make.
        yield from self._send(schema, list(plan.news.values()), self._put_news, Purpose.REPORT)
        yield from self._send(schema, list(plan.sequences.values()), self._put_sequences, Purpose.REPORT)
        for control in plan.controls:
            yield self._beat(schema, control)

    # batches

    def _send(self, schema: Schema, rows: Sequence[Row], put: Put, purpose: Purpose) -> Iterator[WriteOutcome]:
        """Every row, a batch in each transaction; after a batch is refused its rows in halves."""
        waiting = deque(rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))
        patience: float | None = None
        while waiting:
            batch = waiting.popleft()
            try:
                with self._database.begin(purpose, writes=True, patience=patience) as transaction:
                    gone = {id(row) for row in put(transaction, schema, batch)}
            except ValueError as error:  # an id that no row of this database can have, among others
                fault = Fault(error_class=ErrorClass.SKIPPABLE, code="NO_SUCH_ROW", message=f"no id: {error}")
            except SQLAlchemyError as error:
                fault = read_fault(error)
            else:
                for row in batch:
                    yield from _settle(row, _GONE if id(row) in gone else None)
                continue
            if fault.lost or fault.error_class in _NOTHING_LEFT:
                raise self._database.explain(fault)
            if len(batch) == 1:
                yield from self._refuse(schema, batch[0], put, fault, purpose)
            elif fault.error_class is ErrorClass.CONFIGURATION or (fault.locked and self._database.locks_whole):
                for row in batch:
                    yield from _settle(row, fault)
            else:
                middle = len(batch) // 2
                waiting.extendleft((batch[middle:], batch[:middle]))
            if fault.locked:
                patience = BUSY_RETRY

    def _refuse(self, schema: Schema, row: Row, put: Put, fault: Fault, purpose: Purpose) -> Iterator[WriteOutcome]:
        """A row that is refused by itself, tried once more without what may be gone by now."""
        if fault.error_class is ErrorClass.REJECTED and put == self._put_touches:
            if row.values.get("owner"):
                orphan = replace(row, values={**row.values, "owner": None})
                yield from self._send(schema, [orphan], put, purpose)
                return
            with self._database.read(purpose) as transaction:
                if not self._standing(transaction, schema, [row.values["contact"]]):
                    fault = _GONE
        yield from _settle(row, fault)

    # what is put where

    def _standing(self, transaction: Transaction, schema: Schema, ids: Iterable[str]) -> set[str]:
        """Which people are there, neither deleted nor merged."""
        people = PeopleReader(schema, self._database.zone)
        found: set[str] = set()
        for part in self._database.parts(people.keys(ids)):
            rows = people.rows(transaction.rows(people.select().where(people.key.in_(part))))
            found |= {one for one, row in rows.items() if not people.is_gone(row)}
        return found

    def _put_people(self, transaction: Transaction, schema: Schema, batch: Sequence[Row]) -> Sequence[Row]:
        here = self._standing(transaction, schema, [row.key for row in batch])
        rows = [row for row in batch if row.key in here]
        ours = schema.ours
        if schema.apart:
            known = _known(transaction, self._database, ours, "contact", [row.key for row in rows])
            made = [replace(row, values={"contact": row.key, **row.values}) for row in rows if row.key not in known]
            _insert(transaction, ours, made)
            rows = [row for row in rows if row.key in known]
        _update(transaction, ours, "contact" if schema.apart else "id", rows)
        return [row for row in batch if row.key not in here]

    def _put_touches(self, transaction: Transaction, schema: Schema, batch: Sequence[Row]) -> Sequence[Row]:
        """Only what does not stand there yet: a task that a rep has finished stays finished."""
        touch = schema["touch"]
        known = _known(transaction, self._database, touch, "touch_id", [row.key for row in batch])
        _insert(transaction, touch, [row for row in batch if row.key not in known])
        return ()

    def _put_news(self, transaction: Transaction, schema: Schema, batch: Sequence[Row]) -> Sequence[Row]:
        return self._put_known(transaction, schema["touch"], "touch_id", batch)

    def _put_sequences(self, transaction: Transaction, schema: Schema, batch: Sequence[Row]) -> Sequence[Row]:
        return self._put_known(transaction, schema["sequence"], "id", batch)

    def _put_known(self, transaction: Transaction, mapped: Mapped, key: str, batch: Sequence[Row]) -> Sequence[Row]:
        known = _known(transaction, self._database, mapped, key, [row.key for row in batch])
        _update(transaction, mapped, key, [row for row in batch if row.key in known])
        return [row for row in batch if row.key not in known]

    def _beat(self, schema: Schema, write: ControlWrite) -> WriteOutcome:
        try:
            with self._database.write(Purpose.PULL) as transaction:
                self._control.read(transaction, schema, held=True)
                self._control.leave(transaction, schema, write)
        except (ConfigurationError, RejectedError) as error:
            return WriteOutcome(key=write.key, error=error.error_class, code="NOT_WRITABLE", detail=error.what)
        except RetriableError as error:
            return WriteOutcome(key=write.key, error=error.error_class, code="BUSY", detail=error.what)
        return WriteOutcome(key=write.key)


_GONE = Fault(error_class=ErrorClass.SKIPPABLE, code="NO_SUCH_ROW", message="it is not there any more")


def _plan(writes: Iterable[Write]) -> _Plan:
    plan = _Plan()
    for write in writes:
        match write:
            case StatusWrite() | BounceWrite() | ApprovalWrite() | OptOutWrite():
                plan.add(plan.people, person_row(write))
            case TaskWrite() | ReplyWrite():
                plan.add(plan.touches, touch_row(write))
            case TouchWrite():
                plan.add(plan.news, news_row(write))
            case SequenceWrite():
                plan.add(plan.sequences, sequence_row(write))
            case ControlWrite():
                plan.controls.append(write)
            case _:
                assert_never(write)
    return plan


def _known(transaction: Transaction, database: Database, mapped: Mapped, word: str, keys: Iterable[str]) -> set[str]:
    """Which keys stand in a table."""
    column = mapped[word].column
    found: set[str] = set()
    for part in database.parts([mapped[word].show(key) for key in keys]):
        found |= {read_key(row[0]) for row in transaction.rows(select(column).where(column.in_(part)))}
    return found


def _insert(transaction: Transaction, mapped: Mapped, rows: Sequence[Row]) -> None:
    for group in _alike([column_values(mapped, row.values) for row in rows]):
        transaction.change(insert(mapped.table), group)


def _update(transaction: Transaction, mapped: Mapped, key: str, rows: Sequence[Row]) -> None:
    """Rows that change the same columns together."""
    column = mapped[key].column
    given = [{**column_values(mapped, row.values), "crmdrip_key": mapped[key].show(row.key)} for row in rows]
    for group in _alike(given):
        names = [name for name in group[0] if name != "crmdrip_key"]
        if names:
            values: dict[str, Any] = {name: bindparam(f"crmdrip_{number}") for number, name in enumerate(names)}
            statement = update(mapped.table).where(column == bindparam("crmdrip_key")).values(values)
            bound = [
                {"crmdrip_key": one["crmdrip_key"], **{f"crmdrip_{n}": one[name] for n, name in enumerate(names)}}
                for one in group
            ]
            transaction.change(statement, bound)


def _alike(rows: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """Rows with the same columns, each group in its order."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(sorted(row)), []).append(row)
    return groups.values()


def _settle(row: Row, fault: Fault | None) -> Iterator[WriteOutcome]:
    for write in row.writes:
        if fault is None:
            yield WriteOutcome(key=write.key)
        else:
            yield WriteOutcome(key=write.key, error=fault.error_class, code=fault.code, detail=fault.message)
