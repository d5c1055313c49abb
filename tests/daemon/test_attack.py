"""Everybody against the daemon at once, from one seed: nobody is mailed twice, after a stop, or kept in the dark.

People, reps and RevOps change whatever they can change, at any moment: also between the last look and the outcome, by
threads of their own. Requests are cut before and after their work, the process dies without a word, the ledger is lost
or replaced by an older copy, the machine's clock is wrong. The oracles are the provider's record of what it accepted,
and the moments at which stops could be seen and were looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from stage import Stage

from crmdrip.core.errors import CrmdripError
from crmdrip.core.model import RunStatus, TouchState
from crmdrip.core.reasons import HoldReason, Reason
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.trouble import TROUBLES

DEEDS = 50
FOR_PEOPLE = {Reason(code=code).key for code in (HoldReason.NEEDS_PERSON, HoldReason.SEQUENCE_INVALID)}
"""Holds that only a person ends: steps may have been left with an error (B17)."""
SEND, LOGS = "/v3/mail/send", "/v3/logs"
MAIL_FAULTS = (
    Fault(kind=FaultKind.CUT, path=SEND),
    Fault(kind=FaultKind.CUT_AFTER, path=SEND),
    Fault(kind=FaultKind.ANSWER, path=SEND, status=429),
    Fault(kind=FaultKind.ANSWER, path=SEND, status=503, body='{"errors":[{"message":"later"}]}'),
    Fault(kind=FaultKind.ANSWER, path=SEND, status=401, body='{"errors":[{"message":"no"}]}'),
    Fault(kind=FaultKind.ANSWER_AFTER, path=SEND, status=500),
    Fault(kind=FaultKind.ANSWER_AFTER, path=SEND, status=502, body="<html>"),
    Fault(kind=FaultKind.ANSWER_AFTER, path=SEND, status=503),
    Fault(kind=FaultKind.CUT, path=LOGS),
    Fault(kind=FaultKind.ANSWER, path=LOGS, status=500),
)
CRM_FAULTS = (
    "unavailable",
    "unavailable_after_commit",
    "cut",
    "cut_after_commit",
    "session_expired",
    "limit_exceeded",
    "too_many_requests",
)


class Killed(BaseException):
    """The process ends here, without another word to its ledger."""


@dataclass(slots=True)
class Watch:
    """In which order stops could be seen, looks were made, and emails handed over."""

    moment: int = 0
    stopped: dict[str, int] = field(default_factory=dict)
    """The moment of each address's stop; absent once the box was ticked again."""
    looked: int = 0
    handed: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By touch id: address, and moment of the look it was decided by."""
    late: list[str] = field(default_factory=list)
    """Touches handed over although their look came after a stop."""

    def next(self) -> int:
        """The next moment."""
        self.moment += 1
        return self.moment


class Shadowing:
    """A part of the daemon as it is, watched, with somebody else's deeds in between, and perhaps its death."""

    def __init__(self, part: Any, attack: Attack, *, dies_at: str = "", after: int = 0) -> None:
        self._part = part
        self._attack = attack
        self._dies_at = dies_at
        self._left = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    def _die(self, where: str) -> None:
        if where == self._dies_at:
            if self._left == 0:
                raise Killed
            self._left -= 1

    def look(self, *args: Any) -> Any:
        """The moment of a look is the one at which it is asked for."""
        self._die("look")
        watch = self._attack.watch
        watch.looked = watch.next()
        if self._attack.random.random() < 0.2 * self._attack.meddling:
            self._attack.ledger_is_copied()
        found = self._part.look(*args)
        self._die("looked")
        self._attack.meddle(0.3)
        return found

    def pull(self, cursor: str | None) -> Iterator[Any]:
        """Page by page."""
        waiting = set(self._attack.unpulled)
        for page in self._part.pull(cursor):
            yield page
            self._die("pulled")
        self._attack.pulled(waiting)

    def write(self, writes: Any) -> Iterator[Any]:
        """Outcome by outcome."""
        for outcome in self._part.write(writes):
            yield outcome
            self._die("written")

    def send(self, messages: Any) -> Iterator[Any]:
        """Somebody may act before the first email leaves, and while outcomes come in."""
        watch = self._attack.watch
        for message in messages:
            address = message.to_address.lower()
            watch.handed[message.touch_id] = (address, watch.looked)
            self._attack.acts.append(f"            sends {address} by look {watch.looked}")
            if watch.stopped.get(address, watch.moment + 1) < watch.looked:
                watch.late.append(message.touch_id)
        self._attack.meddle(0.3)
        self._die("send")
        for outcome in self._part.send(messages):
            self._attack.meddle(0.1)
            self._die("sent")
            yield outcome


