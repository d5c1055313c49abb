"""What POST /v3/mail/send refuses, with the vendor's wording where it is published.

Decides only whether a body is a valid message; never keeps anything. This is the hot path of benchmarks, so each
check is one pass over plain dicts and builds nothing while all is well.

Sources: the OpenAPI file tsg_mail_v3.json, and twilio.com/docs/sendgrid/api-reference/mail-send/errors. Where the
vendor publishes a rule but no wording (reserved headers, sizes), the wording is ours in the vendor's style.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crmdrip.sandbox.sendgrid import parts
from crmdrip.sandbox.sendgrid.answers import HELP, Problem

MAX_PERSONALIZATIONS = 1_000
MAX_RECIPIENTS = 1_000
"""to + cc + bcc over all personalizations of one request."""
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

_NO_SUBJECT = Problem(
    "The subject is required. You can get around this requirement if you use a template with a subject defined or if"
    " every personalization has a subject defined.",
    "subject",
    HELP + "subject",
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
        return [Problem(f"Invalid type. Expected: object, given: {parts.type_name(message)}.", "(root)")]
    problems: list[Problem] = []
    if not message.keys() <= MESSAGE_KEYS:
        problems += [parts.extra_key(key, key) for key in message if key not in MESSAGE_KEYS]
    subjects = _check_personalizations(message, problems, now)
    sender = message.get("from")
    if sender is None:
        problems.append(_NO_FROM)
    else:
        parts.check_address(sender, "from", problems)
    _check_reply_to(message, problems)
    template = message.get("template_id")
    subject = message.get("subject")
    if subject is None:
        if not subjects and not template:
            problems.append(_NO_SUBJECT)
    else:
        parts.check_subject(subject, "subject", problems)
    content = message.get("content")
    if content is not None:
        parts.check_content(content, problems)
    elif not template:
        problems.append(parts.NO_CONTENT)
    if "headers" in message:
        parts.check_headers(message["headers"], "headers", problems)
    if "custom_args" in message:
        parts.check_custom_args(message["custom_args"], "custom_args", problems)
    if "categories" in message:
        parts.check_categories(message["categories"], problems)
    if "send_at" in message:
        parts.check_send_at(message["send_at"], "send_at", problems, now)
    if "attachments" in message:
        parts.check_attachments(message["attachments"], problems)
    if "asm" in message:
        parts.check_asm(message["asm"], problems)
    for key, settings in SETTINGS.items():
        if key in message:
            parts.check_settings(message[key], key, settings, problems)
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
            problems.append(parts.wrong_type(blocks, "array", "personalizations"))
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
            problems.append(parts.wrong_type(block, "object", path))
            continue
        if not block.keys() <= PERSONALIZATION_KEYS:
            problems += [parts.extra_key(key, f"{path}.{key}") for key in block if key not in PERSONALIZATION_KEYS]
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
        parts.check_address(block["from"], f"{path}.from", problems)
    if "subject" in block:
        parts.check_subject(block["subject"], f"{path}.subject", problems)
    if "headers" in block:
        parts.check_headers(block["headers"], f"{path}.headers", problems)
    if "custom_args" in block:
        parts.check_custom_args(block["custom_args"], f"{path}.custom_args", problems)
    if "send_at" in block:
        parts.check_send_at(block["send_at"], f"{path}.send_at", problems, now)
    if "substitutions" in block:
        parts.check_strings(block["substitutions"], f"{path}.substitutions", parts.MAX_SUBSTITUTIONS, problems)
    if type(block.get("dynamic_template_data", {})) is not dict:
        problems.append(parts.wrong_type(block["dynamic_template_data"], "object", f"{path}.dynamic_template_data"))


def _check_people(people: Any, path: str, seen: set[str], problems: list[Problem]) -> int:
    """Check one array of recipients; how many there are. seen: every address of the request so far."""
    if type(people) is not list:
        problems.append(parts.wrong_type(people, "array", path))
        return 0
    for index, person in enumerate(people):
        address = parts.check_address(person, f"{path}.{index}", problems)
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


def _check_reply_to(message: dict[str, Any], problems: list[Problem]) -> None:
    if "reply_to" in message:
        parts.check_address(message["reply_to"], "reply_to", problems)
        if "reply_to_list" in message:
            problems.append(Problem("reply_to and reply_to_list cannot be used together.", "reply_to_list"))
    for index, person in enumerate(message.get("reply_to_list") or ()):
        parts.check_address(person, f"reply_to_list.{index}", problems)


def _check_names(message: dict[str, Any], problems: list[Problem]) -> None:
    """Check the three keys that are plain text."""
    for key in ("template_id", "batch_id", "ip_pool_name"):
        if key in message:
            text = message[key]
            if type(text) is not str:
                problems.append(parts.wrong_type(text, "string", key))
            elif key == "ip_pool_name" and not 2 <= len(text) <= 64:
                problems.append(Problem("The ip pool name must have 2 to 64 characters.", key, HELP + key))
