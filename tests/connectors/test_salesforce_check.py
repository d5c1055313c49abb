"""The doctor's findings on a Salesforce org: a stable code, what is wrong, and what to do."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from salesforce_driver import SalesforceDriver
from salesforce_peer import MAPPING, SalesforcePeer, load_mapping

from connectors.salesforce import connector
from connectors.salesforce.check import check_clock
from connectors.salesforce.schema import PERMISSION_SET
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.mapping import parse_mapping
from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.ports import CheckLevel, ConnectorContext
from crmdrip.sandbox.salesforce.access import Profile
from crmdrip.testing.crm import CrmTrouble, read_all, status_write, task_write, write_all


@pytest.fixture
def peer():
    with SalesforcePeer() as peer:
        yield peer


def _check(peer, mapping=None, **given):
    context = ConnectorContext(settings=peer.settings(**given), mapping=mapping or load_mapping(), clock=peer.clock)
    return list(connector.check(context))


def _bad(results):
    return {one.code: one for one in results if one.level is not CheckLevel.OK}


def test_a_sound_org_has_no_findings(peer) -> None:
    """Everything is there, the org is the one meant, and the brake can be read."""
    results = _check(peer, org_id=peer.org.org_id)
    assert _bad(results) == {}
    assert {one.code for one in results} == {
        "SF-LOGIN",
        "SF-ORG",
        "SF-FIELDS",
        "SF-TYPES",
        "SF-VALUES",
        "SF-SEARCH",
        "SF-OPTOUT-HIDDEN",
        "SF-WRITE",
        "SF-TOUCH-ID",
        "SF-TASKS",
        "SF-LIMITS",
        "SF-CONTROL",
        "SF-CLOCK",
        "SF-SIGNALS",
    }


def test_the_checks_take_one_call(peer) -> None:
    """P5: asking whether all is well is cheap."""
    _check(peer)
    assert peer.calls() == 1


def test_a_copy_of_the_org_fails(peer) -> None:
    """B25: the org id differs from the configured one."""
    found = _bad(_check(peer, org_id="00DDr0000000009"))["SF-ORG"]
    assert found.level is CheckLevel.FAIL
    assert peer.org.org_id in found.what


@pytest.mark.parametrize("length", [15, 18])
def test_an_org_id_of_either_length_is_the_same(peer, length) -> None:
    """B25: 15 characters mean the same org as 18."""
    assert "SF-ORG" not in _bad(_check(peer, org_id=peer.org.org_id[:length]))


def test_an_org_that_is_not_named_is_a_warning_with_what_to_type(peer) -> None:
    """B25: without org_id a sandbox copy would be mailed from."""
    found = _bad(_check(peer))["SF-ORG"]
    assert (found.level, found.do_next) == (CheckLevel.WARN, f'Set org_id = "{peer.org.org_id}".')


def test_a_hidden_opt_out_field_fails(peer) -> None:
    """B26: hidden by default in real orgs; the finding says which permission to grant."""
    SalesforceDriver(peer).trouble(CrmTrouble.OPT_OUT_HIDDEN)
    found = _bad(_check(peer))["SF-OPTOUT-HIDDEN"]
    assert found.level is CheckLevel.FAIL
    assert "Contact.HasOptedOutOfEmail, Lead.HasOptedOutOfEmail" in found.what
    assert PERMISSION_SET in found.do_next


def test_hidden_fields_are_named_all_at_once(peer) -> None:
    """Every missing field is in one finding."""
    for object_name, field_name in (
        ("Contact", "Drip_Paused_Until__c"),
        ("Drip_Sequence__c", "Drip_Daily_Cap__c"),
        ("Task", "Drip_Step_Id__c"),
    ):
        peer.do("hide_field", object_name, field_name)
    found = _bad(_check(peer))["SF-FIELDS"]
    for name in ("Contact.Drip_Paused_Until__c", "Drip_Sequence__c.Drip_Daily_Cap__c", "Task.Drip_Step_Id__c"):
        assert name in found.what


def test_a_hidden_cap_stops_the_pull(peer) -> None:
    """P4: a cap that cannot be seen is no cap, so nothing is sent by it."""
    peer.do("hide_field", "Drip_Sequence__c", "Drip_Daily_Cap__c")
    with pytest.raises(ConfigurationError, match="Drip_Daily_Cap__c"):
        list(peer.source().pull(None))


def test_a_package_that_is_not_installed_is_named(peer) -> None:
    """An object that does not exist is one finding, not a crash."""
    document = tomllib.loads(MAPPING.read_text())
    document["objects"]["step"] = "Other_Step__c"
    found = _bad(_check(peer, parse_mapping("own.toml", document)))["SF-FIELDS"]
    assert "Other_Step__c" in found.what


def test_what_cannot_be_written_is_named(peer) -> None:
    """A read-only field that we show things in."""
    document = tomllib.loads(MAPPING.read_text())
    document["contact"]["reason"] = "IsEmailBounced"
    found = _bad(_check(peer, parse_mapping("own.toml", document)))["SF-WRITE"]
    assert "Contact.IsEmailBounced" in found.what


def test_a_field_of_a_type_that_cannot_hold_it_is_named(peer) -> None:
    """Run numbers in a date, and reasons in twenty characters."""
    peer.do("add_field", "Contact", "Own_Date__c", "date")
    peer.do("add_field", "Contact", "Own_Short__c", "string 20")
    document = tomllib.loads(MAPPING.read_text())
    document["contact"] |= {"run": "Own_Date__c", "reason": "Own_Short__c"}
    found = _bad(_check(peer, parse_mapping("own.toml", document)))["SF-TYPES"]
    assert "Contact.Own_Date__c is Date, and Number is needed" in found.what
    assert "Contact.Own_Short__c holds 20 characters, and 255 may be written" in found.what


def test_a_restricted_picklist_without_our_values_is_named(peer) -> None:
    """An update of the status would be refused."""
    peer.do("add_field", "Contact", "Cadence_Status__c", "picklist 40 restricted", ["Active", "Stopped"])
    document = tomllib.loads(MAPPING.read_text())
    document["contact"]["status"] = "Cadence_Status__c"
    found = _bad(_check(peer, parse_mapping("own.toml", document)))["SF-VALUES"]
    assert "Contact.Cadence_Status__c lacks Queued, Held, Paused, Finished, Refused" in found.what


def test_an_orgs_own_words_count_as_ours(peer) -> None:
    """A picklist with other values, mapped in the mapping's values, lacks nothing."""
    peer.do("add_field", "Drip_Step__c", "Own_Kind__c", "picklist 40 restricted", ["Mail", "To Do"])
    document = tomllib.loads(MAPPING.read_text())
    document["step"]["kind"] = "Own_Kind__c"
    document["values"]["kind"] = {"email": "Mail", "task": "To Do"}
    assert "SF-VALUES" not in _bad(_check(peer, parse_mapping("own.toml", document)))


