"""Associations: which types there are between two kinds, and setting and taking away."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from crmdrip.sandbox.hubspot.kinds import Kind
from crmdrip.sandbox.hubspot.refusals import Refusal, not_found
from crmdrip.sandbox.hubspot.store import Store

HUBSPOT, USER = "HUBSPOT_DEFINED", "USER_DEFINED"


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkType:
    """One type of association, in one direction."""

    id: int
    source: str
    """The name of the kind it leads from."""
    target: str
    category: str
    label: str = ""
    """"" for the one without a label."""
    name: str = ""
    """The old name, as answers of version 3 show it: contact_to_company."""

    def show(self) -> dict[str, Any]:
        """As the API answers it beside an association."""
        return {"category": self.category, "typeId": self.id, "label": self.label or None}


class Associations:
    """The types and the links of one portal."""

    def __init__(self, store: Store, singulars: Mapping[str, str]) -> None:
        self._store = store
        self._types: dict[int, LinkType] = {}
        self._pairs: dict[tuple[str, str], list[LinkType]] = {}
        self._inverse: dict[int, int] = {}
        self._number = 10_000
        text = resources.files(__package__).joinpath("schema", "associations.toml").read_text(encoding="utf-8")
        rows = tomllib.loads(text)["types"]
        for source, target, type_id, label in rows:
            name = f"{singulars[source]}_to_{singulars[target]}"
            self._keep(
                LinkType(id=type_id, source=source, target=target, category=HUBSPOT, label=label, name=name)
            )  # fmt: skip
        for each in list(self._types.values()):
            back = [t for t in self._pairs[(each.target, each.source)] if t.label == each.label]
            self._inverse[each.id] = back[0].id

    def _keep(self, each: LinkType) -> None:
        self._types[each.id] = each
        self._pairs.setdefault((each.source, each.target), []).append(each)

    def define(self, one: Kind, other: Kind) -> tuple[LinkType, LinkType]:
        """Let records of two kinds be associated, in both directions: what a schema's associatedObjects does."""
        self._number += 2
        # Type ids of a portal's own begin far above HubSpot's.
        there, back = (
            LinkType(
                id=type_id,
                source=source.name,
                target=target.name,
                category=USER,
                name=f"{source.singular}_to_{target.singular}",
            )
            for type_id, source, target in ((self._number, one, other), (self._number + 1, other, one))
        )
        for each in (there, back):
            self._keep(each)
        self._inverse |= {there.id: back.id, back.id: there.id}
        return there, back

    def types(self, source: str, target: str) -> list[LinkType]:
        """The types from one kind to another."""
        return self._pairs.get((source, target), [])

    def type(self, type_id: int) -> LinkType:
        """One by id, which must exist."""
        return self._types[type_id]

    def default(self, source: Kind, target: Kind) -> LinkType:
        """The type without a label. Raises Refusal when the two kinds cannot be associated."""
        found = [each for each in self.types(source.name, target.name) if not each.label]
        if not found:
            raise Refusal(f"No associations are supported between {source.name} and {target.name}")
        return found[0]

    def parse(self, rows: Any, source: Kind, target: Kind | None = None) -> list[LinkType]:
        """The types a request names. Raises Refusal for one that does not lead from here, or not to there."""
        if not isinstance(rows, list) or not rows:
            raise Refusal("Some required fields were not set: [types]")
        found = []
        for row in rows:
            if not isinstance(row, Mapping):
                raise Refusal("Invalid input JSON: an association type is an object")
            type_id, category = row.get("associationTypeId"), row.get("associationCategory")
            each = self._types.get(type_id) if isinstance(type_id, int) else None
            if (
                each is None
                or each.category != category
                or each.source != source.name
                or (target is not None and each.target != target.name)
            ):
                where = f"{source.singular} and {target.singular}" if target is not None else source.singular
                raise Refusal(
                    f"Invalid association type {category} {type_id} for {where}",
                    sub_category="crm.associations.INVALID_ASSOCIATION_TYPE",
                )
            found.append(each)
        return found

    def set(self, one: str, other: str, types: Iterable[LinkType]) -> bool:
        """Associate two living records; whether anything was new. Raises Refusal for one that does not exist."""
        fresh = False
        for each in types:
            for kind, record_id in ((each.source, one), (each.target, other)):
                if self._store.find(kind, record_id) is None:
                    raise not_found(f"{kind} {record_id} does not exist")
            chosen = [each]
            if each.label and (plain := [t for t in self.types(each.source, each.target) if not t.label]):
                chosen.append(plain[0])  # a label never stands alone
            for link in chosen:
                here, there = (link.source, one), (link.target, other)
                fresh |= self._store.link(here, there, link.id)
                self._store.link(there, here, self._inverse[link.id])
        return fresh

    def take(self, source: str, one: str, target: str, other: str) -> None:
        """Take every association between two records away, in both directions."""
        self._store.unlink((source, one), (target, other))
        self._store.unlink((target, other), (source, one))

    def take_label(self, one: str, other: str, link: LinkType) -> None:
        """Take one type away, in both directions."""
        self._store.unlink((link.source, one), (link.target, other), link.id)
        self._store.unlink((link.target, other), (link.source, one), self._inverse[link.id])

    def move(self, kind: str, old: str, new: str) -> None:
        """Everything associated with one record is associated with another instead."""
        for target in self._store.kinds_linked(kind, old):
            for other, types in list(self._store.links[(kind, old)][target].items()):
                for type_id in list(types):
                    self._store.link((kind, new), (target, other), type_id)
                    self._store.link((target, other), (kind, new), self._inverse[type_id])
                self.take(kind, old, target, other)
