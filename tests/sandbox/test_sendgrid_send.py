"""POST /v3/mail/send of the stand-in: what it accepts and keeps, and what it refuses as the vendor does."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from sendgrid_request import NOW, READ_ONLY_KEY, Desk, errors, message

from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.sandbox.sendgrid import Fate, Keep


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_accepted_message_is_answered_202_with_its_id_and_kept(desk: Desk) -> None:
    """The answer has no body and a 22-character id; the record holds the touch and the recipient."""
    response = desk.send()
    (email,) = desk.account.accepted
    assert (response.status, response.body) == (202, b"")
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", response.headers["X-Message-Id"])
    assert (email.message_id, email.touch, email.to, email.at) == (
        response.headers["X-Message-Id"],
        "t1",
        "ann@example.com",
        NOW,
    )


def test_what_a_person_received_can_be_read_back(desk: Desk) -> None:
    """Subject, bodies, sender, headers and the one-click link come from the request itself."""
    link = "<https://acme.example/u/abc>, <mailto:u@acme.example>"
    desk.send(message(headers={"List-Unsubscribe": link, "In-Reply-To": "<a@b>"}, reply_to={"email": "r@acme.example"}))
    (email,) = desk.account.accepted
    assert (email.subject, email.text, email.html) == ("Hello", "plain", "<p>html</p>")
    assert (email.sender, email.sender_name, email.to_name, email.reply_to) == (
        "rep@acme.example",
        "Rep",
        "Ann",
        "r@acme.example",
    )
    assert email.headers["In-Reply-To"] == "<a@b>"
    assert email.unsubscribe_url == "https://acme.example/u/abc"


def test_each_recipient_has_a_record_of_its_own(desk: Desk) -> None:
    """Two personalizations with three addresses are three emails, told apart by the end of sg_message_id."""
    blocks = [
        {"to": [{"email": "a@example.com"}], "cc": [{"email": "b@example.com"}]},
        {"to": [{"email": "c@example.com"}], "subject": "Other"},
    ]
    desk.send(message(personalizations=blocks))
    assert [(e.to, e.subject, e.sg_message_id.rpartition(".")[2]) for e in desk.account.accepted] == [
        ("a@example.com", "Hello", "0"),
        ("b@example.com", "Hello", "1"),
        ("c@example.com", "Other", "2"),
    ]


def test_a_touch_accepted_twice_is_counted_as_a_duplicate(desk: Desk) -> None:
    """There is no idempotency key: repeating a request sends again, and the oracle of P1 sees it."""
    for touch in ("t1", "t2", "t1"):
        desk.send(message(touch=touch))
    assert desk.account.duplicates() == {"t1": 2}


def test_only_ids_are_kept_when_asked_to(desk: Desk) -> None:
    """A benchmark of a hundred thousand emails needs no bodies, but still the touch and the address."""
    desk = Desk(keep=Keep.IDS)
    desk.send()
    (email,) = desk.account.accepted
    assert (email.touch, email.to, email.body, email.subject) == ("t1", "ann@example.com", b"", "")


def test_sandbox_mode_validates_and_keeps_nothing(desk: Desk) -> None:
    """Sandbox mode answers 200 instead of 202, has no id, and no email exists afterwards."""
    response = desk.send(message(mail_settings={"sandbox_mode": {"enable": True}}))
    assert (response.status, response.headers, desk.account.accepted) == (200, {}, [])


def test_a_suppressed_address_is_accepted_and_dropped(desk: Desk) -> None:
    """The vendor says 202 and drops afterwards; the record says why."""
    desk.account.suppressions.add("bounces", "Ann@Example.com", reason="550 5.1.1 gone", status="5.1.1")
    assert desk.send().status == 202
    (email,) = desk.account.accepted
    assert (email.fate, email.reason) == (Fate.DROPPED, "Bounced Address")


def test_an_unknown_key_is_401(desk: Desk) -> None:
    """A key nobody issued is answered with the vendor's words."""
    response = desk.send(key="SG.other.secret")
    assert response.status == 401
    assert errors(response) == [{"message": "authorization required", "field": None, "help": None}]


def test_a_key_without_the_scope_is_403(desk: Desk) -> None:
    """A restricted key that lacks mail.send may not send."""
    response = desk.send(key=READ_ONLY_KEY)
    assert (response.status, errors(response)[0]["message"]) == (403, "access forbidden")


