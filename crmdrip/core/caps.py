"""Caps: how many touches may go out per sender and day, per recipient domain and hour, per sequence and day.

Decides who of a batch goes now, follow-ups before first emails. Never counts by itself: counts come in, and the
counts of what was let through go out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from crmdrip.core.struct import Struct


class CapScope(StrEnum):
    """What a cap is counted by."""

    SENDER_DAY = "sender_day"
    DOMAIN_HOUR = "domain_hour"
    SEQUENCE_DAY = "sequence_day"
    SEQUENCE_DOMAIN_HOUR = "sequence_domain_hour"
    ENTERED_DAY = "entered_day"
    """How many boxes took effect, for the suspicion brake; starts that are spread over days count at once."""
    ENTRY_DAY = "entry_day"
    ENTRY_DOMAIN_DAY = "entry_domain_day"


_PERIOD = {
    CapScope.SENDER_DAY: timedelta(days=1),
    CapScope.DOMAIN_HOUR: timedelta(hours=1),
    CapScope.SEQUENCE_DAY: timedelta(days=1),
    CapScope.SEQUENCE_DOMAIN_HOUR: timedelta(hours=1),
    CapScope.ENTERED_DAY: timedelta(days=1),
    CapScope.ENTRY_DAY: timedelta(days=1),
    CapScope.ENTRY_DOMAIN_DAY: timedelta(days=1),
}


class Counter(Struct, frozen=True, kw_only=True):
    """One counter: a scope, whom it is for, and the UTC start of its day or hour."""

    scope: CapScope
    key: str
    start: datetime

    @property
    def ends(self) -> datetime:
        """When the counter's period is over."""
        return self.start + _PERIOD[self.scope]


@lru_cache(maxsize=4_096)
def counter_at(scope: CapScope, key: str, at: datetime) -> Counter:
    """The counter of the scope whose day or hour (in UTC) contains the instant."""
    if _PERIOD[scope] == timedelta(hours=1):
        start = at.replace(minute=0, second=0, microsecond=0)
    else:
        start = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return Counter(scope=scope, key=key, start=start)


class Claim(Struct, frozen=True, kw_only=True):
    """One touch that would go out now, and the caps that apply to it."""

    touch_id: str
    follow_up: bool
    due_at: datetime
    caps: tuple[tuple[Counter, int], ...]
    """Each counter with its limit."""


class Allotment(Struct, frozen=True, kw_only=True):
    """Who goes and who waits."""

    go: tuple[str, ...]
    """Touch ids, in the order to send."""
    wait: Mapping[str, Counter]
    """Touch id to the first counter that was full."""
    used: Mapping[Counter, int]
    """How much of each counter the ones that go take."""
    gave_way: tuple[str, ...] = ()
    """First emails that would take room kept for follow-ups: they ask again in a moment."""


NOTHING_KEPT: Mapping[Counter, int] = {}


def allot(
    claims: Iterable[Claim], counts: Mapping[Counter, int], kept: Mapping[Counter, int] = NOTHING_KEPT
) -> Allotment:
    """Let touches through until their caps are full: follow-ups first, then by due time, then by id.

    counts: what each counter already holds; a missing one is zero. kept: how much of each is left to follow-ups that
    are not among these claims.
    """
    used: dict[Counter, int] = {}
    go: list[str] = []
    wait: dict[str, Counter] = {}
    gave_way: list[str] = []
    for claim in sorted(claims, key=lambda c: (not c.follow_up, c.due_at, c.touch_id)):
        full = next(
            (counter for counter, limit in claim.caps if counts.get(counter, 0) + used.get(counter, 0) >= limit),
            None,
        )
        if full is not None:
            wait[claim.touch_id] = full
            continue
        if kept and not claim.follow_up and _takes_kept(claim, counts, used, kept):
            gave_way.append(claim.touch_id)
            continue
        for counter, _ in claim.caps:
            used[counter] = used.get(counter, 0) + 1
        go.append(claim.touch_id)
    return Allotment(go=tuple(go), wait=wait, used=used, gave_way=tuple(gave_way))


def _takes_kept(
    claim: Claim, counts: Mapping[Counter, int], used: Mapping[Counter, int], kept: Mapping[Counter, int]
) -> bool:
    return any(
        counts.get(counter, 0) + used.get(counter, 0) + kept.get(counter, 0) >= limit for counter, limit in claim.caps
    )


def first_free(scope: CapScope, key: str, start: datetime, limit: int, counts: Mapping[Counter, int]) -> Counter:
    """The first day or hour from `start` on whose counter is below the limit: where a queued run begins (B10).

    limit must be at least 1. Raises ValueError otherwise, since no day would ever do.
    """
    if limit < 1:
        raise ValueError("a cap of nothing never lets anybody through")
    counter = counter_at(scope, key, start)
    while counts.get(counter, 0) >= limit:
        counter = Counter(scope=scope, key=key, start=counter.ends)
    return counter
