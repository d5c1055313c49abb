"""Makes in a portal what crmdrip reads and writes there. Nothing is deleted, and no type is changed.

HubSpot has no transaction for definitions: each is made by itself, what was made stands, and a second run makes what
the first one could not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from connectors.hubspot.client import BATCH, HOST, HubSpotClient, segment
from connectors.hubspot.comparison import compare
from connectors.hubspot.faults import Fault
from connectors.hubspot.paths import path_of
from connectors.hubspot.schema import ObjectSpec, PortalSchema, PropertySpec, option, read_schema
from crmdrip.core.errors import ConfigurationError, RejectedError
from crmdrip.core.mapping import CrmMapping
from crmdrip.ports import ChangeKind, Purpose, SchemaChange

_TO_DO = (ChangeKind.CREATE, ChangeKind.UPDATE)
_TIMELINE = ("email", "task", "note")
_EXISTS = "OBJECT_ALREADY_EXISTS"
_NO_OBJECTS = (
    "Only Enterprise accounts have custom objects. Without them write sequences as TOML files, and name their folder:"
    ' [crm.hubspot] sequences = "sequences".'
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """One thing of the portal, and what would be done about it."""

    change: SchemaChange
    kind: str
    """The object it belongs to, as paths name it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group(_Part):
    """The heading under which properties stand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Property(_Part):
    spec: PropertySpec
    group: str
    row: Mapping[str, Any] | None
    """As it stands there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Object(_Part):
    """A custom object with its properties."""

    spec: ObjectSpec
    linked: tuple[str, ...]
    """Ids of the types that stand there already and are to be associated with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Link(_Part):
    """That records of two object types can be associated."""

    to: str
    """The id of the other type."""


class HubSpotInstaller:
    """An Installer for one portal."""

    def __init__(self, client: HubSpotClient, mapping: CrmMapping) -> None:
        self._client = client
        self._schema: PortalSchema = read_schema(mapping)
        self._timeline = {mapping.object(word) for word in _TIMELINE}
        self._with_objects = client.settings.sequences is None

    # looking

    def preview(self) -> Sequence[SchemaChange]:
        """What stands there and what would be made; a handful of calls.

        Raises AuthError, RetriableError, RateLimitedError, and ConfigurationError naming the scopes that are missing.
        """
        return [part.change for part in self._parts()]

    def _parts(self) -> list[_Part]:
        found = [part for kind in self._schema.properties for part in self._standard(kind)]
        return [*found, *self._custom()] if self._with_objects else found

    def _standard(self, kind: str) -> Iterator[_Part]:
        """The group and the properties on an object that every portal has."""
        try:
            rows = {str(row["name"]): row for row in self._client.get("properties", kind, Purpose.LOOK).results}
            groups = self._client.get("properties", f"{kind}/groups", Purpose.LOOK).results
        except ConfigurationError as error:
            if kind not in self._timeline:
                raise
            yield _Part(kind=kind, change=_without(kind, error.what))
            return
        group = self._schema.group
        specs = self._schema.properties[kind]
        if any(spec.name not in rows for spec in specs):
            there = any(row["name"] == group for row in groups)
            yield _Group(kind=kind, change=_change(f"{kind}, group {self._schema.group_label}", there=there))
        for spec in specs:
            yield _property(kind, kind, group, spec, rows.get(spec.name))

    def _custom(self) -> Iterator[_Part]:
        """The custom objects in which sequences stand, and their properties."""
        try:
            rows = {str(row["name"]): row for row in self._client.get("schemas", "schemas", Purpose.LOOK).results}
        except ConfigurationError as error:
            detail = f"{error.what} {_NO_OBJECTS}"
            for spec in self._schema.objects:
                change = SchemaChange(kind=ChangeKind.UNAVAILABLE, what=f"object {spec.name}", detail=detail)
                yield _Part(kind=spec.name, change=change)
            return
        ids = {spec.name: str(rows[spec.name]["objectTypeId"]) for spec in self._schema.objects if spec.name in rows}
        for spec in self._schema.objects:
            detail = f"{spec.singular}, with {len(spec.properties)} properties"
            change = _change(f"object {spec.name}", detail, there=spec.name in ids)
            yield _Object(kind=spec.name, change=change, spec=spec, linked=tuple(ids.values()))
            if spec.name in ids:
                yield from self._custom_properties(spec, rows[spec.name])
        sequence, step = (spec.name for spec in self._schema.objects)
        if {sequence, step} <= ids.keys():
            known = rows[step].get("associations") or ()
            ends = {str(one.get(end)) for one in known for end in ("fromObjectTypeId", "toObjectTypeId")}
            change = _change(f"association of {step} with {sequence}", there=ids[sequence] in ends)
            yield _Link(kind=ids[step], change=change, to=ids[sequence])

    @staticmethod
    def _custom_properties(spec: ObjectSpec, row: Mapping[str, Any]) -> Iterator[_Part]:
        known = {str(one["name"]): one for one in row["properties"]}
        # An object's own group is made with it; its name is HubSpot's choice.
        group = next((str(one["groupName"]) for one in known.values() if one.get("groupName")), "")
        for each in spec.properties:
            yield _property(str(row["objectTypeId"]), spec.name, group, each, known.get(each.name))

    # making

    def install(self, changes: Sequence[SchemaChange], progress: Callable[[str], None]) -> Sequence[SchemaChange]:
        """Make what the preview showed and what is still missing; returns what was made.

        Raises as preview, and RejectedError with HubSpot's own words for each part that it refused; what was made
        before stands.
        """
        wanted = {change.what for change in changes if change.kind in _TO_DO}
        # Read again: between the preview and a person's yes, somebody else may have made some of it.
        parts = [part for part in self._parts() if part.change.what in wanted and part.change.kind in _TO_DO]
        work = _Work(self._client, self._schema, progress)
        for kind in dict.fromkeys(part.kind for part in parts):
            try:
                work.make([part for part in parts if part.kind == kind])
            except ConfigurationError as error:
                if kind not in self._timeline:
                    raise
                progress(f"{kind}: {_without(kind, error.what).detail}")
        if work.refused:
            raise RejectedError(
                " ".join(work.refused),
                where="HubSpot",
                do_next="Mend that in HubSpot, then type crmdrip install again: what was made stands.",
            )
        return work.made

    def check(self, progress: Callable[[str], None]) -> None:
        """Read what stands there: HubSpot has no trial run of an installation.

        Raises as preview, and RejectedError when something is in conflict.
        """
        progress("HubSpot has no trial run: what stands there was read, and the key's right to write was not tried.")
        conflicts = [change for change in self.preview() if change.kind is ChangeKind.CONFLICT]
        if conflicts:
            raise RejectedError(" ".join(f"{change.what} {change.detail}" for change in conflicts), where="HubSpot")

    def write_package(self, folder: Path) -> Sequence[str]:
        """Write the bodies of the calls, for whoever may not give crmdrip the right to make them; returns the calls."""
        folder.mkdir(parents=True, exist_ok=True)
        versions = self._client.settings.versions
        calls: list[tuple[str, Mapping[str, Any], str]] = []
        for kind, specs in self._schema.properties.items():
            group = {"name": self._schema.group, "label": self._schema.group_label}
            rows = [spec.body(self._schema.group) for spec in specs]
            calls.append((f"{kind}-group.json", group, path_of("properties", f"{kind}/groups", versions)))
            calls.append((f"{kind}.json", {"inputs": rows}, path_of("properties", f"{kind}/batch/create", versions)))
        if self._with_objects:
            path = path_of("schemas", "schemas", versions)
            calls += [(f"{each.name}.json", each.body(()), path) for each in self._schema.objects]
        for name, body, _ in calls:
            (folder / name).write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2))
        return [
            f'curl -X POST {HOST}{path} -H "Authorization: Bearer $HUBSPOT_TOKEN"'
            f' -H "Content-Type: application/json" -d @{folder / name}'
            for name, _, path in calls
        ]


class _Work:
    """One installation under way."""

    def __init__(self, client: HubSpotClient, schema: PortalSchema, progress: Callable[[str], None]) -> None:
        self._client = client
        self._schema = schema
        self._progress = progress
        self._types: list[str] = []
        """Ids of the object types that were made."""
        self.made: list[SchemaChange] = []
        self.refused: list[str] = []

    def make(self, parts: Sequence[_Part]) -> None:
        """What is missing of one object. Raises as the client."""
        missing: list[_Property] = []
        for part in parts:
            match part:
                case _Group():
                    body = {"name": self._schema.group, "label": self._schema.group_label, "displayOrder": -1}
                    self._post(part, "properties", f"{part.kind}/groups", body)
                case _Object(spec=spec, linked=linked):
                    answer = self._post(part, "schemas", "schemas", spec.body((*linked, *self._types)))
                    self._types += [str(answer["objectTypeId"])] if answer is not None else []
                case _Link(to=to):
                    body = {"fromObjectTypeId": part.kind, "toObjectTypeId": to, "name": "crmdrip_step_of_sequence"}
                    self._post(part, "schemas", f"schemas/{segment(part.kind)}/associations", body)
                case _Property(row=None):
                    missing.append(part)
                case _Property():
                    self._complete(part)
        for start in range(0, len(missing), BATCH):
            self._make_properties(missing[start : start + BATCH])

    def _make_properties(self, parts: Sequence[_Property]) -> None:
        """One call; each row is refused or made by itself."""
        waiting = {part.spec.name: part for part in parts}
        body = {"inputs": [part.spec.body(part.group) for part in parts]}
        path = f"{segment(parts[0].kind)}/batch/create"
        answer = self._client.change("POST", "properties", path, body, purpose=Purpose.LOOK)
        if answer.fault is not None:
            self.refused.append(f"{parts[0].kind}: {answer.fault.message}")
            return
        for row in answer.results:
            if (part := waiting.pop(str(row["name"]), None)) is not None:
                self._settle(part, None)
        for fault, context in answer.faults:
            named = [found for name in context.get("name") or () if (found := waiting.pop(str(name), None)) is not None]
            for part in named:
                self._settle(part, fault)
            if not named:
                self.refused.append(f"{parts[0].kind}: {fault.message}")
        self.refused += [f"{part.change.what}: HubSpot did not say what became of it." for part in waiting.values()]

    def _complete(self, part: _Property) -> None:
        """Add the values that an enumeration lacks: those given take the place of all, so its own go along."""
        options = list((part.row or {}).get("options") or ())
        known = {one["value"] for one in options}
        missing = [text for text in part.spec.options if text not in known]
        body = {"options": [*options, *(option(text, len(options) + n) for n, text in enumerate(missing))]}
        path = f"{segment(part.kind)}/{segment(part.spec.name)}"
        self._settle(part, self._client.change("PATCH", "properties", path, body, purpose=Purpose.LOOK).fault)

    def _post(self, part: _Part, family: str, path: str, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        answer = self._client.change("POST", family, path, body, purpose=Purpose.LOOK)
        self._settle(part, answer.fault)
        return answer.body if answer.fault is None else None

    def _settle(self, part: _Part, fault: Fault | None) -> None:
        if fault is None:
            self.made.append(part.change)
            self._progress(f"Made {part.change.what}.")
        elif fault.category != _EXISTS:  # else somebody else has just made it
            self.refused.append(f"{part.change.what}: {fault.message}")


def _change(what: str, detail: str = "", *, there: bool) -> SchemaChange:
    return SchemaChange(kind=ChangeKind.KEEP if there else ChangeKind.CREATE, what=what, detail="" if there else detail)


def _property(kind: str, shown: str, group: str, spec: PropertySpec, row: Mapping[str, Any] | None) -> _Property:
    found, detail = compare(spec, row)
    change = SchemaChange(kind=found, what=f"{shown}.{spec.name}", detail=detail)
    return _Property(kind=kind, change=change, spec=spec, group=group, row=row)


def _without(kind: str, why: str) -> SchemaChange:
    detail = f"{why} Without properties there, what tells touches apart stands in the last line of their text."
    return SchemaChange(kind=ChangeKind.UNAVAILABLE, what=kind, detail=detail)
