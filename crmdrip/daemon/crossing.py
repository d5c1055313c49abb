"""What our own writes overtook: a page that was asked for before a box was set shows the box as it was before (B9).

Read after a stop, a page from before our untick would look like a tick of the rep's: whoever had just answered would be
enrolled anew. It takes a page and a write on their way at the same moment, so nothing of it has to outlive the process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from crmdrip.core.model import Record


class Crossing:
    """The boxes that were set since somebody last asked for a page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._set: dict[str, tuple[int, bool]] = {}
        """Ticked or not by record id, with the number of the write."""

    def ask(self) -> int:
        """A page is about to be asked for. What was set before stands in it; returns what `overtaken` is to be told."""
        with self._lock:
            self._set.clear()
            return self._count

    def ask_again(self) -> int:
        """As ask, for some records of a page that is not stored yet."""
        with self._lock:
            return self._count

    def note(self, boxes: Iterable[tuple[str, bool]]) -> None:
        """These boxes stand in the CRM as we meant: record id and ticked or not. Before the ledger is told so."""
        with self._lock:
            self._count += 1
            self._set.update((record_id, (self._count, ticked)) for record_id, ticked in boxes)

    def overtaken(self, record: Record, asked: int) -> bool:
        """Whether the record shows its box the other way, and was asked for before we set it."""
        number, ticked = self._set.get(record.ref.id, (0, record.enrolled))
        return number > asked and ticked != record.enrolled
