"""A logged-in connection to one folder, opened with EXAMINE: whatever is read here, no flag changes and nothing goes.

Every failure leaves as a member of the taxonomy, with the server's words and without addresses.
"""

from __future__ import annotations

import base64
import imaplib
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from connectors.imap.settings import ImapSettings, Tls, read_token
from connectors.imap.wire import IdleRefusedError, Wire
from crmdrip.core.errors import AuthError, ConfigurationError, CrmdripError, RateLimitedError, RetriableError

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""As RFC 3501 writes them; strftime's depend on the locale."""

_CODE = re.compile(r"\[([A-Z-]+)")
_ADDRESS = re.compile(r"[^\s\"'<>,;()]+@[^\s\"'<>,;()]+")
_UID = re.compile(rb"\bUID +(\d+)", re.IGNORECASE)
_SIZE = re.compile(rb"\bRFC822\.SIZE +(\d+)", re.IGNORECASE)
_ARRIVED = re.compile(rb'\bINTERNALDATE +"([^"]+)"', re.IGNORECASE)
_BODY = re.compile(rb"\bBODY\[\](?:<\d+>)? +(?:~?\{\d+\}|(\"(?:[^\"\\]|\\.)*\"|NIL))", re.IGNORECASE)


class MailRefusedError(RetriableError):
    """The server refused one email, and the connection goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """One email as the server gave it."""

    body: bytes
    size: int
    """Of the whole email, as the server says."""
    arrived_at: datetime | None
    """Aware UTC; None where the server told none that can be read."""


class ImapSession:
    """Greeted, protected, logged in, with one folder open for reading."""

    def __init__(self, settings: ImapSettings, tls: ssl.SSLContext, folder: str, *, within: float) -> None:
        """Connects. Raises AuthError, ConfigurationError, RateLimitedError and RetriableError.

        within: seconds for all of it, besides the look-up of the server's name.
        """
        self._settings = settings
        self.where = f"{settings.host}:{settings.real_port}"
        with self._translated():
            self._wire = Wire(
                settings.host,
                settings.real_port,
                tls=tls if settings.tls is Tls.IMPLICIT else None,
                connect=min(settings.connect_timeout, within),
                within=within,
                reply=settings.reply_timeout,
                literal=settings.size_limit + 65536,
            )
        try:
            with self._translated():
                if settings.tls is Tls.STARTTLS:
                    self._protect(tls)
                self._login()
                self.capabilities = self._ask_capabilities()
                self.uidvalidity, self.highest = self._examine(folder)
        except BaseException:
            self.close()
            raise

    @property
    def idles(self) -> bool:
        """Whether the server tells of new mail by itself."""
        return "IDLE" in self.capabilities

    def allow(self, seconds: float) -> None:
        """What is asked from now on may take so long altogether."""
        self._wire.deadline = time.monotonic() + seconds

    def check_alive(self, within: float) -> None:
        """The server answers, and has told whatever is new. Raises RetriableError."""
        self.allow(within)
        with self._translated():
            self._wire.noop()
            self._wire.untagged_responses.clear()  # else every mail's announcement is kept as long as the connection

    def search_since(self, day: date) -> list[int]:
        """The UIDs of the mails that came on the day or later, ascending. Raises RetriableError."""
        return self._search(f"SINCE {day.day}-{MONTHS[day.month - 1]}-{day.year:04}")

    def search_after(self, uid: int) -> list[int]:
        """The UIDs above one, ascending. Raises RetriableError."""
        # "n:*" names the last email of the folder even where its UID is below n (RFC 3501 section 6.4.8).
        return [one for one in self._search(f"UID {uid + 1}:*") if one > uid]

    def fetch(self, uid: int) -> Fetched | None:
        """One email, at most size_limit bytes of it; None when it is gone.

        Raises MailRefusedError when the server does not give this one, though it has it, and RetriableError.
        """
        limit = self._settings.size_limit
        # PEEK and EXAMINE each keep \\Seen as it is.
        items = f"(UID RFC822.SIZE INTERNALDATE BODY.PEEK[]<0.{limit}>)"
        with self._translated():
            status, data = self._wire.uid("FETCH", str(uid), items)
            self._wire.untagged_responses.clear()
        if status != "OK":
            raise MailRefusedError(f"email {uid} is not given ({_words(data)})", where=self.where)
        fetched = _read_fetch(data, uid)
        if fetched is not None and fetched.body:
            return fetched
        # OK without the email is how a server says that somebody deleted it meanwhile (RFC 3501 section 6.4.8). It may
        # be said as well of one that cannot be read just now: taken for gone, a person's answer would be passed over.
        with self._translated():
            self._wire.noop()  # upon which a server tells what was deleted: only then a search leaves it out
        if uid in self._search(f"UID {uid}:{uid}"):
            raise MailRefusedError(f"email {uid} is not given (the server says OK without it)", where=self.where)
        return None

    def rest(self, wake: socket.socket) -> None:
        """Wait for news, or for wake, and no longer than the settings say. Raises RetriableError."""
        with self._translated():
            if self.idles:
                try:
                    self._wire.idle_until_news(self._settings.idle_seconds, wake)
                except IdleRefusedError:
                    self.capabilities -= {"IDLE"}
                else:
                    return
            self._wire.wait(self._settings.poll_seconds, wake)

    def close(self) -> None:
        """Say goodbye without waiting for an answer. Raises nothing."""
        with suppress(OSError, imaplib.IMAP4.error):
            self.allow(1)
            self._wire.send(b"BYE LOGOUT\r\n")
        with suppress(OSError):
            self._wire.shutdown()

    # --- opening ------------------------------------------------------------------------------------------------------

    def _protect(self, tls: ssl.SSLContext) -> None:
        if "STARTTLS" not in self._wire.capabilities:
            raise ConfigurationError(
                "the server offers no STARTTLS, and nothing is read in clear.",
                where=self.where,
                do_next='Set tls = "implicit".',
            )
        self._wire.starttls(ssl_context=tls)

    def _login(self) -> None:
        settings, wire = self._settings, self._wire
        token, password = read_token(settings), settings.password.get_secret_value()
        offered = {str(one).upper() for one in wire.capabilities}
        try:
            if token:
                _authenticate(wire, "XOAUTH2", f"user={settings.username}\1auth=Bearer {token}\1\1")
            elif "AUTH=PLAIN" in offered:  # which takes any character, as LOGIN does not
                _authenticate(wire, "PLAIN", f"\0{settings.username}\0{password}")
            elif "LOGINDISABLED" in offered:
                raise ConfigurationError(
                    "the server takes no password over this connection.",
                    where=self.where,
                    do_next='Set tls = "implicit", or give a token.',
                )
            elif not f"{settings.username}{password}".isascii():
                raise ConfigurationError("the server takes no password beyond ASCII.", where=self.where)
            else:
                wire.login(_quote(settings.username), password)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            raise self._refusal(_words(error.args), AuthError) from error

    def _ask_capabilities(self) -> frozenset[str]:
        """As they are after the login, which often offers more."""
        _, data = self._wire.capability()
        text = b" ".join(one for one in data if isinstance(one, bytes))
        return frozenset(text.decode("ascii", "replace").upper().split())

    def _examine(self, folder: str) -> tuple[int, int]:
        """UIDVALIDITY and the highest UID given so far."""
        wire = self._wire
        status, data = wire.select(_quote(encode_folder(folder)), readonly=True)
        if status != "OK":
            error = self._refusal(f"the folder {folder!r} cannot be opened ({_words(data)}).", ConfigurationError)
            error.do_next = error.do_next or "Correct folders. Some servers put INBOX. or INBOX/ before their names."
            raise error
        validity, following = _number(wire.response("UIDVALIDITY")), _number(wire.response("UIDNEXT"))
        wire.untagged_responses.clear()
        if validity is None:
            raise ConfigurationError("the server gives mails no lasting numbers (UIDVALIDITY).", where=self.where)
        if following is None:  # allowed by RFC 3501, where the folder has to be asked
            return validity, max(self._search("UID *:*"), default=0)
        return validity, following - 1

    # --- asking -------------------------------------------------------------------------------------------------------

    def _search(self, criteria: str) -> list[int]:
        with self._translated():
            status, data = self._wire.uid("SEARCH", criteria)
            self._wire.untagged_responses.clear()
            if status != "OK":
                raise self._refusal(f"a search is refused ({_words(data)})", RetriableError)
            words = b" ".join(one for one in data if isinstance(one, bytes)).split()
            return sorted({int(word) for word in words if word.isdigit()})

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Whatever goes wrong inside, in the taxonomy's words."""
        try:
            yield
        except CrmdripError:
            raise
        except TimeoutError as error:
            raise RetriableError("the server does not answer in time", where=self.where) from error
        except socket.gaierror as error:
            raise RetriableError("the server's name was not found", where=self.where) from error
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or "no reason given"
            raise RetriableError(f"TLS failed ({why})", where=self.where) from error
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise RetriableError(f"no connection ({why})", where=self.where) from error
        except imaplib.IMAP4.abort as error:
            raise self._refusal(f"the connection was lost ({_words(error.args)})", RetriableError) from error
        except imaplib.IMAP4.error as error:
            raise self._refusal(f"a command is refused ({_words(error.args)})", RetriableError) from error
        except (ValueError, TypeError, AttributeError, IndexError, KeyError, RecursionError) as error:
            # imaplib's ways of stumbling over an answer that is no IMAP.
            why = type(error).__name__
            raise RetriableError(f"the server's answer is no IMAP ({why})", where=self.where) from error

    def _refusal(self, text: str, usual: type[CrmdripError]) -> CrmdripError:
        """By the response code of RFC 5530 where there is one, else as is usual for what was asked."""
        found = _CODE.search(text)
        code = found.group(1) if found else ""
        kind = _KINDS.get(code, usual)
        do_next = ""
        if kind is AuthError:
            text = f"the login is refused ({text})."
            do_next = "Check username, and password or token."
        return kind(text, where=self.where, do_next=do_next)


