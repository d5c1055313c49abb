"""Write-backs owed to the CRM, committed with what causes them; the newest status of a record replaces an older one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Dialect, and_, bindparam, case, delete, func, select, update
from sqlalchemy.sql.dml import UpdateBase

from crmdrip.core.struct import Struct
from crmdrip.core.writes import (
    ApprovalWrite,
    BounceWrite,
    ControlWrite,
    OptOutWrite,
    Priority,
    ReplyWrite,
    SequenceWrite,
    StatusWrite,
    TaskWrite,
    TouchWrite,
    Write,
    approval_key,
)
from crmdrip.ledger.schema import outbox
from crmdrip.ledger.statements import Bulk, Lookup, chunks, upsert_of

_KINDS: dict[str, type[Write]] = {
    "status": StatusWrite,
    "task": TaskWrite,
    "reply": ReplyWrite,
    "touch": TouchWrite,
    "approval": ApprovalWrite,
    "opt_out": OptOutWrite,
    "bounce": BounceWrite,
    "sequence": SequenceWrite,
    "control": ControlWrite,
}
_NAME_OF = {kind: name for name, kind in _KINDS.items()}
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in _KINDS.items()}
_encode = msgspec.json.Encoder().encode
_PRIORITIES = {priority.value: priority for priority in Priority}


class Owed(Struct, frozen=True, kw_only=True):
    """One write-back and how it has fared."""

    write: Write
    priority: Priority
    revision: int = 1
    attempt: int = 0
    code: str = ""
    detail: str = ""
    created_at: datetime | None = None


def _to_owed(row: Sequence[Any]) -> Owed:
    """The columns in the table's order."""
    _, kind, priority, payload, revision, attempt, _, _, code, detail, created_at = row
    return Owed(
        write=_DECODERS[kind].decode(payload),
        priority=_PRIORITIES[priority],
        revision=revision,
        attempt=attempt,
        code=code,
        detail=detail,
        created_at=created_at,
    )


def owe(
    connection: Connection, writes: Iterable[tuple[Write, Priority]], now: datetime, not_before: datetime | None = None
) -> None:
    """Add write-backs. One of the same key is replaced, keeps the higher priority, and is due at once.

    not_before: due at that time instead.
    """
    at = not_before or now
    _OWE.run(
        connection,
        [
            (write.key, _NAME_OF[type(write)], priority.value, _encode(write), 1, 0, at, False, "", "", now)
            for write, priority in writes
        ],
    )


def _owe(dialect: Dialect) -> UpdateBase:
    statement = upsert_of(dialect, outbox)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[outbox.c.key],
        set_={
            "payload": new.payload,
            "kind": new.kind,
            "priority": case((new.priority < outbox.c.priority, new.priority), else_=outbox.c.priority),
            "revision": outbox.c.revision + 1,
            "attempt": 0,
            "not_before": new.not_before,
            "parked": False,
            "code": "",
            "detail": "",
        },
    )


_OWE = Bulk(
    _owe,
    (
        "key",
        "kind",
        "priority",
        "payload",
        "revision",
        "attempt",
        "not_before",
        "parked",
        "code",
        "detail",
        "created_at",
    ),
)


def due(connection: Connection, now: datetime, limit: int) -> list[Owed]:
    """At most limit write-backs to make now, stops first."""
    rows = connection.execute(
        select(outbox)
        .where(outbox.c.parked.is_(False), outbox.c.not_before <= now)
        .order_by(outbox.c.priority, outbox.c.not_before)
        .limit(limit)
    )
    return [_to_owed(row) for row in rows]


def settle(connection: Connection, done: Iterable[Owed]) -> None:
    """These stand in the CRM. One that was replaced meanwhile stays owed in its newer form."""
    _SETTLE.run(connection, [(one.write.key, one.revision) for one in done])


_SETTLE = Bulk(
    lambda _: delete(outbox).where(
        and_(outbox.c.key == bindparam("b_key"), outbox.c.revision == bindparam("b_revision"))
    ),
    ("b_key", "b_revision"),
)


def forget(connection: Connection, keys: Iterable[str]) -> None:
    """These are not owed any more, in whatever form."""
    for chunk in chunks(keys):
        connection.execute(delete(outbox).where(outbox.c.key.in_(chunk)))


class Setback(Struct, frozen=True, kw_only=True):
    """A write-back that failed. not_before None parks it until a command or a newer write."""

    owed: Owed
    not_before: datetime | None
    code: str
    detail: str


def put_off(connection: Connection, setbacks: Iterable[Setback]) -> None:
    """Try these again later, or park them (B21)."""
    rows = [
        {
            "b_key": one.owed.write.key,
            "b_revision": one.owed.revision,
            "b_attempt": one.owed.attempt + 1,
            "b_parked": one.not_before is None,
            "b_not_before": one.not_before or one.owed.created_at,
            "b_code": one.code,
            "b_detail": one.detail,
        }
        for one in setbacks
    ]
    if rows:
        connection.execute(_PUT_OFF, rows)


_PUT_OFF = (
    update(outbox)
    .where(and_(outbox.c.key == bindparam("b_key"), outbox.c.revision == bindparam("b_revision")))
    .values(
        attempt=bindparam("b_attempt"),
        parked=bindparam("b_parked"),
        not_before=bindparam("b_not_before"),
        code=bindparam("b_code"),
        detail=bindparam("b_detail"),
    )
)


def postpone(connection: Connection, waiting: Iterable[Owed], not_before: datetime) -> None:
    """These were not tried, and are not before the time; a newer form of one is due all the same."""
    _POSTPONE.run(connection, [(not_before, one.write.key, one.revision) for one in waiting])


_POSTPONE = Bulk(
    lambda _: (
        update(outbox)
        .where(and_(outbox.c.key == bindparam("b_key"), outbox.c.revision == bindparam("b_revision")))
        .values(not_before=bindparam("b_not_before"))
    ),
    ("b_not_before", "b_key", "b_revision"),
)


def owed_approvals(connection: Connection, record_ids: Iterable[str]) -> frozenset[str]:
    """Those of the records on which an approval that was used may still show: unticking it is owed, or parked."""
    by_key = {approval_key(one): one for one in record_ids}
    return frozenset(by_key[key] for (key,) in _KEYS.rows(connection, by_key))


_KEYS = Lookup(select(outbox.c.key), outbox.c.key)


def next_due(connection: Connection) -> datetime | None:
    """When the next write-back is to be made, None when nothing is owed."""
    return connection.execute(select(func.min(outbox.c.not_before)).where(outbox.c.parked.is_(False))).scalar()


def parked(connection: Connection, limit: int = 1000) -> list[Owed]:
    """Write-backs that wait for a person, oldest first."""
    rows = connection.execute(
        select(outbox).where(outbox.c.parked.is_(True)).order_by(outbox.c.created_at).limit(limit)
    )
    return [_to_owed(row) for row in rows]


def unpark(connection: Connection, now: datetime) -> int:
    """Try everything that is parked again. Returns how many there were."""
    rows = connection.execute(
        update(outbox)
        .where(outbox.c.parked.is_(True))
        .values(parked=False, not_before=now, attempt=0)
        .returning(outbox.c.key)
    )
    return len(rows.all())


def pending(connection: Connection) -> tuple[int, int]:
    """How many are owed and not parked, and how many are parked."""
    rows = connection.execute(select(outbox.c.parked, func.count()).group_by(outbox.c.parked)).all()
    by_state = {bool(row[0]): row[1] for row in rows}
    return by_state.get(False, 0), by_state.get(True, 0)
