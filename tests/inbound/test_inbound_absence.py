"""The day a person is back, in the ways ten languages write it. Told on Monday, 3 August 2026."""

from __future__ import annotations

from dataclasses import fields
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.inbound.absence import find_return
from crmdrip.inbound.languages import CODES, fold, load_languages

MONDAY = date(2026, 8, 3)
LANGUAGES = {one.code: one for one in load_languages()}


def back(code: str, text: str, told: date = MONDAY, *, month_first: bool = False) -> date | None:
    """The day found in a text of a language."""
    found = find_return(fold(text), LANGUAGES[code], told, month_first=month_first)
    return found.day if found else None


@pytest.mark.parametrize(
    ("code", "text", "day"),
    [
        ("en", "back on 12 August", 12),
        ("en", "back on August 12th", 12),
        ("en", "returning Wed, Aug 12, 2026", 12),
        ("en", "I return on 2026-08-12", 12),
        ("en", "away until 12 August", 13),
        ("en", "away through August 12", 13),
        ("en", "from 3 to 12 August", 13),
        ("en", "August 3-12", 13),
        ("en", "from August 3 until August 12 inclusive", 13),
        ("en", "not back until 12 August", 12),
        ("en", "away until 11 August, back on the 12th", 12),
        ("de", "ab dem 12.08. wieder erreichbar", 12),
        ("de", "bis einschließlich 12.08. abwesend", 13),
        ("de", "bis zum 12. August", 13),
        ("de", "vom 3. bis 12.8.2026", 13),
        ("de", "erst am 12.8. zurück", 12),
        ("de", "bis 11.8. im Urlaub, ab 12.8. wieder da", 12),
        ("fr", "de retour le 12 août", 12),
        ("fr", "jusqu'au 12 août inclus", 13),
        ("fr", "du 3 au 12 août", 13),
        ("fr", "absent jusqu\u2019au 12/08", 13),
        ("fr", "pas de retour avant le 12 août", 12),
        ("es", "vuelvo el 12 de agosto", 12),
        ("es", "hasta el 12 de agosto", 13),
        ("es", "del 3 al 12 de agosto de 2026", 13),
        ("pt", "retorno dia 12 de agosto", 12),
        ("pt", "até 12/08/2026", 13),
        ("pt", "de 3 a 12 de agosto", 13),
        ("it", "rientro il 12 agosto", 12),
        ("it", "fino al 12 agosto compreso", 13),
        ("it", "dal 3 al 12 agosto", 13),
        ("nl", "vanaf 12 augustus weer bereikbaar", 12),
        ("nl", "afwezig tot 12 augustus", 12),
        ("nl", "afwezig tot en met 12 augustus", 13),
        ("nl", "van 3-8-2026 t/m 12-8-2026", 13),
        ("pl", "wracam 12 sierpnia", 12),
        ("pl", "na urlopie do 12.08.2026", 13),
        ("pl", "od 3 do 12 sierpnia", 13),
        ("sv", "åter den 12 augusti", 12),
        ("sv", "t.o.m. 12/8", 13),
        ("sv", "till och med den 12 augusti", 13),
        ("ja", "8月12日より出社いたします", 12),
        ("ja", "8月12日まで不在です", 13),
        ("ja", "8月3日から8月12日まで休暇", 13),
        ("ja", "8月3日\uff5e12日", 13),
        ("ja", "２０２６年８月１２日に復帰", 12),
    ],
)
def test_a_named_day_is_found(code: str, text: str, day: int) -> None:
    """B8: "back on" is that day, "until" and "through" the day after."""
    assert back(code, text) == date(2026, 8, day)


@pytest.mark.parametrize(
    ("code", "text", "day"),
    [
        ("en", "back on Monday", 10),
        ("en", "back Thursday", 6),
        ("en", "away until Monday", 10),
        ("en", "away until Friday", 8),
        ("en", "away through Friday", 8),
        ("en", "back tomorrow", 4),
        ("en", "out of the office today", 4),
        ("en", "out all this week", 10),
        ("en", "out next week", 17),
        ("en", "back next week", 10),
        ("de", "am Montag wieder im Büro", 10),
        ("de", "diese Woche abwesend", 10),
        ("de", "morgen wieder da", 4),
        ("fr", "de retour lundi", 10),
        ("fr", "jusqu'à vendredi", 8),
        ("es", "vuelvo el lunes", 10),
        ("pt", "volto na segunda-feira", 10),
        ("it", "torno lunedì", 10),
        ("nl", "maandag ben ik weer terug", 10),
        ("pl", "wracam w poniedziałek", 10),
        ("sv", "tillbaka på måndag", 10),
        ("ja", "木曜日に戻ります", 6),
    ],
)
def test_a_day_is_told_from_the_day_the_mail_came(code: str, text: str, day: int) -> None:
    """B8: week days, today, tomorrow and weeks."""
    assert back(code, text) == date(2026, 8, day)