def test_an_address_that_cannot_be_searched_for_fails(peer) -> None:
    """B13: Shield's probabilistic scheme: who has two records cannot be known, so nobody may be mailed."""
    peer.do("encrypt_field", "Contact", "Email")
    found = _bad(_check(peer))["SF-SEARCH"]
    assert (found.level, "Contact.Email" in found.what) == (CheckLevel.FAIL, True)
    with pytest.raises(ConfigurationError):
        peer.source().records_of(["ann@acme.example"])


def test_an_encrypted_name_finds_nobody_and_says_so(peer) -> None:
    """Everything else works on: by id and by address people are found."""
    peer.do("encrypt_field", "Contact", "Name")
    contact = peer.do("insert", "Contact", {"LastName": "Ann", "Email": "ann@acme.example"})
    source = peer.source()
    assert "SF-SEARCH" not in _bad(_check(peer))
    assert [one.ref.id for one in source.find("ann@acme.example")] == [contact]
    with pytest.raises(ConfigurationError, match="id or the email address"):
        source.find("Ann")


@pytest.mark.parametrize(("edit", "level"), [(False, CheckLevel.WARN), (True, CheckLevel.OK)])
def test_person_accounts_take_edit_access_to_accounts(peer, edit, level) -> None:
    """The permission set reads accounts and changes none; where they are people, status would not be written."""
    peer.do("enable_person_accounts")
    peer.org.access.profiles[peer.org.integration_user_id] = Profile.MINIMUM
    if edit:
        _grant_accounts(peer)
    (found,) = (one for one in _check(peer) if one.code == "SF-PERSON-ACCOUNTS")
    assert found.level is level


