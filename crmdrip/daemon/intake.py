"""The pull worker: CRM to ledger. Boxes become runs, changes become stops, edits become definitions.

Each page is stored in one transaction together with its cursor, so that no page is half done and none is lost.
"""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.caps import CapScope, Counter, counter_at, first_free
from crmdrip.core.decisions import Enroll, Hold, Move, Readdress, Refuse, Stop
from crmdrip.core.definition import validate
from crmdrip.core.effects import Effect, Setting
from crmdrip.core.keys import domain_of, normalize_address, person_key
from crmdrip.core.model import (
    BoxPending,
    Enrollment,
    Owner,
    Record,
    RunStatus,
    Sequence,
    SequenceDraft,
    Signal,
    SignalKind,
)
from crmdrip.core.plan import plan, plan_run
from crmdrip.core.reasons import HoldReason, Reason, StopReason
from crmdrip.core.render import check_template
from crmdrip.core.schedule import plan_due
from crmdrip.core.snapshot import Snapshot, View
from crmdrip.core.struct import replace
from crmdrip.daemon import twins
from crmdrip.daemon.enact import enact
from crmdrip.daemon.parts import Limits, Parts
from crmdrip.daemon.remarks import check_fields, sequence_write
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import Background, Histories, load_background, load_histories, take_snapshot
from crmdrip.ledger import definitions, due_runs, marks, outbox, people, runs, tallies
from crmdrip.ledger.people import KnownRecord
from crmdrip.ledger.runs import LiveRun, RunBrief
from crmdrip.ports import PullPage

log = structlog.get_logger()

CURSOR = "crm"

