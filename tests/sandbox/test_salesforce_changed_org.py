"""What an admin changes between two writes of the same fields holds for the second: nothing is remembered too long."""

from __future__ import annotations

from dataclasses import replace

import pytest
from salesforce_api import Api, row

from crmdrip.sandbox.salesforce.access import Profile
from crmdrip.sandbox.salesforce.calculated import FormulaField
from crmdrip.sandbox.salesforce.formula import compile_formula
from crmdrip.sandbox.salesforce.org import PERMISSION_SET


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def contact(api):
    return api.contact()


def update(api, contact, **fields):
    """The code of an update, "" for success."""
    (code,) = api.patch(row(contact, **fields)).row_codes
    return code


def insert(api, **fields):
    """The code of an insert of a task, "" for success."""
    answer = api.call("POST", "/composite/sobjects", {"records": [{"attributes": {"type": "Task"}, **fields}]})
    (code,) = answer.row_codes
    return code


class TestSight:
    """What the API user may write."""

    def test_a_field_hidden_by_hand_is_gone_from_the_next_write(self, api, contact):
        """And back when it is shown again."""
        assert update(api, contact, Drip_Step__c="1 of 4") == ""
        api.org.hide_field("Contact", "Drip_Step__c")
        assert update(api, contact, Drip_Step__c="1 of 4") == "INVALID_FIELD"
        api.org.show_field("Contact", "Drip_Step__c")
        assert update(api, contact, Drip_Step__c="1 of 4") == ""

    def test_a_field_that_is_read_only_now_is_refused_in_the_next_write(self, api, contact):
        """The permission set lost the right to edit it."""
        assert update(api, contact, Drip_Step__c="1 of 4") == ""
        grants = api.org.access.sets[PERMISSION_SET]
        less = replace(grants, editable=grants.editable - {("Contact", "Drip_Step__c")})
        api.org.access.sets[PERMISSION_SET] = less
        api.org.access.changed()
        assert update(api, contact, Drip_Step__c="1 of 4") == "INVALID_FIELD_FOR_INSERT_UPDATE"

    def test_an_assignment_taken_away_takes_the_fields_of_the_package_along(self, api, contact):
        """As it is deleted at the user's page."""
        assert update(api, contact, Drip_Step__c="1 of 4") == ""
        (assignment,) = api.org.select(
            f"SELECT Id FROM PermissionSetAssignment WHERE AssigneeId = '{api.org.integration_user_id}'"  # noqa: S608 - SOQL
        )
        api.org.delete(assignment["Id"])
        assert update(api, contact, Drip_Step__c="1 of 4") == "INVALID_FIELD"

    def test_an_object_closed_to_writing_refuses_the_next_row(self, api):
        """New tasks want a user permission under the profile of an integration user."""
        assert insert(api, Subject="Call") == ""
        api.org.access.profiles[api.org.integration_user_id] = Profile.MINIMUM
        grants = api.org.access.sets[PERMISSION_SET]
        api.org.access.sets[PERMISSION_SET] = replace(grants, user_permissions=frozenset())
        api.org.access.changed()
        assert insert(api, Subject="Call") == "INSUFFICIENT_ACCESS_OR_READONLY"

    def test_two_users_who_write_the_same_fields_see_each_their_own(self, api, contact):
        """Nobody has assigned the package's permission set to the second."""
        other = api.org.insert(
            "User", {"Username": "o@acme.example", "LastName": "O", "Email": "o@a.example", "Alias": "o"}
        )
        mine, theirs = api.token, api.org.sessions.open(other)
        codes = []
        for token in (mine, theirs, mine):
            api.token = token
            codes.append(update(api, contact, Drip_Step__c="1 of 4"))
        assert codes == ["", "INVALID_FIELD", ""]

    def test_people_and_the_api_user_who_write_the_same_fields_see_each_their_own(self, api, contact):
        """Field-level security is for the API."""
        api.org.hide_field("Contact", "Drip_Step__c")
        api.org.update(contact, {"Drip_Step__c": "1 of 4"})
        assert update(api, contact, Drip_Step__c="2 of 4") == "INVALID_FIELD"
        api.org.update(contact, {"Drip_Step__c": "3 of 4"})
        assert api.one(contact, "Drip_Step__c")["Drip_Step__c"] == "3 of 4"


