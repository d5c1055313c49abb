"""Reading a portal: windows, what comes back by itself, what becomes of people, and what happened to them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hubspot_driver import HubSpotDriver
from hubspot_peer import HubSpotPeer, load_mapping
from pydantic import ValidationError

from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.source import HubSpotSource
from connectors.hubspot.values import to_zone
from crmdrip.core.definition import validate
from crmdrip.core.errors import ConfigurationError, RateLimitedError
from crmdrip.core.model import OnElsewhere, RecordKind, Sequence, SignalKind
from crmdrip.ports import ReplyWrite
from crmdrip.sandbox.hubspot import search
from crmdrip.sandbox.hubspot.auth import SCOPES
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN
from crmdrip.sandbox.hubspot.trouble import TROUBLES
from crmdrip.testing.crm import AT, NO_PATHS, read_all, status_write, task_write, write_all

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "hubspot.md"


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
def source(peer):
    """The source under test."""
    return peer.source()


@pytest.fixture
def person(crm):
    """A contact with the box ticked."""
    return crm.add_person(RecordKind.CONTACT, email="ann@acme.example", enrolled=True, sequence="intro")


class TestPull:
    """What changed."""

    def import_all(self, peer, many: int = 450) -> set[str]:
        """An import ticks everybody in one moment."""

        def make() -> set[str]:
            values = {"crmdrip_enrolled": "true", "crmdrip_sequence": "intro"}
            return {peer.portal.create("contacts", {"email": f"p{n}@acme.example", **values}) for n in range(many)}

        everybody = peer.thread.call(make)
        peer.clock.move(seconds=10)
        return everybody

    def test_equal_time_stamps_lose_nobody(self, peer, source):
        """B20: an import changes hundreds in one moment; they come in the order of ids, page by page."""
        everybody = self.import_all(peer)
        reading = read_all(source)
        assert (set(reading.records), len(reading.pages)) == (everybody, 3)

    def test_no_query_is_paged_past_its_cap(self, peer, source, monkeypatch):
        """B10: HubSpot refuses to page past 10,000 results of a query, here past 200; an import has more."""
        monkeypatch.setattr(search, "MOST", 200)
        everybody = self.import_all(peer)
        reading = read_all(source)
        assert set(reading.records) == everybody
        assert set(read_all(peer.source(), reading.cursor).records) >= everybody

    def test_a_429_between_two_pages_loses_nobody(self, peer, source):
        """B20: the cursor of the page before is good, in another process too, and the rest comes after it."""
        everybody, pages = self.import_all(peer), source.pull(None)
        first = next(pages)
        peer.portal.faults.add(replace(TROUBLES["ten_secondly"], path="/contacts/search$", times=None))
        with pytest.raises(RateLimitedError):
            next(pages)
        peer.portal.faults.clear()
        seen = {record.ref.id for record in first.records}
        assert len(seen) == 200
        assert seen | set(read_all(peer.source(), first.cursor).records) == everybody

    def test_a_429_before_the_first_page_is_saved_loses_nobody(self, peer, source, person):
        """B20: whoever comes back with the cursor of before has everything again."""
        cursor = read_all(source).cursor
        peer.do("update", "contacts", person.id, {"email": "ann@new.example"})
        pages = source.pull(cursor)
        assert {record.ref.id for record in next(pages).records} == {person.id}
        pages.close()  # it was given out and never stored
        assert read_all(source, cursor).records[person.id].email == "ann@new.example"

    def test_a_change_that_searches_show_late_is_not_lost(self, peer, source):
        """P2: the index is some seconds behind, so each pull begins some minutes back."""
        cursor = read_all(source).cursor
        values = {"email": "bob@acme.example", "crmdrip_enrolled": "true"}
        late = peer.thread.call(lambda: peer.portal.create("contacts", values))
        peer.clock.move(seconds=1)
        reading = read_all(source, cursor)
        assert late not in reading.records
        peer.clock.move(seconds=10)
        assert late in read_all(source, reading.cursor).records

    def test_our_own_writes_do_not_come_back(self, peer, source, person):
        """P5: a status moves the contact's stamp, and is recognized by its value."""
        cursor = read_all(source).cursor
        write_all(peer.sink(source), status_write(person))
        peer.clock.move(seconds=10)
        assert read_all(source, cursor).records == {}

    def test_a_new_process_still_finds_who_was_deleted(self, peer, crm, source, person):
        """B14: it learns who is in a sequence before it looks whether they are there."""
        cursor = read_all(source).cursor
        again = peer.source()
        cursor = read_all(again, cursor).cursor
        crm.delete(person.id)
        assert read_all(again, cursor).records[person.id].deleted

    def test_whoever_a_look_misses_is_told_by_the_next_pull(self, peer, crm, source, person):
        """B14: without waiting for the turn in which everybody is read by id."""
        cursor = read_all(source).cursor
        peer.do("archive", "contacts", person.id)
        source.look([person], NO_PATHS, cursor)
        assert read_all(source, cursor).records[person.id].deleted

    def test_an_erased_person_comes_as_deleted(self, peer, source, person):
        """B14: after a deletion for privacy nothing is left to read, not even among the archived."""
        cursor = read_all(source).cursor
        peer.do("purge", person.id)
        peer.clock.move(minutes=6)
        record = read_all(source, cursor).records[person.id]
        assert (record.deleted, record.email) == (True, "")

    def test_both_ids_of_a_merge_lead_to_the_third(self, crm, source, person):
        """B12: since 2025 a merge makes a new contact."""
        twin = crm.add_person(RecordKind.CONTACT, email="lee@acme.example", enrolled=True, sequence="intro")
        cursor = read_all(source).cursor
        survivor = crm.merge(twin, person)
        records = read_all(source, cursor).records
        assert {records[one.id].merged_into for one in (twin, person)} == {survivor.id}
        assert records[survivor.id].enrolled

    def test_a_merge_that_a_look_ran_into_is_told(self, peer, crm, source, person):
        """B12: a batch read does not know the old id; the next pull asks what became of it."""
        twin = crm.add_person(RecordKind.CONTACT, email="lee@acme.example")
        read_all(source)
        survivor = crm.merge(twin, person)
        fresh = peer.source()
        cursor = read_all(fresh).cursor
        assert person.id not in fresh.look([person], NO_PATHS, cursor).records
        assert read_all(fresh, cursor).records[person.id].merged_into == survivor.id

    def test_a_cursor_of_another_portal_is_refused(self, source):
        """B25: each portal has a ledger of its own."""
        cursor = read_all(source).cursor.replace("4242424", "1")
        with pytest.raises(ConfigurationError, match="the ledger belongs to the portal 1"):
            read_all(source, cursor)

    def test_a_cursor_that_is_none_is_refused(self, source):
        """It says so, and what to do."""
        with pytest.raises(ConfigurationError, match="cannot be read"):
            read_all(source, "nonsense")


