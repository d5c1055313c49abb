"""What can be decided about one person, as values. core.plan decides, core.effects says what each changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crmdrip.core.model import RecordRef, RunStatus, Sequence, Step
from crmdrip.core.reasons import Reason
from crmdrip.core.zones import ZoneUsed


@dataclass(frozen=True, kw_only=True, slots=True)
class Enroll:
    """Start a run."""

    sequence: Sequence
    run: int
    step: Step
    due_at: datetime
    zone: ZoneUsed


@dataclass(frozen=True, kw_only=True, slots=True)
class Refuse:
    """Leave the box without effect, untick it, and say why."""

    reason: Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """Render and send the step's email now, or put the rep's task on the timeline."""

    step: Step
    zone: ZoneUsed
    progress: str
    """Such as "2 of 4"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """End the run for good."""

    reason: Reason
    untick: bool
    """False where the box is off, belongs to another run already, or the record is gone."""
    shown_on: RecordRef | None = None
    """The record that tells of it where the run's own can no longer be written (the contact a lead became)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """Wait with a reason; look again at check_at or when something wakes it."""

    reason: Reason
    check_at: datetime | None
    status: RunStatus = RunStatus.HELD
    tell_rep: bool = False
    """Put an open task on the owner's list as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """Pass this one step over; the run goes on."""

    step_id: str
    order: float
    reason: Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """Every step has been taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """Nothing is in the way; the next touch goes out at a later time."""

    step: Step
    due_at: datetime
    """When it was planned to go out; lateness and expiry count from here."""
    opens_at: datetime
    """When it can go out: due_at, or the next opening where that has passed."""
    zone: ZoneUsed


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """The run goes on under another record (merge winner, converted contact)."""

    to: RecordRef
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Readdress:
    """The address changed within its domain: go on there in a new thread."""

    address: str


Decision = Enroll | Refuse | Send | Stop | Hold | Skip | Finish | Wait | Move | Readdress
