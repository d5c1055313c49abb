"""What a portal has already that could stand for crmdrip's properties and custom objects. Two calls, and only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.comparison import compare
from connectors.hubspot.schema import OBJECT_OF, ObjectSpec, PropertySpec, read_schema
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.mapping import CrmMapping
from crmdrip.ports import Candidate, ChangeKind, Place, Purpose

_TABLES = ("contact",)
"""Where people have properties of their own for it; what stands on the timeline is crmdrip's alone."""
_OBJECTS = ("sequence", "step")
"""The mapping's words for the custom objects, in the order of the schema."""


def describe_portal(client: HubSpotClient, mapping: CrmMapping) -> Sequence[Place]:
    """Every property of people that an installation would make, and the custom objects where sequences stand in those.

    Raises AuthError, RetriableError, RateLimitedError, ConfigurationError.
    """
    people = list(_people(client, mapping))
    return people if client.settings.sequences is not None else [*_objects(client, mapping), *people]


def _people(client: HubSpotClient, mapping: CrmMapping) -> Iterator[Place]:
    schema = read_schema(mapping)
    for kind in dict.fromkeys(mapping.object(OBJECT_OF.get(table, table)) for table in _TABLES):
        rows = client.get("properties", kind, Purpose.LOOK).results
        specs = schema.properties.get(kind, ())
        yield from _properties([spec for spec in specs if spec.word.partition(".")[0] in _TABLES], specs, rows)


def _objects(client: HubSpotClient, mapping: CrmMapping) -> Iterator[Place]:
    """The two objects, and the properties of the one that is there."""
    try:
        found = {str(row["name"]): row for row in client.get("schemas", "schemas", Purpose.LOOK).results}
    except ConfigurationError:  # no Enterprise account, or a key that may not see: the installation says which
        found = {}
    specs = dict(zip(_OBJECTS, read_schema(mapping).objects, strict=True))
    shipped = {spec.name for spec in specs.values()}
    own = tuple(
        Candidate(name=name, label=str((row.get("labels") or {}).get("singular") or ""), kind="custom object")
        for name, row in found.items()
        if name not in shipped
    )
    for word, spec in specs.items():
        yield _object(word, spec, own, there=spec.name in found)
    for spec in specs.values():
        if spec.name in found:
            yield from _properties(spec.properties, spec.properties, found[spec.name]["properties"])


def _object(word: str, spec: ObjectSpec, own: tuple[Candidate, ...], *, there: bool) -> Place:
    return Place(
        table="objects",
        word=word,
        name=spec.name,
        label=spec.singular.removeprefix("Drip "),
        kind="custom object",
        there=there,
        vital=True,
        candidates=own,
    )


def _properties(
    specs: Sequence[PropertySpec], ours: Sequence[PropertySpec], rows: Sequence[Mapping[str, Any]]
) -> Iterator[Place]:
    """A place for each property. ours: all that are installed on the object, none of which stands for another."""
    there, names = {str(row["name"]) for row in rows}, {spec.name for spec in ours}
    own = [row for row in rows if not row.get("hubspotDefined") and row["name"] not in names]
    for spec in specs:
        table, _, word = spec.word.partition(".")
        yield Place(
            table=table,
            word=word,
            name=spec.name,
            label=spec.label.removeprefix("Drip "),
            kind=spec.type,
            there=spec.name in there,
            vital=True,
            candidates=tuple(_candidate(spec, row) for row in own),
        )


def _candidate(spec: PropertySpec, row: Mapping[str, Any]) -> Candidate:
    kind, detail = compare(replace(spec, name=str(row["name"])), row)
    # Values that a choice lacks are added by the installation.
    problems = (detail.partition(". ")[0],) if kind is ChangeKind.CONFLICT else ()
    return Candidate(name=str(row["name"]), label=str(row.get("label") or ""), kind=str(row["type"]), problems=problems)
