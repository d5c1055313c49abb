"""Reading a CRM by its database: the CrmSource port. The pull and the last look have modules of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from connectors.sql.control import ControlRow
from connectors.sql.database import Database
from connectors.sql.look import LastLook
from connectors.sql.people import PeopleReader
from connectors.sql.pull import Pull
from connectors.sql.schema import Mapped
from connectors.sql.signals import SignalReader
from connectors.sql.values import LONG_AGO, is_set, read_key, read_number, read_text, read_time
from crmdrip.core.keys import domain_of, normalize_address
from crmdrip.core.model import Owner, Record, RecordRef, Signal, StepKind, TouchRecord
from crmdrip.ports import (
    Budget,
    CallMeter,
    Capability,
    ControlWrite,
    CrmIdentity,
    Look,
    PullPage,
    Purpose,
    reads_answers_of,
)

_FOUND = 50
"""People given for a name."""
_SIGNALS = ("meeting", "opportunity", "reply")
_TOUCH = (
    "number",
    "touch_id",
    "contact",
    "sequence_id",
    "step_id",
    "run",
    "kind",
    "at",
    "outcome",
    "message_id",
    "subject",
)


@reads_answers_of("the database")
class SqlSource:
    """A CrmSource. Shares its database, and with it connections and budget, with the sink."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.control = ControlRow(database)
        self.signal_reader = SignalReader(database)
        self._pull = Pull(database, self.control, self.signal_reader)
        self._look = LastLook(database, self.control, self.signal_reader, self._pull)

    def capabilities(self) -> frozenset[Capability]:
        """By what the mapping names."""
        mapping = self.database.mapping
        found = {Capability.MERGES} if mapping.field("contact", "merged_into") else set()
        if any(mapping.objects.get(word) for word in _SIGNALS):
            found.add(Capability.SIGNALS)
        return frozenset(found)

    def identity(self) -> CrmIdentity:
        """Which database answers. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError (B25)."""
        schema = self.database.schema(Purpose.LOOK)
        with self.database.read(Purpose.LOOK) as transaction:
            return self.control.identity(self.control.read(transaction, schema))

    @property
    def meter(self) -> CallMeter:
        """What counts its calls, and those of the sink."""
        return self.database.meter

    def budget(self) -> Budget:
        """Statements so far; a database tells of no limit."""
        return self.database.meter.budget()

    def pull(self, cursor: str | None) -> Iterator[PullPage]:
        """What changed since the cursor. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        return self._pull.pages(cursor)

    def look(
        self,
        refs: Iterable[RecordRef],
        paths: frozenset[str],
        cursor: str | None,
        sequences: Iterable[str] = (),
        heartbeat: ControlWrite | None = None,
    ) -> Look:
        """The people and sequences as they are now, with what happened since the cursor. Raises as pull."""
        wanted = list(refs)
        look = self._look.look(wanted, paths, cursor, sequences, heartbeat)
        self._pull.note_missing(ref.id for ref in wanted if ref.id not in look.records)
        return look

    def owners(self, ids: Iterable[str]) -> Mapping[str, Owner]:
        """The users behind the ids. Raises as pull."""
        mapped = self.database.schema(Purpose.LOOK).get("owner")
        wanted = [] if mapped is None else list(_keys(mapped, ids))
        if mapped is None or not wanted:
            return {}
        words = list(mapped.fields)
        found: dict[str, Owner] = {}
        with self.database.read(Purpose.LOOK) as transaction:
            for part in self.database.parts(wanted):
                statement = select(*(mapped[word].column for word in words)).where(mapped["id"].column.in_(part))
                for values in transaction.rows(statement):
                    owner = _owner(dict(zip(words, values, strict=True)))
                    found[owner.id] = owner
        return found

    def find(self, text: str) -> tuple[Record, ...]:
        """Records by id, by email address, or by words of the name; at most 50. Raises as pull."""
        wanted = text.strip()
        if "@" in wanted:
            return self._of_addresses({normalize_address(wanted)}, Purpose.LOOK)
        contact = self.database.schema(Purpose.LOOK).contact
        found = self._read([contact["id"].column.in_(key)] if (key := list(_keys(contact, [wanted]))) else [])
        if found or not wanted:
            return found
        names = [contact[word].column for word in ("name", "first_name", "last_name") if word in contact.fields]
        if not names:
            return ()
        words = wanted.split()[:3]
        return self._read(
            [or_(*(func.lower(name).contains(word.lower(), autoescape=True) for name in names)) for word in words]
        )

    def records_of(self, addresses: Iterable[str]) -> tuple[Record, ...]:
        """Every row of these normalized addresses, however they are typed there. Raises as pull."""
        return self._of_addresses({address for address in addresses if address}, Purpose.STOP)

    def signals(self, since: datetime) -> tuple[Signal, ...]:
        """What happened since a time to anybody. Raises as pull."""
        schema = self.database.schema(Purpose.STOP)
        with self.database.read(Purpose.STOP) as transaction:
            return tuple(self.signal_reader.read(transaction, schema, since))

    def touches(self, cursor: str | None) -> Iterator[tuple[tuple[TouchRecord, ...], str]]:
        """All emails and tasks in the order in which they were written, page by page. Raises as pull."""
        touch = self.database.schema(Purpose.PULL)["touch"]
        number, last = touch["number"].column, int(cursor or 0)
        kinds = touch["kind"].column.in_([kind.value for kind in StepKind])
        columns = [touch[word].column for word in _TOUCH]
        while True:
            statement = select(*columns).where(number > last, kinds).order_by(number).limit(self.database.page)
            with self.database.read(Purpose.PULL) as transaction:
                rows = transaction.rows(statement)
            if not rows:
                return
            last = int(rows[-1][0])
            yield tuple(self._touch(dict(zip(_TOUCH, row, strict=True))) for row in rows), str(last)

    def _touch(self, row: Mapping[str, Any]) -> TouchRecord:
        return TouchRecord(
            touch_id=read_key(row["touch_id"]),
            record_id=read_key(row["contact"]),
            sequence_id=read_key(row["sequence_id"]),
            step_id=read_key(row["step_id"]),
            run=read_number(row["run"]),
            kind=StepKind(row["kind"]),
            at=read_time(row["at"], self.database.zone) or LONG_AGO,
            outcome=read_text(row["outcome"]),
            message_id=read_text(row["message_id"]),
            subject=read_text(row["subject"]),
        )

    # people

    def _of_addresses(self, addresses: set[str], purpose: Purpose) -> tuple[Record, ...]:
        """Rows whose address is one of these, compared as crmdrip compares addresses."""
        wanted = sorted({*addresses, *(shown for one in addresses if (shown := _in_letters(one)))} - {""})
        if not wanted:
            return ()
        column = self.database.schema(purpose).contact["email"].column
        found: list[Record] = []
        for part in self.database.parts(wanted):
            found += self._read([func.lower(func.trim(column)).in_(part)], purpose, limit=None)
        return tuple(one for one in found if normalize_address(one.email) in addresses)

    def _read(
        self, conditions: list[ColumnElement[bool]], purpose: Purpose = Purpose.LOOK, limit: int | None = _FOUND
    ) -> tuple[Record, ...]:
        """Nobody without a condition; never whoever is gone."""
        if not conditions:
            return ()
        people = PeopleReader(self.database.schema(purpose), self.database.zone)
        statement = people.select().where(*conditions).order_by(people.key).limit(limit)
        with self.database.read(purpose) as transaction:
            rows = people.rows(transaction.rows(statement))
        return tuple(people.read(row) for row in rows.values() if not people.is_gone(row))


def _keys(mapped: Mapped, ids: Iterable[str]) -> Iterator[Any]:
    """Ids as the column has them; those that it cannot have are left out."""
    for one in dict.fromkeys(ids):
        try:
            yield mapped["id"].show(one)
        except ValueError:
            continue


def _in_letters(address: str) -> str:
    """The address with its domain as people write it, "" where that is the same."""
    domain = domain_of(address)
    if "xn--" not in domain:
        return ""
    try:
        return address.removesuffix(domain) + domain.encode("ascii").decode("idna")
    except UnicodeError:
        return ""


def _owner(row: Mapping[str, Any]) -> Owner:
    return Owner(
        id=read_key(row["id"]),
        name=read_text(row.get("name")),
        email=read_text(row.get("email")),
        active=is_set(row["active"]) if "active" in row else True,
        is_person=is_set(row["person"]) if row.get("person") is not None else True,
        **{word: read_text(row.get(word)) for word in ("time_zone", "title", "phone", "signature")},
    )
