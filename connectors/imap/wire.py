"""One IMAP connection: the standard library's client over a transport that is bounded in bytes and in time.

Why not IMAPClient 4.1 (September 2026, alive): it is a layer over the same imaplib and inherits its reader, which takes
a literal of any announced size, and its idle_check reads that reader's buffered file while the socket does not block:
an incomplete line ends the connection (github.com/mjs/imapclient issue 519, open), a closed connection looks like a
quiet one, and news that shares a packet with the server's "+ idling" is not seen before IDLE is renewed. imaplib says
that read, readline, send, open and shutdown may be overridden; that is all this does, and IDLE (which imaplib has from
Python 3.14 on) needs nothing else.
"""

from __future__ import annotations

import imaplib
import re
import selectors
import socket
import ssl
import time
from typing import Final

LINE_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of a line. The longest is the answer to a search: room for a million messages."""
ANSWER_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of all that a server may say to one command, besides one email."""
_CHUNK = 65536

_NEWS = re.compile(rb"\* +\d+ +(?:EXISTS|RECENT)\b", re.IGNORECASE)
_BYE = re.compile(rb"\* +BYE\b", re.IGNORECASE)
_LITERAL = re.compile(rb"\{\d+\+?\}\r?\n\Z")


class IdleRefusedError(Exception):
    """The server announced IDLE and does not do it."""


class Wire(imaplib.IMAP4):
    """imaplib with an upper bound on everything the other side can make us keep, or wait for."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        connect: float,
        reply: float,
        within: float,
        literal: int,
    ) -> None:
        """Connect and read the greeting. Raises imaplib's error and abort, and OSError.

        tls: for TLS from the first byte. connect, reply: seconds for the connection, and without a byte of an answer.
        within: seconds for everything until the deadline is set anew. literal: bytes of the largest literal.
        """
        self._tls = tls
        self._reply = reply
        self._literal_limit = literal
        self._room = ANSWER_LIMIT + literal
        self._pending = bytearray()
        self._pending_of: socket.socket | None = None
        self._idles = 0
        self.deadline = time.monotonic() + within
        """On the monotonic clock: when whatever is being waited for is given up."""
        super().__init__(host, port, connect)

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        """Connect. Raises OSError."""
        super().open(host, port, timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._tls is not None:
            try:
                self.sock = self._tls.wrap_socket(self.sock, server_hostname=host)
            except BaseException:
                self.file.close()
                raise

    def send(self, data: bytes) -> None:  # type: ignore[override]  # imaplib sends bytes only
        """Send it, and allow a whole answer."""
        self._room = ANSWER_LIMIT + self._literal_limit
        self.sock.settimeout(self._patience())
        super().send(data)

    def readline(self) -> bytes:
        """One line with its end. Raises abort and TimeoutError."""
        start = 0
        while (end := self._pending.find(b"\n", start)) < 0:
            start = len(self._pending)
            if start > LINE_LIMIT:
                raise self.abort("the server sent a line without an end")
            self._receive()
        return self._take(end + 1)

    def read(self, size: int) -> bytes:
        """A literal. Raises abort and TimeoutError."""
        if size > self._literal_limit:
            raise self.abort(f"the server announced {size} bytes")
        while len(self._pending) < size:
            self._receive()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        if size and self._pending_of is not self.sock:
            # Said in clear before TLS began, whoever said it: taken for the server's it would be an injected answer.
            raise self.abort("the server spoke on after STARTTLS")
        taken = bytes(self._pending[:size])
        del self._pending[:size]
        return taken

    def _receive(self) -> None:
        """Wait for more. Raises abort and TimeoutError."""
        self.sock.settimeout(self._patience())
        self._keep(self.sock.recv(_CHUNK))

    def _receive_if_any(self) -> None:
        """Take what is there; there may be nothing: TLS has messages of its own (session tickets)."""
        self.sock.settimeout(0)
        try:
            data = self.sock.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        self._keep(data)

    def _keep(self, data: bytes) -> None:
        if not data:
            raise self.abort("the server closed the connection")
        self._room -= len(data)
        if self._room < 0:
            raise self.abort("the server says too much")
        if self._pending and self._pending_of is not self.sock:
            raise self.abort("the server spoke on after STARTTLS")
        self._pending_of = self.sock
        self._pending += data

    def _patience(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the answer is over")
        return min(left, self._reply)

    # --- IDLE (RFC 2177) ----------------------------------------------------------------------------------------------

    def idle_until_news(self, seconds: float, wake: socket.socket) -> None:
        """Return when mail may have come, when there is something to read on wake, or after some seconds.

        Raises IdleRefusedError, abort, and OSError.
        """
        self._idles += 1
        tag = b"IDLE%d" % self._idles
        self.deadline = time.monotonic() + self._reply
        self.send(tag + b" IDLE\r\n")
        while not (line := self.readline()).startswith(b"+"):
            self._end_on_bye(line)
            if line.startswith(tag + b" "):
                raise IdleRefusedError
        self._wait_for_news(time.monotonic() + seconds, wake)
        self.deadline = time.monotonic() + self._reply
        self.send(b"DONE\r\n")
        while not (line := self.readline()).startswith(tag + b" "):
            self._end_on_bye(line)

    def _wait_for_news(self, until: float, wake: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            while True:
                while (end := self._pending.find(b"\n")) >= 0:
                    line = self._take(end + 1)
                    self._end_on_bye(line)
                    if _NEWS.match(line) or _LITERAL.search(line):
                        return
                if len(self._pending) > LINE_LIMIT:
                    raise self.abort("the server sent a line without an end")
                at_hand = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0
                ready = selector.select(0 if at_hand else max(0.0, until - time.monotonic()))
                if any(key.fileobj is wake for key, _ in ready):
                    return
                if not ready and not at_hand:
                    return
                self._receive_if_any()

    def _end_on_bye(self, line: bytes) -> None:
        if _BYE.match(line):
            raise self.abort("the server said goodbye")

    def wait(self, seconds: float, wake: socket.socket) -> None:
        """Rest outside of IDLE; what the server says unasked ends it. Raises abort when that is goodbye."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            ready = [] if self._pending else selector.select(seconds)
        if any(key.fileobj is not wake for key, _ in ready):
            self._receive_if_any()
            self._end_on_bye(bytes(self._pending[:64]))
