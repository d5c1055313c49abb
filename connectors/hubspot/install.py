"""Makes in a portal what crmdrip reads and writes there. Nothing is deleted, and no type is changed.

HubSpot has no transaction for definitions: each is made by itself, what was made stands, and a second run makes what the
first one could not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from connectors.hubspot.client import BATCH, HubSpotClient, chunks, segment
from connectors.hubspot.comparison import compare
from connectors.hubspot.faults import Fault
from connectors.hubspot.paths import path_of
from connectors.hubspot.schema import ObjectSpec, PortalSchema, PropertySpec, option, read_schema
from crmdrip.core.errors import ConfigurationError, RejectedError
from crmdrip.core.mapping import CrmMapping
from crmdrip.ports import ChangeKind, Purpose, SchemaChange

Rows = Mapping[str, Mapping[str, Any]]
"""Properties of an object as the API answers them, by name."""

_TIMELINE = ("email", "task", "note")
_EXISTS = "OBJECT_ALREADY_EXISTS"
_HOST = "https://api.hubapi.com"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """One thing of the portal, and how it is made."""

    change: SchemaChange
    kind: str
    """The object's name, in paths."""
    spec: PropertySpec | ObjectSpec | None = None
    """None for a group, and for an association."""
    row: Mapping[str, Any] | None = None
    """What stands there."""


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
        return [item.change for item in self._items()]

    def _items(self) -> list[_Item]:
        found = [item for kind in self._schema.properties for item in self._items_of(kind)]
        return [*found, *self._items_of_objects()] if self._with_objects else found

    def _items_of(self, kind: str) -> Iterator[_Item]:
        """A standard object's group and properties."""
        try:
            rows = self._read(kind)
            groups = self._client.get("properties", f"{kind}/groups", Purpose.LOOK).results
        except ConfigurationError as error:
            if kind not in self._timeline:
                raise
            yield _Item(kind=kind, change=_without(kind, error.what))
            return
        items = [_item(kind, spec, rows.get(spec.name)) for spec in self._schema.properties[kind]]
        group = self._schema.group
        if any(item.change.kind is ChangeKind.CREATE for item in items):
            there = any(row["name"] == group for row in groups)
            what = f"{kind}, group {self._schema.group_label}"
            change = SchemaChange(kind=ChangeKind.KEEP if there else ChangeKind.CREATE, what=what)
            yield _Item(kind=kind, change=change)
        yield from items

    def _items_of_objects(self) -> Iterator[_Item]:
        """The custom objects, where sequences stand in them."""
        try:
            rows = {row["name"]: row for row in self._client.get("schemas", "schemas", Purpose.LOOK).results}
        except ConfigurationError as error:
            detail = (
                f"{error.what} Only Enterprise accounts have custom objects. Without them write sequences as TOML files,"
                ' and name their folder: [crm.hubspot] sequences = "sequences".'
            )
            for each in self._schema.objects:
                yield _Item(
                    kind=each.name,
                    change=SchemaChange(kind=ChangeKind.UNAVAILABLE, what=f"object {each.name}", detail=detail),
                )
            return
        sequence, step = self._schema.objects
        for each in (sequence, step):
            row = rows.get(each.name)
            if row is None:
                detail = f"{each.singular}, with {len(each.properties)} properties"
                change = SchemaChange(kind=ChangeKind.CREATE, what=f"object {each.name}", detail=detail)
                yield _Item(kind=each.name, change=change, spec=each)
                continue
            yield _Item(
                kind=each.name, change=SchemaChange(kind=ChangeKind.KEEP, what=f"object {each.name}"), spec=each, row=row
            )
            there = {one["name"]: one for one in row["properties"]}
            kind = str(row["objectTypeId"])
            yield from (_item(kind, spec, there.get(spec.name), shown=each.name) for spec in each.properties)
        if sequence.name in rows and step.name in rows:
            of = str(rows[sequence.name]["objectTypeId"])
            links = rows[step.name].get("associations") or ()
            linked = any(of in (str(one.get("fromObjectTypeId")), str(one.get("toObjectTypeId"))) for one in links)
            what = f"association of {step.name} with {sequence.name}"
            change = SchemaChange(kind=ChangeKind.KEEP if linked else ChangeKind.CREATE, what=what)
            yield _Item(kind=str(rows[step.name]["objectTypeId"]), change=change, row={"toObjectTypeId": of})

    def _read(self, kind: str) -> dict[str, Mapping[str, Any]]:
        return {str(row["name"]): row for row in self._client.get("properties", kind, Purpose.LOOK).results}

    # making

    def install(self, changes: Sequence[SchemaChange], progress: Callable[[str], None]) -> Sequence[SchemaChange]:
        """Make what the preview showed and what is still missing; returns what was made.

        Raises as preview, and RejectedError with HubSpot's own words for each part that it refused; what was made
        before stands.
        """
        wanted = {change.what for change in changes if change.kind in (ChangeKind.CREATE, ChangeKind.UPDATE)}
        # Read again: between the preview and a person's yes, somebody else may have made some of it.
        items = [
            item
            for item in self._items()
            if item.change.what in wanted and item.change.kind in (ChangeKind.CREATE, ChangeKind.UPDATE)
        ]
        work = _Work(self._client, self._schema.group, self._schema.group_label, progress)
        for kind in dict.fromkeys(item.kind for item in items):
            of_kind = [item for item in items if item.kind == kind]
            try:
                work.make(of_kind)
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
        calls = []
        for kind, specs in self._schema.properties.items():
            group = {"name": self._schema.group, "label": self._schema.group_label}
            rows = [spec.body(self._schema.group) for spec in specs]
            calls.append((f"{kind}-group.json", group, path_of("properties", f"{kind}/groups", versions)))
            calls.append((f"{kind}.json", {"inputs": rows}, path_of("properties", f"{kind}/batch/create", versions)))
        if self._with_objects:
            for each in self._schema.objects:
                calls.append((f"{each.name}.json", each.body(()), path_of("schemas", "schemas", versions)))
        for name, body, _ in calls:
            (folder / name).write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2))
        return [
            f'curl -X POST {_HOST}{path} -H "Authorization: Bearer $HUBSPOT_TOKEN"'
            f' -H "Content-Type: application/json" -d @{folder / name}'
            for name, _, path in calls
        ]


