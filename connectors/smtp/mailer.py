"""The Mailer port over SMTP: several sessions in threads, one transaction per email."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from queue import SimpleQueue

from connectors.smtp.mime import build_mime
from connectors.smtp.session import Envelope, SmtpDoubtError, SmtpRefusedError, SmtpSession
from connectors.smtp.settings import SmtpSettings, build_tls
from crmdrip.core.errors import ErrorClass, RejectedError
from crmdrip.ports import Capability, Clock, EmailMessage, Finding, LogFinding, SendOutcome, SendStatus


class SmtpMailer:
    """Hands emails to one mail server."""

    def __init__(self, settings: SmtpSettings, clock: Clock) -> None:
        """Makes no call. Raises ConfigurationError when ca_file holds no certificate."""
        self._settings = settings
        self._clock = clock
        self._sessions = _SessionPool(settings)

    def capabilities(self) -> frozenset[Capability]:
        """None: SMTP keeps no log that could be asked."""
        return frozenset()

    def send(self, messages: Iterable[EmailMessage]) -> Generator[SendOutcome, None, None]:
        """Hand over each message once, `connections` at a time. Begins at the first outcome asked for.

        Whoever stops asking stops the sending: what had not been begun then is not sent.
        """
        sending = _Sending(list(messages), self._settings, self._clock, self._sessions)
        sending.begin()
        try:
            yield from sending.outcomes()
        finally:
            sending.give_up()

    def find(self, touch_id: str, address: str, since: datetime) -> LogFinding:  # noqa: ARG002 - the port's signature
        """UNAVAILABLE: nobody can be asked."""
        return LogFinding(touch_id=touch_id, finding=Finding.UNAVAILABLE)

    def close(self) -> None:
        """Close the connections. An email under way is finished, none is begun."""
        self._sessions.close()


class _SessionPool:
    """Sessions at rest, the last used first."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._tls = build_tls(settings)
        self._lock = threading.Lock()
        self._idle: list[SmtpSession] = []
        self.closed = False

    def take(self) -> SmtpSession:
        """A session that was open a moment ago, or a new one. Raises SmtpRefusedError."""
        while True:
            with self._lock:
                session = self._idle.pop() if self._idle else None
            if session is None:
                return self.open()
            if time.monotonic() - session.idle_since <= self._settings.idle_timeout and session.is_alive():
                return session
            session.close()

    def open(self) -> SmtpSession:
        """A new session. Raises SmtpRefusedError."""
        return SmtpSession(self._settings, self._tls)

    def give_back(self, session: SmtpSession) -> None:
        """Keep a session for later."""
        session.idle_since = time.monotonic()
        with self._lock:
            if not self.closed:
                self._idle.append(session)
                return
        session.close()

    def close(self) -> None:
        """Close what rests, and keep nothing from now on."""
        with self._lock:
            self.closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()


class _Sending:
    """One call of send: worker threads that take messages until there are none."""

    def __init__(
        self, messages: list[EmailMessage], settings: SmtpSettings, clock: Clock, sessions: _SessionPool
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sessions = sessions
        self._total = len(messages)
        self._outcomes: SimpleQueue[SendOutcome] = SimpleQueue()
        self._lock = threading.Lock()
        """For the three below."""
        self._waiting = deque(messages)
        self._workers = 0
        self._called = False
        """Whether the first worker has started the others."""

    # the caller's thread

    def begin(self) -> None:
        """Start the first worker. It starts the others once it has a session: a wrong password is tried once."""
        if self._total:
            self._add_worker()

    def outcomes(self) -> Iterator[SendOutcome]:
        """One outcome per message, as they come."""
        for _ in range(self._total):
            yield self._outcomes.get()

    def give_up(self) -> None:
        """Nobody asks for outcomes any more: begin no further message."""
        with self._lock:
            self._waiting.clear()

    # the workers' threads

    def _add_worker(self) -> None:
        with self._lock:
            self._workers += 1
        threading.Thread(target=self._work, name="mailer", daemon=True).start()

    def _work(self) -> None:
        session: SmtpSession | None = None
        failure = (ErrorClass.RETRIABLE, "the mailer is closed")
        try:
            while (message := self._take()) is not None:
                if session is None:
                    try:
                        session = self._sessions.take()
                    except SmtpRefusedError as error:
                        self._put_back(message)
                        failure = (error.error, error.detail)
                        break
                    self._call_others()
                if not self._deliver(session, message):
                    session.close()
                    session = None
        finally:
            if session is not None:
                self._sessions.give_back(session)
            self._leave(*failure)

    def _take(self) -> EmailMessage | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting and not self._sessions.closed else None

    def _put_back(self, message: EmailMessage) -> None:
        with self._lock:
            self._waiting.appendleft(message)

    def _call_others(self) -> None:
        with self._lock:
            wanted = 0 if self._called else min(self._settings.connections - 1, len(self._waiting))
            self._called = True
        for _ in range(wanted):
            self._add_worker()

    def _leave(self, error: ErrorClass, detail: str) -> None:
        """The last worker speaks for what nobody is left to deliver: no session could be had."""
        with self._lock:
            self._workers -= 1
            if self._workers:
                return
        self._refuse_waiting(error, detail)

    def _deliver(self, session: SmtpSession, message: EmailMessage) -> bool:
        """Deliver one message. False when the session is of no further use."""
        if message.not_after is not None and self._clock.now() > message.not_after:
            self._refuse(message, ErrorClass.RETRIABLE, "not attempted: the last look at the record is too old")
            return True
        reused = session.used
        try:
            sender = self._settings.bounce_address or message.from_address
            addresses = f"{sender}{message.from_address}{message.to_address}{message.reply_to}"
            envelope = Envelope(sender=sender, recipient=message.to_address, utf8=not addresses.isascii())
            content = build_mime(message, self._clock.now(), utf8=envelope.utf8)
            provider_id = session.transmit(envelope, content)
        except RejectedError as error:
            self._refuse(message, ErrorClass.REJECTED, error.what)
            return True
        except SmtpRefusedError as error:
            if error.stale and reused:
                # The connection was closed while it rested. Nothing was handed over; a new one tells more.
                self._put_back(message)
                return False
            self._refuse(message, error.error, error.detail)
            if error.error is ErrorClass.AUTH:
                self._refuse_waiting(error.error, f"not attempted after {error.detail}"[:255])
            return error.usable
        except SmtpDoubtError as error:
            self._doubt(message, str(error))
            return False
        except BaseException:
            # Whatever went wrong in here, nobody may be left waiting for the outcome.
            self._doubt(message, "the mailer failed")
            raise
        self._outcomes.put(SendOutcome(touch_id=message.touch_id, status=SendStatus.ACCEPTED, provider_id=provider_id))
        return True

    def _doubt(self, message: EmailMessage, detail: str) -> None:
        self._outcomes.put(
            SendOutcome(
                touch_id=message.touch_id,
                status=SendStatus.UNKNOWN,
                error=ErrorClass.OUTCOME_UNKNOWN,
                detail=detail,
            )
        )

    def _refuse(self, message: EmailMessage, error: ErrorClass, detail: str) -> None:
        self._outcomes.put(
            SendOutcome(touch_id=message.touch_id, status=SendStatus.REFUSED, error=error, detail=detail)
        )

    def _refuse_waiting(self, error: ErrorClass, detail: str) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for message in waiting:
            self._refuse(message, error, detail)
