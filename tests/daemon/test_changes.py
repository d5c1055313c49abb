"""People and sequences change while runs are in flight: addresses, owners, senders, steps (B15, B16, B17)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from stage import MONDAY, Stage

from crmdrip.core.errors import ErrorClass
from crmdrip.core.model import RunStatus
from crmdrip.core.struct import replace
from crmdrip.core.writes import ApprovalWrite
from crmdrip.daemon import passes
from crmdrip.ledger import definitions
from crmdrip.ports import WriteOutcome

ANN = "ann@acme.example"
SECOND = MONDAY + timedelta(days=2)
THIRD = MONDAY + timedelta(days=4)


def started(stage: Stage, *steps: dict, **fields: object) -> str:
    """A contact who has had the first email."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence(*steps, **fields))
    stage.turn()
    assert len(stage.sent()) == 1
    stage.later(hours=1)
    return contact


# --- address (B15) ------------------------------------------------------------------------------------------------


def test_a_new_address_of_the_same_domain_is_mailed_in_a_new_thread(stage: Stage) -> None:
    """B15: the old address is never mailed again, and the thread does not go on there."""
    contact = started(stage, {"Drip_Delay__c": 0}, {"Drip_Continue_Thread__c": True})
    stage.change(contact, Email="ann.lee@acme.example")
    stage.play(SECOND + timedelta(hours=1), step=timedelta(hours=8))
    assert [email.to for email in stage.sent()] == [ANN, "ann.lee@acme.example"]
    assert "In-Reply-To" not in stage.sent()[1].headers


def test_the_address_of_somebody_who_is_mailed_just_then_ends_the_run(stage: Stage) -> None:
    """B13, B15, P3: both are due in one batch, and the record says at once whose address it is."""
    sequence = stage.sequence()
    ann, bob = stage.contact(ANN), stage.contact("bob@acme.example")
    for contact in (ann, bob):
        stage.tick(contact, sequence)
    passes.pull(stage.parts)
    passes.write_back(stage.parts)
    stage.later(minutes=1)
    stage.change(ann, Email="bob@acme.example")
    passes.dispatch(stage.parts)
    passes.write_back(stage.parts)
    assert [email.to for email in stage.sent()] == ["bob@acme.example"]
    assert stage.shown(ann) == (
        RunStatus.STOPPED,
        f"The address was changed to that of contact {bob}, which is in a sequence already. This run has ended.",
    )


def test_a_new_domain_pauses_and_asks_the_rep(stage: Stage) -> None:
    """B15: an open task stands on the owner's list, once; nobody is mailed."""
    contact = started(stage)
    stage.change(contact, Email="ann@elsewhere.example")
    stage.play(SECOND + timedelta(hours=1), step=timedelta(hours=8))
    assert len(stage.sent()) == 1
    status, reason = stage.shown(contact)
    assert status == RunStatus.PAUSED
    assert "elsewhere.example" in reason
    (task,) = [task for task in stage.tasks(contact) if not task["IsClosed"]]
    assert "please decide" in task["Subject"]


def test_an_address_put_back_goes_on(stage: Stage) -> None:
    """B15: the pause ends by itself when its cause is gone."""
    contact = started(stage)
    stage.change(contact, Email="ann@elsewhere.example")
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, Email=ANN)
    stage.play(SECOND + timedelta(hours=1), step=timedelta(hours=8))
    assert len(stage.sent(ANN)) == 2


def test_a_new_address_that_is_suppressed_stops(stage: Stage) -> None:
    """B15, P2: suppression is checked again for the new address."""
    contact = started(stage)
    stage.do(stage.sandbox.account.suppressions.add, "unsubscribes", "ann.lee@acme.example")
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, Email="ann.lee@acme.example")
    stage.play(SECOND + timedelta(hours=1), step=timedelta(hours=8))
    assert stage.shown(contact)[0] == RunStatus.STOPPED
    assert len(stage.sent()) == 1


