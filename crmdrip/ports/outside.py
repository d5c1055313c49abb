"""What every port speaks of: the time, and what a vendor can do beyond the bare port."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Clock(Protocol):
    """Where "now" comes from."""

    def now(self) -> datetime:
        """The current time, aware UTC."""
        ...


class Capability(StrEnum):
    """What a connector can do beyond the bare port."""

    LEADS = "leads"
    MERGES = "merges"
    CONVERSION = "conversion"
    SIGNALS = "signals"
    """Meetings, opportunities and inbound email come with the pull."""
    ONE_PER_ADDRESS = "one_per_address"
    """No two records have the same address; the CRM refuses a second and keeps addresses in lower case."""
    OUTCOME_LOOKUP = "outcome_lookup"
    """A mailer that can be asked whether a touch went out."""
