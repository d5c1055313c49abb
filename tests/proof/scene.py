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
from orgs import APP_SECRET, HINT_SECRET, Org, Shown, open_org
from roads import Door, Roads
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
from crmdrip.ledger import outbox, received, runs, touches
from crmdrip.ledger.errors import LedgerBrokenError
from crmdrip.ledger.store import open_ledger
from crmdrip.sandbox.control import SENDGRID_KEY
from crmdrip.sandbox.courier import Errand
from crmdrip.sandbox.faults import Fault
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN
from crmdrip.sandbox.oneclick import Clicker
from crmdrip.sandbox.sendgrid import Disturbances
from crmdrip.sandbox.wires import REPLY_DOMAIN, change_form
from crmdrip.sandbox.world import OneClick

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
{keys}[sender]
company = "Acme"
postal_address = "1 Example Street, London N1 1AA, United Kingdom"
[unsubscribe]
base_url = "{door}/u"
keys = ["sandbox-unsubscribe-key"]
[web]
listen = ""
"""
SECRETS = {"HUBSPOT_TOKEN": DEFAULT_TOKEN, "HINT_SECRET": HINT_SECRET, "APP_SECRET": APP_SECRET}
DOOR = "http://127.0.0.1:8025"
"""Where the stand-ins post to. Nothing listens there: see roads."""
AT_ONCE = timedelta(seconds=31)
"""After which SendGrid posts what it has gathered."""
PRESSED = 5
"""How often a mail program posts an unsubscribe that is not answered."""


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
        self.door = Door(self.parts, settings)

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
        self.roads = Roads(self._door, self.watch)
        self.hasty = False
        """Whether whatever comes in at the door is followed by the passes it hastens."""
        self._keys = ""
        self._pressed: list[tuple[OneClick, int]] = []
        """Unsubscribes that were not answered, with how often."""
        self._ledgers = 0
        self._sleeps: list[Callable[[float], None]] = []

    def __enter__(self) -> Self:
        self.watch.attach()
        self.sandbox.__enter__()
        for client in CLIENTS:
            self._sleeps.append(client.__init__.__kwdefaults__["sleep"])
            client.__init__.__kwdefaults__["sleep"] = self._sleep
        self.roads.open()
        shutil.copy(self._blank, self.ledger)
        self.configure(self.cap)
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()
        errors = [error for server in self.sandbox.control.servers.values() for error in server.errors]
        self.sandbox.__exit__(*exc)
        self.roads.close()
        for client, sleep in zip(CLIENTS, self._sleeps, strict=True):
            client.__init__.__kwdefaults__["sleep"] = sleep
        assert errors == []

    def _sleep(self, seconds: float) -> None:
        """Whoever waits for searches does so by the sandbox's clock; between two tries nobody waits."""
        if seconds >= SEARCH_SECONDS:
            self.sandbox.set_time(self.now + timedelta(seconds=seconds))

    def configure(self, cap: int | None) -> None:
        """Write config.toml."""
        self.cap = cap
        text = self.org.config().replace("{cap}", f"daily_cap = {cap}\n" if cap is not None else "")
        text = text.replace("search_seconds = 0.0", f"search_seconds = {SEARCH_SECONDS}")
        text += _CONFIG.format(
            sendgrid=self.sandbox.sendgrid_url, connections=self._connections, keys=self._keys, door=DOOR
        )
        if self._keys:
            text += f'hint_secrets = [{{ env = "HINT_SECRET" }}]\n[replies]\ndomain = "{REPLY_DOMAIN}"\n'
        (self.folder / "config.toml").write_text(text, encoding="utf-8")

    # the door

    def connect(self, disturbances: Disturbances, *, raw: bool) -> None:
        """Everybody posts to the door: SendGrid its events and what comes back, mail programs, the CRM.

        raw: whether mail is posted as it came, or taken apart.
        """
        wires = self.sandbox.connect(DOOR)
        self._keys = f'event_keys = ["{wires.event_key}"]\ninbound_keys = ["{wires.inbound_key}"]\n'
        account, world = self.sandbox.account, self.sandbox.world
        account.deliveries.post = self.roads.post
        account.webhooks.disturbances = disturbances
        self.change_form(raw=raw)
        world.actions.post = Clicker(self.roads.post, self._clicked).post
        self.org.post_hints(DOOR, self.roads.post)
        self.configure(self.cap)

    def change_form(self, *, raw: bool) -> None:
        """Whether mail is posted as it came from now on."""
        self.do(change_form, self.sandbox.account, SENDGRID_KEY, raw=raw)

    def _door(self) -> Door | None:
        return None if self.mortality.dead or not self.processes else self.processes[-1].door

    def knock(self) -> None:
        """Everything that waits to be posted is posted now. In the stand-ins' thread."""
        now = self.sandbox.clock()
        self.sandbox.account.advance(now + AT_ONCE)
        self.org.advance_hints(now)
        self.roads.let_through()
        again, self._pressed = self._pressed, []
        for click, times in again:
            self._press(click, times)

    def _clicked(self, click: OneClick, problem: str) -> None:
        """A mail program was answered, or was not and tries once more later."""
        if not problem:
            self.sandbox.world.actions.unsubscribed(click)
            return
        self._pressed.append((click, 1))

    def _press(self, click: OneClick, times: int) -> None:
        def clicked(click: OneClick, problem: str) -> None:
            if not problem:
                self.sandbox.world.actions.unsubscribed(click)
            elif times < PRESSED:
                self._pressed.append((click, times + 1))

        Clicker(self.roads.post, clicked).post(click)

    def hint(self) -> None:
        """A Salesforce flow tells of a change. In the stand-ins' thread."""
        self.roads.post(Errand(url=f"{DOOR}/hints/{HINT_SECRET}", body=b"{}"), lambda _: None)

    def react(self) -> None:
        """What the door has hastened is done, as far as the process is there."""
        if not self.processes:
            return
        process = self.processes[-1]
        process.door.settle()
        if self.hasty:
            self.run_pass("received", process)
        if process.door.hinted:
            process.door.hinted = False
            self.run_pass("pull", process)

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
        self.react()

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
            process = self.processes.pop()
            process.close()
            self.watch.figures.door.update(process.door.fates)

    def _settings(self, ledger: Path) -> Settings:
        settings = load(self.folder / "config.toml", env=SECRETS)
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
        """Its supervisor starts it again until it comes up: within minutes, or when calls are free again."""
        for attempt in range(40):
            with suppress(CrmdripError):
                self.processes.append(Process(self._settings(ledger), self.clock, self.mortality, self.limits))
                break
            self._wait_for_supervisor(attempt)
        else:
            raise AssertionError("the daemon does not start although everything works")
        self.mortality.watching = True
        for attempt in range(40):
            if self.guard(passes.prepare):
                return
            self._wait_for_supervisor(attempt)
        raise AssertionError("the daemon cannot be prepared although everything works")

    def _wait_for_supervisor(self, attempt: int) -> None:
        self.sandbox.set_time(self.now + (timedelta(minutes=1) if attempt < 10 else timedelta(hours=1)))

    def take_over(self, ledger: Path | None) -> None:
        """A second daemon is started beside the first, with a ledger of its own: an empty one, or a copy."""
        self._ledgers += 1
        self.mend()
        self.do(self.watch.ledger_lost)
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
        self.do(self.watch.ledger_lost)
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
        self.react()
        for process in list(self.processes):
            for name in ("pull", *passes.PASSES):  # streams come by turns
                self.run_pass(name, process)

    def run_pass(self, name: str, process: Process | None = None) -> None:
        """One pass by name. What it brings of stops can be seen from then on."""
        waiting = self.do(self.watch.waiting_for, name)
        self.watch.dispatching = name == "dispatch"
        if self.guard(passes.PASSES[name], process):
            self.do(self.watch.brought, waiting)

    def die_at(self, point: int, name: str = "") -> str:
        """The process works until that point, and is killed there; which it was, "" when it came to its end before.

        name: of the one pass that it works on, "" for all.
        """
        if not self.mortality.dead:
            self.mortality.arm(point)
            with suppress(Killed, LedgerBrokenError):
                self.run_pass(name) if name else self.turn()
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

    def retry(self) -> None:
        """Whoever is on duty types crmdrip retry: what a lock has parked over days is written after all."""
        with self.parts.ledger.write() as connection:
            outbox.unpark(connection, self.clock.now())

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

    def owed(self) -> list[str]:
        """The keys of write-backs that wait, those that are parked with what refused them."""
        with self.parts.ledger.read() as connection:
            waiting = outbox.due(connection, datetime(9999, 1, 1, tzinfo=UTC), 10_000)
            parked = outbox.parked(connection)
        return [*(one.write.key for one in waiting), *(f"parked {one}" for one in parked)]

    def unexplained(self, people: list[str]) -> list[str]:
        """Whose record says nothing, or something that is not so, once everything has come to its end (P3).

        By then everybody is through or waits for somebody, and nothing is in doubt or owed.
        """
        found = [f"P3: owed: {one}" for one in self.owed()]
        with self.parts.ledger.read() as connection:
            count, failures = received.count(connection), received.failures(connection)
        found += [f"P3: {one.source} of {one.received_at} was not read: {one.error}" for one in failures]
        found += [f"P3: {count.waiting} deliveries wait to be read"] if count.waiting else []
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
