"""The dispatch worker: due runs are looked at once more, decided, and their emails handed to the provider.

The order that keeps P1 and P2: last look, decide, render, commit the intents of the whole batch, only then the first
request, then commit the outcomes. Whatever breaks in between leaves touches in doubt, never sent twice. While the end
of one batch is still going out, the next one is looked at.
"""

from __future__ import annotations

import threading
import time
from collections import Counter as Multiset
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.caps import CapScope, Claim, Counter, allot, counter_at
from crmdrip.core.compose import TaskText, compose_task, merge_paths
from crmdrip.core.decisions import Finish, Hold, Move, Readdress, Send, Skip, Stop, Wait
from crmdrip.core.effects import Effect, Setting, Taken
from crmdrip.core.errors import CrmdripError, ErrorClass, UnknownPathsError
from crmdrip.core.holds import RECHECK
from crmdrip.core.keys import domain_of, normalize_address, share, touch_id
from crmdrip.core.message import EmailMessage
from crmdrip.core.model import (
    Brake,
    Enrollment,
    Owner,
    Record,
    RecordRef,
    SenderPolicy,
    Sequence,
    SequenceStatus,
    Signal,
    SignalKind,
    StepKind,
    Touch,
    TouchState,
)
from crmdrip.core.plan import plan
from crmdrip.core.reasons import HoldReason, Reason, StopReason
from crmdrip.core.retry import Verdict, decide_retry
from crmdrip.core.schedule import next_opening, slip
from crmdrip.core.snapshot import Snapshot, View
from crmdrip.core.struct import Struct, replace
from crmdrip.core.zones import ZoneUsed, resolve_zone
from crmdrip.daemon import twins
from crmdrip.daemon.enact import enact, is_newest, without_status
from crmdrip.daemon.intake import CURSOR
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import Background, load_background, load_histories, take_snapshot
from crmdrip.ledger import marks, runs, tallies
from crmdrip.ledger.runs import DueRun, LiveRun, TouchMove
from crmdrip.ports import Look, SendOutcome, SendStatus

log = structlog.get_logger()

ADDRESS = "address:"
"""How a mailer's detail begins when the recipient's address itself was refused."""

OUTCOMES_PER_COMMIT = 500
COMMIT_EVERY = 0.25
"""At most so many outcomes, and seconds of them, are committed together: what a crash takes with it is in doubt."""

SHORT = 3.0
"""Seconds a batch may take to go out for the next one to be looked at meanwhile, so that connections never rest. Where
batches take longer, half of one has to be out first: each look is followed by its own emails within moments (P2)."""

LOOK_LASTS = timedelta(minutes=2)
"""An email that was not begun so long after its look needs another: the provider is slow, or the machine slept (P2)."""

CLOCK_SLACK = timedelta(minutes=2)
"""How far this machine's clock may be ahead of the CRM's; beyond it the CRM's counts (B29)."""

