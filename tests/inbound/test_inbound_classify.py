"""Headers, subject and words, in this order: what each of them says about who wrote a mail."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from crmdrip.core.inbound import InboundMail, MailKind
from crmdrip.inbound import classify, read_mail
from crmdrip.inbound.machines import Evidence, weigh

RECEIVED = datetime(2026, 8, 3, 10, tzinfo=UTC)
ANSWER = "In-Reply-To: <t1@us.example>\nSubject: Re: quick idea"
QUOTE = "\n\nOn Mon, Aug 3, 2026 at 9:00 Sam <sam@us.example> wrote:\n> I am out of the office. Please remove me.\n"


def read(head: str, text: str = "Thanks, noted.") -> MailKind:
    """The kind of a mail of Dana's with these fields."""
    sender = "" if "From:" in head else "From: Dana <dana@customer.example>\n"
    return classify(read_mail(f"{sender}{head}\n\n{text}\n".encode()), RECEIVED).kind


@pytest.mark.parametrize(
    "field",
    [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated (failure)",
        "Auto-Submitted: auto-notified; owner-email=x@y.example",
        "X-Autoreply: yes",
        "X-Autorespond: vacation",
        "X-Autoresponder: 1",
        "X-Vacation: yes",
        "Precedence: auto_reply",
        "X-POST-MessageClass: 9; Autoresponder",
        "Delivered-To: Autoresponder",
        "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent",
        "From: MAILER-DAEMON <>",
    ],
)
def test_a_machine_that_says_so_is_believed(field: str) -> None:
    """B8: even where it answers in a thread, quotes, and writes like a person."""
    assert read(f"{field}\n{ANSWER}", f"Thanks, noted. Let's talk on Friday?{QUOTE}") is MailKind.AUTO_REPLY


SUSPICIOUS = [
    "X-Auto-Response-Suppress: All",
    "X-Auto-Response-Suppress: DR, OOF, AutoReply",
    "Precedence: bulk",
    "Precedence: junk",
    "Precedence: list",
    "List-Id: <ops.customer.example>",
    "List-Unsubscribe: <mailto:u@customer.example>",
    "Return-Path: <>",
    "X-MS-Exchange-Inbox-Rules-Loop: dana@customer.example",
    "From: Contoso <no-reply@customer.example>",
    "From: Dana <postmaster@customer.example>",
]


@pytest.mark.parametrize("field", SUSPICIOUS)
def test_what_machines_and_lists_share_counts_unless_a_person_answers(field: str) -> None:
    """B8: the same field over a notice, and over an answer with our mail below it."""
    assert read(f"{field}\nSubject: News", "Here is our news.") is MailKind.AUTO_REPLY
    assert read(f"{field}\n{ANSWER}", f"Sure, let's talk on Friday.{QUOTE}") is MailKind.REPLY


@pytest.mark.parametrize(
    "field",
    ["Auto-Submitted: no", "X-Autoreply: no", "X-Auto-Response-Suppress: DR, RN", "Precedence: first-class", ""],
)
def test_what_says_nothing_changes_nothing(field: str) -> None:
    """The fields of ordinary mail."""
    head = f"{field}\n{ANSWER}" if field else ANSWER
    assert read(head) is MailKind.REPLY
    assert weigh(read_mail(f"From: d@c.example\n{head}\n\nx".encode()).headers)[0] is Evidence.NONE


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        ("Automatic reply: quick idea", MailKind.OUT_OF_OFFICE),
        ("[EXTERNAL] Automatic reply: quick idea", MailKind.OUT_OF_OFFICE),
        ("Out of Office: Re: quick idea", MailKind.OUT_OF_OFFICE),
        ("Re: Out of office", MailKind.REPLY),
        ("AW: Abwesenheitsnotiz", MailKind.REPLY),
        ("Out of office automation for your team", MailKind.REPLY),
    ],
)
def test_a_subject_counts_where_a_program_puts_it(subject: str, kind: MailKind) -> None:
    """At the beginning, and not below a "Re:" that only people write."""
    assert read(f"Subject: {subject}", "I am away until Friday.") is kind


