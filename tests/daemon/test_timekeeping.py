"""A machine's clock that is set right again: whatever waits by the wrong one is tried at once (B29)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from stage import Stage

from crmdrip.core.model import RunStatus
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.daemon.timekeeping import Timekeeper
from crmdrip.ledger import marks

ANN = "ann@acme.example"


def test_what_is_owed_by_a_clock_that_was_ahead_is_written_once_it_is_right(stage: Stage) -> None:
    """B29, P3: else records would tell it three days late."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    keeper = Timekeeper(stage.parts.ledger, stage.clock)
    stage.clock.ahead = timedelta(days=3)
    passes.PASSES["pull"](stage.parts)
    passes.PASSES["dispatch"](stage.parts)
    stage.clock.ahead = timedelta()
    passes.PASSES["write_back"](stage.parts)
    assert stage.owed() != []
    keeper.look()
    passes.PASSES["write_back"](stage.parts)
    assert stage.owed() == []
    assert stage.record(contact)["Drip_Status__c"] == "Queued"


def test_an_email_that_was_put_off_by_a_clock_that_was_ahead_is_tried_again_once_it_is_right(stage: Stage) -> None:
    """B29, P3: the clock jumped between its last look and its request."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    keeper = Timekeeper(stage.parts.ledger, stage.clock)
    passes.PASSES["pull"](stage.parts)
    mailer = stage.parts.mailer

    class Jumping:
        """The clock jumps once the email was looked at."""

        def send(self, messages):
            stage.clock.ahead = timedelta(days=3)
            return mailer.send(messages)

    passes.PASSES["dispatch"](replace(stage.parts, mailer=Jumping()))
    assert stage.run(contact).status is RunStatus.HELD
    keeper.look()
    stage.clock.ahead = timedelta()
    keeper.look()
    passes.PASSES["dispatch"](stage.parts)
    assert len(stage.sent()) == 1


@pytest.mark.parametrize("ahead", [timedelta(days=3), timedelta(days=-3)])
def test_a_clock_that_is_off_is_told(stage: Stage, ahead: timedelta) -> None:
    """B29: with nothing due either way no other look would find it; the heartbeat does, every five minutes."""
    stage.clock.ahead = ahead
    passes.PASSES["figures"](stage.parts)
    with stage.parts.ledger.read() as connection:
        noted = timedelta(seconds=int(marks.read_mark(connection, marks.CLOCK) or "0"))
    assert abs(noted - ahead) < timedelta(minutes=1)


def test_a_clock_that_was_set_right_is_not_told_any_more(stage: Stage) -> None:
    """B29: the next heartbeat finds that the two agree."""
    stage.clock.ahead = timedelta(days=3)
    passes.PASSES["figures"](stage.parts)
    stage.clock.ahead = timedelta()
    passes.PASSES["figures"](stage.parts)
    with stage.parts.ledger.read() as connection:
        assert marks.read_mark(connection, marks.CLOCK) is None
