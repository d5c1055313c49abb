"""The ears: mailboxes into which people answer, each listened to in a thread of its own, and asked before a last look.

An email is stored in the same transaction as how far its mailbox was read: a crash loses none and repeats none. While
a mailbox cannot be read nothing goes out, since somebody's answer may lie in it (P2, P4, B5).
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import structlog

from crmdrip.core.errors import CrmdripError, ErrorClass, RateLimitedError
from crmdrip.core.keys import share
from crmdrip.core.received import delivery_of
from crmdrip.core.retry import LONGEST_DELAY, decide_retry
from crmdrip.ledger import marks, received
from crmdrip.ledger.store import Ledger
from crmdrip.ports import Clock, Mailbox, MailPage

log = structlog.get_logger()

FRESH = 5.0
"""Seconds for which a mailbox that was just read counts as read to now. New mail is told within them (IDLE)."""
PATIENCE = 20.0
"""Seconds that a last look waits for all mailboxes together."""
PAGE_SECONDS = 120.0
"""Seconds that a listener gives the server for the way to a page."""
SHORT_REST = 10.0
"""Seconds. Servers and routers end old connections, and then a new one is made at once; one that ends sooner than this
is a failure, and the next attempt waits."""
FAREWELL = 3.0
"""Seconds that the end of the process waits for all listeners together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hearing:
    """How one mailbox fares."""

    name: str
    heard_at: datetime | None
    """When it was last read to its end; None before the first time."""
    error: str
    """Why it cannot be read now, "" while it can."""