class TestSignals:
    """What happened."""

    def answer(self, peer, person, **values):
        """A mail that came into a rep's connected mailbox."""
        headers = '{"from":{"email":"ann@acme.example"},"to":[{"email":"rita@vendor.example"}]}'
        known = {"hs_email_direction": "INCOMING_EMAIL", "hs_email_headers": headers}
        peer.do("log_email", [person.id], {**known, **values})

    @pytest.mark.parametrize(
        ("mail", "kind"),
        [
            (("Re: Hello", "Sounds good, call me tomorrow."), SignalKind.REPLY),
            (("Automatic reply: Hello", "I am out of office until January 4, 2027."), SignalKind.OUT_OF_OFFICE),
        ],
    )
    def test_an_answer_in_a_connected_mailbox_is_read(self, peer, source, person, mail, kind):
        """B5, B8: HubSpot calls every mail that came back an answer; what it is, its text tells."""
        cursor = read_all(source).cursor
        subject, text = mail
        self.answer(peer, person, hs_email_subject=subject, hs_email_text=text)
        found = source.look([person], NO_PATHS, cursor).signals
        assert [(one.kind, one.record_id, one.detail) for one in found] == [(kind, person.id, subject)]

    def logged(self, peer, person, **values):
        """A mail that a program other than a connected mailbox logs: it stamps nobody."""
        at = peer.clock.now().isoformat()
        known = {"hs_timestamp": at, "hs_email_direction": "INCOMING_EMAIL", "hs_email_subject": "Re: Hello"}
        peer.do("create", "emails", {**known, **values}, contacts=person.id)

    def test_an_answer_that_another_program_logged_comes_with_the_pull(self, peer, source, person):
        """P2: no stamp on the contact tells of it, so the portal's incoming emails are asked for."""
        cursor = read_all(source).cursor
        self.logged(peer, person, hs_email_text="Sounds good, call me tomorrow.")
        reading = read_all(source, cursor)
        assert [(one.kind, one.record_id) for one in reading.signals] == [(SignalKind.REPLY, person.id)]
        assert read_all(source, reading.cursor).signals == []

    def test_an_answer_found_by_its_stamp_and_by_itself_is_one(self, peer, source, person):
        """B23: under the same key."""
        cursor = read_all(source).cursor
        self.answer(peer, person, hs_email_subject="Re: Hello", hs_email_text="Sounds good, call me tomorrow.")
        assert len(read_all(source, cursor).signals) == 1

    def test_what_we_logged_ourselves_is_no_answer(self, peer, source, person):
        """It was heard where it came in; our own outgoing emails are none either."""
        cursor = read_all(source).cursor
        reply = ReplyWrite(key="r", reply_id="b" * 32, ref=person, owner_id=None, at=AT, subject="Re: Hi", body="Yes.")
        write_all(peer.sink(source), reply, task_write(person, "a" * 32))
        peer.clock.move(seconds=10)
        assert read_all(source, cursor).signals == []

    def test_a_pull_that_broke_off_loses_no_signal(self, peer, crm):
        """P2, B20: whoever is on a later page had a meeting long before, while nobody was pulling."""
        source = peer.source(watch_minutes=10_000)
        people = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example", enrolled=True) for n in range(9)]
        cursor = read_all(source).cursor
        crm.book_meeting(people[-1], "Demo")
        for ref in people[:-1]:
            crm.change(ref, first_name="Ann")
        peer.clock.move(hours=3)
        crm.short_pages(4)
        first = next(iter(source.pull(cursor)))
        assert first.signals == ()
        assert [one.detail for one in read_all(peer.source(), first.cursor).signals] == ["Demo"]

    def test_a_canceled_meeting_is_none(self, peer, source, person):
        """Nobody meets there."""
        cursor = read_all(source).cursor
        values = {"hs_timestamp": "2027-11-02T09:00:00Z", "hs_meeting_outcome": "CANCELED"}
        peer.do("create", "meetings", values, contacts=person.id)
        assert read_all(source, cursor).signals == []

    def test_without_the_scope_for_deals_the_pull_goes_on(self, peer, crm, source, person):
        """What the key may not read stops nobody, and the doctor tells."""
        cursor = read_all(source).cursor
        peer.thread.call(lambda: peer.portal.tokens.issue(DEFAULT_TOKEN, SCOPES - {"crm.objects.deals.read"}))
        crm.book_meeting(person, "Demo")
        assert [one.detail for one in read_all(source, cursor).signals] == ["Demo"]
        assert "crm.objects.deals.read" in source.signal_reader.closed["deals"]


