"""What a run's record shows of it: status, reason, step, and when the next touch goes out. Pure."""

from __future__ import annotations

from datetime import datetime

from crmdrip.core import words
from crmdrip.core.model import Enrollment, RecordRef, RunStatus, Sequence
from crmdrip.core.reasons import HoldReason, Reason, parse_reason
from crmdrip.core.steps import progress_of
from crmdrip.core.writes import StatusWrite

_TIMED = frozenset(
    Reason(code=code).key for code in (HoldReason.PAUSED_UNTIL, HoldReason.OUT_OF_OFFICE, HoldReason.DAILY_CAP)
)
"""Holds that end at a known time."""


def shown_next(run: Enrollment) -> datetime | None:
    """When the record says the next touch goes out; None when the run has ended, or waits for nobody knows how long."""
    if not run.status.live or run.due_at is None or (run.reason and run.reason not in _TIMED):
        return None
    return max(run.due_at, run.check_at or run.due_at)


def shown_step(run: Enrollment, sequence: Sequence | None) -> str:
    """Such as "2 of 4": the step that comes next, or how many were taken once the run has ended."""
    return progress_of(sequence, run.next_step_id if run.status.live else None, run.steps_done)


def status_key(ref: RecordRef) -> str:
    """The outbox key of the record's status: the newest replaces what is still owed."""
    return f"status:{ref.id}"


def status_write(
    run: Enrollment,
    reason: str,
    step: str,
    *,
    enrolled: bool | None = None,
    replied_at: datetime | None = None,
    sequence_id: str | None = None,
) -> StatusWrite:
    """The daemon's fields of the run's record, as the run stands now."""
    return StatusWrite(
        key=status_key(run.ref),
        ref=run.ref,
        status=run.status.value,
        reason=words.clip(reason),
        step=step,
        next_touch=shown_next(run),
        last_touch=run.last_touch_at,
        run=run.run,
        enrolled=enrolled,
        replied_at=replied_at,
        sequence_id=sequence_id,
    )


def shown(run: Enrollment) -> tuple[object, ...]:
    """What the record shows of a run on its way; while it stays the same the CRM is left alone (P5)."""
    return (run.status, run.reason, run.reason_detail, shown_next(run), run.next_step_id)


def on_its_way(run: Enrollment) -> RunStatus:
    """The status of a run that nothing holds."""
    return RunStatus.ACTIVE if run.steps_done else RunStatus.QUEUED


def on_its_way_write(run: Enrollment, sequence: Sequence | None, zone: str, sentence: str = "") -> StatusWrite:
    """What happened, if anything, and what comes next."""
    label, at = shown_step(run, sequence), shown_next(run)
    if run.reason:
        coming = parse_reason(run.reason, run.reason_detail).sentence
    elif at is None:
        coming = ""
    else:
        coming = words.upcoming(label, at, zone) if run.steps_done or sentence else words.queued(at, zone)
    return status_write(run, f"{sentence} {coming}".strip(), label)


def finished_sentence(run: Enrollment) -> str:
    """What the record says once every step was taken or passed over."""
    return words.finished(run.steps_done, run.last_touch_at, run.last_touch_zone or "UTC")
