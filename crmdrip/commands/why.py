"""crmdrip why."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from crmdrip.commands.naming import require_text
from crmdrip.commands.output import aside, console, print_json
from crmdrip.commands.setup import open_crm, read_existing_ledger, read_settings_to_look
from crmdrip.config import Settings
from crmdrip.core.errors import CrmdripError
from crmdrip.core.words import day
from crmdrip.inspection.history import History, OwedLine, RunLine, SignalLine, after_status, read_history, to_json
from crmdrip.inspection.subject import Subject, find_in_crm, find_in_ledger, only
from crmdrip.ledger.store import Ledger


@click.command()
@click.argument("person", callback=require_text)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def why(config: Path, person: str, *, as_json: bool) -> int:
    """Tell PERSON's story: what happened, what comes next, and why.

    PERSON is a record id, an email address, or a part of a name.
    """
    settings = read_settings_to_look(config)
    with read_existing_ledger(settings) as ledger:
        subject = identify(settings, ledger, person)
        with ledger.read() as connection:
            history = read_history(connection, subject)
    if as_json:
        print_json(to_json(history, subject))
    else:
        show(history, subject)
    return 0


def identify(settings: Settings, ledger: Ledger, text: str) -> Subject:
    """Who is meant: asked of the CRM, and of the ledger where that cannot answer or has nobody of that name.

    Raises RejectedError.
    """
    try:
        found = find_in_crm(open_crm(settings), text)
    except CrmdripError as error:
        aside().print(f"The CRM cannot be asked: {error.what} This is what the ledger knows.", markup=False)
        found = ()
    if not found:
        with ledger.read() as connection:
            found = find_in_ledger(connection, text)
    return only(found, text)


def show(history: History, subject: Subject) -> None:
    """The story in words."""
    out = console()
    who = " ".join(filter(None, (history.name, f"<{history.address}>" if history.address else "")))
    out.print(f"{who or 'Nobody by name'}  {history.kind} {history.record_id}", markup=False, style="bold")
    out.print(history.now, markup=False)
    record = subject.record
    if record is not None:
        box = "ticked" if record.enrolled else "not ticked"
        out.print(f"In the CRM: the box is {box}, the status is {record.status or 'empty'}.", markup=False)
    for run in history.runs:
        out.print()
        for line in describe_run(run):
            out.print(line, markup=False)
    if history.signals:
        out.print("\nWhat happened:")
        for signal in history.signals:
            out.print(f"  {describe_signal(signal)}", markup=False)
    if history.owed:
        out.print("\nNot in the CRM yet:")
        for owed in history.owed:
            out.print(f"  {describe_owed(owed)}", markup=False)
        if any(owed.parked for owed in history.owed):
            out.print(f"  Type crmdrip retry {history.record_id} to try again.", markup=False)


def describe_signal(signal: SignalLine) -> str:
    """One thing that happened: an answer with its subject, an absence with its end."""
    back = f", back on {day(signal.until)}" if signal.until is not None else ""
    detail = signal.detail.strip().lstrip(",").strip()
    told = f": {detail}" if detail else ""
    return f"{_moment(signal.at)}  {signal.kind.replace('_', ' ')}{back} (from {signal.source}){told}"


def describe_run(run: RunLine) -> list[str]:
    """One run in lines."""
    lines = [f"Run {run.run} of {run.sequence!r} on {run.record_id}, begun {_moment(run.entered_at)}: {run.status}"]
    lines += [
        f"  {_moment(touch.at)}  step {touch.step}, {touch.kind}: {touch.state.replace('_', ' ')}"
        + (f", {touch.subject!r}" if touch.subject else "")
        + (f", in {touch.zone}" if touch.zone else "")
        + (f"; {touch.detail}" if touch.detail else "")
        + (f". {touch.fared}" if touch.fared else "")
        for touch in run.touches
    ]
    if run.sentence:
        said = after_status(run)
        lines.append(f"  {said[:1].upper()}{said[1:]}")
    return lines


def describe_owed(owed: OwedLine) -> str:
    """One write-back that is still owed."""
    state = "parked" if owed.parked else "waiting"
    said = f": {owed.code} {owed.detail}".rstrip() if owed.code or owed.detail else ""
    return f"{owed.key}, {state} after {owed.attempt} tries{said}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
