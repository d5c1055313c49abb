"""HTTP/1.1 requests that must never be made twice, many at a time, over kept connections.

It decides one thing: how far a request got when no answer came. It never repeats a request of which a single
byte may have left, never follows a redirect, and knows nothing of mail.

Written on asyncio and httptools because the common clients repeat by themselves: libcurl sends a POST once more
when a reused connection turns out dead (Curl_retry_request in lib/transfer.c, "Connection died, retrying a fresh
connect"), urllib3 and what stands on it retries unless told not to, and none of them tells afterwards whether the
body had left. All callbacks run in one daemon thread of the transport's own, so nothing here needs a lock.

The loop is uvloop's where it can be had. asyncio's own lets go of Python's lock at every send and receive, and has to
wait for it again while another thread prepares the next batch; and its TLS keeps 256 KiB for each connection and costs
as much as all the rest of a request (measured on Python 3.11).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from connectors.sendgrid.connection import Connection
from connectors.sendgrid.exchange import Batch
from crmdrip.ports.lines import give_up

T = TypeVar("T")

REPORT_EVERY = 0.004
"""Seconds for which answers are gathered before the waiting thread is woken: a wake-up for each would cost more
than the request itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where requests go, and all that is the same in each. Times are in seconds."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    head: bytes
    """Request line and header lines, up to and without Content-Length."""
    connections: int
    connect_timeout: float
    request_timeout: float
    idle_timeout: float


