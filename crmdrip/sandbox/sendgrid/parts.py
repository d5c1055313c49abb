"""The parts of a message, each checked by itself: addresses, bodies, headers, arguments, settings.

Every function appends what is wrong to the list it is given, and builds nothing while all is well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from crmdrip.sandbox.sendgrid.answers import HELP, Problem

MAX_CUSTOM_ARGS = 10_000
"""Bytes of the encoded object."""
MAX_SUBSTITUTIONS = 10_000
"""Bytes of the encoded object, per personalization."""
MAX_SCHEDULE = 72 * 3_600
"""Seconds that send_at may lie ahead."""

RESERVED_HEADERS = frozenset(
    {
        "x-sg-id",
        "x-sg-eid",
        "received",
        "dkim-signature",
        "content-type",
        "content-transfer-encoding",
        "to",
        "from",
        "subject",
        "reply-to",
        "cc",
        "bcc",
    }
)

_ADDRESS_KEYS = frozenset({"email", "name"})
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_is_address = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]").fullmatch
_is_header_name = re.compile(r"[!-9;-~]+").fullmatch
"""Printable ASCII without the colon (RFC 5322 section 3.6.8)."""

NO_CONTENT = Problem(
    "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined"
    " content block. We typically suggest both text/plain and text/html blocks are included, but only one block is"
    " required.",
    "content",
    HELP + "content",
)


def check_address(value: Any, path: str, problems: list[Problem]) -> str | None:
    """The address of an email object, None when it was refused."""
    if type(value) is not dict:
        problems.append(wrong_type(value, "object", path))
        return None
    if not value.keys() <= _ADDRESS_KEYS:
        problems += [extra_key(key, f"{path}.{key}") for key in value if key not in _ADDRESS_KEYS]
    name = value.get("name")
    if name is not None:
        if type(name) is not str:
            problems.append(wrong_type(name, "string", f"{path}.name"))
        elif "\n" in name or "\r" in name:
            problems.append(line_break(f"{path}.name"))
    address = value.get("email")
    if type(address) is not str or len(address) > 320 or not _is_address(address):
        problems.append(
            Problem("Does not contain a valid address.", f"{path}.email", HELP + path.split(".", maxsplit=1)[0])
        )
        return None
    return address


def check_subject(subject: Any, path: str, problems: list[Problem]) -> None:
    """A subject has at least one character, and no line break."""
    if type(subject) is not str or not subject:
        problems.append(
            Problem(
                "The subject of your email must be a string at least one character in length.", path, HELP + "subject"
            )
        )
    elif "\n" in subject or "\r" in subject:
        problems.append(line_break(path))


def check_content(content: Any, problems: list[Problem]) -> None:
    """Bodies: each once, none empty, plain text before HTML before the rest."""
    if type(content) is not list:
        problems.append(wrong_type(content, "array", "content"))
        return
    if not content:
        problems.append(NO_CONTENT)
    last = -1
    for index, part in enumerate(content):
        path = f"content.{index}"
        if type(part) is not dict:
            problems.append(wrong_type(part, "object", path))
            continue
        if len(part) > 2:
            problems += [extra_key(key, f"{path}.{key}") for key in part if key not in ("type", "value")]
        kind = part.get("type")
        value = part.get("value")
        if type(kind) is not str or not kind or "\r" in kind or "\n" in kind or ";" in kind:
            problems.append(
                Problem(
                    "The content type must be a string at least one character in length, without ';' or line breaks.",
                    f"{path}.type",
                    HELP + "content.type",
                )
            )
        if type(value) is not str or not value:
            problems.append(
                Problem(
                    "The content value must be a string at least one character in length.",
                    f"{path}.value",
                    HELP + "content.value",
                )
            )
        rank = 0 if kind == "text/plain" else 1 if kind == "text/html" else 2
        if rank < last or (rank == last and rank < 2):
            problems.append(
                Problem(
                    "If present, text/plain and text/html may only be provided once, and text/plain must be first,"
                    " followed by text/html, followed by any other content.",
                    "content",
                    HELP + "content",
                )
            )
        last = rank


def check_headers(headers: Any, path: str, problems: list[Problem]) -> None:
    """Headers: none that is reserved, ASCII values without line breaks."""
    if type(headers) is not dict:
        problems.append(wrong_type(headers, "object", path))
        return
    for name, value in headers.items():
        where = f"{path}.{name}"
        if name.lower() in RESERVED_HEADERS:
            problems.append(Problem(f"The header {name} is reserved and cannot be set.", where, HELP + "headers"))
        elif not _is_header_name(name):
            problems.append(Problem("The header name is not valid.", where, HELP + "headers"))
        if type(value) is not str:
            problems.append(wrong_type(value, "string", where))
        elif not value.isascii():
            problems.append(
                Problem(
                    "Header values must be properly encoded if they contain unicode characters.",
                    where,
                    HELP + "headers",
                )
            )
        elif "\n" in value or "\r" in value:
            problems.append(line_break(where))


def check_custom_args(arguments: Any, path: str, problems: list[Problem]) -> None:
    """Custom arguments: an object of strings."""
    # The specification types the message-level custom_args as a string; the service wants an object and says so.
    check_strings(arguments, path, MAX_CUSTOM_ARGS, problems)


def check_strings(value: Any, path: str, limit: int, problems: list[Problem]) -> None:
    """Check an object of strings that encodes to at most `limit` bytes."""
    if type(value) is not dict:
        problems.append(wrong_type(value, "object", path))
        return
    for key, text in value.items():
        if type(text) is not str:
            problems.append(wrong_type(text, "string", f"{path}.{key}"))
    if len(orjson.dumps(value)) > limit:
        name = path.rpartition(".")[2]
        problems.append(
            Problem(f"The {name} object may not exceed {limit:,} bytes.", path, HELP + path.split(".", maxsplit=1)[0])
        )


def check_categories(categories: Any, problems: list[Problem]) -> None:
    """At most ten categories of 255 characters, each once."""
    if type(categories) is not list:
        problems.append(wrong_type(categories, "array", "categories"))
        return
    if len(categories) > 10:
        problems.append(Problem("You may not have more than 10 categories.", "categories", HELP + "categories"))
    for index, category in enumerate(categories):
        if type(category) is not str:
            problems.append(wrong_type(category, "string", f"categories.{index}"))
        elif len(category) > 255:
            problems.append(
                Problem("A category may not have more than 255 characters.", f"categories.{index}", HELP + "categories")
            )
    if len({str(category) for category in categories}) < len(categories):
        problems.append(Problem("Categories must be unique.", "categories", HELP + "categories"))


def check_send_at(value: Any, path: str, problems: list[Problem], now: float) -> None:
    """A time in epoch seconds, at most 72 hours ahead of `now`."""
    if type(value) is not int:
        problems.append(wrong_type(value, "integer", path))
    elif value > now + MAX_SCHEDULE:
        problems.append(Problem("Scheduling more than 72 hours in advance is forbidden.", path, HELP + "send_at"))


def check_attachments(attachments: Any, problems: list[Problem]) -> None:
    """Each attachment has content and a file name."""
    if type(attachments) is not list:
        problems.append(wrong_type(attachments, "array", "attachments"))
        return
    for index, attachment in enumerate(attachments):
        for key in ("content", "filename"):
            text = attachment.get(key) if type(attachment) is dict else None
            if type(text) is not str or not text:
                problems.append(
                    Problem(
                        f"The attachment {key} must be a string at least one character in length.",
                        f"attachments.{index}.{key}",
                        HELP + f"attachments.{key}",
                    )
                )


def check_asm(asm: Any, problems: list[Problem]) -> None:
    """An unsubscribe group by number, and at most 25 to display."""
    if type(asm) is not dict:
        problems.append(wrong_type(asm, "object", "asm"))
        return
    if type(asm.get("group_id")) is not int:
        problems.append(wrong_type(asm.get("group_id"), "integer", "asm.group_id"))
    groups = asm.get("groups_to_display", [])
    if type(groups) is not list or len(groups) > 25:
        problems.append(
            Problem("You may not display more than 25 groups.", "asm.groups_to_display", HELP + "asm.groups_to_display")
        )


def check_settings(value: Any, path: str, known: Mapping[str, frozenset[str]], problems: list[Problem]) -> None:
    """Settings by name, each with the switches and texts that are known for it."""
    if type(value) is not dict:
        problems.append(wrong_type(value, "object", path))
        return
    for name, setting in value.items():
        where = f"{path}.{name}"
        keys = known.get(name)
        if keys is None:
            problems.append(extra_key(name, where))
        elif type(setting) is not dict:
            problems.append(wrong_type(setting, "object", where))
        else:
            for key, item in setting.items():
                if key not in keys:
                    problems.append(extra_key(key, f"{where}.{key}"))
                elif key.startswith("enable"):
                    if type(item) is not bool:
                        problems.append(wrong_type(item, "boolean", f"{where}.{key}"))
                elif type(item) is not str:
                    problems.append(wrong_type(item, "string", f"{where}.{key}"))


def extra_key(name: str, path: str) -> Problem:
    """A key nobody knows."""
    return Problem(f"Additional property {name} is not allowed", path)


def line_break(path: str) -> Problem:
    """A line break where a header would be split in two."""
    return Problem("Line breaks are not allowed.", path)


def wrong_type(value: Any, expected: str, path: str) -> Problem:
    """A value of another JSON type than expected."""
    return Problem(
        f"Invalid type. Expected: {expected}, given: {type_name(value)}.", path, HELP + path.split(".", maxsplit=1)[0]
    )


def type_name(value: Any) -> str:
    """The JSON name of a decoded value's type."""
    if value is None:
        return "null"
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return names[type(value)]
