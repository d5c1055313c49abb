"""The stand-in's Metadata API: what it takes becomes the org's schema, and what a real org refuses it refuses."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import orjson
import pytest
from salesforce_api import Answer, Api

from crmdrip.sandbox.http import Request

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
BOUNDARY = "part"
OPTIONS = {"singlePackage": True, "rollbackOnError": True}


def xml(kind: str, body: str) -> str:
    """A document of the Metadata API; its body begins on line 2."""
    return f'<?xml version="1.0" encoding="UTF-8"?><{kind} xmlns="{NAMESPACE}">\n{body}</{kind}>'


def field(name: str = "Own__c", kind: str = "Text", more: str = "<length>80</length>") -> str:
    """A field inside an object's file."""
    return f"<fields><fullName>{name}</fullName><label>Own</label><type>{kind}</type>{more}</fields>"


OBJECT = (
    "<deploymentStatus>Deployed</deploymentStatus><label>Thing</label><pluralLabel>Things</pluralLabel>"
    "<nameField><label>Name</label><type>Text</type></nameField><sharingModel>ReadWrite</sharingModel>"
)
DETAIL = (
    "<deploymentStatus>Deployed</deploymentStatus><label>Part</label><pluralLabel>Parts</pluralLabel>"
    "<nameField><label>Name</label><type>Text</type></nameField><sharingModel>ControlledByParent</sharingModel>"
)
MASTER = field(
    "Thing__c",
    "MasterDetail",
    "<referenceTo>Thing__c</referenceTo><relationshipName>Parts</relationshipName><relationshipLabel>P</relationshipLabel>",
)


class Deployer:
    """An admin with an archive."""

    def __init__(self, **options: Any) -> None:
        self.api = Api(bare=True, **options)
        self.org = self.api.org
        self.token = self.org.sessions.open(self.org.admin_id)

    def send(self, files: dict[str, str], members: dict[str, list[str]], **options: Any) -> Answer:
        """The request as it is answered first."""
        types = "".join(
            f"<types>{''.join(f'<members>{each}</members>' for each in names)}<name>{kind}</name></types>"
            for kind, names in members.items()
        )
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("package.xml", xml("Package", f"{types}<version>64.0</version>"))
            for path, text in files.items():
                archive.writestr(path, text)
        return self.post(buffer.getvalue(), {**OPTIONS, **options})

    def post(self, content: bytes, options: dict[str, Any]) -> Answer:
        """Any bytes as the archive."""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="json"\r\nContent-Type: application/json\r\n\r\n'
        middle = f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="p.zip"\r\n\r\n'
        body = head.encode() + orjson.dumps({"deployOptions": options}) + middle.encode() + content
        request = Request(
            method="POST",
            path="/services/data/v64.0/metadata/deployRequest",
            raw_query="",
            headers={
                "authorization": f"Bearer {self.token}",
                "content-type": f"multipart/form-data; boundary={BOUNDARY}",
            },
            body=body + f"\r\n--{BOUNDARY}--\r\n".encode(),
        )
        return Answer(self.org.handle(request))

    def deploy(self, files: dict[str, str], members: dict[str, list[str]], **options: Any) -> dict[str, Any]:
        """The result once it is done."""
        answer = self.send(files, members, **options)
        assert answer.status == 201, answer.json
        while True:
            result = self.look(answer.json["id"]).json["deployResult"]
            if result["done"]:
                return result

    def look(self, deployment_id: str) -> Answer:
        """How far it is."""
        path = f"/services/data/v64.0/metadata/deployRequest/{deployment_id}"
        headers = {"authorization": f"Bearer {self.token}"}
        return self.api.raw("GET", path, query="includeDetails=true", headers=headers)

    def problems(self, files: dict[str, str], members: dict[str, list[str]]) -> list[str]:
        """What a deployment that must fail complains about."""
        result = self.deploy(files, members)
        assert result["status"] == "Failed"
        return [each["problem"] for each in result["details"]["componentFailures"]]

    def contact(self, fields: str, *names: str) -> list[str]:
        """The complaints about fields of Contact."""
        members = {"CustomField": [f"Contact.{name}" for name in names or ("Own__c",)]}
        return self.problems({"objects/Contact.object": xml("CustomObject", fields)}, members)

    def thing(self) -> None:
        """An object with a detail."""
        result = self.deploy(
            {
                "objects/Thing__c.object": xml("CustomObject", OBJECT + field("Stage__c", "Date", "")),
                "objects/Part__c.object": xml("CustomObject", DETAIL + MASTER),
            },
            {"CustomObject": ["Thing__c", "Part__c"]},
        )
        assert result["success"], result["details"]["componentFailures"]


