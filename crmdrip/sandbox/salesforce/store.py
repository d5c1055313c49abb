"""Rows: one SQLite table per object in memory, one column per field, indexed as the vendor indexes.

Stored values: text as text, booleans as 0 and 1, dates as ISO text, datetimes as integer milliseconds since 1970,
numbers as numbers. No rule of the org is kept here.
"""

# ruff: noqa: S608 - table and column names come from the schema, values are always bound

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from crmdrip.sandbox.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field, Schema, SObject

Row = dict[str, Any]

CASCADE = "cascade_root"
"""The id of the record whose deletion took this one along: what undelete brings back."""

_STANDING = {True: ("IsDeleted",), False: ("Id",)}
"""What tells whether a row is there, by whether rows of its kind can be deleted."""
_NOT_INDEXED = frozenset({"CreatedById", "LastModifiedById", "MasterRecordId"})


def quote(name: str) -> str:
    """An identifier of the schema in SQL. Names come from data files, never from a request."""
    return f'"{name}"'


def _column(spec: Field) -> str:
    if spec.type == "boolean":
        return f"{quote(spec.name)} INTEGER NOT NULL DEFAULT 0"
    if spec.type == "datetime":
        return f"{quote(spec.name)} INTEGER"
    if spec.type in NUMBER_TYPES:
        return f"{quote(spec.name)} NUMERIC"
    if spec.type in TEXT_TYPES:
        return f"{quote(spec.name)} TEXT COLLATE NOCASE"
    return f"{quote(spec.name)} TEXT"


def _indexed(spec: Field) -> bool:
    if spec.name in _NOT_INDEXED:
        return False
    return spec.type == "reference" or spec.unique or spec.external_id or spec.id_lookup or spec.name_field


def index_name(table: str, column: str) -> str:
    """The name of the index on one column."""
    return f"{table}_{column}"


