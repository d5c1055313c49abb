"""What to do about one person now: a pure function from a snapshot to decisions.

It reads as a truth table: stop rules from the top (core.stops), then hold rules (core.holds), then what is due; a
ticked record without a run is core.admission's. Nothing here renders, counts caps or performs anything.
"""

from __future__ import annotations

from datetime import datetime

from crmdrip.core.admission import plan_entry
from crmdrip.core.decisions import Decision, Finish, Hold, Readdress, Send, Skip, Stop, Wait
from crmdrip.core.holds import RECHECK, hold, plan_hold
from crmdrip.core.keys import domain_of, is_valid_address, normalize_address
from crmdrip.core.model import Enrollment, RunStatus, Sequence, Step
from crmdrip.core.reasons import HoldReason, Reason, SkipReason, StopReason
from crmdrip.core.schedule import expired, next_opening, plan_due
from crmdrip.core.snapshot import Snapshot, View
from crmdrip.core.steps import next_step, position, progress, progress_of
from crmdrip.core.stops import plan_stop
from crmdrip.core.zones import ZoneUsed, resolve_zone


def plan(snapshot: Snapshot, now: datetime) -> tuple[Decision, ...]:
    """The decisions about one person, in the order to perform them; empty when there is nothing to do.

    With View.LOOKED, the result for a live run is never empty. Raises ValueError for a sequence whose window never
    opens, which core.definition lets no sequence have.
    """
    if snapshot.enrollment is None:
        return plan_entry(snapshot, now)
    decision = plan_run(snapshot, snapshot.enrollment, now)
    return () if decision is None else (decision,)


def plan_run(snapshot: Snapshot, run: Enrollment, now: datetime) -> Decision | None:
    """The one decision about a live run. None when the pull shows nothing that changes it."""
    stop = plan_stop(snapshot, run)
    if stop is not None:
        return stop
    address = _changed_address(snapshot, run)
    if address is not None:
        return address
    held = plan_hold(snapshot, run, now)
    if snapshot.view is View.PULLED:
        return held if held is not None and held.status is RunStatus.PAUSED else None
    return held if held is not None else plan_due_step(snapshot, run, now)


def _changed_address(snapshot: Snapshot, run: Enrollment) -> Decision | None:
    """The address on the record is not the run's any more (B15). That it may be mailed was asked before.

    A run that is still to be proven keeps the address under which the provider's log is asked about it (B4).
    """
    record = snapshot.record
    if record is None or run.unproven or snapshot.safe_mode:
        return None
    address = normalize_address(record.email)
    if address == run.address:
        return None
    if not is_valid_address(record.email):
        missing = "a valid Email" if record.email.strip() else "Email"
        return hold(HoldReason.MISSING_FIELD, missing, check_at=None)
    if snapshot.twin:
        return Stop(reason=Reason(code=StopReason.SAME_ADDRESS, detail=snapshot.twin), untick=True)
    if domain_of(address) == domain_of(run.address):
        return Readdress(address=address)
    reason = Reason(code=HoldReason.ADDRESS_CHANGED, detail=domain_of(address))
    return Hold(reason=reason, check_at=None, status=RunStatus.PAUSED, tell_rep=True)


def plan_due_step(snapshot: Snapshot, run: Enrollment, now: datetime) -> Decision:
    """Nothing stops or holds the run: take the next step, pass it over, wait for it, or finish."""
    sequence, record = snapshot.sequence, snapshot.record
    if sequence is None or record is None:
        raise ValueError("a run without a record or a sequence is held before")
    step = next_step(sequence, run, snapshot.touches)
    gone = _planned_step_gone(snapshot, sequence, run, step)
    if gone is not None:
        return gone
    if step is None:
        return Finish()
    zone = resolve_zone(sequence.zone_policy, record, snapshot.owner, sequence)
    due_at = due_of(step, run, zone, sequence)
    label = progress(sequence, step, run.steps_done)
    if expired(step, due_at, now):
        return Skip(step_id=step.id, order=step.order, reason=Reason(code=SkipReason.EXPIRED, detail=label))
    opens_at = next_opening(max(now, due_at), zone.zone, sequence)
    if opens_at > now:
        return Wait(step=step, due_at=due_at, opens_at=opens_at, zone=zone)
    if step.needs_approval and not record.approved:
        return hold(HoldReason.NEEDS_APPROVAL, label, check_at=now + RECHECK)
    return Send(step=step, zone=zone, progress=label)


def _planned_step_gone(snapshot: Snapshot, sequence: Sequence, run: Enrollment, step: Step | None) -> Skip | None:
    """The step that was planned next was removed or switched off meanwhile: say so once, then move on (B17)."""
    planned = run.next_step_id
    if planned is None or planned in snapshot.touches or (step is not None and step.id == planned):
        return None
    here = position(sequence, snapshot.touches, run.position)
    known = next((one for one in sequence.steps if one.id == planned), None)
    if known is None:
        before_all = sequence.steps[0].order - 1 if sequence.steps else 0.0
        reason = Reason(code=SkipReason.REMOVED, detail=progress_of(sequence, planned, run.steps_done))
        return Skip(step_id=planned, order=here if here is not None else before_all, reason=reason)
    ahead = (here is None or known.order > here) and (step is None or known.order < step.order)
    if not known.active and ahead:
        reason = Reason(code=SkipReason.INACTIVE, detail=progress(sequence, known, run.steps_done))
        return Skip(step_id=planned, order=known.order, reason=reason)
    return None


def due_of(step: Step, run: Enrollment, zone: ZoneUsed, sequence: Sequence) -> datetime:
    """When the step is due: what was planned while the step is still the one planned for, else planned anew (B17)."""
    if run.next_step_id == step.id and run.due_at is not None:
        return run.due_at
    anchor = run.last_touch_at or run.entered_at
    return plan_due(
        step,
        anchor=anchor,
        last_touch_at=run.last_touch_at,
        zone=zone.zone,
        sequence=sequence,
        last_touch_zone=run.last_touch_zone,
    )
