"""What a report says about a mail of ours: whom it concerns, whether for good, and which mail it was."""

from __future__ import annotations

import json

import pytest

from crmdrip.core.inbound import MailKind, ReportKind
from crmdrip.inbound import classify, read_mail
from crmdrip.inbound.diagnosis import find_status, is_permanent

from bounds import RECEIVED  # isort: skip

HEAD = (
    "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example (Mail Delivery System)\nTo: sam@us.example\nSubject: Undelivered\n"
)
ORIGINAL = (
    "Message-ID: <touch-9@us.example>\nFrom: sam@us.example\nTo: ghost@customer.example\nSubject: hi\nX-Touch: 7f\n"
)


def report(status: str, original: str = ORIGINAL, kind: str = "message/delivery-status") -> bytes:
    """A multipart report."""
    return (
        f'{HEAD}Content-Type: multipart/report; boundary="b"\n\n--b\nContent-Type: text/plain\n\nSorry.\n'
        f"--b\nContent-Type: {kind}\n\n{status}\n--b\nContent-Type: message/rfc822\n\n{original}\nHello\n--b--\n"
    ).encode()


def test_a_delivery_report_names_recipient_status_and_original() -> None:
    """B7: everything that finds the touch again, our own header fields among it."""
    raw = report(
        "Reporting-MTA: dns; mx.example\n\nOriginal-Recipient: rfc822;Ghost@Customer.example\n"
        "Final-Recipient: rfc822; ghost@customer.example\nAction: Failed\nStatus: 5.1.1 (bad mailbox)\n"
        "Diagnostic-Code: smtp; 550 5.1.1 <ghost@customer.example>\n User unknown\n"
    )
    read = read_mail(raw).report
    assert read is not None
    assert read.kind is ReportKind.DELIVERY
    assert read.message_ids == ("<touch-9@us.example>",)
    assert read.headers["x-touch"] == ("7f",)
    (one,) = read.recipients
    assert (one.address, one.original) == ("ghost@customer.example", "ghost@customer.example")
    assert (one.action, one.status, one.permanent) == ("failed", "5.1.1", True)
    assert one.diagnostic == "550 5.1.1 <ghost@customer.example> User unknown"
    assert read.permanent


def test_blank_lines_between_the_groups_of_a_report_may_be_several() -> None:
    """Some servers write two."""
    raw = report(
        "Reporting-MTA: dns; x\n\n\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n\n"
    )
    read = read_mail(raw).report
    assert read is not None
    assert [one.address for one in read.recipients] == ["a@b.example"]


def test_each_recipient_of_a_report_has_its_own_fate() -> None:
    """One is late, one is gone, one has it."""
    raw = report(
        "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; late@b.example\nAction: delayed\nStatus: 4.4.7\n\n"
        "Final-Recipient: rfc822; gone@b.example\nAction: failed\nStatus: 5.1.1\n\n"
        "Final-Recipient: rfc822; has@b.example\nAction: delivered\nStatus: 2.0.0\n"
    )
    read = read_mail(raw).report
    assert read is not None
    assert [(one.action, one.permanent) for one in read.recipients] == [
        ("delayed", False),
        ("failed", True),
        ("delivered", False),
    ]


def test_a_report_taken_apart_by_a_relay_is_still_read() -> None:
    """The fields of RFC 3464 stand in the text, without a part of their own."""
    raw = (
        f"{HEAD}\nSorry.\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed\n"
        f"Status: 5.1.1\n\n{ORIGINAL}"
    ).encode()
    read = read_mail(raw).report
    assert read is not None
    assert read.source == "rfc3464"
    assert read.recipients[0].address == "a@b.example"
    assert "<touch-9@us.example>" in read.message_ids


