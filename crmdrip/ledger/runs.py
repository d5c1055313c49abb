"""Runs: who is in which sequence, and how far. When to look at one is in due_runs, what has ended in past_runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from crmdrip.core.keys import stranger_key
from crmdrip.core.model import Enrollment, RecordKind, RecordRef, RunStatus
from crmdrip.core.struct import Struct
from crmdrip.ledger.schema import IS_LIVE, IS_OPEN, IS_UNPROVEN, enrollment, touch
from crmdrip.ledger.statements import Bulk, Lookup

LIVE = tuple(status.value for status in RunStatus if status.live)
"""The statuses of a run that has not ended, as they are stored."""


def _contact(record_id: str) -> RecordRef:
    return RecordRef(kind=RecordKind.CONTACT, id=record_id)


def _lead(record_id: str) -> RecordRef:
    return RecordRef(kind=RecordKind.LEAD, id=record_id)


REF = {RecordKind.CONTACT.value: _contact, RecordKind.LEAD.value: _lead}
"""A record's reference from its id, by the kind as it is stored."""

STATUS = {status.value: status for status in RunStatus}
"""A status, by its value as it is stored."""


def _to_enrollment(row: Sequence[Any]) -> Enrollment:
    """The columns in the table's order: by place, because by name each would cost three times as much."""
    (
        number,
        person,
        address,
        record_id,
        kind,
        sequence_id,
        run,
        status,
        reason,
        reason_detail,
        entered_at,
        _,  # ended_at
        due_at,
        check_at,
        _,  # first
        unproven,
        next_step_id,
        position,
        steps_done,
        last_touch_at,
        last_touch_zone,
        sender,
        owner_id,
        thread,
        thread_subject,
        revision,
    ) = row
    return Enrollment(
        id=number,
        person=person,
        address=address,
        ref=REF[kind](record_id),
        sequence_id=sequence_id,
        run=run,
        status=STATUS[status],
        reason=reason,
        reason_detail=reason_detail,
        entered_at=entered_at,
        due_at=due_at,
        check_at=check_at,
        unproven=unproven,
        next_step_id=next_step_id,
        position=position,
        steps_done=steps_done,
        last_touch_at=last_touch_at,
        last_touch_zone=last_touch_zone,
        sender=sender,
        owner_id=owner_id,
        thread=tuple(thread.split()),
        thread_subject=thread_subject,
        revision=revision,
    )


def _from_enrollment(run: Enrollment, ended_at: datetime | None) -> tuple[Any, ...]:
    """The columns in the table's order, without the id."""
    return (
        run.person,
        run.address,
        run.ref.id,
        run.ref.kind.value,
        run.sequence_id,
        run.run,
        run.status.value,
        run.reason,
        run.reason_detail,
        run.entered_at,
        ended_at,
        run.due_at,
        run.check_at if run.status.live else None,
        run.steps_done == 0,
        run.unproven,
        run.next_step_id,
        run.position,
        run.steps_done,
        run.last_touch_at,
        run.last_touch_zone,
        run.sender,
        run.owner_id,
        " ".join(run.thread),
        run.thread_subject,
        run.revision + 1,
    )


NOTHING_KNOWN: Mapping[int, Enrollment] = {}


def lock_runs(
    connection: Connection, ids: Iterable[int], known: Mapping[int, Enrollment] = NOTHING_KNOWN
) -> dict[int, Enrollment]:
    """The runs as they are now; in a transaction that writes nobody else changes them until it ends (Ledger.write).

    known: as they were read before; those that were not stored since are not read again.
    """
    ids = list(ids)
    found: dict[int, Enrollment] = {}
    if known:
        for number, revision in _LOCK_KNOWN.rows(connection, ids):
            run = known.get(number)
            if run is not None and run.revision == revision:
                found[number] = run
    for row in _LOCK.rows(connection, [number for number in ids if number not in found]):
        found[row[0]] = _to_enrollment(row)
    return found


_LOCK_KNOWN = Lookup(select(enrollment.c.id, enrollment.c.revision), enrollment.c.id)
_LOCK = Lookup(select(enrollment), enrollment.c.id)


def untouched_among(connection: Connection, known: Iterable[Enrollment]) -> set[int]:
    """Those of the live runs that nothing has ended, changed or woken since they were read."""
    as_read = {run.id: (run.revision, run.check_at) for run in known}
    found = _UNTOUCHED.rows(connection, as_read)
    return {number for number, revision, check_at in found if as_read[number] == (revision, check_at)}


_UNTOUCHED = Lookup(
    select(enrollment.c.id, enrollment.c.revision, enrollment.c.check_at).where(IS_LIVE), enrollment.c.id
)


