"""How it bears load: `python -m benchmarks.load`, with --quick to see only that it runs.

Peak: many enrolled, and a great part of them due at once, with latency on every call of both vendors and the CRM's own
limits counted. Backlog: a daemon that was away for three days, under its caps. Year: a simulated year of passes over
people who go through a sequence again and again; what must not grow, does not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from benchmarks.stage import fill, open_stage
from benchmarks.table import Row, Table

LATENCY = 0.1
"""Seconds on every call of both vendors."""
HOUR = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How much of everything."""

    enrolled: int
    due: int
    backlog_people: int
    sender_per_day: int
    year_people: int
    year_days: int
    hours_between_passes: int


FULL = Load(
    enrolled=1_000_000,
    due=100_000,
    backlog_people=3_000,
    sender_per_day=100,
    year_people=300,
    year_days=365,
    hours_between_passes=4,
)
QUICK = Load(
    enrolled=600,
    due=200,
    backlog_people=60,
    sender_per_day=10,
    year_people=20,
    year_days=70,
    hours_between_passes=12,
)


def measure_peak(load: Load, table: Table) -> None:
    """A great part of all who are enrolled is due at once."""
    with open_stage() as stage:
        far = stage.stand_ins.ask("add_sequence", delay_hours=24 * 60)
        near = stage.stand_ins.ask("add_sequence", delay_hours=1)
        with stage.working() as daemon:
            fill(stage, daemon, load.enrolled - load.due, far, timedelta(days=59))
            fill(stage, daemon, load.due, near, timedelta(hours=-1), skip=load.enrolled - load.due)
        stage.stand_ins.ask("set_latency", seconds=LATENCY)
        before = stage.stand_ins.ask("counts")
        with stage.working() as daemon:
            done = daemon.ask("work")
            memory, owed = daemon.ask("memory"), daemon.ask("owed")
        after = stage.stand_ins.ask("counts")
    assert done["accepted"] == load.due, done
    assert owed == 0
    assert after["duplicates"] == after["errors"] == 0
    calls = after["crm_calls"] - before["crm_calls"]
    table.rows += [
        Row(
            figure=f"{load.due:,} due at once of {load.enrolled:,} enrolled",
            ours=f"{done['wall']:,.0f} s",
            baseline="an hour",
            ratio=f"{load.due / done['wall']:,.0f} emails/s",
            goal="within the hour",
            met=done["wall"] < HOUR,
        ),
        Row(
            figure="their CRM calls, all in all",
            ours=f"{calls:,.0f}",
            baseline="an org's 100,000 a day",
            ratio=f"{calls / load.due * 1000:.1f} per 1,000 touches",
            goal="under the limit",
            met=calls < 100_000,
        ),
        Row(
            figure="peak memory meanwhile",
            ours=f"{memory:.0f} MB",
            baseline="",
            ratio="",
            goal="under 500 MB",
            met=memory < 500,
        ),
    ]
    table.notes.append(
        f"Peak: {LATENCY * 1000:.0f} ms on every call of both vendors; people were put into org and ledger by their own"
        " functions; from the first last look until nothing is owed to the CRM any more."
    )


def measure_backlog(load: Load, table: Table) -> None:
    """People go on being due while the daemon is away for three days; then they are mailed under the caps."""
    with open_stage() as stage:
        sequence = stage.stand_ins.ask("add_sequence", delay_hours=1)
        with stage.working(sender_per_day=load.sender_per_day) as daemon:
            stage.stand_ins.ask("seed", count=load.backlog_people, sequence=sequence["id"])
            daemon.ask("work")
        stage.pass_time(days=3)
        begin, waited = stage.now, 0
        with stage.working(sender_per_day=load.sender_per_day) as daemon:
            while stage.stand_ins.ask("first_touches") < load.backlog_people:
                daemon.ask("work")
                stage.pass_time(hours=3)
                waited += 1
                assert waited < 2_000, "the backlog is not drained"
        sent = stage.stand_ins.ask("sent")
        counts = stage.stand_ins.ask("counts")
    days = (stage.now - begin).days + 1
    per_sender = Counter((day, sender) for day, sender, _ in sent)
    per_person = Counter((day, to) for day, _, to in sent)
    senders = len({sender for _, sender, _ in sent})
    floor = load.backlog_people / (load.sender_per_day * senders)
    table.rows += [
        Row(
            figure=f"{load.backlog_people:,} overdue after three days down",
            ours=f"first emails out within {days} days",
            baseline=f"the caps alone {floor:.1f} days",
            ratio=f"{len(sent):,} emails",
        ),
        Row(
            figure="most emails of one sender in a day",
            ours=str(max(per_sender.values())),
            baseline=f"the cap {load.sender_per_day}",
            ratio="",
            goal="at most the cap",
            met=max(per_sender.values()) <= load.sender_per_day,
        ),
        Row(
            figure="most emails to one person in a day",
            ours=str(max(per_person.values())),
            baseline="",
            ratio="",
            goal="1",
            met=max(per_person.values()) == 1,
        ),
    ]
    assert counts["duplicates"] == counts["errors"] == 0


def measure_year(load: Load, table: Table) -> None:
    """Passes over a simulated year; everybody is enrolled again once their run has ended."""
    with open_stage() as stage:
        sequence = stage.stand_ins.ask("add_sequence", delay_hours=1, Drip_Re_Enrollment__c="After Finish")
        with stage.working() as daemon:
            stage.stand_ins.ask("seed", count=load.year_people, sequence=sequence["id"])
            samples: list[tuple[int, float, int, float]] = []
            for day in range(load.year_days):
                slowest = 0.0
                for _ in range(24 // load.hours_between_passes):
                    slowest = max(slowest, daemon.ask("turn")["wall"])
                    stage.pass_time(hours=load.hours_between_passes)
                if day % 30 == 29:
                    stage.stand_ins.ask("tick_again", sequence=sequence["id"])
                    samples.append((day + 1, daemon.ask("resident"), daemon.ask("ledger_bytes"), slowest))
        counts = stage.stand_ins.ask("counts")
    assert counts["duplicates"] == counts["errors"] == 0
    (_, first, _, _), (_, last, size, _) = samples[0], samples[-1]
    table.rows += [
        Row(
            figure=f"resident memory after {load.year_days} days",
            ours=f"{last:.0f} MB",
            baseline=f"after 30 days {first:.0f} MB",
            ratio=f"{last / first:.2f} x",
            goal="at most 1.2 x",
            met=last <= 1.2 * first,
        ),
        Row(
            figure="the ledger's file then",
            ours=f"{size / 1e6:.1f} MB",
            baseline=f"{counts['accepted']:,.0f} emails",
            ratio=f"{size / max(counts['accepted'], 1):,.0f} bytes an email",
        ),
    ]
    table.notes.append(
        "Year, by 30 days: " + "; ".join(f"day {day}: {memory:.0f} MB" for day, memory, _, _ in samples) + "."
    )


def main() -> int:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few people only: shows that it runs, not how much it bears"
    )
    parser.add_argument("--only", choices=["peak", "backlog", "year"], help="one of the three")
    options = parser.parse_args()
    load, table, began = QUICK if options.quick else FULL, Table(judged=not options.quick), time.monotonic()
    for name, measure in (("peak", measure_peak), ("backlog", measure_backlog), ("year", measure_year)):
        if options.only in {None, name}:
            measure(load, table)
    table.notes.append(f"{time.monotonic() - began:.0f} s.")
    print(table.render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
