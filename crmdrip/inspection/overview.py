"""The state of everything, from the ledger: runs by sequence and status, touches, what is owed, what holds it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from crmdrip.core.model import RunStatus
from crmdrip.inspection.answers import AnswerOverview, read_answers
from crmdrip.ledger import definitions, due_runs, marks, outbox, received, runs, touches, workers
from crmdrip.ledger.received import ReceivedCount
from crmdrip.ledger.store import Ledger
from crmdrip.ledger.workers import SignedIn

BEATS = timedelta(minutes=15)
"""The age of the heartbeat beyond which no daemon seems to run: it beats every five minutes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceLine:
    """One sequence."""

    id: str
    name: str
    state: str
    """Draft, Live, Paused, Retired; "Invalid" when there never was a good definition, "Removed" when it is gone."""
    error: str
    """What is wrong with its newest edit, "" when nothing is."""
    waiting_for: str
    """What it waits for before anybody is mailed: a confirmation, or crmdrip resume; "" for nothing."""
    runs: Mapping[str, int]
    """By status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """Everything at one moment."""

    org_id: str
    heartbeat: datetime | None
    daemon_seen: bool
    """Whether the heartbeat is young."""
    clock_ahead_seconds: int
    """Of this machine before the CRM's, less than nothing where it is behind; zero while they agree."""
    rebuilding: bool
    brake: str | None
    """Who pulled the brake in the CRM, "" when nobody knows; None when it is released."""
    paused: tuple[str, ...]
    """Sequence ids paused by command; "" is all of them."""
    sequences: tuple[SequenceLine, ...]
    touches: Mapping[str, int]
    """By state."""
    overdue: int
    """Runs the dispatcher should look at now."""
    owed: int
    parked: int
    received: ReceivedCount
    """What came in by the door and by mailboxes."""
    answers: AnswerOverview
    """The mail among it."""
    ledger: str
    room: bool
    """Whether the disk has room enough to go on sending."""
    workers: tuple[SignedIn, ...]
    """The daemons that stand in a ledger on a server; none for a file."""


def read_overview(ledger: Ledger, now: datetime) -> Overview:
    """Look at everything. Raises LedgerBrokenError."""
    with ledger.read() as connection:
        found = marks.read_marks(connection, "")
        beat = found.get(marks.HEARTBEAT)
        heartbeat = datetime.fromisoformat(beat) if beat is not None else None
        paused = tuple(sorted(n.partition(":")[2] for n in found if n.partition(":")[0] == marks.PAUSED))
        counts = runs.count_by_status(connection)
        owed, parked = outbox.pending(connection)
        sequences = definitions.load_sequences(connection).values()
        return Overview(
            org_id=found.get(marks.ORG, ""),
            heartbeat=heartbeat,
            daemon_seen=heartbeat is not None and now - heartbeat < BEATS,
            clock_ahead_seconds=int(found.get(marks.CLOCK, "0")),
            rebuilding=found.get(marks.MODE) == marks.REBUILDING,
            brake=found.get(marks.BRAKE),
            paused=paused,
            sequences=tuple(_line(known, counts, paused=known.id in paused) for known in sequences),
            touches=touches.count_touches(connection),
            overdue=due_runs.count_overdue(connection, now),
            owed=owed,
            parked=parked,
            received=received.count(connection),
            answers=read_answers(connection, now),
            ledger=ledger.where,
            room=ledger.room_left(),
            workers=tuple(workers.signed_in(connection)) if ledger.path is None else (),
        )


def _line(known: definitions.KnownSequence, counts: Mapping[tuple[str, str], int], *, paused: bool) -> SequenceLine:
    state = known.good.status.value if known.good is not None else "Invalid"
    return SequenceLine(
        id=known.id,
        name=known.name,
        state="Removed" if known.removed else state,
        error=known.error,
        waiting_for="paused by command, until crmdrip resume with its name" if paused else known.suspicion,
        runs={s.value: counts[known.id, s.value] for s in RunStatus if (known.id, s.value) in counts},
    )