class TestLook:
    """The last look."""

    def test_ninety_nine_people_and_the_brake_take_one_call(self, peer, crm, source):
        """P5: the control contact is read with them."""
        crm.set_brake(pulled=False)
        people = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example") for n in range(99)]
        cursor = read_all(source).cursor
        before = peer.calls()
        assert len(source.look(people, NO_PATHS, cursor).records) == 99
        assert peer.calls() - before == 1

    def test_no_look_uses_a_search(self, peer, source, person):
        """P2: an index is some seconds behind."""
        cursor = read_all(source).cursor
        searches = peer.portal.calls_by_kind["search"]
        source.look([person], frozenset({"first_name", "account.name", "owner.name"}), cursor)
        assert peer.portal.calls_by_kind["search"] == searches

    def test_merge_fields_of_company_and_owner_come_along(self, peer, crm, source, person):
        """B24: by the words of templates, and by HubSpot's own names."""
        owner = crm.add_user("Rita Rep", "rita@vendor.example", active=True)
        company = peer.do("create", "companies", {"name": "Acme"})
        peer.do("associate", "contacts", person.id, "companies", company)
        crm.change(person, owner=owner)
        peer.do("update", "contacts", person.id, {"hs_lead_status": "NEW"})
        paths = frozenset({"account.name", "owner.first_name", "hs_lead_status", "sender.name"})
        fields = source.look([person], paths, None).records[person.id].fields
        assert fields == {"account.name": "Acme", "owner.first_name": "Rita", "hs_lead_status": "NEW"}

    def test_whoever_sits_in_a_sequence_of_hubspot_can_be_a_stop_condition(self, peer, source, person):
        """Any property of the contact can: this one says that a rep is at it already."""
        (peer.folder / "intro.toml").write_text(
            'name = "Intro"\nstatus = "Live"\nstop_when = "hs_sequences_is_enrolled = true"\n'
        )
        peer.do("enroll_in_sequence", person.id, 7)
        assert source.look([person], NO_PATHS, None).records[person.id].stop_field == "true"


