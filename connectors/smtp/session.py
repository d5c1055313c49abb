"""One SMTP connection, driven command by command, so that it is always known whether an email was taken.

smtplib's own sendmail() reports a lost connection by the same exception before and after the final dot; the
difference is everything here.
"""

from __future__ import annotations

import re
import select
import smtplib
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum

from connectors.smtp.settings import SmtpSettings, Tls
from crmdrip.core.errors import ErrorClass
from crmdrip.ports.lines import give_up
from crmdrip.settings import is_loopback


class Stage(StrEnum):
    """Where in the conversation a reply came."""

    CONNECT = "connect"
    HELLO = "hello"
    LOGIN = "login"
    SENDER = "sender"
    """MAIL FROM."""
    ADDRESS = "address"
    """RCPT TO."""
    CONTENT = "content"
    """DATA and what follows."""


# RFC 5321 section 4.2.1: 4yz may work later, 5yz will not. What a 5yz is about depends on the command it answers.
_PERMANENT = {
    Stage.CONNECT: ErrorClass.CONFIGURATION,
    Stage.HELLO: ErrorClass.CONFIGURATION,
    Stage.LOGIN: ErrorClass.AUTH,
    Stage.SENDER: ErrorClass.CONFIGURATION,
    Stage.ADDRESS: ErrorClass.REJECTED,
    Stage.CONTENT: ErrorClass.REJECTED,
}
_AUTH_CODES = frozenset({530, 534, 535, 538})
"""RFC 4954 section 6; 530 is also RFC 3207's "Must issue a STARTTLS command first"."""
_RELAYING = re.compile(r"\brelay", re.IGNORECASE)
"""A server that does not carry our mail says so of each address; that is no fault of the address."""
_ADDRESS = re.compile(r"[^\s\"'<>,;]+@[^\s\"'<>,;]+")
_QUEUED = re.compile(r"queued (?:mail )?(?:as|for delivery as)\s+<?([^\s>]+)", re.IGNORECASE)
_ENVELOPE = re.compile(r"[^\s<>\x00-\x1f\x7f]+@[^\s<>\x00-\x1f\x7f]+")


class SmtpRefusedError(Exception):
    """The email, or the session, was certainly not taken."""

    def __init__(self, error: ErrorClass, detail: str, *, usable: bool, stale: bool = False) -> None:
        super().__init__(detail)
        self.error = error
        self.detail = detail
        self.usable = usable
        """Whether the session may carry another email."""
        self.stale = stale
        """Whether the connection, and not the email, is what failed."""


class SmtpDoubtError(Exception):
    """The whole email left and no answer came."""


def classify(stage: Stage, code: int, text: str) -> ErrorClass:
    """The class of a reply that is no success."""
    if not 500 <= code < 600:
        return ErrorClass.RETRIABLE
    if code in _AUTH_CODES:
        return ErrorClass.AUTH
    if stage is Stage.ADDRESS and _RELAYING.search(text):
        return ErrorClass.CONFIGURATION
    return _PERMANENT[stage]


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """Who sends and who receives, as the server is told."""

    sender: str
    recipient: str
    utf8: bool = False
    """Whether an address in it, or in the email's headers, is not ASCII (RFC 6531)."""


