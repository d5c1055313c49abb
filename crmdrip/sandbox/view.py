"""What the control API asks of a CRM, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from crmdrip.sandbox.faults import Faults
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.world.reading import FIELDS, count, count_statuses


class CrmView(Protocol):
    """One CRM, seen from outside."""

    @property
    def name(self) -> str:
        """By which its faults and its address are asked for."""

    @property
    def faults(self) -> Faults:
        """Those armed on it."""

    @property
    def calls_by_kind(self) -> Mapping[str, int]:
        """Answered API calls."""

    @property
    def next_due(self) -> datetime | None:
        """When it does something by itself."""

    def advance(self, now: datetime) -> None:
        """Let everything happen that is due by now."""

    def count_ticked(self) -> int:
        """People whose box is ticked."""

    def count_without_status(self) -> int:
        """Those of them that carry no status."""

    def count_statuses(self) -> dict[str, int]:
        """People by their status, statuses nobody carries left out."""


class OrgView:
    """The Salesforce org."""

    name = "salesforce"
    next_due: datetime | None = None
    """It does nothing by itself."""

    def __init__(self, org: SalesforceOrg) -> None:
        self._org = org
        self.faults = org.faults
        self.calls_by_kind: Mapping[str, int] = org.calls_by_kind

    def advance(self, now: datetime) -> None:
        """Nothing is ever due."""

    def count_ticked(self) -> int:
        """Contacts and leads whose box is ticked."""
        return self._count("Drip_Enrolled__c = true")

    def count_without_status(self) -> int:
        """Those of them that carry no status."""
        return self._count("Drip_Enrolled__c = true AND Drip_Status__c = null")

    def count_statuses(self) -> dict[str, int]:
        """Contacts and leads by their status."""
        return count_statuses(self._org)

    def _count(self, condition: str) -> int:
        return sum(count(self._org, kind, f"WHERE {condition}") for kind in FIELDS)