class Attack:
    """One play."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.random = Random(seed)
        self.watch = Watch()
        mail = stage.settings.mail
        one_by_one = mail.model_copy(update={"settings": mail.settings.model_copy(update={"connections": 1})})
        stage.settings = stage.settings.model_copy(update={"mail": one_by_one})
        self.meddling = 1.0
        """How much happens between the daemon's own steps."""
        self.unpulled: set[str] = set()
        """Addresses that opted out on a record which is not the run's own."""
        self.forgotten: set[str] = set()
        self.copies: list[Any] = []
        self.acts: list[str] = []
        """What happened, for whoever has to understand a failure."""
        again = {"Drip_Re_Enrollment__c": self.random.choice(["Never", "After Finish", "After Days"])}
        self.sequences = [
            stage.sequence(
                {"Drip_Delay__c": 0},
                *({"Drip_Delay__c": 1} for _ in range(5)),
                Drip_Re_Enroll_After_Days__c=0,
                Drip_Minimum_Gap_Hours__c=1,
                Drip_On_Conversion__c="Continue",
                Drip_Send_Days__c="Mon;Tue;Wed;Thu;Fri;Sat;Sun",
                Drip_Send_From__c="00:00",
                Drip_Send_Until__c="23:59",
                **again,
            )
            for _ in range(2)
        ]
        self.people = stage.ticked(self.sequences[0], 8)
        self.people += [
            stage.lead(f"p{n}@firm{n}.example", Drip_Enrolled__c=n > 7, Drip_Sequence__c=self.sequences[0])
            for n in range(6, 10)
        ]
        self.deeds: dict[Callable[[], None], float] = {
            self.time_passes: 8,
            self.turn: 8,
            self.dispatch_alone: 8,
            self.mail_goes_wrong: 4,
            self.crm_goes_wrong: 2,
            self.process_dies: 5,
            self.ledger_is_copied: 1,
            self.ledger_is_lost: 1,
            self.copy_is_put_back: 3,
            self.clock_is_wrong: 1,
            self.somebody_acts: 5,
        }
        self.acting: dict[Callable[[str, dict[str, Any]], None], float] = {
            self.stop: 4,
            self.tick_again: 5,
            self.change_address: 3,
            self.change_owner: 2,
            self.merge: 1,
            self.convert: 1,
            self.delete_or_restore: 2,
            self.change_steps: 3,
            self.change_sequence: 2,
            self.pull_brake: 1,
        }

    # the play

    def play(self) -> None:
        """Dozens of deeds, then everything is mended and comes to its end."""
        self.begin()
        for _ in range(DEEDS):
            (deed,) = self.random.choices(list(self.deeds), list(self.deeds.values()))
            self.acts.append(f"{self.stage.now:%d %H:%M} {deed.__name__}")
            deed()
        self.acts.append("mended")
        self.meddling = 0.0
        self.set_brake(pulled=False)
        for sequence in self.sequences:
            self.stage.change(sequence, Drip_Status__c="Live")
        self.begin()
        self.stage.play(self.stage.now + timedelta(days=14), step=timedelta(hours=6))

    def begin(self) -> None:
        """The process starts anew, as often as it takes."""
        self.stage.clock.ahead = timedelta()
        self.stage.mend()
        self.stage.start()
        passes.prepare(self.stage.parts)
        parts = self.stage.parts
        self.stage.parts = replace(parts, source=Shadowing(parts.source, self), mailer=Shadowing(parts.mailer, self))

    def meddle(self, chance: float) -> None:
        """Somebody acts right now."""
        if self.random.random() < chance * self.meddling:
            self.acts.append("    in between:")
            self.somebody_acts()

    def attempt(self, run: passes.Pass) -> None:
        """One pass; what the loops would wait out is waited out."""
        with suppress(CrmdripError):
            run(self.stage.parts)

    # the daemon

    def turn(self) -> None:
        """One pass of every loop."""
        for run in passes.PASSES.values():
            self.attempt(run)

    def dispatch_alone(self) -> None:
        """The next day a good deal happens, and the dispatcher runs before any of it was pulled."""
        self.stage.later(days=1)
        for _ in range(3):
            self.somebody_acts()
        self.attempt(passes.dispatch)

    def time_passes(self) -> None:
        """Minutes or a day."""
        self.stage.later(minutes=self.random.choice([1, 10, 60, 600, 1440]))

    def mail_goes_wrong(self) -> None:
        """Some of the next requests meet trouble."""
        fault = self.random.choice(MAIL_FAULTS)
        self.stage.fail_mail(replace(fault, after=self.random.randrange(3), times=self.random.choice([1, 3])))

    def crm_goes_wrong(self) -> None:
        """Some of the next calls meet trouble."""
        fault = TROUBLES[self.random.choice(CRM_FAULTS)]
        self.stage.fail_crm(replace(fault, after=self.random.randrange(6), times=self.random.choice([1, 4])))

    def process_dies(self) -> None:
        """At some step of one of its parts, while some things are due; then it starts again."""
        self.stage.later(hours=self.random.choice([1, 24]))
        where = self.random.choice(["look", "looked", "pulled", "written", "send", "sent", "sent"])
        name = {"written": "sink", "send": "mailer", "sent": "mailer"}.get(where, "source")
        parts, after = self.stage.parts, self.random.randrange(3)
        dying = Shadowing(getattr(parts, name), self, dies_at=where, after=after)
        self.stage.parts = replace(parts, **{name: dying})
        with suppress(Killed):
            self.turn()
        self.begin()

    def ledger_is_copied(self) -> None:
        """A backup, made while the daemon goes on."""
        self.copies.append(self.stage.back_up_ledger())

    def ledger_is_lost(self) -> None:
        """The file is deleted."""
        self.stage.mend()
        self.forget_deleted()
        self.stage.lose_ledger()
        self.begin()

    def copy_is_put_back(self) -> None:
        """A backup takes the ledger's place."""
        if self.copies:
            self.stage.mend()
            self.forget_deleted()
            self.stage.restore_ledger(self.random.choice(self.copies[-2:]))
            self.begin()

    def forget_deleted(self) -> None:
        """What was deleted before anything of it was written is in no CRM and in no ledger: it is not restored."""
        self.forgotten |= {person for person in self.people if self.stage.record(person)["IsDeleted"]}

    def clock_is_wrong(self) -> None:
        """The machine's clock jumps ahead or back, until the next start."""
        self.stage.clock.ahead = timedelta(days=self.random.choice([-3, -0.1, 0.1, 3]))

    # people, reps and RevOps

    def somebody_acts(self) -> None:
        """One deed of one person, with one record."""
        person = self.random.choice(self.people)
        row = self.stage.record(person)
        (act,) = self.random.choices(list(self.acting), list(self.acting.values()))
        self.acts.append(f"        {act.__name__} {row['Email']}")
        with suppress(LookupError, Refusal):
            act(person, row)

    def _stopped(self, address: str | None) -> None:
        if address:
            self.watch.stopped.setdefault(address.lower(), self.watch.next())
            self.acts.append(f"            {address} has stopped at {self.watch.moment}")

    def _lifted(self, row: dict[str, Any]) -> None:
        self.watch.stopped.pop((row["Email"] or "").lower(), None)
        self.acts.append(f"            {row['Email']} may be mailed again at {self.watch.next()}")

    def stop(self, person: str, row: dict[str, Any]) -> None:
        """A reply, a meeting, an opt-out, an unticked box."""
        actions = self.stage.sandbox.world.actions
        kind = self.random.randrange(4)
        deeds: list[Callable[..., Any]] = [actions.reply, actions.book_meeting, actions.opt_out, actions.untick]
        deed = deeds[kind]
        self.acts.append(f"            {deed.__name__} {person}")
        self.stage.do(deed, *((row["Email"], "No.") if kind == 0 else (person,)))
        if kind >= 2 and self._others_ticked(row):
            if kind == 2:  # said on a record that nobody looks at right before sending: the pull brings it
                self.unpulled.add(row["Email"])
            return
        self._stopped(row["Email"])

    def pulled(self, addresses: set[str]) -> None:
        """What was waiting for a pull has been seen."""
        for address in addresses & self.unpulled:
            self.unpulled.discard(address)
            self._stopped(address)

    def _others_ticked(self, row: dict[str, Any]) -> bool:
        at = self.stage.do(self.stage.sandbox.world.actions.records_at, row["Email"])
        return any(one["Drip_Enrolled__c"] for one in at if one["Id"] != row["Id"])

    def tick_again(self, person: str, row: dict[str, Any]) -> None:
        """Off and on, quickly and several times."""
        actions = self.stage.sandbox.world.actions
        for _ in range(self.random.choice([1, 1, 3])):
            self.stage.do(actions.untick, person)
            self.stage.do(actions.tick, person, self.random.choice(self.sequences))
        self._lifted(row)

    def change_address(self, person: str, row: dict[str, Any]) -> None:
        """Within the domain, to another one, and back."""
        local, _, domain = row["Email"].partition("@")
        new = self.random.choice([f"x{local}@{domain}", f"{local.removeprefix('x')}@{domain}", f"{local}@x{domain}"])
        if new != row["Email"]:
            self.stage.do(self.stage.sandbox.world.actions.change_address, person, new)
            if not self._others_ticked(row):
                self._stopped(row["Email"])
            self._lifted({"Email": new})

    def change_owner(self, person: str, row: dict[str, Any]) -> None:
        """Somebody else takes over."""
        self.stage.do(
            self.stage.sandbox.world.actions.change_owner, person, self.random.choice(self.stage.sandbox.world.reps)
        )

    def merge(self, person: str, row: dict[str, Any]) -> None:
        """Two contacts become one."""
        other = self.random.choice(self.people)
        if other != person and person[:3] == other[:3]:
            loser = self.stage.record(other)
            self.stage.do(self.stage.sandbox.world.actions.merge, person, other)
            if (loser["Email"] or "").lower() != (row["Email"] or "").lower() and not self._others_ticked(loser):
                self._stopped(loser["Email"])

    def convert(self, person: str, row: dict[str, Any]) -> None:
        """A lead becomes a contact."""
        if person.startswith("00Q"):
            self.people.append(self.stage.do(self.stage.sandbox.world.actions.convert, person, with_opportunity=False))

    def delete_or_restore(self, person: str, row: dict[str, Any]) -> None:
        """Into the recycle bin, and out of it."""
        actions = self.stage.sandbox.world.actions
        if person in self.forgotten:
            return
        if row["IsDeleted"]:
            self.stage.do(actions.undelete, person)
            # Whether it stays stopped has tests of its own (B14): nothing tells a ledger that was lost meanwhile.
            self._lifted(row)
            return
        self.stage.do(actions.delete, person)
        if not self._others_ticked(row):
            self._stopped(row["Email"])

    def change_steps(self, person: str, row: dict[str, Any]) -> None:
        """Steps are removed, put back, moved, switched off, split into variants."""
        sequence = self.random.choice(self.sequences)
        step = self.random.choice(self.stage.steps(sequence))
        org = self.stage.sandbox.org
        order = self.random.choice([5, 10, 20, 30, 40])
        deeds: list[Callable[[], Any]] = [
            lambda: self.stage.change(step, Drip_Order__c=order),
            lambda: self.stage.change(step, Drip_Active__c=self.random.random() < 0.5),
            lambda: self.stage.step(sequence, Drip_Order__c=order, Name="Further", Drip_Variant__c="B"),
            lambda: self.stage.change(step, Drip_Weight__c=self.random.choice([0, 1, 5])),
            lambda: self.stage.do(org.undelete, step) if self.stage.do(org.delete, step) else None,
        ]
        self.random.choice(deeds)()

    def change_sequence(self, person: str, row: dict[str, Any]) -> None:
        """Paused in the middle, or live again."""
        status = self.random.choice(["Live", "Live", "Live", "Paused", "Draft"])
        self.stage.change(self.random.choice(self.sequences), Drip_Status__c=status)

    def pull_brake(self, person: str, row: dict[str, Any]) -> None:
        """The emergency brake."""
        self.set_brake(pulled=self.random.random() < 0.3)

    def set_brake(self, *, pulled: bool) -> None:
        """As an admin does."""
        for one in self.stage.do(self.stage.sandbox.org.select, "SELECT Id FROM Drip_Control__c"):
            self.stage.change(one["Id"], Drip_Brake__c=pulled)


