"""Whom we write to or wrote to, found by what a mail tells of its writer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, or_, select

from crmdrip.core.keys import person_key
from crmdrip.core.model import Enrollment, RecordKind, RecordRef
from crmdrip.core.whose import Addressee
from crmdrip.ledger import people, runs
from crmdrip.ledger.schema import ERASED, IS_LIVE, enrollment, record, touch
from crmdrip.ledger.statements import Lookup

NEARBY = 2_000
"""At most so many people of one domain are looked at."""


def by_touches(connection: Connection, touch_ids: Iterable[str]) -> dict[str, Addressee]:
    """Who got each touch: where their run stands now, since a record may have been merged and an address changed."""
    return {
        touch_id: Addressee(
            address=address,
            ref=RecordRef(kind=RecordKind(kind), id=record_id),
            sender=sender,
            touch_id=touch_id,
            mailed=mailed,
        )
        for touch_id, sender, mailed, address, kind, record_id in _BY_TOUCH.rows(connection, touch_ids)
    }


_BY_TOUCH = Lookup(
    select(touch.c.id, touch.c.sender, touch.c.address, enrollment.c.address, enrollment.c.kind, enrollment.c.record_id)
    .join(enrollment, enrollment.c.id == touch.c.enrollment_id)
    .where(enrollment.c.record_id != ERASED),
    touch.c.id,
)


def by_addresses(connection: Connection, addresses: Iterable[str]) -> dict[str, Addressee]:
    """Who has each normalized address: whoever has a live run, else the last one, else a record that was pulled."""
    addresses = list(addresses)
    found = {
        address: Addressee(address=address, ref=known[0].ref)
        for address, known in people.records_of_addresses(connection, addresses).items()
        if address
    }
    of_key = {person_key(address): address for address in addresses}
    ended = sorted(runs.runs_of_people(connection, of_key).values(), key=lambda run: run.entered_at)
    found |= {of_key[run.person]: _of_run(run) for run in ended}
    found |= {address: _of_run(run) for address, run in runs.live_runs_of_addresses(connection, addresses).items()}
    return found


def addresses_at(connection: Connection, domain: str) -> list[str]:
    """The addresses with a live run at a domain, below it, or right above it.

    Reads the index of live addresses once through: for an answer, never for an email.
    """
    above = domain.partition(".")[2]
    at = [f"@{domain}", f".{domain}", *([f"@{above}"] if "." in above else [])]
    return _live(connection, or_(*(enrollment.c.address.endswith(one, autoescape=True) for one in at)))


def addresses_like(connection: Connection, address: str) -> list[str]:
    """Those at the address's domain, or at Gmail's other one, whose names begin as its name does."""
    local, _, domain = address.rpartition("@")
    domains = ("gmail.com", "googlemail.com") if domain in ("gmail.com", "googlemail.com") else (domain,)
    at = or_(*(enrollment.c.address.endswith(f"@{one}", autoescape=True) for one in domains))
    # A range and no LIKE: the index of live addresses is sorted, and SQLite's LIKE would not use that.
    return _live(connection, at, enrollment.c.address >= local[:1], enrollment.c.address < f"{local[:1]}\U0010ffff")


def _live(connection: Connection, *where: ColumnElement[bool]) -> list[str]:
    rows = connection.execute(select(enrollment.c.address).where(IS_LIVE, *where).limit(NEARBY))
    return [row[0] for row in rows]


def _of_run(run: Enrollment) -> Addressee:
    return Addressee(address=run.address, ref=run.ref, sender=run.sender)


def live_of_accounts(connection: Connection, accounts: Iterable[str]) -> list[Enrollment]:
    """The live runs of these accounts' people."""
    records = [row[0] for row in _OF_ACCOUNT.rows(connection, accounts)]
    return list(runs.live_runs_of_records(connection, records).values())


_OF_ACCOUNT = Lookup(select(record.c.id).where(record.c.deleted.is_(False)), record.c.account_id)


def last_mailed(connection: Connection, addresses: Iterable[str]) -> dict[str, datetime]:
    """When an email last went to each normalized address that got one in a run of its own."""
    of_key = {person_key(address): address for address in addresses}
    found: dict[str, datetime] = {}
    for run in runs.runs_of_people(connection, of_key).values():
        if run.last_touch_at is not None:
            address = of_key[run.person]
            found[address] = max(run.last_touch_at, found.get(address, run.last_touch_at))
    return found
