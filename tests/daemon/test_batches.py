"""Batches one after another: the next is looked at while the present one goes out, and no promise gets lost between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from stage import Stage

from crmdrip.core.model import RunStatus, TouchState
from crmdrip.core.struct import replace
from crmdrip.daemon import dispatch, passes
from crmdrip.ledger import marks, runs, touches
from crmdrip.ledger.errors import LedgerBrokenError

pytestmark = pytest.mark.both_ledgers


class WaitingMailer:
    """Hands a batch over only once the next one has been looked at."""

    def __init__(self, mailer: Any, looked: threading.Event) -> None:
        self._mailer = mailer
        self._looked = looked
        self.waited = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailer, name)

    def send(self, messages: Any) -> Iterator[Any]:
        """Half of the first batch, then a pause."""
        if not self.waited:
            self.waited = True
            outcomes = list(self._mailer.send(messages[: len(messages) // 2]))
            yield from outcomes
            assert self._looked.wait(20), "nobody looked at the next batch"
            messages = messages[len(messages) // 2 :]
        yield from self._mailer.send(messages)


class CountingSource:
    """Tells when the second look is made."""

    def __init__(self, source: Any, looked: threading.Event) -> None:
        self._source = source
        self._looked = looked
        self.looks: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def look(self, refs: Any, *args: Any) -> Any:
        """As the source looks."""
        self.looks.append([ref.id for ref in refs])
        if len(self.looks) > 1:
            self._looked.set()
        return self._source.look(refs, *args)


@pytest.fixture
def people(stage: Stage) -> list[str]:
    """Five contacts whose first email is due now, in batches of two."""
    stage.limit(batch=2)
    contacts = stage.ticked(stage.sequence(), 5)
    passes.pull(stage.parts)
    return contacts


def test_the_next_batch_is_looked_at_while_the_present_one_goes_out(stage: Stage, people: list[str]) -> None:
    """The second half of the first batch leaves after the second batch's look, and nobody is looked at twice."""
    looked = threading.Event()
    source = CountingSource(stage.parts.source, looked)
    stage.parts = replace(stage.parts, source=source, mailer=WaitingMailer(stage.parts.mailer, looked))
    assert passes.dispatch(stage.parts)["accepted"] == len(people)
    assert sorted(one for look in source.looks for one in look) == sorted(people)
    assert stage.twice() == {}


def test_a_stop_between_two_looks_is_seen_by_the_second(stage: Stage, people: list[str]) -> None:
    """P2: who unticks while the first batch goes out is in nobody's second batch."""
    mailer = stage.parts.mailer
    unticked: list[str] = []

    class Unticking(WaitingMailer):
        def send(self, messages: Any) -> Iterator[Any]:
            if not unticked:
                first = {message.to_address for message in messages}
                unticked.extend(one for one in people if stage.record(one)["Email"] not in first)
                for one in unticked:
                    stage.change(one, Drip_Enrolled__c=False)
            yield from mailer.send(messages)

    stage.parts = replace(stage.parts, mailer=Unticking(mailer, threading.Event()))
    passes.dispatch(stage.parts)
    assert len(unticked) == 3
    assert len(stage.sent()) == 2


