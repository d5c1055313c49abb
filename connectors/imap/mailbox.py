"""The Mailbox port over IMAP: one folder of one account, on one connection that is opened when it is needed."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from connectors.imap.cursor import Position, parse_position
from connectors.imap.identity import identify_mail
from connectors.imap.session import Fetched, ImapSession, MailRefusedError
from connectors.imap.settings import ImapSettings, build_tls
from crmdrip.core.errors import CrmdripError, RetriableError
from crmdrip.ports import Clock, MailPage, RawMail

PAGE_MAILS = 50
PAGE_BYTES = 8 * 1024 * 1024
"""So much is in memory at once, and one email more."""

RENUMBERED_MOST = 5000
"""Mails that are read again at most when a server numbers a folder anew: the newest."""

ALIVE_SECONDS = 8.0
"""For the answer of a connection that rested. One whose other end is gone without a word is given up after them."""

REFUSALS = 5
"""How often one email is asked for that the server does not give, before it is passed over."""


class ImapMailbox:
    """Reads one folder and changes nothing in it."""

    def __init__(self, settings: ImapSettings, account: str, folder: str, clock: Clock) -> None:
        """Makes no call. Raises ConfigurationError when ca_file holds no certificate."""
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._tls = build_tls(settings)
        self._session: ImapSession | None = None
        self._refusals: Counter[int] = Counter()
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)
        self.name = account if folder.upper() == "INBOX" else f"{account}/{folder}"
        self.source = f"imap:{account}"

    def drain(self, cursor: str | None, within: float) -> Iterator[MailPage]:
        """Everything that is in the folder beyond the cursor. See the port."""
        try:
            session = self._open(within)
            yield from self._read(session, parse_position(cursor) if cursor is not None else None, within)
        except CrmdripError as error:
            self._drop()
            if isinstance(error, MailRefusedError):
                raise RetriableError(error.what, where=error.where) from error
            raise

    def rest(self) -> None:
        """Wait for news. See the port."""
        try:
            if self._session is not None:
                self._session.rest(self._ear)
        except CrmdripError:
            self._drop()
            raise
        finally:
            self._hush()

    def wake(self) -> None:
        """End the rest. See the port."""
        try:
            self._bell.send(b"!")
        except OSError:
            return  # it rings already, or is closed

    def close(self) -> None:
        """Give back the connection. See the port."""
        self._drop()
        self._ear.close()
        self._bell.close()

    def _hush(self) -> None:
        try:
            while self._ear.recv(4096):
                pass
        except OSError:
            return  # nothing more

    def _open(self, within: float) -> ImapSession:
        """The session, certainly alive: it answered just now."""
        if self._session is not None:
            try:
                self._session.check_alive(min(within, ALIVE_SECONDS))
            except RetriableError:  # it ended while nobody looked
                self._drop()
        if self._session is None:
            self._session = ImapSession(self._settings, self._tls, self._folder, within=within)
        self._session.allow(within)
        return self._session

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self, session: ImapSession, known: Position | None, within: float) -> Iterator[MailPage]:
        today = self._clock.now().date()
        if known is not None and known.uidvalidity == session.uidvalidity:
            uids, told, reached = session.search_after(known.uid), list[str](), known.uid
        else:
            uids, told = self._begin(session, known, today)
            reached = session.highest
        mails: list[RawMail] = []
        size = 0
        here = known
        for uid in uids:
            try:
                mail, note = self._fetch(session, uid)
            except MailRefusedError:
                if here is not None and mails:
                    yield MailPage(mails=tuple(mails), cursor=str(here), notes=tuple(told))
                raise
            here = Position(uidvalidity=session.uidvalidity, uid=uid, day=today)
            told += [note] if note else []
            if mail is not None:
                mails.append(mail)
                size += len(mail.body)
            if len(mails) >= PAGE_MAILS or size >= PAGE_BYTES:
                yield MailPage(mails=tuple(mails), cursor=str(here), notes=tuple(told))
                mails, told, size = [], [], 0
                session.allow(within)
        end = Position(uidvalidity=session.uidvalidity, uid=max([reached, *uids[-1:]]), day=today)
        if mails or told or end != known:
            yield MailPage(mails=tuple(mails), cursor=str(end), notes=tuple(told))

    def _begin(self, session: ImapSession, known: Position | None, today: date) -> tuple[list[int], list[str]]:
        """What to read of a folder that was never read under these numbers."""
        if known is None:
            return session.search_since(today - timedelta(days=self._settings.look_back_days)), []
        # Days are the server's own, and a restored mailbox may be a little behind.
        uids = session.search_since(known.day - timedelta(days=2))
        note = f"the server numbered its mails anew: {min(len(uids), RENUMBERED_MOST)} of {len(uids)} are read again"
        return uids[-RENUMBERED_MOST:], [note]

    def _fetch(self, session: ImapSession, uid: int) -> tuple[RawMail | None, str]:
        """The email, None when there is none, and what people should know about it."""
        try:
            fetched = session.fetch(uid)
        except MailRefusedError as error:
            self._refusals[uid] += 1
            if self._refusals[uid] < REFUSALS:
                raise
            del self._refusals[uid]
            return None, f"{error.what}: it is passed over after {REFUSALS} attempts"
        self._refusals.pop(uid, None)
        if fetched is None:
            return None, ""
        return self._mail(fetched), self._note(fetched, uid)

    def _mail(self, fetched: Fetched) -> RawMail:
        now = self._clock.now()
        arrived: datetime = min(fetched.arrived_at or now, now)
        return RawMail(
            source=self.source,
            key=identify_mail(fetched.body),
            body=fetched.body[: self._settings.size_limit],
            received_at=arrived,
        )

    def _note(self, fetched: Fetched, uid: int) -> str:
        limit = self._settings.size_limit
        if fetched.size <= limit:
            return ""
        return f"email {uid} has {fetched.size} bytes, of which the first {limit} are read"
