"""Mail that comes back in the sandbox: kinds, languages, shapes, charsets, dates; and the truth kept about each."""

from __future__ import annotations

import email
import email.policy
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from email.message import EmailMessage
from random import Random

import orjson
import pytest
from mailroom import read_form

from crmdrip.sandbox.courier import Errand
from crmdrip.sandbox.sendgrid import AcceptedEmail
from crmdrip.sandbox.sendgrid.form import CONTENT_TYPE, Arrival, parsed_form
from crmdrip.sandbox.world.letters import LANGUAGES, Letter, Occasion, Truth, Who, write, write_mailto, write_words
from crmdrip.sandbox.world.letters.phrases import phrases, write_date

MAIN = ("en", "de", "fr", "es")
AT = datetime(2026, 3, 3, 9, 30, tzinfo=UTC)
OURS = "I work with sales teams who lose deals to silence."


def our_email() -> AcceptedEmail:
    body = {
        "from": {"email": "maya.okonkwo@acme.example", "name": "Maya Okonkwo"},
        "subject": "Follow-ups at your company",
        "personalizations": [{"to": [{"email": "kai@kunde.example"}]}],
        "headers": {"Message-ID": "<t1@acme.example>", "References": "<t0@acme.example>"},
        "content": [
            {"type": "text/plain", "value": f"Hi Kai,\n\n{OURS}\n\nMaya"},
            {"type": "text/html", "value": f"<p>Hi Kai,</p><p>{OURS}</p>"},
        ],
    }
    return AcceptedEmail(
        at=AT, message_id="m", touch="t1", to="kai@kunde.example", recipient=0, key_id="", body=orjson.dumps(body)
    )


OUR_EMAIL = our_email()


def occasion(language: str = "en") -> Occasion:
    return Occasion(
        email=OUR_EMAIL,
        at=AT,
        first="Kai",
        last="Jäger",
        address="kai@kunde.example",
        company="Kunde",
        language=language,
        recipient="reply+t1@reply.acme.example",
    )


def letters(truth: Truth, language: str = "en", who: Who = Who.SELF, count: int = 60) -> Iterator[Letter]:
    for number in range(count):
        yield write(truth, occasion(language), Random(f"{truth}{language}{number}"), who)


