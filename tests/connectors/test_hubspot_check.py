"""The doctor of a portal: every finding has a stable code, says what is wrong and what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hubspot_peer import PROPERTIES, HubSpotPeer, SteppedClock, load_mapping
from pydantic import SecretStr

from connectors.hubspot import connector
from connectors.hubspot.check import check_portal
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.source import HubSpotSource
from crmdrip import registry
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import CheckLevel, ConnectorContext, Role
from crmdrip.sandbox.hubspot.auth import SCOPES
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN
from crmdrip.sandbox.hubspot.trouble import TROUBLES

ALL = SCOPES | {"connected-email-data-access"}


@pytest.fixture
def peer(tmp_path):
    """A fresh portal whose key sees everything, the emails' properties too."""
    with HubSpotPeer(tmp_path / "sequences") as peer:
        peer.portal.tokens.issue(DEFAULT_TOKEN, ALL)
        yield peer


def findings(peer: HubSpotPeer, **settings: object) -> dict[str, list]:
    """What the doctor says, by code."""
    found: dict[str, list] = {}
    for one in check_portal(peer.source(**settings)):
        found.setdefault(one.code, []).append(one)
    return found


def test_a_portal_with_everything_in_place_has_no_complaint(peer):
    """Except the day's limit, which this stand-in does not tell while it is switched off."""
    found = findings(peer, portal_id=str(peer.portal.portal_id), subscription_type="1001")
    worse = {code for code, rows in found.items() if any(row.level is not CheckLevel.OK for row in rows)}
    assert worse == {"HS-LIMITS"}


def test_a_refused_key_is_said_first_and_alone(peer):
    """Nothing else can be known then."""
    peer.portal.tokens.revoke(DEFAULT_TOKEN)
    assert [(one.code, one.level) for one in check_portal(peer.source())] == [("HS-LOGIN", CheckLevel.FAIL)]


def test_a_portal_that_does_not_answer_is_said(peer):
    """The doctor raises nothing."""
    peer.portal.faults.add(replace(TROUBLES["unavailable"], times=None))
    assert [(one.code, one.level) for one in check_portal(peer.source())] == [("HS-UNREACHABLE", CheckLevel.FAIL)]


def test_another_portal_fails(peer):
    """B25: a sandbox of it has another Hub ID."""
    (finding,) = findings(peer, portal_id="1")["HS-PORTAL"]
    assert (finding.level, "only 1 may be mailed from" in finding.what) == (CheckLevel.FAIL, True)


def test_no_portal_id_is_a_warning_with_the_line_to_add(peer):
    """B25: it is there to be copied."""
    (finding,) = findings(peer)["HS-PORTAL"]
    assert finding.do_next == f'Set portal_id = "{peer.portal.portal_id}".'


FAIL, WARN = CheckLevel.FAIL, CheckLevel.WARN


@pytest.mark.parametrize(
    ("scope", "level"),
    [
        ("crm.objects.contacts.read", FAIL),
        ("crm.objects.contacts.write", FAIL),
        ("sales-email-read", FAIL),
        ("crm.objects.owners.read", FAIL),
        ("crm.schemas.contacts.read", FAIL),
        ("communication_preferences.read_write", FAIL),
        ("crm.objects.deals.read", WARN),
        ("crm.objects.companies.read", WARN),
    ],
)
def test_a_missing_scope_is_named(peer, scope, level):
    """What nothing works without fails; what only costs a signal warns; and what to grant is said."""
    peer.portal.tokens.issue(DEFAULT_TOKEN, ALL - {scope})
    found = findings(peer)["HS-SCOPES"]
    assert max((one.level for one in found), key=[CheckLevel.OK, WARN, FAIL].index) is level
    assert all(scope in one.do_next or "communication_preferences" in one.do_next for one in found)


def test_every_missing_scope_is_named_at_once(peer):
    """Whoever makes the key grants them all in one go."""
    lacking = {"crm.objects.owners.read", "crm.objects.deals.read", "crm.schemas.contacts.read"}
    peer.portal.tokens.issue(DEFAULT_TOKEN, ALL - lacking)
    said = " ".join(one.do_next for one in findings(peer)["HS-SCOPES"])
    assert all(scope in said for scope in lacking)


@pytest.mark.parametrize(
    ("scope", "setting"), [("crm.objects.deals.read", "log_on_deal"), ("crm.objects.companies.write", "log_on_company")]
)
def test_a_scope_for_what_is_asked_for_is_needed(peer, scope, setting):
    """Without the setting it is not."""
    peer.portal.tokens.issue(DEFAULT_TOKEN, ALL - {scope})
    assert FAIL not in {one.level for one in findings(peer)["HS-SCOPES"]}
    assert FAIL in {one.level for one in findings(peer, **{setting: True})["HS-SCOPES"]}