_KINDS: dict[str, type[CrmdripError]] = {
    "AUTHENTICATIONFAILED": AuthError,
    "AUTHORIZATIONFAILED": AuthError,
    "EXPIRED": AuthError,
    "PRIVACYREQUIRED": ConfigurationError,
    "CONTACTADMIN": ConfigurationError,
    "NOPERM": ConfigurationError,
    "NONEXISTENT": ConfigurationError,
    "UNAVAILABLE": RetriableError,
    "INUSE": RetriableError,
    "SERVERBUG": RetriableError,
    "LIMIT": RateLimitedError,
    "OVERQUOTA": RateLimitedError,
    "THROTTLED": RateLimitedError,
}
"""RFC 5530; THROTTLED is Gmail's."""


def _authenticate(wire: Wire, mechanism: str, response: str) -> None:
    """SASL with one response. To a second question, XOAUTH2's way of saying no, the answer is empty."""
    answers = iter([response.encode()])
    wire.authenticate(mechanism, lambda _: next(answers, b""))


def encode_folder(name: str) -> str:
    """The name in the "modified UTF-7" of RFC 3501 section 5.1.3."""
    text, beyond = "", ""

    def shifted() -> str:
        coded = base64.b64encode(beyond.encode("utf-16-be")).decode("ascii").rstrip("=").replace("/", ",")
        return f"&{coded}-" if beyond else ""

    for character in name:
        if " " <= character <= "~":
            text += shifted() + ("&-" if character == "&" else character)
            beyond = ""
        else:
            beyond += character
    return text + shifted()


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _words(parts: Any) -> str:
    """The server's own words, short and without addresses."""
    texts = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in parts or () if one]
    return _ADDRESS.sub("(address)", " ".join(" ".join(texts).split()))[:200]


