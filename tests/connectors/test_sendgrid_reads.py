"""Looking up doubts, reading suppressions and preflight checks, over HTTP against the stand-in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
import requests
from pydantic import SecretStr
from sendgrid_peer import KEY, SendGridPeer, SystemClock
from sendgrid_signer import Signer

from connectors.sendgrid import connector
from connectors.sendgrid.feed import PAGE
from connectors.sendgrid.log import build_query
from connectors.sendgrid.settings import SendGridSettings
from crmdrip.core.errors import AuthError, ConfigurationError, RateLimitedError, RetriableError
from crmdrip.core.model import SignalKind
from crmdrip.ports import CheckLevel, ConnectorContext, Finding
from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.testing.mailer import build_message

NOW = datetime.now(UTC)


def context(peer, **values):
    settings = SendGridSettings(**{"api_key": SecretStr(KEY), "base_url": peer.server.url, **values})
    return ConnectorContext(settings=settings, mapping=None, clock=SystemClock())


@pytest.fixture
def peer():
    with SendGridPeer() as peer:
        yield peer


@pytest.fixture
def mailer(peer):
    mailer = connector.build_mailer(context(peer))
    yield mailer
    mailer.close()


@pytest.fixture
def feed(peer):
    return connector.build_feed(context(peer))


def harm(peer, **fault):
    peer.call(lambda: peer.account.faults.add(Fault(**{"kind": FaultKind.ANSWER, "times": None, **fault})))


# the log


def test_a_found_touch_carries_the_id_of_its_acceptance(mailer):
    """B1: what the log shows is the very request that SendGrid accepted."""
    message = build_message(1)
    (outcome,) = mailer.send([message])
    found = mailer.find(message.touch_id, message.to_address, NOW - timedelta(minutes=1))
    assert (found.finding, found.provider_id) == (Finding.SENT, outcome.provider_id)
    assert found.at is not None
    assert abs(found.at - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_key_without_the_logs_cannot_tell(peer):
    """B1: a missing permission is no proof of anything."""
    with SendGridPeer(scopes=["mail.send"]) as narrow:
        mailer = connector.build_mailer(context(narrow))
        assert mailer.find("0" * 32, "a@example.com", NOW).finding is Finding.UNAVAILABLE
        mailer.close()


def test_a_refused_key_is_said(peer):
    """AuthError, as the port documents."""
    mailer = connector.build_mailer(context(peer, api_key=SecretStr("SG.other.key")))
    with pytest.raises(AuthError):
        mailer.find("0" * 32, "a@example.com", NOW)
    mailer.close()


def test_a_short_outage_is_waited_out(peer, mailer):
    """A read is safe to repeat, and is."""
    harm(peer, status=503, times=1)
    assert mailer.find("0" * 32, "a@example.com", NOW).finding is Finding.NOT_FOUND


def test_a_long_outage_is_said(peer, mailer):
    """RetriableError after three times, and not a fourth."""
    harm(peer, status=503)
    with pytest.raises(RetriableError):
        mailer.find("0" * 32, "a@example.com", NOW)
    assert len(peer.requests) == 3


def test_a_limit_on_the_log_is_said_with_its_wait(peer, mailer):
    """RateLimitedError, with the seconds SendGrid named."""
    harm(peer, status=429, headers={"Retry-After": "9"})
    with pytest.raises(RateLimitedError) as caught:
        mailer.find("0" * 32, "a@example.com", NOW)
    assert caught.value.retry_after == 9.0


@pytest.mark.parametrize(
    ("address", "quoted"), [("jo@example.com", "'jo@example.com'"), ("o'brien@example.com", '"o\'brien@example.com"')]
)
def test_an_address_is_quoted_by_the_quote_it_lacks(address, quoted):
    """The log's language describes no way to escape one."""
    query = build_query(address, datetime(2026, 11, 24, 12, 1, tzinfo=UTC))
    assert query == f'to_email = {quoted} AND sg_message_id_created_at >= TIMESTAMP "2026-11-24T12:00:00Z"'


