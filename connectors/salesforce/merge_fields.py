"""From the merge paths of templates to columns: "first_name", "FirstName" and "account.Industry" alike.

Compared without case, underscores and hyphens, first with the mapping's words, then with the API names our user sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connectors.salesforce.schema import Schema
from crmdrip.core.errors import UnknownPathsError
from crmdrip.core.model import RecordKind

_ELSEWHERE = "sender"
"""Whoever the email is from: not a matter of the record, so never read here."""

_PARENTS: Mapping[str, str] = {"account": "account", "owner": "user"}
"""The object word behind each parent a path may begin with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeColumns:
    """Where each path is found for records of one kind."""

    own: Mapping[str, str] = field(default_factory=dict)
    """Columns of the record itself, by path; "" where this kind has none."""
    parents: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Columns of a parent, by "account" or "owner", then by path."""


def resolve(schema: Schema, paths: Iterable[str]) -> dict[RecordKind, MergeColumns]:
    """The columns by kind. A path that only one kind knows is empty for the other (a lead has no department).

    Raises UnknownPathsError with every path that no kind knows.
    """
    wanted = sorted(path for path in paths if path.partition(".")[0].lower() != _ELSEWHERE)
    found = {kind: {path: _find(schema, kind.value, path) for path in wanted} for kind in schema.kinds()}
    unknown = [path for path in wanted if not any(columns[path] for columns in found.values())]
    if unknown:
        raise UnknownPathsError(
            f"no field for {', '.join('{{ ' + path + ' }}' for path in unknown)} can be seen.",
            paths=frozenset(unknown),
            where=f"{schema.mapping.name} [merge]",
            do_next="Correct the step, grant read access to the field, or map the name.",
        )
    return {kind: _split(columns) for kind, columns in found.items()}


def _split(columns: Mapping[str, str]) -> MergeColumns:
    own: dict[str, str] = {}
    parents: dict[str, dict[str, str]] = {}
    for path, column in columns.items():
        parent, dot, name = column.partition(".")
        if dot:
            parents.setdefault(parent, {})[path] = name
        else:
            own[path] = column
    return MergeColumns(own=own, parents=parents)


def _find(schema: Schema, word: str, path: str) -> str:
    """The column, "account.Name" for one of a parent, "" for none."""
    direct = _lookup(schema, word, path)
    if direct:
        parent, dot, name = direct.partition(".")
        if not dot or _lookup(schema, _PARENTS.get(parent.lower(), ""), name):
            return direct
    parent, dot, rest = path.partition(".")
    parent = parent.lower()
    # A lead belongs to no account; both kinds have an owner.
    if not dot or parent not in _PARENTS or not schema.mapping.fields.get(word, {}).get(parent):
        return ""
    merge_word = parent
    column = _lookup(schema, _PARENTS[parent], rest, merge_word=merge_word)
    return f"{parent}.{column}" if column else ""


def _lookup(schema: Schema, object_word: str, path: str, *, merge_word: str = "") -> str:
    """The column by the mapping's word or by API name, if it can be seen."""
    info = schema.objects.get(object_word)
    if info is None:
        return ""
    key = _fold(path)
    for word, column in schema.mapping.merge.get(merge_word or object_word, {}).items():
        if _fold(word) == key and ("." in column or info.find(column)):
            return column
    return next((one.name for one in info.fields.values() if _fold(one.name) == key), "")


def _fold(path: str) -> str:
    return path.lower().replace("_", "").replace("-", "")
