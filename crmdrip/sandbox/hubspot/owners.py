"""Owners: the portal's users, as records name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crmdrip.sandbox.hubspot.properties import show_stamp


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """One user. Records carry the owner's id, never the user's."""

    id: str
    user_id: int
    email: str
    first: str
    last: str
    created: int
    active: bool = True
    title: str = ""
    phone: str = ""
    zone: str = "UTC"
    """The last three are kept for the pages: the API does not tell them."""

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}".strip()

    def show(self) -> dict[str, Any]:
        """As the API answers it."""
        stamp = show_stamp(self.created)
        shown: dict[str, Any] = {
            "id": self.id,
            "email": self.email,
            "type": "PERSON",
            "firstName": self.first,
            "lastName": self.last,
            "userIdIncludingInactive": self.user_id,
            "createdAt": stamp,
            "updatedAt": stamp,
            "archived": not self.active,
            "teams": [],
        }
        # Who was deactivated has no user id any more, only the one "including inactive".
        return shown | ({"userId": self.user_id} if self.active else {})
