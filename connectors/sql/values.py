"""From the values of columns to ours and back, by the form that a column has. Pure."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Column, true, types

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)
_YES = ("Y", "y", "yes", "Yes", "YES", "true", "True", "TRUE", "T", "t", "1", "on")
_NO = frozenset({"", "n", "no", "f", "false", "0", "off", "0.0"})
_LARGEST = 2**63
"""What no integer column holds."""
_MILLIS = 100_000_000_000
"""A count of seconds from there on is one of milliseconds."""


class Form(Enum):
    """What a column takes."""

    BOX = "a yes or no"
    NUMBER = "a number"
    TEXT = "text"
    AWARE = "a time with its zone"
    NAIVE = "a time without zone"
    DAY = "a date"
    UUID = "a UUID"
    OTHER = "something else"


def form_of(kind: types.TypeEngine[Any]) -> Form:
    """The form of a reflected type."""
    if isinstance(kind, types.Boolean):
        return Form.BOX
    if isinstance(kind, types.Integer | types.Numeric):
        return Form.NUMBER
    if isinstance(kind, types.DateTime):
        return Form.AWARE if kind.timezone or type(kind).__name__ == "DATETIMEOFFSET" else Form.NAIVE
    if isinstance(kind, types.Date):
        return Form.DAY
    if isinstance(kind, types.Uuid) or type(kind).__name__ == "UNIQUEIDENTIFIER":
        return Form.UUID
    return Form.TEXT if isinstance(kind, types.String) or type(kind).__name__ == "CITEXT" else Form.OTHER


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A column that carries one of our words."""

    column: Column[Any]
    form: Form
    zone: ZoneInfo
    """Of times that are kept without one."""
    yes: str
    no: str
    """How a box stands in text."""
    length: int | None = None
    """Characters that a text may have, where it is bounded."""

    def show(self, value: Any) -> Any:
        """One of our values as the column takes it. Raises ValueError for one that it cannot take."""
        match value:
            case None:
                return None
            case bool():
                return self._box(ticked=value)
            case datetime():
                return self._time(value)
            case int():
                return str(value) if self.form is Form.TEXT else value
            case _:
                return self._text(str(value))

    def fit(self, text: str) -> Any:
        """A text for people, cut to what the column holds."""
        return self.show(text if self.length is None else text[: self.length])

    def ticked(self) -> Any:
        """The condition that a box is ticked."""
        if self.form is Form.TEXT:
            return self.column.in_([*dict.fromkeys((self.yes, *_YES))])
        if self.form is Form.NUMBER:
            return self.column != 0
        # Not "IS true", which not every database takes.
        return self.column == true() if self.form is Form.BOX else self.column.is_not(None)

    def changed_since(self, since: datetime, now: datetime) -> Any:
        """The condition that a time in it lies at or after another."""
        return self.column >= self._bound(since, now)

    def _bound(self, since: datetime, now: datetime) -> Any:
        if self.form is not Form.NAIVE and not (self.form is Form.TEXT and self.zone.key != "UTC"):
            return self.show(since)
        # Where clocks went back in between, what was written afterwards carries an earlier time on the wall.
        before, after = since.astimezone(self.zone).utcoffset(), now.astimezone(self.zone).utcoffset()
        back = max((before or timedelta()) - (after or timedelta()), timedelta())
        return self.show(since - back)

    def _box(self, *, ticked: bool) -> Any:
        if self.form is Form.TEXT:
            return self.yes if ticked else self.no
        if self.form in (Form.NAIVE, Form.AWARE, Form.DAY):
            raise ValueError("a time is no box")
        return int(ticked) if self.form is Form.NUMBER else ticked

    def _time(self, at: datetime) -> Any:
        if self.form is Form.NUMBER:
            return int(at.timestamp())
        if self.form is Form.AWARE:
            return at.astimezone(UTC)
        local = at.astimezone(self.zone).replace(tzinfo=None)
        if self.form is Form.DAY:
            return local.date()
        return local.isoformat(sep=" ") if self.form is Form.TEXT else local

    def _text(self, text: str) -> Any:
        if self.form is Form.NUMBER:
            number = int(text)
            if abs(number) >= _LARGEST:
                raise ValueError(text)
            return number
        if self.form is Form.UUID:
            return uuid.UUID(text)
        # Neither stands in a text column of PostgreSQL, and people's mail has both.
        return text.replace("\x00", "").encode("utf-8", "replace").decode()


def read_key(value: Any) -> str:
    """An id as text; "" for none. A CHAR comes filled up with blanks."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.rstrip()
    if isinstance(value, Decimal | float):
        with suppress(ValueError, OverflowError):  # neither "not a number" nor infinity is a whole one
            return str(int(value) if value == int(value) else value)
    return str(value)


def is_ticked(value: Any) -> bool:
    """A box by which something begins: what is not plainly yes is no."""
    return str(value) in _YES if isinstance(value, str) else bool(value)


def is_set(value: Any) -> bool:
    """A box by which something ends: what is not plainly no is yes."""
    return value.strip().casefold() not in _NO if isinstance(value, str) else bool(value)


def read_time(value: Any, zone: ZoneInfo) -> datetime | None:
    """A time, aware UTC; None for none, and for what is none."""
    match value:
        case None | "" | bool():
            return None
        case datetime():
            at = value
        case date():
            at = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone is added below
        case int() | float() | Decimal():
            try:
                seconds = float(value)
                return datetime.fromtimestamp(seconds / 1000 if abs(seconds) >= _MILLIS else seconds, UTC)
            except (ValueError, OverflowError, OSError):
                return None
        case _:
            try:
                at = datetime.fromisoformat(str(value).strip())
            except ValueError:
                return None
    try:
        return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:  # of a day at either end of the calendar, which stands for "always" or "never"
        return _NEVER if at.year > LONG_AGO.year else LONG_AGO


def read_pause(value: Any, zone: ZoneInfo) -> datetime | None:
    """Until when somebody is to wait. What is entered and cannot be read is for ever: somebody meant to wait."""
    if value is None or value == "":
        return None
    return read_time(value, zone) or _NEVER


def read_number(value: Any) -> int:
    """A whole number, 0 for none and for what is none."""
    try:
        return int(value or 0)
    except (TypeError, ValueError, ArithmeticError):
        return 0


def read_text(value: Any) -> str:
    """Text, "" for none."""
    return "" if value is None else str(value)


def read_merge_value(value: Any) -> Any:
    """What a template may print; None for what is empty."""
    if value is None or isinstance(value, str | bool | int | float | Decimal | date):
        return value if value != "" else None
    return str(value)
