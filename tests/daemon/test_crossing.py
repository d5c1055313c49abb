"""What was read before our own write and is judged after it: what its box says is from before (B9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from stage import MONDAY, Stage

from crmdrip.assembly import assemble
from crmdrip.core.model import RunStatus
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.daemon.parts import Parts

pytestmark = pytest.mark.both_ledgers


class Crossed:
    """A CRM whose answers arrive once something else is done that was begun after they were asked for."""

    def __init__(self, source: Any, happening: Callable[[], None], *answers: str) -> None:
        """answers: which, "pull" for pages and "look" for looks by id."""
        self._source = source
        self._happening = happening
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def pull(self, cursor: str | None) -> Iterator[Any]:
        """Page by page."""
        for page in self._source.pull(cursor):
            if "pull" in self._answers:
                self._happening()
            yield page

    def look(self, refs: Any, *args: Any) -> Any:
        """Records by id; a heartbeat alone names none."""
        answer = self._source.look(refs, *args)
        if refs and "look" in self._answers:
            self._happening()
        return answer


class DiedError(BaseException):
    """A process ends."""


class DiesAfter:
    """A CRM that is written to by a process that ends before it can tell its ledger."""

    def __init__(self, parts: Parts) -> None:
        self._sink = parts.sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def write(self, writes: Any) -> Iterator[Any]:
        """All of it, and then never an answer."""
        list(self._sink.write(writes))
        raise DiedError
        yield


class Machines:
    """Further daemons that share the stage's ledger."""

    def __init__(self, stage: Stage, running: ExitStack) -> None:
        self._stage = stage
        self._running = running

    def start(self) -> Parts:
        """One that joins: others are at work, so there is nothing to prepare."""
        return self._running.enter_context(assemble(self._stage.settings, self._stage.clock, exclusive=False))

    def end(self) -> None:
        """All of them."""
        self._running.close()


@pytest.fixture
def machines(stage: Stage) -> Iterator[Machines]:
    """None is running yet."""
    with ExitStack() as running:
        yield Machines(stage, running)


def write_here(stage: Stage, machines: Machines) -> None:
    """The loop beside the pull, of the same process."""
    del machines
    passes.write_back(stage.parts)


def write_elsewhere(stage: Stage, machines: Machines) -> None:
    """On another machine."""
    del stage
    passes.write_back(machines.start())


def write_and_restart(stage: Stage, machines: Machines) -> None:
    """On another machine, which is started anew before the page arrives here."""
    write_elsewhere(stage, machines)
    machines.end()
    passes.write_back(machines.start())


def write_and_die(stage: Stage, machines: Machines) -> None:
    """On another machine, which is gone before it has told the ledger; the next one repeats it later."""
    del stage
    writer = machines.start()
    with pytest.raises(DiedError):
        passes.write_back(replace(writer, sink=DiesAfter(writer)))
    machines.end()


WRITERS = [write_here, write_elsewhere, write_and_restart, write_and_die]


def answered(stage: Stage, **fields: Any) -> str:
    """A contact who answered the first email; the untick is owed, and a new process reads the last minutes again."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence(**fields))
    stage.turn()
    stage.later(minutes=1)
    stage.do(stage.sandbox.world.actions.reply, "ann@acme.example", "No, thank you.")
    for _ in range(2):  # streams come by turns
        passes.pull(stage.parts)
    assert stage.run(contact).status is RunStatus.STOPPED
    stage.restart()
    return contact


def pull_crossed(stage: Stage, happening: Callable[[], None]) -> None:
    """A pull of which each page is on its way while something happens."""
    passes.pull(replace(stage.parts, source=Crossed(stage.parts.source, happening, "pull")))


@pytest.mark.parametrize(("policy", "write"), [("Never", write_here), *(("After Days", write) for write in WRITERS)])
def test_a_page_that_our_untick_overtook_is_no_new_tick(
    stage: Stage, machines: Machines, policy: str, write: Callable[[Stage, Machines], None]
) -> None:
    """B9, P2, P3: whoever answered is told to have, and neither refused nor enrolled anew, whichever machine wrote."""
    contact = answered(stage, Drip_Re_Enrollment__c=policy, Drip_Re_Enroll_After_Days__c=0)
    pull_crossed(stage, lambda: write(stage, machines))
    for _ in range(3):
        stage.later(minutes=1)
        stage.turn()
    assert len(stage.runs(contact)) == 1
    status, reason = stage.shown(contact)
    assert (status, "replied" in reason) == (RunStatus.STOPPED, True)
    assert not stage.record(contact)["Drip_Enrolled__c"]


@pytest.mark.parametrize("write", [write_here, write_elsewhere])
def test_a_tick_after_our_untick_counts_although_a_page_crossed_it(
    stage: Stage, machines: Machines, write: Callable[[Stage, Machines], None]
) -> None:
    """B9: it comes with the next pull, whatever the page in between had shown."""
    contact = answered(stage, Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=0)
    pull_crossed(stage, lambda: write(stage, machines))
    stage.change(contact, Drip_Enrolled__c=True)
    stage.later(minutes=1)
    stage.turn()
    assert [run.status for run in stage.runs(contact)] == [RunStatus.STOPPED, RunStatus.QUEUED]


def test_a_page_of_a_daemon_that_was_taken_for_dead_is_not_stored(stage: Stage, machines: Machines) -> None:
    """B9: another pulls in its place; what it read meanwhile is newer, and the old page takes nothing back."""
    contact = answered(stage, Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=0)

    def pull_elsewhere() -> None:
        write_and_die(stage, machines)
        stage.later(minutes=1)
        passes.pull(machines.start())  # finds the box as it was meant, and waits for it no longer

    pull_crossed(stage, pull_elsewhere)
    stage.later(minutes=1)
    stage.turn()
    assert len(stage.runs(contact)) == 1
    assert not stage.record(contact)["Drip_Enrolled__c"]


@pytest.mark.parametrize("write", [write_here, write_elsewhere])
def test_a_look_that_our_tick_overtook_is_no_untick(
    stage: Stage, machines: Machines, write: Callable[[Stage, Machines], None]
) -> None:
    """B9, B11, P3: the run of a converted lead goes on with the contact, whose box we tick while it is looked at."""
    stage.sandbox.org.lead_field_map = {}
    lead = stage.lead()
    stage.tick(lead, stage.sequence())
    stage.turn()
    stage.at(MONDAY + timedelta(days=2) - timedelta(minutes=5))
    contact = stage.do(stage.sandbox.org.convert, lead).contact_id
    stage.later(minutes=4)
    for _ in range(2):  # streams come by turns
        passes.pull(stage.parts)
    assert stage.run(contact).status is RunStatus.ACTIVE
    stage.later(minutes=1)
    source = Crossed(stage.parts.source, lambda: write(stage, machines), "look")
    passes.dispatch(replace(stage.parts, source=source))
    stage.later(minutes=1)
    stage.turn()
    assert [run.status for run in stage.runs(contact)] == [RunStatus.ACTIVE]
    assert stage.record(contact)["Drip_Enrolled__c"]
    assert len(stage.sent()) == 2


def test_what_nobody_set_is_not_asked_for_again(stage: Stage) -> None:
    """P5: pages that crossed nothing cost no further look."""
    contact = answered(stage)
    passes.write_back(stage.parts)
    looks: list[object] = []
    passes.pull(replace(stage.parts, source=Crossed(stage.parts.source, lambda: looks.append(1), "look")))
    assert looks == []
    assert not stage.record(contact)["Drip_Enrolled__c"]
