"""A mail that comes back, complete, with the truth about it: what the product has to find out by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from crmdrip.sandbox.sendgrid import AcceptedEmail


class Truth(StrEnum):
    """What a mail really is."""

    REPLY = "reply"
    """A person wrote it."""
    UNSUBSCRIBE = "unsubscribe"
    """A person asks in words to be left alone, or pressed a mailto link."""
    OUT_OF_OFFICE = "out_of_office"
    AUTO_REPLY = "auto_reply"
    """A ticket system, a shared mailbox, a spam filter."""
    LEFT_COMPANY = "left_company"
    CALENDAR = "calendar"
    """An answer to an invitation."""
    RECEIPT = "receipt"
    BOUNCE = "bounce"
    """A delivery report that came by mail."""


HUMAN = frozenset({Truth.REPLY, Truth.UNSUBSCRIBE})
"""What a person wrote by hand."""
MACHINE = frozenset({Truth.OUT_OF_OFFICE, Truth.AUTO_REPLY, Truth.LEFT_COMPANY, Truth.RECEIPT, Truth.BOUNCE})
"""What nobody wrote, and must not count as an answer. A calendar's answer is a person's click, and neither."""


class Who(StrEnum):
    """Who answers."""

    SELF = "self"
    ALIAS = "alias"
    """The person, from another address of theirs."""
    COLLEAGUE = "colleague"
    MACHINE = "machine"


@dataclass(frozen=True, kw_only=True, slots=True)
class Occasion:
    """What is answered, and by whom."""

    email: AcceptedEmail
    at: datetime
    first: str
    last: str
    address: str
    """The person's, as the email was sent to it."""
    company: str
    language: str
    """A name of a file of phrases."""
    recipient: str
    """Where answers go."""
    other: str = "Robin Hale"
    other_address: str = ""
    """A colleague. Without an address, one is made up in the person's domain."""

    @property
    def message_id(self) -> str:
        """The Message-ID of the email answered, "" for none."""
        return next((value for name, value in self.email.headers.items() if name.lower() == "message-id"), "")

    @property
    def references(self) -> str:
        """What an answer writes into References."""
        old = next((value for name, value in self.email.headers.items() if name.lower() == "references"), "")
        return f"{old} {self.message_id}".strip()

    @property
    def domain(self) -> str:
        """Of the person's address."""
        return self.address.rpartition("@")[2].lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """One mail, ready to be delivered."""

    truth: Truth
    who: Who
    language: str
    shape: tuple[str, ...]
    """How it is made, for statistics and for people: "top-posted", "html", "iso-8859-1", "no headers"."""
    message_id: str
    sender: str
    sender_name: str
    envelope_sender: str
    """"" for what machines send."""
    recipient: str
    subject: str
    headers: str
    """The header block as it is sent."""
    text: str
    """The plain text, history included; "" for none."""
    html: str
    """"" for none."""
    raw: bytes
    back: date | None = None
    """The first day the person is back, where the mail says so."""