class TestClock:
    """The clock of this machine is wrong, and HubSpot's stamps follow its own (B29)."""

    @pytest.fixture(params=[10, -10], ids=["ahead", "behind"])
    def source(self, request, peer):
        """A source on a machine whose clock is ten minutes off."""

        class WrongClock:
            def now(self):
                return peer.clock.now() + timedelta(minutes=request.param)

        return HubSpotSource(HubSpotClient(peer.settings(), WrongClock()), load_mapping())

    def test_no_change_is_lost(self, peer, source, person):
        """P2: the next pull begins where HubSpot's clock was, and not where ours was."""
        cursor = read_all(source).cursor
        peer.do("update", "contacts", person.id, {"email": "ann@new.example"})
        assert read_all(source, cursor).records[person.id].email == "ann@new.example"

    def test_a_meeting_booked_just_now_is_seen(self, peer, crm, source, person):
        """P2: by the last look."""
        cursor = read_all(source).cursor
        crm.book_meeting(person, "Demo")
        assert [one.detail for one in source.look([person], NO_PATHS, cursor).signals] == ["Demo"]

    def test_the_look_tells_hubspot_s_time(self, peer, source, person):
        """The daemon compares it with its own, so that nothing goes out early."""
        look = source.look([person], NO_PATHS, None)
        assert abs((look.at - peer.clock.now()).total_seconds()) < 1.0


class TestPreferences:
    """What HubSpot's communication preferences say, with the contact and in the same call."""

    def opted_out(self, peer, person, **settings):
        """What a look says of the person."""
        return peer.source(**settings).look([person], NO_PATHS, None).records[person.id].opted_out

    def test_whoever_opted_out_of_all_email_gets_none(self, peer, person):
        """P2, B22: whatever types of email there are."""
        peer.do("opt_out", "ann@acme.example")
        assert self.opted_out(peer, person)

    @pytest.mark.parametrize(("ours", "none"), [("1001", True), ("1002", False), ("", False)])
    def test_whoever_opted_out_of_our_type_gets_none(self, peer, person, ours, none):
        """P2, B22: of the type that the settings name, and of no other."""
        peer.do("unsubscribe", "ann@acme.example", 1001)
        assert self.opted_out(peer, person, subscription_type=ours) is none

    def test_a_twin_who_opted_out_of_our_type_comes_with_the_pull(self, peer, crm, person):
        """B13: a contact that is in no sequence speaks for its address."""
        source = peer.source(subscription_type="1001")
        cursor = read_all(source).cursor
        twin = crm.add_person(RecordKind.CONTACT, email="twin@acme.example")
        peer.do("unsubscribe", "twin@acme.example", 1001)
        assert read_all(source, cursor).records[twin.id].opted_out

    def test_a_type_whose_property_cannot_be_read_stops_everything(self, peer, person):
        """B26: it is not known then who opted out of it."""
        with pytest.raises(ConfigurationError, match="hs_email_optout_4711"):
            self.opted_out(peer, person, subscription_type="4711")

    def test_opting_out_of_a_type_needs_its_number(self, peer):
        """Said when the settings are read."""
        with pytest.raises(ValidationError, match='opt_out_of = "subscription_type" needs subscription_type'):
            peer.settings(opt_out_of="subscription_type")


class TestOwnSequences:
    """HubSpot's own sequences, which reps put people into."""

    @pytest.mark.parametrize(("policy", "does"), [("hold", OnElsewhere.HOLD), ("stop", OnElsewhere.STOP)])
    def test_a_look_sees_who_is_in_one(self, peer, person, policy, does):
        """P2: with what the settings want of it."""
        peer.do("enroll_in_sequence", person.id, 7)
        record = peer.source(on_own_sequence=policy).look([person], NO_PATHS, None).records[person.id]
        assert (record.elsewhere, record.on_elsewhere) == ("a sequence of HubSpot's own", does)

    def test_it_can_be_no_matter(self, peer, person):
        """Whoever sets it so writes to people twice."""
        peer.do("enroll_in_sequence", person.id, 7)
        record = peer.source(on_own_sequence="ignore").look([person], NO_PATHS, None).records[person.id]
        assert record.elsewhere == ""

    def test_leaving_it_comes_with_the_pull(self, peer, source, person):
        """What held the run is gone: it goes on at once and not within the hour."""
        peer.do("enroll_in_sequence", person.id, 7)
        reading = read_all(source)
        peer.do("leave_sequence", person.id)
        after = read_all(source, reading.cursor)
        said = [one.records[person.id].elsewhere for one in (reading, after)]
        assert said == ["a sequence of HubSpot's own", ""]


