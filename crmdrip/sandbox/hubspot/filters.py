"""Filters of a search: what they may look like, and which values they hold for. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from crmdrip.sandbox.hubspot.kinds import Kind, Kinds
from crmdrip.sandbox.hubspot.properties import Property, from_ms, to_ms
from crmdrip.sandbox.hubspot.refusals import Refusal, invalid_input

MOST_GROUPS, MOST_IN_GROUP, MOST_FILTERS = 5, 6, 18
"""Of filterGroups, of filters in one, and of filters in all (docs: search the CRM, "limitations")."""

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "LT": lambda value, given: value < given,
    "LTE": lambda value, given: value <= given,
    "GT": lambda value, given: value > given,
    "GTE": lambda value, given: value >= given,
}
_ONE = frozenset({"EQ", "NEQ", "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN", *_COMPARISONS})
_NONE = frozenset({"HAS_PROPERTY", "NOT_HAS_PROPERTY"})
_MANY = frozenset({"IN", "NOT_IN"})
OPERATORS = _ONE | _NONE | _MANY | {"BETWEEN"}

ASSOCIATED = "associations."
_WORDS = re.compile(r"[\w*]+", re.UNICODE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """One condition."""

    property: Property | None
    associated: str
    """The name of another kind, for a condition on what the record is associated with; else ""."""
    operator: str
    value: str = ""
    high: str = ""
    values: tuple[str, ...] = ()

    def holds(self, text: str, associated: Callable[[str], Collection[str]]) -> bool:
        """Whether it holds for the value of its property, or for the ids of what is associated."""
        if self.associated:
            found = associated(self.associated)
            match self.operator:
                case "EQ":
                    return self.value in found
                case "IN":
                    return not set(self.values).isdisjoint(found)
                case "NEQ":
                    return self.value not in found
                case "NOT_IN":
                    return set(self.values).isdisjoint(found)
                case "HAS_PROPERTY":
                    return bool(found)
                case _:
                    return not found
        if self.operator == "HAS_PROPERTY":
            return text != ""
        if self.operator == "NOT_HAS_PROPERTY":
            return text == ""
        if text == "":
            # Records without a value are found by NEQ and the other negations alone.
            return self.operator in ("NEQ", "NOT_IN", "NOT_CONTAINS_TOKEN")
        return self._holds_for(text)

    def _holds_for(self, text: str) -> bool:
        spec = self.property
        if spec is None:
            return False
        match self.operator:
            case "EQ":
                return bool(key_of(spec, text) == key_of(spec, self.value))
            case "NEQ":
                return bool(key_of(spec, text) != key_of(spec, self.value))
            case "IN":
                return _is_among(spec, text, self.values)
            case "NOT_IN":
                return not _is_among(spec, text, self.values)
            case "BETWEEN":
                return bool(key_of(spec, self.value) <= key_of(spec, text) <= key_of(spec, self.high))
            case "CONTAINS_TOKEN":
                return _contains(text, self.value)
            case "NOT_CONTAINS_TOKEN":
                return not _contains(text, self.value)
            case _:
                return _COMPARISONS[self.operator](key_of(spec, text), key_of(spec, self.value))


def _is_among(spec: Property, text: str, values: tuple[str, ...]) -> bool:
    if spec.type == "string":
        # IN and NOT_IN compare with what the index keeps, which is lower case: other values never match.
        return text.lower() in values
    return any(key_of(spec, text) == key_of(spec, each) for each in values)


def _contains(text: str, given: str) -> bool:
    tokens = [word.lower() for word in _WORDS.findall(text)]
    return all(
        any(re.fullmatch(word.lower().replace("*", ".*"), token) for token in tokens) for word in _WORDS.findall(given)
    )


def key_of(spec: Property, text: str) -> Any:
    """A value as comparisons and sorting see it."""
    match spec.type:
        case "number":
            return float(text)
        case "datetime":
            return _moment(text)
        case "date":
            return _moment(text) if text.lstrip("-").isdecimal() else to_ms(datetime.fromisoformat(f"{text}T00:00:00Z"))
        case "string":
            return text.lower()
        case _:
            return text


@lru_cache(maxsize=65_536)
def _moment(text: str) -> int:
    return int(text) if text.lstrip("-").isdecimal() else to_ms(datetime.fromisoformat(text))


def parse_groups(kinds: Kinds, kind: Kind, rows: Any) -> list[list[Filter]]:
    """The filterGroups of a search. Raises Refusal."""
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise invalid_input("Cannot deserialize value of filterGroups")
    if len(rows) > MOST_GROUPS:
        raise refuse(f"too many filter groups: {len(rows)}, the most is {MOST_GROUPS}")
    groups = []
    for row in rows:
        filters = row.get("filters") if isinstance(row, dict) else None
        if not isinstance(filters, list) or not all(isinstance(each, dict) for each in filters):
            raise invalid_input("Cannot deserialize value of filters")
        if len(filters) > MOST_IN_GROUP:
            raise refuse(f"too many filters in a group: {len(filters)}, the most is {MOST_IN_GROUP}")
        groups.append([_parse(kinds, kind, each) for each in filters])
    if sum(map(len, groups)) > MOST_FILTERS:
        raise refuse(f"too many filters, the most is {MOST_FILTERS}")
    return groups


def _parse(kinds: Kinds, kind: Kind, row: Mapping[str, Any]) -> Filter:
    name, operator = row.get("propertyName"), row.get("operator")
    if operator not in OPERATORS:
        raise invalid_input(f"Cannot deserialize value of operator from {operator!r}: not one of {sorted(OPERATORS)}")
    if not isinstance(name, str) or not name:
        raise refuse("a filter needs a propertyName")
    spec, associated = None, ""
    if name.startswith(ASSOCIATED):
        other = kinds.find(name.removeprefix(ASSOCIATED))
        if other.custom or kind.custom:
            # "Search through custom object associations is not supported" (docs: search the CRM).
            raise refuse(f"{name} is not searchable")
        if operator not in ("EQ", "NEQ", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY"):
            raise refuse(f"operator {operator} does not go with {name}")
        associated = other.name
    else:
        spec = kind.property(name)
        if spec is None:
            raise refuse(f'Property "{name}" does not exist')
        if not spec.searchable:
            raise refuse(f'Property "{name}" is not searchable')
    if operator in _NONE and row.get("value") is not None:
        raise refuse(f"operator {operator} takes no value")
    values: tuple[str, ...] = ()
    if operator in _MANY:
        given = row.get("values")
        if not isinstance(given, list) or not given:
            raise refuse(f"operator {operator} requires values")
        values = tuple(_text(each) for each in given)
    needed = ["value", "highValue"] if operator == "BETWEEN" else ["value"] if operator in _ONE else []
    for member in needed:
        if row.get(member) in (None, ""):
            raise refuse(f"operator {operator} requires {member}")
    low, high = (_text(row.get(member)) if member in needed else "" for member in ("value", "highValue"))
    if spec is not None:
        for each in (low, high, *values):
            if each:
                _check(spec, each)
    return Filter(property=spec, associated=associated, operator=operator, value=low, high=high, values=values)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _check(spec: Property, text: str) -> None:
    """A value must be one of the property's type."""
    try:
        moment = key_of(spec, text)
        if spec.type in ("date", "datetime"):
            from_ms(moment)
    except (ValueError, TypeError, OverflowError):
        raise refuse(f'"{text}" is no valid value of {spec.name}') from None


def refuse(message: str) -> Refusal:
    """A search that cannot be run."""
    return Refusal("There was a problem with the request.", errors=[{"message": message}])
