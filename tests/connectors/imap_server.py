"""A small IMAP server on loopback that keeps strictly to RFC 3501, tells on whoever changes anything, and misbehaves.

Stricter than real ones: a search sees only what was announced to its connection, and announcements are made only where
the RFC lets a server make them.
"""

from __future__ import annotations

import base64
import re
import socket
import socketserver
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

USERNAME, PASSWORD, TOKEN = "rep", 'correct "horse\\', "ya29.token"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(kw_only=True)
class Mail:
    """One email in the folder."""

    uid: int
    raw: bytes
    arrived_at: datetime
    claimed: int | None = None
    """Bytes that RFC822.SIZE tells, where they are not the true ones."""


@dataclass(kw_only=True)
class Manners:
    """How the server behaves; everything may be changed while it runs."""

    capabilities: str = "IMAP4rev1 IDLE AUTH=PLAIN AUTH=XOAUTH2"
    login_answer: str = ""
    """Said in place of OK."""
    folders: tuple[str, ...] = ("INBOX",)
    tells_uidnext: bool = True
    tells_uidvalidity: bool = True
    refused: frozenset[int] = frozenset()
    """UIDs whose FETCH is answered NO."""
    says: dict[str, bytes] = field(default_factory=dict)
    """What a command is answered with, in place of everything else; %T stands for the tag."""
    cuts: set[str] = field(default_factory=set)
    """Commands upon which the connection is cut, each once."""
    greeting: bytes = b"* OK [CAPABILITY %C] ready\r\n"
    refuses_idle: bool = False
    after_starttls: bytes = b""
    """Said in clear behind the OK of STARTTLS, as somebody on the way would."""
    idles_coalesced: bool = False
    """The continuation of IDLE and what is new share a packet."""


