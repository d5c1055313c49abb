"""The play: days pass in steps, the world acts, and after each step the daemon's passes run as they do for real.

Skips over stretches in which nothing is due, and never over anything that happens in the world.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from crmdrip.core.errors import CrmdripError
from crmdrip.daemon import passes
from crmdrip.daemon.clock import HandClock
from crmdrip.daemon.parts import Parts
from crmdrip.demo import trouble
from crmdrip.demo.crm import DemoCrm
from crmdrip.demo.stage import Moment, Stage
from crmdrip.ledger import due_runs, outbox, runs, touches

log = structlog.get_logger()

STEP = timedelta(minutes=15)
HOURLY = frozenset({"feed", "figures"})
"""Passes with a slow rhythm: the daemon's own defaults are an hour and five minutes."""
DRAIN_STEPS = 96
"""Steps after the end in which what is owed and in doubt is settled."""
DOOR_SECONDS = 60.0
"""Real seconds that all requests of one step may take to be answered at the door."""


@dataclass(kw_only=True, slots=True)
class Progress:
    """How far the play is, for whoever watches."""

    now: datetime
    emails: int = 0
    deeds: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    """Sums over all passes, by "<pass>.<word>"."""
    stopped: int = 0
    """Runs that have ended before their last step."""
    setbacks: int = 0
    """Passes that broke off and were made up for later."""


Watch = Callable[[Progress], None]
Settle = Callable[[], None]
"""Waits until the door has done everything it was asked to."""


class Play:
    """One performance."""

    def __init__(
        self, parts: Parts, stage: Stage, clock: HandClock, crm: DemoCrm, *, settle: Settle, seed: int
    ) -> None:
        self._parts = parts
        self._crm = crm
        self._stage = stage
        self._clock = clock
        self._settle = settle
        self._seed = seed
        self._began = clock.now()
        self._ran: dict[str, datetime] = {}
        self._dealt = -1
        self._moment = Moment(next_due=None, happened=())
        self.progress = Progress(now=clock.now())

    def run(self, until: datetime, watch: Watch, *, with_trouble: bool) -> None:
        """Play until a time. Raises what no daemon gets over: a broken ledger, a refused configuration."""
        passes.prepare(self._parts)
        self.step(self._clock.now())
        while self._clock.now() < until:
            self._begin_day(with_trouble=with_trouble)
            self.step(min(self._next_step(), until))
            watch(self.progress)

    def drain(self, watch: Watch) -> None:
        """Go on until nothing is owed to the CRM and nothing is in doubt."""
        self._stage.disarm()
        for _ in range(DRAIN_STEPS):
            self.step(max(self._next_step(), self._clock.now()))
            watch(self.progress)
            with self._parts.ledger.read() as connection:
                states = touches.count_touches(connection)
                owed = outbox.pending(connection)[0]
            if not owed and not states.get("intended") and not states.get("in_doubt"):
                return

    def step(self, now: datetime) -> None:
        """Move both clocks and run every pass that is due by then."""
        self._clock.move(now)  # first: the door looks at it while the world moves
        self._moment = self._stage.move(now)
        self.progress.now = now
        self.progress.deeds.update(one.deed for one in self._moment.happened)
        if self._moment.pending:
            self._await_answers()
        for name, run in passes.PASSES.items():
            if name in HOURLY and now - self._ran.get(name, datetime.min.replace(tzinfo=UTC)) < timedelta(hours=1):
                continue
            if self._guarded(name, run):
                self._ran[name] = now
        with self._parts.ledger.read() as connection:
            self.progress.stopped = sum(runs.count_stops(connection).values())

    def _guarded(self, name: str, run: passes.Pass) -> bool:
        """As the daemon's loops do: one that fails stops no other, and is run again."""
        try:
            counts: Mapping[str, int] = run(self._parts)
        except CrmdripError as error:
            self.progress.setbacks += 1
            log.info("pass_failed", loop=name, error_class=error.error_class.value)
            return False
        self.progress.counts.update({f"{name}.{word}": int(number) for word, number in counts.items()})
        self.progress.emails = self.progress.counts["dispatch.accepted"]
        return True

    def _next_step(self) -> datetime:
        """The next quarter of an hour by which something is due: in the world, in the ledger, or to be written."""
        now = self._clock.now()
        with self._parts.ledger.read() as connection:
            due = [
                self._moment.next_due,
                due_runs.next_check(connection),
                touches.next_doubt(connection),
                outbox.next_due(connection),
            ]
        earliest = min((at for at in due if at is not None), default=now + timedelta(days=1))
        quiet = max(earliest - now, timedelta())
        return now + max(1, -(-quiet // STEP)) * STEP

    def _await_answers(self) -> None:
        """People and the provider call at the door over HTTP: let those of this step be done before going on."""
        deadline = time.monotonic() + DOOR_SECONDS
        while self._stage.pending() and time.monotonic() < deadline:
            time.sleep(0.005)
        self._settle()

    def _begin_day(self, *, with_trouble: bool) -> None:
        day = (self._clock.now() - self._began).days
        if day == self._dealt:
            return
        self._dealt = day
        # Mail comes as it was sent on one day, and taken apart by the provider on the next.
        self._stage.change_form(raw=day % 2 == 0)
        if with_trouble:
            for stand_in, faults in trouble.deal(self._seed, day, self._crm).items():
                self._stage.arm(stand_in, faults)