@pytest.mark.parametrize("address", ['"o\'brien"@example.com', "a@example.com\n"])
def test_an_address_that_cannot_be_quoted_is_not_asked_for(address):
    """B27: nothing an address holds becomes part of the question."""
    assert build_query(address, NOW) is None


# suppressions


def test_every_list_becomes_its_signal(peer, feed):
    """B22: what SendGrid will not deliver to is heard here, by normalized address."""

    def suppress():
        lists = peer.account.suppressions
        lists.add("unsubscribes", "Un@Example.com")
        lists.add("spam_reports", "spam@example.com", ip="127.0.0.1")
        lists.add("bounces", "gone@example.com", reason="550 5.1.1 unknown", status="5.1.1")
        lists.add("invalid_emails", "bad@example.com", reason="no such domain")
        lists.add("blocks", "full@example.com", reason="452 mailbox full", status="4.2.2")

    peer.call(suppress)
    signals = [signal for page in feed.poll(None) for signal in page.signals]
    assert {(signal.address, signal.kind) for signal in signals} == {
        ("un@example.com", SignalKind.UNSUBSCRIBE),
        ("spam@example.com", SignalKind.SPAM_REPORT),
        ("gone@example.com", SignalKind.BOUNCE),
        ("bad@example.com", SignalKind.BOUNCE),
        ("full@example.com", SignalKind.DEFERRED),
    }
    assert {signal.detail for signal in signals if signal.address == "gone@example.com"} == {"5.1.1 550 5.1.1 unknown"}
    assert all("@" not in signal.key and signal.key.startswith("sendgrid:") for signal in signals)


def test_an_entry_read_twice_has_one_key(peer, feed):
    """B23: the overlap repeats entries, and they are the same happening."""
    peer.call(lambda: peer.account.bounce("gone@example.com"))
    pages = list(feed.poll(None))
    again = list(feed.poll(pages[-1].cursor))
    (first,), (second,) = ([signal for page in part for signal in page.signals] for part in (pages, again))
    assert first == second


def test_a_poll_asks_only_for_what_is_new(peer, feed):
    """P5: the second poll starts an hour before the newest entry of each list."""
    peer.call(lambda: peer.account.bounce("gone@example.com"))
    cursor = list(feed.poll(None))[-1].cursor
    before = len(peer.requests)
    list(feed.poll(cursor))
    (asked,) = [r.query() for r in peer.requests[before:] if r.path == "/v3/suppression/bounces"]
    newest = json.loads(cursor)["bounce"]["newest"]
    assert int(asked["start_time"]) == newest - 3600


def test_a_reading_that_was_cut_off_goes_on_where_it_was(peer, feed):
    """Each page's cursor is saved by itself: stopping after any page loses nothing and starts nothing over."""

    def fill():
        for number in range(2 * PAGE + 1):
            peer.account.suppressions.add("unsubscribes", f"p{number}@example.com")

    peer.call(fill)
    seen: set[str] = set()
    cursor = None
    for _ in range(3):
        page = next(iter(feed.poll(cursor)))
        cursor = page.cursor
        seen |= {signal.address for signal in page.signals}
    assert len(seen) == 2 * PAGE + 1
    offsets = [r.query().get("offset") for r in peer.requests if r.path == "/v3/suppression/unsubscribes"]
    assert offsets == ["0", str(PAGE), str(2 * PAGE)]


@pytest.mark.parametrize("cursor", ["", "nonsense", "[]", '{"bounce": 3}', '{"bounce": {"other": 1}}'])
def test_an_unreadable_cursor_starts_over(peer, feed, cursor):
    """Repeats are harmless, a lost unsubscribe is not."""
    peer.call(lambda: peer.account.suppressions.add("unsubscribes", "un@example.com"))
    assert [signal.address for page in feed.poll(cursor) for signal in page.signals] == ["un@example.com"]


