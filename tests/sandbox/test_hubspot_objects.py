"""The HubSpot stand-in's records: single ones, batches, merges, deletion; as strict as the vendor."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hubspot_api import Api

EMAIL = {"hs_timestamp": "2026-11-24T09:00:00Z", "hs_email_direction": "EMAIL"}
TO_CONTACT = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 198}]


@pytest.fixture
def api() -> Api:
    return Api()


# --- single records ---------------------------------------------------------------------------------------------------


def test_a_contact_is_created_read_and_changed(api: Api) -> None:
    """Values come back as strings, the address in lower case, with the three properties always there."""
    made = api.post("/objects/contacts", {"properties": {"email": "Ada@Example.com", "firstname": "Ada"}})
    assert made.status == 201
    record_id = made.json["id"]
    read = api.get(f"/objects/contacts/{record_id}?properties=email,jobtitle")
    assert read.json["properties"] == {
        "createdate": "2026-11-24T09:00:00Z",
        "email": "ada@example.com",
        "hs_object_id": record_id,
        "jobtitle": None,
        "lastmodifieddate": "2026-11-24T09:00:00Z",
    }
    changed = api.call("PATCH", f"/crm/v3/objects/contacts/{record_id}", {"properties": {"jobtitle": "Countess"}})
    assert (changed.status, changed.json["properties"]["jobtitle"]) == (200, "Countess")


@pytest.mark.parametrize("base", ["/crm/v3/objects", "/crm/objects/2026-03", "/crm/objects/2026-09"])
def test_both_shapes_of_paths_lead_to_the_same_records(api: Api, base: str) -> None:
    """Dated paths have the version after the family."""
    record_id = api.contact("ada@example.com")
    for name in ("contacts", "contact", "0-1"):
        assert api.call("GET", f"{base}/{name}/{record_id}").json["id"] == record_id


@pytest.mark.parametrize("path", ["/crm/v5/objects/contacts", "/crm/objects/2024-03/contacts", "/crm/v3/nothing", "/x"])
def test_an_unknown_version_or_path_is_404(api: Api, path: str) -> None:
    """As a page, not as JSON."""
    assert api.call("GET", path).status == 404


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"no_such": "x"}, "PROPERTY_DOESNT_EXIST"),
        ({"lifecyclestage": "Lead"}, "INVALID_OPTION"),
        ({"email": "not an address"}, "INVALID_EMAIL"),
        ({"hs_object_id": "1"}, "READ_ONLY_VALUE"),
        ({"hs_email_optout": "true"}, "READ_ONLY_VALUE"),
        ({"hubspot_owner_id": "77"}, "INVALID_OWNER_ID"),
        ({"firstname": "x" * 65_537}, "PROPERTY_VALUE_TOO_LONG"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_property(api: Api, values: dict[str, Any], code: str) -> None:
    """The message holds JSON, the errors name the property in their context."""
    refused = api.post("/objects/contacts", {"properties": values})
    assert (refused.status, refused.category, refused.codes) == (400, "VALIDATION_ERROR", [code])
    assert refused.json["errors"][0]["context"]["propertyName"] == list(values)
    assert refused.json["message"].startswith("Property values were not valid: [{")
    assert refused.json["correlationId"]


def test_every_problem_of_a_record_is_told_at_once(api: Api) -> None:
    """Two unknown properties are two errors."""
    assert len(api.post("/objects/contacts", {"properties": {"a": 1, "b": 2}}).json["errors"]) == 2


def test_a_second_contact_with_the_address_is_a_conflict(api: Api) -> None:
    """409 with the id of the first in the message, whatever the case of the address."""
    first = api.contact("ada@example.com")
    refused = api.post("/objects/contacts", {"properties": {"email": "ADA@example.com"}})
    assert (refused.status, refused.category) == (409, "CONFLICT")
    assert refused.json["message"] == f"Contact already exists. Existing ID: {first}"


def test_an_email_needs_a_time_and_a_direction(api: Api) -> None:
    """The context lists what was not set."""
    refused = api.post("/objects/emails", {"properties": {"hs_email_subject": "Hi"}})
    assert refused.json["message"] == "Error creating EMAIL. Some required properties were not set."
    assert refused.json["context"] == {"properties": ["hs_timestamp", "hs_email_direction"]}


def test_headers_of_an_email_fill_in_who_wrote_to_whom(api: Api) -> None:
    """And must be JSON."""
    headers = '{"from": {"email": "maya@acme.example"}, "to": [{"email": "ada@example.com", "firstName": "Ada"}]}'
    made = api.post("/objects/emails", {"properties": {**EMAIL, "hs_email_headers": headers}}).json["properties"]
    assert (made["hs_email_from_email"], made["hs_email_to_email"]) == ("maya@acme.example", "ada@example.com")
    assert api.post("/objects/emails", {"properties": {**EMAIL, "hs_email_headers": "no"}}).codes == ["INVALID_JSON"]


def test_an_email_is_created_with_its_association_and_stamps_the_contact(api: Api) -> None:
    """Logging moves lastmodifieddate of the contact: our own writes come back in a delta read."""
    contact = api.contact("ada@example.com")
    api.clock.move(minutes=5)
    body = {"properties": EMAIL, "associations": [{"to": {"id": contact}, "types": TO_CONTACT}]}
    email = api.post("/objects/emails", body).json["id"]
    assert api.value(contact, "lastmodifieddate") == "2026-11-24T09:05:00Z"
    assert api.value(contact, "num_contacted_notes") == "1"
    shown = api.get(f"/objects/contacts/{contact}?associations=emails").json["associations"]
    assert shown == {"emails": {"results": [{"id": email, "type": "contact_to_email"}]}}


@pytest.mark.parametrize("type_id", [197, 186, 999_999])
def test_a_type_that_does_not_lead_from_emails_to_the_record_is_refused(api: Api, type_id: int) -> None:
    """The contact's own direction, a company's, and one there is not; and nothing is created."""
    contact = api.contact("ada@example.com")
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}]
    body = {"properties": EMAIL, "associations": [{"to": {"id": contact}, "types": types}]}
    assert api.post("/objects/emails", body).status in (400, 404)
    assert api.portal.all("emails") == []


def test_history_is_told_newest_first_with_its_source(api: Api) -> None:
    """Who changed a value, and when."""
    contact = api.contact("ada@example.com", jobtitle="Poet")
    api.clock.move(hours=1)
    api.call("PATCH", f"/crm/v3/objects/contacts/{contact}", {"properties": {"jobtitle": "Countess"}})
    versions = api.get(f"/objects/contacts/{contact}?propertiesWithHistory=jobtitle").json["propertiesWithHistory"]
    told = [(each["value"], each["sourceType"]) for each in versions["jobtitle"]]
    assert told == [("Countess", "INTEGRATION"), ("Poet", "CRM_UI")]


def test_what_is_deleted_is_gone_listed_as_archived_and_can_come_back(api: Api) -> None:
    """204 for any id; 404 afterwards."""
    contact = api.contact("ada@example.com")
    assert api.call("DELETE", f"/crm/v3/objects/contacts/{contact}").status == 204
    assert api.call("DELETE", "/crm/v3/objects/contacts/12").status == 204
    assert api.get(f"/objects/contacts/{contact}").status == 404
    assert api.get("/objects/contacts?archived=true").ids == [contact]
    api.portal.restore("contacts", contact)
    assert api.get(f"/objects/contacts/{contact}").json["archived"] is False


def test_a_deleted_contact_frees_its_address(api: Api) -> None:
    """Another can have it, and then the first cannot come back."""
    contact = api.contact("ada@example.com")
    api.portal.archive("contacts", contact)
    assert api.post("/objects/contacts", {"properties": {"email": "ada@example.com"}}).status == 201


def test_a_privacy_deletion_leaves_nothing(api: Api) -> None:
    """Not even among the archived."""
    contact = api.contact("ada@example.com")
    body = {"objectId": "ada@example.com", "idProperty": "email"}
    assert api.post("/objects/contacts/gdpr-delete", body).status == 204
    assert api.get(f"/objects/contacts/{contact}?archived=true").status == 404


def test_pages_of_records_follow_their_ids(api: Api) -> None:
    """Everybody once; the last page names no next."""
    made = [api.contact(f"p{number}@example.com") for number in range(5)]
    first = api.get("/objects/contacts?limit=3").json
    second = api.get(f"/objects/contacts?limit=3&after={first['paging']['next']['after']}").json
    assert [each["id"] for each in first["results"] + second["results"]] == made
    assert "paging" not in second
    assert api.get("/objects/contacts?limit=101").status == 400


# --- merging ----------------------------------------------------------------------------------------------------------


def test_a_merge_makes_a_third_record_to_which_both_ids_lead(api: Api) -> None:
    """GET and a single PATCH follow the old ids; batches do not (B12)."""
    one, two = api.contact("one@example.com", jobtitle="CTO"), api.contact("two@example.com", phone="123")
    merged = api.post("/objects/contacts/merge", {"primaryObjectId": one, "objectIdToMerge": two})
    new = merged.json["id"]
    assert new not in (one, two)
    assert {api.get(f"/objects/contacts/{each}").json["id"] for each in (one, two, new)} == {new}
    assert api.call("PATCH", f"/crm/v3/objects/contacts/{two}", {"properties": {"city": "Ulm"}}).json["id"] == new
    read = api.batch("read", {"id": one}, {"id": new}, properties=["hs_merged_object_ids", "hs_additional_emails"])
    assert (read.status, read.ids, read.json["errors"][0]["context"]["ids"]) == (207, [new], [one])
    assert read.json["results"][0]["properties"]["hs_merged_object_ids"] == f"{one};{two}"
    assert read.json["results"][0]["properties"]["hs_additional_emails"] == "two@example.com"
    changed = api.batch("update", {"id": two, "properties": {"city": "Bonn"}})
    assert (changed.status, changed.json["results"]) == (207, [])


def test_a_merge_joins_values_addresses_and_timelines(api: Api) -> None:
    """The primary's values come first; the other's address stays taken; an opt-out of either wins."""
    one, two = (
        api.contact("one@example.com", jobtitle="CTO"),
        api.contact("two@example.com", jobtitle="CEO", city="Ulm"),
    )
    email = api.portal.log_email([two], EMAIL)
    api.portal.opt_out("two@example.com")
    new = api.portal.merge("contacts", one, two)
    assert [api.value(new, name) for name in ("jobtitle", "city", "hs_email_optout")] == ["CTO", "Ulm", "true"]
    assert [each.id for each in api.portal.linked("contacts", new, "emails")] == [email]
    assert api.post("/objects/contacts", {"properties": {"email": "two@example.com"}}).status == 409


def test_a_merged_record_can_be_merged_again(api: Api) -> None:
    """Every id of before leads to the last."""
    ids = [api.contact(f"p{number}@example.com") for number in range(3)]
    last = api.portal.merge("contacts", api.portal.merge("contacts", ids[0], ids[1]), ids[2])
    assert {api.get(f"/objects/contacts/{each}").json["id"] for each in ids} == {last}
    assert api.get("/objects/contacts?archived=true").ids == []


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_takes_a_hundred_inputs(api: Api) -> None:
    """One more is refused whole."""
    rows = [{"properties": {"email": f"p{number}@example.com"}} for number in range(101)]
    assert api.batch("create", *rows).status == 400
    assert api.portal.all("contacts") == []
    assert api.batch("create", *rows[:100]).status == 201


def test_without_trace_ids_one_bad_row_refuses_the_batch(api: Api) -> None:
    """And nothing of it is kept, not even what came before the bad row."""
    refused = api.batch("create", {"properties": {"email": "a@example.com"}}, {"properties": {"nothing": "x"}})
    assert (refused.status, refused.codes) == (400, ["PROPERTY_DOESNT_EXIST"])
    assert api.portal.all("contacts") == []
    assert api.contact("a@example.com")


def test_with_trace_ids_the_good_rows_are_kept(api: Api) -> None:
    """207, each error with the trace of its row, each result with its own."""
    answer = api.batch(
        "create",
        {"properties": {"email": "a@example.com"}, "objectWriteTraceId": "one"},
        {"properties": {"email": "A@example.com"}, "objectWriteTraceId": "two"},
    )
    assert (answer.status, answer.json["numErrors"]) == (207, 1)
    assert [each["objectWriteTraceId"] for each in answer.json["results"]] == ["one"]
    error = answer.json["errors"][0]
    assert (error["category"], error["context"]["objectWriteTraceId"]) == ("CONFLICT", ["two"])


def test_in_the_newest_version_errors_stand_in_an_ordinary_answer(api: Api) -> None:
    """201 with numErrors: whoever looks at the status alone loses a row."""
    rows = [
        {"properties": {"email": email}, "objectWriteTraceId": email} for email in ("a@example.com", "A@example.com")
    ]
    answer = api.call("POST", "/crm/objects/2026-09/contacts/batch/create", {"inputs": rows})
    assert (answer.status, answer.json["numErrors"], len(answer.json["results"])) == (201, 1, 1)


def test_version_2025_09_alone_answers_a_creation_with_200(api: Api) -> None:
    """Its OpenAPI file has no 201."""
    body = {"inputs": [{"properties": {"email": "a@example.com"}}]}
    assert api.call("POST", "/crm/objects/2025-09/contacts/batch/create", body).status == 200


def test_rows_that_name_nobody_are_told_in_207(api: Api) -> None:
    """The others are changed all the same."""
    contact = api.contact("a@example.com")
    rows = [{"id": each, "properties": {"city": "Ulm"}} for each in (contact, "12")]
    answer = api.batch("update", *rows)
    assert (answer.status, answer.ids) == (207, [contact])
    assert answer.json["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert answer.json["errors"][0]["context"] == {"ids": ["12"]}


def test_the_same_id_twice_in_a_batch_is_refused(api: Api) -> None:
    """Whole."""
    contact = api.contact("a@example.com")
    row = {"id": contact, "properties": {"city": "Ulm"}}
    assert api.batch("update", row, row).status == 400
    assert api.value(contact, "city") == ""


def test_results_come_in_an_order_of_their_own(api: Api) -> None:
    """Nobody may count on the inputs' order."""
    rows = [{"properties": {"email": f"p{number}@example.com"}} for number in range(50)]
    addresses = [each["properties"]["email"] for each in api.batch("create", *rows).json["results"]]
    asked = [row["properties"]["email"] for row in rows]
    assert addresses != asked
    assert sorted(addresses) == sorted(asked)


