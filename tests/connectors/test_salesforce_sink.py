"""What the Salesforce sink does about each way a row can be refused (B21), and in how many calls."""

from __future__ import annotations

import dataclasses

import orjson
import pytest
from salesforce_driver import SalesforceDriver, error_body
from salesforce_peer import SalesforcePeer, load_mapping

from connectors.salesforce.sink import SalesforceSink
from connectors.salesforce.source import SalesforceSource
from crmdrip.core.errors import ErrorClass, RetriableError
from crmdrip.core.model import RecordKind
from crmdrip.core.struct import replace
from crmdrip.ports import BounceWrite, ControlWrite, OptOutWrite
from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.testing.crm import AT, read_all, status_write, task_write, write_all


@pytest.fixture
def peer():
    with SalesforcePeer() as peer:
        yield peer


@pytest.fixture
def crm(peer):
    return SalesforceDriver(peer)


@pytest.fixture
def source(peer):
    source = peer.source()
    source.identity()  # what the sink plans by is read here, so that tests count its own calls
    return source


@pytest.fixture
def sink(peer, source):
    return peer.sink(source)


@pytest.fixture
def person(crm):
    return crm.add_person(RecordKind.CONTACT, email="ann@acme.example", enrolled=True)


def test_a_thousand_touches_take_two_calls(peer, crm, sink) -> None:
    """P5: 1,000 statuses and 1,000 tasks are ten collections, five to a call."""
    rows = [{"LastName": f"P{n}", "Email": f"p{n}@acme.example"} for n in range(1000)]
    ids = peer.do("seed", "Contact", rows)
    refs = [replace(crm.add_person(RecordKind.CONTACT, email="x@acme.example"), id=one) for one in ids]
    writes = [status_write(ref, f"s{n}") for n, ref in enumerate(refs)]
    writes += [task_write(ref, f"{n:032x}", f"t{n}") for n, ref in enumerate(refs)]
    before = peer.calls()
    outcomes = write_all(sink, *writes)
    assert {outcome.error for outcome in outcomes.values()} == {None}
    assert len(outcomes) == 2000
    assert peer.calls() - before == 2


def test_status_opt_out_and_bounce_of_one_record_are_one_row(peer, sink, crm, person) -> None:
    """A collection may not hold an id twice; three writes to one record still take one call."""
    before = peer.calls()
    writes = [
        status_write(person),
        OptOutWrite(key="o", ref=person),
        BounceWrite(key="b", ref=person, reason="", at=AT),
    ]
    assert {one.error for one in write_all(sink, *writes).values()} == {None}
    assert peer.calls() - before == 1
    assert crm.read(person, "bounced_reason") == "bounced"


def test_the_newer_of_two_statuses_wins(sink, crm, person) -> None:
    """Two writes of one record in one batch: both are settled, the later one stands."""
    outcomes = write_all(sink, status_write(person, "a"), status_write(person, "b", status="Finished", enrolled=False))
    assert {key: one.error for key, one in outcomes.items()} == {"a": None, "b": None}
    assert (crm.read(person, "status"), crm.read(person, "enrolled")) == ("Finished", False)


def test_a_refused_status_does_not_hold_up_the_opt_out(peer, sink, crm, person) -> None:
    """B21, B22: of a joined row that a rule refuses, each write is tried alone."""
    peer.do("add_validation_rule", "Contact", lambda row: row["Drip_Status__c"] == "Stopped", "No stopping here")
    outcomes = write_all(sink, status_write(person, status="Stopped"), OptOutWrite(key="o", ref=person))
    assert outcomes["status"].error is ErrorClass.REJECTED
    assert outcomes["o"].error is None
    assert crm.read(person, "opted_out") is True


def test_a_lead_keeps_its_owner(peer, crm, sink) -> None:
    """An update would run the org's assignment rules and give the lead away; the header prevents it."""
    lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example")
    owner = crm.read(lead, "owner")
    peer.do("activate_lead_assignment", crm.add_user("Rob Robin", "rob@acme.example", active=True))
    assert write_all(sink, status_write(lead))["status"].error is None
    assert crm.read(lead, "owner") == owner


