"""What came in by mail, as values: the mail, what stands in a delivery report, and what kind of mail it was taken for.

Read by crmdrip.inbound from bytes that anybody on the internet can write. Every text here is data of bounded size: it
is shown and compared, never rendered as a template, never followed, never executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType


class MailKind(StrEnum):
    """What an inbound mail is. Exactly one."""

    REPLY = "reply"
    """A person wrote it. Only this counts as an answer."""
    AUTO_REPLY = "auto_reply"
    """A machine answered: a ticket number, "we have received your email", a mailing list's notice."""
    OUT_OF_OFFICE = "out_of_office"
    """A machine answered that the person is away; `Reading.until` says when they are back, if it said so."""
    LEFT_COMPANY = "left_company"
    """The address no longer belongs to the person: they left, retired, or moved to another address."""
    BOUNCE = "bounce"
    """A delivery failed, is late, or went through (a positive DSN); `Reading.report` says which, `permanent` whether
    for good."""
    COMPLAINT = "complaint"
    """A feedback report (RFC 5965): somebody pressed "this is spam", unless `report.is_complaint` says otherwise."""
    UNSUBSCRIBE = "unsubscribe"
    """A person asks in words to get no more email. It is their answer, too."""
    CALENDAR = "calendar"
    """An answer to an invitation, or an invitation; `InboundMail.calendar` says which."""
    RECEIPT = "receipt"
    """A read receipt (RFC 8098), or a notice that the mail was deleted unread."""
    UNREADABLE = "unreadable"
    """No mail can be recognized in the bytes: no sender, no text, no report."""


class ReportKind(StrEnum):
    """What a machine's report is about."""

    DELIVERY = "delivery"
    """RFC 3464, or the many that say the same in prose."""
    FEEDBACK = "feedback"
    """RFC 5965: a complaint."""
    DISPOSITION = "disposition"
    """RFC 8098: a read receipt."""


class CalendarMethod(StrEnum):
    """What a calendar part does (RFC 5546). Others are read as OTHER."""

    REPLY = "reply"
    """Answers an invitation; `CalendarAnswer.attendance` says how."""
    REQUEST = "request"
    """Invites, or changes an invitation."""
    COUNTER = "counter"
    """Proposes another time."""
    CANCEL = "cancel"
    OTHER = "other"


class Attendance(StrEnum):
    """How an invitation was answered (PARTSTAT of RFC 5545)."""

    ACCEPTED = "accepted"
    TENTATIVE = "tentative"
    DECLINED = "declined"
    DELEGATED = "delegated"
    NONE = "none"
    """No answer in it, or one that is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalendarAnswer:
    """The first event of a mail's calendar part."""

    method: CalendarMethod
    attendance: Attendance = Attendance.NONE
    """That of `attendee`; NONE unless the method is REPLY or COUNTER."""
    uid: str = ""
    """The event's own id, the same in invitation and answer."""
    summary: str = ""
    attendee: str = ""
    """Who answers, normalized; of an invitation the first invitee."""
    organizer: str = ""
    """Normalized."""
    starts_at: datetime | None = None
    """Aware UTC. None when it is not given, or in a zone this machine does not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedRecipient:
    """One address a report speaks about."""

    address: str
    """Normalized. The final recipient: after forwarding it may be one that we never wrote to (see `original`)."""
    original: str = ""
    """The address we wrote to, normalized, where the report names it apart."""
    action: str = ""
    """RFC 3464: failed, delayed, delivered, relayed or expanded, in lower case. "failed" where prose says so."""
    status: str = ""
    """RFC 3463: "5.1.1". "" when none is given."""
    diagnostic: str = ""
    """The receiving server's words, on one line, at most 500 characters."""
    permanent: bool = False
    """Whether the address itself is the matter and will stay so. A full mailbox, a refused content, a blocked sender
    or a message that is too large is not, whatever its status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryReport:
    """A machine's report about a mail we sent."""

    kind: ReportKind
    recipients: tuple[ReportedRecipient, ...] = ()
    """At most 50. Empty when the report names nobody."""
    message_ids: tuple[str, ...] = ()
    """Message-IDs of the mail reported about, with angle brackets; the surest first."""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Header fields of the mail reported about, names in lower case: where our own X- fields come back."""
    feedback: str = ""
    """Feedback-Type of a FEEDBACK report: "abuse", "fraud", "not-spam", "auth-failure" and others."""
    source: str = ""
    """Which reading found it, for people and tests: "rfc3464", "rfc5965", "rfc8098", "flufl", "prose"."""

    @property
    def is_complaint(self) -> bool:
        """Whether somebody complained. A provider that reports a failed DMARC check, or "not spam", does not."""
        return self.kind is ReportKind.FEEDBACK and self.feedback not in ("auth-failure", "not-spam")

    @property
    def permanent(self) -> bool:
        """Whether at least one address failed for good."""
        return any(one.permanent for one in self.recipients)

    @property
    def failed(self) -> bool:
        """Whether at least one delivery ended without success, for good or not. A delay is not an end."""
        return any(one.action == "failed" for one in self.recipients)


@dataclass(frozen=True, kw_only=True, slots=True)
class InboundMail:
    """One mail as it came in. Whatever the bytes were, there is one of these; sizes are bounded (inbound.limits)."""

    message_id: str = ""
    """With angle brackets, as sent; "" when it has none."""
    in_reply_to: tuple[str, ...] = ()
    """Message-IDs with angle brackets. One, unless the sender's program is old."""
    references: tuple[str, ...] = ()
    """Message-IDs with angle brackets, oldest first; of many the newest are kept."""
    sender: str = ""
    """The address in From (else Sender, else Return-Path), normalized; "" when there is none, as in some bounces."""
    sender_name: str = ""
    """As the sender writes it, on one line."""
    reply_to: tuple[str, ...] = ()
    """Normalized addresses."""
    to: tuple[str, ...] = ()
    """Normalized addresses."""
    cc: tuple[str, ...] = ()
    """Normalized addresses."""
    delivered_to: tuple[str, ...] = ()
    """Every address the mail can have come by, each once: the envelope's first, then Delivered-To, X-Original-To and
    their like, then To and Cc. Where a reply token is looked for."""
    subject: str = ""
    """On one line."""
    date: datetime | None = None
    """As the sender's clock says, aware UTC; None when missing or absurd. Never decide by it alone."""
    text: str = ""
    """The newest part as plain text: without quoted history. Signature and disclaimer may still stand in it where
    nothing tells them apart."""
    signature: str = ""
    """What follows it and was told apart: after "-- ", "Sent from my phone", the company's legal notice."""
    quoted: str = ""
    """The history below (or between) it, as plain text."""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Header fields, decoded, one line each, names in lower case, in the order they came."""
    calendar: CalendarAnswer | None = None
    report: DeliveryReport | None = None
    """None unless a machine reports about a mail of ours."""
    attachments: tuple[str, ...] = ()
    """File names alone. What is in them is never looked at."""
    truncated: bool = False
    """Whether a bound was met and something left out."""

    def header(self, name: str) -> str:
        """The first value of a header field, "" when it is not there. The name is given in lower case."""
        return self.headers.get(name, ("",))[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a mail was taken for."""

    kind: MailKind
    why: str
    """What decided, as a short key for people and tests: "header:auto-submitted", "words:out-of-office"."""
    until: date | None = None
    """The first day the person is back, in the sender's own calendar. None when not said, or not OUT_OF_OFFICE."""
    language: str = ""
    """The language whose words decided ("de"); "" when headers did."""
    report: DeliveryReport | None = None
    """The mail's own report, for BOUNCE, COMPLAINT and RECEIPT."""
