"""Everything that waits for its next try, whatever it is: for when the clock was wrong by which they were put off."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, update

from crmdrip.core.model import TouchState
from crmdrip.ledger import due_runs
from crmdrip.ledger.schema import IS_OPEN, IS_WAITING, forward, outbox, received, touch


def try_now(connection: Connection, now: datetime) -> int:
    """All of it is due: write-backs, touches in doubt, what came in, emails to reps, and runs that are held; how many.

    A try that comes early costs a call at most. One that waits for a time that a wrong clock showed comes days late.
    """
    doubt = (IS_OPEN, touch.c.state == TouchState.IN_DOUBT.value)
    statements = (
        update(outbox).where(outbox.c.parked.is_(False), outbox.c.not_before > now).values(not_before=now),
        update(touch).where(*doubt, touch.c.not_before > now).values(not_before=now),
        update(received).where(IS_WAITING, received.c.not_before > now).values(not_before=now),
        update(forward).where(IS_WAITING, forward.c.not_before > now).values(not_before=now),
    )
    counted = sum(connection.execute(statement).rowcount for statement in statements)
    return counted + due_runs.wake_held(connection, now)
