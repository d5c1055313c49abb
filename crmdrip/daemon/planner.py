"""What is decided about the people of one page that was pulled, with its effects, in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.decisions import Enroll, Hold, Move, Readdress, Refuse, Stop
from crmdrip.core.effects import Effect, Setting
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import BoxPending, Enrollment, Record, SignalKind
from crmdrip.core.plan import plan
from crmdrip.core.reasons import Reason, RefuseReason
from crmdrip.core.snapshot import Snapshot, View
from crmdrip.core.struct import replace
from crmdrip.daemon import twins
from crmdrip.daemon.entrance import Entrance
from crmdrip.daemon.mass_stops import Planned, hold_mass_stops
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.snapshots import Background, Histories, load_histories, take_snapshot
from crmdrip.daemon.throttle import EntryThrottle
from crmdrip.ledger import runs
from crmdrip.ledger.people import KnownRecord
from crmdrip.ledger.runs import LiveRun

log = structlog.get_logger()


class Planner:
    """Plans the people of one page."""

    def __init__(
        self,
        connection: Connection,
        parts: Parts,
        background: Background,
        entrance: Entrance,
        now: datetime,
        *,
        before: Mapping[str, KnownRecord],
    ) -> None:
        self._connection = connection
        self._parts = parts
        self._background = background
        self._entrance = entrance
        self._before = before
        self._now = now
        self._stopped: dict[str, dict[str, str]] = {}
        """How people were stopped on records of this page that were merged, by the record that took their place and by
        sequence."""

    def plan_page(self, records: Iterable[Record]) -> list[Planned]:
        """Every decision about these records with its effect, in order."""
        connection, records = self._connection, list(records)
        found = runs.live_runs_of_records(connection, [record.ref.id for record in records])
        locked = runs.lock_runs(connection, [run.id for run in found.values()])
        live = {run.ref.id: run for run in locked.values()}
        objections = twins.objections_of(self._entrance.twins)
        histories = load_histories(connection, live.values(), records, entering=True, objections=objections)
        throttle = EntryThrottle(connection, self._parts.limits, self._now)
        planned: list[Planned] = []
        for record in sorted(records, key=lambda one: _turn_of(one, live)):
            planned.extend(self._plan_record(record, live, histories, throttle))
        throttle.store()
        return hold_mass_stops(connection, self._parts, planned, locked, self._now)

    def _plan_record(
        self, record: Record, live: dict[str, Enrollment], histories: Histories, throttle: EntryThrottle
    ) -> Iterable[Planned]:
        run = live.get(record.ref.id)
        snapshot = twins.look_ahead(self._connection, self._snapshot(record, run, histories), live)
        if run is None and (refusal := self._refuse_stopped(snapshot)) is not None:
            yield refusal, effects.refuse(refusal, record)
            return
        yield from self._decide(snapshot, live, histories, throttle)
        if run is not None or not self._was_gone(record):
            yield from self._join(record, live, histories)
        if run is not None and record.ref.id not in live and record.enrolled and record.sequence_id != run.sequence_id:
            # Moved to another sequence with the box on: the old run has ended, the new one begins at once (B9).
            moved = replace(record, run=max(record.run, run.run), last_touch=run.last_touch_at or record.last_touch)
            yield from self._decide(self._snapshot(moved, None, histories), live, histories, throttle)

    def _join(self, record: Record, live: dict[str, Enrollment], histories: Histories) -> Iterable[Planned]:
        """What the history of a record that lost its place means for the one that took it (B12)."""
        successor = twins.successor_of(record)
        if successor is None:
            return
        winner = live.get(successor) or twins.lock_live_run(self._connection, successor)
        if winner is None:
            if record.merged_into is not None:
                found = twins.stops_before_merge(self._connection, record.ref.id)
                self._stopped.setdefault(successor, {}).update(found)
            return
        known = self._background.sequences.get(winner.sequence_id)
        good = known.good if known is not None else None
        setting = Setting(org_id=self._parts.org_id, now=self._now, sequence=good)
        ended = twins.join_histories(self._connection, record, winner, setting)
        if ended is not None:
            decision, effect = ended
            log.info("run_stopped", run=winner.id, record=winner.ref.id, reason=decision.reason.key)
            _follow(effect, winner, live, histories)
            yield decision, effect

    def _was_gone(self, record: Record) -> bool:
        """Whether it was told before that another took the record's place: after a start everything is told again."""
        known = self._before.get(record.ref.id)
        return known is not None and known.deleted

    def _refuse_stopped(self, snapshot: Snapshot) -> Refuse | None:
        """A box ticked on a record into which another was merged that had been stopped in the same sequence (P2)."""
        record = snapshot.record
        if record is None or not record.enrolled or snapshot.reread or snapshot.box_pending is not BoxPending.NO:
            return None
        how = self._stopped.get(record.ref.id, {}).get(record.sequence_id or "")
        return Refuse(reason=Reason(code=RefuseReason.OTHER_STOP, detail=how)) if how else None

    def _snapshot(self, record: Record, run: Enrollment | None, histories: Histories) -> Snapshot:
        return take_snapshot(
            view=View.PULLED,
            record=record,
            run=run,
            owner=self._entrance.owners.get(record.owner_id or ""),
            background=self._background,
            histories=histories,
            before=self._before.get(record.ref.id),
        )

    def _decide(
        self, snapshot: Snapshot, live: dict[str, Enrollment], histories: Histories, throttle: EntryThrottle
    ) -> Iterable[Planned]:
        setting = Setting(
            org_id=self._parts.org_id,
            now=self._now,
            sequence=snapshot.sequence,
            record=snapshot.record,
            touches=dict(snapshot.touches),
        )
        for decision in plan(snapshot, self._now):
            effect = _effect_of(decision, snapshot, setting, throttle)
            if effect is not None:
                _follow(effect, snapshot.enrollment, live, histories)
                yield decision, effect