class _Work:
    """One installation under way."""

    def __init__(self, client: HubSpotClient, group: str, label: str, progress: Callable[[str], None]) -> None:
        self._client = client
        self._group = group
        self._label = label
        self._progress = progress
        self._types: dict[str, str] = {}
        """Ids of the object types that were made, by name."""
        self.made: list[SchemaChange] = []
        self.refused: list[str] = []

    def make(self, items: Sequence[_Item]) -> None:
        """What is missing of one object. Raises as the client."""
        for item in items:
            if isinstance(item.spec, ObjectSpec):
                self._make_object(item, item.spec)
            elif item.spec is None and item.row is None:
                self._make_group(item)
            elif item.spec is None:
                self._associate(item)
        self._make_properties([item for item in items if isinstance(item.spec, PropertySpec) and item.row is None])
        for item in items:
            if isinstance(item.spec, PropertySpec) and item.row is not None:
                self._complete(item, item.spec, item.row)

    def _make_group(self, item: _Item) -> None:
        body = {"name": self._group, "label": self._label, "displayOrder": -1}
        self._post(item, "properties", f"{item.kind}/groups", body)

    def _make_object(self, item: _Item, spec: ObjectSpec) -> None:
        answer = self._post(item, "schemas", "schemas", spec.body(tuple(self._types.values())))
        if answer is not None:
            self._types[spec.name] = str(answer["objectTypeId"])

    def _associate(self, item: _Item) -> None:
        to = str((item.row or {})["toObjectTypeId"])
        body = {"fromObjectTypeId": item.kind, "toObjectTypeId": to, "name": "crmdrip_step_of_sequence"}
        self._post(item, "schemas", f"schemas/{segment(item.kind)}/associations", body)

    def _make_properties(self, items: Sequence[_Item]) -> None:
        """A hundred a call. Each row is refused or made by itself."""
        # A custom object's properties stand in its own group, which HubSpot made with it.
        group = self._group if items and not items[0].kind.startswith("2-") else ""
        for some in chunks(items, BATCH):
            rows = {item.spec.name: item for item in some if isinstance(item.spec, PropertySpec)}
            body = {"inputs": [item.spec.body(group) for item in rows.values() if item.spec is not None]}  # type: ignore[arg-type]  # properties alone
            path = f"{segment(some[0].kind)}/batch/create"
            answer = self._client.change("POST", "properties", path, body, purpose=Purpose.LOOK)
            if answer.fault is not None:
                self.refused += [f"{item.change.what}: {answer.fault.message}" for item in some]
                continue
            for row in answer.results:
                if (item := rows.pop(str(row["name"]), None)) is not None:
                    self._done(item)
            for fault, context in answer.faults:
                for name in context.get("name") or ():
                    if (item := rows.pop(str(name), None)) is not None and fault.category != _EXISTS:
                        self.refused.append(f"{item.change.what}: {fault.message}")
            self.refused += [f"{item.change.what}: HubSpot answered nothing about it." for item in rows.values()]

    def _complete(self, item: _Item, spec: PropertySpec, row: Mapping[str, Any]) -> None:
        """Add the values that an enumeration lacks: those given take the place of all, so its own go along."""
        options = list(row.get("options") or ())
        known = {one["value"] for one in options}
        missing = [text for text in spec.options if text not in known]
        body = {"options": [*options, *(option(text, len(options) + n) for n, text in enumerate(missing))]}
        path = f"{segment(item.kind)}/{segment(spec.name)}"
        answer = self._client.change("PATCH", "properties", path, body, purpose=Purpose.LOOK)
        self._settle(item, answer.fault)

    def _post(self, item: _Item, family: str, path: str, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        answer = self._client.change("POST", family, path, body, purpose=Purpose.LOOK)
        self._settle(item, answer.fault)
        return answer.body if answer.fault is None else None

    def _settle(self, item: _Item, fault: Fault | None) -> None:
        if fault is None:
            self._done(item)
        elif fault.category != _EXISTS:
            self.refused.append(f"{item.change.what}: {fault.message}")

    def _done(self, item: _Item) -> None:
        self.made.append(item.change)
        self._progress(f"Made {item.change.what}.")


def _item(kind: str, spec: PropertySpec, row: Mapping[str, Any] | None, shown: str = "") -> _Item:
    found, detail = compare(spec, row)
    change = SchemaChange(kind=found, what=f"{shown or kind}.{spec.name}", detail=detail)
    return _Item(kind=kind, change=change, spec=spec, row=row)


def _without(kind: str, why: str) -> SchemaChange:
    detail = (
        f"{why} Without properties of its own there, what tells touches apart stands in the last line of their text."
    )
    return SchemaChange(kind=ChangeKind.UNAVAILABLE, what=kind, detail=detail)
