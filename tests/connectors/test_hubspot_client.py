"""HTTP to a portal: what is renewed, repeated, waited for and refused, and by which words people are told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hubspot_driver import HubSpotDriver
from hubspot_peer import HubSpotPeer
from pydantic import SecretStr, ValidationError

from connectors.hubspot.client import read_usage
from connectors.hubspot.faults import Fault, read_fault
from connectors.hubspot.pace import Pace, Window
from connectors.hubspot.paths import path_of
from connectors.hubspot.settings import Auth, OAuthApp
from crmdrip.core.errors import AuthError, ConfigurationError, ErrorClass, RateLimitedError, RetriableError
from crmdrip.core.model import RecordKind
from crmdrip.sandbox.hubspot.auth import SCOPES
from crmdrip.sandbox.hubspot.portal import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TOKEN
from crmdrip.sandbox.hubspot.trouble import TROUBLES
from crmdrip.testing.crm import status_write, task_write, write_all


@pytest.fixture
def peer(tmp_path):
    """A fresh portal."""
    with HubSpotPeer(tmp_path / "sequences") as peer:
        yield peer


def oauth(peer: HubSpotPeer, refresh_token: str = "") -> Auth:
    """The portal's app, installed."""
    token = refresh_token or peer.thread.call(lambda: installed(peer))
    return Auth(
        oauth=OAuthApp(
            client_id=DEFAULT_CLIENT_ID,
            client_secret=SecretStr(DEFAULT_CLIENT_SECRET),
            refresh_token=SecretStr(token),
        )
    )


def installed(peer: HubSpotPeer) -> str:
    """A refresh token, as the app's installation gives it."""
    app = peer.portal.tokens._apps[DEFAULT_CLIENT_ID]
    app.refresh_tokens.add("na1-refresh")
    return "na1-refresh"


class TestLogin:
    """Service keys and apps."""

    def test_an_app_logs_in_by_itself(self, peer):
        """A refresh token is all it takes."""
        assert peer.source(auth=oauth(peer)).identity().org_id == str(peer.portal.portal_id)

    def test_an_expired_token_is_renewed(self, peer):
        """Access tokens last half an hour; nobody notices their end."""
        source = peer.source(auth=oauth(peer))
        source.identity()
        peer.clock.move(hours=1)
        assert source.identity().org_id == str(peer.portal.portal_id)

    def test_a_refused_refresh_token_is_an_auth_error(self, peer):
        """The app was removed from the portal."""
        with pytest.raises(AuthError, match="refresh token"):
            peer.source(auth=oauth(peer, "na1-unknown")).identity()

    def test_exactly_one_way_to_log_in_is_given(self):
        """Neither is none, and both is one too many."""
        with pytest.raises(ValidationError, match="exactly one"):
            Auth()

    def test_missing_scopes_are_named(self, peer):
        """Whoever reads the error knows what to grant."""
        scopes = SCOPES - {"crm.objects.contacts.read"}
        peer.thread.call(lambda: peer.portal.tokens.issue(DEFAULT_TOKEN, scopes))
        with pytest.raises(ConfigurationError, match=r"crm\.objects\.contacts\.read"):
            peer.source().look([], frozenset(), None)

    def test_another_portal_is_refused(self, peer):
        """B25: a sandbox has another Hub ID, and is neither read nor written."""
        source = peer.source(portal_id="1")
        with pytest.raises(ConfigurationError, match="only 1 may be mailed from"):
            next(source.pull(None))
        with pytest.raises(ConfigurationError, match="only 1 may be mailed from"):
            write_all(
                peer.sink(source), status_write(HubSpotDriver(peer).add_person(RecordKind.CONTACT, email="a@b.example"))
            )


class TestTrouble:
    """What HubSpot answers when it cannot or will not."""

    def look(self, peer):
        """A look at nobody: one call."""
        return peer.source().look([], frozenset(), None)

    @pytest.mark.parametrize("name", ["broken", "bad_gateway", "unavailable", "web_server_down", "cut"])
    def test_a_read_is_repeated(self, peer, name):
        """B20: a 5xx or a cut, with JSON or a page or nothing, is over with the next try."""
        peer.portal.faults.add(TROUBLES[name])
        assert self.look(peer).brake is not None

    def test_one_search_too_many_in_a_second_is_waited_out(self, peer):
        """B20: the account has five a second, and other apps search as well."""
        peer.portal.faults.add(replace(TROUBLES["search_secondly"], times=2))
        assert list(peer.source().pull(None))

    def test_a_full_window_of_ten_seconds_says_how_long(self, peer):
        """B20: a 429 has no Retry-After; the policy's name tells."""
        peer.portal.faults.add(replace(TROUBLES["ten_secondly"], times=None))
        with pytest.raises(RateLimitedError) as raised:
            self.look(peer)
        assert raised.value.retry_after == 10.0

    def test_an_account_that_moves_says_until_when(self, peer):
        """477: to another data centre, with a Retry-After of up to a day."""
        peer.portal.faults.add(replace(TROUBLES["migrating"], times=None))
        with pytest.raises(RateLimitedError) as raised:
            self.look(peer)
        assert raised.value.retry_after == 86_400

    def test_a_write_is_never_repeated_by_itself(self, peer):
        """B21: whether it happened is not known, so whoever has its key decides."""
        person = HubSpotDriver(peer).add_person(RecordKind.CONTACT, email="ann@acme.example")
        sink = peer.sink(peer.source())
        peer.portal.faults.add(replace(TROUBLES["unavailable_after_commit"], path="/batch/create"))
        before = peer.portal.calls_by_kind["batch"]
        with pytest.raises(RetriableError):
            write_all(sink, task_write(person, "a" * 32))
        assert peer.portal.calls_by_kind["batch"] - before == 2  # whether touch ids are keys, and the write
        assert write_all(sink, task_write(person, "a" * 32))["task"].error is None
        assert len(HubSpotDriver(peer).timeline(person)) == 1

    def test_no_answer_tells_no_address(self, peer):
        """An error's text is logged: it holds no path in which a person may stand."""
        peer.portal.faults.add(replace(TROUBLES["cut"], times=None))
        with pytest.raises(RetriableError) as raised:
            peer.source().find("ann@acme.example")
        assert "ann" not in str(raised.value)


