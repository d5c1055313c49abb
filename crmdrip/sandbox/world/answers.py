"""What came back, and what it really was: the record by which mistakes are counted. Delivers each mail by its own way.

A mail to a host of Inbound Parse goes to the mail provider, any other into the rep's mailbox, from where it is logged
in the CRM the way Email-to-Salesforce does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from random import Random

from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.sendgrid import AcceptedEmail, SendGridAccount
from crmdrip.sandbox.world.letters import Letter, Occasion, Truth, Who
from crmdrip.sandbox.world.reading import people_at
from crmdrip.sandbox.world.stops import StopKind


class Way(StrEnum):
    """By which way a mail arrives."""

    INBOUND_PARSE = "inbound_parse"
    CRM = "crm"
    """Through the rep's mailbox, as a record of an incoming email."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One mail that came back."""

    at: datetime
    truth: Truth
    who: Who
    language: str
    shape: tuple[str, ...]
    address: str
    """The person's, as our email went to it."""
    sender: str
    message_id: str
    touch: str
    """Of the email answered."""
    way: Way
    subject: str
    back: date | None = None
    record_id: str = ""
    """The EmailMessage, for those that came by the CRM."""


Log = Callable[[Letter, Occasion], str]
"""Logs a mail from the rep's mailbox in the CRM and gives the record's id."""

Visible = Callable[[Answer], None]
"""Told once anybody can know of the answer: it stands in the CRM, or the webhook was answered with success."""


class Answers:
    """Every answer of a world, oldest first in `all`."""

    def __init__(
        self, log: Log, account: SendGridAccount, clock: Callable[[], datetime], visible: Visible
    ) -> None:  # fmt: skip
        self.all: list[Answer] = []
        self._by_touch: dict[str, list[Answer]] = {}
        self._log = log
        self._account = account
        self._clock = clock
        self._visible = visible

    def of(self, touch: str) -> list[Answer]:
        """What came back to one email."""
        return list(self._by_touch.get(touch, ())) if touch else []

    def deliver(self, letter: Letter, occasion: Occasion) -> Answer:
        """Send a mail on its way."""
        parse = self._account.parse
        way = Way.INBOUND_PARSE if parse.accepts(letter.recipient) else Way.CRM
        answer = Answer(
            at=occasion.at,
            truth=letter.truth,
            who=letter.who,
            language=letter.language,
            shape=letter.shape,
            address=occasion.address,
            sender=letter.sender,
            message_id=letter.message_id,
            touch=occasion.email.touch,
            way=way,
            subject=letter.subject,
            back=letter.back,
            record_id=self._log(letter, occasion) if way is Way.CRM else "",
        )
        self.all.append(answer)
        self._by_touch.setdefault(answer.touch, []).append(answer)
        if way is Way.CRM:
            self._visible(answer)
        else:
            parse.receive(
                letter.raw,
                sender=letter.envelope_sender,
                recipient=letter.recipient,
                done=lambda: self._visible(answer),
            )
        return answer


def stop_of(answer: Answer) -> StopKind | None:
    """What an answer stops, None for nothing.

    Email-to-Salesforce knows an answer by its sender's address alone, and files a reply as no more than that: an alias
    or a delivery report that comes this way stops nothing that could be held against anybody. A notice of leaving stops
    a run as well, but is no wish of anybody's (P2): whether it was understood is counted by its truth.
    """
    parsed = answer.way is Way.INBOUND_PARSE
    match answer.truth:
        case Truth.REPLY if answer.who is Who.SELF or (answer.who is Who.ALIAS and parsed):
            return StopKind.REPLY
        case Truth.UNSUBSCRIBE:
            return StopKind.UNSUBSCRIBE if parsed else StopKind.REPLY
        case Truth.BOUNCE if parsed:
            return StopKind.BOUNCE
        case _:
            return None


def log_inbound(org: SalesforceOrg, letter: Letter, occasion: Occasion) -> str:
    """Log a mail from the rep's mailbox in the org, related to every record of its sender; the EmailMessage's id."""
    answered = occasion.message_id if "In-Reply-To:" in letter.headers else ""
    email_id = org.insert(
        "EmailMessage",
        {
            "Incoming": True,
            "FromAddress": letter.sender,
            "FromName": letter.sender_name or None,
            "ToAddress": letter.recipient,
            "Subject": letter.subject,
            "TextBody": letter.text or None,
            "HtmlBody": letter.html or None,
            "Status": "0",
            "MessageDate": occasion.at,
            "Headers": letter.headers,
            "MessageIdentifier": letter.message_id,
            "ThreadIdentifier": answered or None,
        },
    )
    for row in people_at(org, letter.sender):
        org.insert(
            "EmailMessageRelation",
            {
                "EmailMessageId": email_id,
                "RelationId": row["Id"],
                "RelationType": "FromAddress",
                "RelationAddress": letter.sender,
            },
        )
    return email_id


_COLLEAGUES = ("Robin Hale", "Sam Ortega", "Kim Albrecht", "Noa Lindqvist", "Jo Marchetti", "Alex Duval")


def occasion_of(email: AcceptedEmail, row: dict[str, object], language: str, at: datetime, random: Random) -> Occasion:
    """The occasion on which the person of a record answers an email."""
    account = row.get("Account")
    company = account.get("Name") if isinstance(account, dict) else row.get("Company")
    return Occasion(
        email=email,
        at=at,
        first=str(row.get("FirstName") or ""),
        last=str(row.get("LastName") or ""),
        address=email.to,
        company=str(company or "the company"),
        language=language,
        recipient=email.reply_to or email.sender,
        other=random.choice(_COLLEAGUES),
    )