def test_an_upsert_by_a_unique_property_creates_once_and_changes_then(api: Api) -> None:
    """`new` tells which; associations in it are ignored."""
    api.portal.add_property(
        "emails",
        groupName="emailinformation", name="touch_id", label="Touch", type="string", fieldType="text",
        hasUniqueValue=True,
    )  # fmt: skip
    contact = api.contact("a@example.com")
    row = {
        "id": "t1",
        "idProperty": "touch_id",
        "properties": EMAIL,
        "associations": [{"to": {"id": contact}, "types": TO_CONTACT}],
    }
    assert api.batch("upsert", row, kind="emails").json["results"][0]["new"] is True
    assert api.batch("upsert", row, kind="emails").json["results"][0]["new"] is False
    assert len(api.portal.all("emails")) == 1
    assert api.portal.linked("contacts", contact, "emails") == []


def test_only_unique_properties_stand_for_an_id(api: Api) -> None:
    """In reads, updates and upserts alike."""
    row = {"id": "x", "idProperty": "firstname", "properties": {}}
    assert [api.batch(what, row).status for what in ("update", "upsert")] == [400, 400]
    assert api.batch("read", {"id": "x"}, properties=["email"], idProperty="firstname").status == 400


def test_an_upsert_by_address_is_never_partial(api: Api) -> None:
    """One bad row refuses all, trace ids or not."""
    rows = [
        {"id": "a@example.com", "idProperty": "email", "properties": {"city": "Ulm"}, "objectWriteTraceId": "1"},
        {"id": "b@example.com", "idProperty": "email", "properties": {"nothing": "x"}, "objectWriteTraceId": "2"},
    ]
    assert api.batch("upsert", *rows).status == 400
    assert api.portal.all("contacts") == []