def test_a_person_account_is_in_a_sequence_like_anybody(peer) -> None:
    """B21: refused and kept while accounts cannot be edited, written as soon as they can; its touch is logged."""
    peer.do("enable_person_accounts")
    peer.org.access.profiles[peer.org.integration_user_id] = Profile.MINIMUM
    contact = peer.do("add_person_account", LastName="Ann", Email="ann@acme.example", Drip_Enrolled__c=True)
    source, ref = peer.source(), RecordRef(kind=RecordKind.CONTACT, id=contact)
    assert read_all(source).records[contact].enrolled
    outcomes = write_all(peer.sink(source), status_write(ref), task_write(ref, "a" * 32))
    assert (outcomes["status"].code, outcomes["task"].error) == ("INSUFFICIENT_ACCESS_OR_READONLY", None)
    _grant_accounts(peer)
    assert write_all(peer.sink(source), status_write(ref))["status"].error is None


def _grant_accounts(peer) -> None:
    grants = peer.org.access.sets["Drip_Integration"]
    objects = {**grants.objects, "Account": frozenset({"read", "edit"})}
    peer.org.access.sets["Drip_Integration"] = replace(grants, objects=objects)
    peer.org.access.changed()


def test_a_user_who_may_not_make_tasks_is_told(peer) -> None:
    """The permission set grants it; a minimum-access profile alone does not."""
    peer.org.access.profiles[peer.org.integration_user_id] = Profile.MINIMUM
    grants = peer.org.access.sets["Drip_Integration"]
    peer.org.access.sets["Drip_Integration"] = replace(grants, user_permissions=frozenset())
    peer.org.access.changed()
    assert "new records of Task" in _bad(_check(peer))["SF-WRITE"].what


def _probe(peer):
    context = ConnectorContext(settings=peer.settings(), mapping=load_mapping(), clock=peer.clock)
    return list(connector.probe(context))


def test_a_probe_finds_out_and_leaves_nothing_behind(peer) -> None:
    """P1: a touch written twice stands once; tasks go to others; the one it wrote is gone."""
    peer.do("insert", "User", {"Username": "r@acme.example", "LastName": "R", "Email": "r@acme.example", "Alias": "r"})
    assert [(one.code, one.level) for one in _probe(peer)] == [
        ("SF-PROBE-TASK", CheckLevel.OK),
        ("SF-PROBE-UNIQUE", CheckLevel.OK),
        ("SF-PROBE-SUBTYPE", CheckLevel.OK),
        ("SF-PROBE-OWNER", CheckLevel.OK),
        ("SF-PROBE-CLEAN", CheckLevel.OK),
    ]
    assert peer.do("count", "SELECT COUNT() FROM Task") == 0


def test_a_probe_says_when_a_touch_would_stand_twice(peer) -> None:
    """P1: both tasks are deleted again."""
    schema = peer.org.schema
    field = schema["Task"].fields["Drip_Touch_Id__c"]
    schema.with_field("Task", replace(field, unique=False))
    found = {one.code: one.level for one in _probe(peer)}
    assert found["SF-PROBE-UNIQUE"] is CheckLevel.FAIL
    assert peer.do("count", "SELECT COUNT() FROM Task") == 0


def test_a_probe_that_may_not_write_says_what_to_assign(peer) -> None:
    """Nothing was written, so nothing is cleaned up."""
    grants = peer.org.access.sets["Drip_Integration"]
    peer.org.access.profiles[peer.org.integration_user_id] = Profile.MINIMUM
    peer.org.access.sets["Drip_Integration"] = replace(grants, user_permissions=frozenset())
    peer.org.access.changed()
    (found,) = _probe(peer)
    assert (found.code, found.level) == ("SF-PROBE-TASK", CheckLevel.FAIL)
    assert PERMISSION_SET in found.do_next


