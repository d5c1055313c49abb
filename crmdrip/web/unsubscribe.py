"""An unsubscribe that came in: from a signed token to one suppression, in all sequences and on all twins (B22)."""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core.model import Signal, SignalKind
from crmdrip.core.tokens import Unsubscriber, UnsubscribeTokens
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import load_background
from crmdrip.daemon.twins import tell
from crmdrip.ledger import people, runs

log = structlog.get_logger()

SOURCE = "web"


class Unsubscribes:
    """Reads tokens and stores what they ask for."""

    def __init__(self, parts: Parts, keys: tuple[str, ...]) -> None:
        """keys: as in UnsubscribeTokens. Raises ConfigurationError."""
        self._parts = parts
        self._tokens = UnsubscribeTokens(keys)

    def read(self, token: str) -> Unsubscriber | None:
        """Whose token it is; None when it is not signed by us or belongs to another CRM account (B28)."""
        who = self._tokens.read(token)
        return who if who is not None and who.org == self._parts.org_id else None

    def accept(self, who: Unsubscriber) -> list[Signal]:
        """Suppress the person in one transaction; a repeat changes nothing. Raises LedgerBrokenError.

        Returns the new signals, for `tell`. A person nobody remembers (the ledger was lost) is suppressed too: their
        key is all that is needed for that.
        """
        parts, now = self._parts, self._parts.clock.now()
        with parts.ledger.write() as connection:
            people.suppress_person(connection, who.person, SignalKind.UNSUBSCRIBE, now, SOURCE)
            signals = _signals(connection, who.person, now)
            new = apply_signals(connection, signals, load_background(connection), parts.org_id, now)
        if new:
            log.info("unsubscribed", records=len({signal.record_id for signal in new}))
        return new

    def tell(self, new: list[Signal]) -> None:
        """Owe the CRM the opt-out on records that never were in a sequence: a call, so not before the answer."""
        tell(self._parts, new)


def _signals(connection: Connection, person: str, now: datetime) -> list[Signal]:
    """One signal per record and address of the person: the run's own, and what the record has meanwhile (B15)."""
    found = runs.runs_of_person(connection, person)
    known = people.known_records(connection, {run.ref.id for run in found})
    targets = {(run.ref.id, run.address) for run in found}
    targets |= {(record_id, record.address) for record_id, record in known.items() if record.address}
    return [
        Signal(
            key=f"{SOURCE}:unsubscribe:{record_id}:{address}"[:255],
            kind=SignalKind.UNSUBSCRIBE,
            at=now,
            source=SOURCE,
            record_id=record_id,
            address=address,
        )
        for record_id, address in sorted(targets)
    ]
