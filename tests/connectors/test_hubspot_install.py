"""Installing in a HubSpot portal: a bare one becomes what the sandbox's own admin would have made, and no more."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hubspot_peer import HubSpotPeer, SteppedClock, load_mapping

from connectors.hubspot import connector
from connectors.hubspot.install import HubSpotInstaller
from connectors.hubspot.schema import read_schema
from crmdrip.core.errors import AuthError, ConfigurationError, RejectedError, RetriableError
from crmdrip.ports import ChangeKind, Connector, ConnectorContext, OffersInstallation
from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.sandbox.http import Server, ServerThread
from crmdrip.sandbox.hubspot import SCOPES, HubSpotPortal, Tier
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN
from crmdrip.sandbox.hubspot.world import Installed
from crmdrip.sandbox.hubspot.world import install as install_by_hand

TEXT, NUMBER, BOX = ("string", "text"), ("number", "number"), ("bool", "booleancheckbox")
EMAILS_TOO = SCOPES | {"connected-email-data-access"}
"""Of a key that may define properties of emails, which not every portal grants."""


class BarePeer(HubSpotPeer):
    """A portal in which nothing of crmdrip is."""

    def __init__(self, folder, *, tier=Tier.PROFESSIONAL, scopes=EMAILS_TOO) -> None:
        self.objects = tier.has_custom_objects
        self.folder = folder
        self.clock = SteppedClock()
        self.portal = HubSpotPortal(self.clock.now, tier=tier)
        self.portal.meter.limits = None
        self.portal.tokens.issue(DEFAULT_TOKEN, scopes)
        self.paths: list[str] = []
        self.server = Server(self._handle)
        self.thread = ServerThread(self.server)

    def installer(self, **renamed: str) -> HubSpotInstaller:
        """With the shipped mapping, or with an org's own names for words of the contact."""
        mapping = load_mapping()
        fields = {**mapping.fields, "contact": {**mapping.fields["contact"], **renamed}}
        return HubSpotInstaller(self.client(), replace(mapping, fields=fields))

    def have(self, name: str, kind: tuple[str, str], **more: object) -> None:
        """An admin has made a property of contacts."""
        body = {"name": name, "label": name, "type": kind[0], "fieldType": kind[1], **more}
        self.thread.call(lambda: self.portal.add_property("contacts", groupName="contactinformation", **body))

    def found(self, name: str, **renamed: str):
        """What the installer says of a property of contacts."""
        (change,) = (one for one in self.installer(**renamed).preview() if one.what == f"contacts.{name}")
        return change


@pytest.fixture
def bare(tmp_path):
    """A Professional portal."""
    with BarePeer(tmp_path) as peer:
        yield peer


@pytest.fixture
def enterprise(tmp_path):
    """A portal with custom objects."""
    with BarePeer(tmp_path, tier=Tier.ENTERPRISE) as peer:
        yield peer


def made_by_hand(tier: Tier, what: Installed) -> HubSpotPortal:
    """The portal of the sandbox, in which the stand-in's own admin has made everything."""
    portal = HubSpotPortal(SteppedClock().now, tier=tier)
    install_by_hand(portal, what)
    return portal


def schema(portal: HubSpotPortal) -> dict:
    """Everything defined in a portal, but for times and numbers of object types."""
    kinds = {}
    for kind in portal.kinds:
        properties = [each.show() for each in kind.properties.values()]
        for each in properties:
            each.pop("createdAt", None)
            each.pop("updatedAt", None)
        links = sorted(
            other.name for other in portal.kinds if portal.associations.types(kind.name, other.name)
        )  # fmt: skip
        told = (kind.label, kind.plural_label, kind.primary, kind.secondary, kind.required, kind.text)
        kinds[kind.name] = {
            "properties": {each["name"]: each for each in properties},
            "groups": {name: group.label for name, group in kind.groups.items()},
            "told": told,
            "links": links,
        }
    return kinds


def install(installer: HubSpotInstaller) -> list[str]:
    """Everything that is missing; what was made."""
    return [one.what for one in installer.install(installer.preview(), lambda _: None)]


