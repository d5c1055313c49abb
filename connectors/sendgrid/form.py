"""A multipart form as its fields, byte by byte: Inbound Parse posts text in whatever charset its sender wrote.

Not Starlette's own reading: that takes every field for UTF-8, and refuses one of more than 1 MB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from crmdrip.core.errors import RejectedError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # there for type checkers alone

FIELDS = 1_000
"""More than any email has parts; what comes after is left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of a form."""

    value: bytes
    content_type: str = ""
    """Of an attachment, as said."""
    file_name: str = ""


@dataclass(slots=True)
class _Part:
    """A field while it is read."""

    data: list[bytes] = field(default_factory=list)
    headers: dict[str, bytes] = field(default_factory=dict)


def read_form(body: bytes, content_type: str) -> dict[str, Field]:
    """The fields by name; of two of one name the first. Raises RejectedError for a body that is no whole form."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise RejectedError("the body is no multipart form")
    reader = _Reader()
    try:
        parser = MultipartParser(boundary, reader.callbacks(), max_size=len(body) + 1)
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise RejectedError("the multipart form is damaged") from None
    if not reader.ended:
        raise RejectedError("the multipart form is cut off")
    return reader.fields


class _Reader:
    """Gathers what the parser tells."""

    def __init__(self) -> None:
        self.fields: dict[str, Field] = {}
        self.ended = False
        self._part = _Part()
        self._name = b""
        self._value = b""

    def callbacks(self) -> MultipartCallbacks:
        """The parser's events."""
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._end_header,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._part = _Part()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part.data.append(data[start:end])

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._part.headers[self._name.decode("latin-1").lower()] = self._value
        self._name = self._value = b""

    def _end_part(self) -> None:
        part, self._part = self._part, _Part()
        _, options = parse_options_header(part.headers.get("content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if not name or name in self.fields or len(self.fields) >= FIELDS:
            return
        self.fields[name] = Field(
            value=b"".join(part.data),
            content_type=parse_options_header(part.headers.get("content-type", b""))[0].decode("latin-1"),
            file_name=options.get(b"filename", b"").decode("utf-8", "replace"),
        )

    def _end(self) -> None:
        self.ended = True
