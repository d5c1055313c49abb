"""Runs that have ended, as far as they decide about the next: the person's history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select

from crmdrip.core.snapshot import PastRun
from crmdrip.ledger.runs import STATUS
from crmdrip.ledger.schema import enrollment
from crmdrip.ledger.statements import Lookup

_PAST = select(
    enrollment.c.person,
    enrollment.c.record_id,
    enrollment.c.address,
    enrollment.c.sequence_id,
    enrollment.c.run,
    enrollment.c.status,
    enrollment.c.ended_at,
    enrollment.c.steps_done,
    enrollment.c.last_touch_at,
    enrollment.c.last_touch_zone,
).where(enrollment.c.ended_at.is_not(None))
_BY_PERSON = Lookup(_PAST, enrollment.c.person)
_BY_RECORD = Lookup(_PAST, enrollment.c.record_id)


def _to_past(row: Sequence[Any]) -> PastRun:
    _, _, _, sequence_id, run, status, ended_at, steps_done, last_touch_at, last_touch_zone = row
    return PastRun(
        sequence_id=sequence_id,
        run=run,
        status=STATUS[status],
        ended_at=ended_at,
        touched=steps_done > 0,
        last_touch_at=last_touch_at,
        last_touch_zone=last_touch_zone,
    )


def of_people(connection: Connection, people: Iterable[str]) -> dict[str, list[PastRun]]:
    """The ended runs of each person."""
    found: dict[str, list[PastRun]] = defaultdict(list)
    for row in _BY_PERSON.rows(connection, people):
        found[row[0]].append(_to_past(row))
    return found


def of_records(connection: Connection, record_ids: Iterable[str]) -> dict[str, list[tuple[str, PastRun]]]:
    """The ended runs of each record, each with the address it mailed last."""
    found: dict[str, list[tuple[str, PastRun]]] = defaultdict(list)
    for row in _BY_RECORD.rows(connection, record_ids):
        found[row[1]].append((row[2], _to_past(row)))
    return found