class TestSequences:
    """TOML files."""

    def draft(self, peer, source, text, name="intro"):
        """What a file comes as."""
        (peer.folder / f"{name}.toml").write_text(text)
        return read_all(source).sequences[name]

    def test_a_whole_sequence_is_valid(self, peer, source):
        """Every field the CRM has, with the same checks."""
        draft = self.draft(
            peer,
            source,
            'name = "Intro"\nstatus = "Live"\nsend_days = ["Mon", "Tue"]\nsend_from = 09:30:00\nsend_until = "16:00"\n'
            'time_zone = "Europe/Berlin"\nsender = "Owner or Hold"\ndaily_cap = 50\n\n'
            '[[step]]\nid = "hello"\norder = 1\nkind = "Email"\ndelay = 0\nsubject = "Hi"\nbody = "Hello."\n\n'
            '[[step]]\nid = "call"\norder = 2\nkind = "Task"\ndelay = 2\ndelay_unit = "Business Days"\n'
            'subject = "Call"\n',
        )
        sequence = validate(draft)
        assert isinstance(sequence, Sequence)
        assert [step.id for step in sequence.steps] == ["intro/hello", "intro/call"]
        assert (sequence.send_days, sequence.daily_cap, sequence.send_from.minute) == (frozenset({0, 1}), 50, 30)

    def test_the_documentation_s_example_is_valid(self, peer, source):
        """Whoever copies it has a sequence."""
        (example,) = re.findall(r"```toml\n(.+?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
        assert isinstance(validate(self.draft(peer, source, example)), Sequence)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("name = \n", "cannot be read at line 1: this is no value. Put text in quotes"),
            ('name = "A"\nsend_day = "Mon"\n', "send_day is no field"),
            ('name = "A"\n[[step]]\norder = 1\n', "step number 1 has no id"),
            ('name = "A"\n[[step]]\nid = "a"\n[[step]]\nid = "a"\n', "two steps have the id a"),
            ('name = "A"\nstep = 3\n', "Begin each step with [[step]]"),
            ('name = "A"\nstop_when = "shoe_size = 44"\n', "the property shoe_size"),
        ],
    )
    def test_what_is_wrong_is_said_in_a_sentence(self, peer, source, text, problem):
        """B17: it stands in the progress, and the last good version goes on."""
        problems = validate(self.draft(peer, source, text))
        assert isinstance(problems, tuple)
        assert any(problem in one for one in problems)

    def test_a_folder_that_is_not_there_is_a_configuration_error(self, peer, source):
        """It says which, and what to do."""
        peer.folder.rmdir()
        with pytest.raises(ConfigurationError, match="sequences cannot be read"):
            read_all(source)

    def test_a_new_process_gives_no_sequence_again(self, peer, crm, source):
        """What was given out stands in the cursor, and so does what was there to be removed."""
        crm.add_sequence("Intro", ["Hi"])
        crm.add_sequence("Gone", ["Hi"])
        cursor = read_all(source).cursor
        crm.delete("gone")
        reading = read_all(peer.source(), cursor)
        assert (reading.sequences, reading.removed) == ({}, {"gone"})


@pytest.mark.parametrize(
    ("value", "zone"),
    [("europe_slash_berlin", "Europe/Berlin"), ("america_slash_new_york", "America/New_York"), (None, "")],
)
def test_time_zones_are_read(value, zone):
    """HubSpot writes them in a way of its own."""
    assert to_zone(value) == zone


@pytest.mark.parametrize("name", ["crmdrip_enrolled", "crmdrip_sequence", "crmdrip_paused_until"])
class TestArchivedProperties:
    """HubSpot leaves out of its answers what it does not have, as if nobody had a value."""

    def test_a_look_does_not_take_that_for_unticked(self, peer, source, person, name):
        """B9, P4: nobody is stopped, and nobody is mailed, until the property is back."""
        peer.do("archive_property", "contacts", name)
        with pytest.raises(ConfigurationError, match=name):
            source.look([person], NO_PATHS, None)
        peer.do("restore_property", "contacts", name)
        assert source.look([person], NO_PATHS, None).records[person.id].enrolled

    def test_a_pull_says_so(self, peer, source, person, name):
        """P4: and it is the same whether anybody changed or not."""
        cursor = read_all(source).cursor
        peer.do("archive_property", "contacts", name)
        with pytest.raises(ConfigurationError):
            read_all(source, cursor)
