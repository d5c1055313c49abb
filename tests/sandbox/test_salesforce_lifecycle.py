"""What people do to whole records: delete, restore, merge, convert; and loading many at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from salesforce_api import BEGIN, Api

from crmdrip.sandbox.salesforce.refusals import Refusal


@pytest.fixture
def api():
    return Api()


def test_delete_takes_activities_along_and_undelete_brings_them_back(api):
    """B14: what was deleted before stays deleted."""
    contact = api.contact()
    task, earlier = (api.org.insert("Task", {"WhoId": contact, "Subject": name}) for name in ("one", "two"))
    api.org.delete(earlier)
    api.org.delete(contact)
    assert api.one(task, "IsDeleted")["IsDeleted"] is True
    api.org.undelete(contact)
    assert api.one(contact, "IsDeleted")["IsDeleted"] is False
    assert api.one(task, "IsDeleted")["IsDeleted"] is False
    assert api.one(earlier, "IsDeleted")["IsDeleted"] is True


def test_delete_and_undelete_move_the_stamp(api):
    """A delta read by queryAll sees both."""
    contact = api.contact()
    api.clock.move(hours=1)
    api.org.delete(contact)
    assert api.one(contact, "SystemModstamp")["SystemModstamp"].startswith("2026-11-24T10:00")
    api.clock.move(hours=1)
    api.org.undelete(contact)
    assert api.one(contact, "SystemModstamp")["SystemModstamp"].startswith("2026-11-24T11:00")


def test_a_deleted_sequence_is_cleared_from_its_contacts_and_takes_its_steps_along(api):
    """The lookup is SetNull, the steps are details."""
    sequence = api.org.insert("Drip_Sequence__c", {"Name": "S"})
    step = api.org.insert("Drip_Step__c", {"Drip_Sequence__c": sequence, "Drip_Active__c": False})
    contact = api.contact(Drip_Sequence__c=sequence)
    api.org.delete(sequence)
    assert api.one(contact, "Drip_Sequence__c")["Drip_Sequence__c"] is None
    assert api.one(step, "IsDeleted")["IsDeleted"] is True


def test_merge_bins_the_loser_with_the_winners_id_and_moves_its_children(api):
    """B12: the winner's own empty fields stay empty, and its stamp moves."""
    winner, loser = api.contact(FirstName="W"), api.contact(FirstName="L", Title="CEO")
    task = api.org.insert("Task", {"WhoId": loser, "Subject": "x"})
    api.clock.move(hours=1)
    api.org.merge(winner, [loser])
    lost = api.one(loser, "IsDeleted", "MasterRecordId")
    assert (lost["IsDeleted"], lost["MasterRecordId"]) == (True, winner)
    assert api.one(task, "WhoId", "IsDeleted") | {"attributes": 0} == {
        "attributes": 0, "Id": task, "WhoId": winner, "IsDeleted": False,
    }  # fmt: skip
    won = api.one(winner, "Title", "SystemModstamp")
    assert won["Title"] is None
    assert won["SystemModstamp"].startswith("2026-11-24T10:00")
    found = api.names("SELECT Name FROM Contact WHERE IsDeleted = true AND MasterRecordId != null", "queryAll")
    assert found == ["L Bluth"]


def test_a_merged_record_cannot_be_restored(api):
    """Nor can a record of another object be merged in."""
    winner, loser = api.contact(), api.contact()
    api.org.merge(winner, [loser])
    with pytest.raises(Refusal, match="UNDELETE_FAILED"):
        api.org.undelete(loser)
    with pytest.raises(Refusal, match="INVALID_CROSS_REFERENCE_KEY"):
        api.org.merge(winner, [api.lead()])


