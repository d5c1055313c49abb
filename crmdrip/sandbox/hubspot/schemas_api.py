"""The schemas API: custom objects, which only Enterprise accounts have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crmdrip.sandbox.http import Response, json_response
from crmdrip.sandbox.hubspot.call import Call, Route
from crmdrip.sandbox.hubspot.kinds import Group, Kind, everywhere
from crmdrip.sandbox.hubspot.properties import NAME, show_stamp
from crmdrip.sandbox.hubspot.refusals import Refusal, invalid_input, missing_scopes, to_rows, to_strings

if TYPE_CHECKING:
    from crmdrip.sandbox.hubspot.portal import HubSpotPortal

READ, WRITE = "crm.schemas.custom.read", "crm.schemas.custom.write"
_LISTS = ("requiredProperties", "searchableProperties", "secondaryDisplayProperties")


class SchemasApi:
    """Answers requests about custom objects' schemas."""

    def __init__(self, portal: HubSpotPortal) -> None:
        self._portal = portal
        self._number = 2_000_000

    def routes(self) -> list[Route]:
        """Every operation with its address."""
        rows = (
            ("GET", r"", self._list),
            ("POST", r"", self._create),
            ("GET", r"/([^/]+)", self._get),
            ("PATCH", r"/([^/]+)", self._change),
            ("DELETE", r"/([^/]+)", self._delete),
            ("POST", r"/([^/]+)/associations", self._associate),
        )
        return [
            Route(
                method=method,
                pattern=pattern,
                family="schemas",
                operation=operation,
                kind="schemas",
                versions="v3|20.*",
            )
            for method, pattern, operation in rows
        ]

    def _allow(self, call: Call, scope: str) -> None:
        call.need(scope)
        if not self._portal.tier.has_custom_objects:
            # The account itself has no such scope to grant.
            raise missing_scopes([scope])

    def _list(self, call: Call) -> Response:
        self._allow(call, READ)
        return json_response(200, {"results": [self.show(each) for each in self._portal.kinds if each.custom]})

    def _get(self, call: Call) -> Response:
        self._allow(call, READ)
        return json_response(200, self.show(self._portal.kinds.custom(call.groups[0])))

    def _create(self, call: Call) -> Response:
        self._allow(call, WRITE)
        return json_response(201, self.show(self.define(call.body(), call.stamp)))

    def define(self, body: Mapping[str, Any], stamp: int) -> Kind:
        """Define one custom object. Raises Refusal."""
        for needed in ("name", "labels", "primaryDisplayProperty", "requiredProperties", "properties"):
            if not body.get(needed):
                raise Refusal(f"Some required fields were not set: [{needed}]")
        name, labels = body["name"], body["labels"]
        if not isinstance(name, str) or NAME.fullmatch(name.lower()) is None:
            raise Refusal(f"Invalid object name {name!r}")
        if not isinstance(labels, dict):
            raise invalid_input("Cannot deserialize value of labels")
        if any(each.name == name for each in self._portal.kinds):
            raise Refusal(f"Object type {name} already exists", "OBJECT_ALREADY_EXISTS", status=409)
        kind = self._blank(name, labels, stamp)
        for row in to_rows(body["properties"], "properties"):
            group = row.get("groupName") or next(iter(kind.groups))
            self._portal.definitions.define(kind, {**row, "groupName": group}, stamp)
        named = {
            "primaryDisplayProperty": [str(body["primaryDisplayProperty"])],
            **{each: to_strings(body.get(each) or [], each) for each in _LISTS},
        }
        for where, names in named.items():
            if missing := [each for each in names if each not in kind.properties]:
                raise Refusal(f"{where} names properties that do not exist: {', '.join(missing)}")
        kind = replace(
            kind,
            required=tuple(named["requiredProperties"]),
            text=tuple(named["searchableProperties"]),
            primary=body["primaryDisplayProperty"],
            secondary=tuple(named["secondaryDisplayProperties"]),
            shown=tuple(named["requiredProperties"]),
        )
        others = [
            self._portal.kinds.find(str(each))
            for each in to_strings(body.get("associatedObjects") or [], "associatedObjects")
        ]
        self._portal.kinds.add(kind)
        for other in others:
            self._portal.associations.define(kind, other)
        return kind

    def _blank(self, name: str, labels: Mapping[str, str], stamp: int) -> Kind:
        self._number += 1
        group = f"{name.lower()}_information"
        standard = [replace(each, group=group) for each in everywhere("hs_createdate", "hs_lastmodifieddate")]
        return Kind(
            name=name,
            singular=name.lower(),
            id=f"2-{self._number}",
            created="hs_createdate",
            modified="hs_lastmodifieddate",
            read=("crm.objects.custom.read",),
            write=("crm.objects.custom.write",),
            schema_read=(READ,),
            schema_write=(WRITE,),
            custom=True,
            label=str(labels.get("singular") or name),
            plural_label=str(labels.get("plural") or name),
            made=stamp,
            properties={each.name: each for each in standard},
            groups={group: Group(name=group, label=f"{labels.get('singular') or name} information")},
        )

    def _change(self, call: Call) -> Response:
        self._allow(call, WRITE)
        kind = self._portal.kinds.custom(call.groups[0])
        body = call.body()
        labels = body.get("labels") or {}
        if not isinstance(labels, dict):
            raise invalid_input("Cannot deserialize value of labels")
        after = replace(
            kind,
            label=str(labels.get("singular", kind.label)),
            plural_label=str(labels.get("plural", kind.plural_label)),
            required=tuple(to_strings(body.get("requiredProperties", kind.required), "requiredProperties")),
            text=tuple(to_strings(body.get("searchableProperties", kind.text), "searchableProperties")),
            primary=str(body.get("primaryDisplayProperty", kind.primary)),
            secondary=tuple(to_strings(body.get("secondaryDisplayProperties", kind.secondary), _LISTS[2])),
        )
        if missing := [each for each in (*after.required, *after.text, after.primary) if each not in kind.properties]:
            raise Refusal(f"Properties do not exist: {', '.join(missing)}")
        self._portal.kinds.add(after)
        return json_response(200, self.show(after))

    def _delete(self, call: Call) -> Response:
        self._allow(call, WRITE)
        kind = self._portal.kinds.custom(call.groups[0])
        if any(record.archived is None for record in self._portal.store.tables[kind.name].values()):
            raise Refusal(f"Object type {kind.name} still has records and cannot be deleted")
        self._portal.kinds.remove(kind)
        return Response(status=204)

    def _associate(self, call: Call) -> Response:
        self._allow(call, WRITE)
        kind = self._portal.kinds.custom(call.groups[0])
        body = call.body()
        other = self._portal.kinds.find(str(body.get("toObjectTypeId", "")))
        if self._portal.associations.types(kind.name, other.name):
            raise Refusal(f"{kind.name} and {other.name} are associated already", "OBJECT_ALREADY_EXISTS", status=409)
        there, _ = self._portal.associations.define(kind, other)
        shown = {"id": str(there.id), "fromObjectTypeId": kind.id, "toObjectTypeId": other.id, "name": there.name}
        return json_response(201, shown)

    def show(self, kind: Kind) -> dict[str, Any]:
        """A schema as the API answers it."""
        stamp = show_stamp(kind.made)
        links = [
            {"id": str(each.id), "fromObjectTypeId": kind.id, "toObjectTypeId": other.id, "name": each.name}
            for other in self._portal.kinds
            for each in self._portal.associations.types(kind.name, other.name)
        ]
        return {
            "id": kind.id.partition("-")[2],
            "objectTypeId": kind.id,
            "name": kind.name,
            "fullyQualifiedName": self._portal.kinds.full_name(kind),
            "labels": {"singular": kind.label, "plural": kind.plural_label},
            "primaryDisplayProperty": kind.primary,
            "secondaryDisplayProperties": list(kind.secondary),
            "requiredProperties": list(kind.required),
            "searchableProperties": list(kind.text),
            "properties": [each.show() for each in kind.properties.values() if not each.archived],
            "associations": links,
            "archived": False,
            "createdAt": stamp,
            "updatedAt": stamp,
        }