def _number(response: tuple[str, list[Any]]) -> int | None:
    values = [one for one in response[1] if isinstance(one, bytes) and one.isdigit()]
    return int(values[-1]) if values else None


def _read_fetch(data: list[Any], uid: int) -> Fetched | None:
    """The answer to one UID FETCH, among which others may stand that nobody asked for."""
    for number, part in enumerate(data):
        literal: bytes | None = None
        if isinstance(part, tuple):
            following = data[number + 1] if number + 1 < len(data) else b""
            text = part[0] + b" " + (following if isinstance(following, bytes) else b"")
            literal = part[1]
        elif isinstance(part, bytes):
            text = part
        else:
            continue
        told, found = _UID.search(text), _BODY.search(text)
        if told is None or int(told.group(1)) != uid or found is None:
            continue
        size, arrived = _SIZE.search(text), _ARRIVED.search(text)
        body = literal if literal is not None else _unquote(found.group(1))
        return Fetched(
            body=body,
            size=int(size.group(1)) if size else len(body),
            arrived_at=_read_time(arrived.group(1)) if arrived else None,
        )
    return None


def _unquote(text: bytes | None) -> bytes:
    """A short email may come as a quoted string, an empty one as NIL."""
    if text is None or not text.startswith(b'"'):
        return b""
    return re.sub(rb"\\(.)", rb"\1", text[1:-1])


def _read_time(text: bytes) -> datetime | None:
    try:
        return parsedate_to_datetime(text.decode("ascii", "replace").strip()).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
