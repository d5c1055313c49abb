"""The Event Webhook of the SendGrid stand-in: settings, signatures, batches, retries, disturbances."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta

import orjson
import pytest
from mailroom import ALL, BASE, EVENTS_URL, Mailroom, day
from sendgrid.helpers.eventwebhook import EventWebhook
from sendgrid_request import NOW, READ_ONLY_KEY

from crmdrip.sandbox.sendgrid import LIVELY, Disturbances, EventKind
from crmdrip.sandbox.sendgrid.signing import SIGNATURE_HEADER, TIMESTAMP_HEADER, SigningKey

SETTINGS = f"{BASE}/event/settings"


@pytest.fixture
def room() -> Mailroom:
    return Mailroom()


# --- settings ---------------------------------------------------------------------------------------------------------


def test_a_webhook_is_shown_as_it_was_created(room: Mailroom) -> None:
    """With an id, its dates, and no key before it is signed."""
    webhook_id = room.listen(signed=False, friendly_name="crmdrip", open=False)
    (shown,) = room.json("GET", f"{SETTINGS}/all")["webhooks"]
    expected = {**ALL, "open": False, "url": EVENTS_URL, "friendly_name": "crmdrip", "account_status_change": False}
    dates = {"created_date": day(NOW), "updated_date": day(NOW)}
    assert shown == {**expected, "id": webhook_id, **dates}


def test_several_webhooks_stand_beside_each_other_up_to_the_plan_s_limit(room: Mailroom) -> None:
    """Five of this plan; the sixth is refused in the vendor's words."""
    for number in range(5):
        room.listen(url=f"{EVENTS_URL}/{number}")
    listed = room.json("GET", f"{SETTINGS}/all")
    assert (listed["max_allowed"], len(listed["webhooks"])) == (5, 5)
    sixth = room.ask("POST", SETTINGS, {"url": EVENTS_URL, "enabled": True})
    assert sixth.status == 400
    assert b"maximum number of webhooks" in sixth.body


def test_one_address_has_one_webhook(room: Mailroom) -> None:
    """The refusal names the webhook that is there."""
    webhook_id = room.listen()
    again = room.ask("POST", SETTINGS, {"url": EVENTS_URL, "enabled": True})
    (error,) = orjson.loads(again.body)["errors"]
    assert (again.status, error["id"], error["url"]) == (400, webhook_id, EVENTS_URL)


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://example.com/x", 7])
def test_an_address_must_be_one(room: Mailroom, url: object) -> None:
    """Only http and https with a host."""
    assert room.ask("POST", SETTINGS, {"url": url, "enabled": True}).status == 400


def test_an_unknown_id_is_answered_with_404(room: Mailroom) -> None:
    """In the vendor's words, whatever is asked."""
    for method, path in (("GET", "nobody"), ("PATCH", "nobody"), ("DELETE", "nobody"), ("GET", "signed/nobody")):
        answer = room.ask(method, f"{SETTINGS}/{path}", {})
        assert (answer.status, orjson.loads(answer.body)) == (404, {"errors": [{"message": "Invalid id provided."}]})


def test_without_an_id_the_oldest_is_meant(room: Mailroom) -> None:
    """As for accounts that have only one."""
    room.listen(url=f"{EVENTS_URL}/old")
    room.listen(url=f"{EVENTS_URL}/new")
    assert room.json("GET", SETTINGS)["url"] == f"{EVENTS_URL}/old"
    assert room.json("GET", f"{SETTINGS}/signed")["public_key"]


def test_settings_need_their_scope(room: Mailroom) -> None:
    """A key for something else is refused."""
    assert room.ask("GET", f"{SETTINGS}/all", key=READ_ONLY_KEY).status == 403


def test_the_client_secret_is_never_shown(room: Mailroom) -> None:
    """It goes in and does not come out."""
    webhook_id = room.listen(oauth_client_id="me", oauth_client_secret="hush", oauth_token_url="https://x.example")
    assert "hush" not in str(room.json("GET", f"{SETTINGS}/{webhook_id}"))


# --- signatures -------------------------------------------------------------------------------------------------------


def test_the_vendor_s_own_verifier_accepts_every_batch(room: Mailroom) -> None:
    """Over the timestamp and the exact body, line break at its end included; and nothing else passes."""
    verifier = EventWebhook(room.public_key(room.listen()))
    room.deliver("ann@example.com")
    room.pass_time(seconds=30)
    (errand,) = room.posted
    signature, timestamp = errand.headers[SIGNATURE_HEADER], errand.headers[TIMESTAMP_HEADER]
    body = errand.body.decode()
    assert body.endswith("\r\n")
    assert verifier.verify_signature(body, signature, timestamp)
    assert not verifier.verify_signature(body.rstrip(), signature, timestamp)
    assert not verifier.verify_signature(body, signature, str(int(timestamp) + 1))


