"""The mail that a report is about: its header and its ids, as a part of the report or as text within it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from crmdrip.inbound import limits
from crmdrip.inbound.addresses import read_message_ids
from crmdrip.inbound.machines import first
from crmdrip.inbound.mime import Part, read_field_text

Headers = Mapping[str, tuple[str, ...]]

_ORIGINAL_TYPES = (
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "message/global-headers",
    "message/rfc822-headers",
)
_ID_LINE = re.compile(
    r"^[ \t>|]{0,8}(?:original-|x-original-)?message-?id\s{0,3}:\s{0,3}(<[^<>\s]{1,900}>)",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER_LINE = re.compile(
    r"^[ \t>|]{0,8}(?:return-path|received|message-id|from|to|date|subject|mime-version|dkim-signature"
    r"|x-[\w-]{1,60})[ \t]{0,3}:",
    re.IGNORECASE,
)


def find_headers(parts: list[Part], text: str) -> Headers:
    """The header of the mail reported about: its part, else what stands in the text like one."""
    for part in parts:
        if part.media_type in _ORIGINAL_TYPES:
            headers = read_field_text(part.text().lstrip("\n"))
            if headers:
                return headers
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if not _HEADER_LINE.match(line[:200]):
            continue
        margin = len(line) - len(line.lstrip(" \t>|"))
        block: list[str] = []
        for one in lines[at : at + limits.HEADER_FIELDS]:
            inner = one[margin:] if not one[:margin].strip(" \t>|") else one
            if not inner.strip():
                break
            block.append(inner)
        headers = read_field_text("\n".join(block))
        if "message-id" in headers or ("from" in headers and "to" in headers and "subject" in headers):
            return headers
        if len(block) > 20:
            break
    return MappingProxyType({})


def find_message_ids(root: Part, headers: Headers, *texts: str) -> tuple[str, ...]:
    """The ids of the mail reported about, the surest first: its own header, the texts, what the report answers."""
    own = set(read_message_ids(first(root.headers, "message-id")))
    found = list(read_message_ids(first(headers, "message-id")))
    for text in texts:
        found += _ID_LINE.findall(text)
    found += read_message_ids(first(root.headers, "in-reply-to"))
    found += reversed(read_message_ids(first(root.headers, "references")))
    return tuple(dict.fromkeys(one for one in found if one not in own))[: limits.MESSAGE_IDS]
