"""How far a request got: the SendGrid mailer against a server that breaks off at chosen bytes."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from raw_server import RawServer, read_request
from sendgrid_peer import KEY, SystemClock

from connectors.sendgrid import transport
from connectors.sendgrid.client import SendGridClient
from connectors.sendgrid.connection import Connection
from connectors.sendgrid.mailer import SendGridMailer
from connectors.sendgrid.settings import SendGridSettings
from crmdrip.core.errors import ErrorClass
from crmdrip.core.struct import replace
from crmdrip.ports import Clock, SendStatus
from crmdrip.sandbox.certificate import make_certificate
from crmdrip.testing.mailer import build_message, build_messages

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nX-Message-Id: abc\r\n\r\n"
IN_DOUBT = (SendStatus.UNKNOWN, ErrorClass.OUTCOME_UNKNOWN)
TRY_AGAIN = (SendStatus.REFUSED, ErrorClass.RETRIABLE)


@pytest.fixture(autouse=True, params=["uvloop", "asyncio"])
def loop(request, monkeypatch):
    """Each test twice: on the loop that there is on Linux and macOS, and on the one that there is everywhere."""
    if request.param == "asyncio":
        monkeypatch.setattr(transport, "new_loop", asyncio.new_event_loop)
    elif sys.platform == "win32":
        pytest.skip("there is no uvloop for Windows")


@contextmanager
def open_mailer(port: int, *, scheme: str = "http", host: str = "127.0.0.1", clock: Clock | None = None, **changes):
    values = {"connections": 1, "request_timeout": 0.5, "connect_timeout": 2.0, **changes}
    settings = SendGridSettings(api_key=SecretStr(KEY), base_url=f"{scheme}://{host}:{port}", **values)
    mailer = SendGridMailer(settings, clock or SystemClock(), SendGridClient(settings, SystemClock()))
    try:
        yield mailer
    finally:
        mailer.close()


def send_one(port: int, **changes):
    with open_mailer(port, **changes) as mailer:
        (outcome,) = mailer.send([build_message(1)])
    return outcome


def verdict(outcome):
    return outcome.status, outcome.error


def answer_with(*parts: bytes):
    """A script that reads one request and answers with these bytes, then closes."""

    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        for part in parts:
            connection.sendall(part)

    return script


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 20",
        b"HTTP/1.1 202",
        b"HTTP/1.1 202 Accep",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nServer: x\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_no_whole_status_line_is_unknown(answer):
    """B1, B2: a connection that breaks before the status line has ended decides nothing."""
    with RawServer(answer_with(answer)) as server:
        assert verdict(send_one(server.port)) == IN_DOUBT
        assert server.connections == 1


def test_a_status_decides_without_the_rest_of_the_answer():
    """B1: 202 with half of its headers is an acceptance."""
    with RawServer(answer_with(b"HTTP/1.1 202 Accepted\r\nX-Message-Id: abc\r\nServer: x\r\nDat")) as server:
        outcome = send_one(server.port)
    assert outcome.status is SendStatus.ACCEPTED
    assert outcome.provider_id == "abc"


def test_a_500_whose_body_is_cut_is_unknown():
    """B2: only SendGrid's own whole words make a 500 a refusal."""
    part = b'HTTP/1.1 500 Internal Server Error\r\nContent-Length: 80\r\n\r\n{"errors":[{"mess'
    with RawServer(answer_with(part)) as server:
        assert verdict(send_one(server.port)) == IN_DOUBT


def test_an_answer_in_single_bytes_is_read():
    """However the answer is cut into packets, it is one answer."""
    with RawServer(answer_with(*(bytes([byte]) for byte in ACCEPTED))) as server:
        assert send_one(server.port).status is SendStatus.ACCEPTED