@pytest.fixture
def deployer() -> Deployer:
    """An org in which nothing is installed."""
    return Deployer()


def test_objects_and_fields_become_the_orgs_schema(deployer: Deployer) -> None:
    """With the vendor's names for types, and a key prefix of its own."""
    deployer.thing()
    thing, part = deployer.org.schema["Thing__c"], deployer.org.schema["Part__c"]
    assert thing.fields["Stage__c"].type == "date"
    assert part.fields["Thing__c"].master_detail
    assert part.field("OwnerId") is None
    assert thing.prefix != part.prefix
    record = deployer.org.insert("Thing__c", {"Name": "T", "Stage__c": "2026-01-01"})
    assert deployer.org.select("SELECT Name, Stage__c FROM Thing__c") == [
        {"attributes": {"type": "Thing__c", "url": f"/services/data/v64.0/sobjects/Thing__c/{record}"}}
        | {"Name": "T", "Stage__c": "2026-01-01"}
    ]


def test_a_deployment_is_pending_then_in_progress_then_done(deployer: Deployer) -> None:
    """As one asks again, with the counts of components."""
    answer = deployer.send(
        {"objects/Contact.object": xml("CustomObject", field())}, {"CustomField": ["Contact.Own__c"]}
    )
    assert answer.json["deployResult"]["status"] == "Pending"
    stages = [deployer.look(answer.json["id"]).json["deployResult"] for _ in range(2)]
    assert [each["status"] for each in stages] == ["InProgress", "Succeeded"]
    assert stages[1]["numberComponentsDeployed"] == stages[1]["numberComponentsTotal"] == 1
    assert stages[1]["details"]["componentSuccesses"][0]["created"] is True


def test_the_same_again_is_neither_created_nor_changed(deployer: Deployer) -> None:
    """And a changed label is a change."""
    files = {"objects/Contact.object": xml("CustomObject", field())}
    members = {"CustomField": ["Contact.Own__c"]}
    deployer.deploy(files, members)
    (again,) = deployer.deploy(files, members)["details"]["componentSuccesses"]
    assert (again["created"], again["changed"]) == (False, False)
    files = {path: text.replace("<label>Own", "<label>Other") for path, text in files.items()}
    (changed,) = deployer.deploy(files, members)["details"]["componentSuccesses"]
    assert (changed["created"], changed["changed"]) == (False, True)


def test_a_check_makes_nothing(deployer: Deployer) -> None:
    """checkOnly: it is said what would be made."""
    files = {"objects/Contact.object": xml("CustomObject", field())}
    assert deployer.deploy(files, {"CustomField": ["Contact.Own__c"]}, checkOnly=True)["success"]
    assert deployer.org.schema["Contact"].field("Own__c") is None


def test_one_failure_rolls_everything_back(deployer: Deployer) -> None:
    """Two fields, one of them impossible."""
    fields = field("Good__c") + field("Bad__c", "Number", "")
    assert len(deployer.contact(fields, "Good__c", "Bad__c")) == 2
    assert deployer.org.schema["Contact"].field("Good__c") is None