_HOPELESS = frozenset({ErrorClass.AUTH, ErrorClass.CONFIGURATION, ErrorClass.RATE_LIMITED})
"""Refusals that the next email would meet as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatchCount:
    """What one pass did."""

    looked: int = 0
    accepted: int = 0
    refused: int = 0
    in_doubt: int = 0
    held: int = 0
    stopped: int = 0


class _Ready(Struct, frozen=True, kw_only=True):
    """A touch that will be handed over."""

    touch: Touch
    send: Send
    run: Enrollment
    snapshot: Snapshot
    message: EmailMessage


def dispatch_once(parts: Parts, *, batches: int = 1_000_000) -> DispatchCount:
    """Work through everything that is due, batch by batch.

    Only one process at a time may call this, which the ledger's lock sees to: what an earlier pass intended and never
    concluded is in doubt. Raises LedgerBrokenError when nothing could be remembered. Failures of the CRM hold the batch
    and raise nothing.
    """
    _doubt_leftovers(parts)
    queues: Multiset[Counter] = Multiset()
    total = DispatchCount()
    before: _Batch | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="sender") as sender:
        for _ in range(batches):
            if parts.stopping.is_set():
                break
            parts.ledger.require_room()
            due = _claim_due(parts, before.run_ids if before is not None else frozenset())
            if not due:
                break
            batch = _Batch(parts, due, queues)
            batch.prepare()
            if before is not None:
                total = _add(total, _finish(before, batch))
                batch.withdraw_ended()
            batch.begin(sender)
            batch.tell_twins()
            if len(due) < parts.limits.batch:
                before = batch
                break
            if before is None or before.seconds > SHORT:
                batch.half_sent.wait()
            before = batch
            if batch.in_vain:
                break
        return total if before is None else _add(total, before.finish())


def _claim_due(parts: Parts, under_way: AbstractSet[int]) -> list[DueRun]:
    """The next runs to look at, without those whose email is just going out: they stand as due until it has."""
    limit = parts.limits.batch
    with parts.ledger.read() as connection:
        due = runs.claim_due(connection, parts.clock.now(), limit + len(under_way))
    return [run for run in due if run.id not in under_way][:limit]


def _add(one: DispatchCount, other: DispatchCount) -> DispatchCount:
    return DispatchCount(**{name: getattr(one, name) + getattr(other, name) for name in DispatchCount.__slots__})


def _finish(batch: _Batch, following: _Batch) -> DispatchCount:
    """Wait for the end of a batch; where it cannot be concluded the next is not begun. Raises what it raised."""
    try:
        return batch.finish()
    except Exception:
        following.withdraw()
        raise


def _doubt_leftovers(parts: Parts) -> None:
    """A pass that broke off between intents and outcomes, on a full disk for one, left touches in doubt (B1, B30)."""
    with parts.ledger.read() as connection:
        left = runs.any_intended(connection)
    if left:
        with parts.ledger.write() as connection:
            doubtful = runs.recover(connection, parts.clock.now())
        log.warning("touches_in_doubt_after_break", touches=doubtful)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Blind:
    """Why nothing can be looked at."""

    because: str
    permission: bool = False
    """Somebody has to grant something, or to correct a setting: `because` says what."""


class _Batch:
    """One batch on its way: claimed, looked at, decided, committed, sent, concluded."""

    def __init__(self, parts: Parts, due: list[DueRun], queues: Multiset[Counter]) -> None:
        self._parts = parts
        self._queues = queues
        self._due = due
        self._count = dict.fromkeys(DispatchCount.__slots__, 0)
        self._count["looked"] = len(due)
        self._ahead = timedelta()
        self._looked_at = parts.clock.now()
        self._log = log.bind()  # once: the lazy one makes a new logger for each event, also for those not wanted
        self._going: list[_Ready] = []
        self._sending: Future[None]
        self._suppressing: list[Signal] = []
        self.half_sent = threading.Event()
        self.seconds = 0.0
        """How long it took to go out."""
        self.in_vain = False
        """Whether a further batch now would fare no better."""

    @property
    def run_ids(self) -> AbstractSet[int]:
        """The runs in it."""
        return {run.id for run in self._due}

    def prepare(self) -> None:
        """Look, decide, and commit the intents of what goes out."""
        with self._parts.ledger.write() as connection:
            background = load_background(connection)
            cursor = marks.read_cursor(connection, CURSOR)
            newest = marks.read_heartbeat(connection)
            heartbeat = marks.next_heartbeat(connection, self._parts.clock.now())
            marks.set_mark(connection, marks.LOOKING, self._parts.clock.now().isoformat())
        look, blind = self._look(background, cursor, heartbeat)
        if look is not None and self._is_rival(look.brake, newest, heartbeat):
            look, blind = None, _RIVAL
        owners: Mapping[str, Owner] = {}
        if look is not None:
            owners, blind = self._owners(look, background)
        self.in_vain |= blind is not None
        self._going, self._suppressing = self._decide(look if blind is None else None, owners, blind)

    def begin(self, sender: Executor) -> None:
        """Hand it over in the sender's thread, beside the preparation of the next batch."""
        self._sending = sender.submit(self._send)

    def finish(self) -> DispatchCount:
        """Wait until every outcome is committed. Raises LedgerBrokenError."""
        self._sending.result()
        return DispatchCount(**self._count)

    def withdraw(self) -> None:
        """It will not be begun: nothing of it is in doubt, if the ledger can still be told so."""
        with suppress(CrmdripError):
            self._take_back(self._going, "the outcomes of the batch before could not be stored")

    def withdraw_ended(self) -> None:
        """What was heard while the batch before went out counts: whose run has ended since is not mailed (P2)."""
        with self._parts.ledger.read() as connection:
            live = runs.live_among(connection, [one.run.id for one in self._going])
        ended = [one for one in self._going if one.run.id not in live]
        if ended:
            self._take_back(ended, "the run has ended since the last look")
            self._going = [one for one in self._going if one.run.id in live]

    def _take_back(self, unsent: list[_Ready], why: str) -> None:
        refused = [
            SendOutcome(
                touch_id=one.touch.id,
                status=SendStatus.REFUSED,
                error=ErrorClass.RETRIABLE,
                detail=f"not attempted: {why}",
            )
            for one in unsent
        ]
        self._conclude({one.touch.id: one for one in unsent}, refused)

    def _send(self) -> None:
        by_id = {one.touch.id: one for one in self._going}
        began = time.monotonic()
        try:
            # Closed when an outcome cannot be stored: what was not begun by then is not sent (B30).
            with closing(self._parts.mailer.send([one.message for one in self._going])) as outcomes:
                for chunk in _chunks(self._listen(outcomes, len(by_id) / 2)):
                    self._conclude(by_id, chunk)
        finally:
            self.seconds = time.monotonic() - began
            self.half_sent.set()

    def _listen(self, outcomes: Iterator[SendOutcome], half: float) -> Iterator[SendOutcome]:
        for number, outcome in enumerate(outcomes, 1):
            if number >= half:
                self.half_sent.set()
            yield outcome

    def tell_twins(self) -> None:
        """Write the suppressions that came with the look on every record of their addresses."""
        twins.tell(self._parts, self._suppressing)

    def _now(self) -> datetime:
        """Our time, unless our clock is ahead of the CRM's: nothing is ever sent early (B29)."""
        return self._parts.clock.now() - self._ahead

    # the last look

    def _look(
        self, background: Background, cursor: str | None, heartbeat: datetime
    ) -> tuple[Look | None, _Blind | None]:
        """The records as they are now; None and why when they cannot be read (P4)."""
        used = {run.sequence_id for run in self._due}
        known = [background.sequences[one].good for one in used if one in background.sequences]
        steps = [step for sequence in known if sequence is not None for step in sequence.steps if step.active]
        refs = [run.ref for run in self._due]
        asked_at = self._looked_at = self._parts.clock.now()
        try:
            look = self._look_without_unknown(refs, merge_paths(steps), cursor, used, heartbeat)
        except CrmdripError as error:
            log.warning("last_look_failed", error_class=error.error_class.value, runs=len(self._due))
            return None, _why_blind(error)
        if asked_at - look.at > CLOCK_SLACK:
            self._ahead = asked_at - look.at
            self.in_vain = True  # what is not due yet would be claimed for ever
            log.warning("clock_ahead", seconds=round(self._ahead.total_seconds()))
        return look, None

    def _is_rival(self, brake: Brake | None, newest: datetime | None, left: datetime) -> bool:
        """Whether somebody else left the heartbeat that the look found: ours are in the ledger before they are there.

        newest: ours before the look. left: what the look leaves, which it finds itself when it had to be repeated.
        """
        beat = brake.heartbeat if brake is not None else None
        if beat is None or beat == left or (newest is not None and beat <= newest):
            return False
        with self._parts.ledger.read() as connection:
            if beat == marks.read_heartbeat(connection):
                return False  # the figures brought it meanwhile
        log.error("rival_daemon", heartbeat=beat.isoformat())
        return True

    def _look_without_unknown(
        self, refs: list[RecordRef], paths: frozenset[str], cursor: str | None, sequences: set[str], heartbeat: datetime
    ) -> Look:
        """A field that one template misspells is missing in that template, and no reason to be blind (B24)."""
        try:
            return self._parts.source.look(refs, paths, cursor, sequences, heartbeat)
        except UnknownPathsError as error:
            log.warning("merge_paths_unknown", paths=sorted(error.paths))
            return self._parts.source.look(refs, paths - error.paths, cursor, sequences, heartbeat)

    def _owners(self, look: Look, background: Background) -> tuple[Mapping[str, Owner], _Blind | None]:
        wanted = {
            owner_id
            for run in self._due
            if (owner_id := _sender_id(run, look.records.get(run.ref.id), background)) is not None
        }
        try:
            return self._parts.source.owners(wanted), None
        except CrmdripError as error:
            log.warning("owners_not_read", error_class=error.error_class.value)
            return {}, _why_blind(error)

    # decide and commit

    def _decide(
        self, look: Look | None, owners: Mapping[str, Owner], blind: _Blind | None
    ) -> tuple[list[_Ready], list[Signal]]:
        """Plan every run, store what is decided, and commit the intents of those that go out.

        Returns these, and the signals that all records of an address are to be told of.
        """
        parts, now = self._parts, self._now()
        looked_at = {run.ref.id for run in self._due}
        suppressing: list[Signal] = []
        with parts.ledger.write() as connection:
            if look is not None:
                signals_background = load_background(connection)
                suppressing = apply_signals(connection, look.signals, signals_background, parts.org_id, now)
                _see_brake(connection, look)
            background = load_background(connection)
            if look is not None:
                background = _hold_back(background, look)
            locked = runs.lock_runs(connection, [run.id for run in self._due])
            # One that moved to another record meanwhile was not looked at there: it comes again.
            live = [run for run in locked.values() if run.status.live and run.ref.id in looked_at]
            records = look.records if look is not None else {}
            histories = load_histories(connection, live, records.values(), entering=False)
            changed: list[Effect] = []
            sends: list[tuple[Send, Enrollment, Snapshot]] = []
            for run in live:
                record = records.get(run.ref.id)
                sender_id = _sender_id(run, record, background)
                snapshot = take_snapshot(
                    view=View.BLIND if look is None else View.LOOKED,
                    record=record,
                    run=run,
                    owner=owners.get(sender_id) if sender_id is not None else None,
                    background=background,
                    histories=histories,
                    blind_because=blind.because if blind is not None else "",
                )
                decision = _name_permission(plan(twins.look_ahead(connection, snapshot), now)[0], blind)
                if isinstance(decision, Readdress):
                    histories.live_by_address[decision.address] = LiveRun(id=run.id, ref=run.ref)
                if isinstance(decision, Send):
                    sends.append((decision, run, snapshot))
                else:
                    changed.append(self._effect(decision, run, snapshot, now))
            ready = self._ready(connection, sends, changed, now)
            enact(connection, changed, now)
            runs.intend(connection, [one.touch for one in ready])
            marks.clear_mark(connection, marks.LOOKING)
        return ready, suppressing

    def _effect(self, decision: object, run: Enrollment, snapshot: Snapshot, now: datetime) -> Effect:
        setting = self._setting(snapshot, now)
        match decision:
            case Stop():
                self._count["stopped"] += 1
                replied = next((s.at for s in snapshot.signals if s.kind is SignalKind.REPLY), None)
                log.info("run_stopped", run=run.id, record=run.ref.id, reason=decision.reason.key)
                return effects.stop(decision, run, setting, replied_at=replied)
            case Hold():
                self._count["held"] += 1
                return effects.hold(decision, run, setting)
            case Wait():
                return effects.wait(decision, run, setting)
            case Skip():
                log.info("step_skipped", run=run.id, step=decision.step_id, reason=decision.reason.key)
                return effects.skip(decision, run, setting, _zone_of(snapshot))
            case Finish():
                return effects.finish(run, setting)
            case Move():
                return effects.move(decision, run, setting)
            case Readdress():
                return effects.readdress(decision, run, setting)
            case _:
                raise TypeError(f"no effect is known for {type(decision).__name__}")

    def _setting(self, snapshot: Snapshot, now: datetime) -> Setting:
        return Setting(
            org_id=self._parts.org_id,
            now=now,
            sequence=snapshot.sequence,
            record=snapshot.record,
            touches=snapshot.touches,
        )

    def _ready(
        self,
        connection: Connection,
        sends: list[tuple[Send, Enrollment, Snapshot]],
        changed: list[Effect],
        now: datetime,
    ) -> list[_Ready]:
        """Render, apply the caps, and turn what cannot go now into effects."""
        composed: dict[str, _Ready] = {}
        for send, run, snapshot in sends:
            made = self._compose(send, run, snapshot, now)
            if isinstance(made, Effect):
                changed.append(made)
            else:
                composed[made.touch.id] = made
        claims = [
            _claim(one, self._parts.limits.sender_per_day, self._parts.limits.domain_per_hour, now)
            for one in composed.values()
        ]
        limits = {claim.touch_id: dict(claim.caps) for claim in claims}
        counters = {counter for claim in claims for counter, _ in claim.caps}
        allotment = allot(claims, tallies.counts(connection, counters))
        tallies.add(connection, allotment.used)
        for waiting, counter in allotment.wait.items():
            self._count["held"] += 1
            one, ahead = composed[waiting], self._queues[counter]
            self._queues[counter] += 1
            opens = _place_in_queue(one, counter, limits[waiting][counter], ahead)
            reason = Reason(code=HoldReason.DAILY_CAP, detail=_CAP_WORDS[counter.scope])
            held = Hold(reason=reason, check_at=opens)
            changed.append(effects.hold(held, one.run, self._setting(one.snapshot, now)))
        return [composed[one] for one in allotment.go]

    def _compose(self, send: Send, run: Enrollment, snapshot: Snapshot, now: datetime) -> _Ready | Effect:
        """The touch with its email; an effect where it is a task for the rep or cannot be rendered."""
        sequence, record, step = snapshot.sequence, snapshot.record, send.step
        if sequence is None or record is None:
            raise ValueError("a send was planned without a sequence or a record")
        identity = touch_id(self._parts.org_id, run.person, run.sequence_id, run.run, step.id)
        composer, owner = self._parts.composer, snapshot.owner
        if step.kind is StepKind.TASK:
            text = compose_task(step=step, sequence=sequence, record=record, owner=owner)
            if isinstance(text, Reason):
                return self._cannot_render(text, run, snapshot, now)
            return _task_effect(text, identity, send, run, self._setting(snapshot, now))
        message = composer.compose(
            step=step, sequence=sequence, enrollment=run, record=record, owner=owner, touch_id=identity
        )
        if isinstance(message, Reason):
            return self._cannot_render(message, run, snapshot, now)
        touch = Touch(
            id=identity,
            enrollment_id=run.id,
            step_id=step.id,
            order=step.order,
            kind=step.kind,
            state=TouchState.INTENDED,
            attempt=1,
            at=now,
            address=run.address,
            sender=normalize_address(message.from_address),
            message_id=message.headers.get("Message-ID", ""),
            subject=message.subject,
            version=sequence.version,
            zone=send.zone.zone,
            zone_source=send.zone.source,
        )
        message = replace(message, not_after=self._looked_at + LOOK_LASTS)
        return _Ready(touch=touch, send=send, run=run, snapshot=snapshot, message=message)

    def _cannot_render(self, reason: Reason, run: Enrollment, snapshot: Snapshot, now: datetime) -> Effect:
        self._count["held"] += 1
        held = Hold(reason=reason, check_at=now + timedelta(hours=6))
        return effects.hold(held, run, self._setting(snapshot, now))

    # outcomes

    def _conclude(self, ready: Mapping[str, _Ready], outcomes: list[SendOutcome]) -> None:
        """Commit what became of these touches, with what they cause."""
        parts, now = self._parts, self._now()
        self.in_vain |= any(outcome.error in _HOPELESS for outcome in outcomes)
        with parts.ledger.write() as connection:
            known = {(run := ready[one.touch_id].run).id: run for one in outcomes}
            locked = runs.lock_runs(connection, known, known)
            moves = []
            changed = []
            used: dict[Counter, int] = {}
            for outcome in outcomes:
                one = ready[outcome.touch_id]
                run = locked[one.run.id]
                move, effect = self._outcome(outcome, one, run, now, used)
                moves.append(move)
                newest = run.status.live or is_newest(connection, run)
                changed.append(effect if newest else without_status(effect))
            runs.move_touches(connection, moves)
            enact(connection, changed, now)
            tallies.add(connection, used)

    def _outcome(
        self, outcome: SendOutcome, one: _Ready, run: Enrollment, now: datetime, used: dict[Counter, int]
    ) -> tuple[TouchMove, Effect]:
        setting = self._setting(one.snapshot, now)
        if outcome.status is SendStatus.ACCEPTED:
            self._count["accepted"] += 1
            self._log.debug("touch_accepted", touch=outcome.touch_id, run=run.id)
            move = TouchMove(id=outcome.touch_id, state=TouchState.ACCEPTED, provider_id=outcome.provider_id)
            return move, effects.take(_taken(one, one.touch.message_id, now), run, setting)
        if outcome.status is SendStatus.UNKNOWN:
            self._count["in_doubt"] += 1
            log.warning("touch_in_doubt", touch=outcome.touch_id, run=run.id, detail=outcome.detail)
            first = now + timedelta(minutes=self._parts.limits.doubt_first_look_minutes)
            move = TouchMove(id=outcome.touch_id, state=TouchState.IN_DOUBT, detail=outcome.detail, not_before=first)
            reason = Reason(code=HoldReason.IN_DOUBT, detail=one.send.progress)
            return move, _hold_if_live(reason, None, run, setting)
        self._count["refused"] += 1
        log.warning("touch_refused", touch=outcome.touch_id, run=run.id, detail=outcome.detail)
        for counter, _ in _claim(one, 0, 0, one.touch.at).caps:
            used[counter] = used.get(counter, 0) - 1
        move = TouchMove(id=outcome.touch_id, state=TouchState.REFUSED, detail=outcome.detail)
        return move, _refused(outcome, one, run, setting)


