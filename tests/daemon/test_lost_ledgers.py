"""Ledgers that are lost or replaced at the worst moment: still nobody is mailed twice (P1, P6, B4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from stage import MONDAY, Stage

from crmdrip.assembly import assemble
from crmdrip.core.errors import ErrorClass, RetriableError
from crmdrip.core.model import RunStatus, TouchState
from crmdrip.core.struct import replace
from crmdrip.daemon import passes, reconcile
from crmdrip.ports import Finding, LogFinding, WriteOutcome
from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.sandbox.salesforce.trouble import TROUBLES

pytestmark = pytest.mark.both_ledgers

MINUTE = timedelta(minutes=1)


def due(stage: Stage, **fields: Any) -> str:
    """A contact whose first email is due now, and of whom the CRM was told nothing yet."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence(**fields))
    passes.pull(stage.parts)
    return contact


@pytest.mark.parametrize("afterwards", [(), (passes.write_back,)], ids=["told nothing", "told"])
def test_a_copy_made_seconds_before_a_batch_is_known_as_old(stage: Stage, afterwards: tuple[passes.Pass, ...]) -> None:
    """B4, P1: every look leaves a heartbeat, so that no email goes out without a sign that copies are older."""
    due(stage)
    copy = stage.back_up_ledger()
    stage.later(seconds=1)
    for run in (passes.dispatch, *afterwards):
        run(stage.parts)
    assert len(stage.sent()) == 1
    stage.restore_ledger(copy)
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(hours=3), step=10 * MINUTE)
    assert stage.twice() == {}
    assert len(stage.sent()) == 1


def test_a_clock_that_was_ahead_hides_no_old_copy(stage: Stage) -> None:
    """B4, B29: heartbeats only go up, also after the machine's clock was set right."""
    stage.clock.ahead = timedelta(days=20)
    passes.figures(stage.parts)
    passes.write_back(stage.parts)
    stage.clock.ahead = timedelta()
    due(stage)
    copy = stage.back_up_ledger()
    passes.figures(stage.parts)
    passes.dispatch(stage.parts)
    passes.write_back(stage.parts)
    stage.restore_ledger(copy)
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(hours=3), step=10 * MINUTE)
    assert len(stage.sent()) == 1


def empty_org(stage: Stage) -> None:
    """As before the very first start."""
    stage.lose_ledger()
    control = stage.do(stage.sandbox.org.select, "SELECT Id FROM Drip_Control__c")[0]["Id"]
    stage.change(control, Drip_Heartbeat__c=None)


class Refusing:
    """A sink that writes nothing."""

    def __init__(self, error: ErrorClass) -> None:
        self._error = error

    def write(self, writes: Any) -> Iterator[WriteOutcome]:
        """Every write has the same outcome."""
        for write in writes:
            yield WriteOutcome(key=write.key, error=self._error, code="NO", detail="not now")


def test_nothing_goes_out_before_a_heartbeat_stands(stage: Stage) -> None:
    """B4, P6: without one an empty ledger would pass for the first one ever, so preparing fails and is tried again."""
    empty_org(stage)
    stage.parts = replace(stage.parts, sink=Refusing(ErrorClass.RETRIABLE))
    with pytest.raises(RetriableError, match="heartbeat"):
        passes.prepare(stage.parts)
    due(stage)
    passes.dispatch(stage.parts)
    assert stage.sent() == []


def test_where_no_heartbeat_can_be_left_an_empty_ledger_is_never_taken_for_the_first(stage: Stage) -> None:
    """B4, P1: such an org cannot tell, so the provider's log is asked."""
    empty_org(stage)
    mute = Refusing(ErrorClass.CONFIGURATION)
    stage.parts = replace(stage.parts, sink=mute)
    passes.prepare(stage.parts)
    contact = due(stage)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1
    empty_org(stage)
    stage.parts = replace(stage.parts, sink=mute)
    passes.prepare(stage.parts)
    stage.later(minutes=10)
    passes.reconcile(stage.parts)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1
    assert stage.run(contact).steps_done == 1


