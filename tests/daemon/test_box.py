"""The box has a contract: what ticking, unticking and ticking again do, and what the record answers (B9, B10, B14)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from stage import MONDAY, Stage

from crmdrip.core.model import RunStatus
from crmdrip.daemon import passes


def test_a_ticked_box_is_answered_within_one_pass(stage: Stage) -> None:
    """B9, P3: the record says when the first email is expected."""
    stage.at(MONDAY + timedelta(hours=9))
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    stage.turn()
    status, reason = stage.shown(contact)
    assert status == RunStatus.QUEUED
    assert "3 Nov 2026, 09:00" in reason
    assert stage.sent() == []


def test_ticked_twice_is_one_run(stage: Stage) -> None:
    """B9: on while on is nothing."""
    contact = stage.contact()
    sequence = stage.sequence()
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(minutes=5)
    stage.tick(contact, sequence)
    stage.turn()
    assert len(stage.runs(contact)) == 1
    assert len(stage.sent()) == 1


def test_unticking_stops_and_the_record_says_so(stage: Stage) -> None:
    """B9, P2: off is a stop, also minutes before the next email."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.at(MONDAY + timedelta(days=2, minutes=-1))
    stage.change(contact, Drip_Enrolled__c=False)
    stage.later(minutes=1)
    stage.turn()
    assert len(stage.sent()) == 1
    status, reason = stage.shown(contact)
    assert status == RunStatus.STOPPED
    assert "unticked" in reason


def test_off_then_on_is_a_new_run_where_the_policy_allows(stage: Stage) -> None:
    """B9, B19: the second run begins with the first step, under its own number, and not on the same day."""
    contact = stage.contact()
    sequence = stage.sequence(Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=0)
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, Drip_Enrolled__c=False)
    stage.turn()
    stage.later(hours=1)
    stage.tick(contact, sequence)
    stage.turn()
    assert [run.run for run in stage.runs(contact)] == [1, 2]
    assert stage.record(contact)["Drip_Run__c"] == 2
    assert len(stage.sent()) == 1
    stage.later(days=1)
    stage.turn()
    assert len(stage.sent()) == 2


def test_off_then_on_is_refused_where_the_sequence_never_runs_twice(stage: Stage) -> None:
    """B9: the box is unticked and the record says why."""
    contact = stage.contact()
    sequence = stage.sequence()
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, Drip_Enrolled__c=False)
    stage.turn()
    stage.later(hours=1)
    stage.tick(contact, sequence)
    stage.turn()
    status, reason = stage.shown(contact)
    assert status == RunStatus.REFUSED
    assert "does not run twice" in reason
    assert not stage.record(contact)["Drip_Enrolled__c"]


def test_off_and_on_between_two_pulls_changes_nothing_but_is_no_second_first_email(stage: Stage) -> None:
    """B9: nobody saw the box off, so the run goes on and nothing is sent twice."""
    contact = stage.contact()
    sequence = stage.sequence()
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(minutes=5)
    stage.change(contact, Drip_Enrolled__c=False)
    stage.tick(contact, sequence)
    stage.play(MONDAY + timedelta(hours=3))
    assert len(stage.sent()) == 1
    assert stage.run(contact).status is RunStatus.ACTIVE


def test_the_box_is_off_once_everything_went_out(stage: Stage) -> None:
    """B9: the box says whether email can still go out."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence({"Drip_Delay__c": 0}))
    stage.turn()
    assert not stage.record(contact)["Drip_Enrolled__c"]
    assert stage.shown(contact)[0] == RunStatus.FINISHED


def test_our_own_untick_is_not_taken_for_a_persons(stage: Stage) -> None:
    """B9: while our untick is on its way the box means nothing, and afterwards the finish stays a finish."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence({"Drip_Delay__c": 0}))
    stage.turn()
    for _ in range(3):
        stage.later(minutes=10)
        stage.turn()
    assert stage.shown(contact)[0] == RunStatus.FINISHED
    assert len(stage.runs(contact)) == 1


