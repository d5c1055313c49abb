"""The day a person is back, out of what their absence notice says.

Every date in the text is found in the language's ways of writing it, then the words around each say what it is: the
day they are back, the last day away, the end of a range, or the beginning. The value is always the first day back: the
day named by "back on", the day after "until" and "through". What is vague ("until Monday") is read as people mean it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from functools import lru_cache

from crmdrip.inbound.languages import DateWords, Language

LONGEST = timedelta(days=800)
"""Absences beyond it are misread: parental leave is the longest, three years in some countries but told in steps."""
_STALE = timedelta(days=45)
"""How far back a date without a year may lie before the next year is meant."""


class _Shape(Enum):
    DAY = "day"
    """One day of the calendar, with or without its weekday."""
    WEEKDAY = "weekday"
    THIS_WEEK = "this week"
    NEXT_WEEK = "next week"
    MONTH = "month"
    MONTH_END = "month's end"


class _Role(Enum):
    BACK = "back"
    LAST = "last"
    """The last day away, or the day until which."""
    START = "start"
    ON = "on"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mention:
    """A date as it stands in the text."""

    begin: int
    end: int
    shape: _Shape
    day: date
    """The day, the first day of the month, or of the week."""
    weekday: int | None = None
    ends_range: bool = False
    """Whether the range's beginning is part of the mention ("August 3-17")."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Return:
    """The first day back, and whether words say so; else it is the day after the only one named."""

    day: date
    told: bool


def find_return(text: str, language: Language, received: date, *, month_first: bool) -> Return | None:
    """The first day back, None when the text does not say or it is past. text: folded.

    month_first: whether "8/12" is August the 12th where the numbers allow both.
    """
    mentions = _find_mentions(text, language, received, month_first=month_first)
    told = [(one, _role(text, mentions, place, language)) for place, one in enumerate(mentions)]
    for mention, role in told:
        if role is _Role.BACK and (day := _back_on(mention)) and _is_likely(day, received):
            return Return(day=day, told=True)
    last = [_back_after(one, text, language) for one, role in told if role is _Role.LAST]
    if likely := [day for day in last if _is_likely(day, received)]:
        return Return(day=max(likely), told=True)
    only = [one for one, role in told if role is _Role.ON]
    if len(only) == 1 and len(told) == 1 and _is_likely(day := _back_after(only[0], text, language), received):
        return Return(day=day, told=False)
    return None


def _is_likely(day: date, received: date) -> bool:
    return received <= day <= received + LONGEST


def _back_on(mention: _Mention) -> date:
    if mention.shape is _Shape.THIS_WEEK:
        return mention.day + timedelta(days=7)
    return mention.day if mention.shape is not _Shape.MONTH_END else _month_after(mention.day)


def _back_after(mention: _Mention, text: str, language: Language) -> date:
    """The first day back of an absence whose last day, or whose end, is mentioned."""
    words = language.dates
    before, after = text[max(0, mention.begin - 30) : mention.begin], text[mention.end : mention.end + 25]
    if mention.shape in (_Shape.THIS_WEEK, _Shape.NEXT_WEEK):
        until = re.search(rf"{words.until}\s?(?:{words.articles}\s?){{0,2}}$", before)
        if mention.shape is _Shape.NEXT_WEEK and until:
            return mention.day
        return mention.day + timedelta(days=7)
    if mention.shape is _Shape.MONTH_END:
        return _month_after(mention.day)
    if mention.shape is _Shape.MONTH:
        until = re.search(rf"{words.until}\s?(?:{words.articles}\s?){{0,2}}$", before)
        return mention.day if until else _month_after(mention.day)
    including = rf"(?<![^\W\d_]){words.inclusive}(?![^\W\d_])"
    inclusive = re.search(including, before) or re.match(rf"[\s,(]{{0,3}}{including}", after)
    if not inclusive and not mention.ends_range:
        if re.search(rf"(?<![^\W\d_]){words.exclusive}\s?(?:{words.articles}\s?){{0,2}}$", before):
            return mention.day
        # Nobody who is away through Monday says "until Monday": they are back that day.
        if mention.weekday == 0 and re.search(rf"{words.until}\s?(?:{words.articles}\s?){{0,2}}$", before):
            return mention.day
    return mention.day + timedelta(days=1)


