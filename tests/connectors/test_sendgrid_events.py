"""SendGrid's events: who may post them, and what each means (B22, B23, B28)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendgrid.helpers.eventwebhook import EventWebhook
from sendgrid_signer import NOW, Signer

from connectors.sendgrid.events import BOUNCES, DROPS, KINDS, EventHook, read_events
from connectors.sendgrid.signature import Signatures, load_key
from crmdrip.core.errors import RejectedError
from crmdrip.core.model import Signal, SignalKind
from crmdrip.ports import HookRequest

SIGNER = Signer()
TOUCH = "0123456789abcdef0123456789abcdef"
BATCH = b'[{"event":"open"},\r\n{"event":"click"}]\r\n'
HOOK = EventHook((SIGNER.public_key,))


def request(body: bytes = BATCH, headers: dict[str, str] | None = None) -> HookRequest:
    """A post as it comes in."""
    return HookRequest(headers=SIGNER.headers(body) if headers is None else headers, secret="", body=body)


def event(name: str, **fields: object) -> dict[str, object]:
    """One event about one touch."""
    return {"event": name, "email": "Ann@Acme.example", "timestamp": 1_793_610_000, "crmdrip_touch": TOUCH, **fields}


def read(*events: object) -> list[Signal]:
    """What a batch says."""
    return read_events(json.dumps(events).encode(), NOW)


class TestWho:
    """Only SendGrid."""

    def test_the_untouched_body_is_authentic(self) -> None:
        """The line breaks SendGrid puts between and behind events are signed too."""
        assert HOOK.authentic(request(), NOW)

    def test_the_vendors_own_helper_agrees(self) -> None:
        """Signer and verifier are both ours; the SDK is not."""
        headers = SIGNER.headers(BATCH)
        signature, timestamp = headers.values()
        assert EventWebhook(SIGNER.public_key).verify_signature(BATCH.decode(), signature, timestamp)

    @pytest.mark.parametrize("body", [BATCH.rstrip(), BATCH + b" ", json.dumps(json.loads(BATCH)).encode(), b""])
    def test_any_other_body_is_not(self, body: bytes) -> None:
        """B28: one byte more or less, or the same JSON written anew."""
        assert not HOOK.authentic(request(body, SIGNER.headers(BATCH)), NOW)

    def test_a_body_that_is_no_text_can_be_verified(self) -> None:
        """An inbound mail is signed in the same way, whatever its charset."""
        body = b"\xff\xfe\x00 mail"
        assert Signatures((SIGNER.public_key,), timedelta(days=1)).verify(SIGNER.headers(body), body, NOW)

    def test_a_key_can_be_replaced_without_a_gap(self) -> None:
        """While SendGrid changes over, either key counts; afterwards the new one alone."""
        new = Signer()
        assert EventHook((new.public_key, SIGNER.public_key)).authentic(request(), NOW)
        assert not EventHook((new.public_key,)).authentic(request(), NOW)

    def test_a_retry_of_yesterday_is_still_taken(self) -> None:
        """SendGrid repeats a batch for 24 hours, and need not sign it anew."""
        assert HOOK.authentic(request(), NOW + timedelta(hours=24, minutes=30))

    @pytest.mark.parametrize("at", [NOW + timedelta(hours=26), NOW - timedelta(minutes=6)])
    def test_a_signature_of_another_day_is_not(self, at: datetime) -> None:
        """B28: what was recorded long ago, or dated ahead."""
        assert not HOOK.admits(request(), at)
        assert not HOOK.authentic(request(), at)

    @pytest.mark.parametrize(
        "spoilt",
        [
            {"x-twilio-email-event-webhook-signature": ""},
            {"x-twilio-email-event-webhook-signature": "no base64!"},
            {"x-twilio-email-event-webhook-signature": "AAAA"},
            {"x-twilio-email-event-webhook-signature": "A" * 10_000},
            {"x-twilio-email-event-webhook-timestamp": ""},
            {"x-twilio-email-event-webhook-timestamp": "-1"},
            {"x-twilio-email-event-webhook-timestamp": "9" * 400},
            {"x-twilio-email-event-webhook-timestamp": "١٧٩٣٦١٠٠٠٠"},
        ],
    )
    def test_a_spoilt_signature_is_refused_and_raises_nothing(self, spoilt: dict[str, str]) -> None:
        """B28: the SDK raises for some of these, which would be a 500 and a retry for ever."""
        headers = {**SIGNER.headers(BATCH), **spoilt}
        assert not HOOK.authentic(request(headers=headers), NOW)

    @given(
        st.dictionaries(
            st.sampled_from(
                ["x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp", "authorization"]
            ),
            st.text(max_size=200),
        ),
        st.binary(max_size=200),
    )
    def test_no_stranger_gets_in(self, headers: dict[str, str], body: bytes) -> None:
        """B28: whatever is written into headers and body."""
        assert not HOOK.authentic(request(body, headers), NOW)

    @pytest.mark.parametrize("key", ["", "hello", "MFkw", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"])
    def test_what_is_no_key_is_said_at_once(self, key: str) -> None:
        """And not at the first event."""
        with pytest.raises(ValueError, match="is no public key"):
            load_key(key)

    def test_a_key_in_pem_is_one_too(self) -> None:
        """Whoever keeps keys in files keeps them so."""
        pem = f"-----BEGIN PUBLIC KEY-----\n{SIGNER.public_key}\n-----END PUBLIC KEY-----\n"
        assert EventHook((pem,)).authentic(request(), NOW)


class TestMeaning:
    """What an event says."""

    @pytest.mark.parametrize(("name", "kind"), KINDS.items())
    def test_each_event_has_one_kind(self, name: str, kind: SignalKind) -> None:
        """By a literal table."""
        [signal] = read(event(name))
        assert (signal.kind, signal.touch_id, signal.address) == (kind, TOUCH, "ann@acme.example")
        assert signal.at == datetime.fromtimestamp(1_793_610_000, UTC)

    @pytest.mark.parametrize(("kind", "means"), BOUNCES.items())
    def test_only_a_hard_bounce_is_a_bounce(self, kind: str, means: SignalKind) -> None:
        """A blocked email says nothing of the address: the next one may arrive."""
        [signal] = read(event("bounce", type=kind, status="5.1.1", reason="550 no such user"))
        assert (signal.kind, signal.detail) == (means, "5.1.1 550 no such user")

    def test_a_bounce_without_a_type_is_hard(self) -> None:
        """As in former years."""
        assert read(event("bounce"))[0].kind is SignalKind.BOUNCE

    @pytest.mark.parametrize(("reason", "kind"), DROPS.items())
    def test_a_drop_says_what_we_did_not_know(self, reason: str, kind: SignalKind) -> None:
        """B22: SendGrid had it on a list of its own."""
        assert read(event("dropped", reason=reason.title(), email=""))[0].kind is kind

    def test_any_other_drop_explains_itself_and_stops_nobody(self) -> None:
        """P3: it is about this email or the account."""
        [signal] = read(event("dropped", reason="Recipient List over Package Quota"))
        assert signal.kind is SignalKind.DROPPED
        assert signal.detail == "dropped by SendGrid: Recipient List over Package Quota"

    def test_a_machines_open_is_marked(self) -> None:
        """B23: Apple's and others' mail programs fetch every image."""
        signals = read(event("open", sg_machine_open=True), event("open"), event("open", sg_machine_open=False))
        assert [one.kind for one in signals] == [SignalKind.MACHINE_OPENED, SignalKind.OPENED, SignalKind.OPENED]

    def test_a_bounce_without_our_id_is_known_by_its_address(self) -> None:
        """Asynchronous ones come without custom arguments and message id."""
        [signal] = read({"event": "bounce", "email": "ann@acme.example", "timestamp": 1, "type": "bounce"})
        assert (signal.touch_id, signal.address) == (None, "ann@acme.example")

    @pytest.mark.parametrize("name", ["group_resubscribe", "account_status_change"])
    def test_what_has_no_effect_says_nothing(self, name: str) -> None:
        """Nobody is mailed again because an event says so."""
        assert read(event(name)) == []

    def test_a_group_that_does_not_count_says_nothing(self) -> None:
        """B22: a newsletter's unsubscribe need not stop a sequence; the group the settings name does."""
        batch = json.dumps([event("group_unsubscribe", asm_group_id=group) for group in (7, 8, None)]).encode()
        assert len(read_events(batch, NOW, lambda group: group == 7)) == 1
        assert len(read_events(batch, NOW)) == 3

    @pytest.mark.parametrize(
        "unknown",
        [event("purred"), event("bounce", type="velvet"), event(""), {}, [], None, 7, event("open", timestamp="soon")],
    )
    def test_what_nobody_knows_is_said_to_be_unknown(self, unknown: object) -> None:
        """The batch is then kept raw; what stands beside it counts all the same."""
        kinds = [one.kind for one in read(unknown, event("delivered"))]
        assert kinds == [SignalKind.UNKNOWN, SignalKind.DELIVERED]

    @pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[", b"\xff", b'"open"'])
    def test_a_body_without_events_cannot_be_read(self, body: bytes) -> None:
        """It is kept as failed, and shown."""
        with pytest.raises(RejectedError):
            read_events(body, NOW)


class TestKeys:
    """When two events are one (B23)."""

    def test_a_repeat_under_another_id_is_the_same_event(self) -> None:
        """SendGrid's own event id is known to change."""
        first, second = read(event("open", sg_event_id="a"), event("open", sg_event_id="b"))
        assert first == second

    @pytest.mark.parametrize(
        "other",
        [
            event("click", url="https://b.example"),
            event("click", url="https://a.example", timestamp=1_793_610_001),
            event("click", url="https://a.example", crmdrip_touch="f" * 32),
            event("open"),
        ],
    )
    def test_another_touch_event_time_or_link_is_another_event(self, other: dict[str, object]) -> None:
        """Two links pressed in one second are two clicks."""
        first, second = read(event("click", url="https://a.example"), other)
        assert first.key != second.key

    def test_another_reason_is_another_event(self) -> None:
        """A deferral by one server is followed by one of another."""
        first, second = read(event("deferred", response="450 busy"), event("deferred", response="451 later"))
        assert first.key != second.key


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.lists(
    st.one_of(
        JSON,
        st.fixed_dictionaries(
            {},
            optional={
                "event": st.sampled_from([*KINDS, "bounce", "dropped", "group_resubscribe", "purred"]) | JSON,
                "timestamp": st.integers() | JSON,
                "email": st.sampled_from(["a@b.example", "a\0@b.example", "", "@"]) | JSON,
                "crmdrip_touch": st.just(TOUCH) | JSON,
                "reason": st.sampled_from(["Bounced Address", "x" * 5_000, "a\0b\nc"]) | JSON,
                "type": st.sampled_from(["bounce", "blocked"]) | JSON,
                "status": JSON,
                "response": JSON,
                "url": JSON,
                "sg_machine_open": JSON,
                "bounce_classification": JSON,
            },
        ),
    ),
    max_size=4,
)


@given(EVENTS)
def test_whatever_is_in_a_batch_is_read_or_said_to_be_unknown(events: list[object]) -> None:
    """B27: nothing crashes the reading, and what comes out fits into the ledger."""
    signals = read(*events)
    for one in signals:
        assert len(one.key) <= 255
        assert len(one.detail) <= 255
        assert "\0" not in one.key + one.detail + (one.address or "")
    assert signals == read(*events)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_batch_are_refused_by_name(body: bytes) -> None:
    """B27: by the one error that the port names."""
    try:
        read_events(body, NOW)
    except RejectedError:
        return
