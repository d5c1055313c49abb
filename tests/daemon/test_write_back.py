"""What is owed to the CRM is written in the end, once, whatever stands in its way; mail never suffers (B20, B21)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from stage import MONDAY, Stage

from crmdrip.core.errors import RateLimitedError, RetriableError
from crmdrip.core.model import RunStatus
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.ledger import outbox
from crmdrip.sandbox.faults import Fault
from crmdrip.sandbox.http import Request
from crmdrip.sandbox.salesforce.trouble import TROUBLES

ANN = "ann@acme.example"
WRITES = r"composite"


def sent_one(stage: Stage) -> str:
    """A contact whose first email went out; nothing is written back yet."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    passes.pull(stage.parts)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1
    return contact


def counts(stage: Stage) -> tuple[int, int]:
    """Write-backs that wait and that are parked."""
    with stage.parts.ledger.read() as connection:
        return outbox.pending(connection)


def test_a_validation_rule_parks_the_write_and_leaves_the_mail_alone(stage: Stage) -> None:
    """B21: the run goes on; the write is shown, and goes through by command once the rule is gone."""
    contact = sent_one(stage)
    stage.do(stage.sandbox.org.add_validation_rule, "Contact", lambda row: True, "Fill in the region first.")
    passes.write_back(stage.parts)
    with stage.parts.ledger.read() as connection:
        (parked,) = outbox.parked(connection)
    assert (parked.write.key, parked.detail) == (f"status:{contact}", "Fill in the region first.")
    assert len(stage.tasks(contact)) == 1
    stage.at(MONDAY + timedelta(days=2))
    stage.do(stage.sandbox.org.records.validation_rules.clear)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 2
    with stage.parts.ledger.write() as connection:
        outbox.unpark(connection, stage.now)
    passes.write_back(stage.parts)
    assert counts(stage) == (0, 0)
    assert stage.shown(contact)[0] == RunStatus.ACTIVE


def test_one_refused_row_holds_up_no_other(stage: Stage) -> None:
    """B21: two hundred rows go together, and the one that is wrong fails alone."""
    people = stage.ticked(stage.sequence(), 6)
    passes.pull(stage.parts)
    passes.dispatch(stage.parts)
    stage.do(stage.sandbox.org.add_validation_rule, "Contact", lambda row: row["Id"] == people[2], "Not this one.")
    passes.write_back(stage.parts)
    assert [stage.shown(one)[0] == RunStatus.ACTIVE for one in people] == [True, True, False, True, True, True]


def test_a_locked_row_is_tried_again_by_itself(stage: Stage) -> None:
    """B21: somebody edits the record just now."""
    contact = sent_one(stage)
    stage.do(stage.sandbox.org.lock_row, contact)
    passes.write_back(stage.parts)
    assert counts(stage)[0] > 0
    stage.do(stage.sandbox.org.unlock_row, contact)
    stage.play(MONDAY + timedelta(minutes=10), step=timedelta(minutes=1))
    assert stage.shown(contact)[0] == RunStatus.ACTIVE
    assert len(stage.tasks(contact)) == 1


def test_full_storage_delays_the_timeline_alone(stage: Stage) -> None:
    """B21: statuses are changes and go through; tasks wait, and come once there is room."""
    contact = sent_one(stage)
    stage.do(stage.sandbox.org.fill_storage)
    passes.write_back(stage.parts)
    assert stage.shown(contact)[0] == RunStatus.ACTIVE
    assert stage.tasks(contact) == []
    _fail_for_days(stage)
    stage.do(stage.sandbox.org.free_storage)
    passes.write_back(stage.parts)
    assert len(stage.tasks(contact)) == 1


def test_a_record_in_an_approval_is_written_once_it_is_decided(stage: Stage) -> None:
    """B21: an approval takes days, and then the record shows how things stand without anybody's help."""
    contact = sent_one(stage)
    stage.do(stage.sandbox.org.submit_for_approval, contact)
    _fail_for_days(stage)
    stage.do(stage.sandbox.org.decide_approval, contact)
    passes.write_back(stage.parts)
    assert stage.shown(contact)[0] == RunStatus.ACTIVE


def _fail_for_days(stage: Stage) -> None:
    for _ in range(50):
        passes.write_back(stage.parts)
        stage.later(hours=1)
    assert counts(stage)[1] == 0


