"""HTTP to a portal: what is renewed, repeated, waited for and refused, and by which words people are told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import orjson
import pytest
from hubspot_driver import HubSpotDriver
from hubspot_peer import HubSpotPeer
from pydantic import SecretStr, ValidationError

from connectors.hubspot.client import read_usage
from connectors.hubspot.faults import Fault, read_fault
from connectors.hubspot.pace import Pace, Window
from connectors.hubspot.paths import FAMILIES, NUMBERED, path_of
from connectors.hubspot.settings import Auth, OAuthApp
from crmdrip.core.errors import AuthError, ConfigurationError, ErrorClass, RateLimitedError, RetriableError
from crmdrip.core.model import RecordKind
from crmdrip.ports import OptOutWrite, Purpose
from crmdrip.sandbox.hubspot.auth import SCOPES
from crmdrip.sandbox.hubspot.limits import Tier
from crmdrip.sandbox.hubspot.portal import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TOKEN
from crmdrip.sandbox.hubspot.trouble import TROUBLES
from crmdrip.testing.crm import read_all, status_write, task_write, touch_write, write_all


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


def paths_of(peer: HubSpotPeer) -> list[str]:
    """What was asked for, in order."""
    return list(peer.paths)


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

    def test_many_threads_renew_a_token_once(self, peer):
        """All of them met the same refusal; the first one's new token serves the others."""
        source = peer.source(auth=oauth(peer))
        source.identity()
        peer.clock.move(hours=1)
        asked = len([path for path in peer.paths if path.startswith("/oauth")])
        with ThreadPoolExecutor(8) as pool:
            found = [one.result().org_id for one in [pool.submit(source.identity) for _ in range(8)]]
        assert set(found) == {str(peer.portal.portal_id)}
        assert len([path for path in peer.paths if path.startswith("/oauth")]) == asked + 1

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

    def test_an_answer_that_does_not_come_is_not_waited_for(self, peer):
        """B20: the library has no time-out of its own; ours holds for every call, and a write is not repeated."""
        person = HubSpotDriver(peer).add_person(RecordKind.CONTACT, email="ann@acme.example")
        source = peer.source(read_timeout=0.05)
        source.identity()
        peer.portal.faults.add(replace(TROUBLES["slow"], path="/batch/update$", delay=0.4))
        with pytest.raises(RetriableError, match="no answer"):
            write_all(peer.sink(source), status_write(person))

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

    @pytest.mark.parametrize(
        ("policy", "message", "seconds"),
        [
            ("DAILY", "You have reached your daily limit.", 3_600.0),
            ("TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit.", 10.0),
            ("", "You have reached your ten_secondly_rolling limit.", 10.0),
            ("", "You have reached your secondly limit.", 1.0),
            ("SOMETHING_NEW", "Slow down.", None),
        ],
    )
    def test_a_limit_is_known_by_its_policy_s_name(self, policy, message, seconds):
        """B20: or by the message, which may be all that a search's refusal has; of others nothing is guessed."""
        body = orjson.dumps({"status": "error", "message": message, **({"policyName": policy} if policy else {})})
        error = read_fault(429, body, {}).error("HubSpot")
        assert isinstance(error, RateLimitedError)
        assert error.retry_after == seconds

    def test_a_record_that_is_being_written_is_waited_for(self, peer):
        """423: at least two seconds, in HubSpot's own words."""
        peer.portal.faults.add(TROUBLES["locked"])
        source, before = peer.source(), peer.clock.now()
        source.look([], frozenset(), None)
        assert (peer.clock.now() - before).total_seconds() >= 2.0

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

    def test_a_sandbox_that_is_not_started_is_named_as_such(self, peer):
        """Nobody goes looking for HubSpot's own servers, and the command to type is there."""
        with pytest.raises(RetriableError, match=r"127\.0\.0\.1:9: no answer") as raised:
            peer.source(base_url="http://127.0.0.1:9").identity()
        assert "crmdrip sandbox --crm hubspot" in raised.value.do_next


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
            ("lists", "v3", "/crm/v3/lists/contacts"),
            ("lists", "2026-03", "/crm/lists/2026-03/contacts"),
            ("oauth", "v1", "/oauth/v1/contacts"),
            ("oauth", "2026-03", "/oauth/2026-03/contacts"),
        ],
    )
    def test_the_date_stands_behind_the_family_and_the_number_before(self, family, version, path):
        """Two shapes of one path."""
        assert path_of(family, "contacts", {family: version}) == path

    @pytest.mark.parametrize(
        "versions", [NUMBERED, {}, dict.fromkeys(FAMILIES, "2026-03")], ids=["numbered", "ours", "2026-03"]
    )
    def test_numbered_and_dated_versions_do_the_same(self, peer, versions):
        """Every family by each: login, pull, look, lists, statuses, touches, deals and opting out."""
        crm = HubSpotDriver(peer)
        fair = peer.do("create_list", "Met at the fair")
        text = f'name = "Intro"\nstatus = "Live"\nlist = {fair.id}\n'
        (peer.folder / "intro.toml").write_text(text)
        person = crm.add_person(RecordKind.CONTACT, email="ann@acme.example")
        crm.open_opportunity(person, "Big deal")
        peer.do("join_list", fair, person.id)
        source = peer.source(versions=dict(versions), auth=oauth(peer), log_on_deal=True)
        source.follow_lists()
        peer.clock.move(seconds=10)
        cursor = read_all(source).cursor
        writes = (status_write(person), task_write(person, "a" * 32), OptOutWrite(key="o", ref=person))
        outcomes = write_all(peer.sink(source), *writes, touch_write(person, "a" * 32, "Opened"))
        assert {one.error for one in outcomes.values()} == {None}
        record = source.look([person], frozenset({"owner.name"}), cursor).records[person.id]
        assert (record.status, record.enrolled, record.opted_out) == ("Active", True, True)
        asked = {versions.get(family, FAMILIES[family][2]) for family in ("objects", "lists", "associations")}
        assert asked <= {each for path in paths_of(peer) for each in path.split("/")}

    @pytest.mark.parametrize(
        ("family", "version"), [("preferences", "v3"), ("associations", "v3"), ("objects", "v4"), ("objects", "latest")]
    )
    def test_a_version_of_another_shape_is_refused(self, peer, family, version):
        """Its requests and answers are others, so that it would fail with the first email and not at the start."""
        with pytest.raises(ValidationError, match=f"{family} must be a date"):
            peer.settings(versions={family: version})

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
        pace.hear(Window.ALL, 10)
        for _ in range(10):
            pace.wait(Window.ALL)
        assert waited == [10.0]

    def test_associations_have_a_limit_of_their_own(self, peer):
        """An answer of theirs tells it, and says nothing of the others': 150 of one and 190 of the other here."""
        peer.portal.meter.limits = Tier.ENTERPRISE.value
        client = peer.client()
        client.get("account", "details", Purpose.LOOK)
        client.ask("associations", "contacts/emails/batch/read", {"inputs": [{"id": "1"}]}, Purpose.LOOK)
        assert (client._pace._most[Window.ALL], client._pace._most[Window.ASSOCIATIONS]) == (171, 135)


