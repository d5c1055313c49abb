"""Touches: intents, outcomes, doubts, history. The database itself refuses a second send (P1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Dialect, bindparam, case, func, or_, select, true, update
from sqlalchemy.sql.dml import UpdateBase

from crmdrip.core.model import StepKind, Touch, TouchState
from crmdrip.core.steps import Passed
from crmdrip.core.struct import Struct
from crmdrip.ledger import due_runs
from crmdrip.ledger.schema import IS_OPEN, touch
from crmdrip.ledger.statements import Bulk, Lookup, upsert, upsert_of

_STATE = {state.value: state for state in TouchState}


def _to_touch(row: Sequence[Any]) -> Touch:
    """The columns in the order of _TOUCH_NAMES."""
    values = dict(zip(_TOUCH_FIELDS, row, strict=True))
    return Touch(**{**values, "kind": StepKind(values["kind"]), "state": _STATE[values["state"]]})


def _from_touch(row: Touch) -> tuple[Any, ...]:
    """The columns in the order of _TOUCH_NAMES."""
    return (
        row.id,
        row.enrollment_id,
        row.step_id,
        row.order,
        row.kind.value,
        row.state.value,
        row.attempt,
        row.at,
        row.not_before,
        row.address,
        row.sender,
        row.message_id,
        row.subject,
        row.version,
        row.zone,
        row.zone_source,
        row.provider_id,
        row.detail,
    )


_TOUCH_NAMES = tuple(column.name for column in touch.c)
_TOUCH_FIELDS = tuple("order" if name == "step_order" else name for name in _TOUCH_NAMES)


def touches_of(connection: Connection, enrollment_ids: Iterable[int]) -> dict[int, dict[str, Passed]]:
    """What each run has touched, by step id: what planning needs to know."""
    found: dict[int, dict[str, Passed]] = defaultdict(dict)
    for run, step, state, order, at, tried in _PASSED.rows(connection, enrollment_ids):
        found[run][step] = Passed(state=_STATE[state], order=order, at=at, attempt=tried)
    return found


_PASSED = Lookup(
    select(touch.c.enrollment_id, touch.c.step_id, touch.c.state, touch.c.step_order, touch.c.at, touch.c.attempt),
    touch.c.enrollment_id,
)


def touches_in_full(connection: Connection, enrollment_ids: Iterable[int]) -> list[Touch]:
    """Every touch of these runs, oldest first: for history."""
    return sorted(map(_to_touch, _TOUCHES.rows(connection, enrollment_ids)), key=lambda row: row.at)


_TOUCHES = Lookup(select(touch), touch.c.enrollment_id)


def intend(connection: Connection, touches: Iterable[Touch]) -> None:
    """Commit to these touches: new ones are stored as intended, refused ones become so again.

    Raises IntegrityError when one was already accepted, is in doubt, or the step was touched under another id: the
    database refuses a second send whatever the caller believes.
    """
    _INTEND.run(connection, [_from_touch(row) for row in touches])


def _intend(dialect: Dialect) -> UpdateBase:
    statement = upsert_of(dialect, touch)
    new = statement.excluded
    # An accepted, skipped or doubtful row moving to "intended" is illegal: the trigger aborts the transaction. A row
    # that is "intended" already would not move at all, and must not be sent again either: it is given a state that
    # the table's CHECK does not know, which aborts just as well.
    return statement.on_conflict_do_update(
        index_elements=[touch.c.id],
        set_={
            "state": case((touch.c.state == TouchState.INTENDED.value, "again"), else_=new.state),
            "attempt": touch.c.attempt + 1,
            "at": new.at,
            "not_before": None,
            "address": new.address,
            "sender": new.sender,
            "message_id": new.message_id,
            "subject": new.subject,
            "version": new.version,
            "zone": new.zone,
            "zone_source": new.zone_source,
            "detail": "",
        },
    )


_INTEND = Bulk(_intend, _TOUCH_NAMES)


class TouchMove(Struct, frozen=True, kw_only=True):
    """A touch changes its state."""

    id: str
    state: TouchState
    provider_id: str = ""
    detail: str = ""
    not_before: datetime | None = None
    """When to look a doubtful touch up."""


def move_touches(connection: Connection, moves: Iterable[TouchMove]) -> None:
    """Change states. Raises IntegrityError for a move that is not legal; then nothing is changed."""
    _MOVE.run(
        connection, [(move.id, move.state.value, move.provider_id, move.detail, move.not_before) for move in moves]
    )


_MOVE = Bulk(
    lambda _: (
        update(touch)
        .where(touch.c.id == bindparam("b_id"))
        .values(
            state=bindparam("b_state"),
            provider_id=bindparam("b_provider"),
            detail=bindparam("b_detail"),
            not_before=bindparam("b_not_before"),
        )
    ),
    ("b_id", "b_state", "b_provider", "b_detail", "b_not_before"),
)


def add_touches(connection: Connection, touches: Iterable[Touch]) -> int:
    """Store touches that are over already (skipped, a rep's task, read back from a timeline).

    One that is known is left as it is, except that a refused one can be passed over. Returns how many were new.
    """
    touches = list(touches)
    _PASS_OVER.run(connection, [(one.detail, one.id) for one in touches if one.state is TouchState.SKIPPED])
    rows = [dict(zip(_TOUCH_NAMES, _from_touch(row), strict=True)) for row in touches]
    new = 0
    statement = upsert(connection, touch).on_conflict_do_nothing().returning(touch.c.id)
    for row in rows:
        new += len(connection.execute(statement, row).all())
    return new


_PASS_OVER = Bulk(
    lambda _: (
        update(touch)
        .where(touch.c.id == bindparam("b_id"), touch.c.state == TouchState.REFUSED.value)
        .values(state=TouchState.SKIPPED.value, detail=bindparam("b_detail"))
    ),
    ("b_detail", "b_id"),
)


def any_intended(connection: Connection) -> bool:
    """Whether a touch is intended and not concluded."""
    found = select(touch.c.id).where(touch.c.state == TouchState.INTENDED.value).limit(1)
    return connection.execute(found).first() is not None


def recover(connection: Connection, now: datetime, among: ColumnElement[bool] | None = None) -> int:
    """While nothing is being sent: what was intended and never concluded is in doubt (B1). Returns how many there were.

    among: of these touches alone. Their runs are looked at at once, so that the records say so.
    """
    rows = connection.execute(
        update(touch)
        .where(IS_OPEN, touch.c.state == TouchState.INTENDED.value, true() if among is None else among)
        .values(state=TouchState.IN_DOUBT.value, not_before=now, detail="the daemon ended before the answer came")
        .returning(touch.c.enrollment_id)
    ).all()
    due_runs.wake_runs(connection, [row.enrollment_id for row in rows], now)
    return len(rows)


def unsettled(connection: Connection, now: datetime, limit: int) -> list[Touch]:
    """Touches in doubt whose next look-up is due, oldest first."""
    rows = connection.execute(
        select(touch)
        .where(
            IS_OPEN,
            touch.c.state == TouchState.IN_DOUBT.value,
            or_(touch.c.not_before.is_(None), touch.c.not_before <= now),
        )
        .order_by(touch.c.at)
        .limit(limit)
    )
    return [_to_touch(row) for row in rows]


def next_doubt(connection: Connection) -> datetime | None:
    """When the next touch in doubt is to be looked up, None when there is none."""
    doubt = touch.c.state == TouchState.IN_DOUBT.value
    return connection.execute(
        select(func.min(func.coalesce(touch.c.not_before, touch.c.at))).where(IS_OPEN, doubt)
    ).scalar()


def needing_person(connection: Connection, limit: int = 1000) -> list[Touch]:
    """Touches of which nobody could tell whether they went out, oldest first."""
    rows = connection.execute(
        select(touch).where(IS_OPEN, touch.c.state == TouchState.NEEDS_PERSON.value).order_by(touch.c.at).limit(limit)
    )
    return [_to_touch(row) for row in rows]


def find_touch(connection: Connection, touch_id: str) -> Touch | None:
    """One touch by its id."""
    row = connection.execute(select(touch).where(touch.c.id == touch_id)).first()
    return _to_touch(row) if row is not None else None


def hand_over(connection: Connection, touch_id: str, run_id: int) -> None:
    """The touch is this run's: it was stored with another one of the same record (B12)."""
    connection.execute(update(touch).where(touch.c.id == touch_id).values(enrollment_id=run_id))


def count_touches(connection: Connection) -> dict[str, int]:
    """Touches by state. Reads every touch: for commands, never for a pass."""
    return {row[0]: row[1] for row in connection.execute(select(touch.c.state, func.count()).group_by(touch.c.state))}


def postpone(connection: Connection, touch_id: str, not_before: datetime) -> None:
    """Look a doubtful touch up again at a later time."""
    connection.execute(update(touch).where(touch.c.id == touch_id).values(not_before=not_before))
