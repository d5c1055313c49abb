"""The HubSpot stand-in's search: its filters, its bounds, and an index that is behind."""

from __future__ import annotations

from typing import Any

import pytest
from hubspot_api import Api, where


@pytest.fixture
def api() -> Api:
    return Api()


def settle(api: Api) -> None:
    """Let the index catch up."""
    api.clock.move(seconds=10)


# --- the index --------------------------------------------------------------------------------------------------------


def test_a_new_record_shows_late(api: Api) -> None:
    """Read by id it is there at once."""
    contact = api.contact("ada@example.com")
    assert api.search().json["total"] == 0
    assert api.get(f"/objects/contacts/{contact}").status == 200
    settle(api)
    assert api.search().ids == [contact]


def test_a_changed_record_is_found_by_its_old_values_for_a_while(api: Api) -> None:
    """And shown with them."""
    contact = api.contact("ada@example.com", city="Ulm")
    settle(api)
    api.portal.update("contacts", contact, {"city": "Bonn"})
    assert api.search(where("city", "EQ", "Bonn")).ids == []
    stale = api.search(where("city", "EQ", "Ulm"), properties=["city"]).json["results"][0]
    assert stale["properties"]["city"] == "Ulm"
    settle(api)
    assert api.search(where("city", "EQ", "Bonn")).ids == [contact]


def test_deleted_and_merged_records_never_show(api: Api) -> None:
    """Whatever the index still holds."""
    gone, one, two = (api.contact(f"p{number}@example.com") for number in range(3))
    settle(api)
    api.portal.archive("contacts", gone)
    new = api.portal.merge("contacts", one, two)
    assert api.search().ids == []
    settle(api)
    assert api.search().ids == [new]


def test_a_search_of_contacts_leaves_out_whom_they_were_merged_from(api: Api) -> None:
    """A read by id tells it."""
    one, two = api.contact("a@example.com"), api.contact("b@example.com")
    new = api.portal.merge("contacts", one, two)
    settle(api)
    names = ["hs_merged_object_ids", "hs_calculated_merged_vids"]
    shown = api.search(properties=names).json["results"][0]["properties"]
    assert shown["hs_merged_object_ids"] is None
    assert [each.partition(":")[0] for each in shown["hs_calculated_merged_vids"].split(";")] == [one, two]
    read = api.get(f"/objects/contacts/{new}?properties=hs_merged_object_ids").json["properties"]
    assert read["hs_merged_object_ids"] == f"{one};{two}"


# --- filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (where("city", "EQ", "ulm"), "ac"),
        (where("city", "NEQ", "ulm"), "bd"),
        (where("city", "IN", ["ulm"]), "ac"),
        (where("city", "IN", ["Ulm"]), ""),
        (where("city", "NOT_IN", ["ulm"]), "bd"),
        (where("city", "HAS_PROPERTY"), "abc"),
        (where("city", "NOT_HAS_PROPERTY"), "d"),
        (where("city", "CONTAINS_TOKEN", "bon*"), "b"),
        (where("lifecyclestage", "EQ", "lead"), "a"),
        (where("lifecyclestage", "EQ", "Lead"), ""),
        (where("lifecyclestage", "IN", ["lead", "customer"]), "ab"),
        (where("hs_object_id", "GT", "100000002"), "cd"),
        (where("hs_object_id", "BETWEEN", "100000002", highValue="100000003"), "bc"),
        (where("createdate", "LTE", "1795510800000"), "abcd"),
        (where("createdate", "LT", "1795510800000"), ""),
    ],
)
def test_a_filter_finds_whom_it_should(api: Api, condition: dict[str, Any], found: str) -> None:
    """Text without case, options with it, IN on text in lower case alone, numbers as numbers."""
    api.contact("a@example.com", city="Ulm", lifecyclestage="lead")
    api.contact("b@example.com", city="Bonn", lifecyclestage="customer")
    api.contact("c@example.com", city="ULM")
    api.contact("d@example.com")
    settle(api)
    shown = api.search(condition, properties=["email"]).json["results"]
    assert "".join(sorted(each["properties"]["email"][0] for each in shown)) == found


def test_filters_of_a_group_hold_together_and_one_group_is_enough(api: Api) -> None:
    """AND within, OR between."""
    one, two, _ = (api.contact(f"{n}@example.com", city=c) for n, c in (("a", "Ulm"), ("b", "Bonn"), ("c", "Ulm")))
    settle(api)
    groups = [
        {"filters": [where("city", "EQ", "Ulm"), where("email", "EQ", "a@example.com")]},
        {"filters": [where("city", "EQ", "Bonn")]},
    ]
    assert api.post("/objects/contacts/search", {"filterGroups": groups}).ids == [one, two]


