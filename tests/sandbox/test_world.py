"""The seeded world: who is in it, how they react, and the oracle of stops."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from world_stage import MONDAY, Stage

from crmdrip.core.definition import validate
from crmdrip.core.model import Sequence, SequenceDraft, StepDraft, StepKind
from crmdrip.sandbox.world import SENDING_DOMAIN, Deed, Habits, MeetingForm, OneClick, StopKind, Trait

HABITS = [deed.value for deed in Deed if deed is not Deed.TICK]


@pytest.fixture(scope="module")
def crowd() -> Stage:
    """The full world, only to be looked at."""
    return Stage(people=2_000)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def kinds(stage: Stage, address: str) -> list[StopKind]:
    return [stop.kind for stop in stage.world.stops.of(address)]


# --- who is in it -----------------------------------------------------------------------------------------------------


def test_there_are_as_many_people_as_asked_for(crowd: Stage) -> None:
    """2,000 contacts and leads stand in the org, of either kind many."""
    contacts, leads = len(crowd.rows("Contact", "Id")), len(crowd.rows("Lead", "Id"))
    assert contacts + leads == len(crowd.world.people) == 2_000
    assert min(contacts, leads) > 500


def test_the_same_seed_gives_the_same_world() -> None:
    """Ids, names and addresses agree for one seed, and differ for another."""
    first, again, other = (
        Stage(people=60, seed=seed).rows("Contact", "Id Name Email", "ORDER BY Id") for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_every_trouble_of_a_real_crm_is_there(crowd: Stage) -> None:
    """Each trait is carried by somebody."""
    assert {trait for person in crowd.world.people.values() for trait in person.traits} == set(Trait)


def test_names_come_in_many_scripts(crowd: Stage) -> None:
    """At least ten writing systems appear among the names."""
    names = "".join(row["Name"] for row in crowd.rows("Contact", "Name"))
    assert len({unicodedata.name(letter).split()[0] for letter in set(names) if letter.isalpha()}) >= 10


def test_countries_are_missing_or_spelled_in_many_ways(crowd: Stage) -> None:
    """Some have no country, and one country is written in several ways."""
    found = Counter(row["MailingCountry"] for row in crowd.rows("Contact", "MailingCountry"))
    assert found[None] > 100
    assert {"Germany", "Deutschland", "DE"} <= found.keys()


def test_some_addresses_are_such_as_no_mail_server_takes(crowd: Stage) -> None:
    """The CRM let them pass; the mail provider does not."""
    assert crowd.world.find(Trait.MALFORMED)
    for person in crowd.world.find(Trait.MALFORMED):
        with pytest.raises(AssertionError, match="Does not contain a valid address"):
            crowd.send(person.address)


def test_twins_share_an_address_across_lead_and_contact(crowd: Stage) -> None:
    """The same address, typed in another way, stands on a lead and on a contact (B13)."""
    one, other = crowd.twins()
    assert {one.kind, other.kind} == {"Contact", "Lead"}
    assert one.address.lower() == other.address.lower()


def test_some_owners_have_left_and_a_queue_owns_leads(crowd: Stage) -> None:
    """Records of an inactive user and leads of a queue are there (B16)."""
    assert len(crowd.rows("Contact", "Id", "WHERE Owner.IsActive = false")) > 5
    owners = Counter(row["OwnerId"][:3] for row in crowd.rows("Lead", "OwnerId"))
    assert owners["00G"] > 3


def test_colleagues_share_an_account(crowd: Stage) -> None:
    """Several contacts of one account are common (B6)."""
    found = Counter(row["AccountId"] for row in crowd.rows("Contact", "AccountId"))
    assert sum(1 for account, count in found.items() if account and count >= 3) > 20


def test_reps_send_from_the_verified_domain_and_have_a_time_zone(crowd: Stage) -> None:
    """Every active rep has an address on the verified domain, an IANA zone and a title."""
    for user_id in crowd.world.reps:
        user = crowd.rows("User", "Email TimeZoneSidKey Title IsActive", f"WHERE Id = '{user_id}'")[0]
        assert user["Email"].endswith("@" + SENDING_DOMAIN)
        assert user["IsActive"]
        assert ZoneInfo(user["TimeZoneSidKey"])
        assert user["Title"]


def draft_of(stage: Stage, name: str) -> SequenceDraft:
    """A sequence of the org as the product's own reader would hand it over."""

    def words(row: dict[str, object], prefix: str = "Drip_") -> dict[str, object]:
        return {key.removeprefix(prefix).removesuffix("__c").lower(): value for key, value in row.items()}

    columns = "Id Name Drip_Status__c Drip_Send_Days__c Drip_Send_From__c Drip_Send_Until__c Drip_Time_Zone__c"
    (row,) = stage.rows("Drip_Sequence__c", columns, f"WHERE Name = '{name}'")
    columns = "Id Name Drip_Order__c Drip_Kind__c Drip_Delay__c Drip_Delay_Unit__c Drip_Subject__c Drip_Body__c"
    columns += " Drip_Continue_Thread__c Drip_Active__c"
    steps = stage.rows("Drip_Step__c", columns, f"WHERE Drip_Sequence__c = '{row['Id']}'")
    return SequenceDraft(
        id=row["Id"],
        fields=words(row),
        steps=tuple(StepDraft(id=step["Id"], fields=words(step)) for step in steps),
    )


