"""How far an SMTP transaction got: the mailer against a server that answers, or breaks off, at chosen commands."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr, ValidationError
from raw_server import RawServer, read_until
from smtp_peer import PASSWORD, USERNAME, SmtpPeer

from connectors.smtp import connector
from connectors.smtp.mailer import SmtpMailer
from connectors.smtp.session import Stage, classify
from connectors.smtp.settings import SmtpSettings
from crmdrip.core.errors import ErrorClass
from crmdrip.core.struct import replace
from crmdrip.ports import CheckLevel, ConnectorContext, SendStatus
from crmdrip.sandbox.certificate import make_certificate
from crmdrip.testing.mailer import build_message, build_messages

IN_DOUBT = (SendStatus.UNKNOWN, ErrorClass.OUTCOME_UNKNOWN)
TRY_AGAIN = (SendStatus.REFUSED, ErrorClass.RETRIABLE)
CLOSE = b""
GOOD = {
    "hello": b"220 mail.example ready\r\n",
    "EHLO": b"250 mail.example\r\n",
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 2.0.0 Ok: queued as 4F2B1C\r\n",
    "RSET": b"250 ok\r\n",
}


class SystemClock:
    """The real time."""

    def now(self):
        """Aware UTC."""
        return datetime.now(UTC)


def settings_for(port, **values):
    return SmtpSettings(
        **{
            "host": "127.0.0.1",
            "port": port,
            "connections": 1,
            "connect_timeout": 2.0,
            "reply_timeout": 2.0,
            "final_timeout": 0.5,
            **values,
        }
    )


@contextmanager
def open_mailer(port, **values):
    mailer = SmtpMailer(settings_for(port, **values), SystemClock())
    try:
        yield mailer
    finally:
        mailer.close()


def send(port, messages=None, **values):
    with open_mailer(port, **values) as mailer:
        return list(mailer.send(messages or [build_message(1)]))


def verdicts(outcomes):
    return [(outcome.status, outcome.error) for outcome in outcomes]


def scripted(emails: list[bytes], **changes):
    """A server that answers by the book, except where told otherwise; `emails` gets each whole email."""
    replies = {**GOOD, **{{"dot": "."}.get(name, name): reply for name, reply in changes.items()}}

    def script(connection: socket.socket, number: int) -> None:
        if not say(connection, replies["hello"]):
            return
        while True:
            command = read_until(connection, b"\r\n").split()[0].decode().upper()
            if command == "QUIT" or not say(connection, replies[command]):
                return
            if command == "DATA" and replies["DATA"] == GOOD["DATA"]:
                emails.append(read_until(connection, b"\r\n.\r\n"))
                if not say(connection, replies["."]):
                    return

    return script


def say(connection: socket.socket, reply: bytes) -> bool:
    """Answer. False when the connection is to be closed: after an empty, unfinished or 421 answer."""
    if reply:
        connection.sendall(reply)
    return reply.endswith(b"\r\n") and not reply.startswith(b"421")


def listen(connection: socket.socket) -> bytes:
    """Go by the book until the email is to come; the MAIL command."""
    connection.sendall(GOOD["hello"])
    sender = b""
    for command in ("EHLO", "MAIL", "RCPT", "DATA"):
        line = read_until(connection, b"\r\n")
        sender = line if command == "MAIL" else sender
        connection.sendall(GOOD[command])
    return sender


@pytest.mark.parametrize("reply", [CLOSE, b"2", b"25", b"250-2.0.0 first line\r\n", b"what?\r\n", b"350 more\r\n"])
def test_no_whole_answer_to_the_final_dot_is_unknown(reply):
    """B1: after the final dot, only a whole reply decides."""
    emails: list[bytes] = []
    with RawServer(scripted(emails, dot=reply)) as server:
        assert verdicts(send(server.port)) == [IN_DOUBT]
    assert len(emails) == 1


def test_silence_after_the_final_dot_is_unknown():
    """B2: a time-out after the whole email left is in doubt, and says so."""
    waited = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        listen(connection)
        read_until(connection, b"\r\n.\r\n")
        waited.wait()

    with RawServer(script) as server:
        (outcome,) = send(server.port, final_timeout=0.1)
        waited.set()
    assert verdicts([outcome]) == [IN_DOUBT]
    assert outcome.detail == "no answer to the whole email in 0.1 s"


def test_a_cut_before_the_final_dot_is_a_refusal():
    """B2: until the final dot the server must not take the email, so it certainly did not."""

    def script(connection: socket.socket, number: int) -> None:
        listen(connection)
        connection.recv(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with RawServer(script) as server:
        outcomes = send(server.port, [replace(build_message(1), text="x" * 20_000_000)])
    assert verdicts(outcomes) == [TRY_AGAIN]


@pytest.mark.parametrize(
    ("changes", "error", "prefix"),
    [
        ({"hello": CLOSE}, ErrorClass.RETRIABLE, ""),
        ({"hello": b"421 too busy\r\n"}, ErrorClass.RETRIABLE, "connect: 421"),
        ({"hello": b"554 go away\r\n"}, ErrorClass.CONFIGURATION, "connect: 554"),
        ({"EHLO": b"550 never heard of you\r\n"}, ErrorClass.CONFIGURATION, "hello: 550"),
        ({"EHLO": CLOSE}, ErrorClass.RETRIABLE, ""),
        ({"MAIL": b"451 later\r\n"}, ErrorClass.RETRIABLE, "sender: 451"),
        ({"MAIL": b"553 not yours\r\n"}, ErrorClass.CONFIGURATION, "sender: 553"),
        ({"MAIL": b"530 log in first\r\n"}, ErrorClass.AUTH, "sender: 530"),
        ({"MAIL": CLOSE}, ErrorClass.RETRIABLE, ""),
        ({"RCPT": b"450 greylisted\r\n"}, ErrorClass.RETRIABLE, "address: 450"),
        ({"RCPT": b"550 5.1.1 unknown\r\n"}, ErrorClass.REJECTED, "address: 550"),
        ({"RCPT": b"554 5.7.1 Relay access denied\r\n"}, ErrorClass.CONFIGURATION, "address: 554"),
        ({"RCPT": CLOSE}, ErrorClass.RETRIABLE, ""),
        ({"DATA": b"451 disk full\r\n"}, ErrorClass.RETRIABLE, "content: 451"),
        ({"DATA": b"554 no\r\n"}, ErrorClass.REJECTED, "content: 554"),
        ({"DATA": CLOSE}, ErrorClass.RETRIABLE, ""),
        ({"dot": b"451 later\r\n"}, ErrorClass.RETRIABLE, "content: 451"),
        ({"dot": b"421 closing\r\n"}, ErrorClass.RETRIABLE, "content: 421"),
        ({"dot": b"554 5.7.1 spam\r\n"}, ErrorClass.REJECTED, "content: 554"),
    ],
)
def test_a_no_is_refused_by_its_code_and_place(changes, error, prefix):
    """B2: a reply, or an end of the connection before the final dot, is a definite refusal."""
    with RawServer(scripted([], **changes)) as server:
        (outcome,) = send(server.port)
    assert verdicts([outcome]) == [(SendStatus.REFUSED, error)]
    assert outcome.detail.startswith(prefix)


def test_a_refused_recipient_spoils_nothing_for_the_next():
    """After a refusal the session is reset and carries the next email."""
    with SmtpPeer() as peer:
        messages = build_messages(3)
        bad = replace(messages[1], to_address="not an address")
        outcomes = send(peer.port, [messages[0], bad, messages[2]])
        assert [email.to_address for email in peer.accepted()] == ["person0@example.com", "person2@example.com"]
    assert [outcome.status for outcome in outcomes].count(SendStatus.REFUSED) == 1


def test_an_acceptance_carries_the_queue_id():
    """The server's own id helps whoever reads its log."""
    with RawServer(scripted([])) as server:
        (outcome,) = send(server.port)
    assert (outcome.status, outcome.provider_id) == (SendStatus.ACCEPTED, "4F2B1C")


