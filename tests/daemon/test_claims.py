"""Several daemons with a ledger each on one org: whoever claimed it last sends, and never both (B3, P1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from stage import MONDAY, Stage

from crmdrip.assembly import assemble
from crmdrip.core.errors import CrmdripError
from crmdrip.core.model import Signal, SignalKind
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import load_background
from crmdrip.ledger.errors import LedgerBusyError
from crmdrip.ledger.store import open_ledger

ANN = "ann@acme.example"


class Others:
    """Assembles further daemons, each with an empty ledger of its own."""

    def __init__(self, stage: Stage, open_daemons: ExitStack) -> None:
        self._stage = stage
        self._open = open_daemons
        self._count = 0

    def __call__(self) -> Parts:
        """One more, as if started with --take-over."""
        self._count += 1
        url = f"sqlite:///{self._stage.folder / f'other{self._count}.sqlite3'}"
        open_ledger(url).close()
        ledger = self._stage.settings.ledger.model_copy(update={"url": url})
        settings = self._stage.settings.model_copy(update={"ledger": ledger})
        return self._open.enter_context(assemble(settings, self._stage.clock, exclusive=True))


@pytest.fixture
def other(stage: Stage) -> Iterator[Others]:
    """Daemons beside the stage's own."""
    with ExitStack() as daemons:
        yield Others(stage, daemons)


class Meeting:
    """A CRM in which something happens right after the n-th look was answered."""

    def __init__(self, parts: Parts, happening: Any, *, after: int = 0) -> None:
        self._source = parts.source
        self._happening = happening
        self._left = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def look(self, *args: Any) -> Any:
        """As it is."""
        found = self._source.look(*args)
        if self._left == 0:
            self._happening()
        self._left -= 1
        return found


def one_due(stage: Stage) -> str:
    """A contact whose first email is due and pulled."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    passes.pull(stage.parts)
    return contact


def turn(stage: Stage, *daemons: Parts) -> None:
    """A minute passes, and each daemon does what it does."""
    stage.later(minutes=1)
    for parts in daemons:
        for run in passes.PASSES.values():
            run(parts)


def test_after_a_take_over_the_one_that_lost_stands_down_at_its_next_look(stage: Stage, other: Others) -> None:
    """B3, P1: the new one goes on by itself, once the log had the time to show what the old one sent."""
    one_due(stage)
    theirs = other()
    passes.prepare(theirs)
    passes.dispatch(stage.parts)
    assert stage.parts.stood_down.is_set()
    assert stage.sent() == []
    for _ in range(10):
        turn(stage, stage.parts, theirs)
    assert not theirs.stood_down.is_set()
    assert len(stage.sent()) == 1
    stage.play(MONDAY + timedelta(days=1), step=timedelta(hours=6))
    assert len(stage.sent()) == 1


def test_an_idle_daemon_notices_a_take_over_by_its_heartbeat(stage: Stage, other: Others) -> None:
    """B3: it never writes over a claim without seeing that there is one, and leaves the record alone from then on."""
    theirs = other()
    passes.prepare(theirs)
    stage.later(minutes=5)
    passes.figures(stage.parts)
    assert stage.parts.stood_down.is_set()
    calls = stage.crm_calls()
    passes.figures(stage.parts)
    assert stage.crm_calls() == calls
    passes.figures(theirs)
    assert not theirs.stood_down.is_set()


def test_a_daemon_that_looked_just_before_the_claim_does_not_make_two_send(stage: Stage, other: Others) -> None:
    """B3, P1: the claim falls between its look and its email, which the new one finds in the log."""
    one_due(stage)
    theirs = other()
    meeting = Meeting(stage.parts, lambda: passes.prepare(theirs))
    passes.dispatch(replace(stage.parts, source=meeting))
    assert len(stage.sent()) == 1
    for _ in range(10):
        turn(stage, stage.parts, theirs)
    assert len(stage.sent()) == 1
    assert stage.parts.stood_down.is_set()
    stage.at(MONDAY + timedelta(days=2, hours=1))
    turn(stage, stage.parts, theirs)
    assert len(stage.sent()) == 2
    assert stage.twice() == {}


def test_a_claim_that_is_written_over_at_once_is_made_good_before_anything_goes_out(
    stage: Stage, other: Others
) -> None:
    """B3, P1: the old one's look was under way on both sides of the claim: its heartbeat stands over it."""
    one_due(stage)
    theirs = other()
    (control,) = stage.do(stage.sandbox.org.select, "SELECT Id FROM Drip_Control__c")
    before = {name: stage.record(control["Id"])[name] for name in ("Drip_Heartbeat__c", "Drip_Claim__c")}
    passes.prepare(theirs)
    stage.change(control["Id"], **before)
    for _ in range(4):
        turn(stage, theirs)
        assert stage.sent() == []
    assert not theirs.stood_down.is_set()
    for _ in range(6):
        turn(stage, theirs)
    assert len(stage.sent()) == 1


