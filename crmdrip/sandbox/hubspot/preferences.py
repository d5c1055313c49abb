"""Communication preferences: what an address wants to get, by subscription and for the whole portal.

They belong to the address, not to a contact. What they say of a contact is shown in its hs_email_optout properties,
which nobody can set. A preference can be changed and never be taken back to "not specified".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What is known of one address and one subscription."""

    SUBSCRIBED = "SUBSCRIBED"
    UNSUBSCRIBED = "UNSUBSCRIBED"
    NOT_SPECIFIED = "NOT_SPECIFIED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """One type of email people can subscribe to."""

    id: int
    name: str
    description: str = ""
    purpose: str = "Marketing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """What an address said."""

    status: Status
    at: int
    source: str
    legal_basis: str = ""
    explanation: str = ""


ONE_TO_ONE = Subscription(id=1001, name="One to One", description="One to One emails", purpose="Sales")
NEWSLETTER = Subscription(id=1002, name="Marketing Information", description="Marketing offers and updates.")

PROPERTY = "hs_email_optout"
"""Of a contact: opted out of all email. With a subscription's id behind it: opted out of that one."""

Changed = Callable[[str], None]
"""Told of the address whose preferences changed."""


class Preferences:
    """Every preference of a portal."""

    def __init__(self, changed: Changed) -> None:
        self.subscriptions: dict[int, Subscription] = {each.id: each for each in (ONE_TO_ONE, NEWSLETTER)}
        self.privacy = False
        """Whether the portal's data privacy settings are on: a subscription then needs a legal basis."""
        self._by_address: dict[str, dict[int, Preference]] = {}
        self._wide: dict[str, Preference] = {}
        self._changed = changed

    def of(self, address: str) -> dict[int, Preference]:
        """What an address said, by subscription; silence is not specified."""
        return dict(self._by_address.get(address.lower(), {}))

    def wide(self, address: str) -> Preference | None:
        """What an address said of all email of the portal."""
        return self._wide.get(address.lower())

    def is_opted_out(self, address: str) -> bool:
        """Whether an address wants no email at all."""
        wide = self.wide(address)
        return wide is not None and wide.status is Status.UNSUBSCRIBED

    def shown(self, address: str) -> dict[str, str]:
        """What a contact of the address shows: a property for all email and one for each subscription."""
        said = self.of(address)
        stopped = {each for each in self.subscriptions if each in said and said[each].status is Status.UNSUBSCRIBED}
        return {
            PROPERTY: "true" if self.is_opted_out(address) else "",
            **{f"{PROPERTY}_{each}": "true" if each in stopped else "" for each in self.subscriptions},
        }

    def set(self, address: str, subscription_id: int, preference: Preference) -> None:
        """Keep what an address said of one subscription. Subscribing lifts the opt-out from all email."""
        key = address.lower()
        self._by_address.setdefault(key, {})[subscription_id] = preference
        if preference.status is Status.SUBSCRIBED and self.is_opted_out(key):
            del self._wide[key]
        self._changed(key)

    def opt_out(self, address: str, preference: Preference) -> None:
        """An address wants no email at all."""
        key = address.lower()
        self._wide[key] = preference
        stopped = dict.fromkeys(self.subscriptions, preference)
        self._by_address.setdefault(key, {}).update(stopped)
        self._changed(key)
