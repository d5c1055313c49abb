"""Daemons on machines of their own that are cut off from the ledger, the CRM, the provider or everything (B3, P1).

`crmdrip run` works on two machines of a network of namespaces, a PostgreSQL server and the ways to the stand-ins are on
a third. Wave after wave of people is enrolled; in the middle of each a line is cut, and mended some time later. The
oracle of tests/proof judges each email as it is accepted; what the records and the ledger say is judged once all is
calm again: nobody twice, and nobody forgotten.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Self

from mortality import Mortality
from networks import Network, Relays, Way, server_on
from orgs import open_org
from watch import Watch

from crmdrip.core.model import TouchState
from crmdrip.ledger import outbox, touches, workers
from crmdrip.ledger.store import Ledger
from crmdrip.sandbox.sendgrid import AcceptedEmail

PATIENCE = 150.0
"""Seconds after which what has not come to rest never will."""
ROOT = Path(__file__).parents[2]
LEASE = 3.0
"""Seconds. Who is silent for a quarter more is struck off."""
DATABASE, CRM, MAIL = 10, 20, 30
"""The hosts on the machine that serves."""
SERVICES: Mapping[str, tuple[int, ...]] = {
    "ledger": (DATABASE,),
    "crm": (CRM,),
    "mail": (MAIL,),
    "everything": (DATABASE, CRM, MAIL),
}
PORT = 8080
NAMES = ("ann", "bob")

_CONFIG = """\
connect_timeout = 2.0
read_timeout = 4.0
[mail]
connector = "sendgrid"
[mail.sendgrid]
api_key = "SG.sandbox.sandbox-secret"
base_url = "http://{mail}"
connections = 2
connect_timeout = 2.0
request_timeout = 4.0
[sender]
company = "Acme of {name}"
postal_address = "1 Example Street, London N1 1AA, United Kingdom"
[unsubscribe]
base_url = "http://127.0.0.1:8025/u"
keys = ["sandbox-unsubscribe-key"]
[web]
listen = ""
[safety]
in_doubt_first_look_minutes = 0.1
[limits]
domain_per_hour = 10000
sender_per_day = 10000
[ledger]
url = "{ledger}"
[cluster]
enabled = true
name = "{name}"
lease_seconds = {lease}
[daemon]
batch = 8
pull_seconds = 0.5
dispatch_seconds = 0.3
write_back_seconds = 0.5
reconcile_seconds = 0.5
received_seconds = 2
feed_seconds = 3600
drain_seconds = 5
[log]
level = "info"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """One line that breaks."""

    who: str = NAMES[0]
    what: str
    """Of SERVICES."""
    way: Way = Way.BOTH
    after: int = 1
    """How many emails of the wave that machine has sent by then."""
    seconds: float

    def __str__(self) -> str:
        return f"{self.who} from {self.what} ({self.way}) after {self.after}, {self.seconds:g} s"


def draw(random: Random, *, longest: float = 40.0) -> Cut:
    """Any cut."""
    return Cut(
        who=random.choice(NAMES),
        what=random.choice(list(SERVICES)),
        way=random.choice(list(Way)),
        after=random.randrange(4),
        seconds=min(longest, random.choice([0.5, LEASE / 2, LEASE * 1.2, LEASE * 2, 10.0, 25.0, 40.0, 135.0])),
    )


@dataclass(kw_only=True, slots=True)
class Figures:
    """What was played."""

    waves: int = 0
    emails: int = 0
    in_doubt: int = 0
    """Touches whose email never arrived, or of which the log does not tell: they are not sent again."""
    struck_off: int = 0
    restarts: int = 0
    slowest: float = 0.0
    """Seconds from a line that was mended to the rest after it."""


@dataclass(kw_only=True, slots=True)
class Machine:
    """One daemon on its machine."""

    name: str
    log: Path
    process: subprocess.Popen[bytes] | None = None


