"""crmdrip pause and crmdrip resume."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from crmdrip.assembly import WallClock
from crmdrip.commands.naming import find_sequence, require_text
from crmdrip.commands.output import aside
from crmdrip.commands.setup import open_existing_ledger, read_settings_to_look
from crmdrip.core.reasons import HoldReason, Reason
from crmdrip.ledger import definitions, due_runs, marks

_sequence = click.argument("sequence", callback=require_text, required=False)


@click.command()
@_sequence
@click.pass_obj
def pause(config: Path, sequence: str | None) -> int:
    """Send nothing more, in SEQUENCE or in all.

    A daemon that runs obeys before its next email. Stops and write-backs go on. The brake in the CRM is another one,
    and either holds.
    """
    with open_existing_ledger(read_settings_to_look(config)) as ledger, ledger.write() as connection:
        found = find_sequence(definitions.load_sequences(connection), sequence) if sequence else None
        marks.set_mark(connection, mark_of(found.id if found else ""), WallClock().now().isoformat())
    what, whom = (found.name, f" {shlex.quote(found.name)}") if found else ("everything", "")
    aside().print(f"Paused {what}. Type crmdrip resume{whom} to go on.", markup=False)
    return 0


@click.command()
@_sequence
@click.pass_obj
def resume(config: Path, sequence: str | None) -> int:
    """Go on sending, in SEQUENCE or in all.

    Without SEQUENCE, pauses of single sequences end as well.
    """
    now = WallClock().now()
    with open_existing_ledger(read_settings_to_look(config)) as ledger, ledger.write() as connection:
        found = find_sequence(definitions.load_sequences(connection), sequence) if sequence else None
        wanted = [mark_of(found.id)] if found else list(marks.read_marks(connection, marks.PAUSED))
        for name in wanted:
            marks.clear_mark(connection, name)
        due_runs.wake_reason(connection, Reason(code=HoldReason.PAUSED_BY_COMMAND).key, now)
        everything = found is not None and marks.read_mark(connection, marks.PAUSED) is not None
    if everything:
        aside().print("Everything is paused still. Type crmdrip resume without a sequence.")
    else:
        aside().print(f"Resumed {found.name if found else 'everything'}.", markup=False)
    return 0


def mark_of(sequence_id: str) -> str:
    """The ledger's mark of a pause; "" for all sequences."""
    return f"{marks.PAUSED}:{sequence_id}" if sequence_id else marks.PAUSED