def test_an_unverified_sender_is_403(desk: Desk) -> None:
    """Mail from neither a verified domain nor a verified sender is refused in the vendor's words."""
    response = desk.send(message(**{"from": {"email": "rep@elsewhere.example"}}))
    (entry,) = errors(response)
    assert (response.status, entry["field"]) == (403, "from")
    assert entry["message"].startswith("The from address does not match a verified Sender Identity.")


def test_a_single_verified_sender_may_send(desk: Desk) -> None:
    """Single Sender Verification covers one address, not its domain."""
    assert desk.send(message(**{"from": {"email": "Lone@other.example"}})).status == 202
    assert desk.send(message(**{"from": {"email": "another@other.example"}})).status == 403


def test_a_sender_set_in_a_personalization_is_checked_too(desk: Desk) -> None:
    """`from` is allowed per personalization, and is no way around verification."""
    block = {"to": [{"email": "a@example.com"}], "from": {"email": "x@elsewhere.example"}}
    assert desk.send(message(personalizations=[block])).status == 403


def test_another_content_type_is_refused(desk: Desk) -> None:
    """Only JSON is read."""
    assert desk.send(content_type="text/plain").status == 415


def test_a_body_that_is_no_json_is_a_bad_request(desk: Desk) -> None:
    """A body that cannot be decoded is named by no field."""
    response = desk.send(b'{"personalizations": [')
    assert (response.status, errors(response)[0]["message"]) == (400, "Bad Request")


def test_a_message_over_thirty_megabytes_is_413(desk: Desk) -> None:
    """The size is looked at before the body is decoded."""
    response = desk.send(b" " * (30 * 1024 * 1024 + 1))
    assert (response.status, errors(response)[0]["message"]) == (413, "content too large")


def test_get_on_mail_send_is_405(desk: Desk) -> None:
    """The endpoint exists and is asked the wrong way."""
    assert desk.ask("GET", "/v3/mail/send").status == 405


def _people(count: int) -> list[dict[str, str]]:
    return [{"email": f"p{n}@example.com"} for n in range(count)]


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("no personalizations", {"personalizations": None}, "personalizations", "at least one personalization"),
    ("empty personalizations", {"personalizations": []}, "personalizations", "at least one personalization"),
    (
        "1,001 personalizations",
        {"personalizations": [{"to": [p]} for p in _people(1_001)]},
        "personalizations",
        "limited to 1000 personalizations",
    ),
    ("1,001 recipients", {"personalizations": [{"to": _people(1_001)}]}, "personalizations", "1000 total recipients"),
    ("no recipient", {"personalizations": [{"to": []}]}, "personalizations.0.to", "to array is required"),
    (
        "no valid address",
        {"personalizations": [{"to": [{"email": "ann@@example.com"}]}]},
        "personalizations.0.to.0.email",
        "Does not contain a valid address.",
    ),
    (
        "the same address twice",
        {"personalizations": [{"to": [{"email": "a@x.example"}]}, {"to": [{"email": "A@x.example"}]}]},
        "personalizations.1",
        "first duplicate instance of [A@x.example] in the personalizations.1.to field",
    ),
    ("no sender", {"from": None}, "from.email", "The from object must be provided"),
    ("no subject", {"subject": None}, "subject", "The subject is required."),
    ("an empty subject", {"subject": ""}, "subject", "at least one character"),
    ("a line break in the subject", {"subject": "a\r\nBcc: x@y.example"}, "subject", "Line breaks"),
    ("no content", {"content": None}, "content", "the content parameter is required"),
    ("no content block", {"content": []}, "content", "the content parameter is required"),
    ("an empty body", {"content": [{"type": "text/plain", "value": ""}]}, "content.0.value", "at least one character"),
    (
        "html before text",
        {"content": [{"type": "text/html", "value": "a"}, {"type": "text/plain", "value": "b"}]},
        "content",
        "text/plain must be first",
    ),
    ("a reserved header", {"headers": {"Reply-To": "x@acme.example"}}, "headers.Reply-To", "reserved"),
    ("a reserved header in lower case", {"headers": {"dkim-signature": "x"}}, "headers.dkim-signature", "reserved"),
    ("a line break in a header", {"headers": {"X-A": "a\nBcc: b"}}, "headers.X-A", "Line breaks"),
    ("an unencoded header", {"headers": {"X-A": "grüße"}}, "headers.X-A", "properly encoded"),
    ("a number as a header", {"headers": {"X-A": 1}}, "headers.X-A", "Expected: string, given: integer."),
    ("custom args as text", {"custom_args": "a"}, "custom_args", "Expected: object, given: string."),
    ("a number in custom args", {"custom_args": {"n": 5}}, "custom_args.n", "Expected: string, given: integer."),
    ("custom args over 10,000 bytes", {"custom_args": {"a": "x" * 10_000}}, "custom_args", "10,000 bytes"),
    ("eleven categories", {"categories": [str(n) for n in range(11)]}, "categories", "more than 10"),
    ("a category twice", {"categories": ["a", "a"]}, "categories", "unique"),
    ("a long category", {"categories": ["a" * 256]}, "categories.0", "255"),
    ("a send time in four days", {"send_at": int(NOW.timestamp()) + 96 * 3600}, "send_at", "72 hours"),
    ("an unknown key", {"purpose": "t1"}, "purpose", "Additional property purpose is not allowed"),
    (
        "an unknown key in a personalization",
        {"personalizations": [{"to": [{"email": "a@x.example"}], "reply_to": {"email": "b@x.example"}}]},
        "personalizations.0.reply_to",
        "Additional property reply_to is not allowed",
    ),
    (
        "a misspelt setting",
        {"tracking_settings": {"click_traking": {"enable": False}}},
        "tracking_settings.click_traking",
        "Additional property",
    ),
    (
        "a switch that is no boolean",
        {"tracking_settings": {"open_tracking": {"enable": "no"}}},
        "tracking_settings.open_tracking.enable",
        "Expected: boolean, given: string.",
    ),
    ("a line break in a name", {"from": {"email": "rep@acme.example", "name": "a\nb"}}, "from.name", "Line breaks"),
]


