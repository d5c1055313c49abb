"""One request on its way to an operation, and what the operations share: bodies, parameters, scopes, shown records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from crmdrip.sandbox.http import Request, Response
from crmdrip.sandbox.hubspot.kinds import Kind
from crmdrip.sandbox.hubspot.properties import show_stamp
from crmdrip.sandbox.hubspot.refusals import Refusal, invalid_input, missing_scopes
from crmdrip.sandbox.hubspot.store import Record

NEWEST = "2026-09"
"""Since this version the admin's validation rules hold for writes, and errors stand in the ordinary body of a batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What one token may do, and for whom."""

    scopes: frozenset[str]
    app_id: int
    public: bool = False
    """Of an OAuth app that several accounts install."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One authenticated request."""

    request: Request
    version: str
    """"v3", "v4" or a date."""
    grant: Grant
    groups: tuple[str, ...] = ()
    """What stands in the path."""
    page: int | None = None
    """The most rows of a page, when a fault wants short ones."""
    stamp: int = 0
    """When the request came, milliseconds since 1970."""

    @property
    def folds_errors(self) -> bool:
        """Whether the errors of a batch stand in an answer that otherwise looks like success."""
        return self.version.startswith(NEWEST)

    def need(self, *scopes: str) -> None:
        """Every one of these scopes must be granted. Raises Refusal."""
        if not self.grant.scopes.issuperset(scopes):
            raise missing_scopes(scopes)

    def need_any(self, *scopes: str) -> None:
        """One of these scopes must be granted. Raises Refusal."""
        if not self.grant.scopes.intersection(scopes):
            raise missing_scopes(scopes)

    def body(self) -> dict[str, Any]:
        """The JSON object sent. Raises Refusal."""
        value = self.json()
        if not isinstance(value, dict):
            raise invalid_input("Cannot deserialize value of type object")
        return value

    def json(self) -> Any:
        """The JSON sent. Raises Refusal."""
        try:
            return self.request.json()
        except ValueError as error:
            raise invalid_input(str(error)) from error

    def query(self) -> dict[str, str]:
        """The parameters, the last of each name."""
        return self.request.query()

    def listed(self, name: str) -> list[str]:
        """A parameter that may be given several times, with commas inside."""
        pairs = parse_qsl(self.request.raw_query, keep_blank_values=True)
        return [part.strip() for key, value in pairs if key == name for part in value.split(",") if part.strip()]

    def limit(self, *, default: int, most: int) -> int:
        """The page size asked for. Raises Refusal."""
        text = self.query().get("limit", str(default))
        if not text.isdecimal() or not 0 < int(text) <= most:
            raise Refusal(f"Invalid page size. The page size must be between 1 and {most}")
        return int(text) if self.page is None else min(int(text), self.page)


Operation = Callable[[Call], Response]


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One operation with its address, without the version."""

    method: str
    pattern: str
    """A regular expression for the whole path below the family: /contacts/batch/read of "objects"."""
    family: str
    operation: Operation
    kind: str
    """Under which the call is counted: record, batch, search, associations, properties, lists, preferences, other."""
    versions: str = ".*"
    """A regular expression of the versions that have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What of a record was asked for."""

    properties: tuple[str, ...] | None = None
    """None: what is shown without asking."""
    history: tuple[str, ...] = ()
    associations: Mapping[str, Any] = field(default_factory=dict)

    def show(self, kind: Kind, record: Record, values: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The record as the API answers it. values: those a search saw, when they are older."""
        values = record.properties if values is None else values
        asked = kind.shown if self.properties is None else self.properties
        names = [name for name in dict.fromkeys([*asked, *kind.always()]) if kind.property(name) is not None]
        shown: dict[str, Any] = {
            "id": record.id,
            "properties": {name: values.get(name) or None for name in sorted(names)},
            "createdAt": show_stamp(record.created),
            "updatedAt": values.get(kind.modified) or show_stamp(record.updated),
            "archived": record.archived is not None,
        }
        if record.archived is not None:
            shown["archivedAt"] = show_stamp(record.archived)
        if self.history:
            shown["propertiesWithHistory"] = {
                name: _history(record, name) for name in self.history if kind.property(name) is not None
            }
        if self.associations:
            shown["associations"] = dict(self.associations)
        return shown


def _history(record: Record, name: str) -> list[dict[str, Any]]:
    """Every value of a property, newest first."""
    return [
        {
            "value": version.changes[name],
            "timestamp": show_stamp(version.at),
            "sourceType": version.source,
            "sourceId": version.source_id or None,
        }
        for version in reversed(record.history)
        if name in version.changes
    ]


def paging(after: str | None, call: Call) -> dict[str, Any]:
    """The way to the next page, nothing on the last."""
    if after is None:
        return {}
    return {"paging": {"next": {"after": after, "link": f"https://api.hubapi.com{call.request.path}?after={after}"}}}


def batch_answer(call: Call, results: Sequence[Any], errors: Sequence[Any] = ()) -> dict[str, Any]:
    """The body of a batch's answer."""
    stamp = show_stamp(call.stamp)
    answer: dict[str, Any] = {
        "status": "COMPLETE",
        "results": list(results),
        "startedAt": stamp,
        "completedAt": stamp,
        "requestedAt": stamp,
    }
    if errors:
        answer |= {"numErrors": len(errors), "errors": list(errors)}
    return answer
