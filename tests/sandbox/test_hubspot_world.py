"""The seeded world on the HubSpot portal: the same people, and what they do stands in the portal and in the oracle."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import orjson
import pytest

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.http import Request
from crmdrip.sandbox.hubspot import HubSpotPortal
from crmdrip.sandbox.hubspot.world import CONTROL_KEY, PortalWorld, install, sequence_files
from crmdrip.sandbox.sendgrid import SCOPES, AcceptedEmail, SendGridAccount
from crmdrip.sandbox.world import NOBODY_REACTS, SENDING_DOMAIN, Habits, Person, StopKind, Trait, Truth

MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Stage:
    """Everything a world needs; nobody reacts unless habits are given."""

    def __init__(self, *, people: int = 150, seed: int = 1, habits: Habits = NOBODY_REACTS) -> None:
        self.clock = SandboxClock(MONDAY)
        self.portal = HubSpotPortal(self.clock)
        self.account = SendGridAccount(self.clock, api_keys={"key": SCOPES}, verified_domains=[SENDING_DOMAIN])
        self.world = PortalWorld(self.portal, self.account, self.clock, seed=seed, people=people, habits=habits)
        self.actions = self.world.actions

    def ordinary(self, number: int = 0) -> Person:
        """Somebody with an address and without any trouble."""
        return [each for each in self.world.people.values() if not each.traits][number]

    def value(self, record_id: str, name: str) -> str:
        """One value of a contact."""
        return self.portal.get("contacts", record_id).get(name)

    def kinds(self, address: str) -> list[StopKind]:
        """What the oracle knows of an address."""
        return [stop.kind for stop in self.world.stops.of(address)]

    def send(self, address: str, touch: str = "t1") -> AcceptedEmail:
        """Send one email to an address through the mail account."""
        body = {
            "personalizations": [{"to": [{"email": address}], "custom_args": {"crmdrip_touch": touch}}],
            "from": {"email": f"maya.okonkwo@{SENDING_DOMAIN}", "name": "Maya Okonkwo"},
            "subject": "Hello",
            "content": [{"type": "text/plain", "value": "Hi"}],
            "headers": {"Message-ID": f"<{touch}@acme.example>"},
        }
        headers = {"authorization": "Bearer key", "content-type": "application/json"}
        request = Request(
            method="POST", path="/v3/mail/send", raw_query="", headers=headers, body=orjson.dumps(body)
        )  # fmt: skip
        assert self.account.handle(request).status == 202
        return self.account.accepted[-1]


@pytest.fixture(scope="module")
def quiet() -> Stage:
    """Only read."""
    return Stage()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_portal_is_full_of_people_with_owners_and_companies(quiet: Stage) -> None:
    """All of them contacts, each address once."""
    people = quiet.world.people
    addresses = [each.address.lower() for each in people.values() if each.address]
    assert len(people) > 130
    assert len(set(addresses)) == len(addresses)
    assert {each.kind for each in people.values()} == {"Contact"}
    assert quiet.portal.linked("contacts", next(iter(people)), "companies") is not None
    assert len(quiet.world.reps) == sum(owner.active for owner in quiet.portal.owners)


def test_the_same_seed_gives_the_same_people() -> None:
    """Address for address."""
    one, other = (Stage(people=40, seed=7).world.people for _ in range(2))
    assert [each.address for each in one.values()] == [each.address for each in other.values()]


def test_those_opted_out_are_so_in_the_portal_and_in_the_oracle(quiet: Stage) -> None:
    """As communication preferences, not as a box somebody ticked."""
    found = quiet.world.find(Trait.OPTED_OUT)
    assert found
    for person in found:
        assert quiet.value(person.id, "hs_email_optout") == "true"
        assert StopKind.OPT_OUT in quiet.kinds(person.address)
    assert quiet.world.unasked_opt_outs() == []


def test_one_contact_carries_the_brake(quiet: Stage) -> None:
    """Known by its unique key, and installed once however often it is done."""
    before = len(quiet.portal.all("contacts"))
    install(quiet.portal)
    assert len(quiet.portal.all("contacts")) == before
    assert quiet.portal.store.owner_of("contacts", "crmdrip_key", CONTROL_KEY) is not None


def test_the_sequences_are_files_whose_names_the_contacts_carry(quiet: Stage) -> None:
    """Valid TOML, with a name and steps that have ids."""
    files = sequence_files()
    assert set(files) == set(quiet.world.sequences.values())
    for text in files.values():
        document = tomllib.loads(text)
        assert document["name"]
        assert [step["id"] for step in document["step"]] == [f"step-{n + 1}" for n in range(len(document["step"]))]


def test_boxes_are_ticked_on_contacts(stage: Stage) -> None:
    """Some at once, the rest within three days."""
    stage.world.tick_boxes(0.5)
    now = [each for each in stage.portal.all("contacts") if each.get("crmdrip_enrolled") == "true"]
    stage.world.advance(MONDAY + timedelta(days=4))
    later = [each for each in stage.portal.all("contacts") if each.get("crmdrip_enrolled") == "true"]
    assert 0 < len(now) < len(later)
    assert {each.get("crmdrip_sequence") for each in later} - {""} <= set(stage.world.sequences.values())


def test_a_reply_in_the_rep_s_mailbox_is_an_incoming_email_on_the_contact(stage: Stage) -> None:
    """With the date of the last reply, and a stop."""
    person = stage.ordinary()
    email = stage.send(person.address)
    row = dict(stage.actions.record(person.id))
    occasion = stage.world.occasion(email, row, Random(1))
    stage.actions.answer(Truth.REPLY, occasion, Random(1))
    (logged,) = stage.portal.linked("contacts", person.id, "emails")
    assert logged.get("hs_email_direction") == "INCOMING_EMAIL"
    assert logged.get("hs_email_from_email").lower() == person.address.lower()
    assert stage.value(person.id, "hs_sales_email_last_replied")
    assert stage.kinds(person.address) == [StopKind.REPLY]


def test_an_absence_is_marked_and_is_no_reply(stage: Stage) -> None:
    """HubSpot's own mark of it, and no date of a reply."""
    person = stage.ordinary()
    email = stage.send(person.address)
    occasion = stage.world.occasion(email, dict(stage.actions.record(person.id)), Random(1))
    stage.actions.answer(Truth.OUT_OF_OFFICE, occasion, Random(1))
    (logged,) = stage.portal.linked("contacts", person.id, "emails")
    assert logged.get("hs_incoming_email_is_out_of_office") == "true"
    assert stage.value(person.id, "hs_sales_email_last_replied") == ""
    assert stage.kinds(person.address) == []


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda stage, person: stage.actions.book_meeting(person.id), StopKind.MEETING),
        (lambda stage, person: stage.actions.opt_out(person.id), StopKind.OPT_OUT),
        (lambda stage, person: stage.actions.untick(person.id), StopKind.UNTICKED),
        (lambda stage, person: stage.actions.pause(person.id, MONDAY + timedelta(days=2)), StopKind.PAUSED),
        (lambda stage, person: stage.actions.open_opportunity(person.id), StopKind.OPPORTUNITY),
        (lambda stage, person: stage.actions.change_address(person.id, "new@x.example"), StopKind.ADDRESS_CHANGED),
        (lambda stage, person: stage.actions.delete(person.id), StopKind.DELETED),
        (lambda stage, person: stage.actions.reply(person.address, "Yes"), StopKind.REPLY),
        (lambda stage, person: stage.actions.bounce(person.address), StopKind.BOUNCE),
    ],
)
def test_what_people_do_stops_what_it_should(stage: Stage, act: Callable[..., object], kind: StopKind) -> None:
    """And the oracle knows."""
    person = stage.ordinary()
    stage.send(person.address)
    act(stage, person)
    assert stage.kinds(person.address) == [kind]


