"""What tells one email from another, whatever number and folder the server gives it."""

from __future__ import annotations

import hashlib
import re

HEAD_LIMIT = 256 * 1024
"""Bytes in which the header is looked for."""

_END = re.compile(rb"\r?\n\r?\n")
_FIELDS = {
    name: re.compile(rb"^" + name + rb"[ \t]*:((?:[^\r\n]*)(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)
    for name in (b"message-id", b"date")
}


def identify_mail(body: bytes) -> str:
    """A key of at most 44 characters without personal data: the same for each copy of one email.

    Message-ID and Date make it, since a server that moves or converts mail may write everything else anew. Date
    belongs to it because there are machines that give all their mail one Message-ID. An email without a Message-ID is
    known by its bytes.
    """
    head = _END.split(body[:HEAD_LIMIT], maxsplit=1)[0]
    values = {name: _value(pattern, head) for name, pattern in _FIELDS.items()}
    if not values[b"message-id"]:
        return f"raw:{hashlib.sha256(body).hexdigest()[:40]}"
    text = values[b"message-id"] + b"\n" + values[b"date"]
    return f"mid:{hashlib.sha256(text).hexdigest()[:40]}"


def _value(pattern: re.Pattern[bytes], head: bytes) -> bytes:
    found = pattern.search(head)
    return b" ".join(found.group(1).split()) if found else b""
