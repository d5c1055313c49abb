"""SOQL: what is found, how it is shown and paged, and what is refused."""

# ruff: noqa: S608 - SOQL for the stand-in, not SQL

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from salesforce_api import BASE, BEGIN, Api


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def people(api):
    """Three contacts: Ann in Berlin, ticked; Bob without an address; Cem, created later."""
    api.account = api.org.insert("Account", {"Name": "Bluth Company"})
    api.ann = api.contact(
        FirstName="Ann", LastName="Veal", Email="Ann@Example.com", AccountId=api.account, Drip_Enrolled__c=True
    )
    api.bob = api.contact(FirstName="Bob", LastName="Loblaw")
    api.clock.move(hours=1)
    api.cem = api.contact(FirstName="Cem", LastName="100% Özgür", Drip_Run__c=2)
    return api


def test_a_record_shows_fields_in_the_schemas_spelling_with_its_attributes(people):
    """Field names match in any case, and the answer spells them as the schema does."""
    answer = people.query(f"select id, EMAIL, drip_enrolled__c from contact where id = '{people.ann}'")
    assert answer.json == {
        "totalSize": 1,
        "done": True,
        "records": [
            {
                "attributes": {"type": "Contact", "url": f"{BASE}/sobjects/Contact/{people.ann}"},
                "Id": people.ann,
                "Email": "Ann@Example.com",
                "Drip_Enrolled__c": True,
            }
        ],
    }


def test_parents_are_nested_objects_and_null_where_there_is_none(people):
    """Account.Owner.Name reaches two levels up, and a contact without an account shows null."""
    answer = people.query("SELECT Name, Account.Name, Account.Owner.Name FROM Contact ORDER BY FirstName LIMIT 2")
    ann, bob = answer.json["records"]
    assert ann["Account"]["Name"] == "Bluth Company"
    assert ann["Account"]["Owner"] == {
        "attributes": {"type": "User", "url": f"{BASE}/sobjects/User/{people.org.admin_id}"},
        "Name": "Admin",
    }
    assert bob["Account"] is None


def test_a_polymorphic_parent_tells_its_type(api):
    """Who and the owner of a lead may be of several objects; Type says which, attributes say Name."""
    lead = api.lead(FirstName="Tobias")
    queue = api.org.insert("Group", {"Name": "Inbound", "Type": "Queue"})
    api.org.change_owner(lead, queue)
    api.org.insert("Task", {"WhoId": lead, "Subject": "Call"})
    (task,) = api.query("SELECT Who.Name, Who.Type FROM Task WHERE Who.Type = 'Lead'").json["records"]
    assert (task["Who"]["Name"], task["Who"]["Type"]) == ("Tobias Funke", "Lead")
    assert task["Who"]["attributes"] == {"type": "Name", "url": f"{BASE}/sobjects/Lead/{lead}"}
    (found,) = api.query("SELECT Owner.Name, Owner.Type FROM Lead").json["records"]
    assert (found["Owner"]["Name"], found["Owner"]["Type"]) == ("Inbound", "Group")


