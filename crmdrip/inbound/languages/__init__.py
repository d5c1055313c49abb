"""The words by which mails of ten languages are told apart: one file of data per language, beside this one.

A pattern is a regular expression over folded text (fold): lower case, without accents, straight quotes and hyphens,
single blanks. So "für", "fuer" and "FÜR" are one. Adding a language is adding its file.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

CODES = ("en", "de", "fr", "es", "pt", "it", "nl", "pl", "sv", "ja")

SURE_WORDS = 2
"""A text with no more of a language's commonest words than that can be in any language."""

_MARKS = re.compile("[\u0300-\u036f]+")
_SAME = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u02bc": "'", "`": "'", "\u00b4": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2015": "-", "\u2212": "-",
        "\u301c": "~", "\u0142": "l", "\u00f8": "o", "\u0111": "d", "\u00e6": "ae", "\u200b": None, "\u00ad": None,
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class DateWords:
    """How a language writes dates, and what it says before and after one. Patterns without groups."""

    months: tuple[str, ...]
    weekdays: tuple[str, ...]
    today: str
    tomorrow: str
    this_week: str
    next_week: str
    month_end: str
    month_middle: str
    back: str
    back_after: str
    not_until: str
    until: str
    until_after: str
    exclusive: str
    """Of the words for "until", those that leave the day itself out."""
    inclusive: str
    joins: str
    """Between the two ends of a range."""
    articles: str
    start: str
    start_after: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Language:
    """One language's tables, compiled. A table that a language lacks matches nothing."""

    code: str
    stopwords: frozenset[str]
    subject: Mapping[str, re.Pattern[str]]
    words: Mapping[str, re.Pattern[str]]
    acknowledgements: tuple[re.Pattern[str], ...]
    """words["acknowledged"] one by one: a single one is what people say, too."""
    formulas: tuple[re.Pattern[str], ...]
    """Kinds of phrases of which an absence notice has several."""
    dates: DateWords


def fold(text: str) -> str:
    """A text in the form that patterns are written for."""
    text = unicodedata.normalize("NFKD", text.casefold().translate(_SAME))
    text = unicodedata.normalize("NFC", _MARKS.sub("", text)).translate(_SAME)
    return " ".join(text.split())


@lru_cache(maxsize=1)
def load_languages() -> tuple[Language, ...]:
    """Every language, read once."""
    folder = files(__name__)
    return tuple(_compile(tomllib.loads((folder / f"{code}.toml").read_text(encoding="utf-8"))) for code in CODES)


def rank_languages(text: str) -> tuple[tuple[Language, ...], tuple[Language, ...]]:
    """All languages, the likeliest for a folded text first; and those it can be in. In doubt any."""
    every = load_languages()
    if re.search("[\u3041-\u30ff]", text):
        japanese = tuple(one for one in every if one.code == "ja")
        return tuple(sorted(every, key=lambda one: one.code != "ja")), japanese
    seen = re.findall(r"[^\W\d_]+", text[:2_000])
    scores = {one.code: sum(word in one.stopwords for word in seen) for one in every}
    best = max(scores.values())
    best = best if best > SURE_WORDS else 0
    ranked = tuple(sorted(every, key=lambda one: -scores[one.code]))
    return ranked, tuple(one for one in ranked if scores[one.code] * 2 >= best)


def _compile(table: Mapping[str, Any]) -> Language:
    dates = {name: _either(given) if isinstance(given, list) else given for name, given in table["dates"].items()}
    return Language(
        code=table["code"],
        stopwords=frozenset(table["stopwords"]),
        subject=_patterns(table["subject"]),
        words=_patterns(table["words"]),
        acknowledgements=tuple(re.compile(one) for one in table["words"]["acknowledged"]),
        formulas=tuple(_patterns(table["formula"]).values()),
        dates=DateWords(
            months=tuple(table["months"]),
            weekdays=tuple(table["weekdays"]),
            today=table["today"],
            tomorrow=table["tomorrow"],
            this_week=table["this_week"],
            next_week=table["next_week"],
            month_end=table["month_end"],
            month_middle=table["month_middle"],
            back=dates["back"],
            back_after=dates["back_after"],
            not_until=dates["not_until"],
            until=dates["until"],
            until_after=dates.get("until_after", _NEVER),
            exclusive=dates.get("exclusive", _NEVER),
            inclusive=dates["inclusive"],
            joins=dates["joins"],
            articles=dates["articles"],
            start=dates["from"],
            start_after=dates.get("from_after", _NEVER),
        ),
    )


_NEVER = r"(?!)"


def _either(patterns: list[str]) -> str:
    return f"(?:{'|'.join(sorted(patterns, key=len, reverse=True))})" if patterns else _NEVER


def _patterns(table: Mapping[str, list[str]]) -> Mapping[str, re.Pattern[str]]:
    return MappingProxyType(
        {name: re.compile("|".join(f"(?:{one})" for one in given)) for name, given in table.items()}
    )