def test_lists_that_may_not_be_read_are_said(peer):
    """A missing permission is a matter of configuration."""
    with SendGridPeer(scopes=["mail.send"]) as narrow, pytest.raises(ConfigurationError):
        list(connector.build_feed(context(narrow)).poll(None))


def group(peer, name, *members):
    """An unsubscribe group with these members; its id."""

    def make():
        made = peer.account.suppressions.add_group(name)
        for member in members:
            peer.account.suppressions.join(made.id, member)
        return made.id

    return peer.call(make)


def read_all(feed, cursor=None):
    pages = list(feed.poll(cursor))
    return [signal for page in pages for signal in page.signals], pages[-1].cursor


def test_whoever_left_a_group_is_heard(peer, feed):
    """B22: with its name, by normalized address, as an unsubscribe."""
    group(peer, "Weekly news", "Ann@Example.com")
    signals, _ = read_all(feed)
    assert [(one.kind, one.address, one.detail) for one in signals] == [
        (SignalKind.UNSUBSCRIBE, "ann@example.com", "unsubscribe group Weekly news")
    ]


def test_only_the_groups_that_are_named_count(peer):
    """B22: a newsletter's group need not stop a sequence."""
    group(peer, "Weekly news", "ann@example.com")
    sales = group(peer, "Sales", "bob@example.com")
    signals, _ = read_all(connector.build_feed(context(peer, unsubscribe_groups=(sales,))))
    assert [one.address for one in signals] == ["bob@example.com"]


def test_groups_are_not_asked_for_when_none_counts(peer):
    """The global list counts all the same."""
    group(peer, "Weekly news", "ann@example.com")
    peer.call(lambda: peer.account.suppressions.add("unsubscribes", "bob@example.com"))
    signals, _ = read_all(connector.build_feed(context(peer, unsubscribe_groups=())))
    assert [one.address for one in signals] == ["bob@example.com"]
    assert not any("/asm/" in request.path for request in peer.requests)


def test_a_group_entry_read_twice_has_one_key(peer, feed):
    """B23: the overlap is read again, and known again."""
    group(peer, "Weekly news", "ann@example.com")
    signals, cursor = read_all(feed)
    assert read_all(feed, cursor)[0] == signals
    assert "ann" not in signals[0].key


def test_a_group_entry_of_long_ago_is_not_told_again(peer, feed):
    """The groups come whole each time; what was told long before the newest is passed over."""
    weekly = group(peer, "Weekly news", "old@example.com", "new@example.com")

    def age():
        peer.account.suppressions._groups[weekly].members["old@example.com"].created -= 7 * 24 * 3600

    peer.call(age)
    signals, cursor = read_all(feed)
    assert {one.address for one in signals} == {"old@example.com", "new@example.com"}
    assert [one.address for one in read_all(feed, cursor)[0]] == ["new@example.com"]


def test_a_key_that_may_not_read_groups_has_told_everything_else(peer):
    """P4: silence would read as "nobody left"; and what could be read is kept."""
    scopes = [f"suppression.{name}.read" for name in ("bounces", "blocks", "invalid_emails", "spam_reports")]
    with SendGridPeer(scopes=["mail.send", "suppression.unsubscribes.read", *scopes]) as narrow:
        narrow.call(lambda: narrow.account.suppressions.add("unsubscribes", "ann@example.com"))
        pages = connector.build_feed(context(narrow)).poll(None)
        told = [one.address for page in islice(pages, 5) for one in page.signals]
        with pytest.raises(ConfigurationError):
            next(pages)
    assert told == ["ann@example.com"]


# checks


