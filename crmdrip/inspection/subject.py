"""Who is meant by PERSON on a command line: an id, an address, or a part of a name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from crmdrip.core.errors import RejectedError
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import Record, RecordRef
from crmdrip.ledger import people, runs
from crmdrip.ports import CrmSource

NAMES = frozenset({"first_name", "last_name"})
SHOWN = 10
"""Candidates listed when several are meant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """One record that a command is about."""

    ref: RecordRef
    address: str
    """Normalized; "" when the record has none."""
    name: str = ""
    """"" when the CRM was not asked."""
    record: Record | None = None
    """As the CRM has it now; None when it was not asked, or has it no more."""

    @property
    def label(self) -> str:
        """For people: "Ann Lee, contact 003..."."""
        who = self.name or self.address
        return f"{who + ', ' if who else ''}{self.ref.kind.value} {self.ref.id}"


def find_in_crm(source: CrmSource, text: str) -> tuple[Subject, ...]:
    """Everybody the text may mean, as the CRM has them now. Raises what CrmSource.find raises."""
    found = source.find(text)
    if not found:
        return ()
    looked = source.look([record.ref for record in found], NAMES, None).records
    return tuple(_subject(looked.get(record.ref.id, record)) for record in found)


def _subject(record: Record) -> Subject:
    parts = (record.fields.get("first_name"), record.fields.get("last_name"))
    return Subject(
        ref=record.ref,
        address=normalize_address(record.email),
        name=" ".join(str(part) for part in parts if part),
        record=record,
    )


def find_in_ledger(connection: Connection, text: str) -> tuple[Subject, ...]:
    """Everybody with that record id or address whom the ledger remembers, gone from the CRM or not."""
    text = text.strip()
    address = normalize_address(text)
    found = runs.runs_of_address(connection, address) if address else runs.runs_of_record(connection, text)
    subjects = {run.ref.id: Subject(ref=run.ref, address=run.address) for run in found}
    known = people.records_of_addresses(connection, [address])[address] if address else []
    known = [*known, *people.known_records(connection, [text]).values()]
    for record in known:
        subjects.setdefault(record.ref.id, Subject(ref=record.ref, address=record.address))
    return tuple(subjects.values())


def only(subjects: Iterable[Subject], text: str) -> Subject:
    """The one that is meant. Raises RejectedError for none and for several."""
    found = list(subjects)
    if len(found) == 1:
        return found[0]
    if not found:
        raise RejectedError(
            f"nobody is found for {text!r}.", do_next="Give a record id, an email address, or a part of a name."
        )
    names = "".join(f"\n    {subject.label}" for subject in found[:SHOWN])
    more = "\n    and more: give more of the name." if len(found) > SHOWN else ""
    raise RejectedError(f"several records are found for {text!r}.", do_next=f"Give the id of one:{names}{more}")
