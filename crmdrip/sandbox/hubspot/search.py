"""Search: one query over the index, which is behind the records, at most 10,000 results of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crmdrip.sandbox.hubspot.call import Call, View, paging
from crmdrip.sandbox.hubspot.filters import Filter, key_of, parse_groups, refuse
from crmdrip.sandbox.hubspot.kinds import Kind, Kinds
from crmdrip.sandbox.hubspot.properties import Property
from crmdrip.sandbox.hubspot.refusals import invalid_input
from crmdrip.sandbox.hubspot.store import Properties, Record, Store

MOST = 10_000
"""Results of one query; paging past them is refused."""
PAGE, LARGEST_PAGE = 10, 200
LONGEST_QUERY = 3_000

_Found = tuple[Record, Properties]


def search(store: Store, kinds: Kinds, kind: Kind, call: Call) -> dict[str, Any]:
    """Run the query of a request, and answer as the API does. Raises Refusal."""
    body = call.body()
    groups = parse_groups(kinds, kind, body.get("filterGroups"))
    if body.get("filters"):
        groups = [*groups, *parse_groups(kinds, kind, [{"filters": body["filters"]}])]
    order = _parse_sorts(kind, body.get("sorts"))
    limit, after = _parse_page(body, call)
    words = _parse_query(body)
    found = [
        (record, values)
        for record, values in store.indexed(kind.name, call.stamp)
        if _fits(store, record, values, groups) and _mentions(kind, values, words)
    ]
    _sort(kind, found, order)
    asked = body.get("properties")
    if asked is not None and not isinstance(asked, list):
        raise invalid_input("Cannot deserialize value of properties")
    view = View(properties=tuple(map(str, asked)) if asked else None)
    rows = [_show(view, kind, record, values) for record, values in found[after : after + limit]]
    end = after + limit
    # The last page that is answered still names a next one, which is then refused.
    following = str(end) if end < len(found) else None
    return {"total": len(found), "results": rows, **paging(following, call)}


def _show(view: View, kind: Kind, record: Record, values: Properties) -> dict[str, Any]:
    shown = view.show(kind, record, values)
    if kind.name == "contacts" and "hs_merged_object_ids" in shown["properties"]:
        # Reported of contact searches: null there, though a read by id has them.
        shown["properties"]["hs_merged_object_ids"] = None
    return shown


def _parse_page(body: Mapping[str, Any], call: Call) -> tuple[int, int]:
    limit, after = body.get("limit", PAGE), body.get("after") or 0
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= LARGEST_PAGE:
        raise refuse(f"limit must be between 0 and {LARGEST_PAGE}")
    if not str(after).isdecimal():
        raise invalid_input(f"Cannot deserialize value of after from {after!r}")
    if call.page is not None:
        limit = min(limit, call.page)
    if int(after) + limit > MOST:
        raise refuse(f"Paging past {MOST} results is not supported")
    return limit, int(after)


def _parse_query(body: Mapping[str, Any]) -> list[str]:
    text = body.get("query") or ""
    if not isinstance(text, str):
        raise invalid_input("Cannot deserialize value of query")
    if len(text) > LONGEST_QUERY:
        raise refuse(f"query must be at most {LONGEST_QUERY} characters")
    return text.lower().split()


def _parse_sorts(kind: Kind, rows: Any) -> tuple[Property, bool] | None:
    """The one rule allowed: by which property, and whether from the largest."""
    if not rows:
        return None
    if not isinstance(rows, list):
        raise invalid_input("Cannot deserialize value of sorts")
    if len(rows) > 1:
        raise refuse("only one sort is supported")
    rule = rows[0]
    if isinstance(rule, str):
        name: object = rule.removeprefix("-")
        descending = rule.startswith("-")
    elif isinstance(rule, dict):
        name = rule.get("propertyName")
        direction = rule.get("direction", "ASCENDING")
        if direction not in ("ASCENDING", "DESCENDING"):
            raise invalid_input(f"Cannot deserialize value of direction from {direction!r}")
        descending = direction == "DESCENDING"
    else:
        raise invalid_input("Cannot deserialize value of sorts")
    spec = kind.property(name)
    if spec is None or not spec.searchable:
        raise refuse(f'Property "{name}" cannot be sorted by')
    return spec, descending


def _fits(store: Store, record: Record, values: Properties, groups: list[list[Filter]]) -> bool:
    """Filters of a group hold together; one group is enough."""
    if not groups:
        return True

    def associated(other: str) -> list[str]:
        return list(store.linked(record.kind, record.id, other))

    return any(
        all(each.holds(values.get(each.property.name, "") if each.property else "", associated) for each in group)
        for group in groups
    )


def _mentions(kind: Kind, values: Properties, words: list[str]) -> bool:
    if not words:
        return True
    text = " ".join(values.get(name, "") for name in kind.text).lower()
    return all(word in text for word in words)


def _sort(kind: Kind, found: list[_Found], order: tuple[Property, bool] | None) -> None:
    found.sort(key=lambda each: int(each[0].id))
    if order is None:
        created = kind.properties[kind.created]
        found.sort(key=lambda each: key_of(created, each[1][kind.created]))
        return
    spec, descending = order
    empty = [each for each in found if not each[1].get(spec.name)]
    full = [each for each in found if each[1].get(spec.name)]
    full.sort(key=lambda each: key_of(spec, each[1][spec.name]), reverse=descending)
    found[:] = full + empty