def test_a_full_key_passes_every_check(peer):
    """Each finding has its stable code; reading makes no email."""
    found = {result.code: result.level for result in connector.check(context(peer))}
    assert found == {
        "SG-REGION": CheckLevel.WARN,
        "SG-KEY": CheckLevel.OK,
        "SG-SEND": CheckLevel.OK,
        "SG-LOGS": CheckLevel.OK,
        "SG-SUPPRESSIONS": CheckLevel.OK,
        "SG-GROUPS": CheckLevel.OK,
        "SG-EVENTS": CheckLevel.WARN,
        "SG-INBOUND": CheckLevel.OK,
        "SG-SENDERS": CheckLevel.OK,
    }
    assert peer.accepted() == []


@pytest.mark.parametrize(
    ("scopes", "bad"),
    [
        (
            ["mail.send"],
            {
                "SG-LOGS": CheckLevel.WARN,
                "SG-SUPPRESSIONS": CheckLevel.WARN,
                "SG-GROUPS": CheckLevel.WARN,
                "SG-EVENTS": CheckLevel.WARN,
                "SG-SENDERS": CheckLevel.WARN,
            },
        ),
        (
            ["messages.read", "suppression.bounces.read", "asm.groups.read", "asm.suppressions.read"],
            {"SG-SEND": CheckLevel.FAIL, "SG-EVENTS": CheckLevel.WARN, "SG-SENDERS": CheckLevel.WARN},
        ),
    ],
)
def test_a_narrow_key_is_told_what_it_lacks(scopes, bad):
    """Without sending nothing works; without reading, doubts and stops wait for people."""
    with SendGridPeer(scopes=scopes) as peer:
        results = [result for result in connector.check(context(peer)) if result.code != "SG-REGION"]
    assert {result.code: result.level for result in results if result.level is not CheckLevel.OK} == bad
    assert all(result.do_next for result in results if result.level is not CheckLevel.OK)


@pytest.mark.parametrize(
    ("groups", "level"), [((), CheckLevel.OK), ((20_001,), CheckLevel.OK), ((7,), CheckLevel.WARN)]
)
def test_groups_that_are_not_there_are_pointed_out(peer, groups, level):
    """B22: a wrong id would be silence."""
    group(peer, "Weekly news")
    (found,) = [r for r in connector.check(context(peer, unsubscribe_groups=groups)) if r.code == "SG-GROUPS"]
    assert found.level is level


ALL_EVENTS = dict.fromkeys(
    (*("processed", "deferred", "delivered", "bounce", "dropped", "open", "click"), "spam_report", "unsubscribe"), True
)


@pytest.mark.parametrize(
    ("settings", "key", "says"),
    [
        ({"enabled": True, **ALL_EVENTS}, "own", "Events go to https://mail.acme.example/hooks/sendgrid/events."),
        ({"enabled": True, **ALL_EVENTS}, "other", "its posts are refused"),
        ({"enabled": False, **ALL_EVENTS}, "own", "its posts are refused"),
        ({"enabled": True, **ALL_EVENTS, "bounce": False}, "own", "does not tell of: bounce."),
    ],
)
def test_the_event_webhook_is_compared_with_the_keys_configured(peer, settings, key, says):
    """B28: a key that is not the webhook's would refuse every event, and nobody would notice for days."""
    hook = {"url": "https://mail.acme.example/hooks/sendgrid/events", **settings}
    base, bearer = f"{peer.server.url}/v3/user/webhooks/event/settings", {"Authorization": f"Bearer {KEY}"}
    created = requests.post(base, json=hook, headers=bearer, timeout=10).json()
    signed = requests.patch(f"{base}/signed/{created['id']}", json={"enabled": True}, headers=bearer, timeout=10)
    keys = {"own": signed.json()["public_key"], "other": Signer().public_key}
    (found,) = [r for r in connector.check(context(peer, event_keys=(keys[key],))) if r.code == "SG-EVENTS"]
    assert says in found.what
    assert (found.level is CheckLevel.OK) is found.what.startswith("Events go to")