def test_the_example_sequence_has_four_emails_on_days_one_three_seven_and_fourteen(crowd: Stage) -> None:
    """Intro, follow-up in the same thread, something useful, and the last one; the product finds no fault with it."""
    sequence = validate(draft_of(crowd, "Warm intro, four touches"))
    assert isinstance(sequence, Sequence), sequence
    days = [1 + sum(step.delay for step in sequence.steps[: n + 1]) for n in range(4)]
    assert [step.kind for step in sequence.steps] == [StepKind.EMAIL] * 4
    assert days == [1, 3, 7, 14]
    assert [step.continue_thread for step in sequence.steps] == [False, True, False, False]


def test_the_second_sequence_asks_the_rep_to_call(crowd: Stage) -> None:
    """An email, then a task; the product finds no fault with it."""
    sequence = validate(draft_of(crowd, "Partner referral, with a call"))
    assert isinstance(sequence, Sequence), sequence
    assert [step.kind for step in sequence.steps] == [StepKind.EMAIL, StepKind.TASK]


# --- boxes and time ---------------------------------------------------------------------------------------------------


def test_about_half_of_the_boxes_are_ticked_over_the_first_days(stage: Stage) -> None:
    """Some at once, all within the given days, never more than were chosen."""
    chosen = stage.world.tick_boxes(0.5, days=3)
    at_once = len(stage.world.happened)
    stage.world.advance(MONDAY + timedelta(days=3))
    ticked = sum(len(stage.rows(kind, "Id", "WHERE Drip_Enrolled__c = true")) for kind in ("Contact", "Lead"))
    assert chosen == 75
    assert 0 < at_once < ticked == chosen


def test_what_is_due_happens_at_its_own_time(stage: Stage) -> None:
    """Moving the clock by days stamps each record with the moment it happened, and ends at the asked time."""
    stage.world.tick_boxes(0.5, days=3)
    happened = stage.world.advance(MONDAY + timedelta(days=3))
    moments = [each.at for each in happened]
    assert moments == sorted(moments)
    assert moments[0] < moments[-1] <= stage.clock() == MONDAY + timedelta(days=3)


def test_the_clock_never_goes_back(stage: Stage) -> None:
    """A time in the past is refused."""
    with pytest.raises(ValueError, match="does not go back"):
        stage.clock.set(MONDAY - timedelta(seconds=1))


# --- reactions --------------------------------------------------------------------------------------------------------


def test_a_dead_mailbox_bounces_and_is_suppressed(stage: Stage) -> None:
    """The first email to it comes back within the hour."""
    person = stage.world.find(Trait.DEAD_MAILBOX)[0]
    stage.send(person.address)
    happened = stage.world.advance(MONDAY + timedelta(hours=1))
    assert [each.deed for each in happened] == [Deed.BOUNCE]
    assert kinds(stage, person.address) == [StopKind.BOUNCE]
    assert [entry.email for entry in stage.account.suppressions.entries("bounces")] == [person.address]


def test_nobody_reacts_to_an_email_that_was_dropped(stage: Stage) -> None:
    """A suppressed address receives nothing, so nothing follows."""
    person = stage.world.find(Trait.DEAD_MAILBOX)[0]
    stage.account.suppressions.add("unsubscribes", person.address)
    stage.send(person.address)
    assert stage.world.advance(MONDAY + timedelta(days=9)) == []


def test_reactions_do_not_depend_on_the_order_of_sending() -> None:
    """Whatever a busy sender does first, the same people do the same things."""

    def play(backwards: bool) -> list[tuple[Deed, str]]:  # noqa: FBT001 - a table of two
        stage = Stage(habits=Habits(reply=0.3, meeting=0.2, untick=0.1))
        addresses = [stage.ordinary(number=n).address for n in range(20)]
        for address in reversed(addresses) if backwards else addresses:
            stage.send(address)
        return sorted((each.deed, each.address) for each in stage.world.advance(MONDAY + timedelta(days=9)))

    assert play(backwards=True) == play(backwards=False) != []