def test_a_session_is_kept():
    """Several emails, in one call and over several, travel on one connection."""
    emails: list[bytes] = []
    with RawServer(scripted(emails)) as server, open_mailer(server.port) as mailer:
        for start in (0, 3):
            assert len(list(mailer.send(build_messages(6)[start : start + 3]))) == 3
        assert server.connections == 1
    assert len(emails) == 6


def test_a_session_told_to_go_is_replaced():
    """B2: 421 to the second email on a kept connection means nothing of it was taken; a new connection takes it."""
    emails: list[bytes] = []

    def script(connection: socket.socket, number: int) -> None:
        listen(connection)
        emails.append(read_until(connection, b"\r\n.\r\n"))
        connection.sendall(GOOD["."])
        read_until(connection, b"\r\n")
        connection.sendall(b"421 enough for one connection\r\n")

    with RawServer(script) as server:
        outcomes = send(server.port, build_messages(2))
        assert server.connections == 2
    assert [outcome.status for outcome in outcomes] == [SendStatus.ACCEPTED] * 2
    assert len(emails) == 2


def test_a_new_session_told_to_go_is_not_replaced():
    """421 to the first email on a connection is the server's answer, and not repeated for ever."""
    with RawServer(scripted([], MAIL=b"421 enough\r\n")) as server:
        assert verdicts(send(server.port)) == [TRY_AGAIN]
        assert server.connections == 1


