"""Single facts and cursors: which org this is, how far each feed was read, what is paused by command."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, select

from crmdrip.ledger.schema import cursor, meta
from crmdrip.ledger.statements import upsert

ORG: Final = "org_id"
MODE: Final = "mode"
"""Absent in normal work; REBUILDING while history is read back from the CRM (B4)."""
REBUILDING: Final = "rebuilding"
REBUILT_AT: Final = "rebuilt_at"
"""When the last rebuild began."""
HEARTBEAT: Final = "heartbeat"
"""The newest that this ledger means to leave in the CRM."""
LEFT: Final = "heartbeats"
"""The last ones that this ledger meant to leave, by any of its daemons."""
CLAIM: Final = "claim"
"""What this ledger's daemon wrote beside its heartbeats since its last start (B3)."""
LOOKING: Final = "looking"
"""Since when a batch is looked at; absent once it was decided. Found at a start, this may be a copy that was made in
between, and then the emails of that one batch may have gone out without another heartbeat (B4)."""
PAUSED: Final = "paused"
"""With ":<sequence id>" behind it for one sequence, alone for all."""
BRAKE: Final = "brake"
"""The name of who pulled the CRM's brake, absent when it is released."""
BOXES: Final = "boxes"
"""How many times boxes were set in the CRM and found to stand there: counts up with each write-back that did (B9)."""
STATE: Final = "state"
"""The sentence on the daemon's state that the CRM was last told."""


def read_mark(connection: Connection, name: str) -> str | None:
    """The fact, None when it was never set."""
    return connection.execute(select(meta.c.value).where(meta.c.name == name)).scalar()


def read_marks(connection: Connection, prefix: str) -> dict[str, str]:
    """Every fact whose name begins so."""
    rows = connection.execute(select(meta.c.name, meta.c.value).where(meta.c.name.startswith(prefix, autoescape=True)))
    return {row.name: row.value for row in rows}


def set_mark(connection: Connection, name: str, value: str) -> None:
    """Set or replace a fact."""
    statement = upsert(connection, meta)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[meta.c.name], set_={"value": statement.excluded.value}),
        {"name": name, "value": value},
    )


def clear_mark(connection: Connection, name: str) -> None:
    """Forget a fact."""
    connection.execute(delete(meta).where(meta.c.name == name))


def read_heartbeat(connection: Connection) -> datetime | None:
    """The newest heartbeat, None before the first."""
    own = read_mark(connection, HEARTBEAT)
    return datetime.fromisoformat(own) if own is not None else None


def next_heartbeat(connection: Connection, now: datetime) -> datetime:
    """A heartbeat that is newer than every one before, by the second that CRMs keep; remembered as the newest.

    So a ledger that knows an older one than the CRM is an old copy (B4), whatever the clock did (B29).
    """
    own = read_heartbeat(connection)
    beat = now.replace(microsecond=0)
    if own is not None:
        beat = max(beat, own.replace(microsecond=0) + timedelta(seconds=1))
    set_mark(connection, HEARTBEAT, beat.isoformat())
    left = (read_mark(connection, LEFT) or "").split()[1 - _LEFT_KEPT :]
    set_mark(connection, LEFT, " ".join([*left, beat.isoformat()]))
    return beat


_LEFT_KEPT = 50
"""More than daemons that share a ledger leave while one of them waits for the CRM's answer."""


def heartbeats_left(connection: Connection) -> frozenset[datetime]:
    """The last heartbeats that were meant to be left: whoever finds one of them has found no stranger's."""
    return frozenset(map(datetime.fromisoformat, (read_mark(connection, LEFT) or "").split()))


def read_cursor(connection: Connection, name: str) -> str | None:
    """How far the feed was read, None before its first page."""
    return connection.execute(select(cursor.c.value).where(cursor.c.name == name)).scalar()


def save_cursor(connection: Connection, name: str, value: str, now: datetime) -> None:
    """Remember how far the feed was read; belongs in the transaction that stores what the page brought."""
    statement = upsert(connection, cursor)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[cursor.c.name], set_={"value": new.value, "saved_at": new.saved_at}
        ),
        {"name": name, "value": value, "saved_at": now},
    )


def forget_cursor(connection: Connection, name: str) -> None:
    """Read the feed from its beginning next time."""
    connection.execute(delete(cursor).where(cursor.c.name == name))
