"""Writing a portal: rows that fail alone, what follows its person, and what stands once whatever happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hubspot_driver import HubSpotDriver
from hubspot_peer import HubSpotPeer, load_mapping

from connectors.hubspot.client import Answer
from connectors.hubspot.rows import Row
from connectors.hubspot.sink import _judge
from connectors.hubspot.source import HubSpotSource
from connectors.hubspot.trail import add_trail
from crmdrip.core.errors import ErrorClass, RetriableError
from crmdrip.core.model import RecordKind
from crmdrip.ports import ControlWrite, OptOutWrite, ReplyWrite, SequenceWrite
from crmdrip.sandbox.hubspot.auth import SCOPES
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN
from crmdrip.sandbox.hubspot.trouble import TROUBLES
from crmdrip.testing.crm import AT, NO_PATHS, status_write, task_write, write_all


@pytest.fixture
def peer(tmp_path):
    """A fresh portal."""
    with HubSpotPeer(tmp_path / "sequences") as peer:
        yield peer


@pytest.fixture
def crm(peer):
    """Whoever works in it."""
    return HubSpotDriver(peer)


@pytest.fixture
def sink(peer):
    """The sink under test."""
    return peer.sink(peer.source())


@pytest.fixture
def person(crm):
    """A contact."""
    return crm.add_person(RecordKind.CONTACT, email="ann@acme.example")


def test_a_hundred_touches_take_two_calls(peer, crm, sink):
    """P5: a hundred statuses in one call and a hundred emails with their contacts in another, which is the floor."""
    people = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example") for n in range(100)]
    write_all(sink, task_write(people[0], "f" * 32))  # who answers, and whether touch ids are keys, is asked once
    before = peer.calls()
    writes = [status_write(ref, f"s{n}") for n, ref in enumerate(people)]
    writes += [task_write(ref, f"{n:032x}", f"t{n}") for n, ref in enumerate(people)]
    outcomes = write_all(sink, *writes)
    assert {one.error for one in outcomes.values()} == {None}
    assert peer.calls() - before == 2


def test_a_touch_stands_as_a_sent_email(peer, sink, person):
    """The timeline shows the subject, the text and when it went out."""
    write_all(sink, task_write(person, "a" * 32))
    (email,) = peer.thread.call(lambda: peer.portal.linked("contacts", person.id, "emails"))
    shown = {name: email.get(name) for name in ("hs_email_direction", "hs_email_status", "hs_email_subject")}
    assert shown == {"hs_email_direction": "EMAIL", "hs_email_status": "SENT", "hs_email_subject": "Quick question"}
    assert email.get("hs_timestamp") == "2026-11-03T09:30:00Z"


def test_an_answer_stands_as_an_email_that_came_in(peer, sink, person):
    """Once, however often it is written."""
    write = ReplyWrite(key="r", reply_id="b" * 32, ref=person, owner_id=None, at=AT, subject="Re: Hi", body="Yes.")
    for _ in range(2):
        assert write_all(sink, write)["r"].error is None
    (email,) = peer.thread.call(lambda: peer.portal.linked("contacts", person.id, "emails"))
    assert (email.get("hs_email_direction"), email.get("hs_email_text")) == ("INCOMING_EMAIL", "Yes.")


def test_a_note_is_a_note(crm, peer, sink, person):
    """Something the person did is neither an email nor a task."""
    write_all(sink, task_write(person, "c" * 32, note=True, subject="Unsubscribed", body="By link."))
    (note,) = peer.thread.call(lambda: peer.portal.linked("contacts", person.id, "notes"))
    assert note.get("hs_note_body") == "Unsubscribed\n\nBy link."


def test_a_touch_follows_its_person_into_a_merge(crm, sink, person):
    """B12: the id it was sent under leads to a third contact, and there it stands."""
    twin = crm.add_person(RecordKind.CONTACT, email="ann.lee@acme.example")
    survivor = crm.merge(twin, person)
    assert write_all(sink, task_write(person, "d" * 32))["task"].error is None
    assert [entry["touch_id"] for entry in crm.timeline(survivor)] == ["d" * 32]


def test_a_touch_of_a_deleted_person_is_skipped(crm, sink, person):
    """B14: there is nobody on whose timeline it could stand."""
    crm.delete(person.id)
    assert write_all(sink, task_write(person, "d" * 32))["task"].error is ErrorClass.SKIPPABLE


def test_an_owner_who_left_is_no_reason_to_lose_a_touch(crm, sink, person):
    """B16: HubSpot gives nothing to an owner whose seat was taken away; the email stands without one."""
    gone = crm.add_user("Lou Left", "lou@acme.example", active=False)
    assert write_all(sink, task_write(person, "e" * 32, owner_id=gone))["task"].error is None
    assert [entry["owner"] for entry in crm.timeline(person)] == [None]


def test_an_opt_out_is_one_for_the_whole_portal(peer, crm, sink, person):
    """B22: it goes through the communication preferences, which the portal's other emails obey as well."""
    assert write_all(sink, OptOutWrite(key="o", ref=person))["o"].error is None
    assert peer.thread.call(lambda: peer.portal.preferences.is_opted_out("ann@acme.example"))


