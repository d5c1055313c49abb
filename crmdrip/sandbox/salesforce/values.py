"""Field values: from JSON or Python to what is stored, and back to what an answer shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from crmdrip.sandbox.salesforce.ids import normalize
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.schema import NUMBER_TYPES, Field

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_EMAIL = re.compile(r"[^\s@<>(),;]+@[^\s@<>(),;]+\.[^\s@<>(),;.]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NUMERIC = (int, float, str)


def to_ms(moment: datetime) -> int:
    """An aware datetime as stored."""
    return (moment - EPOCH) // _MILLISECOND


def from_ms(stored: int) -> datetime:
    """A stored datetime, aware UTC."""
    return EPOCH + stored * _MILLISECOND


@lru_cache(maxsize=4_096)  # the times of one page are mostly the same
def show_datetime(stored: int) -> str:
    """As answers show it: 2022-03-17T16:21:26.000+0000."""
    moment = from_ms(stored)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{stored % 1000:03d}+0000"


@lru_cache(maxsize=4_096)  # and those of one request too
def parse_datetime(text: str) -> int:
    """ISO text with a zone, or a bare date as midnight UTC. Raises ValueError."""
    if _DATE.fullmatch(text):
        return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no zone in {text}")
    return to_ms(moment)


Shower = Callable[[Any], Any]


def shower(spec: Field) -> Shower | None:
    """What turns stored values of the field into what an answer shows; None when they are shown as they are."""
    return _SHOWN.get(spec.type)


def show(spec: Field, stored: Any) -> Any:
    """A stored value as an answer shows it."""
    shown = shower(spec)
    return stored if shown is None else shown(stored)


def _show_moment(stored: int | None) -> str | None:
    return None if stored is None else show_datetime(stored)


def _show_whole(stored: Any) -> int | None:
    return None if stored is None else int(stored)


def _show_number(stored: Any) -> float | None:
    return None if stored is None else float(stored)


_SHOWN: Mapping[str, Shower] = {
    **dict.fromkeys(NUMBER_TYPES, _show_number),
    "int": _show_whole,
    "boolean": bool,
    "datetime": _show_moment,
}
"""By type; everything else is shown as it is stored."""

Reader = Callable[[Field, Any], Any]


def reader(spec: Field) -> Reader:
    """What reads values of the field, from a request or from Python, as they are stored: see accept."""
    return _READ.get(spec.type) or (_picklist if spec.restricted else _text)


def accept(spec: Field, value: Any) -> Any:
    """A value from a request or from Python as it is stored. Raises Refusal with the vendor's code.

    A value of the wrong JSON type refuses the whole request with JSON_PARSER_ERROR; everything else one row.
    """
    return reader(spec)(spec, value)


def _undecipherable(kind: str, value: Any) -> Refusal:
    token = "VALUE_STRING" if isinstance(value, str) else "START_OBJECT" if isinstance(value, dict) else "VALUE"
    return Refusal(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {kind} from {token} value {value} or request may be missing a required field"
        " at [line:1, column:1]",
    )


def _boolean(_spec: Field, value: Any) -> int:
    if value is None or isinstance(value, bool):
        return int(bool(value))
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return int(value.lower() == "true")
    raise _undecipherable("boolean", value)


def _datetime(_spec: Field, value: Any) -> int | None:
    if isinstance(value, datetime):
        return to_ms(value)
    if value is None or value == "":
        return None
    try:
        return parse_datetime(value)
    except (TypeError, ValueError):
        raise _undecipherable("datetime", value) from None


def _date(_spec: Field, value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if value is None or value == "":
        return None
    try:
        return _day(value[:10])  # a datetime given for a date is cut to its date
    except (TypeError, ValueError):
        raise _undecipherable("date", value) from None


@lru_cache(maxsize=4_096)  # as datetimes
def _day(text: str) -> str:
    return date.fromisoformat(text).isoformat()


def _time(_spec: Field, value: Any) -> str | None:
    """As answers show it: "09:00:00.000Z", which is the time on the wall wherever that hangs."""
    if isinstance(value, time):
        return f"{value:%H:%M:%S}.000Z"
    if value is None or value == "":
        return None
    try:
        return f"{time.fromisoformat(value.removesuffix('Z')):%H:%M:%S}.000Z"
    except (AttributeError, TypeError, ValueError):
        raise _undecipherable("time", value) from None


def _number(spec: Field, value: Any) -> float | int | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, _NUMERIC):
        raise _undecipherable("double", value)
    try:
        number = float(value)
    except ValueError:
        raise _undecipherable("double", value) from None
    if abs(number) >= 10 ** (spec.precision - spec.scale):
        raise Refusal(
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{spec.label}: value outside of valid range on numeric field: {value}",
            fields=(spec.name,),
        )
    if number.is_integer():
        return int(number)
    rounded = round(number, spec.scale)
    return int(rounded) if rounded.is_integer() else rounded


def _id(spec: Field, value: Any) -> str | None:
    if value is None or value == "":
        return None
    full = normalize(value)
    if full is None:
        raise Refusal("MALFORMED_ID", f"{spec.label}: id value of incorrect type: {value}", fields=(spec.name,))
    return full


def _text(spec: Field, value: Any) -> str | None:
    if not isinstance(value, str):
        if value is None:
            return None
        value = _as_text(value)
    text: str = value.strip()
    if len(text) > spec.length > 0:
        raise Refusal(
            "STRING_TOO_LONG",
            f"{spec.label}: data value too large: {text} (max length={spec.length})",
            fields=(spec.name,),
        )
    return text or None


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    raise _undecipherable("string", value)


def _email(spec: Field, value: Any) -> str | None:
    text = _text(spec, value)
    if text is not None and _EMAIL.fullmatch(text) is None:
        raise Refusal("INVALID_EMAIL_ADDRESS", f"{spec.label}: invalid email address: {text}", fields=(spec.name,))
    return text


def _multipicklist(spec: Field, value: Any) -> str | None:
    text = _text(spec, value)
    if text is None or not spec.restricted:
        return text
    return ";".join(_listed(spec, part.strip()) for part in text.split(";") if part.strip())


def _picklist(spec: Field, value: Any) -> str | None:
    text = _text(spec, value)
    return None if text is None else _listed(spec, text)


def _listed(spec: Field, text: str) -> str:
    if text in spec.values:
        return text
    for each in spec.values:
        if each.lower() == text.lower():
            return each
    raise Refusal(
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        f"{spec.label}: bad value for restricted picklist field: {text}",
        fields=(spec.name,),
    )


_READ: Mapping[str, Reader] = {
    "boolean": _boolean,
    "datetime": _datetime,
    "date": _date,
    "time": _time,
    "id": _id,
    "reference": _id,
    "email": _email,
    "multipicklist": _multipicklist,
    **dict.fromkeys(NUMBER_TYPES, _number),
}
"""By type; everything else is text, or one of a list of texts."""