def test_a_box_ticked_again_before_our_untick_arrives_is_not_lost_in_silence(stage: Stage) -> None:
    """B9, P3: a tick that our own write overtakes leaves a record that says what is the case."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence({"Drip_Delay__c": 0}))
    passes.pull(stage.parts)
    passes.dispatch(stage.parts)
    stage.later(minutes=1)
    stage.turn()
    row = stage.record(contact)
    assert (row["Drip_Enrolled__c"], row["Drip_Status__c"]) == (False, "Finished")


def test_a_move_to_another_sequence_ends_one_run_and_begins_the_other(stage: Stage) -> None:
    """B9: the box stays on, the record tells of the new run."""
    contact = stage.contact()
    first, second = stage.sequence(), stage.sequence()
    stage.tick(contact, first)
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, Drip_Sequence__c=second)
    stage.turn()
    assert [(run.sequence_id, run.status.live) for run in stage.runs(contact)] == [(first, False), (second, True)]
    assert stage.record(contact)["Drip_Enrolled__c"]


def test_a_record_without_a_sequence_is_refused(stage: Stage) -> None:
    """B9, P3: the record says to choose one."""
    contact = stage.contact()
    stage.change(contact, Drip_Enrolled__c=True)
    stage.turn()
    status, reason = stage.shown(contact)
    assert status == RunStatus.REFUSED
    assert "choose a sequence" in reason


def test_an_import_is_queued_under_the_entry_throttle(stage: Stage) -> None:
    """B10: two a day begin; each record tells its own expected start."""
    people = stage.ticked(stage.sequence(Drip_Entry_Cap__c=2), 5)
    stage.turn()
    assert len(stage.sent()) == 2
    waiting = [stage.shown(one) for one in people if stage.run(one).steps_done == 0]
    assert {status for status, _ in waiting} == {RunStatus.QUEUED}
    assert sorted(reason for _, reason in waiting) == [
        "Queued, expected start 3 Nov 2026, 09:00 (UTC).",
        "Queued, expected start 3 Nov 2026, 09:00 (UTC).",
        "Queued, expected start 4 Nov 2026, 09:00 (UTC).",
    ]
    stage.play(MONDAY + timedelta(days=1, hours=1), step=timedelta(hours=12))
    assert len(stage.sent()) == 4


def test_a_mass_entry_waits_for_a_confirmation(stage: Stage) -> None:
    """B10: nobody is mailed before Confirmed is set; afterwards everybody is."""
    sequence = stage.sequence(Drip_Confirm_Above__c=3)
    people = stage.ticked(sequence, 5)
    stage.turn()
    assert stage.sent() == []
    status, reason = stage.shown(people[0])
    assert status == RunStatus.HELD
    assert "5 people were added" in reason
    stage.later(minutes=5)
    stage.change(sequence, Drip_Confirmed__c=True)
    stage.turn()
    assert len(stage.sent()) == 5


def test_a_mass_untick_waits_for_a_confirmation(stage: Stage) -> None:
    """B10: an import that unticks everybody stops nobody at once, and sends nothing either; Confirmed lets it stop."""
    stage.limit(stop_minimum=3)
    sequence = stage.sequence()
    people = stage.ticked(sequence, 5)
    stage.turn()
    assert len(stage.sent()) == 5
    stage.at(MONDAY + timedelta(days=2))
    for one in people:
        stage.change(one, Drip_Enrolled__c=False)
    stage.turn()
    status, reason = stage.shown(people[0])
    assert status == RunStatus.HELD
    assert "5 of 5 people would be stopped" in reason
    assert len(stage.sent()) == 5
    stage.later(minutes=5)
    stage.change(sequence, Drip_Confirmed__c=True)
    stage.turn()
    assert {stage.shown(one)[0] for one in people} == {RunStatus.STOPPED}
    assert len(stage.sent()) == 5


def test_a_mass_untick_that_is_undone_goes_on_after_the_confirmation(stage: Stage) -> None:
    """B10: ticked again, the runs were never ended."""
    stage.limit(stop_minimum=3)
    sequence = stage.sequence()
    people = stage.ticked(sequence, 4)
    stage.turn()
    stage.later(hours=1)
    for one in people:
        stage.change(one, Drip_Enrolled__c=False)
    stage.turn()
    stage.later(hours=1)
    for one in people:
        stage.change(one, Drip_Enrolled__c=True)
    stage.turn()
    stage.later(minutes=5)
    stage.change(sequence, Drip_Confirmed__c=True)
    stage.play(MONDAY + timedelta(days=2, hours=1), step=timedelta(hours=12))
    assert len(stage.sent()) == 8
    assert {len(stage.runs(one)) for one in people} == {1}


def test_opt_outs_are_never_braked(stage: Stage) -> None:
    """B10, P2: however many opt out at once, they stop at once."""
    stage.limit(stop_minimum=2)
    people = stage.ticked(stage.sequence(), 4)
    stage.turn()
    stage.later(hours=1)
    for one in people:
        stage.change(one, HasOptedOutOfEmail=True)
    stage.turn()
    assert {stage.shown(one)[0] for one in people} == {RunStatus.STOPPED}


def test_a_deleted_record_stops_and_is_not_written_to(stage: Stage) -> None:
    """B14: nothing brings it back, and no write is owed to it for ever."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.do(stage.sandbox.org.delete, contact)
    stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=12))
    assert stage.run(contact).status is RunStatus.STOPPED
    assert stage.record(contact)["IsDeleted"]
    assert len(stage.sent()) == 1
    assert stage.owed() == []


