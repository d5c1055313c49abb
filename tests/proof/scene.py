"""One org, one mail account, and daemons that are started, killed, doubled and robbed of their ledgers (B1 to B5)."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from mortality import Killed, Mortality
from orgs import Org, Shown, open_org
from watch import Watch

from connectors.hubspot.client import HubSpotClient
from connectors.salesforce.client import SalesforceClient
from crmdrip.assembly import assemble
from crmdrip.config import Settings, load
from crmdrip.core.errors import CrmdripError
from crmdrip.core.model import Enrollment, TouchState
from crmdrip.core.reasons import HoldReason, Reason
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import outbox, runs, touches
from crmdrip.ledger.errors import LedgerBrokenError
from crmdrip.ledger.store import open_ledger
from crmdrip.sandbox.faults import Fault
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN

MONDAY = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
"""A Monday on which no holiday and no change of clocks is near."""
SEARCH_SECONDS = 10.0
"""After which HubSpot's searches show everything; the stand-in takes eight."""
CLIENTS: tuple[Any, ...] = (SalesforceClient, HubSpotClient)
FOR_PEOPLE = {Reason(code=code).key for code in (HoldReason.NEEDS_PERSON, HoldReason.SEQUENCE_INVALID)}
"""Holds that only a person ends."""
_CONFIG = """\
[mail]
connector = "sendgrid"
[mail.sendgrid]
api_key = "SG.sandbox.sandbox-secret"
base_url = "{sendgrid}"
connections = {connections}
[sender]
company = "Acme"
postal_address = "1 Example Street, London N1 1AA, United Kingdom"
[unsubscribe]
base_url = "http://127.0.0.1:8025/u"
keys = ["sandbox-unsubscribe-key"]
[web]
listen = ""
"""


class MachineClock:
    """The sandbox's time, as a machine shows it whose clock may be wrong (B29)."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Aware UTC."""
        return self._now() + self.ahead


class Process:
    """One daemon with its ledger."""

    def __init__(
        self, settings: Settings, clock: MachineClock, mortality: Mortality, limits: Mapping[str, Any]
    ) -> None:
        self._open = ExitStack()
        parts = self._open.enter_context(assemble(settings, clock, exclusive=True))
        self.parts: Parts = replace(parts, limits=replace(parts.limits, **limits))
        mortality.haunt(self.parts.ledger.engine)

    def close(self) -> None:
        """It is over; nothing more is written."""
        self._open.close()


