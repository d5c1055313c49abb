"""crmdrip rebuild."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click
from rich.status import Status

from crmdrip.commands.output import aside, print_json
from crmdrip.commands.retry import list_stuck, read_stuck
from crmdrip.commands.rival import refuse_beside_rival, take_over
from crmdrip.commands.setup import read_settings_to_look, work
from crmdrip.core.errors import RateLimitedError, RetriableError
from crmdrip.daemon import passes
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.rebuild import Progress, begin_anew
from crmdrip.daemon.reconcile import Unproven, count_unproven, reconcile_once

PATIENCE = 10
"""Failures of the provider's log in a row, after which the daemon is left to ask on."""
PAUSE = 5.0
"""Seconds between two of them, and between two looks at the clock."""


@click.command()
@take_over
@click.option("--no-log", is_flag=True, help="Do not ask the provider's log; the daemon does, before it sends.")
@click.option("--json", "as_json", is_flag=True, help="What was read and what waits, as one JSON object.")
@click.pass_obj
def rebuild(config: Path, *, take_over: bool, no_log: bool, as_json: bool) -> int:
    """Fill the ledger from the CRM again. Sends nothing.

    For a ledger that was lost, came from a backup, or is not trusted. What had gone out and stands in no CRM is looked
    up in the mail provider's log. The daemon does the same by itself when it starts
    on an empty or older one; this shows how far it is, and ends with the list of what only a person can decide. Stop
    the daemon first. Ctrl-C is safe: whoever starts next goes on.
    """
    settings = read_settings_to_look(config)
    with work(settings) as parts:
        if not take_over:
            refuse_beside_rival(parts)
        progress = _fill(parts)
        waiting = count_unproven(parts)
        aside().print(
            f"{progress.people} people and {progress.touches} touches were read from the CRM;"
            f" {waiting.runs} people may have been mailed since.",
            markup=False,
        )
        before = waiting.runs
        if not no_log:
            waiting = _ask_log(parts, waiting)
        stuck = read_stuck(parts.ledger)
    summary = f"{before - waiting.runs} of them were looked up in the provider's log."
    if waiting.runs:
        summary += f" The daemon looks up the other {waiting.runs} before it mails them."
    aside().print(summary, markup=False)
    if as_json:
        print_json(
            {
                "people": progress.people,
                "touches": progress.touches,
                "looked_up": before - waiting.runs,
                "to_look_up": waiting.runs,
                "needs_person": [
                    {"record_id": record, "touch_id": touch.id, "address": touch.address}
                    for touch, record in stuck.touches
                ],
            }
        )
    else:
        list_stuck(stuck, as_json=False)
    return 0


def _fill(parts: Parts) -> Progress:
    """Read everything from the CRM. Raises what passes.prepare raises."""
    newest = Progress()
    begin_anew(parts)
    with _status("Reading the CRM") as status:

        def watch(progress: Progress) -> None:
            nonlocal newest
            newest = progress
            status.update(f"Reading the CRM: {progress.people} people, {progress.touches} touches")

        passes.prepare(parts, watch)
    return newest


def _ask_log(parts: Parts, waiting: Unproven) -> Unproven:
    """Ask about everybody; who still waits where the log cannot be asked any more. Raises LedgerBrokenError."""
    total, failures = waiting.runs, 0
    with _status("Asking the provider's log") as status:
        while waiting.runs and failures < PATIENCE:
            status.update(_tell(waiting, total))
            if waiting.asked_from is not None:
                time.sleep(min(PAUSE, max(0.1, (waiting.asked_from - parts.clock.now()).total_seconds())))
            else:
                try:
                    reconcile_once(parts)
                    failures = 0
                except RateLimitedError as error:
                    time.sleep(error.retry_after or 60.0)
                except RetriableError:
                    failures += 1
                    time.sleep(PAUSE)
            waiting = count_unproven(parts)
    return waiting


def _tell(waiting: Unproven, total: int) -> str:
    if waiting.asked_from is None:
        return f"Asking the provider's log: {total - waiting.runs} of {total} people"
    return f"The provider's log shows the last emails from {_clock(waiting.asked_from)} UTC on"


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}"


@contextmanager
def _status(text: str) -> Iterator[Status]:
    """How far it is: one line that changes, and nothing where nobody watches."""
    with aside().status(text) as status:
        yield status
