"""The connections of the door, bounded where uvicorn (0.54, h11) does not: in the time a head may take, and per client.

uvicorn gives a connection five seconds after an answer, and then as long as a byte comes now and then; a new one has
no limit. Two hundred such connections, and everybody else is answered 503.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from crmdrip.web.clients import Clients

HEAD_SECONDS = 10.0
"""From the opening of a connection, or the end of an answer, to the end of the next request's head."""
PER_CLIENT = 50
"""Connections at the same time. A browser opens six, a mail provider some dozens."""


def bounded_protocol(clients: Clients, *, connections: int, seconds: float = HEAD_SECONDS) -> type[H11Protocol]:
    """The protocol of one door, for uvicorn. connections: how many it holds; the longest idle one makes room.

    The web servers before us, which are clients' trusted ones, may have as many as there are.
    """

    class Bounded(H11Protocol):
        idle_since: float | None = None
        """When it began to wait for a head; None while a request is answered."""
        _waits: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
            host = (transport.get_extra_info("peername") or ("",))[0]
            others: set[Any] = self.connections
            if not clients.is_trusted(host):
                same = sum(1 for one in others if one.client is not None and one.client[0] == host)
                if same >= PER_CLIENT:
                    transport.abort()
                    return
            idle = [one for one in others if getattr(one, "idle_since", None) is not None]
            if len(others) >= connections - 1 and idle:
                oldest = min(idle, key=lambda one: one.idle_since)
                oldest.idle_since = None
                others.discard(oldest)  # now, and not when its end comes round: more may be opening already
                oldest.transport.abort()
            super().connection_made(transport)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_wait()
            if self.flow is not None:
                super().connection_lost(exc)

        def handle_events(self) -> None:
            super().handle_events()
            if self.cycle is not None and not self.cycle.response_complete:
                self._end_wait()

        def on_response_complete(self) -> None:
            self._wait()
            super().on_response_complete()

        def _wait(self) -> None:
            self._end_wait()
            self.idle_since = self.loop.time()
            self._waits = self.loop.call_later(seconds, self._close)

        def _end_wait(self) -> None:
            self.idle_since = None
            if self._waits is not None:
                self._waits.cancel()
                self._waits = None

        def _close(self) -> None:
            self.transport.abort()

    return Bounded
