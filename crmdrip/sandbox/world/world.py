"""The seeded world: fills an org with people, lets reps tick boxes, and lets everybody react to the emails they get.

The same seed, people and emails give the same world, event for event. Nothing here knows the product: it sees the
org as a rep does, and of the mail only what the provider accepted.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.sendgrid import AcceptedEmail, Fate, SendGridAccount
from crmdrip.sandbox.world.actions import Actions, ClickWay, MeetingForm, OneClick
from crmdrip.sandbox.world.answers import occasion_of
from crmdrip.sandbox.world.engagement import Engagement
from crmdrip.sandbox.world.habits import Deed, Habits, delay
from crmdrip.sandbox.world.letters import Occasion, Truth, Who
from crmdrip.sandbox.world.people import QUEUE, SENDING_DOMAIN, Draft, Population, Trait, load, reps
from crmdrip.sandbox.world.reading import DRIP_FIELDS, exists, is_installed, select
from crmdrip.sandbox.world.stops import FOR_GOOD, WISHES, Stop, StopKind, Stops, Violation

_TRUTHS = {
    Deed.REPLY: Truth.REPLY,
    Deed.REMOVE_ME: Truth.UNSUBSCRIBE,
    Deed.OUT_OF_OFFICE: Truth.OUT_OF_OFFICE,
    Deed.AUTO_REPLY: Truth.AUTO_REPLY,
    Deed.LEFT_COMPANY: Truth.LEFT_COMPANY,
    Deed.CALENDAR: Truth.CALENDAR,
    Deed.RECEIPT: Truth.RECEIPT,
    Deed.RETURNED: Truth.BOUNCE,
}
"""The deeds that are a mail coming back."""

_TO_THE_SENDER = 0.15
"""How many answers go to the address an email was from whatever its Reply-To says: new mails, careless machines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """One contact or lead as the world made it."""

    id: str
    kind: str
    """"Contact" or "Lead"."""
    address: str
    """As typed; "" for none."""
    traits: frozenset[Trait]
    partner: str = ""
    """The record id of the other record of the same human."""
    referral: bool = False
    language: str = "en"
    """In which the person writes back."""