def test_an_address_that_was_emptied_waits(stage: Stage) -> None:
    """B15, P3: held for a missing Email, and on again once it is filled in."""
    contact = started(stage)
    stage.change(contact, Email=None)
    stage.at(SECOND)
    stage.turn()
    assert "missing Email" in stage.shown(contact)[1]
    stage.later(minutes=10)
    stage.change(contact, Email=ANN)
    stage.turn()
    assert len(stage.sent(ANN)) == 2


# --- owner and sender (B16) ---------------------------------------------------------------------------------------


def test_a_new_owner_takes_over_in_a_new_thread(stage: Stage) -> None:
    """B16: policy Owner follows the record."""
    contact = started(stage, {"Drip_Delay__c": 0}, {"Drip_Continue_Thread__c": True})
    stage.change(contact, OwnerId=stage.sandbox.world.reps[1])
    stage.at(SECOND)
    stage.turn()
    first, second = stage.sent()
    assert first.sender != second.sender
    assert "In-Reply-To" not in second.headers


def test_the_first_sender_finishes_where_the_sequence_says_so(stage: Stage) -> None:
    """B16: policy First Sender keeps sender and thread."""
    steps = ({"Drip_Delay__c": 0}, {"Drip_Continue_Thread__c": True})
    contact = started(stage, *steps, Drip_Sender__c="First Sender")
    stage.change(contact, OwnerId=stage.sandbox.world.reps[1])
    stage.at(SECOND)
    stage.turn()
    first, second = stage.sent()
    assert first.sender == second.sender
    assert second.headers["In-Reply-To"] == first.headers["Message-ID"]


def test_a_new_owner_holds_where_the_sequence_says_so(stage: Stage) -> None:
    """B16: policy Owner or Hold waits, and goes on when the owner is put back."""
    contact = started(stage, Drip_Sender__c="Owner or Hold")
    stage.change(contact, OwnerId=stage.sandbox.world.reps[1])
    stage.at(SECOND)
    stage.turn()
    assert len(stage.sent()) == 1
    assert "owner changed" in stage.shown(contact)[1]
    stage.later(minutes=10)
    stage.change(contact, OwnerId=stage.rep)
    stage.turn()
    assert len(stage.sent()) == 2


def test_a_deactivated_rep_holds_and_resumes_by_itself_when_mended(stage: Stage) -> None:
    """B16: the record does not change when a user does, so the hold looks again by itself."""
    contact = started(stage)
    stage.at(SECOND - timedelta(minutes=10))
    stage.change(stage.rep, IsActive=False)
    stage.at(SECOND)
    stage.turn()
    assert len(stage.sent()) == 1
    assert "deactivated" in stage.shown(contact)[1]
    stage.change(stage.rep, IsActive=True)
    stage.play(SECOND + timedelta(hours=2), step=timedelta(minutes=30))
    assert len(stage.sent()) == 2


def test_a_sender_the_provider_does_not_know_holds_with_the_reason(stage: Stage) -> None:
    """B16: nothing is lost, and once the domain is verified the email goes out."""
    contact = started(stage)
    stage.do(stage.sandbox.account.identities.domains.clear)
    stage.at(SECOND)
    stage.turn()
    status, reason = stage.shown(contact)
    assert status == RunStatus.HELD
    assert "verified Sender Identity" in reason
    stage.do(stage.sandbox.account.identities.domains.add, "acme.example")
    stage.play(SECOND + timedelta(hours=2), step=timedelta(minutes=10))
    assert len(stage.sent()) == 2


def test_a_lead_of_a_queue_holds(stage: Stage) -> None:
    """B16: a queue owns leads and cannot send."""
    lead = stage.lead()
    stage.change(lead, OwnerId=stage.sandbox.world._queue_id)
    stage.tick(lead, stage.sequence())
    stage.turn()
    assert stage.sent() == []
    assert "queue" in stage.shown(lead)[1]


# --- steps (B17) --------------------------------------------------------------------------------------------------


