"""What to do about one person now: a pure function from a snapshot to decisions.

`plan` reads as a truth table: stop rules from the top, then hold rules, then what is due. The first rule that
applies decides. Nothing here renders, counts caps or performs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from crmdrip.core.keys import domain_of, is_valid_address, normalize_address, person_key
from crmdrip.core.model import (
    BoxPending,
    Brake,
    Enrollment,
    OnConversion,
    OnOpportunity,
    Owner,
    Record,
    RecordRef,
    Reenrollment,
    RunStatus,
    SenderPolicy,
    Sequence,
    SequenceStatus,
    Signal,
    SignalKind,
    Step,
    TouchState,
)
from crmdrip.core.reasons import HoldReason, Reason, RefuseReason, SkipReason, StopReason
from crmdrip.core.schedule import expired, next_opening, plan_due
from crmdrip.core.steps import UNSETTLED, Passed, next_step, position, progress, progress_of
from crmdrip.core.words import day, moment
from crmdrip.core.zones import ZoneUsed, resolve_zone

RECHECK = timedelta(hours=1)
"""How long a held touch waits when no event is sure to wake it."""


RELEASED = Brake(pulled=False)


class View(StrEnum):
    """How fresh the record in a snapshot is."""

    LOOKED = "looked"
    """Read by id just now: an email may go out."""
    PULLED = "pulled"
    """From the pull: may stop, pause and enroll, never send."""
    BLIND = "blind"
    """It could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastRun:
    """A run that has ended."""

    sequence_id: str
    run: int
    status: RunStatus
    ended_at: datetime
    touched: bool = True
    """Whether any step was taken; a run that was stopped before its first one was never gone through."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
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
    touches: Mapping[str, Passed] = field(default_factory=dict)
    """Of the live run, by step id."""
    signals: tuple[Signal, ...] = ()
    """Since the run began, not yet applied."""
    suppression: str = ""
    """Why the address must not be mailed, as a clause ("unsubscribed on 3 Nov 2026"), "" when it may."""
    twin: str = ""
    """Another record whose live run has the same address, for people ("lead Ann Lee"), "" when none."""
    past: tuple[PastRun, ...] = ()
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


# --- decisions --------------------------------------------------------------------------------------------------


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

StopRule = Callable[[Snapshot, Enrollment], Stop | Move | None]
HoldRule = Callable[[Snapshot, Enrollment, datetime], Hold | None]


def plan(snapshot: Snapshot, now: datetime) -> tuple[Decision, ...]:
    """The decisions about one person, in the order to perform them; empty when there is nothing to do.

    With View.LOOKED, the result for a live run is never empty. Raises ValueError for a sequence whose window never
    opens, which core.definition lets no sequence have.
    """
    if snapshot.enrollment is None:
        return plan_entry(snapshot, now)
    decision = plan_run(snapshot, snapshot.enrollment, now)
    return () if decision is None else (decision,)


# --- no live run: the box (B9, B13) ------------------------------------------------------------------------------


def plan_entry(snapshot: Snapshot, now: datetime) -> tuple[Decision, ...]:
    """Enroll or refuse a ticked record without a live run; nothing for an unticked one.

    A sequence that is not Live yet is entered too: the run then waits, and the record says for what. A converted lead
    can neither enter nor be told so: nothing is ever written to it (B11).
    """
    record = snapshot.record
    if record is None or record.deleted or record.merged_into is not None or record.converted_to is not None:
        return ()
    if snapshot.restored and (record.enrolled or record.status in _LIVE_WORDS):
        return (Refuse(reason=Reason(code=RefuseReason.RESTORED)),)
    if not record.enrolled or snapshot.reread or snapshot.box_pending is not BoxPending.NO:
        return ()
    sequence = snapshot.sequence
    reason = refuse(snapshot, record, now)
    if reason is not None or sequence is None:
        return (Refuse(reason=reason or Reason(code=RefuseReason.SEQUENCE_INVALID)),)
    run = max([record.run, *(past.run for past in snapshot.past)], default=0) + 1
    zone = resolve_zone(sequence.zone_policy, record, snapshot.owner, sequence)
    step = next_step(sequence, _candidate(record, sequence, run, now), {})
    if step is None:
        return (Refuse(reason=Reason(code=RefuseReason.SEQUENCE_EMPTY)),)
    due_at = plan_due(step, anchor=now, last_touch_at=None, zone=zone.zone, sequence=sequence)
    return (Enroll(sequence=sequence, run=run, step=step, due_at=due_at, zone=zone),)


_LIVE_WORDS = frozenset(status.value for status in RunStatus if status.live)


def _candidate(record: Record, sequence: Sequence, run: int, now: datetime) -> Enrollment:
    """A run that is not stored yet, to ask for its first step."""
    address = normalize_address(record.email)
    return Enrollment(
        id=0,
        person=person_key(address),
        address=address,
        ref=record.ref,
        sequence_id=sequence.id,
        run=run,
        status=RunStatus.QUEUED,
        entered_at=now,
        due_at=None,
    )


def refuse(snapshot: Snapshot, record: Record, now: datetime) -> Reason | None:
    """Why a ticked record does not start, None when it may. Read from the top."""
    sequence = snapshot.sequence
    if record.sequence_id is None:
        return Reason(code=RefuseReason.NO_SEQUENCE)
    if not record.email.strip():
        return Reason(code=RefuseReason.NO_ADDRESS)
    if not is_valid_address(record.email):
        return Reason(code=RefuseReason.INVALID_ADDRESS)
    if record.opted_out:
        return Reason(code=RefuseReason.OPTED_OUT)
    if snapshot.suppression:
        return Reason(code=RefuseReason.SUPPRESSED, detail=snapshot.suppression)
    if record.bounced:
        return Reason(code=RefuseReason.SUPPRESSED, detail="bounced; correct it and clear the bounce")
    if snapshot.twin:
        return Reason(code=RefuseReason.SAME_ADDRESS, detail=snapshot.twin)
    if sequence is None:
        error = snapshot.sequence_error or "it cannot be read"
        return Reason(code=RefuseReason.SEQUENCE_INVALID, detail=error)
    if sequence.status is SequenceStatus.RETIRED:
        return Reason(code=RefuseReason.SEQUENCE_RETIRED)
    return _refuse_again(snapshot, sequence, now)


def _refuse_again(snapshot: Snapshot, sequence: Sequence, now: datetime) -> Reason | None:
    """Why the sequence does not run once more for this person (B9). Runs that took no step do not count."""
    past = [run for run in snapshot.past if run.sequence_id == sequence.id and run.touched]
    if not past:
        return None
    last = max(past, key=lambda run: (run.ended_at, run.run))
    match sequence.reenrollment:
        case Reenrollment.NEVER:
            return Reason(code=RefuseReason.ALREADY_RUN)
        case Reenrollment.AFTER_FINISH:
            return None if last.status is RunStatus.FINISHED else Reason(code=RefuseReason.NOT_FINISHED)
        case Reenrollment.AFTER_DAYS:
            free = last.ended_at + timedelta(days=sequence.reenroll_after_days)
            return Reason(code=RefuseReason.TOO_SOON, detail=day(free)) if now < free else None


# --- a live run ---------------------------------------------------------------------------------------------------


def plan_stop(snapshot: Snapshot, run: Enrollment) -> Stop | Move | None:
    """Whether the run ends or moves, from the stop rules alone: what a signal by itself can cause.

    Without a record (View.BLIND) only signals and what the ledger knows can stop.
    """
    return next((decision for rule in STOP_RULES if (decision := rule(snapshot, run)) is not None), None)


def plan_run(snapshot: Snapshot, run: Enrollment, now: datetime) -> Decision | None:
    """The one decision about a live run. None when the pull shows nothing that changes it."""
    stop = plan_stop(snapshot, run)
    if stop is not None:
        return stop
    address = _changed_address(snapshot, run)
    if address is not None:
        return address
    hold = next((h for rule in HOLD_RULES if (h := rule(snapshot, run, now)) is not None), None)
    if snapshot.view is View.PULLED:
        return hold if hold is not None and hold.status is RunStatus.PAUSED else None
    return hold if hold is not None else plan_due_step(snapshot, run, now)


def _signal(snapshot: Snapshot, kind: SignalKind) -> Signal | None:
    if not snapshot.signals:
        return None
    return next((signal for signal in snapshot.signals if signal.kind is kind), None)


def _stop(code: StopReason, detail: str = "", *, untick: bool = True) -> Stop:
    return Stop(reason=Reason(code=code, detail=detail), untick=untick)


def _on(signal: Signal) -> str:
    return f" on {day(signal.at)}"


def stop_when_gone(snapshot: Snapshot, run: Enrollment) -> Stop | Move | None:
    """Deleted, merged or converted (B11, B12, B14)."""
    record = snapshot.record
    if record is None:
        # Merged or deleted: a look by id cannot tell. The pull can, and it has had the time since the last look.
        waited = snapshot.view is View.LOOKED and run.reason == Reason(code=HoldReason.RECORD_GONE).key
        return _stop(StopReason.DELETED, untick=False) if waited else None
    if record.merged_into is not None:
        if snapshot.moved_to_live_run or snapshot.winner_stopped:
            return _stop(StopReason.MERGED, record.merged_into, untick=False)
        return Move(to=RecordRef(kind=run.ref.kind, id=record.merged_into), because="merged")
    if record.deleted:
        return _stop(StopReason.DELETED, untick=False)
    if record.converted_to is not None:
        return _after_conversion(snapshot, record, record.converted_to)
    return _stop(StopReason.RESTORED) if snapshot.restored else None


def _after_conversion(snapshot: Snapshot, record: Record, contact: RecordRef) -> Stop | Move:
    if snapshot.moved_to_live_run or snapshot.winner_stopped:
        return _stop(StopReason.MERGED, contact.id, untick=False)
    policy = snapshot.sequence.on_conversion if snapshot.sequence is not None else OnConversion.STOP_IF_OPPORTUNITY
    if policy is OnConversion.STOP or (policy is OnConversion.STOP_IF_OPPORTUNITY and record.converted_opportunity):
        detail = " and an opportunity was created" if record.converted_opportunity else ""
        return Stop(reason=Reason(code=StopReason.CONVERTED, detail=detail), untick=True, shown_on=contact)
    return Move(to=contact, because="converted")


def stop_when_unwanted(snapshot: Snapshot, _: Enrollment) -> Stop | None:
    """Unsubscribed, opted out, complained or bounced: by whatever way it became known (B22)."""
    record = snapshot.record
    if signal := _signal(snapshot, SignalKind.SPAM_REPORT):
        return _stop(StopReason.SPAM_REPORT)
    if signal := _signal(snapshot, SignalKind.UNSUBSCRIBE):
        return _stop(StopReason.UNSUBSCRIBED, _on(signal))
    if (record is not None and record.opted_out) or _signal(snapshot, SignalKind.OPT_OUT):
        return _stop(StopReason.OPTED_OUT)
    if signal := _signal(snapshot, SignalKind.BOUNCE):
        return _stop(StopReason.BOUNCED, f" ({signal.detail})" if signal.detail else "")
    if record is not None and record.bounced:
        return _stop(StopReason.BOUNCED)
    if snapshot.suppression:
        return _stop(StopReason.SUPPRESSED, snapshot.suppression)
    return None


def stop_when_answered(snapshot: Snapshot, _: Enrollment) -> Stop | None:
    """Replied, booked a meeting, or became an opportunity."""
    if signal := _signal(snapshot, SignalKind.REPLY):
        return _stop(StopReason.REPLIED, _on(signal))
    if signal := _signal(snapshot, SignalKind.MEETING):
        return _stop(StopReason.MEETING, _on(signal))
    sequence, signal = snapshot.sequence, _signal(snapshot, SignalKind.OPPORTUNITY)
    if signal is not None and sequence is not None and sequence.on_opportunity is OnOpportunity.STOP:
        return _stop(StopReason.OPPORTUNITY, _on(signal))
    return None


def stop_when_withdrawn(snapshot: Snapshot, run: Enrollment) -> Stop | None:
    """The sequence is retired, or the record was taken out of it: unticked, moved, or past the stop condition."""
    if snapshot.sequence is not None and snapshot.sequence.status is SequenceStatus.RETIRED:
        return _stop(StopReason.SEQUENCE_RETIRED)
    if _waits_as_mass_stop(snapshot, run):
        return None
    return _withdrawn(snapshot, run)


def _withdrawn(snapshot: Snapshot, run: Enrollment) -> Stop | None:
    record, sequence = snapshot.record, snapshot.sequence
    if record is None:
        return None
    if snapshot.box_pending is BoxPending.NO and not snapshot.reread:
        if not record.enrolled:
            return _stop(StopReason.UNTICKED, untick=False)
        if record.sequence_id is None:
            return _stop(StopReason.SEQUENCE_CLEARED)
        if record.sequence_id != run.sequence_id:
            return _stop(StopReason.SEQUENCE_CHANGED, untick=False)
    if sequence is not None and sequence.stop_field:
        value = record.stop_field.strip()
        if value and value.casefold() in {wanted.casefold() for wanted in sequence.stop_values}:
            return _stop(StopReason.FIELD_CONDITION, f"{sequence.stop_field} is {value}")
    return None


def _waits_as_mass_stop(snapshot: Snapshot, run: Enrollment) -> bool:
    """Whether this stop is one of an abnormal share, which waits for a confirmation too (B10)."""
    return bool(snapshot.suspicion) and run.reason == Reason(code=HoldReason.MASS_STOP).key


STOP_RULES: tuple[StopRule, ...] = (
    stop_when_gone,
    stop_when_unwanted,
    stop_when_answered,
    stop_when_withdrawn,
)


def _changed_address(snapshot: Snapshot, run: Enrollment) -> Decision | None:
    """The address on the record is not the run's any more (B15). That it may be mailed was asked before."""
    record = snapshot.record
    if record is None:
        return None
    address = normalize_address(record.email)
    if address == run.address:
        return None
    if not is_valid_address(record.email):
        missing = "a valid Email" if record.email.strip() else "Email"
        return _hold(HoldReason.MISSING_FIELD, missing, check_at=None)
    if snapshot.twin:
        return _stop(StopReason.SAME_ADDRESS, snapshot.twin)
    if domain_of(address) == domain_of(run.address):
        return Readdress(address=address)
    reason = Reason(code=HoldReason.ADDRESS_CHANGED, detail=domain_of(address))
    return Hold(reason=reason, check_at=None, status=RunStatus.PAUSED, tell_rep=True)


