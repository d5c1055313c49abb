"""The entry throttle: on which day a new run begins."""

from __future__ import annotations

from collections import Counter as Multiset
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core.caps import CapScope, Counter, counter_at, first_free
from crmdrip.core.decisions import Enroll
from crmdrip.core.keys import domain_of
from crmdrip.core.model import Sequence
from crmdrip.core.schedule import plan_due
from crmdrip.core.struct import replace
from crmdrip.daemon.parts import Limits
from crmdrip.ledger import definitions, tallies

log = structlog.get_logger()


class EntryThrottle:
    """Spreads new runs over days under the entry throttle, and counts them for the suspicion brake (B10)."""

    def __init__(self, connection: Connection, limits: Limits, now: datetime) -> None:
        self._connection = connection
        self._limits = limits
        self._now = now
        self._held: dict[tuple[CapScope, str], dict[Counter, int]] = {}
        self._used: Multiset[Counter] = Multiset()
        self._sequences: dict[str, Sequence] = {}

    def place(self, decision: Enroll, address: str) -> Enroll:
        """The same entry, begun on the first day that has room for it."""
        sequence = decision.sequence
        self._sequences[sequence.id] = sequence
        self._used[counter_at(CapScope.ENTERED_DAY, sequence.id, self._now)] += 1
        start = self._now
        rules = (
            (CapScope.ENTRY_DAY, sequence.id, sequence.entry_cap),
            (CapScope.ENTRY_DOMAIN_DAY, f"{sequence.id}:{domain_of(address)}", sequence.domain_entry_cap),
        )
        taken = []
        for scope, key, limit in rules:
            if limit is not None:
                counter = first_free(scope, key, start, limit, self._counts(scope, key))
                start = max(start, counter.start)
                taken.append((scope, key))
        for scope, key in taken:
            counter = counter_at(scope, key, start)
            self._counts(scope, key)[counter] = self._counts(scope, key).get(counter, 0) + 1
            self._used[counter] += 1
        if start == self._now:
            return decision
        due_at = plan_due(decision.step, anchor=start, last_touch_at=None, zone=decision.zone.zone, sequence=sequence)
        return replace(decision, due_at=max(due_at, decision.due_at))

    def _counts(self, scope: CapScope, key: str) -> dict[Counter, int]:
        if (scope, key) not in self._held:
            begin = counter_at(scope, key, self._now).start
            self._held[scope, key] = tallies.counts_from(self._connection, scope, key, begin)
        return self._held[scope, key]

    def store(self) -> None:
        """Keep the counts; a sequence entered by too many at once waits for a confirmation."""
        tallies.add(self._connection, self._used)
        for sequence_id, sequence in self._sequences.items():
            counter = counter_at(CapScope.ENTERED_DAY, sequence_id, self._now)
            entered = tallies.counts(self._connection, [counter]).get(counter, 0)
            limit = sequence.confirm_above if sequence.confirm_above is not None else self._limits.confirm_above
            if entered > limit and not sequence.confirmed:
                why = f"{entered} people were added within a day, more than {limit}"
                definitions.suspect(self._connection, sequence_id, why)
                log.warning("sequence_suspect", sequence=sequence_id, entered=entered, limit=limit)