def test_an_edited_step_goes_out_as_edited_and_what_was_sent_stays_known(stage: Stage) -> None:
    """B17: the definition used is kept with each touch."""
    contact = started(stage)
    sequence = stage.run(contact).sequence_id
    stage.change(stage.steps(sequence)[1], Drip_Subject__c="Hello again")
    stage.play(SECOND + timedelta(hours=1), step=timedelta(hours=8))
    assert [email.subject for email in stage.sent()] == ["Hello", "Hello again"]
    with stage.parts.ledger.read() as connection:
        kept = [definitions.find_version(connection, touch.version) for touch in stage.touches(contact)]
    assert [one.steps[1].subject for one in kept if one is not None] == ["Hello", "Hello again"]


def test_a_step_put_before_the_persons_position_is_not_sent_to_them(stage: Stage) -> None:
    """B17: passed is passed, by order and not by count."""
    contact = started(stage)
    stage.step(stage.run(contact).sequence_id, Drip_Order__c=5, Drip_Subject__c="Too late", Name="Early")
    stage.play(MONDAY + timedelta(days=9), step=timedelta(hours=12))
    assert [email.subject for email in stage.sent()] == ["Hello", "Hello", "Hello"]


def test_a_step_put_after_the_persons_position_is_sent(stage: Stage) -> None:
    """B17: between the first and the second."""
    contact = started(stage)
    stage.step(stage.run(contact).sequence_id, Drip_Order__c=15, Drip_Delay__c=1, Drip_Subject__c="Between", Name="New")
    stage.play(MONDAY + timedelta(days=9), step=timedelta(hours=12))
    assert [email.subject for email in stage.sent()] == ["Hello", "Between", "Hello", "Hello"]


def test_a_removed_step_is_passed_over_with_the_minimum_gap_kept(stage: Stage) -> None:
    """B17: the next one comes in its place, and never on the day of the last."""
    contact = started(stage)
    second = stage.steps(stage.run(contact).sequence_id)[1]
    stage.do(stage.sandbox.org.delete, second)
    stage.play(MONDAY + timedelta(days=9), step=timedelta(hours=12))
    assert len(stage.sent()) == 2
    assert stage.sent()[1].at - stage.sent()[0].at >= timedelta(hours=20)
    assert stage.shown(contact)[0] == RunStatus.FINISHED


def test_steps_that_changed_places_run_once_each(stage: Stage) -> None:
    """B17: a step is its record, wherever it stands."""
    contact = started(
        stage,
        {"Drip_Delay__c": 0, "Drip_Subject__c": "One"},
        {"Drip_Subject__c": "Two"},
        {"Drip_Subject__c": "Three"},
    )
    one, two, three = stage.steps(stage.run(contact).sequence_id)
    stage.change(one, Drip_Order__c=20)
    stage.change(two, Drip_Order__c=30)
    stage.change(three, Drip_Order__c=10)
    stage.play(MONDAY + timedelta(days=9), step=timedelta(hours=12))
    assert [email.subject for email in stage.sent()] == ["One", "Two"]
    assert stage.twice() == {}


def test_an_invalid_edit_keeps_the_last_good_version_and_says_what_is_wrong(stage: Stage) -> None:
    """B17: the error stands on the sequence's record until it is mended."""
    contact = started(stage)
    sequence = stage.run(contact).sequence_id
    step = stage.steps(sequence)[1]
    stage.change(step, Drip_Body__c="{% for x in y %}")
    stage.play(SECOND + timedelta(hours=1), step=timedelta(hours=8))
    assert len(stage.sent()) == 2
    assert stage.record(sequence)["Drip_Error__c"]
    stage.change(step, Drip_Body__c="<p>Mended</p>")
    stage.later(minutes=5)
    stage.turn()
    assert not stage.record(sequence)["Drip_Error__c"]


@pytest.mark.parametrize(("status", "said"), [("Paused", "paused"), ("Draft", "not Live")])
def test_a_sequence_that_is_set_back_holds_and_goes_on_when_live_again(stage: Stage, status: str, said: str) -> None:
    """B17, P3: setting it to Live is all that is needed."""
    contact = started(stage)
    sequence = stage.run(contact).sequence_id
    stage.change(sequence, Drip_Status__c=status)
    stage.at(SECOND)
    stage.turn()
    assert len(stage.sent()) == 1
    assert said in stage.shown(contact)[1]
    stage.later(minutes=10)
    stage.change(sequence, Drip_Status__c="Live")
    stage.turn()
    assert len(stage.sent()) == 2


