"""The CRM calls of the last day, taken out of the budget before they are made: one count for all that share the ledger.

A process that is killed loses what it had taken and not used, and never what it had used (P5).
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from crmdrip.ledger import marks
from crmdrip.ledger.store import Ledger

_MARK = "calls"
_DAY = 24
"""In hours. An hour counts until it is a day old as a whole, so that any 24 hours are within the cap."""


class KeptCalls:
    """A ports.calls.KeepsCalls in a ledger. Raises LedgerBrokenError."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def lease(self, hour: int, number: int, most: int) -> tuple[int, Mapping[int, int]]:
        """Take up to so many calls out of the budget; of all hours together never more than most."""
        with self._ledger.write() as connection:
            kept = orjson.loads(marks.read_mark(connection, _MARK) or "{}")
            hours = {int(each): int(count) for each, count in kept.items() if int(each) >= hour - _DAY}
            granted = max(0, min(number, most - sum(hours.values())))
            hours[hour] = hours.get(hour, 0) + granted
            text = orjson.dumps({str(each): count for each, count in hours.items()}).decode()
            marks.set_mark(connection, _MARK, text)
        return granted, hours
