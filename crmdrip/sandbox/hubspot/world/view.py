"""The portal as the control API sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from crmdrip.sandbox.hubspot.portal import HubSpotPortal
from crmdrip.sandbox.hubspot.store import Record


class PortalView:
    """The HubSpot portal, seen from outside."""

    name = "hubspot"

    def __init__(self, portal: HubSpotPortal) -> None:
        self._portal = portal
        self.faults = portal.faults
        self.calls_by_kind: Mapping[str, int] = portal.calls_by_kind

    @property
    def next_due(self) -> datetime | None:
        """When the next webhook goes out."""
        return self._portal.webhooks.next_due

    def advance(self, now: datetime) -> None:
        """Let webhooks go out."""
        self._portal.advance(now)

    def _ticked(self) -> list[Record]:
        return [each for each in self._portal.all("contacts") if each.get("crmdrip_enrolled") == "true"]

    def count_ticked(self) -> int:
        """Contacts whose box is ticked."""
        return len(self._ticked())

    def count_without_status(self) -> int:
        """Those of them that carry no status."""
        return sum(not each.get("crmdrip_status") for each in self._ticked())

    def count_statuses(self) -> dict[str, int]:
        """Contacts by their status."""
        found = Counter(each.get("crmdrip_status") for each in self._portal.all("contacts"))
        return {status: number for status, number in sorted(found.items()) if status}
