"""(c) How long passes take, and (d) peak memory, with few and with many people enrolled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any

from benchmarks.sizes import Sizes
from benchmarks.stage import Stage, fill, open_stage, seed_due
from benchmarks.table import Row, Table
from benchmarks.workers import Worker

FEW = 16
"""Emails on their way at the same time, as long as nobody sets it."""


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
    _add_flatness(table, f"a pass with {sizes.due} due", {one.enrolled: one.due for one in found})
    middle = found[min(1, len(found) - 1)]
    slow = f"{sizes.latency * 1000:.0f} ms on every call"
    _add_due(table, f"a pass with {sizes.due} due of {middle.enrolled:,}", middle.beside_script)
    _add_due(table, f"the same, {slow}", middle.with_latency)
    _add_memory(table, found)
    table.notes.append(
        "(c): a pass is a full one, as crmdrip once makes it: pull, suppression lists, dispatch, reconcile, figures,"
        f" write-back. Medians of {sizes.rounds}. Script: its loop over all who are ticked and its"
        f" {sizes.due} emails, on the same org; the leaner one has the CRM select who is due. Over TLS; of ours at most"
        f" {FEW} emails at a time are on their way, as the configuration has it."
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
        with stage.working(connections=FEW) as daemon:
            for _ in range(2):  # our own writes come back with the first
                stage.pass_time(hours=1)
                daemon.ask("turn")
            idle = []
            for _ in range(sizes.rounds):
                stage.pass_time(minutes=1)
                idle.append(daemon.ask("turn")["wall"])
            due = median(_send_due(stage, daemon, soon, sizes.due) for _ in range(sizes.rounds))
            memory = daemon.ask("memory")
            beside_script = Due(
                ours=due, script=_run_script(stage, "run", sizes.due), lean=_run_script(stage, "run_lean", sizes.due)
            )
            with_latency = beside_script
            if enrolled == sizes.enrolled[1]:
                stage.stand_ins.ask("set_latency", seconds=sizes.latency)
                with_latency = Due(
                    ours=_send_due(stage, daemon, soon, sizes.due),
                    script=_run_script(stage, "run", sizes.due),
                    lean=_run_script(stage, "run_lean", sizes.due),
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


def _send_due(stage: Stage, daemon: Worker, sequence: str, count: int) -> float:
    """The seconds of one full pass in which so many emails go out to people who entered with the one before."""
    stage.stand_ins.ask("seed", count=count, sequence=sequence)
    daemon.ask("turn")
    stage.pass_time(hours=3)
    done: dict[str, Any] = daemon.ask("turn")
    assert done["dispatch.accepted"] == count, done
    return float(done["wall"])


def _run_script(stage: Stage, command: str, count: int) -> float:
    seed_due(stage.stand_ins, count, stage.now)
    with Worker("script") as script:
        script.ask("open", **stage.urls)
        done: dict[str, Any] = script.ask(command, now=stage.now.isoformat(), limit=count)
    assert done["sent"] == count
    return float(done["wall"])
