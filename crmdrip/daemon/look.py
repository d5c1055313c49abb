"""The last look: the records about to be mailed are read once more by id, and whoever is to send with them (P2, P4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core.compose import merge_paths
from crmdrip.core.errors import CrmdripError, ErrorClass, UnknownPathsError
from crmdrip.core.model import Enrollment, Owner, Record, SenderPolicy, Sequence, SequenceStatus
from crmdrip.core.struct import replace
from crmdrip.daemon import received
from crmdrip.daemon.brake import pull_brake
from crmdrip.daemon.claim import RIVAL, Standing, heartbeat_write, read_state, settle
from crmdrip.daemon.intake import CURSOR
from crmdrip.daemon.listening import take_mail
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.remarks import remark
from crmdrip.daemon.snapshots import Background, load_background
from crmdrip.daemon.timekeeping import measure_clock
from crmdrip.ledger import marks, outbox, people
from crmdrip.ledger.due_runs import DueRun
from crmdrip.ports import ControlWrite, Look

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Blind:
    """Why nothing can be looked at."""

    because: str
    permission: bool = False
    """Somebody has to grant something, or to correct a setting: `because` says what."""


_RIVAL = Blind(because=RIVAL, permission=True)
_BEFORE = Blind(because="another crmdrip was at work until just now, and what it sent is looked up")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the last look found."""

    look: Look | None
    """None when it could not be made, and then `blind` says why."""
    owners: Mapping[str, Owner]
    blind: Blind | None
    at: datetime
    """When it was asked for, by our clock."""
    ahead: timedelta
    """How far our clock is ahead of the CRM's, zero while they agree: nothing is ever sent early (B29)."""
    boxes: int = 0
    """What people.boxes_set said before it was asked for."""
    unknown: frozenset[str] = frozenset()
    """Merge paths that nobody can see: misspelled, or hidden from us."""
    approvals: frozenset[str] = frozenset()
    """What outbox.owed_approvals said before it was asked for."""


def look_once_more(parts: Parts, due: list[DueRun]) -> Seen:
    """The records as they are now; what the CRM refuses leaves nothing seen, and raises nothing.

    Raises LedgerBrokenError.
    """
    deaf = parts.mailboxes.drain()
    if not received.is_heard(parts, take_mail):
        deaf = deaf or "something that came in has not been read yet"
    if deaf:  # it may be somebody's answer (B5)
        return Seen(look=None, owners={}, blind=Blind(because=deaf), at=parts.clock.now(), ahead=timedelta())
    if parts.stood_down.is_set():
        return Seen(look=None, owners={}, blind=_RIVAL, at=parts.clock.now(), ahead=timedelta())
    with parts.ledger.write() as connection:
        background = load_background(connection)
        cursor, boxes = marks.read_cursor(connection, CURSOR), people.boxes_set(connection)
        approvals = outbox.owed_approvals(connection, _needing_approval(due, background))
        known = marks.read_heartbeat(connection)
        heartbeat = marks.next_heartbeat(connection, parts.clock.now())
        write = heartbeat_write(connection, parts, heartbeat, read_state(connection))
        marks.set_mark(connection, marks.LOOKING, parts.clock.now().isoformat())
    at, ahead = parts.clock.now(), timedelta()
    try:
        look, unknown = _look(parts, due, background, cursor, write)
    except CrmdripError as error:
        log.warning("last_look_failed", error_class=error.error_class.value, runs=len(due))
        return Seen(look=None, owners={}, blind=_why_blind(error), at=at, ahead=ahead)
    off = measure_clock(at, look.at, parts.clock.now())
    ahead = max(off, timedelta())
    standing = settle(parts, look.brake, known, heartbeat, look.at, off)
    if standing is not Standing.OURS:
        blind = _RIVAL if standing is Standing.LATER else _BEFORE
        return Seen(look=None, owners={}, blind=blind, at=at, ahead=ahead)
    try:
        owners = parts.source.owners(_sender_ids(due, look, background))
    except CrmdripError as error:
        log.warning("owners_not_read", error_class=error.error_class.value)
        return Seen(look=None, owners={}, blind=_why_blind(error), at=at, ahead=ahead)
    return Seen(
        look=look, owners=owners, blind=None, at=at, ahead=ahead, boxes=boxes, unknown=unknown, approvals=approvals
    )


