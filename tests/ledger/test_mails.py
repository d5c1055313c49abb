"""Mails that were read and answers on their way to the rep, each once (B1, P3); on every database alike."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_values import NOW

from crmdrip.core.message import EmailMessage
from crmdrip.core.struct import replace
from crmdrip.ledger import forwards, mails
from crmdrip.ledger.mails import ReadMail

MAIL = ReadMail(
    key="k" * 32,
    received_at=NOW,
    source="sendgrid:inbound",
    kind="reply",
    why="person",
    how="nobody",
    sender="dan@other.example",
    subject="Who are you?",
    body=b"From: dan\xff",
)
FORWARD = EmailMessage(
    touch_id="f" * 32,
    to_address="rita@vendor.example",
    to_name="",
    from_address="rita@vendor.example",
    from_name="Ann Lee",
    reply_to="ann@acme.example",
    subject="Re: Hello",
    html="<p>Yes.</p>",
    text="Yes.",
    headers={"X-Loop": "reply.vendor.example"},
)
LATER = NOW + timedelta(hours=1)


class TestMails:
    """What was read."""

    def test_a_mail_is_known_once_it_was_kept(self, any_ledger):
        """P1: by whatever way it comes again."""
        with any_ledger.write() as connection:
            assert not mails.is_known(connection, MAIL.key)
            mails.keep(connection, MAIL)
            mails.keep(connection, replace(MAIL, kind="auto_reply"))
            assert mails.is_known(connection, MAIL.key)
            assert mails.count_by_kind(connection, NOW) == {("reply", "nobody"): 1}

    def test_what_a_stranger_wrote_comes_back_byte_by_byte(self, any_ledger):
        """P3: kept whole, the newest first."""
        newer = replace(MAIL, key="n" * 32, received_at=LATER)
        known = replace(MAIL, key="o" * 32, how="address", body=b"")
        with any_ledger.write() as connection:
            for one in (MAIL, newer, known):
                mails.keep(connection, one)
            assert mails.of_nobody(connection, NOW, 10) == [newer, MAIL]
            assert mails.of_nobody(connection, NOW, 1) == [newer]

    def test_old_ones_go(self, any_ledger):
        """Mail is personal: it is kept for as long as it is needed."""
        with any_ledger.write() as connection:
            mails.keep(connection, MAIL)
            mails.forget_before(connection, LATER)
            assert not mails.is_known(connection, MAIL.key)


class TestForwards:
    """Answers on their way to the rep."""

    @pytest.fixture
    def waiting(self, any_ledger):
        """One answer that waits."""
        with any_ledger.write() as connection:
            forwards.add(connection, FORWARD, NOW)
        return any_ledger

    def claimed(self, ledger, now=NOW):
        """What is to be sent now."""
        with ledger.write() as connection:
            return [one.message for one in forwards.claim(connection, now, 10)]

    def states(self, ledger):
        """How many there are in each state."""
        with ledger.read() as connection:
            return forwards.count_by_state(connection)

    def test_it_comes_back_whole(self, waiting):
        """Headers and all."""
        assert self.claimed(waiting) == [FORWARD]

    def test_a_second_of_the_same_id_is_none(self, waiting):
        """P1: once per mail and rep."""
        with waiting.write() as connection:
            forwards.add(connection, FORWARD, LATER)
        assert self.states(waiting) == {"waiting": 1}

    def test_what_was_claimed_is_not_claimed_again(self, waiting):
        """B1: the row says "intended" before the request leaves."""
        self.claimed(waiting)
        assert self.claimed(waiting, LATER) == []

    def test_what_nobody_concluded_is_in_doubt(self, waiting):
        """B1: and is never sent again."""
        self.claimed(waiting)
        with waiting.write() as connection:
            assert forwards.recover(connection) == 1
            forwards.put_off(connection, FORWARD.touch_id, LATER, "too late")
        assert self.states(waiting) == {"in_doubt": 1}
        assert self.claimed(waiting, LATER) == []

    def test_what_was_put_off_comes_at_its_time(self, waiting):
        """B2: a definite refusal."""
        self.claimed(waiting)
        with waiting.write() as connection:
            forwards.put_off(connection, FORWARD.touch_id, LATER, "busy")
        assert self.claimed(waiting) == []
        with waiting.write() as connection:
            [one] = forwards.claim(connection, LATER, 10)
        assert (one.message, one.attempt) == (FORWARD, 1)

    @pytest.mark.parametrize("conclude", [forwards.doubt, forwards.fail])
    def test_what_is_over_says_nothing_any_more(self, waiting, conclude):
        """Mail is personal: the words go with the end."""
        self.claimed(waiting)
        with waiting.write() as connection:
            conclude(connection, FORWARD.touch_id, "why")
            forwards.add(connection, FORWARD, NOW)
            assert not forwards.any_to_do(connection, LATER)
        assert self.claimed(waiting, LATER) == []

    def test_what_was_accepted_is_known_for_a_while(self, waiting):
        """P1: then dropped."""
        self.claimed(waiting)
        with waiting.write() as connection:
            forwards.accept(connection, FORWARD.touch_id)
            assert forwards.count_by_state(connection) == {"accepted": 1}
            forwards.forget(connection, LATER)
        assert self.states(waiting) == {}
