"""Faults on demand, and what they leave behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from salesforce_api import Api

from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.sandbox.salesforce.trouble import TROUBLES


@pytest.fixture
def api():
    return Api()


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("session_expired", 401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]),
        ("session_expired_as_object", 401, {"error": "invalid_token"}),
        ("limit_exceeded", 403, [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]),
        ("unavailable", 503, [{"message": "Server unavailable", "errorCode": "SERVER_UNAVAILABLE"}]),
    ],
)
def test_a_trouble_comes_once_with_the_vendors_answer(api, name, status, body):
    """The next request is unharmed."""
    api.org.faults.add(TROUBLES[name])
    first = api.upsert_tasks({"Drip_Touch_Id__c": "a"})
    assert (first.status, first.json) == (status, body)
    assert api.upsert_tasks({"Drip_Touch_Id__c": "a"}).json[0]["created"] is True


@pytest.mark.parametrize(("name", "cut"), [("unavailable_after_commit", False), ("cut_after_commit", True)])
def test_after_the_commit_the_work_is_done(api, name, cut):
    """The same key is found when it is sent again."""
    api.org.faults.add(TROUBLES[name])
    harmed = api.upsert_tasks({"Drip_Touch_Id__c": "a"})
    assert (harmed.response.cut, harmed.status == 503) == (cut, not cut)
    assert api.upsert_tasks({"Drip_Touch_Id__c": "a"}).json[0]["created"] is False


def test_a_cut_before_the_commit_leaves_nothing(api):
    """Only the connection is gone."""
    api.org.faults.add(TROUBLES["cut"])
    assert api.upsert_tasks({"Drip_Touch_Id__c": "a"}).response.cut is True
    assert api.org.count("SELECT COUNT() FROM Task") == 0


def test_a_short_page_is_followed_by_the_rest(api):
    """Fewer rows than asked, and done is false."""
    api.org.seed("Contact", [{"LastName": f"P{n}"} for n in range(300)])
    api.org.faults.add(replace(TROUBLES["short_page"], rows=7))
    first = api.query("SELECT Id FROM Contact").json
    assert (len(first["records"]), first["done"], first["totalSize"]) == (7, False, 300)
    assert len(api.more(first["nextRecordsUrl"]).json["records"]) == 293


def test_a_slow_answer_is_the_true_one(api):
    """Only late."""
    api.org.faults.add(replace(TROUBLES["slow"], delay=61.0))
    answer = api.query("SELECT Id FROM Contact")
    assert (answer.status, answer.response.delay) == (200, 61.0)


def test_a_fault_strikes_the_matching_requests_it_is_set_for(api):
    """Method and path choose, `after` spares the first, `times` ends it."""
    api.org.faults.add(Fault(kind=FaultKind.ANSWER, method="GET", path="/query", after=1, times=2, status=500))
    statuses = [api.query("SELECT Id FROM Contact").status for _ in range(4)]
    assert statuses == [200, 500, 500, 200]
    assert api.call("GET", "/limits").status == 200


def test_chance_comes_from_the_seed():
    """The same seed harms the same requests; another seed harms others."""

    def statuses(seed):
        api = Api(seed=seed)
        api.org.faults.add(Fault(kind=FaultKind.ANSWER, times=None, probability=0.3))
        return [api.query("SELECT Id FROM Contact").status for _ in range(60)]

    assert statuses(1) == statuses(1)
    assert statuses(1) != statuses(2)
    assert 5 < statuses(1).count(503) < 35


def test_a_predicate_can_choose_for_itself(api):
    """For what no fault describes."""
    fault = Fault(kind=FaultKind.ANSWER, status=500)
    api.org.faults.predicate = lambda request: fault if b"poison" in request.body else None
    assert api.upsert_tasks({"Drip_Touch_Id__c": "a"}).status == 200
    assert api.upsert_tasks({"Drip_Touch_Id__c": "b", "Subject": "poison"}).status == 500
    assert api.org.faults.played == [fault]


def test_cleared_faults_strike_no_more(api):
    """The list of those played stays."""
    api.org.faults.add(replace(TROUBLES["unavailable"], times=None))
    api.query("SELECT Id FROM Contact")
    api.org.faults.clear()
    assert api.query("SELECT Id FROM Contact").status == 200
    assert len(api.org.faults.played) == 1


class TestFromJson:
    """Faults in the words of a JSON object."""

    def test_every_field_can_be_given(self):
        """Kinds go by their value."""
        fault = Fault.from_json({"kind": "slow", "method": "POST", "path": "/composite", "delay": 2.5, "times": None})
        assert fault == Fault(kind=FaultKind.SLOW, method="POST", path="/composite", delay=2.5, times=None)

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({}, "needs a kind"),
            ({"kind": "earthquake"}, "earthquake"),
            ({"kind": "cut", "colour": "red"}, "no colour"),
            ({"kind": "cut", "path": "("}, "no regular expression"),
        ],
    )
    def test_what_is_wrong_is_said(self, value, words):
        """ValueError names it."""
        with pytest.raises(ValueError, match=words):
            Fault.from_json(value)
