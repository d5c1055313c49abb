"""What keeps the next touch of a run waiting. Read from the top: the first rule that applies is shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from crmdrip.core.absence import find_absence
from crmdrip.core.decisions import Hold
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import (
    Enrollment,
    OnColleagueReply,
    RunStatus,
    SenderPolicy,
    SequenceStatus,
    SignalKind,
    TouchState,
)
from crmdrip.core.reasons import HoldReason, Reason
from crmdrip.core.snapshot import Snapshot, View
from crmdrip.core.steps import UNSETTLED, next_step, progress_of
from crmdrip.core.stops import waits_as_mass_stop, withdrawn
from crmdrip.core.words import moment

RECHECK = timedelta(hours=1)
"""How long a held touch waits when no event is sure to wake it."""

HoldRule = Callable[[Snapshot, Enrollment, datetime], Hold | None]


def plan_hold(snapshot: Snapshot, run: Enrollment, now: datetime) -> Hold | None:
    """What is in the way, None when nothing is: the first rule that applies is what the record shows."""
    return next((found for rule in HOLD_RULES if (found := rule(snapshot, run, now)) is not None), None)


def hold(code: HoldReason, detail: str = "", *, check_at: datetime | None) -> Hold:
    """A hold of the usual status."""
    return Hold(reason=Reason(code=code, detail=detail), check_at=check_at)


def hold_while_unsettled(snapshot: Snapshot, run: Enrollment, _: datetime) -> Hold | None:
    """A touch of this run may or may not have gone out (B1)."""
    for step_id, touch in snapshot.touches.items():
        if touch.state in UNSETTLED:
            person = touch.state is TouchState.NEEDS_PERSON
            code = HoldReason.NEEDS_PERSON if person else HoldReason.IN_DOUBT
            return hold(code, progress_of(snapshot.sequence, step_id, run.steps_done), check_at=None)
    return None


def hold_while_blind(snapshot: Snapshot, run: Enrollment, now: datetime) -> Hold | None:
    """The last look could not be made, or history is still being read back and proven (P4, B4)."""
    if snapshot.safe_mode or (run.unproven and _has_more(snapshot, run)):
        return hold(HoldReason.SAFE_MODE, check_at=now + timedelta(minutes=1))
    if snapshot.view is View.BLIND:
        return hold(HoldReason.NO_LAST_LOOK, snapshot.blind_because, check_at=now + timedelta(minutes=1))
    if snapshot.record is None:
        return hold(HoldReason.RECORD_GONE, check_at=now + RECHECK)
    return None


def _has_more(snapshot: Snapshot, run: Enrollment) -> bool:
    return snapshot.sequence is not None and next_step(snapshot.sequence, run, snapshot.touches) is not None


def hold_while_braked(snapshot: Snapshot, run: Enrollment, now: datetime) -> Hold | None:
    """The emergency brake, a pause, or a sequence that is not Live, not there, or waits for a confirmation (B10)."""
    if snapshot.brake.pulled:
        by = f" by {snapshot.brake.by}" if snapshot.brake.by else ""
        return hold(HoldReason.BRAKE, by, check_at=now + RECHECK)
    if snapshot.paused:
        return hold(HoldReason.PAUSED_BY_COMMAND, check_at=now + RECHECK)
    sequence = snapshot.sequence
    # An edit with an error never comes into force, so that setting the sequence to Live alone would not help (B17).
    if snapshot.sequence_error and (sequence is None or sequence.status is not SequenceStatus.LIVE):
        return hold(HoldReason.SEQUENCE_INVALID, snapshot.sequence_error, check_at=now + RECHECK)
    if sequence is None:
        return hold(HoldReason.SEQUENCE_GONE, check_at=now + RECHECK)
    if sequence.status is SequenceStatus.PAUSED:
        return hold(HoldReason.SEQUENCE_PAUSED, check_at=now + RECHECK)
    if sequence.status is SequenceStatus.DRAFT:
        return hold(HoldReason.SEQUENCE_NOT_LIVE, check_at=now + RECHECK)
    if waits_as_mass_stop(snapshot, run) and withdrawn(snapshot, run) is not None:
        return hold(HoldReason.MASS_STOP, snapshot.suspicion, check_at=now + RECHECK)
    if snapshot.suspicion and run.steps_done == 0:
        return hold(HoldReason.SUSPICION, snapshot.suspicion, check_at=now + RECHECK)
    return None


def hold_while_paused(snapshot: Snapshot, _: Enrollment, now: datetime) -> Hold | None:
    """Somebody set Paused Until on the record."""
    record = snapshot.record
    if record is None or record.paused_until is None or record.paused_until <= now:
        return None
    reason = Reason(code=HoldReason.PAUSED_UNTIL, detail=moment(record.paused_until, "UTC"))
    return Hold(reason=reason, check_at=record.paused_until, status=RunStatus.PAUSED)


def hold_while_away(snapshot: Snapshot, run: Enrollment, now: datetime) -> Hold | None:
    """The person is out of office; the run goes on by itself a business day after they are back (B8)."""
    if not snapshot.signals or snapshot.sequence is None:
        return None
    absence = find_absence(snapshot.signals, run, snapshot.sequence, now)
    if absence is None:
        return None
    return Hold(
        reason=Reason(code=HoldReason.OUT_OF_OFFICE, detail=absence.told),
        check_at=absence.resumes_at,
        status=RunStatus.PAUSED,
        away_until=absence.back_at,
    )


def hold_while_rep_decides(snapshot: Snapshot, _: Enrollment, __: datetime) -> Hold | None:
    """A colleague replied, and the rep has not completed the task that asks what to do (B6)."""
    sequence = snapshot.sequence
    if not snapshot.signals or sequence is None or sequence.on_colleague_reply is not OnColleagueReply.PAUSE:
        return None
    replies = {one.touch_id: one for one in snapshot.signals if one.kind is SignalKind.COLLEAGUE_REPLY}
    done = [one.at for one in snapshot.signals if one.kind is SignalKind.TASK_DONE and one.touch_id in replies]
    for signal in replies.values():
        if not any(at >= signal.at for at in done):
            reason = Reason(code=HoldReason.COLLEAGUE_REPLIED, detail=signal.detail)
            task = signal.touch_id or ""
            return Hold(reason=reason, check_at=None, status=RunStatus.PAUSED, tell_rep=True, task_id=task)
    return None


def hold_while_elsewhere(snapshot: Snapshot, _: Enrollment, now: datetime) -> Hold | None:
    """The CRM's own sequences write to the person: two programs at once would be one too many."""
    record = snapshot.record
    if record is None or not record.elsewhere:
        return None
    return hold(HoldReason.ELSEWHERE, record.elsewhere, check_at=now + RECHECK)


