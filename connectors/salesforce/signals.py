"""Meetings, opportunities, inbound email and finished tasks: which query finds them, and what a row means.

Each stream is optional: an org without Enhanced Email has no EmailMessage, a user may lack access to opportunities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.salesforce import soql
from connectors.salesforce.client import Part
from connectors.salesforce.emails import read_kind
from connectors.salesforce.records import Row
from connectors.salesforce.schema import Schema
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import Signal, SignalKind
from crmdrip.ports import ASKED

SOURCE = "salesforce"
_DETAIL = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """One kind of signal: its query since a time, and the reading of its rows."""

    name: str
    ask: Callable[[datetime], Part]
    read: Callable[[Row], Iterable[Signal]]
    in_look: bool
    """Whether the last look reads it too. A finished task stops nobody."""


def open_streams(schema: Schema) -> tuple[Stream, ...]:
    """The streams this org can be asked for, the most urgent first."""
    found = (_replies(schema), _meetings(schema), _opportunities(schema), _finished_tasks(schema))
    return tuple(stream for stream in found if stream is not None)


def dig(row: Mapping[str, Any], path: str) -> Any:
    """A value by path: "Opportunity.Name" is inside the parent's row; None where there is no parent."""
    value: Any = row
    for name in path.split("."):
        if value is None:
            return None
        value = value.get(name)
    return value


def _names(schema: Schema, word: str, needed: Sequence[str]) -> dict[str, str] | None:
    """API names of an optional object, None when it or a needed field cannot be read. Paths are taken on trust."""
    if not schema.has(word):
        return None
    names = {
        w: name if "." in name else schema.name(word, w) for w, name in schema.mapping.fields.get(word, {}).items()
    }
    return names if all(names.get(w) for w in needed) else None


def _ask(
    name: str, source: str, columns: Sequence[str], stamp: str, where: Sequence[str]
) -> Callable[[datetime], Part]:
    def ask(since: datetime) -> Part:
        conditions = [*soql.after(stamp, soql.Position(at=since)), *where]
        return soql.query_all(name, soql.select(columns, source, where=conditions, order=[stamp, "Id"]))

    return ask


def _meetings(schema: Schema) -> Stream | None:
    """Events with the person as their Who or among those invited.

    Children of a group event repeat it, and those of a series were booked with it; private ones are nobody's business.
    """
    names = _names(schema, "event", ("person", "start", "created"))
    if names is None:
        return None
    info, mapped = schema.objects["event"], schema.mapping.fields["event"]
    where = [f"{names[word]} = false" for word in ("child", "private") if names.get(word)]
    invited, relation_id = mapped.get("relations", ""), mapped.get("relation_id", "")
    asks_relations = bool(relation_id) and invited in info.children
    people = tuple(schema.objects[kind.value].prefix for kind in schema.kinds())

    def read(row: Row) -> Iterable[Signal]:
        created = datetime.fromisoformat(row[names["created"]])
        start = row.get(names["start"])
        if row.get("IsDeleted") or start is None or _was_over(row, names, start, created) or _is_repeat(row, names):
            return
        block = (row.get(invited) if asks_relations else None) or {"records": ()}
        who = [row.get(names["person"]), *(one.get(relation_id) for one in block["records"])]
        # Rooms and colleagues of the rep are invited as well.
        for person in dict.fromkeys(one for one in who if one and one.startswith(people)):
            first = person == who[0]
            yield Signal(
                key=f"{SOURCE}:{SignalKind.MEETING}:{row['Id']}" + ("" if first else f":{person}"),
                kind=SignalKind.MEETING,
                at=created,
                source=SOURCE,
                record_id=person,
                detail=(row.get(names["subject"]) or "")[:_DETAIL],
            )

    left_out = {"child", "private", "relations", "relation_id"}
    columns = ["Id", "IsDeleted", *(n for w, n in names.items() if n and w not in left_out)]
    if asks_relations:
        columns.append(f"({soql.select([relation_id], invited, where=['IsDeleted = false'])})")
    # By when it was changed: somebody is invited to an event that has been there for a while. It counts from when it
    # was made all the same, so that an old event that is moved stops nobody new.
    stamp = names.get("modified") or names["created"]
    ask = _ask("meetings", info.name, columns, stamp, where)
    return Stream(name="meetings", ask=ask, read=read, in_look=True)


def _is_repeat(row: Row, names: Mapping[str, str]) -> bool:
    """Whether the event is a further one of a series: the first was booked, the others came with it."""
    return bool(row.get(names.get("series", ""))) and not row.get(names.get("recurring", ""))


