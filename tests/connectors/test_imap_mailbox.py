"""What a mailbox over IMAP does with servers that are odd, slow, hostile or gone (P2, P4, B5, B27)."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from imap_mailboxes import build_mailbox
from imap_server import TOKEN, ImapServer
from pydantic import SecretStr, ValidationError

from connectors.imap.cursor import Position, parse_position
from connectors.imap.identity import identify_mail
from connectors.imap.mailbox import PAGE_BYTES, REFUSALS
from connectors.imap.session import encode_folder
from connectors.imap.settings import ImapSettings
from crmdrip.core.errors import AuthError, ConfigurationError, RateLimitedError, RetriableError
from crmdrip.sandbox.certificate import make_certificate
from crmdrip.testing.mailbox import build_mail, drain_all

NO_PASSWORD = {"password": SecretStr("")}


@pytest.fixture
def server():
    """A server that does as it is told."""
    with ImapServer() as server:
        yield server


def bodies(mails):
    """What was read."""
    return [mail.body for mail in mails]


def pages_of(mailbox, cursor=None):
    """Every page."""
    return list(mailbox.drain(cursor, 20))


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_server_without_uidnext_is_read_from_its_end(server):
    """RFC 3501 lets it out; what is old is not read for that."""
    server.manners.tells_uidnext = False
    server.deliver(build_mail(1), arrived_at=datetime.now(UTC) - timedelta(days=30))
    with closing(build_mailbox(server.port)) as mailbox:
        mails, cursor = drain_all(mailbox)
        assert mails == []
        server.deliver(build_mail(2))
        assert bodies(drain_all(mailbox, cursor)[0]) == [build_mail(2)]


def test_a_server_without_lasting_numbers_is_refused(server):
    """Without UIDVALIDITY nobody could say what was read."""
    server.manners.tells_uidvalidity = False
    with closing(build_mailbox(server.port)) as mailbox, pytest.raises(ConfigurationError, match="UIDVALIDITY"):
        drain_all(mailbox)


def test_the_first_reading_looks_back_so_far_and_no_further(server):
    """Years of mail are no answers to what was never sent."""
    for days in (20, 3):
        server.deliver(build_mail(days), arrived_at=datetime.now(UTC) - timedelta(days=days))
    with closing(build_mailbox(server.port, look_back_days=7)) as mailbox:
        assert bodies(drain_all(mailbox)[0]) == [build_mail(3)]


def test_a_renumbered_folder_is_read_back_to_where_it_was_read(server):
    """However long nobody read it: what came since the last reading is read, whatever look_back_days says."""
    server.deliver(build_mail(1), arrived_at=datetime.now(UTC) - timedelta(days=40))
    server.deliver(build_mail(2), arrived_at=datetime.now(UTC) - timedelta(days=20))
    day = (datetime.now(UTC) - timedelta(days=30)).date()
    known = str(Position(uidvalidity=5, uid=900, day=day))
    with closing(build_mailbox(server.port, look_back_days=1)) as mailbox:
        (page,) = pages_of(mailbox, known)
    assert bodies(page.mails) == [build_mail(2)]
    assert page.notes == ("the server numbered its mails anew: 1 of 1 are read again",)


def test_a_cursor_of_somebody_else_is_not_guessed_at(server):
    """Reading from the beginning in its place would be quiet about what it does."""
    with closing(build_mailbox(server.port)) as mailbox, pytest.raises(ConfigurationError, match="makes no sense"):
        drain_all(mailbox, "a-token-of-another-connector")


def test_an_email_that_is_deleted_meanwhile_is_passed_over(server):
    """Between the search and the reading somebody tidies up."""
    for number in range(60):
        server.deliver(build_mail(number))
    with closing(build_mailbox(server.port)) as mailbox:
        pages = mailbox.drain(None, 20)
        first = next(pages)
        server.expunge(55)
        rest = list(pages)
    assert len(first.mails) + sum(len(page.mails) for page in rest) == 59


def test_too_large_an_email_is_read_from_its_beginning(server):
    """B27: what a person wrote stands before the attachments; nobody keeps the rest in memory."""
    raw = build_mail(1) + b"x" * 300_000
    server.deliver(raw)
    with closing(build_mailbox(server.port, megabytes=0.125)) as mailbox:
        (page,) = pages_of(mailbox)
    assert bodies(page.mails) == [raw[: 128 * 1024]]
    assert page.notes == (f"email 1 has {len(raw)} bytes, of which the first {128 * 1024} are read",)


def test_pages_are_bounded_in_bytes(server):
    """B27: a folder full of large emails is read a few at a time."""
    for number in range(6):
        server.deliver(build_mail(number) + b"x" * (PAGE_BYTES // 4))
    with closing(build_mailbox(server.port, megabytes=4.0)) as mailbox:
        assert [len(page.mails) for page in pages_of(mailbox)] == [4, 2]


def test_an_email_that_the_server_cannot_give_is_passed_over_in_the_end(server):
    """A broken file keeps neither what came before it nor, after some attempts, what came behind it."""
    for number in range(1, 4):
        server.deliver(build_mail(number))
    server.manners.refused = frozenset({2})
    with closing(build_mailbox(server.port)) as mailbox:
        pages = mailbox.drain(None, 20)
        first = next(pages)
        with pytest.raises(RetriableError, match=r"email 2 is not given.*\(address\)"):
            next(pages)
        for _ in range(REFUSALS - 2):
            with pytest.raises(RetriableError):
                drain_all(mailbox, first.cursor)
        (last,) = pages_of(mailbox, first.cursor)
    assert bodies(first.mails) == [build_mail(1)]
    assert bodies(last.mails) == [build_mail(3)]
    assert last.notes[0].endswith(f"it is passed over after {REFUSALS} attempts")


def test_an_email_that_is_there_but_not_given_is_asked_for_again(server):
    """P2: "OK" without the email means that it was deleted; said of one that is there, an answer would be lost."""
    server.deliver(build_mail(1))
    with closing(build_mailbox(server.port)) as mailbox:
        server.manners.says = {"UID FETCH": b"%T OK done\r\n"}
        with pytest.raises(RetriableError, match="email 1 is not given"):
            drain_all(mailbox)
        server.manners.says = {}
        assert bodies(drain_all(mailbox)[0]) == [build_mail(1)]


def test_a_time_in_the_future_is_the_present(server):
    """B29: a server's clock that is ahead puts no answer behind what has not been sent yet."""
    server.deliver(build_mail(1), arrived_at=datetime.now(UTC) + timedelta(hours=3))
    with closing(build_mailbox(server.port)) as mailbox:
        ((mail,), _) = drain_all(mailbox)
    assert mail.received_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    "body",
    [
        b'* 1 FETCH (UID 1 BODY[]<0> "Subject: \\"x\\"" RFC822.SIZE 12)\r\n',
        b'* 1 FETCH (BODY[]<0> {12}\r\nSubject: "x" RFC822.SIZE 12 UID 1)\r\n',
        b'* 7 FETCH (UID 7 BODY[]<0> {1}\r\ny)\r\n* 1 FETCH (UID 1 BODY[] {12}\r\nSubject: "x")\r\n',
    ],
)
def test_every_way_of_writing_an_email_is_read(server, body):
    """RFC 3501 leaves order and form to the server, and lets it speak of other emails in between."""
    server.deliver(build_mail(1))
    server.manners.says["UID FETCH"] = body + b"%T OK done\r\n"
    with closing(build_mailbox(server.port)) as mailbox:
        assert bodies(drain_all(mailbox)[0]) == [b'Subject: "x"']


