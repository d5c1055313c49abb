"""From the merge paths of templates to properties: "first_name", "jobtitle" and "account.industry" alike.

Compared without case, underscores and hyphens, first with the mapping's words, then with the portal's own names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.hubspot.portal import Portal
from crmdrip.core.errors import UnknownPathsError
from crmdrip.core.model import Owner
from crmdrip.ports import Purpose

_ELSEWHERE = "sender"
"""Whoever the email is from: not a matter of the record, so never read here."""
_OWNER = ("name", "first_name", "last_name", "email", "title", "phone", "signature")


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeColumns:
    """Where each path is found."""

    own: Mapping[str, str] = field(default_factory=dict)
    """Properties of the contact, by path."""
    company: Mapping[str, str] = field(default_factory=dict)
    """Properties of its company, by path."""
    owner: Mapping[str, str] = field(default_factory=dict)
    """Our words of its owner, by path."""


def resolve(portal: Portal, paths: Iterable[str], purpose: Purpose) -> MergeColumns:
    """Where each path is found. Raises UnknownPathsError with every path found nowhere, and what the client raises."""
    own: dict[str, str] = {}
    company: dict[str, str] = {}
    owner: dict[str, str] = {}
    unknown: list[str] = []
    for path in sorted(paths):
        parent, dot, rest = path.partition(".")
        parent = parent.lower()
        if parent == _ELSEWHERE:
            continue
        if not dot and (name := _find(portal, "contact", path, purpose)):
            own[path] = name
        elif dot and parent == "account" and (name := _find(portal, "company", rest, purpose)):
            company[path] = name
        elif dot and parent == "owner" and (name := next((w for w in _OWNER if _fold(w) == _fold(rest)), "")):
            owner[path] = name
        else:
            unknown.append(path)
    if unknown:
        portal.forget_properties()
        raise UnknownPathsError(
            f"no property for {', '.join('{{ ' + path + ' }}' for path in unknown)} can be seen.",
            paths=frozenset(unknown),
            where=f"{portal.mapping.name} [merge]",
            do_next="Correct the step, make the property, or map the name.",
        )
    return MergeColumns(own=own, company=company, owner=owner)


def _find(portal: Portal, word: str, path: str, purpose: Purpose) -> str:
    """The property's internal name, "" for none."""
    wanted = _fold(path)
    for ours, name in portal.mapping.merge.get(word, {}).items():
        if _fold(ours) == wanted:
            return name
    names = portal.property_names(portal.mapping.object(word), purpose)
    return path if path in names else next((name for name in sorted(names) if _fold(name) == wanted), "")


def owner_field(owner: Owner | None, word: str) -> Any:
    """What a template asks of an owner; None for what is empty."""
    if owner is None:
        return None
    first, _, last = owner.name.partition(" ")
    given = {"first_name": first, "last_name": last}
    return given[word] if word in given else getattr(owner, word) or None


def _fold(text: str) -> str:
    return text.replace("_", "").replace("-", "").casefold()
