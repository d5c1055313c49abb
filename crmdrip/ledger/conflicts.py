"""What the database refuses of many things is found and left out, so that one of them never costs the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

T = TypeVar("T")


def store_each(
    connection: Connection, items: Iterable[T], store: Callable[[Connection, list[T]], None]
) -> list[tuple[T, str]]:
    """Store the items together, or one by one in their order where a constraint refuses that.

    Returns those that were refused by themselves, each with the database's words without its values. Nothing of these
    is stored. Any other error ends the caller's transaction as ever.
    """
    together = list(items)
    if not together or _store(connection, together, store) is None:
        return []
    refused = ((item, _store(connection, [item], store)) for item in together)
    return [(item, problem) for item, problem in refused if problem is not None]


def _store(connection: Connection, items: list[T], store: Callable[[Connection, list[T]], None]) -> str | None:
    try:
        with connection.begin_nested():
            store(connection, items)
    except IntegrityError as error:
        text = str(error.orig).strip()  # PostgreSQL names the values in further lines: they are people's addresses
        return text.splitlines()[0] if text else type(error).__name__
    return None
