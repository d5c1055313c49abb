"""How the Salesforce source reads: calls, overlap, pages, signals, merge fields, and what an org may lack."""

from __future__ import annotations

import tomllib
from datetime import timedelta

import pytest
from salesforce_driver import SalesforceDriver
from salesforce_peer import MAPPING, SalesforcePeer

from connectors.salesforce.merge_fields import resolve
from connectors.salesforce.source import SalesforceSource
from crmdrip.core.errors import ConfigurationError, RetriableError
from crmdrip.core.mapping import parse_mapping
from crmdrip.core.model import RecordKind, SignalKind
from crmdrip.ports import Capability, ControlWrite
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.testing.crm import AT, read_all, status_write, task_write, write_all

NO_PATHS: frozenset[str] = frozenset()


@pytest.fixture
def peer():
    with SalesforcePeer() as peer:
        yield peer


@pytest.fixture
def crm(peer):
    return SalesforceDriver(peer)


@pytest.fixture
def source(peer):
    return peer.source()


@pytest.fixture
def sequence(crm):
    return crm.add_sequence("Intro", ["Hello"])


@pytest.fixture
def person(crm, sequence):
    return crm.add_person(RecordKind.CONTACT, email="ann@acme.example", enrolled=True, sequence=sequence)


def _signals(source, cursor):
    return [(one.kind, one.record_id, one.address, one.detail) for one in read_all(source, cursor).signals]


# --- calls ----------------------------------------------------------------------------------------------------------


def test_a_last_look_is_one_call(peer, crm, source, person) -> None:
    """P5: contacts, leads, three kinds of signals and the brake in one."""
    crm.set_brake(pulled=False)
    lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example")
    cursor = read_all(source).cursor
    before = peer.calls()
    look = source.look([person, lead], frozenset({"first_name"}), cursor)
    assert set(look.records) == {person.id, lead.id}
    assert look.brake is not None
    assert peer.calls() - before == 1


def test_the_first_use_reads_the_whole_org_in_one_call(peer, source) -> None:
    """Describes, org, statuses and control record together."""
    source.identity()
    assert peer.calls() == 1


def test_two_objects_pages_are_read_in_the_same_call(peer, crm, source, sequence) -> None:
    """P5: the following pages of contacts and leads come together."""
    for kind in RecordKind:
        for n in range(20):
            crm.add_person(kind, email=f"p{n}@acme.example", enrolled=True, sequence=sequence)
    source.identity()
    crm.short_pages(10)
    before = peer.calls()
    assert len(read_all(source).records) == 40
    assert peer.calls() - before == 2


# --- what changed ---------------------------------------------------------------------------------------------------


def test_a_row_committed_late_under_an_old_stamp_is_seen(peer, crm, source, sequence) -> None:
    """A transaction of nine minutes commits rows older than the cursor; the overlap finds them."""
    peer.clock.move(hours=1)
    cursor = read_all(source).cursor
    late = {"LastName": "Late", "Email": "late@acme.example", "Drip_Enrolled__c": True, "Drip_Sequence__c": sequence}
    (contact,) = peer.do("seed", "Contact", [late], at=peer.clock.now() - timedelta(minutes=9))
    assert contact in read_all(source, cursor).records


def test_the_overlap_is_not_given_out_twice(peer, crm, source, person) -> None:
    """What was read again and has not changed is left out, until it is older than the overlap."""
    reading = read_all(source)
    assert person.id in reading.records
    for _ in range(15):
        peer.clock.move(minutes=1)
        reading = read_all(source, reading.cursor)
        assert reading.records == {}


def test_a_crowded_overlap_is_not_paged_through_each_time(peer, crm, source, sequence) -> None:
    """After an import of thousands the full overlap is read now and then, not with every pull."""
    rows = [{"LastName": f"P{n}", "Drip_Enrolled__c": True, "Drip_Sequence__c": sequence} for n in range(2500)]
    cursor = read_all(source).cursor
    peer.do("seed", "Contact", rows)
    crm.set_brake(pulled=False)
    reading = read_all(source, cursor)
    assert len(reading.records) == 2500
    calls = []
    for _ in range(6):
        peer.clock.move(minutes=1, seconds=30)
        before = peer.calls()
        reading = read_all(source, reading.cursor)
        assert reading.records == {}
        calls.append(peer.calls() - before)
    assert calls == [3, 1, 1, 1, 2, 1]


