"""One email as MIME: multipart/alternative, plain text first."""

from __future__ import annotations

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage as MimeMessage
from email.policy import SMTP
from email.utils import format_datetime

from crmdrip.core.errors import RejectedError
from crmdrip.ports import EmailMessage

TOUCH_HEADER = "X-Crmdrip-Touch"

_BODY_POLICY = SMTP.clone(cte_type="7bit")
"""Bodies in quoted-printable or base64, so that no server needs 8BITMIME."""
_HEADER_POLICY = _BODY_POLICY.clone(max_line_length=998)
"""Folded at the limit of RFC 5322 section 2.1.1 only: folding at 78 turns a long List-Unsubscribe link into encoded
words, which mailbox providers then do not read."""


def build_mime(message: EmailMessage, now: datetime, *, utf8: bool) -> bytes:
    """The email with CRLF line ends. utf8: addresses may stand in UTF-8 (RFC 6532).

    Raises RejectedError for an email that cannot be expressed, a line break in a header among them.
    """
    try:
        mime = _compose(message, now)
        return mime.as_bytes(policy=_HEADER_POLICY.clone(utf8=utf8))
    except (ValueError, TypeError, UnicodeError, IndexError) as error:
        # email.headerregistry reports what it cannot read by any of these.
        raise RejectedError("a header, name, subject or address cannot be written") from error


def _compose(message: EmailMessage, now: datetime) -> MimeMessage:
    mime = MimeMessage(policy=_BODY_POLICY)
    mime["From"] = _address(message.from_name, message.from_address)
    mime["To"] = _address(message.to_name, message.to_address)
    if message.reply_to:
        mime["Reply-To"] = _address("", message.reply_to)
    mime["Subject"] = message.subject
    mime["Date"] = format_datetime(now)
    mime[TOUCH_HEADER] = message.touch_id
    for name, value in message.headers.items():
        mime[name] = value
    if message.text or not message.html:
        mime.set_content(message.text)
        if message.html:
            mime.add_alternative(message.html, subtype="html")
    else:
        mime.set_content(message.html, subtype="html")
    return mime


def _address(name: str, address: str) -> Address:
    # Given as one text, it would be refused when its local part is not ASCII, though RFC 6532 allows that.
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise ValueError("no address")
    return Address(name, username=local, domain=domain)