def test_the_integration_user_may_not_deploy(deployer: Deployer) -> None:
    """In the vendor's own words."""
    deployer.token = deployer.api.token
    answer = deployer.send({}, {})
    assert (answer.status, answer.code) == (403, "INSUFFICIENT_ACCESS")
    assert "ModifyAllData or ModifyMetadata" in answer.message


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (field(more="<length>80</length><colour>red</colour>"), "Element {%s}colour invalid at this location in type"),
        (field("Own", more="<length>80</length>"), "The name 'Own' is not valid"),
        (field(more=""), "Must specify 'length' for a CustomField of type Text"),
        (field(more="<length>300</length>"), "Invalid value for length: 300"),
        (field(more="<length>ten</length>"), "'ten' is not a valid value for the type xsd:int"),
        (
            field(kind="Number", more="<precision>3</precision>"),
            "Must specify 'scale' for a CustomField of type Number",
        ),
        (field(kind="Checkbox", more=""), "Must specify 'defaultValue' for a CustomField of type Checkbox"),
        (field(kind="Date", more="<unique>true</unique>"), "Can not specify 'unique' for a CustomField of type Date"),
        (field(kind="Rainbow"), "'Rainbow' is not a valid value for the enum 'FieldType'"),
        (
            field(more=f"<length>80</length><inlineHelpText>{'x' * 511}</inlineHelpText>"),
            "Value too long for field: inlineHelpText maximum length is:510",
        ),
        (field() + field(), "Duplicate name 'Own__c' specified"),
        (
            field(kind="Lookup", more="<referenceTo>Nope__c</referenceTo><relationshipName>N</relationshipName>"),
            "referenceTo value of 'Nope__c' does not resolve to a valid sObject type",
        ),
        (
            field(kind="MasterDetail", more="<referenceTo>Account</referenceTo><relationshipName>N</relationshipName>"),
            "A MasterDetail relationship cannot be made on Contact",
        ),
        (
            field(kind="Lookup", more="<referenceTo>Account</referenceTo><relationshipName>N</relationshipName>")
            + field("Two__c", "Lookup", "<referenceTo>Account</referenceTo><relationshipName>N</relationshipName>"),
            "There is already a Child Relationship named N on Account.",
        ),
        (field(kind="Text", more="<formula>Nope__c</formula>"), "Field Nope__c does not exist. Check spelling."),
        (
            field(kind="Text", more="<formula>IF(LeadSource = &quot;a&quot;, &quot;b&quot;, &quot;c&quot;)</formula>"),
            "Field LeadSource is a picklist field.",
        ),
        (field(kind="Text", more="<formula>IF(TRUE, 1</formula>"), "Syntax error. Missing ')'"),
    ],
)
def test_fields_that_no_org_takes_are_refused(deployer: Deployer, fields: str, problem: str) -> None:
    """Each with its reason."""
    wanted = problem % NAMESPACE if "%s" in problem else problem
    names = dict.fromkeys(re.findall("<fullName>(.*?)</fullName>", fields))
    found = deployer.contact(fields, *names)
    assert any(wanted in each for each in found), found


def test_a_complaint_names_file_line_and_component(deployer: Deployer) -> None:
    """As the vendor's componentFailures do."""
    result = deployer.deploy(
        {"objects/Contact.object": xml("CustomObject", "\n" + field(more=""))}, {"CustomField": ["Contact.Own__c"]}
    )
    (one,) = result["details"]["componentFailures"]
    assert (one["componentType"], one["fullName"], one["fileName"], one["lineNumber"]) == (
        "CustomField",
        "Contact.Own__c",
        "objects/Contact.object",
        3,
    )
    assert (one["problemType"], one["success"]) == ("Error", False)


def test_a_type_cannot_be_changed(deployer: Deployer) -> None:
    """The field stands as it was."""
    deployer.org.add_field("Contact", "Own__c", "date")
    assert deployer.contact(field()) == ["Cannot change the type of Contact.Own__c from date to string"]


def test_an_object_holds_so_many_fields(deployer: Deployer) -> None:
    """500 custom ones in Enterprise Edition."""
    names = [f"F{number}__c" for number in range(501)]
    found = deployer.contact("".join(field(name) for name in names), *names)
    assert found == ["You have reached the maximum number of 500 custom fields on this object."]


@pytest.mark.parametrize(
    ("files", "members", "problem"),
    [
        ({}, {"CustomTab": ["A"]}, "An object 'A' of type CustomTab was named in package.xml, but was not found"),
        ({"objects/Contact.object": xml("CustomObject", field())}, {"CustomTab": []}, ""),
        ({"mystery/A.thing": "x"}, {}, "Unknown metadata"),
        ({"tabs/A.tab": "<nope"}, {"CustomTab": ["A"]}, "Error parsing file"),
        ({"tabs/A.tab": "<!DOCTYPE a><CustomTab/>"}, {"CustomTab": ["A"]}, "DOCTYPE is not allowed"),
        (
            {"tabs/A.tab": xml("CustomTab", "<customObject>true</customObject><motif>m</motif>")},
            {"CustomTab": ["A"]},
            "In field: customObject - no CustomObject named A found",
        ),
        (
            {"objects/A__c.object": xml("CustomObject", OBJECT.replace("ReadWrite", "ControlledByParent"))},
            {"CustomObject": ["A__c"]},
            "Cannot set sharingModel to ControlledByParent on a CustomObject without a MasterDetail",
        ),
        (
            {"objects/A__c.object": xml("CustomObject", OBJECT.replace("<label>Thing</label>", ""))},
            {"CustomObject": ["A__c"]},
            "Must specify a non-empty label for the CustomObject",
        ),
        (
            {
                "objects/Contact.object": xml(
                    "CustomObject",
                    "<listViews><fullName>V</fullName><columns>Nope__c</columns><filterScope>Everything</filterScope>"
                    "<label>V</label></listViews>",
                )
            },
            {"ListView": ["Contact.V"]},
            "In field: columns - no CustomField named Contact.Nope__c found",
        ),
        (
            {
                "objects/Contact.object": xml(
                    "CustomObject",
                    "<validationRules><fullName>R</fullName><active>true</active><errorConditionFormula>ISBLANK(Nope__c)"
                    "</errorConditionFormula><errorMessage>m</errorMessage></validationRules>",
                )
            },
            {"ValidationRule": ["Contact.R"]},
            "Field Nope__c does not exist. Check spelling.",
        ),
    ],
)
def test_what_does_not_hold_together_is_refused(
    deployer: Deployer, files: dict[str, str], members: dict[str, list[str]], problem: str
) -> None:
    """References, package.xml and documents."""
    if not problem:
        return
    assert any(problem in each for each in deployer.problems(files, members))