class SmtpSession:
    """An open, greeted, protected and logged-in connection."""

    def __init__(self, settings: SmtpSettings, tls: ssl.SSLContext) -> None:
        """Connects. Raises SmtpRefusedError."""
        self._settings = settings
        self.idle_since = 0.0
        self.used = False
        try:
            self._smtp = self._connect(tls)
        except SmtpRefusedError:
            raise
        except smtplib.SMTPResponseException as error:
            raise _refused(Stage.CONNECT, error.smtp_code, error.smtp_error) from error
        except socket.gaierror as error:
            raise _broken("the server's name was not found") from error
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or "no reason given"
            raise _broken(f"TLS failed ({why})") from error
        except (OSError, smtplib.SMTPException) as error:
            raise _broken(f"no connection ({type(error).__name__})") from error

    def _connect(self, tls: ssl.SSLContext) -> smtplib.SMTP:
        settings = self._settings
        name = settings.hello_name or socket.gethostname()
        smtp: smtplib.SMTP
        if settings.tls is Tls.IMPLICIT:
            smtp = smtplib.SMTP_SSL(
                settings.host, settings.real_port, name, timeout=settings.connect_timeout, context=tls
            )
        else:
            smtp = smtplib.SMTP(settings.host, settings.real_port, name, timeout=settings.connect_timeout)
        try:
            self._greet(smtp, tls)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _greet(self, smtp: smtplib.SMTP, tls: ssl.SSLContext) -> None:
        settings = self._settings
        if smtp.sock is not None:
            # The final dot is a write of its own; without this it would wait for the server's delayed ACK.
            smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in give_up(settings.reply_timeout):
                smtp.sock.setsockopt(*option)
            smtp.sock.settimeout(settings.reply_timeout)
        _expect(Stage.HELLO, smtp.ehlo())
        if settings.tls is Tls.STARTTLS:
            if smtp.has_extn("starttls"):
                _expect(Stage.HELLO, smtp.starttls(context=tls))
                _expect(Stage.HELLO, smtp.ehlo())
            elif not is_loopback(settings.host):
                raise SmtpRefusedError(
                    ErrorClass.CONFIGURATION,
                    "the server offers no STARTTLS, and nothing is sent in clear",
                    usable=False,
                )
        if settings.username:
            try:
                smtp.login(settings.username, settings.password.get_secret_value())
            except smtplib.SMTPNotSupportedError as error:
                raise SmtpRefusedError(ErrorClass.CONFIGURATION, "the server offers no login", usable=False) from error
            except smtplib.SMTPAuthenticationError as error:
                raise _refused(Stage.LOGIN, error.smtp_code, error.smtp_error) from error

    def is_alive(self) -> bool:
        """Whether nothing waits to be read: at rest, anything to read is a parting 421 or the end."""
        sock = self._smtp.sock
        if sock is None:
            return False
        if not hasattr(select, "poll"):
            return True
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return not poll.poll(0)

    def transmit(self, envelope: Envelope, content: bytes) -> str:
        """Hand over one email; the server's own id of it, "" when it gave none.

        Raises SmtpRefusedError when it was certainly not taken, SmtpDoubtError when that is not known.
        """
        if not _ENVELOPE.fullmatch(envelope.sender):
            raise SmtpRefusedError(ErrorClass.CONFIGURATION, "sender: the address cannot be written", usable=True)
        if not _ENVELOPE.fullmatch(envelope.recipient):
            raise SmtpRefusedError(ErrorClass.REJECTED, "address: it cannot be written", usable=True)
        if envelope.utf8 and not self._smtp.has_extn("smtputf8"):
            raise SmtpRefusedError(
                ErrorClass.REJECTED, "address: the server carries none beyond ASCII (SMTPUTF8)", usable=True
            )
        self.used = True
        options = " SMTPUTF8 BODY=8BITMIME" if envelope.utf8 else ""
        try:
            self._smtp.command_encoding = "utf-8" if envelope.utf8 else "ascii"
            _expect(Stage.SENDER, self._smtp.docmd("MAIL", f"FROM:<{envelope.sender}>{options}"))
            _expect(Stage.ADDRESS, self._smtp.docmd("RCPT", f"TO:<{envelope.recipient}>"))
            _expect(Stage.CONTENT, self._smtp.docmd("DATA"), wanted=354)
            # Until the final dot the server must not take it (RFC 5321 section 4.1.1.4).
            self._smtp.send(_stuff(content))
        except SmtpRefusedError as error:
            error.usable = error.usable and self._reset()
            raise
        except (OSError, smtplib.SMTPException) as error:
            raise _broken(f"the connection was lost before the end of the email ({type(error).__name__})") from error
        return self._finish()

    def _finish(self) -> str:
        sock = self._smtp.sock
        try:
            if sock is not None:
                sock.settimeout(self._settings.final_timeout)
            self._smtp.send(b".\r\n")
            code, said = self._smtp.getreply()
            if sock is not None:
                sock.settimeout(self._settings.reply_timeout)
        except (OSError, smtplib.SMTPException) as error:
            # smtplib turns a time-out into a lost connection.
            if isinstance(error.__context__, TimeoutError):
                raise SmtpDoubtError(f"no answer to the whole email in {self._settings.final_timeout:g} s") from error
            raise SmtpDoubtError(f"the connection was lost after the whole email ({type(error).__name__})") from error
        text = said.decode("utf-8", "replace")
        if 200 <= code < 300:
            found = _QUEUED.search(text)
            return found.group(1) if found else ""
        if 400 <= code < 600:
            raise _refused(Stage.CONTENT, code, said)
        raise SmtpDoubtError(f"the answer to the whole email was not SMTP ({code})")

    def _reset(self) -> bool:
        """Take back what was begun. False when the session is of no further use."""
        try:
            code, _ = self._smtp.docmd("RSET")
        except (OSError, smtplib.SMTPException):
            return False
        return code == 250

    def close(self) -> None:
        """Say goodbye without waiting for an answer. Raises nothing."""
        try:
            self._smtp.putcmd("QUIT")
        except (OSError, smtplib.SMTPException):
            pass
        finally:
            self._smtp.close()


def _expect(stage: Stage, reply: tuple[int, bytes], *, wanted: int | None = None) -> None:
    code, said = reply
    good = code == wanted if wanted is not None else 200 <= code < 300
    if not good:
        raise _refused(stage, code, said)


def _refused(stage: Stage, code: int, said: bytes | str) -> SmtpRefusedError:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    detail = f"{stage.value}: {code} {_ADDRESS.sub('(address)', ' '.join(text.split()))}"[:255]
    # 421 announces that the server closes the connection (RFC 5321 section 3.8).
    return SmtpRefusedError(classify(stage, code, text), detail, usable=code != 421, stale=code == 421)


def _broken(why: str) -> SmtpRefusedError:
    return SmtpRefusedError(ErrorClass.RETRIABLE, why, usable=False, stale=True)


def _stuff(content: bytes) -> bytes:
    """The content with dots doubled at line starts and a line end at its end (RFC 5321 section 4.5.2)."""
    stuffed = re.sub(rb"(?m)^\.", b"..", content)
    return stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n"
