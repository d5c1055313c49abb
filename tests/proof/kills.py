"""kill -9 of the real process at every point at which something leaves it or is stored, found by watching it once.

`crmdrip run` works against the stand-ins over HTTP, on a ledger of its own. Each request that arrives, each answer that
is about to leave, and each side of each commit is a point, known by its name and its number in the life of the play. A
first play finds them; each further one is killed at one of them, started again, and played to its end.
"""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Self

from nursery import Born, nursery
from orgs import Shown, open_org
from troubles import Trouble
from watch import Watch

from crmdrip.core.errors import CrmdripError
from crmdrip.core.model import RunStatus, TouchState
from crmdrip.ledger import due_runs, outbox, runs, touches
from crmdrip.ledger.store import Ledger
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN

PATIENCE = 180.0
"""Real seconds after which what has not come to rest never will."""
MOST_KILLS = 8
"""In one play."""
RESTART_PAUSE = 0.5
"""Real seconds after which a supervisor starts a process again that ended by itself."""
ROOT = Path(__file__).parents[2]
STAYING, ANSWERING, LEAVING = range(4), 4, 5
"""Which people do what: the others get all three emails, one answers the first, one is unticked after it."""
DAYS = 3

_CONFIG = """\
[mail]
connector = "sendgrid"
[mail.sendgrid]
api_key = "SG.sandbox.sandbox-secret"
base_url = "{sendgrid}"
connections = 3
[sender]
company = "Acme"
postal_address = "1 Example Street, London N1 1AA, United Kingdom"
[unsubscribe]
base_url = "http://127.0.0.1:8025/u"
keys = ["sandbox-unsubscribe-key"]
[web]
listen = ""
[safety]
in_doubt_first_look_minutes = 0.005
[daemon]
pull_seconds = 0.3
dispatch_seconds = 0.2
write_back_seconds = 0.2
reconcile_seconds = 0.2
received_seconds = 5
feed_seconds = 3600
drain_seconds = 5
[log]
level = "error"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point in the life of a play."""

    name: str
    number: int
    """From 0, among those of its name."""

    def __str__(self) -> str:
        return f"{self.name} #{self.number}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a play's kills are to be: at one point, or at one and then at another that is passed after it."""

    points: tuple[Point, ...]

    def __str__(self) -> str:
        return " then ".join(map(str, self.points))

    @classmethod
    def parse(cls, text: str) -> Self:
        """As it is written by str."""
        parts = (part.rpartition(" #") for part in text.split(" then "))
        return cls(tuple(Point(name=name, number=int(number)) for name, _, number in parts))


class Reaper:
    """Watches all points, and kills the process that passes one. In the place of mortality.Mortality."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.points: Counter[str] = Counter()
        self.targets: list[Point] = []
        """The next first."""
        self.countdown: int | None = None
        """How many more points are passed before the next kill, in the place of a target."""
        self.deed: Callable[[], None] | None = None
        """What is done at the first target in the place of a kill."""
        self.pid = 0
        """Of the newest process: whoever does not say its number is taken for it."""
        self.dead: set[int] = set()
        self.kills = 0
        self.struck = 0
        """How many of the targets were reached."""

    def begin(self, pid: int) -> None:
        """A new process."""
        self.pid = pid
        self.dead.discard(pid)

    def strike(self, name: str, process: str = "") -> bool:
        """A point is passed; whether the process is dead by now."""
        with self._lock:
            pid = int(process or self.pid)
            if pid in self.dead:
                return True
            here = Point(name=name, number=self.points[name])
            self.points[name] += 1
            if self.targets and here == self.targets[0]:
                self.targets.pop(0)
                self.struck += 1
                deed, self.deed = self.deed, None
                if deed is None:
                    self.kill(pid)
                else:
                    deed()
            elif self.countdown is not None:
                self.countdown -= 1
                if self.countdown < 0:
                    self.kill(pid)
            return pid in self.dead

    def kill(self, pid: int) -> None:
        """Now."""
        self.countdown = None
        self.dead.add(pid)
        self.kills += 1
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class _Line(socketserver.StreamRequestHandler):
    """One process asks at its commits."""

    def handle(self) -> None:
        reaper: Reaper = self.server.reaper  # type: ignore[attr-defined] # given by listen
        with suppress(OSError):
            process = self.rfile.readline().decode().strip()
            for line in self.rfile:
                if reaper.strike(line.decode().strip(), process):
                    return
                self.wfile.write(b".")


@contextmanager
def listen(reaper: Reaper) -> Iterator[int]:
    """Answer the processes; the port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Line) as server:
        server.daemon_threads = True
        server.reaper = reaper  # type: ignore[attr-defined] # read by _Line
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@dataclass(kw_only=True, slots=True)
class Outcome:
    """How a play ended."""

    target: str
    struck: bool
    """Whether every point of the target was reached: threads take turns as they like."""
    kills: int = 0
    violations: list[str] = field(default_factory=list)
    points: Mapping[str, int] = field(default_factory=dict, repr=False)
    """All that were passed, how often by name."""
    needs_person: int = 0
    emails: int = 0
    starts: int = 0
    seconds: float = 0.0
    said: list[str] = field(default_factory=list)
    """What processes that ended by themselves had to say."""
    story: str = field(default="", repr=False)