def _needing_approval(due: list[DueRun], background: Background) -> list[str]:
    """Ids of the records whose sequence has a step that needs one."""
    found = {one: known.good for one, known in background.sequences.items() if known.good is not None}
    asks = {one for one, sequence in found.items() if any(step.needs_approval for step in sequence.steps)}
    return [run.ref.id for run in due if run.sequence_id in asks]


def _look(
    parts: Parts, due: list[DueRun], background: Background, cursor: str | None, heartbeat: ControlWrite
) -> tuple[Look, frozenset[str]]:
    """The look, and the merge paths that nobody can see.

    A field that one template misspells is missing in that template, and no reason to be blind (B24).
    """
    used = {run.sequence_id for run in due}
    known = [background.sequences[one].good for one in used if one in background.sequences]
    steps = [step for sequence in known if sequence is not None for step in sequence.steps if step.active]
    refs, paths = [run.ref for run in due], merge_paths(steps)
    try:
        look, unknown = parts.source.look(refs, paths, cursor, used, heartbeat), frozenset[str]()
    except UnknownPathsError as error:
        log.warning("merge_paths_unknown", paths=sorted(error.paths))
        look, unknown = parts.source.look(refs, paths - error.paths, cursor, used, heartbeat), error.paths
    remark(parts, used, unknown, look.problems)
    return look, unknown


def unseen(parts: Parts, error: CrmdripError) -> Seen:
    """What is seen where not even the start succeeds."""
    return Seen(look=None, owners={}, blind=_why_blind(error), at=parts.clock.now(), ahead=timedelta())


def _why_blind(error: CrmdripError) -> Blind:
    permission = error.error_class is ErrorClass.CONFIGURATION
    return Blind(because=f"{error.what} {error.do_next}".strip() if permission else error.what, permission=permission)


def _sender_ids(due: list[DueRun], look: Look, background: Background) -> set[str]:
    found = (sender_id(run, look.records.get(run.ref.id), background) for run in due)
    return {owner_id for owner_id in found if owner_id is not None}


def sender_id(run: Enrollment | DueRun, record: Record | None, background: Background) -> str | None:
    """Whose email it is: whoever sent first where the sequence says so, else the record's owner."""
    known = background.sequences.get(run.sequence_id)
    sequence: Sequence | None = known.good if known is not None else None
    keeps = sequence is not None and sequence.sender_policy is SenderPolicy.FIRST_SENDER
    if keeps and run.owner_id is not None:
        return run.owner_id
    return record.owner_id if record is not None else None


_NOT_LIVE = {status.value.lower(): status for status in SequenceStatus if status is not SequenceStatus.LIVE}


def hold_back(background: Background, look: Look) -> Background:
    """A sequence that was paused, retired or deleted since the pull read it sends nothing any more.

    The look only ever holds back: what is released comes with the pull, whole and valid. A word that means nothing is
    an invalid edit, and the last good version stays in force (B17).
    """
    sequences = dict(background.sequences)
    for sequence_id, word in look.statuses.items():
        known = sequences.get(sequence_id)
        if known is None or known.good is None:
            continue
        if word is None:
            sequences[sequence_id] = replace(known, removed=True)
        elif sequence_id in look.problems:
            paused = replace(known.good, status=SequenceStatus.PAUSED)
            sequences[sequence_id] = replace(known, good=paused, error=look.problems[sequence_id])
        elif (status := _NOT_LIVE.get(word.strip().lower() or "draft")) is not None:
            sequences[sequence_id] = replace(known, good=replace(known.good, status=status))
    return replace(background, sequences=sequences)


def see_brake(connection: Connection, look: Look, now: datetime) -> None:
    """A brake that the look found pulled holds from now on."""
    if look.brake is None or not look.brake.pulled:
        return
    if marks.read_mark(connection, marks.BRAKE) is None:
        pull_brake(connection, look.brake.by, now)
    else:
        marks.set_mark(connection, marks.BRAKE, look.brake.by)
