"""One person's life in a sequence: a CRM record, a provider and a ledger in memory, around the real plan and effects.

It does what the daemon's workers do, each in one line, so that thousands of lives can be tried in seconds. What the
daemon adds (transactions, batches, HTTP) has its own tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from run_values import REP, UTC_ZONE, ada, sequence_of
from schedule_values import at

from crmdrip.core import effects
from crmdrip.core.decisions import Enroll, Finish, Hold, Move, Readdress, Refuse, Send, Skip, Stop, Wait
from crmdrip.core.effects import Effect, Setting
from crmdrip.core.keys import touch_id
from crmdrip.core.model import (
    BoxPending,
    Brake,
    Enrollment,
    Owner,
    Record,
    Reenrollment,
    RunStatus,
    Sequence,
    Signal,
    SignalKind,
    TouchState,
)
from crmdrip.core.plan import plan
from crmdrip.core.reasons import HoldReason, Reason
from crmdrip.core.snapshot import PastRun, Snapshot, View
from crmdrip.core.steps import Passed
from crmdrip.core.struct import replace
from crmdrip.core.taken import Taken, take
from crmdrip.core.writes import StatusWrite, TaskWrite

MONDAY = at("2026-11-02T08:00")
MINUTE = timedelta(minutes=1)


class Fate(Enum):
    """What the provider does with an email."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    IN_DOUBT = "in doubt"


@dataclass(frozen=True)
class Sent:
    """An email that the provider took, whether or not anybody knows."""

    run: int
    step_id: str
    address: str
    at: datetime