@pytest.mark.parametrize(("changes", "field", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_an_invalid_message_is_refused_by_field(desk: Desk, changes: dict[str, Any], field: str, words: str) -> None:
    """400, nothing kept, and exactly one entry that names the field and says what is wrong."""
    response = desk.send(message(**changes))
    (entry,) = errors(response)
    assert (response.status, entry["field"]) == (400, field)
    assert words in entry["message"]
    assert desk.account.accepted == []


def test_everything_wrong_is_told_at_once(desk: Desk) -> None:
    """The vendor reports all problems of a message in one answer."""
    response = desk.send(message(subject=None, content=None))
    assert [entry["field"] for entry in errors(response)] == ["subject", "content"]


def test_our_thread_and_unsubscribe_headers_are_allowed(desk: Desk) -> None:
    """Message-ID, In-Reply-To, References and both List-Unsubscribe headers are not on the reserved list."""
    names = ("Message-ID", "In-Reply-To", "References", "List-Unsubscribe", "List-Unsubscribe-Post")
    assert desk.send(message(headers=dict.fromkeys(names, "<a@b>"))).status == 202


def test_a_template_needs_neither_subject_nor_content(desk: Desk) -> None:
    """With a template_id both come from the template."""
    assert desk.send(message(subject=None, content=None, template_id="d-1")).status == 202


def test_the_rate_limit_is_429_until_the_clock_reaches_its_reset(desk: Desk) -> None:
    """The third request of a second is refused with the reset in epoch seconds, and nothing is accepted."""
    desk = Desk(rate_limit=2)
    statuses = [desk.send(message(touch=f"t{n}")).status for n in range(2)]
    refused = desk.send(message(touch="t2"))
    reset = int(refused.headers["X-RateLimit-Reset"])
    assert (statuses, refused.status) == ([202, 202], 429)
    assert orjson.loads(refused.body)["errors"][0]["message"] == "too many requests"
    assert (refused.headers["X-RateLimit-Limit"], refused.headers["X-RateLimit-Remaining"]) == ("2", "0")
    desk.now = NOW.fromtimestamp(reset, NOW.tzinfo)
    assert desk.send(message(touch="t2")).status == 202


@pytest.mark.parametrize(
    ("kind", "outcome", "accepted"),
    [
        (FaultKind.ANSWER, "503", 0),
        (FaultKind.ANSWER_AFTER, "503", 1),
        (FaultKind.CUT, "cut", 0),
        (FaultKind.CUT_AFTER, "cut", 1),
    ],
)
def test_a_fault_strikes_before_or_after_the_email_is_accepted(
    desk: Desk, kind: FaultKind, outcome: str, accepted: int
) -> None:
    """A 5xx or a cut connection says nothing of whether the email goes out (B1, B2): both are played."""
    desk.account.faults.add(Fault(kind=kind, path="/v3/mail/send", status=503))
    response = desk.send()
    assert ("cut" if response.cut else str(response.status), len(desk.account.accepted)) == (outcome, accepted)
