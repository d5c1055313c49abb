"""Events as the Event Webhook posts them: one JSON object each, custom arguments beside the vendor's own fields.

Shapes: OpenAPI tsg_logs_v3.json and twilio.com/docs/sendgrid/for-developers/tracking-events/event.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Any

from crmdrip.sandbox.sendgrid.accepted import AcceptedEmail

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

Event = dict[str, Any]


class EventKind(StrEnum):
    """What happened to an email, in the words of the payload."""

    PROCESSED = "processed"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCE = "bounce"
    """`type` says which: "bounce" is hard, "blocked" is soft."""
    DROPPED = "dropped"
    OPEN = "open"
    CLICK = "click"
    SPAM_REPORT = "spamreport"
    UNSUBSCRIBE = "unsubscribe"
    GROUP_UNSUBSCRIBE = "group_unsubscribe"
    GROUP_RESUBSCRIBE = "group_resubscribe"


SWITCHES: Mapping[str, EventKind] = {
    "processed": EventKind.PROCESSED,
    "deferred": EventKind.DEFERRED,
    "delivered": EventKind.DELIVERED,
    "bounce": EventKind.BOUNCE,
    "dropped": EventKind.DROPPED,
    "open": EventKind.OPEN,
    "click": EventKind.CLICK,
    "spam_report": EventKind.SPAM_REPORT,
    "unsubscribe": EventKind.UNSUBSCRIBE,
    "group_unsubscribe": EventKind.GROUP_UNSUBSCRIBE,
    "group_resubscribe": EventKind.GROUP_RESUBSCRIBE,
}
"""A webhook's switches by what they let through. `spam_report` lets `spamreport` through: the names differ."""

URGENT = frozenset(
    {
        EventKind.BOUNCE,
        EventKind.DROPPED,
        EventKind.SPAM_REPORT,
        EventKind.UNSUBSCRIBE,
        EventKind.GROUP_UNSUBSCRIBE,
    }
)
"""Those for whose sake a clock that stands still is worth moving."""

_OURS = ("sg_message_id", "smtp-id")


def mint_id(random: Random, length: int = 22) -> str:
    """An id of letters that are safe in a URL."""
    return "".join(random.choices(_ALPHABET, k=length))


def build(kind: EventKind, email: AcceptedEmail, at: datetime, random: Random, **extra: Any) -> Event:
    """One event about an email to one recipient. extra: the fields of its kind.

    Reserved names win over custom arguments of the same name.
    """
    event: Event = dict(email.custom_args) or ({"crmdrip_touch": email.touch} if email.touch else {})
    event |= {
        "email": email.to,
        "timestamp": int(at.timestamp()),
        "smtp-id": _smtp_id(email),
        "event": kind.value,
        "sg_event_id": mint_id(random),
        "sg_message_id": email.sg_message_id,
    }
    categories = email.categories
    if categories:
        # One category comes as text, several as an array.
        event["category"] = categories[0] if len(categories) == 1 else categories
    return event | extra


def bare(event: Event) -> Event:
    """The event as an asynchronous bounce brings it: known by the address alone."""
    kept = {"email", "timestamp", "event", "sg_event_id", "reason", "status", "type", "bounce_classification"}
    return {key: value for key, value in event.items() if key in kept}


def _smtp_id(email: AcceptedEmail) -> str:
    """The Message-ID: the sender's own for an authenticated domain, as everybody here has one."""
    for name, value in email.headers.items():
        if name.lower() == "message-id":
            return value
    return f"<{email.message_id}@geopod-ismtpd-sandbox-0>"
