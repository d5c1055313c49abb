"""How often a box was unticked and came back ticked: where the CRM's own automation does that, it would never end.

A tick that is refused is answered on the record, with the box off (B9). A flow or workflow that ticks it again with
every save makes of this a refusal a minute for each record, with a write and a new version of the record each. So an
answer that was given several times within the hour is given once an hour from then on; nothing else is delayed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from threading import Lock
from typing import TypeGuard

from crmdrip.core.model import RunStatus
from crmdrip.core.writes import StatusWrite, Write

OFTEN = 3
"""Answers to one record after which it is no person that ticks."""
PAUSE = timedelta(hours=1)
_KEPT = 50_000
"""Records remembered; beyond it those without an answer within the last two hours are forgotten."""


class Refusals:
    """How often ticks were refused in a row, by record. In memory: after a restart it takes as many answers more."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[int, datetime]] = {}
        self._lock = Lock()

    def too_often(self, write: Write, now: datetime) -> bool:
        """Whether the write answers a tick that was answered so several times, and within the hour."""
        if not _is_refusal(write):
            return False
        with self._lock:
            count, last = self._answers.get(write.ref.id, (0, now))
        return count >= OFTEN and now - last < PAUSE

    def note(self, writes: Iterable[Write], now: datetime) -> None:
        """These were written. Answers are in a row while no two hours lie between them."""
        with self._lock:
            for write in writes:
                if _is_refusal(write):
                    count, last = self._answers.get(write.ref.id, (0, now))
                    self._answers[write.ref.id] = (count + 1 if now - last < 2 * PAUSE else 1, now)
            if len(self._answers) > _KEPT:
                self._answers = {one: kept for one, kept in self._answers.items() if now - kept[1] < 2 * PAUSE}


def _is_refusal(write: Write) -> TypeGuard[StatusWrite]:
    return isinstance(write, StatusWrite) and write.enrolled is False and write.status == RunStatus.REFUSED.value
