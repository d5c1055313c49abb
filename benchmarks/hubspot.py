"""CRM calls per 1,000 touches on a HubSpot portal: `python -m benchmarks.hubspot`, with --quick for a few people only.

Calls are counted by the stand-in and do not depend on the machine, so that everything runs in one process: the example
configuration with only addresses, caps and the pace of calls changed, every promise on.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from benchmarks.table import Row, Table
from crmdrip.assembly import assemble
from crmdrip.config import load
from crmdrip.daemon import passes
from crmdrip.daemon.clock import HandClock
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN
from crmdrip.sandbox.hubspot.sandbox import HubSpotSandbox
from crmdrip.sandbox.hubspot.world import sequence_files
from crmdrip.sandbox.sendgrid import Keep

ROOT = Path(__file__).parents[1]
BEGIN = datetime(2026, 11, 4, 10, 0, tzinfo=UTC)
"""A Wednesday on which the example's window is open in the United Kingdom, where everybody here lives."""
STEPS = tuple(BEGIN + timedelta(days=days) for days in (0, 2, 6, 13))
"""When the four steps of the example are due for who begins at BEGIN."""
SEQUENCE = "warm-intro-four-touches"

FLOOR = 30.5
"""Calls per 1,000 touches where every call takes the hundred records it may: 10 for the last look, 10 for the status,
10 for the email with its contact, and as for Salesforce 0.5 for everything else."""
GOAL = 1.3

_CHANGES = {
    "# sender_per_day = 200": "sender_per_day = 100000000",
    "# domain_per_hour = 100": "domain_per_hour = 100000000",
    "# confirm_above = 500": "confirm_above = 100000000",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """Four steps of some people, from their ticked boxes to the last word on the timeline."""

    emails: int
    calls: Counter[str]
    """By the API's family."""

    @property
    def per_1000(self) -> float:
        """Calls for a thousand emails."""
        return sum(self.calls.values()) / self.emails * 1000


def play(people: int, *, extra: str = "", bare: bool = False) -> Counted:
    """Everything counts: entering, every pull (our own writes come back with it), and writing until nothing is owed.

    extra: further lines of [crm.hubspot]. bare: emails, tasks and notes have no property of ours.
    """
    with tempfile.TemporaryDirectory() as folder, _sandbox() as sandbox:
        if bare:
            sandbox.call(lambda: _take_properties_away(sandbox))
        _write_files(Path(folder), sandbox, extra)
        clock = HandClock(sandbox.clock())
        with assemble(load(Path(folder) / "config.toml"), clock, exclusive=True) as parts:
            passes.prepare(parts)
            sandbox.call(lambda: _tick(sandbox, people))
            before = Counter(sandbox.portal.calls_by_kind)
            for at in STEPS:
                sandbox.call(lambda at=at: sandbox.clock.set(at))
                clock.move(at)
                passes.pull(parts)
                while passes.dispatch(parts)["looked"]:
                    pass
                while passes.write_back(parts)["written"]:
                    pass
            calls = Counter(sandbox.portal.calls_by_kind) - before
        emails = people * len(STEPS)
        assert len(sandbox.account.accepted) == emails, len(sandbox.account.accepted)
        assert not sandbox.account.duplicates()
        assert not sandbox.hubspot_server.errors
        return Counted(emails=emails, calls=calls)


@contextmanager
def _sandbox() -> Iterator[HubSpotSandbox]:
    with HubSpotSandbox(people=0, now=BEGIN - timedelta(minutes=1), keep=Keep.IDS, unsubscribes=False) as sandbox:
        sandbox.portal.meter.limits = None
        yield sandbox


def _write_files(folder: Path, sandbox: HubSpotSandbox, extra: str) -> None:
    (folder / "sequences").mkdir()
    for name, text in sequence_files().items():
        (folder / "sequences" / f"{name}.toml").write_text(text, encoding="utf-8")
    (folder / "token").write_text(DEFAULT_TOKEN, encoding="utf-8")
    text = (ROOT / "config.example.toml").read_text(encoding="utf-8")
    changes = {
        'connector = "salesforce"': 'connector = "hubspot"',
        "http://127.0.0.1:8182": sandbox.sendgrid_url,
        **_CHANGES,
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    begin, end = text.index("[crm.salesforce]"), text.index("# HubSpot, with")
    ours = (
        f'[crm.hubspot]\nsequences = "sequences"\nbase_url = "{sandbox.hubspot_url}"\nsearch_seconds = 0.0\n'
        f"burst = 1000000\nsearches = 1000000\n{extra}"
        '[crm.hubspot.auth]\ntoken = { file = "token" }\n\n'
    )
    (folder / "config.toml").write_text(text[:begin] + ours + text[end:], encoding="utf-8")


def _tick(sandbox: HubSpotSandbox, people: int) -> None:
    """An import ticks everybody, a minute before the first step: by then searches show them."""
    portal = sandbox.portal
    owners = [owner.id for owner in portal.owners if owner.active]
    for number in range(people):
        values: Mapping[str, Any] = {
            "firstname": f"Ann{number}",
            "lastname": f"Lee{number}",
            "email": f"ann.lee.{number}@d{number % 997}.example",
            "company": f"Company {number % 500}",
            "country": "United Kingdom",
            "hubspot_owner_id": owners[number % len(owners)],
            "crmdrip_enrolled": "true",
            "crmdrip_sequence": SEQUENCE,
        }
        portal.create("contacts", values)


def _take_properties_away(sandbox: HubSpotSandbox) -> None:
    for kind in ("emails", "tasks", "notes"):
        properties = sandbox.portal.kinds[kind].properties
        for name in [each for each in properties if each.startswith("crmdrip_")]:
            del properties[name]


def measure(people: int, table: Table) -> None:
    """The figure with its goal, and what the options cost."""
    ours = play(people)
    for words, found, goal in (
        ("HubSpot calls per 1,000 touches", ours, True),
        ("the same, touch ids in the text of emails", play(people, bare=True), False),
        ("the same, on companies and open deals too", play(people, extra=_EVERYWHERE), False),
    ):
        ratio = found.per_1000 / FLOOR
        table.rows.append(
            Row(
                figure=words,
                ours=f"{found.per_1000:.1f}",
                baseline=f"floor of a hundred a call {FLOOR:.1f}",
                ratio=f"{ratio:.3f}",
                goal=f"at most {GOAL}" if goal else "",
                met=ratio <= GOAL if goal else None,
            )
        )
    parts = ", ".join(f"{kind} {count / ours.emails * 1000:.2f}" for kind, count in sorted(ours.calls.items()))
    table.notes.append(
        f"{people:,} people through all four steps of the example, from the ticked box until nothing is owed any more;"
        f" pulls and last looks are in it. Of the first line, per 1,000: {parts}."
    )


_EVERYWHERE = "log_on_company = true\nlog_on_deal = true\n"


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hubspot", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few people only: shows that it runs")
    quick = parser.parse_args().quick
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    table = Table(judged=not quick)
    measure(200 if quick else 5_000, table)
    print(table.render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
