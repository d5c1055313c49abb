"""What differs between the CRMs of the demo: how the stand-in is started, configured, read by the audit, and harmed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from crmdrip.demo.stage import Stage

Fault = Mapping[str, Any]
"""As the sandbox's control API takes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What a person's record shows."""

    id: str
    ticked: bool
    status: str
    reason: str
    step: str
    next_touch: datetime | None


class DemoCrm(Protocol):
    """One CRM."""

    name: str
    """Its connector's, and its stand-in's."""
    place: str
    """What its people call their account: "org"."""
    people: str
    """Whom it holds: "contacts and leads"."""
    options: tuple[str, ...]
    """What the sandbox's command line is given."""
    faults: tuple[Fault, ...]
    """Every failure of the vendor. Where in the day's traffic each hits is dealt later."""

    def configure(self, stage: Stage, folder: Path) -> str:
        """Prepare the stand-in, and write what lies beside config.toml; returns the lines of [crm]."""
        ...

    def furnish(self, stage: Stage) -> None:
        """Let people do what they do once crmdrip is installed; the stand-in opens with nothing of it."""
        ...

    def read_people(self, address: str, wanted: Iterable[str]) -> Iterator[Shown]:
        """The living people among the ids, read by a login and requests of one's own, as an auditor would."""
        ...
