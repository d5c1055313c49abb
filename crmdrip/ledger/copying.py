"""A whole ledger from one database to another: every row, checked before anything of it counts.

What is copied is counted and summed on its way, and read back from where it came to: the copy is committed only where
both agree. What concerns one place alone, such as which daemons work there, stays there.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Dialect, Integer, MetaData, Table, Text, func, insert, select
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

from crmdrip.core.errors import RejectedError
from crmdrip.core.struct import Struct
from crmdrip.ledger import schema
from crmdrip.ledger.columns import Instant, Words, without_nul
from crmdrip.ledger.engines import create_privately
from crmdrip.ledger.errors import LedgerBrokenError, explain
from crmdrip.ledger.schema import metadata
from crmdrip.ledger.statements import Bulk, chunks
from crmdrip.ledger.store import Ledger, open_ledger

TOGETHER = 2_000
"""Rows held in memory at a time."""

_OF_A_PLACE = frozenset({schema.touch_move.name, schema.worker.name, schema.assignment.name})
"""Tables that migrations fill, or that tell of the daemons of one database."""


class Copied(Struct, frozen=True, kw_only=True):
    """What of one table was copied."""

    table: str
    rows: int
    total: int
    """To be copied."""


Tell = Callable[[Copied], None]
"""Told of each table as it grows."""


def _say_nothing(_: Copied) -> None:
    return


def copy_ledger(source: Ledger, target: Ledger, tell: Tell = _say_nothing) -> list[Copied]:
    """Copy every row of a ledger into an empty one: all of it or, on any error, nothing.

    Whoever calls keeps daemons off both, but one at work on the source does no harm: what it stores meanwhile is not
    in the copy. Raises RejectedError for a target that holds something, and LedgerBrokenError.
    """
    copied: list[Copied] = []
    with source.read() as origin, target.write() as connection:
        _refuse_filled(connection, target.where)
        for table in tables():
            total = count(origin, table)
            copied.append(Copied(table=table.name, rows=0, total=total))
            tell(copied[-1])
            sums = _Sum()
            for rows in chunks(read_rows(origin, table), TOGETHER):
                _store(connection, table, rows)
                sums.add(rows)
                copied[-1] = Copied(table=table.name, rows=sums.rows, total=total)
                tell(copied[-1])
            _require_same(connection, table, sums, target.where)
            _go_on_numbering(connection, table)
    return copied


def back_up(source: Ledger, file: Path, tell: Tell = _say_nothing) -> None:
    """A copy in a new SQLite file, as the ledger is at one moment, beside a daemon that may be at work.

    Raises RejectedError where there is a file already, and LedgerBrokenError.
    """
    if file.exists():
        raise RejectedError("there is such a file already.", where=str(file), do_next="Name another.")
    part = file.with_name(f"{file.name}.part")
    try:
        _remove(part)
        if source.path is not None:
            _back_up_file(source.path, part)
        else:
            target = open_ledger(f"sqlite:///{part}")
            try:
                copy_ledger(source, target, tell)
            finally:
                target.close()
        part.rename(file)
    except OSError as error:
        raise explain(error, str(file)) from error
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        part.with_name(part.name + ending).unlink(missing_ok=True)


def _back_up_file(origin: Path, copy: Path) -> None:
    """SQLite's own way: page by page, also beside a writer."""
    create_privately(copy)
    try:
        with (
            closing(sqlite3.connect(f"{origin.resolve().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.DatabaseError as error:
        raise explain(error, str(origin)) from error


# --- tables -------------------------------------------------------------------------------------------------------


def tables() -> list[Table]:
    """Those that make up a ledger, each after those it refers to."""
    return [table for table in metadata.sorted_tables if table.name not in _OF_A_PLACE]


def count(connection: Connection, table: Table) -> int:
    """How many rows the table has."""
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def size(ledger: Ledger) -> int:
    """Bytes that the ledger takes, with its indexes. Raises LedgerBrokenError."""
    if ledger.path is not None:
        parts = (ledger.path.with_name(ledger.path.name + ending) for ending in ("", "-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())
    with ledger.read() as connection:
        names = (table.name for table in metadata.sorted_tables)
        return sum(connection.execute(select(func.pg_total_relation_size(name))).scalar_one() for name in names)


def _refuse_filled(connection: Connection, where: str) -> None:
    for table in tables():
        if connection.execute(select(table).limit(1)).first() is not None:
            raise RejectedError(
                f"this ledger is not empty: there is something in its table {table.name!r}. Nothing was copied.",
                where=where,
                do_next="Name a file that does not exist, or a database without tables.",
            )


def _plain(table: Table) -> Table:
    """The table with its times as the numbers that they are stored as: nobody looks at them here."""

    def plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
        if isinstance(kind, Instant):
            return BigInteger()
        return Text() if isinstance(kind, Words) else kind

    return Table(table.name, MetaData(), *(Column(column.name, plain(column.type)) for column in table.c))


_PLAIN = {table.name: _plain(table) for table in metadata.sorted_tables}


def read_rows(connection: Connection, table: Table) -> Iterator[tuple[Any, ...]]:
    """Every row as it is on PostgreSQL too."""
    found = connection.execute(select(_PLAIN[table.name]), execution_options={"yield_per": TOGETHER})
    for row in found:
        yield tuple(without_nul(value) if isinstance(value, str) else value for value in row)


def _store(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    if connection.dialect.name != "postgresql":
        _INSERT[table.name].run(connection, rows)
        return
    # Ten times as fast as INSERT, and within the same transaction.
    names = ", ".join(f'"{column.name}"' for column in table.c)
    cursor: Any = connection.connection.cursor()
    with closing(cursor), cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)


def _insert_into(table: Table, _: Dialect) -> UpdateBase:
    return insert(table)


_INSERT = {
    name: Bulk(partial(_insert_into, table), [column.name for column in table.c]) for name, table in _PLAIN.items()
}


class _Sum:
    """A count of rows and a sum of their digests, which no order of theirs changes."""

    def __init__(self) -> None:
        self.rows = 0
        self.digest = 0

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Further rows."""
        for row in rows:
            text = repr(tuple(bytes(value) if isinstance(value, memoryview) else value for value in row))
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            self.digest = (self.digest + int.from_bytes(digest)) % (1 << 128)
            self.rows += 1


def _require_same(connection: Connection, table: Table, sums: _Sum, where: str) -> None:
    found = _Sum()
    found.add(read_rows(connection, table))
    if (found.rows, found.digest) != (sums.rows, sums.digest):
        raise LedgerBrokenError(
            f"what came to the table {table.name!r} is not what was sent ({found.rows} rows for {sums.rows}). Nothing"
            " was copied.",
            where=where,
            do_next="Check the disk of the database, and try again.",
        )


def _go_on_numbering(connection: Connection, table: Table) -> None:
    """PostgreSQL counts for itself, and knows nothing of numbers that were brought along."""
    [key] = table.primary_key.columns if len(table.primary_key.columns) == 1 else [None]
    if connection.dialect.name != "postgresql" or key is None or not isinstance(key.type, Integer):
        return
    highest = connection.execute(select(func.max(key))).scalar()
    if highest is not None:
        connection.execute(select(func.setval(func.pg_get_serial_sequence(table.name, key.name), highest)))
