"""What came in from outside, kept raw until it is read; each delivery once, however often it is repeated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, literal_column, select, update

from crmdrip.core.received import Delivery
from crmdrip.ledger.schema import IS_WAITING, received
from crmdrip.ledger.statements import upsert

WAITING = "waiting"
DONE = "done"
FAILED = "failed"

ERROR_LIMIT = 500
"""Characters kept of why a delivery could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A delivery that waits to be read."""

    id: int
    delivery: Delivery
    attempt: int
    """How often reading it has failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A delivery that could not be read, for people."""

    id: int
    source: str
    received_at: datetime
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedCount:
    """How much there is."""

    waiting: int = 0
    failed: int = 0
    unclear: int = 0
    """Read, with something in it that nobody knew: kept raw."""


def store(connection: Connection, deliveries: Iterable[Delivery]) -> list[Delivery]:
    """Keep what is new and return it; what was known by its key is passed over (B23)."""
    statement = (
        upsert(connection, received)
        .on_conflict_do_nothing(index_elements=[received.c.source, received.c.key])
        .returning(received.c.id)
    )
    new: list[Delivery] = []
    for one in deliveries:
        row = {
            "source": one.source,
            "key": one.key,
            "body": one.body,
            "content_type": one.content_type[:255],
            "envelope_to": json.dumps(one.envelope_to) if one.envelope_to else "",
            "received_at": one.received_at,
            "state": WAITING,
            "attempt": 0,
            "not_before": one.received_at,
            "error": "",
        }
        if connection.execute(statement, row).first() is not None:
            new.append(one)
    return new


def newest_waiting(connection: Connection) -> int | None:
    """The number of what came last of all that waits, due or not; None when nothing waits.

    What a last look asks first: answered by an index of what waits alone.
    """
    return connection.execute(_NEWEST).scalar()


_NEWEST = select(func.max(received.c.id)).where(IS_WAITING)


def is_waiting(connection: Connection, last: int) -> bool:
    """Whether anything up to that number still waits, due or not."""
    return connection.execute(_IS_WAITING, {"last": last}).first() is not None


_IS_WAITING = select(received.c.id).where(IS_WAITING, received.c.id <= bindparam("last")).limit(1)


def claim(connection: Connection, now: datetime, limit: int, last: int | None = None) -> list[Received]:
    """At most limit deliveries to be read now, and at most about ROOM bytes of them, in the order they came.

    last: none after that number. Locked until the transaction ends.
    """
    due = and_(IS_WAITING, received.c.not_before <= now, *(() if last is None else (received.c.id <= last,)))
    sizes = connection.execute(
        select(received.c.id, func.length(received.c.body)).where(due).order_by(received.c.id).limit(limit)
    )
    room = ROOM
    ids: list[int] = []
    for number, size in sizes:
        if ids and size > room:
            break
        ids.append(number)
        room -= size
    rows = connection.execute(select(received).where(received.c.id.in_(ids)).order_by(received.c.id))
    return [_to_received(row) for row in rows]


ROOM = 32 * 1024 * 1024
"""Bytes of deliveries held in memory together; a larger one comes alone."""


def _to_received(row: Sequence[Any]) -> Received:
    """The columns in the table's order."""
    number, source, key, body, content_type, envelope_to, received_at, _, attempt, _, _ = row
    return Received(
        id=number,
        delivery=Delivery(
            source=source,
            key=key,
            body=bytes(body),
            content_type=content_type,
            received_at=received_at,
            envelope_to=tuple(json.loads(envelope_to)) if envelope_to else (),
        ),
        attempt=attempt,
    )


def finish(connection: Connection, ids: Iterable[int]) -> None:
    """These were read and acted on. Their key stays, so that a repeat is known; the body goes."""
    _finish(connection, ids, {"state": DONE, "error": "", "body": b""})


def finish_unclear(connection: Connection, ids: Iterable[int], what: str) -> None:
    """These were read and acted on, but for something in them that nobody knew: they are kept raw."""
    _finish(connection, ids, {"state": DONE, "error": what[:ERROR_LIMIT]})


def _finish(connection: Connection, ids: Iterable[int], values: dict[str, Any]) -> None:
    for number in ids:
        connection.execute(update(received).where(received.c.id == number).values(values))


def put_off(connection: Connection, number: int, not_before: datetime, error: str) -> None:
    """Reading it failed, and is tried again later."""
    connection.execute(
        update(received)
        .where(received.c.id == number)
        .values(attempt=received.c.attempt + 1, not_before=not_before, error=error[:ERROR_LIMIT])
    )


def fail(connection: Connection, number: int, error: str) -> None:
    """It cannot be read: kept raw, and shown, until a person asks for another try."""
    connection.execute(
        update(received)
        .where(received.c.id == number)
        .values(state=FAILED, attempt=received.c.attempt + 1, error=error[:ERROR_LIMIT])
    )


def retry_failed(connection: Connection, now: datetime) -> int:
    """Try everything that failed again. Returns how many there were."""
    rows = connection.execute(
        update(received)
        .where(received.c.state == FAILED)
        .values(state=WAITING, attempt=0, not_before=now)
        .returning(received.c.id)
    )
    return len(rows.all())


def failures(connection: Connection, limit: int = 100) -> list[Failure]:
    """What could not be read, oldest first."""
    rows = connection.execute(
        select(received.c.id, received.c.source, received.c.received_at, received.c.error)
        .where(received.c.state == FAILED)
        .order_by(received.c.id)
        .limit(limit)
    )
    return [Failure(id=row[0], source=row[1], received_at=row[2], error=row[3]) for row in rows]


def count(connection: Connection) -> ReceivedCount:
    """How much waits, failed, or was not understood in full."""
    has_error: ColumnElement[bool] = literal_column(
        "error <> ''"
    )  # spelt out: PostgreSQL takes two equal parameters for two expressions
    rows = connection.execute(
        select(received.c.state, has_error, func.count()).group_by(received.c.state, has_error)
    ).all()
    numbers = {(row[0], bool(row[1])): row[2] for row in rows}
    return ReceivedCount(
        waiting=numbers.get((WAITING, False), 0) + numbers.get((WAITING, True), 0),
        failed=numbers.get((FAILED, False), 0) + numbers.get((FAILED, True), 0),
        unclear=numbers.get((DONE, True), 0),
    )


def forget_before(connection: Connection, at: datetime) -> None:
    """Drop what was read and came before the time; what failed stays."""
    connection.execute(delete(received).where(received.c.state == DONE, received.c.received_at < at))
