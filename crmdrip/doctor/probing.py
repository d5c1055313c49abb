"""What the doctor finds out by a write that it takes back, when a person asks for it (crmdrip doctor --probe)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crmdrip.assembly import WallClock, connect_crm
from crmdrip.config import load
from crmdrip.ports import CheckResult, OffersProbe
from crmdrip.ports.finding import ok


def probe(config: Path) -> Iterator[CheckResult]:
    """The CRM's probe, told before it is made. To be asked when the checks found nothing that stops it.

    Raises ConfigurationError as load and connect_crm do.
    """
    crm = connect_crm(load(config), WallClock())
    if not isinstance(crm.connector, OffersProbe):
        yield ok("PROBE", f"there is nothing to find out by writing to {crm.connector.name}.")
        return
    yield ok("PROBE", f"the probe writes {crm.connector.probe_writes}.")
    yield from crm.connector.probe(crm.context)
