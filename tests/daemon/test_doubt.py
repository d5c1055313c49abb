"""Touches of which nobody knows at once whether they went out: never resent, always settled (B1, B2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from stage import MONDAY, Stage

from crmdrip.config import load
from crmdrip.core.errors import RejectedError
from crmdrip.core.model import RunStatus, TouchState
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.daemon.reconcile import Verdict, settle_by_person
from crmdrip.sandbox.faults import Fault, FaultKind

pytestmark = pytest.mark.both_ledgers

SEND = "/v3/mail/send"
ACCEPTED_AND_CUT = Fault(kind=FaultKind.CUT_AFTER, path=SEND)


class Killed(BaseException):
    """The process ends here."""


class DyingMailer:
    """Hands everything over and dies before anybody hears of it."""

    def __init__(self, mailer) -> None:
        self._mailer = mailer

    def __getattr__(self, name):
        return getattr(self._mailer, name)

    def send(self, messages):
        """Yields nothing any more."""
        list(self._mailer.send(messages))
        raise Killed
        yield


def enrolled(stage: Stage) -> str:
    """A contact whose first email is due now."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    passes.pull(stage.parts)
    return contact


def test_a_touch_of_a_killed_process_is_settled_by_the_log_and_never_resent(stage: Stage) -> None:
    """B1, P1: what the provider accepted before the process died is found by our own id after the restart."""
    contact = enrolled(stage)
    stage.parts = replace(stage.parts, mailer=DyingMailer(stage.parts.mailer))
    with pytest.raises(Killed):
        passes.dispatch(stage.parts)
    stage.restart()
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.IN_DOUBT]
    stage.turn()
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.ACCEPTED]
    assert len(stage.sent()) == 1
    assert stage.run(contact).steps_done == 1


def test_a_cut_after_accepting_is_in_doubt_and_the_record_says_so(stage: Stage) -> None:
    """B2, P3: a connection cut after the body went out is no refusal, and no silence."""
    contact = enrolled(stage)
    stage.fail_mail(ACCEPTED_AND_CUT)
    stage.turn()
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.IN_DOUBT]
    status, reason = stage.shown(contact)
    assert status == RunStatus.HELD
    assert "not known whether step" in reason


def test_a_doubt_is_settled_by_the_log_before_the_sequence_goes_on(stage: Stage) -> None:
    """B1: the log knows the touch, so the run goes on as if the answer had come; the timeline tells it once."""
    contact = enrolled(stage)
    stage.fail_mail(ACCEPTED_AND_CUT)
    stage.turn()
    stage.play(MONDAY + timedelta(hours=2))
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.ACCEPTED]
    assert stage.shown(contact)[0] == RunStatus.ACTIVE
    assert len(stage.tasks(contact)) == 1
    stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=6))
    assert len(stage.sent()) == 2
    assert stage.twice() == {}


@pytest.mark.parametrize("year", [1, 1970, 2099, 9999])
def test_a_time_that_the_log_cannot_mean_does_not_move_the_sequence(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, year: int
) -> None:
    """B1, P3: the next step follows the time of the intent then, and not in a hundred years."""
    contact = enrolled(stage)
    stage.fail_mail(ACCEPTED_AND_CUT)
    stage.turn()
    find = stage.parts.mailer.find
    odd = datetime(year, 12, 31, tzinfo=UTC)
    monkeypatch.setattr(stage.parts.mailer, "find", lambda *asked: replace(find(*asked), at=odd))
    stage.play(MONDAY + timedelta(hours=2))
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.ACCEPTED]
    stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=6))
    assert len(stage.sent()) == 2


def test_what_no_log_ever_shows_needs_a_person_after_the_deadline(stage: Stage) -> None:
    """B1: a connection cut before accepting looks just the same; it is not resent, and in the end a person decides."""
    contact = enrolled(stage)
    stage.fail_mail(Fault(kind=FaultKind.CUT, path=SEND))
    stage.turn()
    stage.play(MONDAY + timedelta(hours=75), step=timedelta(hours=3))
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.NEEDS_PERSON]
    assert stage.sent() == []
    assert "a person decides" in stage.shown(contact)[1]


@pytest.mark.parametrize("status", [429, 503])
def test_a_definite_refusal_is_tried_again_under_the_same_intent(stage: Stage, status: int) -> None:
    """B2: an answer before acceptance is certain, so the same touch goes out later, once."""
    contact = enrolled(stage)
    stage.fail_mail(Fault(kind=FaultKind.ANSWER, path=SEND, status=status, body='{"errors":[{"message":"later"}]}'))
    stage.turn()
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.REFUSED]
    stage.play(MONDAY + timedelta(hours=2), step=timedelta(minutes=10))
    assert [(touch.state, touch.attempt) for touch in stage.touches(contact)] == [(TouchState.ACCEPTED, 2)]
    assert len(stage.sent()) == 1


