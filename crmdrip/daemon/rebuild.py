"""Safe mode: a lost or outdated ledger is filled from the CRM before anything goes out (B4, P6).

The CRM carries every touch under its own id, and every run's status and number; the provider's log answers for what
had gone out and was not written yet. An empty ledger never means that nothing was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core.effects import refuse
from crmdrip.core.keys import normalize_address, person_key
from crmdrip.core.model import Enrollment, Owner, Record, RunStatus, Sequence, Touch, TouchRecord, TouchState
from crmdrip.core.plan import Refuse
from crmdrip.core.reasons import Reason, RefuseReason
from crmdrip.core.schedule import plan_due
from crmdrip.core.steps import Passed, next_step
from crmdrip.core.zones import resolve_zone
from crmdrip.daemon.enact import enact
from crmdrip.daemon.intake import CURSOR, Entrance, apply_page, look_up_entering
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import definitions, marks, people, runs
from crmdrip.ports import PullPage

log = structlog.get_logger()

TOUCHES = "touches"
"""The cursor of the timelines: how far the CRM's touches are known to be in this ledger."""

_STATUS = {status.value: status for status in RunStatus}
SKEW = timedelta(minutes=1)


def needs_rebuild(parts: Parts) -> bool:
    """Whether this ledger may know less than the CRM: it is new, a rebuild was interrupted, or it is an old copy.

    An old copy shows by the heartbeat in the CRM: the daemon stores its own before it writes it there, so the
    CRM's is never the newer one. Raises what CrmSource.look raises.
    """
    with parts.ledger.read() as connection:
        mode = marks.read_mark(connection, marks.MODE)
        cursor = marks.read_cursor(connection, CURSOR)
        own = marks.read_mark(connection, marks.HEARTBEAT)
    if mode == marks.REBUILDING or cursor is None:
        return True
    brake = parts.source.look((), frozenset(), cursor).brake
    if brake is None or brake.heartbeat is None:
        return False
    return own is None or brake.heartbeat > datetime.fromisoformat(own) + SKEW


def rebuild(parts: Parts) -> int:
    """Fill the ledger from the CRM; returns how many touches were new to it.

    Can be interrupted anywhere and started again. Raises what CrmSource.pull and CrmSource.touches raise.
    """
    with parts.ledger.write() as connection:
        marks.set_mark(connection, marks.MODE, marks.REBUILDING)
    log.info("rebuild_started")
    for page in parts.source.pull(None):
        entrance = look_up_entering(parts, page.records)
        now = parts.clock.now()
        with parts.ledger.write() as connection:
            _adopt_page(connection, parts, page, entrance, now)
    with parts.ledger.read() as connection:
        cursor = marks.read_cursor(connection, TOUCHES)
    new = 0
    for touches, after in parts.source.touches(cursor):
        with parts.ledger.write() as connection:
            new += _adopt_touches(connection, parts, touches)
            marks.save_cursor(connection, TOUCHES, after, parts.clock.now())
    with parts.ledger.write() as connection:
        marks.clear_mark(connection, marks.MODE)
    log.info("rebuild_finished", touches=new)
    return new


def _adopt_page(connection: Connection, parts: Parts, page: PullPage, entrance: Entrance, now: datetime) -> None:
    """Take over the runs that the records speak of, then treat the page as any other."""
    definitions_only = replace(page, records=(), signals=())
    apply_page(connection, parts, definitions_only, entrance, now)
    known = definitions.load_sequences(connection)
    live = runs.live_runs_of_records(connection, [record.ref.id for record in page.records])
    addresses = [normalize_address(record.email) for record in page.records]
    taken = set(runs.live_runs_of_addresses(connection, addresses))
    past = runs.past_runs(connection, [person_key(address) for address in addresses if address])
    adopted: list[Enrollment] = []
    ended: list[Enrollment] = []
    for record in page.records:
        run = _adopt(record, {s.id: s.good for s in known.values() if s.good}, entrance.owners, now)
        if run is None or record.ref.id in live:
            continue
        if run.status.live and run.address not in taken:
            taken.add(run.address)
            adopted.append(run)
        elif not run.status.live and not any(one.run == run.run for one in past.get(run.person, ())):
            ended.append(run)
    runs.add_runs(connection, adopted)
    runs.add_runs(connection, ended, ended_at=now)
    unproven = runs.live_runs_of_records(connection, [record.ref.id for record in page.records])
    runs.mark_unproven(connection, [run.id for run in unproven.values()])
    over = [record for record in page.records if record.enrolled and _has_ended(record) and record.ref.id not in live]
    people.remember_records(connection, over)
    reason = Reason(code=RefuseReason.REBUILT)
    enact(connection, [refuse(Refuse(reason=reason), record) for record in over], now)
    rest = tuple(record for record in page.records if record not in over)
    apply_page(connection, parts, replace(page, records=rest), entrance, now)


