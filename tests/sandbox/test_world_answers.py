"""How answers arrive in the sandbox, what each stops, and what mail programs and gateways do by themselves."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import orjson
import pytest
from mailroom import ALL, EVENTS_URL, HOST, MAIL_URL, read_form
from world_stage import MONDAY, Stage

from crmdrip.sandbox.courier import Done, Errand, Outcome
from crmdrip.sandbox.http import Request
from crmdrip.sandbox.sendgrid import AcceptedEmail
from crmdrip.sandbox.world import Deed, Habits, StopKind, Trait
from crmdrip.sandbox.world.answers import Answer, Way
from crmdrip.sandbox.world.engagement import is_scanned
from crmdrip.sandbox.world.letters import Truth, Who


class Post:
    """Takes what the mail provider posts; `status` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.errands: list[Errand] = []

    def __call__(self, errand: Errand, done: Done) -> None:
        """Answer at once."""
        self.errands.append(errand)
        done(Outcome(status=self.status, problem="" if self.status < 300 else "refused"))

    def events(self) -> list[dict[str, Any]]:
        """Everything the Event Webhook got."""
        return [each for errand in self.errands if errand.url == EVENTS_URL for each in orjson.loads(errand.body)]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def ask(stage: Stage, path: str, body: object) -> None:
    answer = stage.account.handle(
        Request(
            method="POST",
            path=f"/v3/user/webhooks{path}",
            raw_query="",
            headers={"authorization": "Bearer key"},
            body=orjson.dumps(body),
        )
    )
    assert answer.status == 201, answer.body


def open_parse(stage: Stage) -> Post:
    """Answers to the reply host are posted from now on."""
    post = Post()
    stage.account.deliveries.post = post
    ask(stage, "/parse/settings", {"hostname": HOST, "url": MAIL_URL, "send_raw": True})
    return post


def open_events(stage: Stage) -> Post:
    post = Post()
    stage.account.deliveries.post = post
    ask(stage, "/event/settings", {"url": EVENTS_URL, **ALL})
    return post


def advance(stage: Stage, **units: float) -> None:
    now = stage.clock() + timedelta(**units)
    stage.world.advance(now)
    stage.account.advance(now)


def answer(stage: Stage, email: AcceptedEmail, truth: Truth, who: Who = Who.SELF) -> Answer:
    row = stage.actions.records_at(email.to)[0]
    return stage.actions.answer(truth, stage.world.occasion(email, row, Random(1)), Random(1), who)


def kinds(stage: Stage, address: str) -> list[StopKind]:
    return [stop.kind for stop in stage.world.stops.of(address)]


# --- by which way -----------------------------------------------------------------------------------------------------


def test_without_a_reply_host_an_answer_is_logged_in_the_crm(stage: Stage) -> None:
    """On every record of the sender, with headers, text and the thread it belongs to."""
    one, other = stage.twins()
    email = stage.send(one.address, "t1")
    found = answer(stage, email, Truth.REPLY)
    fields = "Incoming FromAddress TextBody Headers MessageIdentifier ThreadIdentifier"
    (row,) = stage.rows("EmailMessage", fields, f"WHERE Id = '{found.record_id}'")
    related = stage.rows("EmailMessageRelation", "RelationId", f"WHERE EmailMessageId = '{found.record_id}'")
    assert found.way is Way.CRM
    assert row["Incoming"] is True
    assert row["MessageIdentifier"] == found.message_id
    assert "In-Reply-To: <0@acme.example>" in row["Headers"]
    assert {each["RelationId"] for each in related} == {one.id, other.id}


def test_an_answer_to_a_reply_host_is_posted_to_its_webhook(stage: Stage) -> None:
    """The address by which it came stands in the envelope; the CRM sees nothing of it."""
    post = open_parse(stage)
    person = stage.ordinary()
    email = stage.send(person.address, "t1", reply_to=f"reply+t1@{HOST}")
    found = answer(stage, email, Truth.REPLY)
    advance(stage, seconds=0)
    form = read_form(post.errands[0])
    assert (found.way, found.record_id) == (Way.INBOUND_PARSE, "")
    assert orjson.loads(form["envelope"])["to"] == [f"reply+t1@{HOST}"]
    assert found.message_id.encode() in form["email"]
    assert stage.rows("EmailMessage", "Id") == []