class LaggingLog:
    """A mailer whose provider shows an email in its log only after some minutes."""

    def __init__(self, stage: Stage, lag: timedelta) -> None:
        self._stage = stage
        self._mailer = stage.parts.mailer
        self._lag = lag

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailer, name)

    def find(self, touch_id: str, address: str, since: Any) -> LogFinding:
        """Not found while it is fresh."""
        finding = self._mailer.find(touch_id, address, since)
        fresh = finding.at is not None and self._stage.now - finding.at < self._lag
        return LogFinding(touch_id=touch_id, finding=Finding.NOT_FOUND) if fresh else finding


def test_after_a_rebuild_the_log_is_given_time_to_show_the_last_emails(stage: Stage) -> None:
    """B4, P1: the ledger is lost seconds after a send, and an email that is not in the log yet may be out."""
    contact = due(stage)
    passes.dispatch(stage.parts)
    stage.lose_ledger()
    stage.parts = replace(stage.parts, mailer=LaggingLog(stage, 3 * MINUTE))
    passes.prepare(stage.parts)
    stage.play(MONDAY + 20 * MINUTE, step=MINUTE / 2)
    assert len(stage.sent()) == 1
    assert stage.run(contact).steps_done == 1


def test_a_machine_clock_far_ahead_does_not_hide_what_went_out(stage: Stage) -> None:
    """B4, B29: the log is asked for all it keeps, counted from the CRM's time of the rebuild."""
    contact = due(stage)
    passes.dispatch(stage.parts)
    stage.lose_ledger()
    stage.clock.ahead = timedelta(days=40)
    passes.prepare(stage.parts)
    stage.later(minutes=10)
    passes.reconcile(stage.parts)
    assert stage.run(contact).steps_done == 1


def test_addresses_that_changed_hands_do_not_stop_a_rebuild(stage: Stage) -> None:
    """B4, B15: an ended run and a live one seem to be the same run of the same person; the live one is."""
    sequence = stage.sequence()
    first = stage.contact()
    stage.tick(first, sequence)
    stage.turn()
    stage.later(hours=1)
    stage.change(first, Drip_Enrolled__c=False)
    stage.turn()
    stage.change(first, Email="lee@acme.example")
    second = stage.lead()
    stage.later(hours=1)
    stage.tick(second, sequence)
    stage.play(MONDAY + timedelta(days=1), step=timedelta(hours=6))
    assert len(stage.sent()) == 2
    for _ in range(2):
        stage.lose_ledger()
        passes.prepare(stage.parts)
        assert stage.run(first).status is RunStatus.STOPPED
        assert stage.run(second).steps_done == 1
    stage.play(MONDAY + timedelta(days=10), step=timedelta(hours=12))
    assert len(stage.sent()) == 4
    assert stage.shown(second)[0] == RunStatus.FINISHED


def test_a_step_that_may_have_gone_to_a_changed_address_is_not_repeated(stage: Stage) -> None:
    """B4, B15, P1: the run's ids come from an address that nobody knows any more, so a person decides what is next."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, Email="ann.lee@acme.example")
    stage.turn()
    stage.turn()
    stage.at(MONDAY + timedelta(days=2, hours=1))
    passes.pull(stage.parts)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 2
    stage.lose_ledger()
    passes.prepare(stage.parts)
    stage.play(stage.now + timedelta(days=8), step=timedelta(hours=12))
    assert len(stage.sent()) == 2
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.ACCEPTED, TouchState.NEEDS_PERSON]


def test_a_step_that_was_not_due_before_the_rebuild_goes_out_to_a_changed_address(stage: Stage) -> None:
    """B4, B15: it cannot be out, whatever its id."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, Email="ann.lee@acme.example")
    stage.turn()
    stage.lose_ledger()
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(days=2, hours=6), step=timedelta(hours=6))
    assert len(stage.sent()) == 2


