"""What is measured, and against what. Each function fills rows of the table; none asserts a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from benchmarks.daemon import NO_CAP
from benchmarks.table import Row, Table
from benchmarks.workers import Worker

BEGIN = datetime(2026, 11, 4, 10, 0, tzinfo=UTC)
"""A Wednesday on which the example's window is open in the United Kingdom, where everybody here lives."""
STEPS = tuple(BEGIN + timedelta(days=days) for days in (0, 2, 6, 13))
"""When the four steps of the example are due for who begins at BEGIN."""

FLOOR = 11.0
"""CRM calls per 1,000 touches where every call takes as many records as its own limit lets it: 200 in a collection
of updates (5 calls for the status) or inserts (5 for the task), 2,000 in a last look (0.5), 0.5 for everything else."""

DUE = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much of everything."""

    people: int
    """Who goes through the four steps, without latency."""
    people_slow: int
    """The same, with latency."""
    script_people: int
    script_people_slow: int
    latency: float
    """Seconds on every call."""
    enrolled: tuple[int, ...]
    """Sizes at which passes are measured, ascending."""
    pulled_up_to: int
    """Up to this size people enter through the pull; above it they are put into the ledger by its own functions."""
    rounds: int


FULL = Sizes(
    people=10_000,
    people_slow=10_000,
    script_people=1_000,
    script_people_slow=20,
    latency=0.1,
    enrolled=(10_000, 100_000, 1_000_000),
    pulled_up_to=100_000,
    rounds=11,
)
QUICK = Sizes(
    people=200,
    people_slow=200,
    script_people=30,
    script_people_slow=5,
    latency=0.02,
    enrolled=(300, 600),
    pulled_up_to=300,
    rounds=2,
)


class Stage:
    """Stand-ins, a folder for the ledger, and one daemon process at a time, all on one clock."""

    def __init__(self, stand_ins: Worker, folder: str) -> None:
        self.stand_ins = stand_ins
        self.urls: dict[str, str] = stand_ins.ask("open", now=BEGIN.isoformat())
        self.now = BEGIN
        self._folder = folder
        self._daemon: Worker | None = None

    @contextmanager
    def working(self, sender_per_day: int = NO_CAP) -> Iterator[Worker]:
        """A fresh daemon process, assembled and prepared, on the ledger as it is."""
        with Worker("daemon") as daemon:
            more = {"sender_per_day": sender_per_day}
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
def open_stage() -> Iterator[Stage]:
    """Fresh stand-ins and an empty ledger."""
    with tempfile.TemporaryDirectory() as folder, Worker("stand_ins") as stand_ins:
        yield Stage(stand_ins, folder)


# --- (a) and (b): a whole sequence --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """Four steps of some people, from their ticked boxes to the last word on the timeline."""

    emails: int
    wall: float
    cpu: float
    calls: float


def play(people: int, latency: float) -> Played:
    """Everything counts: entering, every pull (our own writes come back with it), and writing until nothing is owed."""
    with open_stage() as stage, stage.working() as daemon:
        stage.stand_ins.ask("seed", count=people, sequence=stage.stand_ins.ask("example"))
        stage.stand_ins.ask("set_latency", seconds=latency)
        before = stage.stand_ins.ask("counts")
        wall = cpu = 0.0
        for at in STEPS:
            stage.set_time(at)
            done = daemon.ask("work")
            assert done["accepted"] == people, done
            assert daemon.ask("owed") == 0
            wall, cpu = wall + done["wall"], cpu + done["cpu"]
        after = stage.stand_ins.ask("counts")
    emails = people * len(STEPS)
    assert after["accepted"] == emails
    assert after["duplicates"] == after["errors"] == 0
    return Played(emails=emails, wall=wall, cpu=cpu, calls=after["crm_calls"] - before["crm_calls"])


def play_script(people: int, latency: float) -> Played:
    """One email to each of some people who are due; its figures are the same for every step."""
    with Worker("stand_ins") as stand_ins, Worker("script") as script:
        urls = stand_ins.ask("open", now=BEGIN.isoformat())
        _seed_due(stand_ins, people, BEGIN)
        script.ask("open", **urls)
        stand_ins.ask("set_latency", seconds=latency)
        before = stand_ins.ask("counts")
        done = script.ask("run", now=BEGIN.isoformat(), limit=people)
        after = stand_ins.ask("counts")
    assert done["sent"] == after["accepted"] == people
    return Played(emails=people, wall=done["wall"], cpu=done["cpu"], calls=after["crm_calls"] - before["crm_calls"])


def _seed_due(stand_ins: Worker, people: int, now: datetime) -> None:
    due = (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    stand_ins.ask("seed", count=people, sequence=stand_ins.ask("example"), Drip_Next_Touch__c=due)


def measure_sending(sizes: Sizes, table: Table) -> None:
    """(a) CRM calls, (b) rate and CPU."""
    script, ours = play_script(sizes.script_people, 0.0), play(sizes.people, 0.0)
    _add_calls(table, ours, script)
    _add_rate(table, "no latency", ours, script, goal=9)
    per_email, script_per_email = ours.cpu / ours.emails, script.cpu / script.emails
    table.rows.append(
        Row(
            figure="(b) CPU per email",
            ours=f"{per_email * 1e6:.0f} us",
            baseline=f"script {script_per_email * 1e6:.0f} us",
            ratio=f"{script_per_email / per_email:.1f} x less",
        )
    )
    slow_script = play_script(sizes.script_people_slow, sizes.latency)
    slow = play(sizes.people_slow, sizes.latency)
    _add_rate(table, f"{sizes.latency * 1000:.0f} ms on every call", slow, slow_script, goal=300)
    table.notes.append(
        f"(a), (b): {sizes.people:,} people through all four steps of the example, from the ticked box until nothing is"
        " owed any more; pulls, last looks, intents on disk, sending and write-back are all in it. One process of"
        " ours, the stand-ins in another on the same machine."
    )


def _add_calls(table: Table, ours: Played, script: Played) -> None:
    per_1000 = ours.calls / ours.emails * 1000
    for name, base in (("floor of record-per-call limits", FLOOR), ("script", script.calls / script.emails * 1000)):
        goal = base == FLOOR
        table.rows.append(
            Row(
                figure="(a) CRM calls per 1,000 touches",
                ours=f"{per_1000:.1f}",
                baseline=f"{name} {base:,.1f}",
                ratio=f"{per_1000 / base:.3f}",
                goal="at most 1.2" if goal else "",
                met=per_1000 <= 1.2 * FLOOR if goal else None,
            )
        )


def _add_rate(table: Table, what: str, ours: Played, script: Played, *, goal: float) -> None:
    rate, base = ours.emails / ours.wall, script.emails / script.wall
    table.rows.append(
        Row(
            figure=f"(b) emails per second, {what}",
            ours=f"{rate:,.0f}",
            baseline=f"script {base:,.1f}",
            ratio=f"{rate / base:,.1f} x",
            goal=f"at least {goal:g} x",
            met=rate >= goal * base,
        )
    )


# --- (c) and (d): passes at many sizes ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Entered:
    """How people came in."""

    rate: float
    """People per second through the pull."""
    memory: float
    """The process's peak meanwhile, in MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A pass with some due, and the scripts' runs for as many, in seconds."""

    ours: float
    script: float
    """Looping over everybody whose box is ticked."""
    lean: float
    """Asking the CRM for who is due alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Passes:
    """What passes take with so many people enrolled."""

    enrolled: int
    entered: Entered | None
    """None where people were put into the ledger directly."""
    idle: float
    """Seconds."""
    due: float
    memory: float
    """The peak of the process that made these passes, in MB."""
    beside_script: Due
    with_latency: Due


