"""The stand-in's answers beside answers recorded from real orgs: same keys, same types, same codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from salesforce_api import Api

yaml = pytest.importorskip("yaml", reason="reads recordings in YAML")

RECORDED = Path(os.environ.get("CRMDRIP_SPECS", Path(__file__).parents[3] / "shared" / "specs")) / "salesforce"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded answers are not in the repository")

DESCRIBED = ["Contact", "Lead", "Event", "Opportunity", "OpportunityContactRole"]


@pytest.fixture(scope="module")
def api():
    return Api(opt_out_hidden=True)


def recorded_describe(name):
    """The describe answer of an object, as recorded."""
    text = (RECORDED / f"GET_sobjects_{name}_describe.yaml").read_text("utf-8")
    return json.loads(yaml.safe_load(text)["response"]["body"]["string"])


def interactions(name):
    """(request, status, body) of every inline interaction of a cassette."""
    for each in yaml.safe_load((RECORDED / name).read_text("utf-8"))["interactions"]:
        if "request" in each:
            body = each["response"]["body"]["string"]
            yield each["request"], each["response"]["status"]["code"], json.loads(body)


def kinds(value):
    """The types of a JSON value's parts: lists show their first element."""
    if isinstance(value, dict):
        return {key: kinds(each) for key, each in value.items()}
    if isinstance(value, list):
        return [kinds(value[0])] if value else []
    return type(value).__name__


@pytest.mark.parametrize("name", DESCRIBED)
def test_describe_has_the_recorded_keys(api, name):
    """At the top, in fields, in child relationships, in record types and in picklist values."""
    ours, theirs = api.call("GET", f"/sobjects/{name}/describe").json, recorded_describe(name)
    newer = {"associateEntityType", "associateParentEntity", "sobjectDescribeOption"}  # one recording is older
    assert set(ours) | newer == set(theirs) | newer
    assert set(ours["fields"][0]) == set(theirs["fields"][0])
    for part in ("recordTypeInfos", "childRelationships"):
        if ours[part] and theirs[part]:
            assert set(ours[part][0]) == set(theirs[part][0])
    mine, real = (next(filter(None, (each["picklistValues"] for each in found["fields"]))) for found in (ours, theirs))
    assert set(mine[0]) == set(real[0])


NOT_GRANTED = {"HasOptedOutOfFax", "DoNotCall", "Type"}
"""Real fields that field-level security hid where the answers were recorded, as it hid HasOptedOutOfEmail."""

NOT_COMPARED = {"referenceTo", "picklistValues", "searchPrefilterable"}
"""Depend on what else the recorded org had."""


@pytest.mark.parametrize("name", DESCRIBED)
def test_standard_fields_are_described_as_recorded(api, name):
    """Types, sizes, flags and labels alike; only the objects a reference may point at are fewer."""
    ours = {each["name"]: each for each in api.call("GET", f"/sobjects/{name}/describe").json["fields"]}
    theirs = {each["name"]: each for each in recorded_describe(name)["fields"]}
    standard = {each for each, field in ours.items() if not field["custom"]}
    assert standard - set(theirs) <= NOT_GRANTED
    wrong = [
        f"{field}.{key}: {ours[field][key]!r}, recorded {theirs[field][key]!r}"
        for field in sorted(standard & set(theirs))
        for key in sorted(set(ours[field]) - NOT_COMPARED)
        if ours[field][key] != theirs[field][key]
    ]
    assert [each for each in wrong if not each.startswith("ActivityDate.aggregatable")] == []
    for field in standard & set(theirs):
        pointing = {each for each in ours[field]["referenceTo"] if not each.endswith("__c")}
        assert pointing <= set(theirs[field]["referenceTo"])


def test_the_global_describe_has_the_recorded_keys(api):
    """For the list and for each object."""
    ours, theirs = api.call("GET", "/sobjects").json, recorded_describe("Global")
    assert set(ours) == set(theirs)
    assert kinds(ours["sobjects"][0]) == kinds(theirs["sobjects"][0])


def test_upsert_results_have_the_recorded_shape(api):
    """By an idLookup field that is no external id, as recorded with Contact.Email."""
    request, status, body = next(
        each for each in interactions("TestUpsert.test_upsert__rest.yaml")
        if each[0]["method"] == "PATCH" and each[0]["uri"].endswith("/Contact/Email")
    )  # fmt: skip
    answer = api.call("PATCH", "/composite/sobjects/Contact/Email", json.loads(request["body"]))
    assert (answer.status, kinds(answer.json), len(answer.json)) == (status, kinds(body), len(body))
    assert all(each["created"] for each in answer.json)


def test_an_upsert_by_a_null_id_creates_as_recorded(api):
    """PATCH composite/sobjects/Account/Id."""
    request, status, body = next(
        each for each in interactions("TestUpsert.test_upsert_complex_external_id_field_rest__duplicate_error.yaml")
        if each[0]["method"] == "PATCH" and each[0]["uri"].endswith("/Account/Id")
    )  # fmt: skip
    answer = api.call("PATCH", "/composite/sobjects/Account/Id", json.loads(request["body"]))
    assert (answer.status, kinds(answer.json)) == (status, kinds(body))


def test_query_create_and_count_answers_have_the_recorded_shape(api):
    """Empty and found queries, a create, and the record count."""
    api.org.insert("Account", {"Name": "Sitwell-Bluth", "AccountNumber": "421"})
    seen = 0
    for request, status, body in interactions(
        "TestUpsert.test_upsert_complex_external_id_field_rest__duplicate_error.yaml"
    ):
        path = "/" + request["uri"].partition("/services/data/vxx.0/")[2].replace("420", "421")
        if request["method"] not in ("GET", "POST") or not path.startswith(("/query", "/sobjects/Account/")):
            continue
        answer = api.call(request["method"], path, request["body"] and json.loads(request["body"]))
        assert answer.status == status
        if not isinstance(body, dict) or body.get("totalSize") != 0:
            assert kinds(answer.json) == kinds(body)
        seen += 1
    assert seen >= 4


def test_a_composite_error_is_the_recorded_one(api):
    """Word for word."""
    ((request, status, body),) = interactions("TestCompositeParallelSalesforce.test_errors.yaml")
    sent = json.loads(request["body"].replace("vxx.0", "v64.0"))
    answer = api.call("POST", "/composite", sent)
    assert (answer.status, answer.json) == (status, body)
