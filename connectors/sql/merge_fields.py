"""From the merge paths of templates to columns: "first_name", "job_title" and "account.industry" alike.

Compared without case, underscores and hyphens, first with the mapping's words, then with the columns' own names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connectors.sql.database import Database
from connectors.sql.schema import Mapped, Schema
from crmdrip.core.errors import UnknownPathsError

_ELSEWHERE = "sender"
"""Whoever the email is from: not a matter of the record, so never read here."""
PARENTS = ("account", "owner")


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeColumns:
    """Where each path is found."""

    own: Mapping[str, str] = field(default_factory=dict)
    """Columns of the contact, by path."""
    parents: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Columns of account and owner, by path; only those that are asked for."""


def resolve(database: Database, schema: Schema, paths: Iterable[str]) -> MergeColumns:
    """Where each path is found. Raises UnknownPathsError with every path found nowhere."""
    own: dict[str, str] = {}
    parents: dict[str, dict[str, str]] = {}
    unknown: list[str] = []
    merge = database.mapping.merge
    for path in sorted(paths):
        parent, dot, rest = path.partition(".")
        parent = parent.lower()
        if parent == _ELSEWHERE:
            continue
        if not dot and (name := _find(schema.contact, merge.get("contact", {}), path)):
            own[path] = name
            continue
        mapped = schema.get(parent) if dot and parent in PARENTS else None
        if mapped is not None and (name := _find(mapped, merge.get(parent, {}), rest)):
            parents.setdefault(parent, {})[path] = name
        else:
            unknown.append(path)
    if unknown:
        database.forget_schema()  # somebody may add the column by the next look
        raise UnknownPathsError(
            f"no column for {', '.join('{{ ' + path + ' }}' for path in unknown)} can be seen.",
            paths=frozenset(unknown),
            where=f"{database.mapping.name} [merge]",
            do_next="Correct the step, add the column, or map the name.",
        )
    return MergeColumns(own=own, parents=parents)


def _find(mapped: Mapped, words: Mapping[str, str], path: str) -> str:
    """The column's name, "" for none. A word of the mapping counts only where its column is there."""
    wanted = _fold(path)
    for ours, name in words.items():
        if _fold(ours) == wanted and name in mapped.columns:
            return name
    if (known := next((one for word, one in mapped.fields.items() if _fold(word) == wanted), None)) is not None:
        return str(known.column.name)
    return path if path in mapped.columns else next((name for name in mapped.columns if _fold(name) == wanted), "")


def _fold(text: str) -> str:
    return text.replace("_", "").replace("-", "").casefold()