def test_an_expired_page_is_asked_for_from_the_last_row(peer, crm, source, sequence) -> None:
    """INVALID_QUERY_LOCATOR in the middle of a reading loses nobody."""
    everybody = {
        crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example", enrolled=True, sequence=sequence).id
        for n in range(25)
    }
    crm.short_pages(10)
    pages = source.pull(None)
    seen = {record.ref.id for record in next(pages).records}
    peer.clock.move(days=3)  # cursors live for two days
    peer.thread.call(peer.org.faults.clear)
    for page in pages:
        seen |= {record.ref.id for record in page.records}
    assert seen == everybody


def test_rows_of_one_stamp_are_split_over_pages_without_loss(peer, crm, sequence) -> None:
    """B20: thousands of one transaction share a stamp; going on in a new process takes them by id."""
    rows = [{"LastName": f"P{n}", "Drip_Enrolled__c": True, "Drip_Sequence__c": sequence} for n in range(100)]
    everybody = set(peer.do("seed", "Contact", rows))
    crm.short_pages(30)
    cursor, seen = None, set()
    for _ in range(4):
        page = next(iter(peer.source().pull(cursor)))
        seen |= {record.ref.id for record in page.records}
        cursor = page.cursor
    assert seen == everybody


def test_a_new_process_reads_sequences_again(peer, crm, source, sequence) -> None:
    """What the ledger holds of sequences is refreshed at each start, one deleted in between included."""
    other = crm.add_sequence("Other", ["Hi"])
    cursor = read_all(source).cursor
    peer.clock.move(days=1)
    crm.delete(other)
    reading = read_all(peer.source(), cursor)
    assert set(reading.sequences) == {sequence}
    assert reading.removed == {other}


def test_picklist_words_come_as_ours(peer, source, sequence) -> None:
    """What the CRM calls Business Days is business_days here, by the mapping."""
    (row,) = peer.do("select", "SELECT Id FROM Drip_Step__c")
    peer.do("update", row["Id"], {"Drip_Delay_Unit__c": "Business Days"})
    (step,) = read_all(source).sequences[sequence].steps
    assert step.fields["delay_unit"] == "business_days"
    assert step.fields["kind"] == "email"


def test_a_cursor_of_another_org_is_refused(peer, source) -> None:
    """B25: a sandbox copied from production has another id; its ledger is not this org's."""
    cursor = read_all(source).cursor
    with SalesforcePeer(org_id="00DDr0000000002") as copy, pytest.raises(ConfigurationError, match="a copy of it"):
        read_all(copy.source(), cursor)


def test_another_org_than_the_configured_one_is_neither_read_nor_written(peer) -> None:
    """B25: with org_id set, a copy of the org answers in vain, whatever it is asked."""
    source = peer.source(org_id="00DDr0000000009")
    sink = peer.sink(source)
    for question in (source.identity, lambda: read_all(source), lambda: source.look([], NO_PATHS, None)):
        with pytest.raises(ConfigurationError, match="only 00DDr0000000009 may be mailed from"):
            question()
    with pytest.raises(ConfigurationError, match="Nothing is sent or written"):
        write_all(sink, ControlWrite(key="control", heartbeat=AT, calls_used=None, calls_limit=None, state="Running."))


@pytest.mark.parametrize("cursor", ["", "nonsense", "{}", '{"v":9}', "[]"])
def test_a_cursor_that_is_none_is_refused(source, cursor) -> None:
    """A damaged cursor never silently means the beginning."""
    with pytest.raises(ConfigurationError, match="cursor"):
        read_all(source, cursor)


def test_the_stop_condition_is_read_beside_the_record(peer, crm, source, sequence, person) -> None:
    """The field that the sequence's Stop When names comes as text, in pull and look, from the first reading on."""
    peer.do("update", sequence, {"Drip_Stop_When__c": "Title = Retired"})
    crm.change(person, title="Retired")
    assert source.look([person], NO_PATHS, None).records[person.id].stop_field == "Retired"
    assert read_all(source).records[person.id].stop_field == "Retired"


def test_a_stop_condition_on_a_field_leads_alone_have(peer, crm, source, sequence, person) -> None:
    """Status exists on leads only: contacts of the same sequence are read all the same."""
    peer.do("update", sequence, {"Drip_Stop_When__c": "status = Closed"})
    lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example", enrolled=True, sequence=sequence)
    records = read_all(source).records
    assert (records[lead.id].stop_field, records[person.id].stop_field) == ("Open - Not Contacted", "")


