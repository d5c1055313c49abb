"""What tells a notice from a person's words: every sentence counts, and one of a person's own is enough."""

from __future__ import annotations

import pytest

from crmdrip.inbound.languages import fold, load_languages
from crmdrip.inbound.notice import LONGEST, engages, is_notice, tells_who_is_gone

EVERY = load_languages()
ENGLISH = tuple(one for one in EVERY if one.code == "en")


def test_a_text_of_nothing_but_notices_sentences_is_a_notice() -> None:
    """Greeting, acknowledgement, number and closing, in any order."""
    text = "Hello, thank you for contacting us. Your ticket 48213 was created. Best regards, Fabrikam"
    assert is_notice(fold(text), EVERY)


def test_one_sentence_of_a_person_s_own_makes_it_none() -> None:
    """B8: what no answering program is given."""
    text = "Thank you for contacting us. We talked about it and will stay with what we have."
    assert not is_notice(fold(text), EVERY)


@pytest.mark.parametrize("text", ["", "Hi Sam, Dana", "out of office. " * (LONGEST // 10)])
def test_what_says_nothing_or_too_much_is_no_notice(text: str) -> None:
    """An empty text, a greeting alone, a text longer than any notice (B27)."""
    assert not is_notice(fold(text), EVERY)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("I will answer as soon as I can.", ""),
        ("Can we talk as soon as I am back?", "en"),
        ("I will be back on Monday. Let's talk then.", "en"),
    ],
)
def test_a_formula_of_notices_wants_nothing(text: str, wanted: str) -> None:
    """The same words are a person's outside the formula."""
    assert engages(fold(text), ENGLISH) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Noor has left the company. Please contact Kim instead.", "en"),
        ("Noor has left the company, so nothing will be decided before autumn.", ""),
        ("Noor has left the company. I took her desk and like it.", ""),
    ],
)
def test_a_leaving_that_is_a_reason_is_no_notice_of_it(text: str, wanted: str) -> None:
    """B8: the run goes on stopping for the person who answered."""
    assert tells_who_is_gone(fold(text), ENGLISH) == wanted