def test_a_wrong_password_is_tried_once():
    """Four connections that all log in wrongly would lock the account."""
    with SmtpPeer() as peer:
        outcomes = send(peer.port, build_messages(20), connections=4, username=USERNAME, password=SecretStr("wrong"))
        assert verdicts(outcomes) == [(SendStatus.REFUSED, ErrorClass.AUTH)] * 20
        # smtplib tries each mechanism the server offers, on one connection.
        assert peer.logins <= 2


def test_closing_finishes_what_is_under_way_and_begins_nothing():
    """P3: every email has its outcome when the mailer is closed in between."""
    emails: list[bytes] = []

    def script(connection: socket.socket, number: int) -> None:
        listen(connection)
        emails.append(read_until(connection, b"\r\n.\r\n"))
        mailer.close()
        connection.sendall(GOOD["."])

    with RawServer(script) as server, open_mailer(server.port) as mailer:
        outcomes = list(mailer.send(build_messages(5)))
    assert [outcome.status for outcome in outcomes] == [SendStatus.ACCEPTED] + [SendStatus.REFUSED] * 4
    assert len(emails) == 1


def test_starttls_protects_the_email(tmp_path):
    """With a trusted certificate the email and the login travel over TLS."""
    ca_file, context = make_certificate(tmp_path)
    with SmtpPeer(tls_context=context) as peer:
        outcomes = send(peer.port, ca_file=ca_file, username=USERNAME, password=SecretStr(PASSWORD))
        assert [outcome.status for outcome in outcomes] == [SendStatus.ACCEPTED]
        assert peer.secured == [True]


def test_an_untrusted_certificate_sends_nothing(tmp_path):
    """B2: STARTTLS with whoever cannot prove the name ends before the email."""
    _, context = make_certificate(tmp_path)
    with SmtpPeer(tls_context=context) as peer:
        (outcome,) = send(peer.port)
        assert not peer.offered()
    assert verdicts([outcome]) == [TRY_AGAIN]
    assert "certificate" in outcome.detail


def test_a_server_without_starttls_gets_nothing():
    """Mail is not sent in clear because somebody on the way took the offer out; only this machine is trusted."""
    with SmtpPeer() as peer:
        # A short form of 127.0.0.1 that reaches this machine and does not show it.
        (outcome,) = send(peer.port, host="127.1")
        assert not peer.offered()
    assert verdicts([outcome]) == [(SendStatus.REFUSED, ErrorClass.CONFIGURATION)]
    assert "STARTTLS" in outcome.detail


def test_clear_text_is_possible_when_asked_for():
    """Whoever writes tls = "none" gets it."""
    with SmtpPeer() as peer:
        (outcome,) = send(peer.port, host="127.1", tls="none")
    assert outcome.status is SendStatus.ACCEPTED