class Scene:
    """A context manager. name: "salesforce" or "hubspot". cap: API calls a day, None for no cap of the admin's.

    connections: emails on their way at the same time; with one a play is the same each time.
    """

    def __init__(self, name: str, folder: Path, blank: Path, *, cap: int | None = None, connections: int = 1) -> None:
        self.folder, self._blank, self.cap, self._connections = folder, blank, cap, connections
        self.limits: dict[str, Any] = {}
        """Of the daemon, other than usual."""
        self.mortality = Mortality()
        self.org: Org = open_org(name, folder, MONDAY)
        self.sandbox = self.org.sandbox
        self.watch = Watch(self.org, self.mortality)
        self.clock = MachineClock(self.sandbox.clock)
        self.processes: list[Process] = []
        """The newest last: it is the one that claimed the org."""
        self.ledger = folder / "ledger0.sqlite3"
        self.copies: list[Path] = []
        self.forgot_calls = False
        """Whether a ledger was lost or replaced, or a clock was wrong: then calls of the day are forgotten."""
        self._ledgers = 0
        self._sleeps: list[Callable[[float], None]] = []

    def __enter__(self) -> Self:
        self.watch.attach()
        self.sandbox.__enter__()
        for client in CLIENTS:
            self._sleeps.append(client.__init__.__kwdefaults__["sleep"])
            client.__init__.__kwdefaults__["sleep"] = self._sleep
        shutil.copy(self._blank, self.ledger)
        self.configure(self.cap)
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()
        errors = [error for server in self.sandbox.control.servers.values() for error in server.errors]
        self.sandbox.__exit__(*exc)
        for client, sleep in zip(CLIENTS, self._sleeps, strict=True):
            client.__init__.__kwdefaults__["sleep"] = sleep
        assert errors == []

    def _sleep(self, seconds: float) -> None:
        """Whoever waits for searches does so by the sandbox's clock; between two tries nobody waits."""
        if seconds >= SEARCH_SECONDS:
            self.later(seconds=seconds)

    def configure(self, cap: int | None) -> None:
        """Write config.toml."""
        self.cap = cap
        text = self.org.config().replace("{cap}", f"daily_cap = {cap}\n" if cap is not None else "")
        text = text.replace("search_seconds = 0.0", f"search_seconds = {SEARCH_SECONDS}")
        text += _CONFIG.format(sendgrid=self.sandbox.sendgrid_url, connections=self._connections)
        (self.folder / "config.toml").write_text(text, encoding="utf-8")

    # the stand-ins

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call anything of the sandbox in the servers' thread."""
        return self.sandbox.call(lambda: function(*args, **kwargs))

    @property
    def now(self) -> datetime:
        """The true time."""
        return self.sandbox.clock()

    def later(self, **by: float) -> None:
        """Move the clock on, by the words of timedelta."""
        self.sandbox.set_time(self.now + timedelta(**by))

    def fail(self, stand_in: str, *some: Fault) -> None:
        """Let calls of the "crm" or of "mail" go wrong."""
        faults = self.sandbox.account.faults if stand_in == "mail" else self.org.troubles and self._crm_faults()
        self.do(faults.add, *some)

    def _crm_faults(self) -> Any:
        return (getattr(self.org, "org", None) or getattr(self.org, "portal", None)).faults

    def mend(self) -> None:
        """Everything works again."""
        self.do(self.org.mend)
        self.do(self.sandbox.account.faults.clear)
        self.clock.ahead = timedelta()

    def show(self, record_id: str) -> Shown:
        """The record as it is."""
        shown: Shown = self.do(self.org.show, record_id)
        return shown

    # processes

    @property
    def parts(self) -> Parts:
        """Those of the newest process."""
        return self.processes[-1].parts

    def end(self) -> None:
        """Every process ends, without a word."""
        self.mortality.watching = False
        while self.processes:
            self.processes.pop().close()

    def _settings(self, ledger: Path) -> Settings:
        settings = load(self.folder / "config.toml", env={"HUBSPOT_TOKEN": DEFAULT_TOKEN})
        return settings.model_copy(update={"ledger": settings.ledger.model_copy(update={"url": f"sqlite:///{ledger}"})})

    def begin(self) -> None:
        """A process starts on the ledger, and prepares itself; where that fails its supervisor starts it again.

        Whoever is on duty has seen to it that everything works.
        """
        self.end()
        self.mend()
        self.mortality.revive()
        self._start(self.ledger)

    def start_unprepared(self) -> None:
        """A process that has done nothing yet."""
        self.processes.append(Process(self._settings(self.ledger), self.clock, self.mortality, self.limits))

    def _start(self, ledger: Path) -> None:
        self.processes.append(Process(self._settings(ledger), self.clock, self.mortality, self.limits))
        self.mortality.watching = True
        for _ in range(20):
            if self.guard(passes.prepare):
                return
            self.later(minutes=1)
        raise AssertionError("the daemon cannot be prepared although everything works")

    def take_over(self, ledger: Path | None) -> None:
        """A second daemon is started beside the first, with a ledger of its own: an empty one, or a copy."""
        self._ledgers += 1
        self.mend()
        self.forgot_calls = True
        own = self.folder / f"ledger{self._ledgers}.sqlite3"
        shutil.copy(ledger or self._blank, own)
        self.ledger = own
        self._start(own)

    def lose_ledger(self) -> None:
        """The file is deleted while nobody is at work, and the next process finds none."""
        self.end()
        self._replace(self._blank)
        self.begin()

    def restore(self, copy: Path) -> None:
        """A backup takes the ledger's place."""
        self.end()
        self._replace(copy)
        self.begin()

    def _replace(self, file: Path) -> None:
        self.forgot_calls = True
        for one in self.folder.glob(f"{self.ledger.name}*"):
            one.unlink()
        shutil.copy(file, self.ledger)

    def copy_ledger(self) -> Path:
        """A backup, made while the daemon goes on."""
        copy = self.folder / f"copy{len(self.copies)}.sqlite3"
        with closing(sqlite3.connect(self.ledger)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        self.copies.append(copy)
        return copy

    # passes

    def guard(self, run: Callable[[Parts], object], process: Process | None = None) -> bool:
        """One pass. What the loops would wait out is waited out; whether it came to its end."""
        try:
            run((process or self.processes[-1]).parts)
        except CrmdripError as error:
            self.watch.tell(f"    {getattr(run, '__name__', run)} failed: {error.what[:120]}")
            return False
        return True

    def turn(self) -> None:
        """One pass of every loop, of every process."""
        for process in list(self.processes):
            for name in ("pull", *passes.PASSES):  # streams come by turns
                self.run_pass(name, process)

    def run_pass(self, name: str, process: Process | None = None) -> None:
        """One pass by name. What it brings of stops can be seen from then on."""
        waiting = self.do(self.watch.waiting_for, name)
        self.watch.dispatching = name == "dispatch"
        if self.guard(passes.PASSES[name], process):
            self.do(self.watch.brought, waiting)

    def die_at(self, point: int) -> str:
        """The process works until that point, and is killed there; which it was, "" when it came to its end before."""
        self.mortality.arm(point)
        with suppress(Killed, LedgerBrokenError):
            self.turn()
        struck = self.mortality.struck_at
        if struck:
            self.watch.figures.deaths += 1
            self.watch.tell(f"  killed at {struck}")
        self.begin()
        return struck

    def play(self, until: datetime, step: timedelta) -> None:
        """Pass after pass until the time."""
        while self.now < until:
            self.sandbox.set_time(min(self.now + step, until))
            self.turn()

    # what is known

    def runs_of(self, record_id: str) -> list[Enrollment]:
        """The record's runs, oldest first."""
        with self.parts.ledger.read() as connection:
            return runs.runs_of_record(connection, record_id)

    def states_of(self, record_id: str) -> Mapping[TouchState, int]:
        """The record's touches by state."""
        with self.parts.ledger.read() as connection:
            found = touches.touches_in_full(connection, [run.id for run in runs.runs_of_record(connection, record_id)])
        states: dict[TouchState, int] = {}
        for touch in found:
            states[touch.state] = states.get(touch.state, 0) + 1
        return states

    def owed(self) -> int:
        """Write-backs that wait, parked ones included."""
        with self.parts.ledger.read() as connection:
            return len(outbox.due(connection, datetime(9999, 1, 1, tzinfo=UTC), 10_000)) + len(
                outbox.parked(connection)
            )

    def unexplained(self, people: list[str]) -> list[str]:
        """Whose record says nothing, or something that is not so, once everything has come to its end (P3).

        By then everybody is through or waits for somebody, and nothing is in doubt or owed.
        """
        found = [f"P3: {self.owed()} write-backs are owed"] if self.owed() else []
        for record_id in dict.fromkeys(shown.id for shown in map(self.show, people) if not shown.gone):
            shown, live = self.show(record_id), [run for run in self.runs_of(record_id) if run.status.live]
            states = self.states_of(record_id)
            unsettled = [state for state in (TouchState.INTENDED, TouchState.IN_DOUBT) if states.get(state)]
            found += [f"P3: a touch of {shown.email} is still {state.value}" for state in unsettled]
            ended = not live or live[-1].reason in FOR_PEOPLE or live[-1].status.value == "Paused"
            told = not live or (bool(shown.reason) and shown.status == live[-1].status.value)
            silent = bool(shown.status) and not shown.reason
            if not (ended and told and shown.enrolled == bool(live)) or silent:
                said = f"{shown.status!r}, {shown.reason!r}, box {'on' if shown.enrolled else 'off'}"
                under_way = ", ".join(f"{one.status} {one.reason}" for one in live)
                found.append(f"P3: {shown.email} ({record_id}): {said}; {under_way or 'no run'}")
        return found


def make_blank(folder: Path) -> Path:
    """A ledger with tables and nothing in them: Alembic runs once for all plays."""
    file = folder / "blank.sqlite3"
    with closing(open_ledger(f"sqlite:///{file}")):
        return file
