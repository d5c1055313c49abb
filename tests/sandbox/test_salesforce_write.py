"""Writing records: single, by key and in collections, and every rule that refuses them."""

# ruff: noqa: S608 - SOQL for the stand-in, not SQL

from __future__ import annotations

from datetime import timedelta

import pytest
from salesforce_api import BASE, BEGIN, Api, row

from crmdrip.sandbox.salesforce.refusals import Refusal


@pytest.fixture
def api():
    return Api()


class TestSingle:
    """One record per request."""

    def test_a_record_is_created_and_read_back(self, api):
        """201 with the id in lower case and a Location."""
        answer = api.call(
            "POST", "/sobjects/Contact/", {"LastName": "Bluth", "FirstName": "Gob", "Email": "gob@x.example"}
        )
        assert (answer.status, answer.json["success"], answer.json["errors"]) == (201, True, [])
        record_id = answer.json["id"]
        assert len(record_id) == 18
        assert record_id.startswith("003")
        assert answer.headers["Location"] == f"{BASE}/sobjects/Contact/{record_id}"
        got = api.call("GET", f"/sobjects/Contact/{record_id}?fields=Name,OwnerId").json
        assert (got["Name"], got["OwnerId"]) == ("Gob Bluth", api.org.integration_user_id)

    def test_a_record_is_changed_with_an_empty_204(self, api):
        """The change is there, and who made it."""
        contact = api.contact()
        answer = api.call("PATCH", f"/sobjects/Contact/{contact}", {"Title": "CEO"})
        assert (answer.status, answer.json) == (204, None)
        assert api.one(contact, "Title", "LastModifiedById") | {"attributes": 0} == {
            "attributes": 0, "Id": contact, "Title": "CEO", "LastModifiedById": api.org.integration_user_id,
        }  # fmt: skip

    def test_a_deleted_record_answers_404_entity_is_deleted(self, api):
        """Reading, changing and deleting it again all say so."""
        contact = api.contact()
        assert api.call("DELETE", f"/sobjects/Contact/{contact}").status == 204
        for method, body in (("GET", None), ("PATCH", {"Title": "x"}), ("DELETE", None)):
            answer = api.call(method, f"/sobjects/Contact/{contact}", body)
            assert (answer.status, answer.code) == (404, "ENTITY_IS_DELETED")

    @pytest.mark.parametrize(
        "path", ["/sobjects/Foo", "/sobjects/Foo/describe", "/sobjects/Contact/003Dr000000zzzz", "/nothing"]
    )
    def test_what_does_not_exist_is_404(self, api, path):
        """The body is the recorded one."""
        answer = api.call("GET", path)
        assert answer.status == 404
        assert answer.json == [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]

    def test_the_id_is_not_for_the_body(self, api):
        """A PATCH names the record in its path only."""
        contact = api.contact()
        answer = api.call("PATCH", f"/sobjects/Contact/{contact}", {"Id": contact, "Title": "x"})
        assert (answer.code, answer.message) == (
            "INVALID_FIELD", "The Id field should not be specified in the sobject data."
        )  # fmt: skip

    def test_a_body_that_is_no_json_is_refused(self, api):
        """400 JSON_PARSER_ERROR; another content type is 415."""
        headers = {"authorization": f"Bearer {api.token}", "content-type": "application/json"}
        assert api.raw("POST", f"{BASE}/sobjects/Contact", body=b"{", headers=headers).code == "JSON_PARSER_ERROR"
        headers["content-type"] = "text/plain"
        answer = api.raw("POST", f"{BASE}/sobjects/Contact", body=b"{}", headers=headers)
        assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


