"""How many requests the door answers: a bucket that fills at a steady rate, for all together and for each client."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

KNOWN = 10_000
"""Clients that are remembered; of more, whoever was quiet longest is forgotten. A megabyte or two."""


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


class Allowances:
    """An allowance for each client, and one for all: one of them alone cannot use up what is there for everybody."""

    def __init__(
        self,
        everybody: Allowance,
        *,
        per_second: float,
        burst: int,
        known: int = KNOWN,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """per_second, burst: of one client. known: how many are remembered."""
        self._everybody = everybody
        self._rate, self._burst, self._known = per_second, burst, known
        self._monotonic = monotonic
        self._clients: OrderedDict[str, Allowance] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> bool:
        """Whether one more request of the client may be answered now. client: "" for one that is not known."""
        # The client's first: what is refused to one is not taken from all.
        return (not client or self._of(client).take()) and self._everybody.take()

    def _of(self, client: str) -> Allowance:
        with self._lock:
            found = self._clients.get(client)
            if found is None:
                found = Allowance(per_second=self._rate, burst=self._burst, monotonic=self._monotonic)
                self._clients[client] = found
                if len(self._clients) > self._known:
                    self._clients.popitem(last=False)
            else:
                self._clients.move_to_end(client)
            return found