def test_a_task_of_an_inactive_owner_is_written_all_the_same(crm, sink, person) -> None:
    """B16, B21: INACTIVE_OWNER_OR_USER falls back to our own user as the task's owner."""
    gone = crm.add_user("Lou Left", "lou@acme.example", active=False)
    assert write_all(sink, task_write(person, "a" * 32, owner_id=gone))["task"].error is None
    (entry,) = crm.timeline(person)
    assert entry["owner"] != gone


def test_a_task_shows_what_was_sent_and_whence(crm, sink, person) -> None:
    """The timeline entry: subject with our mark, body, day, step, sequence, run."""
    owner = crm.add_user("Rita Rep", "rita@acme.example", active=True)
    write_all(sink, task_write(person, "a" * 32, owner_id=owner))
    (entry,) = crm.timeline(person)
    shown = {word: entry[word] for word in ("subject", "body", "date", "step", "sequence", "run", "subtype", "type")}
    assert shown == {
        "subject": "[Drip] [Email] [Out] Quick question",
        "body": "Hello.",
        "date": "2026-11-03",
        "step": "1 of 4",
        "sequence": "Intro",
        "run": 1,
        "subtype": "Email",
        "type": "Email",
    }
    assert (entry["owner"], entry["status"]) == (owner, "Completed")


def test_texts_are_cut_to_what_their_fields_hold(crm, sink, person) -> None:
    """255 characters of subject and 32,000 of body; more would be STRING_TOO_LONG."""
    write = task_write(person, "a" * 32, subject="s" * 400, body="b" * 40_000)
    assert write_all(sink, write)["task"].error is None
    (entry,) = crm.timeline(person)
    assert (len(entry["subject"]), len(entry["body"])) == (255, 32_000)


def test_a_text_the_org_finds_too_long_is_cut_and_sent_again(peer, crm, sink, person) -> None:
    """STRING_TOO_LONG names the limit; the row goes out once more, cut to it."""
    refusal = {
        "success": False,
        "errors": [
            {
                "statusCode": "STRING_TOO_LONG",
                "message": "Reason: data value too large: xxx (max length=10)",
                "fields": ["Drip_Reason__c"],
            }
        ],
    }
    _answer_once(peer, refusal)
    assert write_all(sink, status_write(person, reason="0123456789abc"))["status"].error is None
    assert crm.read(person, "reason") == "0123456789"


def test_a_converted_leads_touch_follows_to_the_contact(crm, sink) -> None:
    """B11, P6: a touch whose lead was converted before the write-back stands on the contact's timeline."""
    lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example")
    contact = crm.convert(lead, opportunity=False)
    assert write_all(sink, task_write(lead, "a" * 32))["task"].error is None
    assert [entry["touch_id"] for entry in crm.timeline(contact)] == ["a" * 32]


def test_a_merged_contacts_touch_follows_to_the_winner(crm, sink, person) -> None:
    """B12, P6: a touch whose record was merged away stands on the winner's timeline."""
    winner = crm.add_person(RecordKind.CONTACT, email="ann@acme.example")
    crm.merge(winner, person)
    assert write_all(sink, task_write(person, "a" * 32))["task"].error is None
    assert [entry["touch_id"] for entry in crm.timeline(winner)] == ["a" * 32]


def test_a_touch_of_a_deleted_record_is_skipped(crm, sink, person) -> None:
    """B14: there is no timeline left to write to, and the record is not brought back."""
    crm.delete(person.id)
    assert write_all(sink, task_write(person, "a" * 32))["task"].error is ErrorClass.SKIPPABLE


def test_a_repeated_touch_brings_its_outcome_up_to_date(crm, sink, person) -> None:
    """What became known since the first try is written; nothing else of the entry changes."""
    write_all(sink, task_write(person, "a" * 32, outcome="In doubt"))
    write_all(sink, task_write(person, "a" * 32, outcome="Sent", subject="Another"))
    (entry,) = crm.timeline(person)
    assert (entry["outcome"], entry["subject"]) == ("Sent", "[Drip] [Email] [Out] Quick question")


