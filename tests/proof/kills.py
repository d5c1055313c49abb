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

from orgs import Shown, open_org
from watch import Watch

from crmdrip.core.errors import CrmdripError
from crmdrip.core.model import RunStatus, TouchState
from crmdrip.ledger import outbox, runs, touches
from crmdrip.ledger.store import Ledger
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN

PATIENCE = 180.0
"""Real seconds after which what has not come to rest never will."""
MOST_KILLS = 8
"""In one play."""
TROUBLE_LASTS = 5.0
"""Real seconds after which whoever is on duty has made room, or set a clock right."""
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


class Reaper:
    """Watches all points, and kills the process at one. In the place of mortality.Mortality."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.points: Counter[str] = Counter()
        self.target: Point | None = None
        self.countdown: int | None = None
        """How many more points are passed before the next kill, in the place of a target."""
        self.pid = 0
        self.dead = False
        self.kills = 0
        self._watching: set[int] = set()

    def begin(self, pid: int) -> None:
        """A new process."""
        self.pid, self.dead = pid, False

    def strike(self, name: str) -> bool:
        """A point is passed; whether the process is dead by now."""
        with self._lock:
            if self.dead:
                return True
            here = Point(name=name, number=self.points[name])
            self.points[name] += 1
            if self.countdown is not None:
                self.countdown -= 1
            if here == self.target or (self.countdown is not None and self.countdown < 0):
                self.kill()
            return self.dead

    def kill(self) -> None:
        """Now."""
        self.dead, self.target, self.countdown = True, None, None
        self.kills += 1
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class _Line(socketserver.StreamRequestHandler):
    """One process asks at its commits."""

    def handle(self) -> None:
        reaper: Reaper = self.server.reaper  # type: ignore[attr-defined] # given by listen
        with suppress(OSError):
            for line in self.rfile:
                if reaper.strike(line.decode().strip()):
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

    point: str
    kills: int
    """0 where the point was not reached: threads take turns as they like."""
    violations: list[str] = field(default_factory=list)
    needs_person: int = 0
    emails: int = 0
    starts: int = 0
    seconds: float = 0.0
    story: str = field(default="", repr=False)


Trouble = Callable[["Play"], None]
"""What is done to the ledger's files between a kill and the next start."""


