"""Emails, meetings and roles in the Salesforce stand-in: what follows from one record, and what may not be written."""

# ruff: noqa: S608 - SOQL for the stand-in, not SQL

from __future__ import annotations

from typing import Any

import pytest
from salesforce_api import Api

INBOUND = {
    "Incoming": True,
    "FromAddress": "kai@kunde.example",
    "ToAddress": "maya@acme.example",
    "Subject": "Re: Hello",
    "TextBody": "Yes, please.",
    "HtmlBody": "<p>Yes, please.</p>",
    "Headers": "Message-ID: <1@kunde.example>",
    "MessageIdentifier": "<1@kunde.example>",
    "Status": "0",
}
MEETING = {"Subject": "Intro", "StartDateTime": "2026-11-26T10:00:00Z", "DurationInMinutes": 30}


@pytest.fixture
def api() -> Api:
    return Api()


def create(api: Api, object_name: str, fields: dict[str, Any]) -> str:
    """The id of a new record."""
    answer = api.call("POST", f"/sobjects/{object_name}", fields)
    assert answer.status == 201, answer.json
    return str(answer.json["id"])


def rows(api: Api, soql: str) -> list[dict[str, Any]]:
    answer = api.query(soql)
    assert answer.status == 200, answer.json
    return list(answer.json["records"])


# --- emails -----------------------------------------------------------------------------------------------------------


def test_incoming_email_is_read_with_its_sender_in_one_query(api: Api) -> None:
    """By subquery over the relations, filtered by what they are."""
    contact = api.contact(LastName="Jäger", Email="kai@kunde.example")
    email = create(api, "EmailMessage", INBOUND)
    relation = {"EmailMessageId": email, "RelationId": contact, "RelationType": "FromAddress"}
    create(api, "EmailMessageRelation", {**relation, "RelationAddress": "kai@kunde.example"})
    (row,) = rows(
        api,
        "SELECT Id, FromAddress, Subject, Headers, TextBody, HtmlBody, MessageIdentifier, MessageDate,"
        " (SELECT RelationId, RelationType FROM EmailMessageRelations WHERE RelationType = 'FromAddress')"
        " FROM EmailMessage WHERE Incoming = true ORDER BY CreatedDate, Id",
    )
    assert (row["TextBody"], row["MessageIdentifier"]) == (INBOUND["TextBody"], INBOUND["MessageIdentifier"])
    assert [each["RelationId"] for each in row["EmailMessageRelations"]["records"]] == [contact]


@pytest.mark.parametrize("field", ["TextBody", "HtmlBody", "Headers"])
def test_the_long_texts_of_an_email_cannot_be_filtered_by(api: Api, field: str) -> None:
    """They are selected and nothing else."""
    assert api.query(f"SELECT Id FROM EmailMessage WHERE {field} = 'x'").code == "INVALID_FIELD"


def test_ids_of_recipients_become_relations(api: Api) -> None:
    """ToIds and its like are lists of the email, and rows of their own afterwards."""
    one, other = api.contact(LastName="A"), api.contact(LastName="B")
    email = create(api, "EmailMessage", {**INBOUND, "Incoming": False, "Status": "3", "ToIds": [one], "CcIds": [other]})
    soql = f"SELECT RelationId, RelationType FROM EmailMessageRelation WHERE EmailMessageId = '{email}' ORDER BY Id"
    assert [(row["RelationId"], row["RelationType"]) for row in rows(api, soql)] == [
        (one, "ToAddress"),
        (other, "CcAddress"),
    ]


