"""The filters a template may use, and nothing beyond them.

Each takes a text (or a value it prints) and plain arguments, and each result is bounded, so that no chain of them can
grow without end. Own implementations, because those of the Liquid library read the clock, convert sequences and
multiply texts before they look at any limit (tried on python-liquid 2.3.6, 2026-11-24). Semantics follow Shopify's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from crmdrip.core.values import RefusedError, clean_text, print_value

RESULT_LIMIT = 65_536
"""Characters of any one filter's result."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """One filter and how many arguments it takes."""

    run: Callable[..., str]
    least: int = 0
    most: int = 0


def apply_filter(chosen: Filter, value: object, arguments: list[object]) -> str:
    """The filter's result. Raises RefusedError when the value does not suit it or the result is too long."""
    result = chosen.run(value, *arguments)
    if len(result) > RESULT_LIMIT:
        raise RefusedError("becomes too long")
    return result


def _upcase(value: object) -> str:
    return print_value(value).upper()


def _downcase(value: object) -> str:
    return print_value(value).lower()


def _capitalize(value: object) -> str:
    return print_value(value).capitalize()


def _strip(value: object) -> str:
    return print_value(value).strip()


def _lstrip(value: object) -> str:
    return print_value(value).lstrip()


def _rstrip(value: object) -> str:
    return print_value(value).rstrip()


def _escape(value: object) -> str:
    # Values are always escaped for where they land; doing it twice would show.
    return print_value(value)


def _append(value: object, addition: object) -> str:
    return print_value(value) + print_value(addition)


def _prepend(value: object, addition: object) -> str:
    return print_value(addition) + print_value(value)


def _replace(value: object, old: object, new: object = "") -> str:
    text, old, new = print_value(value), print_value(old), print_value(new)
    if len(text) + text.count(old) * (len(new) - len(old)) > RESULT_LIMIT:
        raise RefusedError("becomes too long")
    return text.replace(old, new)


def _remove(value: object, part: object) -> str:
    return print_value(value).replace(print_value(part), "")


def _truncate(value: object, length: object = 50, ellipsis: object = "...") -> str:
    text, length, ellipsis = print_value(value), _whole(length), print_value(ellipsis)
    if len(text) <= length:
        return text
    return text[: max(length - len(ellipsis), 0)] + ellipsis


def _truncatewords(value: object, count: object = 15, ellipsis: object = "...") -> str:
    words, count = print_value(value).split(), max(_whole(count), 1)
    if len(words) <= count:
        return " ".join(words)
    return " ".join(words[:count]) + print_value(ellipsis)


def _whole(number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or abs(number) > RESULT_LIMIT:
        raise RefusedError("needs a whole number of reasonable size")
    return number


_DIRECTIVE = re.compile(r"%(-?)(.?)", re.DOTALL)
_DIRECTIVES = frozenset("aAbBdeHIjmMpSyYFDRTuU%")


def _date(value: object, pattern: object) -> str:
    moment = _moment(value)

    def print_part(found: re.Match[str]) -> str:
        dash, letter = found.groups()
        if letter not in _DIRECTIVES:
            raise RefusedError(f"has an unknown part {found.group()} in its date format")
        if letter == "%":
            return "%"
        text = moment.strftime(f"%{letter}")
        return (text.lstrip("0 ") or "0") if dash else text

    return _DIRECTIVE.sub(print_part, print_value(pattern))


def check_date_format(pattern: str) -> None:
    """Raises RefusedError for a format that `date` does not know."""
    _date(date(2026, 1, 1), pattern)


def _moment(value: object) -> date:
    if isinstance(value, date):
        return value
    try:
        return datetime.fromisoformat(print_value(value))
    except ValueError:
        raise RefusedError("is not a date") from None


_SCHEME = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_BARE = re.compile(r"[\w-]+(?:\.[\w-]+)*\.[a-z]{2,24}(?::\d+)?(?:[/?#][^\s<>\"']*)?", re.IGNORECASE)


def _web_address(value: object) -> str:
    text = print_value(value).strip()
    if _SCHEME.fullmatch(text):
        return text
    if _BARE.fullmatch(text):
        return f"https://{text}"
    raise RefusedError("is not a web address")


def _url_part(value: object) -> str:
    return _percent_encode(value, kept="")


def _mail_part(value: object) -> str:
    return _percent_encode(value, kept="@")


def _percent_encode(value: object, *, kept: str) -> str:
    return quote(clean_text(print_value(value)), safe=kept)


FILTERS: Mapping[str, Filter] = {
    "upcase": Filter(run=_upcase),
    "downcase": Filter(run=_downcase),
    "capitalize": Filter(run=_capitalize),
    "strip": Filter(run=_strip),
    "lstrip": Filter(run=_lstrip),
    "rstrip": Filter(run=_rstrip),
    "escape": Filter(run=_escape),
    "append": Filter(run=_append, least=1, most=1),
    "prepend": Filter(run=_prepend, least=1, most=1),
    "replace": Filter(run=_replace, least=1, most=2),
    "remove": Filter(run=_remove, least=1, most=1),
    "truncate": Filter(run=_truncate, most=2),
    "truncatewords": Filter(run=_truncatewords, most=2),
    "date": Filter(run=_date, least=1, most=1),
    "url_encode": Filter(run=_url_part),
}
"""By the name authors use. `default` is not here: it belongs to what counts as missing (core.program)."""

FITTINGS: Mapping[str, Filter] = {
    "url_part": Filter(run=_url_part),
    "mail_part": Filter(run=_mail_part),
    "web_address": Filter(run=_web_address),
}
"""Set by core.body and core.sanitize where a value stands in an address, so that it cannot lead elsewhere."""


def use_default(value: Any, *, allow_false: bool) -> bool:
    """Whether `default` takes its argument in place of the value: false and blank texts; absence is the caller's."""
    if value is False:
        return not allow_false
    return isinstance(value, str) and not value.strip()
