"""An opt-out that stands in the CRM is heard once, whatever is written to its record afterwards."""

from __future__ import annotations

from datetime import timedelta

from stage import Stage


def test_writing_to_an_opted_out_record_tells_of_no_new_opt_out(stage: Stage) -> None:
    """A record changes for many reasons, our own writes among them; heard as news, each causes a write (P5, B22)."""
    sequence = stage.sequence()
    contact = stage.contact(HasOptedOutOfEmail=True)
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(minutes=5)
    stage.change(contact, Title="Head of Sales")
    changed = stage.record(contact)["SystemModstamp"]
    stage.play(stage.now + timedelta(minutes=30), step=timedelta(minutes=5))
    assert stage.record(contact)["SystemModstamp"] == changed
