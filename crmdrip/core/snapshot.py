"""What is known about one person at one moment: everything that decides, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from crmdrip.core.model import BoxPending, Brake, Enrollment, Owner, Record, RunStatus, Sequence, Signal
from crmdrip.core.steps import Passed
from crmdrip.core.struct import Struct

RELEASED = Brake(pulled=False)


class View(StrEnum):
    """How fresh the record in a snapshot is."""

    LOOKED = "looked"
    """Read by id just now: an email may go out."""
    PULLED = "pulled"
    """From the pull: may stop, pause and enroll, never send."""
    BLIND = "blind"
    """It could not be read."""


class PastRun(Struct, frozen=True, kw_only=True):
    """A run that has ended."""

    sequence_id: str
    run: int
    status: RunStatus
    ended_at: datetime
    touched: bool = True
    """Whether any step was taken; a run that was stopped before its first one was never gone through."""
    last_touch_at: datetime | None = None
    last_touch_zone: str = ""


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything that decides about one person, at one moment."""

    view: View
    record: Record | None
    """None when the CRM no longer has it."""
    enrollment: Enrollment | None = None
    """The live run of this record, None when there is none."""
    sequence: Sequence | None = None
    """Of the live run, else the one the record names; None when unknown, never valid, or gone from the CRM."""
    sequence_error: str = ""
    owner: Owner | None = None
    touches: Mapping[str, Passed] = {}
    """Of the live run, by step id."""
    signals: tuple[Signal, ...] = ()
    """Since the run began, not yet applied."""
    suppression: str = ""
    """Why the address must not be mailed, as a clause ("unsubscribed on 3 Nov 2026"), "" when it may."""
    left_at: datetime | None = None
    """When the person unsubscribed from this sequence alone, None when they did not."""
    twin: str = ""
    """Another record whose live run has the same address, for people ("lead Ann Lee"), "" when none."""
    past: tuple[PastRun, ...] = ()
    last_number: int = 0
    """The highest number that any run of this person has; a live one may have moved on to another address (B15)."""
    brake: Brake = RELEASED
    paused: bool = False
    """Somebody typed crmdrip pause, for this sequence or for all."""
    suspicion: str = ""
    """Why the sequence waits for a confirmation, "" when it does not."""
    safe_mode: bool = False
    blind_because: str = ""
    moved_to_live_run: bool = False
    """The record that took this one's place (merge, conversion) has a live run of its own."""
    box_pending: BoxPending = BoxPending.NO
    """The box is still to be set by us: how it stands means nothing yet (B9)."""
    reread: bool = False
    """The pull gave the record as it was dealt with before (it reads an overlap again): its box is no news (B9)."""
    restored: bool = False
    """The record was deleted when the ledger heard of it last (B14)."""
    winner_stopped: bool = False
    """The record that took this one's place was stopped in this sequence: a stop on either wins (B12)."""