def test_each_webhook_has_a_key_of_its_own_and_keeps_it(room: Mailroom) -> None:
    """Turning signatures off empties the key; turning them on again brings it back."""
    one, other = room.listen(), room.listen(url=f"{EVENTS_URL}/2")
    key = room.public_key(one)
    assert key != room.public_key(other)
    off = room.json("PATCH", f"{SETTINGS}/signed/{one}", {"enabled": False})
    assert off == {"id": one, "public_key": ""}
    assert room.json("PATCH", f"{SETTINGS}/signed/{one}", {"enabled": True})["public_key"] == key


def test_an_unsigned_webhook_posts_without_the_headers(room: Mailroom) -> None:
    """There is nothing to verify, and a careful receiver refuses it."""
    room.listen(signed=False)
    room.deliver()
    room.pass_time(seconds=30)
    assert not {SIGNATURE_HEADER, TIMESTAMP_HEADER} & room.posted[0].headers.keys()


def test_a_name_gives_the_same_key_everywhere() -> None:
    """So that a configuration written down stays valid."""
    assert SigningKey("a").public_key == SigningKey("a").public_key != SigningKey("b").public_key


# --- events -----------------------------------------------------------------------------------------------------------


def test_custom_arguments_stand_beside_the_vendor_s_fields(room: Mailroom) -> None:
    """Flattened to the top level, with the ids that lead back to the request."""
    room.listen()
    room.deliver("ann@example.com", touch="touch-1")
    room.pass_time(seconds=30)
    (event,) = room.events()
    sent = room.account.accepted[0]
    assert event["crmdrip_touch"] == "touch-1"
    assert (event["event"], event["email"], event["timestamp"]) == ("processed", sent.to, int(NOW.timestamp()))
    assert event["sg_message_id"].startswith(sent.message_id + ".")
    assert event["sg_event_id"]
    assert event["smtp-id"].startswith("<")


def test_a_hard_bounce_and_a_block_are_one_event_of_two_types(room: Mailroom) -> None:
    """`type` tells them apart; the reason and the status come along."""
    room.listen()
    room.deliver("dead@example.com")
    room.account.bounce("dead@example.com")
    room.deliver("busy@example.com")
    room.account.block("busy@example.com")
    room.pass_time(seconds=30)
    bounces = [event for event in room.events() if event["event"] == "bounce"]
    assert [(event["type"], event["status"]) for event in bounces] == [("bounce", "5.1.1"), ("blocked", "4.7.0")]
    assert all(event["reason"] and event["bounce_classification"] for event in bounces)


def test_an_email_to_a_suppressed_address_is_dropped_with_the_reason(room: Mailroom) -> None:
    """Accepted with 202, and told by an event alone."""
    room.listen()
    room.account.suppressions.add("spam_reports", "ann@example.com")
    room.deliver("ann@example.com")
    room.pass_time(seconds=30)
    assert [(event["event"], event["reason"]) for event in room.events()] == [("dropped", "Spam Reporting Address")]


def test_reports_and_unsubscribes_are_told(room: Mailroom) -> None:
    """Spam reports, the vendor's own unsubscribe link, and groups, each by its own name."""
    group = room.account.suppressions.add_group("News").id
    room.listen(processed=False)
    for address in ("a@example.com", "b@example.com", "c@example.com"):
        room.deliver(address)
    room.account.report_spam("a@example.com")
    room.account.unsubscribe("b@example.com")
    room.account.leave_group("c@example.com", group)
    room.pass_time(seconds=30)
    assert room.kinds() == ["spamreport", "unsubscribe", "group_unsubscribe"]
    assert room.events()[2]["asm_group_id"] == group


def test_only_what_is_switched_on_is_posted(room: Mailroom) -> None:
    """A webhook without `processed` never sees one, and one that is off sees nothing."""
    room.listen(processed=False)
    room.listen(url=f"{EVENTS_URL}/off", enabled=False)
    room.deliver()
    room.pass_time(hours=1)
    assert room.posted == []


def test_events_wait_thirty_seconds_for_one_another(room: Mailroom) -> None:
    """What happens within the time goes out in one batch."""
    room.listen()
    room.deliver("a@example.com")
    room.pass_time(seconds=29)
    assert room.posted == []
    room.deliver("b@example.com")
    room.pass_time(seconds=30)
    assert [len(orjson.loads(errand.body)) for errand in room.posted] == [2]


def test_a_batch_has_at_most_768_kilobytes(room: Mailroom) -> None:
    """Many events make several requests, and none is lost."""
    room.listen()
    room.deliver()
    for _ in range(3_000):
        room.account.webhooks.emit(EventKind.OPEN, room.account.accepted[0], room.now, useragent="x" * 200)
    room.pass_time(seconds=30)
    assert len(room.posted) > 1
    assert max(len(errand.body) for errand in room.posted) <= 768 * 1024 + 4
    assert len(room.events()) == 3_001


def test_the_test_request_posts_one_example_of_each_kind(room: Mailroom) -> None:
    """Unsigned, to the given address, at once."""
    assert room.ask("POST", f"{BASE}/event/test", {"url": EVENTS_URL}).status == 204
    assert set(room.kinds()) == {kind.value for kind in EventKind}


