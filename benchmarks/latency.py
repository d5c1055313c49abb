"""How long people wait: `python -m benchmarks.latency`, in real seconds, against the daemon as a process of its own.

From a ticked box to the accepted email, and from a stop to the words on the record; once as the daemon is set up unless
told otherwise, with nothing but its own polling, and once with the CRM's hints and the provider's posts. About three
minutes.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import requests

from benchmarks.table import Row, Table
from benchmarks.workers import ROOT
from crmdrip.sandbox.control import Sandbox
from crmdrip.sandbox.world import NOBODY_REACTS

HINT = "a-hint-secret-of-the-benchmark"
PATIENCE = 180.0
ALWAYS = {
    "Name": "Latency",
    "Drip_Status__c": "Draft",
    "Drip_Send_Days__c": "Mon;Tue;Wed;Thu;Fri;Sat;Sun",
    "Drip_Send_From__c": "00:00",
    "Drip_Send_Until__c": "23:59",
    "Drip_Time_Zone__c": "UTC",
    "Drip_Time_Zone_Policy__c": "Fixed",
    "Drip_Sender__c": "Owner",
    "Drip_Confirmed__c": True,
}
STEP = {
    "Drip_Kind__c": "Email",
    "Drip_Delay_Unit__c": "Days",
    "Drip_Subject__c": "Hello",
    "Drip_Body__c": "<p>Hi {{ contact.last_name }}, shall we talk?</p>",
    "Drip_Active__c": True,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Waited:
    """Real seconds."""

    to_email: list[float]
    to_stop: list[float]


class Scene:
    """A CRM and a provider on the real clock, and a daemon."""

    def __init__(self, folder: Path, *, hints: bool) -> None:
        self.sandbox = Sandbox(people=0, seed=1, now=None, speed=1.0, habits=NOBODY_REACTS)
        self._folder = folder
        self.hints = hints
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            self._port = int(bound.getsockname()[1])

    def configure(self) -> None:
        """Write config.toml: the example, pointed here."""
        text = (ROOT / "config.example.toml").read_text(encoding="utf-8")
        changes = {
            "http://127.0.0.1:8181": self.sandbox.salesforce_url,
            "http://127.0.0.1:8182": self.sandbox.sendgrid_url,
            '# listen = "127.0.0.1:8025"': f'listen = "127.0.0.1:{self._port}"',
        }
        if self.hints:
            wires = self.sandbox.connect(f"http://127.0.0.1:{self._port}")
            changes |= {
                "# hint_secrets = []": f'hint_secrets = ["sandbox-{HINT}"]',
                "# event_keys = []": f'event_keys = ["{wires.event_key}"]',
                "# inbound_keys = []": f'inbound_keys = ["{wires.inbound_key}"]',
                '# domain = ""': 'domain = "reply.acme.example"',
            }
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new, 1)
        (self._folder / "config.toml").write_text(text, encoding="utf-8")

    def start(self) -> subprocess.Popen[bytes]:
        """The daemon."""
        return subprocess.Popen(
            [sys.executable, "-m", "crmdrip.cli", "run"], cwd=self._folder, stderr=subprocess.DEVNULL
        )

    def hint(self) -> None:
        """A Salesforce flow calls the door."""
        if self.hints:
            address = f"http://127.0.0.1:{self._port}/hints/sandbox-{HINT}"
            assert requests.post(address, json={}, timeout=10).status_code == 202

    def alive(self) -> bool:
        """Whether the door is open."""
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self._port)) == 0


def measure(people: int, apart: float, *, hints: bool) -> Waited:
    """Boxes ticked some seconds apart; once mailed, each person says no."""
    with tempfile.TemporaryDirectory() as name:
        scene = Scene(Path(name), hints=hints)
        sandbox = scene.sandbox
        with sandbox:
            scene.configure()
            sequence = _make_sequence(sandbox)
            daemon = scene.start()
            try:
                while not scene.alive():
                    assert daemon.poll() is None, "the daemon ended"
                    time.sleep(0.1)
                time.sleep(5)  # its first passes are over
                to_email = _time_each(
                    people, apart, partial(_tick, scene, sequence), partial(_was_mailed, sandbox), sandbox.tick
                )
                to_stop = _time_each(people, apart, partial(_stop, scene), partial(_is_stopped, sandbox), sandbox.tick)
            finally:
                daemon.terminate()
                daemon.wait(timeout=60)
    return Waited(to_email=to_email, to_stop=to_stop)


def _make_sequence(sandbox: Sandbox) -> str:
    def make() -> str:
        sequence = sandbox.org.insert("Drip_Sequence__c", {**ALWAYS, "OwnerId": sandbox.world.reps[0]})
        for number in (1, 2):
            more = {"Name": f"Step {number}", "Drip_Order__c": number, "Drip_Delay__c": 3 * (number - 1)}
            sandbox.org.insert("Drip_Step__c", {**STEP, **more, "Drip_Sequence__c": sequence})
        sandbox.org.update(sequence, {"Drip_Status__c": "Live"})
        return str(sequence)

    return sandbox.call(make)


def _time_each(
    people: int,
    apart: float,
    begin: Callable[[int], None],
    ended: Callable[[int], bool],
    tick: Callable[[], object],
) -> list[float]:
    """Begin with one after the other, and wait for all; the seconds each took. tick: lets the vendors do their part."""
    began: dict[int, float] = {}
    took: dict[int, float] = {}
    first = time.monotonic()
    while len(took) < people:
        now = time.monotonic()
        if len(began) < people and now >= first + apart * len(began):
            number = len(began)
            began[number] = time.monotonic()
            begin(number)
        for number in began.keys() - took.keys():
            if ended(number):
                took[number] = time.monotonic() - began[number]
        assert now < first + people * apart + PATIENCE, "somebody waits for ever"
        tick()
        time.sleep(0.02)
    return [took[number] for number in range(people)]


def _address(number: int) -> str:
    return f"p{number}@firm{number}.example"


def _tick(scene: Scene, sequence: str, number: int) -> None:
    sandbox = scene.sandbox
    person = {"LastName": "Lee", "Email": _address(number), "OwnerId": sandbox.world.reps[0]}
    box = {"Drip_Enrolled__c": True, "Drip_Sequence__c": sequence}
    sandbox.call(lambda: sandbox.org.insert("Contact", {**person, **box}))
    scene.hint()


def _was_mailed(sandbox: Sandbox, number: int) -> bool:
    return sandbox.call(lambda: any(email.to == _address(number) for email in sandbox.account.accepted))


def _stop(scene: Scene, number: int) -> None:
    """With the provider's posts the person replies; without, somebody ticks Email Opt Out for them."""
    sandbox = scene.sandbox

    def reply() -> None:
        (email,) = [one for one in sandbox.account.accepted if one.to == _address(number)]
        record = sandbox.world.actions.records_at(_address(number))[0]
        occasion = sandbox.world.occasion(email, dict(sandbox.world.actions.record(record["Id"])), Random(number))
        sandbox.world.actions.answer_with("Please call me on Monday.", occasion, Random(number))

    def opt_out() -> None:
        sandbox.world.actions.opt_out(sandbox.world.actions.records_at(_address(number))[0]["Id"])

    sandbox.call(reply if scene.hints else opt_out)


