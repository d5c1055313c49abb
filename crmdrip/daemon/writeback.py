"""The write-back worker: what is owed to the CRM is written, stops first, each at most once under its key (B21)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core.errors import CrmdripError, ErrorClass, RateLimitedError
from crmdrip.core.keys import share
from crmdrip.core.model import BoxPending, RunStatus
from crmdrip.core.reasons import StopReason
from crmdrip.core.retry import RATE_LIMIT_DELAY, Verdict, decide_retry
from crmdrip.core.struct import replace
from crmdrip.core.writes import Priority, SequenceWrite, StatusWrite, Write
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.refusals import PAUSE
from crmdrip.daemon.remarks import sequence_write
from crmdrip.ledger import definitions, marks, outbox, people, runs, tallies
from crmdrip.ledger.outbox import Owed, Setback
from crmdrip.ports import WriteOutcome

log = structlog.get_logger()

PER_PASS = 2_000
"""Write-backs read from the outbox together: two calls' worth, so that calls are full and little is held in memory."""

PARK_AFTER = 12
"""Attempts after which what still fails is parked and shown, about half a day."""

_MENDED_OUTSIDE = frozenset({ErrorClass.AUTH, ErrorClass.CONFIGURATION, ErrorClass.RATE_LIMITED})
"""These go on by themselves once somebody granted a permission or the quota is back, so they are never parked."""

LONGEST_WAIT = timedelta(hours=1)
"""After which the CRM is asked again, however long it told us to wait."""

_SHOWN = 20
"""Keys in one line of the log."""

FIGURES_EVERY = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteBackCount:
    """What one pass did."""

    written: int = 0
    put_off: int = 0
    parked: int = 0


def write_back_once(parts: Parts) -> WriteBackCount:
    """Write everything that is due. Raises what CrmSink.write raises; what was settled before stays settled.

    Being told to slow down is no failure: what is left waits, and a stop that comes meanwhile is tried at once, since
    calls are kept for those (B20).
    """
    written = put_off = parked = 0
    while not parts.stopping.is_set():
        now = parts.clock.now()
        with parts.ledger.read() as connection:
            due = _with_boxes(connection, outbox.due(connection, now, PER_PASS))
        if parts.stood_down.is_set():
            due = [one for one in due if not _is_for_the_other(one.write)]
        flapping = [one for one in due if parts.refusals.too_often(one.write, now)]
        if flapping:
            put_off += _leave_ticked(parts, flapping, now)
            due = [one for one in due if one not in flapping]
        if not due:
            break
        by_key = {one.write.key: one for one in due}
        outcomes: list[WriteOutcome] = []
        try:
            outcomes.extend(parts.sink.write([one.write for one in due]))
        except RateLimitedError as error:
            count = _store(parts, by_key, outcomes)
            waiting = _wait_all(parts, by_key, outcomes, error)
            return WriteBackCount(
                written=written + count.written,
                put_off=put_off + count.put_off + waiting,
                parked=parked + count.parked,
            )
        except CrmdripError:
            _store(parts, by_key, outcomes)
            raise
        count = _store(parts, by_key, outcomes)
        written, put_off, parked = written + count.written, put_off + count.put_off, parked + count.parked
        if len(due) < PER_PASS or count.written == 0:
            break
    return WriteBackCount(written=written, put_off=put_off, parked=parked)


def _leave_ticked(parts: Parts, flapping: list[Owed], now: datetime) -> int:
    """Something in the CRM ticks these boxes again each time; the record says already why it is refused."""
    detail = "Something in the CRM ticks the box again each time: a flow, a workflow, an integration."
    setbacks = [Setback(owed=one, not_before=now + PAUSE, code="TICKED_AGAIN", detail=detail) for one in flapping]
    with parts.ledger.write() as connection:
        outbox.put_off(connection, setbacks)
    log.warning("box_ticked_again", records=[one.write.key for one in flapping[:_SHOWN]], in_all=len(flapping))
    return len(flapping)


def _is_for_the_other(write: Write) -> bool:
    """What a daemon that stood down leaves to the other one: how runs and sequences fare, that one knows better (B3).

    What it sent stands under keys of its own, and what only it heard is told all the same: a stop with the box. That a
    box was unticked, the other one sees as well: and it may have done so itself, at the end of a run of its own.
    """
    return isinstance(write, SequenceWrite) or (
        isinstance(write, StatusWrite) and (write.status in _LIVE or write.reason == StopReason.UNTICKED.value)
    )


_LIVE = frozenset(status.value for status in RunStatus if status.live)


_MEANT = {BoxPending.OFF: False, BoxPending.ON: True, BoxPending.NO: None}


