"""Who may ask, how often, and what is hidden from them."""

from __future__ import annotations

import base64
from datetime import timedelta

import orjson
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from salesforce_api import BASE, BEGIN, Api, row

from crmdrip.sandbox.salesforce.auth import JWT_GRANT
from crmdrip.sandbox.salesforce.org import DEFAULT_KEY, DEFAULT_SECRET

USERNAME = "crmdrip@acme.example"


@pytest.fixture
def api():
    return Api()


@pytest.fixture(scope="module")
def key():
    """The client's private key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class TestClientCredentials:
    """The simple server-to-server flow."""

    def test_it_opens_a_session_on_my_domain(self, api):
        """The answer names the instance and no expiry, and its token works."""
        answer = api.client_credentials()
        assert answer.status == 200
        assert set(answer.json) == {
            "access_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at",
        }  # fmt: skip
        assert answer.json["instance_url"] == "https://acme.my.salesforce.com"
        api.token = answer.json["access_token"]
        assert api.call("GET", "/limits").status == 200

    def test_key_and_secret_may_come_by_basic_auth(self, api):
        """As simple-salesforce sends them."""
        basic = base64.b64encode(f"{DEFAULT_KEY}:{DEFAULT_SECRET}".encode()).decode()
        headers = {"host": "acme.my.salesforce.com", "authorization": f"Basic {basic}"}
        body = b"grant_type=client_credentials"
        assert api.raw("POST", "/services/oauth2/token", body=body, headers=headers).status == 200

    @pytest.mark.parametrize("host", ["login.salesforce.com", "test.salesforce.com", "other.my.salesforce.com"])
    def test_any_other_host_is_refused(self, api, host):
        """The flow needs My Domain."""
        answer = api.client_credentials(host)
        assert (answer.status, answer.json) == (
            400, {"error": "invalid_grant", "error_description": "request not supported on this domain"}
        )  # fmt: skip

    def test_a_wrong_secret_or_key_is_refused(self, api):
        """Each with an error of its own."""
        assert api.client_credentials(secret="wrong").json["error"] == "invalid_client"
        answer = api.grant(grant_type="client_credentials", client_id="nobody", client_secret="x")
        assert answer.json["error"] == "invalid_client_id"

    def test_an_app_without_a_run_as_user_is_refused(self, api):
        """The admin has not set one."""
        api.org.register_app("key2", "secret2")
        answer = api.grant(grant_type="client_credentials", client_id="key2", client_secret="secret2")
        assert answer.json["error_description"] == "no client credentials user enabled"

    @pytest.mark.parametrize("grant", ["password", "refresh_token", ""])
    def test_other_grants_are_not_supported(self, api, grant):
        """Neither is no grant."""
        answer = api.grant(grant_type=grant)
        assert (answer.status, answer.json["error"]) == (400, "unsupported_grant_type")


class TestJwtBearer:
    """The flow with a certificate."""

    @pytest.fixture
    def trusting(self, api, key):
        """An org that knows the key and has approved the user."""
        pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        api.org.register_app("jwt-app", "", public_key=pem, approved=[USERNAME])
        return api

    def ask(self, api, key, host="login.salesforce.com", **changes):
        """Send an assertion, good but for the changes."""
        expires = int((BEGIN + timedelta(minutes=3)).timestamp())
        claims = {"iss": "jwt-app", "sub": USERNAME, "aud": "https://login.salesforce.com", "exp": expires, **changes}
        parts = [orjson.dumps({"alg": "RS256", "typ": "JWT"}), orjson.dumps(claims)]
        signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        signature = base64.urlsafe_b64encode(key.sign(signed, padding.PKCS1v15(), hashes.SHA256())).rstrip(b"=")
        return api.grant(host, grant_type=JWT_GRANT, assertion=f"{signed.decode()}.{signature.decode()}")

    def test_it_opens_a_session_of_the_user(self, trusting, key):
        """On the login host and on My Domain."""
        for host in ("login.salesforce.com", "acme.my.salesforce.com"):
            answer = self.ask(trusting, key, host)
            assert answer.status == 200
            assert answer.json["id"].endswith(trusting.org.integration_user_id)

    def test_the_expiry_may_be_text(self, trusting, key):
        """As simple-salesforce sends it."""
        assert self.ask(trusting, key, exp=str(int(BEGIN.timestamp()) + 180)).status == 200

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"iss": "other"}, "invalid_client_id"),
            ({"sub": "nobody@acme.example"}, "invalid_grant"),
            ({"sub": "admin@acme.example"}, "invalid_grant"),
            ({"aud": "https://example.com"}, "invalid_grant"),
            ({"exp": int(BEGIN.timestamp()) - 1}, "invalid_grant"),
            ({"exp": int(BEGIN.timestamp()) + 3600}, "invalid_grant"),
            ({"exp": "soon"}, "invalid_grant"),
        ],
    )
    def test_a_wrong_claim_is_refused(self, trusting, key, changes, error):
        """Issuer, subject, audience and expiry are all checked."""
        answer = self.ask(trusting, key, **changes)
        assert (answer.status, answer.json["error"]) == (400, error)

    def test_another_key_is_refused(self, trusting):
        """The signature is verified."""
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert self.ask(trusting, stranger).json == {"error": "invalid_grant", "error_description": "invalid assertion"}

    def test_no_token_at_all_is_refused(self, trusting):
        """Whatever stands in the assertion's place."""
        for assertion in ("", "a.b.c", "abc"):
            assert trusting.grant(grant_type=JWT_GRANT, assertion=assertion).json["error"] == "invalid_grant"