# --- logging in -----------------------------------------------------------------------------------------------------


def test_a_password_of_any_characters_is_taken_by_login_too(server):
    """Quotes and backslashes; no AUTH=PLAIN is offered."""
    server.manners.capabilities = "IMAP4rev1 IDLE"
    with closing(build_mailbox(server.port)) as mailbox:
        drain_all(mailbox)
    assert "LOGIN" in server.commands


def test_a_token_is_read_anew_at_each_login(server, tmp_path):
    """XOAUTH2: tokens end after an hour, and something else renews the file."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with closing(build_mailbox(server.port, **NO_PASSWORD, token_file=file)) as mailbox:
        _, cursor = drain_all(mailbox)
        file.write_text("an old one")
        server.hang_up()
        with pytest.raises(ConfigurationError, match="no token"):
            drain_all(mailbox, cursor)
        file.write_text("old")
        with pytest.raises(AuthError):
            drain_all(mailbox, cursor)
        file.write_text(TOKEN)
        assert drain_all(mailbox, cursor)[0] == []


def test_a_token_file_that_is_not_there_is_named(server, tmp_path):
    """Whatever renews the token has not run yet."""
    mailbox = build_mailbox(server.port, **NO_PASSWORD, token_file=tmp_path / "none")
    with closing(mailbox), pytest.raises(ConfigurationError, match=r"mailbox\.token_file"):
        drain_all(mailbox)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("NO LOGIN failed", AuthError),
        ("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", AuthError),
        ("NO [UNAVAILABLE] Temporary authentication failure", RetriableError),
        ("NO [THROTTLED] Account exceeded command or bandwidth limits", RateLimitedError),
        ("NO [LIMIT] Too many simultaneous connections", RateLimitedError),
        ("NO [PRIVACYREQUIRED] TLS first", ConfigurationError),
        ("BAD what", AuthError),
    ],
)
def test_a_refused_login_is_told_by_its_code(server, answer, error):
    """RFC 5530: only some of them can be mended by another password."""
    server.manners.login_answer = answer
    with closing(build_mailbox(server.port)) as mailbox, pytest.raises(error) as caught:
        drain_all(mailbox)
    assert type(caught.value) is error


def test_no_address_of_a_server_message_is_repeated(server):
    """Logs and CRM records carry the reason, and nobody's address."""
    server.revoke()
    with closing(build_mailbox(server.port)) as mailbox, pytest.raises(AuthError) as caught:
        drain_all(mailbox)
    assert "(address)" in str(caught.value)
    assert "@" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(server):
    """With the server's words."""
    mailbox = build_mailbox(server.port, folders=("Réponses & more",))
    with closing(mailbox), pytest.raises(ConfigurationError, match="'Réponses & more' cannot be opened"):
        drain_all(mailbox)
    assert 'EXAMINE "R&AOk-ponses &- more"' in server.commands


