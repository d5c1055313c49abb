"""Writes SOQL: literals, conditions, and the order that makes a page resumable. Knows no field of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote as url_quote

from connectors.salesforce.client import Part

IDS_PER_LIST = 200
"""In one IN list: 600 ids already pass the 16,384 bytes of a URL, and 200 is also a collection's size."""

_ESCAPES = str.maketrans(
    {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
)


def quote(text: str) -> str:
    """A string literal."""
    return f"'{text.translate(_ESCAPES)}'"


def quote_like(text: str) -> str:
    """A literal for LIKE that finds the text anywhere; wildcards in it stand for themselves."""
    inner = text.translate(_ESCAPES).replace("%", "\\%").replace("_", "\\_")
    return f"'%{inner}%'"


def moment(at: datetime) -> str:
    """A dateTime literal in UTC. Stamps have whole seconds; milliseconds are written only where there are some."""
    utc = at.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S") + (f".{utc.microsecond // 1000:03d}Z" if utc.microsecond >= 1000 else "Z")


def in_list(field: str, ids: Iterable[str]) -> str:
    """The condition that the field is one of the ids."""
    return f"{field} IN ({','.join(quote(one) for one in ids)})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """How far a stream of rows, ordered by stamp and id, was read."""

    at: datetime
    id: str = ""
    """The last row read of that very stamp; "" for everything after `at`, and at it."""


def after(stamp: str, position: Position) -> list[str]:
    """The conditions for what comes after the position: a range an index can serve, and the rest of a shared stamp."""
    at = moment(position.at)
    if not position.id:
        return [f"{stamp} >= {at}"]
    return [f"{stamp} >= {at}", f"({stamp} > {at} OR Id > {quote(position.id)})"]


def select(
    columns: Sequence[str],
    source: str,
    *,
    where: Sequence[str] = (),
    order: Sequence[str] = (),
    limit: int | None = None,
) -> str:
    """One SELECT; conditions are joined by AND, columns keep their order and come once."""
    text = f"SELECT {', '.join(dict.fromkeys(columns))} FROM {source}"  # noqa: S608 - SOQL reads only; values are quoted
    if where:
        text += " WHERE " + " AND ".join(where)
    if order:
        text += " ORDER BY " + ", ".join(order)
    return text if limit is None else f"{text} LIMIT {limit}"


def query(name: str, soql: str) -> Part:
    """A query for live rows."""
    return Part(name=name, path="query/?q=" + url_quote(soql, safe=""))


def query_all(name: str, soql: str) -> Part:
    """A query that also finds the deleted, the merged away and the archived."""
    return Part(name=name, path="queryAll/?q=" + url_quote(soql, safe=""))


def next_page(name: str, url: str) -> Part:
    """The following page of a query, by its nextRecordsUrl ("/services/data/v64.0/query/01g...-2000")."""
    return Part(name=name, path=url.split("/", 4)[4])
