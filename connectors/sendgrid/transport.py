"""HTTP/1.1 requests that must never be made twice, many at a time, over kept connections.

It decides one thing: how far a request got when no answer came. It never repeats a request of which a single
byte may have left, never follows a redirect, and knows nothing of mail.

Written on asyncio and httptools because the common clients repeat by themselves: libcurl sends a POST once more
when a reused connection turns out dead (Curl_retry_request in lib/transfer.c, "Connection died, retrying a fresh
connect"), urllib3 and what stands on it retries unless told not to, and none of them tells afterwards whether the
body had left. All callbacks run in one daemon thread of the transport's own, so nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

import httptools

from crmdrip.ports.lines import give_up

T = TypeVar("T")

RECEIVE_BYTES = 16 * 1024
MAX_ANSWER = 256 * 1024
"""Bytes of a body that are kept; what follows is read and dropped."""
REPORT_EVERY = 0.004
"""Seconds for which answers are gathered before the waiting thread is woken: a wake-up for each would cost more
than the request itself."""


class Progress(Enum):
    """How far a request got for which no answer came."""

    NOT_SENT = "not_sent"
    """Not one byte of it was handed to the operating system."""
    IN_DOUBT = "in_doubt"
    """Some or all of it may have been read by the other side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the other side said."""

    status: int
    headers: dict[bytes, bytes]
    """Names in lower case; of a repeated name the last."""
    body: bytes
    """As far as it came: a connection may break after the status line."""


class Batch(Protocol[T]):
    """Requests to be made, and the place for what becomes of them. Called in the transport's thread only."""

    def waiting(self) -> int:
        """How many requests take() may still give."""
        ...

    def take(self) -> tuple[T, bytes] | None:
        """The next request with its body, None when there is none left."""
        ...

    def settle(self, ticket: T, answer: Answer) -> None:
        """The request was answered."""
        ...

    def lose(self, ticket: T, progress: Progress, why: str) -> None:
        """No answer came, and none will."""
        ...

    def abandon(self, why: str) -> None:
        """Nothing was sent of all that take() has not yet given, and nothing will be."""
        ...

    def report(self) -> None:
        """Hand over what was settled since the last report."""
        ...


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


class _Connection(asyncio.BufferedProtocol, Generic[T]):
    """One connection with at most one request on it."""

    def __init__(self, pool: Transport[T]) -> None:
        self._pool = pool
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)
        self._poll: select.poll | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._reusable = True
        self._start_answer()
        self.transport: asyncio.Transport | None = None
        self.batch: Batch[T] | None = None
        self.ticket: T | None = None
        self.deadline = 0.0
        self.idle_since = 0.0
        self.used = False

    def _start_answer(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio gives TCP clients nothing else
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            for option in self._pool.socket_options:
                sock.setsockopt(*option)
        if sock is not None and hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio's signature
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self.ticket is None:
            # Nobody asked: a server's parting 408, say.
            self.drop()
            return
        try:
            self._parser.feed_data(self._view[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._end("the answer was not HTTP")
            self.drop()
            return
        if self.ticket is None:
            if self._reusable:
                self._pool.feed(self)
            else:
                self.drop()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._pool.forget(self)
        self._end("the connection was lost" if exc is None else f"the connection was lost ({type(exc).__name__})")
        self._pool.fill()

    # httptools calls these, within feed_data

    def on_message_begin(self) -> None:
        if self.ticket is None:
            # More came than one answer. Taken for the answer to the next request it would settle the wrong email.
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        if len(self._body) < MAX_ANSWER:
            self._body += body

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            # An interim answer (RFC 9110 section 15.2) decides nothing.
            self._start_answer()
            return
        batch, ticket = self.batch, self.ticket
        if batch is None or ticket is None:
            return
        answer = Answer(status=status, headers=self._headers, body=self._body)
        self.batch = self.ticket = None
        self._start_answer()
        # Answered before all of it was written (a 413, say): the rest would be read as a request of its own.
        written = self.transport is not None and self.transport.get_write_buffer_size() == 0
        self._reusable = written and self._parser.should_keep_alive()
        batch.settle(ticket, answer)
        self._pool.mark(batch)

    # the pool calls these

    def is_quiet(self) -> bool:
        """Whether nothing waits to be read. On a connection at rest, anything to read is its end."""
        return self._poll is None or not self._poll.poll(0)

    def write(self, batch: Batch[T], ticket: T, data: bytes, deadline: float) -> bool:
        """Hand the request over. False when certainly not one byte of it was taken."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        # A fresh TLS connection may rightly have session tickets to read.
        if (self.used or self._pool.plain) and not self.is_quiet():
            return False
        self.used = True
        transport.write(data)
        if transport.is_closing():
            # asyncio sends at once and closes on an error; as nothing was queued before, nothing of this has left.
            # (Over TLS, Python 3.11 does not show it here; the request then counts as in doubt, which is safe.)
            return False
        self.batch, self.ticket, self.deadline = batch, ticket, deadline
        return True

    def expire(self, why: str) -> None:
        """Give up waiting."""
        self._end(why)
        self.drop()

    def drop(self) -> None:
        """Close at once; connection_lost follows."""
        if self.transport is not None:
            self.transport.abort()

    def _end(self, why: str) -> None:
        """Settle what is under way. A status decides even when the rest of the answer is missing."""
        batch, ticket = self.batch, self.ticket
        if batch is None or ticket is None:
            return
        self.batch = self.ticket = None
        # A header line after it proves that the status line was whole.
        status = self._parser.get_status_code() if self._headers else 0
        if status >= 200:
            batch.settle(ticket, Answer(status=status, headers=self._headers, body=self._body))
        else:
            batch.lose(ticket, Progress.IN_DOUBT, why)
        self._pool.mark(batch)


class Transport(Generic[T]):
    """A pool of connections to one endpoint. `begin` and `close` may be called from any thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.plain = endpoint.tls is None
        self.socket_options = give_up(endpoint.request_timeout)
        self._batches: deque[Batch[T]] = deque()
        self._returned: deque[tuple[Batch[T], T, bytes]] = deque()
        """Taken and certainly not sent: they go first, on another connection."""
        self._open: set[_Connection[T]] = set()
        self._idle: list[_Connection[T]] = []
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
                    self._loop = asyncio.new_event_loop()
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
        return len(self._returned) + sum(batch.waiting() for batch in self._batches)

    def _next(self) -> tuple[Batch[T], T, bytes] | None:
        """The next request: one of each batch in turn, so that a small batch does not wait behind a large one."""
        if self._returned:
            return self._returned.popleft()
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

    def feed(self, connection: _Connection[T]) -> None:
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
        self._returned.appendleft(item)
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
                    lambda: _Connection(self),
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
        for batch, ticket, _ in self._returned:
            batch.lose(ticket, Progress.NOT_SENT, why)
            self.mark(batch)
        self._returned.clear()
        for batch in self._batches:
            batch.abandon(why)
            self.mark(batch)
        self._batches.clear()

    def forget(self, connection: _Connection[T]) -> None:
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
        return asyncio.get_running_loop().time()