def test_a_stop_condition_on_a_field_nobody_has_is_a_problem_of_the_sequence(peer, source, sequence) -> None:
    """B17: misspelled, it would never be met, and email would go out to whom it should stop."""
    peer.do("update", sequence, {"Drip_Stop_When__c": "Statuss = Closed"})
    (problem,) = read_all(source).sequences[sequence].problems
    assert "Stop When names the field Statuss, which is not there or hidden." in problem


# --- signals --------------------------------------------------------------------------------------------------------


def test_a_call_logged_afterwards_is_no_meeting(peer, crm, source, person) -> None:
    """An event that lay in the past when it was entered was not booked."""
    cursor = read_all(source).cursor
    past = (peer.clock.now() - timedelta(hours=2)).isoformat()
    event = {"WhoId": person.id, "Subject": "Call", "StartDateTime": past, "DurationInMinutes": 30}
    peer.do("insert", "Event", event)
    assert _signals(source, cursor) == []


def test_an_all_day_event_of_today_is_a_meeting(peer, crm, source, person) -> None:
    """It begins at midnight, before it was entered, and is still to come."""
    cursor = read_all(source).cursor
    event = {"WhoId": person.id, "Subject": "Visit", "IsAllDayEvent": True, "ActivityDate": "2026-11-02"}
    peer.do("insert", "Event", {**event, "DurationInMinutes": 1440})
    assert _signals(source, cursor) == [(SignalKind.MEETING, person.id, None, "Visit")]


def test_a_private_event_is_nobodys_business(peer, source, person) -> None:
    """Private events are not read."""
    cursor = read_all(source).cursor
    start = (peer.clock.now() + timedelta(days=2)).isoformat()
    event = {"WhoId": person.id, "Subject": "Doctor", "StartDateTime": start, "DurationInMinutes": 30}
    peer.do("insert", "Event", {**event, "IsPrivate": True})
    assert _signals(source, cursor) == []


def test_a_logged_reply_is_a_signal_with_address_and_record(peer, source, person) -> None:
    """P2: incoming email logged in Salesforce, by its sender's address and record; outgoing mail is not."""
    cursor = read_all(source).cursor
    mail = {"FromAddress": "Ann@Acme.example", "Subject": "Re: Hello", "Incoming": True, "Status": "0"}
    message = peer.do("insert", "EmailMessage", mail)
    relation = {"EmailMessageId": message, "RelationId": person.id, "RelationType": "FromAddress"}
    peer.do("insert", "EmailMessageRelation", relation)
    peer.do("insert", "EmailMessage", {**mail, "Incoming": False})
    found = [(SignalKind.REPLY, person.id, "ann@acme.example", "Re: Hello")]
    assert [(o.kind, o.record_id, o.address, o.detail) for o in source.look([], NO_PATHS, cursor).signals] == found
    assert _signals(source, cursor) == found


def test_a_logged_auto_reply_is_no_reply(peer, source, person) -> None:
    """B8: the headers say that a machine answered, the subject says why."""
    cursor = read_all(source).cursor
    mail = {"FromAddress": "ann@acme.example", "Subject": "Away", "Incoming": True, "Status": "0"}
    answered = {**mail, "Headers": "From: ann@acme.example\nAuto-Submitted: auto-replied\n"}
    peer.do("insert", "EmailMessage", answered)
    peer.do("insert", "EmailMessage", {**answered, "Subject": "Request 4711"})
    peer.do("insert", "EmailMessage", {**mail, "Headers": "Auto-Submitted: no\n", "Subject": "Here"})
    kinds = {detail: kind for kind, _, _, detail in _signals(source, cursor)}
    assert kinds == {
        "Away": SignalKind.OUT_OF_OFFICE,
        "Request 4711": SignalKind.AUTO_REPLY,
        "Here": SignalKind.REPLY,
    }


def test_an_old_opportunity_keeps_its_age(peer, crm, source, person) -> None:
    """A contact role added to an old deal is dated by the deal, so that it does not stop a newer run."""
    deal = {"Name": "Old", "StageName": "Prospecting", "CloseDate": "2027-01-31"}
    opportunity = peer.do("insert", "Opportunity", deal)
    opened = peer.clock.now()
    peer.clock.move(days=30)
    cursor = read_all(source).cursor
    peer.do("insert", "OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": person.id})
    (signal,) = read_all(source, cursor).signals
    assert signal.at == opened


def test_an_object_the_org_refuses_is_not_asked_again(peer, crm, source, person) -> None:
    """Without access to opportunities the pull goes on, and the rest of the signals too."""
    cursor = read_all(source).cursor
    peer.do("hide_field", "OpportunityContactRole", "ContactId")
    crm.book_meeting(person, "Demo")
    for _ in range(2):
        assert [kind for kind, *_ in _signals(source, cursor)] == [SignalKind.MEETING]