def test_an_opt_out_can_be_one_of_our_type_alone(peer, crm, person):
    """B22: where the portal's admin wants it so, the newsletter goes on; the last look sees it all the same."""
    source = peer.source(subscription_type="1001", opt_out_of="subscription_type")
    peer.portal.preferences.privacy = True
    assert write_all(peer.sink(source), OptOutWrite(key="o", ref=person))["o"].error is None
    assert not peer.thread.call(lambda: peer.portal.preferences.is_opted_out("ann@acme.example"))
    assert source.look([person], NO_PATHS, None).records[person.id].opted_out


def test_an_opt_out_follows_its_person_into_a_merge(peer, crm, sink, person):
    """B12, B22: the contact it was owed to is a third one by now."""
    twin = crm.add_person(RecordKind.CONTACT, email="ann.lee@acme.example")
    survivor = crm.merge(person, twin)
    assert write_all(sink, OptOutWrite(key="o", ref=twin))["o"].error is None
    assert crm.read(survivor, "opted_out") is True


def test_nobody_without_an_address_is_opted_out(peer, sink):
    """There is nothing that could be: the write is not tried again for ever."""
    from crmdrip.core.model import RecordRef

    ref = RecordRef(kind=RecordKind.CONTACT, id=peer.do("create", "contacts", {"lastname": "Lee"}))
    assert write_all(sink, OptOutWrite(key="o", ref=ref))["o"].error is ErrorClass.SKIPPABLE


@pytest.mark.parametrize(
    ("scope", "refused"), [("communication_preferences.read_write", "o"), ("sales-email-read", "mail")]
)
def test_what_the_key_may_not_do_holds_up_nothing_else(peer, crm, person, scope, refused):
    """B21: a scope is missing; the status says so to people, tasks are made, and that one write is tried again."""
    peer.thread.call(lambda: peer.portal.tokens.issue(DEFAULT_TOKEN, SCOPES - {scope}))
    outcomes = write_all(
        peer.sink(peer.source()),
        OptOutWrite(key="o", ref=person),
        status_write(person),
        task_write(person, "a" * 32, "mail"),
        task_write(person, "b" * 32, "task", open=True),
    )
    assert {key for key, one in outcomes.items() if one.error is not None} == {refused}
    assert outcomes[refused].error is ErrorClass.CONFIGURATION
    assert "scopes" in outcomes[refused].detail
    assert crm.read(person, "status") == "Active"


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
def test_refused_rows_are_seen_in_every_version(peer, crm, person, version):
    """B21: with 207 and an errors list, or folded into a 200 that looks like success."""
    sink = peer.sink(peer.source(versions={"objects": version}))
    locked = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
    crm.lock(locked)
    gone = crm.add_person(RecordKind.CONTACT, email="lee@acme.example")
    crm.delete(gone.id)
    outcomes = write_all(sink, *(status_write(ref, ref.id) for ref in (person, locked, gone)))
    assert {key: one.error for key, one in outcomes.items()} == {
        person.id: None,
        locked.id: ErrorClass.RETRIABLE,
        gone.id: ErrorClass.SKIPPABLE,
    }


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
def test_a_repeat_among_new_touches_is_settled_in_every_version(peer, crm, person, version):
    """P1: the one that stands is refused for its key, and the others are made."""
    sink = peer.sink(peer.source(versions={"objects": version}))
    write_all(sink, task_write(person, "a" * 32))
    outcomes = write_all(sink, task_write(person, "a" * 32, "again"), task_write(person, "b" * 32, "new"))
    assert {one.error for one in outcomes.values()} == {None}
    assert sorted(entry["touch_id"] for entry in crm.timeline(person)) == ["a" * 32, "b" * 32]


