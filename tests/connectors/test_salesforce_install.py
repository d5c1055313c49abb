"""crmdrip install salesforce against an org in which nothing is installed, over HTTP."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import pytest
from pydantic import SecretStr
from salesforce_peer import SalesforcePeer, load_mapping

from connectors.salesforce.blueprint import load_package
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.deploying import Complaint, Mode, deploy, read_complaints
from connectors.salesforce.install import SalesforceInstaller
from connectors.salesforce.org import Org
from connectors.salesforce.settings import Auth, ClientCredentials, ExistingSession
from crmdrip.core.errors import ConfigurationError, RejectedError
from crmdrip.ports import ChangeKind
from crmdrip.sandbox.salesforce.trouble import TROUBLES

ADMIN_KEY, ADMIN_SECRET = "admin-key", "admin-secret"


@pytest.fixture
def bare():
    """An org on its first day, with an app that an admin can use."""
    with SalesforcePeer(bare=True) as peer:
        peer.org.register_app(ADMIN_KEY, ADMIN_SECRET, run_as=peer.org.admin_id)
        yield peer


def settings_of(peer, **changes):
    """Settings with the admin for installations."""
    admin = Auth(client_credentials=ClientCredentials(consumer_key=ADMIN_KEY, consumer_secret=ADMIN_SECRET))
    return peer.settings().model_copy(update={"install_auth": admin, **changes})


def installer_of(peer, mapping=None, **changes):
    """The installer as the command builds it, that waits for nothing."""
    return SalesforceInstaller(
        settings_of(peer, **changes), mapping or load_mapping(), peer.clock, sleep=lambda _: None
    )


def renamed(**fields):
    """The mapping with an org's own names for words of contacts."""
    mapping = load_mapping()
    return replace(mapping, fields={**mapping.fields, "contact": {**mapping.fields["contact"], **fields}})


def kinds(changes):
    """How many changes of each kind."""
    found = {}
    for change in changes:
        found[change.kind] = found.get(change.kind, 0) + 1
    return found


def by_name(changes):
    """Changes by what they are about."""
    return {change.what: change for change in changes}


@pytest.fixture
def ready(bare):
    """The org after an installation."""
    installer = installer_of(bare)
    installer.install(installer.preview(), lambda _: None)
    return bare


def test_a_preview_of_an_empty_org_creates_everything_and_changes_nothing(bare):
    """Two permission set assignments included."""
    assert set(kinds(installer_of(bare).preview())) == {ChangeKind.CREATE}
    assert "Drip_Sequence__c" not in bare.org.schema


def test_the_daemons_user_sees_everything_it_needs_after_an_installation(ready):
    """Every object and field of the mapping, through the permission set alone."""
    org = Org(SalesforceClient(ready.settings(), ready.clock), load_mapping())
    assert org.ready().has("control")


def test_an_admins_session_installs_and_is_given_its_permission_set(bare):
    """The way the guide goes: a session that the sf command has opened tells nothing of its user."""
    token = bare.thread.call(lambda: bare.org.sessions.open(bare.org.admin_id))
    session = ExistingSession(session_id=SecretStr(token), instance_url="https://acme.my.salesforce.com")
    installer = installer_of(bare, install_auth=Auth(session=session))
    made = installer.install(installer.preview(), lambda _: None)
    assert "permission set assignment of Drip Sequence Editor to you, who install it" in by_name(made)
    assert set(kinds(installer.preview())) == {ChangeKind.KEEP}


def test_running_it_again_has_nothing_to_do(ready):
    """Whatever a describe does not show is known by the package's mark."""
    assert set(kinds(installer_of(ready).preview())) == {ChangeKind.KEEP}


def test_everything_that_was_shown_is_told_as_made(bare):
    """And each step of the deployment was told meanwhile."""
    installer, told = installer_of(bare), []
    changes = installer.preview()
    made = installer.install(changes, told.append)
    assert list(made) == [change for change in changes if change.kind is ChangeKind.CREATE]
    assert any(line.startswith("Succeeded") for line in told)


def test_a_question_without_an_answer_is_asked_again(bare):
    """The deployment goes on in the org meanwhile."""
    fault = replace(TROUBLES["unavailable"], path="/services/data/v64.0/metadata/deployRequest/", times=3)
    installer = installer_of(bare)
    changes = installer.preview()
    bare.thread.call(lambda: bare.org.faults.add(fault))
    assert installer.install(changes, lambda _: None)
    assert "Drip_Sequence__c" in bare.org.schema


def test_a_package_that_came_by_other_means_is_brought_up_to_date():
    """Its fields are there; what no describe shows is deployed again, which changes nothing that is the same."""
    with SalesforcePeer() as peer:
        peer.org.register_app(ADMIN_KEY, ADMIN_SECRET, run_as=peer.org.admin_id)
        installer = installer_of(peer)
        changes = by_name(installer.preview())
        assert changes["Contact.Drip_Status__c"].kind is ChangeKind.KEEP
        assert changes["list view Contact.Drip_Held"].kind is ChangeKind.UPDATE
        installer.install(list(changes.values()), lambda _: None)
        assert set(kinds(installer.preview())) == {ChangeKind.KEEP}