# --- retries ----------------------------------------------------------------------------------------------------------


def test_what_is_not_answered_with_success_comes_again_at_growing_gaps(room: Mailroom) -> None:
    """The same body; the gaps double."""
    room.listen()
    room.deliver()
    room.status = 500
    room.pass_time(seconds=30)
    attempts = [room.now]
    while len(attempts) < 5:
        room.pass_time(seconds=30)
        if len(room.posted) > len(attempts):
            attempts.append(room.now)
    gaps = [(late - early) / timedelta(minutes=1) for early, late in itertools.pairwise(attempts)]
    assert gaps == [1, 2, 4, 8]
    assert len({errand.body for errand in room.posted}) == 1


def test_success_ends_the_retries(room: Mailroom) -> None:
    """Nothing is posted a second time once it was taken."""
    room.listen()
    room.deliver()
    room.status = 503
    room.pass_time(seconds=30)
    room.status = 200
    room.pass_time(minutes=1)
    room.pass_time(hours=48)
    assert (len(room.posted), room.account.deliveries.delivered) == (2, 1)


def test_after_a_day_a_batch_is_lost(room: Mailroom) -> None:
    """The vendor gives up, and a sweep of the lists has to close the gap."""
    room.listen()
    room.deliver()
    room.status = 500
    for _ in range(30):
        room.pass_time(hours=1)
    assert len(room.account.deliveries.lost) == 1
    assert room.account.deliveries.next_due is None


def test_the_clock_is_worth_moving_for_a_bounce_and_not_for_an_open(room: Mailroom) -> None:
    """Whoever skips over quiet stretches misses nothing that stops."""
    room.listen()
    room.deliver()
    assert room.account.next_due is None
    room.account.bounce("ann@example.com")
    assert room.account.next_due == NOW + timedelta(seconds=30)


# --- disturbances -----------------------------------------------------------------------------------------------------


def disturbed(**chances: float) -> Mailroom:
    room = Mailroom(seed=3)
    room.listen()
    room.account.webhooks.disturbances = Disturbances(**chances)
    for number in range(20):
        room.deliver(f"p{number}@example.com", touch=f"t{number}")
    return room


def test_a_duplicate_comes_later_under_another_event_id() -> None:
    """B23: only what happened tells that it is the same."""
    room = disturbed(duplicated=1.0)
    room.pass_time(seconds=30)
    room.pass_time(hours=1)
    seen = Counter((event["crmdrip_touch"], event["event"], event["timestamp"]) for event in room.events())
    assert set(seen.values()) == {2}
    assert len({event["sg_event_id"] for event in room.events()}) == 40


def test_a_shuffled_batch_holds_the_same_events() -> None:
    """B23: in any order."""
    room = disturbed(shuffled=1.0)
    room.pass_time(seconds=30)
    touches = [event["crmdrip_touch"] for event in room.events()]
    assert touches != [f"t{number}" for number in range(20)]
    assert sorted(touches) == sorted(f"t{number}" for number in range(20))


def test_a_late_event_keeps_the_time_at_which_it_happened() -> None:
    """It comes within hours, and nothing of it is lost."""
    room = disturbed(late=1.0)
    room.pass_time(minutes=5)
    assert room.posted == []
    room.pass_time(hours=7)
    assert {event["timestamp"] for event in room.events()} == {int(NOW.timestamp())}
    assert len(room.events()) == 20


def test_an_asynchronous_bounce_is_known_by_its_address_alone() -> None:
    """Neither sg_message_id nor a custom argument leads to the touch."""
    room = disturbed(bare=1.0)
    room.account.bounce("p3@example.com")
    room.pass_time(seconds=30)
    (event,) = [each for each in room.events() if each["event"] == "bounce"]
    assert not {"sg_message_id", "crmdrip_touch", "smtp-id"} & event.keys()
    assert (event["email"], event["type"]) == ("p3@example.com", "bounce")


def test_a_repeated_batch_is_the_same_body_again() -> None:
    """As when the answer to it was lost."""
    room = disturbed(repeated=1.0)
    room.pass_time(seconds=30)
    room.pass_time(minutes=1)
    assert len(room.posted) == 2
    assert len({errand.body for errand in room.posted}) == 1


def test_a_seed_disturbs_the_same_way_twice() -> None:
    """Everything a lively world does comes from it."""

    def play() -> list[bytes]:
        room = disturbed(**{name: getattr(LIVELY, name) for name in ("duplicated", "late", "bare", "shuffled")})
        room.account.bounce("p3@example.com")
        for _ in range(20):
            room.pass_time(minutes=30)
        return [errand.body for errand in room.posted]

    assert play() == play()


@pytest.mark.parametrize("value", [{"wrong": 1}, {"late": 2}, {"late": "x"}])
def test_a_disturbance_must_be_known_and_a_probability(value: dict[str, object]) -> None:
    """What the control API is given wrongly is refused."""
    with pytest.raises(ValueError, match=r"\w"):
        Disturbances.from_json(value)
