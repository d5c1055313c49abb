"""What an answer to POST /v3/mail/send means, as a table."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import orjson

from connectors.sendgrid.exchange import Answer
from crmdrip.core.errors import ErrorClass
from crmdrip.ports import SendStatus


class Shape(Enum):
    """Who speaks in an answer's body."""

    VENDOR = "vendor"
    """{"errors": [{"message", "field"}]}: SendGrid's application answered (ErrorResponse in tsg_mail_v3.json)."""
    OTHER = "other"
    """Empty, HTML, plain text: a load balancer or proxy on the way."""


class Topic(Enum):
    """What SendGrid's error is about, where the status alone does not decide."""

    CREDITS = "credits"
    SENDER = "sender"
    ADDRESS = "address"
    ANY = "any"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What to record of one email."""

    status: SendStatus
    error: ErrorClass | None = None
    provider_id: str = ""
    detail: str = ""
    """"<topic>: <status> <SendGrid's message>", without anyone's address."""


Rules = dict[tuple[int, Shape, Topic], tuple[SendStatus, ErrorClass | None]]

_ACCEPTED = (SendStatus.ACCEPTED, None)
_RETRIABLE = (SendStatus.REFUSED, ErrorClass.RETRIABLE)
_RATE_LIMITED = (SendStatus.REFUSED, ErrorClass.RATE_LIMITED)
_AUTH = (SendStatus.REFUSED, ErrorClass.AUTH)
_REJECTED = (SendStatus.REFUSED, ErrorClass.REJECTED)
_CONFIGURATION = (SendStatus.REFUSED, ErrorClass.CONFIGURATION)
_UNKNOWN = (SendStatus.UNKNOWN, ErrorClass.OUTCOME_UNKNOWN)

# Sources: [spec] tsg_mail_v3.json, responses of /v3/mail/send; [4xx] support.sendgrid.com article 18322114821403,
# "4XX API Errors"; [errors] twilio.com/docs/sendgrid mail-send/errors; all as of 2025.
RULES: Rules = {
    # 202 has an empty body [spec].
    (202, Shape.OTHER, Topic.ANY): _ACCEPTED,
    # [errors] [spec]: about this one email, unless it is about who sends.
    (400, Shape.VENDOR, Topic.ANY): _REJECTED,
    (400, Shape.VENDOR, Topic.ADDRESS): _REJECTED,
    (400, Shape.VENDOR, Topic.SENDER): _CONFIGURATION,
    (400, Shape.OTHER, Topic.ANY): _REJECTED,
    # [4xx]: key invalid or revoked; "Authenticated user is not authorized to send mail".
    (401, Shape.VENDOR, Topic.ANY): _AUTH,
    (401, Shape.OTHER, Topic.ANY): _AUTH,
    # [4xx]: "Maximum credits exceeded" comes as 401 and goes by itself when the day or month begins anew.
    (401, Shape.VENDOR, Topic.CREDITS): _RATE_LIMITED,
    # [spec] "access forbidden": the key lacks mail.send.
    (403, Shape.VENDOR, Topic.ANY): _AUTH,
    (403, Shape.OTHER, Topic.ANY): _AUTH,
    (403, Shape.VENDOR, Topic.CREDITS): _RATE_LIMITED,
    # "The from address does not match a verified Sender Identity", field "from" (sendgrid-ruby pull request 489).
    (403, Shape.VENDOR, Topic.SENDER): _CONFIGURATION,
    # [spec]: no such address or method: base_url is another server's.
    (404, Shape.VENDOR, Topic.ANY): _CONFIGURATION,
    (404, Shape.OTHER, Topic.ANY): _CONFIGURATION,
    (405, Shape.VENDOR, Topic.ANY): _CONFIGURATION,
    (405, Shape.OTHER, Topic.ANY): _CONFIGURATION,
    # RFC 9110 section 15.5.9: the server did not receive a complete request.
    (408, Shape.VENDOR, Topic.ANY): _RETRIABLE,
    (408, Shape.OTHER, Topic.ANY): _RETRIABLE,
    # [spec] "content too large".
    (413, Shape.VENDOR, Topic.ANY): _REJECTED,
    (413, Shape.OTHER, Topic.ANY): _REJECTED,
    # twilio.com/docs/sendgrid "rate limits": X-RateLimit-Reset says when.
    (429, Shape.VENDOR, Topic.ANY): _RATE_LIMITED,
    (429, Shape.OTHER, Topic.ANY): _RATE_LIMITED,
    # 503 in SendGrid's own words: it did not take the email on. 500 says that something broke and not when, maybe
    # after the email was queued. Without the vendor's words the answer may come from a gateway that had passed the
    # email on, and 502 and 504 say by themselves that one did not know (RFC 9110 sections 15.6.3 and 15.6.5).
    # Whatever may have been taken is never sent again (P1): it is looked up.
    (500, Shape.VENDOR, Topic.ANY): _UNKNOWN,
    (500, Shape.OTHER, Topic.ANY): _UNKNOWN,
    (502, Shape.VENDOR, Topic.ANY): _UNKNOWN,
    (502, Shape.OTHER, Topic.ANY): _UNKNOWN,
    (503, Shape.VENDOR, Topic.ANY): _RETRIABLE,
    (503, Shape.OTHER, Topic.ANY): _UNKNOWN,
    (504, Shape.VENDOR, Topic.ANY): _UNKNOWN,
    (504, Shape.OTHER, Topic.ANY): _UNKNOWN,
}