def test_an_org_without_leads_and_email_messages_is_read_all_the_same(peer, crm, sequence, person) -> None:
    """What is switched off in the mapping is neither asked for nor missed."""
    document = tomllib.loads(MAPPING.read_text())
    document["objects"].update(lead="", email_message="", event="", opportunity_role="", account="")
    source = SalesforceSource(peer.client(), parse_mapping("own.toml", document))
    reading = read_all(source, read_all(source).cursor)
    assert reading.records == {}
    assert Capability.LEADS not in source.capabilities()
    assert set(source.look([person], NO_PATHS, reading.cursor).records) == {person.id}


def test_every_name_comes_from_the_mapping(peer, crm) -> None:
    """An org with names of its own: box, sequence and status under other API names."""
    for name, text in (("Nurture__c", "boolean"), ("Cadence__c", "reference to=Drip_Sequence__c rel=Cadence__r")):
        peer.do("add_field", "Contact", name, text)
    document = tomllib.loads(MAPPING.read_text())
    document["contact"].update(enrolled="Nurture__c", sequence="Cadence__c")
    source = SalesforceSource(peer.client(), parse_mapping("own.toml", document))
    sequence = crm.add_sequence("Intro", ["Hello"])
    fields = {"LastName": "Own", "Email": "own@acme.example", "Nurture__c": True, "Cadence__c": sequence}
    contact = peer.do("insert", "Contact", fields)
    record = read_all(source).records[contact]
    assert (record.enrolled, record.sequence_id) == (True, sequence)


# --- merge fields, owners, brake ------------------------------------------------------------------------------------


def test_merge_fields_of_account_and_owner_take_one_more_call_at_most(peer, crm, source, person) -> None:
    """P5: many people share an account; it is read once and remembered for some minutes."""
    account = peer.do("insert", "Account", {"Name": "Acme", "Industry": "Energy"})
    peer.do("update", person.id, {"AccountId": account})
    owner = crm.add_user("Rita Rep", "rita@acme.example", active=True)
    crm.change(person, owner=owner)
    paths = frozenset({"account.name", "account.Industry", "owner.name", "company", "FirstName"})
    source.identity()
    fields = source.look([person], paths, None).records[person.id].fields
    assert fields == {
        "account.name": "Acme",
        "account.Industry": "Energy",
        "owner.name": "Rita Rep",
        "company": "Acme",
        "FirstName": None,
    }
    crm.set_brake(pulled=False)
    source.look([person], paths, None)
    before = peer.calls()
    source.look([person], paths, None)
    assert peer.calls() - before == 1
    peer.do("update", account, {"Name": "Acme Ltd"})
    peer.clock.move(minutes=6)
    assert source.look([person], paths, None).records[person.id].fields["account.name"] == "Acme Ltd"


def test_owners_come_with_the_accounts_of_a_look(peer, crm, source, person) -> None:
    """P5: whoever looks asks for the owners next, and that takes no call of its own."""
    account = peer.do("insert", "Account", {"Name": "Acme"})
    owner = crm.add_user("Rita Rep", "rita@acme.example", active=True)
    peer.do("update", person.id, {"AccountId": account, "OwnerId": owner})
    source.look([], NO_PATHS, None)
    before = peer.calls()
    source.look([person], frozenset({"account.name"}), None)
    assert source.owners([owner])[owner].email == "rita@acme.example"
    assert peer.calls() - before == 2


def test_a_leads_own_fields_stand_in_for_its_account(crm, source) -> None:
    """One template serves leads and contacts: a lead's company is its account's name."""
    lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example")
    fields = source.look([lead], frozenset({"account.name", "company"}), None).records[lead.id].fields
    assert fields == {"account.name": "Acme", "company": "Acme"}


def test_a_field_one_kind_lacks_is_empty_there(crm, source, person) -> None:
    """B24: a lead has no department: that is a missing value, not an error."""
    lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example")
    crm.change(person, department="Sales")
    records = source.look([person, lead], frozenset({"department"}), None).records
    assert (records[person.id].fields, records[lead.id].fields) == ({"department": "Sales"}, {"department": None})