def test_a_duplicate_that_names_no_field_is_looked_up(peer, crm, sink, person) -> None:
    """The vendor may write <unknown>: only a touch that really stands is settled."""
    duplicate = {
        "success": False,
        "errors": [
            {
                "statusCode": "DUPLICATE_VALUE",
                "message": "duplicate value found: <unknown> duplicates value on record with id: <unknown>",
                "fields": [],
            }
        ],
    }
    _answer_once(peer, duplicate)
    assert write_all(sink, task_write(person, "a" * 32))["task"].error is ErrorClass.REJECTED
    write_all(sink, task_write(person, "a" * 32))
    _answer_once(peer, duplicate)
    assert write_all(sink, task_write(person, "a" * 32))["task"].error is None
    assert len(crm.timeline(person)) == 1


def test_a_batch_that_fails_as_a_whole_is_narrowed_down(peer, crm, sink) -> None:
    """B21: one row makes the org refuse the whole batch; the others are written, in halves."""
    refs = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example") for n in range(8)]
    poison = refs[5].id

    def refuse(request):
        parts = orjson.loads(request.body)["compositeRequest"] if b"PATCH" in request.body else []
        bad = {part["referenceId"] for part in parts if poison in str(part["body"])}
        if not bad:
            return None
        good = [part for part in parts if part["referenceId"] not in bad]
        answers = [_part_answer(name, 400, error_body("JSON_PARSER_ERROR", "bad row")) for name in bad]
        if good:
            passed = replace(request, body=orjson.dumps({"compositeRequest": good}))
            answers += orjson.loads(peer.org._rest._answer(passed, 2000).body)["compositeResponse"]
        return Fault(kind=FaultKind.ANSWER, status=200, body=orjson.dumps({"compositeResponse": answers}).decode())

    peer.org.faults.predicate = refuse
    found = write_all(sink, *(status_write(ref, str(n)) for n, ref in enumerate(refs)))
    assert {key: one.error for key, one in found.items()} == {
        **{str(n): None for n in range(8)},
        "5": ErrorClass.REJECTED,
    }


def test_a_call_that_runs_too_long_is_sent_in_smaller_ones(peer, crm, sink) -> None:
    """An org whose triggers cannot take a thousand rows at once still gets all of them."""
    refs = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example") for n in range(3)]
    writes = [status_write(ref, f"s{n}") for n, ref in enumerate(refs)]
    writes += [task_write(ref, f"{n:032x}", f"t{n}") for n, ref in enumerate(refs)]
    peer.org.faults.predicate = lambda request: (
        Fault(kind=FaultKind.ANSWER, status=503, body="busy") if request.body.count(b'"records"') > 1 else None
    )
    assert {one.error for one in write_all(sink, *writes).values()} == {None}


def test_a_field_hidden_in_between_is_left_out(peer, crm, sink, person) -> None:
    """B21: a field that only people read is hidden while we run; the rest is still written, without a restart."""
    peer.do("hide_field", "Contact", "Drip_Reason__c")
    assert write_all(sink, status_write(person))["status"].error is None
    assert crm.read(person, "status") == "Active"


def test_a_needed_field_hidden_in_between_is_named(peer, sink, crm, person) -> None:
    """B21: without the status field a status write is a configuration error that names it; tasks are not harmed."""
    peer.do("hide_field", "Contact", "Drip_Status__c")
    outcomes = write_all(sink, status_write(person), task_write(person, "a" * 32))
    assert outcomes["status"].error is ErrorClass.CONFIGURATION
    assert "Contact.Drip_Status__c" in outcomes["status"].detail
    assert outcomes["task"].error is None
    peer.do("show_field", "Contact", "Drip_Status__c")
    assert write_all(sink, status_write(person))["status"].error is None


def test_a_full_storage_waits_for_whoever_makes_room(peer, crm, sink, person) -> None:
    """B21: storage full refuses new tasks for as long as that takes; statuses are still written."""
    peer.do("fill_storage")
    outcomes = write_all(sink, status_write(person), task_write(person, "a" * 32))
    assert (outcomes["task"].error, outcomes["status"].error) == (ErrorClass.CONFIGURATION, None)


def test_maintenance_delays_every_write(peer, crm, sink, person) -> None:
    """B20, B21: during a site switch everything can be read and nothing written; nothing is parked for it."""
    peer.do("begin_maintenance")
    writes = [status_write(person), task_write(person, "a" * 32)]
    assert {one.error for one in write_all(sink, *writes).values()} == {ErrorClass.RETRIABLE}
    peer.do("end_maintenance")
    assert {one.error for one in write_all(sink, *writes).values()} == {None}


