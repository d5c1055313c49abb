"""A ledger that was lost or is an old copy: filled from the CRM, and nobody is mailed twice (B4, P6)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from stage import MONDAY, Stage

from crmdrip.core.errors import RetriableError
from crmdrip.core.model import RunStatus, TouchState
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.daemon.rebuild import needs_rebuild
from crmdrip.ledger import marks, tallies, touches
from crmdrip.ports import Finding, LogFinding

TWO_HOURS = timedelta(hours=2)


class NoLog:
    """A mailer whose provider keeps no log, as with SMTP."""

    def __init__(self, mailer) -> None:
        self._mailer = mailer

    def __getattr__(self, name):
        return getattr(self._mailer, name)

    def find(self, touch_id, address, since):
        """It cannot be asked."""
        return LogFinding(touch_id=touch_id, finding=Finding.UNAVAILABLE)


class BrokenTimelines:
    """A source whose touches cannot be read now."""

    def __init__(self, source) -> None:
        self._source = source

    def __getattr__(self, name):
        return getattr(self._source, name)

    def touches(self, cursor):
        """The connection breaks."""
        raise RetriableError("no answer.")
        yield


def started(stage: Stage, **fields: object) -> str:
    """A contact who has had the first of three emails, with everything written back."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence(**fields))
    stage.turn()
    assert len(stage.sent()) == 1
    return contact


def test_a_lost_ledger_is_rebuilt_and_nobody_is_mailed_twice(stage: Stage) -> None:
    """B4, P6: the run goes on where it was, with the remaining steps once each."""
    contact = started(stage)
    stage.lose_ledger()
    passes.prepare(stage.parts)
    run = stage.run(contact)
    assert (run.status, run.steps_done) == (RunStatus.ACTIVE, 1)
    stage.play(MONDAY + timedelta(days=8), step=timedelta(hours=12))
    assert len(stage.sent()) == 3
    assert stage.twice() == {}
    assert stage.shown(contact)[0] == RunStatus.FINISHED


def test_the_thread_goes_on_after_a_rebuild(stage: Stage) -> None:
    """P6: the touches on the timeline carry their Message-IDs."""
    contact = started(stage)
    before = stage.run(contact).thread
    stage.lose_ledger()
    passes.prepare(stage.parts)
    assert before
    assert stage.run(contact).thread == before


def test_touches_whose_write_back_was_lost_are_found_in_the_providers_log(stage: Stage) -> None:
    """B4, P1: two emails went out of which the CRM never heard; the log knows both, so the third is the next."""
    contact = started(stage)
    for day in (2, 4):
        stage.at(MONDAY + timedelta(days=day, hours=1))
        if day == 4:
            stage.step(stage.run(contact).sequence_id, Drip_Order__c=40, Name="Step 4")
        passes.pull(stage.parts)
        passes.dispatch(stage.parts)
    assert len(stage.sent()) == 3
    stage.lose_ledger()
    passes.prepare(stage.parts)
    stage.play(stage.now + timedelta(minutes=30), step=timedelta(minutes=5))
    assert stage.run(contact).steps_done == 3
    stage.play(MONDAY + timedelta(days=10), step=timedelta(hours=12))
    assert len(stage.sent()) == 4
    assert stage.twice() == {}
    assert len(stage.tasks(contact)) == 4


def test_a_first_email_of_which_the_crm_knows_nothing_at_all_is_not_sent_again(stage: Stage) -> None:
    """B4, P1: not even the status was written when the ledger was lost."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    passes.pull(stage.parts)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1
    stage.lose_ledger()
    passes.prepare(stage.parts)
    stage.play(MONDAY + TWO_HOURS, step=timedelta(minutes=20))
    assert len(stage.sent()) == 1
    assert stage.run(contact).steps_done == 1


def test_the_very_first_start_asks_no_log(stage: Stage) -> None:
    """B4: where no daemon ever worked nothing can have gone out, so boxes ticked before are served at once."""
    stage.lose_ledger()
    control = stage.do(stage.sandbox.org.select, "SELECT Id FROM Drip_Control__c")[0]["Id"]
    stage.change(control, Drip_Heartbeat__c=None)
    stage.tick(stage.contact(), stage.sequence())
    passes.prepare(stage.parts)
    stage.turn()
    assert len(stage.sent()) == 1
    assert stage.do(lambda: stage.sandbox.account.calls["POST /v3/logs"]) == 0


def test_a_copy_from_yesterday_is_noticed_and_brought_up_to_date(stage: Stage) -> None:
    """B4: the CRM's heartbeat is newer than the copy's, and yesterday's next step went out already."""
    contact = started(stage)
    copy = stage.copy_ledger()
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(days=2, hours=1), step=timedelta(hours=24))
    assert len(stage.sent()) == 2
    stage.restore_ledger(copy)
    assert needs_rebuild(stage.parts)
    passes.prepare(stage.parts)
    assert stage.run(contact).steps_done == 2
    stage.play(MONDAY + timedelta(days=8), step=timedelta(hours=12))
    assert len(stage.sent()) == 3
    assert stage.twice() == {}


