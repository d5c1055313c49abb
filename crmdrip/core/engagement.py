"""How a touch fared after it was sent, folded from what the provider tells of it. Only ever shown: nothing is decided.

Events come in any order, late and more than once; an outcome moves forward alone (B23).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from crmdrip.core.model import Signal, SignalKind
from crmdrip.core.struct import Struct, replace
from crmdrip.core.words import clip, say_codes_once

RANKS: Mapping[SignalKind, int] = {
    SignalKind.ACCEPTED: 0,
    SignalKind.DEFERRED: 1,
    SignalKind.DELIVERED: 2,
    SignalKind.OPENED: 3,
    SignalKind.CLICKED: 4,
    SignalKind.DROPPED: 5,
    # A bounce may follow a delivery: the first server took the email and a later one gave it back.
    SignalKind.BOUNCE: 6,
    SignalKind.UNSUBSCRIBE: 7,
    SignalKind.SPAM_REPORT: 8,
}
"""How far each is: the outcome of a touch is the farthest that was heard of."""

OUTCOMES: Mapping[SignalKind, str] = {
    SignalKind.ACCEPTED: "Sent",
    SignalKind.DEFERRED: "Not delivered so far",
    SignalKind.DELIVERED: "Delivered",
    SignalKind.OPENED: "Opened",
    SignalKind.CLICKED: "Clicked",
    SignalKind.DROPPED: "Not sent on",
    SignalKind.BOUNCE: "Bounced",
    SignalKind.UNSUBSCRIBE: "Unsubscribed",
    SignalKind.SPAM_REPORT: "Reported as spam",
}
"""In the words of the timeline."""

SENT = frozenset({*RANKS, SignalKind.MACHINE_OPENED})
"""Kinds that prove that the provider took the email, when they name the touch (B1)."""

_AT_ONCE = frozenset({SignalKind.DROPPED, SignalKind.BOUNCE, SignalKind.UNSUBSCRIBE, SignalKind.SPAM_REPORT})
"""Outcomes that end a run or explain why nothing arrived."""
_IN_TIME = frozenset({SignalKind.OPENED, SignalKind.CLICKED})
_LATER = frozenset({SignalKind.DEFERRED})
"""Mostly over within the hour: told then, as whatever it has become."""


class Engagement(Struct, frozen=True, kw_only=True):
    """What is known of one touch."""

    touch_id: str
    outcome: SignalKind
    """One of RANKS."""
    detail: str = ""
    """Of the outcome."""
    first_at: datetime
    """The earliest time at which anything was told of it: it had gone out by then."""
    opens: int = 0
    machine_opens: int = 0
    clicks: int = 0
    told_at: datetime | None = None
    """When the CRM is told, or was told last; None when there is nothing to tell yet."""

    @property
    def words(self) -> str:
        """For the timeline: "Bounced: 550 5.1.1 no such user". At most 255 characters."""
        said = OUTCOMES[self.outcome]
        return clip(f"{said}: {say_codes_once(self.detail)}") if self.detail else said


def fold(before: Engagement | None, signal: Signal, touch_id: str) -> Engagement | None:
    """What is known after one more signal about the touch, each given once; None when it tells nothing of a touch."""
    kind = SignalKind.DELIVERED if signal.kind is SignalKind.MACHINE_OPENED else signal.kind
    if kind not in RANKS:
        return before
    known = before or Engagement(touch_id=touch_id, outcome=kind, detail=signal.detail, first_at=signal.at)
    if RANKS[kind] > RANKS[known.outcome]:
        known = replace(known, outcome=kind, detail=signal.detail)
    return replace(
        known,
        first_at=min(known.first_at, signal.at),
        opens=known.opens + (signal.kind is SignalKind.OPENED),
        machine_opens=known.machine_opens + (signal.kind is SignalKind.MACHINE_OPENED),
        clicks=known.clicks + (signal.kind is SignalKind.CLICKED),
    )


def tell_at(known: Engagement, news: frozenset[SignalKind], now: datetime, every: timedelta) -> datetime | None:
    """When the CRM is to be told of the news; None when they are not worth a call by themselves.

    A delivery is what everybody expects, so it is told along with something else or not at all. Opens and clicks are
    told at most once in `every` (P5).
    """
    if known.told_at is not None and known.told_at > now and not news & _AT_ONCE:
        return known.told_at
    if news & _AT_ONCE:
        return now
    if news & _IN_TIME:
        return now if known.told_at is None else max(now, known.told_at + every)
    return now + every if news & _LATER else None
