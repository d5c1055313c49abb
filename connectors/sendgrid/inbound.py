"""SendGrid's Inbound Parse: who may post, and the email in a post, in raw mode and in parsed mode alike.

In raw mode the field `email` holds the whole message. In parsed mode the message was taken apart; it is put together
again here, so that one reader serves both. Nothing in it is believed, looked into or unpacked. Fields: twilio.com/docs/
sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from email.header import Header
from email.utils import encode_rfc2231
from typing import Any

import orjson

from connectors.sendgrid.form import Field, read_form
from connectors.sendgrid.signature import Signatures
from crmdrip.core.errors import RejectedError
from crmdrip.core.keys import normalize_address
from crmdrip.ports import Delivery, HookRequest, RawMail

LASTS = timedelta(days=3, hours=1)
"""How old a signature may be: SendGrid repeats a post for three days."""
SECONDS = 180.0
"""For a whole body: 30 MB at 1.4 Mbit/s."""

_REBUILT = frozenset({"mime-version", "content-type", "content-transfer-encoding", "content-disposition"})
"""Header fields about the form of the body, which is another one now."""
_FIELD_NAME = re.compile(rb"[!-9;-~]+")
_ENVELOPE_ADDRESSES = 100


class InboundHook:
    """Inbound Parse as a hook of the door."""

    source = "sendgrid:inbound"
    seconds = SECONDS

    def __init__(self, *, keys: tuple[str, ...], secrets: tuple[str, ...], limit: int) -> None:
        """Where both are given, a post needs both; with neither, ValueError. limit: bytes of a body.

        keys: of the security policies; ValueError for what is no key. secrets: one of them stands in the address,
        behind the path or as the password of Basic authentication.
        """
        if not keys and not secrets:
            raise ValueError("needs a key or a secret: anybody could post")
        self._signatures = Signatures(keys, LASTS) if keys else None
        self._secrets = tuple(secret.encode() for secret in secrets)
        self.limit = limit

    def admits(self, request: HookRequest, now: datetime) -> bool:
        """Whether the secret is right, and a signature of our days there. Raises nothing."""
        if self._secrets and not self._knows(request):
            return False
        return self._signatures is None or self._signatures.admit(request.headers, now)

    def authentic(self, request: HookRequest, now: datetime) -> bool:
        """Whether the secret is right and SendGrid signed the body, as far as either is asked for. Raises nothing."""
        if not self.admits(request, now):
            return False
        return self._signatures is None or self._signatures.verify(request.headers, request.body, now)

    def read(self, delivery: Delivery) -> Iterator[RawMail]:
        """The one email of a post. Raises RejectedError for a form without one."""
        fields = read_form(delivery.body, delivery.content_type)
        if (raw := fields.get("email")) is not None:
            body = raw.value
        elif "headers" in fields or "from" in fields:
            body = rebuild(fields)
        else:
            raise RejectedError("the form holds no email")
        envelope_to = read_envelope(fields)
        told = hashlib.sha256(body + "\0".join(envelope_to).encode()).hexdigest()
        yield RawMail(
            source=delivery.source,
            key=told,
            body=body,
            envelope_to=envelope_to,
            received_at=delivery.received_at,
        )

    def _knows(self, request: HookRequest) -> bool:
        given = (request.secret.encode("utf-8", "replace"), _password(request.headers.get("authorization", "")))
        # Every pair is compared, so that the time taken tells nothing.
        matches = [hmac.compare_digest(mine, theirs) for mine in self._secrets for theirs in given]
        return any(matches)


def _password(authorization: str) -> bytes:
    """The password of Basic authentication, which SendGrid sends for an address with one in it; b"" for none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic" or len(value) > 1024:
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def read_envelope(fields: Mapping[str, Field]) -> tuple[str, ...]:
    """The addresses the email was delivered by: surer than its To, which anybody can write."""
    envelope = _json(fields.get("envelope"))
    found = envelope.get("to")
    addresses = found if isinstance(found, list) else [found]
    known = (normalize_address(one) for one in addresses[:_ENVELOPE_ADDRESSES] if isinstance(one, str))
    return tuple(dict.fromkeys(filter(None, known)))


# --- parsed mode --------------------------------------------------------------------------------------------------