_RIVAL = _Blind(
    because="another crmdrip works on this org with a ledger of its own. Stop one of the two and start the other again",
    permission=True,
)


def _why_blind(error: CrmdripError) -> _Blind:
    permission = error.error_class is ErrorClass.CONFIGURATION
    return _Blind(because=f"{error.what} {error.do_next}".strip() if permission else error.what, permission=permission)


def _name_permission(decision: object, blind: _Blind | None) -> object:
    """A look that is refused for want of a permission is told at once, with what to grant (B26)."""
    if blind is None or not blind.permission or not isinstance(decision, Hold):
        return decision
    if decision.reason.code is not HoldReason.NO_LAST_LOOK:
        return decision
    return replace(decision, reason=Reason(code=HoldReason.NOT_PERMITTED, detail=blind.because))


def _hold_if_live(reason: Reason, check_at: datetime | None, run: Enrollment, setting: Setting) -> Effect:
    if not run.status.live:
        return Effect(run=run)
    return effects.hold(Hold(reason=reason, check_at=check_at), run, setting)


def _refused(outcome: SendOutcome, one: _Ready, run: Enrollment, setting: Setting) -> Effect:
    """The provider did not take it: try later, or stop where the address itself was refused."""
    if not run.status.live:
        return Effect(run=run)
    error = outcome.error or ErrorClass.RETRIABLE
    if error is ErrorClass.REJECTED and outcome.detail.startswith(ADDRESS):
        detail = f" ({outcome.detail})" if outcome.detail else ""
        stop = Stop(reason=Reason(code=StopReason.ADDRESS_REFUSED, detail=detail), untick=True)
        return effects.stop(stop, run, setting)
    before = one.snapshot.touches.get(one.touch.step_id)
    attempt = before.attempt + 1 if before is not None else 1
    retry = decide_retry(
        error, attempt, setting.now, jitter=share(one.touch.id, str(attempt)), retry_after=outcome.retry_after
    )
    # Refused for what it says rather than for where it goes: the step has to be mended, and then it is tried anew.
    again = retry.not_before if retry.verdict is Verdict.AGAIN else setting.now + RECHECK
    return _hold_if_live(Reason(code=HoldReason.PROVIDER, detail=outcome.detail), again, run, setting)


