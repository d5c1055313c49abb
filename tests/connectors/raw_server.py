"""A TCP server that does what a script says, byte by byte: for moments no real server can be asked to show."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Self

Script = Callable[[socket.socket, int], None]
"""Plays one connection; the number counts connections from 0. The connection is closed after it."""


class RawServer:
    """Runs the script for each connection, in a thread of its own."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.ended = threading.Semaphore(0)
        """Released whenever a connection has been closed by the script's end."""
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            number, self.connections = self.connections, self.connections + 1
            threading.Thread(target=self._play, args=(connection, number), daemon=True).start()

    def _play(self, connection: socket.socket, number: int) -> None:
        try:
            self._script(connection, number)
        except OSError:
            pass
        finally:
            connection.close()
            self.ended.release()


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Everything up to and with the given bytes, which must be the last that come."""
    data = b""
    while not data.endswith(end):
        more = connection.recv(65536)
        if not more:
            raise ConnectionError
        data += more
    return data


def read_request(connection: socket.socket) -> bytes:
    """One whole HTTP request with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
