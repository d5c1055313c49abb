"""What happened to records, as webhooks tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that happened to one record."""

    at: int
    kind: str
    """The singular: contact, company, or object for those without a name of their own."""
    kind_id: str
    """Such as "0-1"."""
    happened: str
    """creation, deletion, merge, propertyChange, restore, associationChange or privacyDeletion."""
    record_id: str
    source: str
    source_id: str = ""
    name: str = ""
    """Of the property that changed."""
    value: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Members of its own: of a merge, of an association."""
