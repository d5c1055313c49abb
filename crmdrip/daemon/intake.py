"""The pull worker: CRM to ledger. Boxes become runs, changes become stops, edits become definitions.

Each page is stored in one transaction together with its cursor, so that no page is half done and none is lost.
"""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core.decisions import Enroll, Refuse, Stop
from crmdrip.core.keys import normalize_address, person_key
from crmdrip.core.model import Enrollment, Record, RunStatus, Signal, SignalKind
from crmdrip.core.plan import plan_run
from crmdrip.core.snapshot import Snapshot, View
from crmdrip.core.struct import replace
from crmdrip.daemon import twins
from crmdrip.daemon.brake import store_brake
from crmdrip.daemon.enact import enact
from crmdrip.daemon.entrance import Entrance, look_up_entering
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.planner import Planner
from crmdrip.daemon.remarks import check_fields
from crmdrip.daemon.sequences import store_definitions
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import Background, load_background
from crmdrip.ledger import due_runs, marks, people, runs
from crmdrip.ledger.runs import RunBrief
from crmdrip.ports import PullPage

log = structlog.get_logger()

CURSOR = "crm"


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


def apply_page(
    connection: Connection, parts: Parts, page: PullPage, entrance: Entrance, now: datetime
) -> tuple[PullCount, list[Signal]]:
    """Store one page and all it causes. Returns the signals whose address must be told to all its records."""
    store_definitions(connection, page, now)
    store_brake(connection, page, now)
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
    planner = Planner(connection, parts, background, entrance, now, before=before)
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


def _wake_changed(connection: Connection, records: Iterable[Record], now: datetime) -> None:
    """What held a run may just have been mended on its record."""
    due_runs.wake_records(connection, [record.ref.id for record in records], now)
