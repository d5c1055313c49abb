"""Several records of one human: one run, and a stop on either that holds for all (B12, B13)."""

from __future__ import annotations

from datetime import timedelta

from stage import MONDAY, Stage

from crmdrip.daemon import passes


def test_an_opt_out_is_told_once_and_not_again_at_every_pass(stage: Stage) -> None:
    """P5: our own write of the opt-out comes back with the next pull and causes nothing."""
    contact, lead = stage.contact("ann@acme.example"), stage.lead("ann@acme.example")
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.change(contact, HasOptedOutOfEmail=True)
    stage.play(MONDAY + timedelta(minutes=30), step=timedelta(minutes=10))
    assert stage.record(lead)["HasOptedOutOfEmail"]
    before = stage.record(contact)["SystemModstamp"], stage.record(lead)["SystemModstamp"]
    stage.play(MONDAY + timedelta(minutes=90), step=timedelta(minutes=10))
    assert (stage.record(contact)["SystemModstamp"], stage.record(lead)["SystemModstamp"]) == before
