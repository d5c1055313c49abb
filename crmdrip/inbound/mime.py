"""A mail's bytes as a tree of parts: header fields and encoded bodies, in bounded number and depth.

A walker of our own, because the standard library's feed parser recurses with the nesting of parts, compares every line
with every open boundary and keeps headers of any size. This one reads each byte once per level. Nothing here raises,
nothing is decompressed, and a body is only decoded when it is text.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from crmdrip.core.markup import clean_source
from crmdrip.core.values import UNPRINTABLE
from crmdrip.inbound import limits
from crmdrip.inbound.charsets import decode_text, decode_words, undo_base64

UNTYPED = "text/plain"

_NAME = re.compile(rb"([!-9;-~]{1,80}+)[ \t]*+:")
_PARAMETER = re.compile(r";\s*+([\w!#$%&'*+.^`|~-]{1,60})\s*+=\s*+(\"(?:[^\"\\]|\\.)*+\"?|[^;\s]*+)")
_PLAIN_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+")
_ESCAPED = re.compile(r"\\(.)")
_META_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w:.-]{2,40})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of a mail; the whole mail is one, too."""

    headers: Mapping[str, tuple[str, ...]]
    """Decoded, one line each, names in lower case."""
    media_type: str
    """Lower case; "text/plain" when none is given."""
    parameters: Mapping[str, str]
    """Of Content-Type, names in lower case."""
    encoded: bytes
    """The body as transported, at most limits.ENCODED_BYTES of it; of a multipart what stands before its parts."""
    parts: tuple[Part, ...] = ()
    filename: str = ""
    attached: bool = False
    """Whether it is meant to be saved, not read."""
    cut: bool = False
    """Whether something of this part itself was left out."""

    def walk(self) -> Iterator[Part]:
        """The part and all within it, in the order of the mail."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def decode(self) -> bytes:
        """The body's bytes."""
        encoding = self.headers.get("content-transfer-encoding", ("",))[0].strip().lower()
        if encoding == "base64":
            return undo_base64(self.encoded)
        return binascii.a2b_qp(self.encoded) if encoding == "quoted-printable" else self.encoded

    def text(self) -> str:
        """The body as text with line feeds, cut at the bound, nothing invisible in it."""
        data = self.decode()
        charset = self.parameters.get("charset", "")
        if not charset and self.media_type == "text/html" and (found := _META_CHARSET.search(data, 0, 2048)):
            charset = found.group(1).decode("ascii")
        return clean_source(decode_text(data, charset))[: limits.TEXT_CHARACTERS]


def read_parts(raw: bytes) -> Part:
    """The tree of a mail. The root stands for the mail whatever the bytes are."""
    if b"\n" not in raw[: limits.HEADER_BYTES] and b"\r" in raw[: limits.HEADER_BYTES]:
        raw = raw.replace(b"\r", b"\n")
    start = 0
    while raw.startswith((b"\n", b"\r\n"), start) and start < 64:
        start = raw.index(b"\n", start) + 1
    if raw.startswith((b"From ", b">From "), start):  # an mbox's separator
        start = raw.find(b"\n", start) + 1
    return _Walk(raw).read(start, min(len(raw), limits.RAW_BYTES), depth=0, default=UNTYPED)


