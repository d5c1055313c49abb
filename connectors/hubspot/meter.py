"""Counts API calls, says who may still make one, and spaces them out: stops first, reporting last (P5, B20).

HubSpot has three windows: ten seconds for everything, one second for searches, ten seconds of their own for
associations; and a day. Whoever comes too early waits a moment here instead of being refused there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum

from crmdrip.core.errors import RateLimitedError
from crmdrip.ports import Budget, Clock

_HOUR = 3600
_DAY = 24
"""In hours."""
_ASSOCIATIONS = 100
"""Calls of the associations API in ten seconds, by any tier."""


class Purpose(StrEnum):
    """What a call is for; REPORT alone may not touch the reserve."""

    STOP = "stop"
    LOOK = "look"
    PULL = "pull"
    REPORT = "report"


class Window(StrEnum):
    """Which limit a call counts against."""

    ALL = "all"
    SEARCH = "search"
    ASSOCIATIONS = "associations"


class Pace:
    """Gives out the moments at which calls may begin. For several threads."""

    def __init__(self, *, burst: int, searches: int, tick: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._tick = tick
        self._sleep = sleep
        self._most = {Window.ALL: burst, Window.SEARCH: searches, Window.ASSOCIATIONS: _ASSOCIATIONS}
        self._begun: dict[Window, deque[float]] = {window: deque() for window in Window}
        self._lock = threading.Lock()

    def hear(self, most: int) -> None:
        """The portal's own limit in ten seconds, as an answer told it; a tenth is left to others."""
        with self._lock:
            self._most[Window.ALL] = max(1, most * 9 // 10)

    def wait(self, window: Window) -> None:
        """Return when a call may begin."""
        period = 1.0 if window is Window.SEARCH else 10.0
        with self._lock:
            begun, now = self._begun[window], self._tick()
            at = now
            if len(begun) >= self._most[window]:
                at = max(now, begun[-self._most[window]] + period)
            begun.append(at)
            while begun and begun[0] < now - period:
                begun.popleft()
        if at > now:
            self._sleep(at - now)


class CallMeter:
    """Our calls by the hour over the last day, and the portal's own count."""

    def __init__(self, clock: Clock, *, daily_cap: int | None, reserve: int) -> None:
        self._clock = clock
        self._cap = daily_cap
        self._reserve = reserve
        self._hours: dict[int, int] = {}
        self._made = 0
        self._left: int | None = None
        self._limit: int | None = None
        self._lock = threading.Lock()

    def spend(self, purpose: Purpose) -> None:
        """Count one call. Raises RateLimitedError instead when this purpose has none left."""
        with self._lock:
            hour = self._this_hour()
            self._refuse(purpose)
            self._hours[hour] = self._hours.get(hour, 0) + 1
            self._made += 1

    def hear(self, headers: Mapping[str, str]) -> None:
        """Take in an answer's headers; an OAuth app's have no count of the day."""
        limit, left = (
            headers.get("x-hubspot-ratelimit-daily", ""),
            headers.get("x-hubspot-ratelimit-daily-remaining", ""),
        )
        if limit.isdecimal() and left.isdecimal():
            with self._lock:
                self._limit, self._left = int(limit), int(left)

    def budget(self) -> Budget:
        """As of the last answer."""
        with self._lock:
            used = None if self._limit is None or self._left is None else self._limit - self._left
            return Budget(used=used, limit=self._limit, calls_made=self._made)

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
        kept = self._reserve if purpose is Purpose.REPORT else 0
        if self._cap is not None and sum(self._hours.values()) + min(kept, self._cap // 2) >= self._cap:
            frees = (min(self._hours, default=0) + _DAY + 1) * _HOUR
            raise RateLimitedError(
                f"the daily cap of {self._cap} HubSpot calls leaves none for a {purpose}.",
                where="HubSpot",
                do_next="Raise daily_cap, or wait: it frees by the hour.",
                retry_after=max(frees - self._clock.now().timestamp(), 1.0),
            )
        # The portal's own count is as old as its last answer, so it holds back reporting alone.
        if kept and self._left is not None and self._limit is not None and self._left <= min(kept, self._limit // 2):
            raise RateLimitedError(
                f"the portal has {self._left} API calls left today; they are kept for stops and last looks.",
                where="HubSpot",
                do_next="Wait for midnight in the account's time zone, or lower reserve.",
            )
