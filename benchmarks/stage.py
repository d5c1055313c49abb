"""Where a benchmark plays: stand-ins, a ledger and a daemon in processes of their own, on one clock; and its people."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from benchmarks.daemon import MANY, NO_CAP
from benchmarks.workers import Worker

BEGIN = datetime(2026, 11, 4, 10, 0, tzinfo=UTC)
"""A Wednesday on which the example's window is open in the United Kingdom, where everybody here lives."""


class Stage:
    """Stand-ins, a folder for the ledger, and one daemon process at a time, all on one clock."""

    def __init__(self, stand_ins: Worker, folder: str, *, tls: bool) -> None:
        self.stand_ins = stand_ins
        self.urls: dict[str, str] = stand_ins.ask("open", now=BEGIN.isoformat(), folder=folder if tls else "")
        self.now = BEGIN
        self._folder = folder
        self._daemon: Worker | None = None

    @contextmanager
    def working(self, *, sender_per_day: int = NO_CAP, connections: int = MANY) -> Iterator[Worker]:
        """A fresh daemon process, assembled and prepared, on the ledger as it is."""
        with Worker("daemon") as daemon:
            more = {"sender_per_day": sender_per_day, "connections": connections}
            daemon.ask("open", folder=self._folder, now=self.now.isoformat(), **self.urls, **more)
            self._daemon = daemon
            try:
                yield daemon
            finally:
                self._daemon = None
            daemon.ask("close")

    def set_time(self, now: datetime) -> None:
        """Move every clock."""
        self.now = now
        self.stand_ins.ask("set_time", now=now.isoformat())
        if self._daemon is not None:
            self._daemon.ask("set_time", now=now.isoformat())

    def pass_time(self, **time: float) -> None:
        """Move every clock by a timedelta's arguments."""
        self.set_time(self.now + timedelta(**time))


@contextmanager
def open_stage(*, tls: bool = True) -> Iterator[Stage]:
    """Fresh stand-ins and an empty ledger. tls: as the vendors, who speak nothing else."""
    with tempfile.TemporaryDirectory() as folder, Worker("stand_ins") as stand_ins:
        yield Stage(stand_ins, folder, tls=tls)


def seed_due(stand_ins: Worker, people: int, now: datetime) -> None:
    """People whose next touch was due an hour ago."""
    due = (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    stand_ins.ask("seed", count=people, sequence=stand_ins.ask("example"), Drip_Next_Touch__c=due)


def fill(
    stage: Stage, daemon: Worker, count: int, sequence: Mapping[str, str], after: timedelta, *, skip: int = 0
) -> None:
    """People who entered yesterday, in org and ledger alike, and are due so long after now; the pull has read them.

    skip: how many people the org had before.
    """
    due = stage.now + after
    shown = due.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    since = {"Drip_Status__c": "Queued", "Drip_Next_Touch__c": shown}
    stage.stand_ins.ask("seed", count=count, sequence=sequence["id"], days_ago=1, **since)
    for start in range(skip, skip + count, 20_000):
        rows = stage.stand_ins.ask("people", start=start, count=min(20_000, skip + count - start))
        daemon.ask("fill", rows=rows, sequence=sequence["id"], step=sequence["step"], due=due.isoformat())