@dataclass(kw_only=True, slots=True)
class Daemon:
    """One process after another, as one supervisor starts them."""

    folder: Path
    ledger: str
    """Its URL."""
    arguments: tuple[str, ...] = ("run",)
    process: subprocess.Popen[bytes] | Born | None = None
    hired: bool = True
    """Whether its supervisor starts it."""
    starts: int = 0
    ended_at: float | None = None
    """On the monotonic clock; None while there is a process."""
    killed: bool = False
    """How the last one ended."""

    @property
    def file(self) -> Path:
        """Of a ledger that is one."""
        return Path(self.ledger.removeprefix("sqlite:///"))

    def said(self) -> str:
        """The end of what its last process wrote on standard error."""
        file = self.folder / "err"
        return file.read_text(encoding="utf-8", errors="replace").strip()[-700:] if file.exists() else ""

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self.process is not None and self.process.poll() is None


class Play:
    """Three days of six people, with processes that may be killed. A context manager."""

    def __init__(self, crm: str, folder: Path, trouble: Trouble | None = None, *, forked: bool = False) -> None:
        """forked: processes are forked by one that has imported everything, and not started from nothing."""
        self.crm = crm
        self.folder = folder
        self.trouble = trouble or Trouble(Random(0))
        self.forked = forked and self.trouble.forked
        self.reaper = Reaper()
        self.org = open_org(crm, folder, None)
        self.sandbox = self.org.sandbox
        self.watch = Watch(self.org, self.reaper)
        self.watch.dispatching = True
        self.people: list[str] = []
        self.daemons: list[Daemon] = []
        """The first is the one that is there from the beginning."""
        self.environment: dict[str, str] = {}
        """Further variables of the processes to come."""
        self.limit: int | None = None
        """Bytes that no file of the process may outgrow (RLIMIT_FSIZE): the disk is full for it."""
        self.wrong = timedelta()
        """How far the machine's clock is off, for a while after the kill (B29)."""
        self.troubled_at: float | None = None
        """Since when the trouble lasts."""
        self._again: Random | None = None
        self._port = 0
        self._lines = listen(self.reaper)
        self._said: list[str] = []

    def __enter__(self) -> Self:
        self.watch.attach()
        self.sandbox.__enter__()
        self._port = self._lines.__enter__()
        self.trouble.prepare(self)
        self.set_clock()
        sequence = self.do(self.org.add_sequence, "Three days", [0, 1, 1], {})
        self.people = [self.do(self.org.add_person, "Contact", f"p{n}@firm{n}.example", sequence) for n in range(6)]
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()
        self._lines.__exit__(None, None, None)
        self.sandbox.__exit__(*exc)
        self.trouble.close(self)

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call anything of the sandbox in the servers' thread."""
        return self.sandbox.call(lambda: function(*args, **kwargs))

    # the processes

    def hire(self, folder: Path, ledger: str = "", more: str = "") -> Daemon:
        """A daemon with its configuration in that folder; it is not started yet. more: further tables."""
        folder.mkdir(exist_ok=True)
        ledger = ledger or f"sqlite:///{folder / 'crmdrip.sqlite3'}"
        text = self.org.config().replace("{cap}", "burst = 100000\nsearches = 1000\n" if self.org.lag else "")
        text = text.replace("search_seconds = 0.0", "search_seconds = 0.6")
        text = text.replace('"sequences"', f'"{self.folder / "sequences"}"')
        text += _CONFIG.format(sendgrid=self.sandbox.sendgrid_url) + f'{more}[ledger]\nurl = "{ledger}"\n'
        (folder / "config.toml").write_text(text, encoding="utf-8")
        self.daemons.append(Daemon(folder=folder, ledger=ledger))
        return self.daemons[-1]

    def start(self, daemon: Daemon) -> None:
        """A process, as its supervisor starts it."""
        daemon.starts += 1
        daemon.ended_at = None
        environment = {
            "PYTHONPATH": f"{ROOT / 'tests' / 'proof' / 'doomed'}{os.pathsep}{ROOT}",
            "CRMDRIP_PROOF_PORT": str(self._port),
            "CRMDRIP_PROOF_CLOCK": str(self.folder / "ahead"),
            "CRMDRIP_PROOF_BYTES": "" if self.limit is None else str(self.limit),
            "HUBSPOT_TOKEN": DEFAULT_TOKEN,
            **self.environment,
        }
        errors = daemon.folder / "err"
        arguments, daemon.arguments = daemon.arguments, ("run",)  # what else somebody typed once is not typed again
        if self.forked:
            daemon.process = nursery().run(arguments, daemon.folder, environment, errors)
        else:
            own = {name: value for name, value in os.environ.items() if not name.startswith("CRMDRIP_")}
            with errors.open("wb") as file:
                daemon.process = subprocess.Popen(
                    [sys.executable, "-m", "crmdrip.cli", *arguments],
                    cwd=daemon.folder,
                    env={**own, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=file,
                )
        self.reaper.begin(daemon.process.pid)

    def end(self) -> None:
        """What still runs is killed."""
        for daemon in self.daemons:
            if daemon.process is not None:
                daemon.process.kill()
                daemon.process.wait()
                daemon.process = None

    # time

    def pass_time(self, **by: float) -> None:
        """It is later, for everybody."""
        self.sandbox.set_time(self.sandbox.clock() + timedelta(**by))
        self.set_clock()

    def set_clock(self) -> None:
        """The processes' clocks show the time of the stand-ins, or one that is wrong."""
        ahead = (self.sandbox.clock() + self.wrong - datetime.now(UTC)).total_seconds()
        self.trouble.set_clock(self, ahead)

    # the trouble

    def begin_trouble(self) -> None:
        """It happens."""
        if self.troubled_at is None and not self.trouble.over:
            self.troubled_at = time.monotonic()
            self.trouble.strike(self)
            self.set_clock()

    def _end_trouble(self) -> None:
        """Whoever is on duty makes room on the disk, sets the clock right, and so on."""
        for daemon in self.daemons:
            if said := daemon.said():
                self.watch.tell(f"  it has said: {said}")
        self.troubled_at, self.trouble.over = None, True
        self.trouble.mend(self)
        self.set_clock()

    # the play

    def run(self, target: Target | None = None, *, again: Random | None = None) -> Outcome:
        """Play it, with a kill at each point of the target. Raises nothing; what broke is in the outcome.

        again: for further kills, up to MOST_KILLS of them, each some points after the start that followed the last.
        """
        began = time.monotonic()
        self.reaper.targets, self._again = list(target.points) if target is not None else [], again
        if self.trouble.alive:
            self.reaper.deed = self.begin_trouble
        outcome = Outcome(target=str(target or ""), struck=False)
        try:
            self._days()
            self._settle_for_good()
            outcome.violations += self.watch.violations + list(self._unexplained())
        except TimeoutError as error:
            said = "; ".join(daemon.said() for daemon in self.daemons)
            outcome.violations += [*self.watch.violations, f"P3: {error}: {said}"]
        self.end()
        states = self.states()
        outcome.struck = not self.reaper.targets
        outcome.kills, outcome.starts = self.reaper.kills, sum(daemon.starts for daemon in self.daemons)
        outcome.points = dict(self.reaper.points)
        outcome.needs_person = states.get(TouchState.NEEDS_PERSON.value, 0)
        outcome.emails = self.watch.figures.emails
        outcome.seconds = time.monotonic() - began
        outcome.said = self._said
        outcome.story = "\n".join(self.watch.story)
        return outcome

    def _days(self) -> None:
        actions = self.sandbox.world.actions
        self.until_rest(lambda: self._begun() == len(self.people))
        self.do(actions.reply, self.address(ANSWERING), "No, thank you.")
        self.do(actions.untick, self.people[LEAVING])
        self.until_rest(lambda: self._live() <= len(STAYING))
        for _ in range(DAYS - 1):
            self.pass_time(days=1, minutes=5)
            self.until_rest(lambda: True)

    def _settle_for_good(self) -> None:
        """Until nothing is in doubt or tried again within the hour: after three days a person is asked."""
        open_states = {TouchState.IN_DOUBT.value, TouchState.INTENDED.value}
        for _ in range(6):
            if not (open_states & self.states().keys() or self._live() or self._again_soon()):
                return
            self.pass_time(days=1, minutes=5)
            self.until_rest(lambda: True)

    def _again_soon(self) -> bool:
        """Whether an email waits for another attempt: one that was not begun in time, on a slow machine, say."""
        with self._read() as connection:
            due = due_runs.next_check(connection) if connection is not None else None
        return due is not None and due <= self.sandbox.clock() + timedelta(hours=1)

    def address(self, number: int) -> str:
        """Of one of them."""
        return f"p{number}@firm{number}.example"

    def until_rest(self, and_also: Callable[[], bool]) -> None:
        """Until nothing is due and nothing is owed; a process that ended is started again. Raises TimeoutError."""
        deadline, calm = time.monotonic() + PATIENCE, 0
        while calm < 2:
            if time.monotonic() > deadline:
                raise TimeoutError("it does not come to rest")
            for daemon in self.daemons:
                self._keep_alive(daemon)
            if self.troubled_at is not None and time.monotonic() - self.troubled_at > self.trouble.lasts:
                self._end_trouble()
            time.sleep(0.2)
            calm = calm + 1 if self.troubled_at is None and self._at_rest() and and_also() else 0

    def _keep_alive(self, daemon: Daemon) -> None:
        if not daemon.hired or daemon.running:
            return
        if daemon.process is None:
            self.start(daemon)
            return
        if daemon.ended_at is None:
            daemon.ended_at = time.monotonic()
            self._note_end(daemon, daemon.process.pid, daemon.process.returncode)
        if time.monotonic() - daemon.ended_at < (self.trouble.pause if daemon.killed else RESTART_PAUSE):
            return
        if daemon.killed and self._again is not None and self.reaper.kills < MOST_KILLS:
            self.reaper.countdown = self._again.choice([5, 20, 60, 150]) + self._again.randrange(20)
        self.start(daemon)

    def _note_end(self, daemon: Daemon, pid: int, code: int | None) -> None:
        daemon.killed = pid in self.reaper.dead
        self.reaper.dead.add(pid)
        said = "" if daemon.killed else daemon.said()
        self.watch.tell(f"  the process ended with {code}{f': {said}' if said else ''}")
        if daemon.killed and not self.trouble.alive:
            self.begin_trouble()
        elif not daemon.killed:
            self._said.append(said)
            if not any(other.running for other in self.daemons):
                self.pass_time(minutes=7)  # a rival's heartbeat grows old

    def _at_rest(self) -> bool:
        now = self.sandbox.clock() + timedelta(seconds=2)
        with self._read() as connection:
            if connection is None:
                return False
            due = due_runs.next_check(connection)
            states = touches.count_touches(connection)
            doubt = touches.next_doubt(connection)
            owed = outbox.pending(connection)
            unproven = runs.unproven_runs(connection, [one for one, _ in runs.count_by_status(connection)], 1)
        if (due is not None and due <= now) or TouchState.INTENDED.value in states or any(owed) or unproven:
            return False
        return doubt is None or doubt > now

    @contextmanager
    def _read(self) -> Iterator[Any]:
        """A look into the ledger of whoever is at work; None where there is none yet."""
        daemon = self.trouble.at_work(self)
        if daemon is None or (daemon.ledger.startswith("sqlite") and not daemon.file.exists()):
            yield None
            return
        with closing(Ledger(daemon.ledger)) as ledger:
            try:
                with ledger.read() as connection:
                    due_runs.next_check(connection)
                    yield connection
                    return
            except CrmdripError:
                pass
            yield None

    def _begun(self) -> int:
        with self._read() as connection:
            return sum(runs.count_by_status(connection).values()) if connection is not None else 0

    def _live(self) -> int:
        with self._read() as connection:
            counts = runs.count_by_status(connection) if connection is not None else {}
        return sum(
            count
            for (_, status), count in counts.items()
            if RunStatus(status).live and RunStatus(status) is not RunStatus.HELD
        )

    def states(self) -> Mapping[str, int]:
        """The ledger's touches by state."""
        with self._read() as connection:
            return touches.count_touches(connection) if connection is not None else {}

    def _unexplained(self) -> Iterator[str]:
        """P3: who stayed has had all three emails, or waits for a person; who stopped is told to have."""
        asked = self.states().get(TouchState.NEEDS_PERSON.value, 0)
        got = Counter(email.to for email in self.do(lambda: list(self.sandbox.account.accepted)))
        waiting = 0
        for number, record_id in enumerate(self.people):
            shown: Shown = self.do(self.org.show, record_id)
            said = f"P3: {shown.email} is {shown.status!r}, {shown.reason!r}, after {got[shown.email]} emails"
            if number in STAYING and shown.status == "Held" and shown.enrolled and "a person decides" in shown.reason:
                waiting += 1
            elif number in STAYING:
                if (shown.status, got[shown.email], shown.enrolled) != ("Finished", DAYS, False):
                    yield said
            elif shown.status != "Stopped" or shown.enrolled or not shown.reason or got[shown.email] > 1:
                yield said
        if waiting > asked:
            yield f"P3: {waiting} wait for a person, and {asked} touches do"
        states = self.states()
        for state in (TouchState.INTENDED, TouchState.IN_DOUBT):
            if states.get(state.value):
                yield f"P3: {states[state.value]} touches are {state.value}"


def find_points(crm: str, folder: Path, trouble: Trouble | None = None) -> dict[str, int]:
    """Every point of an undisturbed play: how often each is passed, by name."""
    with Play(crm, folder, trouble, forked=True) as play:
        outcome = play.run()
    if outcome.violations:
        raise AssertionError(f"{outcome.violations}\n{outcome.story}")
    return dict(outcome.points)
