"""How far a folder was read, as the ledger keeps it between two runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from crmdrip.core.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """A place in a folder. UIDs only ever grow, as long as UIDVALIDITY stays what it is (RFC 3501 section 2.3.1.1)."""

    uidvalidity: int
    uid: int
    """The highest that was read."""
    day: date
    """When that was: what a renumbered folder is read again from."""

    def __str__(self) -> str:
        return f"{self.uidvalidity}:{self.uid}:{self.day.isoformat()}"


def parse_position(cursor: str) -> Position:
    """The place a cursor names. Raises ConfigurationError for one that this connector did not write."""
    try:
        uidvalidity, uid, day = cursor.split(":")
        return Position(uidvalidity=int(uidvalidity), uid=int(uid), day=date.fromisoformat(day))
    except ValueError as error:
        raise ConfigurationError(
            f"the ledger's note of how far the folder was read makes no sense ({cursor[:40]!r})",
            do_next="Was another connector used for this mailbox? Give it another name.",
        ) from error