@lru_cache(maxsize=512)  # writes of one kind come by the thousand
def _insertion(table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(quote(name) for name in columns)
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {quote(table)} ({names}) VALUES ({marks})"


@lru_cache(maxsize=512)
def _selection(table: str, columns: tuple[str, ...]) -> str:
    return f'SELECT {", ".join(quote(name) for name in columns)} FROM {quote(table)} WHERE "Id" = ?'


@lru_cache(maxsize=512)
def _search(specs: tuple[SObject, ...], column: str, deleted: bool | None) -> str:  # noqa: FBT001 - as ids_where has it
    kept = "" if deleted is None else f' AND "IsDeleted" = {int(deleted)}'
    return " UNION ALL ".join(
        f'SELECT "Id" FROM {quote(spec.name)} WHERE {quote(column)} = ?{kept if spec.deletable else ""}'
        for spec in specs
    )


@lru_cache(maxsize=512)
def _change(table: str, columns: tuple[str, ...]) -> str:
    sets = ", ".join(f"{quote(name)} = ?" for name in columns)
    return f'UPDATE {quote(table)} SET {sets} WHERE "Id" = ?'


class StoredRow:
    """A row as it stands: some columns were read at once, any other is when somebody asks for it.

    To be asked before the row is changed.
    """

    __slots__ = ("_record_id", "_store", "_table", "_values")

    def __init__(self, store: Store, table: str, record_id: str, values: Row) -> None:
        self._store = store
        self._table = table
        self._record_id = record_id
        self._values = values

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            self._values[name] = self._store.value(self._table, self._record_id, name)
        return self._values[name]

    def whole(self) -> Row:
        """Every column of it."""
        row = self._store.fetch(self._table, self._record_id)
        assert row is not None  # noqa: S101 - it was found, and nothing is ever taken out of a table
        return row


class Store:
    """The tables of one org."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, cached_statements=1024)
        self.db.execute("PRAGMA journal_mode = MEMORY")
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute("PRAGMA temp_store = MEMORY")
        self._numbers: dict[str, int] = {}
        self._columns: dict[str, list[str]] = {}
        self._depth = 0
        for spec in schema:
            self._create(spec)

    def close(self) -> None:
        """Give back the memory."""
        self.db.close()

    def _create(self, spec: SObject) -> None:
        columns = ", ".join(_column(each) for each in spec.fields.values())
        self.db.execute(f"CREATE TABLE {quote(spec.name)} ({columns}, {CASCADE} TEXT)")
        self.db.execute(f'CREATE UNIQUE INDEX {quote(index_name(spec.name, "Id"))} ON {quote(spec.name)} ("Id")')
        self.create_indexes(spec)

    def create_indexes(self, spec: SObject) -> None:
        """Create the indexes that are not there."""
        table = quote(spec.name)
        for column, more in (("SystemModstamp", ', "Id"'), ("CreatedDate", "")):
            name = quote(index_name(spec.name, column))
            self.db.execute(f'CREATE INDEX IF NOT EXISTS {name} ON {table} ("{column}"{more})')
        for each in spec.fields.values():
            if each.name != "Id" and _indexed(each):
                name, column = quote(index_name(spec.name, each.name)), quote(each.name)
                self.db.execute(
                    f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({column}) WHERE {column} IS NOT NULL"
                )  # fmt: skip

    def drop_indexes(self, spec: SObject) -> None:
        """Drop all but the one on Id, for a bulk load."""
        keep = index_name(spec.name, "Id")
        rows = self.db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND name <> ?", (spec.name, keep)
        ).fetchall()
        for (name,) in rows:
            self.db.execute(f"DROP INDEX {quote(name)}")

    def add_object(self, spec: SObject) -> None:
        """Create the table of a further object."""
        self._create(spec)

    def add_columns(self, table: str, specs: Iterable[Field]) -> None:
        """Add the fields' columns."""
        for spec in specs:
            self.db.execute(f"ALTER TABLE {quote(table)} ADD COLUMN {_column(spec)}")
        self.create_indexes(self.schema[table])

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """All of what happens inside, or nothing of it when it raises."""
        self._depth += 1
        name = f"s{self._depth}"
        self.db.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            self.db.execute(f"ROLLBACK TO {name}")
            raise
        finally:
            self.db.execute(f"RELEASE {name}")
            self._depth -= 1

    def next_number(self, table: str) -> int:
        """The number of the object's next record; numbers are never used again."""
        number = self._numbers.get(table, 0) + 1
        self._numbers[table] = number
        return number

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Add one row."""
        self.db.execute(_insertion(table, tuple(row)), tuple(row.values()))

    def insert_many(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Add rows of the same columns."""
        self.db.executemany(_insertion(table, tuple(columns)), rows)

    def update(self, table: str, record_id: str, changes: Mapping[str, Any]) -> None:
        """Change one row by id."""
        self.db.execute(_change(table, tuple(changes)), (*changes.values(), record_id))

    def fetch(self, table: str, record_id: str) -> Row | None:
        """One row by id, deleted or not, by field name; the cascade root under its own name."""
        cursor = self.db.execute(f'SELECT * FROM {quote(table)} WHERE "Id" = ?', (record_id,))
        values = cursor.fetchone()
        if values is None:
            return None
        names = self._columns.get(table)
        if names is None or len(names) != len(values):  # a field was added
            names = self._columns[table] = [column[0] for column in cursor.description]
        return dict(zip(names, values, strict=True))

    def read(self, table: str, record_id: str, columns: tuple[str, ...]) -> StoredRow | None:
        """One row by id, deleted or not, of which some columns are wanted for certain."""
        values = self.db.execute(_selection(table, columns), (record_id,)).fetchone()
        if values is None:
            return None
        return StoredRow(self, table, record_id, dict(zip(columns, values, strict=True)))

    def fetch_living(
        self, spec: SObject, record_ids: Sequence[str], columns: Sequence[str]
    ) -> dict[str, Sequence[Any]]:
        """Some columns of the living rows among these, by id; the id itself stands before them."""
        names = ", ".join(quote(name) for name in columns)
        sql = f'SELECT "Id", {names} FROM {quote(spec.name)} WHERE "Id" IN (SELECT value FROM json_each(?))'
        if spec.deletable:
            sql += ' AND "IsDeleted" = 0'
        return {row[0]: row for row in self.db.execute(sql, (json.dumps(record_ids),))}

    def clear(self, table: str, column: str, value: Any) -> None:
        """Empty the column wherever it has the value."""
        self.db.execute(f"UPDATE {quote(table)} SET {quote(column)} = NULL WHERE {quote(column)} = ?", (value,))

    def ids_where(self, table: str, column: str, value: Any, *, deleted: bool | None = False) -> list[str]:
        """Ids of the rows with that value in the column; deleted None takes deleted and living rows alike."""
        return [row[0] for row in self.db.execute(_search((self.schema[table],), column, deleted), (value,))]

    def ids_among(self, tables: Sequence[str], column: str, value: Any) -> list[str]:
        """Ids of the living rows of several tables with that value in the column they share."""
        specs = tuple(self.schema[table] for table in tables)
        return [row[0] for row in self.db.execute(_search(specs, column, False), (value,) * len(specs))]

    def value(self, table: str, record_id: str, column: str) -> Any:
        """One value by id; None also when there is no such row."""
        row = self.db.execute(_selection(table, (column,)), (record_id,)).fetchone()
        return None if row is None else row[0]

    def exists(self, spec: SObject, record_id: str) -> bool | None:
        """True for a living row, False for a deleted one, None for none."""
        row = self.db.execute(_selection(spec.name, _STANDING[spec.deletable]), (record_id,)).fetchone()
        return None if row is None else not (spec.deletable and row[0])

    def count(self, spec: SObject) -> int:
        """How many living rows."""
        where = ' WHERE "IsDeleted" = 0' if spec.deletable else ""
        row = self.db.execute(f"SELECT count(*) FROM {quote(spec.name)}{where}").fetchone()
        return int(row[0])
