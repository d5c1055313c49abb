"""Meetings, opportunities, inbound email and finished tasks: which query finds them, and what a row means.

Each stream is optional: an org without Enhanced Email has no EmailMessage, a user may lack access to opportunities.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.salesforce import soql
from connectors.salesforce.client import Part
from connectors.salesforce.records import Row
from connectors.salesforce.schema import Schema
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import Signal, SignalKind

SOURCE = "salesforce"
_DETAIL = 255

# RFC 3834 and what Exchange and older responders write; core classifies further by subject and body.
_AUTOMATIC = re.compile(
    r"^(auto-submitted:\s*(?!no\b)\S|x-auto-response-suppress:|x-autoreply:|x-autorespond:|precedence:\s*auto_reply)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """One kind of signal: its query since a time, and the reading of its rows."""

    name: str
    ask: Callable[[datetime], Part]
    read: Callable[[Row], Signal | None]
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
    """Events with the person as their Who. Children of a group event repeat it; private ones are nobody's business."""
    names = _names(schema, "event", ("person", "start", "created"))
    if names is None:
        return None
    where = [f"{names['person']} != null"]
    where += [f"{names[word]} = false" for word in ("child", "private") if names.get(word)]

    def read(row: Row) -> Signal | None:
        created = datetime.fromisoformat(row[names["created"]])
        start = row.get(names["start"])
        if row.get("IsDeleted") or start is None or _was_over(row, names, start, created):
            return None
        return Signal(
            key=f"{SOURCE}:{SignalKind.MEETING}:{row['Id']}",
            kind=SignalKind.MEETING,
            at=created,
            source=SOURCE,
            record_id=row[names["person"]],
            detail=(row.get(names["subject"]) or "")[:_DETAIL],
        )

    columns = ["Id", "IsDeleted", *(n for w, n in names.items() if n and w not in {"child", "private"})]
    ask = _ask("meetings", schema.objects["event"].name, columns, names["created"], where)
    return Stream(name="meetings", ask=ask, read=read, in_look=True)


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

    def read(row: Row) -> Signal | None:
        opened = dig(row, names["opened"]) if names.get("opened") else None
        if row.get("IsDeleted"):
            return None
        return Signal(
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
        *(names[w] for w in ("from_address", "subject", "headers", "received", "created") if names.get(w)),
    ]
    if relations in info.children:
        sender = soql.quote(schema.mapping.value("email_message", "from_relation"))
        wanted = [mapped["relation_id"], mapped["relation_type"]]
        columns.append(f"({soql.select(wanted, relations, where=[f'{wanted[1]} = {sender}'])})")

    def read(row: Row) -> Signal | None:
        if row.get("IsDeleted"):
            return None
        block = row.get(relations) or {"records": ()}
        automatic = _AUTOMATIC.search(row.get(names.get("headers", "")) or "")
        kind = SignalKind.AUTO_REPLY if automatic else SignalKind.REPLY
        return Signal(
            key=f"{SOURCE}:{kind}:{row['Id']}",
            kind=kind,
            at=datetime.fromisoformat(row.get(names.get("received", "")) or row[names["created"]]),
            source=SOURCE,
            record_id=next((one[mapped["relation_id"]] for one in block["records"]), None),
            address=normalize_address(row.get(names["from_address"]) or "") or None,
            detail=(row.get(names["subject"]) or "")[:_DETAIL],
        )

    ask = _ask("replies", info.name, columns, names["created"], [f"{names['incoming']} = true"])
    return Stream(name="replies", ask=ask, read=read, in_look=True)


def _finished_tasks(schema: Schema) -> Stream | None:
    """The rep's tasks that carry our touch id and are closed now."""
    names = _names(schema, "task", ("touch_id", "closed", "subtype", "person", "modified"))
    if names is None:
        return None

    def read(row: Row) -> Signal | None:
        if row.get("IsDeleted"):
            return None
        touch = row[names["touch_id"]]
        return Signal(
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
        where.append(f"{step} != null")  # a note of ours is no task that somebody did
    words = ("touch_id", "person", "completed_at", "modified")
    columns = ["Id", "IsDeleted", *(names[w] for w in words if names.get(w))]
    ask = _ask("finished_tasks", schema.objects["task"].name, columns, names["modified"], where)
    return Stream(name="finished_tasks", ask=ask, read=read, in_look=False)
