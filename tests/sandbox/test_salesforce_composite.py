"""Composite requests: references, limits, and all or none."""

from __future__ import annotations

import orjson
import pytest
from salesforce_api import BASE, Api


@pytest.fixture
def api():
    return Api()


def composite(api, *requests, **more):
    """Send subrequests and return their results."""
    answer = api.call("POST", "/composite", {"compositeRequest": list(requests), **more})
    assert answer.status == 200
    return answer.json["compositeResponse"]


def ask(name, method, path, body=None):
    """One subrequest."""
    return {"method": method, "url": BASE + path, "referenceId": name} | ({} if body is None else {"body": body})


def test_a_result_has_the_recorded_shape(api):
    """An unknown object is a 404 inside a 200."""
    assert composite(api, ask("r0", "GET", "/sobjects/Foo")) == [
        {
            "body": [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}],
            "httpHeaders": {},
            "httpStatusCode": 404,
            "referenceId": "r0",
        }
    ]


def test_a_later_request_uses_an_earlier_ones_answer(api):
    """References work in urls and bodies, through lists too."""
    api.contact(FirstName="Gob")
    results = composite(
        api,
        ask("q", "GET", "/query?q=SELECT+Id,+Name+FROM+Contact"),
        ask("t", "POST", "/sobjects/Task", {"WhoId": "@{q.records[0].Id}", "Subject": "For @{q.records[0].Name}"}),
        ask("g", "GET", "/sobjects/Task/@{t.id}?fields=Subject"),
    )
    assert [each["httpStatusCode"] for each in results] == [200, 201, 200]
    assert results[1]["httpHeaders"]["Location"].endswith(results[1]["body"]["id"])
    assert results[2]["body"]["Subject"] == "For Gob Bluth"


def test_a_reference_may_be_escaped(api):
    """JSON has two ways to write a character, and a reference is read in both."""
    requests = [
        ask("q", "POST", "/sobjects/Contact", {"LastName": "Bluth"}),
        ask("g", "GET", "/sobjects/Contact/@{q.id}?fields=LastName"),
    ]
    body = orjson.dumps({"compositeRequest": requests}).replace(b"@{", b"\\u0040\\u007B")
    results = api.call("POST", "/composite", orjson.Fragment(body)).json["compositeResponse"]
    assert results[1]["body"]["LastName"] == "Bluth"


def test_a_reference_to_nothing_halts_that_request_only(api):
    """PROCESSING_HALTED; the next one runs."""
    results = composite(
        api,
        ask("q", "GET", "/query?q=SELECT+Id+FROM+Contact"),
        ask("t", "POST", "/sobjects/Task", {"WhoId": "@{q.records[0].Id}"}),
        ask("l", "GET", "/limits"),
    )
    assert [each["httpStatusCode"] for each in results] == [200, 400, 200]
    assert results[1]["body"] == [
        {
            "errorCode": "PROCESSING_HALTED",
            "message": "Invalid reference specified. No value for q.records[0].Id found in q.",
        }
    ]


def test_all_or_none_undoes_what_came_before_the_failure(api):
    """Every sibling of the failed request says PROCESSING_HALTED."""
    results = composite(
        api,
        ask("a", "POST", "/sobjects/Contact", {"LastName": "One"}),
        ask("b", "POST", "/sobjects/Contact", {"FirstName": "nameless"}),
        ask("c", "POST", "/sobjects/Contact", {"LastName": "Three"}),
        allOrNone=True,
    )
    assert [each["body"][0]["errorCode"] for each in results] == [
        "PROCESSING_HALTED", "REQUIRED_FIELD_MISSING", "PROCESSING_HALTED",
    ]  # fmt: skip
    assert api.org.count("SELECT COUNT() FROM Contact") == 0


def test_without_all_or_none_the_good_ones_stay(api):
    """Each stands for itself."""
    composite(
        api,
        ask("a", "POST", "/sobjects/Contact", {"LastName": "One"}),
        ask("b", "POST", "/sobjects/Contact", {"FirstName": "nameless"}),
    )
    assert api.org.count("SELECT COUNT() FROM Contact") == 1


def test_more_than_25_requests_are_refused(api):
    """As recorded: one result without a reference inside a 200."""
    (result,) = composite(api, *(ask(f"r{n}", "GET", "/limits") for n in range(26)))
    assert (result["httpStatusCode"], result["referenceId"]) == (400, None)
    assert result["body"][0]["errorCode"] == "LIMIT_EXCEEDED"


def test_at_most_five_may_be_queries_or_collections(api):
    """Five pass, six do not."""
    heavy = [ask(f"r{n}", "GET", "/query/?q=SELECT+Id+FROM+Contact") for n in range(4)]
    heavy += [ask(f"c{n}", "POST", "/composite/sobjects/Contact", {"ids": [], "fields": ["Id"]}) for n in range(2)]
    assert [each["httpStatusCode"] for each in composite(api, *heavy[1:])] == [200] * 5
    assert composite(api, *heavy)[0]["body"][0]["errorCode"] == "LIMIT_EXCEEDED"


@pytest.mark.parametrize("name", ["", "has space", "_first", None])
def test_a_reference_name_must_be_a_word(api, name):
    """It starts with a letter or a number."""
    (result,) = composite(api, ask(name, "GET", "/limits"))
    assert result["body"][0]["errorCode"] == "INVALID_INPUT"


def test_a_collection_inside_reports_per_row(api):
    """The subrequest itself is a 200."""
    rows = [{"attributes": {"type": "Contact"}, "LastName": "One"}, {"attributes": {"type": "Contact"}}]
    (result,) = composite(api, ask("c", "POST", "/composite/sobjects", {"records": rows}))
    assert result["httpStatusCode"] == 200
    assert [each["success"] for each in result["body"]] == [True, False]


def test_headers_of_the_request_hold_for_its_parts(api):
    """Sforce-Auto-Assign: FALSE reaches the lead written inside."""
    lead = api.lead()
    queue = api.org.insert("Group", {"Name": "Inbound", "Type": "Queue"})
    api.org.activate_lead_assignment(queue)
    body = {"compositeRequest": [ask("l", "PATCH", f"/sobjects/Lead/{lead}", {"Title": "x"})]}
    api.call("POST", "/composite", body, sforce_auto_assign="FALSE")
    assert api.one(lead, "OwnerId")["OwnerId"] == api.org.admin_id