class TestSchema:
    """What the object is like."""

    def test_a_field_that_was_added_is_taken_by_the_next_write(self, api, contact):
        """It was no field before."""
        assert update(api, contact, Segment__c="SMB") == "INVALID_FIELD"
        api.org.add_field("Contact", "Segment__c", "string 10")
        assert update(api, contact, Segment__c="SMB") == ""
        assert api.one(contact, "Segment__c")["Segment__c"] == "SMB"

    def test_a_field_made_shorter_refuses_what_it_took_before(self, api, contact):
        """The limit is the one of now."""
        api.org.add_field("Contact", "Segment__c", "string 10")
        assert update(api, contact, Segment__c="Enterprise") == ""
        spec = api.org.schema["Contact"]
        api.org.schema.with_field("Contact", replace(spec.fields["Segment__c"], length=3))
        assert update(api, contact, Segment__c="Enterprise") == "STRING_TOO_LONG"

    def test_a_field_made_unique_refuses_the_next_twin(self, api, contact):
        """The value was there twice already."""
        other = api.contact()
        api.org.add_field("Contact", "Segment__c", "string 10")
        assert [update(api, each, Segment__c="SMB") for each in (contact, other)] == ["", ""]
        spec = api.org.schema["Contact"]
        api.org.schema.with_field("Contact", replace(spec.fields["Segment__c"], unique=True))
        assert update(api, other, Segment__c="SMB") == "DUPLICATE_VALUE"

    def test_a_default_of_a_field_added_later_fills_the_next_new_row(self, api):
        """Rows from before stay as they are."""
        before = api.contact()
        api.org.add_field("Contact", "Segment__c", "string 10 default=SMB")
        after = api.contact()
        assert [api.one(each, "Segment__c")["Segment__c"] for each in (before, after)] == [None, "SMB"]

    def test_a_default_that_was_deactivated_is_refused_only_where_it_is_needed(self, api):
        """A task that brings a status of its own does not ask for it."""
        api.org.restrict_picklist("Task", "Status", ["Completed"])
        assert insert(api, Subject="Call", Status="Completed") == ""
        assert insert(api, Subject="Call") == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"

    def test_a_formula_made_of_another_formula_follows_it(self, api):
        """Both are worked out anew by one write, one after the other."""
        for name in ("Loud__c", "Louder__c"):
            api.org.add_field("Contact", name, "string 80 ro")
        kinds = {name: each.type for name, each in api.org.schema["Contact"].fields.items()}
        api.org.records.calculations.fields["Contact"] = [
            FormulaField(name=name, formula=compile_formula(text, kinds))
            for name, text in (("Loud__c", "UPPER(LastName)"), ("Louder__c", 'LastName & Loud__c & "!"'))
        ]
        contact = api.contact(LastName="Bluth")
        api.org.update(contact, {"LastName": "Fünke"})
        assert api.one(contact, "Louder__c")["Louder__c"] == "FünkeFÜNKE!"


class TestRules:
    """What the org holds rows against."""

    def test_a_validation_rule_holds_from_the_next_write_on(self, api, contact):
        """And it sees the fields that were not written."""
        assert update(api, contact, Drip_Step__c="1 of 4") == ""
        api.org.add_validation_rule("Contact", lambda shown: shown["LastName"] == "Bluth", "No Bluths.")
        assert update(api, contact, Drip_Step__c="1 of 4") == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
        api.org.records.validation_rules.clear()
        assert update(api, contact, Drip_Step__c="1 of 4") == ""

    def test_an_owner_set_inactive_by_one_row_is_refused_in_the_next_row(self, api):
        """Rows of one request follow each other."""
        owner = api.org.insert(
            "User", {"Username": "r@acme.example", "LastName": "R", "Email": "r@a.example", "Alias": "r"}
        )
        first, second = api.contact(), api.contact()
        leaves = {"attributes": {"type": "User"}, "id": owner, "IsActive": False}
        answer = api.patch(row(first, OwnerId=owner), leaves, row(second, OwnerId=owner))
        assert answer.row_codes == ["", "", "INACTIVE_OWNER_OR_USER"]

    def test_a_record_deleted_between_two_writes_is_no_reference_any_more(self, api):
        """The same task would be refused now."""
        person = api.contact()
        assert insert(api, Subject="Call", WhoId=person) == ""
        api.org.delete(person)
        assert insert(api, Subject="Call", WhoId=person) == "ENTITY_IS_DELETED"

    def test_an_account_moved_between_two_tasks_is_the_account_of_the_second(self, api):
        """A task takes the account its person has when it is written."""
        old, new = (api.org.insert("Account", {"Name": name}) for name in ("Old", "New"))
        person = api.contact(AccountId=old)
        assert insert(api, Subject="1", WhoId=person) == ""
        api.org.update(person, {"AccountId": new})
        assert insert(api, Subject="2", WhoId=person) == ""
        tasks = api.org.select("SELECT AccountId FROM Task ORDER BY Subject")
        assert [task["AccountId"] for task in tasks] == [old, new]

    def test_a_name_is_made_of_the_part_that_was_not_written_too(self, api):
        """Only the last name comes; the first is what it was."""
        person = api.contact(FirstName="Maeby")
        assert update(api, person, LastName="Fünke") == ""
        assert api.one(person, "Name")["Name"] == "Maeby Fünke"


def test_a_permission_set_assigned_between_two_writes_opens_the_fields_of_the_second(api, contact):
    """The other way round: nothing stays closed either."""
    other = api.org.insert(
        "User", {"Username": "o@acme.example", "LastName": "O", "Email": "o@a.example", "Alias": "o"}
    )
    api.token = api.org.sessions.open(other)
    assert update(api, contact, Drip_Step__c="1 of 4") == "INVALID_FIELD"
    api.org.assign(PERMISSION_SET, to=other)
    assert update(api, contact, Drip_Step__c="1 of 4") == ""