def _taken(one: _Ready, message_id: str, at: datetime) -> Taken:
    owner = one.snapshot.owner
    return Taken(
        touch_id=one.touch.id,
        step=one.send.step,
        at=at,
        zone=one.send.zone,
        sender=one.touch.sender,
        owner_id=owner.id if owner is not None else None,
        subject=one.message.subject,
        body=one.message.text,
        message_id=message_id,
        begins_thread="In-Reply-To" not in one.message.headers,
    )


def _task_effect(text: TaskText, identity: str, send: Send, run: Enrollment, setting: Setting) -> Effect:
    """A task goes on the rep's list: the write-back's own key makes it happen once."""
    owner_id = setting.record.owner_id if setting.record is not None else None
    taken = Taken(
        touch_id=identity,
        step=send.step,
        at=setting.now,
        zone=send.zone,
        owner_id=owner_id,
        subject=text.subject,
        body=text.body,
        outcome="To do",
    )
    touch = Touch(
        id=identity,
        enrollment_id=run.id,
        step_id=send.step.id,
        order=send.step.order,
        kind=StepKind.TASK,
        state=TouchState.ACCEPTED,
        attempt=1,
        at=setting.now,
        subject=text.subject,
        version=setting.sequence.version if setting.sequence is not None else "",
        zone=send.zone.zone,
        zone_source=send.zone.source,
    )
    return replace(effects.take(taken, run, setting), touches=(touch,))


