"""A mail server that answers anything at all: mails, or an error with a name; and none is lost by it (P2, B27)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imap_mailboxes import build_mailbox
from imap_server import ImapServer

from crmdrip.core.errors import CrmdripError
from crmdrip.testing.mailbox import build_mail

EXAMPLES = int(os.environ.get("CRMDRIP_FUZZ", "60"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

COMMANDS = ("CAPABILITY", "AUTHENTICATE", "EXAMINE", "UID SEARCH", "UID FETCH", "NOOP")
WITHIN = 20.0

NUMBERS = st.sampled_from([b"0", b"1", b"2", b"-1", b"007", b"1.5", b"\xb2", b"*", b""])
PIECES = st.sampled_from(
    [
        b"* SEARCH 1",
        b"* OK [UIDVALIDITY 1700000000]",
        b"* OK [UIDNEXT 2]",
        b"* 1 EXISTS",
        b"* 1 FETCH (UID 1 BODY[]<0> {5}\r\nhello)",
        b'* 1 FETCH (UID 1 INTERNALDATE "31-Feb-2026 25:61:00 +9999" BODY[] "a\\"b")',
        b"* 1 FETCH (UID 1 BODY[] NIL)",
        b"* BYE",
        b"* NO [ALERT] \xff",
        b"+ go on",
        b"+",
        b"%T OK [READ-ONLY]",
        b"%T NO [LIMIT] later",
        b"%T BAD",
        b"%T",
        b"{3}",
        b"{99999999999}",
        b"(((((",
        b'"',
        b"\r\n",
        b"\0",
    ]
)
ANSWERS = st.lists(PIECES | NUMBERS | st.binary(max_size=30), max_size=8)
ENDS = st.sampled_from([b"\r\n%T OK done\r\n", b"\r\n%T NO no\r\n", b"\r\n"])


@pytest.fixture(scope="module")
def server() -> Iterator[ImapServer]:
    """With one email, that a person wrote."""
    with ImapServer() as server:
        server.deliver(build_mail(1))
        yield server


@fuzz
@given(
    command=st.sampled_from(COMMANDS),
    pieces=ANSWERS,
    between=st.sampled_from([b" ", b"\r\n", b"\r\n* "]),
    end=ENDS,
    rested=st.booleans(),
)
def test_whatever_a_mail_server_says_is_read_or_has_a_name(
    server: ImapServer, command: str, pieces: list[bytes], between: bytes, end: bytes, *, rested: bool
) -> None:
    """P3: no mailbox ends with an error that nobody can read, whichever of its questions is answered with what."""
    with closing(build_mailbox(server.port, reply_timeout=0.1)) as mailbox:
        if rested:
            list(mailbox.drain(None, WITHIN))
        server.manners.says = {command: between.join(pieces) + end}
        try:
            for page in mailbox.drain(None, WITHIN):
                assert all(mail.key and mail.received_at.tzinfo for mail in page.mails)
        except CrmdripError as error:
            assert error.what  # noqa: PT017 - either is right
        finally:
            server.manners.says = {}


@fuzz
@given(at=st.integers(0, 400), spoiled=st.binary(max_size=12), length=st.integers(0, 12))
def test_an_answer_to_a_fetch_that_came_spoiled_passes_no_email_over(
    server: ImapServer, at: int, spoiled: bytes, length: int
) -> None:
    """P2: what could not be read as this email is asked for again, or was read; a stop is not lost to a bad line."""
    whole = b"* 1 FETCH (UID 1 RFC822.SIZE 200 BODY[]<0> {%d}\r\n%b)\r\n" % (len(build_mail(1)), build_mail(1))
    answer = whole[:at] + spoiled + whole[at + length :]
    with closing(build_mailbox(server.port, reply_timeout=0.1)) as mailbox:
        server.manners.says = {"UID FETCH": answer + b"%T OK done\r\n"}
        mails, cursor = [], None
        try:
            for page in mailbox.drain(None, WITHIN):
                mails += page.mails
                cursor = page.cursor
        except CrmdripError:
            cursor = None
        finally:
            server.manners.says = {}
        assert mails or cursor is None, "the email was passed over"