def test_a_password_is_not_given_where_it_is_not_wanted(server):
    """LOGINDISABLED: the server would have taken it in clear."""
    server.manners.capabilities = "IMAP4rev1 LOGINDISABLED"
    with closing(build_mailbox(server.port)) as mailbox, pytest.raises(ConfigurationError):
        drain_all(mailbox)
    assert "LOGIN" not in server.commands


# --- protection -----------------------------------------------------------------------------------------------------


def test_starttls_is_never_done_without(server):
    """Somebody on the way may have taken the offer out."""
    mailbox = build_mailbox(server.port, tls="starttls")
    with closing(mailbox), pytest.raises(ConfigurationError, match="no STARTTLS"):
        drain_all(mailbox)
    assert not {"LOGIN", "AUTHENTICATE"} & set(server.commands)


def test_what_is_said_in_clear_behind_starttls_counts_for_nothing(tmp_path):
    """An answer put in between by somebody on the way would be taken for the protected server's."""
    ca_file, context = make_certificate(tmp_path)
    with ImapServer(starttls=context) as server:
        server.manners.after_starttls = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
        mailbox = build_mailbox(server.port, tls="starttls", ca_file=ca_file)
        with closing(mailbox), pytest.raises(RetriableError, match="TLS"):
            drain_all(mailbox)
        assert not {"LOGIN", "AUTHENTICATE"} & set(server.commands)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_mail_is_heard_over_tls(tmp_path, tls):
    """Also where the news stands in TLS's own buffer already, or only in its session tickets."""
    ca_file, context = make_certificate(tmp_path)
    with ImapServer(**{tls: context}) as server:
        server.manners.idles_coalesced = True
        with closing(build_mailbox(server.port, tls=tls, ca_file=ca_file)) as mailbox:
            _, cursor = drain_all(mailbox)
            server.deliver(build_mail(1))
            mailbox.rest()
            assert bodies(drain_all(mailbox, cursor)[0]) == [build_mail(1)]


