"""What ends a run or moves it to another record. Read from the top: the first rule that applies decides."""

from __future__ import annotations

from collections.abc import Callable

from crmdrip.core.decisions import Move, Stop
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import (
    BoxPending,
    Enrollment,
    OnColleagueReply,
    OnConversion,
    OnElsewhere,
    OnOpportunity,
    Record,
    RecordRef,
    RunStatus,
    SequenceStatus,
    Signal,
    SignalKind,
)
from crmdrip.core.reasons import HoldReason, Reason, StopReason
from crmdrip.core.snapshot import Snapshot, View
from crmdrip.core.words import day, say_codes_once

StopRule = Callable[[Snapshot, Enrollment], Stop | Move | None]


def plan_stop(snapshot: Snapshot, run: Enrollment) -> Stop | Move | None:
    """Whether the run ends or moves, from the stop rules alone: what a signal by itself can cause.

    Without a record (View.BLIND) only signals and what the ledger knows can stop.
    """
    return next((decision for rule in STOP_RULES if (decision := rule(snapshot, run)) is not None), None)


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
        return _after_merge(snapshot, record, run, record.merged_into)
    if record.deleted:
        return _stop(StopReason.DELETED, untick=False)
    if record.converted_to is not None:
        return _after_conversion(snapshot, record, record.converted_to)
    return _stop(StopReason.RESTORED) if snapshot.restored else None


def _after_merge(snapshot: Snapshot, record: Record, run: Enrollment, survivor: str) -> Stop | Move:
    """A box that somebody unticked before the merge, on either record, is not ticked again for the sake of a run (P2).

    A merged record shows how it stood itself, or how the one stands that took its place, by the CRM.
    """
    if snapshot.moved_to_live_run or snapshot.winner_stopped:
        return _stop(StopReason.MERGED, survivor, untick=False)
    to = RecordRef(kind=run.ref.kind, id=survivor)
    if not record.enrolled and snapshot.box_pending is BoxPending.NO:
        if record.status == RunStatus.STOPPED.value and record.sequence_id == run.sequence_id:
            return _stop(StopReason.MERGED, survivor, untick=False)
        if record.status in _UNDER_WAY or normalize_address(record.email) == run.address:
            return Stop(reason=Reason(code=StopReason.UNTICKED), untick=False, shown_on=to)
    return Move(to=to, because="merged")


_UNDER_WAY = frozenset(status.value for status in RunStatus if status.live)


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
        return _stop(StopReason.BOUNCED, f" ({say_codes_once(signal.detail)})" if signal.detail else "")
    if record is not None and record.bounced:
        return _stop(StopReason.BOUNCED)
    if snapshot.suppression:
        return _stop(StopReason.SUPPRESSED, snapshot.suppression)
    if snapshot.left_at is not None:
        return _stop(StopReason.LEFT_SEQUENCE, f" on {day(snapshot.left_at)}")
    return None


def stop_when_answered(snapshot: Snapshot, _: Enrollment) -> Stop | None:
    """Replied, booked a meeting, became an opportunity, or is not there any more; or a colleague did (B6, B8)."""
    if signal := _signal(snapshot, SignalKind.REPLY):
        return _stop(StopReason.REPLIED, _on(signal))
    if signal := _signal(snapshot, SignalKind.MEETING):
        return _stop(StopReason.MEETING, _on(signal))
    sequence, signal = snapshot.sequence, _signal(snapshot, SignalKind.OPPORTUNITY)
    if signal is not None and sequence is not None and sequence.on_opportunity is OnOpportunity.STOP:
        return _stop(StopReason.OPPORTUNITY, _on(signal))
    if signal := _signal(snapshot, SignalKind.LEFT_COMPANY):
        return _stop(StopReason.LEFT_COMPANY, signal.detail)
    signal = _signal(snapshot, SignalKind.COLLEAGUE_REPLY)
    if signal is not None and sequence is not None and sequence.on_colleague_reply is OnColleagueReply.STOP:
        return _stop(StopReason.COLLEAGUE_REPLIED, signal.detail)
    return None


def stop_when_withdrawn(snapshot: Snapshot, run: Enrollment) -> Stop | None:
    """The sequence is retired, or the record was taken out of it: unticked, moved, or past the stop condition."""
    if snapshot.sequence is not None and snapshot.sequence.status is SequenceStatus.RETIRED:
        return _stop(StopReason.SEQUENCE_RETIRED)
    if waits_as_mass_stop(snapshot, run):
        return None
    return withdrawn(snapshot, run)


def withdrawn(snapshot: Snapshot, run: Enrollment) -> Stop | None:
    """How the record was taken out of its sequence, None when it was not (B9)."""
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


def stop_when_elsewhere(snapshot: Snapshot, _: Enrollment) -> Stop | None:
    """The CRM's own sequences write to the person, and ours is to end then."""
    record = snapshot.record
    if record is None or not record.elsewhere or record.on_elsewhere is not OnElsewhere.STOP:
        return None
    return _stop(StopReason.ELSEWHERE, record.elsewhere)


def waits_as_mass_stop(snapshot: Snapshot, run: Enrollment) -> bool:
    """Whether this stop is one of an abnormal share, which waits for a confirmation too (B10)."""
    return bool(snapshot.suspicion) and run.reason == Reason(code=HoldReason.MASS_STOP).key


STOP_RULES: tuple[StopRule, ...] = (
    stop_when_gone,
    stop_when_unwanted,
    stop_when_answered,
    stop_when_withdrawn,
    stop_when_elsewhere,
)
