"""Random lives: whatever people do, in whatever order, the promises hold (P1, P2, P3, B9, B14, B15, B17, B19)."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from life import Fate, Life
from run_values import REP
from schedule_values import make_step

from crmdrip.core.keys import domain_of, normalize_address
from crmdrip.core.model import BoxPending, Brake, RunStatus, SequenceStatus, SignalKind
from crmdrip.core.reasons import HoldReason, Reason, parse_reason
from crmdrip.core.struct import replace

ADDRESSES = ("ada@example.com", "Ada.Byron@Example.com", "ada@elsewhere.example", "ada..x@example.com", "")
STOPPING = (SignalKind.REPLY, SignalKind.MEETING, SignalKind.BOUNCE)
UNTIMED = {Reason(code=code).key for code in (HoldReason.IN_DOUBT, HoldReason.NEEDS_PERSON)}
FATES = st.sampled_from([Fate.ACCEPTED, Fate.ACCEPTED, Fate.REFUSED, Fate.IN_DOUBT])
GONE = Reason(code=HoldReason.RECORD_GONE).key
WOKEN_BY_RECORD = {Reason(code=code).key for code in (HoldReason.MISSING_FIELD, HoldReason.ADDRESS_CHANGED)}


class Lives(RuleBasedStateMachine):
    """Ada, her CRM, the provider and the daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life()
        self.new_steps = 0
        self.ticks = 0

    @initialize(delays=st.lists(st.integers(0, 3), min_size=2, max_size=6), fates=st.lists(FATES, max_size=3))
    def begin(self, delays: list[int], fates: list[Fate]) -> None:
        """Ada was ticked some days ago; then anything may happen."""
        self._set_steps(tuple(make_step(d, id=f"S{n}", order=10.0 * n) for n, d in enumerate(delays, 1)))
        self.set_box(on=True)
        self.days_pass(fates)

    # people

    @precondition(lambda self: not self.life.record.deleted)
    @rule(on=st.booleans())
    def set_box(self, *, on: bool) -> None:
        """Somebody ticks or unticks, for the first time or again."""
        self.ticks += on and not self.life.record.enrolled
        self.life.change(enrolled=on)

    @precondition(lambda self: not self.life.record.deleted)
    @rule(email=st.sampled_from(ADDRESSES))
    def set_address(self, email: str) -> None:
        """The address is corrected, moves, or is lost."""
        self.life.change(email=email)

    @precondition(lambda self: not self.life.record.deleted)
    @rule(days=st.sampled_from([None, 1, 9]))
    def pause(self, days: int | None) -> None:
        """Paused Until is set or cleared."""
        self.life.change(paused_until=None if days is None else self.life.now + timedelta(days=days))

    @precondition(lambda self: not self.life.record.deleted)
    @rule(opted_out=st.sampled_from([False, False, True]))
    def opt_out(self, *, opted_out: bool) -> None:
        """The CRM's own box."""
        self.life.change(opted_out=opted_out)

    @rule()
    def delete_or_restore(self) -> None:
        """Into the recycle bin, or out of it."""
        self.life.change(deleted=not self.life.record.deleted)

    @rule(kind=st.sampled_from(STOPPING))
    def answer(self, kind: SignalKind) -> None:
        """The person answers, or their mailbox does."""
        self.life.hear(kind)

    @rule(pulled=st.booleans())
    def brake(self, *, pulled: bool) -> None:
        """An admin pulls the brake or lets it go."""
        self.life.brake = Brake(pulled=pulled, by="Ann")

    @rule(active=st.booleans())
    def owner(self, *, active: bool) -> None:
        """The rep is deactivated or comes back."""
        self.life.owner = replace(REP, active=active)

    # RevOps

    @rule(status=st.sampled_from([SequenceStatus.LIVE, SequenceStatus.LIVE, SequenceStatus.PAUSED]))
    def set_status(self, status: SequenceStatus) -> None:
        """The sequence is paused or goes on."""
        if self.life.sequence is not None:
            self.life.sequence = replace(self.life.sequence, status=status)

    @rule(pick=st.integers(0, 9), order=st.integers(0, 50), active=st.booleans())
    def edit_step(self, pick: int, order: int, *, active: bool) -> None:
        """A step is moved, switched off or on."""
        self._edit(pick, order=float(order), active=active)

    @rule(order=st.integers(0, 50), delay=st.integers(0, 3), hours=st.sampled_from([None, 48]))
    def add_step(self, order: int, delay: int, hours: int | None) -> None:
        """A step is put anywhere."""
        self.new_steps += 1
        step = make_step(delay, id=f"N{self.new_steps}", order=float(order), expires_after_hours=hours)
        self._set_steps((*self._steps(), step))

    @rule(pick=st.integers(0, 9))
    def remove_step(self, pick: int) -> None:
        """A step is deleted; a sequence keeps at least one."""
        steps = self._steps()
        if len(steps) > 1:
            self._set_steps(tuple(step for step in steps if step is not steps[pick % len(steps)]))

    def _steps(self) -> tuple:  # type: ignore[type-arg]  # steps, as Sequence holds them
        return self.life.sequence.steps if self.life.sequence is not None else ()

    def _edit(self, pick: int, **fields: object) -> None:
        steps = list(self._steps())
        if steps:
            steps[pick % len(steps)] = replace(steps[pick % len(steps)], **fields)
            self._set_steps(tuple(steps))

    def _set_steps(self, steps: tuple) -> None:  # type: ignore[type-arg]  # steps, as Sequence holds them
        if self.life.sequence is not None:
            ordered = tuple(sorted(steps, key=lambda step: (step.order, step.id)))
            self.life.sequence = replace(self.life.sequence, steps=ordered)

    # time and the daemon

    @rule(hours=st.sampled_from([1, 5, 24, 24, 48, 100]))
    def wait(self, hours: int) -> None:
        """Time passes."""
        self.life.now += timedelta(hours=hours)

    @rule(fates=st.lists(FATES, min_size=1, max_size=6))
    def days_pass(self, fates: list[Fate]) -> None:
        """The daemon works as it does when nobody interferes: everything that falls due in the coming weeks."""
        for fate in fates:
            self.life.pull()
            self.until_due()
            self.dispatch(fate)
            self.life.settle(found=True)
            self.life.write_back()

    @rule()
    def until_due(self) -> None:
        """Time passes until the run is to be looked at."""
        run = self.life.run
        if run is not None and run.check_at is not None:
            self.life.now = max(self.life.now, run.check_at)

    @rule()
    def pull(self) -> None:
        """The CRM is pulled."""
        self.life.pull()

    @rule(kind=st.sampled_from([None, *STOPPING]))
    def a_page_crosses_a_write(self, kind: SignalKind | None) -> None:
        """B9: the pull reads, we write what we owe, and only then is the page stored."""
        self.life.pull()
        page = self.life.record
        if kind is not None:
            self.answer(kind)
        self.life.write_back()
        runs = self.life.begun, len(self.life.past)
        self.life.read(page)
        assert runs == (self.life.begun, len(self.life.past))

    @rule(kind=st.sampled_from(STOPPING))
    def answer_while_an_email_is_on_its_way(self, kind: SignalKind) -> None:
        """P2: it turns out later that the email went out, and the run stays stopped."""
        self.until_due()
        self.dispatch(Fate.IN_DOUBT)
        self.answer(kind)
        self.life.settle(found=True)
        assert self.life.run is None

    @rule(fate=st.sampled_from([Fate.IN_DOUBT, Fate.REFUSED]))
    def restart_while_an_email_is_on_its_way(self, fate: Fate) -> None:
        """P1: the daemon starts again and looks at every run at once; what is in doubt is not sent again."""
        self.until_due()
        self.dispatch(fate)
        if self.life.run is not None:
            self.life.run = replace(self.life.run, check_at=self.life.now)
            self.dispatch(Fate.ACCEPTED)

    @rule()
    def write_back(self) -> None:
        """What is owed is written."""
        self.life.write_back()

    @rule(found=st.booleans())
    def settle(self, *, found: bool) -> None:
        """Doubts are looked up."""
        self.life.settle(found=found)

    @rule()
    def look_in_vain(self) -> None:
        """P4: nothing goes out unseen."""
        assert self.life.dispatch(Fate.ACCEPTED, blind=True) is None

    @rule(fate=FATES)
    def dispatch(self, fate: Fate) -> None:
        """P2: what goes out was wanted at the last look."""
        life, run = self.life, self.life.run
        sent = life.dispatch(fate)
        if sent is None:
            return
        assert run is not None
        assert not life.record.deleted
        assert not life.record.opted_out
        assert life.record.enrolled or life.box is BoxPending.ON
        assert normalize_address(life.record.email) == run.address
        assert (
            domain_of(run.address) == "example.com" or run.steps_done == 0 or life.provider[-1].address == run.address
        )
        assert not any(one.at >= run.entered_at for one in life.signals)
        assert not life.brake.pulled
        assert life.owner.active
        assert life.record.paused_until is None or life.record.paused_until <= life.now
        assert life.sequence is not None
        assert life.sequence.status is SequenceStatus.LIVE
        assert next(step for step in life.sequence.steps if step.id == sent.step.id).active
        assert 9 <= life.now.hour < 17
        assert life.now.weekday() < 5

    @rule()
    def calm_down(self) -> None:
        """B9, P3: once everything is pulled and written, the record tells the truth about box, status and reason."""
        life = self.life
        for _ in range(3):
            life.pull()
            life.write_back()
        if life.record.deleted:
            assert life.run is None
            return
        assert life.box is BoxPending.NO
        assert life.record.enrolled == (life.run is not None)
        if life.run is None:
            assert life.record.status not in {status.value for status in RunStatus if status.live}
            assert life.next_touch is None
            return
        if life.run.reason == GONE:
            return  # it is there again, and the next look says so
        assert life.record.status == life.run.status.value
        if life.run.reason:
            assert life.reason == parse_reason(life.run.reason, life.run.reason_detail).sentence

    # what always holds

    @invariant()
    def nothing_goes_out_twice(self) -> None:
        """P1: neither a step of a run, nor two steps on one day."""
        sent = [(one.run, one.step_id) for one in self.life.provider]
        assert len(sent) == len(set(sent))
        days = [(one.run, one.at.date()) for one in self.life.provider]
        assert len(days) == len(set(days))

    @invariant()
    def only_a_person_starts_a_run(self) -> None:
        """B9, B14: a box that goes from off to on by hand, and neither our own writes nor a restored record."""
        assert self.life.begun <= self.ticks

    @invariant()
    def a_live_run_is_looked_at_again(self) -> None:
        """P3: by itself, or because somebody has to do something that wakes it."""
        run = self.life.run
        if run is not None:
            assert run.check_at is not None or run.reason in UNTIMED | WOKEN_BY_RECORD
            assert run.due_at is not None
            assert run.next_step_id is not None

    @invariant()
    def the_figures_add_up(self) -> None:
        """What the sequence's record shows is what there is."""
        life, figures = self.life, self.life.figures
        run = life.run
        assert figures.get("active", 0) == (run is not None)
        held = run is not None and run.status in (RunStatus.HELD, RunStatus.PAUSED)
        assert figures.get("held", 0) == held
        assert figures.get("stopped", 0) + figures.get("finished", 0) == len(life.past)

    @invariant()
    def what_is_known_to_have_gone_out_is_on_the_timeline_once(self) -> None:
        """P6: a rebuild finds every touch, and none twice."""
        assert len(self.life.timeline) == len(set(self.life.timeline)) == self.life.figures.get("sent", 0)
        assert len(self.life.timeline) <= len(self.life.provider)


Lives.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestLives = Lives.TestCase