def test_a_meeting_stands_on_the_contact(stage: Stage) -> None:
    """As an object of its own, and as the contact's date of the latest."""
    person = stage.ordinary()
    stage.actions.book_meeting(person.id)
    (meeting,) = stage.portal.linked("contacts", person.id, "meetings")
    assert meeting.get("hs_meeting_outcome") == "SCHEDULED"
    assert stage.value(person.id, "engagements_last_meeting_booked")


def test_a_merge_stops_the_other_address_and_both_ids_lead_to_the_third(stage: Stage) -> None:
    """The person is found by either (B12)."""
    one = stage.world.find(Trait.SECOND_SELF)[0]
    two = stage.world.people[one.partner]
    stage.actions.merge(one.id, two.id)
    rows = [stage.actions.record(each.id)["Id"] for each in (one, two)]
    assert rows[0] == rows[1] not in (one.id, two.id)
    assert StopKind.MERGED in stage.kinds(two.address)


def test_a_deleted_contact_can_come_back_and_stays_stopped(stage: Stage) -> None:
    """Until its box is ticked again (B14)."""
    person = stage.ordinary()
    stage.actions.tick(person.id, None)
    stage.actions.delete(person.id)
    stage.actions.undelete(person.id)
    assert stage.actions.record(person.id)["Id"] == person.id
    assert stage.kinds(person.address) == [StopKind.DELETED]
    stage.actions.tick(person.id, None)
    assert stage.kinds(person.address) == []


def test_everybody_reacts_as_the_habits_say() -> None:
    """Without an error, whatever happens; deeds that HubSpot has no place for do not happen."""
    stage = Stage(people=200, habits=Habits())
    stage.world.tick_boxes(1.0, days=0.1)
    stage.world.advance(MONDAY + timedelta(days=1))
    for number, person in enumerate(list(stage.world.people.values())):
        if person.address and not person.traits & {Trait.OPTED_OUT, Trait.MALFORMED}:
            stage.send(person.address, f"t{number}")
    happened = stage.world.advance(MONDAY + timedelta(days=30))
    deeds = {each.deed.value for each in happened}
    assert {"reply", "meeting"} <= deeds
    assert "convert" not in deeds
    assert len(happened) > 40