def test_a_hidden_status_field_is_written_once_it_is_shown_again(stage: Stage) -> None:
    """B21: a permission is mended outside, and then everything goes on by itself, however late."""
    contact = sent_one(stage)
    stage.do(stage.sandbox.org.hide_field, "Contact", "Drip_Status__c")
    for _ in range(30):
        passes.write_back(stage.parts)
        stage.later(hours=1)
    assert counts(stage)[1] == 0
    stage.do(stage.sandbox.org.show_field, "Contact", "Drip_Status__c")
    stage.later(hours=1)
    passes.write_back(stage.parts)
    assert stage.shown(contact)[0] == RunStatus.ACTIVE


@pytest.mark.parametrize("trouble", ["unavailable_after_commit", "cut_after_commit"])
def test_a_lost_answer_makes_no_second_task(stage: Stage, trouble: str) -> None:
    """B21, P1: everything was written and nobody heard so; written again it stands once."""
    contact = sent_one(stage)
    stage.fail_crm(replace(TROUBLES[trouble], path=WRITES))
    passes.write_back(stage.parts)
    assert len(stage.do(lambda: stage.sandbox.org.faults.played)) == 1
    assert len(stage.tasks(contact)) == 1
    assert counts(stage) == (0, 0)


def test_the_crm_is_away_and_the_mail_state_is_unaffected(stage: Stage) -> None:
    """B21: what was settled stays settled, the rest stays owed."""
    contact = sent_one(stage)
    stage.fail_crm(replace(TROUBLES["unavailable"], times=None))
    with pytest.raises(RetriableError):
        passes.write_back(stage.parts)
    owed = {write.key for write in stage.owed()}
    stage.mend()
    stage.turn()
    assert f"status:{contact}" in owed
    assert counts(stage) == (0, 0)
    assert len(stage.sent()) == 1


def test_when_calls_are_scarce_reports_wait_and_stops_go(stage: Stage) -> None:
    """B20, P5: below the reserve a status is worth no call and a stop is; with the next day's calls it is told."""
    contact, other = sent_one(stage), stage.contact("bob@acme.example")
    sequence = stage.run(contact).sequence_id
    stage.tick(other, sequence)
    stage.turn()
    late = stage.contact("cat@acme.example")
    stage.tick(late, sequence)
    passes.pull(stage.parts)
    used = stage.crm_calls()
    stage.do(setattr, stage.sandbox.org, "daily_limit", used + 15)
    passes.dispatch(stage.parts)
    assert passes.write_back(stage.parts)["put_off"] > 0
    assert stage.shown(late) == ("", "")
    stage.later(minutes=1)
    stage.change(other, HasOptedOutOfEmail=True)
    passes.pull(stage.parts)
    passes.write_back(stage.parts)
    assert stage.shown(other)[0] == RunStatus.STOPPED
    stage.do(setattr, stage.sandbox.org, "daily_limit", 100_000)
    stage.later(hours=1, minutes=1)
    stage.turn()
    stage.turn()
    assert "Step 1 of 3 went out" in stage.shown(late)[1]


def test_being_told_to_wait_is_no_failure_and_a_newer_stop_is_tried_at_once(stage: Stage) -> None:
    """B20: the pass ends in order; what is owed later is not held up by what waits."""
    contact = sent_one(stage)
    sink = stage.parts.sink
    stage.parts = replace(stage.parts, sink=Scarce(sink))
    assert passes.write_back(stage.parts)["put_off"] >= 2
    stage.later(seconds=5)
    stage.change(contact, HasOptedOutOfEmail=True)
    passes.pull(stage.parts)
    stage.parts = replace(stage.parts, sink=sink)
    passes.write_back(stage.parts)
    assert stage.shown(contact)[0] == RunStatus.STOPPED
    assert stage.tasks(contact) == []
    stage.later(hours=1, minutes=1)
    passes.write_back(stage.parts)
    assert len(stage.tasks(contact)) == 1


class Scarce:
    """A sink without calls for today."""

    def __init__(self, sink) -> None:
        self._sink = sink

    def write(self, writes):
        """Refuses everything for a day."""
        raise RateLimitedError("no calls are left.", retry_after=86_400)
        yield


def break_off(request: Request) -> Fault | None:
    """Pages are short, and no further page of contacts is answered."""
    further = b'"referenceId":"contact"' in request.body and b"/query/0" in request.body
    return TROUBLES["unavailable"] if further else replace(TROUBLES["short_page"], rows=2)


def test_a_pull_that_breaks_off_goes_on_after_the_page_it_had(stage: Stage) -> None:
    """B20: the cursor is saved per page, so everybody enters once whatever breaks in between."""
    sequence = stage.sequence()
    stage.turn()
    stage.later(minutes=1)
    people = stage.ticked(sequence, 6)
    stage.do(setattr, stage.sandbox.org.faults, "predicate", break_off)
    with pytest.raises(RetriableError):
        passes.pull(stage.parts)
    entered = [one for one in people if stage.runs(one)]
    assert 0 < len(entered) < 6
    stage.mend()
    passes.pull(stage.parts)
    assert [len(stage.runs(one)) for one in people] == [1] * 6


