"""What would be sent in the coming days: the daemon's own passes on a copy of the ledger and a clock moved by hand.

So caps, windows, throttles, holds and expiry count exactly as they will. It covers everybody in a run and everybody
whose box is ticked by now, pulled or not, or would be as they are on a list of the CRM; it assumes that nobody answers,
nothing is edited and nothing fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from crmdrip.core.compose import merge_paths
from crmdrip.core.model import DelayUnit, Enrollment, Sequence, Step, Touch, TouchState
from crmdrip.core.steps import progress
from crmdrip.core.struct import replace
from crmdrip.core.writes import StatusWrite
from crmdrip.daemon.clock import HandClock
from crmdrip.daemon.dispatch import dispatch_once
from crmdrip.daemon.intake import pull_once
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.rebuild import needs_rebuild, rebuild
from crmdrip.daemon.reconcile import reconcile_once
from crmdrip.inspection.history import explain_run
from crmdrip.inspection.rehearsal import EverythingTaken, NothingWritten, OnceRead, hurry
from crmdrip.inspection.subject import NAMES
from crmdrip.ledger import definitions, due_runs, outbox, runs, surveys, touches
from crmdrip.ledger.definitions import KnownSequence

QUANTUM = timedelta(minutes=5)
"""The least step of the clock; the daemon looks every fifteen seconds."""
EVER = datetime(9999, 1, 1, tzinfo=UTC)

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_UNITS = {
    DelayUnit.MINUTES: "minute",
    DelayUnit.HOURS: "hour",
    DelayUnit.DAYS: "day",
    DelayUnit.BUSINESS_DAYS: "business day",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """One touch to come."""

    at: datetime
    kind: str
    """email, or task for the rep."""
    record_id: str
    name: str
    address: str
    sequence: str
    step: str
    """Such as "2 of 4"."""
    subject: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A person to whom nothing is sent before something happens."""

    record_id: str
    name: str
    address: str
    sequence: str
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NotStarted:
    """A ticked box that begins no run."""

    record_id: str
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The coming days."""

    begins: datetime
    ends: datetime
    sendings: tuple[Sending, ...]
    """By time."""
    waiting: tuple[Waiting, ...]
    """As they stand at the end."""
    not_started: tuple[NotStarted, ...]


def forecast(parts: Parts, *, days: int) -> Forecast:
    """Look ahead. parts: with a copy of the ledger, which is played upon and worth nothing afterwards.

    Raises what CrmSource.pull and look raise, and LedgerBrokenError.
    """
    begins = parts.clock.now()
    clock = HandClock(begins)
    hurry(parts.ledger)
    source = OnceRead(parts.source, clock)
    rehearsal = replace(parts, source=source, sink=NothingWritten(), mailer=EverythingTaken(), feed=None, clock=clock)
    _begin(rehearsal, source)
    _play(rehearsal, clock, begins + timedelta(days=days))
    with parts.ledger.read() as connection:
        return Forecast(
            begins=begins,
            ends=begins + timedelta(days=days),
            sendings=tuple(sorted(_sendings(connection, source, begins), key=lambda one: (one.at, one.record_id))),
            waiting=tuple(_waiting(connection, source)),
            not_started=tuple(_not_started(connection, begins)),
        )


def _begin(parts: Parts, source: OnceRead) -> None:
    """Take in what the daemon would take in by its next pull."""
    if needs_rebuild(parts):
        rebuild(parts)
    else:
        pull_once(parts)
    with parts.ledger.read() as connection:
        known = definitions.load_sequences(connection).values()
        steps = [step for one in known if one.good is not None for step in one.good.steps if step.active]
        source.paths = merge_paths(steps) | NAMES
        source.refs = tuple(surveys.live_refs(connection))


def _play(parts: Parts, clock: HandClock, until: datetime) -> None:
    while True:
        # What a lost ledger might have sent is looked up in the provider's log before anything else; here it has none.
        while reconcile_once(parts).proven:
            pass
        dispatch_once(parts)
        with parts.ledger.read() as connection:
            due = due_runs.next_check(connection)
        if due is None or due > until:
            break
        clock.move(max(due, clock.now() + QUANTUM))
        if clock.now() > until:
            break


def _sendings(connection: Connection, source: OnceRead, begins: datetime) -> Iterator[Sending]:
    found = runs.lock_runs(connection, surveys.runs_with_touches_since(connection, begins))
    known = definitions.load_sequences(connection)
    places: dict[int, int] = {}
    for touch in touches.touches_in_full(connection, found):
        run = found[touch.enrollment_id]
        if touch.state is not TouchState.ACCEPTED:
            continue
        done = places[run.id] = places.get(run.id, 0) + 1
        if touch.at >= begins:
            yield _sending(touch, run, known, source.name_of(run.ref.id), done)


def _sending(touch: Touch, run: Enrollment, known: Mapping[str, KnownSequence], name: str, number: int) -> Sending:
    sequence = known[run.sequence_id].good
    step = next((one for one in sequence.steps if one.id == touch.step_id), None) if sequence is not None else None
    return Sending(
        at=touch.at,
        kind=touch.kind.value,
        record_id=run.ref.id,
        name=name,
        address=touch.address or run.address,
        sequence=known[run.sequence_id].name,
        step=progress(sequence, step, number) if sequence is not None else f"{number}",
        subject=touch.subject,
        why=_why(sequence, step, touch, number) if sequence is not None and step is not None else "",
    )


def _why(sequence: Sequence, step: Step, touch: Touch, number: int) -> str:
    """Such as "2 days after the touch before it; Mon-Fri 09:00-17:00 in Europe/Berlin (recipient's zone)"."""
    after = "enrollment" if number == 1 else "the touch before it"
    unit = _UNITS[step.delay_unit] + ("" if step.delay == 1 else "s")
    delay = f"{step.delay} {unit} after {after}" if step.delay else f"right after {after}"
    days = sorted(sequence.send_days)
    together = days == list(range(days[0], days[-1] + 1)) and len(days) > 2
    shown = f"{_DAYS[days[0]]}-{_DAYS[days[-1]]}" if together else ", ".join(_DAYS[day] for day in days)
    window = f"{shown} {sequence.send_from:%H:%M}-{sequence.send_until:%H:%M}"
    return f"{delay}; {window} in {touch.zone} ({touch.zone_source}'s zone)"


def _waiting(connection: Connection, source: OnceRead) -> Iterator[Waiting]:
    known = definitions.load_sequences(connection)
    for run in runs.lock_runs(connection, surveys.waiting_runs(connection)).values():
        sequence = known.get(run.sequence_id)
        yield Waiting(
            record_id=run.ref.id,
            name=source.name_of(run.ref.id),
            address=run.address,
            sequence=sequence.name if sequence is not None else run.sequence_id,
            sentence=explain_run(run, sequence),
        )


def _not_started(connection: Connection, begins: datetime) -> Iterator[NotStarted]:
    """Refusals among the write-backs that the rehearsal owes."""
    for owed in outbox.due(connection, EVER, 1_000_000):
        write = owed.write
        new = owed.created_at is not None and owed.created_at >= begins
        if new and isinstance(write, StatusWrite) and write.status == "Refused":
            yield NotStarted(record_id=write.ref.id, sentence=write.reason)