def measure_passes(sizes: Sizes, table: Table) -> None:
    """(c) how long passes take, (d) peak memory."""
    found = [_measure_at(size, sizes) for size in sizes.enrolled]
    _add_flatness(table, "an idle pass", {one.enrolled: one.idle for one in found})
    _add_flatness(table, f"a pass with {DUE} due", {one.enrolled: one.due for one in found})
    middle = found[min(1, len(found) - 1)]
    slow = f"{sizes.latency * 1000:.0f} ms on every call"
    _add_due(table, f"a pass with {DUE} due of {middle.enrolled:,}", middle.beside_script)
    _add_due(table, f"the same, {slow}", middle.with_latency)
    _add_memory(table, found)
    table.notes.append(
        "(c): a pass is a full one, as crmdrip once makes it: pull, suppression lists, dispatch, reconcile, figures,"
        f" write-back. Medians of {sizes.rounds}. Script: its loop over all who are ticked and its"
        f" {DUE} emails, on the same org; the leaner one has the CRM select who is due."
    )
    seeded = [f"{one.enrolled:,}" for one in found if one.entered is None]
    if seeded:
        table.notes.append(
            f"(c), (d): at {' and '.join(seeded)} the pull was not measured: people were put into org and ledger by"
            " their own functions."
        )


def _add_due(table: Table, words: str, due: Due) -> None:
    for name, base in (("script", due.script), ("leaner script", due.lean)):
        goal = base == due.script
        table.rows.append(
            Row(
                figure=f"(c) {words}",
                ours=f"{due.ours * 1000:,.0f} ms",
                baseline=f"{name} {base * 1000:,.0f} ms",
                ratio=f"{base / due.ours:.1f} x faster",
                goal="at least 10 x" if goal else "",
                met=base >= 10 * due.ours if goal else None,
            )
        )


