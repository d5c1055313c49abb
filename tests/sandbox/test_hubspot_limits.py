"""The HubSpot stand-in's limits, scopes, credentials and troubles: each with the vendor's own answer."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from hubspot_api import Api

from crmdrip.sandbox.hubspot import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SCOPES, TROUBLES, Limits, Tier

SMALL = Limits(ten_secondly=3, search_secondly=2, daily=5, associations_ten_secondly=1)


@pytest.fixture
def api() -> Api:
    return Api()


def ask_token(api: Api, path: str = "/oauth/2026-03/token", **form: str) -> tuple[int, dict[str, str]]:
    given = {"client_id": DEFAULT_CLIENT_ID, "client_secret": DEFAULT_CLIENT_SECRET, **form}
    answer = api.raw("POST", path, body=urlencode(given).encode())
    return answer.status, answer.json


# --- limits -----------------------------------------------------------------------------------------------------------


def test_the_fourth_call_in_ten_seconds_is_429_with_its_policy() -> None:
    """Without Retry-After; after ten seconds it goes through."""
    api = Api(limits=SMALL)
    assert [api.get("/objects/contacts").status for _ in range(3)] == [200] * 3
    refused = api.get("/objects/contacts")
    assert (refused.status, refused.json["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
    assert (refused.category, refused.json["errorType"]) == ("RATE_LIMITS", "RATE_LIMIT")
    assert "Retry-After" not in refused.headers
    api.second = 10.0
    assert api.get("/objects/contacts").status == 200


def test_an_answer_tells_what_is_left() -> None:
    """Of the window and of the day."""
    api = Api(limits=SMALL)
    headers = api.get("/objects/contacts").headers
    assert headers["X-HubSpot-RateLimit-Max"] == "3"
    assert headers["X-HubSpot-RateLimit-Remaining"] == "2"
    assert headers["X-HubSpot-RateLimit-Daily-Remaining"] == "4"


def test_searches_have_a_second_of_their_own_and_tell_nothing() -> None:
    """They count to the day and not to the ten seconds."""
    api = Api(limits=SMALL)
    answers = [api.search() for _ in range(3)]
    assert [each.status for each in answers] == [200, 200, 429]
    assert answers[2].json["message"] == "You have reached your secondly limit."
    assert answers[2].json["policyName"] == "SECONDLY"
    assert not [name for name in answers[0].headers if "RateLimit" in name]
    assert [api.get("/objects/contacts").status for _ in range(3)] == [200] * 3


def test_associations_have_a_window_of_their_own() -> None:
    """And leave the other alone."""
    api = Api(limits=SMALL)
    path = "/crm/v4/associations/contacts/emails/labels"
    assert [api.call("GET", path).status for _ in range(2)] == [200, 429]
    assert api.get("/objects/contacts").status == 200


def test_a_day_s_calls_end_at_midnight_of_the_account() -> None:
    """DAILY until the account's day is over."""
    api = Api(limits=SMALL, zone="Europe/Berlin")
    for number in range(5):
        api.second = 20.0 * number
        assert api.get("/objects/contacts").status == 200
    api.second = 200.0
    assert api.get("/objects/contacts").json["policyName"] == "DAILY"
    api.clock.move(hours=13)
    assert api.get("/objects/contacts").status == 429
    api.clock.move(hours=2)
    assert api.get("/objects/contacts").status == 200


@pytest.mark.parametrize(
    ("tier", "most"), [(Tier.STARTER, "100"), (Tier.PROFESSIONAL, "190"), (Tier.ENTERPRISE_WITH_PACK, "250")]
)
def test_a_tier_has_its_limits(tier: Tier, most: str) -> None:
    """Per ten seconds."""
    api = Api(tier=tier, limits=tier.value)
    assert api.get("/objects/contacts").headers["X-HubSpot-RateLimit-Max"] == most


# --- credentials ------------------------------------------------------------------------------------------------------


def test_a_call_without_a_token_is_401(api: Api) -> None:
    """Whatever it asks for."""
    api.token = "nobody's"
    refused = api.get("/objects/contacts")
    assert (refused.status, refused.category) == (401, "INVALID_AUTHENTICATION")


@pytest.mark.parametrize(
    ("without", "method", "path"),
    [
        ("crm.objects.contacts.read", "GET", "/crm/v3/objects/contacts"),
        ("crm.objects.contacts.write", "POST", "/crm/v3/objects/contacts"),
        ("sales-email-read", "POST", "/crm/v3/objects/emails/batch/read"),
        ("crm.objects.owners.read", "GET", "/crm/v3/owners"),
        ("crm.lists.read", "GET", "/crm/v3/lists/1"),
        ("crm.schemas.contacts.write", "POST", "/crm/v3/properties/contacts"),
    ],
)
def test_a_missing_scope_is_403_with_its_name(api: Api, without: str, method: str, path: str) -> None:
    """In the context of the first error."""
    api.portal.tokens.issue("narrow", SCOPES - {without})
    api.token = "narrow"
    refused = api.call(method, path, {})
    assert (refused.status, refused.category) == (403, "MISSING_SCOPES")
    assert without in refused.json["errors"][0]["context"]["requiredGranularScopes"]


def test_one_of_several_scopes_is_enough_for_preferences(api: Api) -> None:
    """Reading and writing have scopes of their own and one for both."""
    api.portal.tokens.issue("narrow", {"communication_preferences.read"})
    api.token = "narrow"
    path = "/communication-preferences/v4/statuses/a@example.com"
    assert api.call("GET", f"{path}?channel=EMAIL").status == 200
    assert api.call("POST", f"{path}/unsubscribe-all?channel=EMAIL").status == 403


