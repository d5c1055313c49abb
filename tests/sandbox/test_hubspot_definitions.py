"""The HubSpot stand-in's definitions and what hangs on records: properties, custom objects, associations, lists."""

from __future__ import annotations

from typing import Any

import pytest
from hubspot_api import Api, where

from crmdrip.sandbox.hubspot import Processing, Tier

TEXT = {
    "groupName": "contactinformation",
    "name": "crmdrip_reason",
    "label": "Reason",
    "type": "string",
    "fieldType": "text",
}
CHOICE = {
    "groupName": "contactinformation",
    "name": "crmdrip_status",
    "label": "Status",
    "type": "enumeration",
    "fieldType": "select",
    "options": [{"label": "Active", "value": "active", "displayOrder": 0, "hidden": False}],
}
SEQUENCE = {
    "name": "crmdrip_sequence",
    "labels": {"singular": "Sequence", "plural": "Sequences"},
    "primaryDisplayProperty": "title",
    "requiredProperties": ["title"],
    "searchableProperties": ["title"],
    "properties": [{"name": "title", "label": "Title", "type": "string", "fieldType": "text", "hasUniqueValue": True}],
    "associatedObjects": ["CONTACT"],
}


@pytest.fixture
def api() -> Api:
    return Api()


# --- properties -------------------------------------------------------------------------------------------------------


def test_a_property_is_defined_shown_and_used(api: Api) -> None:
    """201 with the whole definition."""
    made = api.post("/properties/contacts", TEXT)
    assert (made.status, made.json["hubspotDefined"], made.json["hasUniqueValue"]) == (201, False, False)
    assert api.get("/properties/contacts/crmdrip_reason").json["label"] == "Reason"
    contact = api.contact("a@example.com", crmdrip_reason="Waiting.")
    assert api.value(contact, "crmdrip_reason") == "Waiting."


@pytest.mark.parametrize(
    "change",
    [
        {"fieldType": "number"},
        {"type": "text"},
        {"groupName": "nowhere"},
        {"label": ""},
        {"name": "Bad Name"},
        {"name": "hs_mine"},
        {"type": "enumeration", "fieldType": "select"},
    ],
)
def test_a_definition_that_cannot_be_is_refused(api: Api, change: dict[str, str]) -> None:
    """Type and fieldType go together, the group exists, the name is a name."""
    assert api.post("/properties/contacts", {**TEXT, **change}).status == 400


def test_the_same_property_twice_is_a_conflict(api: Api) -> None:
    """409, in a batch 207."""
    api.post("/properties/contacts", TEXT)
    assert api.post("/properties/contacts", TEXT).status == 409
    batch = api.post("/properties/contacts/batch/create", {"inputs": [TEXT, CHOICE]})
    assert (batch.status, [each["name"] for each in batch.json["results"]]) == (207, ["crmdrip_status"])


def test_new_options_take_the_place_of_the_old(api: Api) -> None:
    """A value that is no option any more is refused."""
    api.post("/properties/contacts", CHOICE)
    options = [{"label": "Held", "value": "held", "displayOrder": 0, "hidden": False}]
    api.call("PATCH", "/crm/v3/properties/contacts/crmdrip_status", {"options": options})
    assert api.post("/objects/contacts", {"properties": {"crmdrip_status": "active"}}).codes == ["INVALID_OPTION"]
    assert api.post("/objects/contacts", {"properties": {"crmdrip_status": "held"}}).status == 201


def test_an_archived_property_is_unknown_and_can_be_defined_again(api: Api) -> None:
    """HubSpot's own cannot be archived."""
    api.post("/properties/contacts", TEXT)
    assert api.call("DELETE", "/crm/v3/properties/contacts/crmdrip_reason").status == 204
    assert api.post("/objects/contacts", {"properties": {"crmdrip_reason": "x"}}).codes == ["PROPERTY_DOESNT_EXIST"]
    assert api.post("/properties/contacts", TEXT).status == 201
    assert api.call("DELETE", "/crm/v3/properties/contacts/email").status == 400


def test_groups_are_made_once(api: Api) -> None:
    """And hold properties."""
    group = {"name": "crmdrip", "label": "crmdrip", "displayOrder": 1}
    assert [api.post("/properties/contacts/groups", group).status for _ in range(2)] == [201, 409]
    assert api.post("/properties/contacts", {**TEXT, "groupName": "crmdrip"}).status == 201
    assert api.call("DELETE", "/crm/v3/properties/contacts/groups/crmdrip").status == 400


