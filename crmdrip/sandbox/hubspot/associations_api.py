"""The associations API: version 4 and its dated successors, and what is left of version 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crmdrip.sandbox.http import Response, json_response
from crmdrip.sandbox.hubspot.associations import LinkType
from crmdrip.sandbox.hubspot.call import Call, Route, batch_answer, paging
from crmdrip.sandbox.hubspot.kinds import Kind
from crmdrip.sandbox.hubspot.refusals import Refusal, not_found
from crmdrip.sandbox.hubspot.rules import Source, Write

if TYPE_CHECKING:
    from crmdrip.sandbox.hubspot.portal import HubSpotPortal

MOST_READ, MOST_WRITTEN = 1_000, 2_000
"""Inputs of a batch (docs: associate records)."""
PAGE = 500

_NEW = "v4|20.*"
_PAIR = r"/([^/]+)/([^/]+)"


class AssociationsApi:
    """Answers requests about associations."""

    def __init__(self, portal: HubSpotPortal) -> None:
        self._portal = portal
        self._store = portal.store
        self._links = portal.associations

    def routes(self) -> list[Route]:
        """Every operation with its address."""
        one = r"/([^/]+)/([^/]+)/associations"
        rows: tuple[tuple[str, str, str, Callable[[Call], Response], str], ...] = (
            ("objects", "GET", rf"{one}/([^/]+)", self._list, "v3|v4|20.*"),
            ("objects", "PUT", rf"{one}/default/([^/]+)/([^/]+)", self._put_default, _NEW),
            ("objects", "PUT", rf"{one}/([^/]+)/([^/]+)", self._put, _NEW),
            ("objects", "PUT", rf"{one}/([^/]+)/([^/]+)/([^/]+)", self._put_named, "v3"),
            ("objects", "DELETE", rf"{one}/([^/]+)/([^/]+)", self._delete, _NEW),
            ("associations", "GET", rf"{_PAIR}/labels", self._labels, _NEW),
            ("associations", "GET", rf"{_PAIR}/types", self._types, "v3"),
            ("associations", "POST", rf"{_PAIR}/batch/read", self._batch_read, _NEW),
            ("associations", "POST", rf"{_PAIR}/batch/create", self._batch_create, _NEW),
            ("associations", "POST", rf"{_PAIR}/batch/associate/default", self._batch_default, _NEW),
            ("associations", "POST", rf"{_PAIR}/batch/archive", self._batch_archive, _NEW),
            ("associations", "POST", rf"{_PAIR}/batch/labels/archive", self._batch_take_labels, _NEW),
            ("associations", "POST", rf"{_PAIR}/batch/read", self._batch_read_old, "v3"),
            ("associations", "POST", rf"{_PAIR}/batch/create", self._batch_create_old, "v3"),
        )
        return [
            Route(
                method=method,
                pattern=pattern,
                family=family,
                operation=operation,
                kind="associations",
                versions=versions,
            )
            for family, method, pattern, operation, versions in rows
        ]

    def _write(self, call: Call) -> Write:
        return Write(stamp=call.stamp, source=Source.API, source_id=str(call.grant.app_id))

    def _pair(self, call: Call, one: int, other: int, *, writing: bool) -> tuple[Kind, Kind]:
        kinds = self._portal.kinds
        pair = kinds.find(call.groups[one]), kinds.find(call.groups[other])
        for kind in pair:
            call.need(*(kind.write if writing else kind.read))
        if not self._links.types(pair[0].name, pair[1].name):
            raise Refusal(f"No associations are supported between {pair[0].name} and {pair[1].name}")
        return pair

    # one record

    def _list(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 2, writing=False)
        record_id = self._store.resolve(kind.name, call.groups[1])
        if self._store.find(kind.name, record_id) is None:
            raise not_found()
        limit, after = call.limit(default=PAGE, most=PAGE), call.query().get("after", "0")
        if not after.isdecimal():
            raise Refusal("Invalid paging cursor")
        found = sorted(self._store.linked(kind.name, record_id, other.name).items(), key=lambda each: int(each[0]))
        rows = [each for each in found if int(each[0]) > int(after)]
        following = rows[limit - 1][0] if len(rows) > limit else None
        if call.version == "v3":
            shown = [
                {"id": each, "type": self._links.type(type_id).name}
                for each, types in rows[:limit]
                for type_id in sorted(types)
            ]
        else:
            shown = [self._show(each, types) for each, types in rows[:limit]]
        return json_response(200, {"results": shown, **paging(following, call)})

    def _show(self, other_id: str, types: set[int]) -> dict[str, Any]:
        return {
            "toObjectId": int(other_id),
            "associationTypes": [self._links.type(type_id).show() for type_id in sorted(types)],
        }

    def _put(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 2, writing=True)
        types = self._links.parse(call.json(), kind, other)
        self._portal.records.associate(kind, call.groups[1], call.groups[3], types, self._write(call))
        return json_response(201, self._labelled(kind, call.groups[1], other, call.groups[3], types))

    def _put_default(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 2, writing=True)
        link = self._links.default(kind, other)
        self._portal.records.associate(kind, call.groups[1], call.groups[3], [link], self._write(call))
        return json_response(200, batch_answer(call, [self._plain(call.groups[1], call.groups[3], link)]))

    def _put_named(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 2, writing=True)
        name = call.groups[4]
        found = [each for each in self._links.types(kind.name, other.name) if name in (each.name, str(each.id))]
        if not found:
            raise Refusal(f"Invalid association type {name}")
        self._portal.records.associate(kind, call.groups[1], call.groups[3], found[:1], self._write(call))
        record = self._store.tables[kind.name][call.groups[1]]
        return json_response(200, {"id": record.id, "properties": dict(record.properties), "archived": False})

    def _delete(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 2, writing=True)
        self._links.take(kind.name, call.groups[1], other.name, call.groups[3])
        return Response(status=204)

    # types

    def _labels(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 1, writing=False)
        return json_response(200, {"results": [each.show() for each in self._links.types(kind.name, other.name)]})

    def _types(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 1, writing=False)
        rows = [{"id": str(each.id), "name": each.name} for each in self._links.types(kind.name, other.name)]
        return json_response(200, {"results": rows})

    # many

    @staticmethod
    def _rows(call: Call, most: int) -> list[dict[str, Any]]:
        rows = call.body().get("inputs")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Refusal("Some required fields were not set: [inputs]")
        if len(rows) > most:
            raise Refusal(f"The maximum number of inputs supported in a batch request is {most}, received {len(rows)}")
        return rows

    def _batch_read(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 1, writing=False)
        results, alone = [], []
        for row in self._rows(call, MOST_READ):
            given = str(row.get("id", ""))
            found = self._store.linked(kind.name, given, other.name) if self._store.find(kind.name, given) else {}
            if found:
                shown = [self._show(each, types) for each, types in found.items()]
                results.append({"from": {"id": given}, "to": shown})
            else:
                alone.append(_alone(kind, given, other))
        return json_response(207 if alone and not call.folds_errors else 200, batch_answer(call, results, alone))

    def _batch_create(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 1, writing=True)
        results, errors = [], []
        for row in self._rows(call, MOST_WRITTEN):
            one, two = _ends(row)
            try:
                types = self._links.parse(row.get("types"), kind, other)
                with self._store.savepoint():
                    self._portal.records.associate(kind, one, two, types, self._write(call))
            except Refusal as refusal:
                errors.append(refusal.row({"fromObjectId": [one], "toObjectId": [two]}))
                continue
            results.append(self._labelled(kind, one, other, two, types))
        return json_response(207 if errors and not call.folds_errors else 201, batch_answer(call, results, errors))

    def _batch_default(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 1, writing=True)
        link = self._links.default(kind, other)
        results, errors = [], []
        for row in self._rows(call, MOST_WRITTEN):
            one, two = _ends(row)
            try:
                with self._store.savepoint():
                    self._portal.records.associate(kind, one, two, [link], self._write(call))
            except Refusal as refusal:
                errors.append(refusal.row({"fromObjectId": [one], "toObjectId": [two]}))
                continue
            results.append(self._plain(one, two, link))
        return json_response(207 if errors and not call.folds_errors else 200, batch_answer(call, results, errors))

    def _batch_archive(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 1, writing=True)
        for row in self._rows(call, MOST_WRITTEN):
            targets = row.get("to")
            for each in targets if isinstance(targets, list) else [targets]:
                one, two = _ends({"from": row.get("from"), "to": each})
                self._links.take(kind.name, one, other.name, two)
        return Response(status=204)

    def _batch_take_labels(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 1, writing=True)
        for row in self._rows(call, MOST_WRITTEN):
            one, two = _ends(row)
            for link in self._links.parse(row.get("types"), kind, other):
                self._links.take_label(one, two, link)
        return Response(status=204)

    def _batch_read_old(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 1, writing=False)
        results, alone = [], []
        for row in self._rows(call, MOST_READ):
            given = str(row.get("id", ""))
            found = self._store.linked(kind.name, given, other.name) if self._store.find(kind.name, given) else {}
            rows = [
                {"id": each, "type": self._links.type(type_id).name}
                for each, types in found.items()
                for type_id in sorted(types)
            ]
            if rows:
                results.append({"from": {"id": given}, "to": rows})
            else:
                alone.append(_alone(kind, given, other))
        return json_response(207 if alone else 200, batch_answer(call, results, alone))

    def _batch_create_old(self, call: Call) -> Response:
        kind, other = self._pair(call, 0, 1, writing=True)
        results = []
        for row in self._rows(call, MOST_WRITTEN):
            one, two = _ends(row)
            found = [each for each in self._links.types(kind.name, other.name) if row.get("type") == each.name]
            if not found:
                raise Refusal(f"Invalid association type {row.get('type')}")
            self._portal.records.associate(kind, one, two, found[:1], self._write(call))
            results.append({"from": {"id": one}, "to": {"id": two}, "type": found[0].name})
        return json_response(201, batch_answer(call, results))

    @staticmethod
    def _labelled(kind: Kind, one: str, other: Kind, two: str, types: list[LinkType]) -> dict[str, Any]:
        return {
            "fromObjectTypeId": kind.id,
            "fromObjectId": int(one),
            "toObjectTypeId": other.id,
            "toObjectId": int(two),
            "labels": [each.label for each in types if each.label],
        }

    @staticmethod
    def _plain(one: str, two: str, link: LinkType) -> dict[str, Any]:
        spec = {"associationCategory": link.category, "associationTypeId": link.id}
        return {"from": {"id": one}, "to": {"id": two}, "associationSpec": spec}


def _ends(row: dict[str, Any]) -> tuple[str, str]:
    found = []
    for side in ("from", "to"):
        end = row.get(side)
        given = end.get("id") if isinstance(end, dict) else None
        if not isinstance(given, str | int) or isinstance(given, bool) or not str(given).isdecimal():
            raise Refusal(f"Some required fields were not set: [{side}.id]")
        found.append(str(given))
    return found[0], found[1]


def _alone(kind: Kind, record_id: str, other: Kind) -> dict[str, Any]:
    refusal = Refusal(
        f"No {other.singular} is associated with {kind.singular} {record_id}.",
        "OBJECT_NOT_FOUND",
        sub_category="crm.associations.NO_ASSOCIATIONS_FOUND",
        context={"fromObjectId": [record_id], "fromObjectType": [kind.id], "toObjectType": [other.id]},
    )
    return refusal.row()