def _turn_of(record: Record, live: Mapping[str, Enrollment]) -> int:
    """Records whose place another took come first, before that other one is planned (B11, B12).

    Of those, the ones with a run come first: it moves, and then meets what is known of the others. Where several have
    one, that of the address goes on which the CRM kept.
    """
    if record.merged_into is None and record.converted_to is None:
        return 3
    run = live.get(record.ref.id)
    if run is None:
        return 2
    return 0 if run.address == normalize_address(record.email) else 1


def _follow(effect: Effect, before: Enrollment | None, live: dict[str, Enrollment], histories: Histories) -> None:
    """Keep what the rest of the page is planned from in step with what was just decided. before: the run as it was."""
    after = effect.run
    if after is None:
        return
    if effect.box is not BoxPending.NO:
        histories.boxes[after.ref.id] = effect.box
    if before is not None:
        live.pop(before.ref.id, None)
        histories.live_by_address.pop(before.address, None)
    if after.status.live:
        histories.live_by_address[after.address] = LiveRun(id=after.id, ref=after.ref)
        if before is not None:
            live[after.ref.id] = after


def _effect_of(decision: object, snapshot: Snapshot, setting: Setting, throttle: EntryThrottle) -> Effect | None:
    record, run = snapshot.record, snapshot.enrollment
    if record is None:
        return None
    match decision:
        case Enroll():
            address = normalize_address(record.email)
            effect = effects.enroll(throttle.place(decision, address), record, address, setting.now)
            if effect.run is None:
                return effect
            # A reply between the tick and its pull counts as one in the run, whatever our clock shows (P2, B29). Many
            # of the times the CRM gives are whole seconds.
            ticked_at = min(setting.now, record.modified_at).replace(microsecond=0)
            return replace(effect, run=replace(effect.run, entered_at=ticked_at))
        case Refuse():
            return effects.refuse(decision, record)
        case Stop() if run is not None:
            replied = next((s.at for s in snapshot.signals if s.kind is SignalKind.REPLY), None)
            log.info("run_stopped", run=run.id, record=run.ref.id, reason=decision.reason.key)
            return effects.stop(decision, run, setting, replied_at=replied)
        case Hold() if run is not None:
            return effects.hold(decision, run, setting)
        case Move() if run is not None:
            log.info("run_moved", run=run.id, to=decision.to.id, because=decision.because)
            return effects.move(decision, run, setting)
        case Readdress() if run is not None:
            return effects.readdress(decision, run, setting)
        case _:
            return None
