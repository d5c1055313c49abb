"""Safe mode: a lost or outdated ledger is filled from the CRM before anything goes out (B4, P6).

The CRM carries every touch under its own id, and every run's status and number; the provider's log answers for what
had gone out and was not written yet. An empty ledger never means that nothing was sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection

from crmdrip.core.effects import retell
from crmdrip.core.keys import stranger_key
from crmdrip.core.model import Enrollment, RunStatus, Sequence, Signal, SignalKind, Touch, TouchRecord
from crmdrip.core.struct import replace
from crmdrip.daemon.adopt import HEARD_BACK, adopt_run, adopt_touch, with_touches
from crmdrip.daemon.claim import Found, announce, demand_claim
from crmdrip.daemon.colleagues import ask_again
from crmdrip.daemon.enact import enact
from crmdrip.daemon.entrance import Entrance, look_up
from crmdrip.daemon.intake import CURSOR, PullCount, apply_page, refusals
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.remarks import check_fields
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import load_background
from crmdrip.daemon.unsubscribing import leave_again
from crmdrip.ledger import definitions, forwards, marks, outbox, people, runs, suppressions, tallies, touches
from crmdrip.ledger.conflicts import store_each
from crmdrip.ports import PullPage

log = structlog.get_logger()

TOUCHES = "touches"
"""The cursor of the timelines: how far the CRM's touches are known to be in this ledger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the ledger is filled."""

    people: int = 0
    """Records read."""
    touches: int = 0
    """Touches of timelines that the ledger did not know."""


Watch = Callable[[Progress], None]
"""Told after each page."""


def tell_log(progress: Progress) -> None:
    """Where nobody watches, the log tells."""
    log.info("rebuild_went_on", people=progress.people, touches=progress.touches)


def begin_anew(parts: Parts) -> None:
    """From the next `passes.prepare` on, everything is read from the CRM again, whatever this ledger knows."""
    with parts.ledger.write() as connection:
        marks.set_mark(connection, marks.MODE, marks.REBUILDING)
        marks.forget_cursor(connection, TOUCHES)


def needs_rebuild(parts: Parts) -> bool:
    """Whether this ledger may know less than the CRM: it is new, a rebuild was interrupted, or it is an old copy.

    An old copy shows by the heartbeat in the CRM: the daemon stores its own before it writes it there, so the
    CRM's is never the newer one; and every last look leaves one, so that nothing goes out without. Raises what
    CrmSource.look raises.
    """
    with parts.ledger.read() as connection:
        mode = marks.read_mark(connection, marks.MODE)
        cursor = marks.read_cursor(connection, CURSOR)
        own, claim = marks.read_heartbeat(connection), marks.read_mark(connection, marks.CLAIM)
    if mode == marks.REBUILDING or cursor is None:
        return True
    brake = parts.source.look((), frozenset(), cursor).brake
    if brake is None or brake.heartbeat is None:
        return False
    return own is None or brake.heartbeat > own or brake.claim not in ("", claim)


def doubt_last_look(connection: Connection, now: datetime) -> None:
    """Where this may be a copy from the middle of a last look, the runs that were due then are proven first.

    Whatever came after that batch would show by its heartbeat.
    """
    since = marks.read_mark(connection, marks.LOOKING)
    if since is None:
        return
    runs.doubt_due(connection, datetime.fromisoformat(since))
    marks.set_mark(connection, marks.REBUILT_AT, now.isoformat())
    marks.clear_mark(connection, marks.LOOKING)
    log.warning("last_look_unfinished", since=since)


def rebuild(parts: Parts, watch: Watch = tell_log) -> PullCount:
    """Fill the ledger from the CRM; returns what came of the people that were read.

    Can be interrupted anywhere and started again. Unless the CRM shows that no daemon ever worked here, no run goes on
    before its next email was looked up in the provider's log. A CRM that cannot carry a heartbeat shows nothing.
    The org is claimed first: whatever another daemon does after that, it notices (B3). Raises what the methods of
    CrmSource and claim.announce and claim.demand_claim raise.
    """
    first = parts.source.look((), frozenset(), None)
    heard = first.brake.heartbeat if first.brake is not None else None
    with parts.ledger.write() as connection:
        if heard is not None:
            marks.next_heartbeat(connection, heard)  # ours are newer from now on
        marks.set_mark(connection, marks.MODE, marks.REBUILDING)
        marks.set_mark(connection, marks.REBUILT_AT, first.at.isoformat())  # by the CRM's clock, which is right (B29)
        doubtful = forwards.doubt_waiting(connection)
    if doubtful:
        log.warning("forwards_in_doubt_after_restart", forwards=doubtful)
    log.info("rebuild_started")
    worked_before = announce(parts) in (Found.OTHER, Found.NO_PLACE) or heard is not None
    refused = stopped = 0
    otherwise: dict[int, RunStatus] = {}
    progress = Progress()
    for page in parts.source.pull(None):
        worked_before |= any(record.status for record in page.records)
        entrance = look_up(parts, [record for record in page.records if record.enrolled])
        now = parts.clock.now()
        with parts.ledger.write() as connection:
            count, shown = _adopt_page(connection, parts, page, entrance, now)
        otherwise.update(shown)
        check_fields(parts, [draft.id for draft in page.sequences])
        refused, stopped = refused + count.refused, stopped + count.stopped
        progress = replace(progress, people=progress.people + len(page.records))
        watch(progress)
    with parts.ledger.read() as connection:
        cursor = marks.read_cursor(connection, TOUCHES)
    for found, after in parts.source.touches(cursor):
        worked_before |= bool(found)
        with parts.ledger.write() as connection:
            new = _adopt_touches(connection, parts, found)
            leave_again(connection, found, parts.org_id, parts.clock.now())
            ask_again(connection, found, parts.clock.now())
            marks.save_cursor(connection, TOUCHES, after, parts.clock.now())
        progress = replace(progress, touches=progress.touches + new)
        watch(progress)
    if worked_before:
        _hear_again(parts)
    demand_claim(parts)
    with parts.ledger.write() as connection:
        _tell_again(connection, otherwise, parts.clock.now())
        if worked_before:
            runs.doubt_all(connection)
        marks.clear_mark(connection, marks.MODE)
    log.info("rebuild_finished", people=progress.people, touches=progress.touches, unproven=worked_before)
    return PullCount(refused=refused, stopped=stopped)


