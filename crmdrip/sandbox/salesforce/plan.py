"""Compiled queries as values: the SQL, and the shape of the records its rows become."""

# ruff: noqa: S608 - table and column names come from the schema, values are always bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crmdrip.sandbox.salesforce.schema import Field, Schema, SObject
from crmdrip.sandbox.salesforce.store import quote
from crmdrip.sandbox.salesforce.values import Shower


@dataclass(kw_only=True, slots=True)
class Parent:
    """A parent in the shape of an answer."""

    key: str
    """Where its id stands among the selected SQL columns."""
    index: int
    polymorphic: bool
    columns: list[tuple[str, int, Shower | None]] = field(default_factory=list)
    """Name, place among the selected SQL columns, what turns its values into what is shown."""
    parents: dict[str, Parent] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """A compiled subquery."""

    name: str
    """The key in the answer."""
    key: Field
    plan: Plan
    limit: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A compiled query."""

    source: SObject
    selected: str
    """The SQL after SELECT; column 0 is the record's id, column 1 its rowid."""
    parameters: tuple[Any, ...]
    shape: Parent
    children: tuple[Child, ...]
    counting: bool
    limit: int | None
    offset: int
    since: int | None
    """The lower bound of SystemModstamp that every row must pass, for the choice of the index."""
    by_stamp: bool
    """Whether the rows are asked for in the order of their stamps."""
    joins: str
    where: str
    order: str

    def sql(self, *, indexed: str = "") -> str:
        """The statement for the rows themselves."""
        return f"SELECT {self.selected}{self._tail(indexed)}"

    def rowid_sql(self, *, indexed: str = "") -> str:
        """The statement for the rowids of all rows, in order."""
        return f"SELECT t.rowid{self._tail(indexed)}"

    def count_sql(self, *, indexed: str = "") -> str:
        """The statement for how many rows there are."""
        return f"SELECT count(*) FROM (SELECT t.rowid{self._tail(indexed)})"

    def page_sql(self) -> str:
        """The statement for rows by a JSON list of rowids, in no order."""
        where = " WHERE t.rowid IN (SELECT value FROM json_each(?))"
        return f"SELECT {self.selected} FROM {quote(self.source.name)} AS t{self.joins}{where}"

    def _tail(self, indexed: str) -> str:
        hint = f" INDEXED BY {quote(indexed)}" if indexed else ""
        bounds = ""
        if self.limit is not None or self.offset:
            bounds = f" LIMIT {-1 if self.limit is None else self.limit} OFFSET {self.offset}"
        return f" FROM {quote(self.source.name)} AS t{hint}{self.joins}{self.where}{self.order}{bounds}"


def render(schema: Schema, base: str, source: SObject, shape: Parent, row: Sequence[Any]) -> dict[str, Any]:
    """One SQL row as a record of an answer. base: the path before /sobjects."""
    record: dict[str, Any] = {
        "attributes": {"type": source.name, "url": f"{base}/sobjects/{source.name}/{row[0]}"},
    }
    _fill(schema, base, shape, row, record)
    return record


def _fill(schema: Schema, base: str, shape: Parent, row: Sequence[Any], record: dict[str, Any]) -> None:
    for name, index, show in shape.columns:
        record[name] = row[index] if show is None else show(row[index])
    for name, parent in shape.parents.items():
        parent_id = row[parent.index]
        target = schema.of_id(parent_id) if parent_id is not None else None
        if target is None:
            record[name] = None
            continue
        # Of a polymorphic parent the vendor gives "Name" as type, and the true object only in the url.
        kind = "Name" if parent.polymorphic else target.name
        inner: dict[str, Any] = {"attributes": {"type": kind, "url": f"{base}/sobjects/{target.name}/{parent_id}"}}
        _fill(schema, base, parent, row, inner)
        record[name] = inner
