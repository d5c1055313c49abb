"""The multipart form in which Inbound Parse posts a mail: its fields, their names, and their bytes.

Field names and their order as recorded from the vendor (SDK's sample data, and a request of June 2025). Text is not
converted: a field holds the bytes the sender wrote, and `charsets` says what they are. The boundary is always the same.
"""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.header import decode_header
from email.message import Message
from email.utils import parseaddr

import orjson

BOUNDARY = "xYzZY"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
_LINES = email.policy.compat32.clone(linesep="\r\n")
_SPAM_REPORT = (
    "Spam detection software has NOT identified this incoming email as spam.\n\nContent analysis details: ({} points)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A mail as the vendor's server took it."""

    raw: bytes
    """With the header fields the servers on its way added."""
    sender: str
    """The envelope's; "" for a bounce."""
    recipient: str
    """The envelope's."""
    sender_ip: str
    spam_score: float | None = None
    """None where nobody asked for a check."""


@dataclass(kw_only=True, slots=True)
class _Parts:
    """What a mail is made of."""

    text: tuple[bytes, str] | None = None
    """Bytes and charset."""
    html: tuple[bytes, str] | None = None
    attachments: list[Message] = field(default_factory=list)


def raw_form(arrival: Arrival) -> bytes:
    """The body for a setting with send_raw."""
    message = _parse(arrival.raw)
    fields: list[tuple[str, bytes]] = [("dkim", _dkim(message)), ("email", arrival.raw)]
    fields += _addresses(message)
    fields += _envelope(arrival)
    fields += [("subject", _decoded(message, "Subject"))]
    fields += _spam(arrival)
    fields += [("charsets", orjson.dumps(_charsets(message))), ("SPF", b"pass")]
    return _encode(fields, [])


def parsed_form(arrival: Arrival) -> bytes:
    """The body for a setting without send_raw."""
    message = _parse(arrival.raw)
    parts = _take_apart(message)
    fields: list[tuple[str, bytes]] = [("headers", _headers(message)), ("dkim", _dkim(message))]
    charsets = _charsets(message)
    content_ids: dict[str, str] = {}
    info: dict[str, dict[str, str]] = {}
    for number, part in enumerate(parts.attachments, 1):
        name = f"attachment{number}"
        info[name] = _describe(part)
        if (content_id := info[name].get("content-id")) is not None:
            content_ids[content_id] = name
    if content_ids:
        fields.append(("content-ids", orjson.dumps(content_ids)))
    fields += _addresses(message)
    for name, body in (("html", parts.html), ("text", parts.text)):
        if body is not None:
            fields.append((name, body[0]))
            charsets[name] = body[1]
    fields += _envelope(arrival)
    fields += [("attachments", str(len(parts.attachments)).encode()), ("subject", _decoded(message, "Subject"))]
    fields += _spam(arrival)
    if info:
        fields.append(("attachment-info", orjson.dumps(info)))
    fields += [("charsets", orjson.dumps(charsets)), ("SPF", b"pass")]
    return _encode(fields, parts.attachments)


def _parse(raw: bytes) -> Message:
    return email.message_from_bytes(raw, policy=email.policy.compat32)


def _take_apart(message: Message) -> _Parts:
    parts = _Parts()
    for part in _leaves(message):
        kind, disposition = part.get_content_type(), part.get_content_disposition()
        body = part.get_payload(decode=True)
        if kind == "text/plain" and disposition != "attachment" and parts.text is None and isinstance(body, bytes):
            parts.text = (body, _charset(part))
        elif kind == "text/html" and disposition != "attachment" and parts.html is None and isinstance(body, bytes):
            parts.html = (body, _charset(part))
        else:
            parts.attachments.append(part)
    return parts


def _leaves(message: Message) -> Iterator[Message]:
    """The parts that hold something; an enclosed mail is one of them and not looked into."""
    if message.get_content_maintype() == "multipart":
        payload = message.get_payload()
        for part in payload if isinstance(payload, list) else ():
            if isinstance(part, Message):
                yield from _leaves(part)
    else:
        yield message


def _charset(part: Message) -> str:
    return str(part.get_param("charset", "us-ascii"))


def _describe(part: Message) -> dict[str, str]:
    """An entry of attachment-info."""
    name = part.get_filename() or ""
    described = {"filename": name, "name": name, "type": part.get_content_type()}
    if charset := part.get_param("charset"):
        described["charset"] = str(charset)
    if content_id := part.get("Content-ID"):
        described["content-id"] = str(content_id).strip("<>")
    return described


def _content(part: Message) -> bytes:
    """An attachment's bytes; of an enclosed mail or report, its own lines."""
    body = part.get_payload(decode=True)
    if isinstance(body, bytes):
        return body
    return part.as_bytes(policy=_LINES).partition(b"\r\n\r\n")[2]


def _headers(message: Message) -> bytes:
    """The header fields in order of name, unfolded and decoded."""
    lines = []
    for name, value in message.raw_items():
        title = "-".join(word.capitalize() for word in name.split("-"))
        unfolded = _decode("".join(str(value).splitlines()))
        lines.append(f"{title}: {unfolded}".encode("utf-8", "surrogateescape"))
    return b"\n".join(sorted(lines)) + b"\n"


def _decoded(message: Message, name: str) -> bytes:
    return _decode("".join(str(message.get(name, "")).splitlines())).encode("utf-8", "surrogateescape")


def _decode(value: str) -> str:
    """Encoded words read; a charset nobody knows is left as it stands."""
    found = []
    for chunk, charset in decode_header(value):
        if isinstance(chunk, str):
            found.append(chunk)
            continue
        try:
            found.append(chunk.decode(charset or "ascii", "surrogateescape"))
        except LookupError:
            return value
    return "".join(found)


def _addresses(message: Message) -> list[tuple[str, bytes]]:
    found = [("to", _decoded(message, "To"))]
    if message.get("Cc"):
        found.append(("cc", _decoded(message, "Cc")))
    return [*found, ("from", _decoded(message, "From"))]


def _envelope(arrival: Arrival) -> list[tuple[str, bytes]]:
    envelope = {"to": [arrival.recipient], "from": arrival.sender}
    return [("sender_ip", arrival.sender_ip.encode()), ("envelope", orjson.dumps(envelope))]


def _spam(arrival: Arrival) -> list[tuple[str, bytes]]:
    if arrival.spam_score is None:
        return []
    score = f"{arrival.spam_score:.3f}"
    return [("spam_report", _SPAM_REPORT.format(score).encode()), ("spam_score", score.encode())]


def _dkim(message: Message) -> bytes:
    """Who signed, as `{@domain : pass}`. It looks like JSON, and is none."""
    domain = parseaddr(str(message.get("From", "")))[1].rpartition("@")[2]
    return (f"{{@{domain} : pass}}" if message.get("DKIM-Signature") else "none").encode()


def _charsets(message: Message) -> dict[str, str]:
    found = {"to": "UTF-8", "subject": "UTF-8", "from": "UTF-8"}
    return found | ({"cc": "UTF-8"} if message.get("Cc") else {})


def _encode(fields: list[tuple[str, bytes]], attachments: list[Message]) -> bytes:
    lines: list[bytes] = []
    for name, value in fields:
        lines += [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n'.encode(), value]
    for number, part in enumerate(attachments, 1):
        file_name = (part.get_filename() or f"attachment{number}").replace('"', "%22")
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="attachment{number}"; filename="{file_name}"\r\n'
            f"Content-Type: {part.get_content_type()}\r\n"
        )
        lines += [head.encode(), _content(part)]
    return b"\r\n".join([*lines, f"--{BOUNDARY}--\r\n".encode()])
