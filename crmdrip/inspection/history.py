"""One person's story from the ledger: runs, touches, signals, what comes next and why, and what is owed to the CRM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection

from crmdrip.core import words
from crmdrip.core.engagement import Engagement
from crmdrip.core.keys import person_key
from crmdrip.core.model import Enrollment, RunStatus, Touch, TouchState
from crmdrip.core.reasons import HoldReason, parse_reason
from crmdrip.core.steps import progress, progress_of
from crmdrip.inspection.subject import Subject
from crmdrip.ledger import definitions, engagements, marks, outbox, people, runs, touches
from crmdrip.ledger.definitions import KnownSequence
from crmdrip.ledger.outbox import Owed
from crmdrip.ledger.people import SUPPRESSING

EVER = datetime(9999, 1, 1, tzinfo=UTC)
OWED = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TouchLine:
    """One touch."""

    touch_id: str
    at: datetime
    step: str
    """Such as "2 of 4"."""
    kind: str
    state: str
    subject: str
    zone: str
    """Where its time was chosen, and whose zone that is: "Europe/Berlin (recipient)"."""
    detail: str
    fared: str
    """What the provider told of it since: "Opened; 3 opens, 1 click, 2 opens by machines". "" for nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLine:
    """One run."""

    sequence_id: str
    sequence: str
    run: int
    record_id: str
    address: str
    status: str
    sentence: str
    """Why it stands as it does, in plain words."""
    entered_at: datetime
    next_touch: datetime | None
    touches: tuple[TouchLine, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalLine:
    """Something that happened."""

    at: datetime
    kind: str
    source: str
    detail: str
    until: date | None = None
    """Of an absence: the first day the person is back, as far as they said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwedLine:
    """A change that the CRM has not got yet."""

    key: str
    parked: bool
    code: str
    detail: str
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Everything the ledger knows of one person."""

    record_id: str
    kind: str
    name: str
    address: str
    now: str
    """The present state in one sentence."""
    suppressed: str
    """Why the address is never mailed, "" when it may be."""
    runs: tuple[RunLine, ...]
    signals: tuple[SignalLine, ...]
    owed: tuple[OwedLine, ...]


def read_history(connection: Connection, subject: Subject) -> History:
    """The story of one person. Raises LedgerBrokenError by way of the connection."""
    sequences = definitions.load_sequences(connection)
    found = _runs_of(connection, subject)
    of_run: dict[int, list[Touch]] = {}
    for touch in touches.touches_in_full(connection, [run.id for run in found]):
        of_run.setdefault(touch.enrollment_id, []).append(touch)
    paused = any(name in marks.read_marks(connection, marks.PAUSED) for name in _pauses_of(found))
    told = engagements.load(connection, [touch.id for of_one in of_run.values() for touch in of_one])
    lines = tuple(_run_line(run, sequences.get(run.sequence_id), of_run.get(run.id, []), told) for run in found)
    suppressed = _suppression(connection, subject.address)
    return History(
        record_id=subject.ref.id,
        kind=subject.ref.kind.value,
        name=subject.name,
        address=subject.address,
        now=_now(subject, lines, suppressed, paused=paused),
        suppressed=suppressed,
        runs=lines,
        signals=tuple(
            SignalLine(
                at=one.at,
                kind=one.kind.value,
                source=one.source,
                detail=words.say_codes_once(one.detail),
                until=one.until,
            )
            for one in people.signals_in_full(connection, subject.ref.id, subject.address)
        ),
        owed=_owed(connection, {subject.ref.id}, (touch.id for run in of_run.values() for touch in run)),
    )


def _runs_of(connection: Connection, subject: Subject) -> list[Enrollment]:
    """Runs of the record and of the person: a run moves between records, and a person may have several."""
    found = {run.id: run for run in runs.runs_of_record(connection, subject.ref.id)}
    if subject.address:
        of_person = runs.runs_of_person(connection, person_key(subject.address))
        found |= {run.id: run for run in of_person if run.address}  # of an erased person's there is no story
    return sorted(found.values(), key=lambda run: (run.entered_at, run.id))


def _pauses_of(found: Iterable[Enrollment]) -> set[str]:
    live = {run.sequence_id for run in found if run.status.live}
    return {marks.PAUSED, *(f"{marks.PAUSED}:{sequence_id}" for sequence_id in live)} if live else set()


def _run_line(
    run: Enrollment, known: KnownSequence | None, touches: list[Touch], told: Mapping[str, Engagement]
) -> RunLine:
    return RunLine(
        sequence_id=run.sequence_id,
        sequence=known.name if known is not None else run.sequence_id,
        run=run.run,
        record_id=run.ref.id,
        address=run.address,
        status=run.status.value,
        sentence=explain_run(run, known),
        entered_at=run.entered_at,
        next_touch=run.due_at if run.status.live else None,
        touches=tuple(
            _touch_line(touch, progress_of(known.good if known is not None else None, touch.step_id, done), told)
            for done, touch in enumerate(touches)
        ),
    )


def explain_run(run: Enrollment, known: KnownSequence | None) -> str:
    """Why a run stands as it does, in the very words of the CRM record."""
    if run.reason:
        return parse_reason(run.reason, run.reason_detail).sentence
    if run.status is RunStatus.FINISHED:
        return words.finished(run.steps_done, run.last_touch_at, run.last_touch_zone or "UTC")
    good = known.good if known is not None else None
    if run.due_at is None or good is None:
        return ""
    zone = run.last_touch_zone or good.time_zone
    if run.steps_done == 0:
        return words.queued(run.due_at, zone)
    step = next((one for one in good.steps if one.id == run.next_step_id), None)
    return words.upcoming(progress(good, step, run.steps_done), run.due_at, zone)


def after_status(run: RunLine) -> str:
    """The run's sentence as it reads behind its status: "Queued, expected start ..." without "Queued" again."""
    rest = run.sentence.removeprefix(run.status)
    return rest.lstrip(",: ") if rest != run.sentence else run.sentence


def _explained(run: RunLine, where: str = "") -> str:
    """Status and sentence: "Held in 'Hello'. Missing Title.", "Queued in 'Hello': expected start ..."."""
    said = after_status(run)
    return f"{run.status}{where}{'.' if said == run.sentence else ':'} {said}"


def _touch_line(touch: Touch, step: str, told: Mapping[str, Engagement]) -> TouchLine:
    detail = touch.detail
    if touch.state is TouchState.SKIPPED and detail.startswith("skip."):
        detail = parse_reason(detail, step).sentence
    return TouchLine(
        touch_id=touch.id,
        at=touch.at,
        step=step,
        kind=touch.kind.value,
        state=touch.state.value,
        subject=touch.subject,
        zone=f"{touch.zone} ({touch.zone_source})" if touch.zone else "",
        detail=detail,
        fared=_fared(told[touch.id]) if touch.id in told else "",
    )


def _fared(known: Engagement) -> str:
    counts = ((known.opens, "open", ""), (known.clicks, "click", ""), (known.machine_opens, "open", " by machines"))
    told = [f"{number} {word}{'' if number == 1 else 's'}{by}" for number, word, by in counts if number]
    return f"{known.words}; {', '.join(told)}" if told else known.words


def _suppression(connection: Connection, address: str) -> str:
    if not address:
        return ""
    found = people.suppressed(connection, [person_key(address)]).get(person_key(address))
    return f"{SUPPRESSING[found[0]]} on {words.day(found[1])}" if found is not None else ""


def _now(subject: Subject, lines: tuple[RunLine, ...], suppressed: str, *, paused: bool) -> str:
    live = next((line for line in reversed(lines) if RunStatus(line.status).live), None)
    if live is not None:
        told = _explained(live, f" in {live.sequence!r}")
        if paused and HoldReason.PAUSED_BY_COMMAND.value not in told:
            told = f"{told} Sending is paused by command: type crmdrip resume to go on."
        return told
    if suppressed:
        return f"No email goes out: the address {suppressed}."
    record = subject.record
    if record is not None and record.enrolled and not lines:
        return "The box is ticked, and the daemon has not pulled it yet."
    if lines:
        return f"Not in a sequence now. The last run: {_explained(lines[-1])}"
    if record is not None and record.status:
        return f"Not in a sequence. The record says {record.status}: its reason stands on the record."
    return "This person was never in a sequence."


def _owed(connection: Connection, record_ids: Iterable[str], touch_ids: Iterable[str]) -> tuple[OwedLine, ...]:
    """What is owed for these records and touches, parked or not."""
    keys = {f"{kind}:{record_id}" for record_id in record_ids for kind in ("status", "opt_out", "bounce")}
    keys |= {f"task:{touch_id}" for touch_id in touch_ids}
    waiting = [one for one in outbox.due(connection, EVER, OWED) if one.write.key in keys]
    parked = [one for one in outbox.parked(connection, OWED) if one.write.key in keys]
    return (*(_owed_line(one, parked=True) for one in parked), *(_owed_line(one, parked=False) for one in waiting))


def _owed_line(owed: Owed, *, parked: bool) -> OwedLine:
    return OwedLine(key=owed.write.key, parked=parked, code=owed.code, detail=owed.detail, attempt=owed.attempt)


def to_json(history: History, subject: Subject) -> Mapping[str, Any]:
    """For JSON: the story, and what stands on the CRM record now."""
    record = subject.record
    crm = None
    if record is not None:
        crm = {"enrolled": record.enrolled, "status": record.status, "sequence_id": record.sequence_id}
    return {"crm": crm, "history": history}
