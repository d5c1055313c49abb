"""Where things went that a write ran into: the contact a lead became, the winner of a merge, a touch already there.

A touch must reach a timeline, or a rebuild could send it again (P6); so a task for a record that has moved follows it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from connectors.salesforce import soql
from connectors.salesforce.client import Part
from connectors.salesforce.org import Org
from connectors.salesforce.schema import Schema
from crmdrip.ports import Purpose

_SUCCESSORS = ("converted_contact", "merged_into")


@dataclass(frozen=True, kw_only=True, slots=True)
class Whereabouts:
    """What was found."""

    successors: dict[str, str] = field(default_factory=dict)
    """The record that took another's place, by that one's id. Absent where it is simply gone."""
    standing: frozenset[str] = frozenset()
    """Touch ids that are on a timeline, deleted and archived ones included."""


def find_whereabouts(
    org: Org, schema: Schema, *, people: Collection[str], touches: Collection[str], purpose: Purpose
) -> Whereabouts:
    """One call for up to 200 of each. Raises what the client raises."""
    parts: list[Part] = []
    columns: dict[str, list[str]] = {}
    for kind in schema.kinds():
        info = schema.objects[kind.value]
        columns[kind.value] = [
            name
            for word in _SUCCESSORS
            if word in schema.mapping.fields[kind.value] and (name := schema.name(kind.value, word))
        ]
        ids = sorted(one for one in people if one.startswith(info.prefix))
        for start in range(0, len(ids), soql.IDS_PER_LIST):
            where = [soql.in_list("Id", ids[start : start + soql.IDS_PER_LIST])]
            text = soql.select(["Id", *columns[kind.value]], info.name, where=where)
            parts.append(soql.query_all(f"{kind.value}_{start}", text))
    touch_id = schema.name("task", "touch_id")
    wanted = sorted(touches)
    for start in range(0, len(wanted), soql.IDS_PER_LIST):
        where = [soql.in_list(touch_id, wanted[start : start + soql.IDS_PER_LIST])]
        text = soql.select(["Id", touch_id], schema.objects["task"].name, where=where)
        parts.append(soql.query_all(f"task_{start}", text))
    if not parts:
        return Whereabouts()
    answers = org.client.read(parts, purpose)
    successors: dict[str, str] = {}
    standing: set[str] = set()
    for part in parts:
        word = part.name.partition("_")[0]
        for row in org.drain(answers, part.name, purpose):
            if word == "task":
                standing.add(row[touch_id])
            elif successor := next((row[name] for name in columns[word] if row.get(name)), None):
                successors[row["Id"]] = successor
    return Whereabouts(successors=successors, standing=frozenset(standing))


def find_tasks(org: Org, schema: Schema, touches: Collection[str], purpose: Purpose) -> dict[str, str]:
    """The ids of the tasks of these touches, by touch id; archived ones too, deleted ones not.

    One call for a thousand. Raises what the client raises.
    """
    touch_id, wanted = schema.name("task", "touch_id"), sorted(touches)
    parts = []
    for start in range(0, len(wanted), soql.IDS_PER_LIST):
        where = [soql.in_list(touch_id, wanted[start : start + soql.IDS_PER_LIST]), "IsDeleted = false"]
        text = soql.select(["Id", touch_id], schema.objects["task"].name, where=where)
        parts.append(soql.query_all(f"task_{start}", text))
    if not parts:
        return {}
    answers = org.client.read(parts, purpose)
    return {row[touch_id]: row["Id"] for part in parts for row in org.drain(answers, part.name, purpose)}