def test_of_two_that_take_over_at_once_the_later_claim_stays(stage: Stage, other: Others) -> None:
    """B3: the other one learns of it before it is prepared, and sends nothing."""
    one_due(stage)
    one, two = other(), other()
    met = replace(one, source=Meeting(one, lambda: passes.prepare(two), after=1))
    with pytest.raises(LedgerBusyError, match="another crmdrip"):
        passes.prepare(met)
    with pytest.raises(LedgerBusyError, match="another crmdrip"):
        passes.prepare(one)
    for _ in range(10):
        turn(stage, stage.parts, one, two)
    assert len(stage.sent()) == 1
    assert [parts.stood_down.is_set() for parts in (stage.parts, one, two)] == [True, True, False]


def test_a_restart_is_no_rival_of_itself(stage: Stage) -> None:
    """B3: each start makes a claim of its own, and knows the one before."""
    one_due(stage)
    stage.restart()
    stage.restart()
    stage.turn()
    assert len(stage.sent()) == 1


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_order_two_never_both_send(stage: Stage, other: Others, seed: int) -> None:
    """B3, P1: several people, steps due daily, take-overs at random moments, also in the middle of looks."""
    random = Random(seed)
    sequence = stage.sequence(
        {"Drip_Delay__c": 0},
        *({"Drip_Delay__c": 1} for _ in range(4)),
        Drip_Minimum_Gap_Hours__c=1,
        Drip_Send_Days__c="Mon;Tue;Wed;Thu;Fri;Sat;Sun",
    )
    stage.ticked(sequence, 4)
    daemons = [stage.parts]

    def take_over() -> None:
        daemons.append(other())
        attempt(passes.prepare, daemons[-1])

    def attempt(run: Any, parts: Parts) -> None:
        try:
            run(parts)
        except CrmdripError:
            return

    for _ in range(60):
        stage.later(minutes=random.choice([0, 1, 30, 300]))
        parts = random.choice(daemons)
        if random.random() < 0.15 and len(daemons) < 5:
            met = replace(parts, source=Meeting(parts, take_over, after=random.randrange(2)))
            attempt(passes.dispatch, met)
        else:
            for name in random.sample(list(passes.PASSES), len(passes.PASSES)):
                attempt(passes.PASSES[name], parts)
    assert stage.twice() == {}
    for _ in range(40):
        stage.later(hours=6)
        for parts in daemons:
            attempt(passes.run_all, parts)
    assert stage.twice() == {}
    assert len(stage.sent()) == 20


def test_whoever_stood_down_leaves_what_the_records_say_to_the_other(stage: Stage, other: Others) -> None:
    """B3, P3: a record that the other one writes does not tell of a conflict in which nobody is held up."""
    contact = one_due(stage)
    theirs = other()
    passes.prepare(theirs)
    passes.dispatch(stage.parts)
    assert stage.parts.stood_down.is_set()
    for _ in range(10):
        turn(stage, theirs, stage.parts)
    assert len(stage.sent()) == 1
    assert stage.shown(contact)[0] == "Active"


def test_whoever_stood_down_does_not_tell_that_the_other_unticked_a_box(stage: Stage, other: Others) -> None:
    """B3, P3: found by two daemons with a ledger each. Who had finished was told to have been unticked by the rep."""
    contact = one_due(stage)
    theirs = other()
    passes.prepare(theirs)
    passes.dispatch(stage.parts)
    assert stage.parts.stood_down.is_set()
    for _ in range(40):
        turn(stage, theirs, stage.parts)
        stage.later(hours=6)
    assert stage.shown(contact)[0] == "Finished"


def test_a_stop_that_only_whoever_stood_down_heard_is_told_all_the_same(stage: Stage, other: Others) -> None:
    """B3, P2: vendors post to one address; the box that it unticks stops the run of the other."""
    contact = one_due(stage)
    theirs = other()
    passes.prepare(theirs)
    passes.dispatch(stage.parts)
    assert stage.parts.stood_down.is_set()
    heard = Signal(
        key="only here", kind=SignalKind.REPLY, at=stage.now, source="test", record_id=contact, address=ANN, detail=""
    )
    with stage.parts.ledger.write() as connection:
        apply_signals(connection, [heard], load_background(connection), stage.parts.org_id, stage.now)
    for _ in range(3):
        turn(stage, stage.parts, theirs)
    assert not stage.record(contact)["Drip_Enrolled__c"]
    stage.play(MONDAY + timedelta(days=1), step=timedelta(hours=6))
    assert stage.sent() == []
