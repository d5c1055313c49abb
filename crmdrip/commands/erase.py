"""crmdrip erase and crmdrip export."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from crmdrip.assembly import WallClock
from crmdrip.commands.naming import require_text
from crmdrip.commands.output import aside, console, print_json
from crmdrip.commands.setup import open_crm, open_existing_ledger, read_existing_ledger, read_settings_to_look
from crmdrip.config import Settings
from crmdrip.core.errors import CrmdripError
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import Record, RecordRef
from crmdrip.daemon.erasing import erase_person
from crmdrip.inspection.subject import Subject, find_in_crm, find_in_ledger, only
from crmdrip.ledger import erasure, marks
from crmdrip.ledger.erasure import Traces, find_traces, read_rows
from crmdrip.ledger.store import Ledger
from crmdrip.ports import CrmSource

_WHAT = {
    "records": "CRM records remembered",
    "runs": "runs through sequences",
    "touches": "touches, with subjects and addresses",
    "engagements": "what the provider told of touches",
    "signals": "things that happened: replies, meetings, opens, unsubscribes",
    "mails": "mails read",
    "forwards": "answers on their way to a rep",
    "deliveries": "deliveries kept raw",
    "write_backs": "changes owed to the CRM",
}
"""What read_rows finds and erase takes away, in words. Suppressions are hashes and stay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Person:
    """Whom a command is about."""

    traces: Traces
    refs: tuple[RecordRef, ...]
    """Their records in the CRM, as far as it could be asked."""
    asked: bool
    """Whether the CRM could be asked."""


@click.command()
@click.argument("person", callback=require_text)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(config: Path, person: str, *, yes: bool) -> int:
    """Erase everything the ledger holds about PERSON, who is never mailed again.

    PERSON is an email address, a record id, or a part of a name. First it is shown what goes. What stays is a hash of
    each address, so that no import and no tick of a box has them mailed again. Email Opt Out is ticked on their
    records. Nothing is deleted in the CRM or at the mail provider: the end of the output says what is left to do there.
    """
    settings = read_settings_to_look(config)
    with open_existing_ledger(settings) as ledger:
        who = _find(settings, ledger, person)
        _show(ledger, who)
        if not yes and not click.confirm("Erase all this?", err=True):
            aside().print("Nothing was erased.")
            return 1
        now = WallClock().now()
        with ledger.write() as connection:
            org_id = marks.read_mark(connection, marks.ORG) or ""
            # Found again: what came in meanwhile goes too.
            traces = find_traces(connection, who.traces.addresses, who.traces.record_ids)
            erase_person(connection, traces, who.refs, org_id, now)
        erasure.scrub(ledger)
    _say_what_remains(settings, who)
    return 0


@click.command()
@click.argument("person", callback=require_text)
@click.pass_obj
def export(config: Path, person: str) -> int:
    """Print everything the ledger holds about PERSON, as JSON.

    That is the ledger's part of the answer to a data access request; what the CRM and the mail provider hold is not in
    it. PERSON is as in crmdrip erase.
    """
    settings = read_settings_to_look(config)
    with read_existing_ledger(settings) as ledger:
        who = _find(settings, ledger, person)
        with ledger.read() as connection:
            rows = read_rows(connection, who.traces)
    print_json({"addresses": sorted(who.traces.addresses), "record_ids": sorted(who.traces.record_ids), **rows})
    return 0


def _find(settings: Settings, ledger: Ledger, text: str) -> _Person:
    """Everything that is one person's, in the CRM or gone from it. An address need not be known anywhere.

    Raises RejectedError for a name or id of nobody, and for a name of several.
    """
    address = normalize_address(text)
    source = _crm(settings)
    with ledger.read() as connection:
        known = find_in_ledger(connection, text)
    asked, records = _ask(source, text) if source is not None else (False, ())
    found = records or known
    if not address:
        subject = only(found, text)
        addresses, ids = {subject.address} - {""}, {subject.ref.id}
    else:
        addresses, ids = {address}, {subject.ref.id for subject in (*records, *known)}
    with ledger.read() as connection:
        traces = find_traces(connection, addresses, ids)
    twins = _records_of(source, traces.addresses) if source is not None and asked else ()
    refs = {subject.ref for subject in records if subject.ref.id in ids} | {record.ref for record in twins}
    with ledger.read() as connection:
        traces = find_traces(connection, traces.addresses, {*traces.record_ids, *(ref.id for ref in refs)})
    return _Person(traces=traces, refs=tuple(sorted(refs, key=lambda ref: ref.id)), asked=asked)


def _crm(settings: Settings) -> CrmSource | None:
    try:
        return open_crm(settings)
    except CrmdripError as error:
        aside().print(f"The CRM cannot be asked: {error.what}", markup=False)
        return None


def _ask(source: CrmSource, text: str) -> tuple[bool, tuple[Subject, ...]]:
    """Whether the CRM answered, and whom it has of this name."""
    try:
        return True, find_in_crm(source, text)
    except CrmdripError as error:
        aside().print(f"The CRM cannot be asked: {error.what} This is what the ledger knows.", markup=False)
        return False, ()


def _records_of(source: CrmSource, addresses: Iterable[str]) -> tuple[Record, ...]:
    """Every record of the addresses; an opt-out is written to each."""
    try:
        return source.records_of(addresses)
    except CrmdripError as error:
        aside().print(f"The CRM cannot be asked for further records: {error.what}", markup=False)
        return ()


def _show(ledger: Ledger, who: _Person) -> None:
    """What will go."""
    with ledger.read() as connection:
        rows = read_rows(connection, who.traces)
    out = console()
    out.print(f"Addresses: {', '.join(sorted(who.traces.addresses)) or 'none'}", markup=False)
    out.print(f"Records: {', '.join(sorted(who.traces.record_ids)) or 'none'}", markup=False)
    for name, what in _WHAT.items():
        if rows[name]:
            out.print(f"{len(rows[name]):>6}  {what}", markup=False)
    if not any(rows[name] for name in _WHAT):
        out.print("The ledger holds nothing else about them. They will never be mailed.")


def _say_what_remains(settings: Settings, who: _Person) -> None:
    out = console()
    out.print("\nErased. The addresses are kept as hashes that are never mailed.")
    records = ", ".join(f"{ref.kind.value} {ref.id}" for ref in who.refs)
    if records:
        out.print(
            f"The CRM ({settings.crm.connector}) still has {records}, with the timeline. The daemon's next round"
            f" writes the opt-out there. To delete: {how_to_delete(settings.crm.connector)}",
            markup=False,
        )
    elif not who.asked:
        out.print("The CRM could not be asked what it still has. Look there for the addresses above.")
    else:
        out.print("The CRM has no record of these addresses any more, outside its recycle bin.")
    out.print(
        f"The mail provider ({settings.mail.connector}) keeps its own log and suppression lists."
        + (_SENDGRID if settings.mail.connector == "sendgrid" else ""),
        markup=False,
    )
    out.print("Backups of the ledger, logs of other systems and the reps' own mailboxes are not reached from here.")


def how_to_delete(connector: str) -> str:
    """What an admin of the CRM clicks so that it keeps nothing either."""
    return _DELETING.get(connector, "delete the rows in it.")


_DELETING = {
    "salesforce": "open each record and choose Delete, then empty the Recycle Bin.",
    "hubspot": "open each contact, Actions, Delete, and choose the permanent deletion for privacy laws.",
}
_SENDGRID = " To have them erased: POST /v3/recipients/erasejob, SendGrid's Recipients' Data Erasure API."