class Transport(Generic[T]):
    """A pool of connections to one endpoint. `begin` and `close` may be called from any thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.plain = endpoint.tls is None
        self.socket_options = give_up(endpoint.request_timeout)
        self._batches: deque[Batch[T]] = deque()
        self._open: set[Connection[T]] = set()
        self._idle: list[Connection[T]] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._marked: set[Batch[T]] = set()
        self._reporting = False
        self._sweeping = False
        self._sweep_every = max(0.01, min(1.0, endpoint.request_timeout / 8, endpoint.idle_timeout / 8))
        self._lock = threading.Lock()
        """For the four below."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    # from any thread

    def begin(self, batch: Batch[T]) -> None:
        """Start to make a batch's requests; what becomes of them is told to the batch. Raises nothing."""
        with self._lock:
            if not self._closed:
                if self._loop is None:
                    self._loop = new_loop()
                    self._thread = threading.Thread(target=self._run, args=(self._loop,), name="mailer", daemon=True)
                    self._thread.start()
                self._loop.call_soon_threadsafe(self._add, batch)
                return
        batch.abandon("the mailer is closed")
        batch.report()

    def close(self) -> None:
        """Drop every connection: what is under way is in doubt, what waits is not sent. Raises nothing."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    # in the transport's own thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            # Whatever ended the loop, nobody may be left waiting for an outcome.
            with self._lock:
                self._closed = True
            loop.run_until_complete(self._wind_up())
            loop.close()

    async def _wind_up(self) -> None:
        self._refuse_waiting("the mailer was closed")
        for connection in list(self._open):
            connection.expire("the mailer was closed")
        self._report()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        # Let aborted connections run their connection_lost.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _add(self, batch: Batch[T]) -> None:
        self._batches.append(batch)
        now = self._now()
        while self._idle and self._waiting():
            # The last used first, so that what is not needed grows old and is closed.
            connection = self._idle.pop()
            if now - connection.idle_since > self._endpoint.idle_timeout:
                connection.drop()
            else:
                self.feed(connection)
        self.fill()
        self.mark(batch)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(self._sweep_every, self._sweep)

    def _waiting(self) -> int:
        return sum(batch.waiting() for batch in self._batches)

    def _next(self) -> tuple[Batch[T], T, bytes] | None:
        """The next request: one of each batch in turn, so that a small batch does not wait behind a large one."""
        while self._batches:
            batch = self._batches[0]
            taken = batch.take()
            if taken is not None:
                if len(self._batches) > 1:
                    self._batches.rotate(-1)
                return batch, *taken
            # What could not be made a request was settled by the batch itself.
            self._batches.popleft()
            self.mark(batch)
        return None

    def feed(self, connection: Connection[T]) -> None:
        """Give a free connection its next request, or let it rest."""
        item = self._next()
        now = self._now()
        if item is None:
            connection.idle_since = now
            self._idle.append(connection)
            return
        batch, ticket, body = item
        data = b"%bContent-Length: %d\r\n\r\n%b" % (self._endpoint.head, len(body), body)
        fresh = not connection.used
        if connection.write(batch, ticket, data, now + self._endpoint.request_timeout):
            return
        # It goes first, on another connection; by then it may be too late for it.
        batch.take_back(ticket)
        if batch not in self._batches:
            self._batches.appendleft(batch)
        connection.drop()
        self.forget(connection)
        if fresh:
            # Tried again without end it would be a loop of connections.
            self._give_up("the server closes new connections at once")
        self.fill()

    def fill(self) -> None:
        """Open the connections there is work for. No request is tied to a connection that is being opened."""
        if self._closed:
            return
        room = self._endpoint.connections - len(self._open)
        for _ in range(min(room, self._waiting()) - len(self._opening)):
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        endpoint = self._endpoint
        why = ""
        try:
            async with asyncio.timeout(endpoint.connect_timeout):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self),
                    endpoint.host,
                    endpoint.port,
                    ssl=endpoint.tls,
                )
        except socket.gaierror:
            why = "the server's name was not found"
        except TimeoutError:
            why = f"no connection in {endpoint.connect_timeout:g} s"
        except ssl.SSLError as error:
            why = f"TLS failed ({getattr(error, 'verify_message', '') or error.reason or 'no reason given'})"
        except Exception as error:  # noqa: BLE001 - whatever it is, what waits for this connection must hear of it
            why = f"no connection ({type(error).__name__})"
        else:
            if connection.transport is None:
                why = "the server closes new connections at once"
        # Not by the done callback: whether others are still trying decides what failing means.
        self._opening.discard(asyncio.current_task())
        if why:
            self._give_up(why)
            return
        self._open.add(connection)
        self.feed(connection)

    def _give_up(self, why: str) -> None:
        """A connection could not be had. While another lives or is tried, the work is left to that one."""
        if not self._open and not self._opening:
            self._refuse_waiting(why)

    def _refuse_waiting(self, why: str) -> None:
        for batch in self._batches:
            batch.abandon(why)
            self.mark(batch)
        self._batches.clear()

    def forget(self, connection: Connection[T]) -> None:
        """The connection is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def mark(self, batch: Batch[T]) -> None:
        """The batch has something to report soon."""
        self._marked.add(batch)
        if not self._reporting:
            self._reporting = True
            asyncio.get_running_loop().call_later(REPORT_EVERY, self._report)

    def _report(self) -> None:
        self._reporting = False
        marked, self._marked = self._marked, set()
        for batch in marked:
            batch.report()

    def _sweep(self) -> None:
        """One look at all deadlines costs less than a timer for each request."""
        now = self._now()
        for connection in list(self._open):
            if connection.ticket is not None:
                if now >= connection.deadline:
                    connection.expire(f"no answer in {self._endpoint.request_timeout:g} s")
            elif now - connection.idle_since > self._endpoint.idle_timeout:
                connection.drop()
        self._sweeping = bool(self._open or self._opening or self._batches)
        if self._sweeping:
            asyncio.get_running_loop().call_later(self._sweep_every, self._sweep)

    def _now(self) -> float:
        return time.monotonic()  # uvloop's own time stands still while callbacks run


def new_loop() -> asyncio.AbstractEventLoop:
    """The quickest event loop there is for this platform."""
    if sys.platform == "win32":  # for which there is no uvloop
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415 - not on every platform

    return uvloop.new_event_loop()
