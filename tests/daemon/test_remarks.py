"""A sequence in force that cannot be followed as it stands says so on its own record (P3, P4, B24)."""

from __future__ import annotations

from datetime import timedelta

from stage import MONDAY, Stage

from crmdrip.core.model import RunStatus
from crmdrip.daemon import passes

MISSPELLED = "<p>Hi {{ contact.favourite_colour }}</p>"
SECOND = MONDAY + timedelta(days=2, minutes=1)


def error_of(stage: Stage, sequence: str) -> str:
    """What the sequence's record shows."""
    return stage.record(sequence)["Drip_Error__c"] or ""


def test_a_merge_field_that_nobody_sees_is_told_on_the_sequence_before_anybody_is_due(stage: Stage) -> None:
    """B24, P3: step and field are named, at the pull that brings the edit; nobody has to type doctor."""
    sequence = stage.sequence({"Drip_Delay__c": 0}, {"Drip_Body__c": MISSPELLED})
    passes.pull(stage.parts)
    passes.write_back(stage.parts)
    assert error_of(stage, sequence).startswith("Step 2 of 2: {{ favourite_colour }} is no field")


def test_the_sequence_stays_in_force_beside_such_a_step(stage: Stage) -> None:
    """B24: the first step goes out, the second waits, and the figures do not wipe the error out."""
    contact = stage.contact()
    sequence = stage.sequence({"Drip_Delay__c": 0}, {"Drip_Body__c": MISSPELLED})
    stage.tick(contact, sequence)
    stage.turn()
    stage.at(SECOND)
    stage.turn()
    assert len(stage.sent()) == 1
    assert stage.shown(contact)[0] == RunStatus.HELD
    assert "favourite_colour" in error_of(stage, sequence)


def test_the_error_goes_once_the_step_is_corrected(stage: Stage) -> None:
    """B24: and the email goes out."""
    contact = stage.contact()
    sequence = stage.sequence({"Drip_Delay__c": 0, "Drip_Body__c": MISSPELLED})
    stage.tick(contact, sequence)
    stage.turn()
    assert error_of(stage, sequence)
    stage.later(minutes=5)
    stage.change(stage.steps(sequence)[0], Drip_Body__c="<p>Hi</p>")
    stage.turn()
    assert error_of(stage, sequence) == ""
    assert len(stage.sent()) == 1


def test_a_stop_condition_whose_field_is_hidden_later_holds_everybody(stage: Stage) -> None:
    """P4: nobody could see any more whether it is met. Granted again, the run goes on, and the record says nothing."""
    contact = stage.contact(Title="Buyer")
    sequence = stage.sequence(Drip_Stop_When__c="Title = Gone")
    stage.tick(contact, sequence)
    stage.turn()
    for kind in ("Contact", "Lead"):
        stage.do(stage.sandbox.org.hide_field, kind, "Title")
    stage.at(SECOND)
    passes.dispatch(stage.parts)
    passes.write_back(stage.parts)
    assert len(stage.sent()) == 1
    status, reason = stage.shown(contact)
    assert status == RunStatus.HELD
    assert "Stop When names the field Title" in reason
    assert "Stop When names the field Title" in error_of(stage, sequence)
    for kind in ("Contact", "Lead"):
        stage.do(stage.sandbox.org.show_field, kind, "Title")
    stage.later(hours=2)
    stage.turn()
    stage.later(hours=2)
    stage.turn()
    assert len(stage.sent()) == 2
    assert error_of(stage, sequence) == ""
