"""What the org itself does to a row before it is saved: derived fields, and rules of single objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.store import Row, Store, StoredRow
from crmdrip.sandbox.salesforce.values import from_ms, to_ms

_MINUTE = 60_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who writes, and how the request wants it."""

    user_id: str
    through_api: bool = False
    """Field-level security, duplicate rules and assignment rules hold for the API user."""
    auto_assign: bool = False
    """Assignment rules run (Sforce-Auto-Assign, TRUE unless the header says FALSE)."""
    allow_duplicates: bool = False
    """Sforce-Duplicate-Rule-Header: allowSave=true."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """One write call: all its rows carry one stamp, as rows of one transaction do."""

    actor: Actor
    stamp: int


Derive = Callable[[Store, Row, StoredRow | None, Write], None]
"""Completes the changes of one row (first argument after the store), given the row before, None for a new one."""


def coming(name: str, changes: Row, before: StoredRow | None) -> Any:
    """A value of the row as it will be."""
    return changes.get(name) if before is None or name in changes else before[name]


def merged(changes: Row, before: StoredRow | None) -> Row:
    """The whole row as it will be."""
    return changes if before is None else {**before.whole(), **changes}


def _person(_store: Store, changes: Row, before: StoredRow | None, _write: Write) -> None:
    if "FirstName" in changes or "LastName" in changes or before is None:
        names = (coming(name, changes, before) for name in ("FirstName", "LastName"))
        changes["Name"] = " ".join(filter(None, names))


def _contact(store: Store, changes: Row, before: StoredRow | None, write: Write) -> None:
    _person(store, changes, before, write)
    if "EmailBouncedDate" in changes or "EmailBouncedReason" in changes:
        changes["IsEmailBounced"] = int(coming("EmailBouncedDate", changes, before) is not None)
    if before is not None and "Email" in changes and changes["Email"] != before["Email"]:
        # A new address clears the bounce of the old one.
        changes.update({"EmailBouncedDate": None, "EmailBouncedReason": None, "IsEmailBounced": 0})


def _activity(store: Store, changes: Row, before: StoredRow | None) -> None:
    if before is not None and "WhoId" not in changes and "WhatId" not in changes:
        return
    who, what = coming("WhoId", changes, before), coming("WhatId", changes, before)
    if who is not None and who.startswith("00Q"):
        if what is not None:
            raise Refusal(
                "FIELD_INTEGRITY_EXCEPTION",
                "If Who ID is a lead, What ID must be empty.",  # wording not recorded; the code is
                fields=("WhatId",),
            )
        if store.value("Lead", who, "IsConverted"):
            raise Refusal("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", fields=("WhoId",))
    account = None
    if what is not None and what.startswith("001"):
        account = what
    elif what is not None and what.startswith("006"):
        account = store.value("Opportunity", what, "AccountId")
    elif who is not None and who.startswith("003"):
        account = store.value("Contact", who, "AccountId")
    changes["AccountId"] = account


def _task(store: Store, changes: Row, before: StoredRow | None, write: Write) -> None:
    _activity(store, changes, before)
    if before is None:
        changes["TaskSubtype"] = changes.get("TaskSubtype") or "Task"
    if before is None or "Priority" in changes:
        changes["IsHighPriority"] = int(changes["Priority"] == "High")
    if before is None or "Status" in changes:
        row = store.db.execute(
            'SELECT "IsClosed" FROM "TaskStatus" WHERE "ApiName" = ?', (changes["Status"],)
        ).fetchone()
        closed = bool(row and row[0])
        was_closed = before is not None and bool(before["IsClosed"])
        changes["IsClosed"] = int(closed)
        if closed != was_closed:
            changes["CompletedDateTime"] = write.stamp if closed else None


def _event(store: Store, changes: Row, before: StoredRow | None, _write: Write) -> None:
    _activity(store, changes, before)
    start = changes.get("StartDateTime", changes.get("ActivityDateTime"))
    if start is None and changes.get("ActivityDate") is not None:
        start = to_ms(datetime.combine(datetime.fromisoformat(changes["ActivityDate"]).date(), time(), tzinfo=UTC))
    if start is None and before is None:
        raise Refusal(
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [ActivityDateTime, DurationInMinutes]",
            fields=("ActivityDateTime", "DurationInMinutes"),
        )
    if start is None:
        start = before["StartDateTime"] if before is not None else 0
    duration = coming("DurationInMinutes", changes, before)
    if changes.get("EndDateTime") is not None:
        duration = (changes["EndDateTime"] - start) // _MINUTE
    if duration is None:
        raise Refusal(
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [DurationInMinutes]",
            fields=("DurationInMinutes",),
        )
    if duration < 0:
        raise Refusal("FIELD_INTEGRITY_EXCEPTION", "Event duration cannot be negative", fields=("EndDateTime",))
    end = start + int(duration) * _MINUTE
    changes.update(
        {
            "StartDateTime": start,
            "ActivityDateTime": start,
            "ActivityDate": from_ms(start).date().isoformat(),
            "EndDateTime": end,
            "EndDate": from_ms(end).date().isoformat(),
            "DurationInMinutes": int(duration),
        }
    )
    if before is None:
        changes["EventSubtype"] = changes.get("EventSubtype") or "Event"


def _opportunity(_store: Store, changes: Row, _before: StoredRow | None, _write: Write) -> None:
    stage = changes.get("StageName")
    if stage is not None:
        changes["IsClosed"] = int(stage.startswith("Closed"))
        changes["IsWon"] = int(stage == "Closed Won")


def _email_message(_store: Store, changes: Row, before: StoredRow | None, write: Write) -> None:
    if before is None:
        if changes.get("ActivityId") is not None:
            raise Refusal("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", status=403)
        if changes.get("MessageDate") is None:
            changes["MessageDate"] = write.stamp
        return
    if before["Status"] != "5" and any(name != "IsExternallyVisible" and name[-3:] != "__c" for name in changes):
        # Once it is no draft, an email is read-only but for this and custom fields (object reference; the code is not
        # recorded).
        raise Refusal("INSUFFICIENT_ACCESS_OR_READONLY", "the email is not a draft and cannot be changed", status=403)


DERIVE: Mapping[str, Derive] = {
    "User": _person,
    "Contact": _contact,
    "Lead": _person,
    "Task": _task,
    "Event": _event,
    "Opportunity": _opportunity,
    "EmailMessage": _email_message,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationRule:
    """An admin's rule: a row for which the predicate holds is refused with the message."""

    object: str
    predicate: Callable[[Mapping[str, Any]], bool]
    """Sees every field of the row as it would be, as answers show them."""
    message: str
    field: str = ""
    """Shown at this field, "" for the top of the page."""


Flow = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""A record-triggered flow that runs before the save: the fields it sets, given the row as it would be."""


@dataclass(kw_only=True, slots=True)
class Lock:
    """A row another transaction holds."""

    writes: int | None
    """How many writes are still refused; None while `until` decides."""
    until: int
    """Milliseconds; past it the row is free."""
