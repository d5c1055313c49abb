"""What can be decided about one person, as values. core.plan decides, core.effects says what each changes."""

from __future__ import annotations

from datetime import datetime

from crmdrip.core.model import RecordRef, RunStatus, Sequence, Step
from crmdrip.core.reasons import Reason
from crmdrip.core.struct import Struct
from crmdrip.core.zones import ZoneUsed


class Enroll(Struct, frozen=True, kw_only=True):
    """Start a run."""

    sequence: Sequence
    run: int
    step: Step
    due_at: datetime
    zone: ZoneUsed


class Refuse(Struct, frozen=True, kw_only=True):
    """Leave the box without effect, untick it, and say why."""

    reason: Reason


class Send(Struct, frozen=True, kw_only=True):
    """Render and send the step's email now, or put the rep's task on the timeline."""

    step: Step
    zone: ZoneUsed
    progress: str
    """Such as "2 of 4"."""


class Stop(Struct, frozen=True, kw_only=True):
    """End the run for good."""

    reason: Reason
    untick: bool
    """False where the box is off, belongs to another run already, or the record is gone."""
    shown_on: RecordRef | None = None
    """The record that tells of it where the run's own can no longer be written (the contact a lead became)."""


class Hold(Struct, frozen=True, kw_only=True):
    """Wait with a reason; look again at check_at or when something wakes it."""

    reason: Reason
    check_at: datetime | None
    status: RunStatus = RunStatus.HELD
    tell_rep: bool = False
    """Put an open task on the owner's list as well."""
    task_id: str = ""
    """Of that task, where its completion means something; "" for one of its own per reason."""
    away_until: datetime | None = None
    """What the record shows as "out of office until"; None for none."""


class Skip(Struct, frozen=True, kw_only=True):
    """Pass this one step over; the run goes on."""

    step_id: str
    order: float
    reason: Reason


class Finish(Struct, frozen=True, kw_only=True):
    """Every step has been taken."""


class Wait(Struct, frozen=True, kw_only=True):
    """Nothing is in the way; the next touch goes out at a later time."""

    step: Step
    due_at: datetime
    """When it was planned to go out; lateness and expiry count from here."""
    opens_at: datetime
    """When it can go out: due_at, or the next opening where that has passed."""
    zone: ZoneUsed


class Move(Struct, frozen=True, kw_only=True):
    """The run goes on under another record (merge winner, converted contact)."""

    to: RecordRef
    because: str


class Readdress(Struct, frozen=True, kw_only=True):
    """The address changed within its domain: go on there in a new thread."""

    address: str


Decision = Enroll | Refuse | Send | Stop | Hold | Skip | Finish | Wait | Move | Readdress