def _hear_again(parts: Parts) -> None:
    """What happened to people lately counts for the runs that are known by now (P2)."""
    now = parts.clock.now()
    signals = parts.source.signals(now - HEARD_BACK)
    with parts.ledger.write() as connection:
        apply_signals(connection, signals, load_background(connection), parts.org_id, now)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Adopted:
    """What the records of one page change in the ledger."""

    new: list[Enrollment]
    ended: list[tuple[Enrollment, datetime]]
    """Runs that are over, with when."""
    closed: list[Enrollment]
    """Runs of an older copy that ended since."""
    outdated: list[str]
    """Records of which an older copy still means to write a status."""
    otherwise: dict[int, RunStatus]
    """What the records of live runs of an older copy show, by run id, where that is another status."""
    outnumbered: list[Enrollment]
    """Ended runs in the ledger whose number a live run bears: the address of one of the two was changed since."""


_WAITS = {status: status for status in (RunStatus.HELD, RunStatus.PAUSED)}
"""Queued and Active are told apart by the next plan."""


def _tell_again(connection: Connection, shown: Mapping[int, RunStatus], now: datetime) -> None:
    """What a record shows that an older copy knows nothing of is written over, unless timelines told the rest (P3)."""
    good = {known.id: known.good for known in definitions.load_sequences(connection).values()}
    found = runs.lock_runs(connection, shown).values()
    stale = [run for run in found if run.status.live and _WAITS.get(run.status) is not _WAITS.get(shown[run.id])]
    enact(connection, [retell(run, good.get(run.sequence_id)) for run in stale], now)


def _adopt_page(
    connection: Connection, parts: Parts, page: PullPage, entrance: Entrance, now: datetime
) -> tuple[PullCount, dict[int, RunStatus]]:
    """Take over the runs the records speak of, then treat the page as any other. Returns _Adopted.otherwise, too."""
    apply_page(connection, parts, replace(page, records=(), signals=()), entrance, now)
    good = {known.id: known.good for known in definitions.load_sequences(connection).values()}
    spoken: dict[tuple[str, str, int], tuple[Enrollment, datetime]] = {}
    for record in sorted(page.records, key=lambda one: one.converted_to is not None):  # the contact knows more (B11)
        owner = entrance.owners.get(record.owner_id or "")
        run = adopt_run(record, good.get(record.sequence_id or ""), owner, now)
        if run is not None:
            at = min(record.last_touch or record.modified_at, now)
            spoken.setdefault((run.ref.id, run.sequence_id, run.run), (run, at))
    gone = suppressions.erased(connection, {run.person for run, _ in spoken.values()})
    adopted = _compare(connection, [one for one in spoken.values() if one[0].person not in gone])
    runs.save_runs(connection, adopted.closed, now)
    runs.give_up_numbers(connection, adopted.outnumbered)
    refused = store_each(connection, adopted.new, runs.add_runs)
    for run, at in adopted.ended:
        refused += store_each(connection, [run], partial(runs.add_runs, ended_at=at))
    for run, problem in refused:
        log.error("run_not_stored", run=None, record=run.ref.id, problem=problem)
    outbox.forget(connection, [f"status:{record_id}" for record_id in adopted.outdated])
    _count(connection, adopted)
    # A twin's opt-out may have been set while nobody listened, and no further pull brings it (B13, B22).
    heard = [replace(signal, at=now) for signal in refusals(entrance.twins)]
    _await_again(connection, page, {run.ref.id for run in adopted.new}, now)
    count, _ = apply_page(connection, parts, replace(page, signals=(*page.signals, *heard)), entrance, now)
    return count, adopted.otherwise


