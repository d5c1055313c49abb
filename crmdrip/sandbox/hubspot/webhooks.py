"""Webhooks: what happened, posted to an app's address with the vendor's signature, version 3.

An array of up to a hundred events per request, in no order that was promised; up to ten attempts within a day of the
sandbox's clock (docs: error handling, "webhook retries"). The vendor's limit of five seconds for an answer is not kept:
the courier waits longer.
"""

from __future__ import annotations

import base64
import heapq
import hmac
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from crmdrip.sandbox.courier import Errand, Outcome, Post
from crmdrip.sandbox.hubspot.events import Event
from crmdrip.sandbox.hubspot.properties import to_ms

MOST_EVENTS = 100
ATTEMPTS = 10
GAPS = tuple(timedelta(minutes=minutes) for minutes in (1, 3, 10, 30, 60, 120, 240, 360, 480))
"""Between attempts. The vendor says ten over 24 hours and no more."""
NOT_OFFERED = frozenset({"hs_lastmodifieddate", "lastmodifieddate", "num_unique_conversion_events"})
"""Properties no subscription can be made for."""
HAPPENINGS = frozenset(
    {"creation", "deletion", "merge", "propertyChange", "restore", "associationChange", "privacyDeletion"}
)
_NAMED = frozenset({"contact", "company", "deal"})
_DECODED = re.compile("%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """What an app wants to hear of."""

    id: int
    type: str
    """Such as contact.propertyChange."""
    property: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """Where an app wants to hear it."""

    url: str
    secret: str
    """The app's client secret, which signs."""
    app_id: int
    subscriptions: tuple[Subscription, ...]


@dataclass(order=True, slots=True)
class _Owed:
    due: datetime
    number: int
    hook: Hook = field(compare=False)
    events: list[dict[str, Any]] = field(compare=False)
    attempt: int = field(compare=False, default=0)


class Webhooks:
    """The webhooks of one portal."""

    def __init__(self, clock: Callable[[], datetime], portal_id: int, seed: int) -> None:
        self._clock = clock
        self._portal_id = portal_id
        self._random = Random(f"webhooks|{seed}")
        self._hooks: list[Hook] = []
        self._owed: list[_Owed] = []
        self._fresh: list[tuple[Hook, dict[str, Any]]] = []
        self._numbers = 0
        self.post: Post | None = None
        """Makes the requests. Without it they wait here."""
        self.delivered = 0
        """Events that were answered with 2xx."""
        self.refused: list[Outcome] = []
        self.lost: list[list[dict[str, Any]]] = []
        """Events of requests that were never answered with 2xx."""

    def subscribe(self, url: str, secret: str, types: Iterable[str], *, app_id: int) -> Hook:
        """Configure an app's webhooks: types such as contact.deletion, or contact.propertyChange:email.

        Raises ValueError for what cannot be subscribed to.
        """
        subscriptions = []
        for text in types:
            name, _, happened = text.partition(".")
            happened, _, changed = happened.partition(":")
            if name not in (*_NAMED, "object") or happened not in HAPPENINGS:
                raise ValueError(f"there are no webhooks for {text}")
            if (happened == "propertyChange") is not bool(changed) or changed in NOT_OFFERED:
                raise ValueError(f"a subscription to propertyChange names a property that is offered: {text}")
            self._numbers += 1
            subscriptions.append(
                Subscription(id=900_000 + self._numbers, type=f"{name}.{happened}", property=changed)
            )  # fmt: skip
        hook = Hook(url=url, secret=secret, app_id=app_id, subscriptions=tuple(subscriptions))
        self._hooks.append(hook)
        return hook

    def take(self, events: list[Event]) -> None:
        """Take over what happened. It goes out at the next `advance`."""
        for event in events:
            for hook in self._hooks:
                for subscription in hook.subscriptions:
                    if _concerns(subscription, event):
                        self._numbers += 1
                        self._fresh.append((hook, self._show(event, hook, subscription)))
        events.clear()

    def _show(self, event: Event, hook: Hook, subscription: Subscription) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "eventId": 1_000_000_000 + self._numbers,
            "subscriptionId": subscription.id,
            "portalId": self._portal_id,
            "appId": hook.app_id,
            "occurredAt": event.at,
            "subscriptionType": subscription.type,
            "attemptNumber": 0,
            "objectId": int(event.record_id),
            "changeSource": event.source,
            "sourceId": event.source_id or f"userId:{self._portal_id}",
        }
        if event.happened == "propertyChange":
            shown |= {"propertyName": event.name, "propertyValue": event.value}
        elif event.happened in ("creation", "deletion", "restore"):
            shown["changeFlag"] = {"creation": "CREATED", "deletion": "DELETED", "restore": "RESTORED"}[event.happened]
        if subscription.type.startswith("object."):
            shown["objectTypeId"] = event.kind_id
        return shown | dict(event.more)

    @property
    def next_due(self) -> datetime | None:
        """When the next request is to be made."""
        if self._fresh:
            return self._clock()
        return self._owed[0].due if self._owed else None

    @property
    def waiting(self) -> int:
        """How many events have not been handed over."""
        return len(self._fresh) + sum(len(each.events) for each in self._owed)

    def advance(self, now: datetime) -> None:
        """Hand over everything that is due."""
        if self.post is None:
            return
        for hook in self._hooks:
            events = [event for each, event in self._fresh if each is hook]
            self._random.shuffle(events)
            for begin in range(0, len(events), MOST_EVENTS):
                self._owe(now, hook, events[begin : begin + MOST_EVENTS], 0)
        self._fresh.clear()
        while self._owed and self._owed[0].due <= now:
            self._send(heapq.heappop(self._owed))

    def _owe(self, due: datetime, hook: Hook, events: list[dict[str, Any]], attempt: int) -> None:
        self._numbers += 1
        heapq.heappush(self._owed, _Owed(due, self._numbers, hook, events, attempt))

    def _send(self, owed: _Owed) -> None:
        if self.post is None:
            return
        body = json.dumps([{**event, "attemptNumber": owed.attempt} for event in owed.events]).encode()
        stamp = str(to_ms(self._clock()))
        headers = {
            "Content-Type": "application/json;charset=utf-8",
            "X-HubSpot-Request-Timestamp": stamp,
            "X-HubSpot-Signature-v3": sign(owed.hook.secret, "POST", owed.hook.url, body, stamp),
            "X-HubSpot-Signature-Version": "v3",
        }
        errand = Errand(url=owed.hook.url, body=body, headers=headers)
        self.post(errand, lambda outcome: self._answered(owed, outcome))

    def _answered(self, owed: _Owed, outcome: Outcome) -> None:
        if not outcome.problem:
            self.delivered += len(owed.events)
            return
        self.refused.append(outcome)
        if owed.attempt + 1 >= ATTEMPTS:
            self.lost.append(owed.events)
        else:
            self._owe(self._clock() + GAPS[owed.attempt], owed.hook, owed.events, owed.attempt + 1)


def sign(secret: str, method: str, uri: str, body: bytes, timestamp: str) -> str:
    """The signature, version 3: of method, URI with certain characters decoded, body and timestamp."""
    decoded = _DECODED.sub(lambda found: chr(int(found[0][1:], 16)), uri)
    source = f"{method}{decoded}".encode() + body + timestamp.encode()
    return base64.b64encode(hmac.digest(secret.encode(), source, "sha256")).decode()


def _concerns(subscription: Subscription, event: Event) -> bool:
    name, _, happened = subscription.type.partition(".")
    if happened != event.happened or name not in ("object", event.kind):
        return False
    return happened != "propertyChange" or subscription.property == event.name
