"""What the database refuses of one person holds up nobody else, and is told in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from constraints import refusing
from stage import Stage
from structlog.testing import capture_logs

from crmdrip.core.model import TouchState
from crmdrip.daemon import passes

pytestmark = pytest.mark.both_ledgers

REFUSED = "p1@firm1.example"


def events(logs: Sequence[Mapping[str, Any]], name: str) -> int:
    """How often something was logged."""
    return sum(one["event"] == name for one in logs)


def test_a_run_that_cannot_be_stored_keeps_nobody_else_of_its_page_from_starting(stage: Stage) -> None:
    """P3: the others are enrolled and mailed, the log names the record, and the next change of it is a new try."""
    people = stage.ticked(stage.sequence(), 3)
    with refusing(stage.parts.ledger, "INSERT", "enrollment", f"NEW.address = '{REFUSED}'"), capture_logs() as logs:
        stage.turn()
    assert len(stage.sent()) == 2
    assert [one["record"] for one in logs if one["event"] == "run_not_stored"] == [people[1]]
    stage.later(minutes=5)
    stage.change(people[1], Title="Engineer")
    stage.turn()
    assert len(stage.sent(REFUSED)) == 1


def test_a_rebuild_goes_on_beside_a_run_that_cannot_be_stored(stage: Stage) -> None:
    """P6: one odd record does not keep a ledger from being filled."""
    stage.ticked(stage.sequence(), 3)
    stage.turn()
    stage.lose_ledger()
    with refusing(stage.parts.ledger, "INSERT", "enrollment", f"NEW.address = '{REFUSED}'"):
        passes.prepare(stage.parts)
    with stage.parts.ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM enrollment").scalar() == 2


def test_an_intent_that_is_refused_is_not_sent_and_the_rest_of_the_batch_is(stage: Stage) -> None:
    """P1: what the database refuses does not go out; it is tried again in an hour."""
    stage.ticked(stage.sequence(), 3)
    with refusing(stage.parts.ledger, "INSERT", "touch", f"NEW.address = '{REFUSED}'"), capture_logs() as logs:
        stage.turn()
    assert (len(stage.sent()), len(stage.sent(REFUSED))) == (2, 0)
    assert events(logs, "touch_not_intended") == 1
    stage.later(hours=1)
    stage.turn()
    assert len(stage.sent(REFUSED)) == 1


def test_an_outcome_that_is_refused_leaves_its_touch_in_doubt_and_the_others_accepted(stage: Stage) -> None:
    """B1, P1: nobody knows of it any more, so the log is asked."""
    people = stage.ticked(stage.sequence(), 3)
    condition = f"NEW.state = 'accepted' AND NEW.address = '{REFUSED}'"
    with refusing(stage.parts.ledger, "UPDATE", "touch", condition), capture_logs() as logs:
        passes.pull(stage.parts)
        passes.dispatch(stage.parts)
    assert events(logs, "outcome_not_stored") == 1
    states = [stage.touches(person)[0].state for person in people]
    assert states == [TouchState.ACCEPTED, TouchState.INTENDED, TouchState.ACCEPTED]
    for _ in range(3):
        stage.later(minutes=10)
        stage.turn()
    assert stage.touches(people[1])[0].state is TouchState.ACCEPTED
    assert len(stage.sent()) == 3


def test_an_effect_is_stored_as_a_whole_or_not_at_all(stage: Stage) -> None:
    """P3: no run ends without the status that the CRM is owed for it."""
    (person,) = stage.ticked(stage.sequence(), 1)
    stage.turn()
    stage.change(person, Drip_Enrolled__c=False)
    with refusing(stage.parts.ledger, "INSERT", "outbox", f"NEW.key = 'status:{person}'"), capture_logs() as logs:
        passes.pull(stage.parts)
    assert events(logs, "run_not_stored") == 1
    assert stage.run(person).status.live
    stage.later(days=2)
    stage.turn()
    assert len(stage.sent()) == 1