@pytest.mark.parametrize(
    "change",
    [
        {"tls": "none", "host": "imap.example.com"},
        {"password": SecretStr("")},
        {"token": SecretStr("two ways")},
        {"password": SecretStr("two\r\nlines")},
        {"username": "two\r\nlines"},
        {"folders": ()},
        {"folders": ("A", "A")},
        {"folders": ("A\r\nB",)},
        {"idle_seconds": 1740.0},
        {"ca_file": "/nowhere"},
    ],
)
def test_settings_that_would_not_work_are_refused(change):
    """Before anything is connected to."""
    known = {"host": "127.0.0.1", "username": "rep", "password": SecretStr("x"), "tls": "none"}
    ImapSettings(**known)
    with pytest.raises(ValidationError):
        ImapSettings(**{**known, **change})


# --- resting --------------------------------------------------------------------------------------------------------


def test_idle_is_renewed(server):
    """RFC 2177: before the server's half hour is over, and before routers forget the connection."""
    with closing(build_mailbox(server.port, idle_seconds=0.05)) as mailbox:
        _, cursor = drain_all(mailbox)
        mailbox.rest()
        assert drain_all(mailbox, cursor)[0] == []
        mailbox.rest()
    assert server.commands.count("IDLE") == 2


def test_news_in_the_packet_that_begins_idle_is_heard(server):
    """It would otherwise wait until IDLE is renewed."""
    server.manners.idles_coalesced = True
    with closing(build_mailbox(server.port)) as mailbox:
        _, cursor = drain_all(mailbox)
        server.deliver(build_mail(1))
        mailbox.rest()
        assert bodies(drain_all(mailbox, cursor)[0]) == [build_mail(1)]


def test_signs_of_life_do_not_end_the_rest(server):
    """Dovecot says "Still here" every two minutes, and flags change all day."""
    with closing(build_mailbox(server.port)) as mailbox:
        drain_all(mailbox)
        ended = threading.Event()
        threading.Thread(target=lambda: (mailbox.rest(), ended.set()), daemon=True).start()
        assert server.resting.wait(20)
        server.say(b"* OK Still here\r\n* 1 FETCH (FLAGS (\\Se")
        server.say(b"en))\r\n")
        assert not ended.is_set()
        server.deliver(build_mail(1))
        assert ended.wait(20)
    assert server.commands.count("IDLE") == 1


def test_goodbye_in_the_middle_of_the_rest_is_an_error(server):
    """Servers that restart say so."""
    with closing(build_mailbox(server.port)) as mailbox:
        drain_all(mailbox)
        caught: list[Exception] = []
        ended = threading.Event()

        def rest() -> None:
            try:
                mailbox.rest()
            except RetriableError as error:
                caught.append(error)
            ended.set()

        threading.Thread(target=rest, daemon=True).start()
        assert server.resting.wait(20)
        server.say(b"* BYE restarting\r\n")
        assert ended.wait(20)
    assert "goodbye" in str(caught[0])


def test_a_server_that_refuses_the_idle_it_offers_is_polled(server):
    """Proxies announce what the server behind them does not do."""
    server.manners.refuses_idle = True
    with closing(build_mailbox(server.port, poll_seconds=0.05)) as mailbox:
        _, cursor = drain_all(mailbox)
        mailbox.rest()
        mailbox.rest()
        server.deliver(build_mail(1))
        assert bodies(drain_all(mailbox, cursor)[0]) == [build_mail(1)]
    assert server.commands.count("IDLE") == 1


# --- bad servers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["CAPABILITY", "AUTHENTICATE", "EXAMINE", "UID SEARCH", "UID FETCH", "NOOP"])
def test_a_connection_cut_at_any_point_is_an_error_and_nothing_is_lost(server, command):
    """P4: silence is not "no mail"; the next attempt reads everything."""
    with closing(build_mailbox(server.port)) as mailbox:
        _, cursor = drain_all(mailbox)
        server.deliver(build_mail(1))
        if command not in ("UID SEARCH", "UID FETCH", "NOOP"):
            server.hang_up()
        server.manners.cuts = {command}
        mails = []
        try:
            mails, _ = drain_all(mailbox, cursor)
        except RetriableError:
            mails, _ = drain_all(mailbox, cursor)
    assert server.manners.cuts == set()
    assert bodies(mails) == [build_mail(1)]