@pytest.mark.parametrize(
    ("feedback", "complaint"), [("abuse", True), ("fraud", True), ("not-spam", False), ("auth-failure", False)]
)
def test_a_feedback_report_is_a_complaint_when_somebody_complained(feedback: str, *, complaint: bool) -> None:
    """RFC 5965 and 6430: a provider also reports "not spam" and failed DMARC checks in this form."""
    raw = report(
        f"Feedback-Type: {feedback}\nVersion: 1\nOriginal-Rcpt-To: angry@b.example\n", kind="message/feedback-report"
    )
    mail = read_mail(raw)
    assert mail.report is not None
    assert mail.report.is_complaint is complaint
    assert mail.report.recipients[0].address == "angry@b.example"
    assert mail.report.message_ids == ("<touch-9@us.example>",)
    assert classify(mail, RECEIVED).kind is MailKind.COMPLAINT


def test_a_read_receipt_names_the_mail_that_was_read() -> None:
    """B7: RFC 8098; never a reply."""
    raw = report(
        "Final-Recipient: rfc822;dana@b.example\nOriginal-Message-ID: <touch-3@us.example>\n"
        "Disposition: manual-action/MDN-sent-manually; displayed\n",
        kind="message/disposition-notification",
    )
    mail = read_mail(raw)
    assert mail.report is not None
    assert mail.report.message_ids == ("<touch-3@us.example>",)
    assert mail.report.recipients[0].action == "displayed"
    assert classify(mail, RECEIVED).kind is MailKind.RECEIPT


PROSE = [
    ("exim", "  ghost@b.example\n    SMTP error after RCPT TO:<ghost@b.example>:\n    550 5.1.1 No such user", True),
    ("qmail", "This is the qmail-send program.\n\n<ghost@b.example>:\nSorry, no mailbox here by that name.", True),
    ("full", "<ghost@b.example>: 552 5.2.2 mailbox full", False),
    ("policy", "<ghost@b.example>: 550 5.7.1 message rejected as spam", False),
    ("code alone", "ghost@b.example\n550 Rejected", False),
    ("german", "ghost@b.example: Der Empfänger ist unbekannt. 550 5.1.1", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "permanent"), [pytest.param(*one[1:], id=one[0]) for one in PROSE])
def test_a_failure_in_prose_names_its_address_and_whether_for_good(text: str, *, permanent: bool) -> None:
    """What mail systems write for people."""
    mail = read_mail(
        f"{HEAD}\nYour message could not be delivered.\n\n{text}\n\n--- copy of your message\n{ORIGINAL}".encode()
    )
    assert mail.report is not None
    assert [one.address for one in mail.report.recipients] == ["ghost@b.example"]
    assert mail.report.permanent is permanent
    assert mail.report.message_ids[0] == "<touch-9@us.example>"
    assert classify(mail, RECEIVED).kind is MailKind.BOUNCE


def test_a_warning_in_prose_is_a_delay() -> None:
    """It will be tried again: nothing has failed yet."""
    mail = read_mail(
        f"{HEAD}\nWarning only: <a@b.example> 451 4.4.1 timeout. It will be retried for 4 days.\n".encode()
    )
    assert mail.report is not None
    assert mail.report.recipients[0].action == "delayed"
    assert not mail.report.failed


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Delivery problem with order 42", "Your parcel could not be delivered to our office. Can you send it again?"),
        ("Undeliverable promises", "You said 550 euros per month. Is that still right?"),
        ("Delivery delayed", "The delivery has been delayed until May, see my colleague's mail (jo@b.example)."),
        (
            "Re: Undeliverable: hi",
            "Strange, this bounced: 550 5.1.1 User unknown <jo@b.example>. Is there another address?",
        ),
        ("Fwd: Returned mail", "Look what I got:\n\n> 550 5.1.1 <jo@b.example> User unknown"),
    ],
)
def test_a_person_who_writes_about_deliveries_is_a_person(subject: str, text: str) -> None:
    """The words of a bounce without its shape."""
    mail = read_mail(f"From: dana@customer.example\nTo: sam@us.example\nSubject: {subject}\n\n{text}\n".encode())
    assert mail.report is None
    assert classify(mail, RECEIVED).kind is MailKind.REPLY


