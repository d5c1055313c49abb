"""Small pieces of SQL that read alike on every database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

CHUNK = 500
"""Values in one IN list: below the oldest SQLite's limit of 999 parameters."""


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, of the connection's own dialect. Both spell it alike."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


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


def select_in(connection: Connection, statement: Any, column: Any, values: Iterable[Any]) -> Iterator[Any]:
    """The rows of statement whose column is among the values, read in chunks; no values, no rows."""
    for chunk in chunks(values):
        yield from connection.execute(statement.where(column.in_(chunk))).all()
