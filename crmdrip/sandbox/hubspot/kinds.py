"""The kinds of objects a portal has, each with its properties and groups, and the scopes it asks for."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

from crmdrip.sandbox.hubspot.properties import Option, Property
from crmdrip.sandbox.hubspot.refusals import Refusal, not_found


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A heading under which properties stand."""

    name: str
    label: str
    order: int = -1

    def show(self) -> dict[str, Any]:
        """As the API answers it."""
        return {"name": self.name, "label": self.label, "displayOrder": self.order, "archived": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One object type. `properties` and `groups` change as admins define things; the rest never does."""

    name: str
    """As in paths: "contacts"."""
    singular: str
    id: str
    """Such as "0-1"; custom objects begin with 2."""
    created: str
    """The property with the moment of creation."""
    modified: str
    """The property with the moment of the last change."""
    read: tuple[str, ...]
    """Scopes, all of which are needed."""
    write: tuple[str, ...]
    schema_read: tuple[str, ...]
    schema_write: tuple[str, ...]
    shown: tuple[str, ...] = ()
    """Properties in answers that were asked for none, beside the three always there."""
    text: tuple[str, ...] = ()
    """Where a search's query looks."""
    required: tuple[str, ...] = ()
    """What no record can be created without, in any version of the API."""
    mergeable: bool = False
    activity: bool = False
    """Stands on the timeline of what it is associated with."""
    permanent: bool = False
    """A deletion cannot be undone (the emails guide)."""
    custom: bool = False
    label: str = ""
    plural_label: str = ""
    primary: str = ""
    """The primary display property of a custom object."""
    secondary: tuple[str, ...] = ()
    made: int = 0
    properties: dict[str, Property] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    def property(self, name: object) -> Property | None:
        """A property that is not archived, None when there is none."""
        found = self.properties.get(name) if isinstance(name, str) else None
        return None if found is None or found.archived else found

    def always(self) -> tuple[str, str, str]:
        """The properties every answer holds."""
        return (self.created, "hs_object_id", self.modified)


class Kinds:
    """Every kind of a portal."""

    def __init__(self, portal_id: int) -> None:
        self._portal_id = portal_id
        self._by_name: dict[str, Kind] = {}
        self._aliases: dict[str, str] = {}
        options = _load("options.toml")
        labels: dict[str, str] = options.pop("labels")
        for name, row in _load("standard.toml").items():
            self.add(_labelled(_standard(name, row, options), labels))

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Kind:
        return self._by_name[name]

    def add(self, kind: Kind) -> None:
        """Add one."""
        self._by_name[kind.name] = kind
        self._aliases |= {kind.name: kind.name, kind.singular: kind.name, kind.id: kind.name}
        if kind.custom:
            self._aliases[self.full_name(kind)] = kind.name

    def full_name(self, kind: Kind) -> str:
        """The fully qualified name of a custom object."""
        return f"p{self._portal_id}_{kind.name}"

    def remove(self, kind: Kind) -> None:
        """Take a custom object out."""
        del self._by_name[kind.name]
        self._aliases = {alias: name for alias, name in self._aliases.items() if name != kind.name}

    def find(self, text: str) -> Kind:
        """The kind a path means by its name, singular, id or fully qualified name. Raises Refusal."""
        name = self._aliases.get(text) or self._aliases.get(text.lower())
        if name is None:
            raise Refusal(f"Unable to infer object type from: {text}", "VALIDATION_ERROR")
        return self._by_name[name]

    def custom(self, text: str) -> Kind:
        """A custom object. Raises Refusal."""
        name = self._aliases.get(text)
        kind = self._by_name.get(name) if name is not None else None
        if kind is None or not kind.custom:
            raise not_found(f"Unable to find object type {text}")
        return kind


def everywhere(created: str, modified: str) -> list[Property]:
    """The properties every kind has."""
    rows = {
        created: "datetime date ro",
        modified: "datetime date ro",
        "hs_object_id": "number number ro unique",
        "hubspot_owner_id": "enumeration select free",
        "hubspot_owner_assigneddate": "datetime date ro",
        "hs_merged_object_ids": "enumeration checkbox ro free",
        "hs_object_source": "string text ro",
        "hs_object_source_id": "string text ro",
    }
    return [parse(name, text, "", {}) for name, text in rows.items()]


def parse(name: str, text: str, group: str, options: dict[str, list[str]]) -> Property:
    """A property from its line in a data file."""
    type_name, field_type, *flags = text.split()
    given = next((flag.partition("=")[2] for flag in flags if flag.startswith("options=")), "")
    values = options[given] if given else ["true", "false"] if type_name == "bool" else []
    return Property(
        name=name,
        label=name.removeprefix("hs_").replace("_", " ").capitalize(),
        type=type_name,
        field_type=field_type,
        group=group,
        options=tuple(
            Option(label=value.replace("_", " ").capitalize(), value=value, order=order)
            for order, value in enumerate(values)
        ),
        free="free" in flags,
        unique="unique" in flags,
        read_only="ro" in flags,
        searchable="nosearch" not in flags,
        standard=True,
    )


def _standard(name: str, row: dict[str, Any], options: dict[str, list[str]]) -> Kind:
    group = row["group"]
    rows = [parse(each, text, group, options) for each, text in row["properties"].items()]
    always = [replace(each, group=group) for each in everywhere(row["created"], row["modified"])]
    return Kind(
        name=name,
        singular=row["singular"],
        id=row["id"],
        created=row["created"],
        modified=row["modified"],
        required=tuple(row.get("required", ())),
        mergeable=row.get("mergeable", False),
        activity=row.get("activity", False),
        permanent=row.get("permanent", False),
        label=row["singular"].capitalize(),
        plural_label=name.capitalize(),
        properties={each.name: each for each in [*always, *rows]},
        groups={group: Group(name=group, label=group.replace("_", " ").capitalize(), order=0)},
        read=tuple(row["read"]),
        write=tuple(row["write"]),
        schema_read=tuple(row["schema_read"]),
        schema_write=tuple(row["schema_write"]),
        shown=tuple(row["shown"]),
        text=tuple(row["text"]),
    )


def _labelled(kind: Kind, labels: dict[str, str]) -> Kind:
    named = {
        name: replace(each, label=labels[name]) if name in labels else each for name, each in kind.properties.items()
    }
    return replace(kind, properties=named)


def _load(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("schema", name).read_text(encoding="utf-8"))
