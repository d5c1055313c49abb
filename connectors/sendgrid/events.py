"""SendGrid's Event Webhook: who may post, and what each event means, by literal tables.

Payloads: twilio.com/docs/sendgrid/for-developers/tracking-events/event and tsg_logs_v3.json. Events come in any order,
more than once and up to a day late; `sg_event_id` is known to change when a batch is repeated (sendgrid/docs #2933), so
events are told apart by what they say.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from connectors.sendgrid.payload import TOUCH_ARG
from connectors.sendgrid.signature import Signatures
from crmdrip.core.errors import RejectedError
from crmdrip.core.keys import normalize_address, person_key
from crmdrip.core.model import Signal, SignalKind
from crmdrip.ports import Delivery, HookRequest

SOURCE = "sendgrid"

LASTS = timedelta(hours=25)
"""How old a signature may be: SendGrid repeats a batch for 24 hours. What is replayed within it is known by its key."""
LIMIT = 5 * 1024 * 1024
"""Bytes. SendGrid posts at most 768 KB of events at once."""
SECONDS = 30.0

KINDS: Mapping[str, SignalKind] = {
    "processed": SignalKind.ACCEPTED,
    "delivered": SignalKind.DELIVERED,
    "deferred": SignalKind.DEFERRED,
    "open": SignalKind.OPENED,
    "click": SignalKind.CLICKED,
    "spamreport": SignalKind.SPAM_REPORT,
    "unsubscribe": SignalKind.UNSUBSCRIBE,
    # One group or all: somebody said no, and B22 makes one suppression of it, unless the settings except the group.
    "group_unsubscribe": SignalKind.UNSUBSCRIBE,
}

BOUNCES: Mapping[str, SignalKind] = {
    "bounce": SignalKind.BOUNCE,
    # The other server refused this one email (full mailbox, reputation, content); SendGrid goes on sending there.
    "blocked": SignalKind.DEFERRED,
    # SendGrid gave up after 72 hours of deferrals; it does not suppress the address either.
    "expired": SignalKind.DEFERRED,
}
"""By `type` of a bounce event."""

DROPS: Mapping[str, SignalKind] = {
    "bounced address": SignalKind.BOUNCE,
    "invalid": SignalKind.BOUNCE,
    "unsubscribed address": SignalKind.UNSUBSCRIBE,
    "spam reporting address": SignalKind.SPAM_REPORT,
}
"""By `reason` of a dropped event, in lower case: what SendGrid knew and we did not. Any other reason is about this one
email or the account (spam content, package quota), and is shown on the touch."""

SILENT = frozenset({"group_resubscribe", "account_status_change"})
"""Known, and without effect: nobody is mailed again because an event says so, and an account has no touch."""

_TOUCH_ID = re.compile(r"[0-9a-f]{32}")
_LATEST = 1 << 33
"""The second after which a time is none (the year 2242)."""


CountsGroup = Callable[[object], bool]
"""Whether an unsubscribe from the group of this id stops every sequence."""


def _every_group(group_id: object) -> bool:  # noqa: ARG001 - the answer is the same for all
    return True


class EventHook:
    """The Event Webhook as a hook of the door."""

    source = "sendgrid:events"
    limit = LIMIT
    seconds = SECONDS

    def __init__(self, keys: tuple[str, ...], counts_group: CountsGroup = _every_group) -> None:
        """keys: verification keys, newest first. Raises ValueError for what is no key."""
        self._signatures = Signatures(keys, LASTS)
        self._counts_group = counts_group

    def admits(self, request: HookRequest, now: datetime) -> bool:
        """Whether it carries a signature of our days. Raises nothing."""
        return self._signatures.admit(request.headers, now)

    def authentic(self, request: HookRequest, now: datetime) -> bool:
        """Whether SendGrid signed the body. Raises nothing."""
        return self._signatures.verify(request.headers, request.body, now)

    def read(self, delivery: Delivery) -> Iterator[Signal]:
        """A signal per event, those without effect left out. Raises RejectedError for what is no list of events."""
        return iter(read_events(delivery.body, delivery.received_at, self._counts_group))


def read_events(body: bytes, received_at: datetime, counts_group: CountsGroup = _every_group) -> list[Signal]:
    """The events of one batch, in its order. Raises RejectedError for a body that is no JSON array."""
    try:
        events = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RejectedError("the body is no JSON") from None
    if not isinstance(events, list):
        raise RejectedError("the body is no list of events")
    return [
        _to_signal(event) or _unreadable(body, number, received_at)
        for number, event in enumerate(events)
        if not (isinstance(event, dict) and _is_silent(event, counts_group))
    ]


def _is_silent(event: dict[str, Any], counts_group: CountsGroup) -> bool:
    """Whether the event has no effect."""
    name = _text(event, "event")
    return name in SILENT or (name == "group_unsubscribe" and not counts_group(event.get("asm_group_id")))


def _to_signal(event: Any) -> Signal | None:
    """What one event says; None when it is no event, or has no name or no time."""
    if not isinstance(event, dict):
        return None
    name, stamp = _text(event, "event"), event.get("timestamp")
    if not name or not isinstance(stamp, int) or not 0 < stamp < _LATEST:
        return None
    touch = _text(event, TOUCH_ARG)
    touch_id = touch if _TOUCH_ID.fullmatch(touch) else None
    address = normalize_address(_line(_text(event, "email")))
    kind, detail = _meaning(name, event)
    about = touch_id or (person_key(address) if address else "")
    # Two clicks of one second are two when they lead to different places; two opens are one.
    told = hashlib.sha256("\x1f".join((detail, _text(event, "url"))).encode(errors="replace")).hexdigest()[:16]
    return Signal(
        key=f"{SOURCE}:{_line(name)[:64]}:{about}:{stamp}:{told}",
        kind=kind,
        at=datetime.fromtimestamp(stamp, UTC),
        source=SOURCE,
        address=address or None,
        touch_id=touch_id,
        detail=detail,
    )


def _meaning(name: str, event: dict[str, Any]) -> tuple[SignalKind, str]:
    """The kind, and what to tell people of it."""
    if name == "bounce":
        said = _line(_text(event, "status"), _text(event, "reason"))
        # Bounces of former years carry no type; they were hard.
        kind = BOUNCES.get(_text(event, "type").lower() or "bounce", SignalKind.UNKNOWN)
        return kind, said or _line(_text(event, "bounce_classification"))
    if name == "dropped":
        reason = _line(_text(event, "reason"))
        return DROPS.get(reason.lower(), SignalKind.DROPPED), f"dropped by SendGrid: {reason or 'no reason'}"[:255]
    if name == "open" and event.get("sg_machine_open") is True:
        return SignalKind.MACHINE_OPENED, ""
    kind = KINDS.get(name, SignalKind.UNKNOWN)
    if kind is SignalKind.UNKNOWN:
        return kind, _line(name)
    return kind, _line(_text(event, "response") or _text(event, "reason")) if name == "deferred" else ""


def _unreadable(body: bytes, number: int, received_at: datetime) -> Signal:
    """Stands for something in a batch that is no event; the batch is kept raw for its sake."""
    batch = hashlib.sha256(body).hexdigest()[:32]
    return Signal(
        key=f"{SOURCE}:unreadable:{batch}:{number}",
        kind=SignalKind.UNKNOWN,
        at=received_at,
        source=SOURCE,
        detail="no event",
    )


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def _line(*parts: str) -> str:
    """One line of at most 255 characters that any database can hold."""
    text = " ".join(" ".join(parts).replace("\0", " ").split())
    return text.encode("utf-8", "replace").decode("utf-8")[:255]
