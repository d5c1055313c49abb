"""Runs that are due: which to look at next, and when each is looked at again. Stores nothing else about a run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, update

from crmdrip.core.model import RecordRef, RunStatus
from crmdrip.core.struct import Struct
from crmdrip.ledger.runs import LIVE, REF
from crmdrip.ledger.schema import IS_HELD, IS_LIVE, enrollment
from crmdrip.ledger.statements import chunks


class DueRun(Struct, frozen=True, kw_only=True):
    """As much of a due run as the last look needs; the run itself is read again when it is decided."""

    id: int
    ref: RecordRef
    sequence_id: str
    owner_id: str | None


def claim_due(connection: Connection, now: datetime, limit: int) -> list[DueRun]:
    """At most limit live runs to look at now: follow-ups before first emails, then the longest overdue."""
    found: list[DueRun] = []
    for first in (False, True):
        rows = connection.execute(_CLAIM, {"is_first": first, "now": now, "n": limit - len(found)}).all()
        found.extend(
            DueRun(id=number, ref=REF[kind](record_id), sequence_id=sequence_id, owner_id=owner_id)
            for number, kind, record_id, sequence_id, owner_id in rows
        )
        if len(found) == limit:
            break
    return found


_CLAIM = (
    select(enrollment.c.id, enrollment.c.kind, enrollment.c.record_id, enrollment.c.sequence_id, enrollment.c.owner_id)
    .where(enrollment.c.first == bindparam("is_first"), enrollment.c.check_at <= bindparam("now"))
    .order_by(enrollment.c.check_at)
    .limit(bindparam("n"))
)


def set_aside(connection: Connection, ids: Iterable[int], until: datetime) -> None:
    """Look at these runs no sooner: they let others by, or what was to be stored of them was refused."""
    for chunk in chunks(ids):
        connection.execute(update(enrollment).where(enrollment.c.id.in_(chunk), IS_LIVE).values(check_at=until))


def wake_records(connection: Connection, record_ids: Iterable[str], now: datetime) -> None:
    """Look again now at the held and paused runs of these records: something about them changed."""
    for chunk in chunks(record_ids):
        connection.execute(
            update(enrollment)
            .where(
                enrollment.c.record_id.in_(chunk),
                enrollment.c.status.in_((RunStatus.HELD.value, RunStatus.PAUSED.value)),
                enrollment.c.reason.not_in(_NOT_WOKEN),
            )
            .values(check_at=now)
        )


_NOT_WOKEN = ("hold.in_doubt", "hold.needs_person", "hold.daily_cap", "hold.provider")
"""Waits that no change of a record ends."""


def wake_sequence(connection: Connection, sequence_id: str, now: datetime) -> None:
    """Look again at every held run of a sequence: it was changed, confirmed or set Live."""
    connection.execute(
        update(enrollment)
        .where(
            enrollment.c.sequence_id == sequence_id,
            IS_HELD,
            enrollment.c.status.in_((RunStatus.HELD.value, RunStatus.PAUSED.value)),
            enrollment.c.reason.not_in(_NOT_WOKEN),
        )
        .values(check_at=now)
    )


def wake_held(connection: Connection, now: datetime) -> int:
    """Look again now at every run that is held until some time; how many."""
    held = (IS_HELD, enrollment.c.status == RunStatus.HELD.value, enrollment.c.check_at > now)
    return connection.execute(update(enrollment).where(*held).values(check_at=now)).rowcount


def wake_due(connection: Connection, until: datetime, now: datetime) -> None:
    """Look now at every run on its way whose next touch comes by then."""
    connection.execute(
        update(enrollment)
        .where(enrollment.c.check_at > now, enrollment.c.check_at <= until, enrollment.c.reason == "", IS_LIVE)
        .values(check_at=now)
    )


def wake_reason(connection: Connection, reason: str, now: datetime) -> None:
    """Look again at every run held for one reason (the brake was released, the provider answers again)."""
    connection.execute(
        update(enrollment).where(enrollment.c.reason == reason, enrollment.c.status.in_(LIVE)).values(check_at=now)
    )


def next_check(connection: Connection) -> datetime | None:
    """When the dispatcher has something to look at next, None for never."""
    rows = [connection.execute(_NEXT, {"is_first": first}).scalar() for first in (False, True)]
    return min((at for at in rows if at is not None), default=None)


_NEXT = select(func.min(enrollment.c.check_at)).where(
    enrollment.c.first == bindparam("is_first"), enrollment.c.check_at.is_not(None)
)


def count_overdue(connection: Connection, now: datetime) -> int:
    """How many runs wait to be looked at."""
    return connection.execute(select(func.count()).where(enrollment.c.check_at <= now)).scalar_one()


def wake_runs(connection: Connection, ids: Iterable[int], now: datetime) -> None:
    """Look at these runs again now, whatever they wait for; those that have ended stay so."""
    for chunk in chunks(ids):
        connection.execute(
            update(enrollment).where(enrollment.c.id.in_(chunk), enrollment.c.status.in_(LIVE)).values(check_at=now)
        )
