"""A small HTTP/1.1 server on loopback for the stand-ins: keep-alive, and faults no well-behaved server offers.

It can answer late, cut the connection before or after the work is done, and delay every answer by a fixed
latency. It never binds anything but 127.0.0.1 and is no server for production.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, unquote

import httptools
import orjson

T = TypeVar("T")

HOST = "127.0.0.1"
MAX_BODY = 64 * 1024 * 1024
RECEIVE_BYTES = 256 * 1024
"""How much is read at once."""
MAX_URL = 16_384
"""Salesforce refuses URI plus headers over 16,384 bytes with 414 or 431 (help article 000386264)."""

_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(kw_only=True, slots=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    """Decoded, without the query."""
    raw_query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    value: Any = None
    """The body decoded, where it was part of another one; else None."""
    received_at: float = 0.0

    def query(self) -> dict[str, str]:
        """The query's parameters, the last of each name."""
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    def form(self) -> dict[str, str]:
        """The body's parameters, for application/x-www-form-urlencoded."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json(self) -> Any:
        """The body as JSON. Raises ValueError when it is none."""
        return orjson.loads(self.body) if self.value is None else self.value


@dataclass(kw_only=True, slots=True)
class Response:
    """One answer. `delay` seconds pass before it is sent; `cut` closes the connection in its place."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json;charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body."""
    return Response(status=status, body=orjson.dumps(value), headers=headers or {})


def html_response(text: str, status: int = 200) -> Response:
    """An answer with an HTML page."""
    return Response(status=status, body=text.encode(), content_type="text/html; charset=utf-8")


def redirect(location: str) -> Response:
    """Send a browser on with GET."""
    return Response(status=303, headers={"Location": location})


Handler = Callable[[Request], Response]
"""Runs in the server's own thread, one request at a time: handlers need no locks and must not block."""


@lru_cache(maxsize=256)  # clients say the same few over and over
def _name(raw: bytes) -> str:
    """A header's name as requests have it."""
    return raw.decode("latin-1").lower()


@lru_cache(maxsize=256)
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n"


class _Connection(asyncio.BufferedProtocol):
    """One client connection; answers in order, one request at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._reset()
        self._queue: list[Request] = []
        self._busy = False

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio gives TCP servers nothing else
        self._transport = transport
        self._server.connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._transport is not None:
            self._server.connections.discard(self._transport)
        self._transport = None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._server.view

    def buffer_updated(self, nbytes: int) -> None:
        try:
            self._parser.feed_data(self._server.view[:nbytes])
        except httptools.HttpParserError:
            self._write(Response(status=400, body=b"bad request", content_type="text/plain"), close=True)

    # httptools callbacks

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[_name(name)] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= MAX_BODY:
            self._body.append(body)

    def on_message_complete(self) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            method=self._parser.get_method().decode(),
            path=unquote(path),
            raw_query=query,
            headers=self._headers,
            body=b"".join(self._body),
        )
        too_long = len(self._url) > MAX_URL
        too_large = self._size > MAX_BODY
        self._reset()
        if too_long or too_large:
            self._write(Response(status=414 if too_long else 413, content_type="text/plain"), close=True)
            return
        self._queue.append(request)
        if not self._busy:
            self._next()

    def _next(self) -> None:
        if not self._queue or self._transport is None:
            self._busy = False
            return
        self._busy = True
        request = self._queue.pop(0)
        keep = request.headers.get("connection", "").lower() != "close"
        try:
            response = self._server.handler(request)
        except Exception as error:  # noqa: BLE001 - a stand-in's bug must show as a 500, with its text
            self._server.errors.append(error)
            response = Response(status=500, body=repr(error).encode(), content_type="text/plain")
        delay = response.delay + self._server.latency
        if delay > 0:
            asyncio.get_running_loop().call_later(delay, self._answer, response, keep)
        else:
            self._answer(response, keep)

    def _answer(self, response: Response, keep: bool) -> None:  # noqa: FBT001 - internal
        if response.cut:
            if self._transport is not None:
                self._transport.abort()
            return
        self._write(response, close=not keep)
        self._next()

    def _write(self, response: Response, *, close: bool) -> None:
        if self._transport is None:
            return
        head = _status_line(response.status)
        if response.status != 204:
            head += f"Content-Type: {response.content_type}\r\nContent-Length: {len(response.body)}\r\n"
        for name, value in response.headers.items():
            head += f"{name}: {value}\r\n"
        if close:
            head += "Connection: close\r\n"
        head += "\r\n"
        content = head.encode("latin-1")
        self._transport.write(content if response.status == 204 else content + response.body)
        if close:
            self._transport.close()


class Server:
    """One handler on one port. `latency` seconds are added to every answer and may change at any time."""

    def __init__(self, handler: Handler, *, port: int = 0, latency: float = 0.0) -> None:
        self.handler = handler
        self.latency = latency
        self.connections: set[asyncio.Transport] = set()
        self.view = memoryview(bytearray(RECEIVE_BYTES))
        """Where every connection's bytes come in: each takes them out before the next reads."""
        self.errors: list[Exception] = []
        """What handlers raised; tests look here."""
        self.tls: ssl.SSLContext | None = None
        """To be set before it is opened: TLS is spoken then, and nothing else."""
        self._port = port
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on, once open."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"{'http' if self.tls is None else 'https'}://{HOST}:{self._port}"

    async def open(self) -> None:
        """Begin to listen, in the running loop. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), HOST, self._port, backlog=1024, ssl=self.tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop_listening(self) -> None:
        """Refuse further connections; those that are open stay so."""
        if self._server is None:
            return
        # asyncio forgets a connection that is being accepted while its server is closed, and leaves its socket open
        # (Python 3.11, base_events.Server._attach). So accepting ends first, and what has begun gets its two turns.
        loop = asyncio.get_running_loop()
        for listener in self._server.sockets:
            loop.remove_reader(listener.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        self._server.close()

    async def close(self) -> None:
        """Stop listening and drop open connections."""
        await self.stop_listening()
        for transport in list(self.connections):
            transport.abort()
        await asyncio.sleep(0)


class ServerThread:
    """Several servers in one thread of their own, for tests and for programs that do more than serve.

    All handlers of one ServerThread run in that one thread, so stand-ins that share a world need no locks.
    """

    def __init__(self, *servers: Server) -> None:
        self._servers = servers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._ready = threading.Event()
        self._error: BaseException | None = None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            for server in self._servers:
                self._loop.run_until_complete(server.open())
        except OSError as error:
            self._error = error
            self._ready.set()
            return
        self._ready.set()
        self._loop.run_forever()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the servers' thread and return its result: the safe way to change a stand-in's state."""
        done = threading.Event()
        box: list[Any] = []

        def run() -> None:
            try:
                box.append((True, function()))
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                box.append((False, error))
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait()
        good, value = box[0]
        if not good:
            raise value
        return value  # type: ignore[no-any-return]

    def stop_listening(self) -> None:
        """Refuse further connections from now on."""

        async def stop() -> None:
            for server in self._servers:
                await server.stop_listening()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()

    def __exit__(self, *exc: object) -> None:
        async def stop() -> None:
            for server in self._servers:
                await server.close()
            self._loop.stop()

        asyncio.run_coroutine_threadsafe(stop(), self._loop)
        self._thread.join(timeout=5)
        self._loop.close()
