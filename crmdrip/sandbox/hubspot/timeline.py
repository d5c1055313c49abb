"""The timeline of a contact, as the pages show it: emails, tasks, meetings and notes, newest first."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from crmdrip.sandbox.hubspot.portal import HubSpotPortal
from crmdrip.sandbox.hubspot.properties import from_ms
from crmdrip.sandbox.hubspot.store import Record
from crmdrip.sandbox.pages.people import Activity

_LONG = 200
"""The most activities on one page."""
_TRAIL = re.compile(r"\ncrmdriptouch touch_id=(\w+)")
"""The last line of an entry's text where crmdrip may have no properties on the object."""


def timeline(portal: HubSpotPortal, contact_id: str) -> list[Activity]:
    """Everything on a contact."""
    found = [
        *(_read_email(portal, each) for each in portal.linked("contacts", contact_id, "emails")),
        *(_read_task(portal, each) for each in portal.linked("contacts", contact_id, "tasks")),
        *(_read_meeting(portal, each) for each in portal.linked("contacts", contact_id, "meetings")),
        *(_read_note(each) for each in portal.linked("contacts", contact_id, "notes")),
    ]
    return sorted(found, key=lambda each: each.at, reverse=True)[:_LONG]


def _at(record: Record) -> datetime:
    text = record.get("hs_timestamp")
    return datetime.fromisoformat(text) if text else from_ms(record.created)


def _facts(**facts: Any) -> tuple[tuple[str, str], ...]:
    return tuple((label.replace("_", " "), str(value)) for label, value in facts.items() if value)


def _owner(portal: HubSpotPortal, record: Record) -> str:
    owner = portal.owner(record.get("hubspot_owner_id"))
    return owner.name if owner is not None else ""


def _touch(record: Record, body: str) -> str:
    found = _TRAIL.search(record.get(body))
    return record.get("crmdrip_touch_id") or (found[1] if found is not None else "")


def _read_email(portal: HubSpotPortal, record: Record) -> Activity:
    incoming = record.get("hs_email_direction") == "INCOMING_EMAIL"
    away = record.get("hs_incoming_email_is_out_of_office") == "true"
    return Activity(
        kind="auto" if away else "inbound" if incoming else "email",
        at=_at(record),
        title=record.get("hs_email_subject"),
        body=record.get("hs_email_text") or record.get("hs_email_html"),
        facts=_facts(
            From=record.get("hs_email_from_email") if incoming else "",
            Step=record.get("crmdrip_step"),
            Outcome=record.get("crmdrip_outcome"),
            Status="" if incoming else record.get("hs_email_status"),
            Owner=_owner(portal, record),
            Opens=record.get("crmdrip_opens"),
            Clicks=record.get("crmdrip_clicks"),
        ),
        touch=_touch(record, "hs_email_text"),
    )


def _read_task(portal: HubSpotPortal, record: Record) -> Activity:
    done = record.get("hs_task_status") == "COMPLETED"
    return Activity(
        kind="task",
        at=_at(record),
        title=record.get("hs_task_subject"),
        body=record.get("hs_task_body"),
        facts=_facts(
            Step=record.get("crmdrip_step"),
            Type=record.get("hs_task_type"),
            Status=record.get("hs_task_status"),
            Owner=_owner(portal, record),
        ),
        touch=_touch(record, "hs_task_body"),
        open=not done,
    )


def _read_meeting(portal: HubSpotPortal, record: Record) -> Activity:
    return Activity(
        kind="meeting",
        at=from_ms(record.created),
        title=record.get("hs_meeting_title"),
        body=record.get("hs_meeting_body"),
        facts=_facts(
            Starts=record.get("hs_meeting_start_time"),
            Outcome=record.get("hs_meeting_outcome"),
            With=_owner(portal, record),
        ),
    )


def _read_note(record: Record) -> Activity:
    return Activity(kind="task", at=_at(record), title="Note", body=record.get("hs_note_body"), facts=())
