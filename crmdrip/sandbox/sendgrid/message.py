"""What POST /v3/mail/send refuses, with the vendor's wording where it is published.

Decides only whether a body is a valid message; never keeps anything. This is the hot path of benchmarks, so each
check is one pass over plain dicts and builds nothing while all is well.

Sources: the OpenAPI file tsg_mail_v3.json, and twilio.com/docs/sendgrid/api-reference/mail-send/errors. Where the
vendor publishes a rule but no wording (reserved headers, sizes), the wording is ours in the vendor's style.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from crmdrip.sandbox.sendgrid.answers import HELP, Problem

MAX_PERSONALIZATIONS = 1_000
MAX_RECIPIENTS = 1_000
"""to + cc + bcc over all personalizations of one request."""
MAX_CUSTOM_ARGS = 10_000
"""Bytes of the encoded object."""
MAX_SUBSTITUTIONS = 10_000
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

MESSAGE_KEYS = frozenset(
    {
        "personalizations",
        "from",
        "reply_to",
        "reply_to_list",
        "subject",
        "content",
        "attachments",
        "template_id",
        "headers",
        "categories",
        "custom_args",
        "send_at",
        "batch_id",
        "asm",
        "ip_pool_name",
        "mail_settings",
        "tracking_settings",
    }
)
PERSONALIZATION_KEYS = frozenset(
    {
        "from",
        "to",
        "cc",
        "bcc",
        "subject",
        "headers",
        "substitutions",
        "dynamic_template_data",
        "custom_args",
        "send_at",
    }
)
_ADDRESS_KEYS = frozenset({"email", "name"})
SETTINGS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "mail_settings": {
        "bypass_list_management": frozenset({"enable"}),
        "bypass_spam_management": frozenset({"enable"}),
        "bypass_bounce_management": frozenset({"enable"}),
        "bypass_unsubscribe_management": frozenset({"enable"}),
        "footer": frozenset({"enable", "text", "html"}),
        "sandbox_mode": frozenset({"enable"}),
    },
    "tracking_settings": {
        "click_tracking": frozenset({"enable", "enable_text"}),
        "open_tracking": frozenset({"enable", "substitution_tag"}),
        "subscription_tracking": frozenset({"enable", "text", "html", "substitution_tag"}),
        "ganalytics": frozenset({"enable", "utm_source", "utm_medium", "utm_term", "utm_content", "utm_campaign"}),
    },
}

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_is_address = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]").fullmatch
_is_header_name = re.compile(r"[!-9;-~]+").fullmatch
"""Printable ASCII without the colon (RFC 5322 section 3.6.8)."""

_NO_SUBJECT = Problem(
    "The subject is required. You can get around this requirement if you use a template with a subject defined or if"
    " every personalization has a subject defined.",
    "subject",
    HELP + "subject",
)
_NO_CONTENT = Problem(
    "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined"
    " content block. We typically suggest both text/plain and text/html blocks are included, but only one block is"
    " required.",
    "content",
    HELP + "content",
)
_NO_FROM = Problem(
    "The from object must be provided for every email send. It is an object that requires the email parameter, but"
    ' may also contain a name parameter.  e.g. {"email" : "example@example.com"}  or'
    ' {"email" : "example@example.com", "name" : "Example Recipient"}.',
    "from.email",
    HELP + "from",
)


def check_message(message: Any, now: float) -> list[Problem]:
    """Everything that is wrong with the decoded body, empty when it would be accepted. now: epoch seconds."""
    if type(message) is not dict:
        return [Problem(f"Invalid type. Expected: object, given: {_type_name(message)}.", "(root)")]
    problems: list[Problem] = []
    if not message.keys() <= MESSAGE_KEYS:
        problems += [_extra(key, key) for key in message if key not in MESSAGE_KEYS]
    subjects = _check_personalizations(message, problems, now)
    sender = message.get("from")
    if sender is None:
        problems.append(_NO_FROM)
    else:
        _check_address(sender, "from", problems)
    _check_reply_to(message, problems)
    template = message.get("template_id")
    subject = message.get("subject")
    if subject is None:
        if not subjects and not template:
            problems.append(_NO_SUBJECT)
    else:
        _check_subject(subject, "subject", problems)
    content = message.get("content")
    if content is not None:
        _check_content(content, problems)
    elif not template:
        problems.append(_NO_CONTENT)
    if "headers" in message:
        _check_headers(message["headers"], "headers", problems)
    if "custom_args" in message:
        _check_custom_args(message["custom_args"], "custom_args", problems)
    if "categories" in message:
        _check_categories(message["categories"], problems)
    if "send_at" in message:
        _check_send_at(message["send_at"], "send_at", problems, now)
    if "attachments" in message:
        _check_attachments(message["attachments"], problems)
    if "asm" in message:
        _check_asm(message["asm"], problems)
    for key, settings in SETTINGS.items():
        if key in message:
            _check_settings(message[key], key, settings, problems)
    _check_names(message, problems)
    return problems


def _check_personalizations(message: dict[str, Any], problems: list[Problem], now: float) -> bool:
    """Check them all; whether every one has a subject of its own."""
    blocks = message.get("personalizations")
    if type(blocks) is not list or not blocks:
        if blocks is None or blocks == []:
            problems.append(
                Problem(
                    "The personalizations field is required and must have at least one personalization.",
                    "personalizations",
                    HELP.removesuffix("message.") + "-Personalizations-Errors",
                )
            )
        else:
            problems.append(_wrong_type(blocks, "array", "personalizations"))
        return False
    if len(blocks) > MAX_PERSONALIZATIONS:
        problems.append(
            Problem(
                "The personalization block is limited to 1000 personalizations per API request. You have provided"
                f" {len(blocks)} personalizations. Please consider splitting this into multiple requests and"
                " resending your request.",
                "personalizations",
                HELP + "personalizations",
            )
        )
        return True
    seen: set[str] = set()
    count = 0
    subjects = True
    for index, block in enumerate(blocks):
        path = f"personalizations.{index}"
        if type(block) is not dict:
            problems.append(_wrong_type(block, "object", path))
            continue
        if not block.keys() <= PERSONALIZATION_KEYS:
            problems += [_extra(key, f"{path}.{key}") for key in block if key not in PERSONALIZATION_KEYS]
        if not block.get("to"):
            problems.append(
                Problem(
                    "The to array is required for all personalization objects, and must have at least one email"
                    " object with a valid email address.",
                    f"{path}.to",
                    HELP + "personalizations.to",
                )
            )
        for kind in ("to", "cc", "bcc"):
            people = block.get(kind)
            if people is not None:
                count += _check_people(people, f"{path}.{kind}", seen, problems)
        _check_block(block, path, problems, now)
        subjects = subjects and "subject" in block
    if count > MAX_RECIPIENTS:
        problems.append(
            Problem(
                "There is a limit of 1000 total recipients (to + cc + bcc) per request.",
                "personalizations",
                HELP + "personalizations",
            )
        )
    return subjects


def _check_block(block: dict[str, Any], path: str, problems: list[Problem], now: float) -> None:
    """Check what a personalization holds besides its recipients."""
    if "from" in block:
        _check_address(block["from"], f"{path}.from", problems)
    if "subject" in block:
        _check_subject(block["subject"], f"{path}.subject", problems)
    if "headers" in block:
        _check_headers(block["headers"], f"{path}.headers", problems)
    if "custom_args" in block:
        _check_custom_args(block["custom_args"], f"{path}.custom_args", problems)
    if "send_at" in block:
        _check_send_at(block["send_at"], f"{path}.send_at", problems, now)
    if "substitutions" in block:
        _check_strings(block["substitutions"], f"{path}.substitutions", MAX_SUBSTITUTIONS, problems)
    if type(block.get("dynamic_template_data", {})) is not dict:
        problems.append(_wrong_type(block["dynamic_template_data"], "object", f"{path}.dynamic_template_data"))


def _check_people(people: Any, path: str, seen: set[str], problems: list[Problem]) -> int:
    """Check one array of recipients; how many there are. seen: every address of the request so far."""
    if type(people) is not list:
        problems.append(_wrong_type(people, "array", path))
        return 0
    for index, person in enumerate(people):
        address = _check_address(person, f"{path}.{index}", problems)
        if address is None:
            continue
        key = address.lower()
        if key in seen:
            block = path.rpartition(".")[0]
            problems.append(
                Problem(
                    "Each email address in the personalization block should be unique between to, cc, and bcc. We"
                    f" found the first duplicate instance of [{address}] in the {path} field.",
                    block,
                    HELP + "recipient-errors",
                )
            )
        seen.add(key)
    return len(people)


def _check_address(value: Any, path: str, problems: list[Problem]) -> str | None:
    """The address of an email object, None when it was refused."""
    if type(value) is not dict:
        problems.append(_wrong_type(value, "object", path))
        return None
    if not value.keys() <= _ADDRESS_KEYS:
        problems += [_extra(key, f"{path}.{key}") for key in value if key not in _ADDRESS_KEYS]
    name = value.get("name")
    if name is not None:
        if type(name) is not str:
            problems.append(_wrong_type(name, "string", f"{path}.name"))
        elif "\n" in name or "\r" in name:
            problems.append(_line_break(f"{path}.name"))
    address = value.get("email")
    if type(address) is not str or len(address) > 320 or not _is_address(address):
        problems.append(
            Problem("Does not contain a valid address.", f"{path}.email", HELP + path.split(".", maxsplit=1)[0])
        )
        return None
    return address


def _check_reply_to(message: dict[str, Any], problems: list[Problem]) -> None:
    if "reply_to" in message:
        _check_address(message["reply_to"], "reply_to", problems)
        if "reply_to_list" in message:
            problems.append(Problem("reply_to and reply_to_list cannot be used together.", "reply_to_list"))
    for index, person in enumerate(message.get("reply_to_list") or ()):
        _check_address(person, f"reply_to_list.{index}", problems)


def _check_subject(subject: Any, path: str, problems: list[Problem]) -> None:
    if type(subject) is not str or not subject:
        problems.append(
            Problem(
                "The subject of your email must be a string at least one character in length.", path, HELP + "subject"
            )
        )
    elif "\n" in subject or "\r" in subject:
        problems.append(_line_break(path))


def _check_content(content: Any, problems: list[Problem]) -> None:
    if type(content) is not list:
        problems.append(_wrong_type(content, "array", "content"))
        return
    if not content:
        problems.append(_NO_CONTENT)
    last = -1
    for index, part in enumerate(content):
        path = f"content.{index}"
        if type(part) is not dict:
            problems.append(_wrong_type(part, "object", path))
            continue
        if len(part) > 2:
            problems += [_extra(key, f"{path}.{key}") for key in part if key not in ("type", "value")]
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


def _check_headers(headers: Any, path: str, problems: list[Problem]) -> None:
    if type(headers) is not dict:
        problems.append(_wrong_type(headers, "object", path))
        return
    for name, value in headers.items():
        where = f"{path}.{name}"
        if name.lower() in RESERVED_HEADERS:
            problems.append(Problem(f"The header {name} is reserved and cannot be set.", where, HELP + "headers"))
        elif not _is_header_name(name):
            problems.append(Problem("The header name is not valid.", where, HELP + "headers"))
        if type(value) is not str:
            problems.append(_wrong_type(value, "string", where))
        elif not value.isascii():
            problems.append(
                Problem(
                    "Header values must be properly encoded if they contain unicode characters.",
                    where,
                    HELP + "headers",
                )
            )
        elif "\n" in value or "\r" in value:
            problems.append(_line_break(where))


def _check_custom_args(arguments: Any, path: str, problems: list[Problem]) -> None:
    # The specification types the message-level custom_args as a string; the service wants an object and says so.
    _check_strings(arguments, path, MAX_CUSTOM_ARGS, problems)


def _check_strings(value: Any, path: str, limit: int, problems: list[Problem]) -> None:
    """Check an object of strings that encodes to at most `limit` bytes."""
    if type(value) is not dict:
        problems.append(_wrong_type(value, "object", path))
        return
    for key, text in value.items():
        if type(text) is not str:
            problems.append(_wrong_type(text, "string", f"{path}.{key}"))
    if len(orjson.dumps(value)) > limit:
        name = path.rpartition(".")[2]
        problems.append(
            Problem(f"The {name} object may not exceed {limit:,} bytes.", path, HELP + path.split(".", maxsplit=1)[0])
        )


def _check_categories(categories: Any, problems: list[Problem]) -> None:
    if type(categories) is not list:
        problems.append(_wrong_type(categories, "array", "categories"))
        return
    if len(categories) > 10:
        problems.append(Problem("You may not have more than 10 categories.", "categories", HELP + "categories"))
    for index, category in enumerate(categories):
        if type(category) is not str:
            problems.append(_wrong_type(category, "string", f"categories.{index}"))
        elif len(category) > 255:
            problems.append(
                Problem("A category may not have more than 255 characters.", f"categories.{index}", HELP + "categories")
            )
    if len({str(category) for category in categories}) < len(categories):
        problems.append(Problem("Categories must be unique.", "categories", HELP + "categories"))


def _check_send_at(value: Any, path: str, problems: list[Problem], now: float) -> None:
    if type(value) is not int:
        problems.append(_wrong_type(value, "integer", path))
    elif value > now + MAX_SCHEDULE:
        problems.append(Problem("Scheduling more than 72 hours in advance is forbidden.", path, HELP + "send_at"))


def _check_attachments(attachments: Any, problems: list[Problem]) -> None:
    if type(attachments) is not list:
        problems.append(_wrong_type(attachments, "array", "attachments"))
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


def _check_asm(asm: Any, problems: list[Problem]) -> None:
    if type(asm) is not dict:
        problems.append(_wrong_type(asm, "object", "asm"))
        return
    if type(asm.get("group_id")) is not int:
        problems.append(_wrong_type(asm.get("group_id"), "integer", "asm.group_id"))
    groups = asm.get("groups_to_display", [])
    if type(groups) is not list or len(groups) > 25:
        problems.append(
            Problem("You may not display more than 25 groups.", "asm.groups_to_display", HELP + "asm.groups_to_display")
        )


def _check_settings(value: Any, path: str, known: Mapping[str, frozenset[str]], problems: list[Problem]) -> None:
    if type(value) is not dict:
        problems.append(_wrong_type(value, "object", path))
        return
    for name, setting in value.items():
        where = f"{path}.{name}"
        keys = known.get(name)
        if keys is None:
            problems.append(_extra(name, where))
        elif type(setting) is not dict:
            problems.append(_wrong_type(setting, "object", where))
        else:
            for key, item in setting.items():
                if key not in keys:
                    problems.append(_extra(key, f"{where}.{key}"))
                elif key.startswith("enable"):
                    if type(item) is not bool:
                        problems.append(_wrong_type(item, "boolean", f"{where}.{key}"))
                elif type(item) is not str:
                    problems.append(_wrong_type(item, "string", f"{where}.{key}"))


def _check_names(message: dict[str, Any], problems: list[Problem]) -> None:
    """Check the three keys that are plain text."""
    for key in ("template_id", "batch_id", "ip_pool_name"):
        if key in message:
            text = message[key]
            if type(text) is not str:
                problems.append(_wrong_type(text, "string", key))
            elif key == "ip_pool_name" and not 2 <= len(text) <= 64:
                problems.append(Problem("The ip pool name must have 2 to 64 characters.", key, HELP + key))


def _extra(name: str, path: str) -> Problem:
    return Problem(f"Additional property {name} is not allowed", path)


def _line_break(path: str) -> Problem:
    return Problem("Line breaks are not allowed.", path)


def _wrong_type(value: Any, expected: str, path: str) -> Problem:
    return Problem(
        f"Invalid type. Expected: {expected}, given: {_type_name(value)}.", path, HELP + path.split(".", maxsplit=1)[0]
    )


def _type_name(value: Any) -> str:
    """The JSON name of a decoded value's type."""
    if value is None:
        return "null"
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return names[type(value)]