def test_doubts_do_not_hold_up_the_proofs_of_others(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """B4, P3: a touch that stays in doubt for days takes nobody's turn after a rebuild."""
    monkeypatch.setattr(reconcile, "PER_PASS", 1)
    sequence = stage.sequence()
    stage.ticked(sequence, 3)
    passes.pull(stage.parts)
    stage.fail_mail(Fault(kind=FaultKind.CUT, path="/v3/mail/send", times=None))
    passes.dispatch(stage.parts)
    stage.mend()
    late = stage.contact("late@acme.example", Drip_Enrolled__c=True, Drip_Sequence__c=sequence)
    stage.later(minutes=1)
    passes.pull(stage.parts)
    copy = stage.back_up_ledger()
    stage.later(minutes=1)
    passes.figures(stage.parts)
    passes.write_back(stage.parts)
    stage.restore_ledger(copy)
    passes.prepare(stage.parts)
    stage.play(stage.now + timedelta(hours=1), step=10 * MINUTE)
    assert [email.to for email in stage.sent()] == ["late@acme.example"]
    assert stage.run(late).steps_done == 1


def test_a_touch_that_cannot_be_asked_for_does_not_hold_up_others(stage: Stage) -> None:
    """B1, P3: the provider fails at one look-up again and again; the next in line is settled all the same."""
    stage.ticked(stage.sequence(), 2)
    passes.pull(stage.parts)
    stage.fail_mail(Fault(kind=FaultKind.CUT_AFTER, path="/v3/mail/send", times=None))
    passes.dispatch(stage.parts)
    stage.mend()
    mailer, asked = stage.parts.mailer, []

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(mailer, name)

        def find(self, touch_id: str, address: str, since: Any) -> LogFinding:
            asked.append(touch_id)
            if touch_id == asked[0]:
                raise RetriableError("no answer.")
            found: LogFinding = mailer.find(touch_id, address, since)
            return found

    stage.parts = replace(stage.parts, mailer=Failing())
    stage.later(minutes=10)
    with pytest.raises(RetriableError):
        passes.reconcile(stage.parts)
    assert passes.reconcile(stage.parts)["sent"] == 1


def test_a_copy_made_in_the_middle_of_a_look_does_not_send_its_batch_again(stage: Stage) -> None:
    """B4, P1: it knows the heartbeat that the look leaves, and not what was decided by it."""
    contact = due(stage)
    source, copies = stage.parts.source, []

    class Copying:
        def __getattr__(self, name: str) -> Any:
            return getattr(source, name)

        def look(self, *args: Any) -> Any:
            copies.append(stage.back_up_ledger())
            return source.look(*args)

    passes.dispatch(replace(stage.parts, source=Copying()))
    assert len(stage.sent()) == 1
    stage.restore_ledger(copies[0])
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(hours=3), step=10 * MINUTE)
    assert len(stage.sent()) == 1
    assert stage.run(contact).steps_done == 1


def test_a_process_that_dies_while_it_looks_sends_what_was_due_after_asking_the_log(stage: Stage) -> None:
    """B1, B4: it left no intents, but it could be such a copy."""
    due(stage)

    class Killed(BaseException):
        pass

    source = stage.parts.source

    class Dying:
        def __getattr__(self, name: str) -> Any:
            return getattr(source, name)

        def look(self, *_: Any) -> Any:
            raise Killed

    with pytest.raises(Killed):
        passes.dispatch(replace(stage.parts, source=Dying()))
    stage.restart()
    stage.turn()
    assert stage.sent() == []
    stage.play(MONDAY + timedelta(minutes=30), step=5 * MINUTE)
    assert len(stage.sent()) == 1


