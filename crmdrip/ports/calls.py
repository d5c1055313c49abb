"""Counts API calls and says who may still make one: stops first, then last looks and pulls, reporting last (P5, B20).

It knows two limits: the admin's cap on our own calls, which is never crossed, and the account's, as the vendor
tells it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol, runtime_checkable

from crmdrip.core.errors import RateLimitedError
from crmdrip.ports.crm import Budget
from crmdrip.ports.outside import Clock

LEASE = 20
"""Calls taken out of the budget at once: what a crash loses at most, and all that a small cap can spare is less."""

_HOUR = 3600
_DAY = 24
"""In hours."""


class Purpose(StrEnum):
    """What a call is for; REPORT alone may not touch the reserve."""

    STOP = "stop"
    LOOK = "look"
    PULL = "pull"
    REPORT = "report"


class KeepsCalls(Protocol):
    """Where the count outlives the process, and is one for all that share it."""

    def lease(self, hour: int, number: int, most: int) -> tuple[int, Mapping[int, int]]:
        """Take up to so many calls out of the budget, durably; of all hours together never more than most.

        hour: of now, since 1970. Returns how many were granted, and the calls by the hour of the last day.
        """


@runtime_checkable
class CountsCalls(Protocol):
    """A source whose calls are counted by a CallMeter."""

    @property
    def meter(self) -> CallMeter:
        """The one that counts them."""


class CallMeter:
    """Our calls by the hour over the last day, and the account's own count. For several threads.

    Counted in memory alone, or, once told where to `keep` the count, taken out of it before they are made: then neither
    a crash nor another daemon makes the cap a second one.
    """

    def __init__(
        self, clock: Clock, *, vendor: str, account: str, renews: str, daily_cap: int | None, reserve: int
    ) -> None:
        """Count for one account.

        account: what its people call it ("org", "portal"). renews: what to do until the account's own count is renewed,
        as a sentence. daily_cap: calls in any 24 hours, None for the account's own limit alone. reserve: calls that
        reporting leaves to the others.
        """
        self._clock = clock
        self._vendor = vendor
        self._account = account
        self._renews = renews
        self._cap = daily_cap
        self._reserve = reserve
        self._hours: dict[int, int] = {}
        self._made = 0
        self._used: int | None = None
        self._limit: int | None = None
        self._lock = threading.Lock()
        self._kept: KeepsCalls | None = None
        self._leased = (0, 0)
        """In which hour, and how many calls of it are left."""

    def keep(self, kept: KeepsCalls) -> None:
        """Take calls out of this count from now on. Without a cap nothing needs to be kept."""
        self._kept = kept if self._cap is not None else None

    def spend(self, purpose: Purpose) -> None:
        """Count one call. Raises RateLimitedError instead when this purpose has none left, and what `keep` raises.

        Not to be called while something holds what the count is kept in.
        """
        while (wanted := self._take(purpose)) is not None:
            hour, number = wanted
            granted, hours = self._kept.lease(hour, number, self._cap)  # type: ignore[union-attr,arg-type]  # _take saw to both
            with self._lock:
                self._hours.update(hours)
                left = self._leased[1] if self._leased[0] == hour else 0
                self._leased = (hour, left + granted)

    def _take(self, purpose: Purpose) -> tuple[int, int] | None:
        """Count one call; where none is leased, in which hour and how many to lease first."""
        with self._lock:
            hour = self._this_hour()
            self._refuse(purpose)
            if self._kept is None or self._cap is None:
                self._hours[hour] = self._hours.get(hour, 0) + 1
            elif self._left() > 0:
                self._leased = (hour, self._leased[1] - 1)
            else:
                return hour, max(1, min(LEASE, self._cap // 100))
            self._made += 1
            return None

    def _left(self) -> int:
        """Calls that are leased and not made; those of an hour that is over are lost, or the day would be too short."""
        hour, left = self._leased
        return left if hour == self._this_hour() else 0

    def allows(self, purpose: Purpose) -> bool:
        """Whether spend would let a call of this purpose through now."""
        with self._lock:
            try:
                self._refuse(purpose)
            except RateLimitedError:
                return False
            return True

    def hear(self, used: int, limit: int) -> None:
        """Take in what the vendor's answer says of the account's day, the calls of all its apps."""
        with self._lock:
            self._used, self._limit = used, limit

    def budget(self) -> Budget:
        """As of the last answer."""
        with self._lock:
            return Budget(used=self._used, limit=self._limit, calls_made=self._made)

    def hours(self) -> dict[str, int]:
        """Our calls of the last day by hour, to be kept across a restart."""
        with self._lock:
            self._this_hour()
            return {str(hour): count for hour, count in self._hours.items()}

    def remember(self, hours: Mapping[str, int]) -> None:
        """Take up what an earlier process counted, so that a restart does not renew the day's cap."""
        with self._lock:
            for hour, count in hours.items():
                self._hours[int(hour)] = max(self._hours.get(int(hour), 0), count)
            self._this_hour()

    def _this_hour(self) -> int:
        hour = int(self._clock.now().timestamp()) // _HOUR
        for old in [each for each in self._hours if each < hour - _DAY]:
            del self._hours[old]
        return hour

    def _refuse(self, purpose: Purpose) -> None:
        """Raises RateLimitedError when the purpose may not spend. The window is up to an hour longer than a day."""
        kept = self._reserve if purpose is Purpose.REPORT else 0
        if self._cap is not None:
            self._this_hour()
            if sum(self._hours.values()) - self._left() + min(kept, self._cap // 2) >= self._cap:
                frees = (min(self._hours, default=0) + _DAY + 1) * _HOUR
                raise RateLimitedError(
                    f"the daily cap of {self._cap} {self._vendor} calls leaves none for a {purpose}.",
                    where=self._vendor,
                    do_next="Raise daily_cap, or wait: it frees by the hour.",
                    retry_after=max(frees - self._clock.now().timestamp(), 1.0),
                )
        # The account's own count is as old as its last answer, so it holds back reporting alone: pulls keep it fresh.
        if kept and self._used is not None and self._limit is not None:
            left = self._limit - self._used
            if left <= min(kept, self._limit // 2):
                raise RateLimitedError(
                    f"the {self._account} has {left} API calls left today; they are kept for stops and last looks.",
                    where=self._vendor,
                    do_next=f"{self._renews} Or lower reserve.",
                )
