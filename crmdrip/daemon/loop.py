"""The daemon: named loops on a clockwork, each with an error budget, and an orderly end.

APScheduler only ticks. What is due stands in the ledger; a tick missed or merged loses nothing.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, Protocol

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from crmdrip.core.errors import CrmdripError, RateLimitedError
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.daemon.parts import Parts
from crmdrip.ledger.errors import LedgerConflictError

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rhythm:
    """How often each loop runs, in seconds, and when to give up."""

    every: Mapping[str, float]
    error_budget: int = 10
    """Failures of one loop in a row that nobody foresaw, after which the process ends for its supervisor to start it
    anew. What the taxonomy knows is waited out instead: it ends when the other side or a person ends it, and until then
    records are told and unsubscribes are taken."""
    drain_seconds: float = 30


@dataclass(slots=True)
class LoopState:
    """How one loop fares."""

    failures: int = 0
    """In a row, of any kind."""
    bugs: int = 0
    """In a row, of a kind that nobody foresaw."""
    last_success: datetime | None = None
    last_error: str = ""
    pause_until: float = 0.0
    """On the monotonic clock: a jump of the wall clock neither prolongs a pause nor ends it (B29)."""
    counts: dict[str, int] = field(default_factory=dict)
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held by the run that is under way."""
    again: bool = False
    """Somebody asked for a run meanwhile."""
    hastened: float = -math.inf
    """When the last run that somebody asked for was, or is, to begin; on the monotonic clock."""


FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
"""Seconds a loop rests after failures in a row, doubling from the first to the longest."""

HASTE: Mapping[str, float] = {"pull": 10.0, "received": 0.2}
"""Seconds between two runs of a loop that somebody asked for; a second for those not named. A push of the CRM for each
of ten thousand records is a pull every ten seconds, and no more (P5)."""

FOLLOWED_BY: Mapping[str, tuple[tuple[str, str], ...]] = {
    "pull": (("enrolled", "dispatch"), ("refused", "write_back"), ("stopped", "write_back")),
    "received": (("signals", "write_back"), ("mails", "write_back")),
    "dispatch": (("accepted", "write_back"), ("stopped", "write_back")),
}
"""What a run that counted something leaves for another loop to do, which begins at once and not with its next tick.
Whoever enters is told once the first email is out, so that it costs one write and not two (P5)."""

LONGEST_WAIT = 3600.0
"""Seconds after which the other side is asked again, however long it told us to wait."""


class Engine(Protocol):
    """Runs the loops where several daemons share the work; which of them runs one is the engine's to say."""

    def begin(self, loops: Mapping[str, Callable[[], None]], every: Mapping[str, float]) -> None:
        """Run each of them again and again. every: seconds between two runs. Returns at once, and raises nothing."""

    def hasten(self, name: str, seconds: float) -> None:
        """Have a loop run in so many seconds, by whichever daemon. Raises nothing."""

    def end(self) -> None:
        """Begin no further run; returns once those under way are done."""


