"""What reps, people and admins do to the CRM and the mail provider, each as one call that also keeps the oracle.

The world calls these on its schedule and the pages when somebody presses a button, so that both mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from random import Random
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.sendgrid import AcceptedEmail, SendGridAccount
from crmdrip.sandbox.world.answers import Answer, Answers, Log, log_inbound, stop_of
from crmdrip.sandbox.world.letters import Occasion, Truth, Who, write, write_mailto, write_words
from crmdrip.sandbox.world.reading import exists, people_at, person
from crmdrip.sandbox.world.stops import Stop, StopKind, Stops

Row = Mapping[str, Any]


class ClickWay(StrEnum):
    """How somebody unsubscribes by link."""

    ONE_CLICK = "one_click"
    """The mail program posts to it (RFC 8058)."""
    PAGE = "page"
    """The person opens it in a browser and presses the button there."""


class MeetingForm(StrEnum):
    """How a meeting stands in the calendar."""

    WITH = "with"
    """The person is the event's own contact or lead."""
    INVITED = "invited"
    """The person is among those invited to it."""
    SERIES = "series"
    """It is the first of several."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OneClick:
    """An unsubscribe that waits to be made at the sender's own link."""

    url: str
    address: str
    way: ClickWay = ClickWay.ONE_CLICK