def test_a_probe_that_meets_a_validation_rule_says_where_to_let_it_pass(peer) -> None:
    """B21: a rule on tasks would refuse every touch; the admin's own words are shown."""
    peer.do("add_validation_rule", "Task", lambda row: row["WhoId"] is None, "Whose task is it?")
    (found,) = _probe(peer)
    assert "Whose task is it?" in found.what
    assert "validation rule" in found.do_next


@pytest.mark.parametrize("given", [{}, {"Call_Result__c": "Sent"}])
def test_a_field_that_every_task_must_have_is_named_until_it_has_a_value(peer, given) -> None:
    """B21: a custom field with Required ticked refuses every touch, unless the mapping gives it a value."""
    peer.do("add_field", "Task", "Call_Result__c", "string 40 required")
    document = tomllib.loads(MAPPING.read_text())
    document["values"]["new_task"] = given
    found = _bad(_check(peer, parse_mapping("own.toml", document))).get("SF-TASKS")
    if given:
        assert found is None
    else:
        assert found.level is CheckLevel.FAIL
        assert "Task.Call_Result__c" in found.what
        assert "values.new_task" in found.do_next


def test_a_value_for_a_field_that_is_not_there_is_a_warning(peer) -> None:
    """A name that is misspelt would be left out in silence."""
    document = tomllib.loads(MAPPING.read_text())
    document["values"]["new_task"] = {"Call_Resutl__c": "Sent"}
    found = _bad(_check(peer, parse_mapping("own.toml", document)))["SF-TASKS"]
    assert (found.level, "Call_Resutl__c" in found.what) == (CheckLevel.WARN, True)


@pytest.mark.parametrize(("name", "values"), [("Status", ["New", "Completed"]), ("Type", ["Call", "Meeting"])])
def test_an_orgs_own_words_for_tasks_are_asked_for(peer, name, values) -> None:
    """An admin has deactivated Not Started, or Email: an open task would get a status that nobody can filter by."""
    peer.do("restrict_picklist", "Task", name, values)
    found = _bad(_check(peer))["SF-TASKS"]
    assert found.level is CheckLevel.WARN
    assert f"Task.{name}" in found.what


def test_a_touch_id_that_is_not_unique_fails(peer) -> None:
    """P1: only a unique external id keeps a retried write single."""
    document = tomllib.loads(MAPPING.read_text())
    document["task"]["touch_id"] = "Drip_Message_Id__c"
    found = _bad(_check(peer, parse_mapping("own.toml", document)))["SF-TOUCH-ID"]
    assert found.level is CheckLevel.FAIL


def test_an_org_short_of_calls_is_a_warning(peer) -> None:
    """B20: less than the reserve is left."""
    peer.org.daily_limit = 400
    assert _bad(_check(peer))["SF-LIMITS"].level is CheckLevel.WARN


def test_what_the_org_cannot_tell_is_a_warning(peer) -> None:
    """Without meetings a run is not stopped by one, and the finding says so."""
    peer.do("hide_field", "Event", "WhoId")
    found = _bad(_check(peer))["SF-SIGNALS"]
    assert found.level is CheckLevel.WARN
    assert "Event" in found.what


def test_refused_credentials_are_the_only_finding(peer) -> None:
    """Nothing else can be asked then."""
    SalesforceDriver(peer).trouble(CrmTrouble.DENIED)
    (found,) = _check(peer)
    assert (found.code, found.level) == ("SF-LOGIN", CheckLevel.FAIL)


def test_an_org_that_does_not_answer_is_the_only_finding(peer) -> None:
    """Down is not misconfigured."""
    SalesforceDriver(peer).trouble(CrmTrouble.QUOTA_GONE)
    (found,) = _check(peer)
    assert (found.code, found.level) == ("SF-UNREACHABLE", CheckLevel.FAIL)


@pytest.mark.parametrize(("skew", "level"), [(119, CheckLevel.OK), (-121, CheckLevel.WARN), (3600, CheckLevel.WARN)])
def test_a_wrong_clock_is_a_warning(skew, level) -> None:
    """B29: two minutes apart are worth a word."""
    assert check_clock(skew).level is level
