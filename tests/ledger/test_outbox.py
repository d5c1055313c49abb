"""Write-backs: the newest counts, stops go first, and none is lost or settled in another's place (B20, B21)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_values import NOW, contact

from crmdrip.core.struct import replace
from crmdrip.core.writes import BounceWrite, ControlWrite, OptOutWrite, Priority, SequenceWrite, StatusWrite, TaskWrite
from crmdrip.ledger import outbox
from crmdrip.ledger.outbox import Setback

STATUS = StatusWrite(
    key="status:1",
    ref=contact(),
    status="Active",
    reason="Step 1 of 4 went out.",
    step="2 of 4",
    next_touch=NOW,
    last_touch=NOW - timedelta(days=1),
    run=1,
    enrolled=False,
    replied_at=NOW,
)
WRITES = [
    STATUS,
    TaskWrite(
        key="task:1",
        touch_id="1",
        ref=contact(),
        owner_id="005",
        at=NOW,
        subject="Grüße",
        body="Text",
        sequence="Trial",
        sequence_id="seq",
        step="1 of 4",
        step_id="step",
        run=1,
        outcome="Sent",
        message_id="<1@x>",
    ),
    OptOutWrite(key="opt_out:1", ref=contact()),
    BounceWrite(key="bounce:1", ref=contact(), reason="550", at=NOW),
    SequenceWrite(key="sequence:1", sequence_id="seq", version="v", error="", counts={"active": 3}),
    ControlWrite(key="control", heartbeat=NOW, calls_used=1, calls_limit=None, state="Running."),
]


def owe(any_ledger, *writes, priority=Priority.REPORT, at=NOW):
    """Add write-backs."""
    with any_ledger.write() as connection:
        outbox.owe(connection, [(write, priority) for write in writes], at)


def due(any_ledger, at=NOW, limit=100):
    """What is to be written."""
    with any_ledger.read() as connection:
        return outbox.due(connection, at, limit)


@pytest.mark.parametrize("write", WRITES, ids=lambda write: type(write).__name__)
def test_a_write_comes_back_as_it_was(any_ledger, write):
    """Every kind survives the ledger, times included."""
    owe(any_ledger, write)
    assert [one.write for one in due(any_ledger)] == [write]


def test_the_newest_status_of_a_record_replaces_the_older(any_ledger):
    """P5: one write instead of two."""
    owe(any_ledger, STATUS)
    owe(any_ledger, replace(STATUS, status="Stopped"))
    [one] = due(any_ledger)
    assert isinstance(one.write, StatusWrite)
    assert (one.write.status, one.revision) == ("Stopped", 2)


def test_a_write_replaced_while_it_was_under_way_stays_owed(any_ledger):
    """Settling the old form must not lose the new one."""
    owe(any_ledger, STATUS)
    under_way = due(any_ledger)
    owe(any_ledger, replace(STATUS, status="Stopped"))
    with any_ledger.write() as connection:
        outbox.settle(connection, under_way)
    assert [one.write.status for one in due(any_ledger) if isinstance(one.write, StatusWrite)] == ["Stopped"]


def test_a_settled_write_is_gone(any_ledger):
    """Nothing is written twice for want of forgetting it."""
    owe(any_ledger, *WRITES)
    with any_ledger.write() as connection:
        outbox.settle(connection, due(any_ledger))
        assert outbox.pending(connection) == (0, 0)


def test_stops_go_before_reports_and_figures(any_ledger):
    """P5, B20: when calls are scarce the order decides what still gets through."""
    owe(any_ledger, WRITES[5], priority=Priority.FIGURES, at=NOW - timedelta(hours=2))
    owe(any_ledger, STATUS, priority=Priority.REPORT, at=NOW - timedelta(hours=1))
    owe(any_ledger, WRITES[2], priority=Priority.STOP)
    assert [one.write.key for one in due(any_ledger)] == ["opt_out:1", "status:1", "control"]


def test_a_stop_that_replaces_a_report_is_a_stop(any_ledger):
    """P5, B20: the box is unticked before an import's ten thousand reports; a report in its place keeps the turn."""
    owe(any_ledger, STATUS, at=NOW - timedelta(hours=2))
    owe(any_ledger, WRITES[5], at=NOW - timedelta(hours=1))
    owe(any_ledger, replace(STATUS, status="Stopped"), priority=Priority.STOP)
    assert [one.write.key for one in due(any_ledger)] == ["status:1", "control"]
    owe(any_ledger, replace(STATUS, reason="later"))
    assert [one.priority for one in due(any_ledger)] == [Priority.STOP, Priority.REPORT]


def test_a_failed_write_waits_for_its_time(any_ledger):
    """B21: it is not given out before, and its attempts are counted."""
    owe(any_ledger, STATUS)
    [one] = due(any_ledger)
    later = NOW + timedelta(minutes=1)
    with any_ledger.write() as connection:
        outbox.put_off(connection, [Setback(owed=one, not_before=later, code="UNABLE_TO_LOCK_ROW", detail="busy")])
    assert due(any_ledger) == []
    [again] = due(any_ledger, at=later)
    assert (again.attempt, again.code) == (1, "UNABLE_TO_LOCK_ROW")


def test_a_parked_write_is_shown_and_comes_back_by_command(any_ledger):
    """B21: what is permanent is kept, visible, and can be retried."""
    owe(any_ledger, STATUS)
    with any_ledger.write() as connection:
        outbox.put_off(
            connection,
            [Setback(owed=due(any_ledger)[0], not_before=None, code="FIELD_CUSTOM_VALIDATION_EXCEPTION", detail="No.")],
        )
    assert due(any_ledger, at=NOW + timedelta(days=9)) == []
    with any_ledger.write() as connection:
        assert [one.code for one in outbox.parked(connection)] == ["FIELD_CUSTOM_VALIDATION_EXCEPTION"]
        assert outbox.pending(connection) == (0, 1)
        assert outbox.unpark(connection, NOW) == 1
    assert len(due(any_ledger)) == 1


def test_a_newer_status_takes_a_parked_one_off_its_shelf(any_ledger):
    """The newer may well be accepted."""
    owe(any_ledger, STATUS)
    with any_ledger.write() as connection:
        outbox.put_off(connection, [Setback(owed=due(any_ledger)[0], not_before=None, code="X", detail="")])
    owe(any_ledger, replace(STATUS, status="Finished"))
    assert len(due(any_ledger)) == 1