class RunBrief(Struct, frozen=True, kw_only=True):
    """As much of a live run as tells whether its record has news for it."""

    id: int
    address: str
    sequence_id: str
    status: RunStatus


def briefs_of_records(connection: Connection, record_ids: Iterable[str]) -> dict[str, RunBrief]:
    """The live run of each record that has one, in brief."""
    return {
        record_id: RunBrief(id=number, address=address, sequence_id=sequence_id, status=STATUS[status])
        for record_id, number, address, sequence_id, status in _BRIEFS.rows(connection, record_ids)
    }


_BRIEFS = Lookup(
    select(
        enrollment.c.record_id,
        enrollment.c.id,
        enrollment.c.address,
        enrollment.c.sequence_id,
        enrollment.c.status,
    ).where(IS_LIVE),
    enrollment.c.record_id,
)


def live_runs_of_records(connection: Connection, record_ids: Iterable[str]) -> dict[str, Enrollment]:
    """The live run of each record that has one."""
    return {run.ref.id: run for run in map(_to_enrollment, _LIVE_BY_RECORD.rows(connection, record_ids))}


_LIVE_BY_RECORD = Lookup(select(enrollment).where(IS_LIVE), enrollment.c.record_id)


def live_runs_of_addresses(connection: Connection, addresses: Iterable[str]) -> dict[str, Enrollment]:
    """The live run of each normalized address that has one (B13)."""
    return {run.address: run for run in map(_to_enrollment, _LIVE_BY_ADDRESS.rows(connection, addresses))}


_LIVE_BY_ADDRESS = Lookup(select(enrollment).where(IS_LIVE), enrollment.c.address)


class LiveRun(Struct, frozen=True, kw_only=True):
    """Who holds the one live run of an address."""

    id: int
    ref: RecordRef


def holders_of_addresses(connection: Connection, addresses: Iterable[str]) -> dict[str, LiveRun]:
    """Who holds the live run of each normalized address that has one (B13)."""
    rows = _HOLDERS.rows(connection, addresses)
    return {address: LiveRun(id=number, ref=REF[kind](record_id)) for address, number, kind, record_id in rows}


_HOLDERS = Lookup(
    select(enrollment.c.address, enrollment.c.id, enrollment.c.kind, enrollment.c.record_id).where(IS_LIVE),
    enrollment.c.address,
)


def last_numbers(connection: Connection, people: Iterable[str]) -> dict[str, int]:
    """The highest number that any run of each person has, live ones included."""
    highest: dict[str, int] = {}
    for person, number in _NUMBERS.rows(connection, people):
        highest[person] = max(number, highest.get(person, 0))
    return highest


_NUMBERS = Lookup(select(enrollment.c.person, enrollment.c.run), enrollment.c.person)


def runs_of_record(connection: Connection, record_id: str) -> list[Enrollment]:
    """All runs of a record, oldest first."""
    rows = connection.execute(
        select(enrollment).where(enrollment.c.record_id == record_id).order_by(enrollment.c.entered_at)
    )
    return [_to_enrollment(row) for row in rows]


def runs_of_person(connection: Connection, person: str) -> list[Enrollment]:
    """All runs of a person by keys.person_key, oldest first."""
    rows = connection.execute(select(enrollment).where(enrollment.c.person == person).order_by(enrollment.c.entered_at))
    return [_to_enrollment(row) for row in rows]


def runs_of_address(connection: Connection, address: str) -> list[Enrollment]:
    """All runs that mail or mailed a normalized address, oldest first. Reads every run: for commands."""
    rows = connection.execute(
        select(enrollment).where(enrollment.c.address == address).order_by(enrollment.c.entered_at)
    )
    return [_to_enrollment(row) for row in rows]


def runs_of_people(connection: Connection, people: Iterable[str]) -> dict[tuple[str, str, int], Enrollment]:
    """Every run of these persons by what must be unique: (person, sequence id, run number)."""
    found = map(_to_enrollment, _RUNS_BY_PERSON.rows(connection, people))
    return {(run.person, run.sequence_id, run.run): run for run in found}


_RUNS_BY_PERSON = Lookup(select(enrollment), enrollment.c.person)


def give_up_numbers(connection: Connection, ended: Iterable[Enrollment]) -> None:
    """Another run bears the numbers of these ended ones: they stay, as somebody else's."""
    for run in ended:
        connection.execute(update(enrollment).where(enrollment.c.id == run.id).values(person=stranger_key(run.ref.id)))


def add_runs(connection: Connection, runs: Iterable[Enrollment], *, ended_at: datetime | None = None) -> None:
    """Store new runs. Raises IntegrityError for a second live run of an address."""
    _ADD_RUN.run(connection, [_from_enrollment(run, ended_at) for run in runs])


