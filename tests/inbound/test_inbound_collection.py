"""Every mail of the labelled collection is taken for what it is, and read as far as it was newly written."""

from __future__ import annotations

import pytest
from collection import Labelled, load_collection

from crmdrip.core.inbound import MailKind
from crmdrip.inbound import classify, read_mail
from crmdrip.inbound.languages import CODES

COLLECTION = load_collection()
BY_NAME = [pytest.param(one, id=one.name) for one in COLLECTION]


@pytest.mark.parametrize("mail", BY_NAME)
def test_a_mail_is_taken_for_what_it_is(mail: Labelled) -> None:
    """B7, B8 and B22: the kind is the one its label names."""
    assert classify(read_mail(mail.raw), mail.received).kind is mail.kind


@pytest.mark.parametrize("mail", [pytest.param(one, id=one.name) for one in COLLECTION if one.until is not None])
def test_the_day_of_return_is_found(mail: Labelled) -> None:
    """B8: the first day the person is back, in each language's ways of writing it."""
    assert classify(read_mail(mail.raw), mail.received).until == mail.until


@pytest.mark.parametrize(
    "mail",
    [pytest.param(one, id=one.name) for one in COLLECTION if one.text and one.kind is MailKind.REPLY],
)
def test_the_newest_part_is_what_the_person_wrote(mail: Labelled) -> None:
    """The history below stays out of the text, however the mail program quotes it."""
    read = read_mail(mail.raw)
    assert mail.text is not None
    assert f"{read.text}\n{read.signature}".split() == mail.text.split() or "group" in read.signature


def test_the_collection_is_large_and_in_ten_languages() -> None:
    """At least 150 mails, a third of those in tables held out from tuning."""
    tables = [one for one in COLLECTION if not one.name.startswith("raw")]
    held_out = [one for one in tables if one.held_out]
    assert len(tables) >= 150
    assert len(held_out) * 3.9 >= len(tables)
    assert {one.name.removeprefix("held out ")[:2] for one in tables} == set(CODES)