def test_an_ordinary_restart_is_no_rebuild(stage: Stage) -> None:
    """P5: two calls to the CRM, and no run is doubted."""
    contact = started(stage)
    stage.start()
    assert not needs_rebuild(stage.parts)
    calls = stage.crm_calls()
    passes.prepare(stage.parts)
    assert stage.crm_calls() - calls <= 2
    assert not stage.run(contact).unproven


def test_a_run_that_ended_since_the_copy_stays_ended_with_its_reason(stage: Stage) -> None:
    """B4, P3: the record keeps telling of the reply, although the copy knows a live run."""
    contact = started(stage)
    copy = stage.copy_ledger()
    passes.prepare(stage.parts)
    stage.later(hours=1)
    stage.do(stage.sandbox.world.actions.reply, "ann@acme.example", "Thanks", to=stage.sent()[0])
    stage.turn()
    shown = stage.shown(contact)
    assert shown[0] == RunStatus.STOPPED
    stage.restore_ledger(copy)
    passes.prepare(stage.parts)
    stage.turn()
    assert stage.run(contact).status is RunStatus.STOPPED
    assert stage.shown(contact) == shown
    assert len(stage.sent()) == 1


def test_what_an_old_copy_still_meant_to_write_is_not_written(stage: Stage) -> None:
    """B4: a status owed yesterday would overwrite today's."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    passes.pull(stage.parts)
    copy = stage.copy_ledger()
    passes.prepare(stage.parts)
    stage.later(minutes=10)
    stage.turn()
    shown = stage.shown(contact)
    assert shown[0] == RunStatus.ACTIVE
    stage.later(hours=1)
    stage.turn()
    stage.restore_ledger(copy)
    passes.prepare(stage.parts)
    passes.write_back(stage.parts)
    assert stage.shown(contact) == shown


def test_a_rebuild_that_breaks_off_sends_nothing_until_it_is_done(stage: Stage) -> None:
    """B4: safe mode lasts until the timelines were read, across restarts."""
    contact = started(stage)
    stage.lose_ledger()
    whole = stage.parts
    stage.parts = replace(whole, source=BrokenTimelines(whole.source))
    with pytest.raises(RetriableError):
        passes.prepare(stage.parts)
    stage.at(MONDAY + timedelta(days=2, hours=1))
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1
    stage.parts = whole
    assert needs_rebuild(stage.parts)
    stage.restart()
    assert stage.run(contact).steps_done == 1
    stage.play(stage.now + timedelta(minutes=10), step=timedelta(minutes=5))
    assert len(stage.sent()) == 2
    assert stage.twice() == {}


def test_a_reply_that_came_while_the_ledger_was_lost_still_stops(stage: Stage) -> None:
    """B4, P2: nobody was there to hear it, and it lies before the rebuild."""
    contact = started(stage)
    stage.later(hours=20)
    stage.do(stage.sandbox.world.actions.reply, "ann@acme.example", "Thanks", to=stage.sent()[0])
    stage.later(hours=5)
    stage.lose_ledger()
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=6))
    assert stage.shown(contact)[0] == RunStatus.STOPPED
    assert len(stage.sent()) == 1


def test_a_box_that_was_unticked_meanwhile_is_told_as_such(stage: Stage) -> None:
    """B4, P3: the record does not go on saying Active."""
    contact = started(stage)
    stage.later(hours=1)
    stage.change(contact, Drip_Enrolled__c=False)
    stage.lose_ledger()
    passes.prepare(stage.parts)
    passes.write_back(stage.parts)
    status, reason = stage.shown(contact)
    assert status == RunStatus.STOPPED
    assert "unticked" in reason


def test_a_box_ticked_again_beside_an_ended_run_follows_the_re_enrollment_policy(stage: Stage) -> None:
    """B4, B9: our own unticking stands in the same write as the end, so a box beside it was ticked by a person."""
    contact = started(stage, Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=1)
    stage.later(hours=1)
    stage.change(contact, Drip_Enrolled__c=False)
    stage.turn()
    stage.at(MONDAY + timedelta(days=2))
    stage.lose_ledger()
    stage.tick(contact, stage.record(contact)["Drip_Sequence__c"])
    passes.prepare(stage.parts)
    stage.play(stage.now + TWO_HOURS, step=timedelta(minutes=30))
    assert stage.run(contact).run == 2
    assert len(stage.sent()) == 2
    assert stage.twice() == {}


def test_without_a_log_a_person_decides_what_may_have_gone_out(stage: Stage) -> None:
    """B4: SMTP keeps no log. What was due before the ledger was lost is asked about, the rest cannot be out."""
    contact = started(stage)
    stage.at(MONDAY + timedelta(days=2, hours=1))
    stage.lose_ledger()
    stage.parts = replace(stage.parts, mailer=NoLog(stage.parts.mailer))
    passes.prepare(stage.parts)
    stage.later(minutes=6)
    stage.turn()
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.ACCEPTED, TouchState.NEEDS_PERSON]
    assert len(stage.sent()) == 1


def test_without_a_log_what_was_due_later_goes_out(stage: Stage) -> None:
    """B4: a touch that was not due before the rebuild cannot have been sent before it."""
    started(stage)
    stage.later(hours=3)
    stage.lose_ledger()
    stage.parts = replace(stage.parts, mailer=NoLog(stage.parts.mailer))
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(days=2, hours=2), step=timedelta(hours=10))
    assert len(stage.sent()) == 2


def test_without_a_log_what_was_just_due_is_asked_about(stage: Stage) -> None:
    """B4, B29, P1: the lost ledger's machine may have been a minute ahead of the CRM's clock."""
    contact = started(stage)
    stage.at(MONDAY + timedelta(days=2) - timedelta(minutes=1))
    stage.clock.ahead = timedelta(minutes=1, seconds=1)
    passes.pull(stage.parts)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 2
    stage.clock.ahead = timedelta()
    stage.lose_ledger()
    stage.parts = replace(stage.parts, mailer=NoLog(stage.parts.mailer))
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(days=2, hours=1), step=timedelta(minutes=6))
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.ACCEPTED, TouchState.NEEDS_PERSON]
    assert len(stage.sent()) == 2


def test_the_last_step_was_taken_so_there_is_nothing_to_prove(stage: Stage) -> None:
    """B4: the finish was lost with the ledger; the run ends, and does not wait for ever."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence({"Drip_Delay__c": 0}))
    stage.turn()
    stage.change(contact, Drip_Status__c="Active", Drip_Enrolled__c=True)
    stage.lose_ledger()
    passes.prepare(stage.parts)
    stage.play(MONDAY + TWO_HOURS, step=timedelta(minutes=30))
    assert stage.shown(contact)[0] == RunStatus.FINISHED
    assert len(stage.sent()) == 1