def test_an_email_that_is_no_draft_is_read_only(api: Api) -> None:
    """But for its visibility; a draft can be finished."""
    email, draft = create(api, "EmailMessage", INBOUND), create(api, "EmailMessage", {**INBOUND, "Status": "5"})
    refused = api.call("PATCH", f"/sobjects/EmailMessage/{email}", {"Subject": "Other"})
    assert (refused.status, refused.code) == (403, "INSUFFICIENT_ACCESS_OR_READONLY")
    assert api.call("PATCH", f"/sobjects/EmailMessage/{email}", {"IsExternallyVisible": True}).status == 204
    assert api.call("PATCH", f"/sobjects/EmailMessage/{draft}", {"Subject": "Other", "Status": "3"}).status == 204


def test_nobody_chooses_the_task_of_an_email(api: Api) -> None:
    """ActivityId is the org's own."""
    task = create(api, "Task", {"Subject": "Mine"})
    refused = api.call("POST", "/sobjects/EmailMessage", {**INBOUND, "ActivityId": task})
    assert (refused.status, refused.code) == (403, "INSUFFICIENT_ACCESS_OR_READONLY")


def test_an_email_is_never_related_to_a_lead_by_its_field(api: Api) -> None:
    """RelatedToId points at accounts and opportunities; a lead is related by a relation."""
    lead = create(api, "Lead", {"LastName": "Jäger", "Company": "Kunde"})
    refused = api.call("POST", "/sobjects/EmailMessage", {**INBOUND, "RelatedToId": lead})
    assert refused.code == "FIELD_INTEGRITY_EXCEPTION"


def test_enhanced_email_puts_a_task_on_the_sender_s_timeline(api: Api) -> None:
    """Finished, of subtype Email, and pointed at by the email; a draft has none."""
    api.org.enable_enhanced_email()
    contact = api.contact(LastName="Jäger")
    email = create(api, "EmailMessage", INBOUND)
    create(api, "EmailMessage", {**INBOUND, "Status": "5"})
    create(
        api, "EmailMessageRelation", {"EmailMessageId": email, "RelationId": contact, "RelationType": "FromAddress"}
    )  # fmt: skip
    (task,) = rows(api, "SELECT Id, Subject, WhoId, IsClosed, TaskSubtype FROM Task")
    (linked,) = rows(api, "SELECT Id FROM EmailMessage WHERE ActivityId != null")
    assert (task["WhoId"], task["IsClosed"], task["TaskSubtype"]) == (contact, True, "Email")
    assert linked["Id"] == email


# --- meetings ---------------------------------------------------------------------------------------------------------


def test_an_invited_contact_is_found_through_the_event(api: Api) -> None:
    """The event itself may be somebody else's; whoever is invited stands in EventRelations."""
    contact = api.contact(LastName="Jäger")
    event = create(api, "Event", MEETING)
    before = rows(api, "SELECT SystemModstamp FROM Event")[0]["SystemModstamp"]
    api.clock.move(minutes=5)
    create(api, "EventRelation", {"EventId": event, "RelationId": contact})
    (row,) = rows(
        api,
        "SELECT Id, IsGroupEvent, SystemModstamp, (SELECT RelationId, Status FROM EventRelations"
        " WHERE IsDeleted = false) FROM Event WHERE IsChild = false AND IsPrivate = false",
    )
    assert [(each["RelationId"], each["Status"]) for each in row["EventRelations"]["records"]] == [(contact, "New")]
    assert row["IsGroupEvent"] is True
    assert row["SystemModstamp"] > before


def test_an_invited_user_gets_a_child_of_the_event(api: Api) -> None:
    """In their own calendar, with the same person: who counts events counts it twice without the flag."""
    contact, user = api.contact(LastName="Jäger"), api.org.insert("User", USER)
    event = create(api, "Event", {**MEETING, "WhoId": contact})
    create(api, "EventRelation", {"EventId": event, "RelationId": user})
    found = rows(api, f"SELECT Id, OwnerId, IsChild FROM Event WHERE WhoId = '{contact}' ORDER BY Id")
    assert [row["IsChild"] for row in found] == [False, True]
    assert found[1]["OwnerId"] == user


