"""The page is in the language the person's browser asks for, as RFC 9110 reads its header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.core.footer import WORDINGS
from crmdrip.web.languages import LIMIT, choose_language


def choose(header: str, fallback: str = "en") -> str:
    return choose_language(header, WORDINGS, fallback)


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("de", "de"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        ("ja-Hrkt-JP", "ja"),
        ("DE-at", "de"),
        ("fr;q=0.5, it;q=0.7, es;q=0.6", "it"),
        ("fr;q=0.3,de;q=1.000", "de"),
        ("zh-CN, ru;q=0.9, sv;q=0.1", "sv"),
        ("nl , pl", "nl"),
        ("pl\t;\tq=0.9,\tnl;q=0.8", "pl"),
        ("de-AT;q=0, de;q=0.4", "de"),
    ],
)
def test_the_heaviest_language_there_is_gets_chosen(header: str, chosen: str) -> None:
    """Whatever the spelling, a region counts as its language, and of equals the first."""
    assert choose(header) == chosen


@pytest.mark.parametrize(
    "header", ["", "*", "zh, ru;q=0.9", "xx-klingon", "q=1", ";", ",,,", "\x00", "de;q=2", "de;q=.5"]
)
def test_whoever_asks_for_nothing_there_is_gets_the_configured_language(header: str) -> None:
    """The language of the emails' footer."""
    assert choose(header, fallback="sv") == "sv"


def test_a_star_stands_for_the_configured_language_unless_another_weighs_more() -> None:
    """`*` is anything; ours first."""
    assert choose("*, fr;q=0.5", fallback="pl") == "pl"
    assert choose("fr, *;q=0.5", fallback="pl") == "fr"


def test_a_refused_language_is_not_served_while_another_is_welcome() -> None:
    """q=0 is a no, also to the configured language."""
    assert choose("en;q=0, *", fallback="en") != "en"
    assert choose("en;q=0, nl;q=0.1", fallback="en") == "nl"


def test_a_refusal_of_everything_still_gets_a_page() -> None:
    """A page in the configured language helps more than an error."""
    assert choose("en;q=0", fallback="en") == "en"


def test_a_long_header_is_read_no_further_than_the_limit() -> None:
    """B28: nobody keeps the door busy with a header."""
    assert choose("x," * LIMIT + "de", fallback="en") == "en"


@given(st.text(max_size=80), st.sampled_from(sorted(WORDINGS)))
def test_every_header_gets_one_of_the_languages(header: str, fallback: str) -> None:
    """Nothing a header holds is an error."""
    assert choose(header, fallback) in WORDINGS
