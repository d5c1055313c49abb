"""Counters: caps by day or hour, and a sequence's running totals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Dialect, bindparam, delete, select
from sqlalchemy.sql.dml import UpdateBase

from crmdrip.core.caps import CapScope, Counter
from crmdrip.ledger.schema import tally
from crmdrip.ledger.statements import Bulk, Lookup, upsert_of

TOTAL: Final = "total"
"""The scope of running totals; their key is "<sequence id>:<word>"."""
EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def counts(connection: Connection, counters: Iterable[Counter]) -> dict[Counter, int]:
    """What each counter holds; one that was never used is absent."""
    keys: dict[tuple[CapScope, datetime], list[str]] = defaultdict(list)
    for counter in counters:
        keys[counter.scope, counter.start].append(counter.key)
    found: dict[Counter, int] = {}
    for (scope, start), wanted in keys.items():
        for key, n in _COUNTS.rows(connection, wanted, in_scope=scope.value, at_start=start):
            found[Counter(scope=scope, key=key, start=start)] = n
    return found


_COUNTS = Lookup(
    select(tally.c.key, tally.c.n).where(
        tally.c.scope == bindparam("in_scope"), tally.c.start == bindparam("at_start")
    ),
    tally.c.key,
)


def counts_from(connection: Connection, scope: CapScope, key: str, start: datetime) -> dict[Counter, int]:
    """All counters of a scope and key from a time on."""
    rows = connection.execute(
        select(tally).where(tally.c.scope == scope.value, tally.c.key == key, tally.c.start >= start)
    )
    return {Counter(scope=scope, key=key, start=row.start): row.n for row in rows}


def add(connection: Connection, used: Mapping[Counter, int]) -> None:
    """Count up; negative numbers count down."""
    _ADD.run(connection, [(c.scope.value, c.key, c.start, n) for c, n in used.items() if n])


def add_totals(connection: Connection, changes: Mapping[tuple[str, str], int]) -> None:
    """Count a sequence's figures up or down: (sequence id, word) to the difference."""
    rows = [(TOTAL, f"{sequence_id}:{word}", EVER, n) for (sequence_id, word), n in changes.items() if n]
    _ADD.run(connection, rows)


def _add(dialect: Dialect) -> UpdateBase:
    statement = upsert_of(dialect, tally)
    return statement.on_conflict_do_update(
        index_elements=[tally.c.scope, tally.c.key, tally.c.start],
        set_={"n": tally.c.n + statement.excluded.n},
    )


_ADD = Bulk(_add, ("scope", "key", "start", "n"))


def totals(connection: Connection, sequence_ids: Iterable[str]) -> dict[str, dict[str, int]]:
    """The figures of each sequence by word."""
    found: dict[str, dict[str, int]] = {sequence_id: {} for sequence_id in sequence_ids}
    for sequence_id, words in found.items():
        rows = connection.execute(
            select(tally.c.key, tally.c.n).where(
                tally.c.scope == TOTAL, tally.c.key.startswith(f"{sequence_id}:", autoescape=True)
            )
        )
        for key, n in rows:
            words[key.rpartition(":")[2]] = n
    return found


def forget_before(connection: Connection, at: datetime) -> None:
    """Drop caps of days gone by; totals stay."""
    connection.execute(delete(tally).where(tally.c.scope != TOTAL, tally.c.start < at))