def test_the_scope_for_lists_is_needed_where_a_sequence_names_one(peer):
    """And only there."""
    peer.portal.tokens.issue(DEFAULT_TOKEN, ALL - {"crm.lists.read"})
    assert [one.level for one in findings(peer)["HS-SCOPES"]] == [CheckLevel.OK]
    (peer.folder / "intro.toml").write_text('name = "Intro"\nstatus = "Live"\nlist = 7\n')
    (finding,) = findings(peer)["HS-SCOPES"]
    assert (finding.level, finding.do_next) == (FAIL, "Grant the key crm.lists.read.")


def test_a_list_that_is_not_there_is_named(peer):
    """With the sequence that names it."""
    (peer.folder / "intro.toml").write_text('name = "Intro"\nstatus = "Live"\nlist = 7\n')
    (finding,) = findings(peer)["HS-LISTS"]
    assert (finding.level, "intro: List 7 is not there" in finding.what) == (FAIL, True)


@pytest.mark.parametrize(("ours", "level"), [("", WARN), ("1001", CheckLevel.OK), ("4711", FAIL)])
def test_the_subscription_type_of_our_emails_is_one_of_the_portal_s(peer, ours, level):
    """B22: there is a list to choose from."""
    (finding,) = findings(peer, subscription_type=ours)["HS-PREFERENCES"]
    assert finding.level is level
    assert "One to One" in finding.what + finding.do_next


def test_a_subscription_type_whose_property_cannot_be_read_fails(peer):
    """B26: who opted out of it is not known."""
    del peer.portal.kinds["contacts"].properties["hs_email_optout_1001"]
    (finding,) = findings(peer, subscription_type="1001")["HS-OPTOUT-HIDDEN"]
    assert (finding.level, "hs_email_optout_1001" in finding.what) == (FAIL, True)


def test_a_portal_without_sequences_of_its_own_is_told_how_to_say_so(peer):
    """Not every HubSpot has them."""
    del peer.portal.kinds["contacts"].properties["hs_sequences_is_enrolled"]
    (finding,) = findings(peer)["HS-OWN-SEQUENCES"]
    assert (finding.level, 'on_own_sequence = "ignore"' in finding.do_next) == (WARN, True)
    assert "HS-OWN-SEQUENCES" not in findings(peer, on_own_sequence="ignore")


def test_a_version_that_ends_is_pointed_out(peer):
    """With the day until which HubSpot supports it."""
    (finding,) = findings(peer, versions={"associations": "v4"})["HS-VERSIONS"]
    assert (finding.level, "30 March 2027" in finding.what) == (WARN, True)


@pytest.mark.parametrize(("path", "told"), [("/hooks/hubspot/changes", False), ("/hooks/hubspot", True)])
def test_webhooks_that_are_posted_elsewhere_are_pointed_out(peer, path, told):
    """They would be refused, and the next pull would come no sooner."""
    given = {"webhook_url": f"https://mail.acme.example{path}", "client_secrets": (SecretStr("s"),)}
    assert ("HS-WEBHOOKS" in findings(peer, **given)) is told


def test_a_missing_property_is_named(peer):
    """With its object."""
    del peer.portal.kinds["contacts"].properties["crmdrip_enrolled"]
    (finding,) = findings(peer)["HS-PROPERTIES"]
    assert (finding.level, "contacts.crmdrip_enrolled" in finding.what) == (CheckLevel.FAIL, True)


def test_a_hidden_opt_out_property_fails(peer):
    """B26: without it nobody may be mailed."""
    del peer.portal.kinds["contacts"].properties["hs_email_optout"]
    (finding,) = findings(peer)["HS-OPTOUT-HIDDEN"]
    assert finding.level is CheckLevel.FAIL


def test_a_touch_id_that_is_not_unique_is_told_with_what_it_costs(peer):
    """B21: then it stands in the text, and each write first reads what stands there."""
    properties = peer.portal.kinds["tasks"].properties
    properties["crmdrip_touch_id"] = replace(properties["crmdrip_touch_id"], unique=False)
    levels = [one.level for one in findings(peer)["HS-TOUCH-ID"] if "tasks" in one.what]
    assert levels == [CheckLevel.WARN]


def test_a_control_key_that_is_not_unique_fails(peer):
    """There could be two brakes, and only one of them would be pulled."""
    properties = peer.portal.kinds["contacts"].properties
    properties["crmdrip_key"] = replace(properties["crmdrip_key"], unique=False)
    assert CheckLevel.FAIL in {one.level for one in findings(peer)["HS-CONTROL"]}


def test_a_broken_sequence_is_shown(peer):
    """With its file and the sentence of its problem."""
    (peer.folder / "intro.toml").write_text("name =\n")
    (finding,) = findings(peer)["HS-SEQUENCES"]
    assert (finding.level, "intro.toml cannot be read at line" in finding.what) == (CheckLevel.WARN, True)