EDITS = (
    "<objectPermissions><allowCreate>false</allowCreate><allowDelete>false</allowDelete><allowEdit>true</allowEdit>"
    "<allowRead>true</allowRead><modifyAllRecords>false</modifyAllRecords><object>Contact</object>"
    "<viewAllRecords>false</viewAllRecords></objectPermissions>"
)


def permissions(*entries: str) -> dict[str, str]:
    """A permission set."""
    return {"permissionsets/P.permissionset": xml("PermissionSet", "".join(entries) + "<label>P</label>")}


def grant(name: str, editable: str = "false") -> str:
    """One field permission."""
    return (
        f"<fieldPermissions><editable>{editable}</editable><field>{name}</field><readable>true</readable>"
        "</fieldPermissions>"
    )


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (grant("Contact.LastName"), "You cannot deploy to a required field: Contact.LastName"),
        (grant("Part__c.Thing__c"), "You cannot deploy to a required field: Part__c.Thing__c"),
        (grant("Contact.Nope__c"), "In field: field - no CustomField named Contact.Nope__c found"),
        (grant("Activity.Own__c"), "In field: field - no CustomField named Activity.Own__c found"),
        (grant("Contact.Title") + grant("Contact.Title"), "Duplicate fieldPermissions specified: Contact.Title"),
        (
            EDITS.replace("<allowRead>true", "<allowRead>false").replace("Contact", "Thing__c"),
            "Permission allowEdit on Thing__c depends on permission(s): allowRead",
        ),
        (
            "<userPermissions><enabled>true</enabled><name>Fly</name></userPermissions>",
            "Unknown user permission: Fly",
        ),
        ("<tabSettings><tab>Nope</tab><visibility>Visible</visibility></tabSettings>", "no CustomTab named Nope found"),
    ],
)
def test_permissions_that_nobody_can_have_are_refused(deployer: Deployer, entry: str, problem: str) -> None:
    """Required and master-detail fields before all."""
    deployer.thing()
    assert any(problem in each for each in deployer.problems(permissions(entry), {"PermissionSet": ["P"]}))


def test_a_deployed_field_is_seen_once_a_permission_set_grants_it(deployer: Deployer) -> None:
    """Not by the admin either, until then."""
    deployer.deploy({"objects/Contact.object": xml("CustomObject", field())}, {"CustomField": ["Contact.Own__c"]})
    deployer.deploy(
        permissions(
            grant("Contact.Own__c"),
            EDITS,
        ),
        {"PermissionSet": ["P"]},
    )
    before = deployer.api.call("GET", "/sobjects/Contact/describe")
    assert before.status == 404
    deployer.org.assign("P")
    described = {each["name"]: each for each in deployer.api.call("GET", "/sobjects/Contact/describe").json["fields"]}
    assert "Own__c" in described
    assert not described["Own__c"]["updateable"]
    assert "Title" not in described
    contact = deployer.api.contact()
    refused = deployer.api.call("PATCH", f"/sobjects/Contact/{contact}", {"Own__c": "x"})
    assert refused.code == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_an_assignment_can_be_made_through_the_api(deployer: Deployer) -> None:
    """And is found by a query afterwards."""
    deployer.deploy(permissions(grant("Contact.Title")), {"PermissionSet": ["P"]})
    deployer.api.token = deployer.token
    (row,) = deployer.api.query("SELECT Id FROM PermissionSet WHERE Name = 'P'").json["records"]
    body = {"AssigneeId": deployer.org.integration_user_id, "PermissionSetId": row["Id"]}
    assert deployer.api.call("POST", "/sobjects/PermissionSetAssignment", body).status == 201
    found = deployer.api.query("SELECT PermissionSet.Name FROM PermissionSetAssignment").json["records"]
    assert [each["PermissionSet"]["Name"] for each in found] == ["P"]


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        (b"no zip", OPTIONS, ""),
        (b"", {**OPTIONS, "rollbackOnError": False}, "INVALID_OPERATION"),
        (b"", {**OPTIONS, "purge": True}, "JSON_PARSER_ERROR"),
    ],
)
def test_requests_that_are_none_are_refused(
    deployer: Deployer, content: bytes, options: dict[str, Any], code: str
) -> None:
    """A broken archive fails as a deployment; wrong options at once."""
    answer = deployer.post(content, options)
    if code:
        assert answer.code == code
        return
    deployer.look(answer.json["id"])
    result = deployer.look(answer.json["id"]).json["deployResult"]
    assert (result["status"], result["errorMessage"]) == ("Failed", "The zip file is not valid.")