def test_a_check_changes_nothing(bare):
    """The org validates the whole and makes none of it."""
    installer_of(bare).check(lambda _: None)
    assert "Drip_Sequence__c" not in bare.org.schema


def test_somebody_who_may_not_change_the_org_is_told_what_to_do(bare):
    """The integration user has no such permission, and should have none."""
    installer = installer_of(bare, install_auth=None)
    with pytest.raises(ConfigurationError) as caught:
        installer.install(installer.preview(), lambda _: None)
    assert "install_auth" in caught.value.do_next


def test_another_org_than_the_configured_one_gets_nothing(bare):
    """B25: a preview already refuses."""
    with pytest.raises(ConfigurationError, match="only 00D000000000009 is meant"):
        installer_of(bare, org_id="00D000000000009").preview()


def test_a_field_of_another_type_is_a_conflict_and_is_left_as_it_is(bare):
    """The rest is installed all the same."""
    bare.do("add_field", "Contact", "Drip_Reason__c", "picklist 255")
    installer = installer_of(bare)
    changes = installer.preview()
    assert by_name(changes)["Contact.Drip_Reason__c"].kind is ChangeKind.CONFLICT
    # A formula of the package begins with that field, and the vendor takes no picklist there.
    with pytest.raises(RejectedError, match="Drip_Reason__c is a picklist field"):
        installer.install(changes, lambda _: None)
    assert bare.org.schema["Contact"].fields["Drip_Reason__c"].type == "picklist"


def test_a_longer_field_stays_as_long(ready):
    """An update takes nothing away."""
    schema = ready.org.schema
    for name, length in (("Drip_Step__c", 200), ("Drip_Reason__c", 100)):
        schema.with_field("Contact", replace(schema["Contact"].fields[name], length=length))
    installer = installer_of(ready)
    changes = installer.preview()
    assert by_name(changes)["Contact.Drip_Reason__c"].detail == "length 100 becomes 255"
    installer.install(changes, lambda _: None)
    assert schema["Contact"].fields["Drip_Reason__c"].length == 255
    assert schema["Contact"].fields["Drip_Step__c"].length == 200


def test_values_that_an_admin_added_to_a_picklist_stay(ready):
    """And a value that is missing comes back."""
    schema = ready.org.schema
    field = schema["Drip_Sequence__c"].fields["Drip_Status__c"]
    schema.with_field("Drip_Sequence__c", replace(field, values=("Draft", "Live", "Paused", "Under Review")))
    installer = installer_of(ready)
    changes = installer.preview()
    assert by_name(changes)["Drip_Sequence__c.Drip_Status__c"].detail == "values Retired"
    installer.install(changes, lambda _: None)
    found = schema["Drip_Sequence__c"].fields["Drip_Status__c"].values
    assert set(found) == {"Draft", "Live", "Paused", "Retired", "Under Review"}


def test_an_orgs_own_field_is_not_installed_a_second_time(bare):
    """What shows or checks the package's field is left out with its reason; the rest is valid without it."""
    bare.do("add_field", "Contact", "Cadence__c", "boolean")
    installer = installer_of(bare, renamed(enrolled="Cadence__c"))
    changes = installer.preview()
    named = by_name(changes)
    assert named["Contact.Cadence__c"].kind is ChangeKind.KEEP
    assert "Contact.Drip_Enrolled__c" not in named
    assert named["list view Contact.Drip_Enrolled"].kind is ChangeKind.UNAVAILABLE
    installer.install(changes, lambda _: None)
    assert "Drip_Enrolled__c" not in bare.org.schema["Contact"].fields
    assert "Drip_Enrolled__c" in bare.org.schema["Lead"].fields


def test_an_orgs_own_object_stands_for_the_packages(bare):
    """Lookups point at it, steps are its details, and permission sets grant it."""
    own = replace(bare.org.schema["Opportunity"], name="Cadence__c", label="Cadence", prefix="a99")
    bare.org.schema.put(own)
    bare.org.store.add_object(own)
    mapping = load_mapping()
    words = dict.fromkeys(mapping.fields["sequence"], "") | {"name": "Name", "status": "StageName"}
    mapping = replace(
        mapping,
        objects={**mapping.objects, "sequence": "Cadence__c"},
        fields={**mapping.fields, "sequence": words},
    )
    installer = installer_of(bare, mapping)
    installer.install(installer.preview(), lambda _: None)
    schema = bare.org.schema
    assert "Drip_Sequence__c" not in schema
    assert schema["Contact"].fields["Drip_Sequence__c"].reference_to == ("Cadence__c",)
    assert schema["Drip_Step__c"].fields["Drip_Sequence__c"].reference_to == ("Cadence__c",)
    assert schema["Task"].fields["Drip_Sequence__c"].type == "string"
    assert "Cadence__c" in bare.org.access.sets["Drip_Integration"].objects


