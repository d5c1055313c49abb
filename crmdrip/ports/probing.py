"""What a CRM can only be asked by writing: for the doctor, when a person asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from crmdrip.ports.vendor import CheckResult, ConnectorContext


@runtime_checkable
class OffersProbe(Protocol):
    """A connector that can find out by a write that it takes back."""

    probe_writes: str
    """What is written, as the end of "The probe writes ...", said to the person before."""

    def probe(self, context: ConnectorContext) -> Iterator[CheckResult]:
        """Write, look, and delete what was written, whatever happens meanwhile. Raises nothing."""
        ...