def test_nothing_is_ever_deleted(deployer: Deployer) -> None:
    """An archive with destructive changes is refused as a whole."""
    answer = deployer.send({"destructiveChanges.xml": xml("Package", "")}, {})
    for _ in range(2):
        result = deployer.look(answer.json["id"]).json["deployResult"]
    assert result["errorMessage"].startswith("This stand-in deletes nothing")


class TestShipped:
    """The package that crmdrip ships, as every sandbox has it."""

    def test_its_rules_refuse_a_half_written_step(self) -> None:
        """With the message and the field that its author chose."""
        api = Api()
        sequence = api.org.insert("Drip_Sequence__c", {"Name": "S"})
        api.org.access.user_id = api.org.admin_id
        step = {"Drip_Sequence__c": sequence, "Drip_Order__c": 1, "Drip_Kind__c": "Email", "Drip_Subject__c": "Hi"}
        with pytest.raises(Exception, match="This email has no Body") as caught:
            api.org.insert("Drip_Step__c", step)
        assert caught.value.code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
        assert caught.value.fields == ("Drip_Body__c",)

    def test_a_sequence_goes_live_once_it_has_an_active_step(self) -> None:
        """The org counts them, as steps come and go."""
        api = Api()
        sequence = api.org.insert("Drip_Sequence__c", {"Name": "S"})
        with pytest.raises(Exception, match="no active step"):
            api.org.update(sequence, {"Drip_Status__c": "Live"})
        words = {"Drip_Order__c": 1, "Drip_Kind__c": "Email", "Drip_Subject__c": "Hi", "Drip_Body__c": "Hello"}
        step = api.org.insert("Drip_Step__c", {"Drip_Sequence__c": sequence, **words})
        assert api.one(sequence, "Drip_Active_Steps__c")["Drip_Active_Steps__c"] == 1
        api.org.update(sequence, {"Drip_Status__c": "Live"})
        api.org.delete(step)
        assert api.one(sequence, "Drip_Active_Steps__c")["Drip_Active_Steps__c"] == 0

    def test_formula_fields_follow_the_fields_they_are_made_of(self) -> None:
        """Drip Held By says why in a word or two."""
        api = Api()
        reason = "Waiting: the emergency brake is pulled."
        contact = api.contact(Drip_Status__c="Held", Drip_Reason__c=reason)
        assert api.one(contact, "Drip_Held_By__c")["Drip_Held_By__c"] == "Emergency brake"
        api.org.update(contact, {"Drip_Status__c": "Active"})
        assert api.one(contact, "Drip_Held_By__c")["Drip_Held_By__c"] is None

    def test_times_and_days_are_as_a_real_org_has_them(self) -> None:
        """A time field and a multi-select picklist."""
        api = Api()
        fields = {"Name": "S", "Drip_Send_From__c": "09:30", "Drip_Send_Days__c": "Tue;Mon"}
        sequence = api.org.insert("Drip_Sequence__c", fields)
        found = api.one(sequence, "Drip_Send_From__c", "Drip_Send_Days__c")
        assert (found["Drip_Send_From__c"], found["Drip_Send_Days__c"]) == ("09:30:00.000Z", "Tue;Mon")
        with pytest.raises(Exception, match="bad value for restricted picklist field: Someday"):
            api.org.update(sequence, {"Drip_Send_Days__c": "Mon;Someday"})

    def test_a_bare_org_has_nothing_of_it(self) -> None:
        """And its integration user sees no person yet."""
        api = Api(bare=True)
        assert "Drip_Sequence__c" not in api.org.schema
        assert api.query("SELECT Id FROM Contact").status == 400
