"""Who must not be mailed any more, and since when: the oracle for "never after a stop".

Kept by the world at the moment each stop becomes visible, and independent of whatever the product believes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from crmdrip.sandbox.sendgrid import AcceptedEmail


class StopKind(StrEnum):
    """Why no email may go out."""

    REPLY = "reply"
    MEETING = "meeting"
    OPT_OUT = "opt_out"
    UNSUBSCRIBE = "unsubscribe"
    BOUNCE = "bounce"
    SPAM_REPORT = "spam_report"
    OPPORTUNITY = "opportunity"
    CONVERTED = "converted"
    """With an opportunity: the example sequences stop then."""
    UNTICKED = "unticked"
    DELETED = "deleted"
    MERGED = "merged"
    """The loser's own address; the winner carries on."""
    ADDRESS_CHANGED = "address_changed"
    """The old address."""
    PAUSED = "paused"
    """For a time."""


FOR_GOOD = frozenset({StopKind.OPT_OUT, StopKind.UNSUBSCRIBE, StopKind.BOUNCE, StopKind.SPAM_REPORT})
"""Ticking the box again lifts the others, and never these."""


WISHES = frozenset({StopKind.OPT_OUT, StopKind.UNSUBSCRIBE, StopKind.SPAM_REPORT, StopKind.REPLY})
"""What can be behind an opt-out in the CRM; a reply that came by the CRM may have asked for it in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """One address that must not be mailed."""

    address: str
    """Lower case."""
    kind: StopKind
    at: datetime
    position: int
    """How many emails the provider had accepted by then: later ones are after the stop, whatever the clock says."""
    record_id: str = ""
    until: datetime | None = None
    """For a pause."""

    def forbids(self, email: AcceptedEmail) -> bool:
        """Whether an email accepted after the stop breaks it."""
        return self.until is None or email.at < self.until


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """An email that went out although it must not have."""

    stop: Stop
    email: AcceptedEmail
    number: int
    """Its place among all accepted emails."""


class Stops:
    """Every stop of the world, by address."""

    def __init__(self) -> None:
        self._by_address: dict[str, list[Stop]] = {}

    def add(self, stop: Stop) -> None:
        """Remember one."""
        self._by_address.setdefault(stop.address, []).append(stop)

    def lift(self, address: str) -> None:
        """The box was ticked again: a new run may begin, unless the address itself is not to be mailed."""
        kept = [stop for stop in self._by_address.get(address.lower(), ()) if stop.kind in FOR_GOOD]
        self._by_address[address.lower()] = kept

    def end_pause(self, address: str) -> None:
        """Paused Until was cleared."""
        kept = [stop for stop in self._by_address.get(address.lower(), ()) if stop.kind is not StopKind.PAUSED]
        self._by_address[address.lower()] = kept

    def of(self, address: str) -> Sequence[Stop]:
        """The stops of an address, oldest first."""
        return self._by_address.get(address.lower(), ())

    def counts(self) -> dict[str, int]:
        """How many addresses were stopped, by the kind of their first stop."""
        firsts = Counter(stops[0].kind.value for stops in self._by_address.values() if stops)
        return dict(sorted(firsts.items()))

    def violations(self, accepted: Sequence[AcceptedEmail]) -> list[Violation]:
        """Every email accepted after a stop of its address. P2 says: none."""
        found = []
        for number, email in enumerate(accepted):
            for stop in self.of(email.to):
                if number >= stop.position and stop.forbids(email):
                    found.append(Violation(stop=stop, email=email, number=number))
                    break
        return found
