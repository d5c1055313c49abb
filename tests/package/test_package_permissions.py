"""Who may do what: every field in the permission sets that should have it, and none that may not be in any."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from package_source import NAMESPACE, OURS, SourceField, every_field, found

from connectors.salesforce.check import _STOPS, _WRITTEN
from connectors.salesforce.schema import PERMISSION_SET, REQUIRED, WRITTEN_BY_US
from crmdrip.registry import builtin_mapping
from crmdrip.sandbox.salesforce.schema import load_schema

_SETS = ("Drip_Integration", "Drip_Sequence_Editor", "Drip_Rep")
"""Those with field permissions."""
_BY_PEOPLE = {"Drip_Enrolled__c", "Drip_Sequence__c", "Drip_Paused_Until__c", "Drip_Approved__c"}
_COMPOUND = {
    "MailingCountry": "MailingAddress",
    "MailingState": "MailingAddress",
    "MailingCity": "MailingAddress",
    "BillingCity": "BillingAddress",
    "BillingCountry": "BillingAddress",
    "City": "Address",
    "State": "Address",
    "Country": "Address",
}
"""Parts of an address share the field-level security of the whole."""
_ALWAYS_SEEN = {"EmailBouncedReason", "EmailBouncedDate"}
"""Without field-level security, by the recorded describe of Contact and Lead (`permissionable`)."""


def read_sets() -> dict[str, ET.Element]:
    """Every permission set by name."""
    return dict(found("permissionset"))


def granted(name: str) -> dict[str, bool]:
    """The fields a set lets people read, and whether it lets them edit."""
    return {
        each.findtext(NAMESPACE + "field") or "": each.findtext(NAMESPACE + "editable") == "true"
        for each in read_sets()[name].iter(f"{NAMESPACE}fieldPermissions")
        if each.findtext(NAMESPACE + "readable") == "true"
    }


def objects(name: str) -> dict[str, set[str]]:
    """What a set lets people do with each object."""
    return {
        each.findtext(NAMESPACE + "object") or "": {
            one.tag.removeprefix(NAMESPACE) for one in each if one.text == "true"
        }
        for each in read_sets()[name].iter(f"{NAMESPACE}objectPermissions")
    }


def places(one: SourceField) -> list[str]:
    """How field permissions name it: those of Activity stand on Task and on Event, or the deploy takes them away."""
    targets = ("Task", "Event") if one.object == "Activity" else (one.object,)
    return [f"{target}.{one.name}" for target in targets]


@pytest.mark.parametrize("name", _SETS)
def test_a_set_has_every_field_it_may_carry(name: str) -> None:
    """A field that is installed and granted to nobody is invisible, to administrators as well."""
    wanted = {place for one in every_field() if one.permissionable for place in places(one)}
    custom = {field for field in granted(name) if field.endswith("__c")}
    assert custom == wanted


def test_no_set_has_a_field_it_may_not_carry() -> None:
    """The deploy of a set with a required or master-detail field is refused."""
    refused = {place for one in every_field() if not one.permissionable for place in places(one)}
    assert "Drip_Step__c.Drip_Sequence__c" in refused
    for name, root in read_sets().items():
        listed = [each.findtext(NAMESPACE + "field") for each in root.iter(f"{NAMESPACE}fieldPermissions")]
        assert len(listed) == len(set(listed)), name
        assert refused.isdisjoint(listed), name


def test_nobody_may_edit_what_the_org_works_out() -> None:
    """Formulas and roll-ups; the deploy is refused otherwise."""
    computed = {place for one in every_field() if one.computed for place in places(one)}
    assert computed
    for name in _SETS:
        assert not {field for field in computed if granted(name)[field]}, name


def test_the_integration_user_may_read_everything_the_mapping_names() -> None:
    """What is hidden is absent for the daemon, and a hidden opt-out stops everything (B26)."""
    mapping, schema, seen = builtin_mapping("salesforce"), load_schema(), granted("Drip_Integration")
    for word in ("contact", "lead", "task", "event", "account"):
        target = schema[mapping.object(word)]
        named = {**mapping.fields.get(word, {}), **{f"merge {k}": v for k, v in mapping.merge.get(word, {}).items()}}
        for field in named.values():
            spec = target.field(field)
            if (
                spec is None
                or spec.fixed
                or spec.required
                or spec.defaulted
                or not (spec.createable or spec.updateable)
            ):
                continue
            if spec.name_field or field in _ALWAYS_SEEN or (word in ("task", "event") and field in _ON_EVERY_ACTIVITY):
                continue
            assert f"{target.name}.{_COMPOUND.get(field, field)}" in seen, field


_ON_EVERY_ACTIVITY = {"OwnerId", "Subject", "ActivityDate", "TaskSubtype", "RecurrenceActivityId"}
"""Of activities without field-level security, by the recorded describe of Event; Task's is not recorded."""