def _claim(one: _Ready, sender_per_day: int, domain_per_hour: int, now: datetime) -> Claim:
    """The touch with the caps that apply to it."""
    sequence = one.snapshot.sequence
    domain = domain_of(one.touch.address)
    caps = [
        (counter_at(CapScope.SENDER_DAY, one.touch.sender, now), sender_per_day),
        (counter_at(CapScope.DOMAIN_HOUR, domain, now), domain_per_hour),
    ]
    if sequence is not None and sequence.daily_cap is not None:
        caps.append((counter_at(CapScope.SEQUENCE_DAY, sequence.id, now), sequence.daily_cap))
    if sequence is not None and sequence.domain_cap is not None:
        key = f"{sequence.id}:{domain}"
        caps.append((counter_at(CapScope.SEQUENCE_DOMAIN_HOUR, key, now), sequence.domain_cap))
    due_at = one.run.due_at or now
    return Claim(touch_id=one.touch.id, follow_up=one.run.steps_done > 0, due_at=due_at, caps=tuple(caps))


_CAP_WORDS = {
    CapScope.SENDER_DAY: "the sender",
    CapScope.DOMAIN_HOUR: "the recipient's domain",
    CapScope.SEQUENCE_DAY: "the sequence",
    CapScope.SEQUENCE_DOMAIN_HOUR: "the recipient's domain",
}