@dataclass
class Life:
    """The record, the ledger and the provider."""

    now: datetime = MONDAY
    record: Record = field(default_factory=lambda: ada(enrolled=False, run=0))
    reason: str = ""
    """What the record shows."""
    next_touch: datetime | None = None
    sequence: Sequence | None = field(
        default_factory=lambda: sequence_of(reenrollment=Reenrollment.AFTER_DAYS, reenroll_after_days=0)
    )
    owner: Owner = REP
    brake: Brake = field(default_factory=lambda: Brake(pulled=False))

    run: Enrollment | None = None
    ended: list[Enrollment] = field(default_factory=list)
    past: list[PastRun] = field(default_factory=list)
    touches: dict[str, Passed] = field(default_factory=dict)
    """Of the live run."""
    signals: list[Signal] = field(default_factory=list)
    box: BoxPending = BoxPending.NO
    known: Record | None = None
    """The record as it was pulled last."""
    owed: StatusWrite | None = None

    begun: int = 0
    """Runs that ever began."""
    provider: list[Sent] = field(default_factory=list)
    timeline: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)

    # the world

    def change(self, **fields: object) -> None:
        """Somebody, or the daemon's own write, changes the record."""
        self.record = replace(self.record, **fields, modified_at=self.record.modified_at + MINUTE)  # type: ignore[arg-type]  # names are checked by replace

    def hear(self, kind: SignalKind) -> None:
        """Something happens to the person; the run ends at once, whether or not the CRM can be read."""
        self.signals.append(Signal(key=f"{kind}:{len(self.signals)}", kind=kind, at=self.now, source="test"))
        self.now += MINUTE
        if self.run is not None:
            self._act(self._snapshot(View.BLIND, record=None))

    # the workers

    def pull(self) -> None:
        """CRM to ledger."""
        if self.known is not None and self.known.modified_at == self.record.modified_at:
            return
        self.read(self.record)

    def read(self, record: Record) -> None:
        """A page of the pull with this record; an old page may arrive late."""
        before, self.known = self.known, record
        if (self.box is BoxPending.OFF and not record.enrolled) or (self.box is BoxPending.ON and record.enrolled):
            self.box = BoxPending.NO
        reread = before is not None and not before.deleted and record.modified_at <= before.modified_at
        restored = before is not None and before.deleted and not record.deleted
        self._act(replace(self._snapshot(View.PULLED, record=record), reread=reread, restored=restored))
        if self.run is not None and self.run.status in (RunStatus.HELD, RunStatus.PAUSED) and self._woken():
            self.run = replace(self.run, check_at=self.now)

    def _woken(self) -> bool:
        kept = (HoldReason.IN_DOUBT, HoldReason.NEEDS_PERSON, HoldReason.DAILY_CAP, HoldReason.PROVIDER)
        return self.run is not None and self.run.reason not in {Reason(code=code).key for code in kept}

    def dispatch(self, fate: Fate, *, blind: bool = False) -> Send | None:
        """Due to provider; returns what was decided to go out."""
        run = self.run
        if run is None or run.check_at is None or run.check_at > self.now:
            return None
        record = None if blind or self.record.deleted else self.record
        view = View.BLIND if blind else View.LOOKED
        decision = self._act(self._snapshot(view, record=record))
        if isinstance(decision, Send):
            self._hand_over(decision, run, fate)
            return decision
        return None

    def _hand_over(self, send: Send, run: Enrollment, fate: Fate) -> None:
        step = send.step
        if fate is Fate.REFUSED:
            self._touch(step.id, TouchState.REFUSED, step.order)
            self._store(self._hold(HoldReason.PROVIDER, "503", self.now + MINUTE))
            return
        self.provider.append(Sent(run=run.run, step_id=step.id, address=run.address, at=self.now))
        if fate is Fate.ACCEPTED:
            self._take(step.id)
            return
        self._touch(step.id, TouchState.IN_DOUBT, step.order)
        self._store(self._hold(HoldReason.IN_DOUBT, send.progress, None))

    def settle(self, *, found: bool) -> None:
        """The provider's log is asked about what is in doubt."""
        for step_id, touch in list(self.touches.items()):
            if touch.state is TouchState.IN_DOUBT and found:
                self._take(step_id)
            elif touch.state is TouchState.IN_DOUBT:
                self._touch(step_id, TouchState.NEEDS_PERSON, touch.order)
                if self.run is not None:
                    self._store(self._hold(HoldReason.NEEDS_PERSON, "", None))

    def write_back(self) -> None:
        """Ledger to CRM. Nothing is written to a deleted record; the box goes out as the ledger means it."""
        write, self.owed = self.owed, None
        if write is None:
            return
        if self.record.deleted:
            self.known = replace(self.known or self.record, deleted=True)
            return
        meant = {BoxPending.OFF: False, BoxPending.ON: True}.get(self.box)
        enrolled = self.record.enrolled if meant is None else meant
        self.change(status=write.status, run=write.run, last_touch=write.last_touch, enrolled=enrolled)
        self.reason, self.next_touch = write.reason, write.next_touch
        self.box = BoxPending.NO

    # what the daemon does with a decision

    def _snapshot(self, view: View, *, record: Record | None) -> Snapshot:
        run = self.run
        heard = tuple(signal for signal in self.signals if run is not None and signal.at >= run.entered_at)
        return Snapshot(
            view=view,
            record=record,
            enrollment=run,
            sequence=self.sequence,
            owner=self.owner,
            touches=self.touches,
            signals=heard,
            suppression="opted out of email" if self._unwanted() and run is None else "",
            past=tuple(self.past),
            brake=self.brake,
            box_pending=self.box,
            blind_because="503" if view is View.BLIND else "",
        )

    def _unwanted(self) -> bool:
        return any(signal.kind is SignalKind.UNSUBSCRIBE for signal in self.signals)

    def _setting(self) -> Setting:
        return Setting(org_id="00D", now=self.now, sequence=self.sequence, record=self.record, touches=self.touches)

    def _hold(self, code: HoldReason, detail: str, check_at: datetime | None) -> Effect:
        assert self.run is not None
        return effects.hold(Hold(reason=Reason(code=code, detail=detail), check_at=check_at), self.run, self._setting())

    def _act(self, snapshot: Snapshot) -> object:
        """Decide and store; returns the decision, None where there was none."""
        decisions = plan(snapshot, self.now)
        assert len(decisions) == 1 or snapshot.view is not View.LOOKED, "P3: a last look decides one thing"
        for decision in decisions:
            effect = self._effect(decision, snapshot)
            if effect is not None:
                self._store(effect)
            return decision
        return None

    def _effect(self, decision: object, snapshot: Snapshot) -> Effect | None:
        run, setting = snapshot.enrollment, self._setting()
        match decision:
            case Enroll():
                assert snapshot.record is not None
                self.touches = {}
                self.begun += 1
                return effects.enroll(decision, snapshot.record, "".join(snapshot.record.email.split()), self.now)
            case Refuse():
                assert snapshot.record is not None
                return effects.refuse(decision, snapshot.record)
        assert run is not None
        match decision:
            case Stop():
                return effects.stop(decision, run, setting)
            case Hold():
                return effects.hold(decision, run, setting)
            case Wait():
                return effects.wait(decision, run, setting)
            case Skip():
                return effects.skip(decision, run, setting, UTC_ZONE)
            case Finish():
                return effects.finish(run, setting)
            case Move():
                return effects.move(decision, run, setting)
            case Readdress():
                return effects.readdress(decision, run, setting)
            case _:
                return None

    def _take(self, step_id: str) -> None:
        touch = self.touches.get(step_id)
        run = self.run if self.run is not None else self.ended[-1]
        sequence = self.sequence or sequence_of()
        step = next((one for one in sequence.steps if one.id == step_id), None)
        if step is None:
            step = replace(sequence_of().steps[0], id=step_id, order=touch.order if touch else 0.0)
        sent_at = next(one.at for one in reversed(self.provider) if one.step_id == step_id)
        taken = Taken(
            touch_id=touch_id("00D", run.person, run.sequence_id, run.run, step_id),
            step=step,
            at=sent_at,
            zone=UTC_ZONE,
            sender=REP.email,
            owner_id=self.owner.id,
            subject="Hello",
            message_id=f"<{step_id}@acme.example>",
        )
        effect = take(taken, run, self._setting())
        self._touch(step_id, TouchState.ACCEPTED, step.order)
        self._store(effect)

    def _touch(self, step_id: str, state: TouchState, order: float) -> None:
        self.touches = {**self.touches, step_id: Passed(state=state, order=order, at=self.now)}

    def _store(self, effect: Effect) -> None:
        """One transaction."""
        for word, difference in effect.totals:
            self.figures[word] = self.figures.get(word, 0) + difference
        for touch in effect.touches:
            self._touch(touch.step_id, touch.state, touch.order)
        if effect.deleted:
            self.known = replace(self.known or self.record, deleted=True)
        if effect.dropped:
            self.owed = None
        for write, _ in effect.writes:
            if isinstance(write, StatusWrite):
                self.owed = write
            elif isinstance(write, TaskWrite) and write.step_id:
                self.timeline.append(write.key)
        if effect.box is not BoxPending.NO:
            self.box = effect.box
        after = effect.run
        if after is None:
            return
        if after.status.live:
            self.run = replace(after, id=after.id or len(self.ended) + 1)
            return
        if self.run is not None:
            self.past.append(
                PastRun(
                    sequence_id=after.sequence_id,
                    run=after.run,
                    status=after.status,
                    ended_at=self.now,
                    touched=after.steps_done > 0,
                )
            )
            self.ended.append(after)
            self.run = None
        else:
            self.ended[-1] = after
