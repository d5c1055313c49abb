"""What people type into the fields of a CRM, read into values, with one plain sentence for each entry that is none.

Says nothing about what the values mean together: that is core.definition.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from datetime import time
from enum import StrEnum
from typing import Any, TypeVar

Choice = TypeVar("Choice", bound=StrEnum)

Report = Callable[[str, str, str], None]
"""Takes a field's label, what is wrong with its entry ("is “x”"), and a sentence on what to type."""

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_TIME = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2})(?:\.\d+)?)?(?:Z|\s*([ap])\.?m\.?)?", re.IGNORECASE | re.ASCII)
"""Salesforce gives a time field as "09:00:00.000Z"; the Z means nothing there, it is the time on the wall."""

_API_NAME = re.compile(r"[A-Za-z]\w*(?:\.\w+)*", re.ASCII)

_BOXES = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
"""Salesforce gives booleans, HubSpot the words "true" and "false"; both are read as words."""


def quote(value: Any) -> str:
    """A value as it stands in the CRM, within a sentence and of bounded length."""
    text = " ".join(str(value).split())
    return f"“{text}”" if len(text) <= 60 else f"“{text[:60]}…”"


def label_choice(choice: StrEnum) -> str:
    """A choice as the picklist shows it: "Stop if Opportunity"."""
    words = str(choice.value).split("_")
    return " ".join(word if word in ("if", "or") else word.capitalize() for word in words)


class Entries:
    """The fields of one record. Each method reads one; what cannot be read is told to `report` and counts as blank."""

    def __init__(self, fields: Mapping[str, Any], report: Report) -> None:
        """Read fields; report is called for each entry that is no value."""
        self._fields = fields
        self._report = report

    def is_blank(self, word: str) -> bool:
        """Whether nothing is entered: no value, or only space."""
        value = self._fields.get(word)
        return value is None or (isinstance(value, str) and not value.strip())

    def text(self, word: str) -> str:
        """The text with its outer space removed, "" when blank."""
        return "" if self.is_blank(word) else str(self._fields[word]).strip()

    def box(self, word: str, label: str, *, default: bool) -> bool:
        """Whether the box is ticked."""
        if self.is_blank(word):
            return default
        ticked = _BOXES.get(self.text(word).casefold())
        if ticked is None:
            self._report(label, f"is {quote(self.text(word))}", "Tick it or leave it unticked.")
            return default
        return ticked

    def number(self, word: str, label: str, *, least: int, most: int) -> int | None:
        """A whole number in the given bounds, None when blank."""
        if self.is_blank(word):
            return None
        number = self._float(word)
        if number is None or not number.is_integer() or not least <= number <= most:
            or_none = ", or leave it empty" if least > 0 else ""
            advice = f"Type a whole number from {least} to {most}{or_none}."
            self._report(label, f"is {quote(self._fields[word])}", advice)
            return None
        return int(number)

    def position(self, word: str, label: str) -> float | None:
        """A number that may have decimals, None when blank."""
        if self.is_blank(word):
            return None
        number = self._float(word)
        if number is None:
            self._report(label, f"is {quote(self._fields[word])}", "Type a number such as 1, 2 or 2.5.")
        return number

    def choice(self, word: str, label: str, default: Choice) -> Choice:
        """One of the choices of the default's kind; case, spaces and underscores do not matter."""
        if self.is_blank(word):
            return default
        wanted = _fold(self.text(word))
        choices = tuple(type(default))
        for choice in choices:
            if _fold(choice.value) == wanted:
                return choice
        *others, last = (label_choice(choice) for choice in choices)
        self._report(label, f"is {quote(self.text(word))}", f"Choose {', '.join(others)} or {last}.")
        return default

    def days(self, word: str, label: str, default: frozenset[int]) -> frozenset[int]:
        """Days of the week, Monday is 0, from a multi-select picklist ("Mon;Tue") or a list with commas."""
        if self.is_blank(word):
            return default
        days = set()
        for name in filter(None, (part.strip() for part in re.split(r"[;,]", self.text(word)))):
            day = next((i for i, short in enumerate(DAYS) if _is_day(name, short)), None)
            if day is None:
                self._report(label, f"has {quote(name)}, which is no day", f"Choose among {', '.join(DAYS)}.")
            else:
                days.add(day)
        return frozenset(days) or default

    def time(self, word: str, label: str, default: time) -> time:
        """A time of day: "09:00", "9:00 am", or Salesforce's "09:00:00.000Z"."""
        if self.is_blank(word):
            return default
        found = _TIME.fullmatch(self.text(word))
        if found is not None:
            hour, minute, second = (int(part or 0) for part in found.group(1, 2, 3))
            if half := found.group(4):
                hour = hour % 12 + (12 if half in "pP" else 0) if 1 <= hour <= 12 else 24
            if hour < 24 and minute < 60 and second < 60:
                return time(hour, minute, second)
        self._report(label, f"is {quote(self.text(word))}, which is no time of day", "Type it like 09:00.")
        return default

    def condition(self, word: str, label: str) -> tuple[str, frozenset[str]]:
        """A field's API name and the values asked of it, from "Status = Qualified, Unqualified"; "" when blank.

        A value that holds a comma stands in double quotes.
        """
        if self.is_blank(word):
            return "", frozenset()
        field, _, listed = (part.strip() for part in self.text(word).partition("="))
        rows = csv.reader([" ".join(listed.split())], skipinitialspace=True)
        try:
            values = frozenset(value.strip() for row in rows for value in row if value.strip())
        except csv.Error:
            values = frozenset()
        if not _API_NAME.fullmatch(field) or not values:
            advice = "Write a field's API name, an equals sign and values, such as: Status = Qualified, Unqualified."
            self._report(label, f"is {quote(self.text(word))}", advice)
            return "", frozenset()
        return field, values

    def _float(self, word: str) -> float | None:
        value = self._fields[word]
        if isinstance(value, bool):
            return None
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return None
        return number if abs(number) < 1e9 else None


def _fold(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _is_day(name: str, short: str) -> bool:
    """Whether the name is the day's, in full or cut to three letters or more: Tue, Tues, Tuesday."""
    full = {"Tue": "tuesday", "Wed": "wednesday", "Thu": "thursday", "Sat": "saturday"}.get(
        short, f"{short}day".lower()
    )
    return len(name) >= 3 and full.startswith(name.casefold())