class TestSessions:
    """Tokens end."""

    def test_a_bad_token_is_401_invalid_session_id(self, api):
        """With the vendor's body; the limit header comes all the same."""
        api.token = "nonsense"
        answer = api.call("GET", "/limits")
        assert answer.status == 401
        assert answer.json == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
        assert "Sforce-Limit-Info" in answer.headers

    def test_an_idle_session_ends(self, api):
        """Use keeps it alive."""
        for _ in range(3):
            api.clock.move(minutes=90)
            assert api.call("GET", "/limits").status == 200
        api.clock.move(minutes=121)
        assert api.call("GET", "/limits").status == 401

    def test_an_admin_can_end_all_sessions(self, api):
        """The next request of each is refused."""
        api.org.sessions.end_all()
        assert api.call("GET", "/limits").status == 401


class TestBudget:
    """API calls are counted and limited."""

    def test_every_answer_says_what_is_used(self, api):
        """Also one that refuses; a token request is no API call."""
        api.client_credentials()
        assert api.call("GET", "/limits").headers["Sforce-Limit-Info"] == "api-usage=1/100000"
        assert api.query("nonsense").headers["Sforce-Limit-Info"] == "api-usage=2/100000"
        assert api.org.api_calls == 2

    def test_past_the_limit_everything_is_403(self, api):
        """REQUEST_LIMIT_EXCEEDED until a day has passed; nothing more is counted."""
        api.org.daily_limit = 2
        assert [api.call("GET", "/limits").status for _ in range(3)] == [200, 200, 403]
        answer = api.call("GET", "/limits")
        assert answer.json == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
        assert answer.headers["Sforce-Limit-Info"] == "api-usage=2/2"
        api.clock.move(hours=24, minutes=1)
        api.token = api.org.sessions.open(api.org.integration_user_id)
        assert api.call("GET", "/limits").status == 200

    def test_a_composite_request_is_one_call(self, api):
        """However many subrequests it has."""
        requests = [{"method": "GET", "url": f"{BASE}/limits", "referenceId": f"r{n}"} for n in range(25)]
        api.call("POST", "/composite", {"compositeRequest": requests})
        assert api.org.calls_by_kind == {"composite": 1}

    def test_calls_are_counted_by_kind(self, api):
        """For benchmarks and tests."""
        api.query("SELECT Id FROM Contact")
        api.call("GET", "/sobjects/Contact/describe")
        api.upsert_tasks({"Drip_Touch_Id__c": "a"})
        api.patch(row(api.contact(), Title="x"))
        assert api.org.calls_by_kind == {"query": 1, "describe": 1, "collections": 2}
        assert api.org.api_calls == 4

    def test_the_limits_resource_tells_what_remains(self, api):
        """Max and Remaining of the day."""
        api.query("SELECT Id FROM Contact")
        assert api.call("GET", "/limits").json["DailyApiRequests"] == {"Max": 100_000, "Remaining": 99_998}

    def test_the_date_header_is_the_orgs_time(self, api):
        """Not the machine's."""
        assert api.call("GET", "/limits").headers["Date"] == "Tue, 24 Nov 2026 09:00:00 GMT"