def test_a_mapped_field_that_is_not_there_is_a_conflict(bare):
    """Somebody mistyped it, or it is hidden."""
    changes = installer_of(bare, renamed(enrolled="Cadence__c")).preview()
    assert by_name(changes)["Contact.Cadence__c"].kind is ChangeKind.CONFLICT


def test_an_org_without_room_for_the_fields_is_told_before_anything_is_made(bare):
    """Professional Edition allows 100 per object."""
    bare.org.store.db.execute('UPDATE "Organization" SET "OrganizationType" = ?', ("Professional Edition",))
    for number in range(95):
        bare.do("add_field", "Contact", f"Own_{number}__c", "string 10")
    with pytest.raises(ConfigurationError, match="Contact has 95 custom fields"):
        installer_of(bare).preview()


def test_a_permission_set_that_cannot_be_assigned_is_told_with_what_to_click(bare):
    """The deployment stands."""
    told = []
    installer = installer_of(bare)
    bare.do("add_validation_rule", "PermissionSetAssignment", lambda _: True, "The licence does not allow it")
    made = installer.install(installer.preview(), told.append)
    assert not any(change.what.startswith("permission set assignment") for change in made)
    assert any("Manage Assignments" in line for line in told)


def test_reports_that_an_org_refuses_leave_the_rest_installed(bare):
    """They come in a deployment of their own, and the next preview still lists them."""
    fault = dict.fromkeys(["Drip_Contacts"])
    original = load_package().components
    broken = [replace(one, files={path: text.replace(b"<baseObject>Contact", b"<baseObject>Nope__c") for path, text
                                  in one.files.items()}) if one.name in fault else one for one in original]  # fmt: skip
    installer = installer_of(bare)
    installer._tailored = replace(installer._tailor(), package=installer._tailor().package.keep(broken))
    with pytest.raises(RejectedError, match="no CustomObject named Nope__c found"):
        installer.install(installer.preview(), lambda _: None)
    assert "Drip_Sequence__c" in bare.org.schema
    assert by_name(installer_of(bare).preview())["report type Drip_Contacts"].kind is ChangeKind.UPDATE


def test_the_package_is_written_with_the_commands(bare, tmp_path):
    """The ready archive, the source tree, and nobody is called."""
    before = bare.calls()
    commands = installer_of(bare).write_package(tmp_path / "out")
    assert bare.calls() == before
    with zipfile.ZipFile(tmp_path / "out" / "crmdrip.zip") as archive:
        assert "package.xml" in archive.namelist()
    assert (tmp_path / "out" / "source" / "sfdx-project.json").is_file()
    assert [" ".join(command.split()[:3]) for command in commands] == [
        "sf project deploy",
        "sf project deploy",
        "sf org assign",
    ]


def test_every_complaint_is_told_with_its_place_and_nothing_was_changed(bare):
    """Two files are wrong; both are named."""
    files = {
        "package.xml": b'<Package xmlns="http://soap.sforce.com/2006/04/metadata"><types><members>Nope__c</members>'
        b"<name>CustomTab</name></types><types><members>Contact.Drip_X__c</members><name>CustomField</name></types>"
        b"<version>64.0</version></Package>",
        "tabs/Nope__c.tab": b'<CustomTab xmlns="http://soap.sforce.com/2006/04/metadata">\n<customObject>true'
        b"</customObject>\n<motif>Custom53: Bell</motif></CustomTab>",
        "objects/Contact.object": b'<CustomObject xmlns="http://soap.sforce.com/2006/04/metadata">\n<fields>\n<fullName>'
        b"Drip_X__c</fullName><label>X</label><type>Number</type><precision>3</precision></fields></CustomObject>",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    client = SalesforceClient(settings_of(bare, auth=settings_of(bare).install_auth), bare.clock)
    with pytest.raises(RejectedError) as caught:
        deploy(client, buffer.getvalue(), Mode.INSTALL, lambda _: None, lambda _: None)
    assert "refused 2 parts" in caught.value.what
    assert "objects/Contact.object:2): Must specify 'scale' for a CustomField of type Number." in caught.value.what
    assert "tabs/Nope__c.tab:1): In field: customObject - no CustomObject named Nope__c found." in caught.value.what


def test_a_single_failure_may_come_as_an_object():
    """As answers made from XML have it; warnings are no complaints."""
    one = {"componentType": "Layout", "fullName": "A", "fileName": "f", "problem": "Nope.", "problemType": "Error"}
    warning = {**one, "problemType": "Warning"}
    expected = [Complaint(component="Layout A", file="f", line=0, problem="Nope.")]
    assert read_complaints({"details": {"componentFailures": one}}) == expected
    assert read_complaints({"details": {"componentFailures": [one, warning]}}) == expected