def test_ten_properties_of_an_object_may_be_unique(api: Api) -> None:
    """The eleventh is refused."""
    statuses = [
        api.post("/properties/contacts", {**TEXT, "name": f"key{number}", "hasUniqueValue": True}).status
        for number in range(11)
    ]
    assert statuses == [201] * 10 + [400]


def test_the_schema_of_emails_asks_for_a_scope_that_is_not_to_be_had(api: Api) -> None:
    """Whether a unique property can be made there, only a portal can tell."""
    refused = api.get("/properties/emails")
    assert refused.status == 403
    assert refused.json["errors"][0]["context"]["requiredGranularScopes"] == ["connected-email-data-access"]


@pytest.mark.parametrize(
    ("type_name", "field_type", "given", "kept"),
    [
        ("datetime", "date", 1_795_510_800_120, "2026-11-24T09:00:00.120Z"),
        ("datetime", "date", "2026-11-24T10:00:00+01:00", "2026-11-24T09:00:00Z"),
        ("date", "date", "2026-11-24", "2026-11-24"),
        ("number", "number", 2.5, "2.5"),
        ("bool", "booleancheckbox", True, "true"),
        ("datetime", "date", "tomorrow", ""),
        ("datetime", "date", "2026-11-24T09:00:00", ""),
        ("date", "date", 1_795_510_800_000, ""),
        ("number", "number", "1,5", ""),
        ("bool", "booleancheckbox", "yes", ""),
    ],
)
def test_a_value_is_one_of_its_type(api: Api, type_name: str, field_type: str, given: Any, kept: str) -> None:
    """Kept and answered as text; refused where it cannot be read ("" here)."""
    api.post("/properties/contacts", {**TEXT, "name": "mine", "type": type_name, "fieldType": field_type})
    answer = api.post("/objects/contacts", {"properties": {"mine": given}})
    assert (answer.json["properties"]["mine"] if answer.status == 201 else "") == kept


# --- custom objects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["/crm-object-schemas/v3/schemas", "/crm-object-schemas/2026-03/schemas"])
def test_an_enterprise_account_has_custom_objects(base: str) -> None:
    """Found by name, id and fully qualified name, upserted by a unique property, associated with contacts."""
    api = Api(tier=Tier.ENTERPRISE)
    made = api.call("POST", base, SEQUENCE)
    assert (made.status, made.json["fullyQualifiedName"]) == (201, "p4242424_crmdrip_sequence")
    contact = api.contact("a@example.com")
    type_id = int(next(each["id"] for each in made.json["associations"] if each["toObjectTypeId"] == "0-1"))
    types = [{"associationCategory": "USER_DEFINED", "associationTypeId": type_id}]
    body = {"properties": {"title": "Warm"}, "associations": [{"to": {"id": contact}, "types": types}]}
    record = api.post("/objects/crmdrip_sequence", body).json["id"]
    for name in (made.json["objectTypeId"], made.json["fullyQualifiedName"]):
        assert api.get(f"/objects/{name}/{record}").status == 200
    row = {"id": "Warm", "idProperty": "title", "properties": {"title": "Warmer"}}
    assert api.batch("upsert", row, kind="crmdrip_sequence").json["results"][0]["id"] == record
    assert api.post("/objects/crmdrip_sequence", {"properties": {}}).json["context"] == {"properties": ["title"]}


def test_other_accounts_have_none(api: Api) -> None:
    """403, as if the scope were missing: the account has none to grant."""
    refused = api.call("POST", "/crm-object-schemas/v3/schemas", SEQUENCE)
    assert (refused.status, refused.category) == (403, "MISSING_SCOPES")


# --- associations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["/crm/v4/associations", "/crm/associations/2026-03"])
def test_associations_are_read_for_many_at_once(api: Api, base: str) -> None:
    """207 when somebody has none, with who."""
    one, other = api.contact("a@example.com"), api.contact("b@example.com")
    email = api.portal.log_email([one], {"hs_email_direction": "INCOMING_EMAIL"})
    body = {"inputs": [{"id": one}, {"id": other}]}
    answer = api.call("POST", f"{base}/contacts/emails/batch/read", body)
    assert answer.status == 207
    (result,) = answer.json["results"]
    assert result["from"] == {"id": one}
    assert result["to"][0]["toObjectId"] == int(email)
    assert result["to"][0]["associationTypes"][0]["typeId"] == 197
    assert answer.json["errors"][0]["context"]["fromObjectId"] == [other]