def hold_while_sender_broken(snapshot: Snapshot, run: Enrollment, now: datetime) -> Hold | None:
    """The one who would send cannot: inactive, a queue, without an address, or changed against policy (B16)."""
    sequence, owner, record = snapshot.sequence, snapshot.owner, snapshot.record
    if sequence is None or record is None or snapshot.view is not View.LOOKED:
        return None
    if sequence.sender_policy is SenderPolicy.FIXED:
        return None
    if owner is None:
        return hold(HoldReason.SENDER_BROKEN, "this record's owner, whom crmdrip cannot see,", check_at=now + RECHECK)
    if not owner.is_person:
        return hold(
            HoldReason.SENDER_BROKEN, f"the queue {owner.name or 'that owns this record'}", check_at=now + RECHECK
        )
    if not owner.active:
        return hold(HoldReason.SENDER_BROKEN, f"{owner.name}, who is deactivated,", check_at=now + RECHECK)
    if not normalize_address(owner.email):
        return hold(HoldReason.SENDER_BROKEN, f"{owner.name}, who has no email address,", check_at=now + RECHECK)
    changed = run.owner_id is not None and run.owner_id != owner.id
    if changed and sequence.sender_policy is SenderPolicy.OWNER_OR_HOLD:
        return hold(HoldReason.OWNER_CHANGED, owner.name, check_at=now + RECHECK)
    return None


HOLD_RULES: tuple[HoldRule, ...] = (
    hold_while_unsettled,
    hold_while_blind,
    hold_while_braked,
    hold_while_paused,
    hold_while_rep_decides,
    hold_while_away,
    hold_while_elsewhere,
    hold_while_sender_broken,
)
