"""How long it takes from the arrival of an answer at the door until the run it stops has ended, in real seconds.

As in the daemon, what the door has stored is read at once, by a thread of its own. A reading takes everything that
waits; it is timed from the arrival of the oldest request in it, so that what is told is never too short.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from crmdrip.daemon import passes
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import runs

HOOKS = "/hooks/"


class Arrivals:
    """Wraps the door's application and notes when each post arrives."""

    def __init__(self, app: ASGIApp, latency: Latency) -> None:
        self._app = app
        self._latency = latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and HOOKS in scope["path"]:
            self._latency.arrived()
        await self._app(scope, receive, send)


class Latency:
    """Reads what arrives, and times it. after: runs a function soon, one at a time."""

    def __init__(self, parts: Parts, after: Callable[[Callable[[], None]], object]) -> None:
        self.seconds: list[float] = []
        """One for each reading that ended runs."""
        self._parts = parts
        self._after = after
        self._lock = threading.Lock()
        self._oldest: float | None = None

    def arrived(self) -> None:
        """A request begins."""
        with self._lock:
            if self._oldest is None:
                self._oldest = time.monotonic()

    def stored(self) -> None:
        """Something new waits to be read."""
        self._after(self._read)

    def told(self) -> Mapping[str, float]:
        """The median and the longest, nought where nothing was stopped by an answer."""
        seconds = self.seconds or [0.0]
        return {"median": round(statistics.median(seconds), 3), "max": round(max(seconds), 3)}

    def _read(self) -> None:
        with self._lock:
            oldest, self._oldest = self._oldest, None
        before = self._count()
        passes.drain(self._parts)
        if oldest is not None and self._count() > before:
            self.seconds.append(time.monotonic() - oldest)

    def _count(self) -> int:
        with self._parts.ledger.read() as connection:
            return sum(runs.count_stops(connection).values())
