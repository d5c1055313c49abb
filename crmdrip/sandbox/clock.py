"""The sandbox's time: one clock for every stand-in and the world, moved by hand or running fast. It never goes back."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """Aware UTC. Call it to read it.

    now: where it begins, None for the real time. speed: sandbox seconds per real second; 0 stands still until it
    is set, 1 runs like a real clock.
    """

    def __init__(self, now: datetime | None = None, *, speed: float = 0.0) -> None:
        self._base = (now or datetime.now(UTC)).astimezone(UTC)
        self._speed = speed
        self._since = time.monotonic()

    def __call__(self) -> datetime:
        """The time."""
        if not self._speed:
            return self._base
        return self._base + timedelta(seconds=(time.monotonic() - self._since) * self._speed)

    @property
    def speed(self) -> float:
        """Sandbox seconds per real second."""
        return self._speed

    def set(self, now: datetime) -> None:
        """Move the clock. Raises ValueError for a time without a zone, or in the past."""
        if now.tzinfo is None:
            raise ValueError("the time needs a zone, such as 2026-03-02T09:00:00Z")
        if now < self():
            raise ValueError(f"the clock stands at {self().isoformat()} and does not go back")
        self._base, self._since = now.astimezone(UTC), time.monotonic()

    def run(self, speed: float) -> None:
        """Go on from here at another speed."""
        self._base, self._since, self._speed = self(), time.monotonic(), speed