def test_a_file_whose_name_makes_no_id_is_not_passed_over_in_silence(peer):
    """Somebody who saves "Warm intro.toml" wonders why it is not in the list."""
    (peer.folder / "Warm intro.toml").write_text('name = "Warm intro"\n')
    (stray, others) = findings(peer)["HS-SEQUENCES"]
    assert (stray.level, "Warm intro.toml" in stray.what) == (CheckLevel.WARN, True)
    assert "warm-intro.toml" in stray.do_next
    assert others.level is CheckLevel.OK


def test_a_misspelled_word_of_a_sequence_is_told_with_the_one_that_was_meant(peer):
    """The words are known."""
    (peer.folder / "intro.toml").write_text('name = "Intro"\nsend_day = ["Mon"]\nmotto = "x"\n')
    (finding,) = findings(peer)["HS-SEQUENCES"]
    assert "send_day is no field of a sequence or step here. Write send_days." in finding.what
    assert "motto is no field of a sequence or step here. Correct the word, or take the line out." in finding.what


def test_a_folder_that_is_not_there_is_one_problem(peer, tmp_path):
    """And neither a scope that is lacking nor a HubSpot that cannot be reached."""
    found = findings(peer, sequences=tmp_path / "none")
    assert {code: one[0].do_next for code, one in found.items() if one[0].level is CheckLevel.FAIL} == {
        "HS-SEQUENCES": "Correct [crm.hubspot] sequences, or make the folder."
    }


def test_custom_objects_that_are_not_there_are_told_with_both_ways_to_have_sequences(peer):
    """Whoever left out `sequences` finds out what that means."""
    found = findings(peer, sequences=None)
    (finding,) = found["HS-SEQUENCES"]
    assert (finding.level, "no custom object crmdrip_step" in finding.what) == (CheckLevel.FAIL, True)
    assert 'sequences = "sequences" under [crm.hubspot]' in finding.do_next
    assert "HS-UNREACHABLE" not in found


def test_what_the_brake_is_found_by_is_named_where_it_is_missing(peer):
    """Before crmdrip install: whoever types plan first is told to install, in no vendor's words."""
    del peer.portal.kinds["contacts"].properties["crmdrip_key"]
    source = HubSpotSource(HubSpotClient(peer.settings(), peer.clock), load_mapping())
    with pytest.raises(ConfigurationError, match=r"no property crmdrip_key with unique values.*crmdrip install"):
        next(iter(source.pull(None)))


def test_few_calls_left_are_a_warning(peer):
    """P5: reporting waits then."""
    peer.portal.meter.limits = replace(peer.portal.tier.value, daily=1_000)
    (finding,) = findings(peer)["HS-LIMITS"]
    assert (finding.level, "calls are left today" in finding.what) == (CheckLevel.WARN, True)


def test_a_clock_that_is_wrong_is_told(peer):
    """B29: by the times in HubSpot's own answers."""

    class AheadClock:
        def now(self):
            return peer.clock.now() + timedelta(minutes=10)

    source = HubSpotSource(HubSpotClient(peer.settings(), AheadClock()), load_mapping())
    (finding,) = [one for one in check_portal(source) if one.code == "HS-CLOCK"]
    assert (finding.level, "600 s ahead of HubSpot's" in finding.what) == (WARN, True)


def test_the_checks_write_nothing(peer):
    """A doctor looks."""
    before = peer.thread.call(lambda: sum(len(table) for table in peer.portal.store.tables.values()))
    findings(peer)
    assert peer.thread.call(lambda: sum(len(table) for table in peer.portal.store.tables.values())) == before


def test_the_connector_is_found_by_its_name():
    """The name in the configuration is all it takes."""
    assert registry.find("hubspot", Role.CRM) is connector
    assert registry.mapping_for("hubspot").object("contact") == "contacts"


def test_hubspot_sends_no_email():
    """Marketing email is another matter, and one-to-one email has no API."""
    with pytest.raises(ConfigurationError, match="does not send email"):
        connector.build_mailer(ConnectorContext(settings=None, mapping=None, clock=SteppedClock()))


def test_the_mapping_names_what_the_stand_in_is_given():
    """Every property of ours in the mapping is one that a portal gets, and the other way round."""
    mapping = load_mapping()
    named = {
        (mapping.object("contact" if word == "control" else word), name)
        for word in ("contact", "control", "email", "task", "note")
        for name in mapping.fields[word].values()
        if name.startswith("crmdrip_")
    }
    assert named == {(kind, name) for kind, names in PROPERTIES.items() for name in names}


def test_an_option_that_is_not_there_is_named(peer):
    """Every status that the daemon writes can be chosen, or the record would show an old one."""
    peer.do("remove_option", "contacts", "crmdrip_status", "Refused")
    (finding,) = findings(peer)["HS-OPTIONS"]
    assert (finding.level, "contacts.crmdrip_status lacks Refused" in finding.what) == (CheckLevel.FAIL, True)
