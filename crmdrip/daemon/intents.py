"""What goes out now: a batch is planned on what the look found, rendered, and its intents are committed (P1)."""

from __future__ import annotations

from collections import Counter as Multiset
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.caps import Counter, allot
from crmdrip.core.compose import TaskText, compose_task
from crmdrip.core.decisions import Finish, Hold, Move, Readdress, Send, Skip, Stop, Wait
from crmdrip.core.effects import Effect, Setting
from crmdrip.core.holds import RECHECK
from crmdrip.core.keys import normalize_address, touch_id
from crmdrip.core.model import Enrollment, Signal, SignalKind, StepKind, Touch, TouchState
from crmdrip.core.plan import plan
from crmdrip.core.reasons import HoldReason, MissingFields, Reason
from crmdrip.core.snapshot import Snapshot, View
from crmdrip.core.struct import replace
from crmdrip.core.taken import Taken, take
from crmdrip.core.values import fold
from crmdrip.core.zones import ZoneUsed, resolve_zone
from crmdrip.daemon import twins
from crmdrip.daemon.approvals import without_used
from crmdrip.daemon.enact import enact
from crmdrip.daemon.look import Blind, Seen, hold_back, see_brake, sender_id
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.queue import CAP_WORDS, LET_BY, Ready, claim_of, place_in_queue, room_for
from crmdrip.daemon.shares import share_of
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import load_background, load_histories, take_snapshot
from crmdrip.ledger import due_runs, marks, people, runs, tallies, touches
from crmdrip.ledger.conflicts import store_each
from crmdrip.ledger.due_runs import DueRun
from crmdrip.ledger.runs import LiveRun

log = structlog.get_logger()

LOOK_LASTS = timedelta(minutes=2)
"""An email that was not begun so long after its look needs another: the provider is slow, or the machine slept (P2)."""


class Intents:
    """Decides one batch. What it counts is `held` and `stopped`."""

    def __init__(self, parts: Parts, due: list[DueRun], seen: Seen, queues: Multiset[Counter]) -> None:
        """queues: how many wait for each full cap already, in this pass."""
        self._parts = parts
        self._due = due
        self._seen = seen
        self._queues = queues
        self._now = parts.clock.now() - seen.ahead
        self.held = 0
        self.stopped = 0

    def decide(self) -> tuple[list[Ready], list[Signal]]:
        """Plan every run, store what is decided, and commit the intents of those that go out.

        Returns these, and the signals that all records of an address are to be told of.
        """
        parts, now, look, blind = self._parts, self._now, self._seen.look, self._seen.blind
        looked_at = {run.ref.id for run in self._due}
        suppressing: list[Signal] = []
        with parts.ledger.write() as connection:
            if look is not None:
                signals_background = load_background(connection)
                suppressing = apply_signals(connection, look.signals, signals_background, parts.org_id, now)
                see_brake(connection, look, now)
            background = load_background(connection)
            if look is not None:
                background = hold_back(background, look)
            records = look.records if look is not None else {}
            records = without_used(connection, records, self._seen.approvals)
            locked = runs.lock_runs(connection, [run.id for run in self._due])
            # One that moved to another record meanwhile was not looked at there, and of one whose box we set meanwhile
            # the look shows what was before (B9): they come again.
            looked_at -= {ref.id for ref in people.overtaken(connection, records.values(), self._seen.boxes)}
            live = [run for run in locked.values() if run.status.live and run.ref.id in looked_at]
            histories = load_histories(connection, live, records.values(), entering=False)
            changed: list[Effect] = []
            moved: dict[str, Enrollment] = {}
            sends: list[tuple[Send, Enrollment, Snapshot]] = []
            for run in live:
                record = records.get(run.ref.id)
                sender = sender_id(run, record, background)
                snapshot = take_snapshot(
                    view=View.BLIND if look is None else View.LOOKED,
                    record=record,
                    run=run,
                    owner=self._seen.owners.get(sender) if sender is not None else None,
                    background=background,
                    histories=histories,
                    blind_because=blind.because if blind is not None else "",
                )
                decision = _name_permission(plan(twins.look_ahead(connection, snapshot, moved), now)[0], blind)
                if isinstance(decision, Stop | Readdress):
                    histories.live_by_address.pop(run.address, None)
                if isinstance(decision, Readdress):
                    histories.live_by_address[decision.address] = LiveRun(id=run.id, ref=run.ref)
                if isinstance(decision, Move):
                    moved[decision.to.id] = run
                if isinstance(decision, Send):
                    sends.append((decision, run, snapshot))
                else:
                    changed.append(self._effect(decision, run, snapshot, now))
            ready = self._ready(connection, sends, changed, now)
            enact(connection, changed, now)
            ready = _intend(connection, ready, now)
            marks.clear_mark(connection, marks.LOOKING)
        return ready, suppressing

    def _effect(self, decision: object, run: Enrollment, snapshot: Snapshot, now: datetime) -> Effect:
        setting = setting_of(self._parts, snapshot, now)
        match decision:
            case Stop():
                self.stopped += 1
                replied = next((s.at for s in snapshot.signals if s.kind is SignalKind.REPLY), None)
                log.info("run_stopped", run=run.id, record=run.ref.id, reason=decision.reason.key)
                return effects.stop(decision, run, setting, replied_at=replied)
            case Hold():
                self.held += 1
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

    def _ready(
        self,
        connection: Connection,
        sends: list[tuple[Send, Enrollment, Snapshot]],
        changed: list[Effect],
        now: datetime,
    ) -> list[Ready]:
        """Render, apply the caps, and turn what cannot go now into effects."""
        composed: dict[str, Ready] = {}
        for send, run, snapshot in sends:
            made = self._compose(send, run, snapshot, now)
            if isinstance(made, Effect):
                changed.append(made)
            else:
                composed[made.touch.id] = made
        claims = [
            claim_of(one, self._parts.limits.sender_per_day, self._parts.limits.domain_per_hour, now)
            for one in composed.values()
        ]
        limits = {claim.touch_id: dict(claim.caps) for claim in claims}
        counters = {counter for claim in claims for counter, _ in claim.caps}
        elsewhere = share_of(self._parts.ledger).follow_ups_elsewhere(connection, now)
        allotment = allot(claims, tallies.counts(connection, counters), room_for(elsewhere, now))
        tallies.add(connection, allotment.used)
        for waiting, counter in allotment.wait.items():
            self.held += 1
            one, ahead = composed[waiting], self._queues[counter]
            self._queues[counter] += 1
            opens = place_in_queue(one, counter, limits[waiting][counter], ahead)
            reason = Reason(code=HoldReason.DAILY_CAP, detail=CAP_WORDS[counter.scope])
            held = Hold(reason=reason, check_at=opens)
            changed.append(effects.hold(held, one.run, setting_of(self._parts, one.snapshot, now)))
        due_runs.set_aside(connection, [composed[one].run.id for one in allotment.gave_way], now + LET_BY)
        return [composed[one] for one in allotment.go]

    def _compose(self, send: Send, run: Enrollment, snapshot: Snapshot, now: datetime) -> Ready | Effect:
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
            return _task_effect(text, identity, send, run, setting_of(self._parts, snapshot, now))
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
        latest = share_of(self._parts.ledger).begin_by(self._seen.at + LOOK_LASTS)
        message = replace(message, not_after=latest)
        return Ready(touch=touch, send=send, run=run, snapshot=snapshot, message=message)

    def _cannot_render(self, reason: Reason, run: Enrollment, snapshot: Snapshot, now: datetime) -> Effect:
        self.held += 1
        reason = _name_unseen(reason, self._seen.unknown)
        held = Hold(reason=reason, check_at=now + timedelta(hours=6))
        return effects.hold(held, run, setting_of(self._parts, snapshot, now))