def test_a_record_in_an_approval_waits_for_the_decision(peer, crm, sink, person) -> None:
    """B21: the record is locked for days; what is owed to it is never parked, and its touches are logged meanwhile."""
    peer.do("submit_for_approval", person.id)
    outcomes = write_all(sink, status_write(person), task_write(person, "a" * 32))
    assert (outcomes["status"].error, outcomes["task"].error) == (ErrorClass.CONFIGURATION, None)
    peer.do("decide_approval", person.id)
    assert write_all(sink, status_write(person))["status"].error is None


def test_a_task_of_somebody_who_cannot_own_tasks_is_written_all_the_same(peer, crm, sink, person) -> None:
    """B16, B21: the record belongs to a portal or Chatter user."""
    visitor = crm.add_user("Cho Chatter", "cho@acme.example", active=True)
    peer.thread.call(lambda: peer.org.store.update("User", visitor, {"UserType": "CsnOnly"}))
    assert write_all(sink, task_write(person, "a" * 32, owner_id=visitor))["task"].error is None
    (entry,) = crm.timeline(person)
    assert entry["owner"] == peer.org.integration_user_id


def test_a_trigger_that_cannot_take_so_many_rows_gets_fewer(peer, crm, sink) -> None:
    """B21: a trigger that is not written for 200 rows fails for each of them, and would for ever."""
    refs = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example") for n in range(60)]
    peer.do("add_heavy_trigger", "Contact", 7)
    outcomes = write_all(sink, *(status_write(ref, str(n)) for n, ref in enumerate(refs)))
    assert {one.error for one in outcomes.values()} == {None}
    assert {crm.read(ref, "status") for ref in refs} == {"Active"}
    before = peer.calls()
    write_all(sink, *(status_write(ref, str(n)) for n, ref in enumerate(refs)))
    assert peer.calls() - before == 2  # it is remembered: nine collections of seven, five a call


def test_rows_that_the_trigger_takes_in_no_number_wait(peer, crm, sink) -> None:
    """B21: even alone each runs into the limit: all are tried again later, and afterwards not for ever one by one."""
    refs = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example") for n in range(30)]
    writes = [status_write(ref, str(n)) for n, ref in enumerate(refs)]
    peer.do("add_heavy_trigger", "Contact", 0)
    assert {one.error for one in write_all(sink, *writes).values()} == {ErrorClass.RETRIABLE}
    peer.do("add_heavy_trigger", "Contact", 200)
    before = peer.calls()
    assert {one.error for one in write_all(sink, *writes).values()} == {None}
    assert peer.calls() - before == 1


@pytest.mark.parametrize("supported", [False, True])
def test_a_task_of_a_queue_is_the_queues_where_it_may_own_tasks(peer, crm, sink, supported) -> None:
    """B21: queues own leads; whether tasks as well is up to the admin. The touch is logged in any case."""
    queue = crm.add_queue("Inbound")
    if supported:
        peer.do("let_own_tasks", queue)
    lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example", owner=queue)
    assert write_all(sink, task_write(lead, "a" * 32, owner_id=queue))["task"].error is None
    (entry,) = crm.timeline(lead)
    assert entry["owner"] == (queue if supported else peer.org.integration_user_id)


