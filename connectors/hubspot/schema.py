"""What stands in a portal for crmdrip: properties and custom objects under the portal's own names. Pure but for files.

The definitions are data (mappings/hubspot/*.toml); the mapping says what each is called.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crmdrip.core.mapping import CrmMapping
from crmdrip.shipped import shipped

OBJECT_OF: Mapping[str, str] = {"control": "contact"}
"""Tables whose properties stand on another object than the one of their name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PropertySpec:
    """One property, as it is to be made."""

    word: str
    """Of the mapping, such as "contact.enrolled"."""
    name: str
    """The portal's internal name for it."""
    label: str
    type: str
    field: str
    """HubSpot's fieldType."""
    help: str
    options: tuple[str, ...] = ()
    unique: bool = False
    accepts: frozenset[str] = frozenset()
    """Other types that serve as well, where one stands there."""

    def body(self, group: str) -> dict[str, Any]:
        """As the API takes it; group "" for a custom object's own."""
        value: dict[str, Any] = {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field,
            "description": self.help,
        }
        if group:
            value["groupName"] = group
        if self.unique:
            value["hasUniqueValue"] = True
        if self.options:
            value["options"] = [option(text, order) for order, text in enumerate(self.options)]
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectSpec:
    """One custom object, as it is to be made."""

    name: str
    singular: str
    plural: str
    primary: str
    """The property that names a record."""
    secondary: tuple[str, ...]
    required: tuple[str, ...]
    searched: tuple[str, ...]
    properties: tuple[PropertySpec, ...]

    def body(self, associated: tuple[str, ...]) -> dict[str, Any]:
        """As the API takes it. associated: ids of object types."""
        return {
            "name": self.name,
            "labels": {"singular": self.singular, "plural": self.plural},
            "primaryDisplayProperty": self.primary,
            "secondaryDisplayProperties": list(self.secondary),
            "requiredProperties": list(self.required),
            "searchableProperties": list(self.searched),
            "properties": [each.body("") for each in self.properties],
            "associatedObjects": list(associated),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalSchema:
    """Everything together."""

    group: str
    group_label: str
    properties: Mapping[str, tuple[PropertySpec, ...]]
    """By the object's name in paths, contacts first."""
    objects: tuple[ObjectSpec, ...]
    """The sequence, and then the step, which is associated with it."""


def option(text: str, order: int) -> dict[str, Any]:
    """A value of an enumeration as the API takes it."""
    return {"label": text, "value": text, "displayOrder": order, "hidden": False}


def read_schema(mapping: CrmMapping) -> PortalSchema:
    """What the mapping asks for. Raises ConfigurationError for a mapping that lacks an object."""
    document = _load("properties.toml")
    group = document.pop("group")
    properties: dict[str, dict[str, PropertySpec]] = {}
    for table, rows in document.items():
        kind = properties.setdefault(mapping.object(OBJECT_OF.get(table, table)), {})
        for spec in _specs(table, rows, mapping):
            kind.setdefault(spec.name, spec)
    objects = _load("objects.toml")
    return PortalSchema(
        group=group["name"],
        group_label=group["label"],
        properties={kind: tuple(found.values()) for kind, found in properties.items() if found},
        objects=tuple(_object(word, row, objects, mapping) for word, row in objects.pop("objects").items()),
    )


def _object(word: str, row: Mapping[str, Any], objects: Mapping[str, Any], mapping: CrmMapping) -> ObjectSpec:
    def named(words: list[str]) -> tuple[str, ...]:
        return tuple(name for each in words if (name := mapping.field(word, each)))

    return ObjectSpec(
        name=mapping.object(word),
        singular=row["singular"],
        plural=row["plural"],
        primary=mapping.field(word, row["primary"]),
        secondary=named(row["secondary"]),
        required=named(row["required"]),
        searched=named(row["searched"]),
        properties=tuple(_specs(word, objects[word], mapping)),
    )


def _specs(table: str, rows: Mapping[str, Mapping[str, Any]], mapping: CrmMapping) -> Iterator[PropertySpec]:
    """Those that the mapping has not switched off."""
    for word, row in rows.items():
        if name := mapping.field(table, word):
            yield PropertySpec(
                word=f"{table}.{word}",
                name=name,
                label=row["label"],
                type=row["type"],
                field=row["field"],
                help=row["help"],
                options=tuple(row.get("options", ())),
                unique=row.get("unique", False),
                accepts=frozenset(row.get("accepts", ())),
            )


def _load(name: str) -> dict[str, Any]:
    return tomllib.loads((shipped("hubspot") / name).read_text(encoding="utf-8"))