def test_two_daemons_with_a_ledger_each_notice_one_another(stage: Stage) -> None:
    """B3, P1: whoever looks second finds a heartbeat that is not its own, sends nothing, and writes on no record."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    other = stage.back_up_ledger()
    ours = stage.parts
    settings = stage.settings.model_copy(
        update={"ledger": stage.settings.ledger.model_copy(update={"url": stage.place.url_of(other)})}
    )
    stage.later(minutes=30)
    with assemble(settings, stage.clock, exclusive=True) as theirs:
        for parts in (ours, theirs):
            passes.pull(parts)
        for parts in (ours, theirs, ours, theirs):
            stage.later(seconds=1)
            passes.dispatch(parts)
        assert len(stage.sent()) == 1
        assert theirs.stood_down.is_set()
        passes.write_back(theirs)
        assert stage.shown(contact) == ("", "")
        passes.write_back(ours)
        assert stage.shown(contact)[0] == RunStatus.ACTIVE


def test_a_look_that_had_to_be_repeated_finds_no_rival_in_itself(stage: Stage) -> None:
    """B20: its heartbeat stood, and then the answer was lost."""
    due(stage)
    stage.later(minutes=1)
    stage.fail_crm(TROUBLES["cut_after_commit"])
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1


def test_steps_that_were_moved_after_a_rebuild_are_not_sent_again(stage: Stage) -> None:
    """B4, B17, P1: the second email is out without the CRM knowing, and the third was put before it in the meantime."""
    contact = stage.contact()
    sequence = stage.sequence()
    stage.tick(contact, sequence)
    stage.turn()
    stage.at(MONDAY + timedelta(days=2, hours=1))
    passes.pull(stage.parts)
    passes.dispatch(stage.parts)
    third = stage.steps(sequence)[2]
    stage.change(third, Drip_Order__c=15)
    stage.lose_ledger()
    passes.prepare(stage.parts)
    stage.play(stage.now + timedelta(minutes=30), step=10 * MINUTE)
    stage.change(third, Drip_Order__c=30)
    stage.play(stage.now + timedelta(days=9), step=timedelta(hours=12))
    assert stage.twice() == {}
    assert len(stage.sent()) == 3
    assert stage.shown(contact)[0] == RunStatus.FINISHED


def test_an_opt_out_of_a_twin_is_heard_although_the_ledger_was_lost_before_the_next_pull(stage: Stage) -> None:
    """B4, B13, P2: the lead was never in a sequence; its box was ticked while the daemon was down."""
    contact, lead = stage.contact(), stage.lead("ann@acme.example")
    stage.tick(contact, stage.sequence())
    stage.turn()
    copy = stage.back_up_ledger()
    stage.later(hours=1)
    stage.change(lead, HasOptedOutOfEmail=True)
    for lose in (stage.lose_ledger, lambda: stage.restore_ledger(copy)):
        lose()
        passes.prepare(stage.parts)
        stage.play(stage.now + timedelta(days=3), step=timedelta(hours=12))
        assert len(stage.sent()) == 1
        assert stage.shown(contact)[0] == RunStatus.STOPPED


def test_people_of_a_sequence_with_an_error_wait_when_the_ledger_is_lost(stage: Stage) -> None:
    """B4, B17, P6: its last good version is lost as well; nobody is unticked, and all go on once it is mended."""
    contact = stage.contact()
    sequence = stage.sequence()
    stage.tick(contact, sequence)
    stage.turn()
    second, body = stage.steps(sequence)[1], "<p>Hello again</p>"
    stage.change(second, Drip_Body__c="{{ broken")
    stage.turn()
    stage.lose_ledger()
    passes.prepare(stage.parts)
    stage.play(MONDAY + timedelta(days=2, hours=2), step=timedelta(hours=5))
    status, reason = stage.shown(contact)
    assert (status, len(stage.sent())) == (RunStatus.HELD, 1)
    assert "has an error" in reason
    stage.change(second, Drip_Body__c=body)
    stage.play(MONDAY + timedelta(days=9), step=timedelta(hours=12))
    assert len(stage.sent()) == 3
    assert stage.twice() == {}
    assert stage.shown(contact)[0] == RunStatus.FINISHED


def test_a_record_that_shows_what_an_older_copy_does_not_know_is_told_again(stage: Stage) -> None:
    """B4, P3: the sequence was live for a while after the copy was made, and is paused again by now."""
    contact, sequence = stage.contact(), stage.sequence()
    stage.tick(contact, sequence)
    stage.change(sequence, Drip_Status__c="Paused")
    stage.turn()
    held = stage.shown(contact)
    assert held[0] == RunStatus.HELD
    copy = stage.back_up_ledger()
    stage.tick(stage.contact("bob@acme.example"), stage.sequence())
    stage.later(hours=1)
    stage.turn()
    stage.change(contact, Drip_Status__c=RunStatus.ACTIVE.value, Drip_Reason__c="Step 2 of 3 follows.")
    stage.restore_ledger(copy)
    passes.prepare(stage.parts)
    stage.turn()
    status, reason = stage.shown(contact)
    assert (status, reason.partition(":")[0]) == (held[0], "Waiting")