class TestVersions:
    """v3 and v4 end in 2027; until then a portal may need them."""

    @pytest.mark.parametrize(
        ("family", "version", "path"),
        [
            ("objects", "2026-09", "/crm/objects/2026-09/contacts"),
            ("objects", "v3", "/crm/v3/objects/contacts"),
            ("associations", "v4", "/crm/v4/associations/contacts"),
            ("account", "2026-03", "/account-info/2026-03/contacts"),
            ("preferences", "v4", "/communication-preferences/v4/contacts"),
        ],
    )
    def test_the_date_stands_behind_the_family_and_the_number_before(self, family, version, path):
        """Two shapes of one path."""
        assert path_of(family, "contacts", {family: version}) == path

    def test_the_old_versions_still_work(self, peer):
        """The same pull, look and write, by v3 and v4."""
        versions = {"objects": "v3", "associations": "v4", "properties": "v3", "owners": "v3", "account": "v3"}
        crm = HubSpotDriver(peer)
        person = crm.add_person(RecordKind.CONTACT, email="ann@acme.example", enrolled=True, sequence="intro")
        source = peer.source(versions={**versions, "preferences": "v4"})
        (page,) = source.pull(None)
        outcomes = write_all(peer.sink(source), status_write(person), task_write(person, "a" * 32))
        assert {one.error for one in outcomes.values()} == {None}
        assert source.look([person], frozenset(), page.cursor).records[person.id].status == "Active"

    def test_an_unknown_family_is_refused(self, peer):
        """A misspelled family would change nothing, and nobody would know."""
        with pytest.raises(ValidationError, match="no family is called object"):
            peer.settings(versions={"object": "v3"})


class TestFaults:
    """Refusals by what they say."""

    @pytest.mark.parametrize(
        ("fault", "known"),
        [
            (Fault(status=401), ErrorClass.AUTH),
            (Fault(status=423, category="RECORD_LOCKED"), ErrorClass.RETRIABLE),
            (Fault(status=429), ErrorClass.RATE_LIMITED),
            (Fault(status=524), ErrorClass.RETRIABLE),
            (Fault(status=400, category="VALIDATION_ERROR"), ErrorClass.REJECTED),
            (Fault(category="OBJECT_NOT_FOUND"), ErrorClass.SKIPPABLE),
            (Fault(category="SOMETHING_NEW"), ErrorClass.REJECTED),
        ],
    )
    def test_each_has_its_class(self, fault, known):
        """By status where it tells, by category in the rows of a batch."""
        assert fault.error_class is known

    def test_a_body_that_is_no_json_is_a_fault_as_well(self):
        """A gateway's page."""
        assert read_fault(502, b"<html>", {}).error_class is ErrorClass.RETRIABLE


class TestPace:
    """Calls begin no faster than the windows allow."""

    def test_whoever_comes_too_early_waits(self):
        """Of four searches a second the fifth waits for the first one's second to pass."""
        waited: list[float] = []
        pace = Pace(burst=100, searches=4, tick=lambda: 50.0, sleep=waited.append)
        for _ in range(6):
            pace.wait(Window.SEARCH)
        assert waited == [1.0, 1.0]

    def test_the_portal_tells_its_own_limit(self):
        """Nine tenths of it are ours."""
        waited: list[float] = []
        pace = Pace(burst=100, searches=4, tick=lambda: 50.0, sleep=waited.append)
        pace.hear(10)
        for _ in range(10):
            pace.wait(Window.ALL)
        assert waited == [10.0]


class TestUsage:
    """The day's calls, as the answers tell them."""

    def test_used_is_what_is_no_longer_left(self):
        """HubSpot tells the day's limit and what remains of it."""
        headers = {"x-hubspot-ratelimit-daily": "1000", "x-hubspot-ratelimit-daily-remaining": "100"}
        assert read_usage(headers) == (900, 1000)

    @pytest.mark.parametrize("headers", [{}, {"x-hubspot-ratelimit-daily": "1000"}, {"x-hubspot-ratelimit-daily": "x"}])
    def test_an_oauth_apps_answers_tell_none(self, headers):
        """What is missing is no usage of zero."""
        assert read_usage(headers) is None