def test_a_repeat_that_is_refused_in_other_words_is_looked_up_by_its_key(peer, crm, sink, person, monkeypatch):
    """P1: no word of HubSpot's is trusted with it; what stands under the key stands."""
    write_all(sink, task_write(person, "a" * 32))
    monkeypatch.setattr("connectors.hubspot.sink._TAKEN", "ANOTHER_WORD")
    assert write_all(sink, task_write(person, "a" * 32))["task"].error is None
    assert len(crm.timeline(person)) == 1


def test_a_rule_on_new_records_is_shown_in_the_admin_s_words(peer, sink, person):
    """B21: since 2026-09 the portal's validation rules hold for API writes; such a write is parked, not repeated."""
    peer.do("require", "emails", "hs_email_html")
    outcome = write_all(sink, task_write(person, "f" * 32))["task"]
    assert (outcome.error, "hs_email_html is required" in outcome.detail) == (ErrorClass.REJECTED, True)


def test_what_the_portal_demands_of_new_records_is_given_in_the_mapping(peer, crm, person):
    """B21: properties that the create form requires, of emails and of the contact with the brake."""
    peer.do("require", "emails", "hs_email_html")
    peer.do("require", "contacts", "company")
    mapping = load_mapping()
    own = {**mapping.values, "new_email": {"hs_email_html": "<p>-</p>"}, "new_control": {"company": "Us"}}
    sink = peer.sink(HubSpotSource(peer.client(), replace(mapping, values=own)))
    beat = ControlWrite(key="c", heartbeat=AT, calls_used=1, calls_limit=None, state="Running.")
    outcomes = write_all(sink, task_write(person, "f" * 32), beat)
    assert (outcomes["task"].error, outcomes["c"].error) == (None, None)
    assert len(crm.timeline(person)) == 1


def test_two_daemons_make_one_control_contact(peer):
    """Its key has unique values, so the second finds the first one's."""
    beat = ControlWrite(key="c", heartbeat=AT, calls_used=1, calls_limit=None, state="Running.")
    for sink in (peer.sink(peer.source()), peer.sink(peer.source())):
        assert write_all(sink, beat)["c"].error is None
    rows = peer.thread.call(lambda: peer.portal.all("contacts"))
    assert len([row for row in rows if row.get("crmdrip_key")]) == 1


def test_the_progress_of_a_sequence_that_is_gone_is_skipped(sink):
    """Nobody deletes a file for it to come back."""
    write = SequenceWrite(key="s", sequence_id="gone", version="v", error="", counts={})
    assert write_all(sink, write)["s"].error is ErrorClass.SKIPPABLE


def test_a_name_from_outside_leads_to_no_other_folder(peer, sink):
    """B27: a sequence's id is what stands on a contact, which anybody may type."""
    write = SequenceWrite(key="s", sequence_id="../evil", version="v", error="", counts={})
    assert write_all(sink, write)["s"].error is ErrorClass.SKIPPABLE
    assert not (peer.folder.parent / "evil.toml").exists()


def test_a_refusal_that_names_no_row_is_found_by_asking_one_by_one():
    """B21: errors inside a 200, 201 or 207 are never passed over, not even without a label."""
    rows = [Row(writes=(), properties={}, id=str(n)) for n in range(3)]
    answer = Answer(
        body={
            "results": [{"id": "0", "objectWriteTraceId": "0"}],
            "errors": [{"status": "error", "category": "VALIDATION_ERROR", "message": "No."}],
        }
    )
    assert _judge(rows, answer) == ({}, [[rows[1]], [rows[2]]])


