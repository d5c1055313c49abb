"""The properties API: reading and defining properties and their groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crmdrip.sandbox.http import Response, json_response
from crmdrip.sandbox.hubspot.call import Call, Route, batch_answer
from crmdrip.sandbox.hubspot.kinds import Group, Kind
from crmdrip.sandbox.hubspot.properties import FIELD_TYPES, Property, parse_options, parse_property
from crmdrip.sandbox.hubspot.refusals import Refusal, not_found, to_int

if TYPE_CHECKING:
    from crmdrip.sandbox.hubspot.portal import HubSpotPortal

MOST = 100
MOST_UNIQUE = 10
"""Properties with unique values of one object type (docs: properties)."""


class DefinitionsApi:
    """Answers requests about properties and groups."""

    def __init__(self, portal: HubSpotPortal) -> None:
        self._portal = portal

    def routes(self) -> list[Route]:
        """Every operation with its address."""
        rows = (
            ("GET", r"/([^/]+)", self._list),
            ("POST", r"/([^/]+)", self._create),
            ("POST", r"/([^/]+)/batch/create", self._create_many),
            ("POST", r"/([^/]+)/batch/read", self._read_many),
            ("POST", r"/([^/]+)/batch/archive", self._archive_many),
            ("GET", r"/([^/]+)/groups", self._list_groups),
            ("POST", r"/([^/]+)/groups", self._create_group),
            ("GET", r"/([^/]+)/groups/([^/]+)", self._get_group),
            ("PATCH", r"/([^/]+)/groups/([^/]+)", self._change_group),
            ("DELETE", r"/([^/]+)/groups/([^/]+)", self._archive_group),
            ("GET", r"/([^/]+)/([^/]+)", self._get),
            ("PATCH", r"/([^/]+)/([^/]+)", self._change),
            ("DELETE", r"/([^/]+)/([^/]+)", self._archive),
        )
        return [
            Route(
                method=method,
                pattern=pattern,
                family="properties",
                operation=operation,
                kind="properties",
                versions="v3|20.*",
            )
            for method, pattern, operation in rows
        ]

    def _readable(self, call: Call) -> Kind:
        kind = self._portal.kinds.find(call.groups[0])
        call.need(*kind.schema_read)
        return kind

    def _writable(self, call: Call) -> Kind:
        kind = self._portal.kinds.find(call.groups[0])
        call.need(*kind.schema_write)
        return kind

    # properties

    def _list(self, call: Call) -> Response:
        kind = self._readable(call)
        archived = call.query().get("archived") == "true"
        rows = [each.show() for each in kind.properties.values() if each.archived == archived]
        return json_response(200, {"results": rows})

    def _get(self, call: Call) -> Response:
        return json_response(200, self._find(self._readable(call), call.groups[1]).show())

    @staticmethod
    def _find(kind: Kind, name: str) -> Property:
        spec = kind.property(name)
        if spec is None:
            raise not_found(f"Property {name} does not exist for object type {kind.name}")
        return spec

    def _create(self, call: Call) -> Response:
        kind = self._writable(call)
        return json_response(201, self.define(kind, call.body(), call.stamp).show())

    def define(self, kind: Kind, body: Mapping[str, Any], stamp: int) -> Property:
        """Define one property. Raises Refusal."""
        spec = parse_property(body, stamp=stamp)
        if spec.group not in kind.groups:
            raise Refusal(f"Property group {spec.group} does not exist")
        present = kind.properties.get(spec.name)
        if present is not None and not present.archived:
            raise Refusal(
                f"A property named '{spec.name}' already exists.",
                "OBJECT_ALREADY_EXISTS",
                status=409,
                sub_category="Properties.PROPERTY_EXISTS",
            )
        if spec.unique and sum(each.unique and not each.standard for each in kind.properties.values()) >= MOST_UNIQUE:
            raise Refusal(f"{kind.plural_label} have {MOST_UNIQUE} properties with unique values already")
        kind.properties[spec.name] = spec
        return spec

    def _create_many(self, call: Call) -> Response:
        kind = self._writable(call)
        results, errors = [], []
        for row in self._rows(call):
            try:
                results.append(self.define(kind, row, call.stamp).show())
            except Refusal as refusal:
                errors.append(refusal.row({"name": [str(row.get("name"))]}))
        return json_response(207 if errors else 201, batch_answer(call, results, errors))

    def _read_many(self, call: Call) -> Response:
        kind = self._readable(call)
        names = [str(row.get("name")) for row in self._rows(call)]
        results = [kind.properties[name].show() for name in names if kind.property(name) is not None]
        missing = [not_found(f"Property {name} does not exist").row() for name in names if kind.property(name) is None]
        return json_response(207 if missing else 200, batch_answer(call, results, missing))

    def _archive_many(self, call: Call) -> Response:
        kind = self._writable(call)
        for row in self._rows(call):
            if (spec := kind.property(row.get("name"))) is not None:
                self._drop(kind, spec)
        return Response(status=204)

    @staticmethod
    def _rows(call: Call) -> list[dict[str, Any]]:
        rows = call.body().get("inputs")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Refusal("Some required fields were not set: [inputs]")
        if len(rows) > MOST:
            raise Refusal(f"The maximum number of inputs supported in a batch request is {MOST}, received {len(rows)}")
        return rows

    def _change(self, call: Call) -> Response:
        kind = self._writable(call)
        spec = self._find(kind, call.groups[1])
        if spec.standard:
            raise Refusal(f"Property {spec.name} is read only and cannot be changed")
        body = call.body()
        type_name = body.get("type", spec.type)
        field_type = body.get("fieldType", spec.field_type)
        if field_type not in FIELD_TYPES.get(type_name, ()):
            raise Refusal(f"fieldType {field_type} is not valid for type {type_name}")
        group = body.get("groupName", spec.group)
        if group not in kind.groups:
            raise Refusal(f"Property group {group} does not exist")
        after = replace(
            spec,
            label=body.get("label", spec.label),
            type=type_name,
            field_type=field_type,
            group=group,
            description=body.get("description", spec.description),
            # The list given takes the place of the whole list before.
            options=parse_options(body["options"]) if "options" in body else spec.options,
            hidden=bool(body.get("hidden", spec.hidden)),
            form_field=bool(body.get("formField", spec.form_field)),
            order=to_int(body, "displayOrder", spec.order),
            updated=call.stamp,
        )
        kind.properties[spec.name] = after
        return json_response(200, after.show())

    def _archive(self, call: Call) -> Response:
        kind = self._writable(call)
        self._drop(kind, self._find(kind, call.groups[1]))
        return Response(status=204)

    @staticmethod
    def _drop(kind: Kind, spec: Property) -> None:
        if spec.standard:
            raise Refusal(f"Property {spec.name} is read only and cannot be archived")
        kind.properties[spec.name] = replace(spec, archived=True)

    # groups

    def _list_groups(self, call: Call) -> Response:
        kind = self._readable(call)
        return json_response(200, {"results": [each.show() for each in kind.groups.values()]})

    def _get_group(self, call: Call) -> Response:
        return json_response(200, self._group(self._readable(call), call.groups[1]).show())

    @staticmethod
    def _group(kind: Kind, name: str) -> Group:
        if name not in kind.groups:
            raise not_found(f"Property group {name} does not exist")
        return kind.groups[name]

    def _create_group(self, call: Call) -> Response:
        kind = self._writable(call)
        body = call.body()
        for needed in ("name", "label"):
            if not isinstance(body.get(needed), str) or not body[needed]:
                raise Refusal(f"Some required fields were not set: [{needed}]")
        if body["name"] in kind.groups:
            raise Refusal(
                f"A property group named '{body['name']}' already exists.", "OBJECT_ALREADY_EXISTS", status=409
            )  # fmt: skip
        group = Group(name=body["name"], label=body["label"], order=to_int(body, "displayOrder", -1))
        kind.groups[group.name] = group
        return json_response(201, group.show())

    def _change_group(self, call: Call) -> Response:
        kind = self._writable(call)
        group = self._group(kind, call.groups[1])
        body = call.body()
        after = replace(
            group, label=body.get("label", group.label), order=to_int(body, "displayOrder", group.order)
        )  # fmt: skip
        kind.groups[group.name] = after
        return json_response(200, after.show())

    def _archive_group(self, call: Call) -> Response:
        kind = self._writable(call)
        group = self._group(kind, call.groups[1])
        if any(each.group == group.name and not each.archived for each in kind.properties.values()):
            raise Refusal(f"Property group {group.name} still has properties")
        del kind.groups[group.name]
        return Response(status=204)
