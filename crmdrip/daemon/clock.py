"""A clock that is moved by hand: the demo and the forecast run the same code on it as the daemon on the machine's."""

from __future__ import annotations

from datetime import datetime


class HandClock:
    """A ports.Clock that is moved by hand, and never back."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        """Aware UTC."""
        return self._now

    def move(self, now: datetime) -> None:
        """Move on. Raises ValueError for a time in the past: nothing that was decided may lie in the future."""
        if now < self._now:
            raise ValueError(f"the clock stands at {self._now.isoformat()} and does not go back")
        self._now = now
