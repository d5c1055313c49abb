"""Answers on their way to the rep. A row says "intended" before its request leaves, and then never goes again (B1).

An answer is on the timeline before it is here, so one that is in doubt is lost to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from crmdrip.core.message import EmailMessage
from crmdrip.ledger.schema import IS_WAITING, forward
from crmdrip.ledger.statements import upsert

WAITING = "waiting"
INTENDED = "intended"
ACCEPTED = "accepted"
IN_DOUBT = "in_doubt"
FAILED = "failed"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EmailMessage).decode


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """An answer that is to be sent on now."""

    message: EmailMessage
    attempt: int
    """How often it was refused before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unaddressed:
    """An answer to somebody of whom the CRM's id alone is known."""

    message: EmailMessage
    owner_id: str
    attempt: int
    """How often the CRM was asked for the address in vain."""


def add(connection: Connection, message: EmailMessage, now: datetime, *, owner_id: str = "") -> None:
    """Have an answer sent on, under the message's touch_id; one of the same id is there already and stays.

    owner_id: whom the CRM is to be asked for (`address`), for a message without an address.
    """
    row = {
        "id": message.touch_id,
        "state": WAITING,
        "attempt": 0,
        "not_before": now,
        "created_at": now,
        "owner_id": owner_id,
        "message": _encode(message),
        "detail": "",
    }
    connection.execute(upsert(connection, forward).on_conflict_do_nothing(), row)


def read_unaddressed(connection: Connection, now: datetime, limit: int) -> list[Unaddressed]:
    """What waits for an address that may be asked for now. At most limit, the oldest first."""
    rows = connection.execute(
        select(forward.c.message, forward.c.owner_id, forward.c.attempt)
        .where(IS_WAITING, forward.c.not_before <= now, forward.c.owner_id != "")
        .order_by(forward.c.created_at)
        .limit(limit)
    )
    return [
        Unaddressed(message=_decode(bytes(row.message)), owner_id=row.owner_id, attempt=row.attempt) for row in rows
    ]


def address(connection: Connection, message: EmailMessage) -> None:
    """The message with its address takes the place of the one without, and may be claimed."""
    _move(connection, message.touch_id, WAITING, owner_id="", attempt=0, message=_encode(message), detail="")


def any_to_do(connection: Connection, now: datetime) -> bool:
    """Whether one waits to be sent on now."""
    due = select(forward.c.id).where(IS_WAITING, forward.c.not_before <= now).limit(1)
    return connection.execute(due).first() is not None


def claim(connection: Connection, now: datetime, limit: int) -> list[Claimed]:
    """Commit to what waits: "intended" once this transaction is. At most limit, the oldest first."""
    rows = connection.execute(
        select(forward.c.id, forward.c.attempt, forward.c.message)
        .where(IS_WAITING, forward.c.not_before <= now, forward.c.owner_id == "")
        .order_by(forward.c.created_at)
        .limit(limit)
    ).all()
    for row in rows:
        connection.execute(update(forward).where(forward.c.id == row.id, IS_WAITING).values(state=INTENDED))
    return [Claimed(message=_decode(bytes(row.message)), attempt=row.attempt) for row in rows]


def accept(connection: Connection, forward_id: str) -> None:
    """The provider took it; what it says is dropped."""
    _move(connection, forward_id, INTENDED, state=ACCEPTED, message=b"", detail="")


def doubt(connection: Connection, forward_id: str, detail: str) -> None:
    """It may have gone out, and is not sent again."""
    _move(connection, forward_id, INTENDED, state=IN_DOUBT, message=b"", detail=detail)


def put_off(connection: Connection, forward_id: str, not_before: datetime, detail: str, *, was: str = INTENDED) -> None:
    """It was certainly not taken, and is tried again. was: the state it is in."""
    attempt = forward.c.attempt + 1
    _move(connection, forward_id, was, state=WAITING, not_before=not_before, attempt=attempt, detail=detail)


def fail(connection: Connection, forward_id: str, detail: str, *, was: str = INTENDED) -> None:
    """It was certainly not taken, and trying again would not help. was: the state it is in."""
    _move(connection, forward_id, was, state=FAILED, message=b"", detail=detail)


def _move(connection: Connection, forward_id: str, was: str, **values: object) -> None:
    connection.execute(update(forward).where(forward.c.id == forward_id, forward.c.state == was).values(values))


def recover(connection: Connection) -> int:
    """While nothing is being sent: what was intended and never concluded is in doubt. Returns how many there were."""
    detail = "the daemon ended before the answer came"
    rows = connection.execute(
        update(forward)
        .where(forward.c.state == INTENDED)
        .values(state=IN_DOUBT, message=b"", detail=detail)
        .returning(forward.c.id)
    )
    return len(rows.all())


def doubt_waiting(connection: Connection) -> int:
    """What an older copy of the ledger still means to send on may have gone out since. Returns how many there are."""
    detail = "the ledger may be an older copy, and it may have been sent on since"
    rows = connection.execute(
        update(forward).where(IS_WAITING).values(state=IN_DOUBT, message=b"", detail=detail).returning(forward.c.id)
    )
    return len(rows.all())


def count_by_state(connection: Connection) -> dict[str, int]:
    """How many there are."""
    rows = connection.execute(select(forward.c.state, func.count()).group_by(forward.c.state))
    return {row[0]: row[1] for row in rows}


def forget(connection: Connection, before: datetime, states: Iterable[str] = (ACCEPTED, IN_DOUBT, FAILED)) -> None:
    """Drop what was concluded and came before the time."""
    connection.execute(delete(forward).where(forward.c.state.in_(list(states)), forward.c.created_at < before))
