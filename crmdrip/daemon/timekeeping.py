"""What the daemon does about a machine's clock that is set while it is at work, or was wrong before it started (B29).

Times at which something is tried again stand in the ledger by the clock of that moment. Once it was set back they lie
in the future, by days where it had been wrong by days: whatever waits so is tried at once.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.triggers.base import BaseTrigger
from sqlalchemy import Connection

from crmdrip.core.errors import CrmdripError
from crmdrip.ledger import marks, waiting
from crmdrip.ledger.store import Ledger
from crmdrip.ports import Clock

log = structlog.get_logger()

CLOCK_SLACK = timedelta(minutes=2)
"""How far this machine's clock may be off from the CRM's."""
STEP = timedelta(minutes=2)
"""By how much a clock has to be set back at once to matter; below it, what was put off comes soon anyway."""


def measure_clock(before: datetime, crm: datetime, after: datetime) -> timedelta:
    """How far this machine's clock is ahead of the CRM's, less than nothing where it is behind.

    crm: the time that the CRM showed, between before and after. Zero within CLOCK_SLACK: then the two agree.
    """
    off = max(before - crm, timedelta()) - max(crm - after, timedelta())
    return off if abs(off) > CLOCK_SLACK else timedelta()


def note_clock(connection: Connection, off: timedelta) -> None:
    """Remember what measure_clock found, for crmdrip status."""
    if not off:
        marks.clear_mark(connection, marks.CLOCK)
        return
    marks.set_mark(connection, marks.CLOCK, str(round(off.total_seconds())))
    log.warning("clock_ahead" if off > timedelta() else "clock_behind", seconds=round(abs(off.total_seconds())))


class Every(BaseTrigger):  # type: ignore[misc] # the clockwork has no types
    """A tick so many seconds after the last one began, however late that was.

    APScheduler's own interval goes through every tick that was missed: after a clock was set forward by months, as on a
    machine that keeps no time while it is off, it would do nothing else for minutes, in memory that nobody has (B29).
    """

    def __init__(self, seconds: float) -> None:
        self._length = timedelta(seconds=seconds)

    def get_next_fire_time(self, _: datetime | None, now: datetime) -> datetime:
        """As the clockwork asks for it."""
        return now + self._length


class Timekeeper:
    """Notices that the clock went back. Nothing is known before the first look."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._lead: timedelta | None = None
        """Of the clock before the monotonic one, at the last look."""
        self._ahead = False
        """Whether the ledger was ahead of the clock then."""

    def look(self) -> None:
        """Have everything tried now that waits by a clock that was ahead. Raises nothing.

        A ledger that cannot be read or written is for the loops to tell; the next look tries again.
        """
        now = self._clock.now()
        lead = now - datetime.fromtimestamp(time.monotonic(), tz=UTC)
        with suppress(CrmdripError):
            with self._ledger.read() as connection:
                heartbeat = marks.read_heartbeat(connection)  # they only go up, whatever the clock does
            beyond = heartbeat - now if heartbeat is not None else timedelta()
            fallen = self._lead - lead if self._lead is not None else timedelta()
            ahead = beyond > STEP
            if fallen > STEP or (ahead and not self._ahead):
                with self._ledger.write() as connection:
                    found = waiting.try_now(connection, now)
                log.warning("clock_was_ahead", seconds=round(max(beyond, fallen).total_seconds()), found=found)
            self._lead, self._ahead = lead, ahead
