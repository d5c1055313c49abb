"""crmdrip retry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from crmdrip.assembly import WallClock
from crmdrip.commands.naming import require_text
from crmdrip.commands.output import aside, console, print_json
from crmdrip.commands.setup import look_around, open_existing_ledger, read_settings_to_look
from crmdrip.commands.why import identify
from crmdrip.core.errors import RejectedError
from crmdrip.core.model import Touch
from crmdrip.daemon.reconcile import Verdict, settle_by_person
from crmdrip.inspection.history import read_history
from crmdrip.inspection.subject import Subject
from crmdrip.ledger import outbox, received, runs, touches
from crmdrip.ledger.outbox import Owed
from crmdrip.ledger.received import Failure
from crmdrip.ledger.store import Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Stuck:
    """What waits for a person."""

    touches: tuple[tuple[Touch, str], ...]
    """With the record that carries the run."""
    parked: tuple[Owed, ...]
    unread: tuple[Failure, ...]
    """What came in and cannot be read."""


@click.command()
@click.argument("person", callback=require_text, required=False)
@click.option("--write-backs", is_flag=True, help="Try every parked write-back again.")
@click.option("--received", "read_again", is_flag=True, help="Read again what came in and could not be read.")
@click.option("--went-out", "verdict", flag_value=Verdict.WENT_OUT, type=Verdict, help="PERSON got the email in doubt.")
@click.option(
    "--did-not-go-out", "verdict", flag_value=Verdict.DID_NOT_GO_OUT, type=Verdict, help="They did not: send it again."
)
@click.option("--json", "as_json", is_flag=True, help="What waits, as one JSON object on standard output.")
@click.pass_obj
def retry(
    config: Path, person: str | None, *, write_backs: bool, read_again: bool, verdict: Verdict | None, as_json: bool
) -> int:
    """Try parked write-backs again, and settle what only a person can.

    Without arguments it lists what waits. With PERSON it tries that person's parked write-backs again; with
    --went-out or --did-not-go-out it settles an email of which nobody could tell whether it went out: look into the
    mail provider's own log first.
    """
    settings = read_settings_to_look(config)
    if verdict is not None:
        if person is None:
            raise click.UsageError("Say who: crmdrip retry PERSON --went-out or --did-not-go-out.")
        with look_around(settings) as parts:
            for touch in _touches_of(parts.ledger, identify(settings, parts.ledger, person).ref.id):
                settle_by_person(parts, touch.id, verdict)
                what = (
                    "went out; the run goes on" if verdict is Verdict.WENT_OUT else "did not go out; it is sent again"
                )
                aside().print(f"The email of {touch.at:%Y-%m-%d %H:%M} UTC {what}.", markup=False)
        return 0
    with open_existing_ledger(settings) as ledger:
        if person is not None:
            keys = set(_parked_of(ledger, identify(settings, ledger, person)))
            aside().print(f"Write-backs that are tried again: {_unpark(ledger, keys)}.")
        elif write_backs:
            with ledger.write() as connection:
                count = outbox.unpark(connection, WallClock().now())
            aside().print(f"Write-backs that are tried again: {count}.")
        elif read_again:
            with ledger.write() as connection:
                count = received.retry_failed(connection, WallClock().now())
            aside().print(f"Posts and emails that are read again: {count}.")
        else:
            list_stuck(read_stuck(ledger), as_json=as_json)
    return 0


def _touches_of(ledger: Ledger, record_id: str) -> list[Touch]:
    """The record's touches that need a person. Raises RejectedError when there are none."""
    found = [touch for touch, record in read_stuck(ledger).touches if record == record_id]
    if not found:
        raise RejectedError(
            f"no email to {record_id} needs a person.", do_next="Type crmdrip retry to see which ones do."
        )
    return found


def _parked_of(ledger: Ledger, subject: Subject) -> list[str]:
    with ledger.read() as connection:
        history = read_history(connection, subject)
    return [owed.key for owed in history.owed if owed.parked]


def _unpark(ledger: Ledger, keys: set[str]) -> int:
    with ledger.write() as connection:
        found = [one for one in outbox.parked(connection, 1_000_000) if one.write.key in keys]
        outbox.owe(connection, [(one.write, one.priority) for one in found], WallClock().now())
    return len(found)


def read_stuck(ledger: Ledger) -> Stuck:
    """Everything that waits for a person. Raises LedgerBrokenError."""
    with ledger.read() as connection:
        stuck = touches.needing_person(connection)
        found = runs.lock_runs(connection, [touch.enrollment_id for touch in stuck])
        return Stuck(
            touches=tuple((touch, found[touch.enrollment_id].ref.id) for touch in stuck),
            parked=tuple(outbox.parked(connection)),
            unread=tuple(received.failures(connection)),
        )


def list_stuck(stuck: Stuck, *, as_json: bool) -> None:
    """Print it on standard output, each with what to type."""
    if as_json:
        print_json(
            {
                "needs_person": [
                    {
                        "record_id": record,
                        "touch_id": touch.id,
                        "step": touch.order,
                        "at": touch.at,
                        "address": touch.address,
                    }
                    for touch, record in stuck.touches
                ],
                "parked": [
                    {"key": one.write.key, "code": one.code, "detail": one.detail, "attempt": one.attempt}
                    for one in stuck.parked
                ],
                "unread": [
                    {"id": one.id, "source": one.source, "received_at": one.received_at, "error": one.error}
                    for one in stuck.unread
                ],
            }
        )
        return
    out = console()
    if not stuck.touches and not stuck.parked and not stuck.unread:
        out.print("Nothing waits for a person.")
    for touch, record in stuck.touches:
        out.print(
            f"An email to {touch.address} ({record}) may or may not have gone out on {touch.at:%Y-%m-%d %H:%M} UTC:"
            f" {touch.subject!r}.\n"
            f"  Look into the provider's log, then type crmdrip retry {record} --went-out, or --did-not-go-out.",
            markup=False,
        )
    for one in stuck.parked:
        out.print(f"{one.write.key} was refused by the CRM: {one.code} {one.detail}", markup=False)
    if stuck.parked:
        out.print("  Mend the cause, then type crmdrip retry --write-backs.")
    for unread in stuck.unread:
        came = f"{unread.received_at:%Y-%m-%d %H:%M} UTC"
        out.print(f"What came from {unread.source} on {came} cannot be read: {unread.error}", markup=False)
    if stuck.unread:
        out.print("  It is kept raw. After an update of crmdrip type crmdrip retry --received.")