def test_values_are_shown_as_the_vendor_types_them(people):
    """Datetimes end in +0000 with milliseconds, numbers are floats, empty text is null."""
    (cem,) = people.query("SELECT CreatedDate, Drip_Run__c, Title, IsDeleted FROM Contact WHERE Drip_Run__c = 2").json[
        "records"
    ]
    assert re.fullmatch(r"2026-11-24T10:00:00\.\d{3}\+0000", cem["CreatedDate"])
    assert isinstance(cem["Drip_Run__c"], float)
    assert cem["Title"] is None
    assert cem["IsDeleted"] is False


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Email = 'ann@EXAMPLE.com'", ["Ann"]),
        ("Email = null", ["Bob", "Cem"]),
        ("Email != 'ann@example.com'", ["Bob", "Cem"]),
        ("Email = ''", ["Bob", "Cem"]),
        ("LastName LIKE 'lo%'", ["Bob"]),
        (r"LastName LIKE '%100\%%'", ["Cem"]),
        ("FirstName IN ('Ann', 'Cem')", ["Ann", "Cem"]),
        ("FirstName NOT IN ('Ann', 'Cem')", ["Bob"]),
        ("Email NOT IN ('x@example.com')", ["Ann", "Bob", "Cem"]),
        ("Drip_Enrolled__c = true", ["Ann"]),
        ("NOT Drip_Enrolled__c = true", ["Bob", "Cem"]),
        ("Drip_Run__c >= 2", ["Cem"]),
        ("FirstName = 'Bob' OR (FirstName = 'Ann' AND Drip_Enrolled__c = false)", ["Bob"]),
        ("CreatedDate > 2026-11-24T09:30:00Z", ["Cem"]),
        ("CreatedDate > 2026-11-24T10:30:00+01:00", ["Cem"]),
        ("Account.Name = 'bluth company'", ["Ann"]),
        ("AccountId IN (SELECT Id FROM Account WHERE Owner.Name = 'Admin')", ["Ann"]),
        ("Id NOT IN (SELECT WhoId FROM Task)", ["Ann", "Bob", "Cem"]),
        ("SystemModstamp > 2026-11-24T09:30:00Z OR (SystemModstamp = 2026-11-24T08:00:00Z AND Id > '')", None),
        ("SystemModstamp > 2026-11-24T09:30:00Z OR (SystemModstamp >= 2026-11-24T09:00:00Z AND FirstName = 'Bob')",
         ["Bob", "Cem"]),
    ],
)  # fmt: skip
def test_a_condition_finds(people, where, found):
    """Each condition finds exactly these first names; None is a condition that is refused."""
    answer = people.query(f"SELECT FirstName FROM Contact WHERE {where} ORDER BY FirstName")
    if found is None:
        assert answer.status == 400
    else:
        assert [record["FirstName"] for record in answer.json["records"]] == found


def test_a_quote_in_a_string_is_escaped(api):
    r"""\' inside a literal is a quote, so that O'Brien is found."""
    api.contact(LastName="O'Brien")
    assert api.names(r"SELECT Name FROM Contact WHERE LastName = 'O\'Brien'") == ["O'Brien"]


def test_an_id_of_15_characters_finds_the_record(people):
    """Ids compare in their short form too."""
    assert people.names(f"SELECT Name FROM Contact WHERE Id = '{people.bob[:15]}'") == ["Bob Loblaw"]


def test_children_come_as_a_block_and_null_when_there_are_none(api):
    """A subquery's limit holds for each parent."""
    first = api.org.insert("Drip_Sequence__c", {"Name": "First"})
    api.org.insert("Drip_Sequence__c", {"Name": "Second"})
    for order in (1, 3, 2):
        step = {"Drip_Sequence__c": first, "Drip_Order__c": order, "Drip_Active__c": False}
        api.org.insert("Drip_Step__c", step)
    answer = api.query(
        "SELECT Name, (SELECT Drip_Order__c FROM Drip_Steps__r ORDER BY Drip_Order__c LIMIT 2)"
        " FROM Drip_Sequence__c ORDER BY Name"
    )
    one, two = answer.json["records"]
    assert [step["Drip_Order__c"] for step in one["Drip_Steps__r"]["records"]] == [1.0, 2.0]
    assert one["Drip_Steps__r"]["totalSize"] == 2
    assert two["Drip_Steps__r"] is None


def test_count_gives_only_the_total(people):
    """SELECT COUNT() has no records."""
    assert people.query("SELECT COUNT() FROM Contact").json == {"totalSize": 3, "done": True, "records": []}


def test_order_puts_nulls_where_asked(people):
    """Nulls come first unless NULLS LAST is written."""
    assert people.names("SELECT Name FROM Contact ORDER BY Email NULLS LAST, FirstName")[0] == "Ann Veal"
    assert people.names("SELECT Name FROM Contact ORDER BY Email DESC, FirstName")[0] == "Bob Loblaw"