class TestCompanies:
    """Touches on the company's timeline too, where that is set."""

    @pytest.fixture
    def sink(self, peer):
        """The sink of a portal whose companies show them."""
        return peer.sink(peer.source(log_on_company=True))

    @pytest.fixture
    def company(self, peer, person):
        """The contact's company."""
        company = peer.do("create", "companies", {"name": "Acme"})
        peer.do("associate", "contacts", person.id, "companies", company)
        return company

    def test_a_touch_stands_on_both_timelines(self, peer, crm, sink, person, company):
        """As one email, associated with both."""
        write_all(sink, task_write(person, "a" * 32))
        (email,) = peer.thread.call(lambda: peer.portal.linked("companies", company, "emails"))
        assert [entry["touch_id"] for entry in crm.timeline(person)] == [email.get("crmdrip_touch_id")]

    def test_a_company_that_is_gone_costs_no_touch(self, peer, crm, sink, person, company):
        """B21: it stands on the contact's then."""
        peer.do("archive", "companies", company)
        assert write_all(sink, task_write(person, "a" * 32))["task"].error is None
        assert len(crm.timeline(person)) == 1


class TestDeals:
    """Touches on the timelines of deals too, where that is set."""

    @pytest.fixture
    def sink(self, peer):
        """The sink of a portal whose deals show them."""
        return peer.sink(peer.source(log_on_deal=True))

    def deal(self, peer, person, stage="appointmentscheduled"):
        """A deal that the contact plays a part in."""
        return peer.do("create", "deals", {"dealname": stage, "dealstage": stage}, contacts=person.id)

    def standing(self, peer, deal, kind="emails"):
        """The touches on its timeline."""
        rows = peer.thread.call(lambda: peer.portal.linked("deals", deal, kind))
        return [row.get("crmdrip_touch_id") for row in rows]

    def test_a_touch_stands_on_every_open_deal_and_on_none_that_is_closed(self, peer, crm, sink, person):
        """As one email, associated with all of them."""
        deals = [self.deal(peer, person, stage) for stage in ("appointmentscheduled", "qualifiedtobuy", "closedlost")]
        write_all(sink, task_write(person, "a" * 32))
        assert [self.standing(peer, deal) for deal in deals] == [["a" * 32], ["a" * 32], []]
        assert len(crm.timeline(person)) == 1

    def test_tasks_and_answers_stand_there_as_well(self, peer, sink, person):
        """Whoever works from the deal sees what there is to do."""
        deal = self.deal(peer, person)
        answer = ReplyWrite(key="r", reply_id="b" * 32, ref=person, owner_id=None, at=AT, subject="Re: Hi", body="Yes.")
        write_all(sink, task_write(person, "a" * 32, open=True), answer)
        assert (self.standing(peer, deal, "tasks"), self.standing(peer, deal)) == (["a" * 32], ["b" * 32])

    def test_unless_it_is_asked_for_a_touch_stands_on_no_deal(self, peer, person):
        """P5: it costs two calls."""
        deal = self.deal(peer, person)
        write_all(peer.sink(peer.source()), task_write(person, "a" * 32))
        assert self.standing(peer, deal) == []

    def test_a_hundred_touches_take_four_calls(self, peer, crm, sink):
        """P5: the deals of a hundred contacts, whether they are open, and the two of the touches themselves."""
        people = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example") for n in range(100)]
        for one in people:
            self.deal(peer, one)
        write_all(sink, task_write(people[0], "f" * 32))
        before = peer.calls()
        writes = [status_write(ref, f"s{n}") for n, ref in enumerate(people)]
        write_all(sink, *writes, *(task_write(ref, f"{n:032x}", f"t{n}") for n, ref in enumerate(people)))
        assert peer.calls() - before == 4

    def test_a_deal_that_is_gone_costs_no_touch(self, peer, crm, sink, person, monkeypatch):
        """B21: it was deleted between its reading and the write; the touch stands on the contact's then."""
        deal = self.deal(peer, person)
        peer.do("archive", "deals", deal)
        monkeypatch.setattr(sink, "_deals", lambda _: {person.id: [deal]})
        assert write_all(sink, task_write(person, "a" * 32))["task"].error is None
        assert len(crm.timeline(person)) == 1

    def test_without_the_scope_for_deals_the_touch_stands_on_the_contact(self, peer, crm, sink, person):
        """B21: what the key may not read costs no touch; the doctor tells."""
        self.deal(peer, person)
        peer.thread.call(lambda: peer.portal.tokens.issue(DEFAULT_TOKEN, SCOPES - {"crm.objects.deals.read"}))
        assert write_all(sink, task_write(person, "a" * 32))["task"].error is None
        assert len(crm.timeline(person)) == 1