BRAKED = frozenset(
    {StopReason.UNTICKED, StopReason.SEQUENCE_CHANGED, StopReason.SEQUENCE_CLEARED, StopReason.FIELD_CONDITION}
)
"""Stops that a careless import can cause by the thousand. Opt-outs, replies and deletions always stop at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PullCount:
    """What one pull brought."""

    pages: int = 0
    records: int = 0
    enrolled: int = 0
    refused: int = 0
    stopped: int = 0
    signals: int = 0


def pull_once(parts: Parts) -> PullCount:
    """Read everything changed since the last pull and act on it.

    Raises what CrmSource.pull and CrmSource.owners raise, and LedgerBrokenError; pages stored before stay stored.
    """
    total = PullCount()
    with parts.ledger.read() as connection:
        asked = Asked(cursor=marks.read_cursor(connection, CURSOR), boxes=people.boxes_set(connection))
    for read in parts.source.pull(asked.cursor):
        stored = _store_page(parts, read, asked)
        if stored is None:
            log.warning("pull_overtaken")
            break
        page, count, suppressing, asked = stored
        del read, stored
        twins.tell(parts, suppressing)
        check_fields(parts, [draft.id for draft in page.sequences])
        total = replace(
            total,
            pages=total.pages + 1,
            records=total.records + len(page.records),
            enrolled=total.enrolled + count.enrolled,
            refused=total.refused + count.refused,
            stopped=total.stopped + count.stopped,
            signals=total.signals + len(page.signals),
        )
        del page, suppressing  # before the next page is read: two of them are ten megabytes
        if parts.stopping.is_set():
            break
    if total.enrolled or total.refused or total.stopped:
        log.info("pulled", enrolled=total.enrolled, refused=total.refused, stopped=total.stopped)
    return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """How the ledger stood when a page was asked for."""

    cursor: str | None
    boxes: int
    """By people.boxes_set."""


def _store_page(parts: Parts, page: PullPage, asked: Asked) -> tuple[PullPage, PullCount, list[Signal], Asked] | None:
    """Store a page as apply_page does; records whose box we set meanwhile are read once more before (B9).

    Returns the page as it was stored, and how the ledger stands when the next is asked for. None, with nothing stored,
    where another daemon has stored a page meanwhile: it took this one for dead, and pulls itself. Raises what
    CrmSource.look and look_up raise: nothing is stored then, either.
    """
    again: dict[str, int] = {}
    while True:
        entrance = look_up_entering(parts, page.records)
        with parts.ledger.write() as connection:
            if marks.read_cursor(connection, CURSOR) != asked.cursor:
                return None
            boxes = people.boxes_set(connection)
            stale = people.overtaken(connection, page.records, asked.boxes, again)
            if not stale:
                count, suppressing = apply_page(connection, parts, page, entrance, parts.clock.now())
                return page, count, suppressing, Asked(cursor=page.cursor, boxes=boxes)
        again.update((ref.id, boxes) for ref in stale)
        fresh = parts.source.look(stale, frozenset(), None).records
        gone = {ref.id for ref in stale} - fresh.keys()  # of that a pull will tell
        records = (fresh.get(one.ref.id, one) for one in page.records if one.ref.id not in gone)
        page = replace(page, records=tuple(records))
        log.info("box_overtaken", records=len(stale))


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrance:
    """What must be known besides the page about the people who may enter with it."""

    owners: Mapping[str, Owner]
    """Their time zone may decide when the first email is due."""
    twins: tuple[Record, ...]
    """The other records of their addresses."""


def look_up_entering(parts: Parts, records: Iterable[Record]) -> Entrance:
    """Read what decides about the ticked records among these that may begin a run. Raises what look_up raises."""
    ticked = [record for record in records if record.enrolled]
    with parts.ledger.read() as connection:
        live = runs.briefs_of_records(connection, [record.ref.id for record in ticked])
    entering = [r for r in ticked if r.ref.id not in live or live[r.ref.id].sequence_id != r.sequence_id]
    return look_up(parts, entering)


def look_up(parts: Parts, entering: Collection[Record]) -> Entrance:
    """Read what must be known besides these records; no call when there are none.

    Raises what CrmSource.owners and CrmSource.records_of raise.
    """
    if not entering:
        return Entrance(owners={}, twins=())
    return Entrance(
        owners=parts.source.owners({record.owner_id for record in entering if record.owner_id}),
        twins=tuple(twins.twins_of(parts, entering)),
    )


def apply_page(
    connection: Connection, parts: Parts, page: PullPage, entrance: Entrance, now: datetime
) -> tuple[PullCount, list[Signal]]:
    """Store one page and all it causes. Returns the signals whose address must be told to all its records."""
    _store_definitions(connection, page, now)
    _store_brake(connection, page, now)
    background = load_background(connection)
    # A meeting may come on one record together with the first news of it, or of the twin who is in a sequence (B13).
    people.remember_twins(connection, (*(page.records if page.signals else ()), *entrance.twins))
    suppressing = apply_signals(connection, (*page.signals, *refusals(page.records)), background, parts.org_id, now)
    briefs = runs.briefs_of_records(connection, [record.ref.id for record in page.records])
    were_deleted = people.deleted_records(connection, [record.ref.id for record in page.records])
    news = [
        record
        for record in page.records
        if record.ref.id in were_deleted or _is_news(record, briefs.get(record.ref.id), background, now)
    ]
    before = people.known_records(connection, [record.ref.id for record in news])
    people.remember_records(connection, page.records)
    planner = _Planner(connection, parts, background, entrance, now, before=before)
    effects_of_page = planner.plan_page(news)
    enact(connection, [effect for _, effect in effects_of_page], now)
    _wake_changed(connection, page.records, now)
    marks.save_cursor(connection, CURSOR, page.cursor, now)
    kinds = Multiset(type(decision) for decision, _ in effects_of_page)
    return PullCount(enrolled=kinds[Enroll], refused=kinds[Refuse], stopped=kinds[Stop]), suppressing


def _is_news(record: Record, run: RunBrief | None, background: Background, now: datetime) -> bool:
    """Whether the record may change anything for its run: the very rules of core.plan, asked about the record alone.

    Most that is pulled is what we wrote ourselves a moment ago. What core.plan would find in the signals and
    suppressions of its person was acted on as they came.
    """
    if run is None or run.status not in _ON_THEIR_WAY:
        return True
    known = background.sequences.get(run.sequence_id)
    if known is None or known.good is None or known.removed:
        return True
    alone = Enrollment(
        id=run.id,
        person="",
        address=run.address,
        ref=record.ref,
        sequence_id=run.sequence_id,
        run=record.run,
        status=run.status,
        entered_at=now,
        due_at=None,
    )
    snapshot = Snapshot(view=View.PULLED, record=record, enrollment=alone, sequence=known.good)
    return plan_run(snapshot, alone, now) is not None


_ON_THEIR_WAY = frozenset({RunStatus.QUEUED, RunStatus.ACTIVE})


def refusals(records: Iterable[Record]) -> Iterable[Signal]:
    """A record's opt-out box, and a bounce noted on it, speak for every record of the address (B13, B22)."""
    for record in records:
        address = normalize_address(record.email)
        if not address or record.deleted:
            continue
        if record.opted_out:
            yield _said_by(record, SignalKind.OPT_OUT, address)
        if record.bounced:
            yield _said_by(record, SignalKind.BOUNCE, address)