class TestHiddenField:
    """Field-level security."""

    def test_the_opt_out_box_can_be_hidden_from_the_start(self):
        """B26: as real orgs have it."""
        api = Api(opt_out_hidden=True)
        for name in ("Contact", "Lead"):
            assert "HasOptedOutOfEmail" not in str(api.call("GET", f"/sobjects/{name}/describe").json)

    def test_a_hidden_field_exists_nowhere_for_the_api_user(self, api):
        """B26: not in describe, select, filter, order, record or write; granting it brings it back."""
        contact = api.contact()
        api.org.hide_field("Contact", "HasOptedOutOfEmail")
        answers = [
            api.query("SELECT HasOptedOutOfEmail FROM Contact"),
            api.query("SELECT Id FROM Contact WHERE HasOptedOutOfEmail = true"),
            api.query("SELECT Id FROM Contact ORDER BY HasOptedOutOfEmail"),
            api.call("GET", f"/sobjects/Contact/{contact}?fields=HasOptedOutOfEmail"),
            api.call("PATCH", f"/sobjects/Contact/{contact}", {"HasOptedOutOfEmail": True}),
            api.call("POST", "/composite/sobjects/Contact", {"ids": [contact], "fields": ["HasOptedOutOfEmail"]}),
        ]
        assert [(answer.status, answer.code) for answer in answers] == [(400, "INVALID_FIELD")] * 6
        assert all("No such column 'HasOptedOutOfEmail'" in answer.message for answer in answers)
        api.org.show_field("Contact", "HasOptedOutOfEmail")
        assert api.query("SELECT HasOptedOutOfEmail FROM Contact").status == 200

    def test_people_in_the_org_still_see_it(self, api):
        """Only the API user does not."""
        contact = api.contact()
        api.org.hide_field("Contact", "HasOptedOutOfEmail")
        api.org.update(contact, {"HasOptedOutOfEmail": True})
        assert api.one(contact, "HasOptedOutOfEmail")["HasOptedOutOfEmail"] is True


class TestFrame:
    """Paths, methods and sizes."""

    def test_paths_with_and_without_a_slash_at_the_end_are_the_same(self, api):
        """simple-salesforce puts one, others do not."""
        assert (
            api.call("GET", "/query/?q=SELECT+Id+FROM+Contact").json
            == api.call("GET", "/query?q=SELECT+Id+FROM+Contact").json
        )

    def test_the_versions_are_listed_without_a_session(self, api):
        """GET /services/data."""
        versions = api.raw("GET", "/services/data").json
        assert {"label", "url", "version"} == set(versions[-1])

    def test_a_retired_version_is_unknown(self, api):
        """v30 was retired."""
        headers = {"authorization": f"Bearer {api.token}"}
        assert api.raw("GET", "/services/data/v30.0/limits", headers=headers).status == 404

    def test_a_wrong_method_is_405(self, api):
        """METHOD_NOT_ALLOWED."""
        answer = api.call("DELETE", "/limits")
        assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")

    def test_uri_and_headers_together_are_limited(self, api):
        """431 past 16,384 bytes."""
        assert api.query("SELECT Id FROM Contact", x_filler="x" * 16_000).status == 200
        assert api.query("SELECT Id FROM Contact", x_filler="x" * 16_300).status == 431
