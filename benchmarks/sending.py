"""(a) CRM calls, and (b) rate and CPU: a whole sequence of some people, beside a script."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from benchmarks.sizes import Sizes
from benchmarks.stage import BEGIN, open_stage, seed_due
from benchmarks.table import Row, Table
from benchmarks.workers import Worker

STEPS = tuple(BEGIN + timedelta(days=days) for days in (0, 2, 6, 13))
"""When the four steps of the example are due for who begins at BEGIN."""

FLOOR = 11.0
"""CRM calls per 1,000 touches where every call takes as many records as its own limit lets it: 200 in a collection
of updates (5 calls for the status) or inserts (5 for the task), 2,000 in a last look (0.5), 0.5 for everything else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """Four steps of some people, from their ticked boxes to the last word on the timeline."""

    emails: int
    wall: float
    cpu: float
    calls: float


def play(people: int, latency: float, *, tls: bool = True) -> Played:
    """Everything counts: entering, every pull (our own writes come back with it), and writing until nothing is owed."""
    with open_stage(tls=tls) as stage, stage.working() as daemon:
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


def play_script(people: int, latency: float, *, tls: bool = True) -> Played:
    """One email to each of some people who are due; its figures are the same for every step."""
    with open_stage(tls=tls) as stage, Worker("script") as script:
        stand_ins = stage.stand_ins
        seed_due(stand_ins, people, BEGIN)
        script.ask("open", **stage.urls)
        stand_ins.ask("set_latency", seconds=latency)
        before = stand_ins.ask("counts")
        done = script.ask("run", now=BEGIN.isoformat(), limit=people)
        after = stand_ins.ask("counts")
    assert done["sent"] == after["accepted"] == people
    return Played(emails=people, wall=done["wall"], cpu=done["cpu"], calls=after["crm_calls"] - before["crm_calls"])


def measure_sending(sizes: Sizes, table: Table) -> None:
    """(a) CRM calls, (b) rate and CPU."""
    script, ours = play_script(sizes.script_people, 0.0), play(sizes.people, 0.0)
    _add_calls(table, ours, script)
    _add_rate(table, "no latency", ours, script, goal=9)
    _add_rate(
        table,
        "the same without TLS",
        play(sizes.people, 0.0, tls=False),
        play_script(sizes.script_people, 0.0, tls=False),
    )
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
        " ours, the stand-ins in another on the same machine. Over TLS, since neither vendor speaks anything else:"
        " SendGrid's own library, which the script uses, connects anew for each email."
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


def _add_rate(table: Table, what: str, ours: Played, script: Played, *, goal: float | None = None) -> None:
    rate, base = ours.emails / ours.wall, script.emails / script.wall
    table.rows.append(
        Row(
            figure=f"(b) emails per second, {what}",
            ours=f"{rate:,.0f}",
            baseline=f"script {base:,.1f}",
            ratio=f"{rate / base:,.1f} x",
            goal="" if goal is None else f"at least {goal:g} x",
            met=None if goal is None else rate >= goal * base,
        )
    )