class Cuts:
    """Two daemons in a network, and what became of everybody. A context manager; raises NoNamespacesError on entry."""

    def __init__(self, folder: Path, *, latency: float = 0.15) -> None:
        """latency: seconds that each answer of the provider takes."""
        self._folder = folder
        self._latency = latency
        self.network = Network("services", *NAMES)
        self.org = open_org("salesforce", folder, None)
        self.watch = Watch(self.org, Mortality())
        self.watch.dispatching = True
        self.figures = Figures()
        self.machines = {name: Machine(name=name, log=folder / f"{name}.log") for name in NAMES}
        self._people: dict[str, str] = {}
        """Record ids by address."""
        self._unticked: set[str] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.network)
            self.network.lend("services", (DATABASE, CRM, MAIL))
            server, there = stack.enter_context(server_on(self.network, "services", DATABASE))
            name = server.create_blank()
            self._ledger = stack.enter_context(closing(Ledger(server.url_of(name))))
            self.watch.attach()
            sandbox = stack.enter_context(self.org.sandbox)
            relays = stack.enter_context(Relays())
            relays.add(self.network.listen("services", CRM, PORT), sandbox.control.servers["salesforce"].port)
            relays.add(self.network.listen("services", MAIL, PORT), sandbox.control.servers["sendgrid"].port)
            sandbox.control.servers["sendgrid"].latency = self._latency
            self._sequence = self.do(self.org.add_sequence, "Hello", [0], {"confirmed": True})
            for machine in self.machines.values():
                self._configure(machine, f"postgresql://postgres@{there}/{name}")
                stack.callback(self._end, machine)
            self._stack = stack.pop_all()
        for machine in self.machines.values():
            self._start(machine)
        self.at_work()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.__exit__(None, None, None)

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call anything of the sandbox in the servers' thread."""
        return self.org.sandbox.call(lambda: function(*args, **kwargs))

    # the machines

    def _configure(self, machine: Machine, ledger: str) -> None:
        base = self.org.config().replace("{cap}", "").replace(self.org.sandbox.salesforce_url, self._at(CRM))
        # The table of the org's credentials comes last there, and its times belong before it.
        head, auth = base.split("[crm.salesforce.auth", 1)
        times, rest = _CONFIG.split("[mail]\n", 1)
        text = f"{head}{times}[crm.salesforce.auth{auth}[mail]\n{rest}"
        text = text.replace("{mail}", self._at(MAIL).removeprefix("http://")).replace("{name}", machine.name)
        text = text.replace("{ledger}", ledger).replace("{lease}", str(LEASE))
        (self._folder / f"{machine.name}.toml").write_text(text, encoding="utf-8")

    def _at(self, host: int) -> str:
        return f"http://{self.network.address('services', host)}:{PORT}"

    def _start(self, machine: Machine) -> None:
        words = (sys.executable, "-m", "crmdrip.cli", "--config", f"{machine.name}.toml", "run")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CRMDRIP_")}
        with machine.log.open("ab") as log:
            machine.process = subprocess.Popen(
                self.network.command(machine.name, *words),
                cwd=self._folder,
                env=environment | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _end(self, machine: Machine) -> None:
        if machine.process is not None:
            machine.process.kill()
            machine.process.wait()

    def _keep_alive(self) -> None:
        """As a supervisor: who was struck off ended by itself, and is started anew."""
        for machine in self.machines.values():
            assert machine.process is not None
            if machine.process.poll() is not None:
                self.watch.tell(f"  {machine.name} ended with {machine.process.returncode}, and is started again")
                self.figures.restarts += 1
                self._start(machine)

    def _ready(self) -> set[str]:
        if not self._ledger.exists():
            return set()
        with self._ledger.read() as connection:
            return {one.name for one in workers.signed_in(connection) if one.ready and one.silent < LEASE}

    def at_work(self) -> bool:
        """Whether both machines' daemons are."""
        self._until(lambda: set(NAMES) <= self._ready(), "both at work")
        return True

    # the play

    def wave(self, people: int, cut: Cut) -> None:
        """Enroll so many people, cut the line in the middle, mend it, and wait until all is calm. Raises TimeoutError.

        One of them opts out while it is cut: whoever was not mailed by then is not.
        """
        self.figures.waves += 1
        self.at_work()
        first = len(self._people)
        new = [f"p{number}@firm{number}.example" for number in range(first, first + people)]
        before = self._sent_by(cut.who)
        for address in new:
            self._people[address] = self.do(self.org.add_person, "Contact", address, self._sequence)
        self._until(lambda: self._sent_by(cut.who) - before >= cut.after or set(new) <= self._mailed(), "emails")
        self.watch.tell(f"  cut: {cut}")
        starts = Counter(self._struck_off())
        self.network.cut(cut.who, "services", hosts=SERVICES[cut.what], way=cut.way)
        late = [address for address in new if address not in self._mailed()][-1:]
        for address in late:
            self._unticked.add(address)
            self.do(self.org.sandbox.world.actions.untick, self._people[address])
        mend = time.monotonic() + cut.seconds
        self._until(lambda: time.monotonic() >= mend, "the line to be mended", patience=cut.seconds + PATIENCE)
        self.network.heal()
        self.watch.tell("  mended")
        self._until(self._calm, "rest")
        self.figures.slowest = max(self.figures.slowest, time.monotonic() - mend)
        self.figures.struck_off += (Counter(self._struck_off()) - starts).total()
        self.figures.emails = len(self._mailed())
        self.figures.in_doubt = self.states().get(TouchState.IN_DOUBT.value, 0)

    def violations(self) -> list[str]:
        """What broke so far: of each email by the oracle, and of each person by their record (P3)."""
        return [*self.watch.violations, *self._unexplained()]

    def _unexplained(self) -> Iterator[str]:
        mailed = Counter(email.to for email in self._accepted())
        states = self.states()
        waiting = 0
        for address, record_id in self._people.items():
            if self._passed_by(address):
                continue
            shown = self.do(self.org.show, record_id)
            said = f"P3: {address} is {shown.status!r}, {shown.reason!r}, after {mailed[address]} emails"
            if shown.status in {"Finished", "Stopped"}:
                if shown.enrolled or not shown.reason or (shown.status == "Finished" and mailed[address] != 1):
                    yield said
            else:
                waiting += 1
                if not shown.enrolled or not shown.reason:
                    yield said
        if waiting > states.get(TouchState.IN_DOUBT.value, 0) + states.get(TouchState.NEEDS_PERSON.value, 0):
            yield f"P3: {waiting} people wait, and by touches {states}"

    def _passed_by(self, address: str) -> bool:
        """Whether a box was off again before anybody saw that it had been on."""
        if address not in self._unticked:
            return False
        shown = self.do(self.org.show, self._people[address])
        return not shown.status and not shown.enrolled and address not in self._mailed()

    def states(self) -> Mapping[str, int]:
        """The ledger's touches by state."""
        with self._ledger.read() as connection:
            return touches.count_touches(connection)

    def said(self) -> str:
        """The story, and the ends of the daemons' logs."""
        logs = [f"--- {one.name}\n{one.log.read_text(encoding='utf-8')[-6000:]}" for one in self.machines.values()]
        return "\n".join([*self.watch.story, *logs])

    def _calm(self) -> bool:
        """Everybody was decided about, nothing is owed to the CRM, and the provider's log told of what it knows."""
        with self._ledger.read() as connection:
            states = touches.count_touches(connection)
            owed = outbox.pending(connection)
        if any(owed) or states.get(TouchState.INTENDED.value):
            return False
        settled = sum(
            self.do(self.org.show, record_id).status in {"Finished", "Stopped"} or self._passed_by(address)
            for address, record_id in self._people.items()
        )
        doubts = states.get(TouchState.IN_DOUBT.value, 0) + states.get(TouchState.NEEDS_PERSON.value, 0)
        return settled + doubts >= len(self._people) and states.get("accepted", 0) == len(self._accepted())

    def _accepted(self) -> list[AcceptedEmail]:
        return list(self.do(lambda: list(self.org.sandbox.account.accepted)))

    def _mailed(self) -> set[str]:
        return {email.to for email in self._accepted()}

    def _sent_by(self, name: str) -> int:
        return sum(f"Acme of {name}".encode() in email.body for email in self._accepted())

    def _struck_off(self) -> Iterator[str]:
        for machine in self.machines.values():
            for line in machine.log.read_text(encoding="utf-8").splitlines():
                if "daemon_struck_off" in line:
                    yield f"{machine.name}: {line}"

    def _until(self, happened: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: it did not happen; touches {self.states()}")
            self._keep_alive()
            time.sleep(0.1)