def test_every_habit_is_somebody_s() -> None:
    """With even chances, a few hundred people do everything there is to do."""
    stage = Stage(people=600, habits=Habits(**dict.fromkeys(HABITS, 1 / len(HABITS))))
    stage.world.tick_boxes(1.0, days=0)
    for person in stage.world.people.values():
        if person.address and Trait.MALFORMED not in person.traits:
            stage.send(person.address)
    stage.world.advance(MONDAY + timedelta(days=9))
    assert {each.deed for each in stage.world.happened} == set(Deed)


# --- stops ------------------------------------------------------------------------------------------------------------

STOPPING: list[tuple[StopKind, str, Callable[[Stage, str, str], object]]] = [
    (StopKind.REPLY, "Contact", lambda s, _, address: s.actions.reply(address, "Thanks")),
    (StopKind.MEETING, "Lead", lambda s, record, _: s.actions.book_meeting(record)),
    (StopKind.OPT_OUT, "Lead", lambda s, record, _: s.actions.opt_out(record)),
    (StopKind.BOUNCE, "Contact", lambda s, _, address: s.actions.bounce(address)),
    (StopKind.SPAM_REPORT, "Contact", lambda s, _, address: s.actions.report_spam(address)),
    (StopKind.OPPORTUNITY, "Contact", lambda s, record, _: s.actions.open_opportunity(record)),
    (StopKind.CONVERTED, "Lead", lambda s, record, _: s.actions.convert(record, with_opportunity=True)),
    (StopKind.UNTICKED, "Contact", lambda s, record, _: s.actions.untick(record)),
    (StopKind.DELETED, "Lead", lambda s, record, _: s.actions.delete(record)),
    (StopKind.ADDRESS_CHANGED, "Contact", lambda s, record, _: s.actions.change_address(record, "new@else.example")),
    (StopKind.PAUSED, "Contact", lambda s, record, _: s.actions.pause(record, MONDAY + timedelta(days=2))),
    (StopKind.MERGED, "Contact", lambda s, record, _: s.actions.merge(s.ordinary(number=5).id, record)),
]


@pytest.mark.parametrize(("kind", "record_kind", "act"), STOPPING, ids=[row[0].value for row in STOPPING])
def test_an_email_after_a_stop_is_a_violation_and_one_before_is_not(
    stage: Stage, kind: StopKind, record_kind: str, act: Callable[[Stage, str, str], object]
) -> None:
    """The oracle counts by what was accepted before and after, even where the clock stands still (P2)."""
    person = stage.ordinary(record_kind)
    stage.tick(person)
    stage.send(person.address, "before")
    act(stage, person.id, person.address)
    assert stage.world.violations() == []
    stage.send(person.address.upper(), "after")
    (violation,) = stage.world.violations()
    assert (violation.stop.kind, violation.email.touch) == (kind, "after")


def test_a_reply_is_logged_on_every_record_of_the_address(stage: Stage) -> None:
    """Email-to-Salesforce relates the message to lead and contact alike, in the thread of the email answered."""
    one, other = stage.twins()
    email = stage.send(one.address)
    message_id = stage.actions.reply(one.address, "Thanks", to=email)
    fields = "EmailMessage.Headers EmailMessage.Incoming EmailMessage.Subject RelationId"
    where = f"WHERE EmailMessageId = '{message_id}' AND RelationType = 'FromAddress'"
    rows = stage.rows("EmailMessageRelation", fields, where)
    assert {row["RelationId"] for row in rows} == {one.id, other.id}
    assert rows[0]["EmailMessage"]["Incoming"] is True
    assert rows[0]["EmailMessage"]["Subject"] == "Re: Hello & welcome"
    assert "In-Reply-To: <0@acme.example>" in rows[0]["EmailMessage"]["Headers"]


@pytest.mark.parametrize("form", list(MeetingForm))
def test_a_meeting_stops_however_it_stands_in_the_calendar(stage: Stage, form: MeetingForm) -> None:
    """With the person, with the person among those invited, or as the first of a series."""
    person = stage.ordinary()
    event_id = stage.actions.book_meeting(person.id, form=form)
    (event,) = stage.rows("Event", "WhoId IsRecurrence", f"WHERE Id = '{event_id}'")
    invited = [row["RelationId"] for row in stage.rows("EventRelation", "RelationId", f"WHERE EventId = '{event_id}'")]
    assert (event["WhoId"] or invited[0]) == person.id
    assert event["IsRecurrence"] is (form is MeetingForm.SERIES)
    assert kinds(stage, person.address) == [StopKind.MEETING]


