"""crmdrip once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from crmdrip.commands.output import aside, print_json
from crmdrip.commands.setup import read_settings_to_work, work
from crmdrip.daemon import passes
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import runs


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output: counts by pass.")
@click.pass_obj
def once(config: Path, *, as_json: bool) -> int:
    """Make one full pass and exit, for cron."""
    settings = read_settings_to_work(config)
    with work(settings) as parts:
        before = _count_runs(parts)
        passes.prepare(parts)
        # A new ledger takes in what is ticked while it is filled from the CRM, before the first pull.
        prepared = {"prepare": {"enrolled": _count_runs(parts) - before}}
        counts = {**prepared, **passes.run_all(parts)}
    aside().print(summarize(counts), markup=False)
    if as_json:
        print_json({name: dict(count) for name, count in counts.items()})
    return 0


def _count_runs(parts: Parts) -> int:
    with parts.ledger.read() as connection:
        return sum(runs.count_by_status(connection).values())


def summarize(counts: Mapping[str, Mapping[str, Any]]) -> str:
    """The pass in one line."""
    pull, dispatch, back = counts["pull"], counts["dispatch"], counts["write_back"]
    enrolled = counts["prepare"]["enrolled"] + pull["enrolled"]
    return (
        f"{enrolled} enrolled, {pull['refused']} refused, {pull['stopped'] + dispatch['stopped']} stopped; "
        f"{dispatch['accepted']} sent, {dispatch['held']} held, {dispatch['in_doubt']} in doubt; "
        f"{back['written']} written back, {back['put_off']} put off, {back['parked']} parked."
    )