def test_a_refused_connection_is_no_doubt(stage: Stage) -> None:
    """B2: nobody took the email, so it goes out as soon as somebody does."""
    contact = enrolled(stage)
    url = stage.sandbox.sendgrid_url
    config = stage.folder / "config.toml"
    config.write_text(config.read_text().replace(url, "http://127.0.0.1:9"))
    stage.settings = load(config)
    stage.restart()
    passes.dispatch(stage.parts)
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.REFUSED]
    config.write_text(config.read_text().replace("http://127.0.0.1:9", url))
    stage.settings = load(config)
    stage.restart()
    stage.play(MONDAY + timedelta(hours=1), step=timedelta(minutes=10))
    assert len(stage.sent()) == 1


def test_an_address_the_provider_refuses_ends_the_run(stage: Stage) -> None:
    """B2, P3: repeating it would give the same answer."""
    contact = enrolled(stage)
    body = '{"errors":[{"message":"Does not contain a valid address.","field":"personalizations.0.to.0.email"}]}'
    stage.fail_mail(Fault(kind=FaultKind.ANSWER, path=SEND, status=400, body=body))
    stage.turn()
    status, reason = stage.shown(contact)
    assert status == RunStatus.STOPPED
    assert "refused the address" in reason


def in_doubt(stage: Stage, *, sent: bool) -> str:
    """A contact whose first touch is in doubt."""
    contact = enrolled(stage)
    stage.fail_mail(ACCEPTED_AND_CUT if sent else Fault(kind=FaultKind.CUT, path=SEND))
    stage.turn()
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.IN_DOUBT]
    return contact


def needing_person(stage: Stage) -> str:
    """A contact whose first touch nobody could tell of."""
    contact = in_doubt(stage, sent=False)
    stage.limit(doubt_deadline_hours=1)
    stage.later(hours=2)
    stage.turn()
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.NEEDS_PERSON]
    return contact


def test_a_person_says_it_went_out_and_the_next_step_follows(stage: Stage) -> None:
    """B1: the touch goes on the timeline, and nothing is sent for it."""
    contact = needing_person(stage)
    (touch,) = stage.touches(contact)
    settle_by_person(stage.parts, touch.id, Verdict.WENT_OUT)
    stage.play(MONDAY + timedelta(days=2, hours=1), step=timedelta(hours=8))
    assert [one.state for one in stage.touches(contact)] == [TouchState.ACCEPTED, TouchState.ACCEPTED]
    assert len(stage.sent()) == 1
    assert len(stage.tasks(contact)) == 2


def test_a_person_says_it_did_not_go_out_and_it_is_sent(stage: Stage) -> None:
    """B1: under the same intent, once."""
    contact = needing_person(stage)
    (touch,) = stage.touches(contact)
    settle_by_person(stage.parts, touch.id, Verdict.DID_NOT_GO_OUT)
    stage.turn()
    assert [(one.id, one.state) for one in stage.touches(contact)] == [(touch.id, TouchState.ACCEPTED)]
    assert len(stage.sent()) == 1


@pytest.mark.parametrize("verdict", list(Verdict))
def test_only_a_touch_that_needs_a_person_can_be_decided(stage: Stage, verdict: Verdict) -> None:
    """P1: nobody can have an accepted touch sent again by a slip."""
    contact = enrolled(stage)
    stage.turn()
    (touch,) = stage.touches(contact)
    for identity in (touch.id, "f" * 32):
        with pytest.raises(RejectedError, match="nothing to decide"):
            settle_by_person(stage.parts, identity, verdict)
    assert stage.touches(contact) == [touch]


def test_a_reply_while_a_touch_is_in_doubt_ends_the_run_and_the_touch_is_told(stage: Stage) -> None:
    """P2, P3: the run stays stopped when the doubt is settled, and the timeline shows what went out."""
    contact = in_doubt(stage, sent=True)
    stage.later(minutes=1)
    stage.do(stage.sandbox.world.actions.reply, "ann@acme.example", "Thanks", to=stage.sent()[0])
    stage.turn()
    assert stage.shown(contact)[0] == RunStatus.STOPPED
    stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=12))
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.ACCEPTED]
    assert len(stage.tasks(contact)) == 1
    assert stage.shown(contact)[0] == RunStatus.STOPPED
    assert len(stage.sent()) == 1