def test_an_interim_answer_is_waited_through():
    """RFC 9110 section 15.2: the answer after 103 counts."""
    with RawServer(answer_with(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", ACCEPTED)) as server:
        assert send_one(server.port).status is SendStatus.ACCEPTED


def test_silence_after_the_request_is_unknown():
    """B2: a time-out after the body left is in doubt."""

    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.recv(1)

    with RawServer(script) as server:
        outcome = send_one(server.port, request_timeout=0.1)
    assert verdict(outcome) == IN_DOUBT
    assert outcome.detail == "no answer in 0.1 s"


def test_a_server_that_never_reads_the_body_leaves_a_doubt():
    """B2: part of a large email may have been read, so it is not repeated."""

    def script(connection: socket.socket, number: int) -> None:
        connection.recv(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with RawServer(script) as server, open_mailer(server.port) as mailer:
        (outcome,) = mailer.send([replace(build_message(1), text="x" * 8_000_000)])
    assert verdict(outcome) == IN_DOUBT


def test_an_early_no_to_a_large_email_is_a_no():
    """A 413 that comes while the email is still being written decides, and the connection is not used again."""

    def script(connection: socket.socket, number: int) -> None:
        if number:
            read_request(connection)
            connection.sendall(ACCEPTED)
            return
        connection.recv(10)
        connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        connection.recv(1)
        while connection.recv(1 << 20):
            pass

    with RawServer(script) as server, open_mailer(server.port, request_timeout=30.0) as mailer:
        large, small = mailer.send([replace(build_message(1), text="x" * 30_000_000), build_message(2)])
        assert verdict(large) == (SendStatus.REFUSED, ErrorClass.REJECTED)
        assert small.status is SendStatus.ACCEPTED
        assert server.connections == 2


def test_a_server_that_closes_at_once_was_sent_nothing():
    """B2: a connection that ends before a request was written leaves every email unsent, and is not tried for ever."""

    def script(connection: socket.socket, number: int) -> None:
        pass

    with RawServer(script) as server, open_mailer(server.port, scheme="https", connections=4) as mailer:
        outcomes = list(mailer.send(build_messages(30)))
        assert {verdict(outcome) for outcome in outcomes} == {TRY_AGAIN}
        assert server.connections <= 4


def test_two_answers_to_one_request_settle_one_email():
    """An answer nobody asked for is not taken for the answer to the next email."""

    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        if number == 0:
            connection.sendall(ACCEPTED + b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            connection.recv(1)
        else:
            connection.sendall(ACCEPTED)

    with RawServer(script) as server, open_mailer(server.port) as mailer:
        outcomes = list(mailer.send(build_messages(2)))
        assert [outcome.status for outcome in outcomes] == [SendStatus.ACCEPTED] * 2
        assert server.connections == 2


@pytest.mark.parametrize("parting", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
def test_a_connection_that_ended_at_rest_is_not_written_to(parting):
    """B2: what a server says or does to an idle connection is no answer to the next email."""
    requests = []

    def script(connection: socket.socket, number: int) -> None:
        requests.append(read_request(connection))
        connection.sendall(ACCEPTED + parting)

    with RawServer(script) as server, open_mailer(server.port) as mailer:
        for number in range(5):
            assert [outcome.status for outcome in mailer.send([build_message(number)])] == [SendStatus.ACCEPTED]
            server.ended.acquire()
        assert len(requests) == server.connections == 5


class TurningClock(SystemClock):
    """Is set on by an hour between the first look at it and the next: the machine slept."""

    def __init__(self) -> None:
        self.looked = False

    def now(self) -> datetime:
        """Aware UTC."""
        found = super().now() + timedelta(hours=self.looked)
        self.looked = True
        return found


def test_an_email_whose_connection_was_gone_is_not_begun_once_its_look_is_too_old(monkeypatch):
    """P2, P4: it was taken in time, and not one byte of it left before the machine slept."""
    clock = TurningClock()

    def script(connection: socket.socket, number: int) -> None:
        while True:
            read_request(connection)
            connection.sendall(ACCEPTED)

    with RawServer(script) as server, open_mailer(server.port, clock=clock) as mailer:
        assert [outcome.status for outcome in mailer.send([build_message(1)])] == [SendStatus.ACCEPTED]
        # As between the end of a connection and the moment in which the loop hears of it.
        monkeypatch.setattr(Connection, "is_quiet", lambda connection: not connection.used)
        late = replace(build_message(2), not_after=datetime.now(UTC) + timedelta(minutes=2))
        assert [verdict(outcome) for outcome in mailer.send([late])] == [TRY_AGAIN]
        assert server.connections <= 2


def test_connection_close_is_obeyed():
    """A server may end a connection with its answer; the next email takes another."""
    with (
        RawServer(answer_with(ACCEPTED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) as server,
        open_mailer(server.port) as mailer,
    ):
        outcomes = list(mailer.send(build_messages(5)))
        assert {outcome.status for outcome in outcomes} == {SendStatus.ACCEPTED}
        assert server.connections == 5


def test_connections_are_kept():
    """A hundred emails over two connections open two."""

    def script(connection: socket.socket, number: int) -> None:
        while True:
            read_request(connection)
            connection.sendall(ACCEPTED)

    with RawServer(script) as server, open_mailer(server.port, connections=2) as mailer:
        for start in range(0, 100, 10):
            assert len(list(mailer.send(build_messages(100)[start : start + 10]))) == 10
        assert server.connections == 2


def test_an_old_connection_is_not_used_again():
    """Beyond idle_timeout a connection is taken for lost, whatever it looks like."""

    def script(connection: socket.socket, number: int) -> None:
        while True:
            read_request(connection)
            connection.sendall(ACCEPTED)

    with RawServer(script) as server, open_mailer(server.port, idle_timeout=1e-9) as mailer:
        for number in range(3):
            assert [outcome.status for outcome in mailer.send([build_message(number)])] == [SendStatus.ACCEPTED]
        assert server.connections == 3


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name"),
        (OSError("no route"), "OSError"),
        (RuntimeError("anything at all"), "RuntimeError"),
    ],
)
def test_a_failed_name_look_up_is_a_refusal(monkeypatch, trouble, why):
    """B2: without a connection nothing was sent, whatever kept it from being made."""

    def fail(*args, **kwargs):
        raise trouble

    monkeypatch.setattr(transport, "new_loop", asyncio.new_event_loop)  # uvloop asks the C library itself
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    outcome = send_one(443, scheme="https", host="mail.example")
    assert verdict(outcome) == TRY_AGAIN
    assert why in outcome.detail


def test_a_redirect_is_not_followed():
    """The email goes where the settings say or nowhere."""
    with RawServer(
        answer_with(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")
    ) as server:
        assert verdict(send_one(server.port)) == (SendStatus.REFUSED, ErrorClass.CONFIGURATION)
        assert server.connections == 1


def test_whoever_stops_asking_stops_the_sending():
    """After the caller is gone, no further email is begun."""
    requests = []
    gone = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        while True:
            requests.append(read_request(connection))
            if len(requests) == 2:
                gone.wait()
            connection.sendall(ACCEPTED)

    with RawServer(script) as server, open_mailer(server.port, request_timeout=60.0) as mailer:
        sending = mailer.send(build_messages(50))
        next(sending)
        sending.close()
        gone.set()
        list(mailer.send([build_message(99)]))
    assert len(requests) == 3
    assert b"person99@example.com" in requests[-1]


def test_closing_leaves_what_is_under_way_in_doubt():
    """B1: an email whose answer was still awaited when the mailer closed is unknown, the rest is unsent."""

    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        mailer.close()

    with RawServer(script) as server, open_mailer(server.port) as mailer:
        outcomes = list(mailer.send(build_messages(10)))
    assert [verdict(outcome) for outcome in outcomes].count(IN_DOUBT) == 1
    assert [verdict(outcome) for outcome in outcomes].count(TRY_AGAIN) == 9


def test_tls_trusts_the_given_certificates(tmp_path):
    """Over TLS, emails go out one after another on one connection."""

    def script(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            while True:
                read_request(secure)
                secure.sendall(ACCEPTED)

    ca_file, context = make_certificate(tmp_path)
    with RawServer(script) as server, open_mailer(server.port, scheme="https", ca_file=ca_file) as mailer:
        outcomes = [outcome.status for number in range(4) for outcome in mailer.send(build_messages(5))]
        assert outcomes == [SendStatus.ACCEPTED] * 20
        assert server.connections == 1


def test_an_answer_in_two_records_of_tls_is_read_whole(tmp_path):
    """B1: they often arrive together, and asyncio gave zeros in place of the second; the email was in doubt."""

    def script(connection: socket.socket, number: int) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = context.wrap_bio(incoming, outgoing, server_side=True)

        def receive(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(65536))

        receive(secure.do_handshake)
        connection.sendall(outgoing.read())
        while not (request := receive(lambda: secure.read(65536))).endswith(b"}"):
            assert request
        half = len(ACCEPTED) // 2
        secure.write(ACCEPTED[:half])
        secure.write(ACCEPTED[half:])
        connection.sendall(outgoing.read())
        connection.recv(1)

    ca_file, context = make_certificate(tmp_path)
    with RawServer(script) as server:
        assert send_one(server.port, scheme="https", ca_file=ca_file).status is SendStatus.ACCEPTED


def test_an_untrusted_certificate_sends_nothing(tmp_path):
    """B2: whoever cannot prove to be SendGrid gets not a byte, and the detail says why."""
    requests = []

    def script(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            requests.append(read_request(secure))

    _, context = make_certificate(tmp_path)
    with RawServer(script) as server:
        outcome = send_one(server.port, scheme="https")
    assert verdict(outcome) == TRY_AGAIN
    assert "certificate" in outcome.detail
    assert requests == []


def test_a_cut_over_tls_is_unknown(tmp_path):
    """B1: TLS changes nothing about a lost answer."""

    def script(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            read_request(secure)

    ca_file, context = make_certificate(tmp_path)
    with RawServer(script) as server:
        assert verdict(send_one(server.port, scheme="https", ca_file=ca_file)) == IN_DOUBT
        assert server.connections == 1
