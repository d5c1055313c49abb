"""An org whose own flows change our fields back: the daemon answers, and does not talk to a flow for ever."""

from __future__ import annotations

from datetime import timedelta

from stage import MONDAY, Stage

from crmdrip.core.model import RunStatus
from crmdrip.ledger import outbox

MINUTE = timedelta(minutes=1)
FEW = timedelta(minutes=8)


def _versions_of_two_hours(stage: Stage) -> int:
    """How many turns of two hours found a new version of the contact: for each the org's own triggers run."""
    stamps = set()
    until = stage.now + timedelta(hours=2)
    while stage.now < until:
        stage.play(stage.now + 4 * MINUTE, step=4 * MINUTE)
        (row,) = stage.do(stage.sandbox.org.select, "SELECT SystemModstamp FROM Contact")
        stamps.add(row["SystemModstamp"])
    return len(stamps)


def _tick_at_every_save(stage: Stage) -> str:
    """A contact that was in a sequence of one step, in an org that ticks the box at every save; its id."""
    contact = stage.contact()
    sequence = stage.sequence({"Drip_Delay__c": 0}, Drip_Re_Enrollment__c="Never")
    ticked = {"Drip_Enrolled__c": True, "Drip_Sequence__c": sequence}
    stage.do(stage.sandbox.org.add_flow, "Contact", lambda _: ticked)
    stage.do(stage.sandbox.org.update, contact, {"Title": "CFO"})
    stage.play(MONDAY + FEW, step=MINUTE)
    return contact


def test_a_flow_that_ticks_at_every_save_gets_an_answer_an_hour(stage: Stage) -> None:
    """B9, P5: the person is refused a second run for good, and the record is not written every minute for that."""
    contact = _tick_at_every_save(stage)
    assert len(stage.sent()) == 1
    assert stage.shown(contact)[0] == RunStatus.REFUSED
    assert _versions_of_two_hours(stage) <= 3


def test_what_a_flow_ticks_again_is_told(stage: Stage) -> None:
    """P3: what is owed to the record says why it waits."""
    _tick_at_every_save(stage)
    with stage.parts.ledger.read() as connection:
        (owed,) = outbox.due(connection, stage.now + timedelta(hours=2), 10)
    assert owed.code == "TICKED_AGAIN"


def test_a_person_who_ticks_again_is_answered_at_once(stage: Stage) -> None:
    """B9: twice within an hour is nothing unusual."""
    contact = stage.contact()
    sequence = stage.sequence({"Drip_Delay__c": 0}, Drip_Re_Enrollment__c="Never")
    ticked = {"Drip_Enrolled__c": True, "Drip_Sequence__c": sequence}
    stage.do(stage.sandbox.org.update, contact, ticked)
    stage.turn()
    for _ in range(2):
        stage.do(stage.sandbox.org.update, contact, ticked)
        stage.later(minutes=1)
        stage.turn()
        stage.later(minutes=1)
        (row,) = stage.do(stage.sandbox.org.select, "SELECT Drip_Enrolled__c FROM Contact")
        assert row["Drip_Enrolled__c"] is False


def test_nobody_fights_over_a_status_that_a_flow_clears(stage: Stage) -> None:
    """P5: our fields are for people to read; the run goes on by the ledger, and is not written again and again."""
    contact = stage.contact()
    sequence = stage.sequence()
    stage.do(stage.sandbox.org.add_flow, "Contact", lambda _: {"Drip_Status__c": None, "Drip_Run__c": None})
    stage.do(stage.sandbox.org.update, contact, {"Drip_Enrolled__c": True, "Drip_Sequence__c": sequence})
    stage.play(MONDAY + FEW, step=MINUTE)
    assert _versions_of_two_hours(stage) == 1
    assert len(stage.sent()) == 1
