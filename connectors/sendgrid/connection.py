"""One kept HTTP/1.1 connection: it writes a request, reads the answer, and knows how far the request got.

It makes no request twice and opens no connection; the pool does.
"""

from __future__ import annotations

import asyncio
import select
from typing import Generic, Protocol, TypeVar, cast

import httptools

from connectors.sendgrid.exchange import Answer, Batch

T = TypeVar("T")

RECEIVE_BYTES = 16 * 1024
MAX_ANSWER = 256 * 1024
"""Bytes of a body that are kept; what follows is read and dropped."""


class Pool(Protocol[T]):
    """What a connection asks of the transport it belongs to. Called in the transport's thread only."""

    plain: bool
    """Without TLS."""
    socket_options: list[tuple[int, int, int]]
    """As setsockopt takes them."""

    def feed(self, connection: Connection[T]) -> None:
        """Give a free connection its next request, or let it rest."""
        ...

    def fill(self) -> None:
        """Open the connections there is work for."""
        ...

    def forget(self, connection: Connection[T]) -> None:
        """The connection is gone."""
        ...

    def mark(self, batch: Batch[T]) -> None:
        """The batch has something to report soon."""
        ...


class Connection(asyncio.BufferedProtocol, Generic[T]):
    """One connection with at most one request on it."""

    def __init__(self, pool: Pool[T]) -> None:
        """Not yet connected: asyncio says when it is."""
        self._pool = pool
        self._view = memoryview(bytearray(RECEIVE_BYTES))
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
        """Set the options of its socket, and prepare to ask whether anything waits to be read."""
        self.transport = cast("asyncio.Transport", transport)  # loops give TCP clients nothing else
        sock = transport.get_extra_info("socket")
        if sock is not None:
            for option in self._pool.socket_options:
                sock.setsockopt(*option)
        if sock is not None and hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Read into the same bytes each time."""
        # A view, not the bytes: of a bytearray asyncio's TLS fills a copy with all but the first record (Python 3.11).
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Read on in the answer; once it is whole, take the next request."""
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
        """Close: half a connection is of no use."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Settle what was under way, and leave its place to another connection."""
        self.transport = None
        self._pool.forget(self)
        self._end("the connection was lost" if exc is None else f"the connection was lost ({type(exc).__name__})")
        self._pool.fill()

    # httptools calls these, within feed_data

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self.ticket is None:
            # More came than one answer. Taken for the answer to the next request it would settle the wrong email.
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, up to MAX_ANSWER."""
        if len(self._body) < MAX_ANSWER:
            self._body += body

    def on_message_complete(self) -> None:
        """Settle the request."""
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
            # (uvloop sends a moment later, and over TLS Python 3.11 does not show it here: the request then counts as
            # in doubt, which is safe.)
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
            batch.lose(ticket, why)
        self._pool.mark(batch)