class Actions:
    """Everything that can happen to a person in the sandbox. Methods that need a live record raise LookupError."""

    def __init__(
        self,
        org: SalesforceOrg,
        account: SendGridAccount,
        clock: Callable[[], datetime],
        post: Callable[[OneClick], None] | None = None,
    ) -> None:
        self._org = org
        self._begin(partial(log_inbound, org), account, clock, post)

    def _begin(
        self,
        log: Log,
        account: SendGridAccount,
        clock: Callable[[], datetime],
        post: Callable[[OneClick], None] | None,
    ) -> None:
        """What is the same for every CRM."""
        self._account = account
        self._clock = clock
        self.stops = Stops()
        self.answers = Answers(log, account, clock, self._answered)
        """What came back by mail, each with its truth."""
        self.one_clicks: list[OneClick] = []
        """Unsubscribes nobody has posted yet; only filled when there is no `post`."""
        self.moved: dict[str, str] = {}
        """Addresses that were changed: the old one by the new one, in lower case."""
        self.failed_one_clicks: list[tuple[OneClick, str]] = []
        """Those that were not answered with success, with what happened."""
        self.post = post
        """Called with each unsubscribe; must not block, and reports through `unsubscribed` or `not_unsubscribed`."""

    # reading

    def record(self, record_id: str) -> Row:
        """A living contact or lead by id."""
        row = person(self._org, record_id)
        if row["IsDeleted"]:
            raise LookupError(f"record {record_id} is deleted")
        return row

    def records_at(self, address: str) -> list[dict[str, Any]]:
        """Every living, unconverted contact and lead with the address, those with a ticked box first."""
        return people_at(self._org, address)

    # the box

    def tick(self, record_id: str, sequence_id: str | None) -> None:
        """The rep ticks the box, with a sequence chosen or left out."""
        row = self.record(record_id)
        changes: dict[str, Any] = {"Drip_Enrolled__c": True}
        if sequence_id is not None:
            changes["Drip_Sequence__c"] = sequence_id
        self._org.update(record_id, changes)
        if row["Email"]:
            self.stops.lift(row["Email"])

    def untick(self, record_id: str) -> None:
        """The rep unticks the box."""
        row = self.record(record_id)
        self._org.update(record_id, {"Drip_Enrolled__c": False})
        self._stop_here(row, StopKind.UNTICKED)

    def pause(self, record_id: str, until: datetime | None) -> None:
        """The rep sets or clears Paused Until."""
        row = self.record(record_id)
        self._org.update(record_id, {"Drip_Paused_Until__c": until})
        if row["Email"]:
            self.stops.end_pause(row["Email"])
        if until is not None:
            self._stop(row, StopKind.PAUSED, until=until)

    def approve(self, record_id: str) -> None:
        """The rep approves the next step."""
        self.record(record_id)
        self._org.update(record_id, {"Drip_Approved__c": True})

    # the person

    def reply(self, address: str, text: str, *, to: AcceptedEmail | None = None, at: datetime | None = None) -> str:
        """The person answers, and the rep's mailbox logs it the way Email-to-Salesforce does; the message's id."""
        message_id = self._log_inbound(address, text, to=to, at=at)
        self._stop_address(address, StopKind.REPLY)
        return message_id

    def answer(self, truth: Truth, occasion: Occasion, random: Random, who: Who = Who.SELF) -> Answer:
        """A mail comes back, to where the email's Reply-To says. It stops what it stops once it can be known of."""
        return self.answers.deliver(write(truth, occasion, random, who), occasion)

    def answer_with(self, text: str, occasion: Occasion, random: Random) -> Answer:
        """The person answers with these words."""
        return self.answers.deliver(write_words(text, occasion, random), occasion)

    def unsubscribe_by_mail(self, occasion: Occasion, random: Random) -> None:
        """The person's mail program writes to the mailto address of List-Unsubscribe; without one, it posts."""
        target = urlsplit(occasion.email.unsubscribe_mailto)
        if not target.path:
            self.unsubscribe(occasion.email)
            return
        asked = replace(occasion, recipient=unquote(target.path))
        subject = parse_qs(target.query).get("subject", [""])[0]
        self.answers.deliver(write_mailto(subject, asked, random), asked)

    def _answered(self, answer: Answer) -> None:
        if (kind := stop_of(answer)) is not None:
            self._stop_address(answer.address, kind)

    def book_meeting(
        self, record_id: str, *, subject: str = "Intro call", form: MeetingForm = MeetingForm.WITH
    ) -> str:  # fmt: skip
        """The person picks a time in the rep's calendar: an Event on the record; its id."""
        row = self.record(record_id)
        start = (self._clock() + timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
        fields: dict[str, Any] = {
            "WhoId": None if form is MeetingForm.INVITED else record_id,
            "Subject": f"{subject} with {row['Name']}",
            "StartDateTime": start,
            "DurationInMinutes": 30,
            "Type": "Meeting",
            "OwnerId": self._active_owner(row),
        }
        if form is MeetingForm.SERIES:
            fields |= {
                "IsRecurrence": True,
                "RecurrenceStartDateTime": start,
                "RecurrenceEndDateOnly": (start + timedelta(days=21)).date(),
                "RecurrenceType": "RecursDaily",
                "RecurrenceInterval": 7,
            }
        event_id = self._org.insert("Event", {key: value for key, value in fields.items() if value is not None})
        if form is MeetingForm.INVITED:
            self._org.insert("EventRelation", {"EventId": event_id, "RelationId": record_id})
        self._stop(row, StopKind.MEETING)
        return event_id

    def note_appointment(self, record_id: str, *, private: bool) -> str:
        """The rep enters what is no meeting with the person: a call that is over, or a private appointment; its id."""
        row = self.record(record_id)
        fields = {
            "WhoId": record_id,
            "Subject": "Private" if private else "Call",
            "StartDateTime": self._clock() + timedelta(days=1 if private else -1),
            "DurationInMinutes": 15,
            "IsPrivate": private,
            "OwnerId": self._active_owner(row),
        }
        return self._org.insert("Event", {key: value for key, value in fields.items() if value is not None})

    def _active_owner(self, row: Row) -> str | None:
        owner = str(row["OwnerId"])
        return owner if exists(self._org, "User", owner, "AND IsActive = true") else None

    def opt_out(self, record_id: str) -> None:
        """Email Opt Out is ticked on the record."""
        row = self.record(record_id)
        self._org.update(record_id, {"HasOptedOutOfEmail": True})
        self._stop(row, StopKind.OPT_OUT)

    def unsubscribe(self, email: AcceptedEmail, way: ClickWay = ClickWay.ONE_CLICK) -> None:
        """The person unsubscribes by the email's link. It stops once that succeeded."""
        url = email.unsubscribe_url
        if not url:
            return
        click = OneClick(url=url, address=email.to, way=way)
        if self.post is None:
            self.one_clicks.append(click)
        else:
            self.post(click)

    def unsubscribed(self, click: OneClick) -> None:
        """The link answered with success."""
        self._stop_address(click.address, StopKind.UNSUBSCRIBE)

    def not_unsubscribed(self, click: OneClick, problem: str) -> None:
        """The link did not answer with success; the person was told so by the mail program."""
        self.failed_one_clicks.append((click, problem))

    def bounce(self, address: str) -> None:
        """The mailbox is dead: the newest email comes back and the provider suppresses the address."""
        self._account.bounce(address)
        self._stop_address(address, StopKind.BOUNCE)

    def report_spam(self, address: str) -> None:
        """The person presses Report Spam, and the provider hears of it."""
        self._account.report_spam(address)
        self._stop_address(address, StopKind.SPAM_REPORT)

    # the CRM

    def open_opportunity(self, contact_id: str) -> str:
        """A rep opens an opportunity with the contact; its id."""
        row = self.record(contact_id)
        opportunity_id = self._org.insert(
            "Opportunity",
            {
                "Name": f"{row['Name']}: pilot",
                "AccountId": row["AccountId"],
                "StageName": "Qualification",
                "CloseDate": (self._clock() + timedelta(days=60)).date(),
                "ContactId": contact_id,
            },
        )
        self._stop(row, StopKind.OPPORTUNITY)
        return opportunity_id

    def convert(self, lead_id: str, *, with_opportunity: bool) -> str:
        """A rep converts the lead; the contact's id."""
        row = self.record(lead_id)
        name = f"{row['Company']}: pilot" if with_opportunity else None
        contact_id = self._org.convert(lead_id, opportunity_name=name).contact_id
        if with_opportunity:
            self._stop(row, StopKind.CONVERTED)
        return contact_id

    def merge(self, winner_id: str, loser_id: str) -> None:
        """A rep merges two records of one object: the loser's own address is not mailed again."""
        winner, loser = self.record(winner_id), self.record(loser_id)
        self._org.merge(winner_id, [loser_id])
        if (loser["Email"] or "").lower() != (winner["Email"] or "").lower():
            self._stop_here(loser, StopKind.MERGED)

    def delete(self, record_id: str) -> None:
        """A rep deletes the record."""
        row = self.record(record_id)
        self._org.delete(record_id)
        self._stop_here(row, StopKind.DELETED)

    def undelete(self, record_id: str) -> None:
        """A rep takes the record out of the recycle bin; it stays stopped until ticked again (B14)."""
        self._org.undelete(record_id)

    def change_owner(self, record_id: str, owner_id: str) -> None:
        """Somebody else takes over."""
        self.record(record_id)
        self._org.change_owner(record_id, owner_id)

    def change_address(self, record_id: str, address: str) -> None:
        """The person's address is corrected: the old one is not mailed again."""
        row = self.record(record_id)
        self._org.update(record_id, {"Email": address})
        self.moved[address.lower()] = str(row["Email"] or "").lower()
        self._stop_here(row, StopKind.ADDRESS_CHANGED)

    # steps

    def _stop_here(self, row: Row, kind: StopKind) -> None:
        """What ends the run of one record. The address may go on where another record of it has its box ticked."""
        others = self.records_at(row["Email"]) if row["Email"] else []
        if not any(other["Drip_Enrolled__c"] for other in others if other["Id"] != row["Id"]):
            self._stop(row, kind)

    def _log_inbound(
        self,
        address: str,
        text: str,
        *,
        to: AcceptedEmail | None,
        at: datetime | None,
    ) -> str:
        original = {name.lower(): value for name, value in (to.headers if to is not None else {}).items()}
        answered = original.get("message-id", "")
        head = [f"In-Reply-To: {answered}", f"References: {answered}"] if answered else []
        previous = to.subject if to is not None else "your note"
        email_id = self._org.insert(
            "EmailMessage",
            {
                "Incoming": True,
                "FromAddress": address,
                "ToAddress": to.sender if to is not None else None,
                "Subject": previous if previous.lower().startswith("re:") else f"Re: {previous}",
                "TextBody": text,
                "Status": "0",
                "MessageDate": at or self._clock(),
                "Headers": "\r\n".join(head) or None,
                "ThreadIdentifier": answered or None,
            },
        )
        for row in self.records_at(address):
            self._org.insert(
                "EmailMessageRelation",
                {
                    "EmailMessageId": email_id,
                    "RelationId": row["Id"],
                    "RelationType": "FromAddress",
                    "RelationAddress": address,
                },
            )
        return email_id

    def _stop(self, row: Row, kind: StopKind, *, until: datetime | None = None) -> None:
        if row["Email"]:
            self._stop_address(row["Email"], kind, record_id=row["Id"], until=until)

    def _stop_address(
        self, address: str, kind: StopKind, *, record_id: str = "", until: datetime | None = None
    ) -> None:
        self.stops.add(
            Stop(
                address=address.lower(),
                kind=kind,
                at=self._clock(),
                position=len(self._account.accepted),
                record_id=record_id,
                until=until,
            )
        )
