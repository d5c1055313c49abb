"""The box goes out as the ledger means it, whatever else is owed to the record (B9, B11, B14)."""

from __future__ import annotations

from datetime import timedelta

from stage import MONDAY, Stage

from crmdrip.core.model import RunStatus
from crmdrip.daemon import passes


def test_a_contact_is_ticked_although_its_next_email_went_out_before_that_was_written(stage: Stage) -> None:
    """B11: the status of the email takes the place of the one that moved the run, and the box goes on all the same."""
    lead = stage.lead()
    sequence = stage.sequence()
    stage.tick(lead, sequence)
    stage.turn()
    stage.at(MONDAY + timedelta(days=2))
    contact = stage.do(stage.sandbox.org.convert, lead).contact_id
    passes.pull(stage.parts)
    while stage.run(contact).steps_done == 1:
        passes.dispatch(stage.parts)
    passes.write_back(stage.parts)
    shown = stage.record(contact)
    assert (shown["Drip_Enrolled__c"], shown["Drip_Sequence__c"]) == (True, sequence)
    stage.play(MONDAY + timedelta(days=2, hours=1), step=timedelta(minutes=10))
    assert stage.run(contact).status is RunStatus.ACTIVE
    assert len(stage.sent()) == 2


def test_a_conversion_that_stops_is_told_on_the_contact(stage: Stage) -> None:
    """B11: the lead is never written to again, and somebody has to be told."""
    lead = stage.lead()
    stage.tick(lead, stage.sequence())
    stage.turn()
    before = stage.record(lead)["Drip_Reason__c"]
    contact = stage.do(stage.sandbox.org.convert, lead, opportunity_name="Big deal").contact_id
    stage.later(minutes=1)
    stage.turn()
    status, reason = stage.shown(contact)
    assert status == RunStatus.STOPPED
    assert reason == "The lead was converted and an opportunity was created. No further email goes out."
    assert not stage.record(contact)["Drip_Enrolled__c"]
    assert stage.record(lead)["Drip_Reason__c"] == before


def test_a_tick_after_an_untick_is_not_taken_away_by_our_own_write(stage: Stage) -> None:
    """B9: the box was off by hand, so there is nothing to untick; what is on when the write arrives is new."""
    contact = stage.contact()
    sequence = stage.sequence({"Drip_Delay__c": 1}, {})
    stage.tick(contact, sequence)
    stage.turn()
    stage.change(contact, Drip_Enrolled__c=False)
    stage.later(minutes=1)
    passes.pull(stage.parts)
    stage.tick(contact, sequence)
    passes.write_back(stage.parts)
    assert stage.record(contact)["Drip_Enrolled__c"]
    stage.later(minutes=1)
    stage.turn()
    assert [run.status for run in stage.runs(contact)] == [RunStatus.STOPPED, RunStatus.QUEUED]


def test_a_record_restored_before_a_pull_saw_it_deleted_stays_stopped(stage: Stage) -> None:
    """B14: a write found it in the recycle bin, which the ledger remembers."""
    contact = stage.contact()
    sequence = stage.sequence({"Drip_Delay__c": 1}, {})
    stage.tick(contact, sequence)
    passes.pull(stage.parts)
    stage.do(stage.sandbox.org.delete, contact)
    passes.write_back(stage.parts)
    stage.do(stage.sandbox.org.undelete, contact)
    stage.later(minutes=1)
    stage.turn()
    status, reason = stage.shown(contact)
    assert status == RunStatus.STOPPED
    assert reason == "The record was deleted and restored. Tick the box to start a new run."
    assert not stage.record(contact)["Drip_Enrolled__c"]


def test_a_deleted_sequence_ends_its_runs_and_the_records_say_what_to_do(stage: Stage) -> None:
    """B9: Salesforce clears the lookup together with the sequence, and a box without a sequence means nothing."""
    contact, sequence = stage.contact(), stage.sequence()
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(hours=1)
    stage.do(stage.sandbox.org.delete, sequence)
    stage.turn()
    reason = "This record names no sequence any more. Choose one and tick the box to start a new run."
    assert stage.shown(contact) == (RunStatus.STOPPED, reason)
    assert not stage.record(contact)["Drip_Enrolled__c"]
