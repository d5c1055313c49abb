"""How much faster several daemons on one PostgreSQL ledger are than one: `python -m benchmarks.cluster [--quick]`.

Each daemon is `crmdrip run`, a process of its own with the connections to the provider that it has by default. People
are enrolled while everything is paused; what is measured is the time from the first email to the last one, and how
much of it the ledger's one right to write was held. Everything runs on this one machine, with the stand-ins, the
provider and the database on the same processors: where these are the limit, more daemons are no faster.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.table import Row, Table
from benchmarks.workers import ROOT, Worker
from crmdrip.core.reasons import HoldReason, Reason
from crmdrip.ledger import due_runs, marks, outbox, runs, workers
from crmdrip.ledger.store import Ledger, open_ledger

sys.path.append(str(ROOT / "tests"))  # whose PostgreSQL server it is

from ledger_places import Server, running_server

NO_CAP = 100_000_000
LOOK = 0.05
"""Seconds between two looks at what has gone out."""
PATIENCE = 300.0
"""Seconds after which what has not happened never will."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One crew, one crowd."""

    emails: int
    seconds: float
    written: float
    """Share of the time during which a transaction held the right to write."""
    cpu: float
    """Processor seconds of all daemons."""

    @property
    def rate(self) -> float:
        """Emails a second."""
        return self.emails / max(self.seconds, LOOK)

    @property
    def processors(self) -> float:
        """How many of them the daemons kept busy."""
        return self.cpu / max(self.seconds, LOOK)


def main() -> int:
    """Measure one, two and four daemons, with a provider as far away as real ones and with one next door."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="two daemons, a few people: shows that it runs, not how fast"
    )
    quick = parser.parse_args().quick
    table = Table(judged=False)
    with running_server() as server:
        for latency, people in ((0.2, 100),) if quick else ((0.2, 2_000), (0.0, 4_000)):
            alone: Measured | None = None
            for daemons in (2,) if quick else (1, 2, 4):
                found = measure(server, daemons, people, latency)
                alone = alone or found
                table.rows.append(
                    Row(
                        figure=f"{daemons} daemon{'s' * (daemons > 1)}, provider {latency * 1000:.0f} ms away",
                        ours=f"{found.rate:,.0f}/s, writing {found.written:.0%}, CPU {found.processors:.1f}",
                        baseline="" if quick else f"one daemon {alone.rate:,.0f}/s",
                        ratio="" if quick else f"{found.rate / alone.rate:.2f}",
                    )
                )
    table.notes.append(
        "writing: share of the time in which a transaction held the ledger's one right to write, sampled. CPU:"
        f" processors used by the daemons alone, of {os.cpu_count()} that they share with stand-ins and database; load"
        f" {os.getloadavg()[0]:.1f}."
    )
    print(table.render())
    return 0


def measure(server: Server, daemons: int, people: int, latency: float) -> Measured:
    """Send one email to each of so many people."""
    url = server.url_of(server.create_blank())
    with tempfile.TemporaryDirectory() as folder, Worker("stand_ins") as stand_ins, ExitStack() as stack:
        urls = stand_ins.ask("open", now=_now())
        ledger = open_ledger(url)
        stack.callback(ledger.close)
        with ledger.write() as connection:
            marks.set_mark(connection, marks.PAUSED, _now())
        crew = [stack.enter_context(_daemon(Path(folder), number, url, urls)) for number in range(daemons)]
        _until(lambda: sum(one.ready for one in _signed_in(ledger)) == daemons, stand_ins)
        sequence = stand_ins.ask("add_sequence", delay_hours=0)["id"]
        stand_ins.ask("seed", count=people, sequence=sequence)
        _until(lambda: _enrolled(ledger) == people and not _owed(ledger), stand_ins)
        stand_ins.ask("set_latency", seconds=latency)
        before = sum(map(_cpu_of, crew))
        with ledger.write() as connection:
            marks.clear_mark(connection, marks.PAUSED)
            due_runs.wake_reason(connection, Reason(code=HoldReason.PAUSED_BY_COMMAND).key, datetime.now(UTC))
        seconds, written = _watch(server, url, stand_ins, people)
        used = sum(map(_cpu_of, crew)) - before
        assert stand_ins.ask("counts")["duplicates"] == 0
    return Measured(emails=people, seconds=seconds, written=written, cpu=used)


def _watch(server: Server, url: str, stand_ins: Worker, people: int) -> tuple[float, float]:
    """Seconds from the first email to the last, and the share of them in which somebody wrote."""
    name = url.partition("?")[0].rpartition("/")[2]
    holding = (
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 2"  # noqa: S608 - names of our own
        f" AND database = (SELECT oid FROM pg_database WHERE datname = '{name}')"
    )
    began, busy, looks = 0.0, 0, 0
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        accepted = stand_ins.ask("counts")["accepted"]
        if accepted and not began:
            began = time.monotonic()
        if accepted >= people:
            return time.monotonic() - began, busy / max(looks, 1)
        if began:
            busy, looks = busy + bool(server.do(holding)), looks + 1
        time.sleep(LOOK)
    raise TimeoutError(f"{accepted} of {people} emails went out")


@contextmanager
def _daemon(folder: Path, number: int, url: str, urls: dict[str, str]) -> Iterator[int]:
    """One `crmdrip run`; its process number."""
    text = (ROOT / "config.example.toml").read_text(encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    changes = {
        "http://127.0.0.1:8181": urls["salesforce"],
        "http://127.0.0.1:8182": urls["sendgrid"],
        "# domain_per_hour = 100": f"domain_per_hour = {NO_CAP}",
        "# sender_per_day = 200": f"sender_per_day = {NO_CAP}",
        "# confirm_above = 500": f"confirm_above = {NO_CAP}",
        "# enabled = false": "enabled = true",
        '# name = ""': f'name = "daemon {number}"',
        "# dispatch_seconds = 15": "dispatch_seconds = 0.5",
        "# pull_seconds = 60": "pull_seconds = 1",
        "# batch = 1000": "batch = 100",
        '# listen = "127.0.0.1:8025"': f'listen = "127.0.0.1:{port}"',
        '# url = "sqlite:///crmdrip.sqlite3"': f'url = "{url}"',
        '# level = "info"': 'level = "error"',
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    config = folder / f"{number}.toml"
    config.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "crmdrip.cli", "--config", str(config), "run"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def _until(happened: object, stand_ins: Worker) -> None:
    assert callable(happened)
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        stand_ins.ask("set_time", now=_now())
        time.sleep(0.1)


def _signed_in(ledger: Ledger) -> list[workers.SignedIn]:
    with ledger.read() as connection:
        return workers.signed_in(connection)


def _enrolled(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return sum(runs.count_by_status(connection).values())


def _owed(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return outbox.pending(connection)[0]


def _cpu_of(pid: int) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _now() -> str:
    return datetime.now(UTC).isoformat()


if __name__ == "__main__":
    sys.exit(main())
