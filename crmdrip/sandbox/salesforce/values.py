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


def parse_datetime(text: str) -> int:
    """ISO text with a zone, or a bare date as midnight UTC. Raises ValueError."""
    if _DATE.fullmatch(text):
        return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no zone in {text}")
    return to_ms(moment)


def show(spec: Field, stored: Any) -> Any:
    """A stored value as an answer shows it."""
    if spec.type == "boolean":
        return bool(stored)
    if stored is None:
        return None
    if spec.type == "datetime":
        return show_datetime(stored)
    if spec.type == "int":
        return int(stored)
    if spec.type in NUMBER_TYPES:
        return float(stored)
    return stored


def accept(spec: Field, value: Any) -> Any:
    """A value from a request or from Python as it is stored. Raises Refusal with the vendor's code.

    A value of the wrong JSON type refuses the whole request with JSON_PARSER_ERROR; everything else one row.
    """
    if value is None and spec.type != "boolean":
        return None
    read: Callable[[Field, Any], Any] = _ACCEPTED.get(spec.type, _text)
    return read(spec, value)


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
    if value == "":
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
    if value == "":
        return None
    try:
        # A datetime given for a date is cut to its date.
        return date.fromisoformat(value[:10]).isoformat()
    except (TypeError, ValueError):
        raise _undecipherable("date", value) from None


def _time(_spec: Field, value: Any) -> str | None:
    """As answers show it: "09:00:00.000Z", which is the time on the wall wherever that hangs."""
    if isinstance(value, time):
        return f"{value:%H:%M:%S}.000Z"
    if value == "":
        return None
    try:
        return f"{time.fromisoformat(value.removesuffix('Z')):%H:%M:%S}.000Z"
    except (AttributeError, TypeError, ValueError):
        raise _undecipherable("time", value) from None


def _number(spec: Field, value: Any) -> float | int | None:
    if value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
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
    rounded = round(number, spec.scale)
    return int(rounded) if rounded.is_integer() else rounded


def _id(spec: Field, value: Any) -> str | None:
    if value == "":
        return None
    full = normalize(value)
    if full is None:
        raise Refusal("MALFORMED_ID", f"{spec.label}: id value of incorrect type: {value}", fields=(spec.name,))
    return full


def _text(spec: Field, value: Any) -> str | None:
    if not isinstance(value, str):
        value = _as_text(value)
    text: str = value.strip()
    if not text:
        return None
    if spec.length and len(text) > spec.length:
        raise Refusal(
            "STRING_TOO_LONG",
            f"{spec.label}: data value too large: {text} (max length={spec.length})",
            fields=(spec.name,),
        )
    if spec.type == "email" and _EMAIL.fullmatch(text) is None:
        raise Refusal("INVALID_EMAIL_ADDRESS", f"{spec.label}: invalid email address: {text}", fields=(spec.name,))
    if spec.type == "multipicklist":
        chosen = [part.strip() for part in text.split(";") if part.strip()]
        return ";".join(_picklist(spec, part) for part in chosen) if spec.restricted else text
    if spec.restricted:
        return _picklist(spec, text)
    return text


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    raise _undecipherable("string", value)


def _picklist(spec: Field, text: str) -> str:
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


_ACCEPTED: Mapping[str, Callable[[Field, Any], Any]] = {
    "boolean": _boolean,
    "datetime": _datetime,
    "date": _date,
    "time": _time,
    "id": _id,
    "reference": _id,
    **dict.fromkeys(NUMBER_TYPES, _number),
}
"""By type; everything else is text."""
