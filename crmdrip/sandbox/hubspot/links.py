"""The associations a request asks for when it creates a record."""

from __future__ import annotations

from typing import Any

from crmdrip.sandbox.hubspot.associations import LinkType
from crmdrip.sandbox.hubspot.kinds import Kind
from crmdrip.sandbox.hubspot.records import Link, Records
from crmdrip.sandbox.hubspot.refusals import Refusal


def parse_links(records: Records, kind: Kind, rows: Any) -> list[Link]:
    """What stands under `associations`. Raises Refusal."""
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise Refusal("Invalid input JSON: associations is a list")
    links: list[Link] = []
    for row in rows:
        to = row.get("to") if isinstance(row, dict) else None
        other = to.get("id") if isinstance(to, dict) else None
        if not isinstance(other, str | int) or isinstance(other, bool):
            raise Refusal("Some required fields were not set: [associations.to.id]")
        types = records.associations.parse(row.get("types"), kind)
        by_target: dict[str, list[LinkType]] = {}
        for each in types:
            by_target.setdefault(each.target, []).append(each)
        links.extend((str(other), each) for each in by_target.values())
    return links
