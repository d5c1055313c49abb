"""The doctor's findings on a Salesforce org: a stable code, what is wrong, and what to do."""

from __future__ import annotations

import tomllib

import pytest
from salesforce_driver import SalesforceDriver
from salesforce_peer import MAPPING, SalesforcePeer, load_mapping

from connectors.salesforce import connector
from connectors.salesforce.check import check_clock
from connectors.salesforce.schema import PERMISSION_SET
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.mapping import parse_mapping
from crmdrip.ports import CheckLevel, ConnectorContext
from crmdrip.testing.crm import CrmTrouble


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
        "SF-OPTOUT-HIDDEN",
        "SF-WRITE",
        "SF-TOUCH-ID",
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
