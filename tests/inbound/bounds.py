"""What holds for whatever comes out of the mail reader, however hostile: shared by the tests and the fuzzer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crmdrip.core.inbound import InboundMail, MailKind, Reading
from crmdrip.inbound import classify, limits, read_mail

RECEIVED = datetime(2026, 8, 3, 10, tzinfo=UTC)


def read(raw: bytes) -> tuple[InboundMail, Reading]:
    """A mail and its reading, with every promise about them checked."""
    mail = read_mail(raw, envelope_to=("Reply+token@in.us.example",))
    reading = classify(mail, RECEIVED)
    check_sizes(mail)
    check_lines(mail)
    check_reading(mail, reading)
    return mail, reading


def check_sizes(mail: InboundMail) -> None:
    """Nothing that comes out is larger than its bound."""
    for text in (mail.text, mail.signature, mail.quoted):
        assert len(text) <= limits.TEXT_CHARACTERS
    assert len(mail.subject) <= limits.SUBJECT_CHARACTERS
    assert len(mail.sender_name) <= limits.NAME_CHARACTERS
    for group in (mail.to, mail.cc, mail.reply_to, mail.delivered_to):
        assert len(group) <= limits.ADDRESSES
    assert len(mail.references) <= limits.MESSAGE_IDS
    assert len(mail.attachments) <= limits.ATTACHMENTS
    assert all(0 < len(name) <= limits.NAME_CHARACTERS for name in mail.attachments)
    values = [value for group in mail.headers.values() for value in group]
    assert len(values) <= limits.HEADER_FIELDS
    assert sum(map(len, values)) <= limits.HEADER_BYTES
    if mail.report is not None:
        assert len(mail.report.recipients) <= limits.RECIPIENTS
        assert len(mail.report.message_ids) <= limits.MESSAGE_IDS
        assert all(len(one.diagnostic) <= limits.DIAGNOSTIC_CHARACTERS for one in mail.report.recipients)
    if mail.calendar is not None:
        assert max(len(mail.calendar.uid), len(mail.calendar.summary)) <= limits.NAME_CHARACTERS


def check_lines(mail: InboundMail) -> None:
    """What may be put into a header of ours, or compared with an address, is on one line and nothing but that."""
    values = [value for group in mail.headers.values() for value in group]
    names = [mail.sender_name, mail.subject, mail.message_id, *mail.attachments, *mail.references, *mail.in_reply_to]
    if mail.calendar is not None:
        names += [mail.calendar.summary, mail.calendar.uid]
    if mail.report is not None:
        names += [*mail.report.message_ids, *(one.diagnostic for one in mail.report.recipients)]
    for text in (*values, *names):
        assert not any(character in text for character in "\r\n\0"), text
    for address in (mail.sender, *mail.to, *mail.cc, *mail.reply_to, *mail.delivered_to):
        assert not address or ("@" in address and address.split() == [address] and address == address.lower()), address
    assert "\r" not in mail.text
    assert "\0" not in mail.text
    text = "".join((mail.text, mail.quoted, mail.subject, mail.sender_name, *values))
    text.encode("utf-8")  # no half of a surrogate pair, which no database takes


def check_reading(mail: InboundMail, reading: Reading) -> None:
    """Kinds and what comes with them agree."""
    assert reading.why
    if reading.until is not None:
        assert reading.kind is MailKind.OUT_OF_OFFICE
        assert RECEIVED.date() - timedelta(days=4) <= reading.until <= RECEIVED.date() + timedelta(days=810)
    reported = reading.kind in (MailKind.BOUNCE, MailKind.COMPLAINT)
    assert not reported or reading.report is mail.report is not None
    if mail.date is not None:
        assert mail.date.tzinfo is UTC