def _name_unseen(reason: Reason, unknown: frozenset[str]) -> Reason:
    """Nobody can fill in a field that the template misspells, or that is hidden: what it asks for is named instead."""
    if not unknown or not isinstance(reason, MissingFields):
        return reason
    hidden = {fold(path) for path in unknown}
    unseen = [path for path in reason.paths if fold(path) in hidden]
    if not unseen:
        return reason
    detail = f"its step asks for {', '.join(unseen)}, which is no field that can be seen"
    return Reason(code=HoldReason.TEMPLATE_BROKEN, detail=detail)


def _intend(connection: Connection, ready: list[Ready], now: datetime) -> list[Ready]:
    """Commit to these touches; returns those that may go out: the database refuses a second send of any (P1)."""
    refused = store_each(connection, ready, lambda within, some: touches.intend(within, [one.touch for one in some]))
    for one, problem in refused:
        log.error("touch_not_intended", touch=one.touch.id, run=one.run.id, problem=problem)
    due_runs.set_aside(connection, [one.run.id for one, _ in refused], now + RECHECK)
    left_out = {one.touch.id for one, _ in refused}
    return [one for one in ready if one.touch.id not in left_out]


def setting_of(parts: Parts, snapshot: Snapshot, now: datetime) -> Setting:
    """What an effect is worked out in."""
    return Setting(
        org_id=parts.org_id,
        now=now,
        sequence=snapshot.sequence,
        record=snapshot.record,
        touches=snapshot.touches,
    )


def _name_permission(decision: object, blind: Blind | None) -> object:
    """A look that is refused for want of a permission is told at once, with what to grant (B26)."""
    if blind is None or not blind.permission or not isinstance(decision, Hold):
        return decision
    if decision.reason.code is not HoldReason.NO_LAST_LOOK:
        return decision
    return replace(decision, reason=Reason(code=HoldReason.NOT_PERMITTED, detail=blind.because))


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
    return replace(take(taken, run, setting), touches=(touch,))


def _zone_of(snapshot: Snapshot) -> ZoneUsed:
    if snapshot.sequence is None or snapshot.record is None:
        raise ValueError("a step was passed over without a sequence or a record")
    return resolve_zone(snapshot.sequence.zone_policy, snapshot.record, snapshot.owner, snapshot.sequence)
