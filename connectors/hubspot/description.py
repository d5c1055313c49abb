"""What a portal has already that could stand for crmdrip's properties. A call for each object, and only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.comparison import compare
from connectors.hubspot.schema import OBJECT_OF, PropertySpec, read_schema
from crmdrip.core.mapping import CrmMapping
from crmdrip.ports import Candidate, ChangeKind, Place, Purpose

_TABLES = ("contact",)
"""Where people have properties of their own for it; what stands on the timeline is crmdrip's alone."""


def describe_portal(client: HubSpotClient, mapping: CrmMapping) -> Sequence[Place]:
    """Every property of people that an installation would make.

    Raises AuthError, RetriableError, RateLimitedError, ConfigurationError.
    """
    return list(_places(client, mapping))


def _places(client: HubSpotClient, mapping: CrmMapping) -> Iterator[Place]:
    schema = read_schema(mapping)
    for kind in dict.fromkeys(mapping.object(OBJECT_OF.get(table, table)) for table in _TABLES):
        rows = {str(row["name"]): row for row in client.get("properties", kind, Purpose.LOOK).results}
        specs = schema.properties.get(kind, ())
        ours = {spec.name for spec in specs}
        own = [row for name, row in rows.items() if not row.get("hubspotDefined") and name not in ours]
        for spec in specs:
            table, _, word = spec.word.partition(".")
            if table in _TABLES:
                yield Place(
                    table=table,
                    word=word,
                    name=spec.name,
                    label=spec.label.removeprefix("Drip "),
                    kind=spec.type,
                    there=spec.name in rows,
                    vital=True,
                    candidates=tuple(_candidate(spec, row) for row in own),
                )


def _candidate(spec: PropertySpec, row: Mapping[str, Any]) -> Candidate:
    kind, detail = compare(replace(spec, name=str(row["name"])), row)
    # Values that a choice lacks are added by the installation.
    problems = (detail.partition(". ")[0],) if kind is ChangeKind.CONFLICT else ()
    return Candidate(name=str(row["name"]), label=str(row.get("label") or ""), kind=str(row["type"]), problems=problems)