def test_each_answer_keeps_its_truth(stage: Stage) -> None:
    """By the touch it answers, with language and shape."""
    person = stage.ordinary()
    email = stage.send(person.address, "t1")
    for truth in Truth:
        answer(stage, email, truth)
    kept = stage.actions.answers.of("t1")
    assert [each.truth for each in kept] == list(Truth)
    assert all(each.address == person.address and each.language and each.shape for each in kept)
    assert stage.actions.answers.of("") == []


def test_a_mailto_unsubscribe_goes_to_the_link_s_address(stage: Stage) -> None:
    """With the subject it asks for."""
    person = stage.ordinary()
    email = stage.send(person.address, "t1")
    occasion = stage.world.occasion(email, stage.actions.record(person.id) | {}, Random(1))
    stage.actions.unsubscribe_by_mail(occasion, Random(1))
    (row,) = stage.rows("EmailMessage", "ToAddress Subject")
    assert (row["ToAddress"], row["Subject"]) == ("u1@acme.example", "unsubscribe")


# --- what stops -------------------------------------------------------------------------------------------------------

PARSED = [
    (Truth.REPLY, Who.SELF, [StopKind.REPLY]),
    (Truth.REPLY, Who.ALIAS, [StopKind.REPLY]),
    (Truth.REPLY, Who.COLLEAGUE, []),
    (Truth.UNSUBSCRIBE, Who.SELF, [StopKind.UNSUBSCRIBE]),
    (Truth.LEFT_COMPANY, Who.SELF, []),
    (Truth.BOUNCE, Who.SELF, [StopKind.BOUNCE]),
    (Truth.OUT_OF_OFFICE, Who.SELF, []),
    (Truth.AUTO_REPLY, Who.SELF, []),
    (Truth.CALENDAR, Who.SELF, []),
    (Truth.RECEIPT, Who.SELF, []),
]


@pytest.mark.parametrize(("truth", "who", "stops"), PARSED)
def test_an_answer_by_webhook_stops_what_its_truth_stops(
    stage: Stage, truth: Truth, who: Who, stops: list[StopKind]
) -> None:
    """Only what a person wants, and what makes the address useless (B6, B7, B8, B22)."""
    open_parse(stage)
    person = stage.ordinary()
    answer(stage, stage.send(person.address, "t1", reply_to=f"reply+t1@{HOST}"), truth, who)
    advance(stage, seconds=0)
    assert kinds(stage, person.address) == stops


def test_nothing_is_stopped_before_the_webhook_was_answered_with_success(stage: Stage) -> None:
    """Until then nobody can know; the retry makes it known (P2)."""
    post = open_parse(stage)
    post.status = 503
    person = stage.ordinary()
    answer(stage, stage.send(person.address, "t1", reply_to=f"reply+t1@{HOST}"), Truth.REPLY)
    advance(stage, seconds=0)
    assert kinds(stage, person.address) == []
    post.status = 200
    advance(stage, minutes=1)
    assert kinds(stage, person.address) == [StopKind.REPLY]


def test_by_the_crm_a_reply_is_all_that_an_answer_can_be(stage: Stage) -> None:
    """Email-to-Salesforce knows the sender's address and nothing else."""
    person = stage.ordinary()
    email = stage.send(person.address, "t1")
    for truth in (Truth.LEFT_COMPANY, Truth.OUT_OF_OFFICE):
        answer(stage, email, truth)
    assert kinds(stage, person.address) == []
    answer(stage, email, Truth.UNSUBSCRIBE)
    assert kinds(stage, person.address) == [StopKind.REPLY]


