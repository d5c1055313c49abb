"""The product's reader against the world's letters: two authors who agreed on nothing but what each kind means."""

from __future__ import annotations

import pytest
from test_letters import AT, letters

from connectors.sendgrid.inbound import InboundHook
from crmdrip.core.inbound import InboundMail, MailKind
from crmdrip.core.received import Delivery, RawMail
from crmdrip.inbound import classify, read_mail
from crmdrip.sandbox.sendgrid.form import CONTENT_TYPE, Arrival, parsed_form, raw_form
from crmdrip.sandbox.world.letters import LANGUAGES, Letter, Truth, Who

HOOK = InboundHook(keys=(), secrets=("s" * 32,), limit=1_000_000)
HUMAN = {MailKind.REPLY, MailKind.UNSUBSCRIBE}


def take(letter: Letter) -> MailKind:
    """What the reader takes a letter for."""
    return classify(read_mail(letter.raw, envelope_to=(letter.recipient,)), AT).kind


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_human_reply_is_taken_for_a_machine_s(language: str) -> None:
    """B8: whoever it is, however they quote, and even where they speak of their holidays."""
    found = [
        (letter.text[:80], take(letter))
        for truth, who in ((Truth.REPLY, Who.SELF), (Truth.REPLY, Who.COLLEAGUE), (Truth.UNSUBSCRIBE, Who.SELF))
        for letter in letters(truth, language, who, count=40)
    ]
    assert [each for each in found if each[1] not in HUMAN] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("truth", "kind"),
    [
        (Truth.BOUNCE, MailKind.BOUNCE),
        (Truth.RECEIPT, MailKind.RECEIPT),
        (Truth.CALENDAR, MailKind.CALENDAR),
    ],
)
def test_reports_receipts_and_calendars_are_never_replies(truth: Truth, kind: MailKind, language: str) -> None:
    """B7: by their structure, whatever language their text is in."""
    assert {take(letter) for letter in letters(truth, language, count=20)} == {kind}


@pytest.mark.parametrize("truth", [Truth.OUT_OF_OFFICE, Truth.AUTO_REPLY, Truth.LEFT_COMPANY])
def test_a_machine_that_says_so_is_never_a_reply(truth: Truth) -> None:
    """B8: headers first, in every language."""
    found = [
        take(letter)
        for language in LANGUAGES
        for letter in letters(truth, language, count=30)
        if "no headers" not in letter.shape
    ]
    assert found
    assert not HUMAN & set(found)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("truth", list(Truth))
def test_it_makes_no_difference_in_which_form_a_mail_is_posted(truth: Truth, language: str) -> None:
    """Raw or taken apart by the provider: the same sender, thread, words, kind and report, whatever the charset."""
    for letter in letters(truth, language, count=8):
        arrival = Arrival(raw=letter.raw, sender="", recipient=letter.recipient, sender_ip="192.0.2.1")
        raw, parsed = (receive(form(arrival)) for form in (raw_form, parsed_form))
        for name in ("message_id", "in_reply_to", "references", "sender", "sender_name", "delivered_to", "report"):
            assert getattr(raw, name) == getattr(parsed, name), name
        assert raw.text.split() == parsed.text.split()
        assert raw.subject.split() == parsed.subject.split()
        assert classify(raw, AT) == classify(parsed, AT)


def receive(form: bytes) -> InboundMail:
    """What the product reads of a post of Inbound Parse."""
    delivery = Delivery(source=HOOK.source, key="k", body=form, content_type=CONTENT_TYPE, received_at=AT)
    (mail,) = HOOK.read(delivery)
    assert isinstance(mail, RawMail)
    return read_mail(mail.body, envelope_to=mail.envelope_to)