class TestByKey:
    """Upsert by external id."""

    def test_a_new_key_creates_and_a_known_one_changes(self, api):
        """201 with created true, then 200 with created false and the same id; keys match in any case."""
        first = api.call("PATCH", "/sobjects/Task/Drip_Touch_Id__c/abc", {"Subject": "one"})
        second = api.call("PATCH", "/sobjects/Task/Drip_Touch_Id__c/ABC", {"Subject": "two"})
        assert (first.status, first.json["created"]) == (201, True)
        assert (second.status, second.json) == (
            200, {"id": first.json["id"], "success": True, "errors": [], "created": False}
        )  # fmt: skip

    def test_several_records_with_the_value_give_300_and_change_nothing(self, api):
        """The body lists their URLs."""
        ids = [api.contact(Email="same@x.example") for _ in range(2)]
        answer = api.call("PATCH", "/sobjects/Contact/Email/same@x.example", {"Title": "x"})
        assert (answer.status, answer.json) == (300, [f"{BASE}/sobjects/Contact/{each}" for each in ids])
        assert api.org.count("SELECT COUNT() FROM Contact WHERE Title = 'x'") == 0

    def test_update_only_creates_nothing(self, api):
        """404 where no record has the key."""
        assert api.call("PATCH", "/sobjects/Task/Drip_Touch_Id__c/new?updateOnly=true", {}).status == 404

    def test_a_field_that_is_no_key_is_refused(self, api):
        """404 NOT_FOUND, as for a field that does not exist."""
        answer = api.call("PATCH", "/sobjects/Contact/Title/CEO", {"LastName": "x"})
        assert (answer.status, answer.code) == (404, "NOT_FOUND")

    def test_a_record_is_read_by_its_key(self, api):
        """GET by external id gives the record itself."""
        created = api.call("PATCH", "/sobjects/Task/Drip_Touch_Id__c/abc", {"Subject": "one"}).json["id"]
        assert api.call("GET", "/sobjects/Task/Drip_Touch_Id__c/abc?fields=Subject").json["Id"] == created


