"""Bytes of a mail from its headers and texts: charsets and transfer encodings as mail programs choose them."""

from __future__ import annotations

import base64
import email.policy
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.header import Header
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime
from random import Random

_POLICY = email.policy.compat32.clone(linesep="\r\n", max_line_length=78)

_OLD: Mapping[str, tuple[str, ...]] = {
    "ja": ("iso-2022-jp", "iso-2022-jp", "utf-8"),
    "pl": ("iso-8859-2", "utf-8", "utf-8"),
    "en": ("us-ascii", "utf-8", "utf-8", "windows-1252", "gb18030"),
}
_WESTERN = ("utf-8", "utf-8", "iso-8859-1", "windows-1252")

_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

Headers = Sequence[tuple[str, str]]


def choose_charset(language: str, text: str, random: Random) -> str:
    """A charset that people of the language meet, and that can hold the text."""
    charset = random.choice(_OLD.get(language, _WESTERN))
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return "utf-8"
    return charset


def address(name: str, mailbox: str) -> str:
    """A mailbox with its display name, encoded where it has to be."""
    if not name:
        return mailbox
    if name.isascii():
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{mailbox}>'
    return f"{Header(name, 'utf-8').encode()} <{mailbox}>"


def text_part(text: str, kind: str, charset: str, random: Random) -> Message:
    """A text as a part, in a transfer encoding that the charset's users meet."""
    if charset in ("iso-8859-1", "windows-1252", "gb18030") and random.random() < 0.4:
        # Sent as it is, by servers that announce 8BITMIME.
        part = MIMENonMultipart("text", kind, charset=charset)
        part["Content-Transfer-Encoding"] = "8bit"
        part.set_payload(text.encode(charset).decode("ascii", "surrogateescape"))
        return part
    return MIMEText(text, kind, charset)


def alternative(text: str, html: str, charset: str, random: Random) -> Message:
    """A text and its HTML."""
    both = MIMEMultipart("alternative", boundary=_boundary(random))
    both.attach(text_part(text, "plain", charset, random))
    both.attach(text_part(html, "html", charset, random))
    return both


def report(kind: str, text: str, charset: str, parts: Sequence[tuple[str, str]], random: Random) -> Message:
    """A multipart/report (RFC 6522): a text for people, then parts of a machine by type and content."""
    whole = MIMEMultipart("report", boundary=_boundary(random))
    whole.set_param("report-type", kind)
    whole.attach(MIMEText(text, "plain", charset))
    for content_type, content in parts:
        main, _, sub = content_type.partition("/")
        part = MIMEBase(main, sub)
        if content_type == "message/delivery-status":
            # Groups of fields, an empty line between them (RFC 3464).
            part.set_payload([email.message_from_string(group) for group in content.strip().split("\r\n\r\n")])
        else:
            part.set_payload(content)
        whole.attach(part)
    return whole


def with_picture(body: Message, random: Random) -> Message:
    """The mail with a company's logo below the signature, as a part of its own."""
    whole = MIMEMultipart("mixed", boundary=_boundary(random))
    whole.attach(body)
    picture = MIMEImage(_PIXEL, "png", name="logo.png")
    picture["Content-ID"] = f"<logo.{random.getrandbits(32):08x}>"
    picture.add_header("Content-Disposition", "inline", filename="logo.png")
    whole.attach(picture)
    return whole


def invitation(text: str, calendar: str, random: Random) -> Message:
    """A text beside a calendar's answer (RFC 6047)."""
    whole = MIMEMultipart("alternative", boundary=_boundary(random))
    whole.attach(MIMEText(text, "plain", "utf-8"))
    part = MIMEText(calendar, "calendar", "utf-8")
    part.set_param("method", "REPLY")
    whole.attach(part)
    return whole


def assemble(body: Message, headers: Headers, at: datetime) -> bytes:
    """The mail. Header texts that are no ASCII are encoded as UTF-8 words."""
    for name, value in (*headers, ("Date", format_datetime(at))):
        body[name] = value if value.isascii() else Header(value, "utf-8", header_name=name).encode()
    return body.as_bytes(policy=_POLICY)


def header_block(raw: bytes) -> str:
    """The header fields of a mail as text."""
    return raw.partition(b"\r\n\r\n")[0].decode("ascii", "replace")


def _boundary(random: Random) -> str:
    return f"=_{random.getrandbits(96):024x}"