class AnsweredMeanwhile:
    """While the email is on its way a reply of the same person is pulled."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._mailer = stage.parts.mailer

    def __getattr__(self, name):
        return getattr(self._mailer, name)

    def send(self, messages):
        """Hands over, and lets the pull come before the outcome is stored."""
        for outcome in self._mailer.send(messages):
            self._stage.do(self._stage.sandbox.world.actions.reply, "ann@acme.example", "Thanks", to=None)
            passes.pull(self._stage.parts)
            yield outcome


def test_a_reply_between_intent_and_outcome_ends_the_run_and_the_touch_is_told(stage: Stage) -> None:
    """P2, P3: the email was gone already; it counts as sent, and nothing follows."""
    contact = enrolled(stage)
    stage.later(minutes=1)
    passes.dispatch(replace(stage.parts, mailer=AnsweredMeanwhile(stage)))
    stage.turn()
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.ACCEPTED]
    status, reason = stage.shown(contact)
    assert status == RunStatus.STOPPED
    assert "replied" in reason
    assert len(stage.tasks(contact)) == 1


def test_an_address_that_is_changed_while_an_email_is_in_doubt_gets_a_thread_of_its_own(stage: Stage) -> None:
    """B1, B15: what turns out to have gone to the old address is not what the next email answers to."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence({"Drip_Delay__c": 0}, {"Drip_Continue_Thread__c": True}))
    stage.fail_mail(ACCEPTED_AND_CUT)
    stage.turn()
    stage.later(minutes=1)
    stage.change(contact, Email="ann.lee@acme.example")
    stage.turn()
    assert stage.run(contact).address == "ann.lee@acme.example"
    stage.play(MONDAY + timedelta(days=2, hours=1), step=timedelta(hours=8))
    assert [email.to for email in stage.sent()] == ["ann@acme.example", "ann.lee@acme.example"]
    assert "In-Reply-To" not in stage.sent()[1].headers


def test_a_doubt_is_settled_although_its_step_and_its_sequence_are_gone(stage: Stage) -> None:
    """B1, B17: what is no longer defined went out all the same, and no loop breaks over it."""
    contact = in_doubt(stage, sent=True)
    sequence = stage.run(contact).sequence_id
    for step in stage.steps(sequence):
        stage.do(stage.sandbox.org.delete, step)
    stage.do(stage.sandbox.org.delete, sequence)
    stage.play(MONDAY + timedelta(days=1), step=timedelta(hours=6))
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.ACCEPTED]
    assert len(stage.sent()) == 1


def test_a_doubt_of_an_earlier_run_does_not_overwrite_what_the_record_tells_of_the_next(stage: Stage) -> None:
    """B1, B9: run one was stopped in doubt, run two is under way when the log answers."""
    contact = stage.contact()
    sequence = stage.sequence(Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=0)
    stage.tick(contact, sequence)
    stage.fail_mail(ACCEPTED_AND_CUT)
    stage.turn()
    stage.later(minutes=1)
    stage.change(contact, Drip_Enrolled__c=False)
    stage.turn()
    stage.later(minutes=1)
    stage.tick(contact, sequence)
    stage.turn()
    assert stage.record(contact)["Drip_Run__c"] == 2
    stage.later(minutes=10)
    stage.turn()
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.ACCEPTED, TouchState.ACCEPTED]
    assert stage.record(contact)["Drip_Run__c"] == 2
    assert stage.shown(contact)[0] == RunStatus.ACTIVE


class RestartedMeanwhile(AnsweredMeanwhile):
    """While the email is on its way the rep unticks the box and ticks it again."""

    def send(self, messages):
        """Hands over, and lets two pulls come before the outcome is stored."""
        stage = self._stage
        (contact,) = stage.do(stage.sandbox.org.select, "SELECT Id FROM Contact")
        for outcome in self._mailer.send(messages):
            for ticked in (False, True):
                stage.change(contact["Id"], Drip_Enrolled__c=ticked)
                passes.pull(stage.parts)
                stage.later(minutes=1)
            yield outcome


def test_an_outcome_of_an_earlier_run_does_not_overwrite_what_the_record_tells_of_the_next(stage: Stage) -> None:
    """P3, B9: run one was unticked while its email went out; the record shows run two."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence(Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=0))
    passes.pull(stage.parts)
    passes.write_back(stage.parts)
    stage.later(minutes=1)
    # One batch: the second run is not due before tomorrow.
    passes.dispatch(replace(stage.parts, mailer=RestartedMeanwhile(stage)))
    passes.write_back(stage.parts)
    assert [run.status.live for run in stage.runs(contact)] == [False, True]
    assert stage.record(contact)["Drip_Run__c"] == 2
    assert stage.shown(contact)[0] == RunStatus.QUEUED
    assert len(stage.tasks(contact)) == 1
