"""What docs/salesforce-package.md advises on lead field mapping: each field mapped, or none (B11)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from stage import MONDAY, Stage

from crmdrip.core.model import RunStatus

FIELDS = (
    "Drip_Approved__c",
    "Drip_Enrolled__c",
    "Drip_Last_Touch__c",
    "Drip_Next_Touch__c",
    "Drip_Out_Of_Office_Until__c",
    "Drip_Paused_Until__c",
    "Drip_Reason__c",
    "Drip_Replied_At__c",
    "Drip_Run__c",
    "Drip_Sequence__c",
    "Drip_Status__c",
    "Drip_Step__c",
)


def convert(stage: Stage, lead: str, mapped: tuple[str, ...]) -> str:
    """Convert the lead in an org that maps these fields; the contact's id."""
    stage.sandbox.org.lead_field_map = dict(zip(mapped, mapped, strict=True))
    converted: Any = stage.do(stage.sandbox.org.convert, lead)
    return str(converted.contact_id)


@pytest.mark.parametrize(
    "mapped", [(), FIELDS, ("Drip_Paused_Until__c", "Drip_Approved__c")], ids=["none", "all", "advised"]
)
def test_a_run_goes_on_after_a_conversion_whatever_is_mapped(stage: Stage, mapped: tuple[str, ...]) -> None:
    """B11, P1: the daemon carries it over by itself."""
    lead = stage.lead()
    stage.tick(lead, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    contact = convert(stage, lead, mapped)
    stage.play(MONDAY + timedelta(days=2, hours=2), step=timedelta(hours=12))
    assert stage.shown(contact)[0] == RunStatus.ACTIVE
    assert (stage.record(contact)["Drip_Enrolled__c"], stage.record(contact)["Drip_Run__c"]) == (True, 1)
    assert len(stage.sent()) == 2


@pytest.mark.parametrize(("mapped", "sent"), [((), 2), (("Drip_Paused_Until__c",), 1)], ids=["none", "mapped"])
def test_a_pause_survives_a_conversion_only_where_it_is_mapped(
    stage: Stage, mapped: tuple[str, ...], sent: int
) -> None:
    """B11: what people set on the lead is theirs, and the daemon copies nothing of it."""
    lead = stage.lead()
    stage.tick(lead, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.change(lead, Drip_Paused_Until__c="2026-12-31T00:00:00.000Z")
    stage.turn()
    convert(stage, lead, mapped)
    stage.play(MONDAY + timedelta(days=2, hours=2), step=timedelta(hours=12))
    assert len(stage.sent()) == sent