def _is_stopped(sandbox: Sandbox, number: int) -> bool:
    soql = f"SELECT Drip_Status__c FROM Contact WHERE Email = '{_address(number)}'"  # noqa: S608 - our own words
    return sandbox.call(lambda: sandbox.org.select(soql))[0]["Drip_Status__c"] == "Stopped"


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--people", type=int, default=15, help="in each of the two runs (%(default)s)")
    options = parser.parse_args()
    polled = measure(options.people, apart=60 / options.people, hints=False)
    hinted = measure(options.people, apart=1.0, hints=True)
    table = Table(judged=True)
    for figure, ours, base in (
        ("from a ticked box to the accepted email", hinted.to_email, polled.to_email),
        ("from a reply or an opt-out to Stopped on the record", hinted.to_stop, polled.to_stop),
    ):
        table.rows.append(
            Row(
                figure=figure,
                ours=f"told: median {statistics.median(ours):.1f} s, longest {max(ours):.1f} s",
                baseline=f"polled: median {statistics.median(base):.1f} s, longest {max(base):.1f} s",
                ratio=f"{statistics.median(base) / statistics.median(ours):.0f} x",
            )
        )
    table.notes.append(
        "Polled: the daemon's own rhythm, pulls 60 s apart; the stop is Email Opt Out, ticked in the CRM. Told: a"
        " Salesforce flow calls the door, the provider posts the reply. Whenever the stop comes, the last look finds it"
        " before the next email (P2); this is only how long the record takes to say so."
    )
    print(table.render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
