"""What the demo knows of each CRM: whom its audit reads there, and the trouble it deals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from crmdrip.demo import trouble
from crmdrip.demo.hubspot import Definitions, DemoHubSpot
from crmdrip.demo.salesforce import DemoSalesforce
from crmdrip.sandbox.faults import Fault
from crmdrip.sandbox.hubspot.sandbox import HubSpotSandbox
from crmdrip.sandbox.world import NOBODY_REACTS

MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HUBSPOT = DemoHubSpot(Definitions.TOML)


@pytest.fixture(scope="module")
def portal() -> Iterator[HubSpotSandbox]:
    """More people than one page holds."""
    with HubSpotSandbox(people=150, now=MONDAY, habits=NOBODY_REACTS) as opened:
        yield opened


def contacts(portal: HubSpotSandbox) -> list[str]:
    """The ids of everybody."""
    return portal.call(lambda: [each.id for each in portal.portal.all("contacts") if not each.get("crmdrip_key")])


def test_the_audit_reads_page_after_page(portal: HubSpotSandbox) -> None:
    """Everybody among the ids, and nobody else."""
    wanted = contacts(portal)[::2]
    assert len(wanted) > 60
    assert [one.id for one in HUBSPOT.read_people(portal.hubspot_url, wanted)] == wanted


def test_the_audit_sees_what_a_rep_sees(portal: HubSpotSandbox) -> None:
    """The box, and what the daemon answered."""
    (first, *_) = contacts(portal)
    values = {
        "crmdrip_enrolled": "true",
        "crmdrip_status": "Active",
        "crmdrip_reason": "Step 2 of 4 is due.",
        "crmdrip_next_touch": "2026-03-03T09:00:00Z",
    }
    portal.call(lambda: portal.portal.update("contacts", first, values))
    (shown,) = HUBSPOT.read_people(portal.hubspot_url, [first])
    assert (shown.ticked, shown.status, shown.reason) == (True, "Active", "Step 2 of 4 is due.")
    assert shown.next_touch == datetime(2026, 3, 3, 9, 0, tzinfo=UTC)


def test_what_a_merge_made_counts_for_those_it_was_made_of(portal: HubSpotSandbox) -> None:
    """B12: the third contact stands for both, once."""
    *_, one, other = contacts(portal)
    third = portal.call(lambda: portal.portal.merge("contacts", one, other))
    assert [each.id for each in HUBSPOT.read_people(portal.hubspot_url, [one, other])] == [third]


def test_the_deleted_are_not_read(portal: HubSpotSandbox) -> None:
    """B14: there is no record that could say anything."""
    gone = contacts(portal)[3]
    portal.call(lambda: portal.portal.archive("contacts", gone))
    assert list(HUBSPOT.read_people(portal.hubspot_url, [gone])) == []


@pytest.mark.parametrize("crm", [HUBSPOT, DemoSalesforce()])
def test_every_day_deals_every_trouble_of_both_vendors(crm: DemoHubSpot | DemoSalesforce) -> None:
    """In another order each day, the same for one seed; the sandbox can play each of them."""
    monday, tuesday = (trouble.deal(1, day, crm) for day in (0, 1))
    assert set(monday) == {crm.name, "sendgrid"}
    assert monday == trouble.deal(1, 0, crm) != tuesday
    assert len(monday[crm.name]) == len(crm.faults)
    for fault in [*monday[crm.name], *monday["sendgrid"]]:
        Fault.from_json(fault)
