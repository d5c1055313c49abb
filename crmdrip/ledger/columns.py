"""The types of the tables' columns: what SQLAlchemy has none for that is alike on every database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware UTC time, kept as whole microseconds since 1970: the same on every database, sorts as a number.

    Refuses naive times: SQLite would hand them back without a zone.
    """

    impl = BigInteger
    cache_ok = True

    # The processors themselves and not SQLAlchemy's process_... methods, which would be wrapped once more: this is
    # the one conversion of the ledger, and there are twenty for each email.

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], int | None]:  # noqa: ARG002 - SQLAlchemy's signature
        """To microseconds. Raises ValueError for a naive time."""
        return to_number

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any | None], datetime | None]:  # noqa: ARG002 - SQLAlchemy's signature
        """Back to an aware UTC time."""
        return to_time


# The times of one batch are mostly the same ones.


@lru_cache(maxsize=4_096)
def to_number(value: datetime | None) -> int | None:
    """Microseconds since 1970. Raises ValueError for a naive time."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a time without a zone must not reach the ledger")
    return (value - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=4_096)
def to_time(value: Any | None) -> datetime | None:
    """The aware UTC time of so many microseconds since 1970."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


class Words(TypeDecorator[str]):
    """Text of any length. How long an address or a key may be is decided where it comes in, alike on every database.

    PostgreSQL's texts cannot hold the character NUL, which somebody's email may (B27): there it becomes U+FFFD.
    """

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[str | None], str | None] | None:
        """As it is, but for NUL on PostgreSQL."""
        return without_nul if dialect.name == "postgresql" else None


def without_nul(value: str | None) -> str | None:
    """The text as PostgreSQL takes it."""
    return value.replace("\0", "\ufffd") if value is not None and "\0" in value else value
