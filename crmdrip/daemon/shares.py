"""Which runs this daemon looks at and mails: all that are due where it is alone, else those that no other one has.

Where daemons share a ledger, a run is with one of them from before its last look until what became of its email is
stored. Whoever finds a run of its own when it begins has broken off in between: that email is in doubt (B1).
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from datetime import datetime
from threading import Lock
from typing import Protocol

from sqlalchemy import Connection

from crmdrip.ledger import assignments, due_runs, touches
from crmdrip.ledger.assignments import FollowUp
from crmdrip.ledger.due_runs import DueRun
from crmdrip.ledger.store import Ledger
from crmdrip.ledger.workers import Worker


class Share(Protocol):
    """A daemon's part of what is due."""

    def take(self, now: datetime, limit: int, under_way: AbstractSet[int]) -> list[DueRun]:
        """At most limit runs to look at now, none of those under way. Raises LedgerBrokenError."""

    def give_back(self, run_ids: Iterable[int]) -> None:
        """All that was to be done for these is stored. Raises LedgerBrokenError."""

    def follow_ups_elsewhere(self, connection: Connection, now: datetime) -> list[FollowUp]:
        """Follow-ups that were taken before, and are not decided yet: first emails leave room for them (B19)."""

    def settle(self, now: datetime) -> int:
        """Before a pass: what an earlier one left open is in doubt. Returns how many touches.

        Raises LedgerBrokenError.
        """

    def recover(self, connection: Connection, now: datetime) -> int:
        """Before the first pass: what a crash left open is in doubt. Returns how many touches."""

    def begin_by(self, latest: datetime) -> datetime:
        """When an email has to be begun that may be begun at the latest then."""


def share_of(ledger: Ledger) -> Share:
    """The part of the daemon whose ledger it is."""
    return Shared(ledger, ledger.worker) if ledger.shared and ledger.worker is not None else Everything(ledger)


class Everything:
    """The part of a daemon that is alone."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def take(self, now: datetime, limit: int, under_way: AbstractSet[int]) -> list[DueRun]:
        """They stand as due until their email has gone out."""
        with self._ledger.read() as connection:
            due = due_runs.claim_due(connection, now, limit + len(under_way))
        return [run for run in due if run.id not in under_way][:limit]

    def give_back(self, run_ids: Iterable[int]) -> None:
        """Nobody waits for them."""

    def follow_ups_elsewhere(self, connection: Connection, now: datetime) -> list[FollowUp]:
        """Batches are decided one after the other, in the order in which they were taken."""
        del connection, now
        return []

    def settle(self, now: datetime) -> int:
        """Nobody else sends, and this daemon does not either just now."""
        with self._ledger.read() as connection:
            left = touches.any_intended(connection)
        if not left:
            return 0
        with self._ledger.write() as connection:
            return touches.recover(connection, now)

    def recover(self, connection: Connection, now: datetime) -> int:
        """Nobody else sends."""
        return touches.recover(connection, now)

    def begin_by(self, latest: datetime) -> datetime:
        """Whenever the look allows."""
        return latest


class Shared:
    """The part of a daemon among others."""

    def __init__(self, ledger: Ledger, worker: Worker) -> None:
        self._ledger = ledger
        self._worker = worker

    def take(self, now: datetime, limit: int, under_way: AbstractSet[int]) -> list[DueRun]:
        """Those under way are with this daemon already, and so not taken again."""
        del under_way
        with self._ledger.write() as connection:
            return assignments.take_due(connection, self._worker.id, now, limit)

    def give_back(self, run_ids: Iterable[int]) -> None:
        """Others may look at them again, should they be due."""
        with self._ledger.write() as connection:
            assignments.give_back(connection, run_ids)

    def follow_ups_elsewhere(self, connection: Connection, now: datetime) -> list[FollowUp]:
        """Another daemon's look may take longer than this one's, which was begun after it."""
        return assignments.follow_ups_elsewhere(connection, self._worker.id, now)

    def settle(self, now: datetime) -> int:
        """Of this daemon's own runs: those of the others are being sent."""
        del now
        with self._ledger.read() as connection:
            left = assignments.any_with(connection, self._worker.id)
        if not left:
            return 0
        with self._ledger.write() as connection:
            return assignments.settle(connection, [self._worker.id])

    def recover(self, connection: Connection, now: datetime) -> int:
        """What is with somebody is being sent, or will be settled once they are struck off."""
        return assignments.recover_unassigned(connection, now)

    def begin_by(self, latest: datetime) -> datetime:
        """Not once others may have taken it over: the machine slept, or the database cannot be reached (P1, B3)."""
        held = self._ledger.held_until
        return latest if held is None else min(latest, held)


class OneOfAll:
    """Entered by one thread of one of all daemons that share a ledger at a time; the others wait for it.

    Raises LedgerBrokenError on entry, for a database that cannot be reached or a daemon that never leaves.
    """

    def __init__(self, ledger: Ledger, purpose: int) -> None:
        self._ledger = ledger
        self._purpose = purpose
        self._turn = Lock()
        self._inside: ExitStack | None = None

    def __enter__(self) -> None:
        self._turn.acquire()
        try:
            inside = ExitStack()
            inside.enter_context(self._ledger.only_one(self._purpose))
        except BaseException:
            self._turn.release()
            raise
        self._inside = inside

    def __exit__(self, *error: object) -> None:
        inside, self._inside = self._inside, None
        try:
            if inside is not None:
                inside.close()
        finally:
            self._turn.release()
