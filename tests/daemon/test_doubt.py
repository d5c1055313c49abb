"""Touches of which nobody knows at once whether they went out: never resent, always settled (B1, B2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from stage import MONDAY, Stage

from crmdrip.core.model import RunStatus, TouchState
from crmdrip.daemon import passes
from crmdrip.sandbox.faults import Fault, FaultKind

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


def test_what_no_log_ever_shows_needs_a_person_after_the_deadline(stage: Stage) -> None:
    """B1: a connection cut before accepting looks just the same; it is not resent, and in the end a person decides."""
    contact = enrolled(stage)
    stage.fail_mail(Fault(kind=FaultKind.CUT, path=SEND))
    stage.turn()
    stage.play(MONDAY + timedelta(hours=75), step=timedelta(hours=3))
    assert [touch.state for touch in stage.touches(contact)] == [TouchState.NEEDS_PERSON]
    assert stage.sent() == []
    assert "A person must decide" in stage.shown(contact)[1]


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
