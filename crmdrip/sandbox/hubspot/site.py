"""The portal's pages: the list of contacts with the box, the record with its properties and its timeline, the buttons.

The templates are those of the Salesforce org's pages, so rows carry the words these read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote as quote_url

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.http import Request, Response, redirect
from crmdrip.sandbox.hubspot.library import list_sequences, list_steps
from crmdrip.sandbox.hubspot.portal import HubSpotPortal
from crmdrip.sandbox.hubspot.refusals import Refusal
from crmdrip.sandbox.hubspot.store import Record
from crmdrip.sandbox.hubspot.timeline import timeline
from crmdrip.sandbox.hubspot.world import CONTROL_KEY, PortalView, PortalWorld
from crmdrip.sandbox.pages import Pages
from crmdrip.sandbox.pages.kinds import ANSWERS
from crmdrip.sandbox.pages.people import PAGE, PeoplePage
from crmdrip.sandbox.pages.site import Form, NotFoundError
from crmdrip.sandbox.sendgrid import SendGridAccount
from crmdrip.sandbox.world import LANGUAGES
from crmdrip.sandbox.world.reading import STATUSES

FILTERS = ("", "ticked", *(status.lower() for status in STATUSES))
"""By the word in the address."""
_DIGITS = re.compile(r"\d+")

_DRIP = {
    "Drip_Sequence__c": "crmdrip_sequence",
    "Drip_Status__c": "crmdrip_status",
    "Drip_Reason__c": "crmdrip_reason",
    "Drip_Step__c": "crmdrip_step",
    "Drip_Next_Touch__c": "crmdrip_next_touch",
    "Drip_Last_Touch__c": "crmdrip_last_touch",
    "Drip_Run__c": "crmdrip_run",
    "Drip_Paused_Until__c": "crmdrip_paused_until",
    "Drip_Out_Of_Office_Until__c": "crmdrip_out_of_office_until",
    "Drip_Replied_At__c": "crmdrip_replied_at",
}


class PortalPages(Pages):
    """The handler of the pages' server, for a portal."""

    def __init__(
        self, portal: HubSpotPortal, account: SendGridAccount, world: PortalWorld, clock: SandboxClock
    ) -> None:
        self._portal = portal
        self.folder: Path | None = None
        """Where somebody writes sequences as files, to be shown beside the examples."""
        self._view = PortalView(portal)
        self._begin(account, world, clock)
        self._templates.globals["everybody"] = "contacts"
        del self._deeds["convert"]
        self._deeds = {name: _told(deed) for name, deed in self._deeds.items()}

    def _check_id(self, record_id: str) -> None:
        if _DIGITS.fullmatch(record_id) is None:
            raise LookupError(f"{record_id} is no contact")

    # pages

    def _home(self, _: Request) -> Response:
        accepted = self._account.accepted
        return self._page(
            "home.html",
            tab="home",
            people=len(self._world.people),
            accepted=len(accepted),
            duplicates=len(self._account.duplicates()),
            violations=len(self._world.violations()),
            statuses=self._view.count_statuses(),
            stops=self._world.stops.counts(),
            happened=[h for h in reversed(self._world.happened[-400:]) if h.deed.value != "tick"][:12],
            newest=[(number, accepted[number]) for number in range(len(accepted) - 1, max(-1, len(accepted) - 13), -1)],
            calls=self._portal.api_calls,
            control=self._control(),
        )

    def _control(self) -> dict[str, Any] | None:
        found = self._portal.store.owner_of("contacts", "crmdrip_key", CONTROL_KEY)
        if found is None:
            return None
        record = self._portal.get("contacts", found)
        return {
            "Id": found,
            "Drip_Brake__c": record.get("crmdrip_brake") == "true",
            "Drip_State__c": record.get("crmdrip_state"),
            "Drip_Heartbeat__c": record.get("crmdrip_heartbeat"),
        }

    def _brake(self, request: Request) -> Response:
        control = self._control()
        if control is None:
            raise NotFoundError("There is no control contact: an admin deleted it.")
        pulled = request.form().get("brake") == "pulled"
        self._portal.update("contacts", control["Id"], {"crmdrip_brake": str(pulled).lower()})
        return redirect("/")

    def _people(self, request: Request) -> Response:
        query = request.query()
        text, status = query.get("q", "").strip()[:100], query.get("status", "")
        status = status if status in FILTERS else ""
        words = text.lower().split()
        records = [each for each in self._portal.all("contacts") if _counts(each, status) and self._fits(each, words)]
        records.sort(key=lambda each: _name(each).encode().lower())
        asked = query.get("page", "1")
        pages = max(1, -(-len(records) // PAGE))
        number = min(max(1, int(asked) if asked.isdigit() else 1), pages)
        shown = [self._row(each) for each in records[(number - 1) * PAGE : number * PAGE]]
        return self._page(
            "people.html",
            tab="people",
            found=PeoplePage(rows=shown, total=len(records), number=number),
            text=text,
            status=status,
            filters=FILTERS,
            back=f"/people?q={quote_url(text)}&status={quote_url(status)}&page={number}",
            default_sequence=next(iter(self._world.sequences.values())),
        )

    def _person(self, request: Request, record_id: str) -> Response:
        self._check_id(record_id)
        try:
            record = self._portal.get("contacts", record_id)
        except Refusal:
            raise NotFoundError(f"there is no contact {record_id}") from None
        if record.id != record_id:
            return redirect(f"/people/{record.id}")
        row, owner = self._row(record), self._portal.owner(record.get("hubspot_owner_id"))
        gone = record.archived is not None
        return self._page(
            "person.html",
            tab="people",
            row=row,
            kind="Contact",
            owner={"IsActive": owner.active} if owner is not None else None,
            zone=owner.zone if owner is not None else "UTC",
            gone=gone,
            activities=timeline(self._portal, record_id),
            emails=self._emails_by_touch(),
            sequences=list_sequences(self._portal, self.folder),
            reps=[{"Id": each.id, "Name": each.name} for each in self._portal.owners if each.active and each.title],
            others=[] if gone else self._others_like(record),
            stops=self._world.stops.of(record.get("email")),
            kinds=ANSWERS,
            languages=LANGUAGES,
            properties=self._properties(record),
            problem=request.query().get("problem", ""),
            said=request.query().get("said", ""),
        )

    def _properties(self, record: Record) -> list[tuple[str, str, str]]:
        """Label, name and value of everything that is set, by label."""
        specs = self._portal.kinds["contacts"].properties
        found = [(specs[name].label, name, text) for name, text in record.properties.items() if text and name in specs]
        return sorted(found)

    def _row(self, record: Record) -> dict[str, Any]:
        """A contact in the words of the templates."""
        owner = self._portal.owner(record.get("hubspot_owner_id"))
        company = self._company(record)
        return {
            "Id": record.id,
            "Name": _name(record),
            "FirstName": record.get("firstname"),
            "LastName": record.get("lastname"),
            "Email": record.get("email"),
            "Title": record.get("jobtitle"),
            "Phone": record.get("phone"),
            "OwnerId": record.get("hubspot_owner_id"),
            "Owner": {"Name": owner.name} if owner is not None else None,
            "Account": {"Name": company} if company else None,
            "MailingCountry": record.get("country"),
            "HasOptedOutOfEmail": record.get("hs_email_optout") == "true",
            "EmailBouncedReason": record.get("crmdrip_bounced_reason"),
            "IsDeleted": record.archived is not None,
            "MasterRecordId": None,
            "Drip_Enrolled__c": record.get("crmdrip_enrolled") == "true",
            **{word: record.get(name) for word, name in _DRIP.items()},
        }

    def _company(self, record: Record) -> str:
        companies = self._portal.linked("contacts", record.id, "companies")
        return companies[0].get("name") if companies else record.get("company")

    def _fits(self, record: Record, words: list[str]) -> bool:
        """Whether each word stands in name, company or address."""
        where = f"{_name(record)} {record.get('email')} {self._company(record) if words else ''}".lower()
        return all(word in where for word in words)

    def _others_like(self, record: Record) -> list[dict[str, Any]]:
        """Contacts of the same surname: whom a rep may merge it with."""
        surname = record.get("lastname").lower()
        found = [
            each
            for each in self._portal.all("contacts")
            if each.id != record.id and surname and each.get("lastname").lower() == surname
        ]
        return [{"Id": each.id, "Name": _name(each), "Email": each.get("email")} for each in found[:12]]

    def _email(self, _: Request, number_text: str) -> Response:
        number = int(number_text)
        if number >= len(self._account.accepted):
            raise NotFoundError(f"there is no email {number}")
        email = self._account.accepted[number]
        return self._page(
            "email.html",
            tab="outbox",
            number=number,
            email=email,
            records=self._world.actions.records_at(email.to),
            answers=self._world.actions.answers.of(email.touch),
            last=len(self._account.accepted) - 1,
        )

    def _sequences(self, _: Request) -> Response:
        return self._page("sequences.html", tab="sequences", sequences=list_sequences(self._portal, self.folder))

    def _sequence(self, _: Request, sequence_name: str) -> Response:
        for each in list_sequences(self._portal, self.folder):
            if each["Id"] == sequence_name:
                steps = list_steps(self._portal, sequence_name, self.folder)
                return self._page("sequence.html", tab="sequences", sequence=each, steps=steps)
        raise NotFoundError(f"there is no sequence {sequence_name}")


def _told(deed: Callable[[str, Form], str | None]) -> Callable[[str, Form], str | None]:
    """The deed, with the portal's refusal as what the pages tell."""

    def act(record_id: str, form: Form) -> str | None:
        try:
            return deed(record_id, form)
        except Refusal as refusal:
            raise LookupError(refusal.message) from refusal

    return act


def _name(record: Record) -> str:
    return f"{record.get('firstname')} {record.get('lastname')}".strip() or record.get("email") or record.id


def _counts(record: Record, status: str) -> bool:
    """Whether it is a person of that status."""
    if record.get("crmdrip_key"):
        return False  # it is no person
    if status == "ticked" and record.get("crmdrip_enrolled") != "true":
        return False
    return status in ("", "ticked") or record.get("crmdrip_status").lower() == status