class TestCollections:
    """Up to 200 rows, each with its own result, under an HTTP 200."""

    def test_rows_fail_one_by_one_in_order(self, api):
        """A refused row has a statusCode and no id; its siblings are saved."""
        good, bad = api.contact(), api.contact()
        answer = api.patch(row(good, Title="x"), row(bad, Drip_Status__c="Nope"))
        assert answer.status == 200
        assert answer.json == [
            {"id": good, "success": True, "errors": []},
            {
                "success": False,
                "errors": [
                    {
                        "statusCode": "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                        "message": "Drip Status: bad value for restricted picklist field: Nope",
                        "fields": ["Drip_Status__c"],
                    }
                ],
            },
        ]
        assert api.one(good, "Title")["Title"] == "x"

    def test_all_or_none_rolls_everything_back(self, api):
        """The good row says that it was rolled back."""
        good, bad = api.contact(), api.contact()
        body = {"allOrNone": True, "records": [row(good, Title="x"), row(bad, Drip_Status__c="Nope")]}
        answer = api.call("PATCH", "/composite/sobjects", body)
        assert answer.row_codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"]
        assert api.one(good, "Title")["Title"] is None

    def test_upsert_says_which_rows_are_new(self, api):
        """The flag `created` comes with every saved row."""
        api.upsert_tasks({"Drip_Touch_Id__c": "a"})
        answer = api.upsert_tasks({"Drip_Touch_Id__c": "a", "Subject": "x"}, {"Drip_Touch_Id__c": "b"})
        assert [each["created"] for each in answer.json] == [False, True]

    def test_upsert_by_id_creates_where_it_is_null(self, api):
        """As recorded traffic does with /Account/Id."""
        body = {"records": [{"attributes": {"type": "Account"}, "Id": None, "Name": "Sitwell"}]}
        (result,) = api.call("PATCH", "/composite/sobjects/Account/Id", body).json
        assert (result["success"], result["created"]) == (True, True)

    def test_more_than_200_rows_are_refused_whole(self, api):
        """400 EXCEEDED_ID_LIMIT."""
        answer = api.upsert_tasks(*({"Drip_Touch_Id__c": f"k{n}"} for n in range(201)))
        assert (answer.status, answer.code) == (400, "EXCEEDED_ID_LIMIT")

    def test_more_than_ten_chunks_are_refused_whole(self, api):
        """Consecutive rows of one type make a chunk."""
        contact, lead = api.contact(), api.lead()
        rows = [row(contact, Title="x"), row(lead, Title="x")] * 6
        answer = api.patch(*rows)
        assert (answer.status, answer.code) == (400, "LIMIT_EXCEEDED")
        assert "10 chunks" in answer.message

    def test_ten_chunks_are_accepted(self, api):
        """The limit itself is allowed."""
        rows = [row(each, Title="x") for _ in range(5) for each in (api.contact(), api.lead())]
        assert api.patch(*rows).row_codes == [""] * 10

    def test_an_id_given_twice_is_refused_in_both_rows(self, api):
        """No row of the two is saved."""
        contact = api.contact()
        answer = api.patch(row(contact, Title="x"), row(contact[:15], Title="y"), row(api.contact(), Title="z"))
        assert answer.row_codes == ["DUPLICATE_VALUE", "DUPLICATE_VALUE", ""]

    def test_a_key_given_twice_is_refused_in_both_rows(self, api):
        """In any case of letters, as the field is unique in any case."""
        answer = api.upsert_tasks({"Drip_Touch_Id__c": "a"}, {"Drip_Touch_Id__c": "A"})
        assert answer.row_codes == ["DUPLICATE_VALUE", "DUPLICATE_VALUE"]
        assert answer.json[0]["errors"][0]["message"] == "Duplicate external id specified: a"

    def test_an_unknown_column_is_refused_per_row(self, api):
        """The other rows are saved."""
        answer = api.patch(row(api.contact(), Nope__c="x"), row(api.contact(), Title="x"))
        assert answer.row_codes == ["INVALID_FIELD", ""]
        assert answer.json[0]["errors"][0]["message"] == "No such column 'Nope__c' on sobject of type Contact"

    def test_a_value_of_the_wrong_type_refuses_the_request(self, api):
        """The body cannot be read, so no row is saved."""
        good = api.contact()
        answer = api.patch(row(good, Title="x"), row(api.contact(), Drip_Next_Touch__c="tomorrow"))
        assert (answer.status, answer.code) == (400, "JSON_PARSER_ERROR")
        assert api.one(good, "Title")["Title"] is None

    def test_records_are_retrieved_in_the_order_asked_with_null_for_what_is_gone(self, api):
        """Deleted and unknown ids are null."""
        one, two = api.contact(FirstName="One"), api.contact(FirstName="Two")
        gone = api.contact()
        api.org.delete(gone)
        answer = api.call("POST", "/composite/sobjects/Contact", {"ids": [two, gone, one], "fields": ["FirstName"]})
        assert [each and each["FirstName"] for each in answer.json] == ["Two", None, "One"]

    def test_no_parent_path_can_be_retrieved(self, api):
        """Only the object's own fields."""
        body = {"ids": [api.contact()], "fields": ["Owner.Name"]}
        assert api.call("POST", "/composite/sobjects/Contact", body).code == "INVALID_FIELD"

    def test_records_are_deleted_by_a_list_of_ids(self, api):
        """Each with its own result."""
        contact = api.contact()
        answer = api.call("DELETE", f"/composite/sobjects?ids={contact},003Dr0000zzzzzz")
        assert answer.row_codes == ["", "INVALID_CROSS_REFERENCE_KEY"]


