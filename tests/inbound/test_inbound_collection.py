"""The labelled collection: every mail is taken for what it is, and read as far as it was newly written."""

from __future__ import annotations

import pytest
from collection import Labelled, load_collection

from crmdrip.core.inbound import MailKind
from crmdrip.inbound import classify, read_mail
from crmdrip.inbound.languages import CODES

COLLECTION = load_collection()
TUNED = [one for one in COLLECTION if not one.held_out]
HELD_OUT = [one for one in COLLECTION if one.held_out]
HUMAN = {MailKind.REPLY, MailKind.UNSUBSCRIBE}


def named(mails: list[Labelled]) -> list[object]:
    """One test case per mail, under its name."""
    return [pytest.param(one, id=one.name) for one in mails]


@pytest.mark.parametrize("mail", named(TUNED))
def test_a_mail_is_taken_for_what_it_is(mail: Labelled) -> None:
    """B7, B8 and B22: the kind is the one its label names."""
    assert classify(read_mail(mail.raw), mail.received).kind is mail.kind


@pytest.mark.parametrize("mail", named([one for one in TUNED if one.until is not None]))
def test_the_day_of_return_is_found(mail: Labelled) -> None:
    """B8: the first day the person is back, in each language's ways of writing it."""
    assert classify(read_mail(mail.raw), mail.received).until == mail.until


@pytest.mark.parametrize("mail", named([one for one in COLLECTION if one.text and one.kind is MailKind.REPLY]))
def test_the_newest_part_is_what_the_person_wrote(mail: Labelled) -> None:
    """The history below stays out of the text, however the mail program quotes it."""
    read = read_mail(mail.raw)
    assert mail.text is not None
    assert f"{read.text}\n{read.signature}".split() == mail.text.split() or "group" in read.signature


def test_no_held_out_person_is_taken_for_a_machine() -> None:
    """The mistake that writes on to somebody who answered, over mails that no phrase was tuned on."""
    wrong = [
        one.name
        for one in HELD_OUT
        if one.kind in HUMAN and classify(read_mail(one.raw), one.received).kind not in HUMAN
    ]
    assert wrong == []


def test_no_held_out_machine_is_taken_for_a_person() -> None:
    """The mistake that reports an answer nobody gave, over mails that no phrase was tuned on."""
    wrong = [
        one.name
        for one in HELD_OUT
        if one.kind not in HUMAN and classify(read_mail(one.raw), one.received).kind in HUMAN
    ]
    assert wrong == []


def test_nine_in_ten_held_out_days_of_return_are_found() -> None:
    """B8, over notices that no phrase was tuned on."""
    dated = [one for one in HELD_OUT if one.until is not None]
    right = [one for one in dated if classify(read_mail(one.raw), one.received).until == one.until]
    assert len(right) >= 0.9 * len(dated)


def test_the_collection_is_large_and_in_ten_languages() -> None:
    """At least 150 mails, with a good part of them held out from tuning, in every language of the tables."""
    assert len(COLLECTION) >= 150
    assert len(HELD_OUT) >= 150
    for code in CODES:
        assert any(f"{code}:" in one.name or f" {code} " in one.name for one in HELD_OUT), code
