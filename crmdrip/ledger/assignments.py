"""Which of several daemons looks at a run and mails it. A run is with one of them at most.

That two never work on the same spares a second look; that nothing goes out twice is held by the touch's own key.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from crmdrip.core.model import TouchState
from crmdrip.core.struct import Struct
from crmdrip.ledger import due_runs, touches
from crmdrip.ledger.due_runs import DueRun
from crmdrip.ledger.schema import assignment, enrollment, touch
from crmdrip.ledger.statements import Bulk, chunks


def take_due(connection: Connection, worker_id: str, now: datetime, limit: int) -> list[DueRun]:
    """As due_runs.claim_due, of those that are with nobody; they are with this daemon from now on."""
    taken = connection.execute(select(func.count()).select_from(assignment)).scalar_one()
    # All that are with somebody may be due, and stand before the others.
    due = due_runs.claim_due(connection, now, limit + taken)
    elsewhere = set(connection.execute(select(assignment.c.run_id)).scalars()) if taken else set()
    free = [run for run in due if run.id not in elsewhere][:limit]
    _TAKE.run(connection, [(run.id, worker_id) for run in free])
    return free


_TAKE = Bulk(lambda _: insert(assignment), ("run_id", "worker_id"))


def give_back(connection: Connection, run_ids: Iterable[int]) -> None:
    """All that was to be done for these runs is done."""
    for chunk in chunks(run_ids):
        connection.execute(delete(assignment).where(assignment.c.run_id.in_(chunk)))


class FollowUp(Struct, frozen=True, kw_only=True):
    """As much of a run as says which caps its next email counts to."""

    sender: str
    address: str
    sequence_id: str


def follow_ups_elsewhere(connection: Connection, worker_id: str, now: datetime) -> list[FollowUp]:
    """Those that other daemons look at just now, and have not decided about."""
    intended = select(touch.c.id).where(touch.c.enrollment_id == enrollment.c.id, touch.c.state == TouchState.INTENDED)
    rows = connection.execute(
        select(enrollment.c.sender, enrollment.c.address, enrollment.c.sequence_id)
        .join(assignment, assignment.c.run_id == enrollment.c.id)
        .where(
            assignment.c.worker_id != worker_id,
            enrollment.c.first.is_(False),
            enrollment.c.check_at <= now,
            ~intended.exists(),
        )
    )
    return [FollowUp(sender=row.sender, address=row.address, sequence_id=row.sequence_id) for row in rows]


def any_with(connection: Connection, worker_id: str) -> bool:
    """Whether a run is with the daemon."""
    found = select(assignment.c.run_id).where(assignment.c.worker_id == worker_id).limit(1)
    return connection.execute(found).first() is not None


def settle(connection: Connection, worker_ids: Iterable[str]) -> int:
    """These daemons do nothing just now: what they had begun to send is in doubt (B1), the rest is free again.

    Returns how many touches are in doubt.
    """
    ids = list(worker_ids)
    if not ids:
        return 0
    theirs = assignment.c.worker_id.in_(ids)
    now = connection.execute(select(func.now())).scalar_one()
    doubtful = touches.recover(connection, now, touch.c.enrollment_id.in_(select(assignment.c.run_id).where(theirs)))
    connection.execute(delete(assignment).where(theirs))
    return doubtful


def recover_unassigned(connection: Connection, now: datetime) -> int:
    """As touches.recover, of what no daemon is sending."""
    with_somebody = select(assignment.c.run_id).where(assignment.c.run_id == touch.c.enrollment_id).exists()
    return touches.recover(connection, now, ~with_somebody)
