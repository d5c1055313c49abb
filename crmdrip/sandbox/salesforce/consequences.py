"""What creating one record makes the org do besides: contact roles, children of group events, series, tasks of emails.

Object reference: Event ("Child events", "Recurring events"), EventRelation, EmailMessage ("ActivityId").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.rules import Write
from crmdrip.sandbox.salesforce.store import Row
from crmdrip.sandbox.salesforce.values import from_ms

if TYPE_CHECKING:  # records call this module, and it calls them
    from crmdrip.sandbox.salesforce.records import Records

JUNCTIONS: Mapping[str, str] = {"ToIds": "ToAddress", "CcIds": "CcAddress", "BccIds": "BccAddress"}
"""Lists of ids that an email is created with, and the relations they become."""
DRAFT = "5"
_DAY_MS = 86_400_000
_MOST = {"RecursDaily": 100, "RecursEveryWeekday": 100, "RecursWeekly": 53}
"""Occurrences of a series, by its type."""
_PATTERN = ("RecurrenceType", "RecurrenceEndDateOnly", "RecurrenceStartDateTime")
"""What every series needs."""
_COPIED = (
    *("WhoId", "WhatId", "Subject", "Location", "IsAllDayEvent", "DurationInMinutes", "Description", "OwnerId", "Type"),
    *("IsPrivate", "ShowAs", "AccountId", "EventSubtype"),
)
"""What the children and the occurrences of an event have of it."""

Consequence = Callable[["Records", Row, Write], None]
"""Follows the creation of a row that stands in the store already."""


def _opportunity(records: Records, row: Row, write: Write) -> None:
    if row.get("ContactId") is not None:
        role = {"OpportunityId": row["Id"], "ContactId": row["ContactId"], "IsPrimary": True}
        records.insert(records.schema["OpportunityContactRole"], role, write)


def _event_relation(records: Records, row: Row, write: Write) -> None:
    """An event with somebody invited is a group event; a user who is invited gets a child of it in their calendar."""
    spec = records.schema["Event"]
    parent = records.store.fetch("Event", row["EventId"])
    if parent is None:
        return
    if parent["IsChild"]:
        raise Refusal("INSUFFICIENT_ACCESS_OR_READONLY", "a child event has no invitees of its own", status=403)
    records.touch(spec, parent["Id"], {"IsGroupEvent": 1, "GroupEventType": "1"}, write)
    if row["RelationId"].startswith("005"):
        child = _copy(parent, parent["StartDateTime"])
        records.add(spec, {**child, "IsChild": 1, "IsGroupEvent": 1, "OwnerId": row["RelationId"]}, write)


def _event(records: Records, row: Row, write: Write) -> None:
    """The first event of a series makes the others. All carry its id, its own included."""
    if not row.get("IsRecurrence"):
        return
    spec = records.schema["Event"]
    records.touch(spec, row["Id"], {"RecurrenceActivityId": row["Id"]}, write)
    first = records.store.fetch("Event", row["Id"]) or row
    for start in _occurrences(first):
        records.add(spec, {**_copy(first, start), "RecurrenceActivityId": row["Id"], "IsRecurrence": 0}, write)


def _occurrences(row: Row) -> Iterator[int]:
    """Milliseconds at which the events of a series begin. Raises Refusal for a pattern that is none."""
    missing = [name for name in _PATTERN if row.get(name) is None]
    kind = str(row.get("RecurrenceType"))
    if missing or kind not in _MOST:
        raise Refusal("FIELD_INTEGRITY_EXCEPTION", "the recurrence pattern is incomplete", fields=tuple(missing))
    end, begin = str(row["RecurrenceEndDateOnly"]), int(row["RecurrenceStartDateTime"])
    last = date.fromisoformat(end)
    step = int(row.get("RecurrenceInterval") or 1)
    mask = int(row.get("RecurrenceDayOfWeekMask") or 0)
    first_week = from_ms(begin).date() - timedelta(days=(from_ms(begin).weekday() + 1) % 7)
    count, number = 0, 0
    while (day := from_ms(begin + number * _DAY_MS).date()) <= last and count < _MOST[kind]:
        sunday_first = (day.weekday() + 1) % 7
        match kind:
            case "RecursDaily":
                hit = number % step == 0
            case "RecursEveryWeekday":
                hit = day.weekday() < 5
            case _:
                hit = bool(mask >> sunday_first & 1) and (day - first_week).days // 7 % step == 0
        if hit:
            count += 1
            yield begin + number * _DAY_MS
        number += 1


def _copy(row: Row, start: int) -> dict[str, Any]:
    """An event like another, at another time."""
    copied = {name: row.get(name) for name in _COPIED}
    end = start + int(row["DurationInMinutes"]) * 60_000
    day = from_ms(start).date().isoformat()
    moments = {"StartDateTime": start, "ActivityDateTime": start, "EndDateTime": end}
    return {**copied, **moments, "ActivityDate": day, "EndDate": from_ms(end).date().isoformat()}


def _email_message(records: Records, row: Row, write: Write) -> None:
    """Enhanced Email puts a finished task on the timeline beside every email that is no draft."""
    if not records.email_tasks or row.get("Status") == DRAFT:
        return
    sent = row.get("MessageDate") or write.stamp
    task = {
        "Subject": (row.get("Subject") or "")[:255],
        "Description": (row.get("TextBody") or "")[:32_000],
        "ActivityDate": from_ms(sent).date().isoformat(),
        "Status": "Completed",
        "Priority": "Normal",
        "TaskSubtype": "Email",
        "OwnerId": write.actor.user_id,
        "IsClosed": 1,
        "CompletedDateTime": write.stamp,
        "WhatId": row.get("RelatedToId"),
    }
    task_id = records.add(records.schema["Task"], task, write)
    records.touch(records.schema["EmailMessage"], row["Id"], {"ActivityId": task_id}, write)


def _email_message_relation(records: Records, row: Row, write: Write) -> None:
    """The first contact or lead of an email is whose timeline its task stands on."""
    who = row.get("RelationId")
    if who is None or not who.startswith(("003", "00Q")):
        return
    task_id = records.store.value("EmailMessage", row["EmailMessageId"], "ActivityId")
    if task_id is None or records.store.value("Task", task_id, "WhoId") is not None:
        return
    account = records.store.value("Contact", who, "AccountId") if who.startswith("003") else None
    records.touch(records.schema["Task"], task_id, {"WhoId": who, "AccountId": account}, write)


CONSEQUENCES: Mapping[str, Consequence] = {
    "Opportunity": _opportunity,
    "Event": _event,
    "EventRelation": _event_relation,
    "EmailMessage": _email_message,
    "EmailMessageRelation": _email_message_relation,
}