def test_a_child_has_no_invitees_of_its_own(api: Api) -> None:
    """They belong to the group event."""
    user, contact = api.org.insert("User", USER), api.contact(LastName="Jäger")
    event = create(api, "Event", {**MEETING, "WhoId": contact})
    create(api, "EventRelation", {"EventId": event, "RelationId": user})
    (child,) = rows(api, "SELECT Id FROM Event WHERE IsChild = true")
    refused = api.call("POST", "/sobjects/EventRelation", {"EventId": child["Id"], "RelationId": contact})
    assert refused.status == 403


USER = {
    "Username": "tom@acme.example.sandbox",
    "LastName": "Whitaker",
    "Email": "tom@acme.example",
    "Alias": "tom",
    "IsActive": True,
}
SERIES = {
    **MEETING,
    "IsRecurrence": True,
    "RecurrenceStartDateTime": "2026-11-24T10:00:00Z",
    "RecurrenceEndDateOnly": "2026-12-07",
}


@pytest.mark.parametrize(
    ("pattern", "days"),
    [
        ({"RecurrenceType": "RecursDaily", "RecurrenceInterval": 7}, ["2026-11-24", "2026-12-01"]),
        (
            {"RecurrenceType": "RecursWeekly", "RecurrenceInterval": 1, "RecurrenceDayOfWeekMask": 2 + 16},
            ["2026-11-26", "2026-11-30", "2026-12-03", "2026-12-07"],
        ),
        ({"RecurrenceType": "RecursEveryWeekday", "RecurrenceEndDateOnly": "2026-11-27"}, 4),
    ],
)
def test_a_series_makes_its_occurrences(api: Api, pattern: dict[str, Any], days: list[str] | int) -> None:
    """Each carries the id of the first, which alone is marked as recurring."""
    first = create(api, "Event", {**SERIES, **pattern})
    found = rows(api, "SELECT Id, ActivityDate, IsRecurrence, RecurrenceActivityId FROM Event ORDER BY Id")
    assert {row["RecurrenceActivityId"] for row in found} == {first}
    assert [row["Id"] for row in found if row["IsRecurrence"]] == [first]
    occurred = [row["ActivityDate"] for row in found if not row["IsRecurrence"]]
    assert occurred == days if isinstance(days, list) else len(occurred) == days


def test_a_series_needs_a_pattern(api: Api) -> None:
    """Without type and end nothing is created."""
    refused = api.call("POST", "/sobjects/Event", {**MEETING, "IsRecurrence": True})
    assert refused.code == "FIELD_INTEGRITY_EXCEPTION"
    assert rows(api, "SELECT Id FROM Event") == []


@pytest.mark.parametrize("field", ["IsChild", "IsGroupEvent", "RecurrenceActivityId"])
def test_nobody_writes_what_the_org_decides(api: Api, field: str) -> None:
    """Neither at creation nor later."""
    refused = api.call("POST", "/sobjects/Event", {**MEETING, field: True if field[:2] == "Is" else "00U000000000001"})
    assert refused.code == "INVALID_FIELD_FOR_INSERT_UPDATE"


# --- opportunities ----------------------------------------------------------------------------------------------------


def test_a_role_is_read_with_the_age_of_its_opportunity(api: Api) -> None:
    """The contact an opportunity was created for has a role of its own, the primary one."""
    contact = api.contact(LastName="Jäger")
    opportunity = {"Name": "Pilot", "StageName": "Prospecting", "CloseDate": "2027-01-31", "ContactId": contact}
    opportunity_id = create(api, "Opportunity", opportunity)
    (row,) = rows(
        api,
        "SELECT Id, ContactId, OpportunityId, IsPrimary, CreatedDate, Opportunity.CreatedDate, Opportunity.IsClosed"
        " FROM OpportunityContactRole",
    )
    assert (row["ContactId"], row["OpportunityId"], row["IsPrimary"]) == (contact, opportunity_id, True)
    assert row["Opportunity"]["IsClosed"] is False