def test_a_task_that_may_be_there_already_is_put_there_once(stage: Stage) -> None:
    """B4: a task for the rep leaves no trace in the mail log; its key in the CRM keeps it single."""
    contact = stage.contact()
    sequence = stage.sequence({"Drip_Delay__c": 0}, {"Drip_Kind__c": "Task", "Drip_Subject__c": "Call"}, {})
    stage.tick(contact, sequence)
    stage.turn()
    stage.at(MONDAY + timedelta(days=2, hours=1))
    stage.turn()
    assert len(stage.tasks(contact)) == 2
    stage.lose_ledger()
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(days=4, hours=2), step=timedelta(hours=6))
    assert len(stage.tasks(contact)) == 3
    assert len(stage.sent()) == 2


def test_a_converted_lead_goes_on_as_the_contact_after_a_rebuild(stage: Stage) -> None:
    """B4, B11: the lead's fields still speak of the run; it is the contact's."""
    lead = stage.lead()
    stage.tick(lead, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    contact = stage.do(stage.sandbox.org.convert, lead).contact_id
    stage.turn()
    stage.lose_ledger()
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(days=8), step=timedelta(hours=12))
    assert len(stage.sent()) == 3
    assert stage.twice() == {}
    assert stage.shown(contact)[0] == RunStatus.FINISHED


def test_the_figures_are_rebuilt_too(stage: Stage) -> None:
    """P6: the mass-stop brake and the sequence's own figures count who is active."""
    contact = started(stage)
    sequence = stage.run(contact).sequence_id
    stage.lose_ledger()
    passes.prepare(stage.parts)
    with stage.parts.ledger.read() as connection:
        found = tallies.totals(connection, [sequence])[sequence]
        assert marks.read_mark(connection, marks.MODE) is None
        assert touches.count_touches(connection) == {"accepted": 1}
    assert (found["active"], found["sent"]) == (1, 1)