def _with_boxes(connection: Connection, due: list[Owed]) -> list[Owed]:
    """The box is written as the ledger means it now: a newer status may have taken the place of the one that set it.

    And where somebody set it so meanwhile and changed it again since, it is left alone (B9).
    """
    status = {one.write.ref.id for one in due if isinstance(one.write, StatusWrite)}
    boxes = people.pending_boxes(connection, status)
    moved = runs.live_runs_of_records(connection, [one for one, box in boxes.items() if box is BoxPending.ON])
    written: list[Owed] = []
    for one in due:
        write = one.write
        if isinstance(write, StatusWrite):
            enrolled = _MEANT[boxes.get(write.ref.id, BoxPending.NO)]
            run = moved.get(write.ref.id)
            sequence_id = run.sequence_id if run is not None else None
            if (write.enrolled, write.sequence_id) != (enrolled, sequence_id):
                written.append(replace(one, write=replace(write, enrolled=enrolled, sequence_id=sequence_id)))
                continue
        written.append(one)
    return written


def _store(parts: Parts, by_key: dict[str, Owed], outcomes: Iterable[WriteOutcome]) -> WriteBackCount:
    """Keep what became of each write."""
    now = parts.clock.now()
    done: list[Owed] = []
    gone: set[str] = set()
    setbacks: list[Setback] = []
    for outcome in outcomes:
        owed = by_key[outcome.key]
        if outcome.error is None or outcome.error is ErrorClass.SKIPPABLE:
            done.append(owed)
            if outcome.error is not None and isinstance(owed.write, StatusWrite):
                gone.add(owed.write.ref.id)  # nothing was written: should it be restored, its box is as it was (B14)
            continue
        setbacks.append(_set_back(owed, outcome, outcome.error, now))
    boxes = [
        (one.write.ref.id, one.write.enrolled)
        for one in done
        if isinstance(one.write, StatusWrite) and one.write.enrolled is not None and one.write.ref.id not in gone
    ]
    with parts.ledger.write() as connection:
        outbox.settle(connection, done)
        people.confirm_box(connection, boxes)
        people.mark_deleted(connection, gone)
        outbox.put_off(connection, setbacks)
    parts.refusals.note((one.write for one in done), now)
    parked = sum(1 for one in setbacks if one.not_before is None)
    for one in setbacks:
        event = "write_back_parked" if one.not_before is None else "write_back_put_off"
        log.warning(event, key=one.owed.write.key, code=one.code, attempt=one.owed.attempt + 1)
    return WriteBackCount(written=len(done), put_off=len(setbacks) - parked, parked=parked)


def _wait_all(parts: Parts, by_key: dict[str, Owed], outcomes: Iterable[WriteOutcome], error: RateLimitedError) -> int:
    """Put off what was not tried; returns how many."""
    tried = {outcome.key for outcome in outcomes}
    waiting = [owed for key, owed in by_key.items() if key not in tried]
    asked = RATE_LIMIT_DELAY if error.retry_after is None else timedelta(seconds=error.retry_after)
    with parts.ledger.write() as connection:
        outbox.postpone(connection, waiting, parts.clock.now() + min(asked, LONGEST_WAIT))
    log.warning(
        "write_back_told_to_wait", waiting=len(waiting), seconds=round(min(asked, LONGEST_WAIT).total_seconds())
    )
    return len(waiting)


def _set_back(owed: Owed, outcome: WriteOutcome, error: ErrorClass, now: datetime) -> Setback:
    attempt = owed.attempt + 1
    retry = decide_retry(error, attempt, now, jitter=share(owed.write.key, str(attempt)))
    again = retry.verdict is Verdict.AGAIN and (attempt < PARK_AFTER or error in _MENDED_OUTSIDE)
    return Setback(owed=owed, not_before=retry.not_before if again else None, code=outcome.code, detail=outcome.detail)


def owe_figures(parts: Parts) -> None:
    """Owe the CRM the figures of every sequence whose figures changed."""
    now = parts.clock.now()
    with parts.ledger.write() as connection:
        sequences = definitions.load_sequences(connection)
        figures = tallies.totals(connection, sequences)
        told = marks.read_marks(connection, "figures:")
        owed: list[tuple[SequenceWrite, Priority]] = []
        for sequence_id, counts in figures.items():
            known, shown = sequences[sequence_id], repr(sorted(counts.items()))
            if known.removed or told.get(f"figures:{sequence_id}") == shown:
                continue
            marks.set_mark(connection, f"figures:{sequence_id}", shown)
            owed.append((sequence_write(connection, known, counts), Priority.FIGURES))
        outbox.owe(connection, owed, now)
        tallies.forget_before(connection, now - timedelta(days=3))
