"""Webhook requests on their way: posted, and posted again at growing gaps until they are answered with 2xx or expire.

What is not answered for a day (events) or three (mail) is lost, as at the vendor (tracking-events/event and
parsing-email/inbound-email, "Messages that cannot be delivered after 3 days will be dropped").
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from crmdrip.sandbox.courier import Errand, Outcome, Post
from crmdrip.sandbox.sendgrid.signing import SigningKey

EVENTS_EXPIRE = timedelta(hours=24)
MAIL_EXPIRES = timedelta(days=3)

FIRST_GAP = timedelta(minutes=1)
LAST_GAP = timedelta(hours=4)
"""Gaps double from the first to the last. The vendor says "at increasing intervals" and no more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One request that is owed to the owner of the account."""

    errand: Errand
    """Without the signature's headers."""
    expires: datetime
    key: SigningKey | None = None
    """Signs each attempt anew; None for none."""
    attempts: int = 0
    done: Callable[[], None] | None = None
    """Told once, when it was answered with 2xx."""


@dataclass(order=True, slots=True)
class _Waiting:
    due: datetime
    number: int
    delivery: Delivery = field(compare=False)


class Deliveries:
    """The queue of one account."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._number = 0
        self.post: Post | None = None
        """Makes the requests. Without it they wait here."""
        self.delivered = 0
        self.refused: list[Outcome] = []
        """Every answer that was no 2xx, oldest first."""
        self.lost: list[Delivery] = []
        """Expired before anybody took them."""

    @property
    def next_due(self) -> datetime | None:
        """When the next request is to be made."""
        return self._waiting[0].due if self._waiting else None

    @property
    def waiting(self) -> list[Delivery]:
        """What has not been handed over, in no order."""
        return [each.delivery for each in self._waiting]

    def add(self, delivery: Delivery, due: datetime) -> None:
        """Owe a request from a time on. It goes out at the next `advance`."""
        self._number += 1
        heapq.heappush(self._waiting, _Waiting(due, self._number, delivery))

    def advance(self, now: datetime) -> None:
        """Hand over everything that is due."""
        if self.post is None:
            return
        while self._waiting and self._waiting[0].due <= now:
            self._send(heapq.heappop(self._waiting).delivery)

    def _send(self, delivery: Delivery) -> None:
        if self.post is None:
            return
        errand = delivery.errand
        if delivery.key is not None:
            signed = delivery.key.sign(errand.body, self._clock())
            errand = replace(errand, headers={**errand.headers, **signed})
        self.post(errand, lambda outcome: self._answered(delivery, outcome))

    def _answered(self, delivery: Delivery, outcome: Outcome) -> None:
        if not outcome.problem:
            self.delivered += 1
            if delivery.done is not None:
                delivery.done()
            return
        self.refused.append(outcome)
        due = self._clock() + min(FIRST_GAP * 2**delivery.attempts, LAST_GAP)
        if due > delivery.expires:
            self.lost.append(delivery)
        else:
            self.add(replace(delivery, attempts=delivery.attempts + 1), due)
