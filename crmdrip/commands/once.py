"""crmdrip once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from crmdrip.commands.failure import FAILED, describe
from crmdrip.commands.output import aside, print_json
from crmdrip.commands.rival import refuse_beside_rival, take_over
from crmdrip.commands.setup import read_settings_to_work, work
from crmdrip.core.errors import CrmdripError
from crmdrip.daemon import passes
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import runs
from crmdrip.ledger.errors import LedgerBrokenError

Counts = dict[str, Mapping[str, Any]]


@click.command()
@take_over
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output: counts by pass.")
@click.pass_obj
def once(config: Path, *, take_over: bool, as_json: bool) -> int:
    """Make one full pass and exit, for cron.

    A pass that fails keeps no other from being made. Exit code 1 if one failed.
    """
    settings = read_settings_to_work(config)
    with work(settings) as parts:
        if not take_over:
            refuse_beside_rival(parts)
        before = _count_runs(parts)
        filled = passes.prepare(parts)
        # A new ledger takes in what is ticked while it is filled from the CRM, before the first pull.
        enrolled = _count_runs(parts) - before
        counts: Counts = {"prepare": {"enrolled": enrolled, "refused": filled.refused, "stopped": filled.stopped}}
        failed = make_passes(parts, counts)
    out = aside()
    out.print(summarize(counts), markup=False)
    for name, error in failed.items():
        first, *rest = describe(error)
        for line in (f"{name} failed: {first.removeprefix('crmdrip: ')}", *rest):
            out.print(line, markup=False)
    if as_json:
        print_json({**counts, "failed": {name: str(error) for name, error in failed.items()}})
    return FAILED if failed else 0


def make_passes(parts: Parts, counts: Counts) -> Mapping[str, CrmdripError]:
    """Make every pass, as the daemon's loops do: what fails by name. Raises LedgerBrokenError."""
    failed: dict[str, CrmdripError] = {}
    for name, run in passes.PASSES.items():
        try:
            counts[name] = dict(run(parts))
        except LedgerBrokenError:
            raise
        except CrmdripError as error:
            failed[name] = error
    return failed


def _count_runs(parts: Parts) -> int:
    with parts.ledger.read() as connection:
        return sum(runs.count_by_status(connection).values())


def summarize(counts: Counts) -> str:
    """The pass in one line, without what failed."""

    def of(name: str, word: str) -> int:
        return int(counts.get(name, {}).get(word, 0))

    found = of("prepare", "enrolled")
    filled = f" ({found} of them found in the CRM as the new ledger was filled)" if found else ""
    refused = of("prepare", "refused") + of("pull", "refused")
    stopped = sum(of(name, "stopped") for name in ("prepare", "pull", "dispatch"))
    return (
        f"{found + of('pull', 'enrolled')} enrolled{filled}, {refused} refused, {stopped} stopped;"
        f" {of('dispatch', 'accepted')} sent, {of('dispatch', 'held')} held, {of('dispatch', 'in_doubt')} in doubt;"
        f" {of('write_back', 'written')} written back, {of('write_back', 'put_off')} put off,"
        f" {of('write_back', 'parked')} parked."
    )
