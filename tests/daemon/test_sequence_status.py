"""A sequence that is switched off sends nothing from that moment on: the last look sees it before any pull does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from stage import MONDAY, Stage

from crmdrip.core.model import RunStatus
from crmdrip.daemon import passes

SECOND = MONDAY + timedelta(days=2)
"""When the second email is due."""


@pytest.fixture
def sequence(stage: Stage) -> str:
    """A live sequence."""
    return stage.sequence()


@pytest.fixture
def contact(stage: Stage, sequence: str) -> str:
    """A contact whose second email is due in a minute; everything before is written back."""
    contact = stage.contact()
    stage.tick(contact, sequence)
    stage.turn()
    stage.at(SECOND - timedelta(minutes=1))
    stage.turn()
    return contact


def dispatch(stage: Stage) -> None:
    """Only the dispatcher, at the second email's time: no pull has been made since what happened."""
    stage.at(SECOND)
    passes.dispatch(stage.parts)


@pytest.mark.parametrize(
    ("status", "reason"),
    [("Paused", "hold.sequence_paused"), ("Draft", "hold.sequence_not_live"), ("Retired", "stop.sequence_retired")],
)
def test_a_sequence_switched_off_a_moment_ago_sends_nothing(
    stage: Stage, sequence: str, contact: str, status: str, reason: str
) -> None:
    """P2: whoever pauses a sequence need not count minutes; a retired one ends."""
    stage.change(sequence, Drip_Status__c=status)
    dispatch(stage)
    assert len(stage.sent()) == 1
    assert stage.run(contact).reason == reason


def test_a_sequence_out_of_sight_since_a_moment_sends_nothing(stage: Stage, contact: str) -> None:
    """P4: hidden from the daemon or gone without a trace, while the records still name it: the run waits for it."""
    stage.do(stage.sandbox.org.store.db.execute, 'DELETE FROM "Drip_Sequence__c"')
    dispatch(stage)
    assert len(stage.sent()) == 1
    assert stage.run(contact).reason == "hold.sequence_gone"


def test_a_sequence_paused_while_nobody_ran_sends_nothing(stage: Stage, sequence: str, contact: str) -> None:
    """After a start the dispatcher may be quicker than the first pull."""
    stage.change(sequence, Drip_Status__c="Paused")
    stage.at(SECOND)
    stage.restart()
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1
    assert stage.run(contact).status is RunStatus.HELD


def test_a_paused_sequence_goes_on_when_it_is_live_again(stage: Stage, sequence: str, contact: str) -> None:
    """The pull wakes what the look held back."""
    stage.change(sequence, Drip_Status__c="Paused")
    dispatch(stage)
    for _ in range(2):
        stage.later(minutes=1)
        stage.turn()
    stage.change(sequence, Drip_Status__c="Live")
    for _ in range(2):
        stage.later(minutes=1)
        stage.turn()
    assert len(stage.sent()) == 2
    assert stage.run(contact).status is RunStatus.ACTIVE


def test_a_look_alone_releases_nothing(stage: Stage, sequence: str, contact: str) -> None:
    """B17: what is sent is a definition that was read and found valid, which is for the pull to say."""
    stage.change(sequence, Drip_Status__c="Paused")
    stage.turn()
    stage.at(SECOND)
    stage.turn()
    stage.change(sequence, Drip_Status__c="Live")
    stage.later(hours=2)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1
    stage.turn()
    assert len(stage.sent()) == 2


def test_the_last_look_is_still_one_call(stage: Stage, sequence: str, contact: str) -> None:
    """P5: the status costs nothing."""
    stage.at(SECOND)
    calls = stage.crm_calls()
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 2
    assert stage.crm_calls() - calls <= 2  # the owner, who is remembered for some minutes, is the other one