@dataclass(order=True, kw_only=True, slots=True)
class Due:
    """One thing that waits for its time."""

    at: datetime
    number: int
    deed: Deed = field(compare=False)
    subject: str = field(compare=False)
    """The address it is about; for a tick, the record id."""
    random: Random = field(compare=False)
    email: AcceptedEmail | None = field(compare=False, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """Something that happened in the world."""

    at: datetime
    deed: Deed
    address: str
    record_id: str = ""


class World:
    """People, boxes and reactions on one org and one mail account that share a clock.

    people: how many contacts and leads together. habits: what they do. post: performs unsubscribes, see Actions.
    scan: looks at a link as a mail gateway does.
    """

    def __init__(
        self,
        org: SalesforceOrg,
        account: SendGridAccount,
        clock: SandboxClock,
        *,
        seed: int = 1,
        people: int = 2_000,
        habits: Habits | None = None,
        post: Callable[[OneClick], None] | None = None,
        scan: Callable[[str], None] | None = None,
    ) -> None:
        self._org = org
        self._begin(Actions(org, account, clock, post), account, clock, seed=seed, habits=habits, scan=scan)
        self._populate(people)

    def _begin(
        self,
        actions: Actions,
        account: SendGridAccount,
        clock: SandboxClock,
        *,
        seed: int,
        habits: Habits | None,
        scan: Callable[[str], None] | None,
    ) -> None:
        """What is the same for every CRM, before there are people."""
        self.engagement = Engagement(account, seed=seed, scan=scan)
        self.actions = actions
        self.people: dict[str, Person] = {}
        """By record id."""
        self.reps: list[str] = []
        """User ids of those who are active, in the order of the data file."""
        self.sequences: dict[str, str] = {}
        """Record ids by name."""
        self.happened: list[Happened] = []
        self._account = account
        self._clock = clock
        self._seed = seed
        self._random = Random(seed)
        self._habits = habits or Habits()
        self._due: list[Due] = []
        self._scheduled = 0
        self._seen = 0
        self._received: Counter[str] = Counter()
        self._dead: set[str] = set()
        self._queue_id = ""

    @property
    def stops(self) -> Stops:
        """The oracle: who must not be mailed any more."""
        return self.actions.stops

    @property
    def scheduled(self) -> int:
        """How many things wait for their time."""
        return len(self._due)

    @property
    def next_due(self) -> datetime | None:
        """When the next of them happens."""
        return self._due[0].at if self._due else None

    def violations(self) -> list[Violation]:
        """Emails that went out after a stop."""
        return self.stops.violations(self._account.accepted)

    def unasked_opt_outs(self) -> list[str]:
        """Addresses that have opted out in the CRM although nobody asked for it: by a scanner's visit, say (B22)."""
        found = []
        for kind in ("Contact", "Lead"):
            for row in select(self._org, kind, ["Email"], "WHERE HasOptedOutOfEmail = true AND Email != null"):
                address = row["Email"].lower()
                stops = (*self.stops.of(address), *self.stops.of(self.actions.moved.get(address, "")))
                if not any(stop.kind in WISHES for stop in stops):
                    found.append(address)
        return found

    def find(self, *traits: Trait) -> list[Person]:
        """Everybody with all of these traits."""
        return [person for person in self.people.values() if person.traits.issuperset(traits)]

    def tick_boxes(self, share: float = 0.5, *, days: float = 3.0) -> int:
        """Let reps tick about this share of all boxes: some at once, the rest in handfuls over the given days.

        Returns how many will be ticked in all. Some choose no sequence; some tick both records of one human.
        """
        random = Random(f"{self._seed}|boxes")
        chosen = random.sample(sorted(self.people), round(share * len(self.people)))
        now = self._clock()
        moments = [now] * 3 + sorted(now + timedelta(days=days * random.random()) for _ in range(9))
        for record_id in chosen:
            self._schedule(random.choice(moments), Deed.TICK, record_id, Random(f"{self._seed}|tick|{record_id}"))
        self.advance(now)
        return len(chosen)

    def advance(self, now: datetime) -> list[Happened]:
        """Let everything due by `now` happen, in order, each at its own time where the clock stands still.

        Afterwards the clock stands at `now`. Returns what happened.
        """
        self._observe()
        done: list[Happened] = []
        while self._due and self._due[0].at <= now:
            due = heapq.heappop(self._due)
            self._move_clock(due.at)
            if (happened := self._perform(due)) is not None:
                done.append(happened)
        self._move_clock(now)
        self.engagement.advance(now)
        self.happened += done
        return done

    def _move_clock(self, moment: datetime) -> None:
        # A running clock is ahead of what was due already.
        if not self._clock.speed and moment > self._clock():
            self._clock.set(moment)

    # reactions

    def _observe(self) -> None:
        """Look at the emails accepted since the last time, and decide what they lead to."""
        accepted = self._account.accepted
        for email in accepted[self._seen :]:
            address = email.to.lower()
            if address.endswith(f"@{SENDING_DOMAIN}"):
                continue  # to a rep of ours
            if email.fate is Fate.DROPPED or any(stop.kind in FOR_GOOD for stop in self.stops.of(address)):
                continue
            self._received[address] += 1
            random = Random(f"{self._seed}|{address}|{self._received[address]}")
            deed = Deed.BOUNCE if address in self._dead else self._habits.choose(random)
            self.engagement.follow(email, arrives=deed is not Deed.BOUNCE)
            if deed is not None:
                self._schedule(email.at + delay(deed, random), deed, address, random, email)
        self._seen = len(accepted)

    def _schedule(
        self, at: datetime, deed: Deed, subject: str, random: Random, email: AcceptedEmail | None = None
    ) -> None:
        self._scheduled += 1
        heapq.heappush(
            self._due, Due(at=at, number=self._scheduled, deed=deed, subject=subject, random=random, email=email)
        )

    def _perform(self, due: Due) -> Happened | None:
        """Do it, if it still makes sense."""
        if due.deed is Deed.TICK:
            return self._tick(due)
        records = self.actions.records_at(due.subject)
        if not records:
            return None
        row = due.random.choice([r for r in records if r["Drip_Enrolled__c"]] or records[:1])
        try:
            if not self._do(due, row):
                return None
        except Refusal:
            # The org's own rules: a lead of an inactive owner, for one, cannot be converted.
            return None
        return Happened(at=self._clock(), deed=due.deed, address=due.subject, record_id=row["Id"])

    def _do(self, due: Due, row: Any) -> bool:
        """Perform a deed of one person; whether it was possible."""
        actions, random, record_id = self.actions, due.random, row["Id"]
        ticked, contact = bool(row["Drip_Enrolled__c"]), record_id.startswith("003")
        match due.deed:
            case deed if deed in _TRUTHS and due.email is not None:
                self._answer(_TRUTHS[deed], due, row)
            case Deed.UNSUBSCRIBE_MAIL if due.email is not None:
                actions.unsubscribe_by_mail(self.occasion(due.email, row, random), random)
            case Deed.UNSUBSCRIBE_PAGE if due.email is not None:
                actions.unsubscribe(due.email, ClickWay.PAGE)
            case Deed.MEETING:
                actions.book_meeting(record_id, form=random.choices(list(MeetingForm), [7, 2, 1])[0])
            case Deed.APPOINTMENT:
                actions.note_appointment(record_id, private=random.random() < 0.5)
            case Deed.OPT_OUT:
                actions.opt_out(record_id)
            case Deed.UNSUBSCRIBE if due.email is not None:
                actions.unsubscribe(due.email)
            case Deed.BOUNCE:
                actions.bounce(due.subject)
            case Deed.SPAM_REPORT:
                actions.report_spam(due.subject)
            case Deed.OPPORTUNITY if contact:
                actions.open_opportunity(record_id)
            case Deed.CONVERT if not contact:
                actions.convert(record_id, with_opportunity=random.random() < 0.5)
            case Deed.MERGE if self._mergeable(record_id):
                pair = [record_id, self.people[record_id].partner]
                random.shuffle(pair)
                actions.merge(*pair)
            case Deed.DELETE if ticked:
                actions.delete(record_id)
            case Deed.OWNER_CHANGE:
                actions.change_owner(record_id, random.choice([r for r in self.reps if r != row["OwnerId"]]))
            case Deed.ADDRESS_CHANGE:
                actions.change_address(record_id, self._new_address(due.subject, random))
            case Deed.UNTICK if ticked:
                actions.untick(record_id)
            case Deed.PAUSE if ticked:
                actions.pause(record_id, self._clock() + timedelta(days=random.choice([2, 4, 7])))
            case _:
                return False
        return True

    def occasion(self, email: AcceptedEmail, row: dict[str, Any], random: Random) -> Occasion:
        """The occasion on which the person of a record answers an email now."""
        person = self.people.get(row["Id"])
        return occasion_of(email, row, person.language if person is not None else "en", self._clock(), random)

    def _answer(self, truth: Truth, due: Due, row: Any) -> None:
        email = due.email
        if email is None:
            return
        occasion = self.occasion(email, row, due.random)
        if due.random.random() < _TO_THE_SENDER:
            occasion = replace(occasion, recipient=email.sender)
        parsed = self._account.parse.accepts(occasion.recipient)
        if truth is Truth.BOUNCE and not parsed:
            # Without a reply address of the provider's, reports go to the provider alone.
            self.actions.bounce(due.subject)
            return
        who = due.random.choices([Who.SELF, Who.ALIAS, Who.COLLEAGUE], [88, 6, 6])[0]
        self.actions.answer(truth, occasion, due.random, who if truth is Truth.REPLY and parsed else Who.SELF)

    def _tick(self, due: Due) -> Happened | None:
        person = self.people[due.subject]
        try:
            row = self.actions.record(person.id)
        except LookupError:
            return None
        if row["Drip_Enrolled__c"] or row.get("IsConverted"):
            return None
        warm, referral = self.sequences.values()
        sequence = referral if person.referral and due.random.random() < 0.5 else warm
        self.actions.tick(person.id, None if due.random.random() < 0.01 else sequence)
        return Happened(at=self._clock(), deed=Deed.TICK, address=person.address, record_id=person.id)

    def _mergeable(self, record_id: str) -> bool:
        """Whether there are two living contacts of one human."""
        person = self.people.get(record_id)
        partner = self.people.get(person.partner) if person is not None else None
        if person is None or partner is None or not person.kind == partner.kind == "Contact":
            return False
        return exists(self._org, "Contact", partner.id)

    @staticmethod
    def _new_address(address: str, random: Random) -> str:
        local, _, domain = address.partition("@")
        return f"{local}.new@{domain}" if random.random() < 0.7 else f"{local}@moved-{domain}"

    # the beginning

    def _populate(self, count: int) -> None:
        insert = self._org.insert
        self._org.lead_field_map.update({name: name for name in DRIP_FIELDS})
        population = Population(self._random)
        companies = population.companies(max(1, count * 9 // 20))
        drafts = population.people(count, companies)
        staff = reps()
        users = [insert("User", {**rep.row(), "IsActive": True}) for rep in staff]
        self.reps = [user for user, rep in zip(users, staff, strict=True) if rep.active]
        self._queue_id = insert("Group", {"Name": QUEUE, "DeveloperName": "Inbound_Leads", "Type": "Queue"})
        for company in companies:
            owner = self._random.choice(self.reps)
            company.id = insert("Account", {**company.fields, "OwnerId": owner})
        ids = [self._insert(draft, users) for draft in drafts]
        for draft, record_id in zip(drafts, ids, strict=True):
            self._remember(draft, record_id, ids)
        for user, rep in zip(users, staff, strict=True):
            if not rep.active:
                self._org.update(user, {"IsActive": False})
        self._org.deployments.watch = self._install_sequences
        self._install_sequences()

    def _insert(self, draft: Draft, users: list[str]) -> str:
        fields = {**draft.fields, "OwnerId": users[draft.owner] if draft.owner >= 0 else self._queue_id}
        if draft.kind == "Contact" and draft.company is not None:
            fields["AccountId"] = draft.company.id
        record_id = self._org.insert(draft.kind, fields)
        if draft.late:
            self._org.update(record_id, draft.late)
        return record_id

    def _remember(self, draft: Draft, record_id: str, ids: list[str]) -> None:
        partner = draft.partner
        address = draft.fields.get("Email", "")
        self.people[record_id] = Person(
            id=record_id,
            kind=draft.kind,
            address=address,
            traits=frozenset(draft.traits),
            partner=ids[partner] if partner is not None else "",
            referral=draft.fields.get("LeadSource") == "Partner Referral",
            language=draft.language,
        )
        if partner is not None and (first := self.people.get(ids[partner])) is not None:
            self.people[first.id] = replace(first, partner=record_id)
        if Trait.DEAD_MAILBOX in draft.traits:
            self._dead.add(address.lower())
        for trait, kind in ((Trait.OPTED_OUT, StopKind.OPT_OUT), (Trait.BOUNCED, StopKind.BOUNCE)):
            if trait in draft.traits:
                self.stops.add(
                    Stop(address=address.lower(), kind=kind, at=self._clock(), position=0, record_id=record_id)
                )

    def _install_sequences(self) -> None:
        """The example sequences, once there is a place for them."""
        if self.sequences or not is_installed(self._org):
            return
        for definition in load("sequences.toml")["sequence"]:
            # As RevOps would: written as a draft, and set live once there is something to send.
            draft = {**definition["fields"], "OwnerId": self.reps[0], "Drip_Status__c": "Draft"}
            sequence_id = self._org.insert("Drip_Sequence__c", draft)
            self.sequences[definition["fields"]["Name"]] = sequence_id
            for step in definition["steps"]:
                body = step["Drip_Body__c"].strip()
                self._org.insert("Drip_Step__c", {**step, "Drip_Body__c": body, "Drip_Sequence__c": sequence_id})
            self._org.update(sequence_id, {"Drip_Status__c": definition["fields"]["Drip_Status__c"]})
        self._org.insert("Drip_Control__c", {"Name": "Emergency brake"})