def test_a_private_app_asks_what_its_token_may(api: Api) -> None:
    """The scopes, and which account it is."""
    answer = api.raw(
        "POST",
        "/oauth/v2/private-apps/get/access-token-info",
        body=f'{{"tokenKey": "{api.token}"}}'.encode(),
    )
    assert answer.json["hubId"] == api.portal.portal_id
    assert set(answer.json["scopes"]) == SCOPES


@pytest.mark.parametrize("path", ["/oauth/v1/token", "/oauth/2026-03/token"])
def test_an_oauth_token_lasts_half_an_hour_and_is_renewed(api: Api, path: str) -> None:
    """By the refresh token, as often as needed."""
    code = api.portal.tokens.install(DEFAULT_CLIENT_ID)
    status, first = ask_token(api, path, grant_type="authorization_code", code=code, redirect_uri="http://localhost/")
    assert (status, first["expires_in"]) == (200, 1_800)
    api.token = first["access_token"]
    assert api.get("/objects/contacts").status == 200
    api.clock.move(seconds=1_800)
    assert api.get("/objects/contacts").category == "EXPIRED_AUTHENTICATION"
    status, second = ask_token(api, path, grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (status, second["refresh_token"]) == (200, first["refresh_token"])
    api.token = second["access_token"]
    assert api.get("/objects/contacts").status == 200


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "BAD_REFRESH_TOKEN"),
        ({"grant_type": "authorization_code", "code": "x"}, "BAD_AUTH_CODE"),
        ({"grant_type": "password"}, "BAD_GRANT_TYPE"),
        ({"grant_type": "refresh_token", "client_secret": "x"}, "BAD_CLIENT_SECRET"),
    ],
)
def test_a_bad_grant_is_400_with_its_status(api: Api, form: dict[str, str], status: str) -> None:
    """And gives no token."""
    assert ask_token(api, **form)[1]["status"] == status


# --- troubles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("locked", 423),
        ("migrating", 477),
        ("unavailable", 503),
        ("bad_gateway", 502),
        ("ten_secondly", 429),
        ("broken", 500),
    ],
)
def test_a_trouble_before_the_work_leaves_nothing(api: Api, name: str, status: int) -> None:
    """And only once, unless it is asked for more often."""
    api.portal.faults.add(TROUBLES[name])
    body = {"properties": {"email": "a@example.com"}}
    assert api.post("/objects/contacts", body).status == status
    assert api.portal.all("contacts") == []
    assert api.post("/objects/contacts", body).status == 201


@pytest.mark.parametrize("name", ["unavailable_after_commit", "gateway_timeout_after_commit", "cut_after_commit"])
def test_a_trouble_after_the_work_hides_that_it_is_done(api: Api, name: str) -> None:
    """The record is there, and the client cannot know."""
    api.portal.faults.add(TROUBLES[name])
    answer = api.post("/objects/contacts", {"properties": {"email": "a@example.com"}})
    assert answer.status >= 500 or answer.response.cut
    assert len(api.portal.all("contacts")) == 1


def test_a_migration_says_when_to_come_back(api: Api) -> None:
    """The only answer of all with Retry-After."""
    api.portal.faults.add(TROUBLES["migrating"])
    assert api.get("/objects/contacts").headers["Retry-After"] == "86400"


def test_short_pages_still_lead_to_everything(api: Api) -> None:
    """A page has fewer rows than were asked for, and a way to the next."""
    made = [api.contact(f"p{number}@example.com") for number in range(3)]
    api.clock.move(seconds=10)
    api.portal.faults.add(TROUBLES["short_page"])
    first = api.search(limit=100).json
    rest = api.search(limit=100, after=first["paging"]["next"]["after"]).json
    assert len(first["results"]) == 2
    assert sorted(each["id"] for each in first["results"] + rest["results"]) == made


# --- the account ------------------------------------------------------------------------------------------------------


def test_the_account_tells_its_id_and_zone(api: Api) -> None:
    """By which a copy is told from the original."""
    details = api.call("GET", "/account-info/v3/details").json
    assert (details["portalId"], details["timeZone"]) == (api.portal.portal_id, "America/New_York")
    assert details["utcOffsetMilliseconds"] == -5 * timedelta(hours=1) / timedelta(milliseconds=1)


def test_the_daily_usage_is_told() -> None:
    """With when it begins anew."""
    api = Api(limits=SMALL)
    api.get("/objects/contacts")
    usage = api.call("GET", "/account-info/v3/api-usage/daily/private-apps").json["results"][0]
    assert (usage["usageLimit"], usage["currentUsage"], usage["resetsAt"]) == (5, 2, "2026-11-25T05:00:00Z")


def test_owners_are_listed_found_by_address_and_shown_once_they_left(api: Api) -> None:
    """Records carry the owner's id, not the user's."""
    maya = api.portal.add_owner("maya@acme.example", "Maya", "Okonkwo")
    tom = api.portal.add_owner("tom@acme.example", "Tom", "Berg")
    contact = api.contact("a@example.com", hubspot_owner_id=tom)
    api.portal.deactivate_owner(tom)
    assert api.get("/owners").ids == [maya]
    assert api.get("/owners?archived=true").ids == [tom]
    assert api.get("/owners?email=maya@acme.example").ids == [maya]
    assert api.get(f"/owners/{tom}").status == 404
    assert api.value(contact, "hubspot_owner_id") == tom
    changed = api.call("PATCH", f"/crm/v3/objects/contacts/{contact}", {"properties": {"hubspot_owner_id": tom}})
    assert changed.codes == ["INVALID_OWNER_ID"]