def rebuild(fields: Mapping[str, Field]) -> bytes:
    """The message of a parsed post: its header fields, its texts in UTF-8, and its attachments with their own types.

    The same post gives the same bytes.
    """
    charsets = _json(fields.get("charsets"))
    texts = [
        _text_part(subtype, _decode(fields[name].value, charsets.get(name)))
        for name, subtype in (("text", b"plain"), ("html", b"html"))
        if name in fields
    ]
    info = _json(fields.get("attachment-info"))
    attachments = [
        _attachment(field, info.get(name)) for name, field in fields.items() if re.fullmatch(r"attachment\d+", name)
    ]
    body = _join(b"alternative", texts) if texts else _text_part(b"plain", "")
    if attachments:
        # A report's parts are read wherever they stand in a message, and so are invitations.
        body = _join(b"mixed", [body, *attachments])
    return b"".join(_header_lines(fields)) + body


def _join(subtype: bytes, parts: list[bytes]) -> bytes:
    """Parts, each with its own header, as one."""
    if len(parts) == 1:
        return parts[0]
    boundary = hashlib.sha256(b"\0".join(parts)).hexdigest()[:40].encode()
    inside = b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts)
    return b'Content-Type: multipart/%b; boundary="%b"\r\n\r\n%b--%b--\r\n' % (subtype, boundary, inside, boundary)


def _text_part(subtype: bytes, text: str) -> bytes:
    encoded = base64.encodebytes(text.encode("utf-8", "replace")).replace(b"\n", b"\r\n")
    return b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n%b" % (subtype, encoded)


def _attachment(field: Field, info: Any) -> bytes:
    described = info if isinstance(info, dict) else {}
    kind = str(described.get("type") or field.content_type).lower()
    if not _TYPE.fullmatch(kind) or kind.startswith("multipart/"):
        kind = "application/octet-stream"
    head = f"Content-Type: {kind}"
    if isinstance(charset := described.get("charset"), str) and _CHARSET.fullmatch(charset):
        head += f"; charset={charset}"
    if name := _one_line(str(described.get("filename") or described.get("name") or field.file_name))[:255]:
        head += f"\r\nContent-Disposition: attachment; filename*={encode_rfc2231(name, 'utf-8')}"
    if kind.startswith("message/"):
        # A message in a message goes as it is: base64 is not allowed for it (RFC 2046 section 5.2.1).
        return b"%b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%b" % (head.encode(), field.value)
    encoded = base64.encodebytes(field.value).replace(b"\n", b"\r\n")
    return b"%b\r\nContent-Transfer-Encoding: base64\r\n\r\n%b" % (head.encode(), encoded)


_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}")
_CHARSET = re.compile(r"[A-Za-z0-9_.:+-]{1,40}")


def _header_lines(fields: Mapping[str, Field]) -> Iterator[bytes]:
    """The header fields as given, without those about the body's form; From, To, Cc and Subject where none were."""
    seen: set[str] = set()
    kept = False
    given = fields["headers"].value if "headers" in fields else b""
    for line in given.splitlines():
        if line[:1] in (b" ", b"\t"):
            if kept and line.strip():
                yield line.rstrip() + b"\r\n"
            continue
        name, colon, value = line.partition(b":")
        kept = bool(colon) and _FIELD_NAME.fullmatch(name) is not None
        if not kept:
            continue
        word = name.decode("ascii").lower()
        kept = word not in _REBUILT
        if kept:
            seen.add(word)
            yield name + b": " + value.strip() + b"\r\n"
    charsets = _json(fields.get("charsets"))
    for word in ("from", "to", "cc", "subject"):
        if word not in seen and word in fields:
            text = _one_line(_decode(fields[word].value, charsets.get(word)))
            if text:
                yield word.title().encode() + b": " + _encode_header(text) + b"\r\n"
    yield b"MIME-Version: 1.0\r\n"


def _encode_header(text: str) -> bytes:
    return text.encode() if text.isascii() else Header(text, "utf-8").encode(linesep="\r\n").encode()


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _decode(value: bytes, charset: Any) -> str:
    """The text of a field. It holds the sender's own bytes; `charsets` says what they are, and may be wrong."""
    for name in (charset, "utf-8"):
        if isinstance(name, str):
            try:
                return value.decode(name)
            except (LookupError, UnicodeDecodeError, ValueError):
                continue
    return value.decode("windows-1252", "replace")


def _json(field: Field | None) -> dict[str, Any]:
    try:
        value = orjson.loads(field.value) if field is not None else None
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
