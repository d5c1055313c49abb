"""The contract of the Mailbox port, as tests.

A connector's author subclasses `MailboxContract` and gives two fixtures: `server`, the other side, and `build`, which
makes another mailbox connected to it each time it is called (the same account and folder, in another process as it
were). Run by pytest, the class then tests every promise of the port that can be seen from outside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from crmdrip.core.errors import AuthError, RetriableError
from crmdrip.ports import Mailbox, RawMail

WITHIN = 20.0
"""Seconds, of which a server on this machine needs a thousandth."""

Build = Callable[[], Mailbox]


class MailServer(Protocol):
    """The other side: a real server on loopback, with one empty folder."""

    def deliver(self, raw: bytes) -> None:
        """An email arrives."""
        ...

    def renumber(self) -> None:
        """All emails get new numbers, as after a restore."""
        ...

    def hang_up(self) -> None:
        """Cut every connection; new ones are taken."""
        ...

    def stop(self) -> None:
        """Cut every connection, and take no new one."""
        ...

    def revoke(self) -> None:
        """Refuse the credentials from now on."""
        ...

    def is_untouched(self) -> bool:
        """Whether everything delivered is still there, without a flag that was not there before."""
        ...


def build_mail(number: int, *, body: str = "No, thank you.") -> bytes:
    """An answer of a person of its own."""
    lines = [
        f"From: Person {number} <person{number}@example.com>",
        "To: rep@example.org",
        f"Subject: Re: Hello {number}",
        f"Message-ID: <answer-{number}@example.com>",
        "Date: Tue, 03 Nov 2026 10:00:00 +0000",
        "",
        body,
        "",
    ]
    return "\r\n".join(lines).encode()


def drain_all(mailbox: Mailbox, cursor: str | None = None) -> tuple[list[RawMail], str | None]:
    """Every email since the cursor, and the cursor after the last page."""
    mails: list[RawMail] = []
    for page in mailbox.drain(cursor, WITHIN):
        mails.extend(page.mails)
        cursor = page.cursor
    return mails, cursor


class MailboxContract:
    """Every promise of the port."""

    def test_an_email_comes_as_it_is(self, server: MailServer, build: Build) -> None:
        """Byte by byte, with the time at which it came."""
        server.deliver(build_mail(1, body="Grüße, 10 € \u2013 and \u65e5\u672c\u8a9e"))
        with closing(build()) as mailbox:
            ((mail,), _) = drain_all(mailbox)
        assert mail.body == build_mail(1, body="Grüße, 10 € \u2013 and \u65e5\u672c\u8a9e")
        assert abs(mail.received_at - datetime.now(UTC)) < timedelta(minutes=5)

    def test_emails_come_in_their_order(self, server: MailServer, build: Build) -> None:
        """Oldest first, however many there are."""
        for number in range(120):
            server.deliver(build_mail(number))
        with closing(build()) as mailbox:
            mails, _ = drain_all(mailbox)
        assert [mail.body for mail in mails] == [build_mail(number) for number in range(120)]

    def test_what_was_read_is_not_read_again(self, server: MailServer, build: Build) -> None:
        """B23: neither by this process nor by the next."""
        server.deliver(build_mail(1))
        with closing(build()) as mailbox, closing(build()) as later:
            _, cursor = drain_all(mailbox)
            assert drain_all(mailbox, cursor)[0] == []
            assert drain_all(later, cursor)[0] == []

    def test_what_came_since_is_read(self, server: MailServer, build: Build) -> None:
        """B5: a drain that is begun after an email came brings it, on a connection that was open before."""
        with closing(build()) as mailbox:
            _, cursor = drain_all(mailbox)
            server.deliver(build_mail(1))
            mails, cursor = drain_all(mailbox, cursor)
            server.deliver(build_mail(2))
            more, _ = drain_all(mailbox, cursor)
        assert [mail.body for mail in (*mails, *more)] == [build_mail(1), build_mail(2)]

    def test_every_page_can_be_the_last(self, server: MailServer, build: Build) -> None:
        """P1: a crash after any page loses nothing and repeats nothing."""
        for number in range(120):
            server.deliver(build_mail(number))
        mails: list[RawMail] = []
        cursor: str | None = None
        while True:
            with closing(build()) as mailbox:
                pages = mailbox.drain(cursor, WITHIN)
                page = next(pages, None)
            if page is None:
                break
            mails.extend(page.mails)
            cursor = page.cursor
        assert [mail.body for mail in mails] == [build_mail(number) for number in range(120)]

    def test_new_numbers_lose_nothing(self, server: MailServer, build: Build) -> None:
        """What came around the renumbering is read, and what was read before is known by its key."""
        server.deliver(build_mail(1))
        with closing(build()) as mailbox:
            before, cursor = drain_all(mailbox)
        server.renumber()
        server.deliver(build_mail(2))
        with closing(build()) as mailbox:
            after, cursor = drain_all(mailbox, cursor)
            known = {mail.key for mail in before}
            assert [mail.body for mail in after if mail.key not in known] == [build_mail(2)]
            assert drain_all(mailbox, cursor)[0] == []

    def test_each_email_has_a_key_of_its_own(self, server: MailServer, build: Build) -> None:
        """Also where neither Message-ID nor Date is there, or two emails claim the same Message-ID."""
        for number in range(3):
            server.deliver(b"From: a@example.com\r\n\r\nnumber %d\r\n" % number)
            server.deliver(
                b"From: a@example.com\r\nMessage-ID: <1@x>\r\nDate: Tue, 03 Nov 2026 10:0%d:00 +0000\r\n\r\nHi\r\n"
                % number
            )
        with closing(build()) as mailbox:
            mails, _ = drain_all(mailbox)
        assert len({mail.key for mail in mails}) == 6

    def test_keys_fit_and_carry_no_person(self, server: MailServer, build: Build) -> None:
        """A person's data can be erased and the key kept."""
        server.deliver(build_mail(1))
        with closing(build()) as mailbox:
            ((mail,), _) = drain_all(mailbox)
        assert len(mail.key) <= 128
        assert len(mail.source) <= 64
        assert mail.source == mailbox.source
        assert "person" not in mail.key

    def test_nothing_is_changed(self, server: MailServer, build: Build) -> None:
        """The rep finds each email as unread as it came."""
        server.deliver(build_mail(1))
        with closing(build()) as mailbox:
            _, cursor = drain_all(mailbox)
            drain_all(mailbox, cursor)
        assert server.is_untouched()

    def test_a_lost_connection_is_made_anew(self, server: MailServer, build: Build) -> None:
        """Servers end old connections whenever they like."""
        with closing(build()) as mailbox:
            _, cursor = drain_all(mailbox)
            server.hang_up()
            server.deliver(build_mail(1))
            mails, _ = drain_all(mailbox, cursor)
        assert [mail.body for mail in mails] == [build_mail(1)]

    def test_silence_is_never_taken_for_no_mail(self, server: MailServer, build: Build) -> None:
        """P4: a server that is not there is an error, before the first reading as well as after it."""
        with closing(build()) as mailbox, closing(build()) as other:
            _, cursor = drain_all(mailbox)
            server.stop()
            with pytest.raises(RetriableError):
                drain_all(mailbox, cursor)
            with pytest.raises(RetriableError):
                drain_all(other, cursor)

    def test_refused_credentials_are_said(self, server: MailServer, build: Build) -> None:
        """AuthError: a person has to do something."""
        server.revoke()
        with closing(build()) as mailbox, pytest.raises(AuthError):
            drain_all(mailbox)

    def test_new_mail_ends_the_rest(self, server: MailServer, build: Build) -> None:
        """P2: within moments, and not with the next poll."""
        with closing(build()) as mailbox:
            _, cursor = drain_all(mailbox)
            resting = _rest(mailbox)
            server.deliver(build_mail(1))
            assert resting.wait(WITHIN)
            mails, _ = drain_all(mailbox, cursor)
        assert [mail.body for mail in mails] == [build_mail(1)]

    def test_mail_that_came_before_the_rest_ends_it(self, server: MailServer, build: Build) -> None:
        """Between the reading and the rest nothing falls through."""
        with closing(build()) as mailbox:
            drain_all(mailbox)
            server.deliver(build_mail(1))
            assert _rest(mailbox).wait(WITHIN)

    @pytest.mark.usefixtures("server")
    def test_a_rest_can_be_ended(self, build: Build) -> None:
        """From another thread, and also shortly before it begins."""
        with closing(build()) as mailbox:
            _, cursor = drain_all(mailbox)
            resting = _rest(mailbox)
            mailbox.wake()
            assert resting.wait(WITHIN)
            mailbox.wake()
            assert _rest(mailbox).wait(WITHIN)
            assert drain_all(mailbox, cursor)[0] == []

    def test_a_rest_that_is_cut_off_says_so(self, server: MailServer, build: Build) -> None:
        """Nobody rests on a connection that is gone."""
        with closing(build()) as mailbox:
            drain_all(mailbox)
            server.hang_up()
            with pytest.raises(RetriableError):
                mailbox.rest()

    @pytest.mark.usefixtures("server")
    def test_nothing_rests_before_the_first_reading(self, build: Build) -> None:
        """What came before would wait for what comes next."""
        with closing(build()) as mailbox:
            assert _rest(mailbox).wait(WITHIN)


def _rest(mailbox: Mailbox) -> threading.Event:
    """Rest in a thread; the event tells the end."""
    ended = threading.Event()

    def rest() -> None:
        mailbox.rest()
        ended.set()

    threading.Thread(target=rest, daemon=True).start()
    return ended
