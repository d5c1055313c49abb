"""The composite resource's answer, taken apart without decoding the rows of its queries.

A page of 2,000 people is 8 MB once decoded (measured), and two of them are under way while thousands enter: each row
is decoded when its turn comes and let go of, so that only the text of the page stands in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import msgspec
import orjson

from crmdrip.core.errors import RetriableError


class Rows(Sequence[dict[str, Any]]):
    """The rows of one page of a query, decoded anew each time they are gone through."""

    def __init__(self, raw: Sequence[msgspec.Raw]) -> None:
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(_row, self._raw)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | Rows:
        return Rows(self._raw[index]) if isinstance(index, slice) else _row(self._raw[index])


class Subresponse(msgspec.Struct, frozen=True, kw_only=True):
    """What came back for one part. The names are the vendor's."""

    referenceId: str  # noqa: N815 - the vendor's
    httpStatusCode: int  # noqa: N815 - the vendor's
    body: msgspec.Raw

    def read(self) -> Any:
        """The body, decoded whole. Raises RetriableError."""
        return read_json(memoryview(self.body))

    def read_query(self) -> dict[str, Any]:
        """The body of a query that went well, with its rows still to be decoded. Raises RetriableError."""
        try:
            found = _QUERY.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _unreadable() from None
        if not found.done and not found.nextRecordsUrl:
            raise _unreadable()  # what follows would be passed over
        return {"nextRecordsUrl": found.nextRecordsUrl, "records": Rows(found.records)}


class _Composite(msgspec.Struct, frozen=True, kw_only=True):
    compositeResponse: list[Subresponse]  # noqa: N815 - the vendor's


class _Query(msgspec.Struct, frozen=True, kw_only=True):
    records: list[msgspec.Raw]
    nextRecordsUrl: str | None = None  # noqa: N815 - the vendor's
    done: bool = True


_COMPOSITE, _QUERY = msgspec.json.Decoder(_Composite), msgspec.json.Decoder(_Query)


def open_envelope(content: bytes) -> list[Subresponse]:
    """The answers in order. Raises RetriableError for what is no composite answer."""
    try:
        return _COMPOSITE.decode(content).compositeResponse
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _unreadable() from None


def read_json(content: bytes | memoryview) -> Any:
    """Decode with orjson: ten times faster than the ordered dicts of simple-salesforce. Raises RetriableError."""
    try:
        return orjson.loads(content)
    except ValueError:
        raise _unreadable() from None


def _row(raw: msgspec.Raw) -> dict[str, Any]:
    row: dict[str, Any] = read_json(memoryview(raw))
    if not isinstance(row, dict) or not isinstance(row.get("Id", ""), str):
        raise RetriableError("a row of the answer is no record.", where="Salesforce")
    return row


def _unreadable() -> RetriableError:
    return RetriableError("the answer is no JSON.", where="Salesforce")  # cut short or changed on its way
