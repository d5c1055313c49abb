"""crmdrip plan."""

from __future__ import annotations

from pathlib import Path

import click

from crmdrip.commands.output import aside, console, print_json, print_table
from crmdrip.commands.setup import read_settings_to_look, rehearse
from crmdrip.inspection.forecast import Forecast, forecast

_COVERS = (
    "Covers everybody in a run, and everybody whose box is ticked by now, or would be as they are on a list of the CRM."
    " Assumes that nobody answers."
)


@click.command()
@click.option("--days", type=click.IntRange(min=1, max=366), default=14, show_default=True, help="How far ahead.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def plan(config: Path, *, days: int, as_json: bool) -> int:
    """Show everything that would be sent, to whom, when and why. Sends nothing.

    The daemon's own code runs ahead on a copy of the ledger, with caps, windows and holds as they will count. Nothing
    is written, neither to the CRM nor to the ledger.
    """
    with rehearse(read_settings_to_look(config)) as parts:
        found = forecast(parts, days=days)
    if as_json:
        print_json({"covers": _COVERS, "forecast": found})
    else:
        _print(found)
    return 0


def _print(found: Forecast) -> None:
    out = console()
    out.print(f"{len(found.sendings)} touches from {found.begins:%Y-%m-%d %H:%M} UTC on. {_COVERS}", markup=False)
    for one in found.sendings:
        who = f"{one.name} <{one.address}>" if one.name else one.address
        what = f"step {one.step}" + (" (a task for the rep)" if one.kind != "email" else "")
        out.print(f"\n{one.at:%a %d %b %H:%M} UTC  {who}", markup=False, style="bold")
        out.print(f"  {one.sequence}, {what}: {one.subject}\n  {one.why}", markup=False)
    if found.waiting:
        out.print(f"\n{len(found.waiting)} people wait:")
        print_table(
            ("Person", "Sequence", "Why"),
            ((one.name or one.address, one.sequence, one.sentence) for one in found.waiting),
        )
    if found.not_started:
        out.print(f"\n{len(found.not_started)} boxes would not start a run:")
        print_table(("Record", "Why"), ((one.record_id, one.sentence) for one in found.not_started))
    if not (found.sendings or found.waiting or found.not_started):
        aside().print("Nothing is due: tick a box in the CRM.")