class Play:
    """Three days of six people, with one process that may be killed. A context manager."""

    def __init__(self, crm: str, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "crmdrip.sqlite3"
        self.reaper = Reaper()
        self.org = open_org(crm, folder, None)
        self.sandbox = self.org.sandbox
        self.watch = Watch(self.org, self.reaper)
        self.watch.dispatching = True
        self.people: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.trouble: Trouble | None = None
        self._again: Random | None = None
        self.limit: int | None = None
        """Bytes that no file of the process may outgrow (RLIMIT_FSIZE): the disk is full for it."""
        self.arguments: tuple[str, ...] = ()
        self.wrong = timedelta()
        """How far the machine's clock is off, for a while after the kill (B29)."""
        self._since = 0.0
        self._port = 0
        self._lines = listen(self.reaper)

    def __enter__(self) -> Self:
        self.watch.attach()
        self.sandbox.__enter__()
        self._port = self._lines.__enter__()
        text = self.org.config().replace("{cap}", "burst = 100000\nsearches = 1000\n" if self.org.lag else "")
        text = text.replace("search_seconds = 0.0", "search_seconds = 0.6")
        text += _CONFIG.format(sendgrid=self.sandbox.sendgrid_url)
        (self.folder / "config.toml").write_text(text, encoding="utf-8")
        self.ahead(0.0)
        sequence = self.do(self.org.add_sequence, "Three days", [0, 1, 1], {})
        self.people = [self.do(self.org.add_person, "Contact", f"p{n}@firm{n}.example", sequence) for n in range(6)]
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()
        self._lines.__exit__(None, None, None)
        self.sandbox.__exit__(*exc)

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call anything of the sandbox in the servers' thread."""
        return self.sandbox.call(lambda: function(*args, **kwargs))

    # the process

    def start(self) -> None:
        """The daemon, as its supervisor starts it."""
        self.starts += 1
        self._since = time.monotonic()
        self.reaper.begin(0)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CRMDRIP_")},
            "PYTHONPATH": f"{ROOT / 'tests' / 'proof' / 'doomed'}{os.pathsep}{ROOT}",
            "CRMDRIP_PROOF_PORT": str(self._port),
            "CRMDRIP_PROOF_CLOCK": str(self.folder / "ahead"),
            "CRMDRIP_PROOF_BYTES": "" if self.limit is None else str(self.limit),
            "HUBSPOT_TOKEN": DEFAULT_TOKEN,
        }
        with (self.folder / "err").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "crmdrip.cli", "run", *self.arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        self.reaper.pid = self.process.pid

    def end(self) -> None:
        """What still runs is killed."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def said(self) -> str:
        """The end of what the process wrote on standard error."""
        return (self.folder / "err").read_text(encoding="utf-8", errors="replace").strip()[-300:]

    # time

    def ahead(self, seconds: float) -> None:
        """The process's clock runs that far ahead."""
        part = self.folder / "ahead.part"
        part.write_text(str(seconds), encoding="utf-8")
        part.replace(self.folder / "ahead")

    def pass_time(self, **by: float) -> None:
        """It is later, for everybody."""
        self.sandbox.set_time(self.sandbox.clock() + timedelta(**by))
        self._set_clock()

    def _set_clock(self) -> None:
        self.ahead((self.sandbox.clock() + self.wrong - datetime.now(UTC)).total_seconds())

    def _mend(self) -> None:
        """Whoever is on duty makes room on the disk, sets the clock right, and starts the process anew."""
        if self.limit is not None:
            self.watch.tell(f"  there is room on the disk again; it had said: {self.said()}")
            self.reaper.kill()
        self.limit, self.wrong = None, timedelta()
        self._set_clock()

    # the play

    def run(self, target: Point | None = None, *, again: Random | None = None) -> Outcome:
        """Play it, with a kill at the point. Raises nothing; what broke is in the outcome.

        again: for further kills, up to MOST_KILLS of them, each some points after the start that followed the last.
        """
        began = time.monotonic()
        self.reaper.target, self._again = target, again
        outcome = Outcome(point=str(target), kills=0)
        self.start()
        try:
            self._days()
            self._settle_for_good()
            outcome.violations += self.watch.violations + list(self._unexplained())
        except TimeoutError as error:
            outcome.violations.append(f"P3: {error}: {self.said()}")
        self.end()
        states = self.states()
        outcome.kills, outcome.starts = self.reaper.kills, self.starts
        outcome.needs_person = states.get(TouchState.NEEDS_PERSON.value, 0)
        outcome.emails = self.watch.figures.emails
        outcome.seconds = time.monotonic() - began
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
        """Until nothing is in doubt: after three days a person is asked."""
        for _ in range(6):
            if not {TouchState.IN_DOUBT.value, TouchState.INTENDED.value} & self.states().keys() and not self._live():
                return
            self.pass_time(days=1, minutes=5)
            self.until_rest(lambda: True)

    def address(self, number: int) -> str:
        """Of one of them."""
        return f"p{number}@firm{number}.example"

    def until_rest(self, and_also: Callable[[], bool]) -> None:
        """Until nothing is due and nothing is owed; a process that ended is started again. Raises TimeoutError."""
        deadline, calm = time.monotonic() + PATIENCE, 0
        while calm < 4:
            if time.monotonic() > deadline:
                raise TimeoutError("it does not come to rest")
            self._keep_alive()
            if (self.limit is not None or self.wrong) and time.monotonic() - self._since > TROUBLE_LASTS:
                self._mend()
            time.sleep(0.1)
            calm = calm + 1 if self._at_rest() and and_also() else 0

    def _keep_alive(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            return
        killed, code = self.reaper.dead, self.process.returncode
        self.reaper.dead = True
        self.watch.tell(f"  the process ended with {code}{', killed' if killed else f': {self.said()}'}")
        if self.trouble is not None and killed:
            self.trouble(self)
            self.trouble = None
            self._set_clock()
        if not killed:
            self.pass_time(minutes=7)  # a rival's heartbeat grows old, and whoever is on duty makes room
            self.limit = None
        elif self._again is not None and self.reaper.kills < MOST_KILLS:
            self.reaper.countdown = self._again.choice([5, 20, 60, 150]) + self._again.randrange(20)
        self.start()

    def _at_rest(self) -> bool:
        now = self.sandbox.clock() + timedelta(seconds=2)
        with self._read() as connection:
            if connection is None:
                return False
            due = runs.next_check(connection)
            states = touches.count_touches(connection)
            doubt = touches.next_doubt(connection)
            owed = outbox.pending(connection)
            unproven = runs.unproven_runs(connection, [one for one, _ in runs.count_by_status(connection)], 1)
        if (due is not None and due <= now) or TouchState.INTENDED.value in states or any(owed) or unproven:
            return False
        return doubt is None or doubt > now

    @contextmanager
    def _read(self) -> Iterator[Any]:
        """A look into the ledger; None where there is none yet."""
        if not self.ledger.exists():
            yield None
            return
        with closing(Ledger(f"sqlite:///{self.ledger}")) as ledger:
            try:
                with ledger.read() as connection:
                    runs.next_check(connection)
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


def find_points(crm: str, folder: Path) -> list[Point]:
    """Every point of an undisturbed play."""
    with Play(crm, folder) as play:
        outcome = play.run()
        if outcome.violations:
            raise AssertionError(f"{outcome.violations}\n{outcome.story}")
        return [
            Point(name=name, number=number) for name, count in play.reaper.points.items() for number in range(count)
        ]


# what happens to the files of a ledger whose process was killed


def tear(random: Random) -> Trouble:
    """The end of the write-ahead log was never written, or with something else: the disk lied about it."""

    def trouble(play: Play) -> None:
        log = play.ledger.with_name(play.ledger.name + "-wal")
        if not log.exists() or not log.stat().st_size:
            return
        size = log.stat().st_size
        lost = min(size, random.choice([1, 100, 4096, 20_000, size // 2]))
        with log.open("r+b") as file:
            if random.random() < 0.5:
                file.truncate(size - lost)
            else:
                file.seek(size - lost)
                file.write(random.randbytes(lost))
        play.watch.tell(f"  the last {lost} of {size} bytes of the log are torn")

    return trouble


def fill(random: Random) -> Trouble:
    """The disk is full for the next process, at once or after some more has been written (B30)."""

    def trouble(play: Play) -> None:
        files = [play.ledger, play.ledger.with_name(play.ledger.name + "-wal")]
        largest = max((file.stat().st_size for file in files if file.exists()), default=0)
        play.limit = largest + random.choice([0, 1, 4_096, 20_000, 100_000])
        play.watch.tell(f"  no file may grow beyond {play.limit} bytes")

    return trouble


def jump(random: Random) -> Trouble:
    """The next process finds another time on its machine (B29)."""

    def trouble(play: Play) -> None:
        play.wrong = timedelta(hours=random.choice([-72, -1, 1, 26, 72]))
        play.watch.tell(f"  the machine's clock is {play.wrong} off")

    return trouble


TROUBLES: Mapping[str, Callable[[Random], Trouble]] = {"torn": tear, "full": fill, "clock": jump}
"""What may happen between a kill and the next start, by name."""