def test_a_value_that_must_be_unique_is_refused_the_second_time(api: Api) -> None:
    """By its property, unlike an address."""
    body = {"groupName": "contactinformation", "name": "key", "label": "Key", "type": "string", "fieldType": "text"}
    api.portal.add_property("contacts", hasUniqueValue=True, **body)
    api.contact("a@example.com", key="k1")
    assert api.post("/objects/contacts", {"properties": {"key": "k1"}}).codes == ["CONFLICTING_UNIQUE_VALUE"]


# --- the admin's rules ------------------------------------------------------------------------------------------------


def test_the_admin_s_rules_hold_in_the_newest_version_alone(api: Api) -> None:
    """What version 3 takes, 2026-09 refuses with the property's name."""
    api.portal.require("contacts", "jobtitle")
    body = {"properties": {"email": "a@example.com"}}
    refused = api.call("POST", "/crm/objects/2026-09/contacts", body)
    assert (refused.status, refused.json["errors"][0]["context"]["propertyName"]) == (400, ["jobtitle"])
    assert api.call("POST", "/crm/objects/2026-03/contacts", body).status == 201


def test_a_locked_record_is_423(api: Api) -> None:
    """So many times, then it goes through."""
    contact = api.contact("a@example.com")
    api.portal.lock(contact, writes=1)
    path, body = f"/crm/v3/objects/contacts/{contact}", {"properties": {"city": "Ulm"}}
    assert [api.call("PATCH", path, body).status for _ in range(2)] == [423, 200]