@pytest.mark.parametrize("private", [True, False])
def test_an_entry_that_is_no_meeting_stops_nothing(stage: Stage, *, private: bool) -> None:
    """A private appointment, or a call that is over."""
    person = stage.ordinary()
    stage.actions.note_appointment(person.id, private=private)
    assert kinds(stage, person.address) == []


def test_an_unsubscribe_stops_once_its_link_has_answered(stage: Stage) -> None:
    """Until somebody has posted to the link, nothing can be known of it (B22)."""
    person = stage.ordinary()
    stage.actions.unsubscribe(stage.send(person.address))
    (click,) = stage.actions.one_clicks
    assert click == OneClick(url="http://127.0.0.1:9/u/1", address=person.address)
    assert kinds(stage, person.address) == []
    stage.actions.unsubscribed(click)
    assert kinds(stage, person.address) == [StopKind.UNSUBSCRIBE]


def test_a_link_that_failed_is_remembered_and_stops_nothing(stage: Stage) -> None:
    """The person was told that it did not work."""
    click = OneClick(url="http://127.0.0.1:9/u/1", address="ann@example.com")
    stage.actions.not_unsubscribed(click, "no answer")
    assert stage.actions.failed_one_clicks == [(click, "no answer")]
    assert kinds(stage, "ann@example.com") == []


def test_those_who_opted_out_or_bounced_before_are_stopped_from_the_start(stage: Stage) -> None:
    """An email to them is a violation, even the first."""
    person = stage.world.find(Trait.OPTED_OUT)[0]
    stage.send(person.address)
    assert [each.stop.kind for each in stage.world.violations()] == [StopKind.OPT_OUT]
    assert kinds(stage, stage.world.find(Trait.BOUNCED)[0].address) == [StopKind.BOUNCE]


def test_ticking_again_lifts_a_reply_and_never_an_opt_out(stage: Stage) -> None:
    """A new run may begin (B9); what the person asked for stays."""
    replied, opted_out = stage.ordinary(number=0), stage.ordinary(number=1)
    stage.actions.reply(replied.address, "Thanks")
    stage.actions.opt_out(opted_out.id)
    for person in (replied, opted_out):
        stage.tick(person)
    assert kinds(stage, replied.address) == []
    assert kinds(stage, opted_out.address) == [StopKind.OPT_OUT]


def test_unticking_one_twin_stops_nothing_while_the_other_is_ticked(stage: Stage) -> None:
    """The run of the address may belong to the other record."""
    one, other = stage.twins()
    for person in (one, other):
        stage.tick(person)
    stage.actions.untick(one.id)
    assert kinds(stage, one.address) == []
    stage.actions.untick(other.id)
    assert kinds(stage, one.address) == [StopKind.UNTICKED]


def test_an_opt_out_that_nobody_asked_for_is_noticed(stage: Stage) -> None:
    """B22: as when a scanner's visit counts as an unsubscribe; a changed address carries its old one's wish."""
    asked, moved, victim = (stage.ordinary(number=n) for n in range(3))
    stage.actions.opt_out(asked.id)
    stage.actions.opt_out(moved.id)
    stage.actions.change_address(moved.id, "new@else.example")
    assert stage.world.unasked_opt_outs() == []
    stage.org.update(victim.id, {"HasOptedOutOfEmail": True})
    assert stage.world.unasked_opt_outs() == [victim.address.lower()]


def test_a_pause_forbids_only_until_it_ends(stage: Stage) -> None:
    """After the date email may go on."""
    person = stage.ordinary()
    stage.actions.pause(person.id, MONDAY + timedelta(days=2))
    stage.world.advance(MONDAY + timedelta(days=2))
    stage.send(person.address)
    assert stage.world.violations() == []


def test_a_conversion_without_opportunity_goes_on_as_the_contact(stage: Stage) -> None:
    """The box and the sequence are carried over, and nothing stops (B11)."""
    person = stage.ordinary("Lead")
    stage.tick(person)
    contact_id = stage.actions.convert(person.id, with_opportunity=False)
    assert stage.field(contact_id, "Drip_Enrolled__c") is True
    assert stage.field(contact_id, "Drip_Sequence__c") == next(iter(stage.world.sequences.values()))
    assert kinds(stage, person.address) == []


def test_merging_records_of_one_address_stops_nothing(stage: Stage) -> None:
    """The winner has the same address and carries on (B12)."""
    winner, loser = stage.ordinary(number=0), stage.ordinary(number=1)
    stage.org.update(loser.id, {"Email": winner.address})
    stage.actions.merge(winner.id, loser.id)
    assert kinds(stage, winner.address) == []
