"""Counters: caps by day or hour, and a sequence's running totals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, delete, select

from crmdrip.core.caps import CapScope, Counter
from crmdrip.ledger.schema import tally
from crmdrip.ledger.statements import select_in, upsert

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
        statement = select(tally.c.key, tally.c.n).where(tally.c.scope == scope.value, tally.c.start == start)
        for key, n in select_in(connection, statement, tally.c.key, wanted):
            found[Counter(scope=scope, key=key, start=start)] = n
    return found


def counts_from(connection: Connection, scope: CapScope, key: str, start: datetime) -> dict[Counter, int]:
    """All counters of a scope and key from a time on."""
    rows = connection.execute(
        select(tally).where(tally.c.scope == scope.value, tally.c.key == key, tally.c.start >= start)
    )
    return {Counter(scope=scope, key=key, start=row.start): row.n for row in rows}


def add(connection: Connection, used: Mapping[Counter, int]) -> None:
    """Count up; negative numbers count down."""
    _add(connection, [{"scope": c.scope.value, "key": c.key, "start": c.start, "n": n} for c, n in used.items() if n])


def add_totals(connection: Connection, changes: Mapping[tuple[str, str], int]) -> None:
    """Count a sequence's figures up or down: (sequence id, word) to the difference."""
    rows = [
        {"scope": TOTAL, "key": f"{sequence_id}:{word}", "start": EVER, "n": n}
        for (sequence_id, word), n in changes.items()
        if n
    ]
    _add(connection, rows)


def _add(connection: Connection, rows: list[dict[str, object]]) -> None:
    if not rows:
        return
    statement = upsert(connection, tally)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[tally.c.scope, tally.c.key, tally.c.start],
            set_={"n": tally.c.n + statement.excluded.n},
        ),
        rows,
    )


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