def test_records_are_found_by_what_they_are_associated_with(api: Api) -> None:
    """The pseudo-property associations.contact."""
    contact = api.contact("a@example.com")
    email = api.portal.log_email([contact], {"hs_email_direction": "INCOMING_EMAIL"})
    settle(api)
    assert api.search(where("associations.contact", "EQ", contact), kind="emails").ids == [email]
    assert api.search(where("associations.contact", "EQ", "1"), kind="emails").ids == []


def test_words_of_a_query_are_looked_for_in_names_and_addresses(api: Api) -> None:
    """All of them."""
    contact = api.contact("ada@example.com", firstname="Ada", lastname="Lovelace")
    settle(api)
    assert api.search(query="love ada").ids == [contact]
    assert api.search(query="love bob").ids == []


def test_results_are_sorted_by_the_one_rule_given(api: Api) -> None:
    """Either way of writing it; by creation without one."""
    made = [api.contact(f"{letter}@example.com") for letter in "bca"]
    settle(api)
    rule = [{"propertyName": "email", "direction": "DESCENDING"}]
    for sorts, order in ((rule, "cba"), (["email"], "abc"), (["-email"], "cba"), ([], "bca")):
        shown = api.search(sorts=sorts).json["results"]
        assert "".join(each["properties"]["email"][0] for each in shown) == order, sorts
    assert len(made) == 3


# --- bounds -----------------------------------------------------------------------------------------------------------

_ONE = where("city", "EQ", "Ulm")


@pytest.mark.parametrize(
    "body",
    [
        {"filterGroups": [{"filters": [_ONE]}] * 6},
        {"filterGroups": [{"filters": [_ONE] * 7}]},
        {"filterGroups": [{"filters": [_ONE] * 5}] * 4},
        {"sorts": ["email", "city"]},
        {"limit": 201},
        {"query": "x" * 3_001},
        {"after": "9900", "limit": 200},
        {"after": "10000", "limit": 10},
        {"after": "x"},
        {"filterGroups": [{"filters": [where("nothing", "EQ", "x")]}]},
        {"filterGroups": [{"filters": [where("city", "LIKE", "x")]}]},
        {"filterGroups": [{"filters": [where("city", "EQ")]}]},
        {"filterGroups": [{"filters": [where("city", "IN", "Ulm")]}]},
        {"filterGroups": [{"filters": [where("city", "BETWEEN", "a")]}]},
        {"filterGroups": [{"filters": [where("city", "HAS_PROPERTY", "x")]}]},
        {"filterGroups": [{"filters": [where("createdate", "GT", "yesterday")]}]},
    ],
)
def test_a_search_beyond_its_bounds_is_refused(api: Api, body: dict[str, Any]) -> None:
    """Five groups of six filters, eighteen in all, one sort, 200 rows, 10,000 results."""
    refused = api.post("/objects/contacts/search", body)
    assert (refused.status, refused.category) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "body", [{"filterGroups": [{"filters": [_ONE] * 6}] * 3}, {"limit": 200}, {"after": "9800", "limit": 200}]
)
def test_a_search_at_its_bounds_is_answered(api: Api, body: dict[str, Any]) -> None:
    """The largest that is allowed."""
    assert api.post("/objects/contacts/search", body).status == 200


@pytest.mark.parametrize("name", ["hs_email_html", "hs_body_preview", "hs_body_preview_html"])
def test_bodies_of_emails_cannot_be_searched(api: Api, name: str) -> None:
    """Three properties of emails are not in the index."""
    assert api.search(where(name, "HAS_PROPERTY"), kind="emails").status == 400


def test_paging_ends_at_ten_thousand_with_a_refusal(api: Api) -> None:
    """The page before it still names a next one."""
    for number in range(10_050):
        api.contact(f"p{number}@example.com")
    settle(api)
    last = api.search(limit=200, after="9800").json
    assert last["total"] == 10_050
    assert last["paging"]["next"]["after"] == "10000"
    assert api.search(limit=200, after="10000").status == 400


def test_pages_follow_each_other_and_the_last_names_no_next(api: Api) -> None:
    """`after` looks like a number."""
    made = sorted(api.contact(f"p{number}@example.com") for number in range(5))
    settle(api)
    first = api.search(limit=3).json
    second = api.search(limit=3, after=first["paging"]["next"]["after"]).json
    assert sorted(each["id"] for each in first["results"] + second["results"]) == made
    assert "paging" not in second
