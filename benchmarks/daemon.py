"""The daemon's own passes against the stand-ins. A program of its own, so that its CPU and memory are nobody else's.

Everything runs as in production: the example configuration with only the addresses, the caps and the number of
connections changed, every promise on, intents on disk before their requests.
"""

from __future__ import annotations

import logging
import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from benchmarks.workers import ROOT, serve
from crmdrip.assembly import assemble
from crmdrip.config import load
from crmdrip.core.keys import normalize_address, person_key
from crmdrip.core.model import Enrollment, Record, RecordKind, RecordRef, RunStatus
from crmdrip.daemon import passes
from crmdrip.daemon.clock import HandClock
from crmdrip.daemon.garbage import collect_rarely
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import outbox, people, runs

MANY = 160
"""Emails on their way at the same time, where thousands are due and each answer takes 100 ms."""
NO_CAP = 100_000_000
_PAUSE = 0.1
"""Seconds a loop rests when there was nothing to do."""

_CHANGES = {
    "# domain_per_hour = 100": f"domain_per_hour = {NO_CAP}",
    "# confirm_above = 500": f"confirm_above = {NO_CAP}",
}


@dataclass(slots=True)
class Meter:
    """Wall and CPU seconds of this process."""

    wall: float = 0.0
    cpu: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what passes inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu

    def add(self, counts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Count what a pass did. Returns the same."""
        for word, number in counts.items():
            self.counts[word] = self.counts.get(word, 0) + int(number)
        return counts


class Daemon:
    """The parts, and the passes one may ask for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._clock: HandClock
        self._parts: Parts
        self._folder = Path()

    def open(
        self,
        folder: str,
        salesforce: str,
        sendgrid: str,
        now: str,
        *,
        ca_file: str = "",
        sender_per_day: int = NO_CAP,
        connections: int = MANY,
    ) -> None:
        """Assemble and prepare; the ledger is a file in the folder. ca_file: whose certificates are trusted."""
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        text = (ROOT / "config.example.toml").read_text(encoding="utf-8")
        trusted = f'\nca_file = "{ca_file}"' if ca_file else ""
        changes = {
            f'base_url = "http://127.0.0.1:{port}"': f'base_url = "{url}"{trusted}'
            for port, url in ((8181, salesforce), (8182, sendgrid))
        } | _CHANGES
        changes["# sender_per_day = 200"] = f"sender_per_day = {sender_per_day}"
        following = "\n# Seconds, for name look-up"
        changes[f"# connections = 16{following}"] = f"connections = {connections}{following}"
        self._folder = Path(folder)
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        config = Path(folder) / "config.toml"
        config.write_text(text, encoding="utf-8")
        self._clock = HandClock(datetime.fromisoformat(now))
        self._parts = self._stack.enter_context(assemble(load(config), self._clock, exclusive=True))
        collect_rarely()
        passes.prepare(self._parts)

    def set_time(self, now: str) -> None:
        """Move the clock."""
        self._clock.move(datetime.fromisoformat(now))

    def pull(self) -> dict[str, Any]:
        """One pull."""
        meter = Meter()
        with meter.running():
            meter.add(passes.pull(self._parts))
        return _told(meter)

    def work(self) -> dict[str, Any]:
        """One pull, and everything due goes out and everything owed is written: side by side, as in the daemon."""
        meter = Meter()
        pulled, sent = threading.Event(), threading.Event()
        failed: list[BaseException] = []

        def pull() -> None:
            meter.add(passes.pull(self._parts))

        def dispatch() -> None:
            _until(pulled, lambda: meter.add(passes.dispatch(self._parts))["looked"])

        def write_back() -> None:
            _until(sent, lambda: meter.add(passes.write_back(self._parts))["written"])

        def run(loop: Callable[[], None], done: threading.Event) -> None:
            try:
                loop()
            except BaseException as error:  # noqa: BLE001 - raised again below
                failed.append(error)
            finally:
                done.set()

        loops = ((pull, pulled), (dispatch, sent), (write_back, threading.Event()))
        threads = [threading.Thread(target=run, args=loop) for loop in loops]
        with meter.running():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if failed:
            raise failed[0]
        return _told(meter)

    def turn(self) -> dict[str, Any]:
        """One full pass, as `crmdrip once` makes it."""
        meter = Meter()
        with meter.running():
            for name in passes.PASSES:
                meter.add({f"{name}.{word}": number for word, number in passes.PASSES[name](self._parts).items()})
        return _told(meter)

    def stages(self) -> dict[str, float]:
        """The seconds each part of one full pass takes."""
        found = {}
        for name, run in passes.PASSES.items():
            meter = Meter()
            with meter.running():
                run(self._parts)
            found[name] = meter.wall
        return found

    def owed(self) -> int:
        """Write-backs still to be made, parked ones included."""
        with self._parts.ledger.read() as connection:
            return sum(outbox.pending(connection))

    def memory(self) -> float:
        """Peak resident memory of this process, in MB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def resident(self) -> float:
        """Resident memory of this process now, in MB."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 2**20

    def ledger_bytes(self) -> int:
        """How large the ledger is on disk."""
        return sum(file.stat().st_size for file in self._folder.glob("crmdrip.sqlite3*"))

    def fill(self, rows: list[tuple[str, str]], sequence: str, step: str, due: str) -> int:
        """Put runs into the ledger through its own functions, as if their boxes had been pulled yesterday."""
        yesterday, due_at = self._clock.now() - timedelta(days=1), datetime.fromisoformat(due)
        with self._parts.ledger.write() as connection:
            runs.add_runs(
                connection,
                [_run(*row, sequence=sequence, step=step, entered_at=yesterday, due_at=due_at) for row in rows],
            )
            people.remember_records(connection, [_record(*row, sequence, yesterday) for row in rows])
        return len(rows)

    def close(self) -> None:
        """Give everything back."""
        self._stack.close()


def _run(record_id: str, email: str, *, sequence: str, step: str, entered_at: datetime, due_at: datetime) -> Enrollment:
    address = normalize_address(email)
    return Enrollment(
        id=0,
        person=person_key(address),
        address=address,
        ref=RecordRef(kind=RecordKind.CONTACT, id=record_id),
        sequence_id=sequence,
        run=1,
        status=RunStatus.QUEUED,
        entered_at=entered_at,
        due_at=due_at,
        check_at=due_at,
        next_step_id=step,
    )


def _record(record_id: str, email: str, sequence: str, modified_at: datetime) -> Record:
    return Record(
        ref=RecordRef(kind=RecordKind.CONTACT, id=record_id),
        email=email,
        enrolled=True,
        sequence_id=sequence,
        modified_at=modified_at,
    )


def _until(done: threading.Event, run: Callable[[], Any]) -> None:
    """Pass after pass, with a pause where one found nothing, up to one that found nothing once `done` was set."""
    while True:
        last = done.is_set()
        if not run():
            if last:
                return
            done.wait(_PAUSE)


def _told(meter: Meter) -> dict[str, Any]:
    return {"wall": meter.wall, "cpu": meter.cpu, **meter.counts}


def commands(daemon: Daemon) -> dict[str, Callable[..., Any]]:
    """What one may ask for."""
    return {
        "open": daemon.open,
        "set_time": daemon.set_time,
        "pull": daemon.pull,
        "work": daemon.work,
        "turn": daemon.turn,
        "stages": daemon.stages,
        "owed": daemon.owed,
        "memory": daemon.memory,
        "resident": daemon.resident,
        "ledger_bytes": daemon.ledger_bytes,
        "fill": daemon.fill,
        "close": daemon.close,
    }


if __name__ == "__main__":
    serve(commands(Daemon()))
