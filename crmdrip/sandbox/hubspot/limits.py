"""Rate limits: calls in ten seconds by tier, searches in a second, calls in a day; each with the vendor's answer.

Ten seconds are real ones, so that a client that waits gets through whatever the sandbox's clock does; a day is one of
the sandbox's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from crmdrip.sandbox.hubspot.refusals import Refusal


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much a portal lets an app call."""

    ten_secondly: int
    search_secondly: int
    daily: int
    associations_ten_secondly: int


class Tier(Enum):
    """What the account has bought (changelog: increasing-our-api-limits; docs: usage-details, associate records)."""

    STARTER = Limits(ten_secondly=100, search_secondly=5, daily=250_000, associations_ten_secondly=100)
    PROFESSIONAL = Limits(ten_secondly=190, search_secondly=5, daily=625_000, associations_ten_secondly=150)
    ENTERPRISE = Limits(ten_secondly=190, search_secondly=5, daily=1_000_000, associations_ten_secondly=150)
    ENTERPRISE_WITH_PACK = Limits(
        ten_secondly=250, search_secondly=5, daily=2_000_000, associations_ten_secondly=200
    )  # fmt: skip

    @property
    def has_custom_objects(self) -> bool:
        """Only Enterprise accounts have them."""
        return self in (Tier.ENTERPRISE, Tier.ENTERPRISE_WITH_PACK)


PUBLIC_APP_TEN_SECONDLY = 110
"""For an OAuth app, whatever the tier."""


class Meter:
    """Counts the calls of one portal and refuses those over a limit.

    tick gives seconds that never go back. limits None: nothing is refused.
    """

    def __init__(
        self, limits: Limits | None, clock: Callable[[], datetime], tick: Callable[[], float], zone: ZoneInfo
    ) -> None:
        self.limits = limits
        self._clock = clock
        self._tick = tick
        self._zone = zone
        self._windows: dict[str, deque[float]] = {}
        self._day = ""
        self.today = 0
        """Calls since midnight in the account's time zone."""
        self.refused = 0
        """Calls answered with 429."""

    def resets_at(self) -> datetime:
        """The next midnight in the account's time zone."""
        local = self._clock().astimezone(self._zone)
        return (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)

    def count_today(self) -> int:
        """Calls of the account's day so far."""
        day = self._clock().astimezone(self._zone).date().isoformat()
        if day != self._day:
            self._day, self.today = day, 0
        return self.today

    def take(self, kind: str, *, public: bool) -> dict[str, str]:
        """Count one call of a kind, and give the headers of its answer. Raises Refusal."""
        self.count_today()
        limits = self.limits
        if limits is None:
            self.today += 1
            return {}
        if self.today >= limits.daily and not public:
            raise self._refuse("daily", "DAILY", self._headers(limits, 0, limits.ten_secondly))
        if kind == "search":
            # Searches have a window of their own and are exempt from that of ten seconds; no headers either.
            if self._fill("search", 1.0, limits.search_secondly) is None:
                raise self._refuse("secondly", "SECONDLY", {})
            self.today += 1
            return {}
        most = limits.associations_ten_secondly if kind == "associations" else limits.ten_secondly
        if public and kind != "associations":
            most = PUBLIC_APP_TEN_SECONDLY
        window = "associations" if kind == "associations" else "all"
        left = self._fill(window, 10.0, most)
        if left is None:
            raise self._refuse("ten_secondly_rolling", "TEN_SECONDLY_ROLLING", self._headers(limits, 0, most))
        self.today += 1
        return self._headers(limits, left, most, public=public)

    def _fill(self, name: str, seconds: float, most: int) -> int | None:
        """How many calls are left in a window after this one, None when it is full."""
        window, now = self._windows.setdefault(name, deque()), self._tick()
        while window and window[0] <= now - seconds:
            window.popleft()
        if len(window) >= most:
            return None
        window.append(now)
        return most - len(window)

    def _headers(self, limits: Limits, left: int, most: int, *, public: bool = False) -> dict[str, str]:
        headers = {
            "X-HubSpot-RateLimit-Max": str(most),
            "X-HubSpot-RateLimit-Remaining": str(left),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        }
        if not public:
            headers |= {
                "X-HubSpot-RateLimit-Daily": str(limits.daily),
                "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, limits.daily - self.today)),
            }
        return headers

    def _refuse(self, word: str, policy: str, headers: dict[str, str]) -> Refusal:
        self.refused += 1
        # There is no Retry-After: it is documented for 477 alone (docs: error handling).
        return Refusal(
            f"You have reached your {word} limit.",
            "RATE_LIMITS",
            status=429,
            more={"errorType": "RATE_LIMIT", "policyName": policy},
            headers=headers,
        )
