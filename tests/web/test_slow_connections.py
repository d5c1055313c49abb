"""Connections that ask nothing, or never come to an end: they are closed, and nobody else waits for them (B28)."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from crmdrip.web import wire
from crmdrip.web.door import CONCURRENT, Door, build_app, listen
from crmdrip.web.health import Health
from crmdrip.web.pages import Pages

HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "


class Nobody:
    """Unsubscribes of nobody."""

    def read(self, token: str) -> None:
        """No token is ours."""


@pytest.fixture
def opened() -> Iterator[Callable[..., int]]:
    """Opens a door and gives its port."""
    with ExitStack() as stack:

        def build(head_seconds: float, **kwargs: object) -> int:
            door = stack.enter_context(Door(listen(("127.0.0.1", 0))))
            app = build_app(
                watch=lambda: Health(alive=True, ready=True),
                unsubscribes=Nobody(),  # type: ignore[arg-type]  # all that this needs
                pages=Pages("Acme", "1 Example Street", "en"),
                base_url="https://mail.acme.example/u",
                after=door.after,
            )
            door.serve(app, head_seconds=head_seconds, **kwargs)  # type: ignore[arg-type]  # for the tests' words
            return door.port

        yield build


@pytest.fixture
def sockets() -> Iterator[Callable[[int, bytes], socket.socket]]:
    """Opens connections that say so much."""
    with ExitStack() as stack:

        def connect(port: int, said: bytes) -> socket.socket:
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            one.sendall(said)
            return one

        yield connect


def ask(port: int) -> int:
    """The status of an ordinary request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    finally:
        connection.close()


def ends(one: socket.socket) -> bool:
    """Waits until the door has closed it; whatever it says before is read."""
    try:
        while one.recv(65_536):
            pass
    except ConnectionError:
        return True
    return True


@pytest.mark.parametrize("said", [b"", HALF, b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nabc"])
def test_whoever_does_not_come_to_an_end_is_cut_off(
    opened: Callable[..., int], sockets: Callable[[int, bytes], socket.socket], said: bytes
) -> None:
    """B28: silence, half a head, and a body that nobody reads any more."""
    assert ends(sockets(opened(0.2), said))


def test_those_who_ask_nothing_make_room_for_those_who_ask(
    opened: Callable[..., int], sockets: Callable[[int, bytes], socket.socket]
) -> None:
    """B28: more half requests than there is room for, and everybody else is answered at once."""
    port = opened(3_600)
    slow = [sockets(port, HALF) for _ in range(CONCURRENT + 50)]
    assert [ask(port) for _ in range(3)] == [200, 200, 200]
    assert ends(slow[0])


def test_one_client_has_so_many_connections(
    opened: Callable[..., int], sockets: Callable[[int, bytes], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B28: a web server of ours may have more."""
    monkeypatch.setattr(wire, "PER_CLIENT", 3)
    port = opened(3_600, proxies=())
    kept = [sockets(port, HALF) for _ in range(3)]
    assert ends(sockets(port, b""))
    kept[0].sendall(b"1\r\n\r\n")
    assert kept[0].recv(100).startswith(b"HTTP/1.1 200")


def test_a_connection_that_is_kept_is_answered_again(
    opened: Callable[..., int], sockets: Callable[[int, bytes], socket.socket]
) -> None:
    """The limit is for one head, and not for the connection."""
    one = sockets(opened(5), b"")
    for _ in range(3):
        one.sendall(HALF + b"1\r\n\r\n")
        answer = b""
        while b"ready" not in answer:
            answer += one.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200")
