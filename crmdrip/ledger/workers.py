"""The daemons that may write to a ledger on a server, each until another one has taken its work over (B3, P1).

A lock tells a daemon that comes that another is there. It does not tell the one whose connection was cut, or whose
machine slept, that its lock is gone: so every transaction asks, as its first act, whether its writer still stands here.
Daemons that work together sign in again and again; who has been silent for too long is struck off by the others.
"""

from __future__ import annotations

import os
import secrets
import socket
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Float, cast, delete, func, insert, select, update

from crmdrip import __version__
from crmdrip.core.struct import Struct
from crmdrip.ledger import assignments, engines
from crmdrip.ledger.errors import LedgerTakenError
from crmdrip.ledger.schema import assignment, worker


class Worker(Struct, frozen=True, kw_only=True):
    """One life of one daemon."""

    id: str
    name: str
    """As people know it."""


class SignedIn(Struct, frozen=True, kw_only=True):
    """A daemon that stands in the ledger."""

    id: str
    name: str
    process: str
    version: str
    ready: bool
    joined_at: datetime
    silent: float
    """Seconds since it signed in last."""
    runs: int
    """That it looks at or mails just now."""


def new_worker(name: str = "") -> Worker:
    """A daemon that begins to live. name: by default of the machine and the process."""
    return Worker(id=secrets.token_hex(16), name=name or f"{socket.gethostname()}-{os.getpid()}")


def _now() -> ColumnElement[int]:
    """The server's time, as columns.Instant keeps it: machines are compared by one clock, whatever theirs show."""
    return cast(func.extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger())


def stand_alone(connection: Connection, one: Worker) -> None:
    """Whoever holds the lock for itself is the only one: all that stood here before write no more."""
    connection.execute(delete(assignment))
    connection.execute(delete(worker))
    join(connection, one)


def join(connection: Connection, one: Worker) -> None:
    """One more that works together with the others."""
    values: dict[str, Any] = {"id": one.id, "name": one.name, "process": engines.PROCESS, "version": __version__}
    connection.execute(insert(worker).values(**values, ready=False, joined_at=_now(), seen_at=_now()))


def require(connection: Connection, one: Worker) -> None:
    """Raises LedgerTakenError once another daemon took over."""
    if connection.execute(select(worker.c.id).where(worker.c.id == one.id)).first() is None:
        raise LedgerTakenError(
            "another daemon has taken this ledger over, while this one could not be reached. Nothing is sent any more.",
            do_next="Stop one of the two; if it is the other one, start this one again.",
        )


def leave(connection: Connection, one: Worker) -> None:
    """It has ended in order; what it left unfinished is settled by others."""
    assignments.settle(connection, [one.id])
    connection.execute(delete(worker).where(worker.c.id == one.id))


def sign_in(connection: Connection, one: Worker) -> bool:
    """It is still at work. False once the others struck it off."""
    found = connection.execute(
        update(worker).where(worker.c.id == one.id).values(seen_at=_now()).returning(worker.c.id)
    )
    return found.first() is not None


def set_ready(connection: Connection, one: Worker) -> None:
    """It knows that the ledger holds what the CRM holds."""
    connection.execute(update(worker).where(worker.c.id == one.id).values(ready=True))


def any_ready(connection: Connection, lease: float) -> bool:
    """Whether a daemon that is at work knows that the ledger holds what the CRM holds. lease: in seconds."""
    found = select(worker.c.id).where(worker.c.ready.is_(True), _silence() < lease).limit(1)
    return connection.execute(found).first() is not None


def cut_off_silent(connection: Connection, lease: float) -> bool:
    """End every connection of whoever has been silent for longer than the lease; whether there was anybody."""
    silent = connection.execute(select(worker.c.process).where(_silence() > lease)).scalars().all()
    for process in silent:
        if process != engines.PROCESS:
            engines.cut_off(connection, process)
    return bool(silent)


def strike_off(connection: Connection, lease: float) -> list[str]:
    """Whoever has been silent for longer than the lease writes no more; their names. lease: in seconds.

    What they had begun to send is in doubt (B1), and the rest of their work is free again.
    """
    rows = connection.execute(delete(worker).where(_silence() > lease).returning(worker.c.id, worker.c.name)).all()
    assignments.settle(connection, [row.id for row in rows])
    return [row.name for row in rows]


def signed_in(connection: Connection) -> list[SignedIn]:
    """Every daemon that stands here, the oldest first."""
    runs = select(func.count()).where(assignment.c.worker_id == worker.c.id).scalar_subquery()
    rows = connection.execute(
        select(worker, _silence().label("silent"), runs.label("runs")).order_by(worker.c.joined_at)
    )
    return [
        SignedIn(
            id=row.id,
            name=row.name,
            process=row.process,
            version=row.version,
            ready=row.ready,
            joined_at=row.joined_at,
            silent=float(row.silent),
            runs=row.runs,
        )
        for row in rows
    ]


def _silence() -> ColumnElement[float]:
    """Seconds since a daemon signed in last."""
    return cast(_now() - cast(worker.c.seen_at, BigInteger()), Float()) / 1_000_000
