"""Lists ("segments"): who is on them since when. What is on a dynamic one follows from a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from crmdrip.sandbox.hubspot.kinds import Kind
from crmdrip.sandbox.hubspot.refusals import Refusal
from crmdrip.sandbox.hubspot.store import Properties, Store


class Processing(StrEnum):
    """How a list comes by its members."""

    MANUAL = "MANUAL"
    SNAPSHOT = "SNAPSHOT"
    """A condition was asked once."""
    DYNAMIC = "DYNAMIC"


Condition = Callable[[Properties], bool]


@dataclass(kw_only=True, slots=True)
class PortalList:
    """One list."""

    id: str
    name: str
    kind: Kind
    processing: Processing
    created: int
    updated: int
    condition: Condition | None = None
    members: dict[str, int] = field(default_factory=dict)
    """When each record came on it, by record id, the first first."""
    added: int | None = None
    """When somebody came on it last."""
    removed: int | None = None
    """When somebody went off it last."""
    deleted: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Membership:
    """What a change to the members came to."""

    added: list[str]
    removed: list[str]
    missing: list[str]
    """Ids of records that do not exist."""


class Lists:
    """Every list of a portal."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_id: dict[str, PortalList] = {}
        self._number = 0

    def all(self) -> list[PortalList]:
        """Those that are not deleted."""
        return [each for each in self._by_id.values() if each.deleted is None]

    def find(self, list_id: str) -> PortalList:
        """One by id, with its members as they are now. Raises Refusal."""
        found = self._by_id.get(list_id)
        if found is None or found.deleted is not None:
            raise Refusal(f"List does not exist with ID {list_id}.", "OBJECT_NOT_FOUND", status=404)
        return found

    def create(
        self, name: str, kind: Kind, processing: Processing, stamp: int, condition: Condition | None = None
    ) -> PortalList:  # fmt: skip
        """A new list. Raises Refusal when the name is taken."""
        if any(each.name.lower() == name.lower() for each in self.all()):
            raise Refusal(f"List with name '{name}' already exists", "OBJECT_ALREADY_EXISTS", status=409)
        self._number += 1
        made = PortalList(
            id=str(self._number),
            name=name,
            kind=kind,
            processing=processing,
            created=stamp,
            updated=stamp,
            condition=condition,
        )
        self._by_id[made.id] = made
        if processing is Processing.SNAPSHOT and condition is not None:
            self._evaluate(made, stamp)
        return made

    def members(self, found: PortalList, stamp: int) -> dict[str, int]:
        """When each living member came on a list."""
        self._follow_merges(found)
        if found.processing is Processing.DYNAMIC:
            self._evaluate(found, stamp)
        return {each: at for each, at in found.members.items() if self._store.find(found.kind.name, each) is not None}

    def _evaluate(self, found: PortalList, stamp: int) -> None:
        condition = found.condition
        if condition is None:
            return
        fitting = {
            record.id
            for record in self._store.tables[found.kind.name].values()
            if record.archived is None and condition(record.properties)
        }
        for gone in found.members.keys() - fitting:
            del found.members[gone]
            found.removed = stamp
        for record_id in sorted(fitting - found.members.keys(), key=int):
            found.members[record_id] = found.added = stamp

    def _follow_merges(self, found: PortalList) -> None:
        """Whoever was merged into another record has that one in their place."""
        name = found.kind.name
        found.members = {self._store.resolve(name, each): at for each, at in found.members.items()}

    def change(self, found: PortalList, add: Iterable[str], remove: Iterable[str], stamp: int) -> Membership:
        """Put records on a list and take others off. Raises Refusal for a dynamic one."""
        if found.processing is Processing.DYNAMIC:
            raise Refusal("Cannot add or remove records of a list with processing type DYNAMIC")
        self._follow_merges(found)
        added, missing = [], []
        for each in add:
            if self._store.find(found.kind.name, each) is None:
                missing.append(each)
            elif each not in found.members:
                found.members[each] = stamp
                added.append(each)
        removed = [each for each in remove if found.members.pop(each, None) is not None]
        found.updated = stamp
        found.added, found.removed = (stamp if added else found.added), (stamp if removed else found.removed)
        return Membership(added=added, removed=removed, missing=missing)
