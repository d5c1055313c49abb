"""Values of CRM fields on their way into an email: how they are named, when they count as missing, how they print.

A value is data. It is never read as a template, never printed when it is not a text, number or date, and never
carries control characters or braces into an email. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

PERSON = frozenset({"contact", "lead", "person", "recipient"})
"""Names that mean the person written to; they are dropped, so that one template serves leads and contacts."""
SENDER = frozenset({"sender", "user"})
"""Names that mean whoever the email is from; Salesforce says User."""
RELATED = frozenset({"account", "owner", "sender"})
"""Names that stay in front of a field."""


class Absent:
    """Stands for a field that is missing or blank, and remembers which."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path


class RefusedError(Exception):
    """A value cannot go into an email; the text says why, in plain words. Never leaves the core."""


@lru_cache(maxsize=4096)
def read_path(written: str) -> str:
    """A path as the last look asks for it: "Contact.FirstName" is "FirstName", "User.Name" is "sender.Name".

    Raises RefusedError when it names a whole record or nothing at all.
    """
    segments = written.split(".")
    while len(segments) > 1 and segments[0].lower() in PERSON:
        del segments[0]
    head = segments[0].lower()
    head = "sender" if head in SENDER else head
    if len(segments) == 1:
        if head in RELATED or head in PERSON:
            raise RefusedError("is a whole record, not a field; name a field of it, such as first_name")
    elif head in RELATED:
        segments[0] = head
    if len(segments) > 4 or not all(segments):
        raise RefusedError("is not a field")
    return ".".join(segments)


@lru_cache(maxsize=4096)
def fold(path: str) -> str:
    """The form in which paths are compared: without case, underscores and hyphens, so first_name is FirstName."""
    with suppress(RefusedError):  # A record may carry a field that no template can name.
        path = read_path(path)
    return path.replace("_", "").replace("-", "").casefold()


@lru_cache(maxsize=4096)
def label(path: str) -> str:
    """The field as a CRM user reads it: "first_name" is "First Name", "account.name" is "Account Name"."""
    path = re.sub(r"__[cr]\b", "", path, flags=re.IGNORECASE)
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", path.replace(".", " ").replace("_", " ")).split()
    return " ".join(word[:1].upper() + word[1:] for word in words)


def join_labels(paths: Iterable[str]) -> str:
    """Several fields in one line: "Title, First Name"; each once."""
    return ", ".join(dict.fromkeys(map(label, paths)))


class Context:
    """The values a template is rendered with, by folded path. Texts are trimmed; blanks and placeholders left out."""

    __slots__ = ("values",)

    values: dict[str, object]

    def __init__(self, *layers: Mapping[str, object] | Context) -> None:
        """layers: values by path, or what was read before; the first that has a value wins."""
        values: dict[str, object] = {}
        for layer in reversed(layers):
            if isinstance(layer, Context):
                values.update(layer.values)
                continue
            for path, value in layer.items():
                if isinstance(value, str):
                    text = value.strip()
                    if not is_placeholder(text):
                        values[fold(path)] = text
                elif value is not None:
                    values[fold(path)] = value
        self.values = values


_PLACEHOLDERS = frozenset({"[not provided]", "[[unknown]]", "n/a", "#n/a", "undefined", "(null)"})


def is_placeholder(text: str) -> bool:
    """Whether a text stands for nothing: blank, "-", or what CRMs and imports put into required fields.

    Salesforce fills LastName and Company of a lead with "[not provided]" where a form or a list had none.
    """
    return not text or text.lower() in _PLACEHOLDERS or not (text[0].isalnum() or any(map(str.isalnum, text)))


def print_value(value: object) -> str:
    """A value as text. Raises RefusedError for anything but text, numbers, dates and yes/no."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _digits(value)
    if isinstance(value, (float, Decimal)):
        # Salesforce sends whole numbers as 50.0.
        if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124  only NaN differs from itself
            raise RefusedError("is not a number")
        return _digits(int(value)) if value == int(value) else str(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    raise RefusedError("is not a text, a number or a date")


def _digits(value: int) -> str:
    if value.bit_length() > 200:
        raise RefusedError("is too large a number")
    return str(value)


# Control characters (a line break in a name would end a header), line separators, direction overrides that make text
# read as another, lone halves of surrogate pairs that no encoder takes, and the marks core.body sets.
_UNPRINTABLE = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ue000-\ue00f"
UNPRINTABLE = re.compile(f"[{_UNPRINTABLE}]+")
ODD_IN_TEXT = re.compile(f"[{_UNPRINTABLE}{{}}]")
ODD_IN_HTML = re.compile(f"[{_UNPRINTABLE}{{}}&<>\"']")


def clean_text(text: str) -> str:
    """A value as it may stand in plain text or a header: on one line, nothing invisible.

    Raises RefusedError for braces: a field that holds `{{first_name}}` was filled by an import that went wrong, and
    an email never shows one.
    """
    if "{" in text or "}" in text:
        raise RefusedError("contains a brace")
    return UNPRINTABLE.sub(" ", text)


def clean_html(text: str) -> str:
    """A value as it may stand in HTML text or a quoted attribute. Raises RefusedError as clean_text."""
    text = clean_text(text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("'", "&#39;")