def _said_by(record: Record, kind: SignalKind, address: str) -> Signal:
    # Our own writes change the record too, so its stamp is not in the key: said once, and renewed while it stands.
    return Signal(
        key=f"{people.NOTED}:{kind.value}:{record.ref.id}:{person_key(address)}",
        kind=kind,
        at=record.modified_at,
        source=people.NOTED,
        record_id=record.ref.id,
        address=address,
    )


def _store_definitions(connection: Connection, page: PullPage, now: datetime) -> None:
    """Valid edits come into force; invalid ones leave the last good version and write the error on the record."""
    before = definitions.load_sequences(connection) if page.sequences else {}
    for draft in page.sequences:
        result = validate(draft, check_template=check_template)
        known = before.get(draft.id)
        if not isinstance(result, Sequence):
            error = " ".join(result)
            if known is None or known.error != error:
                definitions.save_broken(connection, draft.id, _name_of(draft), error, now)
                _owe_sequence(connection, draft.id, now)
                log.warning("sequence_invalid", sequence=draft.id, problems=len(result))
            continue
        if known is not None and known.good == result and not known.error and not known.removed:
            continue
        definitions.save_good(connection, result, now)
        _owe_sequence(connection, result.id, now)
        if result.confirmed:
            definitions.clear_suspicion(connection, result.id, now)
        due_runs.wake_sequence(connection, result.id, now)
        log.info("sequence_changed", sequence=result.id, version=result.version, status=result.status.value)
    if page.removed_sequences:
        definitions.remove(connection, page.removed_sequences, now)
        for sequence_id in page.removed_sequences:
            due_runs.wake_sequence(connection, sequence_id, now)


def _name_of(draft: SequenceDraft) -> str:
    return str(draft.fields.get("name") or draft.id)


def _owe_sequence(connection: Connection, sequence_id: str, now: datetime) -> None:
    known = definitions.load_sequences(connection)[sequence_id]
    figures = tallies.totals(connection, [sequence_id])[sequence_id]
    outbox.owe(connection, [(sequence_write(connection, known, figures), effects.Priority.REPORT)], now)


SHOWN_AHEAD = timedelta(days=1)
"""Whose next touch comes within so long is told of a pulled brake at once. The others would not be mailed any sooner,
and a million records are not rewritten for a brake that may be released in an hour: the control record tells everybody.
"""


def pull_brake(connection: Connection, by: str, now: datetime) -> None:
    """The emergency brake holds from now on, and the records of those who come next say so."""
    marks.set_mark(connection, marks.BRAKE, by)
    due_runs.wake_due(connection, now + SHOWN_AHEAD, now)
    log.warning("brake_pulled")


def _store_brake(connection: Connection, page: PullPage, now: datetime) -> None:
    if page.brake is None:
        return
    was = marks.read_mark(connection, marks.BRAKE)
    if page.brake.pulled and was is None:
        pull_brake(connection, page.brake.by, now)
    elif not page.brake.pulled and was is not None:
        marks.clear_mark(connection, marks.BRAKE)
        due_runs.wake_reason(connection, Reason(code=HoldReason.BRAKE).key, now)
        log.warning("brake_released")