def test_limit_and_offset_cut_the_result(people):
    """OFFSET skips, LIMIT ends."""
    assert people.names("SELECT Name FROM Contact ORDER BY FirstName LIMIT 1 OFFSET 1") == ["Bob Loblaw"]


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        ("SELECT Id, Foo FROM Contact", "INVALID_FIELD", "No such column 'Foo' on entity 'Contact'."),
        ("SELECT Id, Drip_Body__c FROM Contact", "INVALID_FIELD", "ERROR at Row:1:Column:12"),
        ("SELECT Id, Boss.Name FROM Contact", "INVALID_FIELD", "Didn't understand relationship 'Boss' in field path."),
        ("SELECT Id FROM Foo", "INVALID_TYPE", "sObject type 'Foo' is not supported."),
        ("SELECT Id FROM Task WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered in a query call"),
        ("SELECT Id FROM Contact WHERE CreatedDate > '2026-01-01'", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Contact WHERE LastName = 5", "INVALID_FIELD", "must be of type string"),
        ("SELECT Id FROM Contact WHERE Id = 'nobody'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: nobody"),
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Contact WHERE A = 1 AND B = 2 OR C = 3", "MALFORMED_QUERY", "parentheses"),
        ("SELECT Id FROM Contact WHERE CreatedDate = TODAY", "MALFORMED_QUERY", "unexpected token: 'TODAY'"),
        ("SELECT Id FROM Contact GROUP BY Id", "MALFORMED_QUERY", "unexpected token: 'GROUP'"),
        ("SELECT MAX(CreatedDate) FROM Contact", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Contact WHERE Name = 'x", "MALFORMED_QUERY", "ERROR at Row:1"),
        ("SELECT Id FROM Contact WHERE Name = 'it's'", "MALFORMED_QUERY", "ERROR at Row:1"),
        ("SELECT Id, Id FROM Contact", "INVALID_FIELD", "duplicate field selected: Id"),
        ("DELETE FROM Contact", "MALFORMED_QUERY", "expecting 'SELECT'"),
        ("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
    ],
)
def test_a_query_is_refused(api, soql, code, words):
    """Every refusal is a 400 with the vendor's code and message."""
    answer = api.query(soql)
    assert (answer.status, answer.code) == (400, code)
    assert words in answer.message


def test_a_refused_query_points_at_the_place(api):
    """The message shows the query, a caret under the unknown column, and the column number."""
    message = api.query("SELECT Id, Foo FROM Contact").message
    _, shown, caret, place, _ = message.split("\n")
    assert shown[caret.index("^") :].startswith("Foo")
    assert place == f"ERROR at Row:1:Column:{shown.index('Foo') + 1}"


def test_a_query_longer_than_100_000_characters_is_refused(api):
    """The limit holds for queries inside composite requests, where no URL limit stops them."""
    soql = f"SELECT Id FROM Contact WHERE LastName IN ({','.join(['null'] * 25_000)})"
    body = {"compositeRequest": [{"method": "GET", "url": f"{BASE}/query?q={soql}", "referenceId": "q"}]}
    (inner,) = api.call("POST", "/composite", body).json["compositeResponse"]
    assert (inner["httpStatusCode"], inner["body"][0]["errorCode"]) == (400, "MALFORMED_QUERY")


class TestPages:
    """Results longer than a page."""

    @pytest.fixture
    def many(self, api):
        """An org with 2,500 contacts."""
        api.org.seed("Contact", [{"LastName": f"P{n:04}"} for n in range(2_500)])
        return api

    def test_a_page_has_2000_rows_and_a_way_to_the_next(self, many):
        """Following nextRecordsUrl until done gives every row once, in order."""
        first = many.query("SELECT Name FROM Contact ORDER BY Name").json
        assert (first["totalSize"], first["done"], len(first["records"])) == (2_500, False, 2_000)
        last = many.more(first["nextRecordsUrl"]).json
        assert last["done"] is True
        assert "nextRecordsUrl" not in last
        names = [record["Name"] for record in first["records"] + last["records"]]
        assert names == [f"P{n:04}" for n in range(2_500)]

    def test_the_batch_size_asked_for_is_honoured_within_bounds(self, many):
        """A batchSize below 200 is 200."""
        for asked, given in (("500", 500), ("10", 200), ("9999", 2_000)):
            answer = many.query("SELECT Id FROM Contact", sforce_query_options=f"batchSize={asked}")
            assert len(answer.json["records"]) == given

    def test_a_locator_gives_the_same_page_again(self, many):
        """A repeated request for a page loses nothing."""
        url = many.query("SELECT Id FROM Contact").json["nextRecordsUrl"]
        assert many.more(url).json == many.more(url).json

    def test_a_row_that_changes_between_pages_stays_in_its_place(self, many):
        """The rows of a cursor are fixed when it opens, their values are not."""
        first = many.query("SELECT Id, Title FROM Contact ORDER BY SystemModstamp, Id").json
        moved = many.org.select("SELECT Id FROM Contact ORDER BY SystemModstamp DESC, Id DESC LIMIT 1")[0]["Id"]
        many.org.update(moved, {"Title": "changed"})
        last = many.more(first["nextRecordsUrl"]).json
        assert last["records"][-1]["Id"] == moved
        assert last["records"][-1]["Title"] == "changed"

    def test_an_unknown_locator_is_refused(self, api):
        """So is one that names no cursor of this org."""
        answer = api.more(f"{BASE}/query/01g000000000000AAA-2000")
        assert (answer.status, answer.code) == (400, "INVALID_QUERY_LOCATOR")

    def test_a_cursor_lives_two_days(self, many):
        """After two days its locator is unknown."""
        url = many.query("SELECT Id FROM Contact").json["nextRecordsUrl"]
        many.clock.move(days=2, seconds=1)
        many.token = many.org.sessions.open(many.org.integration_user_id)
        assert many.more(url).code == "INVALID_QUERY_LOCATOR"


class TestDeleted:
    """query hides what queryAll shows."""

    def test_deleted_rows_show_only_in_query_all(self, people):
        """IsDeleted is true there."""
        people.org.delete(people.bob)
        assert "Bob Loblaw" not in people.names("SELECT Name FROM Contact")
        assert people.names("SELECT Name FROM Contact WHERE IsDeleted = true", "queryAll") == ["Bob Loblaw"]

    def test_archived_tasks_show_only_in_query_all(self, api):
        """Closed tasks are archived after a year, open ones never."""
        for status in ("Completed", "Not Started"):
            api.org.insert("Task", {"Subject": status, "Status": status, "ActivityDate": BEGIN - timedelta(days=400)})
        assert api.org.archive_activities(BEGIN - timedelta(days=365)) == 1
        hidden = api.query("SELECT Subject FROM Task").json["records"]
        assert [task["Subject"] for task in hidden] == ["Not Started"]
        shown = api.query("SELECT Subject, IsArchived FROM Task ORDER BY Subject", "queryAll").json["records"]
        assert [(task["Subject"], task["IsArchived"]) for task in shown] == [
            ("Completed", True),
            ("Not Started", False),
        ]


class TestPlans:
    """Delta reads walk the index on stamps, whatever else could be used."""

    def plan(self, api, soql: str) -> str:
        """How SQLite runs the query."""
        seen: list[str] = []
        api.org.store.db.set_trace_callback(seen.append)
        assert api.query(soql).status == 200
        api.org.store.db.set_trace_callback(None)
        statement = next(text for text in reversed(seen) if text.startswith("SELECT t."))
        return " ".join(row[3] for row in api.org.store.db.execute(f"EXPLAIN QUERY PLAN {statement}"))

    def test_a_delta_query_walks_the_stamps_without_sorting(self, api):
        """Also when the sequence has an index of its own."""
        sequence = api.org.insert("Drip_Sequence__c", {"Name": "S"})
        plan = self.plan(
            api,
            f"SELECT Id FROM Contact WHERE Drip_Sequence__c IN ('{sequence}') AND SystemModstamp > 2026-01-01T00:00:00Z"
            " AND (Drip_Enrolled__c = true OR Drip_Status__c != null) ORDER BY SystemModstamp, Id LIMIT 2000",
        )
        assert "USING INDEX Contact_SystemModstamp (SystemModstamp>?)" in plan
        assert "TEMP B-TREE" not in plan

    def test_ids_are_searched_by_their_own_index(self, api):
        """Also when a stamp is given with them."""
        contact = api.contact()
        plan = self.plan(
            api, f"SELECT Id FROM Contact WHERE Id IN ('{contact}') AND SystemModstamp > 2026-01-01T00:00:00Z"
        )
        assert "USING INDEX Contact_Id (Id=?)" in plan


def test_the_object_group_can_be_read_although_its_name_is_a_keyword(api: Api) -> None:
    """SELECT ... FROM Group is valid SOQL."""
    api.org.insert("Group", {"Name": "Inbound queue", "Type": "Queue"})
    assert [row["Name"] for row in api.org.select("SELECT Name FROM Group WHERE Type = 'Queue'")] == ["Inbound queue"]