_RULES_BY_HUNDRED = {
    # RFC 9110 section 15.4: not fulfilled here; nothing is sent where the settings do not say so.
    3: _CONFIGURATION,
    # RFC 9110 section 15.5: it cannot or will not be fulfilled.
    4: _REJECTED,
}
"""For a status that is in no rule; of all others nothing is known."""

SANDBOX_RULES = {**RULES, (200, Shape.OTHER, Topic.ANY): _ACCEPTED, (200, Shape.VENDOR, Topic.ANY): _ACCEPTED}
"""Sandbox mode answers 200 for an email that is valid (mail/send reference, sandbox_mode). Outside of it SendGrid
never says 200, so there it proves nothing."""

_ADDRESS = re.compile(r"[^\s\"'<>,;]+@[^\s\"'<>,;]+")
_TO_FIELD = re.compile(r"^personalizations\.\d+\.to\b|^personalizations\.\d+\.to\.")
_SENDER_FIELD = re.compile(r"^(?:from|reply_to)\b")
MAX_WAIT = 3600.0
"""Seconds. SendGrid's windows are of a minute; a reset further off is a wrong clock on one side."""


def judge(answer: Answer, rules: Rules = RULES) -> Verdict:
    """The meaning of one answer. When to try again is not in it: `wait_of` needs a clock."""
    errors = _read_errors(answer.body)
    shape = Shape.OTHER if errors is None else Shape.VENDOR
    topic = _topic_of(errors or ())
    found = rules.get((answer.status, shape, topic)) or rules.get((answer.status, shape, Topic.ANY))
    if found is None:
        found = _RULES_BY_HUNDRED.get(answer.status // 100, _UNKNOWN)
    status, error = found
    if status is SendStatus.ACCEPTED:
        return Verdict(status=status, provider_id=answer.headers.get(b"x-message-id", b"").decode("latin-1"))
    return Verdict(status=status, error=error, detail=_describe(answer.status, topic, errors))


def wait_of(answer: Answer, now: datetime) -> float | None:
    """Seconds to wait before the next request, where the answer says so.

    X-RateLimit-Reset is an epoch second (twilio.com/docs/sendgrid "rate limits"); Retry-After is what proxies say.
    """
    try:
        if reset := answer.headers.get(b"x-ratelimit-reset"):
            return _bounded(float(reset) - now.timestamp())
        if after := answer.headers.get(b"retry-after"):
            return _bounded(float(after))
    except ValueError:
        return None
    return None


def _bounded(seconds: float) -> float | None:
    """None for what is no number ("nan" is none to a clock, and one to float)."""
    return None if math.isnan(seconds) else min(max(seconds, 1.0), MAX_WAIT)


def _read_errors(body: bytes) -> tuple[dict[str, Any], ...] | None:
    if not body:
        return None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    errors = value.get("errors") if isinstance(value, dict) else None
    if not isinstance(errors, list) or not errors or not all(isinstance(item, dict) for item in errors):
        return None
    return tuple(errors)


def _topic_of(errors: tuple[dict[str, Any], ...]) -> Topic:
    for item in errors:
        field, message = str(item.get("field") or ""), str(item.get("message") or "").lower()
        if "credits exceeded" in message:
            return Topic.CREDITS
        if _SENDER_FIELD.match(field) or "sender identity" in message:
            return Topic.SENDER
        if _TO_FIELD.match(field):
            return Topic.ADDRESS
    return Topic.ANY


def describe_errors(status: int, body: bytes) -> str:
    """Status and SendGrid's message, without anyone's address."""
    return _describe(status, Topic.ANY, _read_errors(body))


def _describe(status: int, topic: Topic, errors: tuple[dict[str, Any], ...] | None) -> str:
    """Such as "address: 400 Does not contain a valid address. (personalizations.0.to.0.email)"; no one's address."""
    said = "; ".join(
        f"{item.get('message') or 'no message'}" + (f" ({item['field']})" if item.get("field") else "")
        for item in errors or ()
    )
    prefix = "" if topic is Topic.ANY else f"{topic.value}: "
    return f"{prefix}{status} {_ADDRESS.sub('(address)', said) or 'without an explanation'}"[:255]