def test_the_connector_offers_it(bare):
    """By the port that crmdrip install asks for."""
    assert isinstance(connector, OffersInstallation)
    known: Connector = connector
    assert known.name == "hubspot"
    context = ConnectorContext(settings=bare.settings(), mapping=load_mapping(), clock=bare.clock)
    assert len(connector.build_installer(context).preview()) > 30


def test_a_bare_portal_becomes_the_sandbox_s(bare):
    """Every property with its group, type, options, help and uniqueness."""
    install(bare.installer())
    assert schema(bare.portal) == schema(made_by_hand(Tier.PROFESSIONAL, Installed.TOML))


def test_a_bare_enterprise_portal_becomes_the_sandbox_s(enterprise):
    """The custom objects for sequences and steps too, associated with each other."""
    install(enterprise.installer())
    assert schema(enterprise.portal) == schema(made_by_hand(Tier.ENTERPRISE, Installed.OBJECTS))


@pytest.mark.parametrize("portal", ["bare", "enterprise"])
def test_a_second_run_finds_nothing_to_do(portal, request):
    """Everything is as it should be."""
    peer = request.getfixturevalue(portal)
    install(peer.installer())
    assert {one.kind for one in peer.installer().preview()} == {ChangeKind.KEEP}
    assert install(peer.installer()) == []


def test_a_preview_makes_nothing(bare):
    """It reads."""
    before = schema(bare.portal)
    assert {one.kind for one in bare.installer().preview()} == {ChangeKind.CREATE}
    assert schema(bare.portal) == before


def test_properties_are_made_a_hundred_a_call(bare):
    """Reading, reading again before making, then for each object its group and one batch."""
    before = bare.calls()
    install(bare.installer())
    assert bare.calls() - before == 4 * 2 + 4 * 2 + 4 * 2


def test_files_take_the_place_of_custom_objects(enterprise):
    """Where the configuration names a folder, a portal that could have objects gets none."""
    installer = HubSpotInstaller(enterprise.client(sequences=str(enterprise.folder)), load_mapping())
    install(installer)
    assert [kind.name for kind in enterprise.portal.kinds if kind.custom] == []


def test_a_portal_without_custom_objects_says_what_to_do_instead(tmp_path):
    """Professional, and no folder named: everything else is made."""
    with BarePeer(tmp_path) as peer:
        peer.objects = True
        objects = [one for one in peer.installer().preview() if one.kind is ChangeKind.UNAVAILABLE]
        assert [one.what for one in objects] == ["object crmdrip_sequence", "object crmdrip_step"]
        assert 'sequences = "sequences"' in objects[0].detail
        assert "contacts.crmdrip_enrolled" in install(peer.installer())


def test_a_key_without_emails_properties_gets_the_others(tmp_path):
    """The scope that HubSpot asks for cannot be picked; the text of emails takes the property's place."""
    with BarePeer(tmp_path, scopes=SCOPES) as peer:
        (emails,) = (one for one in peer.installer().preview() if one.kind is ChangeKind.UNAVAILABLE)
        assert emails.what == "emails"
        assert "connected-email-data-access" in emails.detail
        assert "last line" in emails.detail
        made = install(peer.installer())
        assert not [what for what in made if what.startswith("emails")]
        assert "tasks.crmdrip_touch_id" in made


def test_a_key_that_may_not_read_contacts_properties_is_told_the_scope(tmp_path):
    """Nothing can be said about the portal without it."""
    refused = pytest.raises(ConfigurationError, match=r"crm\.schemas\.contacts\.read")
    with BarePeer(tmp_path, scopes=SCOPES - {"crm.schemas.contacts.read"}) as peer, refused:
        peer.installer().preview()


def test_a_key_that_may_not_make_them_is_told_the_scope(tmp_path):
    """The preview needs only to read."""
    with BarePeer(tmp_path, scopes=SCOPES - {"crm.schemas.contacts.write"}) as peer:
        changes = peer.installer().preview()
        with pytest.raises(ConfigurationError, match=r"crm\.schemas\.contacts\.write"):
            peer.installer().install(changes, lambda _: None)


def test_a_revoked_key_is_told_as_one(bare):
    """And not as a missing scope."""
    bare.thread.call(lambda: bare.portal.tokens.revoke(DEFAULT_TOKEN))
    with pytest.raises(AuthError):
        bare.installer().preview()