@pytest.mark.parametrize(
    ("identities", "level", "says"),
    [
        ({"domains": {"acme.example"}}, CheckLevel.OK, "SendGrid takes emails from acme.example."),
        ({"senders": {"ann@acme.example"}}, CheckLevel.OK, "SendGrid takes emails from ann@acme.example."),
        ({"pending": {"beta.example"}}, CheckLevel.WARN, "does not find its DNS records for beta.example"),
        ({}, CheckLevel.WARN, "No domain and no sender is verified"),
    ],
)
def test_whose_emails_are_taken_is_told(peer, identities, level, says):
    """B16: a sender that is not verified would hold every email, which is better known before."""
    for kind in ("domains", "pending", "senders"):
        setattr(peer.account.identities, kind, identities.get(kind, set()))
    (found,) = [r for r in connector.check(context(peer)) if r.code == "SG-SENDERS"]
    assert (found.level, says in found.what) == (level, True)


@pytest.mark.parametrize(
    ("key", "setting", "says"),
    [
        ("own", {"signed": True}, "Mail is posted: reply.sender.example to https://mail.acme.example/hooks"),
        ("other", {"signed": True}, "its posts are refused"),
        ("own", {"signed": False}, "its posts are refused"),
        ("own", None, "answers are posted to nobody"),
    ],
)
def test_inbound_parse_is_compared_with_the_keys_configured(peer, key, setting, says):
    """B28: a key that is not the policy's would refuse every answer, and no reply would stop anything."""
    base, bearer = f"{peer.server.url}/v3/user/webhooks", {"Authorization": f"Bearer {KEY}"}

    def post(path, body):
        return requests.post(f"{base}/{path}", json=body, headers=bearer, timeout=10).json()

    policy = post("security/policies", {"name": "crmdrip", "signature": {"enabled": True}})["policy"]
    keys = {"own": policy["signature"]["public_key"], "other": Signer().public_key}
    if setting is not None:
        signed = {"security_policy": policy["id"]} if setting["signed"] else {}
        hook = "https://mail.acme.example/hooks/sendgrid/inbound"
        post("parse/settings", {"hostname": "reply.sender.example", "url": hook, "send_raw": True, **signed})
    (found,) = [r for r in connector.check(context(peer, inbound_keys=(keys[key],))) if r.code == "SG-INBOUND"]
    assert says in found.what
    assert (found.level is CheckLevel.OK) is found.what.startswith("Mail is posted")


def test_a_refused_key_fails(peer):
    """No further check is made with it."""
    results = list(connector.check(context(peer, api_key=SecretStr("SG.other.key"))))
    assert [(r.code, r.level) for r in results][1:] == [("SG-KEY", CheckLevel.FAIL)]
    assert "SG.other.key" not in str(results)


def test_nobody_answering_fails(peer):
    """The check says where it knocked, and what is not running where that is a stand-in."""
    peer.stop()
    results = list(connector.check(context(peer, connect_timeout=1.0)))
    assert [(r.code, r.level) for r in results][1:] == [("SG-REACH", CheckLevel.FAIL)]
    assert peer.server.url in results[-1].what
    assert results[-1].do_next.startswith("Start the sandbox: crmdrip sandbox.")


def test_sandbox_mode_is_pointed_out(peer):
    """An account that delivers nothing should not surprise anyone."""
    results = list(connector.check(context(peer, sandbox_mode=True)))
    assert ("SG-SANDBOX-MODE", CheckLevel.WARN) in [(result.code, result.level) for result in results]


def test_sandbox_mode_sends_nothing(peer):
    """SendGrid says 200 and keeps nothing, and the outcome is an acceptance."""
    mailer = connector.build_mailer(context(peer, sandbox_mode=True))
    (outcome,) = mailer.send([build_message(1)])
    mailer.close()
    assert outcome.status == "accepted"
    assert peer.accepted() == []


def test_an_unreadable_ca_file_is_reported(peer, tmp_path):
    """The check says so instead of raising."""
    path = tmp_path / "ca.pem"
    path.write_text("no certificate", encoding="utf-8")
    assert [result.code for result in connector.check(context(peer, ca_file=path))] == ["SG-CA"]
