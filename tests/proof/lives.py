"""The state machine: anybody may do anything at any moment, everything may fail, and the daemon may die anywhere.

Hypothesis draws what happens and shrinks what fails. Each rule is one thing that happens in a real week; what happens
in the middle of a pass is put before one of its requests, in the very thread that answers them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from heard import misheard
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from orgs import Shown
from roads import Fate
from scene import Scene, make_blank
from watch import Figures, Later

from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.sandbox.hubspot.refusals import Refusal as HubSpotRefusal
from crmdrip.sandbox.salesforce.refusals import Refusal as SalesforceRefusal
from crmdrip.sandbox.sendgrid import AcceptedEmail, Disturbances
from crmdrip.sandbox.world import ClickWay
from crmdrip.sandbox.world.letters import HUMAN, LANGUAGES, Truth, Who
from crmdrip.sandbox.world.stops import Stop, StopKind

REFUSALS = (LookupError, SalesforceRefusal, HubSpotRefusal)
"""What the CRM itself does not let people do."""

SEND, LOGS = "/v3/mail/send", "/v3/logs"
MAIL_TROUBLES = {
    "cut": Fault(kind=FaultKind.CUT, path=SEND),
    "lost answer": Fault(kind=FaultKind.CUT_AFTER, path=SEND),
    "429": Fault(kind=FaultKind.ANSWER, path=SEND, status=429),
    "503": Fault(kind=FaultKind.ANSWER, path=SEND, status=503, body='{"errors":[{"message":"later"}]}'),
    "401": Fault(kind=FaultKind.ANSWER, path=SEND, status=401, body='{"errors":[{"message":"no"}]}'),
    "500 after accepting": Fault(kind=FaultKind.ANSWER_AFTER, path=SEND, status=500),
    "502 after accepting": Fault(kind=FaultKind.ANSWER_AFTER, path=SEND, status=502, body="<html>"),
    "503 after accepting": Fault(kind=FaultKind.ANSWER_AFTER, path=SEND, status=503),
    "no log": Fault(kind=FaultKind.CUT, path=LOGS),
    "log broken": Fault(kind=FaultKind.ANSWER, path=LOGS, status=500),
}
DEEDS = (
    *("reply", "book_meeting", "opt_out", "untick", "untick"),
    *("bounce", "report_spam", "open_opportunity", "pause", "end_pause"),
    *("tick", "tick", "tick_again", "tick_again", "tick_other"),
    *("change_address", "change_address", "change_owner", "merge", "convert", "delete", "undelete", "add"),
)
BY_DOOR = (
    *("answer", "answer", "answer_otherwise", "ask_removal", "away", "machine_answer", "leave_company", "come_back"),
    *("click", "click", "click_page", "write_to_leave", "leave_list", "leave_group", "bounce", "report_spam"),
)
"""What comes in at the door, once the person was mailed."""
QUIET = Disturbances()
WILD = Disturbances(duplicated=0.4, late=0.3, bare=0.4, shuffled=0.7, repeated=0.4)
PEOPLE = 8
SHORTEST, LONGEST = 8, 60
"""Days after which everything may have come to its end, and has to."""
SHARING = 4
"""So many have a colleague."""

people = st.integers(0, PEOPLE + 3)
deeds = st.sampled_from((*DEEDS, *BY_DOOR))
comings = st.sampled_from(BY_DOOR)
picks = st.integers(0, 11)


class Lives(RuleBasedStateMachine):
    """One org for some weeks. Subclasses name the CRM."""

    crm: ClassVar[str]
    blank: ClassVar[Path | None] = None
    total: ClassVar[Figures] = Figures()
    """Over all plays of this process."""
    plays: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="crmdrip-proof-"))
        self.scene: Scene
        self.people: list[str] = []
        self.sequences: list[str] = []
        self.forgotten: set[str] = set()
        """Records that were deleted before a ledger was lost: neither knows of them, so they are not restored."""
        self.number = 0
        self.letters = 0
        self.group = 0

    @initialize(
        policy=st.sampled_from(["Never", "After Finish", "After Days"]),
        conversion=st.sampled_from(["Continue", "Stop if Opportunity"]),
        delays=st.lists(st.integers(0, 2), min_size=3, max_size=6),
        cap=st.sampled_from([None, None, None, 60, 200]),
        disturbances=st.sampled_from([QUIET, WILD]),
        raw=st.booleans(),
    )
    def begin(  # noqa: PLR0917 - drawn
        self,
        policy: str,
        conversion: str,
        delays: list[int],
        cap: int | None,
        disturbances: Disturbances,
        raw: bool,  # noqa: FBT001 - drawn
    ) -> None:
        """Two sequences, a dozen people, most of them ticked, and a daemon that starts."""
        if Lives.blank is None or not Lives.blank.exists():
            Lives.blank = make_blank(Path(tempfile.mkdtemp(prefix="crmdrip-blank-")))
        self.scene = Scene(self.crm, self.folder, Lives.blank, cap=cap)
        self.scene.__enter__()
        self.scene.connect(disturbances, raw=raw)
        if conversion == "Continue":
            self.scene.watch.no_stops.add(StopKind.CONVERTED)
        words = {"re_enrollment": policy, "on_conversion": conversion}
        add = self.scene.org.add_sequence
        self.sequences = [self.scene.do(add, name, [0, *delays], words) for name in ("First", "Second")]
        for number in range(PEOPLE):
            self.add_person(number, ticked=True)
        if len(self.scene.org.kinds) > 1:  # leads at the addresses of contacts, and one with its own
            for number in (PEOPLE - 2, PEOPLE - 1, PEOPLE):
                self.add_person(number, kind="Lead", ticked=number == PEOPLE)
        self.scene.begin()

    def add_person(self, number: int, *, kind: str = "Contact", ticked: bool) -> None:
        """Somebody new."""
        sequence = self.sequences[0] if ticked else ""
        email = f"p{number}@firm{number // 2 if number < SHARING else number}.example"
        self.people.append(self.scene.do(self.scene.org.add_person, kind, email, sequence))

    # time and the daemon

    @rule(minutes=st.sampled_from([1, 10, 60, 600, 1440, 1440]))
    def time_passes(self, minutes: int) -> None:
        """Nothing else happens."""
        self.scene.later(minutes=minutes)

    @rule()
    def turn(self) -> None:
        """One pass of every loop."""
        self.scene.turn()

    @rule(days=st.integers(1, 3))
    def days_pass(self, days: int) -> None:
        """Everybody does what is to be done."""
        self.scene.play(self.scene.now + timedelta(days=days), timedelta(hours=8))

    @rule(name=st.sampled_from(sorted(passes.PASSES)))
    def one_pass(self, name: str) -> None:
        """One loop alone is awake."""
        self.scene.run_pass(name)

    @rule(acting=st.lists(st.tuples(deeds, people, picks), max_size=3), hours=st.sampled_from([1, 24]))
    def dispatch_before_any_pull(self, acting: list[tuple[str, int, int]], hours: int) -> None:
        """The next day a good deal happens, and the dispatcher runs before any of it was pulled."""
        self.scene.later(hours=hours)
        for deed, person, pick in acting:
            self.act(deed, person, pick)
        self.scene.do(self.scene.knock)
        self.scene.run_pass("dispatch")

    @rule(hours=st.sampled_from([1, 24]), point=st.integers(0, 40) | st.integers(0, 400))
    def process_dies(self, hours: int, point: int) -> None:
        """At any point, while some things are due; then it starts again."""
        self.scene.later(hours=hours)
        self.scene.die_at(point)

    @rule()
    def process_starts_again(self) -> None:
        """In order: a new version, a reboot."""
        self.scene.begin()

    # what goes wrong

    @rule(trouble=st.sampled_from(sorted(MAIL_TROUBLES)), after=st.integers(0, 3), times=st.sampled_from([1, 3, 20]))
    def mail_goes_wrong(self, trouble: str, after: int, times: int) -> None:
        """Some of the next requests meet trouble."""
        self.scene.watch.tell(f"  mail: {trouble} after {after}, {times} times")
        self.scene.fail("mail", replace(MAIL_TROUBLES[trouble], after=after, times=times))

    @rule(pick=st.integers(0, 40), after=st.integers(0, 6), times=st.sampled_from([1, 4, 30]))
    def crm_goes_wrong(self, pick: int, after: int, times: int) -> None:
        """Some of the next calls meet trouble."""
        known = {name: fault for name, fault in self.scene.org.troubles.items() if fault.kind is not FaultKind.SLOW}
        name = sorted(known)[pick % len(known)]
        self.scene.watch.tell(f"  crm: {name} after {after}, {times} times")
        self.scene.fail("crm", replace(known[name], after=after, times=times))

    @rule(person=people, writes=st.sampled_from([1, 3, 50]))
    def record_is_locked(self, person: int, writes: int) -> None:
        """Somebody else's long transaction holds the row."""
        self.scene.watch.tell(f"  {self._who(person)} is locked for {writes} writes")
        self.scene.do(self.scene.org.lock, self.people[person % len(self.people)], writes)

    @rule()
    def mended(self) -> None:
        """Whoever is on duty sees to it that everything works."""
        self.scene.watch.tell("  mended")
        self.scene.mend()

    @rule(hours=st.sampled_from([-72, -2, 2, 72]))
    def machine_clock_jumps(self, hours: int) -> None:
        """The machine's clock is wrong until it is mended (B29)."""
        self.scene.watch.tell(f"  the machine's clock is {hours} hours off")
        self.scene.clock.ahead = timedelta(hours=hours)
        self.scene.forgot_calls = True

    # the door

    @rule(fate=st.sampled_from(sorted(Fate)), after=st.integers(0, 2), times=st.sampled_from([1, 2, 10]))
    def road_goes_wrong(self, fate: Fate, after: int, times: int) -> None:
        """What is posted to the door next does not just arrive."""
        self.scene.watch.tell(f"  road: {fate.value} after {after}, {times} times")
        self.scene.roads.fates = [Fate.ARRIVES] * after + [fate] * times

    @rule(deed=comings, person=people, pick=picks)
    def comes_in(self, deed: str, person: int, pick: int) -> None:
        """Something is posted to the door, and nobody reads it yet."""
        self.act(deed, person, pick)
        self.scene.do(self.scene.knock)

    @rule(
        coming=st.lists(st.tuples(comings, people, picks), min_size=2, max_size=5), minutes=st.sampled_from([1, 1440])
    )
    def many_answer(self, coming: list[tuple[str, int, int]], minutes: int) -> None:
        """Emails go out, some of those who got them answer, and the dispatcher is the first that runs after that."""
        self.scene.later(hours=24)
        self.scene.turn()
        for deed, person, pick in coming:
            self.act(deed, person, pick)
        self.scene.sandbox.set_time(self.scene.now + timedelta(minutes=minutes))
        self.scene.do(self.scene.knock)
        self.scene.run_pass("dispatch")

    @rule(requests=st.integers(0, 25), path=st.sampled_from(["", SEND]), deed=comings, person=people, pick=picks)
    def comes_in_meanwhile(self, requests: int, path: str, deed: str, person: int, pick: int) -> None:
        """Something is posted to the door while the daemon is at work, right before one of its requests arrives."""

        def come() -> None:
            self._act(deed, person, pick)
            self.scene.knock()

        self._arm(requests, path, come, f"{deed} {self._who(person)}, posted at once")

    @rule(
        coming=st.lists(st.tuples(comings, people, picks), min_size=1, max_size=3),
        point=st.integers(0, 30),
        name=st.sampled_from(["received", "dispatch", ""]),
    )
    def process_dies_over_it(self, coming: list[tuple[str, int, int]], point: int, name: str) -> None:
        """The process is killed while it takes something in, or before it has read it."""
        if not name:
            self.scene.mortality.arm(point)
        for deed, person, pick in coming:
            self.act(deed, person, pick)
        self.scene.do(self.scene.knock)
        self.scene.die_at(point, name)

    @rule(hours=st.sampled_from([1, 8, 30, 80]), deed=comings, person=people, pick=picks)
    def nobody_is_there(self, hours: int, deed: str, person: int, pick: int) -> None:
        """The machine is off for a while, and vendors post in vain."""
        self.scene.watch.tell(f"  off for {hours} hours")
        self.scene.end()
        self.act(deed, person, pick)
        for _ in range(4):
            self.scene.do(self.scene.knock)
            self.scene.later(hours=hours / 4)
        self.scene.begin()

    @rule(number=st.integers(0, 9))
    def comes_again(self, number: int) -> None:
        """Something that was taken long ago is posted once more, as it was."""
        self.scene.watch.tell(f"  posted again: {number}")
        self.scene.do(self.scene.roads.post_again, number)

    @rule()
    def crm_hints(self) -> None:
        """The CRM tells that something has changed; or somebody says so."""
        self.scene.watch.tell("  hint")
        self.scene.do(self.scene.hint)
        self.scene.react()

    @rule(hasty=st.booleans(), raw=st.booleans())
    def habits_change(self, *, hasty: bool, raw: bool) -> None:
        """Whether what comes in is read at once, and in which form mail comes."""
        self.scene.hasty = hasty
        self.scene.change_form(raw=raw)

    # in the middle of a pass

    @rule(requests=st.integers(0, 25), deed=deeds, person=people, pick=picks)
    def meanwhile(self, requests: int, deed: str, person: int, pick: int) -> None:
        """Somebody acts while the daemon is at work, right before one of its requests arrives."""
        self._arm(requests, "", lambda: self._act(deed, person, pick), f"{deed} {self._who(person)}")

    @rule(requests=st.integers(0, 6), deed=deeds, person=people, pick=picks)
    def meanwhile_emails_leave(self, requests: int, deed: str, person: int, pick: int) -> None:
        """Somebody acts after the last look, right before one of its emails arrives."""
        self._arm(requests, SEND, lambda: self._act(deed, person, pick), f"{deed} {self._who(person)}")

    @rule(requests=st.integers(0, 25), minutes=st.sampled_from([1, 3, 60, 1440]), path=st.sampled_from(["", SEND]))
    def time_passes_meanwhile(self, requests: int, minutes: int, path: str) -> None:
        """The machine sleeps in the middle of a pass, or the other side is slow (P4)."""
        control, clock = self.scene.sandbox.control, self.scene.sandbox.clock

        def sleep() -> None:
            control.move_clock(clock() + timedelta(minutes=minutes))

        self._arm(requests, path, sleep, f"{minutes} minutes pass")

    def _arm(self, requests: int, path: str, deed: Callable[[], None], text: str) -> None:
        watch = self.scene.watch

        def happen() -> None:
            watch.tell(f"    meanwhile: {text}")
            deed()

        watch.tell(f"  at request {requests} {path}: {text}")
        watch.later.append(Later(requests=requests, path=path, deed=happen))

    # ledgers

    @rule()
    def ledger_is_copied(self) -> None:
        """A backup, made while the daemon goes on."""
        self.scene.watch.tell("  backup")
        self.scene.copy_ledger()

    @rule(requests=st.integers(0, 25))
    def ledger_is_copied_meanwhile(self, requests: int) -> None:
        """A backup from the middle of a pass."""
        self._arm(requests, "", self.scene.copy_ledger, "backup")

    @rule()
    def ledger_is_lost(self) -> None:
        """The file is deleted (B4)."""
        self.scene.watch.tell("  the ledger is lost")
        self._forget_deleted()
        self.scene.lose_ledger()

    @precondition(lambda self: self.scene.copies)
    @rule(pick=st.integers(0, 3))
    def backup_is_put_back(self, pick: int) -> None:
        """An older copy takes the ledger's place (B4)."""
        copy = self.scene.copies[-1 - pick % min(len(self.scene.copies), 3)]
        self.scene.watch.tell(f"  {copy.name} is put back")
        self._forget_deleted()
        self.scene.restore(copy)

    @precondition(lambda self: len(self.scene.processes) < 3)
    @rule(copied=st.booleans())
    def second_daemon_takes_over(self, *, copied: bool) -> None:
        """Somebody starts another one with --take-over while the first is at work (B3)."""
        self.scene.watch.tell(f"  a second daemon, with {'a copy' if copied else 'an empty ledger'}")
        self._forget_deleted()
        self.scene.take_over(self.scene.copy_ledger() if copied else None)

    def _forget_deleted(self) -> None:
        self.forgotten |= {person for person in self.people if self.scene.show(person).gone}

    # people, reps, RevOps and admins

    @rule(deed=deeds, person=people, pick=picks)
    def act(self, deed: str, person: int, pick: int) -> None:
        """One deed of one person, with one record."""
        self.scene.watch.tell(f"  {deed} {self._who(person)}")
        self.scene.do(self._act, deed, person, pick)

    def _who(self, person: int) -> str:
        return self.people[person % len(self.people)]

    def _act(self, deed: str, person: int, pick: int) -> None:
        """In the servers' thread."""
        record_id = self._who(person)
        shown = self.scene.org.show(record_id)
        self._try(lambda: getattr(self, f"_{deed}")(record_id, shown, pick))

    @property
    def actions(self) -> Any:
        """The sandbox's."""
        return self.scene.sandbox.world.actions

    def _reply(self, record_id: str, shown: Shown, pick: int) -> None:
        if shown.email and not shown.gone:
            self.scene.watch.wrote |= {record_id, shown.email}
            self.actions.reply(shown.email, "No, thank you.")

    # what comes in at the door

    def _mailed(self, shown: Shown, pick: int) -> AcceptedEmail | None:
        """One of the emails that the person got, the newest most often."""
        emails = self.scene.sandbox.account.to(shown.email) if shown.email else []
        return emails[-1 - max(pick - 8, 0) % len(emails)] if emails else None

    def _write(self, record_id: str, shown: Shown, pick: int, truth: Truth, who: Who = Who.SELF) -> None:
        """A mail comes back."""
        email = self._mailed(shown, pick)
        if email is None:
            return
        self.letters += 1
        random, world = Random(self.letters), self.scene.sandbox.world
        occasion = world.occasion(email, dict(self.actions.record(shown.id)), random)
        if truth in HUMAN or truth is Truth.CALENDAR:
            self.scene.watch.wrote |= {record_id, shown.email}
        self.actions.answer(truth, replace(occasion, language=LANGUAGES[pick % len(LANGUAGES)]), random, who)

    def _answer(self, record_id: str, shown: Shown, pick: int) -> None:
        self._write(record_id, shown, pick, Truth.REPLY)

    def _answer_otherwise(self, record_id: str, shown: Shown, pick: int) -> None:
        self._write(record_id, shown, pick, Truth.REPLY, (Who.ALIAS, Who.COLLEAGUE)[pick % 2])

    def _ask_removal(self, record_id: str, shown: Shown, pick: int) -> None:
        self._write(record_id, shown, pick, Truth.UNSUBSCRIBE)

    def _away(self, record_id: str, shown: Shown, pick: int) -> None:
        self._write(record_id, shown, pick, Truth.OUT_OF_OFFICE)

    def _machine_answer(self, record_id: str, shown: Shown, pick: int) -> None:
        self._write(record_id, shown, pick, (Truth.AUTO_REPLY, Truth.RECEIPT, Truth.CALENDAR)[pick % 3])

    def _leave_company(self, record_id: str, shown: Shown, pick: int) -> None:
        self._write(record_id, shown, pick, Truth.LEFT_COMPANY)

    def _come_back(self, record_id: str, shown: Shown, pick: int) -> None:
        self._write(record_id, shown, pick, Truth.BOUNCE)

    def _click(self, record_id: str, shown: Shown, pick: int) -> None:
        if (email := self._mailed(shown, pick)) is not None:
            self.actions.unsubscribe(email)

    def _click_page(self, record_id: str, shown: Shown, pick: int) -> None:
        if (email := self._mailed(shown, pick)) is not None:
            self.actions.unsubscribe(email, ClickWay.PAGE)

    def _write_to_leave(self, record_id: str, shown: Shown, pick: int) -> None:
        if (email := self._mailed(shown, pick)) is not None:
            self.letters += 1
            random, world = Random(self.letters), self.scene.sandbox.world
            occasion = world.occasion(email, dict(self.actions.record(shown.id)), random)
            self.actions.unsubscribe_by_mail(occasion, random)

    def _leave_list(self, record_id: str, shown: Shown, pick: int) -> None:
        if self._mailed(shown, pick) is not None:
            self.scene.sandbox.account.unsubscribe(shown.email)
            self._left(shown.email)

    def _leave_group(self, record_id: str, shown: Shown, pick: int) -> None:
        if self._mailed(shown, pick) is not None:
            account = self.scene.sandbox.account
            self.group = self.group or account.suppressions.add_group("News").id
            account.leave_group(shown.email, self.group)
            self._left(shown.email)

    def _left(self, address: str) -> None:
        stop = Stop(address=address, kind=StopKind.UNSUBSCRIBE, at=self.scene.now, position=0)
        self.actions.stops.add_by_provider(stop)

    # in the CRM

    def _book_meeting(self, record_id: str, shown: Shown, pick: int) -> None:
        self.actions.book_meeting(record_id)

    def _opt_out(self, record_id: str, shown: Shown, pick: int) -> None:
        self.actions.opt_out(record_id)

    def _untick(self, record_id: str, shown: Shown, pick: int) -> None:
        self.actions.untick(record_id)

    def _bounce(self, record_id: str, shown: Shown, pick: int) -> None:
        if shown.email:
            self.actions.bounce(shown.email)

    def _report_spam(self, record_id: str, shown: Shown, pick: int) -> None:
        if shown.email:
            self.actions.report_spam(shown.email)

    def _open_opportunity(self, record_id: str, shown: Shown, pick: int) -> None:
        if not record_id.startswith("00Q"):
            self.actions.open_opportunity(record_id)

    def _pause(self, record_id: str, shown: Shown, pick: int) -> None:
        self.actions.pause(record_id, self.scene.now + timedelta(days=1 + pick % 4))

    def _end_pause(self, record_id: str, shown: Shown, pick: int) -> None:
        self.actions.pause(record_id, None)

    def _tick(self, record_id: str, shown: Shown, pick: int) -> None:
        if not shown.enrolled:
            self.actions.tick(record_id, self.sequences[0])

    def _tick_other(self, record_id: str, shown: Shown, pick: int) -> None:
        if not shown.enrolled:
            self.actions.tick(record_id, self.sequences[1])

    def _tick_again(self, record_id: str, shown: Shown, pick: int) -> None:
        for _ in range(1 + pick % 3):
            self.actions.untick(record_id)
            self.actions.tick(record_id, self.sequences[pick % 2])

    def _change_address(self, record_id: str, shown: Shown, pick: int) -> None:
        local, _, domain = shown.email.partition("@")
        choices = [f"x{local}@{domain}", f"{local.removeprefix('x')}@{domain}", f"{local}@x{domain}"]
        new = choices[pick % len(choices)]
        if new != shown.email:
            self.actions.change_address(record_id, new)
            self.actions.stops.lift(new)

    def _change_owner(self, record_id: str, shown: Shown, pick: int) -> None:
        reps = self.scene.sandbox.world.reps
        self.actions.change_owner(record_id, reps[pick % len(reps)])

    def _merge(self, record_id: str, shown: Shown, pick: int) -> None:
        other = self._who(pick)
        if self.scene.org.show(other).id != shown.id and other[:3] == record_id[:3]:
            self.actions.merge(record_id, other)
            # HubSpot keeps a ticked box of either: where the survivor's own was never answered, nothing had begun.
            if not shown.status and self.scene.org.show(record_id).enrolled:
                self.actions.stops.lift(shown.email)

    def _convert(self, record_id: str, shown: Shown, pick: int) -> None:
        if record_id.startswith("00Q"):
            self.people.append(self.actions.convert(record_id, with_opportunity=pick % 2 == 0))

    def _delete(self, record_id: str, shown: Shown, pick: int) -> None:
        self.actions.delete(record_id)

    def _undelete(self, record_id: str, shown: Shown, pick: int) -> None:
        if shown.gone and record_id not in self.forgotten:
            self.actions.undelete(record_id)
            # Whether it stays stopped has tests of its own (B14): nothing tells a ledger that was lost meanwhile.
            self.actions.stops.lift(shown.email)

    def _add(self, record_id: str, shown: Shown, pick: int) -> None:
        self.number += 1
        email = f"new{self.number}@firm{pick}.example"
        sequence = self.sequences[pick % 2]
        self.people.append(self.scene.org.add_person(self.scene.org.kinds[0], email, sequence))

    @rule(
        what=st.sampled_from(["move", "switch", "add", "remove", "reweigh", "rewrite", "delay"]),
        pick=picks,
        order=st.sampled_from([5, 15, 25, 35, 45]),
    )
    def steps_change(self, what: str, pick: int, order: int) -> None:
        """RevOps edits a sequence while people are in flight (B17)."""
        self.scene.watch.tell(f"  step {pick}: {what} {order}")
        self.scene.do(self._try, lambda: self._edit(what, pick, order))

    def _try(self, deed: Callable[[], object]) -> None:
        """In the servers' thread; what the CRM refuses is not done."""
        try:
            deed()
        except REFUSALS as refusal:
            self.scene.watch.tell(f"      refused: {type(refusal).__name__}")

    def _edit(self, what: str, pick: int, order: int) -> None:
        org, sequence = self.scene.org, self.sequences[pick % 2]
        steps = org.steps(sequence)
        step = steps[pick % len(steps)]
        match what:
            case "move":
                org.change_step(sequence, step, order=order)
            case "switch":
                org.change_step(sequence, step, active=pick % 3 == 0)
            case "add":
                org.add_step(sequence, order=order, delay=pick % 3, variant="B" if pick % 2 else "")
            case "remove" if len(steps) > 1:
                org.remove_step(sequence, step)
            case "reweigh":
                org.change_step(sequence, step, weight=pick)
            case "rewrite":
                org.change_step(sequence, step, body=f"<p>Hi {{{{ contact.last_name }}}}, {pick}?</p>")
            case "delay":
                org.change_step(sequence, step, delay=pick % 4)

    @rule(pick=st.integers(0, 1), status=st.sampled_from(["Live", "Live", "Paused", "Draft"]))
    def sequence_changes(self, pick: int, status: str) -> None:
        """Paused in the middle, or live again."""
        self.scene.watch.tell(f"  sequence {pick} is {status}")
        org = self.scene.org
        self.scene.do(self._try, lambda: org.change_sequence(self.sequences[pick], status=status))

    @rule(pulled=st.booleans())
    def brake(self, *, pulled: bool) -> None:
        """The emergency brake."""
        self.scene.watch.tell(f"  the brake is {'pulled' if pulled else 'let go'}")
        self.scene.do(self.scene.org.set_brake, pulled=pulled)

    # what always holds

    @invariant()
    def promises_hold(self) -> None:
        """P1, P2, P4: as they were checked with every request."""
        if hasattr(self, "scene"):
            self._demand(self.scene.watch.violations)

    def _demand(self, violations: list[str]) -> None:
        if violations:
            story = "\n".join(self.scene.watch.story)
            note(story)
            raise AssertionError("\n".join(violations))

    def teardown(self) -> None:
        """Everything is mended and comes to its end: then everybody is told of (P3)."""
        try:
            if hasattr(self, "scene"):
                self._finish()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self) -> None:
        scene = self.scene
        try:
            if sys.exc_info()[0] is not None or scene.watch.violations:
                note("\n".join(scene.watch.story))
                return  # it has failed already
            self._come_to_the_end()
            self._demand(scene.watch.violations + scene.unexplained(self.people) + misheard(scene, self.people))
        finally:
            total, own = Lives.total, scene.watch.figures
            Lives.plays += 1
            scene.__exit__(None, None, None)
            for name in ("emails", "looks", "stops", "deaths"):
                setattr(total, name, getattr(total, name) + getattr(own, name))
            total.posted.update(own.posted)
            total.door.update(own.door)

    def _make_live(self, sequence: str) -> None:
        org = self.scene.org
        org.change_step(sequence, org.steps(sequence)[0], active=True)
        org.change_sequence(sequence, status="Live")

    def _come_to_the_end(self) -> None:
        scene = self.scene
        scene.watch.tell("to the end")
        scene.watch.later.clear()
        scene.roads.fates.clear()
        if scene.cap is not None:
            if not scene.forgot_calls:
                scene.watch.check_budget(scene.cap)
            scene.configure(None)
        for sequence in self.sequences:
            scene.do(self._try, partial(self._make_live, sequence))
        scene.do(scene.org.set_brake, pulled=False)
        scene.begin()
        scene.retry()
        for day in range(LONGEST):  # who is away comes back, and then the steps that are left are days apart
            if day >= SHORTEST and not scene.unexplained(self.people):
                break
            scene.play(scene.now + timedelta(days=1), timedelta(hours=8))


class SalesforceLives(Lives):
    """In a Salesforce org."""

    crm = "salesforce"


class HubSpotLives(Lives):
    """In a HubSpot portal."""

    crm = "hubspot"


MACHINES: dict[str, type[Lives]] = {"salesforce": SalesforceLives, "hubspot": HubSpotLives}