def test_a_restored_record_stays_stopped_until_it_is_ticked_again(stage: Stage) -> None:
    """B14: the box of the recycle bin starts nothing; unticked and ticked anew it does."""
    contact = stage.contact()
    sequence = stage.sequence(Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=0)
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(hours=1)
    stage.do(stage.sandbox.org.delete, contact)
    stage.turn()
    stage.later(hours=1)
    stage.do(stage.sandbox.org.undelete, contact)
    stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=12))
    assert len(stage.sent()) == 1
    assert not stage.record(contact)["Drip_Enrolled__c"]
    stage.tick(contact, sequence)
    stage.turn()
    assert len(stage.sent()) == 2


@pytest.mark.parametrize("pulls", [0, 1, 2])
def test_a_sequence_made_just_before_the_tick_is_entered(stage: Stage, pulls: int) -> None:
    """B9, P3: whichever streams a pull asks for in turn, nobody is refused for a sequence that is there."""
    for _ in range(pulls):
        stage.later(minutes=1)
        passes.pull(stage.parts)
    stage.later(minutes=1)
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    passes.pull(stage.parts)
    passes.pull(stage.parts)
    passes.write_back(stage.parts)
    assert stage.now > MONDAY
    assert stage.shown(contact)[0] == RunStatus.QUEUED


def test_an_address_that_was_given_on_begins_a_run_of_its_own(stage: Stage) -> None:
    """B13, B15: whose run began with it goes on at another address; no page breaks, and no touch is sent twice."""
    sequence = stage.sequence({"Drip_Delay__c": 0}, {"Drip_Delay__c": 1})
    contact = stage.contact()
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, Email="ann.lee@acme.example")
    stage.turn()
    lead = stage.lead("ann@acme.example")
    stage.later(minutes=1)
    stage.tick(lead, sequence)
    stage.play(MONDAY + timedelta(days=5), step=timedelta(hours=12))
    assert [stage.run(one).run for one in (contact, lead)] == [1, 2]
    assert [stage.shown(one)[0] for one in (contact, lead)] == [RunStatus.FINISHED, RunStatus.FINISHED]
    assert len(stage.sent()) == 4
    assert stage.twice() == {}


def test_a_box_ticked_again_and_again_brings_one_email_a_day(stage: Stage) -> None:
    """B9, B19: however often a rep starts anew where the policy lets everybody in at once."""
    sequence = stage.sequence(Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=0)
    contact = stage.contact()
    for _ in range(4):
        stage.tick(contact, sequence)
        stage.turn()
        stage.later(minutes=10)
        stage.change(contact, Drip_Enrolled__c=False)
        stage.turn()
        stage.later(minutes=10)
    assert [run.run for run in stage.runs(contact)] == [1, 2, 3, 4]
    assert len(stage.sent()) == 1


def test_another_sequence_on_the_same_day_begins_on_the_next(stage: Stage) -> None:
    """B9, B19: the box stays ticked and the sequence is changed an hour after an email."""
    first, second = stage.sequence(), stage.sequence()
    contact = stage.contact()
    stage.tick(contact, first)
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, Drip_Sequence__c=second)
    stage.turn()
    assert stage.run(contact).sequence_id == second
    stage.later(hours=3)
    stage.turn()
    assert len(stage.sent()) == 1
    stage.later(days=1)
    stage.turn()
    assert len(stage.sent()) == 2