def test_the_integration_user_may_write_what_the_daemon_writes() -> None:
    """By the very lists that doctor checks an org by."""
    mapping, may = builtin_mapping("salesforce"), granted("Drip_Integration")
    written = {
        **dict.fromkeys(("contact", "lead"), (*_WRITTEN, "approved", "sequence", "opted_out")),
        "sequence": WRITTEN_BY_US["sequence"],
        "control": ("heartbeat", "claim", "state", "calls_used", "calls_limit"),
        "task": tuple(word for word, name in mapping.fields["task"].items() if name.endswith("__c")),
    }
    for word, words in written.items():
        for one in words:
            assert may[f"{mapping.object(word)}.{mapping.field(word, one)}"], f"{word}.{one}"
    assert set(_STOPS) - {"opted_out"} == {"bounced_reason", "bounced_at"}
    assert set(REQUIRED["task"]) <= set(mapping.fields["task"])


def test_the_integration_user_may_not_write_what_people_decide() -> None:
    """The brake, sequences' settings, steps, a person's pause."""
    for field, editable in granted("Drip_Integration").items():
        target, name = field.split(".")
        if target in OURS and not any(
            name == builtin_mapping("salesforce").field("sequence", word) for word in WRITTEN_BY_US["sequence"]
        ):
            by_daemon = target == "Drip_Control__c" and name != "Drip_Brake__c"
            assert editable is by_daemon, field
    assert not granted("Drip_Integration")["Contact.Drip_Paused_Until__c"]


def test_the_integration_user_may_delete_nothing() -> None:
    """Deleting is no business of a mailer. Where sharing is private, Modify All comes with it, in a set of its own."""
    assert "allowDelete" not in {right for rights in objects("Drip_Integration").values() for right in rights}
    assert "modifyAllRecords" not in {right for rights in objects("Drip_Integration").values() for right in rights}
    private = objects("Drip_Integration_Private_Sharing")
    assert {name for name, rights in private.items() if "modifyAllRecords" in rights} == {"Contact", "Lead"}


def test_the_integration_user_sees_every_record() -> None:
    """A record that is not seen is a stop that is not seen."""
    assert all({"allowRead", "viewAllRecords"} <= rights for rights in objects("Drip_Integration").values())


@pytest.mark.parametrize(
    "name", ["Drip_Integration", "Drip_Integration_Private_Sharing", "Drip_Sequence_Editor", "Drip_Rep"]
)
def test_a_right_comes_with_those_it_depends_on(name: str) -> None:
    """Salesforce refuses a set with one alone."""
    needs: dict[str, set[str]] = {
        "allowRead": set(),
        "allowCreate": {"allowRead"},
        "allowEdit": {"allowRead"},
        "allowDelete": {"allowRead", "allowEdit"},
        "viewAllRecords": {"allowRead"},
        "modifyAllRecords": {"allowRead", "allowEdit", "allowDelete", "viewAllRecords"},
    }
    for target, rights in objects(name).items():
        for right in rights:
            assert needs[right] <= rights, target
    if "Contact" in objects(name):
        assert "allowRead" in objects(name)["Account"]  # Read on contacts depends on Read on accounts.
    if "Drip_Step__c" in objects(name):
        assert "allowRead" in objects(name)["Drip_Sequence__c"]  # Of a detail on that of its master.
    users = {each.findtext(NAMESPACE + "name") for each in read_sets()[name].iter(f"{NAMESPACE}userPermissions")}
    assert "EditTask" not in users or "ActivitiesAccess" in users


@pytest.mark.parametrize("name", ["Drip_Sequence_Editor", "Drip_Rep"])
def test_people_write_the_fields_of_people_and_read_the_rest(name: str) -> None:
    """On contacts, leads and the timeline; and the opt-out can be read, since it is hidden by default."""
    may = granted(name)
    for field, editable in may.items():
        target, bare = field.split(".")
        if target in ("Contact", "Lead", "Task", "Event"):
            assert editable is (target in ("Contact", "Lead") and bare in _BY_PEOPLE), field
    assert {"Contact.HasOptedOutOfEmail", "Lead.HasOptedOutOfEmail"} <= set(may)


def test_editors_write_sequences_and_pull_the_brake_and_reps_only_look() -> None:
    """Every field of a sequence or step is edited by editors, or written by the daemon or the org."""
    editor, rep = granted("Drip_Sequence_Editor"), granted("Drip_Rep")
    for one in every_field():
        if one.object in OURS and one.permissionable:
            place = f"{one.object}.{one.name}"
            assert editor[place] is not (one.computed or "Written by crmdrip" in one.text("description")), place
            assert not rep[place], place
    assert editor["Drip_Control__c.Drip_Brake__c"]
    assert all(rights == {"allowRead"} for rights in objects("Drip_Rep").values())


@pytest.mark.parametrize("name", ["Drip_Sequence_Editor", "Drip_Rep"])
def test_people_see_the_app_and_its_tabs(name: str) -> None:
    """Without them the package is there and nobody finds it."""
    root = read_sets()[name]
    shown = {
        each.findtext(NAMESPACE + "tab"): each.findtext(NAMESPACE + "visibility")
        for each in root.iter(f"{NAMESPACE}tabSettings")
    }
    assert shown == dict.fromkeys(OURS, "Visible")
    apps = [each.findtext(NAMESPACE + "application") for each in root.iter(f"{NAMESPACE}applicationVisibilities")]
    assert apps == [app for app, _ in found("app")]


def test_the_set_that_messages_name_is_there() -> None:
    """Doctor tells people to assign it."""
    assert PERMISSION_SET in {root.findtext(NAMESPACE + "label") for root in read_sets().values()}