class Daemon:
    """Runs the loops until told to stop, or until one of them has failed too often."""

    def __init__(
        self,
        parts: Parts,
        rhythm: Rhythm,
        engine: Engine | None = None,
        prepare: Callable[[Parts], object] | None = None,
    ) -> None:
        """engine: where daemons share the work. prepare: what comes before the first run of a loop, by default all."""
        self._engine = engine
        self._prepares = prepare
        self._stop = threading.Event()
        self._parts = replace(parts, stopping=self._stop)
        self._rhythm = rhythm
        self._prepared = threading.Event()
        self._scheduler: BackgroundScheduler | None = None
        self._hastening = threading.Lock()
        self._exit_code = 0
        self.drained = True
        """False once the deadline of the drain passed with a loop still under way."""
        self.states = {name: LoopState() for name in ("prepare", *passes.PASSES)}

    @property
    def ready(self) -> bool:
        """Whether email goes out as it should: history is complete, no loop fails, and every mailbox can be read."""
        fails = any(state.failures for state in self.states.values())
        deaf = any(one.error for one in self._parts.mailboxes.hearings())
        return self._prepared.is_set() and not fails and not deaf

    @property
    def alive(self) -> bool:
        """Whether every loop is within its error budget."""
        return all(state.bugs < self._rhythm.error_budget for state in self.states.values())

    def stop(self) -> None:
        """Ask for the end; `run` returns when what is under way is done, or the deadline is over."""
        self._stop.set()

    def give_up(self, why: str) -> None:
        """As stop, with an exit code by which a supervisor starts the daemon anew."""
        log.error("daemon_gave_up", why=why)
        self._exit_code = 1
        self._stop.set()

    def hasten(self, name: str) -> None:
        """Run a loop now, or as soon as HASTE allows; asked for many times before it runs, it runs once. Thread-safe.

        What comes in while it runs is not missed: it runs once more. Before the first run there is nothing to hasten.
        """
        state, scheduler = self.states[name], self._scheduler
        if scheduler is None or not self._prepared.is_set() or self._stop.is_set():
            return
        with self._hastening:
            now = time.monotonic()
            if state.hastened > now:
                return  # it is to run then anyway
            state.hastened = max(now, state.hastened + HASTE.get(name, 1.0))
            if self._engine is not None:
                self._engine.hasten(name, state.hastened - now)
                return
            at = _now() + timedelta(seconds=state.hastened - now)
            job = self._job(name, passes.PASSES[name])
            # An id of its own, so that the loop's own rhythm stays as it is.
            scheduler.add_job(job, "date", run_date=at, id=f"{name} hastened {state.hastened}")

    def run(self) -> int:
        """Work until stopped. Returns the exit code: 0 after a stop that was asked for, 1 when a loop gave up."""
        scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(2 * len(passes.PASSES))},  # a loop may be hastened while it runs
            # The defaults drop a run that is a second late; here a late tick is simply one tick.
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )
        scheduler.start()
        self._scheduler = scheduler
        threading.Thread(target=self._prepare, args=(scheduler,), name="prepare", daemon=True).start()
        log.info("daemon_started", org=self._parts.org_id)
        self._stop.wait()
        self._drain(scheduler)
        log.info("daemon_stopped", exit_code=self._exit_code)
        return self._exit_code

    def handle_signals(self) -> None:
        """Stop in order on SIGTERM and SIGINT. Only from the main thread."""

        def on_signal(number: int, _: FrameType | None) -> None:
            log.info("stop_requested", signal=signal.Signals(number).name)
            self.stop()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)

    def _prepare(self, scheduler: BackgroundScheduler) -> None:
        """Settle the past, then begin with every loop at once; sending waits for it (B4)."""
        state = self.states["prepare"]
        while not self._stop.is_set():
            if self._guard("prepare", lambda: (self._prepares or passes.prepare)(self._parts)):
                self._prepared.set()
                if self._engine is not None:
                    jobs = {name: self._job(name, run) for name, run in passes.PASSES.items()}
                    self._engine.begin(jobs, self._rhythm.every)
                    return
                for name, run in passes.PASSES.items():
                    job = self._job(name, run)
                    scheduler.add_job(job, "interval", seconds=self._rhythm.every[name], id=name, next_run_time=_now())
                return
            self._stop.wait(max(0.0, state.pause_until - time.monotonic()))

    def _job(self, name: str, run: passes.Pass) -> Callable[[], None]:
        state = self.states[name]

        def work() -> None:
            counts = {word: int(number) for word, number in run(self._parts).items()}
            for word, number in counts.items():
                state.counts[word] = state.counts.get(word, 0) + number
            for other in {other for word, other in FOLLOWED_BY.get(name, ()) if counts.get(word)}:
                self.hasten(other)

        def job() -> None:
            state.again = True
            # Whoever has the turn sees that there is more to do; whoever comes too late for that takes the turn.
            while state.again and state.turn.acquire(blocking=False):
                try:
                    state.again = False
                    if self._stop.is_set() or time.monotonic() < state.pause_until:
                        return
                    self._guard(name, work)
                finally:
                    state.turn.release()

        return job

    def _guard(self, name: str, work: Callable[[], Any]) -> bool:
        """Run it, keep score, and end the daemon when the budget is used up."""
        state = self.states[name]
        began = time.monotonic()
        try:
            work()
        except RateLimitedError as error:
            wait = min(error.retry_after if error.retry_after is not None else 60.0, LONGEST_WAIT)
            state.pause_until = time.monotonic() + wait
            state.last_error = str(error)
            log.warning("loop_told_to_wait", loop=name, seconds=round(wait))
            return False
        except LedgerConflictError as error:
            log.exception("loop_broke", loop=name)
            state.bugs += 1
            self._failed(name, str(error), "bug")
            return False
        except CrmdripError as error:
            self._failed(name, str(error), error.error_class.value)
            return False
        except Exception as error:
            log.exception("loop_broke", loop=name)
            state.bugs += 1
            self._failed(name, f"{type(error).__name__}: {error}", "bug")
            return False
        state.failures = state.bugs = 0
        state.pause_until = 0.0
        state.last_error = ""
        state.last_success = self._parts.clock.now()
        log.debug("loop_ran", loop=name, seconds=round(time.monotonic() - began, 3))
        return True

    def _failed(self, name: str, text: str, error_class: str) -> None:
        state = self.states[name]
        state.failures += 1
        state.last_error = text
        state.pause_until = time.monotonic() + min(FIRST_PAUSE * 2.0 ** min(state.failures - 1, 10), LONGEST_PAUSE)
        log.error("loop_failed", loop=name, error=text, error_class=error_class, failures=state.failures)
        if state.bugs >= self._rhythm.error_budget:
            log.error("loop_gave_up", loop=name, failures=state.bugs)
            self._exit_code = 1
            self._stop.set()

    def _drain(self, scheduler: BackgroundScheduler) -> None:
        """Let what is under way come to its end, but not for ever: shutdown(wait=True) has no time-out of its own."""

        def shut_down() -> None:
            if self._engine is not None:
                self._engine.end()
            scheduler.shutdown(wait=True)

        waiter = threading.Thread(target=shut_down, daemon=True)
        waiter.start()
        waiter.join(self._rhythm.drain_seconds)
        if waiter.is_alive():
            log.warning("drain_deadline_passed", seconds=self._rhythm.drain_seconds)
            self.drained = False
            self._exit_code = self._exit_code or 1


def _now() -> datetime:
    """The clockwork's own time; decides nothing."""
    return datetime.now(UTC)
