"""The contract of the Mailer port, as tests.

A connector's author subclasses `MailerContract` and gives two fixtures: `peer`, the other side, and `mailer`, the
mailer under test connected to it with time-outs under a second. Run by pytest, the class then tests every promise
of the port that can be seen from outside. Promises are named by their rows in the behavior book (B1, B2, P1).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Protocol

import pytest

from crmdrip.core.errors import ErrorClass
from crmdrip.core.struct import replace
from crmdrip.ports import Capability, EmailMessage, Finding, Mailer, SendOutcome, SendStatus

HOSTILE = "x@example.com\r\nBcc: everyone@example.com"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Trouble(Enum):
    """How the other side can misbehave towards chosen addresses."""

    CUT_AFTER_ACCEPT = "cut after accept"
    """Takes the email and closes the connection without a word."""
    CUT_BEFORE_ACCEPT = "cut before accept"
    """Reads the whole email, takes it not, and closes the connection without a word."""
    SLOW = "slow"
    """Takes the email and answers long after the mailer's time-out."""
    REFUSE = "refuse"
    """Says that it cannot take the email now."""
    REJECT = "reject"
    """Says that the address is impossible."""
    RATE_LIMIT = "rate limit"
    """Says that too much was asked, and until when."""
    DENY = "deny"
    """Says that the credentials are wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """One email as the other side took it."""

    touch_id: str
    to_address: str
    to_name: str
    from_address: str
    from_name: str
    reply_to: str
    subject: str
    html: str
    text: str
    headers: Mapping[str, str]
    metadata: str
    """Everything handed over beside the email itself (custom arguments, categories), as one text."""


class Peer(Protocol):
    """The other side: a real server on loopback."""

    troubles: frozenset[Trouble]
    """What it is able to do wrong."""

    def accepted(self) -> list[Carried]:
        """Every email taken, oldest first."""
        ...

    def offered(self) -> Counter[str]:
        """How often a whole email was received for each address, whatever became of it."""
        ...

    def misbehave(self, trouble: Trouble, addresses: Collection[str]) -> None:
        """From now on, with every email to these addresses."""
        ...

    def hang_up(self) -> None:
        """Close every open connection, and go on listening. Returns when that is done."""
        ...

    def stop(self) -> None:
        """Refuse every connection from now on."""
        ...


def build_message(number: int) -> EmailMessage:
    """A complete email, different for each number."""
    return EmailMessage(
        touch_id=f"{number:032x}",
        to_address=f"person{number}@example.com",
        to_name=f"Zo\u00eb Nr. {number}",
        from_address="rep@sender.example",
        from_name="Rep, the \u0141ukasz",
        reply_to="replies+token@sender.example",
        subject=f"Gr\u00fc\u00dfe {number}",
        html=f"<p>Hello {number}, it costs 5 \u20ac</p>\n<p>.</p>\n",
        text=f"Hello {number}, it costs 5 \u20ac\n.\n.dots\n",
        headers={
            "Message-ID": f"<{number:032x}@sender.example>",
            "In-Reply-To": "<first@sender.example>",
            "References": "<first@sender.example> <second@sender.example>",
            "List-Unsubscribe": f"<https://sender.example/u/{'x' * 150}{number}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
        category="a0B000000000001AAA",
    )


def build_messages(count: int) -> list[EmailMessage]:
    """Complete emails, all different."""
    return [build_message(number) for number in range(count)]


class MailerContract:
    """Subclass it under a name that begins with Test, and give the fixtures `peer` and `mailer`."""

    def test_every_message_has_exactly_one_outcome_and_arrives_once(self, mailer: Mailer, peer: Peer) -> None:
        """P1: two hundred emails give two hundred outcomes, and each is taken once."""
        messages = build_messages(200)
        outcomes = list(mailer.send(messages))
        assert Counter(outcome.touch_id for outcome in outcomes) == Counter(message.touch_id for message in messages)
        assert {outcome.status for outcome in outcomes} == {SendStatus.ACCEPTED}
        assert Counter(email.touch_id for email in peer.accepted()) == Counter(m.touch_id for m in messages)

    def test_no_messages_give_no_outcomes(self, mailer: Mailer, peer: Peer) -> None:
        """An empty batch ends at once and connects nowhere."""
        assert list(mailer.send([])) == []
        assert not peer.offered()

    def test_an_email_whose_time_is_over_is_not_begun(self, mailer: Mailer, peer: Peer) -> None:
        """P2: of five emails the two whose last look is too old come back refused, to be tried again after another."""
        messages = [replace(m, not_after=LONG_AGO if n in {1, 3} else None) for n, m in enumerate(build_messages(5))]
        outcomes = {outcome.touch_id: outcome for outcome in mailer.send(messages)}
        late = [outcomes[message.touch_id] for message in messages if message.not_after is not None]
        assert [(one.status, one.error) for one in late] == [(SendStatus.REFUSED, ErrorClass.RETRIABLE)] * 2
        assert {one.touch_id for one in peer.accepted()} == {m.touch_id for m in messages if m.not_after is None}

    def test_everything_of_a_message_is_carried(self, mailer: Mailer, peer: Peer) -> None:
        """Names, subject, both bodies and every header arrive as they were given, beyond ASCII and with dots."""
        message = build_message(1)
        list(mailer.send([message]))
        (email,) = peer.accepted()
        assert (email.to_address, email.to_name) == (message.to_address, message.to_name)
        assert (email.from_address, email.from_name) == (message.from_address, message.from_name)
        assert email.reply_to == message.reply_to
        assert email.subject == message.subject
        assert email.html.splitlines() == message.html.splitlines()
        assert email.text.splitlines() == message.text.splitlines()
        assert {name: email.headers.get(name) for name in message.headers} == dict(message.headers)

    def test_a_message_with_one_body_is_carried(self, mailer: Mailer, peer: Peer) -> None:
        """An email with plain text alone arrives with plain text alone."""
        list(mailer.send([replace(build_message(1), html="")]))
        (email,) = peer.accepted()
        assert email.html == ""
        assert "Hello 1" in email.text

    def test_nothing_personal_stands_beside_the_email(self, mailer: Mailer, peer: Peer) -> None:
        """What providers keep long-term, custom arguments and categories, holds the touch's id and no person."""
        message = build_message(1)
        list(mailer.send([message]))
        (email,) = peer.accepted()
        assert message.touch_id in email.metadata
        for personal in (message.to_address, message.to_name, "example.com", message.subject):
            assert personal not in email.metadata

    @pytest.mark.parametrize("trouble", [Trouble.CUT_AFTER_ACCEPT, Trouble.CUT_BEFORE_ACCEPT, Trouble.SLOW])
    def test_a_missing_answer_to_a_whole_email_is_unknown(self, mailer: Mailer, peer: Peer, trouble: Trouble) -> None:
        """B1, B2: whoever got no answer after the email had left is in doubt, exactly they, and is offered once."""
        self._need(peer, trouble)
        messages = build_messages(40)
        harmed = messages[::7]
        peer.misbehave(trouble, {message.to_address for message in harmed})
        outcomes = self._send(mailer, messages)
        unknown = {touch for touch, outcome in outcomes.items() if outcome.status is SendStatus.UNKNOWN}
        assert unknown == {message.touch_id for message in harmed}
        assert {outcomes[touch].error for touch in unknown} == {ErrorClass.OUTCOME_UNKNOWN}
        assert sum(outcome.status is SendStatus.ACCEPTED for outcome in outcomes.values()) == 40 - len(harmed)
        assert set(peer.offered().values()) == {1}

    def test_a_definite_no_is_refused_and_may_be_tried_again(self, mailer: Mailer, peer: Peer) -> None:
        """B2: an answer that says "not now" is a refusal of that email alone, and the mailer does not repeat it."""
        self._need(peer, Trouble.REFUSE)
        messages = build_messages(20)
        peer.misbehave(Trouble.REFUSE, {messages[3].to_address})
        outcomes = self._send(mailer, messages)
        refused = outcomes.pop(messages[3].touch_id)
        assert (refused.status, refused.error) == (SendStatus.REFUSED, ErrorClass.RETRIABLE)
        assert {outcome.status for outcome in outcomes.values()} == {SendStatus.ACCEPTED}
        assert peer.offered()[messages[3].to_address] <= 1

    def test_an_impossible_address_is_rejected(self, mailer: Mailer, peer: Peer) -> None:
        """The email to it is refused for good, the detail says it is about the address and does not show it."""
        self._need(peer, Trouble.REJECT)
        messages = build_messages(5)
        peer.misbehave(Trouble.REJECT, {messages[2].to_address})
        outcomes = self._send(mailer, messages)
        rejected = outcomes.pop(messages[2].touch_id)
        assert (rejected.status, rejected.error) == (SendStatus.REFUSED, ErrorClass.REJECTED)
        assert rejected.detail.startswith("address: ")
        assert messages[2].to_address not in rejected.detail
        assert {outcome.status for outcome in outcomes.values()} == {SendStatus.ACCEPTED}

    def test_wrong_credentials_stop_the_batch(self, mailer: Mailer, peer: Peer) -> None:
        """The refusal of the first email's credentials is the outcome of all, and most are not even attempted."""
        self._need(peer, Trouble.DENY)
        messages = build_messages(300)
        peer.misbehave(Trouble.DENY, {message.to_address for message in messages})
        outcomes = self._send(mailer, messages)
        assert {(o.status, o.error) for o in outcomes.values()} == {(SendStatus.REFUSED, ErrorClass.AUTH)}
        assert sum(peer.offered().values()) < len(messages)
        assert peer.accepted() == []

    def test_a_rate_limit_stops_the_batch_and_says_until_when(self, mailer: Mailer, peer: Peer) -> None:
        """B2: what comes after "too many" is refused likewise without a request, with the wait the provider named."""
        self._need(peer, Trouble.RATE_LIMIT)
        messages = build_messages(300)
        peer.misbehave(Trouble.RATE_LIMIT, {message.to_address for message in messages})
        outcomes = self._send(mailer, messages)
        assert {(o.status, o.error) for o in outcomes.values()} == {(SendStatus.REFUSED, ErrorClass.RATE_LIMITED)}
        assert all(outcome.retry_after is not None and outcome.retry_after > 0 for outcome in outcomes.values())
        assert sum(peer.offered().values()) < len(messages)

    def test_a_refused_connection_is_a_refusal(self, mailer: Mailer, peer: Peer) -> None:
        """B2: with nobody listening, nothing was sent, and every email may be tried again."""
        peer.stop()
        messages = build_messages(50)
        outcomes = self._send(mailer, messages)
        assert len(outcomes) == len(messages)
        assert {(o.status, o.error) for o in outcomes.values()} == {(SendStatus.REFUSED, ErrorClass.RETRIABLE)}

    def test_a_connection_closed_while_it_rested_is_replaced(self, mailer: Mailer, peer: Peer) -> None:
        """B2: a kept connection which the other side closed in between neither loses nor doubts an email."""
        messages = build_messages(40)
        self._send(mailer, messages[:20])
        peer.hang_up()
        outcomes = self._send(mailer, messages[20:])
        assert {outcome.status for outcome in outcomes.values()} == {SendStatus.ACCEPTED}
        assert set(peer.offered().values()) == {1}

    @pytest.mark.parametrize(
        "message",
        [
            pytest.param(replace(build_message(1), subject=HOSTILE), id="subject"),
            pytest.param(replace(build_message(1), to_name=HOSTILE), id="to name"),
            pytest.param(replace(build_message(1), to_address=HOSTILE), id="to address"),
            pytest.param(replace(build_message(1), from_name=HOSTILE), id="from name"),
            pytest.param(replace(build_message(1), reply_to=HOSTILE), id="reply to"),
            pytest.param(replace(build_message(1), headers={"X-Note": HOSTILE}), id="header"),
        ],
    )
    def test_a_line_break_in_a_header_is_rejected(self, mailer: Mailer, peer: Peer, message: EmailMessage) -> None:
        """B27: a value that would add a header of its own is refused before anything leaves."""
        (outcome,) = mailer.send([message])
        assert (outcome.status, outcome.error) == (SendStatus.REFUSED, ErrorClass.REJECTED)
        assert peer.accepted() == []

    def test_several_threads_send_at_once(self, mailer: Mailer, peer: Peer) -> None:
        """Each caller gets the outcomes of its own messages and of no others."""
        messages = build_messages(120)
        results: dict[int, set[str]] = {}

        def send(part: int) -> None:
            results[part] = {outcome.touch_id for outcome in mailer.send(messages[part::3])}

        threads = [threading.Thread(target=send, args=(part,)) for part in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == {part: {message.touch_id for message in messages[part::3]} for part in range(3)}
        assert len(peer.accepted()) == 120

    def test_a_closed_mailer_refuses(self, mailer: Mailer, peer: Peer) -> None:
        """After close nothing is sent, and every email may be tried again."""
        self._send(mailer, build_messages(3))
        mailer.close()
        outcomes = self._send(mailer, [build_message(9)])
        assert {(o.status, o.error) for o in outcomes.values()} == {(SendStatus.REFUSED, ErrorClass.RETRIABLE)}
        assert len(peer.accepted()) == 3

    def test_closing_twice_is_harmless(self, mailer: Mailer, peer: Peer) -> None:
        """Closing raises nothing, whatever came before."""
        mailer.close()
        mailer.close()
        assert not peer.offered()

    def test_a_touch_that_went_out_is_found(self, mailer: Mailer, peer: Peer) -> None:
        """B1: an email whose answer was lost is found under its touch, or the mailer says that it cannot look."""
        self._need(peer, Trouble.CUT_AFTER_ACCEPT)
        messages = build_messages(3)
        lost = messages[1]
        peer.misbehave(Trouble.CUT_AFTER_ACCEPT, {lost.to_address})
        self._send(mailer, messages)
        found = mailer.find(lost.touch_id, lost.to_address, LONG_AGO)
        assert found.touch_id == lost.touch_id
        assert found.finding is (Finding.SENT if self._can_look(mailer) else Finding.UNAVAILABLE)

    def test_another_touch_to_the_same_address_is_not_taken_for_it(self, mailer: Mailer, peer: Peer) -> None:
        """B1: the earlier email to a person proves nothing of the later one."""
        message = build_message(1)
        self._send(mailer, [message])
        other = mailer.find("f" * 32, message.to_address, LONG_AGO)
        assert len(peer.accepted()) == 1
        assert other.finding is (Finding.NOT_FOUND if self._can_look(mailer) else Finding.UNAVAILABLE)

    def test_what_went_out_before_the_asked_time_is_not_found(self, mailer: Mailer, peer: Peer) -> None:
        """Looking up goes no further back than it is told."""
        message = build_message(1)
        self._send(mailer, [message])
        later = mailer.find(message.touch_id, message.to_address, datetime.now(UTC) + timedelta(days=9000))
        assert len(peer.accepted()) == 1
        assert later.finding is not Finding.SENT

    @staticmethod
    def _send(mailer: Mailer, messages: list[EmailMessage]) -> dict[str, SendOutcome]:
        outcomes = list(mailer.send(messages))
        assert len(outcomes) == len(messages)
        return {outcome.touch_id: outcome for outcome in outcomes}

    @staticmethod
    def _can_look(mailer: Mailer) -> bool:
        return Capability.OUTCOME_LOOKUP in mailer.capabilities()

    @staticmethod
    def _need(peer: Peer, trouble: Trouble) -> None:
        if trouble not in peer.troubles:
            pytest.skip(f"this peer knows no way to {trouble.value}")