# --- holds: the first that applies is shown -----------------------------------------------------------------------


def _hold(code: HoldReason, detail: str = "", *, check_at: datetime | None) -> Hold:
    return Hold(reason=Reason(code=code, detail=detail), check_at=check_at)


def hold_while_unsettled(snapshot: Snapshot, run: Enrollment, _: datetime) -> Hold | None:
    """A touch of this run may or may not have gone out (B1)."""
    for step_id, touch in snapshot.touches.items():
        if touch.state in UNSETTLED:
            person = touch.state is TouchState.NEEDS_PERSON
            code = HoldReason.NEEDS_PERSON if person else HoldReason.IN_DOUBT
            return _hold(code, progress_of(snapshot.sequence, step_id, run.steps_done), check_at=None)
    return None


def hold_while_blind(snapshot: Snapshot, run: Enrollment, now: datetime) -> Hold | None:
    """The last look could not be made, or history is still being read back and proven (P4, B4)."""
    if snapshot.safe_mode or (run.unproven and run.next_step_id is not None):
        return _hold(HoldReason.SAFE_MODE, check_at=now + timedelta(minutes=1))
    if snapshot.view is View.BLIND:
        return _hold(HoldReason.NO_LAST_LOOK, snapshot.blind_because, check_at=now + timedelta(minutes=1))
    if snapshot.record is None:
        return _hold(HoldReason.RECORD_GONE, check_at=now + RECHECK)
    return None