# --- people -------------------------------------------------------------------------------------------------------

Planned = tuple[object, Effect]


class _Planner:
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

    def plan_page(self, records: Iterable[Record]) -> list[Planned]:
        """Every decision about these records with its effect, in order."""
        connection, records = self._connection, list(records)
        found = runs.live_runs_of_records(connection, [record.ref.id for record in records])
        locked = runs.lock_runs(connection, [run.id for run in found.values()])
        live = {run.ref.id: run for run in locked.values()}
        objections = twins.objections_of(self._entrance.twins)
        histories = load_histories(connection, live.values(), records, entering=True, objections=objections)
        entry = _Entry(connection, self._parts.limits, self._now)
        planned: list[Planned] = []
        for record in sorted(records, key=_has_place):
            planned.extend(self._plan_record(record, live, histories, entry))
        entry.store()
        return _brake_mass_stops(connection, self._parts, planned, locked, self._now)

    def _plan_record(
        self, record: Record, live: dict[str, Enrollment], histories: Histories, entry: _Entry
    ) -> Iterable[Planned]:
        run = live.get(record.ref.id)
        snapshot = twins.look_ahead(self._connection, self._snapshot(record, run, histories))
        yield from self._decide(snapshot, live, histories, entry)
        twins.join_histories(self._connection, snapshot, self._parts.org_id, self._now)
        if run is not None and record.ref.id not in live and record.enrolled and record.sequence_id != run.sequence_id:
            # Moved to another sequence with the box on: the old run has ended, the new one begins at once (B9).
            moved = replace(record, run=max(record.run, run.run), last_touch=run.last_touch_at or record.last_touch)
            yield from self._decide(self._snapshot(moved, None, histories), live, histories, entry)

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
        self, snapshot: Snapshot, live: dict[str, Enrollment], histories: Histories, entry: _Entry
    ) -> Iterable[Planned]:
        setting = Setting(
            org_id=self._parts.org_id,
            now=self._now,
            sequence=snapshot.sequence,
            record=snapshot.record,
            touches=dict(snapshot.touches),
        )
        for decision in plan(snapshot, self._now):
            effect = _effect_of(decision, snapshot, setting, entry)
            if effect is not None:
                _follow(effect, snapshot, live, histories)
                yield decision, effect


def _has_place(record: Record) -> bool:
    """Records whose place another took come first: their runs move before that other one is planned (B11, B12)."""
    return record.merged_into is None and record.converted_to is None


def _follow(effect: Effect, snapshot: Snapshot, live: dict[str, Enrollment], histories: Histories) -> None:
    """Keep what the rest of the page is planned from in step with what was just decided."""
    before, after = snapshot.enrollment, effect.run
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


def _effect_of(decision: object, snapshot: Snapshot, setting: Setting, entry: _Entry) -> Effect | None:
    record, run = snapshot.record, snapshot.enrollment
    if record is None:
        return None
    match decision:
        case Enroll():
            address = normalize_address(record.email)
            effect = effects.enroll(entry.place(decision, address), record, address, setting.now)
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


def _wake_changed(connection: Connection, records: Iterable[Record], now: datetime) -> None:
    """What held a run may just have been mended on its record."""
    due_runs.wake_records(connection, [record.ref.id for record in records], now)


