"""What a CRM record and its timeline say about a run, as the ledger would have it. Makes no call, stores nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from crmdrip.core.keys import normalize_address, person_key
from crmdrip.core.model import Enrollment, Owner, Record, RunStatus, Sequence, Touch, TouchRecord, TouchState
from crmdrip.core.schedule import plan_due
from crmdrip.core.steps import Passed, next_step
from crmdrip.core.struct import replace
from crmdrip.core.zones import resolve_zone

HEARD_BACK = timedelta(days=14)
"""How far back is heard what happened to people: a reply may have come while nobody listened, or be forgotten with
the ledger. Older stops stand on the records."""

_STATUS = {status.value: status for status in RunStatus}
_THREAD_KEPT = 10


def adopt_run(record: Record, sequence: Sequence | None, owner: Owner | None, now: datetime) -> Enrollment | None:
    """The run that a record speaks of, None when it never had one.

    sequence: None while it cannot be read, or has an error and its last good version was lost: the run then waits. A
    live run of a converted lead belongs to the contact (B11). One whose box is off is live all the same: that it
    was unticked meanwhile is found and told like any other time.
    """
    status = _STATUS.get(record.status)
    address = normalize_address(record.email)
    if status is None or status is RunStatus.REFUSED or record.run < 1 or record.deleted:
        return None
    if record.sequence_id is None or not address:
        return None
    begun = min(record.last_touch or record.modified_at, now).replace(microsecond=0)
    run = Enrollment(
        id=0,
        person=person_key(address),
        address=address,
        ref=record.converted_to or record.ref,
        sequence_id=record.sequence_id,
        run=record.run,
        status=status,
        entered_at=begun,
        due_at=None,
        steps_done=0 if record.last_touch is None else 1,
        last_touch_at=record.last_touch,
        owner_id=record.owner_id if record.last_touch is not None else None,
    )
    if not status.live:
        return run
    planned = plan_adopted(run, record, sequence, owner, {}) if sequence is not None else replace(run, check_at=now)
    # Nobody can tell any more when a run without a touch was begun: what happened lately counts as having come since.
    return planned if record.last_touch is not None else replace(planned, entered_at=begun - HEARD_BACK)


def plan_adopted(
    run: Enrollment, record: Record | None, sequence: Sequence, owner: Owner | None, touches: Mapping[str, Passed]
) -> Enrollment:
    """The run with its next step planned from what is known of its touches."""
    step = next_step(sequence, replace(run, next_step_id=None), touches)  # what was planned before tells nothing
    if step is None:
        return replace(run, next_step_id=None, due_at=None, check_at=run.entered_at)
    zone = (
        resolve_zone(sequence.zone_policy, record, owner, sequence).zone
        if record is not None
        else run.last_touch_zone or sequence.time_zone
    )
    due_at = plan_due(
        step,
        anchor=run.last_touch_at or run.entered_at,
        last_touch_at=run.last_touch_at,
        zone=zone,
        sequence=sequence,
    )
    return replace(
        run, next_step_id=step.id, due_at=due_at, check_at=due_at, last_touch_zone=zone if run.last_touch_at else ""
    )


def adopt_touch(record: TouchRecord, run: Enrollment, sequence: Sequence | None) -> Touch:
    """A touch as it stands on a timeline: it went out."""
    step = next((s for s in sequence.steps if s.id == record.step_id), None) if sequence is not None else None
    return Touch(
        id=record.touch_id,
        enrollment_id=run.id,
        step_id=record.step_id,
        order=step.order if step is not None else 0.0,
        kind=record.kind,
        state=TouchState.ACCEPTED,
        attempt=1,
        at=record.at,
        address=run.address,
        message_id=record.message_id,
        subject=record.subject,
        version=sequence.version if sequence is not None else "",
        detail="read back from the CRM",
    )


def with_touches(run: Enrollment, sequence: Sequence | None, touches: Iterable[Touch]) -> Enrollment:
    """The run with position, thread and next step as all of its touches, oldest first, say."""
    touches = list(touches)
    taken = [touch for touch in touches if touch.state is TouchState.ACCEPTED]
    thread = tuple(touch.message_id for touch in taken if touch.message_id)
    grown = replace(
        run,
        steps_done=max(len(taken), run.steps_done),
        position=taken[-1].order if taken else run.position,
        last_touch_at=max((touch.at for touch in taken), default=run.last_touch_at),
        thread=thread if len(thread) <= _THREAD_KEPT else (thread[0], *thread[1 - _THREAD_KEPT :]),
        thread_subject=next((touch.subject for touch in taken if touch.message_id), ""),
    )
    if not run.status.live or sequence is None:
        return grown
    passed = {touch.step_id: Passed(state=touch.state, order=touch.order, at=touch.at) for touch in touches}
    return plan_adopted(grown, None, sequence, None, passed)