class TestWithoutProperties:
    """Where emails can have no property of ours, the touch id stands at the end of their text."""

    @pytest.fixture
    def peer(self, tmp_path):
        """A portal that allows none."""
        with HubSpotPeer(tmp_path / "sequences", timeline=False) as peer:
            yield peer

    def test_a_hundred_touches_take_two_calls_as_well(self, peer, crm, sink):
        """P5: what stands there is read for a thousand contacts in one call."""
        people = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example") for n in range(100)]
        write_all(sink, task_write(people[0], "f" * 32))
        before = peer.calls()
        write_all(sink, *(task_write(ref, f"{n:032x}", f"t{n}") for n, ref in enumerate(people[1:])))
        assert peer.calls() - before == 2

    def test_a_repeat_after_an_unknown_outcome_is_found_without_a_search(self, peer, crm, sink, person):
        """P1: associations are up to date at once, and an index is not."""
        peer.portal.faults.add(replace(TROUBLES["cut_after_commit"], path="/batch/create"))
        with pytest.raises(RetriableError):
            write_all(sink, task_write(person, "a" * 32))
        again = peer.sink(peer.source())
        assert write_all(again, task_write(person, "a" * 32))["task"].error is None
        assert (len(crm.timeline(person)), peer.portal.calls_by_kind["search"]) == (1, 0)

    def test_the_person_s_own_words_make_no_touch(self, peer, person):
        """B27: somebody writes our line into an answer; it is theirs all the same."""
        text = add_trail("Hi", {"touch_id": "a" * 32, "step_id": "x/y"}, 65_536)
        peer.do("log_email", [person.id], {"hs_email_direction": "INCOMING_EMAIL", "hs_email_text": text})
        assert [touch for page, _ in peer.source().touches(None) for touch in page] == []

    def test_a_long_text_leaves_room_for_its_line(self, crm, sink, person):
        """B27: a property has 65,536 characters at most."""
        assert write_all(sink, task_write(person, "a" * 32, body="x" * 100_000))["task"].error is None
        (entry,) = crm.timeline(person)
        assert (entry["touch_id"], len(entry["body"])) == ("a" * 32, 63_536)


def test_times_are_written_to_the_millisecond(crm, sink, person):
    """HubSpot keeps no finer ones."""
    write_all(sink, status_write(person, next_touch=AT + timedelta(microseconds=123_456)))
    assert crm.read(person, "next_touch") == AT + timedelta(milliseconds=123)


class TestDefinitions:
    """An admin tidies the portal's properties."""

    def test_a_property_that_is_only_shown_is_left_out(self, peer, crm, sink, person):
        """B21: Drip Next Touch was archived; status and box are still written, in one call more."""
        peer.do("archive_property", "contacts", "crmdrip_next_touch")
        before = peer.calls()
        assert write_all(sink, status_write(person))["status"].error is None
        assert crm.read(person, "status") == "Active"
        assert peer.calls() - before <= 3

    def test_a_property_that_is_needed_waits_until_it_is_restored(self, peer, crm, sink, person):
        """B21: never parked, since it is mended outside of us; the touch is not harmed."""
        peer.do("archive_property", "contacts", "crmdrip_status")
        outcomes = write_all(sink, status_write(person), task_write(person, "a" * 32))
        assert (outcomes["status"].error, outcomes["task"].error) == (ErrorClass.CONFIGURATION, None)
        assert "crmdrip_status" in outcomes["status"].detail
        peer.do("restore_property", "contacts", "crmdrip_status")
        assert write_all(sink, status_write(person))["status"].error is None

    def test_an_option_that_was_removed_holds_up_nobody_else(self, peer, crm, sink, person):
        """B21: a status that the property does not offer waits; others are written."""
        bob = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
        peer.do("remove_option", "contacts", "crmdrip_status", "Refused")
        outcomes = write_all(sink, status_write(person, "r", status="Refused"), status_write(bob, "s"))
        assert (outcomes["r"].error, outcomes["s"].error) == (ErrorClass.CONFIGURATION, None)

    def test_a_touch_is_logged_without_what_emails_do_not_have(self, peer, crm, sink, person):
        """B21, P6: a touch has to reach a timeline."""
        peer.do("archive_property", "emails", "crmdrip_step")
        assert write_all(sink, task_write(person, "a" * 32))["task"].error is None
        assert [entry["touch_id"] for entry in crm.timeline(person)] == ["a" * 32]