@pytest.mark.parametrize(
    "refusal",
    [
        ("TRANSFER_REQUIRES_READ", "The new owner must have read permission", []),
        ("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "insufficient access rights on cross-reference id", []),
        ("INVALID_CROSS_REFERENCE_KEY", "Assigned To ID: id value of incorrect type", ["OwnerId"]),
    ],
)
def test_a_task_whose_owner_is_refused_goes_to_our_own_user(peer, crm, sink, person, refusal) -> None:
    """B21: a touch has to reach a timeline, whoever it may not be assigned to."""
    rita = crm.add_user("Rita Rep", "rita@acme.example", active=True)
    code, message, fields = refusal
    _answer_once(peer, {"success": False, "errors": [{"statusCode": code, "message": message, "fields": fields}]})
    assert write_all(sink, task_write(person, "a" * 32, owner_id=rita))["task"].error is None
    (entry,) = crm.timeline(person)
    assert entry["owner"] == peer.org.integration_user_id


def test_a_task_goes_without_a_type_that_the_org_does_not_take(peer, crm, sink, person) -> None:
    """B21: an admin has deactivated Email among the types of tasks, and restricted the picklist."""
    peer.do("restrict_picklist", "Task", "Type", ["Call", "Meeting"])
    assert write_all(sink, task_write(person, "a" * 32))["task"].error is None
    (entry,) = crm.timeline(person)
    assert (entry["type"], entry["subtype"]) == (None, "Email")


def test_a_task_has_what_this_org_demands_of_every_task(peer, crm, person) -> None:
    """B21: a required field of the org's own, its value given in the mapping."""
    peer.do("add_field", "Task", "Call_Result__c", "string 40 required")
    mapping = load_mapping()
    own = {**mapping.values, "new_task": {"call_result__c": "Sent", "Not_There__c": "x"}}
    sink = SalesforceSink(SalesforceSource(peer.client(), dataclasses.replace(mapping, values=own)))
    assert write_all(sink, task_write(person, "a" * 32))["task"].error is None
    (row,) = peer.do("select", "SELECT Call_Result__c FROM Task")
    assert row["Call_Result__c"] == "Sent"


@pytest.mark.parametrize("code", ["CANNOT_EXECUTE_FLOW_TRIGGER", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"])
@pytest.mark.parametrize(
    "answer",
    [
        ("UNABLE_TO_LOCK_ROW, unable to obtain exclusive access to this record", ErrorClass.RETRIABLE),
        ("We can't save this record because the flow failed.", ErrorClass.REJECTED),
    ],
)
def test_what_a_flow_refuses_is_tried_again_where_it_was_a_lock(peer, sink, person, code, answer) -> None:
    """B21: a flow or trigger says so in its text only."""
    text, known = answer
    _answer_once(peer, {"success": False, "errors": [{"statusCode": code, "message": text, "fields": []}]})
    assert write_all(sink, status_write(person))["status"].error is known


def test_a_duplicate_rule_does_not_refuse_a_status(peer, crm, sink, person) -> None:
    """An active duplicate rule on contacts refuses API edits unless told to save."""
    crm.add_person(RecordKind.CONTACT, email="ann@acme.example")
    peer.org.records.duplicate_rules.add("Contact")
    assert write_all(sink, status_write(person))["status"].error is None


def test_what_was_not_yielded_was_not_settled(peer, crm, sink, person) -> None:
    """A refused call raises before any outcome of it is given."""
    peer.org.faults.add(Fault(kind=FaultKind.ANSWER, path="/composite", times=None, status=503, body="<html>"))
    with pytest.raises(RetriableError):
        next(iter(sink.write([status_write(person)])))
    assert crm.read(person, "status") is None


def test_our_writes_do_not_come_back_as_a_persons_change(source, sink, person) -> None:
    """What we wrote is pulled once, with our status in it, and then never again."""
    cursor = read_all(source).cursor
    write_all(sink, status_write(person))
    first = read_all(source, cursor)
    assert first.records[person.id].status == "Active"
    assert read_all(source, first.cursor).records == {}


def _answer_once(peer, row: dict) -> None:
    """The next collection of one row gets this result in place of the work."""
    done = []

    def refuse(request):
        if b'"records":[' not in request.body or done:
            return None
        done.append(request)
        (part,) = orjson.loads(request.body)["compositeRequest"]
        answers = [_part_answer(part["referenceId"], 200, orjson.dumps([row]).decode())]
        return Fault(kind=FaultKind.ANSWER, status=200, body=orjson.dumps({"compositeResponse": answers}).decode())

    peer.org.faults.predicate = refuse


def _part_answer(name: str, status: int, body: str) -> dict:
    return {"body": orjson.loads(body), "httpHeaders": {}, "httpStatusCode": status, "referenceId": name}


def test_the_control_record_is_made_with_a_name(peer, sink) -> None:
    """Admins look for the emergency brake; without a name Salesforce would list it by its id. A new name stays."""
    beat = ControlWrite(key="c", heartbeat=AT, calls_used=None, calls_limit=None, state="Running.")
    write_all(sink, beat)
    (row,) = peer.do("select", "SELECT Id, Name FROM Drip_Control__c")
    assert row["Name"] == "Emergency brake"
    peer.do("update", row["Id"], {"Name": "Stop everything"})
    write_all(sink, beat)
    assert peer.one(row["Id"])["Name"] == "Stop everything"
