"""What an installation would make, object by object, read from what the installers call things."""

from __future__ import annotations

import pytest

from crmdrip.commands.summary import summarize
from crmdrip.ports import ChangeKind, SchemaChange


def _lines(*called: str) -> list[tuple[str, str]]:
    changes = [SchemaChange(kind=ChangeKind.CREATE, what=what) for what in called]
    return [(line.what, line.detail) for line in summarize(changes)]


def test_an_object_is_told_with_everything_that_belongs_to_it() -> None:
    """Its fields, views, rules, layout and tab, in the order in which they would be made; and that it is new itself."""
    assert _lines(
        "Drip_Step__c",
        "Task.Drip_Run__c",
        "Drip_Step__c.Drip_Order__c",
        "Drip_Step__c.Drip_Delay__c",
        "tab Drip_Step__c",
        "page layout Drip_Step__c-Drip Step Layout",
        "list view Drip_Step__c.All",
    ) == [
        ("Drip_Step__c", "the object, 2 fields, 1 tab, 1 page layout, 1 list view"),
        ("Task.Drip_Run__c", ""),
    ]


def test_what_belongs_to_no_object_is_told_by_its_kind() -> None:
    """With its names, which say what they are for."""
    names = ["Drip_Integration", "Drip_Private", "Drip_Rep", "Drip_Editor"]
    assert _lines(*(f"permission set {name}" for name in names)) == [("4 permission sets", ", ".join(names))]


def test_a_folder_is_not_counted_as_what_it_holds() -> None:
    """Salesforce makes the folder of reports first, under the name of reports."""
    called = ["report Drip", "report Drip/Held", "report Drip/Replied", "report Drip/Stopped"]
    assert _lines(*called) == [("Drip", "1 report folder, 3 reports")]


def test_a_group_of_properties_belongs_to_its_object() -> None:
    """As HubSpot's installer calls it."""
    called = ["contacts, group crmdrip", *(f"contacts.crmdrip_{n}" for n in range(4))]
    assert _lines(*called) == [("contacts", "1 group, 4 fields")]


@pytest.mark.parametrize(
    "what",
    [
        "permission set assignment of Drip Integration to the user that crmdrip logs in as",
        "drip_touches (touch_id) unique",
        "the row of drip_control",
        "Contact.Drip_Run__c",
    ],
)
def test_what_stands_alone_is_told_as_it_is_called(what: str) -> None:
    """With its own detail."""
    (line,) = summarize([SchemaChange(kind=ChangeKind.CREATE, what=what, detail="Number")])
    assert (line.what, line.detail) == (what, "Number")
