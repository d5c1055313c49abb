"""A property as it stands in a portal, held against what crmdrip needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.hubspot.schema import PropertySpec
from crmdrip.ports import ChangeKind


def compare(spec: PropertySpec, row: Mapping[str, Any] | None) -> tuple[ChangeKind, str]:
    """What would be done about a property, and what there is to say. row: None when it is not there."""
    if row is None:
        if spec.name.startswith("hs_"):
            # "hs_" is reserved: HubSpot refuses such a name (docs: properties).
            return _conflict("is not there, and a name with hs_ is HubSpot's own to give", spec, "Correct the name in")
        return ChangeKind.CREATE, f"{spec.label} ({', '.join(_kinds(spec))})"
    given = str(row.get("type"))
    if given != spec.type and given not in spec.accepts:
        return _conflict(f"is of type {given} and must be {spec.type}", spec, "Name another property in")
    if (row.get("modificationMetadata") or {}).get("readOnlyValue"):
        return _conflict("takes no values from others", spec, "Name another property in")
    if spec.unique and not row.get("hasUniqueValue"):
        # Set at creation only (docs: properties, "unique value properties").
        return _conflict("may hold one value several times, which cannot be changed", spec, "Name another property in")
    missing = _missing_options(spec, row)
    if not missing:
        return ChangeKind.KEEP, ""
    if (row.get("modificationMetadata") or {}).get("readOnlyDefinition"):
        what = f"lacks {', '.join(missing)}, and its values are HubSpot's own"
        return _conflict(what, spec, "Name another property in")
    return ChangeKind.UPDATE, f"gets the values {', '.join(missing)}"


def _kinds(spec: PropertySpec) -> list[str]:
    return [
        spec.type,
        *(["unique values"] if spec.unique else []),
        *([" / ".join(spec.options)] if spec.options else []),
    ]


def _missing_options(spec: PropertySpec, row: Mapping[str, Any]) -> list[str]:
    if row.get("type") != "enumeration":
        return []
    known = {str(one.get("value")) for one in row.get("options") or ()}
    return [text for text in spec.options if text not in known]


def _conflict(what: str, spec: PropertySpec, advice: str) -> tuple[ChangeKind, str]:
    table, _, word = spec.word.partition(".")
    return ChangeKind.CONFLICT, f"{what}. {advice} the mapping: [{table}] {word}."
