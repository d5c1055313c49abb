"""Record ids: 15 case-sensitive characters and the 3 that make them safe where case is lost."""

from __future__ import annotations

import re
from functools import lru_cache

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""In ASCII order, so that ids minted later also sort later."""
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SHAPE = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")

POD = "Dr0"
"""The three characters real ids spend on the instance."""


def complete(short: str) -> str:
    """The 18-character form of a 15-character id."""
    return short + _letter(short[:5]) + _letter(short[5:10]) + _letter(short[10:15])


@lru_cache(maxsize=4_096)  # the ids of one object begin alike
def _letter(five: str) -> str:
    """Which of five characters are upper case, as one letter."""
    return _SUFFIX[sum(1 << place for place, letter in enumerate(five) if "A" <= letter <= "Z")]


def mint(prefix: str, number: int) -> str:
    """The id of an object's record number `number`."""
    return complete(f"{prefix}{POD}{_digits(number // 62) + DIGITS[number % 62]:0>9}")


@lru_cache(maxsize=4_096)  # numbers that follow each other begin alike
def _digits(number: int) -> str:
    return _digits(number // 62) + DIGITS[number % 62] if number else ""


def normalize(value: object) -> str | None:
    """The 18-character form of a well-formed id, None for anything else (a wrong suffix included)."""
    return _normalize(value) if isinstance(value, str) else None


@lru_cache(maxsize=65_536)
def _normalize(text: str) -> str | None:
    if _SHAPE.fullmatch(text) is None:
        return None
    full = complete(text[:15])
    return full if len(text) == 15 or full == text else None
