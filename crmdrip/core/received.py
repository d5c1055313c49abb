"""What came in from outside, as it came: stored raw before it is answered, and read later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

MAIL_TYPE: Final = "message/rfc822"
"""The content type under which one whole email waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One thing that somebody who proved who they are handed over."""

    source: str
    """Who brought it, and by which way: "sendgrid:events", "sendgrid:inbound", "imap:<account>". At most 64
    characters."""
    key: str
    """Stable across repeats of the same delivery, unique within its source; at most 128 characters."""
    body: bytes
    """Untouched."""
    content_type: str
    """As the Content-Type header said it, with its parameters; MAIL_TYPE for one email."""
    received_at: datetime
    envelope_to: tuple[str, ...] = ()
    """Addresses the email was delivered by, where the way it came tells them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawMail:
    """One email as it came in, not read yet. Its bytes are anybody's."""

    source: str
    """As in Delivery."""
    key: str
    """Stable across repeats of the same email, unique within its source; at most 128 characters."""
    body: bytes
    """The whole message (RFC 5322)."""
    envelope_to: tuple[str, ...] = ()
    """Addresses it was delivered by, as the envelope says: surer than To."""
    received_at: datetime


def delivery_of(mail: RawMail) -> Delivery:
    """The email as something to be stored."""
    return Delivery(
        source=mail.source,
        key=mail.key,
        body=mail.body,
        content_type=MAIL_TYPE,
        received_at=mail.received_at,
        envelope_to=mail.envelope_to,
    )


def mail_of(delivery: Delivery) -> RawMail:
    """The email that was stored. Raises ValueError for a delivery that is none."""
    if delivery.content_type != MAIL_TYPE:
        raise ValueError(f"a delivery of type {delivery.content_type} is no email")
    return RawMail(
        source=delivery.source,
        key=delivery.key,
        body=delivery.body,
        envelope_to=delivery.envelope_to,
        received_at=delivery.received_at,
    )
