"""Stores what decisions change: runs, touches, figures and write-backs, in the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core.effects import Effect
from crmdrip.core.holds import RECHECK
from crmdrip.core.model import BoxPending, Enrollment, RecordRef, Touch
from crmdrip.core.struct import replace
from crmdrip.core.writes import Priority, StatusWrite, Write
from crmdrip.ledger import due_runs, outbox, people, runs, tallies, touches
from crmdrip.ledger.conflicts import store_each

log = structlog.get_logger()


def enact(connection: Connection, effects: Iterable[Effect], now: datetime) -> None:
    """Store the effects. Runs they change must have been locked in this transaction; runs with id 0 are new.

    An effect that a constraint refuses is left out and logged, its run looked at again in an hour, and the others go
    on: what is wrong with one person must not hold up a page or a batch of them.
    """
    refused = store_each(connection, effects, lambda within, some: _store(within, some, now))
    for effect, problem in refused:
        run = effect.run
        log.error(
            "run_not_stored",
            run=run.id if run is not None else None,
            record=run.ref.id if run is not None else None,
            problem=problem,
        )
    due_runs.set_aside(connection, [one.run.id for one, _ in refused if one.run is not None], now + RECHECK)


def _store(connection: Connection, effects: Iterable[Effect], now: datetime) -> None:
    new: list[Enrollment] = []
    changed: dict[int, Enrollment] = {}
    writes: list[tuple[Write, Priority]] = []
    passed: list[Touch] = []
    dropped: list[str] = []
    deleted: list[str] = []
    figures: Counter[tuple[str, str]] = Counter()
    boxes: dict[RecordRef, BoxPending] = {}
    for effect in effects:
        run = effect.run
        if run is not None:
            if run.id == 0:
                new.append(run)
            else:
                changed[run.id] = run
            for word, difference in effect.totals:
                figures[run.sequence_id, word] += difference
        writes.extend(effect.writes)
        passed.extend(effect.touches)
        dropped.extend(effect.dropped)
        deleted.extend(effect.deleted)
        if effect.box is not BoxPending.NO:
            boxes.update((w.ref, effect.box) for w, _ in effect.writes if isinstance(w, StatusWrite))
    runs.save_runs(connection, changed.values(), now)  # first: a run that ends makes room for one of its address
    runs.add_runs(connection, new)
    touches.add_touches(connection, passed)
    tallies.add_totals(connection, figures)
    for pending in (BoxPending.OFF, BoxPending.ON):  # the last decision about a record says which
        people.expect_box(connection, [ref for ref, meant in boxes.items() if meant is pending], pending)
    people.mark_deleted(connection, deleted)
    outbox.forget(connection, dropped)
    outbox.owe(connection, writes, now)


def with_write(effect: Effect, writes: Iterable[tuple[Write, Priority]]) -> Effect:
    """The effect with further write-backs."""
    return replace(effect, writes=(*effect.writes, *writes))


def is_newest(connection: Connection, run: Enrollment) -> bool:
    """Whether no later run of its record is known. Of two that were read back, both may bear one number."""
    others = (other for other in runs.runs_of_record(connection, run.ref.id) if other.id != run.id)
    return all(other.run <= run.run and not other.status.live for other in others)


def without_status(effect: Effect) -> Effect:
    """The record shows a later run by now: the touch goes on the timeline alone."""
    return replace(effect, writes=tuple(one for one in effect.writes if not isinstance(one[0], StatusWrite)))
