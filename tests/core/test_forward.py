"""An answer on its way to the rep: whom it is answered to, what it says, and that it cannot go round (B27)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.headerregistry import Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.core.forward import TEXT_LIMIT, Forwarding, compose_forward, is_loop
from crmdrip.core.hearing import Heard, read_signals, reported_addresses
from crmdrip.core.inbound import InboundMail
from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.core.tokens import ReplyTokens
from crmdrip.core.whose import Addressee, How, Known, Whose, find_whose, read_clues
from crmdrip.inbound import classify, read_mail

DOMAIN = "reply.vendor.example"
TO_RITA = Forwarding(id="f" * 32, to="rita@vendor.example", domain=DOMAIN, answers="step 2 of 4 of Intro")


def mail(**changes) -> InboundMail:
    """Ann's answer."""
    fields = {
        "message_id": "<1@acme.example>",
        "references": ("<0@vendor.example>",),
        "sender": "ann@acme.example",
        "sender_name": "Ann Lee",
        "subject": "Re: Hello",
        "text": "Yes, let us talk.",
    }
    return InboundMail(**(fields | changes))


def forwarded(a_mail: InboundMail):
    """What goes to Rita."""
    message = compose_forward(a_mail, TO_RITA)
    assert message is not None
    return message


class TestAddresses:
    """Who it is from, and whom it is answered to."""

    def test_it_comes_from_the_rep_and_is_answered_to_the_person(self):
        """From our own domain, so that no mailbox provider takes it for forged."""
        message = forwarded(mail())
        assert (message.from_address, message.to_address) == ("rita@vendor.example", "rita@vendor.example")
        assert (message.from_name, message.reply_to) == ("Ann Lee", "ann@acme.example")

    def test_it_is_answered_where_the_person_wants_it(self):
        """Their own Reply-To."""
        assert forwarded(mail(reply_to=("office@acme.example",))).reply_to == "office@acme.example"

    @pytest.mark.parametrize("changes", [{"sender": ""}, {"sender": "not an address"}])
    def test_without_anybody_to_answer_it_stays(self, changes):
        """It is on the timeline."""
        assert compose_forward(mail(**changes), TO_RITA) is None

    def test_a_name_cannot_forge_a_header(self):
        """B27: header injection."""
        evil = mail(sender_name='Ann"\r\nBcc: all@acme.example <x>', subject="Hi\r\nBcc: all@acme.example")
        message = forwarded(evil)
        assert "\n" not in message.from_name + message.subject
        assert Address(message.from_name, addr_spec=message.from_address).addr_spec == "rita@vendor.example"


class TestThread:
    """The rep's answer lands in the person's thread."""

    def test_it_goes_on_in_the_persons_thread(self):
        """References end with the mail itself."""
        headers = forwarded(mail()).headers
        assert headers["In-Reply-To"] == "<1@acme.example>"
        assert headers["References"] == "<0@vendor.example> <1@acme.example>"

    @pytest.mark.parametrize("name", ["<a b@x>", "<>", "1@x", f"<{'x' * 300}@x>", "<ä@x>", "<1@x>\r\nBcc: a@b"])
    def test_ids_that_are_none_are_left_out(self, name):
        """B27: what anybody writes in a header."""
        assert "In-Reply-To" not in forwarded(mail(message_id=name, references=())).headers


class TestText:
    """What it says."""

    def test_it_says_what_was_answered(self):
        """For the rep who has many."""
        assert "Ann Lee answered step 2 of 4 of Intro. Your answer goes to ann@acme.example." in forwarded(mail()).text

    def test_the_history_stands_below(self):
        """As people know it."""
        text = forwarded(mail(quoted="Hi Ann,\nshall we talk?")).text
        assert text.endswith("> Hi Ann,\n> shall we talk?\n")

    def test_attachments_are_named(self):
        """B27: they are never opened, and not sent on."""
        text = forwarded(mail(attachments=tuple(f"{n}.pdf" for n in range(12)))).text
        assert "Attached, and not sent on: 0.pdf, 1.pdf" in text
        assert "and 2 more. Ask for them where you need them." in text

    def test_it_is_bounded(self):
        """B27: ten thousand lines."""
        message = forwarded(mail(text="x" * 1_000_000, quoted="y" * 1_000_000))
        assert len(message.text) < 2 * TEXT_LIMIT + 2_000
        assert "The email was longer; the rest is left out." in message.text

    def test_html_in_it_is_text(self):
        """B27."""
        assert "<script>" not in forwarded(mail(text="<script>alert(1)</script>")).html


class TestLoops:
    """Nothing goes round."""

    def test_what_we_sent_on_is_known_again(self):
        """X-Loop."""
        headers = {"x-loop": (forwarded(mail()).headers["X-Loop"],)}
        assert is_loop(mail(headers=headers), DOMAIN)

    @pytest.mark.parametrize("headers", [{}, {"x-loop": ("other.example",)}])
    def test_others_loops_are_theirs(self, headers):
        """Mailing lists set it too."""
        assert not is_loop(mail(headers=headers), DOMAIN)

    def test_it_asks_machines_not_to_answer(self):
        """RFC 3834, and Exchange's own."""
        headers = forwarded(mail()).headers
        assert (headers["Auto-Submitted"], headers["X-Auto-Response-Suppress"]) == ("auto-generated", "All")


FIXED = datetime(2026, 11, 3, 12, tzinfo=UTC)
ANN = Addressee(
    address="ann@acme.example", ref=RecordRef(kind=RecordKind.CONTACT, id="0031"), mailed="ann@acme.example"
)
PIECES = st.sampled_from(
    [b"From: ", b"Reply-To: ", b"References: ", b"Subject: ", b"\r\n", b"\n\n", b"<", b">", b"@", b",", b"a" * 40]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=40)), max_size=60))
def test_no_bytes_break_it(pieces):
    """B27: from the bytes to the signals and the rep's copy, whatever anybody writes."""
    a_mail = read_mail(b"".join(pieces), envelope_to=("reply+x@reply.vendor.example",))
    tokens = ReplyTokens(("0123456789abcdef",))
    clues = read_clues(a_mail, tokens.read)
    find_whose(a_mail, clues, Known(by_touch={}, by_address={}))
    for how in How:
        heard = Heard(
            key="k",
            mail=a_mail,
            reading=classify(a_mail, FIXED),
            whose=Whose(how=how, people=(ANN,) if how is How.TOKEN else ()),
            at=FIXED,
            reported=dict.fromkeys(reported_addresses(a_mail), FIXED),
        )
        for signal in read_signals(heard):
            assert len(signal.detail) <= 255
            assert b"\x00" not in f"{signal.detail}{signal.address}".encode()  # a database refuses both
            assert len(signal.key) <= 255
    message = compose_forward(a_mail, TO_RITA)
    if message is not None:
        lines = [message.subject, message.from_name, message.reply_to, *message.headers.values()]
        assert not any("\n" in line or "\r" in line for line in lines)
        message.text.encode()
