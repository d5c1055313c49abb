"""The emergency brake, as it is pulled and released on the CRM's control record."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core.reasons import HoldReason, Reason
from crmdrip.ledger import due_runs, marks
from crmdrip.ports import PullPage

log = structlog.get_logger()

SHOWN_AHEAD = timedelta(days=1)
"""Whose next touch comes within so long is told of a pulled brake at once. The others would not be mailed any sooner,
and a million records are not rewritten for a brake that may be released in an hour: the control record tells everybody.
"""


def pull_brake(connection: Connection, by: str, now: datetime) -> None:
    """The emergency brake holds from now on, and the records of those who come next say so."""
    marks.set_mark(connection, marks.BRAKE, by)
    due_runs.wake_due(connection, now + SHOWN_AHEAD, now)
    log.warning("brake_pulled")


def store_brake(connection: Connection, page: PullPage, now: datetime) -> None:
    """The brake as the page shows it; nothing where the page tells nothing of it, or nothing new."""
    if page.brake is None:
        return
    was = marks.read_mark(connection, marks.BRAKE)
    if page.brake.pulled and was is None:
        pull_brake(connection, page.brake.by, now)
    elif not page.brake.pulled and was is not None:
        marks.clear_mark(connection, marks.BRAKE)
        due_runs.wake_reason(connection, Reason(code=HoldReason.BRAKE).key, now)
        log.warning("brake_released")