# --- what nobody should send ------------------------------------------------------------------------------------------

_JUNK = (None, 1, True, "", "x", [], {}, [1], [None], [{}], {"id": None}, [[]], 1.5, {"a": []}, "{}")
_MEMBERS = (
    "inputs",
    "properties",
    "associations",
    "filterGroups",
    "sorts",
    "id",
    "idProperty",
    "name",
    "labels",
    "options",
)


@pytest.mark.parametrize("family", ["objects/contacts", "objects/contacts/batch/upsert", "objects/emails/search"])
@pytest.mark.parametrize("version", ["v3", "2026-09"])
def test_no_body_makes_the_portal_fail(api: Api, family: str, version: str) -> None:
    """What cannot be read is refused: an exception would come out of here."""
    random = Random(f"{family}|{version}")
    name, _, rest = family.partition("/")
    path = f"/crm/{version}/{family}" if version == "v3" else f"/crm/{name}/{version}/{rest}"
    for _ in range(300):
        body = {each: random.choice(_JUNK) for each in random.sample(_MEMBERS, random.randrange(5))}
        if random.random() < 0.5:
            body["inputs"] = [{each: random.choice(_JUNK) for each in random.sample(_MEMBERS, 3)}]
        assert api.call("POST", path, body).status in (200, 201, 207, 400, 404, 409)