def test_the_newest_status_of_a_record_is_the_one_that_is_written(stage: Stage) -> None:
    """P5: what changed twice before anybody wrote is written once."""
    contact = sent_one(stage)
    stage.do(stage.sandbox.world.actions.reply, ANN, "Hello", to=stage.sent()[0])
    passes.pull(stage.parts)
    assert [write.key for write in stage.owed()].count(f"status:{contact}") == 1
    passes.write_back(stage.parts)
    assert stage.shown(contact)[0] == RunStatus.STOPPED


def test_an_idle_pass_writes_nothing_but_the_heartbeat(stage: Stage) -> None:
    """P5: two calls to look, and one that leaves a heartbeat in five minutes."""
    sent_one(stage)
    stage.turn()
    stage.later(minutes=15)
    stage.turn()
    stage.later(minutes=15)
    calls = stage.crm_calls()
    assert passes.run_all(stage.parts)["write_back"]["written"] == 0
    assert stage.crm_calls() - calls <= 3


def test_the_figures_of_a_sequence_reach_its_record(stage: Stage) -> None:
    """P3: active, sent, replied and the rest, as the CRM shows them."""
    contact = sent_one(stage)
    sequence = stage.run(contact).sequence_id
    stage.turn()
    assert (stage.record(sequence)["Drip_Active_Count__c"], stage.record(sequence)["Drip_Sent_Count__c"]) == (1, 1)
    stage.do(stage.sandbox.world.actions.reply, ANN, "Hello", to=stage.sent()[0])
    stage.later(minutes=5)
    stage.turn()
    row = stage.record(sequence)
    assert (row["Drip_Active_Count__c"], row["Drip_Replied_Count__c"], row["Drip_Stopped_Count__c"]) == (0, 1, 1)


def test_figures_do_not_wipe_out_an_error_that_waits_to_be_written(stage: Stage) -> None:
    """B17, B21: both are owed under the sequence's key; the error is in either."""
    contact = sent_one(stage)
    sequence = stage.run(contact).sequence_id
    stage.later(minutes=1)
    stage.change(stage.steps(sequence)[1], Drip_Body__c="{% for x in y %}")
    passes.pull(stage.parts)
    passes.pull(stage.parts)
    passes.figures(stage.parts)
    passes.write_back(stage.parts)
    assert stage.record(sequence)["Drip_Error__c"]


def test_a_pulled_brake_is_confirmed_within_one_pull_and_so_is_its_release(stage: Stage) -> None:
    """Whoever pulls the brake sees on the same record that it holds, and by whose hand."""
    (control,) = stage.do(stage.sandbox.org.select, "SELECT Id FROM Drip_Control__c")
    for pulled, said in ((True, "The emergency brake is pulled by"), (False, "Running.")):
        stage.change(control["Id"], Drip_Brake__c=pulled)
        stage.later(minutes=1)
        passes.pull(stage.parts)
        passes.write_back(stage.parts)
        assert stage.record(control["Id"])["Drip_State__c"].startswith(said)


def test_a_pulled_brake_is_told_at_once_to_those_who_come_within_a_day(stage: Stage) -> None:
    """P3, P5: not first when their email is due; and not to a million people who have nothing due for long."""
    soon, late = stage.contact(), stage.contact("late@firm.example")
    stage.tick(soon, stage.sequence({"Drip_Delay__c": 5, "Drip_Delay_Unit__c": "Hours"}))
    stage.tick(late, stage.sequence({"Drip_Delay__c": 5}))
    stage.turn()
    (control,) = stage.do(stage.sandbox.org.select, "SELECT Id FROM Drip_Control__c")
    stage.change(control["Id"], Drip_Brake__c=True)
    stage.later(minutes=5)
    stage.turn()
    assert stage.shown(soon)[0] == RunStatus.HELD
    assert "emergency brake" in stage.shown(soon)[1]
    assert stage.shown(late)[0] == RunStatus.QUEUED
    stage.later(minutes=5)
    stage.change(control["Id"], Drip_Brake__c=False)
    stage.turn()
    assert stage.shown(soon)[0] == RunStatus.QUEUED
    stage.later(hours=6)
    stage.turn()
    assert len(stage.sent()) == 1


def test_a_state_that_stays_costs_no_call(stage: Stage) -> None:
    """P5: only a change is told beside the heartbeat."""
    passes.run_all(stage.parts)
    stage.later(minutes=1)
    passes.pull(stage.parts)
    assert stage.owed() == []
