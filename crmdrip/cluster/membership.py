"""A daemon among others: it signs in again and again, and strikes off who has been silent for too long.

Whoever cannot sign in begins no email once its lease is over, and only then may others take its work over: two never
send for the same run, and what the ledger's own keys refuse is not even tried. Machines are compared by the database's
clock; a lease is counted on the machine's own, from before it was asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from sqlalchemy.exc import DatabaseError

from crmdrip.cluster.engine import JobEngine
from crmdrip.core.errors import CrmdripError
from crmdrip.daemon import passes
from crmdrip.daemon.loop import Daemon, Rhythm
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import engines, marks, workers
from crmdrip.ledger.store import Ledger
from crmdrip.ports import Clock

log = structlog.get_logger()

TIMES = 4
"""How often a daemon signs in within one lease."""
GRACE = 1.25
"""Leases of silence after which a daemon is struck off: more than one, since no two clocks go alike."""


class Membership:
    """A daemon's place among the others."""

    def __init__(self, ledger: Ledger, clock: Clock, lease: float, lost: Callable[[str], None]) -> None:
        """lease: seconds. lost: called with the reason once the others took this daemon's work over."""
        self._ledger = ledger
        self._clock = clock
        self._lease = lease
        self._lost = lost
        self._ended = threading.Event()
        self._since: float | None = None
        """Since when it has signed in without a break; on the monotonic clock."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Sign in until the end of the block."""
        self.sign_in()
        thread = threading.Thread(target=self._keep, name="membership", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _keep(self) -> None:
        while not self._ended.wait(self._lease / TIMES):
            if not self.sign_in():
                return
            self.strike_off_silent()

    def sign_in(self) -> bool:
        """Prolong the lease. False once it is lost for good; where the database cannot be reached it just runs out."""
        worker = self._ledger.worker
        if worker is None:
            return False
        before, began = self._clock.now(), time.monotonic()
        try:
            # Not as a writer among others: a lease must not wait for somebody's long transaction.
            with self._ledger.engine.begin() as connection:
                stands = workers.sign_in(connection, worker)
        except DatabaseError as error:
            self._since = None
            log.warning("not_signed_in", worker=worker.name, error=type(error).__name__)
            return True
        if not stands:
            log.error("struck_off", worker=worker.name)
            self._lost("this daemon was silent for longer than its lease, and the others have taken its work over")
            return False
        self._ledger.held_until = before + timedelta(seconds=self._lease)
        self._since = began if self._since is None else self._since
        return True

    def strike_off_silent(self) -> None:
        """Take over from who has been silent for too long; nobody who was away himself judges that."""
        if self._since is None or time.monotonic() - self._since < self._lease * GRACE:
            return
        try:
            # First, and not as a writer: one of them may have stopped in the middle of writing.
            with self._ledger.engine.begin() as connection:
                silent = workers.cut_off_silent(connection, self._lease * GRACE)
            if not silent:
                return
            with self._ledger.write() as connection:
                gone = workers.strike_off(connection, self._lease * GRACE)
        except DatabaseError as error:
            log.warning("silent_not_struck_off", error=type(error).__name__)
            return
        except CrmdripError as error:
            log.warning("silent_not_struck_off", error=str(error))
            return
        for name in gone:
            log.warning("daemon_struck_off", worker=name)


@contextmanager
def join(parts: Parts, rhythm: Rhythm, lease: float) -> Iterator[Daemon]:
    """A daemon that works together with the others, for as long as the block lasts. lease: in seconds.

    Raises ConfigurationError where the engine is not installed.
    """
    ledger = parts.ledger
    name = ledger.worker.name if ledger.worker is not None else ""

    def count() -> int:
        with ledger.read() as connection:
            return sum(one.silent < lease for one in workers.signed_in(connection))

    engine = JobEngine(ledger.url, name, lease, count)
    daemon = Daemon(parts, rhythm, engine, lambda known: prepare_together(known, lease))
    with Membership(ledger, parts.clock, lease, daemon.give_up).held():
        yield daemon


def comes_second(parts: Parts, lease: float) -> bool:
    """Whether another daemon of this ledger joined before this one. Raises LedgerBrokenError."""
    with parts.ledger.read() as connection:
        others = [one for one in workers.signed_in(connection) if one.silent < lease]
    return bool(others) and parts.ledger.worker is not None and others[0].id != parts.ledger.worker.id


def prepare_together(parts: Parts, lease: float) -> None:
    """As passes.prepare, by the first of the daemons; the others go by its word. Raises what that raises.

    So that a daemon that joins neither claims the org anew nor doubts what the others are just sending.
    """
    worker = parts.ledger.worker
    if worker is None:
        raise ValueError("a ledger that is not shared is prepared by passes.prepare")
    with parts.ledger.only_one(engines.PREPARING):
        with parts.ledger.write() as connection:
            workers.strike_off(connection, lease * GRACE)
            ready = workers.any_ready(connection, lease) and marks.read_mark(connection, marks.MODE) is None
        if not ready:
            passes.prepare(parts)
        with parts.ledger.write() as connection:
            workers.set_ready(connection, worker)
    log.info("worker_joined", worker=worker.name, first=not ready)