def test_a_batch_behind_one_that_cannot_be_concluded_is_not_in_doubt(
    stage: Stage, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B30: the ledger breaks while outcomes are stored; of the prepared batch nothing has left, and it says so."""
    looked = threading.Event()
    source = CountingSource(stage.parts.source, looked)
    stage.parts = replace(stage.parts, source=source, mailer=WaitingMailer(stage.parts.mailer, looked))
    move, failed = touches.move_touches, []

    def break_once(connection: Any, moves: Any) -> None:
        if not failed and looked.is_set():
            failed.append(True)
            raise LedgerBrokenError("the disk is full.", where="the ledger")
        move(connection, moves)

    monkeypatch.setattr(touches, "move_touches", break_once)
    with pytest.raises(LedgerBrokenError):
        passes.dispatch(stage.parts)
    states = {one: [touch.state for touch in stage.touches(one)] for one in people}
    behind = source.looks[1]
    assert [states[one] for one in behind] == [[TouchState.REFUSED]] * len(behind)
    assert sum(found == [TouchState.INTENDED] for found in states.values()) <= 2


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once the second batch is committed to; who writes to the ledger then comes after it."""
    intend, event, batches = touches.intend, threading.Event(), []

    def note(connection: Any, touches: Any) -> None:
        intend(connection, touches)
        batches.append(touches)
        if len(batches) > 1:
            event.set()

    monkeypatch.setattr(touches, "intend", note)
    return event


def test_who_stops_while_the_batch_before_goes_out_is_withdrawn(
    stage: Stage, people: list[str], prepared: threading.Event
) -> None:
    """P2: the second batch was looked at already; what the ledger has heard since counts all the same."""
    passes.write_back(stage.parts)
    source = CountingSource(stage.parts.source, threading.Event())
    stopped: list[str] = []

    class Stopping(WaitingMailer):
        def send(self, messages: Any) -> Iterator[Any]:
            for number, outcome in enumerate(super().send(messages)):
                if number == 1 and not stopped:
                    stopped.append(source.looks[1][0])
                    stage.later(minutes=1)
                    stage.change(stopped[0], Drip_Enrolled__c=False)
                    passes.pull(stage.parts)
                yield outcome

    stage.parts = replace(stage.parts, source=source, mailer=Stopping(stage.parts.mailer, prepared))
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == len(people) - 1
    assert stage.sent(stage.record(stopped[0])["Email"]) == []
    assert stage.shown(stopped[0])[0] != RunStatus.STOPPED
    passes.write_back(stage.parts)
    assert stage.shown(stopped[0])[0] == RunStatus.STOPPED


def pull_brake(stage: Stage) -> None:
    """An admin pulls the emergency brake, and the next pull brings it."""
    control = stage.do(stage.sandbox.org.select, "SELECT Id FROM Drip_Control__c")[0]["Id"]
    stage.change(control, Drip_Brake__c=True)
    passes.pull(stage.parts)


def pause_sequence(stage: Stage) -> None:
    """RevOps pauses the sequence, and a pull brings it."""
    (sequence,) = stage.do(stage.sandbox.org.select, "SELECT Id FROM Drip_Sequence__c WHERE Name = 'Sequence 1'")
    stage.change(sequence["Id"], Drip_Status__c="Paused")
    for _ in range(2):  # streams are asked for by turns
        passes.pull(stage.parts)


def pause_by_command(stage: Stage) -> None:
    """Somebody types crmdrip pause."""
    with stage.parts.ledger.write() as connection:
        marks.set_mark(connection, marks.PAUSED, "")


def test_a_ledger_that_cannot_be_read_before_the_first_email_leaves_nobody_in_doubt(
    stage: Stage, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B1, B30: a connection to the database is cut between the intents and the first request, and is back at once."""
    with monkeypatch.context() as broken:
        broken.setattr(runs, "untouched_among", raise_broken)
        with pytest.raises(LedgerBrokenError):
            passes.dispatch(stage.parts)
    assert {touch.state for one in people for touch in stage.touches(one)} == {TouchState.REFUSED}
    stage.later(minutes=1)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == len(people)


def raise_broken(*_: object) -> None:
    """As a server that is started anew."""
    raise LedgerBrokenError("the connection was lost.", where="the ledger")


def doubt_everybody(stage: Stage) -> None:
    """A heartbeat finds that another daemon, with a ledger of its own, was at work until just now (B3)."""
    with stage.parts.ledger.write() as connection:
        runs.doubt_all(connection)


@pytest.mark.parametrize("halt", [pull_brake, pause_sequence, pause_by_command, doubt_everybody])
def test_what_is_halted_while_the_batch_before_goes_out_is_withdrawn(
    stage: Stage, people: list[str], prepared: threading.Event, halt: Callable[[Stage], None]
) -> None:
    """P2: the brake stops everything before the next email; the second batch was looked at already."""
    halted: list[bool] = []

    class Halting(WaitingMailer):
        def send(self, messages: Any) -> Iterator[Any]:
            for number, outcome in enumerate(super().send(messages)):
                if number == 1 and not halted:
                    halted.append(True)
                    stage.later(minutes=1)
                    halt(stage)
                yield outcome

    source = CountingSource(stage.parts.source, threading.Event())
    stage.parts = replace(stage.parts, source=source, mailer=Halting(stage.parts.mailer, prepared))
    passes.dispatch(stage.parts)
    assert halted
    assert len(stage.sent()) == 2
    withdrawn = [stage.touches(one)[-1] for one in source.looks[1]]
    assert {touch.state for touch in withdrawn} == {TouchState.REFUSED}


def test_a_batch_that_waited_for_long_is_looked_at_again(
    stage: Stage, people: list[str], prepared: threading.Event
) -> None:
    """P2, B29: the machine slept, or the provider is slow; a reply that came meanwhile ends the run, others go on."""
    source = CountingSource(stage.parts.source, threading.Event())
    answered: list[str] = []

    class Sleeping(WaitingMailer):
        def send(self, messages: Any) -> Iterator[Any]:
            for number, outcome in enumerate(super().send(messages)):
                if number == 1 and not answered:
                    answered.append(stage.record(source.looks[1][0])["Email"])
                    stage.later(hours=1)
                    stage.do(stage.sandbox.world.actions.reply, answered[0], "No, thank you.")
                yield outcome

    stage.parts = replace(stage.parts, source=source, mailer=Sleeping(stage.parts.mailer, prepared))
    passes.dispatch(stage.parts)
    assert stage.sent(answered[0]) == []
    stage.play(stage.now + timedelta(hours=1), step=timedelta(minutes=5))
    assert stage.sent(answered[0]) == []
    assert len(stage.sent()) == len(people) - 1
    assert stage.do(stage.sandbox.world.violations) == []


def test_a_ledger_that_breaks_ends_the_sending_at_once(
    stage: Stage, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B30: what was not begun when an outcome could not be stored does not leave behind the ledger's back."""
    stage.limit(batch=len(people))
    mailer, begun, ended = stage.parts.mailer, [], []

    class OneByOne:
        def __getattr__(self, name: str) -> Any:
            return getattr(mailer, name)

        def send(self, messages: Any) -> Iterator[Any]:
            try:
                for message in messages:
                    begun.append(message.touch_id)
                    yield from mailer.send([message])
            finally:
                ended.append(True)

    def broken(*_: Any) -> None:
        raise LedgerBrokenError("the disk is full.", where="the ledger")

    monkeypatch.setattr(dispatch, "OUTCOMES_PER_COMMIT", 1)
    with monkeypatch.context() as breaking:
        breaking.setattr(touches, "move_touches", broken)
        with pytest.raises(LedgerBrokenError):
            passes.dispatch(replace(stage.parts, mailer=OneByOne()))
        assert (len(begun), ended) == (1, [True])
    stage.turn()
    states = [touch.state for one in people for touch in stage.touches(one)]
    assert states.count(TouchState.IN_DOUBT) + states.count(TouchState.ACCEPTED) == len(people)
    stage.play(stage.now + timedelta(hours=1), step=timedelta(minutes=10))
    assert stage.twice() == {}
    assert len(stage.sent()) == 1
