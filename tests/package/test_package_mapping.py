"""The package installs what the daemon's mapping names, in the words the daemon accepts."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import pytest
from package_source import EXTENDED, OURS, SourceField, every_field, fields

from crmdrip.core.entries import DAYS, label_choice
from crmdrip.core.mapping import CrmMapping
from crmdrip.core.model import (
    DelayUnit,
    OnColleagueReply,
    OnConversion,
    OnOpportunity,
    Reenrollment,
    RunStatus,
    SenderPolicy,
    Sequence,
    SequenceStatus,
    StepKind,
    ZonePolicy,
)
from crmdrip.registry import builtin_mapping

_KEPT_ON = {
    "contact": "Contact",
    "lead": "Lead",
    "sequence": "Drip_Sequence__c",
    "step": "Drip_Step__c",
    "control": "Drip_Control__c",
    "task": "Activity",
}
"""Objects of the mapping that carry fields of ours; those of a task stand on Activity."""

_CHOICES: dict[str, type[StrEnum]] = {
    "time_zone_policy": ZonePolicy,
    "sender": SenderPolicy,
    "re_enrollment": Reenrollment,
    "on_colleague_reply": OnColleagueReply,
    "on_opportunity": OnOpportunity,
    "on_conversion": OnConversion,
    "kind": StepKind,
    "delay_unit": DelayUnit,
}

_DEFAULTS = Sequence(id="", name="", status=SequenceStatus.DRAFT, version="", steps=())


@pytest.fixture(scope="module")
def mapping() -> CrmMapping:
    """As it is shipped."""
    return builtin_mapping("salesforce")


def mapped(mapping: CrmMapping) -> Iterator[tuple[str, str]]:
    """Every custom field that the mapping names, with the object it is kept on."""
    for word, target in _KEPT_ON.items():
        yield from ((target, name) for name in mapping.fields[word].values() if name.endswith("__c"))


def test_every_name_of_the_mapping_is_installed(mapping: CrmMapping) -> None:
    """Otherwise doctor would find it missing in an org that installed everything."""
    assert set(mapped(mapping)) <= {(one.object, one.name) for one in every_field()}


def test_every_field_that_is_installed_is_in_the_mapping(mapping: CrmMapping) -> None:
    """Otherwise nothing would ever read or write it. What the org works out itself is for people alone."""
    installed = {(one.object, one.name) for one in every_field() if not one.computed}
    assert installed == set(mapped(mapping))


def test_every_custom_object_of_the_mapping_is_installed(mapping: CrmMapping) -> None:
    """And no other."""
    assert {name for name in mapping.objects.values() if name.endswith("__c")} == set(OURS)
    assert set(fields()) == {*OURS, *EXTENDED}


@pytest.mark.parametrize("word", _CHOICES)
def test_a_picklist_has_the_words_the_daemon_accepts(mapping: CrmMapping, word: str) -> None:
    """In the model's order, by the labels of the daemon's messages and of the mapping; nothing else can be typed."""
    name = next(fields[word] for fields in mapping.fields.values() if word in fields and fields[word].endswith("__c"))
    (one,) = (each for each in every_field() if each.name == name and each.type == "Picklist")
    assert one.values == tuple(label_choice(choice) for choice in _CHOICES[word])
    assert dict(zip(_CHOICES[word], one.values, strict=True)) == mapping.values[word]
    assert is_restricted(one)


def is_restricted(one: SourceField) -> bool:
    """Whether the API refuses any other value."""
    return [each.text for each in one.xml.iter() if each.tag.endswith("}restricted")] == ["true"]


@pytest.mark.parametrize(
    ("target", "statuses"), [("Drip_Sequence__c", SequenceStatus), ("Contact", RunStatus), ("Lead", RunStatus)]
)
def test_a_status_has_the_daemons_own_words(target: str, statuses: type[StrEnum]) -> None:
    """They are written and compared as they stand."""
    one = fields()[target]["Drip_Status__c"]
    assert one.values == tuple(status.value for status in statuses)
    assert is_restricted(one)


def test_send_days_are_those_the_daemon_reads() -> None:
    """Several may be chosen, and nothing can be misspelt."""
    one = fields()["Drip_Sequence__c"]["Drip_Send_Days__c"]
    assert (one.type, one.values) == ("MultiselectPicklist", DAYS)
    assert is_restricted(one)


def test_defaults_are_those_of_the_daemon(mapping: CrmMapping) -> None:
    """A new record in Salesforce shows what a blank field would mean."""
    preset = {
        "Drip_Status__c": SequenceStatus.DRAFT.value,
        "Drip_Time_Zone_Policy__c": label_choice(_DEFAULTS.zone_policy),
        "Drip_Sender__c": label_choice(_DEFAULTS.sender_policy),
        "Drip_Re_Enrollment__c": label_choice(_DEFAULTS.reenrollment),
        "Drip_On_Colleague_Reply__c": label_choice(_DEFAULTS.on_colleague_reply),
        "Drip_On_Opportunity__c": label_choice(_DEFAULTS.on_opportunity),
        "Drip_On_Conversion__c": label_choice(_DEFAULTS.on_conversion),
        "Drip_Kind__c": label_choice(StepKind.EMAIL),
        "Drip_Delay_Unit__c": label_choice(DelayUnit.DAYS),
        "Drip_Minimum_Gap_Hours__c": str(_DEFAULTS.minimum_gap_hours),
        "Drip_Active__c": "true",
    }
    assert {one.name: default for one in every_field() if (default := default_of(one)) not in ("", "false")} == preset


def default_of(one: SourceField) -> str:
    """The value of a new record, "" for none."""
    if one.values:
        values = {
            each.findtext("{*}fullName"): each.findtext("{*}default")
            for each in one.xml.iter()
            if each.tag.endswith("}value")
        }
        return next((name or "" for name, default in values.items() if default == "true"), "")
    return one.text("defaultValue")


@pytest.mark.parametrize("target", ["Drip_Sequence__c", "Drip_Step__c"])
def test_labels_are_those_of_the_daemons_messages(mapping: CrmMapping, target: str) -> None:
    """An error on the sequence's record names the field as the page shows it."""
    word = "sequence" if target == "Drip_Sequence__c" else "step"
    for ours, name in mapping.fields[word].items():
        if name.endswith("__c") and not name.endswith("_Count__c"):
            said = (
                ours.replace("_", " ")
                .title()
                .replace("Re Enrollment", "Re-enrollment")
                .replace("Re Enroll ", "Re-enroll ")
            )
            assert fields()[target][name].text("label") == said


def test_the_help_for_what_the_daemon_writes_says_so(mapping: CrmMapping) -> None:
    """Nobody should type where the next write-back overwrites it; where people type, it does not say so."""
    by_people = {
        "contact": {"enrolled", "sequence", "paused_until", "approved"},
        "lead": {"enrolled", "sequence", "paused_until", "approved"},
        "control": {"brake"},
        "step": set(mapping.fields["step"]),
        "sequence": set(mapping.fields["sequence"])
        - {"version", "error", "active", "sent", "replied", "meetings", "stopped", "held"},
        "task": set(),
    }
    for word, target in _KEPT_ON.items():
        for ours, name in mapping.fields[word].items():
            if name.endswith("__c"):
                told = "Written by crmdrip; do not edit." in fields()[target][name].text("inlineHelpText")
                assert told is (ours not in by_people[word]), f"{target}.{name}"