def save_runs(connection: Connection, runs: Iterable[Enrollment], now: datetime) -> None:
    """Store changed runs. They must have been read with lock_runs in this transaction.

    Most go on as whose they were: of those only the columns that say how far they are are written, so that the
    database leaves the other indexes alone.
    """
    rows = [(*_from_enrollment(run, None if run.status.live else now), run.id) for run in runs]
    same = [row for row in rows if row[_ENDED_AT] is None]
    if _SAVE_PROGRESS.run(connection, [_progress_of(row) for row in same]) == len(same):
        rows = [row for row in rows if row[_ENDED_AT] is not None]
    _SAVE_RUN.run(connection, rows)


_RUN_NAMES = tuple(column.name for column in enrollment.c if column.name != "id")

_WHOSE = frozenset({"person", "address", "record_id", "kind", "sequence_id", "run", "entered_at", "ended_at"})
_PROGRESS_NAMES = tuple(name for name in _RUN_NAMES if name not in _WHOSE)
_ENDED_AT = _RUN_NAMES.index("ended_at")
_progress_of: Callable[[tuple[Any, ...]], tuple[Any, ...]] = itemgetter(
    *(_RUN_NAMES.index(name) for name in (*_PROGRESS_NAMES, "address", "record_id")), len(_RUN_NAMES)
)

_SAVE_PROGRESS = Bulk(
    lambda _: (
        update(enrollment)
        .where(
            enrollment.c.id == bindparam("b_id"),
            enrollment.c.ended_at.is_(None),
            enrollment.c.address == bindparam("b_address"),
            enrollment.c.record_id == bindparam("b_record_id"),
        )
        .values({name: bindparam(name) for name in _PROGRESS_NAMES})
    ),
    (*_PROGRESS_NAMES, "b_address", "b_record_id", "b_id"),
)
"""Touches no row whose person has another address or record by now."""

_ADD_RUN = Bulk(lambda _: insert(enrollment), _RUN_NAMES)

_SAVE_RUN = Bulk(
    lambda _: (
        update(enrollment)
        .where(enrollment.c.id == bindparam("b_id"))
        .values({name: bindparam(name) for name in _RUN_NAMES})
    ),
    (*_RUN_NAMES, "b_id"),
)


def count_by_status(connection: Connection) -> dict[tuple[str, str], int]:
    """Runs by sequence and status. Reads every run: for commands, never for a pass."""
    rows = connection.execute(
        select(enrollment.c.sequence_id, enrollment.c.status, func.count()).group_by(
            enrollment.c.sequence_id, enrollment.c.status
        )
    )
    return {(row[0], row[1]): row[2] for row in rows}


def count_stops(connection: Connection) -> dict[str, int]:
    """Ended runs by the key of the reason that stopped them. Reads every run: for commands, never for a pass."""
    rows = connection.execute(
        select(enrollment.c.reason, func.count())
        .where(enrollment.c.status == RunStatus.STOPPED.value)
        .group_by(enrollment.c.reason)
    )
    return {row[0]: row[1] for row in rows}


def unproven_runs(connection: Connection, sequences: Iterable[str], limit: int) -> list[Enrollment]:
    """Live runs of these sequences that are still to be looked up in the provider's log, the earliest due first.

    Without those of which a touch is in doubt as it is: that is settled first (B4).
    """
    unsettled = select(touch.c.id).where(touch.c.enrollment_id == enrollment.c.id, IS_OPEN).exists()
    rows = connection.execute(
        select(enrollment)
        .where(IS_UNPROVEN, IS_LIVE, enrollment.c.sequence_id.in_(list(sequences)), ~unsettled)
        .order_by(enrollment.c.due_at)
        .limit(limit)
    )
    return [_to_enrollment(row) for row in rows]


def doubt_all(connection: Connection) -> None:
    """The next email of every live run is first looked up in the provider's log (B4)."""
    connection.execute(
        update(enrollment)
        .where(enrollment.c.status.in_(LIVE))
        .values(unproven=True, revision=enrollment.c.revision + 1)
    )


def doubt_due(connection: Connection, at: datetime) -> None:
    """As doubt_all, for the runs that were to be looked at by then."""
    connection.execute(
        update(enrollment).where(enrollment.c.check_at <= at).values(unproven=True, revision=enrollment.c.revision + 1)
    )


def runs_of_records(connection: Connection, record_ids: Iterable[str]) -> dict[tuple[str, str, int], Enrollment]:
    """Every run of these records by (record id, sequence id, run number)."""
    found = map(_to_enrollment, _RUNS_BY_RECORD.rows(connection, record_ids))
    return {(run.ref.id, run.sequence_id, run.run): run for run in found}


_RUNS_BY_RECORD = Lookup(select(enrollment), enrollment.c.record_id)