@pytest.mark.parametrize(
    ("code", "text", "day"),
    [
        ("en", "back in September", date(2026, 9, 1)),
        ("en", "away until the end of August", date(2026, 9, 1)),
        ("de", "bis Ende August", date(2026, 9, 1)),
        ("de", "bis Mitte August", date(2026, 8, 16)),
        ("ja", "8月末まで不在", date(2026, 9, 1)),
        ("fr", "jusqu'à fin août", date(2026, 9, 1)),
        ("en", "until 4 January", date(2027, 1, 5)),
        ("de", "ab 7. Januar wieder erreichbar", date(2027, 1, 7)),
        ("en", "on parental leave until 1 February 2028", date(2028, 2, 2)),
    ],
)
def test_months_and_years_are_filled_in(code: str, text: str, day: date) -> None:
    """Without a year the nearest one ahead is meant; "end of" a month ends with its last day."""
    assert back(code, text) == day


def test_numbers_are_read_in_the_order_of_the_sender() -> None:
    """8/10 is in August in America and in October elsewhere."""
    assert back("en", "back on 8/10", month_first=True) == date(2026, 8, 10)
    assert back("en", "back on 8/10", month_first=False) == date(2026, 10, 8)
    assert back("en", "back on 12/08", month_first=False) == date(2026, 8, 12)
    assert back("en", "back on 8/17", month_first=False) == date(2026, 8, 17)
    assert back("fr", "de retour le 8/12", month_first=False) == date(2026, 12, 8)
    assert back("ja", "8/12に復帰", month_first=True) == date(2026, 8, 12)


def test_numbers_in_english_are_turned_when_that_is_so_much_nearer() -> None:
    """A clock set to UTC says nothing about the sender: next week is likelier than the winter, and than last month."""
    assert back("en", "back on 8/12", month_first=False) == date(2026, 8, 12)
    assert back("en", "back on 12/08/2026", month_first=True) == date(2026, 8, 12)
    assert back("en", "back on 7/8", month_first=True) == date(2026, 8, 7)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "I am away and will answer when I return."),
        ("en", "I was away until 3 July"),
        ("en", "until 31 February"),
        ("en", "until 40 August"),
        ("en", "back on 12 August 2045"),
        ("en", "call 020 12.34.56"),
        ("en", "open 9.30 to 17.00"),
        ("de", "ab 3.8. bis auf Weiteres"),
        ("de", "Tel. 030/12.08.44.11"),
    ],
)
def test_no_day_is_made_up(code: str, text: str) -> None:
    """What is past, impossible, decades ahead, or no date at all."""
    assert back(code, text) is None


@given(st.sampled_from(CODES), st.text(max_size=300), st.dates(date(2000, 1, 1), date(2090, 12, 31)))
def test_any_text_gives_a_day_ahead_or_none(code: str, text: str, told: date) -> None:
    """No exception, and never a day before the mail came."""
    day = back(code, text, told)
    assert day is None or day >= told


@given(
    st.sampled_from(CODES),
    st.lists(
        st.sampled_from(
            ["12", "31.2.", "august", "2/30", "until", "bis", "8月", "32日", "monday", "-", "to", "2026-13-45"]
        )
    ),
)
def test_impossible_dates_give_no_exception(code: str, words: list[str]) -> None:
    """Numbers and words of dates in any order."""
    back(code, " ".join(words))


@pytest.mark.parametrize("code", CODES)
def test_the_patterns_are_written_for_folded_text(code: str) -> None:
    """An accent or a capital in a pattern would never match."""
    language = LANGUAGES[code]
    tables = [*language.words.values(), *language.subject.values(), *language.formulas]
    dates = [getattr(language.dates, one.name) for one in fields(language.dates)]
    patterns = [one.pattern for one in tables] + [one if isinstance(one, str) else "|".join(one) for one in dates]
    for pattern in patterns:
        assert fold(pattern) == " ".join(pattern.casefold().split()), pattern
