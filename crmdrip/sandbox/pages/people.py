"""What the pages show, read from the org: the list of people, the record, the timeline, sequences, the brake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crmdrip.sandbox.pages.showing import to_datetime
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.world.reading import FIELDS, STATUSES, count, kind_of, quote, select

PAGE = 50
FILTERS: Mapping[str, str] = {
    "": "",
    "ticked": "Drip_Enrolled__c = true",
    **{status.lower(): f"Drip_Status__c = '{status}'" for status in STATUSES},
}
"""Conditions by the word in the address."""

_LONG = 200
"""The most activities of one person on one page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PeoplePage:
    """One page of the list."""

    rows: list[dict[str, Any]]
    total: int
    number: int
    """From 1."""

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // PAGE))


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """One entry of a timeline."""

    kind: str
    """"email", "task", "meeting", "inbound" or "auto": which icon it gets."""
    at: datetime
    title: str
    body: str
    facts: tuple[tuple[str, str], ...]
    """Labels with what stands beside them, empty ones left out."""
    touch: str = ""
    """The touch id, for the way to the email itself."""
    open: bool = False
    """A task still to be done."""


def list_people(org: SalesforceOrg, *, text: str, status: str, number: int) -> PeoplePage:
    """A page of contacts and leads by name, filtered by words in name, company or address and by the status."""
    conditions = {
        "Contact": _conditions(text, status, "Account.Name"),
        "Lead": [*_conditions(text, status, "Company"), "IsConverted = false"],
    }
    wheres = {kind: f"WHERE {' AND '.join(each)}" if each else "" for kind, each in conditions.items()}
    total = sum(count(org, kind, where) for kind, where in wheres.items())
    number = max(1, min(number, -(-total // PAGE)))
    newest = number * PAGE
    rows = [
        row
        for kind, where in wheres.items()
        for row in select(org, kind, FIELDS[kind], f"{where} ORDER BY Name LIMIT {newest}")
    ]
    rows.sort(key=lambda row: _org_order(row["Name"] or ""))
    return PeoplePage(rows=rows[newest - PAGE : newest], total=total, number=number)


def _org_order(name: str) -> bytes:
    """The order of the org's own ORDER BY Name, so that pages of the two objects fit together: ASCII without case."""
    return name.encode().lower()


def _conditions(text: str, status: str, company: str) -> list[str]:
    found = [FILTERS[status]] if FILTERS.get(status) else []
    for word in text.split():
        escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("'", "\\'")
        places = [f"{field} LIKE '%{escaped}%'" for field in ("Name", "Email", company)]
        found.append(f"({' OR '.join(places)})")
    return found


def others_like(org: SalesforceOrg, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Living records of the same object that share the surname or the address: whom a rep may merge it with."""
    kind = kind_of(row["Id"])
    same = [f"LastName = {quote(row['LastName'])}"]
    if row["Email"]:
        same.append(f"Email = {quote(row['Email'])}")
    rest = f"WHERE Id != {quote(row['Id'])} AND ({' OR '.join(same)}) ORDER BY Name LIMIT 12"
    return select(org, kind, ["Id", "Name", "Email"], rest)


def active_users(org: SalesforceOrg) -> list[dict[str, Any]]:
    """Reps who may own records."""
    return select(org, "User", ["Id", "Name", "Title"], "WHERE IsActive = true AND Title != null ORDER BY Name")


def user(org: SalesforceOrg, user_id: str) -> dict[str, Any] | None:
    """One CRM user, None for a queue."""
    fields = ["Id", "Name", "Email", "Title", "Phone", "TimeZoneSidKey", "IsActive"]
    return next(iter(select(org, "User", fields, f"WHERE Id = {quote(user_id)}")), None)


def sequences(org: SalesforceOrg) -> list[dict[str, Any]]:
    """Every sequence."""
    return select(org, "Drip_Sequence__c", SEQUENCE, "ORDER BY Name")


def sequence(org: SalesforceOrg, sequence_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A sequence with its steps in order. Raises LookupError."""
    found = select(org, "Drip_Sequence__c", SEQUENCE, f"WHERE Id = {quote(sequence_id)}")
    if not found:
        raise LookupError(f"there is no sequence {sequence_id}")
    rest = f"WHERE Drip_Sequence__c = {quote(sequence_id)} ORDER BY Drip_Order__c"
    return found[0], select(org, "Drip_Step__c", STEP, rest)


def control(org: SalesforceOrg) -> dict[str, Any] | None:
    """The record with the emergency brake and the daemon's heartbeat, None when there is none."""
    fields = ["Id", "Drip_Brake__c", "Drip_State__c", "Drip_Heartbeat__c"]
    return next(iter(select(org, "Drip_Control__c", fields, "ORDER BY CreatedDate LIMIT 1")), None)


def timeline(org: SalesforceOrg, record_id: str) -> list[Activity]:
    """Everything on a record, newest first."""
    rest = f"WHERE WhoId = {quote(record_id)} ORDER BY CreatedDate DESC LIMIT {_LONG}"
    inbound = f"WHERE RelationId = {quote(record_id)} AND RelationType = 'FromAddress' LIMIT {_LONG}"
    emails = select(org, "EmailMessageRelation", _INBOUND, inbound)
    # The org puts a task beside every email: the page shows the email.
    beside = {row["EmailMessage"]["ActivityId"] for row in emails}
    found = [_read_task(row) for row in select(org, "Task", _TASK, rest) if row["Id"] not in beside]
    found += [_read_event(row) for row in select(org, "Event", _EVENT, rest)]
    found += [_read_inbound(row) for row in emails]
    return sorted(found, key=lambda activity: activity.at, reverse=True)


SEQUENCE = (
    *("Id", "Name", "Drip_Status__c", "Drip_Send_Days__c", "Drip_Send_From__c", "Drip_Send_Until__c"),
    *("Drip_Time_Zone__c", "Drip_Time_Zone_Policy__c", "Drip_Sender__c", "Drip_Re_Enrollment__c"),
    *("Drip_Minimum_Gap_Hours__c", "Drip_On_Colleague_Reply__c", "Drip_On_Opportunity__c", "Drip_On_Conversion__c"),
    *("Drip_Error__c", "Drip_Version__c", "Drip_Active_Count__c", "Drip_Sent_Count__c", "Drip_Replied_Count__c"),
    *("Drip_Meetings_Count__c", "Drip_Stopped_Count__c", "Drip_Held_Count__c"),
)
STEP = (
    *("Id", "Name", "Drip_Order__c", "Drip_Kind__c", "Drip_Delay__c", "Drip_Delay_Unit__c", "Drip_Subject__c"),
    *("Drip_Body__c", "Drip_Continue_Thread__c", "Drip_Variant__c", "Drip_Needs_Approval__c", "Drip_Active__c"),
    *("Drip_Weight__c", "Drip_Expires_After_Hours__c"),
)
_TASK = (
    *("Id", "Subject", "Status", "IsClosed", "ActivityDate", "CompletedDateTime", "CreatedDate", "Description"),
    *("TaskSubtype", "Owner.Name", "Drip_Touch_Id__c", "Drip_Sequence__c", "Drip_Step__c", "Drip_Outcome__c"),
    *("Drip_Opens__c", "Drip_Clicks__c"),
)
_EVENT = (
    *("Id", "Subject", "StartDateTime", "DurationInMinutes", "Location", "CreatedDate", "Owner.Name", "Description"),
)
_INBOUND = tuple(
    f"EmailMessage.{name}"
    for name in ("Id", "ActivityId", "Subject", "FromAddress", "TextBody", "MessageDate", "CreatedDate", "Headers")
)


_ANSWER = "Replied: "
"""How the package begins the subject of an answer it puts on the timeline."""


def _facts(**facts: Any) -> tuple[tuple[str, str], ...]:
    return tuple((label.replace("_", " "), str(value)) for label, value in facts.items() if value not in (None, ""))


def _count(value: float | None) -> int | None:
    return None if value is None else int(value)


def _name(parent: Mapping[str, Any] | None) -> str:
    return str(parent["Name"]) if parent else ""


def _read_task(row: Mapping[str, Any]) -> Activity:
    kind = "email" if row["TaskSubtype"] == "Email" else "task"
    return Activity(
        kind="inbound" if kind == "email" and (row["Subject"] or "").startswith(_ANSWER) else kind,
        at=to_datetime(row["CompletedDateTime"] or row["CreatedDate"]),
        title=row["Subject"] or "",
        body=row["Description"] or "",
        facts=_facts(
            Step=row["Drip_Step__c"],
            Outcome=row["Drip_Outcome__c"],
            Status=row["Status"],
            Owner=_name(row["Owner"]),
            Opens=_count(row["Drip_Opens__c"]),
            Clicks=_count(row["Drip_Clicks__c"]),
        ),
        touch=row["Drip_Touch_Id__c"] or "",
        open=not row["IsClosed"],
    )


def _read_event(row: Mapping[str, Any]) -> Activity:
    return Activity(
        kind="meeting",
        at=to_datetime(row["CreatedDate"]),
        title=row["Subject"] or "",
        body=row["Description"] or "",
        facts=_facts(Starts=row["StartDateTime"], Minutes=row["DurationInMinutes"], With=_name(row["Owner"])),
    )


def _read_inbound(row: Mapping[str, Any]) -> Activity:
    message = row["EmailMessage"]
    return Activity(
        kind="auto" if "auto-submitted: auto" in (message["Headers"] or "").lower() else "inbound",
        at=to_datetime(message["MessageDate"] or message["CreatedDate"]),
        title=message["Subject"] or "",
        body=message["TextBody"] or "",
        facts=_facts(From=message["FromAddress"]),
    )