def hold_while_braked(snapshot: Snapshot, run: Enrollment, now: datetime) -> Hold | None:
    """The emergency brake, a pause, or a sequence that is not Live, not there, or waits for a confirmation (B10)."""
    if snapshot.brake.pulled:
        by = f" by {snapshot.brake.by}" if snapshot.brake.by else ""
        return _hold(HoldReason.BRAKE, by, check_at=now + RECHECK)
    if snapshot.paused:
        return _hold(HoldReason.PAUSED_BY_COMMAND, check_at=now + RECHECK)
    sequence = snapshot.sequence
    if sequence is None:
        return _hold(HoldReason.SEQUENCE_GONE, check_at=now + RECHECK)
    if sequence.status is SequenceStatus.PAUSED:
        return _hold(HoldReason.SEQUENCE_PAUSED, check_at=now + RECHECK)
    if sequence.status is SequenceStatus.DRAFT:
        return _hold(HoldReason.SEQUENCE_NOT_LIVE, check_at=now + RECHECK)
    if _waits_as_mass_stop(snapshot, run) and _withdrawn(snapshot, run) is not None:
        return _hold(HoldReason.MASS_STOP, snapshot.suspicion, check_at=now + RECHECK)
    if snapshot.suspicion and run.steps_done == 0:
        return _hold(HoldReason.SUSPICION, snapshot.suspicion, check_at=now + RECHECK)
    return None