class TestConversion:
    """B11: a lead becomes a contact."""

    def test_it_makes_an_account_and_a_contact_and_says_so_on_the_lead(self, api):
        """ConvertedDate is a bare date."""
        lead = api.lead(FirstName="Tobias", Email="t@x.example", HasOptedOutOfEmail=True, Country="Germany")
        made = api.org.convert(lead)
        row = api.one(lead, "IsConverted", "ConvertedDate", "ConvertedContactId", "ConvertedAccountId",
                      "ConvertedOpportunityId", "Status")  # fmt: skip
        assert row["IsConverted"] is True
        assert row["ConvertedDate"] == "2026-11-24"
        assert (row["ConvertedContactId"], row["ConvertedAccountId"]) == (made.contact_id, made.account_id)
        assert row["ConvertedOpportunityId"] is None
        contact = api.one(made.contact_id, "Name", "Email", "HasOptedOutOfEmail", "MailingCountry", "Account.Name")
        assert (contact["Name"], contact["Email"]) == ("Tobias Funke", "t@x.example")
        assert contact["HasOptedOutOfEmail"] is True
        assert contact["MailingCountry"] == "Germany"
        assert contact["Account"]["Name"] == "Funke and Sons"

    def test_custom_fields_come_along_only_when_mapped(self, api):
        """An unmapped field is lost on the way."""
        lead = api.lead(Drip_Enrolled__c=True, Drip_Run__c=3, Drip_Next_Touch__c=BEGIN)
        api.org.lead_field_map = {name: name for name in ("Drip_Enrolled__c", "Drip_Next_Touch__c")}
        contact = api.one(api.org.convert(lead).contact_id, "Drip_Enrolled__c", "Drip_Run__c", "Drip_Next_Touch__c")
        assert contact["Drip_Enrolled__c"] is True
        assert contact["Drip_Run__c"] is None
        assert contact["Drip_Next_Touch__c"] == "2026-11-24T09:00:00.000+0000"

    def test_an_opportunity_gets_the_activities_and_the_contacts_role(self, api):
        """Tasks move to the contact (Who) and the opportunity (What)."""
        lead = api.lead()
        task = api.org.insert("Task", {"WhoId": lead, "Subject": "x"})
        made = api.org.convert(lead, opportunity_name="Deal")
        moved = api.one(task, "WhoId", "WhatId", "AccountId")
        assert (moved["WhoId"], moved["WhatId"], moved["AccountId"]) == (
            made.contact_id, made.opportunity_id, made.account_id
        )  # fmt: skip
        (role,) = api.org.select("SELECT ContactId, OpportunityId, Opportunity.Name FROM OpportunityContactRole")
        assert (role["ContactId"], role["Opportunity"]["Name"]) == (made.contact_id, "Deal")

    def test_an_existing_contact_can_be_converted_into(self, api):
        """No second contact is made."""
        account = api.org.insert("Account", {"Name": "A"})
        contact = api.contact(AccountId=account)
        made = api.org.convert(api.lead(), account_id=account, contact_id=contact)
        assert (made.account_id, made.contact_id) == (account, contact)
        assert api.org.count("SELECT COUNT() FROM Contact") == 1

    def test_a_lead_is_converted_once(self, api):
        """The second time is refused."""
        lead = api.lead()
        api.org.convert(lead)
        with pytest.raises(Refusal, match="CANNOT_UPDATE_CONVERTED_LEAD"):
            api.org.convert(lead)

    def test_an_imported_lead_with_a_malformed_address_is_converted_all_the_same(self, api):
        """What came in before a rule existed is carried over as it is."""
        (lead,) = api.org.seed("Lead", [{"LastName": "X", "Company": "Y", "Email": "no address"}])
        assert api.one(api.org.convert(lead).contact_id, "Email")["Email"] == "no address"


class TestSeeding:
    """Many rows at once, without rules."""

    def test_seeded_rows_are_complete_records(self, api):
        """Names, owners, defaults and stamps are there, and the API can change them."""
        (user,) = api.org.seed(
            "User", [{"Username": "r@x.example", "LastName": "Rep", "Email": "r@x.example", "Alias": "r"}]
        )
        ids = api.org.seed(
            "Contact", [{"FirstName": "A", "LastName": "B", "OwnerId": user, "Email": "broken at"}, {"LastName": "C"}]
        )
        assert api.one(user, "IsActive", "Name")["IsActive"] is True
        one = api.one(ids[0], "Name", "Owner.Name", "Email", "CreatedDate")
        assert (one["Name"], one["Owner"]["Name"], one["Email"]) == ("A B", "Rep", "broken at")
        assert api.one(ids[1], "OwnerId")["OwnerId"] == api.org.admin_id
        assert api.call("PATCH", f"/sobjects/Contact/{ids[1]}", {"Title": "x"}).status == 204

    def test_the_past_can_be_seeded(self, api):
        """`at` sets the stamps, and later writes still come after everything."""
        (old,) = api.org.seed("Contact", [{"LastName": "Old"}], at=BEGIN - timedelta(days=30))
        assert api.one(old, "CreatedDate")["CreatedDate"].startswith("2026-10-25T09:00:00")
        new = api.contact()
        assert api.one(new, "CreatedDate")["CreatedDate"].startswith("2026-11-24T09:00:00")

    def test_a_large_load_keeps_its_indexes(self, api):
        """Rows are found by address afterwards, and 200 share a stamp."""
        api.org.seed("Contact", ({"LastName": f"L{n}", "Email": f"p{n}@x.example"} for n in range(70_000)))
        assert api.names("SELECT Name FROM Contact WHERE Email = 'P69999@x.example'") == ["L69999"]
        plan = api.org.store.db.execute(
            "EXPLAIN QUERY PLAN SELECT 1 FROM Contact WHERE Email = 'x'"
        ).fetchall()  # fmt: skip
        assert "Contact_Email" in plan[0][3]
        stamps = api.org.store.db.execute("SELECT count(DISTINCT SystemModstamp) FROM Contact").fetchone()[0]
        assert stamps == 70_000 / 200

    def test_a_custom_field_can_be_added_to_rows_that_exist(self, api):
        """An org's own names work as ours do."""
        contact = api.contact()
        api.org.add_field("Contact", "Region__c", "picklist 40 restricted", ["EMEA", "APAC"])
        api.org.update(contact, {"Region__c": "emea"})
        assert api.one(contact, "Region__c")["Region__c"] == "EMEA"
        assert api.query("SELECT Region__c FROM Contact").status == 200
