"""What the rules of the package refuse, the daemon would refuse too; what the daemon writes, they let by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from package_source import NAMESPACE, PACKAGE, fields, parse

from connectors.salesforce.schema import WRITTEN_BY_US
from crmdrip.core.definition import validate
from crmdrip.core.model import Sequence, SequenceDraft, StepDraft
from crmdrip.core.reasons import HoldReason, Reason, StopReason
from crmdrip.registry import builtin_mapping
from crmdrip.sandbox.salesforce.formula import Formula, Scope, compile_formula

_KINDS = {
    "Checkbox": "boolean",
    "DateTime": "datetime",
    "Html": "textarea",
    "LongTextArea": "textarea",
    "Lookup": "reference",
    "MasterDetail": "reference",
    "MultiselectPicklist": "multipicklist",
    "Number": "double",
    "Picklist": "picklist",
    "Summary": "double",
    "Text": "string",
    "Time": "time",
}
"""Types of a describe answer by those of the metadata."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One validation rule."""

    object: str
    name: str
    formula: Formula
    text: str
    message: str
    field: str

    def refuses(self, row: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> bool:
        """Whether it refuses to save the row, in the words of Salesforce's fields."""
        return bool(self.formula.value(Scope(row=row, before=before)))


def compiled(target: str, text: str) -> Formula:
    """A formula of the object, by the rules of the vendor's language; raises FormulaError."""
    return compile_formula(text, {one.name: _KINDS[one.type] for one in fields()[target].values()})


def rules() -> Iterator[Rule]:
    """Every validation rule."""
    for path in sorted(PACKAGE.rglob("validationRules/*.xml")):
        root, target = parse(path), path.parents[1].name
        text = said(root, "errorConditionFormula")
        yield Rule(
            object=target,
            name=said(root, "fullName"),
            formula=compiled(target, text),
            text=text,
            message=said(root, "errorMessage"),
            field=said(root, "errorDisplayField"),
        )


def said(root: ET.Element, name: str) -> str:
    """The text of an element that must be there."""
    text = root.findtext(NAMESPACE + name)
    assert text
    return text


RULES = {rule.name: rule for rule in rules()}
SEQUENCE = {
    "Drip_Status__c": "Draft",
    "Drip_Active_Steps__c": 1,
    "Drip_Sender__c": "Owner",
    "Drip_Re_Enrollment__c": "Never",
}
STEP = {
    "Drip_Order__c": 1,
    "Drip_Kind__c": "Email",
    "Drip_Delay__c": 0,
    "Drip_Delay_Unit__c": "Days",
    "Drip_Subject__c": "Hello",
    "Drip_Body__c": "<p>How are you?</p>",
    "Drip_Continue_Thread__c": False,
    "Drip_Active__c": True,
}

REFUSED = {
    "Fixed_Sender_Needs_Address": [{"Drip_Sender__c": "Fixed"}],
    "From_Address_Is_Address": [
        {"Drip_Sender__c": "Fixed", "Drip_From_Address__c": text}
        for text in (
            *("sales", "sales@example", "a@b@example.com"),
            *("Sales <a@example.com", "Sales a@example.com>", "two words@example.com"),
        )
    ],
    "Window_Ends_After_It_Begins": [
        {"Drip_Send_From__c": "10:00:00.000Z", "Drip_Send_Until__c": "10:00:00.000Z"},
        {"Drip_Send_From__c": "17:30:00.000Z"},
        {"Drip_Send_Until__c": "08:00:00.000Z"},
    ],
    "After_Days_Needs_Days": [{"Drip_Re_Enrollment__c": "After Days"}],
    "Stop_When_Is_Condition": [
        {"Drip_Stop_When__c": text}
        for text in ("Status", "Status =", "Status = ,", "= Qualified", "My Field = x", '= ""')
    ],
    "Re_Enroll_After_Days_In_Range": [{"Drip_Re_Enroll_After_Days__c": number} for number in (-1, 3651)],
    "Minimum_Gap_Hours_In_Range": [{"Drip_Minimum_Gap_Hours__c": number} for number in (-1, 8761)],
    "Daily_Cap_In_Range": [{"Drip_Daily_Cap__c": number} for number in (0, 1_000_001)],
    "Domain_Cap_In_Range": [{"Drip_Domain_Cap__c": number} for number in (0, 1_000_001)],
    "Entry_Cap_In_Range": [{"Drip_Entry_Cap__c": number} for number in (0, 1_000_001)],
    "Domain_Entry_Cap_In_Range": [{"Drip_Domain_Entry_Cap__c": number} for number in (0, 1_000_001)],
    "Confirm_Above_In_Range": [{"Drip_Confirm_Above__c": number} for number in (-1, 1_000_001)],
    "Active_Step_Needs_Order": [{"Drip_Order__c": None}],
    "Active_Email_Needs_Body": [{"Drip_Body__c": None}, {"Drip_Body__c": None, "Drip_Kind__c": None}],
    "Active_Email_Needs_Subject": [{"Drip_Subject__c": None}, {"Drip_Subject__c": None, "Drip_Kind__c": None}],
    "Active_Task_Needs_Subject": [{"Drip_Kind__c": "Task", "Drip_Subject__c": None, "Drip_Body__c": None}],
    "Delay_In_Range": [
        {"Drip_Delay__c": number, "Drip_Delay_Unit__c": unit}
        for number, unit in (
            (-1, "Days"),
            (731, "Days"),
            (731, None),
            (521, "Business Days"),
            (17_521, "Hours"),
            (1_051_201, "Minutes"),
        )
    ],
    "Weight_In_Range": [{"Drip_Weight__c": number} for number in (-1, 1_000_001)],
    "Expires_After_Hours_In_Range": [{"Drip_Expires_After_Hours__c": number} for number in (0, 8761)],
}
"""What each rule refuses, as changes of a good record."""

TAKEN: dict[str, list[dict[str, Any]]] = {
    "Drip_Sequence__c": [
        {"Drip_Sender__c": "Fixed", "Drip_From_Address__c": "sales@example.com"},
        {"Drip_Sender__c": "Fixed", "Drip_From_Address__c": "Acme Sales <sales@mail.example.com>"},
        {"Drip_Send_From__c": "00:00:00.000Z", "Drip_Send_Until__c": "23:59:00.000Z"},
        {"Drip_Re_Enrollment__c": "After Days", "Drip_Re_Enroll_After_Days__c": 0},
        {"Drip_Re_Enroll_After_Days__c": 3650, "Drip_Minimum_Gap_Hours__c": 8760, "Drip_Confirm_Above__c": 0},
        {
            "Drip_Daily_Cap__c": 1,
            "Drip_Domain_Cap__c": 1_000_000,
            "Drip_Entry_Cap__c": 1,
            "Drip_Domain_Entry_Cap__c": 1,
        },
        {"Drip_Stop_When__c": "Status = Qualified, Unqualified"},
        {"Drip_Stop_When__c": 'Account.Industry="Food, Drink"'},
        {"Drip_Status__c": "Live"},
    ],
    "Drip_Step__c": [
        {"Drip_Order__c": 2.5},
        {"Drip_Kind__c": "Task", "Drip_Body__c": None},
        {"Drip_Delay__c": 730},
        {"Drip_Delay__c": 1_051_200, "Drip_Delay_Unit__c": "Minutes"},
        {"Drip_Delay__c": 17_520, "Drip_Delay_Unit__c": "Hours"},
        {"Drip_Delay__c": 520, "Drip_Delay_Unit__c": "Business Days"},
        {"Drip_Weight__c": 0, "Drip_Expires_After_Hours__c": 1},
        {
            "Drip_Active__c": False,
            "Drip_Order__c": None,
            "Drip_Subject__c": None,
            "Drip_Body__c": None,
            "Drip_Delay__c": -1,
        },
    ],
}
"""What no rule refuses."""


def defined(target: str, row: Mapping[str, Any]) -> Sequence | tuple[str, ...]:
    """What the daemon makes of a record: a sequence with one good step, or a good sequence with the step."""
    mapping = builtin_mapping("salesforce").fields
    sequence = {**SEQUENCE, **(row if target == "Drip_Sequence__c" else {})}
    step = {**STEP, **(row if target == "Drip_Step__c" else {})}
    in_words = {
        word: {ours: values.get(name) for ours, name in mapping[word].items()}
        for word, values in (("sequence", sequence), ("step", step))
    }
    in_words["sequence"]["name"] = "Welcome"
    return validate(
        SequenceDraft(id="s", fields=in_words["sequence"], steps=(StepDraft(id="t", fields=in_words["step"]),))
    )


def good(target: str) -> dict[str, Any]:
    """A record that nobody refuses, with every field."""
    blank = {one.name: False if one.type == "Checkbox" else None for one in fields()[target].values()}
    return {**blank, **(SEQUENCE if target == "Drip_Sequence__c" else STEP)}


@pytest.mark.parametrize(("name", "change"), [(name, row) for name, rows in REFUSED.items() for row in rows])
def test_what_a_rule_refuses_the_daemon_refuses_too(name: str, change: dict[str, Any]) -> None:
    """Otherwise Salesforce would keep people from something that works; and its message speaks of one field."""
    rule = RULES[name]
    row = {**good(rule.object), **change}
    assert rule.refuses(row)
    assert rule.refuses(row, before=good(rule.object))
    problems = defined(rule.object, row)
    assert isinstance(problems, tuple)
    label = fields()[rule.object][rule.field].text("label")
    assert any(label.lower() in problem.lower() for problem in problems), problems


@pytest.mark.parametrize(("target", "change"), [(target, row) for target, rows in TAKEN.items() for row in rows])
def test_what_the_daemon_takes_no_rule_refuses(target: str, change: dict[str, Any]) -> None:
    """The bounds are the daemon's own."""
    row = {**good(target), **change}
    assert isinstance(defined(target, row), Sequence)
    assert [rule.name for rule in RULES.values() if rule.object == target and rule.refuses(row)] == []


def test_every_rule_has_a_case() -> None:
    """Going Live has a test of its own: the daemon takes a Live sequence without a step, and enrolls nobody."""
    assert set(RULES) == {*REFUSED, "Live_Needs_Active_Step"}


def test_a_sequence_goes_live_only_with_an_active_step() -> None:
    """When it is set to Live, and not when a step of a Live one is switched off: its count changes it too."""
    rule, empty = RULES["Live_Needs_Active_Step"], {**good("Drip_Sequence__c"), "Drip_Active_Steps__c": 0}
    live = {**empty, "Drip_Status__c": "Live"}
    assert rule.refuses(live)
    assert rule.refuses({**live, "Drip_Active_Steps__c": None})  # not counted yet on a record that is being made
    assert rule.refuses(live, before=empty)
    assert not rule.refuses(live, before={**live, "Drip_Active_Steps__c": 1})
    assert not rule.refuses({**live, "Drip_Active_Steps__c": 1}, before={**empty, "Drip_Active_Steps__c": 1})


def test_what_the_daemon_writes_is_never_refused() -> None:
    """Version, error and counts, on a record that was bad before the package came; steps it never writes (B21)."""
    bad = good("Drip_Sequence__c")
    for name, rows in REFUSED.items():
        if RULES[name].object == "Drip_Sequence__c":
            bad.update(rows[0])
    bad.update({"Drip_Status__c": "Live", "Drip_Active_Steps__c": 0})
    mapping = builtin_mapping("salesforce")
    written = {mapping.field("sequence", word): 7 for word in WRITTEN_BY_US["sequence"]}
    assert WRITTEN_BY_US["step"] == ()
    for rule in RULES.values():
        if rule.object == "Drip_Sequence__c":
            assert not rule.refuses({**bad, **written}, before=bad), rule.name
            assert rule.formula.fields.isdisjoint(written), rule.name


def test_there_is_no_rule_where_the_daemon_and_other_programs_write() -> None:
    """Contacts, leads, activities and the control record: the daemon answers there instead of refusing to save."""
    assert {rule.object for rule in RULES.values()} == {"Drip_Sequence__c", "Drip_Step__c"}


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_rule_says_what_to_do_at_a_field_it_asks_about(name: str) -> None:
    """Within Salesforce's limit of 255 characters."""
    rule = RULES[name]
    assert rule.field in rule.formula.fields
    assert len(rule.message) <= 255
    advice = ("Type ", "Choose ", "Write ", "Save ", "Give ")
    assert any(word in rule.message or word.lower() in rule.message for word in advice), rule.message


STOPPED_BY = {
    "REPLIED": "Replied",
    "MEETING": "Meeting",
    "COLLEAGUE_REPLIED": "Colleague replied",
    "LEFT_COMPANY": "Left the company",
    "UNSUBSCRIBED": "Unsubscribed",
    "LEFT_SEQUENCE": "Unsubscribed",
    "OPTED_OUT": "Opted out",
    "BOUNCED": "Bounced",
    "ADDRESS_REFUSED": "Bounced",
    "SPAM_REPORT": "Spam report",
    "UNTICKED": "Unticked",
    "DELETED": "Record changed",
    "RESTORED": "Record changed",
    "MERGED": "Record changed",
    "SAME_ADDRESS": "Record changed",
    "OTHER_STOP": "Record changed",
    "CONVERTED": "Converted",
    "OPPORTUNITY": "Opportunity",
    "FIELD_CONDITION": "Stop condition",
    "SEQUENCE_CHANGED": "Sequence changed",
    "SEQUENCE_CLEARED": "Sequence changed",
    "SEQUENCE_RETIRED": "Sequence changed",
    "SUPPRESSED": "Suppressed",
    "ELSEWHERE": "In another program",
}
HELD_BY = {
    "MISSING_FIELD": "Missing field",
    "NO_LAST_LOOK": "Record unread",
    "NOT_PERMITTED": "Other",
    "BRAKE": "Emergency brake",
    "SEQUENCE_PAUSED": "Sequence",
    "SEQUENCE_NOT_LIVE": "Sequence",
    "SEQUENCE_INVALID": "Sequence",
    "PAUSED_UNTIL": "Paused by a person",
    "OUT_OF_OFFICE": "Out of office",
    "NEEDS_APPROVAL": "Approval",
    "SENDER_BROKEN": "Sender",
    "ADDRESS_CHANGED": "Address changed",
    "IN_DOUBT": "In doubt",
    "SUSPICION": "Confirmation",
    "RECORD_GONE": "Record unread",
    "DAILY_CAP": "Limit reached",
    "PROVIDER": "Mail provider",
    "SAFE_MODE": "Record unread",
    "PAUSED_BY_COMMAND": "Sequence",
    "COLLEAGUE_REPLIED": "Colleague replied",
    "OWNER_CHANGED": "Sender",
    "NEEDS_PERSON": "In doubt",
    "MASS_STOP": "Confirmation",
    "SEQUENCE_GONE": "Sequence",
    "TEMPLATE_BROKEN": "Missing field",
    "ELSEWHERE": "In another program",
}


@pytest.mark.parametrize("target", ["Contact", "Lead"])
@pytest.mark.parametrize("code", StopReason, ids=lambda code: code.name.lower())
def test_reports_group_every_stop(target: str, code: StopReason) -> None:
    """A reason that is told in new words, or a new one, would be counted nowhere."""
    group = value(target, "Drip_Stopped_By__c", "Stopped", code)
    assert group == STOPPED_BY[code.name]
    assert value(target, "Drip_Stopped_By__c", "Active", code) == ""


@pytest.mark.parametrize("target", ["Contact", "Lead"])
@pytest.mark.parametrize("status", ["Held", "Paused"])
@pytest.mark.parametrize("code", HoldReason, ids=lambda code: code.name.lower())
def test_reports_group_every_hold(target: str, status: str, code: HoldReason) -> None:
    """As above; what an admin has to grant is told in Salesforce's own words, and stands under Other."""
    assert value(target, "Drip_Held_By__c", status, code) == HELD_BY[code.name]
    assert value(target, "Drip_Held_By__c", "Stopped", code) == ""


def value(target: str, name: str, status: str, code: StopReason | HoldReason) -> str:
    """What the formula makes of a record with this status and reason."""
    row = {"Drip_Status__c": status, "Drip_Reason__c": Reason(code=code, detail="x y").sentence}
    return str(compiled(target, fields()[target][name].text("formula")).value(Scope(row=row)))


@pytest.mark.parametrize("name", ["Drip_Stopped_By__c", "Drip_Held_By__c"])
def test_contacts_and_leads_are_grouped_alike(name: str) -> None:
    """By the same formula, within Salesforce's limit of 3,900 characters."""
    contact, lead = (fields()[target][name].text("formula") for target in ("Contact", "Lead"))
    assert contact == lead
    assert len(contact) <= 3900
