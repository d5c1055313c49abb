"""Small pieces of SQL that read alike on every database, and statements that run for thousands of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Dialect,
    Float,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import UpdateBase

T = TypeVar("T")

CHUNK = 500
"""Values in one IN list: below the oldest SQLite's limit of 999 parameters."""


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, of the connection's own dialect. Both spell it alike."""
    return upsert_of(connection.dialect, table)


def upsert_of(dialect: Dialect, table: Table) -> sqlite.Insert | postgresql.Insert:
    """As upsert, where only the dialect is at hand."""
    return postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)


class Bulk:
    """One statement for many rows, compiled once.

    SQLAlchemy's own executemany builds the parameters of every row anew, which costs more than SQLite's work on it
    (7 us against 2 us a row, measured). Rows are tuples in the order of `names`; types are converted as SQLAlchemy
    would, and errors are SQLAlchemy's.
    """

    def __init__(self, build: Callable[[Dialect], UpdateBase], names: Sequence[str]) -> None:
        self._build = build
        self._names = tuple(names)
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
        """Execute for every row; nothing happens without rows. Raises as Connection.execute.

        Returns how many rows of the table it touched.
        """
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self._build(dialect), self._names, dialect)
        parameters = compiled.parameters(rows)
        return connection.exec_driver_sql(compiled.sql, parameters).rowcount if parameters else 0

    def run_dicts(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """As run, for rows as mappings."""
        self.run(connection, [tuple(row[name] for name in self._names) for row in rows])


class _Compiled:
    """A statement as the driver takes it."""

    def __init__(self, statement: UpdateBase, names: tuple[str, ...], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        self.sql = str(compiled)
        self._names = names
        place = {name: number for number, name in enumerate(names)}
        binds = compiled.binds
        self._converters = [
            (place[name], convert)
            for name in names
            if name in binds and (convert := binds[name].type.dialect_impl(dialect).bind_processor(dialect)) is not None
        ]
        self._constants = {name: bind.value for name, bind in binds.items() if name not in place}
        order = compiled.positiontup
        self._order = None if order is None else [(place.get(name), self._constants.get(name)) for name in order]

    def parameters(self, rows: Iterable[Sequence[Any]]) -> list[Any]:
        """The rows as tuples, or as mappings where the driver names its parameters."""
        # Column by column, since row by row each would cost three times as much (measured).
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        if not columns:
            return []
        for at, convert in self._converters:
            columns[at] = list(map(convert, columns[at]))
        if self._order is None:
            named = (*self._names, *self._constants)
            fixed = map(repeat, self._constants.values())
            return [dict(zip(named, row, strict=True)) for row in zip(*columns, *fixed, strict=False)]
        return list(zip(*(repeat(value) if at is None else columns[at] for at, value in self._order), strict=False))


class Lookup:
    """One SELECT of the rows whose column is among many values, compiled once and read as plain tuples.

    SQLAlchemy writes a list of values anew into each statement and wraps each row, which costs three times what
    SQLite needs to find it (measured). Here the values travel as one parameter. Types are converted as SQLAlchemy
    would, and errors are SQLAlchemy's.
    """

    def __init__(self, statement: Select[Any], column: ColumnElement[Any]) -> None:
        self._statement = statement
        self._column = column
        self._compiled: dict[str, _CompiledLookup] = {}

    def rows(self, connection: Connection, values: Iterable[Any], **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows, in no order; no values, no rows. parameters: of the statement's own. Raises as execute."""
        wanted = list(values)
        if not wanted:
            return []
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _CompiledLookup(self._statement, self._column, dialect)
        return compiled.rows(connection, wanted, parameters)


class _CompiledLookup:
    """A look-up as the driver takes it."""

    def __init__(self, statement: Select[Any], column: ColumnElement[Any], dialect: Dialect) -> None:
        among: ColumnElement[bool]
        self._as_json = dialect.name != "postgresql"
        if self._as_json:
            each = func.json_each(bindparam(_VALUES, None, type_=Text)).table_valued("value")
            among = column.in_(select(each.c.value))
        else:
            among = column == any_(bindparam(_VALUES, None, type_=ARRAY(column.type)))
        self._bind = column.type.dialect_impl(dialect).bind_processor(dialect) or _same
        compiled = statement.where(among).compile(dialect=dialect)
        self._sql = str(compiled)
        self._order = compiled.positiontup
        self._constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self._binders = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect) or _same
            for name, bind in compiled.binds.items()
            if bind.required
        }
        self._converters = [
            (at, convert)
            for at, selected in enumerate(statement.selected_columns)
            if not isinstance(selected.type, Float)  # every driver gives floats as they are
            and (convert := selected.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
        ]

    def rows(self, connection: Connection, wanted: list[Any], parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        named = {**self._constants, **{name: bind(parameters[name]) for name, bind in self._binders.items()}}
        named[_VALUES] = orjson.dumps(wanted).decode() if self._as_json else [self._bind(value) for value in wanted]
        ready = named if self._order is None else tuple(named[name] for name in self._order)
        found = connection.exec_driver_sql(self._sql, ready).all()
        return [self._convert(row) for row in found] if self._converters else [tuple(row) for row in found]

    def _convert(self, row: Sequence[Any]) -> tuple[Any, ...]:
        changed = list(row)
        for at, convert in self._converters:
            changed[at] = convert(changed[at])
        return tuple(changed)


_VALUES = "crmdrip_values"


def _same(value: Any) -> Any:
    return value


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """The values in lists of at most size."""
    chunk: list[T] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