def _month_after(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _role(text: str, mentions: list[_Mention], place: int, language: Language) -> _Role:
    words = language.dates
    mention = mentions[place]
    previous = mentions[place - 1].end if place else 0
    following = mentions[place + 1].begin if place + 1 < len(mentions) else len(text)
    before = text[max(previous, mention.begin - 80) : mention.begin]
    after = text[mention.end : min(following, mention.end + 45)]
    lead = rf"\s?(?:{words.articles}\s?){{0,3}}$"
    joined = rf"{words.joins}{lead}"
    # Japanese says it after the date.
    if re.match(words.back_after, after) and not re.search(rf"(?<![^\W\d_]){words.until}{lead}", before):
        return _Role.BACK
    if re.match(words.until_after, after):
        return _Role.LAST
    sentence = re.split(r"[.!?] (?=[^\W\d_])", before)[-1]
    if re.search(rf"(?<![^\W\d_]){words.not_until}{lead}", sentence):
        return _Role.BACK
    if mention.ends_range:
        return _Role.LAST
    if re.search(rf"(?<![^\W\d_]){words.until}{lead}", before):
        return _Role.LAST
    if (place and re.fullmatch(rf"[\s.,]{{0,3}}{joined}", before)) or re.search(
        rf"\d(?:st|nd|rd|th|er|o|a|e|\.)?\s?{joined}", before
    ):
        return _Role.LAST
    if re.match(words.start_after, after):
        return _Role.START
    if re.search(rf"(?<![^\W\d_]){words.back}[^!?]{{0,25}}$", sentence):
        return _Role.BACK
    return _Role.START if re.search(rf"(?<![^\W\d_]){words.start}{lead}", before) else _Role.ON


@dataclass(frozen=True, slots=True)
class _Grammar:
    """The patterns of one language's dates."""

    day: re.Pattern[str]
    weekday: re.Pattern[str]
    relative: re.Pattern[str]
    month: re.Pattern[str]
    months: tuple[re.Pattern[str], ...]
    weekdays: tuple[re.Pattern[str], ...]


@lru_cache(maxsize=32)
def _grammar(words: DateWords, code: str) -> _Grammar:
    month = "|".join(words.months) or "(?!)"
    weekday = "|".join(words.weekdays)
    edge, close = (r"(?<![^\W\d_])", r"(?![^\W\d_])") if code != "ja" else ("", "")
    ordinal = r"(?:st|nd|rd|th|er|eme|te[nr]?|:[ea]|[oae]|\.)?"
    numbered = r"-(?=\d{1,2}-\d{4})|[./]" if code != "nl" else r"[./-]"
    day = (
        r"(?<!\d)(?P<iso_y>20\d\d)[-/.](?P<iso_m>\d{1,2})[-/.](?P<iso_d>\d{1,2})(?!\d)"
        r"|(?:(?P<ja_y>20\d\d)年)?(?P<ja_m>\d{1,2})月(?P<ja_d>\d{1,2})日(?:(?:\(.\))?(?:から|~|-"
        r"|より)(?P<ja_d2>\d{1,2})日)?"
        rf"|(?<!\d)(?P<dm_d>\d{{1,2}}){ordinal}\s?(?:of |de |di |del |d.|den )?(?P<dm_m>{month}){close}"
        r"(?:\.?,?\s?(?:de |del |di )?(?P<dm_y>20\d\d))?"
        rf"|{edge}(?P<md_m>{month})\.?\s(?:the )?(?P<md_d>\d{{1,2}})(?:st|nd|rd|th)?(?![\d:h]|\.\d)"
        r"(?:\s?(?:-|to|through|thru|until|till)\s?(?P<md_d2>\d{1,2})(?:st|nd|rd"
        r"|th)?(?![\d:h]))?(?:,?\s(?P<md_y>20\d\d))?"
        rf"|(?<!\d)(?<!\d[./:])(?P<n_a>\d{{1,2}})(?P<n_s>{numbered})\s?(?P<n_b>\d{{1,2}})"
        r"(?:(?P=n_s)\s?(?P<n_y>20\d\d|\d\d))?(?!\d|[./]\d|%| ?(?:uhr|am\b|pm\b|h\b|eur|€|\$))\.?"
        rf"|{edge}(?:the|le|el|il|dia|den|dem|zum|de|o|il giorno)\s(?P<o_d>\d{{1,2}})(?:st|nd|rd|th|er|\.|:[ea])?+"
        r"(?![\d:h/%]|\.\d|\s?(?:uhr|days?|tage|jours|dias|giorni|dagen|hours|%|-))"
        rf"(?!\s?(?:of |de |di |del |d.|den )?(?:{month}){close})"
    )
    relative = "|".join(
        f"(?P<{name}>{edge}(?:{given}){close})"
        for name, given in (
            ("next_week", words.next_week),
            ("this_week", words.this_week),
            ("today", words.today),
            ("tomorrow", words.tomorrow),
        )
    )
    part = rf"(?:(?P<ends>{words.month_end})|(?P<middle>{words.month_middle}))"
    whole = rf"{edge}(?:{part}\s?)?(?P<m>{month}){close}(?:\s(?:de )?(?P<y>20\d\d))?"
    japanese = rf"(?:(?P<y>20\d\d)年)?(?P<m>\d{{1,2}})月{part}"
    return _Grammar(
        day=re.compile(day),
        weekday=re.compile(f"{edge}(?:{weekday}){close}"),
        relative=re.compile(relative),
        month=re.compile(japanese if code == "ja" else whole),
        months=tuple(re.compile(one) for one in words.months),
        weekdays=tuple(re.compile(one) for one in words.weekdays),
    )


def _find_mentions(text: str, language: Language, received: date, *, month_first: bool) -> list[_Mention]:
    """Every date, in the order of the text, none overlapping another."""
    grammar = _grammar(language.dates, language.code)
    found: list[_Mention] = []
    taken: list[tuple[int, int]] = []

    def keep(mentions: Iterator[_Mention]) -> None:
        for one in mentions:
            if all(one.end <= begin or one.begin >= end for begin, end in taken):
                found.append(one)
                taken.append((one.begin, one.end))
            if len(found) >= 40:
                return

    keep(_days(text, grammar, language, received, month_first=month_first))
    # "31 February" is no day, and not a month either.
    taken += [match.span() for match in grammar.day.finditer(text) if match.span() not in taken]
    keep(_relatives(text, grammar, received))
    keep(_months(text, grammar, received))
    days = _with_weekdays(text, grammar, found, taken)
    keep(_weekdays(text, grammar, language, received, days))
    return sorted(days + [one for one in found if one.shape is _Shape.WEEKDAY], key=lambda one: one.begin)


def _days(text: str, grammar: _Grammar, language: Language, received: date, *, month_first: bool) -> Iterator[_Mention]:
    for match in grammar.day.finditer(text):
        given = match.groupdict()
        ends_range = False
        if given["iso_y"]:
            day = _day(given["iso_d"], given["iso_m"], given["iso_y"], received)
        elif given["ja_m"]:
            ends_range = given["ja_d2"] is not None
            day = _day(given["ja_d2"] or given["ja_d"], given["ja_m"], given["ja_y"], received)
        elif given["dm_m"]:
            day = _day(given["dm_d"], _number(given["dm_m"], grammar.months), given["dm_y"], received)
        elif given["md_m"]:
            ends_range = given["md_d2"] is not None
            number = _number(given["md_m"], grammar.months)
            day = _day(given["md_d2"] or given["md_d"], number, given["md_y"], received)
        elif given["n_a"]:
            if given["n_s"] == "/":
                day = _numeric(given["n_a"], given["n_b"], given["n_y"], received, month_first=month_first)
                if language.code == "en" and day is not None:
                    turned = _numeric(given["n_a"], given["n_b"], given["n_y"], received, month_first=not month_first)
                    day = turned if turned is not None and _is_nearer(turned, day, received) else day
            else:
                # Dots and hyphens leave no doubt: the day comes first, save in Japan.
                one, other = (given["n_b"], given["n_a"]) if language.code == "ja" else (given["n_a"], given["n_b"])
                day = _day(one, other, given["n_y"], received)
        else:
            day = _next_numbered(given["o_d"], received)
        if day is not None:
            yield _Mention(begin=match.start(), end=match.end(), shape=_Shape.DAY, day=day, ends_range=ends_range)


def _numeric(one: str, other: str, year: str | None, received: date, *, month_first: bool) -> date | None:
    """Two numbers, one of them the month. Where the usual order gives a day long past, the other is meant."""
    day_first, turned = _day(one, other, year, received), _day(other, one, year, received)
    usual, rare = (turned, day_first) if month_first else (day_first, turned)
    if usual is None:
        return rare
    if rare is not None and usual < received - timedelta(days=7) and received <= rare <= received + timedelta(days=60):
        return rare
    return usual


def _is_nearer(day: date, usual: date, received: date) -> bool:
    """Whether an absence is so much likelier to end then that the order of the numbers must be the other one.

    Only English is written in both orders, and the sender's clock is all that tells which is theirs.
    """
    return received <= day <= received + timedelta(days=45) and usual > received + timedelta(days=90)


def _next_numbered(number: str, received: date) -> date | None:
    """A day by its number alone, "the 17th": this month's, else the next's."""
    for month in (received.replace(day=1), _month_after(received)):
        day = _day(number, str(month.month), str(month.year), received)
        if day is not None and day >= received:
            return day
    return None


def _number(name: str, patterns: tuple[re.Pattern[str], ...]) -> str:
    return str(next((n for n, one in enumerate(patterns, 1) if one.fullmatch(name)), 0))


def _day(day: str, month: str, year: str | None, received: date) -> date | None:
    """A day of the calendar; without a year, the one nearest ahead."""
    try:
        if year:
            number = int(year)
            return date(number if number > 99 else 2000 + number, int(month), int(day))
        for candidate in (received.year - 1, received.year, received.year + 1):
            found = date(candidate, int(month), int(day))
            if found >= received - _STALE:
                return found
    except ValueError:
        return None
    return None


def _relatives(text: str, grammar: _Grammar, received: date) -> Iterator[_Mention]:
    monday = received - timedelta(days=received.weekday())
    for match in grammar.relative.finditer(text):
        shape, day = {
            "today": (_Shape.DAY, received),
            "tomorrow": (_Shape.DAY, received + timedelta(days=1)),
            "this_week": (_Shape.THIS_WEEK, monday),
            "next_week": (_Shape.NEXT_WEEK, monday + timedelta(days=7)),
        }[match.lastgroup or "today"]
        yield _Mention(begin=match.start(), end=match.end(), shape=shape, day=day)


def _months(text: str, grammar: _Grammar, received: date) -> Iterator[_Mention]:
    for match in grammar.month.finditer(text):
        part = match["ends"] or match["middle"]
        if len(match["m"]) < 4 and not part:
            continue  # "may", "set" and "out" are other words, too
        number = match["m"] if match["m"].isdigit() else _number(match["m"], grammar.months)
        day = _day("15" if match["middle"] else "1", number, match["y"], received.replace(day=1))
        if day is not None:
            shape = _Shape.MONTH_END if match["ends"] else _Shape.DAY if match["middle"] else _Shape.MONTH
            yield _Mention(begin=match.start(), end=match.end(), shape=shape, day=day)


def _weekday_number(name: str, grammar: _Grammar) -> int:
    return next((n for n, one in enumerate(grammar.weekdays) if one.fullmatch(name)), 0)


def _with_weekdays(text: str, grammar: _Grammar, found: list[_Mention], taken: list[tuple[int, int]]) -> list[_Mention]:
    """The days, each with the weekday named beside it; such weekdays are no dates of their own."""
    days = list(found)
    for match in grammar.weekday.finditer(text):
        for place, one in enumerate(days):
            between = text[match.end() : one.begin] if match.end() <= one.begin else text[one.end : match.start()]
            beside = match.end() <= one.begin <= match.end() + 12 or one.end <= match.start() <= one.end + 3
            if one.shape is _Shape.DAY and beside and re.fullmatch(r"[\s.,(]{0,3}(?:[^\W\d_]{1,4}\s){0,2}", between):
                days[place] = _Mention(
                    begin=min(one.begin, match.start()),
                    end=max(one.end, match.end()),
                    shape=one.shape,
                    day=one.day,
                    weekday=_weekday_number(match.group(), grammar),
                    ends_range=one.ends_range,
                )
                taken.append((match.start(), match.end()))
                break
    return days


def _weekdays(
    text: str, grammar: _Grammar, language: Language, received: date, days: list[_Mention]
) -> Iterator[_Mention]:
    for match in grammar.weekday.finditer(text):
        name = match.group()
        if name.isascii() and len(name) < (3 if language.code == "en" else 5):
            continue  # "di", "do" and "so" are other words, too
        if any(one.begin <= match.start() < one.end for one in days):
            continue
        number = _weekday_number(name, grammar)
        ahead = (number - received.weekday()) % 7 or 7
        yield _Mention(
            begin=match.start(),
            end=match.end(),
            shape=_Shape.WEEKDAY,
            day=received + timedelta(days=ahead),
            weekday=number,
        )