def test_association_reads_take_a_thousand_inputs_and_see_at_once(api: Api) -> None:
    """They do not use the index."""
    contact = api.contact("a@example.com")
    api.portal.log_email([contact], {"hs_email_direction": "EMAIL"})
    path = "/crm/v4/associations/contacts/emails/batch/read"
    assert api.call("POST", path, {"inputs": [{"id": contact}] * 1_000}).status == 200
    assert api.call("POST", path, {"inputs": [{"id": contact}] * 1_001}).status == 400


def test_associations_are_set_and_taken_away_in_both_directions(api: Api) -> None:
    """By default, and by label."""
    contact, company = api.contact("a@example.com"), api.portal.create("companies", {"name": "Acme"})
    base = f"/crm/v4/objects/contacts/{contact}/associations"
    assert api.call("PUT", f"{base}/default/companies/{company}").status == 200
    back = api.call("GET", f"/crm/v4/objects/companies/{company}/associations/contacts").json["results"]
    assert [each["toObjectId"] for each in back] == [int(contact)]
    assert api.value(contact, "associatedcompanyid") == company
    label = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
    assert api.call("PUT", f"{base}/companies/{company}", label).status == 201
    types = api.call("GET", f"{base}/companies").json["results"][0]["associationTypes"]
    assert {each["label"] for each in types} == {None, "Primary"}
    assert api.call("DELETE", f"{base}/companies/{company}").status == 204
    assert api.call("GET", f"/crm/v4/objects/companies/{company}/associations/contacts").json["results"] == []


def test_the_ids_of_types_are_told(api: Api) -> None:
    """Of communications too, whose ids are nowhere else to be had."""
    labels = api.call("GET", "/crm/v4/associations/communications/contacts/labels").json["results"]
    assert labels == [{"category": "HUBSPOT_DEFINED", "typeId": 81, "label": None}]


# --- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_tells_who_joined_when(api: Api) -> None:
    """In the order they joined, page by page."""
    made = api.post("/lists", {"name": "Warm", "objectTypeId": "0-1", "processingType": "MANUAL"}).json["list"]
    late, early = api.contact("a@example.com"), api.contact("b@example.com")
    path = f"/crm/v3/lists/{made['listId']}/memberships"
    assert api.call("PUT", f"{path}/add", [early, "12"]).json["recordIdsMissing"] == ["12"]
    api.clock.move(hours=1)
    assert api.call("PUT", f"{path}/add", [late]).json["recordsIdsAdded"] == [late]
    first = api.call("GET", f"{path}/join-order?limit=1").json
    second = api.call("GET", f"{path}/join-order?limit=1&after={first['paging']['next']['after']}").json
    assert [each["recordId"] for each in first["results"] + second["results"]] == [early, late]
    assert "paging" not in second


def test_a_search_of_lists_tells_size_and_when_somebody_came_or_went(api: Api) -> None:
    """Which spares whoever follows a list from reading all its members."""
    ann = api.portal.create("contacts", {"email": "ann@acme.example"})
    warm = api.portal.create_list("Warm")
    api.portal.create_list("Cold")
    api.portal.join_list(warm, ann)
    found = api.post("/lists/search", {"listIds": [warm.id]}).json["lists"]
    assert [(row["name"], row["additionalProperties"]["hs_list_size"]) for row in found] == [("Warm", "1")]
    assert "hs_last_record_added_at" in found[0]["additionalProperties"]
    assert "hs_last_record_removed_at" not in found[0]["additionalProperties"]


def test_the_lists_of_many_records_are_read_together(api: Api) -> None:
    """Of a merged contact, under the id that it has become."""
    ann, lee = (api.portal.create("contacts", {"email": f"{name}@acme.example"}) for name in ("ann", "lee"))
    warm = api.portal.create_list("Warm")
    api.portal.join_list(warm, ann)
    survivor = api.portal.merge("contacts", lee, ann)
    body = {"inputs": [{"objectTypeId": "0-1", "recordId": one} for one in (survivor, ann)]}
    rows = api.call("POST", "/crm/lists/2026-03/records/memberships/batch/read", body).json["results"]
    assert [[each["listId"] for each in row["recordListMemberships"]] for row in rows] == [[warm.id], []]


def test_what_somebody_said_of_one_type_of_email_stands_on_the_contact(api: Api) -> None:
    """As the properties hs_email_optout_<number>, which nobody can set."""
    ann = api.portal.create("contacts", {"email": "ann@acme.example"})
    api.portal.unsubscribe("ann@acme.example", 1001)
    shown = api.portal.get("contacts", ann)
    assert [shown.get(f"hs_email_optout{each}") for each in ("", "_1001", "_1002")] == ["", "true", ""]