class _Entry:
    """Spreads new runs over days under the entry throttle, and counts them for the suspicion brake (B10)."""

    def __init__(self, connection: Connection, limits: Limits, now: datetime) -> None:
        self._connection = connection
        self._limits = limits
        self._now = now
        self._held: dict[tuple[CapScope, str], dict[Counter, int]] = {}
        self._used: Multiset[Counter] = Multiset()
        self._sequences: dict[str, Sequence] = {}

    def place(self, decision: Enroll, address: str) -> Enroll:
        """The same entry, begun on the first day that has room for it."""
        sequence = decision.sequence
        self._sequences[sequence.id] = sequence
        self._used[counter_at(CapScope.ENTERED_DAY, sequence.id, self._now)] += 1
        start = self._now
        rules = (
            (CapScope.ENTRY_DAY, sequence.id, sequence.entry_cap),
            (CapScope.ENTRY_DOMAIN_DAY, f"{sequence.id}:{domain_of(address)}", sequence.domain_entry_cap),
        )
        taken = []
        for scope, key, limit in rules:
            if limit is not None:
                counter = first_free(scope, key, start, limit, self._counts(scope, key))
                start = max(start, counter.start)
                taken.append((scope, key))
        for scope, key in taken:
            counter = counter_at(scope, key, start)
            self._counts(scope, key)[counter] = self._counts(scope, key).get(counter, 0) + 1
            self._used[counter] += 1
        if start == self._now:
            return decision
        due_at = plan_due(decision.step, anchor=start, last_touch_at=None, zone=decision.zone.zone, sequence=sequence)
        return replace(decision, due_at=max(due_at, decision.due_at))

    def _counts(self, scope: CapScope, key: str) -> dict[Counter, int]:
        if (scope, key) not in self._held:
            begin = counter_at(scope, key, self._now).start
            self._held[scope, key] = tallies.counts_from(self._connection, scope, key, begin)
        return self._held[scope, key]

    def store(self) -> None:
        """Keep the counts; a sequence entered by too many at once waits for a confirmation."""
        tallies.add(self._connection, self._used)
        for sequence_id, sequence in self._sequences.items():
            counter = counter_at(CapScope.ENTERED_DAY, sequence_id, self._now)
            entered = tallies.counts(self._connection, [counter]).get(counter, 0)
            limit = sequence.confirm_above if sequence.confirm_above is not None else self._limits.confirm_above
            if entered > limit and not sequence.confirmed:
                why = f"{entered} people were added within a day, more than {limit}"
                definitions.suspect(self._connection, sequence_id, why)
                log.warning("sequence_suspect", sequence=sequence_id, entered=entered, limit=limit)


def _brake_mass_stops(
    connection: Connection, parts: Parts, planned: list[Planned], by_id: Mapping[int, Enrollment], now: datetime
) -> list[Planned]:
    """Where an abnormal share of a sequence would be stopped at once, hold it instead and ask (B10)."""
    limits = parts.limits
    stops: Multiset[str] = Multiset()
    for decision, effect in planned:
        if _is_braked(decision) and effect.run is not None:
            stops[effect.run.sequence_id] += 1
    suspects = {}
    sequences = definitions.load_sequences(connection) if stops else {}
    for sequence_id, count in stops.items():
        active = tallies.totals(connection, [sequence_id])[sequence_id].get("active", 0)
        good = sequences[sequence_id].good if sequence_id in sequences else None
        confirmed = good is not None and good.confirmed
        if count >= limits.stop_minimum and count >= limits.stop_share * active and not confirmed:
            suspects[sequence_id] = f"{count} of {active} people would be stopped at once"
            definitions.suspect(connection, sequence_id, suspects[sequence_id])
            log.warning("sequence_suspect", sequence=sequence_id, stops=count, active=active)
    if not suspects:
        return planned
    kept: list[Planned] = []
    staying = {
        by_id[effect.run.id].address
        for decision, effect in planned
        if _is_braked(decision) and effect.run is not None and effect.run.sequence_id in suspects
    }
    for decision, effect in planned:
        if isinstance(decision, Enroll) and effect.run is not None and effect.run.address in staying:
            continue  # what it would take the place of has not ended
        run = by_id.get(effect.run.id) if effect.run is not None else None
        if _is_braked(decision) and run is not None and run.sequence_id in suspects:
            reason = Reason(code=HoldReason.MASS_STOP, detail=suspects[run.sequence_id])
            held = Hold(reason=reason, check_at=None)
            good = sequences[run.sequence_id].good if run.sequence_id in sequences else None
            setting = Setting(org_id=parts.org_id, now=now, sequence=good)
            kept.append((held, effects.hold(held, run, setting)))
        else:
            kept.append((decision, effect))
    return kept


def _is_braked(decision: object) -> bool:
    return isinstance(decision, Stop) and decision.reason.code in BRAKED