def _place_in_queue(one: _Ready, counter: Counter, limit: int, ahead: int) -> datetime:
    """When a touch whose cap is full has its turn: never a burst, and no look at it before (B19, P5).

    ahead: those that wait for the same counter and come first; every full cap of them takes a day or hour of its own.
    """
    sequence, zone = one.snapshot.sequence, one.send.zone.zone
    if sequence is None:
        raise ValueError("a send was planned without a sequence")
    if counter.ends - counter.start < timedelta(days=1):
        return next_opening(counter.ends + (ahead // max(limit, 1)) * timedelta(hours=1), zone, sequence)
    return slip(counter.ends, counter.ends, zone, sequence, ahead=ahead, per_day=limit)


def _sender_id(run: Enrollment | DueRun, record: Record | None, background: Background) -> str | None:
    """Whose email it is: whoever sent first where the sequence says so, else the record's owner."""
    known = background.sequences.get(run.sequence_id)
    sequence: Sequence | None = known.good if known is not None else None
    keeps = sequence is not None and sequence.sender_policy is SenderPolicy.FIRST_SENDER
    if keeps and run.owner_id is not None:
        return run.owner_id
    return record.owner_id if record is not None else None


def _zone_of(snapshot: Snapshot) -> ZoneUsed:
    if snapshot.sequence is None or snapshot.record is None:
        raise ValueError("a step was passed over without a sequence or a record")
    return resolve_zone(snapshot.sequence.zone_policy, snapshot.record, snapshot.owner, snapshot.sequence)


_NOT_LIVE = {status.value.lower(): status for status in SequenceStatus if status is not SequenceStatus.LIVE}


def _hold_back(background: Background, look: Look) -> Background:
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
        elif (status := _NOT_LIVE.get(word.strip().lower() or "draft")) is not None:
            sequences[sequence_id] = replace(known, good=replace(known.good, status=status))
    return replace(background, sequences=sequences)


def _see_brake(connection: Connection, look: Look) -> None:
    if look.brake is not None and look.brake.pulled:
        marks.set_mark(connection, marks.BRAKE, look.brake.by)


def _chunks(outcomes: Iterator[SendOutcome]) -> Iterator[list[SendOutcome]]:
    """The outcomes as they come, gathered for a moment."""
    chunk: list[SendOutcome] = []
    began = time.monotonic()
    for outcome in outcomes:
        chunk.append(outcome)
        if len(chunk) == OUTCOMES_PER_COMMIT or time.monotonic() - began >= COMMIT_EVERY:
            yield chunk
            chunk, began = [], time.monotonic()
    if chunk:
        yield chunk
