"""What the provider told of each touch: kept beside the touches, so that sending never waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Dialect, delete, select
from sqlalchemy.sql.dml import UpdateBase

from crmdrip.core.engagement import RANKS, Engagement
from crmdrip.core.model import RecordKind, RecordRef, Signal, SignalKind, TouchState
from crmdrip.core.struct import Struct
from crmdrip.ledger.schema import ERASED, IS_OF_TOUCH, engagement, enrollment, signal, touch
from crmdrip.ledger.statements import Bulk, Lookup, upsert_of


class Sent(Struct, frozen=True, kw_only=True):
    """A touch that an event is about."""

    id: str
    state: TouchState
    address: str
    ref: RecordRef
    """The record that carries its run by now."""


def load(connection: Connection, touch_ids: Iterable[str]) -> dict[str, Engagement]:
    """What is known, by touch id; held against other writers until this transaction ends."""
    return {row[0]: _to_engagement(row) for row in _LOAD.rows(connection, touch_ids)}


_LOAD = Lookup(select(engagement), engagement.c.touch_id)


def _to_engagement(row: Sequence[Any]) -> Engagement:
    """The columns in the table's order."""
    touch_id, outcome, _, detail, first_at, opens, machine_opens, clicks, told_at = row
    return Engagement(
        touch_id=touch_id,
        outcome=SignalKind(outcome),
        detail=detail,
        first_at=first_at,
        opens=opens,
        machine_opens=machine_opens,
        clicks=clicks,
        told_at=told_at,
    )


def save(connection: Connection, known: Iterable[Engagement]) -> None:
    """Store what is known by now of each."""
    _SAVE.run(
        connection,
        [
            (
                one.touch_id,
                one.outcome.value,
                RANKS[one.outcome],
                one.detail,
                one.first_at,
                one.opens,
                one.machine_opens,
                one.clicks,
                one.told_at,
            )
            for one in known
        ],
    )


_NAMES = tuple(column.name for column in engagement.c)


def _save(dialect: Dialect) -> UpdateBase:
    statement = upsert_of(dialect, engagement)
    return statement.on_conflict_do_update(
        index_elements=[engagement.c.touch_id], set_={name: statement.excluded[name] for name in _NAMES[1:]}
    )


_SAVE = Bulk(_save, _NAMES)


def first_heard(connection: Connection, touch_ids: Iterable[str]) -> dict[str, datetime]:
    """Since when the provider has been known to have each email, for those of which it told anything (B1)."""
    return dict(_HEARD.rows(connection, touch_ids))


_HEARD = Lookup(select(engagement.c.touch_id, engagement.c.first_at), engagement.c.touch_id)


def touches_told_of(connection: Connection, touch_ids: Iterable[str]) -> dict[str, Sent]:
    """The touches of these ids that the ledger knows."""
    return {
        touch_id: Sent(
            id=touch_id,
            state=TouchState(state),
            address=address,
            ref=RecordRef(kind=RecordKind(kind), id=record_id),
        )
        for touch_id, state, address, kind, record_id in _TOUCHES.rows(connection, touch_ids)
    }


_TOUCHES = Lookup(
    select(touch.c.id, touch.c.state, touch.c.address, enrollment.c.kind, enrollment.c.record_id)
    .join_from(touch, enrollment, touch.c.enrollment_id == enrollment.c.id)
    .where(enrollment.c.record_id != ERASED),
    touch.c.id,
)


def known_signals(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Those of the keys under which a signal is stored already."""
    return {row[0] for row in _KEYS.rows(connection, keys)}


_KEYS = Lookup(select(signal.c.key), signal.c.key)


def add_events(connection: Connection, events: Iterable[Signal], now: datetime) -> list[Signal]:
    """Store those that are new and return them; what was known by its key is passed over (B23).

    For what speaks of no address and no record, and comes by the thousand: people.add_signals takes anything, one by
    one, and six times as long.
    """
    once: dict[str, Signal] = {}
    for one in events:
        once.setdefault(one.key, one)
    known = known_signals(connection, once)
    new = [one for key, one in once.items() if key not in known]
    _ADD.run(
        connection,
        [(one.key, one.kind.value, one.at, one.source, None, None, one.touch_id, one.detail, None, now) for one in new],
    )
    return new


_ADD = Bulk(
    lambda dialect: upsert_of(dialect, signal).on_conflict_do_nothing(), tuple(column.name for column in signal.c)
)


def forget_events(connection: Connection, before: datetime, limit: int) -> None:
    """Drop at most limit signals that tell of an email alone and were heard before the time; what they add up to stays.

    A repeat that comes later than that would be counted anew.
    """
    old = select(signal.c.key).where(IS_OF_TOUCH, signal.c.seen_at < before).order_by(signal.c.seen_at).limit(limit)
    connection.execute(delete(signal).where(signal.c.key.in_(old)))