# --- the world --------------------------------------------------------------------------------------------------------

WRITING = [Deed.REPLY, Deed.REMOVE_ME, Deed.OUT_OF_OFFICE, Deed.AUTO_REPLY, Deed.LEFT_COMPANY, Deed.CALENDAR]


def lively() -> Stage:
    """A world in which everybody answers somehow."""
    return Stage(people=300, habits=Habits(**{deed.value: 1 / len(WRITING) for deed in WRITING}))


def write_to_everybody(stage: Stage, **headers: str) -> None:
    for person in list(stage.world.people.values()):
        if person.address and Trait.MALFORMED not in person.traits:
            stage.send(person.address, f"t-{person.id}", **headers)


def test_a_seed_answers_the_same_way_twice() -> None:
    """Letter by letter."""

    def play() -> list[Answer]:
        stage = lively()
        write_to_everybody(stage)
        stage.world.advance(MONDAY + timedelta(days=5))
        return stage.actions.answers.all

    assert play() == play() != []


def test_people_answer_in_their_own_language() -> None:
    """Ten of them, most in English."""
    stage = lively()
    write_to_everybody(stage)
    stage.world.advance(MONDAY + timedelta(days=5))
    found = {each.language for each in stage.actions.answers.all}
    assert found == {"en", "de", "fr", "es", "pt", "it", "nl", "pl", "sv", "ja"}


def test_aliases_and_colleagues_answer_where_a_token_leads_back() -> None:
    """Their addresses alone would lead nowhere."""
    stage = lively()
    open_parse(stage)
    write_to_everybody(stage, reply_to=f"reply+x@{HOST}")
    advance(stage, days=5)
    assert {each.who for each in stage.actions.answers.all} == set(Who)


def test_a_report_by_mail_needs_a_reply_host(stage: Stage) -> None:
    """Without one the provider alone hears of the bounce."""
    stage = Stage(habits=Habits(**{"returned": 1.0, **{d.value: 0.0 for d in WRITING}}))
    person = stage.ordinary()
    stage.send(person.address, "t1")
    stage.world.advance(MONDAY + timedelta(days=1))
    assert stage.actions.answers.all == []
    assert kinds(stage, person.address) == [StopKind.BOUNCE]


# --- mail programs and gateways ---------------------------------------------------------------------------------------


def test_servers_and_mail_programs_make_events(stage: Stage) -> None:
    """Deliveries, deferrals and opens; those of a proxy are marked, and nothing else is."""
    post = open_events(stage)
    write_to_everybody(stage)
    for _ in range(3):
        advance(stage, days=1)
    found = post.events()
    kinds_found = {event["event"] for event in found}
    assert {"processed", "delivered", "deferred", "open", "click", "bounce"} <= kinds_found
    machine = [event for event in found if event.get("sg_machine_open")]
    assert machine
    assert {event["event"] for event in machine} == {"open"}
    assert all("sg_machine_open" not in event for event in found if event not in machine)


def test_a_dead_mailbox_has_no_delivery(stage: Stage) -> None:
    """Its server refuses."""
    post = open_events(stage)
    person = stage.world.find(Trait.DEAD_MAILBOX)[0]
    stage.send(person.address, "t1")
    advance(stage, days=1)
    advance(stage, days=1)
    assert [event["event"] for event in post.events() if event["event"] != "deferred"] == ["processed", "bounce"]


def test_a_gateway_looks_at_the_unsubscribe_link_and_presses_nothing() -> None:
    """B22: a GET never unsubscribes, so nobody is stopped by it."""
    stage = Stage()
    looked: list[str] = []
    stage.world.engagement._scan = looked.append
    person = next(p for p in stage.world.people.values() if not p.traits and is_scanned(p.address.split("@")[1]))
    stage.send(person.address, "t1")
    stage.world.advance(MONDAY + timedelta(hours=1))
    assert looked == ["http://127.0.0.1:9/u/1"]
    assert kinds(stage, person.address) == []
