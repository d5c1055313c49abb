"""Spaces calls out: whoever comes too early waits a moment here instead of being refused by HubSpot.

It has three windows: ten seconds for everything, one second for searches, ten seconds of their own for associations.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import StrEnum

_ASSOCIATIONS = 100
"""Calls of the associations API in ten seconds, by any tier, until an answer tells the portal's own limit."""


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

    def hear(self, window: Window, most: int) -> None:
        """The portal's own limit of a window, as an answer told it; a tenth is left to others."""
        with self._lock:
            self._most[window] = max(1, most * 9 // 10)

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