def test_a_retired_sequence_stops_its_runs(stage: Stage) -> None:
    """B17, P3: the record says so at the next pass, not only when the email is due."""
    contact = started(stage)
    stage.change(stage.run(contact).sequence_id, Drip_Status__c="Retired")
    stage.play(SECOND + timedelta(hours=1), step=timedelta(hours=8))
    assert len(stage.sent()) == 1
    assert stage.shown(contact)[0] == RunStatus.STOPPED


def test_a_step_that_needs_approval_waits_for_it(stage: Stage) -> None:
    """P3: ticking Approved lets this step go."""
    contact = started(stage, {"Drip_Delay__c": 0}, {"Drip_Needs_Approval__c": True})
    stage.at(SECOND)
    stage.turn()
    assert len(stage.sent()) == 1
    assert "approval" in stage.shown(contact)[1]
    stage.later(minutes=5)
    stage.change(contact, Drip_Approved__c=True)
    stage.turn()
    assert len(stage.sent()) == 2


def test_an_approval_counts_for_one_step(stage: Stage) -> None:
    """P3: the box is unticked once its email is out, and the next step that needs one asks again."""
    contact = started(stage, {"Drip_Delay__c": 0}, {"Drip_Needs_Approval__c": True}, {"Drip_Needs_Approval__c": True})
    stage.change(contact, Drip_Approved__c=True)
    stage.at(SECOND)
    stage.turn()
    assert len(stage.sent()) == 2
    assert not stage.record(contact)["Drip_Approved__c"]
    stage.at(THIRD)
    stage.turn()
    assert len(stage.sent()) == 2
    assert "approval" in stage.shown(contact)[1]


class KeepsApprovals:
    """A CRM whose validation rule refuses to untick Approved; everything else is written."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def write(self, writes: Any) -> Iterator[WriteOutcome]:
        """As the sink writes, but for approvals."""
        kept = [one for one in writes if isinstance(one, ApprovalWrite)]
        yield from (
            WriteOutcome(key=one.key, error=ErrorClass.REJECTED, code="FIELD_CUSTOM_VALIDATION_EXCEPTION")
            for one in kept
        )
        yield from self._sink.write([one for one in writes if one not in kept])


def test_an_approval_that_cannot_be_taken_off_lets_no_second_step_out(stage: Stage) -> None:
    """P3: what shows on the record was used; unticked by the rep, the next tick counts."""
    stage.parts = replace(stage.parts, sink=KeepsApprovals(stage.parts.sink))
    contact = started(stage, {"Drip_Delay__c": 0}, {"Drip_Needs_Approval__c": True}, {"Drip_Needs_Approval__c": True})
    stage.change(contact, Drip_Approved__c=True)
    stage.at(SECOND)
    stage.turn()
    stage.at(THIRD)
    stage.turn()
    assert stage.record(contact)["Drip_Approved__c"]
    assert len(stage.sent()) == 2
    assert "approval" in stage.shown(contact)[1]
    for ticked in (False, True):
        stage.later(minutes=5)
        stage.change(contact, Drip_Approved__c=ticked)
        stage.turn()
    assert len(stage.sent()) == 3


def test_paused_until_waits_and_clearing_it_goes_on_sooner(stage: Stage) -> None:
    """P3: the rep's own pause, shown with its end."""
    contact = started(stage)
    stage.change(contact, Drip_Paused_Until__c=MONDAY + timedelta(days=10))
    stage.turn()
    assert stage.shown(contact)[0] == RunStatus.PAUSED
    stage.at(THIRD)
    stage.turn()
    assert len(stage.sent()) == 1
    stage.later(minutes=5)
    stage.change(contact, Drip_Paused_Until__c=None)
    stage.turn()
    assert len(stage.sent()) == 2