def test_nobody_is_put_on_a_dynamic_list_by_hand(api: Api) -> None:
    """It follows its condition."""
    ulm = api.contact("a@example.com", city="Ulm")
    api.contact("b@example.com")
    made = api.portal.create_list(
        "Ulm", processing=Processing.DYNAMIC, condition=lambda values: values.get("city") == "Ulm"
    )
    path = f"/crm/lists/2026-03/{made.id}/memberships"
    assert api.call("PUT", f"{path}/add", [ulm]).status == 400
    assert [each["recordId"] for each in api.call("GET", path).json["results"]] == [ulm]
    api.portal.update("contacts", ulm, {"city": "Bonn"})
    assert api.call("GET", path).json["results"] == []


# --- communication preferences ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v4", "2026-03", "2026-09"])
def test_an_opt_out_from_all_email_shows_everywhere(api: Api, version: str) -> None:
    """On the statuses, on the wide status, and on the contact, which moves."""
    contact = api.contact("a@example.com")
    api.clock.move(minutes=1)
    path = f"/communication-preferences/{version}/statuses/a@example.com"
    assert api.call("POST", f"{path}/unsubscribe-all?channel=EMAIL").status == 200
    statuses = api.call("GET", f"{path}?channel=EMAIL").json["results"]
    assert {each["status"] for each in statuses} == {"UNSUBSCRIBED"}
    wide = api.call("GET", f"{path}/unsubscribe-all?channel=EMAIL").json["results"][0]
    assert (wide["wideStatusType"], wide["status"]) == ("PORTAL_WIDE", "UNSUBSCRIBED")
    assert api.value(contact, "hs_email_optout") == "true"
    assert api.value(contact, "lastmodifieddate") == "2026-11-24T09:01:00Z"


def test_an_opt_out_is_of_the_address(api: Api) -> None:
    """A contact made later with it is opted out from the start."""
    api.portal.opt_out("a@example.com")
    assert api.value(api.contact("A@Example.com"), "hs_email_optout") == "true"


def test_one_subscription_is_changed_alone(api: Api) -> None:
    """The contact is not opted out of everything."""
    contact = api.contact("a@example.com")
    body = {"channel": "EMAIL", "subscriptionId": 1001, "statusState": "UNSUBSCRIBED"}
    path = "/communication-preferences/v4/statuses/a@example.com"
    assert api.call("POST", path, body).json["status"] == "UNSUBSCRIBED"
    statuses = {
        each["subscriptionId"]: each["status"] for each in api.call("GET", f"{path}?channel=EMAIL").json["results"]
    }
    assert statuses == {1001: "UNSUBSCRIBED", 1002: "NOT_SPECIFIED"}
    assert api.value(contact, "hs_email_optout") == ""


def test_a_portal_with_privacy_settings_wants_a_legal_basis(api: Api) -> None:
    """To subscribe somebody, not to unsubscribe them."""
    api.portal.preferences.privacy = True
    path = "/communication-preferences/v4/statuses/a@example.com"
    body = {"channel": "EMAIL", "subscriptionId": 1001, "statusState": "SUBSCRIBED"}
    assert api.call("POST", path, body).status == 400
    lawful = {"legalBasis": "CONSENT_WITH_NOTICE", "legalBasisExplanation": "Asked for it at the fair"}
    assert api.call("POST", path, {**body, **lawful}).status == 200
    assert api.call("POST", path, {**body, "statusState": "UNSUBSCRIBED"}).status == 200


def test_version_3_refuses_to_unsubscribe_twice(api: Api) -> None:
    """And knows two statuses only."""
    body = {"emailAddress": "a@example.com", "subscriptionId": "1001"}
    path = "/communication-preferences/v3"
    assert [api.call("POST", f"{path}/unsubscribe", body).status for _ in range(2)] == [200, 400]
    statuses = api.call("GET", f"{path}/status/email/a@example.com").json["subscriptionStatuses"]
    assert {each["status"] for each in statuses} == {"NOT_SUBSCRIBED"}


def test_somebody_in_one_of_hubspot_s_own_sequences_shows_it(api: Api) -> None:
    """In any sequence, as a checkbox that can be searched."""
    contact = api.contact("a@example.com")
    api.portal.enroll_in_sequence(contact, 77)
    api.clock.move(seconds=10)
    assert api.search(where("hs_sequences_is_enrolled", "EQ", "true")).ids == [contact]
    api.portal.leave_sequence(contact)
    assert api.value(contact, "hs_sequences_is_enrolled") == "false"