def _was_over(row: Row, names: Mapping[str, str], start: str, created: datetime) -> bool:
    """Whether the event lay in the past when it was entered: a call that was logged is no meeting that was booked."""
    begins = datetime.fromisoformat(start)
    if row.get(names.get("all_day", "")):
        return begins.date() < created.date()
    return begins < created


def _opportunities(schema: Schema) -> Stream | None:
    """Contact roles: the opportunity's own age is its time, so that an old deal does not stop a new run."""
    names = _names(schema, "opportunity_role", ("contact", "opportunity", "created"))
    if names is None:
        return None

    def read(row: Row) -> Iterable[Signal]:
        opened = dig(row, names["opened"]) if names.get("opened") else None
        if row.get("IsDeleted"):
            return
        yield Signal(
            key=f"{SOURCE}:{SignalKind.OPPORTUNITY}:{row[names['opportunity']]}:{row[names['contact']]}",
            kind=SignalKind.OPPORTUNITY,
            at=datetime.fromisoformat(opened or row[names["created"]]),
            source=SOURCE,
            record_id=row[names["contact"]],
            detail=(dig(row, names.get("name", "Id")) or "")[:_DETAIL],
        )

    columns = ["Id", "IsDeleted", *filter(None, names.values())]
    ask = _ask("opportunities", schema.objects["opportunity_role"].name, columns, names["created"], ())
    return Stream(name="opportunities", ask=ask, read=read, in_look=True)


def _replies(schema: Schema) -> Stream | None:
    """Incoming email that somebody or something logged in Salesforce. Captured email is no record and not seen here."""
    names = _names(schema, "email_message", ("from_address", "incoming", "created"))
    if names is None:
        return None
    info = schema.objects["email_message"]
    mapped = schema.mapping.fields["email_message"]
    relations = mapped.get("relations", "")
    columns = [
        "Id",
        "IsDeleted",
        *(name for word in _EMAIL if (name := names.get(word))),
    ]
    if relations in info.children:
        sender = soql.quote(schema.mapping.value("email_message", "from_relation"))
        wanted = [mapped["relation_id"], mapped["relation_type"]]
        columns.append(f"({soql.select(wanted, relations, where=[f'{wanted[1]} = {sender}'])})")

    def read(row: Row) -> Iterable[Signal]:
        if row.get("IsDeleted"):
            return
        block = row.get(relations) or {"records": ()}
        at = datetime.fromisoformat(row.get(names.get("received", "")) or row[names["created"]])
        words = {word: row.get(names.get(word, "")) or "" for word in _EMAIL}
        kinds, until = read_kind(words, at)
        for kind in kinds:
            yield Signal(
                key=f"{SOURCE}:{kind}:{row['Id']}",
                kind=kind,
                at=at,
                source=SOURCE,
                record_id=next((one[mapped["relation_id"]] for one in block["records"]), None),
                address=normalize_address(words["from_address"]) or None,
                detail=words["subject"][:_DETAIL],
                until=until if kind is SignalKind.OUT_OF_OFFICE else None,
            )

    ask = _ask("replies", info.name, columns, names["created"], [f"{names['incoming']} = true"])
    return Stream(name="replies", ask=ask, read=read, in_look=True)


_EMAIL = ("from_address", "from_name", "to", "subject", "headers", "text", "html", "message_id", "received", "created")
"""What is read of an email."""


def _finished_tasks(schema: Schema) -> Stream | None:
    """The rep's tasks that carry our touch id and are closed now."""
    names = _names(schema, "task", ("touch_id", "closed", "subtype", "person", "modified"))
    if names is None:
        return None

    def read(row: Row) -> Iterable[Signal]:
        if row.get("IsDeleted"):
            return
        touch = row[names["touch_id"]]
        yield Signal(
            key=f"{SOURCE}:{SignalKind.TASK_DONE}:{touch}",
            kind=SignalKind.TASK_DONE,
            at=datetime.fromisoformat(row.get(names.get("completed_at", "")) or row[names["modified"]]),
            source=SOURCE,
            record_id=row[names["person"]],
            touch_id=touch,
        )

    task = soql.quote(schema.mapping.value("task", "task_subtype"))
    where = [f"{names['closed']} = true", f"{names['subtype']} = {task}", f"{names['touch_id']} != null"]
    if step := names.get("step_id"):
        # A note of ours is no task that somebody did; one by which the rep decides whether to go on has no step either.
        asks = f" OR {outcome} = {soql.quote(ASKED)}" if (outcome := names.get("outcome")) else ""
        where.append(f"({step} != null{asks})")
    words = ("touch_id", "person", "completed_at", "modified")
    columns = ["Id", "IsDeleted", *(names[w] for w in words if names.get(w))]
    ask = _ask("finished_tasks", schema.objects["task"].name, columns, names["modified"], where)
    return Stream(name="finished_tasks", ask=ask, read=read, in_look=False)