def test_implicit_tls_begins_with_tls(tmp_path):
    """RFC 8314: not a byte in clear."""
    ca_file, context = make_certificate(tmp_path)
    emails: list[bytes] = []
    book = scripted(emails)

    def script(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            book(secure, number)

    with RawServer(script) as server:
        (outcome,) = send(server.port, tls="implicit", ca_file=ca_file)
    assert outcome.status is SendStatus.ACCEPTED
    assert len(emails) == 1


def test_lines_of_dots_are_doubled():
    """RFC 5321 section 4.5.2: a line with a single dot does not end the email."""
    emails: list[bytes] = []
    with RawServer(scripted(emails)) as server:
        send(server.port, [replace(build_message(1), html="", text="before\n.\n..\nafter\n")])
    assert b"before\r\n..\r\n...\r\nafter\r\n" in emails[0]


def test_long_headers_are_not_encoded():
    """A long unsubscribe link stays readable to mailbox providers."""
    emails: list[bytes] = []
    message = build_message(1)
    with RawServer(scripted(emails)) as server:
        send(server.port, [message])
    assert f"List-Unsubscribe: {message.headers['List-Unsubscribe']}\r\n".encode() in emails[0]


def test_an_email_is_seven_bit_with_lines_of_legal_length():
    """RFC 5322 section 2.1.1: no server needs an extension for our emails."""
    emails: list[bytes] = []
    with RawServer(scripted(emails)) as server:
        send(server.port, [replace(build_message(1), text="\u20ac" * 5000, html="x" * 5000)])
    assert emails[0].isascii()
    assert max(map(len, emails[0].split(b"\r\n"))) <= 998


def test_an_address_beyond_ascii_needs_a_server_that_knows_it():
    """RFC 6531: with SMTPUTF8 it is carried, without it the address is refused and nothing is mangled."""
    message = replace(build_message(1), to_address="zo\u00eb@example.com")
    with SmtpPeer(enable_SMTPUTF8=True) as peer:
        (outcome,) = send(peer.port, [message])
        assert outcome.status is SendStatus.ACCEPTED
        assert list(peer.offered()) == ["zo\u00eb@example.com"]
    with RawServer(scripted([])) as server:
        (outcome,) = send(server.port, [message])
    assert verdicts([outcome]) == [(SendStatus.REFUSED, ErrorClass.REJECTED)]
    assert outcome.detail.startswith("address: ")


def test_the_envelope_may_have_its_own_sender():
    """Bounces go to bounce_address, while the person sees the From address."""
    emails: list[bytes] = []
    senders: list[bytes] = []

    def script(connection: socket.socket, number: int) -> None:
        senders.append(listen(connection))
        emails.append(read_until(connection, b"\r\n.\r\n"))
        connection.sendall(GOOD["."])

    with RawServer(script) as server:
        send(server.port, bounce_address="bounces@sender.example")
    assert senders == [b"MAIL FROM:<bounces@sender.example>\r\n"]
    assert b"<rep@sender.example>" in emails[0]


@pytest.mark.parametrize(
    ("stage", "code", "error"),
    [
        (Stage.LOGIN, 535, ErrorClass.AUTH),
        (Stage.LOGIN, 504, ErrorClass.AUTH),
        (Stage.LOGIN, 454, ErrorClass.RETRIABLE),
        (Stage.SENDER, 250, ErrorClass.RETRIABLE),
    ],
)
def test_a_login_is_refused_for_good_or_for_now(stage, code, error):
    """RFC 4954 section 6: 454 is the server's trouble, 535 is ours."""
    assert classify(stage, code, "") is error


@pytest.mark.parametrize(
    "values",
    [
        {"host": ""},
        {"host": "mail.example\r\n"},
        {"tls": "ssl"},
        {"username": "rep"},
        {"password": SecretStr("x")},
        {"host": "mail.example", "tls": "none", "username": "rep", "password": SecretStr("x")},
        {"connections": 65},
        {"prot": 25},
    ],
)
def test_settings_that_cannot_work_are_refused(values):
    """A password never travels in clear, and nothing is guessed."""
    with pytest.raises(ValidationError):
        settings_for(25, **values)


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("implicit", 465), ("none", 25)])
def test_the_port_follows_the_protection(tls, port):
    """RFC 8314 and RFC 6409."""
    assert settings_for(0, tls=tls).real_port == port


def check(settings):
    context = ConnectorContext(settings=settings, mapping=None, clock=SystemClock())
    return [(result.code, result.level) for result in connector.check(context)]


def test_a_good_server_passes_the_checks():
    """It logs in and sends nothing; that doubts cannot be looked up is said."""
    with SmtpPeer() as peer:
        settings = settings_for(peer.port, username=USERNAME, password=SecretStr(PASSWORD))
        assert check(settings) == [("SMTP-REACH", CheckLevel.OK), ("SMTP-LOG", CheckLevel.WARN)]
        assert not peer.offered()


def test_a_wrong_password_fails_the_checks():
    """With a code of its own."""
    with SmtpPeer() as peer:
        settings = settings_for(peer.port, username=USERNAME, password=SecretStr("wrong"))
        assert ("SMTP-LOGIN", CheckLevel.FAIL) in check(settings)


def test_nobody_answering_fails_the_checks():
    """With a code of its own."""
    with SmtpPeer() as peer:
        peer.stop()
        assert ("SMTP-REACH", CheckLevel.FAIL) in check(settings_for(peer.port))


def test_there_are_no_suppression_lists():
    """A mail server has none to read."""
    context = ConnectorContext(settings=settings_for(25), mapping=None, clock=SystemClock())
    assert connector.build_feed(context) is None


def test_an_unreadable_ca_file_is_reported(tmp_path):
    """The check says so instead of raising."""
    path = tmp_path / "ca.pem"
    path.write_text("no certificate", encoding="utf-8")
    assert check(settings_for(25, ca_file=path)) == [("SMTP-CA", CheckLevel.FAIL)]
    with pytest.raises(ssl.SSLError):
        ssl.create_default_context(cafile=path)
