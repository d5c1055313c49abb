"""A mail's parts as values: addresses, ids, text, names of attachments, calendar."""

from __future__ import annotations

from datetime import UTC, datetime
from email.header import Header

import pytest

from crmdrip.core.inbound import Attendance, CalendarMethod
from crmdrip.inbound import read_mail
from crmdrip.inbound.addresses import read_addresses
from crmdrip.inbound.charsets import decode_text, decode_words
from crmdrip.inbound.mime import read_value


def mail(head: str, body: bytes | str = "Hello") -> bytes:
    """A mail with the given fields."""
    return head.encode() + b"\n\n" + (body if isinstance(body, bytes) else body.encode())


def test_threads_and_recipients_are_read() -> None:
    """B6: everything by which the sender can be found."""
    read = read_mail(
        mail(
            'From: "Field, Dana" <Dana@Customer.Example>\nReply-To: d.field@home.example\n'
            "To: Sam <SAM@us.example>, Ann\n <ann@us.example>\n"
            "Cc: team: x@us.example, y@us.example;\nDelivered-To: reply+tok@in.us.example\n"
            "Message-ID: <m1@customer.example>\nIn-Reply-To: <t1@us.example>\n"
            "References: <t0@us.example>\n <t1@us.example>\n"
            "Subject: Re: hello\nDate: Mon, 3 Aug 2026 12:00:00 +0200"
        ),
        envelope_to=["Reply+TOK2@in.us.example"],
    )
    assert (read.sender, read.sender_name) == ("dana@customer.example", "Field, Dana")
    assert read.reply_to == ("d.field@home.example",)
    assert read.to == ("sam@us.example", "ann@us.example")
    assert read.cc == ("x@us.example", "y@us.example")
    assert read.delivered_to[:2] == ("reply+tok2@in.us.example", "reply+tok@in.us.example")
    assert set(read.to) < set(read.delivered_to)
    assert (read.message_id, read.in_reply_to) == ("<m1@customer.example>", ("<t1@us.example>",))
    assert read.references == ("<t0@us.example>", "<t1@us.example>")
    assert read.date == datetime(2026, 8, 3, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a@b.example", [("", "a@b.example")]),
        ("A <a@b.example>", [("A", "a@b.example")]),
        ('"A, B" <a@b.example>, c@d.example', [("A, B", "a@b.example"), ("", "c@d.example")]),
        ("a@b.example (A B)", [("A B", "a@b.example")]),
        ("<a@b.example>", [("", "a@b.example")]),
        ("undisclosed-recipients:;", []),
        ("MAILER-DAEMON <>", []),
        ("nobody", []),
        ("a@b.example; c@d.example", [("", "a@b.example"), ("", "c@d.example")]),
        ("<@relay.example:a@b.example>", [("", "a@b.example")]),
        ("<mailto:a@b.example>", []),
        ("Ä <a@bücher.example>", [("Ä", "a@xn--bcher-kva.example")]),
        ("((((a@b.example", [("(((", "a@b.example")]),
        ('"unclosed <a@b.example>', [("unclosed", "a@b.example")]),
    ],
)
def test_a_list_of_addresses_is_read(value: str, expected: list[tuple[str, str]]) -> None:
    """In the forms people's programs write, and in broken ones."""
    assert read_addresses(value) == expected


@pytest.mark.parametrize("charset", ["iso-2022-jp", "shift_jis", "euc-jp", "utf-8", "utf-16"])
def test_japanese_is_read_in_each_of_its_charsets(charset: str) -> None:
    """In the text and in the subject."""
    subject = Header("導入について", charset if charset != "utf-16" else "utf-8").encode()
    body = "資料をお送りください。".encode(charset)
    read = read_mail(mail(f"From: a@b.example\nSubject: {subject}\nContent-Type: text/plain; charset={charset}", body))
    assert read.subject == "導入について"
    assert read.text == "資料をお送りください。"


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        ("Grüße".encode(), "iso-8859-1"),
        ("Grüße".encode(), "us-ascii"),
        ("Grüße".encode(), ""),
        ("Grüße".encode("cp1252"), "utf-8"),
        ("Grüße".encode("cp1252"), ""),
        ("Grüße".encode("cp1252"), "x-unknown"),
        ("Grüße".encode("latin-1"), "ISO_8859-1"),
        ("Grüße".encode() + b"\xc3", "utf-8"),
    ],
)
def test_a_wrong_charset_does_no_harm(data: bytes, charset: str) -> None:
    """The well-known mistakes of mail programs."""
    assert decode_text(data, charset) == "Grüße"


def test_an_accent_at_the_end_is_no_character_cut_off() -> None:
    """Its byte begins a character in UTF-8, and stands for itself in Windows-1252."""
    assert decode_text("voilà".encode("cp1252")) == "voilà"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?utf-8?b?R3LDvMOfZQ==?=", "Grüße"),
        ("=?utf-8?b?R3LD?= =?utf-8?b?vMOfZQ==?=", "Grüße"),
        ("Re: =?iso-8859-1?q?Gr=FC=DFe?= aus", "Re: Grüße aus"),
        ("=?utf-8*de?q?a_b?=", "a b"),
        ("=?none?q?a=20b?=", "a b"),
        ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        ("=?utf-8?b?!!!?=", ""),
        ("=?broken", "=?broken"),
    ],
)
def test_encoded_words_are_decoded(value: str, expected: str) -> None:
    """Also a character cut in two, a language, and what is no encoded word."""
    assert decode_words(value) == expected