class _Walk:
    """Counts the parts of one mail."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.count = 0

    def read(self, start: int, end: int, *, depth: int, default: str) -> Part:
        """The part in raw[start:end]."""
        self.count += 1
        fields, body, cut = read_fields(self.raw, start, end)
        headers = _gather(fields)
        media_type, parameters = read_value(_first(headers, "content-type"))
        if not _PLAIN_TYPE.fullmatch(media_type):
            media_type = default
        disposition, more = read_value(_first(headers, "content-disposition"))
        filename = more.get("filename") or parameters.get("name", "")
        parts: tuple[Part, ...] = ()
        boundary = parameters.get("boundary", "")
        upto = end
        if media_type.startswith("multipart/") and boundary:
            inner = list(self._between(body, end, boundary.encode("utf-8", "replace")))
            if inner:
                upto = inner[0][0]
                within = "message/rfc822" if media_type == "multipart/digest" else UNTYPED
                room = limits.PARTS - self.count
                cut = cut or (depth >= limits.DEPTH) or len(inner) > room
                if depth < limits.DEPTH:
                    parts = tuple(self._children(inner, depth, within))
            else:
                media_type = UNTYPED  # its boundary never comes: read it as the text that it is
        elif media_type.startswith("multipart/"):
            media_type = UNTYPED
        return Part(
            headers=MappingProxyType(headers),
            media_type=media_type,
            parameters=parameters,
            encoded=self.raw[body : min(upto, body + limits.ENCODED_BYTES)],
            parts=parts,
            filename=tidy_line(filename)[: limits.NAME_CHARACTERS],
            attached=disposition == "attachment",
            cut=cut or (not parts and end - body > limits.ENCODED_BYTES),
        )

    def _children(self, inner: list[tuple[int, int]], depth: int, default: str) -> Iterator[Part]:
        for start, end in inner:
            if self.count >= limits.PARTS:
                return
            yield self.read(start, end, depth=depth + 1, default=default)

    def _between(self, start: int, end: int, boundary: bytes) -> Iterator[tuple[int, int]]:
        """Where the parts between boundary lines begin and end; few more than may be read."""
        raw, mark = self.raw, b"--" + boundary
        begun: int | None = None
        at, found = start, 0
        while found <= limits.PARTS:
            at = raw.find(mark, at, end)
            if at < 0:
                break
            after = at + len(mark)
            if at > start and raw[at - 1] != 0x0A:
                at = after
                continue
            line_end = raw.find(b"\n", after, end)
            line_end = end if line_end < 0 else line_end
            rest = raw[after : min(line_end, after + 80)].strip()
            if rest not in (b"", b"--"):
                at = after
                continue
            if begun is not None:
                found += 1
                yield begun, _before_break(raw, begun, at)
            begun = None if rest else min(line_end + 1, end)
            if rest:
                break
            at = begun if begun is not None else end
        if begun is not None and found <= limits.PARTS and begun < end:
            yield begun, end  # its closing line never came


def _before_break(raw: bytes, start: int, at: int) -> int:
    """The end of a part: the line break before a boundary belongs to the boundary."""
    at -= 1
    if at > start and raw[at - 1] == 0x0D:
        at -= 1
    return max(at, start)


def read_fields(raw: bytes, start: int, end: int) -> tuple[list[tuple[str, str]], int, bool]:
    """The header fields at start, where the body begins, and whether fields were left out."""
    fields: list[tuple[str, bytearray]] = []
    at, cut = start, False
    limit = min(end, start + limits.HEADER_BYTES)
    while at < end:
        if at >= limit or len(fields) >= limits.HEADER_FIELDS:
            cut = True
            at = _after_blank(raw, at, end)
            break
        line_end = raw.find(b"\n", at, end)
        line_end = end if line_end < 0 else line_end
        line = raw[at : min(line_end, at + limits.HEADER_BYTES)].rstrip(b"\r\n")
        if not line.strip(b" \t"):
            at = min(line_end + 1, end)
            break
        if line[:1] in (b" ", b"\t") and fields:
            kept = fields[-1][1]
            cut = cut or len(kept) + len(line) > limits.FIELD_CHARACTERS
            kept += line[: max(0, limits.FIELD_CHARACTERS - len(kept))]
        elif name := _NAME.match(line):
            value = line[name.end() :]
            cut = cut or len(value) > limits.FIELD_CHARACTERS
            fields.append((name.group(1).decode("ascii").lower(), bytearray(value[: limits.FIELD_CHARACTERS])))
        else:
            break  # no header: the body begins without a blank line
        at = min(line_end + 1, end)
    return [(name, tidy_line(decode_words(decode_text(bytes(value))))) for name, value in fields], at, cut


def _after_blank(raw: bytes, at: int, end: int) -> int:
    found = [(raw.find(mark, max(at - 2, 0), end), len(mark)) for mark in (b"\n\n", b"\n\r\n")]
    return min((place + length for place, length in found if place >= 0), default=end)


def read_field_text(text: str) -> Mapping[str, tuple[str, ...]]:
    """Header fields that stand as text in a body."""
    raw = text[: limits.HEADER_BYTES].encode("utf-8", "replace")
    return MappingProxyType(_gather(read_fields(raw, 0, len(raw))[0]))


def tidy_line(text: str) -> str:
    """A text on one line, nothing invisible in it: no line break of the sender's reaches a header of ours."""
    return " ".join(UNPRINTABLE.sub(" ", text).split())


def read_value(value: str) -> tuple[str, Mapping[str, str]]:
    """A structured field (RFC 2045, 2231): its value in lower case, and its parameters."""
    head, _, _ = value.partition(";")
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bool, str]]] = {}
    for found in _PARAMETER.finditer(value, len(head)):
        name, given = found.group(1).lower(), found.group(2)
        if given.startswith('"'):
            given = _ESCAPED.sub(r"\1", given[1:].removesuffix('"'))
        base, star, number = name.partition("*")
        if not star:
            plain.setdefault(name, given)
            continue
        digits = number.rstrip("*")
        place = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 3 else 0
        pieces.setdefault(base, {}).setdefault(place, (number.endswith("*") or not number, given))
    for base, numbered in pieces.items():
        plain[base] = _join_pieces([numbered[place] for place in sorted(numbered)])
    return head.strip().lower(), MappingProxyType(plain)


def _join_pieces(pieces: list[tuple[bool, str]]) -> str:
    charset, data = "", b""
    for place, (encoded, text) in enumerate(pieces):
        if encoded and place == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)  # noqa: PLW2901  the piece without its charset and language
        data += unquote_to_bytes(text) if encoded else text.encode("utf-8", "replace")
    return decode_text(data, charset)


def _gather(fields: list[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    gathered: dict[str, list[str]] = {}
    for name, value in fields:
        gathered.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in gathered.items()}


def _first(headers: Mapping[str, tuple[str, ...]], name: str) -> str:
    return headers.get(name, ("",))[0]
