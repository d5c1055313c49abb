"""Records, their links and the search index of one portal, in memory. No rule of the portal is kept here.

Whatever is changed inside a savepoint that raises is undone. What searches see is older: a change reaches the index
`lag` after it was made.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

Properties = Mapping[str, str]
"""Never changed in place: a change makes another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """What one write changed."""

    at: int
    source: str
    """INTEGRATION, CRM_UI, MERGE_OBJECTS ..."""
    source_id: str
    changes: Properties


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One record as it stands. A change makes another."""

    id: str
    kind: str
    properties: Properties
    created: int
    """Milliseconds since 1970."""
    updated: int
    archived: int | None = None
    """When it was deleted."""
    history: tuple[Version, ...] = field(default=(), repr=False)

    def get(self, name: str) -> str:
        """A value, "" for none."""
        return self.properties.get(name, "")


@dataclass(frozen=True, slots=True)
class _Change:
    """A change on its way into the index."""

    at: int
    kind: str
    id: str
    properties: Properties


class Store:
    """Everything a portal keeps."""

    def __init__(self, lag: int) -> None:
        self.lag = lag
        """Milliseconds until a search sees a change."""
        self.tables: dict[str, dict[str, Record]] = defaultdict(dict)
        self.merged: dict[tuple[str, str], str] = {}
        """The id of the record that a merged one became, by kind and its own id."""
        self.links: dict[tuple[str, str], dict[str, dict[str, set[int]]]] = {}
        """By kind and id: kinds, ids and type ids of what is associated. Both directions are kept."""
        self._unique: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        self._index: dict[str, dict[str, Properties]] = defaultdict(dict)
        self._changes: deque[_Change] = deque()
        self._number = 100_000_000
        self._undo: list[Callable[[], object]] = []
        self._depth = 0
        self._undoing = False

    def next_id(self) -> str:
        """The id of the next record of any kind; ids are never used again."""
        self._number += 1
        return str(self._number)

    # all or nothing

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """All of what happens inside, or nothing of it when it raises."""
        mark = len(self._undo)
        self._depth += 1
        try:
            yield
        except BaseException:
            self._undoing = True
            while len(self._undo) > mark:
                self._undo.pop()()
            self._undoing = False
            raise
        finally:
            self._depth -= 1
            if not self._depth:
                self._undo.clear()

    def on_undo(self, function: Callable[[], object]) -> None:
        """Run this when the savepoint raises."""
        if self._depth and not self._undoing:
            self._undo.append(function)

    # records

    def find(self, kind: str, record_id: str) -> Record | None:
        """A living record by id."""
        record = self.tables[kind].get(record_id)
        return None if record is None or record.archived is not None else record

    def resolve(self, kind: str, record_id: str) -> str:
        """The id under which a merged record lives on, else the id itself."""
        while (following := self.merged.get((kind, record_id))) is not None:
            record_id = following
        return record_id

    def put(self, record: Record) -> None:
        """Keep a record, new or changed. The index follows."""
        table = self.tables[record.kind]
        before = table.get(record.id)
        table[record.id] = record
        change = _Change(record.updated, record.kind, record.id, record.properties)
        self._changes.append(change)

        def undo() -> None:
            self._changes.pop()
            if before is None:
                del table[record.id]
            else:
                table[record.id] = before

        self.on_undo(undo)

    def drop(self, record: Record) -> None:
        """Forget a record for good."""
        del self.tables[record.kind][record.id]
        self.on_undo(lambda: self.tables[record.kind].__setitem__(record.id, record))

    def mark_merged(self, kind: str, old: str, new: str) -> None:
        """The old id leads to the new record from now on."""
        self.merged[(kind, old)] = new
        self.on_undo(lambda: self.merged.pop((kind, old)))

    # unique values

    def owner_of(self, kind: str, name: str, value: str) -> str | None:
        """The id of the living record with a value that is unique."""
        return self._unique[(kind, name)].get(value.lower())

    def claim(self, kind: str, name: str, value: str, record_id: str) -> None:
        """Remember that a record has a unique value."""
        table, key = self._unique[(kind, name)], value.lower()
        before = table.get(key)
        table[key] = record_id
        self.on_undo(lambda: table.pop(key) if before is None else table.__setitem__(key, before))

    def release(self, kind: str, name: str, value: str, record_id: str) -> None:
        """Free a unique value."""
        table, key = self._unique[(kind, name)], value.lower()
        if table.get(key) == record_id:
            del table[key]
            self.on_undo(lambda: table.__setitem__(key, record_id))

    # the index

    def indexed(self, kind: str, now: int) -> Iterator[tuple[Record, Properties]]:
        """Living records as a search sees them: with the values of `lag` ago."""
        while self._changes and self._changes[0].at + self.lag <= now:
            change = self._changes.popleft()
            self._index[change.kind][change.id] = change.properties
        table, index = self.tables[kind], self._index[kind]
        for record_id, properties in list(index.items()):
            record = table.get(record_id)
            if record is None:
                del index[record_id]
            elif record.archived is None:
                yield record, properties

    # links

    def link(self, one: tuple[str, str], other: tuple[str, str], type_id: int) -> bool:
        """Associate one record with another in one direction; whether that was new."""
        types = self.links.setdefault(one, {}).setdefault(other[0], {}).setdefault(other[1], set())
        if type_id in types:
            return False
        types.add(type_id)
        self.on_undo(lambda: self.unlink(one, other, type_id))
        return True

    def unlink(self, one: tuple[str, str], other: tuple[str, str], type_id: int | None = None) -> None:
        """Take an association away in one direction: one type of it, or all."""
        found = self.links.get(one, {}).get(other[0], {})
        types = found.get(other[1])
        if types is None:
            return
        before = set(types)
        if type_id is None:
            types.clear()
        else:
            types.discard(type_id)
        if not types:
            del found[other[1]]
        self.on_undo(lambda: found.__setitem__(other[1], before))

    def linked(self, kind: str, record_id: str, other: str) -> dict[str, set[int]]:
        """Type ids by the ids of living records of another kind, in the order of association."""
        found = self.links.get((kind, record_id), {}).get(other, {})
        return {each: types for each, types in found.items() if self.find(other, each) is not None}

    def kinds_linked(self, kind: str, record_id: str) -> list[str]:
        """Which kinds a record is associated with."""
        return list(self.links.get((kind, record_id), {}))


def changed(record: Record, changes: Properties, *, at: int, source: str, source_id: str) -> Record:
    """The record after a write."""
    version = Version(at=at, source=source, source_id=source_id, changes=changes)
    properties = {**record.properties, **changes}
    return replace(record, properties=properties, updated=at, history=(*record.history, version))
