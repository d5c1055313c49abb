"""The stand-ins' own HTTP server: bytes become requests, whoever's they are and however they arrive."""

from __future__ import annotations

import socket

import pytest

from crmdrip.sandbox.http import RECEIVE_BYTES, Request, Response, Server, ServerThread


def echo(request: Request) -> Response:
    """What came: method, decoded path, one header in any case, the body."""
    shown = f"{request.method} {request.path} {request.headers.get('x-who', '')} ".encode()
    return Response(status=200, body=shown + request.body, content_type="text/plain")


@pytest.fixture
def server():
    server = Server(echo)
    with ServerThread(server):
        yield server


def connect(server):
    """A client without manners."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def ask(path, who, body=b"", **headers):
    """The bytes of a request."""
    lines = [f"POST {path} HTTP/1.1", f"X-Who: {who}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def receive(client):
    """One answer: its head's lines and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    length = int(next(line for line in lines if line.startswith("Content-Length")).partition(":")[2])
    while len(body) < length:
        body += client.recv(65_536)
    return lines, body


def test_pieces_of_two_requests_that_arrive_in_turns_are_not_mixed(server):
    """Each connection is read by itself."""
    with connect(server) as one, connect(server) as other:
        first, second = ask("/one", "Ann", b"a" * 40), ask("/other", "Bob", b"b" * 40)
        for place in range(0, max(len(first), len(second)), 7):
            one.sendall(first[place : place + 7])
            other.sendall(second[place : place + 7])
        assert receive(one)[1] == b"POST /one Ann " + b"a" * 40
        assert receive(other)[1] == b"POST /other Bob " + b"b" * 40


def test_a_body_larger_than_one_read_arrives_whole(server):
    """In order, and nothing twice."""
    body = b"".join(b"%07d " % number for number in range(RECEIVE_BYTES // 4))
    with connect(server) as client:
        client.sendall(ask("/large", "Ann", body))
        assert receive(client)[1] == b"POST /large Ann " + body


def test_requests_sent_at_once_are_answered_in_order(server):
    """Pipelining."""
    with connect(server) as client:
        for name in ("Ann", "Bob"):
            client.sendall(ask("/next", name))
        client.sendall(ask("/last", "Cy", Connection="close"))
        data = b""
        while chunk := client.recv(65_536):
            data += chunk
    places = [data.index(name) for name in (b"Ann", b"Bob", b"Cy")]
    assert places == sorted(places)
    assert data.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert data.count(b"Connection: close\r\n") == 1


def test_what_is_no_http_is_answered_with_400_and_closed(server):
    """And the next connection is served."""
    with connect(server) as client:
        client.sendall(b"hello\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert client.recv(65_536) == b""
    with connect(server) as client:
        client.sendall(ask("/a%20b", "Ann"))
        lines, body = receive(client)
    assert (lines[0], body) == ("HTTP/1.1 200 OK", b"POST /a b Ann ")