def test_a_person_may_write_about_their_absence() -> None:
    """A mail of its own with such a subject, that wants something."""
    assert read("Subject: Absent next week", "I'm away next week, please call me after.") is MailKind.REPLY


def test_quoted_history_never_decides() -> None:
    """Our own mail below the answer speaks of absences, machines and removal."""
    assert read(ANSWER, f"Yes.{QUOTE}") is MailKind.REPLY
    assert read(ANSWER, f"{QUOTE}") is MailKind.REPLY


def test_a_signature_never_decides() -> None:
    """A company's notice below an answer speaks of unsubscribing."""
    assert read(ANSWER, "Yes.\n\n-- \nDana\nunsubscribe\nThis is an automated message.") is MailKind.REPLY


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("unsubscribe", ""),
        ("Unsubscribe", "x"),
        ("unsubscribe:token-1", ""),
        ("Re: hi", "unsubscribe"),
        ("abmelden", ""),
    ],
)
def test_a_bare_unsubscribe_is_one(subject: str, text: str) -> None:
    """B22: what a mail program sends to a `mailto:` of List-Unsubscribe, and what people type."""
    assert read(f"Subject: {subject}", text) is MailKind.UNSUBSCRIBE


def test_a_subject_of_one_word_needs_a_text_that_agrees() -> None:
    """To cancel a meeting is no wish to be left alone."""
    assert read("Subject: cancelar", "Quiero cancelar la reunión del martes.") is MailKind.REPLY
    assert read("Subject: Stop", "Stop by on Tuesday, will you?") is MailKind.REPLY


def test_a_machine_does_not_unsubscribe() -> None:
    """The footer of an automatic reply is no wish of a person's."""
    text = "We got your message. To stop these mails please unsubscribe.\nunsubscribe"
    assert read("Auto-Submitted: auto-replied\nSubject: Thanks", text) is MailKind.AUTO_REPLY


def test_the_day_of_return_is_told_from_the_senders_own_day() -> None:
    """The word "tomorrow" in Auckland is another day than in London: the Date field's offset says which."""
    text = (
        "Auto-Submitted: auto-replied\nSubject: Out of office\nDate: {}\n\nI am away today and will be back tomorrow."
    )
    for sent, day in (("Tue, 4 Aug 2026 01:00:00 +1200", 5), ("Mon, 3 Aug 2026 14:00:00 +0100", 4)):
        mail = read_mail(f"From: d@c.example\n{text.format(sent)}".encode())
        assert classify(mail, datetime(2026, 8, 3, 13, tzinfo=UTC)).until == date(2026, 8, day)


def test_a_senders_clock_that_is_far_off_is_not_believed() -> None:
    """The day the mail came in counts instead."""
    head = (
        "From: d@c.example\nAuto-Submitted: auto-replied\nSubject: Out of office\nDate: Mon, 3 Aug 2020 10:00:00 +0000"
    )
    assert classify(read_mail(f"{head}\n\nBack on Friday.".encode()), RECEIVED).until == date(2026, 8, 7)


def test_nothing_at_all_is_unreadable() -> None:
    """No sender, no subject, no text."""
    assert classify(InboundMail(), RECEIVED).kind is MailKind.UNREADABLE
    assert classify(read_mail(b"\n\n\n"), RECEIVED).kind is MailKind.UNREADABLE


def test_a_reading_tells_why() -> None:
    """For whoever asks why a run was paused."""
    mail = read_mail(b"From: d@c.example\nAuto-Submitted: auto-replied\n\nIch bin bis 12.8. im Urlaub.")
    reading = classify(mail, RECEIVED)
    assert reading.why == "header:auto-submitted words:away"
    assert reading.language == "de"
