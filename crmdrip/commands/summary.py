"""What an installation would make, a line for each object of the CRM instead of one for each of its fields.

Reads what an Installer calls things: "Contact.Drip_Run__c", "list view Contact.Drip_Held", "report Drip/Replied",
"contacts, group crmdrip", "tab Drip_Step__c". What is called otherwise stays on a line of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from crmdrip.ports import SchemaChange

FEW = 3
"""So many things of one object, or of one kind, are still named one by one."""

_CALLED = re.compile(
    r"(?:(?P<kind>[A-Za-z][a-z ]*) )?(?P<name>\w+)(?:[./-](?P<member>.+)|, (?P<sort>[a-z]+(?: [a-z]+)*) \S+)?"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of the summary."""

    what: str
    """An object such as "Contact", a kind such as "permission sets", or a single thing."""
    detail: str
    """What of it: "the object, 13 fields, 1 list view", names, or the single thing's own detail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """One thing, and how it is called."""

    change: SchemaChange
    kind: str
    """Such as "list view"; "field" for what has no kind, "" for the object itself."""
    name: str
    """Of the object that it belongs to, or its own."""
    belongs: bool


def summarize(changes: Iterable[SchemaChange]) -> Iterator[Line]:
    """The lines, in the order in which their first things would be made."""
    parts = _name_folders([_read(change) for change in changes])
    objects = {part.name for part in parts if part.belongs or not part.kind}
    groups: dict[tuple[str, str], list[_Part]] = {}
    for part in parts:
        key = ("object", part.name) if part.name in objects else ("kind", part.kind)
        groups.setdefault(key if part.name else ("", part.change.what), []).append(part)
    for (by, name), group in groups.items():
        if len(group) <= FEW:
            yield from (Line(what=part.change.what, detail=part.change.detail) for part in group)
        elif by == "object":
            counts = Counter(part.kind for part in group)
            yield Line(what=name, detail=", ".join(_count(kind, number) for kind, number in counts.items()))
        else:
            yield Line(what=f"{len(group)} {name}s", detail=", ".join(part.name for part in group))


def _read(change: SchemaChange) -> _Part:
    found = _CALLED.fullmatch(change.what)
    if found is None:
        return _Part(change=change, kind="", name="", belongs=False)
    kind = found["kind"] or found["sort"] or ("field" if found["member"] else "")
    return _Part(change=change, kind=kind, name=found["name"], belongs=bool(found["member"] or found["sort"]))


def _name_folders(parts: list[_Part]) -> list[_Part]:
    """What holds others of its kind is no such thing itself: "report Drip" beside "report Drip/Contacts_Replied"."""
    holding = {(part.kind, part.name) for part in parts if part.belongs}
    return [
        replace(part, kind=f"{part.kind} folder")
        if part.kind and not part.belongs and (part.kind, part.name) in holding
        else part
        for part in parts
    ]


def _count(kind: str, number: int) -> str:
    if not kind:
        return "the object"
    return f"{number} {kind}" + ("" if number == 1 else "s")
