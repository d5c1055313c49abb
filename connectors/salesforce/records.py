"""Rows of Salesforce into values of the model, and back into API fields where a read needs them. Makes no call.

Readers are built once per object: the names are looked up then, so that a row costs a few dictionary reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.salesforce.schema import Schema
from crmdrip.core.model import Owner, Record, RecordKind, RecordRef, StepKind, TouchRecord

Row = Mapping[str, Any]

_PERSON = (
    "email",
    "owner",
    "account",
    "opted_out",
    "bounced_reason",
    "bounced_at",
    "country",
    "state",
    "time_zone",
    "enrolled",
    "sequence",
    "paused_until",
    "approved",
    "status",
    "last_touch",
    "run",
    "merged_into",
    "deleted",
    "modified",
    "converted",
    "converted_contact",
    "converted_opportunity",
)

_TOUCH = (
    "touch_id",
    "person",
    "sequence_id",
    "step_id",
    "run",
    "subtype",
    "created",
    "outcome",
    "message_id",
    "subject",
)

_NO_FIELDS: Mapping[str, Any] = {}

_TEXTS = (
    "email",
    "sequence",
    "owner",
    "account",
    "time_zone",
    "country",
    "state",
    "status",
    "merged_into",
    "converted_contact",
)
"""Words of a person's fields that hold text or nothing; everything beyond the connector relies on it."""

_STOP_FIELD = re.compile(r"\s*([A-Za-z]\w*)")


def parse_time(value: str | None) -> datetime | None:
    """A dateTime as Salesforce writes it ("2022-03-17T16:21:26.000+0000"), aware UTC; None for none."""
    return None if value is None else datetime.fromisoformat(value).astimezone(UTC)


def demand_text(values: Iterable[Any]) -> None:
    """Raises TypeError unless each is text or None."""
    "".join([value for value in values if value is not None])


def stop_field(condition: str | None) -> str:
    """The field a sequence's stop condition is about: the name it begins with ("Status" of "Status = Lost; Won")."""
    match = _STOP_FIELD.match(condition or "")
    return match[1] if match else ""


class RecordReader:
    """Reads rows of one object into Records."""

    def __init__(self, schema: Schema, kind: RecordKind) -> None:
        self.kind = kind
        self.object = schema.objects[kind.value]
        self._names = {
            word: schema.name(kind.value, word) if word in schema.mapping.fields[kind.value] else "" for word in _PERSON
        }

    def columns(self, extra: Mapping[str, str] | None = None) -> list[str]:
        """What to select: Id, every mapped field that can be seen, and the extra ones."""
        return list(dict.fromkeys(["Id", *filter(None, self._names.values()), *filter(None, (extra or {}).values())]))

    def parents(self, rows: Iterable[Row]) -> dict[str, list[str | None]]:
        """The ids of the rows' accounts and owners, in the rows' order."""
        owner, account = self._names["owner"], self._names["account"]
        found: dict[str, list[str | None]] = {"account": [], "owner": []}
        for row in rows:
            found["account"].append(row.get(account))
            found["owner"].append(row.get(owner))
        return found

    def reader(self, stops: Mapping[str, str]) -> Callable[..., Record]:
        """The function from a row, and the merge fields read with it, to the Record.

        stops: the stop condition's column by sequence id, where it can be seen.
        """
        kind, names = self.kind, self._names
        email, owner, account = names["email"], names["owner"], names["account"]
        opted_out, bounced_reason, bounced_at = names["opted_out"], names["bounced_reason"], names["bounced_at"]
        country, state, time_zone = names["country"], names["state"], names["time_zone"]
        enrolled, sequence, paused_until = names["enrolled"], names["sequence"], names["paused_until"]
        approved, status, last_touch, run = names["approved"], names["status"], names["last_touch"], names["run"]
        merged_into, deleted, modified = names["merged_into"], names["deleted"], names["modified"]
        contact, opportunity = names["converted_contact"], names["converted_opportunity"]
        texts = ("Id", *(names[word] for word in _TEXTS))

        def read(row: Row, fields: Mapping[str, Any] = _NO_FIELDS) -> Record:
            get = row.get
            sequence_id = get(sequence)
            stop = get(stops[sequence_id]) if sequence_id is not None and sequence_id in stops else None
            converted = get(contact)
            demand_text(get(name) for name in texts)
            return Record(
                ref=RecordRef(kind=kind, id=row["Id"]),
                email=get(email) or "",
                enrolled=bool(row[enrolled]),
                sequence_id=sequence_id,
                paused_until=parse_time(get(paused_until)),
                approved=bool(get(approved)),
                opted_out=bool(row[opted_out]),
                bounced=bool(get(bounced_reason) or get(bounced_at)),
                owner_id=get(owner),
                account_id=get(account),
                time_zone=get(time_zone) or "",
                country=get(country) or "",
                state=get(state) or "",
                status=get(status) or "",
                run=int(get(run) or 0),
                last_touch=parse_time(get(last_touch)),
                modified_at=datetime.fromisoformat(row[modified]),
                deleted=bool(get(deleted)),
                merged_into=get(merged_into),
                converted_to=RecordRef(kind=RecordKind.CONTACT, id=converted) if converted else None,
                converted_opportunity=bool(get(opportunity)),
                stop_field="" if stop is None else _text(stop),
                fields=fields,
            )

        return read


def _text(value: Any) -> str:
    """A field's value as a person types it in a stop condition."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


class TouchReader:
    """Reads Tasks that carry a touch id."""

    def __init__(self, schema: Schema) -> None:
        self._names = {word: schema.name("task", word) for word in _TOUCH}
        self._email = schema.mapping.value("task", "email_subtype")
        self._prefixes = tuple(schema.mapping.value("task", word) for word in ("email_subject", "task_subject"))

    def columns(self) -> list[str]:
        """What to select."""
        return ["Id", *filter(None, self._names.values())]

    def read(self, row: Row) -> TouchRecord:
        """One touch. Its time is the row's creation: the write-back follows a touch within moments."""
        names, get = self._names, row.get
        demand_text(get(names[word]) for word in _TOUCH if word != "run")
        subject = get(names["subject"]) or ""
        kind = StepKind.EMAIL if get(names["subtype"], self._email) == self._email else StepKind.TASK
        for prefix in self._prefixes:
            subject = subject.removeprefix(prefix)
        return TouchRecord(
            touch_id=row[names["touch_id"]],
            record_id=get(names["person"]) or "",
            sequence_id=get(names["sequence_id"]) or "",
            step_id=get(names["step_id"]) or "",
            run=int(get(names["run"]) or 0),
            kind=kind,
            at=datetime.fromisoformat(row[names["created"]]),
            outcome=get(names["outcome"]) or "",
            message_id=get(names["message_id"]) or "",
            subject=subject,
        )


def read_owner(names: Mapping[str, str], row: Row) -> Owner:
    """One user. names: API names by our words, "" or absent where hidden."""
    get = row.get
    demand_text([row["Id"], *(get(name) for word, name in names.items() if word != "active")])
    return Owner(
        id=row["Id"],
        name=get(names["name"]) or "",
        email=get(names["email"]) or "",
        active=bool(get(names["active"])),
        time_zone=get(names.get("time_zone", "")) or "",
        title=get(names.get("title", "")) or "",
        phone=get(names.get("phone", "")) or "",
        signature=get(names.get("signature", "")) or "",
    )
