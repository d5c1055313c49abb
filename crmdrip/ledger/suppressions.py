"""Who wants no more email from one sequence, and whose data was erased. Whom never to mail at all is in people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, select

from crmdrip.core.model import SignalKind
from crmdrip.ledger.schema import sequence_suppression, suppression
from crmdrip.ledger.statements import Lookup, upsert


def leave_sequence(connection: Connection, keys: Iterable[str], sequence_id: str, at: datetime, source: str) -> None:
    """Whoever has one of these keys.person_key is not mailed by the sequence again. The first time stays."""
    rows = [{"address_key": key, "sequence_id": sequence_id, "at": at, "source": source} for key in keys]
    if rows:
        connection.execute(upsert(connection, sequence_suppression).on_conflict_do_nothing(), rows)


def left_sequences(connection: Connection, keys: Iterable[str]) -> dict[str, dict[str, datetime]]:
    """Which sequences the owners of these keys left, and when; nobody who left none."""
    found: dict[str, dict[str, datetime]] = defaultdict(dict)
    for key, sequence_id, at in _LEFT.rows(connection, keys):
        found[key][sequence_id] = at
    return found


_LEFT = Lookup(
    select(sequence_suppression.c.address_key, sequence_suppression.c.sequence_id, sequence_suppression.c.at),
    sequence_suppression.c.address_key,
)


def erased(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Those of the keys whose owners' data was erased: nothing in clear is kept of them again."""
    return {row[0] for row in _ERASED.rows(connection, keys)}


_ERASED = Lookup(
    select(suppression.c.address_key).where(suppression.c.kind == SignalKind.ERASED.value), suppression.c.address_key
)


def mark_erased(connection: Connection, keys: Iterable[str], at: datetime, source: str) -> None:
    """Never mail the owners of these keys, and keep nothing else of them. It takes the place of any other reason."""
    rows = [{"address_key": key, "kind": SignalKind.ERASED.value, "at": at, "source": source} for key in keys]
    if rows:
        statement = upsert(connection, suppression)
        new = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[suppression.c.address_key], set_={"kind": new.kind, "at": new.at, "source": new.source}
            ),
            rows,
        )