def test_a_portal_that_is_down_is_tried_later(bare):
    """After the client's own attempts."""
    bare.portal.faults.add(Fault(kind=FaultKind.ANSWER, path="/properties", status=503, times=None))
    with pytest.raises(RetriableError):
        bare.installer().preview()


def test_what_a_cut_connection_made_stands(bare):
    """The answer is lost; the next run makes the rest."""
    bare.portal.faults.add(Fault(kind=FaultKind.CUT_AFTER, path="/contacts/batch/create$"))
    with pytest.raises(RetriableError):
        install(bare.installer())
    again = install(bare.installer())
    assert not [what for what in again if what.startswith("contacts")]
    assert schema(bare.portal) == schema(made_by_hand(Tier.PROFESSIONAL, Installed.TOML))


def test_an_org_s_own_name_is_made_under_that_name(bare):
    """The mapping says what it is called."""
    assert "contacts.acme_state" in install(bare.installer(status="acme_state"))
    assert bare.portal.kinds["contacts"].property("crmdrip_status") is None


def test_an_org_s_own_property_is_kept(bare):
    """Of the right type, in whatever group."""
    bare.have("acme_box", BOX)
    assert bare.found("acme_box", enrolled="acme_box").kind is ChangeKind.KEEP


def test_what_the_mapping_switches_off_is_not_made(bare):
    """An optional word."""
    assert not [what for what in install(bare.installer(replied_at="")) if "replied_at" in what]


def test_a_property_of_another_type_is_left_to_a_person(bare):
    """Its type is not changed, and everything else is made."""
    bare.have("crmdrip_enrolled", TEXT)
    found = bare.found("crmdrip_enrolled")
    assert (found.kind, found.detail) == (
        ChangeKind.CONFLICT,
        "is of type string and must be bool. Name another property in the mapping: [contact] enrolled.",
    )
    assert "contacts.crmdrip_enrolled" not in install(bare.installer())
    assert bare.portal.kinds["contacts"].properties["crmdrip_enrolled"].type == "string"


def test_a_status_as_plain_text_serves_as_well(bare):
    """A portal in which somebody made it so."""
    bare.have("crmdrip_status", TEXT)
    assert bare.found("crmdrip_status").kind is ChangeKind.KEEP


def test_a_status_that_lacks_values_gets_them(bare):
    """Behind those it has, which stay with their labels."""
    options = [{"label": "In Betrieb", "value": "Active", "displayOrder": 5}, {"label": "Mine", "value": "Mine"}]
    bare.have("crmdrip_status", ("enumeration", "select"), options=options)
    found = bare.found("crmdrip_status")
    assert (found.kind, found.detail) == (
        ChangeKind.UPDATE,
        "gets the values Queued, Held, Paused, Finished, Stopped, Refused",
    )
    install(bare.installer())
    after = bare.portal.kinds["contacts"].properties["crmdrip_status"].options
    assert [(one.label, one.value) for one in after[:2]] == [("In Betrieb", "Active"), ("Mine", "Mine")]
    assert [one.value for one in after[2:]] == ["Queued", "Held", "Paused", "Finished", "Stopped", "Refused"]


def test_a_key_that_is_not_unique_is_left_to_a_person(bare):
    """Uniqueness is chosen when a property is made and never after."""
    bare.have("crmdrip_key", TEXT)
    assert bare.found("crmdrip_key").kind is ChangeKind.CONFLICT


def test_hubspot_s_own_property_takes_no_values_of_ours(bare):
    """A mapping that names one for what crmdrip writes."""
    found = bare.found("hs_email_last_reply_date", replied_at="hs_email_last_reply_date")
    assert found.kind is ChangeKind.CONFLICT
    assert "takes no values from others" in found.detail


def test_hubspot_s_own_choice_gets_no_values_of_ours(bare):
    """Its values cannot be changed, and the daemon's would be refused."""
    found = bare.found("hs_lead_status", status="hs_lead_status")
    assert found.kind is ChangeKind.CONFLICT
    assert found.detail.startswith("lacks Queued, Active, Held, Paused, Finished, Stopped, Refused, and its values are")


def test_a_name_that_is_hubspot_s_to_give_is_not_tried(bare):
    """A slip in the mapping."""
    assert bare.found("hs_mine", step="hs_mine").kind is ChangeKind.CONFLICT


