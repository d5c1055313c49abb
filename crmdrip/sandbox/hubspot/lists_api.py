"""The lists API: lists, who is on them, and in which order they came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from crmdrip.sandbox.http import Response, json_response
from crmdrip.sandbox.hubspot.call import Call, Route, batch_answer, paging
from crmdrip.sandbox.hubspot.lists import Membership, PortalList, Processing
from crmdrip.sandbox.hubspot.properties import show_stamp
from crmdrip.sandbox.hubspot.refusals import Refusal, invalid_input, to_int, to_rows, to_strings

if TYPE_CHECKING:
    from crmdrip.sandbox.hubspot.portal import HubSpotPortal

READ, WRITE = "crm.lists.read", "crm.lists.write"
PAGE, LARGEST_PAGE = 100, 250
MOST_CHANGED = 100_000
MOST_READ = 100


class ListsApi:
    """Answers requests about lists."""

    def __init__(self, portal: HubSpotPortal) -> None:
        self._portal = portal
        self._lists = portal.lists

    def routes(self) -> list[Route]:
        """Every operation with its address."""
        rows = (
            ("GET", r"", self._get_many),
            ("POST", r"", self._create),
            ("POST", r"/search", self._search),
            ("GET", r"/object-type-id/([^/]+)/name/([^/]+)", self._get_by_name),
            ("GET", r"/records/([^/]+)/([^/]+)/memberships", self._of_record),
            ("POST", r"/records/memberships/batch/read", self._of_records),
            ("GET", r"/(\d+)", self._get),
            ("DELETE", r"/(\d+)", self._delete),
            ("GET", r"/(\d+)/memberships", self._members),
            ("GET", r"/(\d+)/memberships/join-order", self._members_by_join),
            ("PUT", r"/(\d+)/memberships/add", self._add),
            ("PUT", r"/(\d+)/memberships/remove", self._remove),
            ("PUT", r"/(\d+)/memberships/add-and-remove", self._add_and_remove),
        )
        return [
            Route(
                method=method,
                pattern=pattern,
                family="lists",
                operation=operation,
                kind="lists",
                versions="v3|20.*",
            )
            for method, pattern, operation in rows
        ]

    def _show(self, found: PortalList, stamp: int) -> dict[str, Any]:
        return {
            "listId": found.id,
            "listVersion": 1,
            "name": found.name,
            "objectTypeId": found.kind.id,
            "processingType": found.processing.value,
            "processingStatus": "COMPLETE",
            "size": len(self._lists.members(found, stamp)),
            "createdAt": show_stamp(found.created),
            "updatedAt": show_stamp(found.updated),
        }

    def _show_found(self, found: PortalList, stamp: int) -> dict[str, Any]:
        """As a search answers it: with what it fetches unless told otherwise (OpenAPI file of lists)."""
        shown = self._show(found, stamp)
        more = {
            "hs_list_size": str(shown.pop("size")),
            "hs_last_record_added_at": str(found.added or ""),
            "hs_last_record_removed_at": str(found.removed or ""),
        }
        return {**shown, "additionalProperties": {name: text for name, text in more.items() if text}}

    def _create(self, call: Call) -> Response:
        call.need(WRITE)
        body = call.body()
        for needed in ("name", "objectTypeId", "processingType"):
            if not isinstance(body.get(needed), str) or not body[needed]:
                raise Refusal(f"Some required fields were not set: [{needed}]")
        if body["processingType"] not in [each.value for each in Processing]:
            raise invalid_input(f"Cannot deserialize value of processingType from {body['processingType']!r}")
        processing = Processing(body["processingType"])
        if processing is not Processing.MANUAL:
            # Conditions are given to this stand-in by the admin, as functions: it reads no filterBranch.
            raise Refusal("filterBranch is required for lists that are not MANUAL, and only the admin can set it here")
        made = self._lists.create(body["name"], self._portal.kinds.find(body["objectTypeId"]), processing, call.stamp)
        return json_response(200, {"list": self._show(made, call.stamp)})

    def _get(self, call: Call) -> Response:
        call.need(READ)
        return json_response(200, {"list": self._show(self._lists.find(call.groups[0]), call.stamp)})

    def _get_many(self, call: Call) -> Response:
        call.need(READ)
        found = [self._lists.find(each) for each in call.listed("listIds")]
        return json_response(200, {"lists": [self._show(each, call.stamp) for each in found]})

    def _get_by_name(self, call: Call) -> Response:
        call.need(READ)
        kind, name = self._portal.kinds.find(call.groups[0]), call.groups[1]
        for each in self._lists.all():
            if each.kind.name == kind.name and each.name == name:
                return json_response(200, {"list": self._show(each, call.stamp)})
        raise Refusal(f"List does not exist with name {name}.", "OBJECT_NOT_FOUND", status=404)

    def _search(self, call: Call) -> Response:
        call.need(READ)
        body = call.body()
        offset, count = to_int(body, "offset", 0), to_int(body, "count", 20)
        wanted = str(body.get("query") or "").lower()
        types = to_strings(body.get("processingTypes") or [each.value for each in Processing], "processingTypes")
        asked = to_strings(body.get("listIds") or [each.id for each in self._lists.all()], "listIds")
        found = [
            each
            for each in self._lists.all()
            if wanted in each.name.lower() and each.processing.value in types and each.id in asked
        ]
        rows = [self._show_found(each, call.stamp) for each in found[offset : offset + count]]
        end = offset + len(rows)
        answer = {"lists": rows, "offset": end, "hasMore": end < len(found), "total": len(found)}
        return json_response(200, answer)

    def _delete(self, call: Call) -> Response:
        call.need(WRITE)
        self._lists.find(call.groups[0]).deleted = call.stamp
        return Response(status=204)

    # members

    def _members(self, call: Call) -> Response:
        call.need(READ)
        members = self._lists.members(self._lists.find(call.groups[0]), call.stamp)
        return self._page(call, sorted(members.items(), key=lambda each: int(each[0])))

    def _members_by_join(self, call: Call) -> Response:
        call.need(READ)
        members = self._lists.members(self._lists.find(call.groups[0]), call.stamp)
        return self._page(call, sorted(members.items(), key=lambda each: (each[1], int(each[0]))))

    @staticmethod
    def _page(call: Call, rows: list[tuple[str, int]]) -> Response:
        """A page of members. The cursor is the place after the last one answered."""
        limit, after = call.limit(default=PAGE, most=LARGEST_PAGE), call.query().get("after", "0")
        if not after.isdecimal():
            raise Refusal("Invalid paging cursor")
        begin = int(after)
        shown = [
            {"recordId": record_id, "membershipTimestamp": show_stamp(at)}
            for record_id, at in rows[begin : begin + limit]
        ]
        following = str(begin + limit) if begin + limit < len(rows) else None
        return json_response(200, {"results": shown, "total": len(rows), **paging(following, call)})

    def _of_record(self, call: Call) -> Response:
        call.need(READ)
        kind, record_id = self._portal.kinds.find(call.groups[0]), call.groups[1]
        rows = self._memberships(kind.name, record_id, call.stamp)
        return json_response(200, {"results": rows, "total": len(rows)})

    def _of_records(self, call: Call) -> Response:
        call.need(READ)
        asked = to_rows(call.body().get("inputs"), "inputs")
        if len(asked) > MOST_READ:
            raise Refusal(f"At most {MOST_READ} records can be read at once")
        rows = []
        for each in asked:
            kind, record_id = self._portal.kinds.find(str(each.get("objectTypeId"))), str(each.get("recordId"))
            found = self._memberships(kind.name, record_id, call.stamp)
            rows.append({"objectTypeId": kind.id, "recordId": record_id, "recordListMemberships": found})
        return json_response(200, batch_answer(call, rows))

    def _memberships(self, kind: str, record_id: str, stamp: int) -> list[dict[str, Any]]:
        rows = []
        for each in self._lists.all():
            at = self._lists.members(each, stamp).get(record_id) if each.kind.name == kind else None
            if at is not None:
                shown = show_stamp(at)
                rows.append(
                    {"listId": each.id, "listVersion": 1, "firstAddedTimestamp": shown, "lastAddedTimestamp": shown}
                )
        return rows

    def _add(self, call: Call) -> Response:
        return self._changed(call, add=_ids(call.json()))

    def _remove(self, call: Call) -> Response:
        return self._changed(call, remove=_ids(call.json()))

    def _add_and_remove(self, call: Call) -> Response:
        body = call.body()
        return self._changed(
            call, add=_ids(body.get("recordIdsToAdd") or []), remove=_ids(body.get("recordIdsToRemove") or [])
        )

    def _changed(self, call: Call, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Response:
        call.need(WRITE)
        done = self._lists.change(self._lists.find(call.groups[0]), add, remove, call.stamp)
        return json_response(200, _show_change(done))


def _ids(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str | int) for each in value):
        raise invalid_input("Cannot deserialize the record ids")
    if len(value) > MOST_CHANGED:
        raise Refusal(f"At most {MOST_CHANGED} records can be changed at once")
    return [str(each) for each in value]


def _show_change(done: Membership) -> dict[str, list[str]]:
    # "recordsIdsAdded" is the vendor's own spelling (OpenAPI file of lists).
    return {"recordsIdsAdded": done.added, "recordIdsRemoved": done.removed, "recordIdsMissing": done.missing}
