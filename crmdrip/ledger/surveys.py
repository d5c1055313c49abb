"""Reads of whole tables, for commands that list things; never for a pass."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from crmdrip.core.model import RecordKind, RecordRef, RunStatus, TouchState
from crmdrip.ledger.schema import enrollment, touch


def live_refs(connection: Connection) -> list[RecordRef]:
    """The records of all live runs."""
    live = [status.value for status in RunStatus if status.live]
    rows = connection.execute(select(enrollment.c.record_id, enrollment.c.kind).where(enrollment.c.status.in_(live)))
    return [RecordRef(kind=RecordKind(row.kind), id=row.record_id) for row in rows]


def waiting_runs(connection: Connection) -> list[int]:
    """The ids of all runs that are held or paused, by when they began."""
    waiting = (RunStatus.HELD.value, RunStatus.PAUSED.value)
    rows = connection.execute(
        select(enrollment.c.id).where(enrollment.c.status.in_(waiting)).order_by(enrollment.c.entered_at)
    )
    return list(rows.scalars())


def runs_with_touches_since(connection: Connection, at: datetime) -> list[int]:
    """The ids of all runs with a touch taken at that time or later."""
    taken = (touch.c.at >= at) & (touch.c.state == TouchState.ACCEPTED.value)
    return list(connection.execute(select(touch.c.enrollment_id).where(taken).distinct()).scalars())