def test_hubspot_s_refusal_of_one_is_told_and_the_others_are_made(bare):
    """Eleven properties with unique values are one too many."""
    for number in range(10):
        bare.have(f"key_{number}", TEXT, hasUniqueValue=True)
    with pytest.raises(RejectedError, match=r"contacts\.crmdrip_key: Contacts have 10 properties with unique values"):
        install(bare.installer())
    assert bare.portal.kinds["contacts"].property("crmdrip_enrolled") is not None
    assert bare.portal.kinds["tasks"].property("crmdrip_touch_id") is not None


def test_what_somebody_made_since_the_preview_is_not_made_again(bare):
    """Between the question and the yes."""
    changes = bare.installer().preview()
    bare.have("crmdrip_run", NUMBER)
    made = bare.installer().install(changes, lambda _: None)
    assert "contacts.crmdrip_run" not in [one.what for one in made]


def test_what_was_not_shown_is_not_made(bare):
    """A person said yes to what they saw."""
    changes = [one for one in bare.installer().preview() if one.what == "contacts.crmdrip_run"]
    bare.do("add_group", "contacts", "crmdrip", "crmdrip")
    assert [one.what for one in bare.installer().install(changes, lambda _: None)] == ["contacts.crmdrip_run"]


def test_a_missing_property_of_an_object_is_added(enterprise):
    """An object that was installed by an older version."""
    install(enterprise.installer())
    properties = enterprise.portal.kinds["crmdrip_step"].properties
    enterprise.thread.call(lambda: properties.pop("variant"))
    assert install(enterprise.installer()) == ["crmdrip_step.variant"]
    assert schema(enterprise.portal) == schema(made_by_hand(Tier.ENTERPRISE, Installed.OBJECTS))


def test_a_second_run_associates_what_the_first_could_not(enterprise):
    """The sequence's object was made, the step's was refused."""
    enterprise.portal.faults.add(
        Fault(kind=FaultKind.ANSWER, path="/schemas$", method="POST", status=400, body="{}", after=1)
    )
    with pytest.raises(RejectedError):
        install(enterprise.installer())
    install(enterprise.installer())
    assert schema(enterprise.portal) == schema(made_by_hand(Tier.ENTERPRISE, Installed.OBJECTS))


def test_a_check_reads_alone(bare):
    """HubSpot validates nothing beforehand."""
    before = schema(bare.portal)
    bare.installer().check(lambda _: None)
    assert schema(bare.portal) == before


def test_a_check_finds_conflicts(bare):
    """As an error, with what to do."""
    bare.have("crmdrip_enrolled", TEXT)
    with pytest.raises(RejectedError, match="Name another property"):
        bare.installer().check(lambda _: None)


def test_a_package_installs_the_same(bare, tmp_path):
    """Posted by whoever has the right, it makes the sandbox's portal."""
    from crmdrip.sandbox.http import Request

    commands = bare.installer().write_package(tmp_path / "out")
    for command in commands:
        url, file = command.split()[3], command.rpartition("@")[2]
        headers = {"authorization": f"Bearer {DEFAULT_TOKEN}", "content-type": "application/json"}
        path = url.removeprefix("https://api.hubapi.com")
        body = (tmp_path / "out" / file.rpartition("/")[2]).read_bytes()
        request = Request(method="POST", path=path, raw_query="", headers=headers, body=body)
        answer = bare.thread.call(lambda: bare.portal.handle(request))  # noqa: B023
        assert answer.status == 201, orjson.loads(answer.body)
    assert schema(bare.portal) == schema(made_by_hand(Tier.PROFESSIONAL, Installed.TOML))


def test_every_word_of_the_mapping_that_is_ours_is_installed():
    """What it calls crmdrip_..., and every field of sequences and steps but one that HubSpot has no use for."""
    mapping = load_mapping()
    schema = read_schema(mapping)
    ours = {
        name
        for table in ("contact", "control", "email", "task", "note")
        for name in mapping.fields[table].values()
        if name.startswith("crmdrip_")
    }
    assert {spec.name for specs in schema.properties.values() for spec in specs} == ours
    for word, spec in zip(("sequence", "step"), schema.objects, strict=True):
        assert {each.name for each in spec.properties} == set(mapping.fields[word].values()) - {"on_conversion"}