def silent(stage: Stage, people: list[str]) -> list[tuple[str, ...]]:
    """Whose record says nothing, or something that is not so; at the end everybody is through or waits for somebody."""
    found = []
    for person in people:
        row, (status, reason) = stage.record(person), stage.shown(person)
        live = [run for run in stage.runs(person) if run.status.live]
        waits = not live or live[-1].status is RunStatus.PAUSED or live[-1].reason in FOR_PEOPLE
        told = not live or (bool(reason) and status == live[-1].status.value)
        if not (waits and told and row["Drip_Enrolled__c"] == bool(live)):
            found.append((row["Email"], status, reason, *(f"{run.status} {run.reason}" for run in live)))
    return found


# Each once found something: a hold that is nobody's fault to end (3), a box set both ways at once (5), an email in the
# log under the address from before (15), a lead and its contact that speak of one run (118).
@pytest.mark.parametrize("seed", [3, 5, 15, 118])
def test_nothing_anybody_does_sends_a_touch_twice_or_after_a_stop(stage: Stage, seed: int) -> None:
    """P1, P2, P3, P4, P6: and in the end nothing is in doubt or owed, and every record says how its person stands."""
    attack = Attack(stage, seed)
    attack.play()
    story = "\n".join(attack.acts)
    assert stage.sent(), story
    assert stage.twice() == {}, story
    sent = {email.touch for email in stage.sent()}
    assert [attack.watch.handed[touch] for touch in attack.watch.late if touch in sent] == [], story
    rows = {person: stage.record(person) for person in attack.people}
    people = [one for one, row in rows.items() if not row["IsDeleted"] and not row.get("IsConverted")]
    states = {touch.state for person in people for touch in stage.touches(person)}
    assert not states & {TouchState.INTENDED, TouchState.IN_DOUBT}, story
    assert stage.owed() == [], story
    assert silent(stage, people) == [], story