class ImapServer:
    """One account with one folder in which emails arrive."""

    def __init__(self, *, implicit: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None) -> None:
        self.manners = Manners()
        if starttls is not None:
            self.manners.capabilities = "IMAP4rev1 IDLE STARTTLS LOGINDISABLED"
        self.commands: list[str] = []
        """Every command, without tags and secrets."""
        self.violations: list[str] = []
        """Commands that would change something."""
        self.resting = threading.Event()
        """Set while somebody idles."""
        self.uidvalidity = 1_700_000_000
        self.mails: list[Mail] = []
        self.lock = threading.RLock()
        self.connections: list[_Connection] = []
        self._next = 1
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                sock = self.request
                try:
                    if implicit is not None:
                        sock = implicit.wrap_socket(sock, server_side=True)
                    _Connection(server, sock, starttls).run()
                except (OSError, ValueError):
                    pass
                finally:
                    sock.close()

        class Tcp(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

        self._tcp = Tcp(("127.0.0.1", 0), Handler)
        self.port: int = self._tcp.server_address[1]
        self._thread = threading.Thread(target=self._tcp.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def next_uid(self) -> int:
        """As UIDNEXT tells it."""
        return self._next

    def deliver(self, raw: bytes, *, arrived_at: datetime | None = None, claimed: int | None = None) -> None:
        """An email arrives."""
        with self.lock:
            at = arrived_at or datetime.now(UTC)
            self.mails.append(Mail(uid=self._next, raw=raw, arrived_at=at, claimed=claimed))
            self._next += 1
            for connection in self.connections:
                connection.announce_if_idle()

    def expunge(self, uid: int) -> None:
        """Somebody deletes an email elsewhere."""
        with self.lock:
            self.mails = [mail for mail in self.mails if mail.uid != uid]

    def renumber(self) -> None:
        """New UIDVALIDITY, new UIDs; whoever is connected is sent away, as the RFC demands."""
        with self.lock:
            self.uidvalidity += 1
            for number, mail in enumerate(self.mails, 1):
                mail.uid = number
            self._next = len(self.mails) + 1
        self.hang_up()

    def say(self, line: bytes) -> None:
        """Say something unasked on every connection."""
        with self.lock:
            for connection in self.connections:
                connection.write(line)

    def hang_up(self) -> None:
        """Cut every connection."""
        with self.lock:
            for connection in list(self.connections):
                connection.cut()

    def stop(self) -> None:
        """Cut every connection and listen no more."""
        if self._thread.is_alive():
            self._tcp.shutdown()
            self._thread.join()
        self._tcp.server_close()
        self.hang_up()

    def revoke(self) -> None:
        """Refuse every login."""
        self.manners.login_answer = "NO [AUTHENTICATIONFAILED] Authentication failed for rep@example.com."

    def is_untouched(self) -> bool:
        """Whether nobody tried to change anything."""
        return not self.violations


class _Connection:
    """One client."""

    def __init__(self, server: ImapServer, sock: socket.socket, starttls: ssl.SSLContext | None) -> None:
        self._server = server
        self._sock = sock
        self._starttls = starttls
        self._buffer = b""
        self._idle = False
        self._known: list[Mail] = []
        self._selected = False
        self._logged_in = False

    def run(self) -> None:
        with self._server.lock:
            self._server.connections.append(self)
        try:
            self.write(self._server.manners.greeting.replace(b"%C", self._server.manners.capabilities.encode()))
            while (line := self._read_line()) is not None:
                if not self._do(line):
                    return
        finally:
            with self._server.lock:
                self._server.connections.remove(self)

    def cut(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def write(self, data: bytes) -> None:
        with suppress(OSError):
            self._sock.sendall(data)

    def _read_line(self) -> bytes | None:
        while b"\r\n" not in self._buffer:
            data = self._sock.recv(65536)
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    # --- commands -----------------------------------------------------------------------------------------------------

    def _do(self, line: bytes) -> bool:
        manners = self._server.manners
        tag, _, rest = line.decode("utf-8").partition(" ")
        word = rest.split(" ", 2)
        name = f"UID {word[1].upper()}" if word[0].upper() == "UID" and len(word) > 1 else word[0].upper()
        self._server.commands.append(name if name in ("LOGIN", "AUTHENTICATE") else rest)
        if name in manners.cuts:
            manners.cuts.discard(name)
            self.cut()
            return False
        if name in manners.says:
            self.write(manners.says[name].replace(b"%T", tag.encode()))
            return True
        if name == "LOGOUT":
            self.write(f"* BYE\r\n{tag} OK\r\n".encode())
            return False
        handler = _HANDLERS.get(name)
        if handler is None:
            self._server.violations.append(rest)
            self.write(f"{tag} BAD no such command\r\n".encode())
            return True
        handler(self, tag, rest)
        return True

    def _capability(self, tag: str, _: str) -> None:
        self.write(f"* CAPABILITY {self._server.manners.capabilities}\r\n{tag} OK done\r\n".encode())

    def _start_tls(self, tag: str, _: str) -> None:
        assert self._starttls is not None
        self.write(f"{tag} OK begin\r\n".encode() + self._server.manners.after_starttls)
        self._sock = self._starttls.wrap_socket(self._sock, server_side=True)
        self._server.manners.capabilities = "IMAP4rev1 IDLE AUTH=PLAIN"

    def _login(self, tag: str, rest: str) -> None:
        values = [re.sub(r"\\(.)", r"\1", one) for one in re.findall(r'"((?:[^"\\]|\\.)*)"', rest)]
        self._conclude_login(tag, allowed=values == [USERNAME, PASSWORD])

    def _authenticate(self, tag: str, rest: str) -> None:
        mechanism = rest.split(" ")[1].upper()
        self.write(b"+ \r\n")
        said = base64.b64decode(self._read_line() or b"").decode()
        if mechanism == "PLAIN":
            self._conclude_login(tag, allowed=said == f"\0{USERNAME}\0{PASSWORD}")
            return
        allowed = said == f"user={USERNAME}\1auth=Bearer {TOKEN}\1\1"
        if not allowed:  # XOAUTH2 says why in a question, to which the answer is empty
            self.write(b"+ " + base64.b64encode(b'{"status":"400"}') + b"\r\n")
            assert self._read_line() == b""
        self._conclude_login(tag, allowed=allowed)

    def _conclude_login(self, tag: str, *, allowed: bool) -> None:
        answer = self._server.manners.login_answer or (
            "OK logged in" if allowed else "NO [AUTHENTICATIONFAILED] Authentication failed."
        )
        self._logged_in = answer.startswith("OK")
        self.write(f"{tag} {answer}\r\n".encode())

    def _examine(self, tag: str, rest: str) -> None:
        assert self._logged_in
        folder = rest.split(" ", 1)[1].strip('"')
        manners = self._server.manners
        if folder not in manners.folders:
            self.write(f"{tag} NO [NONEXISTENT] Mailbox doesn't exist: {folder}\r\n".encode())
            return
        with self._server.lock:
            self._known = list(self._server.mails)
            lines = [f"* {len(self._known)} EXISTS", "* 0 RECENT", "* FLAGS (\\Seen \\Deleted)"]
            if manners.tells_uidvalidity:
                lines.append(f"* OK [UIDVALIDITY {self._server.uidvalidity}] valid")
            if manners.tells_uidnext:
                lines.append(f"* OK [UIDNEXT {self._server.next_uid}] next")
        self._selected = True
        self.write("".join(f"{line}\r\n" for line in [*lines, f"{tag} OK [READ-ONLY] done"]).encode())

    def _noop(self, tag: str, _: str) -> None:
        self.write(self._announcement() + f"{tag} OK done\r\n".encode())

    def _announcement(self) -> bytes:
        with self._server.lock:
            if not self._selected or self._known == self._server.mails:
                return b""
            self._known = list(self._server.mails)
            return f"* {len(self._known)} EXISTS\r\n".encode()

    def _search(self, tag: str, rest: str) -> None:
        criteria = rest.split(" ", 2)[2]
        uids = [mail.uid for mail in self._known if self._matches(mail, criteria)]
        self.write(f"* SEARCH {' '.join(map(str, uids))}\r\n{tag} OK done\r\n".encode())

    def _matches(self, mail: Mail, criteria: str) -> bool:
        if since := re.fullmatch(r"SINCE (\d+)-(\w{3})-(\d{4})", criteria):
            day, month, year = since.groups()
            return mail.arrived_at.date() >= datetime(int(year), MONTHS.index(month) + 1, int(day), tzinfo=UTC).date()
        last = self._known[-1].uid
        first, upper = re.fullmatch(r"UID (\d+|\*):(\d+|\*)", criteria).groups()
        low, high = sorted(last if one == "*" else int(one) for one in (first, upper))
        return low <= mail.uid <= high  # so that 9:* names the last email where it is number 5

    def _fetch(self, tag: str, rest: str) -> None:
        found = re.fullmatch(r"UID FETCH (\d+) \(UID RFC822\.SIZE INTERNALDATE BODY\.PEEK\[\]<0\.(\d+)>\)", rest)
        if found is None:
            self._server.violations.append(rest)
            self.write(f"{tag} BAD what is that\r\n".encode())
            return
        uid, limit = map(int, found.groups())
        if uid in self._server.manners.refused:
            self.write(f"{tag} NO [SERVERBUG] the file of rep@example.com is broken\r\n".encode())
            return
        # Flags that somebody sets elsewhere come in between.
        answer = b"* 1 FETCH (FLAGS (\\Answered))\r\n"
        with self._server.lock:
            number, mail = next(((n, m) for n, m in enumerate(self._server.mails, 1) if m.uid == uid), (0, None))
        if mail is not None:
            at = mail.arrived_at
            day = f"{at.day:2d}-{MONTHS[at.month - 1]}-{at.year} {at:%H:%M:%S} +0000"
            body = mail.raw[:limit]
            size = mail.claimed if mail.claimed is not None else len(mail.raw)
            head = f'* {number} FETCH (RFC822.SIZE {size} INTERNALDATE "{day}" BODY[]<0> {{{len(body)}}}\r\n'
            answer += head.encode() + body + f" UID {uid})\r\n".encode()
        self.write(answer + f"{tag} OK done\r\n".encode())

    def _idle_until_done(self, tag: str, _: str) -> None:
        manners = self._server.manners
        if manners.refuses_idle:
            self.write(f"{tag} BAD not today\r\n".encode())
            return
        with self._server.lock:
            self._idle = True
            news = self._announcement()
            self.write(b"+ idling\r\n" + news if manners.idles_coalesced else b"+ idling\r\n")
            if news and not manners.idles_coalesced:
                self.write(news)
            self._server.resting.set()
        line = self._read_line()
        with self._server.lock:
            self._idle = False
            self._server.resting.clear()
        if line is not None:
            self.write(f"{tag} OK done\r\n".encode() if line == b"DONE" else f"{tag} BAD\r\n".encode())

    def announce_if_idle(self) -> None:
        """With the server's lock held."""
        if self._idle:
            self.write(self._announcement())


_HANDLERS = {
    "CAPABILITY": _Connection._capability,
    "STARTTLS": _Connection._start_tls,
    "LOGIN": _Connection._login,
    "AUTHENTICATE": _Connection._authenticate,
    "EXAMINE": _Connection._examine,
    "NOOP": _Connection._noop,
    "UID SEARCH": _Connection._search,
    "UID FETCH": _Connection._fetch,
    "IDLE": _Connection._idle_until_done,
}