def test_an_absence_notice_with_an_empty_reverse_path_is_no_bounce() -> None:
    """RFC 3834 permits it to answering programs, and notices name addresses, too."""
    raw = (
        "Return-Path: <>\nFrom: dana@customer.example\nSubject: Automatic reply: hi\n\n"
        "I am out of the office and unable to respond. Contact jo@b.example or extension 550."
    )
    assert classify(read_mail(raw.encode()), RECEIVED).kind is MailKind.OUT_OF_OFFICE


def notice(body: object, *, wrapped: bool) -> bytes:
    """A notice of Amazon SES as SNS mails it."""
    inner = json.dumps(body)
    text = json.dumps({"Type": "Notification", "Message": inner}) if wrapped else inner
    head = "From: no-reply@sns.amazonaws.com\nx-amz-sns-message-id: 1\nSubject: AWS\n"
    return f"{head}\n{text}\n\n--\nTo unsubscribe\n".encode()


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_notice_of_amazon_is_read(*, wrapped: bool) -> None:
    """Whether SNS sends the message raw or wrapped."""
    body = {
        "notificationType": "Bounce",
        "bounce": {
            "bounceType": "Permanent",
            "bouncedRecipients": [{"emailAddress": "Gone@b.example", "status": "5.1.1"}],
        },
        "mail": {
            "commonHeaders": {"messageId": "<touch-5@us.example>"},
            "headers": [{"name": "X-Touch", "value": "7f"}],
        },
    }
    read = read_mail(notice(body, wrapped=wrapped)).report
    assert read is not None
    assert (read.recipients[0].address, read.permanent) == ("gone@b.example", True)
    assert read.message_ids == ("<touch-5@us.example>",)
    assert read.headers["x-touch"] == ("7f",)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"notificationType": "Bounce"},
        {"notificationType": "Bounce", "bounce": [1]},
        {"notificationType": "Complaint", "complaint": {"complainedRecipients": [None, "x"]}},
    ],
)
def test_a_notice_of_another_shape_names_nobody(body: object) -> None:
    """JSON from anybody."""
    read = read_mail(notice(body, wrapped=True)).report
    assert read is None or read.recipients == ()


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "permanent"),
    [
        ("failed", "5.1.1", "", True),
        ("failed", "5.1.10", "RESOLVER.ADR.RecipientNotFound; not found by SMTP address lookup", True),
        ("failed", "5.2.1", "disabled", True),
        ("failed", "5.4.310", "DNS domain does not exist", True),
        ("failed", "5.7.1", "550 5.7.1 User unknown", True),
        ("failed", "5.0.0", "550 Mailbox unavailable", True),
        ("failed", "5.1.1", "552 5.2.2 Over quota", False),
        ("failed", "5.2.2", "", False),
        ("failed", "5.7.1", "Access to this list is restricted", False),
        ("failed", "5.7.509", "does not pass DMARC verification", False),
        ("failed", "5.1.8", "Sender address rejected", False),
        ("failed", "5.0.0", "554 Service unavailable; try again later", False),
        ("failed", "5.3.4", "message too big", False),
        ("failed", "4.4.7", "message expired", False),
        ("failed", "4.0.0", "DNS type 'mx' lookup responded with code NXDOMAIN", True),
        ("delayed", "5.1.1", "User unknown", False),
        ("delivered", "2.1.5", "", False),
    ],
)
def test_an_address_is_given_up_for_what_is_its_own_and_lasting(
    action: str, status: str, diagnostic: str, *, permanent: bool
) -> None:
    """Words outrank numbers; what concerns content, sender, size, quota or the way there is not the address's fault."""
    assert is_permanent(action, status, diagnostic) is permanent


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("550 5.1.1 User unknown", "5.1.1"),
        ("250 2.1.5 Ok, then 451 4.3.0 Error", "4.3.0"),
        ("554 5.0.0 (5.1.1)", "5.1.1"),
        ("550 Rejected", "5.0.0"),
        ("call 555-1234 or 10.0.5.1.1", ""),
        ("", ""),
    ],
)
def test_the_status_in_a_diagnostic_is_found(text: str, status: str) -> None:
    """The telling one, if there are several."""
    assert find_status(text) == status