def _await_again(connection: Connection, page: PullPage, new: AbstractSet[str], now: datetime) -> None:
    """Who is paused, and not by the record itself, is away or waits for the rep: the CRM does not say until when.

    They are left alone as long as somebody who named no day (B8). What the rep decides is known again by its task.
    new: records whose run the ledger did not know.
    """
    paused = [one.ref.id for one in page.records if one.status == RunStatus.PAUSED.value and one.paused_until is None]
    live = runs.live_runs_of_records(connection, paused)
    waiting = [run for run in live.values() if run.ref.id in new or run.status is not RunStatus.PAUSED]
    signals = [
        Signal(
            key=f"rebuild:{SignalKind.OUT_OF_OFFICE}:{run.ref.id}:{run.run}",
            kind=SignalKind.OUT_OF_OFFICE,
            at=now,
            source="rebuild",
            record_id=run.ref.id,
            address=run.address,
            detail="paused when the daemon's memory was rebuilt",
        )
        for run in waiting
    ]
    people.add_signals(connection, signals, now)


def _compare(connection: Connection, spoken: list[tuple[Enrollment, datetime]]) -> _Adopted:
    """Hold what the CRM says against what the ledger has; the one that knows more wins."""
    ids = [run.ref.id for run, _ in spoken]
    known = runs.runs_of_records(connection, ids)
    live = {run.ref.id: run for run in known.values() if run.status.live}
    taken = set(runs.holders_of_addresses(connection, [run.address for run, _ in spoken]))
    numbered = runs.runs_of_people(connection, {run.person for run, _ in spoken})
    adopted = _Adopted(new=[], ended=[], closed=[], outdated=[], otherwise={}, outnumbered=[])
    for run, at in sorted(spoken, key=lambda one: not one[0].status.live):
        same = known.get((run.ref.id, run.sequence_id, run.run))
        held = live.get(run.ref.id)
        if same is not None:
            if same.status.live:
                adopted.outdated.append(run.ref.id)
                if not run.status.live:
                    adopted.closed.append(_closed(same, run.status))
                    taken.discard(same.address)
                elif run.status is not same.status:
                    adopted.otherwise[same.id] = run.status
            continue
        if held is not None and held.run > run.run:
            continue
        if held is not None:
            adopted.outdated.append(run.ref.id)
            adopted.closed.append(_closed(held, RunStatus.STOPPED))
            taken.discard(held.address)
        number = (run.person, run.sequence_id, run.run)
        if not run.status.live:
            # Two records of which one was given the other's address show two runs of one number (B15).
            adopted.ended.append((replace(run, person=stranger_key(run.ref.id)) if number in numbered else run, at))
        elif run.address not in taken and (number not in numbered or not numbered[number].status.live):
            adopted.outnumbered.extend([numbered[number]] if number in numbered else ())
            taken.add(run.address)
            adopted.new.append(run)
        numbered.setdefault(number, run)
    return adopted


def _closed(run: Enrollment, status: RunStatus) -> Enrollment:
    return replace(
        run, status=status, reason="", reason_detail="", due_at=None, check_at=None, next_step_id=None, unproven=False
    )


_ENDED_AS = {RunStatus.FINISHED: "finished", RunStatus.STOPPED: "stopped"}
_WAITING = (RunStatus.HELD, RunStatus.PAUSED)


def _count(connection: Connection, adopted: _Adopted) -> None:
    """The sequences' figures go along."""
    figures: Counter[tuple[str, str]] = Counter()
    for run in adopted.new:
        figures[run.sequence_id, "active"] += 1
        figures[run.sequence_id, "held"] += run.status in _WAITING
    for run in [*adopted.closed, *(run for run, _ in adopted.ended)]:
        figures[run.sequence_id, _ENDED_AS.get(run.status, "stopped")] += 1
    for run in adopted.closed:
        figures[run.sequence_id, "active"] -= 1
    tallies.add_totals(connection, figures)


def _adopt_touches(connection: Connection, parts: Parts, records: Iterable[TouchRecord]) -> int:
    """Store touches found on timelines with the runs they belong to, and plan those runs anew."""
    records = [record for record in records if record.step_id]
    found = runs.runs_of_records(connection, {record.record_id for record in records})
    good = {known.id: known.good for known in definitions.load_sequences(connection).values()}
    concerned: set[int] = set()
    figures: Counter[tuple[str, str]] = Counter()
    for record in records:
        run = found.get((record.record_id, record.sequence_id, record.run))
        if run is not None and touches.add_touches(connection, [adopt_touch(record, run, good.get(run.sequence_id))]):
            concerned.add(run.id)
            figures[run.sequence_id, "sent"] += 1
    tallies.add_totals(connection, figures)
    _plan_anew(connection, good, concerned, parts.clock.now())
    return figures.total()


def _plan_anew(connection: Connection, good: Mapping[str, Sequence | None], ids: Iterable[int], now: datetime) -> None:
    """Every touch counts: position, thread and next step follow from the touches now known."""
    locked = runs.lock_runs(connection, ids)
    full: dict[int, list[Touch]] = {}
    for touch in touches.touches_in_full(connection, locked):
        full.setdefault(touch.enrollment_id, []).append(touch)
    grown = [with_touches(run, good.get(run.sequence_id), full.get(run.id, ())) for run in locked.values()]
    runs.save_runs(connection, [run for run in grown if run.status.live], now)