@pytest.mark.parametrize("path", ["first_name", "FirstName", "FIRSTNAME", "first-name"])
def test_a_path_is_found_without_case_and_underscores(source, path) -> None:
    """As templates compare them."""
    columns = resolve(source.org.schema(), [path])
    assert {kind: dict(found.own) for kind, found in columns.items()} == {
        RecordKind.CONTACT: {path: "FirstName"},
        RecordKind.LEAD: {path: "FirstName"},
    }


def test_whom_the_email_is_from_is_not_read_from_the_record(source, person) -> None:
    """sender.name is known by whoever sends."""
    assert source.look([person], frozenset({"sender.name"}), None).records[person.id].fields == {}


def test_the_brake_names_the_person_and_never_us(peer, crm, source, sequence) -> None:
    """A heartbeat after the pull of the brake does not make us the one who pulled it."""
    sink = peer.sink(source)
    pulled_by = crm.add_user("Paula Puller", "paula@acme.example", active=True)
    crm.set_brake(pulled=False)
    cursor = read_all(source).cursor
    (row,) = peer.do("select", "SELECT Id FROM Drip_Control__c")
    peer.do("update", row["Id"], {"Drip_Brake__c": True}, by=pulled_by)
    reading = read_all(source, cursor)
    write_all(sink, ControlWrite(key="c", heartbeat=AT, calls_used=1, calls_limit=2, state="Paused."))
    again = read_all(source, reading.cursor)
    assert [(brake.pulled, brake.by) for brake in (*reading.brakes, *again.brakes)] == [(True, "Paula Puller")] * 2


def test_a_deleted_control_record_is_no_pulled_brake(peer, crm, source, sequence) -> None:
    """Deleted and made anew: the brake on the new record counts."""
    crm.set_brake(pulled=True)
    cursor = read_all(source).cursor
    (row,) = peer.do("select", "SELECT Id FROM Drip_Control__c")
    peer.do("delete", row["Id"])
    assert [brake.pulled for brake in read_all(source, cursor).brakes] == [False]
    crm.set_brake(pulled=True)
    assert [brake.pulled for brake in read_all(source, cursor).brakes] == [True]


def test_touches_include_archived_and_deleted_ones(peer, crm, source, person) -> None:
    """P6: an email was sent, whatever became of its entry on the timeline since."""
    sink = peer.sink(source)
    write_all(sink, task_write(person, "a" * 32), task_write(person, "b" * 32, "k"))
    peer.do("archive_activities", peer.clock.now() + timedelta(days=30))
    (first, _) = [row["Id"] for row in peer.do("select", "SELECT Id FROM Task ORDER BY Id", everything=True)]
    peer.do("delete", first)
    assert {touch.touch_id for page, _ in source.touches(None) for touch in page} == {"a" * 32, "b" * 32}


def test_touches_come_in_pages_of_two_thousand(peer, crm, source, person) -> None:
    """P6: a rebuild of many touches is one call per 2,000, each with a cursor to go on from."""
    rows = [
        {"WhoId": person.id, "Subject": "x", "Drip_Touch_Id__c": f"{n:032x}", "Status": "Completed"}
        for n in range(2500)
    ]
    peer.do("seed", "Task", rows)
    source.identity()
    before = peer.calls()
    pages = [(len(page), cursor) for page, cursor in source.touches(None)]
    assert [size for size, _ in pages] == [2000, 500]
    assert peer.calls() - before == 3
    assert [len(page) for page, _ in source.touches(pages[0][1])] == [500]


def test_a_status_of_ours_keeps_a_person_in_the_pull(peer, crm, source, person) -> None:
    """Unticked people with a status are pulled, so that an untick is never missed."""
    write_all(peer.sink(source), status_write(person, enrolled=False))
    assert not read_all(peer.source()).records[person.id].enrolled


def test_a_read_that_is_refused_for_a_field_looks_at_the_fields_again(peer, crm, source, person) -> None:
    """A field that is hidden while we run and that nothing depends on is left out from then on."""
    cursor = read_all(source).cursor
    peer.do("hide_field", "Contact", "MailingState")
    assert source.look([person], NO_PATHS, cursor).records[person.id].state == ""


def test_a_field_that_does_not_come_is_never_read_as_unticked(peer, crm, source, person) -> None:
    """P4, B26: an answer without the opt-out field is an error, not a person who did not opt out."""
    source.identity()
    original = peer.org.collections.retrieve

    def without(*args):
        return [{k: v for k, v in row.items() if k != "HasOptedOutOfEmail"} for row in original(*args)]

    peer.org.collections.retrieve = without
    with pytest.raises(ConfigurationError, match="HasOptedOutOfEmail"):
        source.look([person], NO_PATHS, None)