class TestUsage:
    """The day's calls, as the answers tell them."""

    def test_the_admin_s_cap_is_never_crossed(self, peer):
        """P5: reporting stops while some calls are left for stops, and at the cap so does everything."""
        person = HubSpotDriver(peer).add_person(RecordKind.CONTACT, email="ann@acme.example")
        source = peer.source(daily_cap=12, reserve=4)
        sink, before = peer.sink(source), peer.calls()

        def report() -> None:
            for number in range(20):
                write_all(sink, status_write(person, run=number))

        def look() -> None:
            for _ in range(20):
                source.look([person], frozenset(), None)

        for work, made in ((report, 8), (look, 12)):
            with pytest.raises(RateLimitedError, match="daily cap"):
                work()
            assert peer.calls() - before == made

    def test_used_is_what_is_no_longer_left(self):
        """HubSpot tells the day's limit and what remains of it."""
        headers = {"x-hubspot-ratelimit-daily": "1000", "x-hubspot-ratelimit-daily-remaining": "100"}
        assert read_usage(headers) == (900, 1000)

    @pytest.mark.parametrize("headers", [{}, {"x-hubspot-ratelimit-daily": "1000"}, {"x-hubspot-ratelimit-daily": "x"}])
    def test_an_oauth_apps_answers_tell_none(self, headers):
        """What is missing is no usage of zero."""
        assert read_usage(headers) is None