class TestRefusals:
    """Row by row, what the org does not accept."""

    @pytest.mark.parametrize(
        ("fields", "code", "message"),
        [
            ({"Drip_Reason__c": "x" * 256}, "STRING_TOO_LONG", f"data value too large: {'x' * 256} (max length=255)"),
            ({"LastName": None}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]"),
            ({"AccountId": "nonsense"}, "MALFORMED_ID", "Account ID: id value of incorrect type: nonsense"),
            ({"AccountId": "003Dr0000000001"}, "FIELD_INTEGRITY_EXCEPTION", "incorrect type: 003Dr0000000001IAA"),
            ({"AccountId": "001Dr00000000zz"}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
            ({"Email": "no address"}, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: no address"),
            ({"Drip_Run__c": 10_000_000}, "NUMBER_OUTSIDE_VALID_RANGE", "range on numeric field: 10000000"),
        ],
    )  # fmt: skip
    def test_a_value_is_refused(self, api, fields, code, message):
        """With the vendor's code, message and field."""
        (result,) = api.patch(row(api.contact(), **fields)).json
        (error,) = result["errors"]
        assert (error["statusCode"], error["fields"]) == (code, list(fields))
        assert error["message"].endswith(message)

    def test_a_read_only_field_is_refused(self, api):
        """IsDeleted, formula-like and audit fields cannot be written."""
        (result,) = api.patch(row(api.contact(), IsDeleted=True, SystemModstamp="2026-01-01T00:00:00Z")).json
        (error,) = result["errors"]
        assert error["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
        assert error["message"].startswith("Unable to create/update fields: IsDeleted, SystemModstamp.")

    def test_the_subtype_of_a_task_is_given_at_creation_only(self, api):
        """TaskSubtype is createable and not updateable."""
        first = api.upsert_tasks({"Drip_Touch_Id__c": "a", "TaskSubtype": "Email"})
        again = api.upsert_tasks({"Drip_Touch_Id__c": "a", "TaskSubtype": "Email"})
        assert (first.row_codes, again.row_codes) == ([""], ["INVALID_FIELD_FOR_INSERT_UPDATE"])

    def test_a_lead_on_a_task_forbids_a_what_id(self, api):
        """FIELD_INTEGRITY_EXCEPTION; a contact allows it."""
        account = api.org.insert("Account", {"Name": "A"})
        answer = api.upsert_tasks(
            {"Drip_Touch_Id__c": "a", "WhoId": api.lead(), "WhatId": account},
            {"Drip_Touch_Id__c": "b", "WhoId": api.contact(), "WhatId": account},
        )
        assert answer.row_codes == ["FIELD_INTEGRITY_EXCEPTION", ""]

    def test_a_converted_lead_can_be_read_and_no_longer_written(self, api):
        """B11: neither the lead itself nor a new task on it."""
        lead = api.lead()
        api.org.convert(lead)
        assert api.patch(row(lead, Title="x")).row_codes == ["CANNOT_UPDATE_CONVERTED_LEAD"]
        assert api.upsert_tasks({"Drip_Touch_Id__c": "a", "WhoId": lead}).row_codes == ["CANNOT_UPDATE_CONVERTED_LEAD"]
        assert api.query(f"SELECT Id FROM Lead WHERE Id = '{lead}' AND IsConverted = true").json["totalSize"] == 1

    def test_a_deleted_record_is_refused_in_its_row(self, api):
        """So is a task that points at it."""
        contact = api.contact()
        api.org.delete(contact)
        assert api.patch(row(contact, Title="x")).row_codes == ["ENTITY_IS_DELETED"]
        assert api.upsert_tasks({"Drip_Touch_Id__c": "a", "WhoId": contact}).row_codes == ["ENTITY_IS_DELETED"]

    def test_a_key_taken_names_the_record_that_has_it(self, api):
        """The id can be read from the message; a key in the recycle bin is free again."""
        task = api.upsert_tasks({"Drip_Touch_Id__c": "abc"}).json[0]["id"]
        answer = api.call("POST", "/sobjects/Task", {"Drip_Touch_Id__c": "abc"})
        assert (answer.status, answer.code) == (400, "DUPLICATE_VALUE")
        assert answer.message == f"duplicate value found: Drip_Touch_Id__c duplicates value on record with id: {task}"
        api.org.delete(task)
        assert api.call("POST", "/sobjects/Task", {"Drip_Touch_Id__c": "abc"}).status == 201

    def test_tasks_and_events_share_the_values_of_a_unique_activity_field(self, api):
        """The field belongs to Activity."""
        api.upsert_tasks({"Drip_Touch_Id__c": "abc"})
        with pytest.raises(Refusal, match="DUPLICATE_VALUE"):
            api.org.insert("Event", {"StartDateTime": BEGIN, "DurationInMinutes": 30, "Drip_Touch_Id__c": "abc"})

    def test_an_inactive_user_cannot_own_a_new_task(self, api):
        """B16: the message names the user."""
        rep = api.org.insert(
            "User", {"Username": "r@x.example", "LastName": "Rep", "Email": "r@x.example", "Alias": "r"}
        )
        api.org.update(rep, {"IsActive": False})
        answer = api.upsert_tasks({"Drip_Touch_Id__c": "a", "OwnerId": rep})
        assert answer.row_codes == ["INACTIVE_OWNER_OR_USER"]
        assert rep in answer.json[0]["errors"][0]["message"]

    def test_a_record_of_an_inactive_owner_can_still_be_changed(self, api):
        """Only a new owner is asked for."""
        rep = api.org.insert(
            "User", {"Username": "r@x.example", "LastName": "Rep", "Email": "r@x.example", "Alias": "r"}
        )
        contact = api.contact(OwnerId=rep)
        api.org.update(rep, {"IsActive": False})
        assert api.patch(row(contact, Title="x")).row_codes == [""]

    def test_a_validation_rule_refuses_with_the_admins_message(self, api):
        """B21: at the field the admin chose."""
        api.org.add_validation_rule("Contact", lambda each: each["Title"] == "Banned", "No banned titles.", "Title")
        answer = api.call("PATCH", f"/sobjects/Contact/{api.contact()}", {"Title": "Banned"})
        assert answer.json == [
            {"message": "No banned titles.", "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "fields": ["Title"]}
        ]

    def test_a_locked_row_is_refused_for_as_many_writes_as_asked(self, api):
        """B21: then it is free."""
        contact = api.contact()
        api.org.lock_row(contact, writes=2)
        codes = [api.patch(row(contact, Title="x")).row_codes[0] for _ in range(3)]
        assert codes == ["UNABLE_TO_LOCK_ROW", "UNABLE_TO_LOCK_ROW", ""]

    def test_a_locked_row_is_free_after_its_time(self, api):
        """The org's clock decides."""
        contact = api.contact()
        api.org.lock_row(contact, until=BEGIN + timedelta(minutes=1))
        assert api.patch(row(contact, Title="x")).row_codes == ["UNABLE_TO_LOCK_ROW"]
        api.clock.move(minutes=1)
        assert api.patch(row(contact, Title="x")).row_codes == [""]

    def test_only_open_dated_tasks_ask_for_the_lock_of_their_person(self, api):
        """A task created completed does not wait for a locked contact."""
        contact = api.contact()
        api.org.lock_row(contact)
        done = {"WhoId": contact, "ActivityDate": "2026-11-24", "Status": "Completed"}
        answer = api.upsert_tasks(
            {"Drip_Touch_Id__c": "a", **done}, {"Drip_Touch_Id__c": "b", **done, "Status": "Not Started"}
        )
        assert answer.row_codes == ["", "UNABLE_TO_LOCK_ROW"]

    def test_full_storage_refuses_new_rows_only(self, api):
        """B21: STORAGE_LIMIT_EXCEEDED."""
        contact = api.contact()
        api.org.fill_storage()
        assert api.upsert_tasks({"Drip_Touch_Id__c": "a"}).row_codes == ["STORAGE_LIMIT_EXCEEDED"]
        assert api.patch(row(contact, Title="x")).row_codes == [""]
        api.org.free_storage()
        assert api.upsert_tasks({"Drip_Touch_Id__c": "a"}).row_codes == [""]

    def test_maintenance_lets_read_and_refuses_every_write(self, api):
        """B20: read-only mode, as during a site switch."""
        contact = api.contact()
        api.org.begin_maintenance()
        code = "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"
        assert api.upsert_tasks({"Drip_Touch_Id__c": "a"}).row_codes == [code]
        assert api.patch(row(contact, Title="x")).row_codes == [code]
        assert api.one(contact, "Title")["Title"] is None
        api.org.end_maintenance()
        assert api.patch(row(contact, Title="x")).row_codes == [""]

    def test_a_record_in_an_approval_is_locked_for_the_api_user(self, api):
        """ENTITY_IS_LOCKED until it is decided; an admin may edit it meanwhile, and it can have tasks."""
        contact = api.contact()
        api.org.submit_for_approval(contact)
        assert api.patch(row(contact, Title="x")).row_codes == ["ENTITY_IS_LOCKED"]
        api.org.update(contact, {"Title": "y"})
        assert api.upsert_tasks({"Drip_Touch_Id__c": "a", "WhoId": contact}).row_codes == [""]
        api.org.decide_approval(contact)
        assert api.patch(row(contact, Title="x")).row_codes == [""]

    def test_a_chatter_user_owns_nothing(self, api):
        """OP_WITH_INVALID_USER_TYPE_EXCEPTION."""
        user = {"Username": "c@x.example", "LastName": "Cho", "Email": "c@x.example", "Alias": "cho"}
        (chatter,) = api.org.seed("User", [{**user, "IsActive": True, "UserType": "CsnOnly"}])
        answer = api.upsert_tasks({"Drip_Touch_Id__c": "a", "OwnerId": chatter})
        assert answer.row_codes == ["OP_WITH_INVALID_USER_TYPE_EXCEPTION"]

    def test_a_duplicate_rule_gives_way_to_its_header(self, api):
        """DUPLICATES_DETECTED without Sforce-Duplicate-Rule-Header: allowSave=true."""
        contact = api.contact(Email="same@x.example")
        api.contact(Email="same@x.example")
        api.org.activate_duplicate_rule("Contact")
        assert api.patch(row(contact, Title="x")).row_codes == ["DUPLICATES_DETECTED"]
        allowed = api.patch(row(contact, Title="x"), sforce_duplicate_rule_header="allowSave=true")
        assert allowed.row_codes == [""]


class TestEffects:
    """What the org itself adds to a write."""

    def test_a_lead_written_without_the_header_goes_to_the_assignment_rule(self, api):
        """Sforce-Auto-Assign: FALSE keeps the owner."""
        lead = api.lead()
        queue = api.org.insert("Group", {"Name": "Inbound", "Type": "Queue"})
        api.org.activate_lead_assignment(queue)
        api.patch(row(lead, Title="x"), sforce_auto_assign="FALSE")
        assert api.one(lead, "OwnerId")["OwnerId"] == api.org.admin_id
        api.patch(row(lead, Title="x"))
        assert api.one(lead, "OwnerId")["OwnerId"] == queue

    def test_every_write_moves_the_stamps_while_the_clock_stands(self, api):
        """SystemModstamp and LastModifiedDate only ever grow, also without a change."""
        contact = api.contact()
        stamps = [api.one(contact, "SystemModstamp")["SystemModstamp"]]
        for _ in range(3):
            api.patch(row(contact, Title="same"))
            stamps.append(api.one(contact, "SystemModstamp")["SystemModstamp"])
        assert stamps == sorted(set(stamps))
        assert api.one(contact, "LastModifiedDate")["LastModifiedDate"] == stamps[-1]
        assert api.one(contact, "CreatedDate")["CreatedDate"] == stamps[0]

    def test_stamps_follow_the_clock(self, api):
        """A write an hour later is stamped an hour later."""
        contact = api.contact()
        api.clock.move(hours=1)
        api.patch(row(contact, Title="x"))
        assert api.one(contact, "SystemModstamp")["SystemModstamp"] == "2026-11-24T10:00:00.000+0000"

    def test_a_task_with_a_closed_status_is_closed_and_dated(self, api):
        """IsClosed, CompletedDateTime and the account of the contact are derived."""
        account = api.org.insert("Account", {"Name": "A"})
        contact = api.contact(AccountId=account)
        (result,) = api.upsert_tasks({"Drip_Touch_Id__c": "a", "WhoId": contact, "Status": "Completed"}).json
        task = api.one(result["id"], "IsClosed", "CompletedDateTime", "AccountId", "TaskSubtype", "Priority")
        assert (task["IsClosed"], task["AccountId"]) == (True, account)
        assert (task["TaskSubtype"], task["Priority"]) == ("Task", "Normal")
        assert task["CompletedDateTime"].startswith("2026-11-24T09:00:00")

    def test_a_new_address_clears_the_bounce_of_the_old_one(self, api):
        """IsEmailBounced follows EmailBouncedDate."""
        contact = api.contact(Email="old@x.example", EmailBouncedReason="550", EmailBouncedDate=BEGIN)
        assert api.one(contact, "IsEmailBounced")["IsEmailBounced"] is True
        api.org.update(contact, {"Email": "new@x.example"})
        assert api.one(contact, "IsEmailBounced", "EmailBouncedReason") | {"attributes": 0, "Id": 0} == {
            "attributes": 0, "Id": 0, "IsEmailBounced": False, "EmailBouncedReason": None,
        }  # fmt: skip

    def test_empty_text_is_stored_as_nothing(self, api):
        """Spaces around a text are cut."""
        contact = api.contact(Title="  CEO ", Department="  ")
        assert api.one(contact, "Title", "Department") | {"attributes": 0, "Id": 0} == {
            "attributes": 0, "Id": 0, "Title": "CEO", "Department": None,
        }  # fmt: skip
