"""How many requests the door answers: a bucket that fills at a steady rate. Knows no client: all may share a proxy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Allowance:
    """At most `burst` requests at once, and `per_second` on average."""

    def __init__(self, *, per_second: float, burst: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._burst = float(burst)
        self._left = float(burst)
        self._monotonic = monotonic
        self._at = monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one more request may be answered now; counts it if so."""
        with self._lock:
            now = self._monotonic()
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True