def test_a_part_that_fails_for_now_fails_the_pull(peer, crm, source, person) -> None:
    """P4: a signal that could not be asked for just now is not taken as "nothing happened"."""
    cursor = read_all(source).cursor
    original = peer.org.queries.run

    def run(soql, **kwargs):
        if " FROM Event " in soql:
            raise Refusal("QUERY_TIMEOUT", "Your query request was running for too long.")
        return original(soql, **kwargs)

    peer.org.queries.run = run
    crm.book_meeting(person, "Demo")
    for ask in (lambda: read_all(source, cursor), lambda: source.look([person], NO_PATHS, cursor)):
        with pytest.raises(RetriableError, match="QUERY_TIMEOUT"):
            ask()
    peer.org.queries.run = original
    assert [kind for kind, *_ in _signals(source, cursor)] == [SignalKind.MEETING]


def test_a_pull_that_breaks_off_before_its_first_page_loses_nothing(peer, crm, source, sequence, person) -> None:
    """B20: the sequences were read, the second page of meetings was not: all of it comes with the next pull."""
    cursor = read_all(source).cursor
    crm.change_step(crm.step_ids(sequence)[0], subject="Changed")
    crm.book_meeting(person, "One")
    crm.book_meeting(person, "Two")
    crm.short_pages(1)
    original = peer.org.queries.more

    def more(*args, **kwargs):
        raise Refusal("QUERY_TIMEOUT", "Your query request was running for too long.")

    peer.org.queries.more = more
    with pytest.raises(RetriableError):
        read_all(source, cursor)
    peer.org.queries.more = original
    reading = read_all(source, cursor)
    assert set(reading.sequences) == {sequence}
    assert [signal.detail for signal in reading.signals] == ["One", "Two"]


def test_a_brake_is_known_without_the_name_of_who_pulled_it(peer, crm, source, person) -> None:
    """P4: the user cannot be read just now; that the brake is pulled is known all the same."""
    crm.set_brake(pulled=False)
    cursor = read_all(source).cursor
    crm.set_brake(pulled=True)
    original = peer.org.collections.retrieve

    def retrieve(spec, *args):
        if spec.name == "User":
            raise Refusal("QUERY_TIMEOUT", "Your query request was running for too long.")
        return original(spec, *args)

    peer.org.collections.retrieve = retrieve
    brake = source.look([person], NO_PATHS, cursor).brake
    assert (brake.pulled, brake.by) == (True, "")


def test_a_meeting_committed_late_is_in_the_look(peer, crm, source, person) -> None:
    """P2: the look reads signals as far back as the pull does: a row may come to light under an older time."""
    peer.clock.move(hours=1)
    cursor = read_all(source).cursor
    start = peer.clock.now() + timedelta(days=1)
    event = {"WhoId": person.id, "Subject": "Late", "StartDateTime": start, "DurationInMinutes": 30}
    event["IsChild"] = event["IsPrivate"] = False
    peer.do("seed", "Event", [event], at=peer.clock.now() - timedelta(minutes=9))
    assert [signal.detail for signal in source.look([person], NO_PATHS, cursor).signals] == ["Late"]


def test_a_purged_sequence_is_noticed_within_the_hour(peer, crm, source, sequence) -> None:
    """A sequence that is gone without a trace, not even in the recycle bin, is named among the removed."""
    cursor = read_all(source).cursor
    for name in ("Drip_Step__c", "Drip_Sequence__c"):
        peer.thread.call(lambda name=name: peer.org.store.db.execute(f'DELETE FROM "{name}"'))  # noqa: S608 - a stand-in
    peer.clock.move(hours=1)
    assert read_all(source, cursor).removed == {sequence}


def test_an_org_of_millions_is_read_by_an_index(peer, crm, source) -> None:
    """Neither box nor status has one: where the first reading is given up, it asks for people with a sequence."""
    sequence = crm.add_sequence("Intro", ["Hello"])
    ann = crm.add_person(RecordKind.CONTACT, email="ann@acme.example", enrolled=True, sequence=sequence)
    lee = crm.add_person(RecordKind.LEAD, email="lee@acme.example", enrolled=True, sequence=sequence)
    crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
    for name in ("Contact", "Lead"):
        peer.do("grow_large", name)
    first = read_all(source)
    assert set(first.records) == {ann.id, lee.id}
    eve = crm.add_person(RecordKind.CONTACT, email="eve@acme.example", enrolled=True)
    assert set(read_all(source, first.cursor).records) >= {eve.id}
