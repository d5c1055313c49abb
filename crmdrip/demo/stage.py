"""The stage: the sandbox as a process of its own, and the wires to it. Knows nothing of what is played."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from crmdrip.core.errors import RetriableError

START_SECONDS = 60.0
"""How long the sandbox may take to fill its org: 20,000 people take about ten."""
ANSWER_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """Something that happened in the world."""

    deed: str
    record_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """The world after its clock was moved."""

    next_due: datetime | None
    """When the next thing happens by itself."""
    happened: tuple[Happened, ...]
    pending: int = 0
    """Requests of people and of the provider that wait for an answer at the door."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wires:
    """What a daemon has to know to hear the provider, and to believe it."""

    domain: str
    """Whose mail the provider posts to the door."""
    event_key: str
    """Verifies signatures of the Event Webhook."""
    inbound_key: str
    """Verifies those of Inbound Parse."""


class Stage:
    """The running sandbox."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.crm_name = next(name for name in addresses if name not in ("sendgrid", "pages", "pid"))
        """The stand-in's of the CRM."""
        self.crm = addresses[self.crm_name]
        self.sendgrid = addresses["sendgrid"]
        self.pages = addresses["pages"]
        self._session = requests.Session()

    def move(self, now: datetime) -> Moment:
        """Move the world's clock; everything due by then happens, each thing at its own time."""
        answer = self._post("clock", {"now": now.isoformat()})
        due = answer["next_due"]
        return Moment(
            next_due=datetime.fromisoformat(due) if due is not None else None,
            happened=tuple(Happened(deed=one["deed"], record_id=one["record_id"]) for one in answer["happened"]),
            pending=answer["requests_pending"],
        )

    def tick_boxes(self, share: float) -> int:
        """Let reps tick this share of all boxes over three days; how many it will be."""
        return int(self._post("tick_boxes", {"share": share})["boxes"])

    def arm(self, stand_in: str, faults: Sequence[Mapping[str, Any]]) -> None:
        """Arm faults on the CRM or "sendgrid", beside those that are armed."""
        self._post("faults", {"on": stand_in, "add": list(faults)})

    def lift_limits(self) -> None:
        """No limit to the calls in a second, of a HubSpot portal."""
        self._post("limits", None)

    def sequences(self) -> Mapping[str, str]:
        """The example sequences of a HubSpot portal, as TOML files by name."""
        return dict(self._get("sequences"))

    def furnish(self) -> None:
        """Let people do what they do once crmdrip is installed in a CRM that was bare."""
        self._post("furnish", {})

    def connect(self, door: str) -> Wires:
        """Have the provider post every event and every reply to the door, signed."""
        return Wires(**self._post("connect", {"door": door}))

    def change_form(self, *, raw: bool) -> None:
        """Have replies posted as they came, or taken apart by the provider."""
        self._post("inbound_form", {"raw": raw})

    def disturb(self) -> None:
        """From now on events come twice, late, in any order, and sometimes without our ids."""
        self._post("disturbances", {})

    def disarm(self) -> None:
        """No more faults."""
        for stand_in in (self.crm_name, "sendgrid"):
            self._post("faults", {"on": stand_in, "clear": True})

    def state(self) -> dict[str, Any]:
        """The oracle's figures."""
        return dict(self._get("state"))

    def crm_calls(self) -> int:
        """API calls that the CRM has answered."""
        return int(self.state()["crm_calls"])

    def pending(self) -> int:
        """How many requests of people and providers wait for an answer at the door."""
        return int(self._get("pending")["requests"])

    def happened(self) -> Iterator[Happened]:
        """Everything that happened so far, oldest first."""
        since = 0
        while rows := self._get(f"happened?since={since}")["happened"]:
            yield from (Happened(deed=row["deed"], record_id=row["record_id"]) for row in rows)
            since += len(rows)

    def answers(self) -> Iterator[Mapping[str, Any]]:
        """Every mail that came back so far, with its truth, oldest first."""
        since = 0
        while rows := self._get(f"answers?since={since}")["answers"]:
            yield from rows
            since += len(rows)

    def ticked(self) -> set[str]:
        """The record ids of every box a rep ticked so far."""
        return {one.record_id for one in self.happened() if one.deed == "tick"}

    def _get(self, name: str) -> Any:
        answer = self._session.get(f"{self.pages}/_sandbox/{name}", timeout=ANSWER_SECONDS)
        return _value(answer)

    def _post(self, name: str, value: Mapping[str, Any] | None) -> Any:
        answer = self._session.post(f"{self.pages}/_sandbox/{name}", data=json.dumps(value), timeout=ANSWER_SECONDS)
        return _value(answer)


def _value(answer: requests.Response) -> Any:
    if answer.status_code != 200:
        raise RetriableError(f"answered {answer.status_code}: {answer.text[:200]}.", where=answer.url)
    return answer.json()


@contextmanager
def open_stage(folder: Path, *, options: Sequence[str], people: int, seed: int, now: datetime) -> Iterator[Stage]:
    """Start the sandbox on free ports with its clock standing still, and end it afterwards.

    options: further ones of its command line. Raises RetriableError when it does not come up.
    """
    ports_file, log_file = folder / "ports.json", folder / "sandbox.log"
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "crmdrip.sandbox", "--speed", "0", "--now", now.isoformat()),
                *("--people", str(people), "--seed", str(seed), "--ports-file", str(ports_file)),
                *("--salesforce-port", "0", "--hubspot-port", "0", "--sendgrid-port", "0", "--pages-port", "0"),
                *("--end-with-stdin", *options),
            ],
            # Never written to. It closes however the demo ends, kill -9 included, and the sandbox ends with it.
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            # A Ctrl-C is for the demo, which then ends the sandbox itself.
            start_new_session=True,
        )
    try:
        _await_file(ports_file, process, log_file)
        yield Stage(json.loads(ports_file.read_text(encoding="utf-8")))
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _await_file(ports_file: Path, process: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ports_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise RetriableError(
                f"the sandbox did not come up: {said[-1] if said else 'it said nothing'}.",
                where="python -m crmdrip.sandbox",
                do_next="Type crmdrip sandbox to see it by itself.",
            )
        time.sleep(0.02)