def _add_memory(table: Table, found: list[Passes]) -> None:
    least, goals = found[0], {100_000: 120.0, 1_000_000: 300.0}
    for one in found:
        goal = goals.get(one.enrolled)
        table.rows.append(
            Row(
                figure=f"(d) peak memory, {one.enrolled:,} enrolled",
                ours=f"{one.memory:.0f} MB",
                baseline=f"{least.enrolled:,} enrolled {least.memory:.0f} MB",
                ratio=f"{one.memory / least.memory:.2f} x",
                goal=f"under {goal:.0f} MB" if goal else "",
                met=one.memory < goal if goal else None,
            )
        )
    for one in found:
        if one.entered is not None:
            table.rows.append(
                Row(
                    figure=f"(d) peak memory while {one.enrolled:,} enter",
                    ours=f"{one.entered.memory:.0f} MB",
                    baseline=f"{one.enrolled:,} enrolled {one.memory:.0f} MB",
                    ratio=f"{one.entered.memory / one.memory:.2f} x",
                )
            )
    rates = ", ".join(f"{one.entered.rate:,.0f}/s at {one.enrolled:,}" for one in found if one.entered is not None)
    table.notes.append(
        f"(d): of the process that made the passes of (c). People entered in another one, through the pull: {rates},"
        " with the words on their records written."
    )


def _add_flatness(table: Table, words: str, seconds: Mapping[int, float]) -> None:
    least = min(seconds)
    for enrolled, wall in seconds.items():
        is_base = enrolled == least
        table.rows.append(
            Row(
                figure=f"(c) {words}, {enrolled:,} enrolled",
                ours=f"{wall * 1000:.0f} ms",
                baseline=f"{least:,} enrolled {seconds[least] * 1000:.0f} ms",
                ratio=f"{wall / seconds[least]:.2f} x",
                goal="" if is_base else "at most 2 x",
                met=None if is_base else wall <= 2 * seconds[least],
            )
        )


def _measure_at(enrolled: int, sizes: Sizes) -> Passes:
    with open_stage() as stage:
        waiting = stage.stand_ins.ask("add_sequence", delay_hours=24 * 60)
        soon = stage.stand_ins.ask("add_sequence", delay_hours=2)["id"]
        with stage.working() as daemon:
            entered = None
            if enrolled <= sizes.pulled_up_to:
                entered = _enter(stage, daemon, enrolled, waiting["id"])
            else:
                fill(stage, daemon, enrolled, waiting, timedelta(days=59))
        with stage.working() as daemon:
            for _ in range(2):  # our own writes come back with the first
                stage.pass_time(hours=1)
                daemon.ask("turn")
            idle = []
            for _ in range(sizes.rounds):
                stage.pass_time(minutes=1)
                idle.append(daemon.ask("turn")["wall"])
            due = median(_send_due(stage, daemon, soon) for _ in range(sizes.rounds))
            memory = daemon.ask("memory")
            beside_script = Due(ours=due, script=_run_script(stage, "run"), lean=_run_script(stage, "run_lean"))
            with_latency = beside_script
            if enrolled == sizes.enrolled[1]:
                stage.stand_ins.ask("set_latency", seconds=sizes.latency)
                with_latency = Due(
                    ours=_send_due(stage, daemon, soon),
                    script=_run_script(stage, "run"),
                    lean=_run_script(stage, "run_lean"),
                )
        return Passes(
            enrolled=enrolled,
            entered=entered,
            idle=median(idle),
            due=due,
            memory=memory,
            beside_script=beside_script,
            with_latency=with_latency,
        )


def _enter(stage: Stage, daemon: Worker, count: int, sequence: str) -> Entered:
    """People who tick their boxes now."""
    stage.stand_ins.ask("seed", count=count, sequence=sequence)
    done = daemon.ask("work")
    assert done["enrolled"] == count, done
    return Entered(rate=count / done["wall"], memory=daemon.ask("memory"))


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


def _send_due(stage: Stage, daemon: Worker, sequence: str) -> float:
    """The seconds of one full pass in which DUE emails go out to people who entered with the one before."""
    stage.stand_ins.ask("seed", count=DUE, sequence=sequence)
    daemon.ask("turn")
    stage.pass_time(hours=3)
    done: dict[str, Any] = daemon.ask("turn")
    assert done["dispatch.accepted"] == DUE, done
    return float(done["wall"])


def _run_script(stage: Stage, command: str) -> float:
    _seed_due(stage.stand_ins, DUE, stage.now)
    with Worker("script") as script:
        script.ask("open", **stage.urls)
        done: dict[str, Any] = script.ask(command, now=stage.now.isoformat(), limit=DUE)
    assert done["sent"] == DUE
    return float(done["wall"])