class Ear:
    """One mailbox with what is known of it."""

    def __init__(self, mailbox: Mailbox, ledger: Ledger, clock: Clock) -> None:
        """Makes no call."""
        self._mailbox = mailbox
        self._ledger = ledger
        self._clock = clock
        self._changed = threading.Condition()
        """For everything below."""
        self._listening = False
        self._confirmed = float("-inf")
        """When the last reading that came to its end was begun; on the monotonic clock (B29)."""
        self._heard_at: datetime | None = None
        self._pause_until = float("-inf")
        self._failures = 0
        """In a row."""
        self._error = ""

    @property
    def hearing(self) -> Hearing:
        """As of now."""
        with self._changed:
            return Hearing(name=self._mailbox.name, heard_at=self._heard_at, error=self._error)

    # --- whoever is about to look -------------------------------------------------------------------------------------

    def ask(self, since: float) -> None:
        """Let the listener read now, where the last reading was begun before a time."""
        with self._changed:
            stale = self._listening and self._confirmed < since and not self._paused
        if stale:
            self._mailbox.wake()

    def answer(self, since: float, until: float) -> str:
        """Wait for a reading begun since a time, until another: why there is none, "" when there is."""
        with self._changed:
            if self._listening:
                self._changed.wait_for(
                    lambda: self._confirmed >= since or self._paused or not self._listening,
                    timeout=max(0.0, until - time.monotonic()),
                )
                return self._why(since)
            wanted = self._confirmed < since and not self._paused
        if wanted and time.monotonic() < until:
            self.read(until - time.monotonic(), until=until)
        with self._changed:
            return self._why(since)

    @property
    def _paused(self) -> bool:
        return time.monotonic() < self._pause_until

    def _why(self, since: float) -> str:
        if self._confirmed >= since:
            return ""
        return f"the mailbox {self._mailbox.name} cannot be read ({self._error or 'it takes too long'})"

    # --- whoever reads ------------------------------------------------------------------------------------------------

    def listen(self, stop: threading.Event, on_mail: Callable[[], None]) -> None:
        """Read and rest by turns until stopped. Raises nothing: whatever goes wrong is tried again."""
        with self._changed:
            self._listening = True
        try:
            while not stop.is_set():
                if self.read(PAGE_SECONDS, on_mail=on_mail):
                    self._rest()
                stop.wait(max(0.0, self._pause_until - time.monotonic()))
        finally:
            with self._changed:
                self._listening = False
                self._changed.notify_all()

    def read(self, within: float, *, until: float = float("inf"), on_mail: Callable[[], None] = lambda: None) -> bool:
        """Store everything new. False when it cannot be read to its end now, or not until a time."""
        began, began_at = time.monotonic(), self._clock.now()
        try:
            with self._ledger.read() as connection:
                cursor = marks.read_cursor(connection, self._cursor)
            for page in self._mailbox.drain(cursor, within):
                if self._store(page):
                    on_mail()
                if time.monotonic() > until:
                    return False
        except CrmdripError as error:
            self._failed(error)
            return False
        except Exception as error:
            log.exception("mailbox_broke", mailbox=self._mailbox.name)
            self._failed(CrmdripError(f"{type(error).__name__}"))
            return False
        with self._changed:
            if self._failures:
                log.info("mailbox_heard_again", mailbox=self._mailbox.name, failures=self._failures)
            self._confirmed, self._heard_at = began, began_at
            self._failures, self._error = 0, ""
            self._changed.notify_all()
        return True

    def wake(self) -> None:
        """End the present rest."""
        self._mailbox.wake()

    def close(self) -> None:
        """Give back the connection."""
        self._mailbox.close()

    @property
    def _cursor(self) -> str:
        """The cursor's name, in the 64 characters that the ledger has for it."""
        name = self._mailbox.name
        if len(name) > 55:
            name = f"{name[:38]}#{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        return f"mailbox:{name}"

    def _store(self, page: MailPage) -> int:
        now = self._clock.now()
        with self._ledger.write() as connection:
            new = received.store(connection, map(delivery_of, page.mails))
            marks.save_cursor(connection, self._cursor, page.cursor, now)
        for note in page.notes:
            log.warning("mailbox_noted", mailbox=self._mailbox.name, note=note)
        if page.mails:
            log.info("mail_received", mailbox=self._mailbox.name, mails=len(page.mails), new=len(new))
        return len(new)

    def _rest(self) -> None:
        began = time.monotonic()
        try:
            self._mailbox.rest()
        except CrmdripError as error:
            log.info("mailbox_connection_lost", mailbox=self._mailbox.name, error=error.what)
            if time.monotonic() - began < SHORT_REST:
                self._failed(error)
        except Exception as error:
            log.exception("mailbox_broke", mailbox=self._mailbox.name)
            self._failed(CrmdripError(f"{type(error).__name__}"))

    def _failed(self, error: CrmdripError) -> None:
        now = self._clock.now()
        with self._changed:
            self._failures += 1
            number = self._failures
            retry = decide_retry(
                error.error_class,
                number,
                now,
                jitter=share(self._mailbox.name, str(number)),
                retry_after=error.retry_after if isinstance(error, RateLimitedError) else None,
            )
            wait = retry.not_before - now if retry.not_before is not None else LONGEST_DELAY
            self._pause_until = time.monotonic() + wait.total_seconds()
            mended_by_people = error.error_class in (ErrorClass.AUTH, ErrorClass.CONFIGURATION)
            self._error = str(error) if mended_by_people else error.what
            self._changed.notify_all()
        log.warning(
            "mailbox_failed",
            mailbox=self._mailbox.name,
            error=str(error),
            error_class=error.error_class.value,
            failures=number,
            seconds=round(wait.total_seconds()),
        )


class Mailboxes:
    """All of them. With none configured everything here is free."""

    def __init__(self, ears: Iterable[Ear] = ()) -> None:
        """Makes no call."""
        self._ears = tuple(ears)

    def drain(self) -> str:
        """Have everything stored that people had sent by now, as far as servers had it: why not, "" when it is.

        Takes at most PATIENCE. Listeners are asked for it; without them (a single pass) the mailboxes are read here.
        """
        if not self._ears:
            return ""
        since, until = time.monotonic() - FRESH, time.monotonic() + PATIENCE
        for ear in self._ears:
            ear.ask(since)
        return next(filter(None, [ear.answer(since, until) for ear in self._ears]), "")

    def hearings(self) -> tuple[Hearing, ...]:
        """How each fares."""
        return tuple(ear.hearing for ear in self._ears)

    @contextmanager
    def listening(self, on_mail: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Listen while inside, in a thread each. on_mail: called after new mail was stored; thread-safe."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=ear.listen, args=(stop, on_mail), name="mailbox", daemon=True) for ear in self._ears
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for ear in self._ears:
                ear.wake()
            until = time.monotonic() + FAREWELL
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Give back the connections."""
        for ear in self._ears:
            ear.close()
