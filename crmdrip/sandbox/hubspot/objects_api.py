"""The objects API: single records, pages of them, batches, search, merging and deleting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmdrip.sandbox.http import Response, json_response
from crmdrip.sandbox.hubspot.batches import MOST_WITH_HISTORY, Outcome
from crmdrip.sandbox.hubspot.call import NEWEST, Call, Route, View, batch_answer, paging
from crmdrip.sandbox.hubspot.kinds import Kind
from crmdrip.sandbox.hubspot.links import parse_links
from crmdrip.sandbox.hubspot.refusals import Refusal, not_found
from crmdrip.sandbox.hubspot.rules import Source, Write
from crmdrip.sandbox.hubspot.search import search
from crmdrip.sandbox.hubspot.store import Record

if TYPE_CHECKING:
    from crmdrip.sandbox.hubspot.portal import HubSpotPortal

PAGE = 100


class ObjectsApi:
    """Answers requests about records."""

    def __init__(self, portal: HubSpotPortal) -> None:
        self._portal = portal
        self._store = portal.store
        self._records = portal.records

    def routes(self) -> list[Route]:
        """Every operation with its address."""
        one = r"/([^/]+)/([^/]+)"
        rows = (
            ("GET", r"/([^/]+)", self._page, "record"),
            ("POST", r"/([^/]+)", self._create, "record"),
            ("POST", r"/([^/]+)/search", self._search, "search"),
            ("POST", r"/([^/]+)/merge", self._merge, "record"),
            ("POST", r"/([^/]+)/gdpr-delete", self._purge, "record"),
            ("POST", r"/([^/]+)/batch/read", self._batch_read, "batch"),
            ("POST", r"/([^/]+)/batch/create", self._batch_create, "batch"),
            ("POST", r"/([^/]+)/batch/update", self._batch_update, "batch"),
            ("POST", r"/([^/]+)/batch/upsert", self._batch_upsert, "batch"),
            ("POST", r"/([^/]+)/batch/archive", self._batch_archive, "batch"),
            ("GET", one, self._get, "record"),
            ("PATCH", one, self._update, "record"),
            ("DELETE", one, self._archive, "record"),
        )
        return [
            Route(method=method, pattern=pattern, family="objects", operation=operation, kind=kind, versions="v3|20.*")
            for method, pattern, operation, kind in rows
        ]

    def _readable(self, call: Call) -> Kind:
        kind = self._portal.kinds.find(call.groups[0])
        call.need(*kind.read)
        return kind

    def _writable(self, call: Call) -> Kind:
        kind = self._portal.kinds.find(call.groups[0])
        call.need(*kind.write)
        return kind

    def _write(self, call: Call) -> Write:
        return Write(
            stamp=call.stamp,
            source=Source.API,
            source_id=str(call.grant.app_id),
            rules=call.version.startswith(NEWEST),
        )

    def _view(self, call: Call, kind: Kind, record_id: str = "") -> View:
        asked = call.listed("properties")
        return View(
            properties=tuple(asked) if asked else None,
            history=tuple(call.listed("propertiesWithHistory")),
            associations=self._associated(call, kind, record_id) if record_id else {},
        )

    def _associated(self, call: Call, kind: Kind, record_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name in call.listed("associations"):
            other = self._portal.kinds.find(name)
            call.need(*other.read)
            rows = [
                {"id": each, "type": _link_name(self._portal.associations.type(type_id).name, type_id)}
                for each, types in self._store.linked(kind.name, record_id, other.name).items()
                for type_id in sorted(types)
            ]
            if rows:
                shown[other.name] = {"results": rows}
        return shown

    # single records

    def _find(self, call: Call, kind: Kind, *, archived: bool = False) -> Record:
        """The record a path means: by id, old ids of merged records included, or by a unique property."""
        given = call.groups[1]
        key = call.query().get("idProperty")
        if key and key != "hs_object_id":
            spec = kind.property(key)
            if spec is None or not spec.unique:
                raise Refusal(f"Property {key} is not a unique property and cannot be used as idProperty")
            given = self._store.owner_of(kind.name, key, given) or ""
        else:
            given = self._store.resolve(kind.name, given)
        record = self._store.tables[kind.name].get(given)
        if record is None or (record.archived is not None) != archived or (archived and kind.permanent):
            raise not_found()
        return record

    def _get(self, call: Call) -> Response:
        kind = self._readable(call)
        record = self._find(call, kind, archived=call.query().get("archived") == "true")
        return json_response(200, self._view(call, kind, record.id).show(kind, record))

    def _page(self, call: Call) -> Response:
        kind = self._readable(call)
        most = MOST_WITH_HISTORY if call.listed("propertiesWithHistory") else PAGE
        limit = call.limit(default=10, most=most)
        archived = call.query().get("archived") == "true"
        after = call.query().get("after", "0")
        if not after.isdecimal():
            raise Refusal("Invalid paging cursor")
        rows = [
            record
            for record in self._store.tables[kind.name].values()
            if (record.archived is not None) == archived
            and int(record.id) >= int(after)
            and (kind.name, record.id) not in self._store.merged
            and not (archived and kind.permanent)
        ]
        rows.sort(key=lambda record: int(record.id))
        # The cursor is the id the next page begins with.
        following = rows[limit].id if len(rows) > limit else None
        shown = [self._view(call, kind, record.id).show(kind, record) for record in rows[:limit]]
        return json_response(200, {"results": shown, **paging(following, call)})

    def _create(self, call: Call) -> Response:
        kind = self._writable(call)
        body = call.body()
        links = parse_links(self._records, kind, body.get("associations"))
        record = self._records.create(kind, body.get("properties"), links, self._write(call))
        shown = self._whole(kind, record)
        if isinstance(body.get("objectWriteTraceId"), str):
            shown["objectWriteTraceId"] = body["objectWriteTraceId"]
        return json_response(201, shown)

    def _update(self, call: Call) -> Response:
        kind = self._writable(call)
        record = self._find(call, kind)
        record = self._records.update(kind, record.id, call.body().get("properties"), self._write(call))
        return json_response(200, self._whole(kind, record))

    @staticmethod
    def _whole(kind: Kind, record: Record) -> dict[str, Any]:
        names = tuple(name for name, text in record.properties.items() if text)
        return View(properties=names).show(kind, record)

    def _archive(self, call: Call) -> Response:
        kind = self._writable(call)
        self._records.archive(kind, call.groups[1], self._write(call))
        return Response(status=204)

    def _merge(self, call: Call) -> Response:
        kind = self._writable(call)
        body = call.body()
        given = [body.get("primaryObjectId"), body.get("objectIdToMerge")]
        if not all(isinstance(each, str | int) and not isinstance(each, bool) for each in given):
            raise Refusal("Some required fields were not set: [primaryObjectId, objectIdToMerge]")
        record = self._records.merge(kind, str(given[0]), str(given[1]), self._write(call))
        return json_response(200, self._whole(kind, record))

    def _purge(self, call: Call) -> Response:
        kind = self._writable(call)
        body = call.body()
        given = str(body.get("objectId") or "")
        if body.get("idProperty") == "email":
            given = self._store.owner_of(kind.name, "email", given) or ""
        if kind.name != "contacts":
            raise Refusal(f"{kind.plural_label} cannot be deleted for privacy")
        self._records.purge(kind, self._store.resolve(kind.name, given), self._write(call))
        return Response(status=204)

    # many records

    def _search(self, call: Call) -> Response:
        kind = self._readable(call)
        return json_response(200, search(self._store, self._portal.kinds, kind, call))

    def _batch_read(self, call: Call) -> Response:
        kind = self._readable(call)
        body = call.body()
        asked = body.get("properties")
        history = body.get("propertiesWithHistory") or []
        if not isinstance(asked, list) or not isinstance(history, list):
            raise Refusal("Some required fields were not set: [properties]")
        view = View(properties=tuple(map(str, asked)) if asked else None, history=tuple(map(str, history)))
        archived = call.query().get("archived") == "true"
        return _answer(call, self._portal.batches.read(kind, body, view, archived=archived), 200)

    def _batch_create(self, call: Call) -> Response:
        kind = self._writable(call)
        outcome = self._portal.batches.create(kind, call.body(), self._write(call))
        # Version 2025-09 alone answers a creation with 200 (its OpenAPI file).
        return _answer(call, outcome, 200 if call.version == "2025-09" else 201)

    def _batch_update(self, call: Call) -> Response:
        kind = self._writable(call)
        return _answer(call, self._portal.batches.update(kind, call.body(), self._write(call)), 200)

    def _batch_upsert(self, call: Call) -> Response:
        kind = self._writable(call)
        return _answer(call, self._portal.batches.upsert(kind, call.body(), self._write(call)), 200)

    def _batch_archive(self, call: Call) -> Response:
        kind = self._writable(call)
        self._portal.batches.archive(kind, call.body(), self._write(call))
        return Response(status=204)


def _answer(call: Call, outcome: Outcome, status: int) -> Response:
    """207 when some rows failed, except in the newest version, where the errors stand in the ordinary answer."""
    partial = bool(outcome.errors) and not call.folds_errors
    return json_response(207 if partial else status, batch_answer(call, outcome.results, outcome.errors))


def _link_name(name: str, type_id: int) -> str:
    return name if type_id not in (1, 2, 5, 6) else f"{name}_primary"