@pytest.mark.parametrize(
    ("value", "filename"),
    [
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ("attachment; filename=a.pdf", "a.pdf"),
        ("attachment; filename*=utf-8''%E2%82%AC.pdf", "€.pdf"),
        ('attachment; filename*0="long"; filename*1=".pdf"', "long.pdf"),
        ("attachment; filename*0*=utf-8'de'gr%C3%BC; filename*1*=n.pdf", "grün.pdf"),
        ('attachment; filename="un closed', "un closed"),
    ],
)
def test_parameters_are_read(value: str, filename: str) -> None:
    """RFC 2045 and 2231."""
    assert read_value(value)[1]["filename"] == filename


def test_the_plain_text_of_an_alternative_is_preferred() -> None:
    """Unless it is blank."""
    for plain, expected in (("plain words", "plain words"), (" \n", "marked-up words")):
        read = read_mail(
            mail(
                'Content-Type: multipart/alternative; boundary="x"',
                f"--x\nContent-Type: text/plain\n\n{plain}\n"
                "--x\nContent-Type: text/html\n\n<p>marked-up words</p>\n--x--",
            )
        )
        assert read.text == expected


def test_attachments_are_named() -> None:
    """By either field; text that is meant to be saved is not read."""
    read = read_mail(
        mail(
            'Content-Type: multipart/mixed; boundary="x"',
            "--x\n\nSee here.\n--x\nContent-Type: text/plain; name=notes.txt\n\nunsubscribe\n"
            '--x\nContent-Disposition: attachment; filename="a/../b.pdf"\nContent-Type: application/pdf\n\n%PDF\n--x--',
        )
    )
    assert read.text == "See here."
    assert read.attachments == ("notes.txt", "a/../b.pdf")


def test_a_mail_without_header_is_all_text() -> None:
    """And one without a blank line has a header and no text."""
    assert read_mail(b"Just words here\nand more").text == "Just words here\nand more"
    assert read_mail(b"From: a@b.example\nSubject: x").sender == "a@b.example"


def test_old_line_ends_are_read() -> None:
    """CR alone, and an mbox's separator before the header."""
    assert read_mail(b"From: a@b.example\rSubject: x\r\rHello").text == "Hello"
    assert read_mail(b"From a@b.example Mon Aug  3\nFrom: a@b.example\n\nHello").sender == "a@b.example"


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Aug 2026 25:00:00 +9999", "Mon, 3 Aug 1850 10:00:00 +0000"])
def test_an_absurd_date_is_none(date: str) -> None:
    """The sender's clock is the sender's claim."""
    assert read_mail(mail(f"From: a@b.example\nDate: {date}")).date is None


def calendar(lines: str, method: str = "REPLY") -> bytes:
    """A mail with one calendar part."""
    body = f"BEGIN:VCALENDAR\nMETHOD:{method}\nBEGIN:VEVENT\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n"
    return mail("From: dana@b.example\nContent-Type: text/calendar; charset=utf-8", body)


@pytest.mark.parametrize(
    ("partstat", "attendance"),
    [
        ("ACCEPTED", Attendance.ACCEPTED),
        ("declined", Attendance.DECLINED),
        ("TENTATIVE", Attendance.TENTATIVE),
        ("DELEGATED", Attendance.DELEGATED),
        ("NEEDS-ACTION", Attendance.NONE),
        ("X-MAYBE", Attendance.NONE),
    ],
)
def test_a_calendar_answer_says_who_answers_how(partstat: str, attendance: Attendance) -> None:
    """RFC 5546: the attendee of a REPLY is the one who answers."""
    read = read_mail(
        calendar(
            f'ATTENDEE;CN="Field, Dana";PARTSTAT={partstat}:MAILTO:Dana@B.example\nORGANIZER:mailto:sam@us.example\n'
            "UID:e1\nSUMMARY:Intro\\, with a long\n  title\nDTSTART;TZID=Europe/Berlin:20260806T140000"
        )
    )
    assert read.calendar is not None
    assert read.calendar.method is CalendarMethod.REPLY
    assert (read.calendar.attendee, read.calendar.attendance) == ("dana@b.example", attendance)
    assert (read.calendar.organizer, read.calendar.uid) == ("sam@us.example", "e1")
    assert read.calendar.summary == "Intro, with a long title"
    assert read.calendar.starts_at == datetime(2026, 8, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize("start", ["DTSTART:20261399T990000Z", "DTSTART;TZID=Mars/Olympus:20260806T140000", "X:y"])
def test_a_calendar_time_that_cannot_be_read_is_none(start: str) -> None:
    """An impossible date, or a zone of the sender's own invention."""
    read = read_mail(calendar(f"UID:e1\n{start}", "REQUEST"))
    assert read.calendar is not None
    assert read.calendar.method is CalendarMethod.REQUEST
    assert read.calendar.starts_at is None


def test_a_calendar_without_an_event_is_none() -> None:
    """A part that says it is a calendar."""
    assert read_mail(mail("Content-Type: text/calendar", "BEGIN:VCALENDAR\nEND:VCALENDAR")).calendar is None
