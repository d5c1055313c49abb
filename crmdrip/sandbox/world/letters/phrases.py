"""Phrases of one language, and dates the way it writes them. The texts stand in the data files beside this module."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import resources
from random import Random
from typing import Any

LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "nl", "pl", "sv", "ja")


@cache
def phrases(language: str) -> Mapping[str, Any]:
    """What the file of a language holds. Raises FileNotFoundError for one that is not spoken here."""
    text = resources.files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def write_date(day: date, language: str, random: Random) -> str:
    """A day in one of the language's ways of writing it."""
    words = phrases(language)
    return str(random.choice(words["dates"])).format_map(_parts(day, words))


def write_moment(day: date, clock: str, language: str) -> str:
    """When something was sent, as mail programs write it above a quotation."""
    words = phrases(language)
    return f"{str(words['dates'][0]).format_map(_parts(day, words))}, {clock}"


def _parts(day: date, words: Mapping[str, Any]) -> Mapping[str, object]:
    number: object = day.day
    if day.day == 1 and "first_of_month" in words:
        number = words["first_of_month"]
    return {
        "day": number,
        "dd": f"{day.day:02d}",
        "m": day.month,
        "mm": f"{day.month:02d}",
        "month": words["months"][day.month - 1],
        "weekday": words["weekdays"][day.weekday()],
        "year": day.year,
    }