def hold_while_paused(snapshot: Snapshot, _: Enrollment, now: datetime) -> Hold | None:
    """Somebody set Paused Until on the record."""
    record = snapshot.record
    if record is None or record.paused_until is None or record.paused_until <= now:
        return None
    reason = Reason(code=HoldReason.PAUSED_UNTIL, detail=moment(record.paused_until, "UTC"))
    return Hold(reason=reason, check_at=record.paused_until, status=RunStatus.PAUSED)


def hold_while_sender_broken(snapshot: Snapshot, run: Enrollment, now: datetime) -> Hold | None:
    """The one who would send cannot: inactive, a queue, without an address, or changed against policy (B16)."""
    sequence, owner, record = snapshot.sequence, snapshot.owner, snapshot.record
    if sequence is None or record is None or snapshot.view is not View.LOOKED:
        return None
    if sequence.sender_policy is SenderPolicy.FIXED:
        return None
    if owner is None:
        return _hold(HoldReason.SENDER_BROKEN, "a record without a readable owner", check_at=now + RECHECK)
    if not owner.is_person:
        return _hold(
            HoldReason.SENDER_BROKEN, f"the queue {owner.name or 'that owns this record'}", check_at=now + RECHECK
        )
    if not owner.active:
        return _hold(HoldReason.SENDER_BROKEN, f"{owner.name}, who is deactivated,", check_at=now + RECHECK)
    if not normalize_address(owner.email):
        return _hold(HoldReason.SENDER_BROKEN, f"{owner.name}, who has no email address,", check_at=now + RECHECK)
    changed = run.owner_id is not None and run.owner_id != owner.id
    if changed and sequence.sender_policy is SenderPolicy.OWNER_OR_HOLD:
        return _hold(HoldReason.OWNER_CHANGED, owner.name, check_at=now + RECHECK)
    return None


HOLD_RULES: tuple[HoldRule, ...] = (
    hold_while_unsettled,
    hold_while_blind,
    hold_while_braked,
    hold_while_paused,
    hold_while_sender_broken,
)


# --- what is due --------------------------------------------------------------------------------------------------


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
        return _hold(HoldReason.NEEDS_APPROVAL, label, check_at=now + RECHECK)
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