@pytest.mark.parametrize(
    "says",
    [
        {"UID FETCH": b"* 1 FETCH (UID 1 BODY[]<0> {99999999999}\r\n"},
        {"UID FETCH": b"* 1 FETCH (UID 1 BODY[]<0> {" + b"9" * 5000 + b"}\r\n"},
        {"UID SEARCH": b"* SEARCH " + b"1 " * 5_000_000},
        {"UID SEARCH": b"* 1 EXISTS\r\n" * 2_000_000},
        {"UID SEARCH": b"\x00\xff nonsense\r\n"},
        {"UID SEARCH": b"* BYE overloaded\r\n"},
        {"UID SEARCH": b"%T NO [UNAVAILABLE] later\r\n"},
        {"UID SEARCH": b"%T BAD what\r\n"},
        {"UID FETCH": b"%T BAD what\r\n"},
        {"EXAMINE": b"* OK [UIDVALIDITY x] y\r\n* OK [UIDNEXT 4] z\r\n%T OK done\r\n"},
        {"EXAMINE": b"%T OK done\r\n"},
        {"CAPABILITY": b"* CAPABILITY\r\n%T OK done\r\n"},
        {"AUTHENTICATE": b"+ " + b"!" * 64 + b"\r\n"},
    ],
)
def test_whatever_a_server_says_it_is_an_error_of_ours(server, says):
    """B27: bounded in memory, and never a crash; a member of the taxonomy each time."""
    server.deliver(build_mail(1))
    server.manners.says = says
    refused = (RetriableError, ConfigurationError, AuthError, RateLimitedError)
    with closing(build_mailbox(server.port)) as mailbox, pytest.raises(refused):
        drain_all(mailbox)


def test_no_greeting_is_waited_for_longer_than_allowed(server):
    """A last look waits for this."""
    server.manners.greeting = b""
    with closing(build_mailbox(server.port)) as mailbox, pytest.raises(RetriableError, match="in time"):
        list(mailbox.drain(None, 0.2))


def test_an_answer_that_drips_is_not_waited_for(server):
    """Each byte comes in time, and the whole never would."""
    server.manners.says = {"UID SEARCH": b"* SEARCH 1"}
    with closing(build_mailbox(server.port)) as mailbox:
        over = threading.Event()

        def drip() -> None:
            while not over.wait(0.02):
                server.say(b"0")

        threading.Thread(target=drip, daemon=True).start()
        with pytest.raises(RetriableError, match="in time"):
            list(mailbox.drain(None, 0.5))
        over.set()


def test_nobody_listening_is_an_error():
    """Connection refused."""
    with ImapServer() as server:
        port = server.port
    with closing(build_mailbox(port)) as mailbox, pytest.raises(RetriableError):
        drain_all(mailbox)


# --- small parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("INBOX", "INBOX"),
        ("a & b", "a &- b"),
        ("Entwürfe", "Entw&APw-rfe"),
        ("~peter/mail/\u53f0\u5317/\u65e5\u672c\u8a9e", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("\U0001f4e5", "&2D3c5Q-"),
    ],
)
def test_folders_are_named_in_modified_utf_7(name, encoded):
    """RFC 3501 section 5.1.3, with its own example."""
    assert encode_folder(name) == encoded


def test_a_position_survives_being_written_down():
    """As the ledger keeps it."""
    position = Position(uidvalidity=4_294_967_295, uid=7, day=datetime(2026, 11, 24, tzinfo=UTC).date())
    assert parse_position(str(position)) == position


def test_copies_of_an_email_have_one_key():
    """Another folder, another server: Received lines, line ends and folding differ, Message-ID and Date do not."""
    one = b"Received: from a\r\nMessage-ID: <1@x>\r\nDate: Tue, 03 Nov 2026 10:00:00 +0000\r\n\r\nHi\r\n"
    other = b"DATE: Tue, 03 Nov 2026\r\n 10:00:00 +0000\r\nReceived: from b\r\nmessage-id:\r\n <1@x>\r\n\r\nHi\r\nMore"
    assert identify_mail(one) == identify_mail(other)
    assert identify_mail(one) != identify_mail(one.replace(b"<1@x>", b"<2@x>"))


def test_what_only_looks_like_a_message_id_makes_no_key():
    """It stands in the body, where anybody may quote it."""
    assert identify_mail(b"From: a@x\r\n\r\nMessage-ID: <1@x>\r\n").startswith("raw:")
