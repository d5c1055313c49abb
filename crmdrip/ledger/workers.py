"""The daemons that may write to a ledger on a server, each until another one has taken its work over (B3, P1).

A lock tells a daemon that comes that another is there. It does not tell the one whose connection was cut, or whose
machine slept, that its lock is gone: so every transaction asks, as its first act, whether its writer still stands here.
"""

from __future__ import annotations

import secrets

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, delete, func, insert, select

from crmdrip.core.struct import Struct
from crmdrip.ledger.errors import LedgerTakenError
from crmdrip.ledger.schema import worker


class Worker(Struct, frozen=True, kw_only=True):
    """One life of one daemon."""

    id: str
    name: str
    """As people know it."""


def new_worker(name: str) -> Worker:
    """A daemon that begins to live."""
    return Worker(id=secrets.token_hex(16), name=name)


def _now() -> ColumnElement[int]:
    """The server's time, as schema.Instant keeps it: machines are compared by one clock, whatever theirs show."""
    return cast(func.extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger())


def stand_alone(connection: Connection, one: Worker) -> None:
    """Whoever holds the lock for itself is the only one: all that stood here before write no more."""
    connection.execute(delete(worker))
    connection.execute(insert(worker).values(id=one.id, name=one.name, joined_at=_now(), seen_at=_now()))


def require(connection: Connection, one: Worker) -> None:
    """Raises LedgerTakenError once another daemon took over."""
    if connection.execute(select(worker.c.id).where(worker.c.id == one.id)).first() is None:
        raise LedgerTakenError(
            "another daemon has taken this ledger over, while this one could not be reached. Nothing is sent any more.",
            do_next="Stop one of the two; if it is the other one, start this one again.",
        )


def leave(connection: Connection, one: Worker) -> None:
    """It has ended in order."""
    connection.execute(delete(worker).where(worker.c.id == one.id))
