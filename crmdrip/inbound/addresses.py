"""Addresses and Message-IDs out of header fields, in one pass over text that anybody can write.

The standard library's parser recurses into nested comments and reads "<a@b>c@d" in surprising ways
(CVE-2023-27043). This one takes what stands in angle brackets, else the first word with an "@".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from crmdrip.core.keys import normalize_address
from crmdrip.inbound import limits

_MESSAGE_ID = re.compile(r"<[^<>\s]{1,990}>")
_BARE = re.compile(r"[^\s<>(),;:\"\[\]]{1,200}@[^\s<>(),;:\"@]{1,255}")
# What every address here must look like; a quoted local part with blanks in it is nobody's.
_PLAUSIBLE = re.compile(r"[^\s<>(),;:\"@]{1,200}(?:@[^\s<>(),;:\"@]{1,100})?@[^\s<>(),;:\"@]{1,255}")


def read_addresses(value: str) -> list[tuple[str, str]]:
    """(name, normalized address) of a list of addresses, in order. Groups are read as their members."""
    found: list[tuple[str, str]] = []
    for item in _split(value[: limits.FIELD_CHARACTERS]):
        name, address = _read_one(item)
        if address:
            found.append((name, address))
            if len(found) >= limits.ADDRESSES:
                break
    return found


def read_address(value: str) -> str:
    """The first address, normalized, "" when there is none."""
    return next((address for _, address in read_addresses(value)), "")


def join_addresses(*groups: Iterable[str]) -> tuple[str, ...]:
    """Each address once, in order; blanks left out."""
    return tuple(dict.fromkeys(one for group in groups for one in group if one))[: limits.ADDRESSES]


def read_message_ids(value: str) -> tuple[str, ...]:
    """Message-IDs with angle brackets, each once; of many the last ones."""
    return tuple(dict.fromkeys(_MESSAGE_ID.findall(value)))[-limits.MESSAGE_IDS :]


def is_plausible(address: str) -> bool:
    """Whether it has the shape of an address of somebody."""
    return _PLAUSIBLE.fullmatch(address) is not None


def _split(value: str) -> Iterable[str]:
    """The pieces between commas and semicolons that stand outside quotes, brackets and comments."""
    begin, quoted, angle, depth, escaped = 0, False, False, 0, False
    for at, character in enumerate(value):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"' and not depth:
            quoted = not quoted
        elif quoted:
            continue
        elif character == "(":
            depth += 1
        elif character == ")":
            depth = max(0, depth - 1)
        elif character in "<>" and not depth:
            angle = character == "<"
        elif character in ",;" and not depth and not angle:
            yield value[begin:at]
            begin = at + 1
    yield value[begin:]


def _read_one(item: str) -> tuple[str, str]:
    opened = item.rfind("<")
    closed = item.find(">", opened)
    if opened >= 0 and closed > opened:
        address, name = item[opened + 1 : closed].strip(), item[:opened]
        address = address.rpartition(":")[2] if address.startswith("@") else address  # a source route (RFC 821)
    else:
        bare = _BARE.search(item)
        if bare is None:
            return "", ""
        address, name = bare.group(), f"{item[: bare.start()]}{item[bare.end() :]}".strip().removeprefix("(")
        name = name.removesuffix(")")
    address = normalize_address(address.strip("'\""))
    name = " ".join(name.replace('\\"', '"').strip().strip("\"'").split())
    return (name[: limits.NAME_CHARACTERS], address) if is_plausible(address) else ("", "")