def _has_ended(record: Record) -> bool:
    """A box beside the status of an ended run: our unticking may be what was lost, so it starts nothing."""
    status = _STATUS.get(record.status)
    return status is not None and not status.live


def _adopt(
    record: Record, sequences: Mapping[str, Sequence], owners: Mapping[str, Owner], now: datetime
) -> Enrollment | None:
    """The run a record speaks of, None when it never had one."""
    status = _STATUS.get(record.status)
    address = normalize_address(record.email)
    sequence = sequences.get(record.sequence_id or "")
    if status is None or record.run < 1 or sequence is None or not address or record.deleted:
        return None
    if status.live and not record.enrolled:
        return None
    if status is RunStatus.REFUSED:
        return None
    begun = record.last_touch or now
    run = Enrollment(
        id=0,
        person=person_key(address),
        address=address,
        ref=record.ref,
        sequence_id=sequence.id,
        run=record.run,
        status=status,
        entered_at=begun,
        due_at=None,
        unproven=status.live,
        last_touch_at=record.last_touch,
        owner_id=record.owner_id if record.last_touch is not None else None,
    )
    return plan_adopted(run, record, sequence, owners.get(record.owner_id or ""), {}) if status.live else run


def plan_adopted(
    run: Enrollment, record: Record | None, sequence: Sequence, owner: Owner | None, touches: Mapping[str, Passed]
) -> Enrollment:
    """The run with its next step planned from what is known of its touches."""
    step = next_step(sequence, run, touches)
    if step is None:
        return replace(run, next_step_id=None, check_at=run.entered_at)
    zone = (
        resolve_zone(sequence.zone_policy, record, owner, sequence).zone
        if record
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


def _adopt_touches(connection: Connection, parts: Parts, records: Iterable[TouchRecord]) -> int:
    """Store touches found on timelines with the runs they belong to, and plan those runs anew."""
    records = [record for record in records if record.step_id]
    found = runs.runs_of_records(connection, {record.record_id for record in records})
    known = definitions.load_sequences(connection)
    new: list[Touch] = []
    concerned: set[int] = set()
    for record in records:
        run = found.get((record.record_id, record.sequence_id, record.run))
        if run is None:
            continue
        sequence = known[run.sequence_id].good if run.sequence_id in known else None
        step = next((s for s in sequence.steps if s.id == record.step_id), None) if sequence is not None else None
        concerned.add(run.id)
        new.append(
            Touch(
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
        )
    count = runs.add_touches(connection, new)
    _plan_anew(connection, parts, concerned)
    return count


def _plan_anew(connection: Connection, parts: Parts, ids: Iterable[int]) -> None:
    """Every touch counts: position, thread and next step follow from the touches now known."""
    locked = runs.lock_runs(connection, ids)
    full: dict[int, list[Touch]] = {}
    for touch in runs.touches_in_full(connection, locked):
        full.setdefault(touch.enrollment_id, []).append(touch)
    known = definitions.load_sequences(connection)
    changed = []
    for run in locked.values():
        sequence = known[run.sequence_id].good if run.sequence_id in known else None
        if not run.status.live or sequence is None:
            continue
        touches = full.get(run.id, [])
        passed = {t.step_id: Passed(state=t.state, order=t.order, at=t.at) for t in touches}
        taken = [t for t in touches if t.state is TouchState.ACCEPTED]
        last = max((t.at for t in taken), default=run.last_touch_at)
        emails = [t for t in taken if t.message_id]
        grown = replace(
            run,
            steps_done=len(taken),
            position=taken[-1].order if taken else run.position,
            last_touch_at=last,
            thread=tuple(t.message_id for t in emails)[-10:],
            thread_subject=emails[0].subject if emails else "",
            sender=run.sender,
        )
        changed.append(plan_adopted(grown, None, sequence, None, passed))
    runs.save_runs(connection, changed, parts.clock.now())