def read(letter: Letter) -> EmailMessage:
    message = email.message_from_bytes(letter.raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


# --- phrases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_kind_is_said_in_several_ways(language: str) -> None:
    """Six of the main languages, three of the others, and never the same twice."""
    words = phrases(language)
    wanted = 6 if language in MAIN else 3
    found = {name: words[name] for name in ("reply", "left_company", "remove_me")}
    found |= {name: words[name]["texts"] for name in ("out_of_office", "auto_reply")}
    assert {name: len(set(texts)) for name, texts in found.items() if len(set(texts)) < wanted} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_day_is_written_in_more_than_one_way(language: str) -> None:
    """Every way holds the day of the month, and no placeholder is left over."""
    written = {write_date(date(2026, 3, 23), language, Random(number)) for number in range(60)}
    assert len(written) >= 4
    assert all("23" in text and "{" not in text for text in written)


def test_the_first_of_a_month_is_an_ordinal_in_french() -> None:
    """As people write it."""
    assert any(write_date(date(2026, 4, 1), "fr", Random(n)).startswith("1er") for n in range(20))


# --- mails ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("truth", list(Truth))
def test_every_kind_in_every_language_is_a_mail(truth: Truth, language: str) -> None:
    """It has a sender, a subject and its own id, and what it says survives charset and transfer encoding."""
    for letter in letters(truth, language, count=12):
        message = read(letter)
        assert message["Message-ID"] == letter.message_id
        assert letter.sender in str(message["From"])
        assert str(message["Subject"]).split() == letter.subject.split()
        body = message.get_body(("plain",))
        assert body is not None
        assert body.get_content().split() == letter.text.split()


def test_the_same_random_source_writes_the_same_bytes() -> None:
    """And another one writes something else."""
    one, again, other = (write(Truth.REPLY, occasion(), Random(seed)) for seed in (1, 1, 2))
    assert one == again
    assert one.raw != other.raw


def test_replies_come_in_many_shapes() -> None:
    """Above, below and between the history, under a block of headers, without any; as text and as HTML; short ones."""
    shapes = Counter(shape for letter in letters(Truth.REPLY, count=300) for shape in letter.shape)
    expected = {"top-posted", "bottom-posted", "inline", "header block", "no history", "html", "short", "vacation"}
    assert expected <= shapes.keys()


def test_some_replies_bring_the_company_s_logo_along() -> None:
    """A part of its own, which the provider posts as an attachment with its content id."""
    letter = next(letter for letter in letters(Truth.REPLY, count=100) if "picture" in letter.shape)
    arrival = Arrival(raw=letter.raw, sender="", recipient=letter.recipient, sender_ip="192.0.2.1")
    form = read_form(Errand(url="", body=parsed_form(arrival), headers={"Content-Type": CONTENT_TYPE}))
    (info,) = orjson.loads(form["attachment-info"]).values()
    assert form["attachments"] == b"1"
    assert form["attachment1"].startswith(b"\x89PNG")
    assert (info["filename"], info["type"]) == ("logo.png", "image/png")
    assert list(orjson.loads(form["content-ids"]).values()) == ["attachment1"]


def test_the_history_quotes_our_own_words() -> None:
    """Whoever decides by them decides wrongly."""
    quoted = [letter for letter in letters(Truth.REPLY) if "no history" not in letter.shape]
    assert quoted
    assert all(OURS in letter.text for letter in quoted)


def test_charsets_are_those_that_people_really_use() -> None:
    """Western, Japanese and Chinese ones beside UTF-8, and some of them as 8 bit."""
    found = {letter.shape[-1] for language in LANGUAGES for letter in letters(Truth.REPLY, language)}
    assert {"utf-8", "iso-8859-1", "iso-8859-2", "windows-1252", "iso-2022-jp", "gb18030"} <= found
    assert any(not letter.raw.isascii() for letter in letters(Truth.REPLY, "de"))


def test_most_answers_are_threaded_and_some_are_not() -> None:
    """In-Reply-To and References lead back to our email, where the mail program kept them."""
    found = [read(letter) for letter in letters(Truth.REPLY, count=100)]
    threaded = [message for message in found if message["In-Reply-To"]]
    assert 0 < len(found) - len(threaded) < 20
    assert {message["In-Reply-To"] for message in threaded} == {"<t1@acme.example>"}
    assert {message["References"] for message in threaded} == {"<t0@acme.example> <t1@acme.example>"}


def test_an_alias_and_a_colleague_write_from_other_addresses() -> None:
    """The alias with the person's name, the colleague with a name of their own in the same domain (B6)."""
    alias = write(Truth.REPLY, occasion(), Random(1), Who.ALIAS)
    colleague = write(Truth.REPLY, occasion(), Random(1), Who.COLLEAGUE)
    assert (alias.sender, alias.sender_name) == ("kai@mail.example", "Kai Jäger")
    assert colleague.sender.endswith("@kunde.example")
    assert colleague.sender != "kai@kunde.example"
    assert colleague.sender_name != "Kai Jäger"


@pytest.mark.parametrize("truth", [Truth.OUT_OF_OFFICE, Truth.AUTO_REPLY, Truth.LEFT_COMPANY])
def test_most_machines_say_so_in_their_headers_and_some_do_not(truth: Truth) -> None:
    """B8: those without have to be recognized by what they say."""
    found = list(letters(truth, count=100))
    silent = [letter for letter in found if "no headers" in letter.shape]
    assert 5 < len(silent) < 50
    names = ("Auto-Submitted", "Precedence", "X-Autoreply", "X-Autorespond", "X-Auto-Response-Suppress")
    assert not any(read(letter)[name] for letter in silent for name in names)
    assert all(any(read(letter)[name] for name in names) for letter in found if letter not in silent)


def test_a_machine_has_an_empty_envelope_sender() -> None:
    """As RFC 3834 and RFC 5321 want it."""
    assert {letter.envelope_sender for letter in letters(Truth.BOUNCE)} == {""}
    assert {letter.envelope_sender for letter in letters(Truth.REPLY)} == {"kai@kunde.example"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_absence_that_says_its_end_keeps_the_day_of_return(language: str) -> None:
    """Some notes give none, and then there is none."""
    found = list(letters(Truth.OUT_OF_OFFICE, language, count=80))
    dated = [letter.back for letter in found if letter.back is not None]
    assert 0 < len(dated) < len(found)
    assert all(AT.date() < back <= date(2026, 3, 20) for back in dated)


def test_a_delivery_report_names_the_address_and_returns_our_headers() -> None:
    """Most by RFC 3464, some in prose alone (B7)."""
    found = list(letters(Truth.BOUNCE, count=60))
    assert {shape for letter in found for shape in letter.shape} >= {"rfc3464", "prose"}
    for letter in found:
        assert "kai@kunde.example" in letter.text
        assert b"<t1@acme.example>" in letter.raw or "<t1@acme.example>" in letter.text
        if "rfc3464" in letter.shape:
            kinds = [part.get_content_type() for part in read(letter).walk()]
            assert kinds[0] == "multipart/report"
            assert "message/delivery-status" in kinds


def test_a_calendar_answer_carries_its_calendar() -> None:
    """METHOD:REPLY with the status of the attendee."""
    for letter in letters(Truth.CALENDAR, count=9):
        (part,) = [part for part in read(letter).walk() if part.get_content_type() == "text/calendar"]
        assert part.get_param("method") == "REPLY"
        text = part.get_content()
        assert f"PARTSTAT={letter.shape[0].upper()}" in text


def test_a_receipt_is_a_report_of_its_own() -> None:
    """RFC 8098."""
    message = read(next(letters(Truth.RECEIPT)))
    assert message.get_param("report-type") == "disposition-notification"


def test_somebody_can_answer_with_their_own_words() -> None:
    """They stand above the history."""
    letter = write_words("Call me, please.", occasion(), Random(1))
    assert letter.text.startswith("Call me, please.")
    assert OURS in letter.text


def test_a_mailto_unsubscribe_has_the_link_s_subject() -> None:
    """And no history."""
    letter = write_mailto("unsubscribe t1", occasion(), Random(1))
    assert (letter.truth, letter.subject, letter.text) == (Truth.UNSUBSCRIBE, "unsubscribe t1", "")
