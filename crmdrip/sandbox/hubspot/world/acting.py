"""What reps, people and admins do to the portal, each as one call that also keeps the oracle.

Rows are shown in the words the world reads: Id, Email, OwnerId, Drip_Enrolled__c.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from crmdrip.sandbox.hubspot.portal import HubSpotPortal
from crmdrip.sandbox.hubspot.properties import show_stamp, to_ms
from crmdrip.sandbox.hubspot.refusals import Refusal
from crmdrip.sandbox.hubspot.store import Record
from crmdrip.sandbox.sendgrid import AcceptedEmail, SendGridAccount
from crmdrip.sandbox.world import Actions, MeetingForm, OneClick, StopKind
from crmdrip.sandbox.world.letters import Letter, Occasion, Truth


class PortalActions(Actions):
    """Everything that can happen to a contact of the portal. Methods that need a living one raise LookupError."""

    def __init__(
        self,
        portal: HubSpotPortal,
        account: SendGridAccount,
        clock: Callable[[], datetime],
        post: Callable[[OneClick], None] | None = None,
    ) -> None:
        self._portal = portal
        self._begin(self._log_letter, account, clock, post)

    # reading

    def record(self, record_id: str) -> dict[str, Any]:
        """A living contact by id, old ids of merged ones included."""
        try:
            found = self._portal.get("contacts", record_id)
        except Refusal:
            raise LookupError(f"there is no contact {record_id}") from None
        if found.archived is not None:
            raise LookupError(f"contact {record_id} is deleted")
        return self._row(found)

    def records_at(self, address: str) -> list[dict[str, Any]]:
        """The living contact whose email this is: HubSpot has one at most. An additional address is no email."""
        found = self._portal.store.owner_of("contacts", "email", address) if address else None
        record = self._portal.store.find("contacts", found) if found is not None else None
        if record is None or record.get("email") != address.lower():
            return []
        return [self._row(record)]

    def _row(self, record: Record) -> dict[str, Any]:
        companies = self._portal.linked("contacts", record.id, "companies")
        name = f"{record.get('firstname')} {record.get('lastname')}".strip()
        return {
            "Id": record.id,
            "Name": name or record.get("email"),
            "FirstName": record.get("firstname"),
            "LastName": record.get("lastname"),
            "Email": record.get("email") or None,
            "OwnerId": record.get("hubspot_owner_id"),
            "Account": {"Name": companies[0].get("name")} if companies else None,
            "Company": record.get("company"),
            "Drip_Enrolled__c": record.get("crmdrip_enrolled") == "true",
        }

    def _set(self, record_id: str, **values: Any) -> None:
        self._portal.update("contacts", record_id, values)

    # the box

    def tick(self, record_id: str, sequence_id: str | None) -> None:
        """The rep ticks the box, with a sequence chosen or left out."""
        row = self.record(record_id)
        chosen = {} if sequence_id is None else {"crmdrip_sequence": sequence_id}
        self._set(record_id, crmdrip_enrolled="true", **chosen)
        if row["Email"]:
            self.stops.lift(row["Email"])

    def untick(self, record_id: str) -> None:
        """The rep unticks the box."""
        row = self.record(record_id)
        self._set(record_id, crmdrip_enrolled="false")
        self._stop_here(row, StopKind.UNTICKED)

    def pause(self, record_id: str, until: datetime | None) -> None:
        """The rep sets or clears Paused Until."""
        row = self.record(record_id)
        self._set(record_id, crmdrip_paused_until="" if until is None else to_ms(until))
        if row["Email"]:
            self.stops.end_pause(row["Email"])
        if until is not None:
            self._stop(row, StopKind.PAUSED, until=until)

    def approve(self, record_id: str) -> None:
        """The rep approves the next step."""
        self.record(record_id)
        self._set(record_id, crmdrip_approved="true")

    # the person

    def book_meeting(
        self,
        record_id: str,
        *,
        subject: str = "Intro call",
        form: MeetingForm = MeetingForm.WITH,  # noqa: ARG002 - a HubSpot meeting has its people in one way alone
    ) -> str:
        """The person picks a time in the rep's calendar: a meeting on the record; its id."""
        row = self.record(record_id)
        start = (self._clock() + timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
        meeting_id = self._portal.create(
            "meetings",
            {
                "hs_timestamp": to_ms(start),
                "hs_meeting_title": f"{subject} with {row['Name']}",
                "hs_meeting_start_time": to_ms(start),
                "hs_meeting_end_time": to_ms(start + timedelta(minutes=30)),
                "hs_meeting_outcome": "SCHEDULED",
                **self._owned_by(row),
            },
            contacts=row["Id"],
        )
        self._stop(row, StopKind.MEETING)
        return meeting_id

    def note_appointment(self, record_id: str, *, private: bool) -> str:
        """The rep notes what is no meeting with the person; the note's id."""
        row = self.record(record_id)
        values = {
            "hs_timestamp": to_ms(self._clock() - timedelta(hours=1)),
            "hs_note_body": "Private" if private else "Called, nobody answered",
            **self._owned_by(row),
        }
        return self._portal.create("notes", values, contacts=row["Id"])

    def _owned_by(self, row: Mapping[str, Any]) -> dict[str, str]:
        owner = self._portal.owner(row["OwnerId"]) if row["OwnerId"] else None
        return {"hubspot_owner_id": owner.id} if owner is not None and owner.active else {}

    def opt_out(self, record_id: str) -> None:
        """The person unsubscribes from all email on HubSpot's own page."""
        row = self.record(record_id)
        if not row["Email"]:
            raise LookupError("this person has no email address")
        self._portal.opt_out(row["Email"])
        self._stop(row, StopKind.OPT_OUT)

    # the CRM

    def open_opportunity(self, contact_id: str) -> str:
        """A rep opens a deal with the contact; its id."""
        row = self.record(contact_id)
        values = {
            "dealname": f"{row['Name']}: pilot",
            "dealstage": "qualifiedtobuy",
            "pipeline": "default",
            "closedate": to_ms(self._clock() + timedelta(days=60)),
        }
        deal_id = self._portal.create("deals", values, contacts=row["Id"])
        self._stop(row, StopKind.OPPORTUNITY)
        return deal_id

    def convert(self, lead_id: str, *, with_opportunity: bool) -> str:  # noqa: ARG002 - the world's signature
        """HubSpot has no conversion: a person is a contact from the first day. Raises LookupError."""
        raise LookupError(f"{lead_id} is a contact, and contacts are not converted")

    def merge(self, winner_id: str, loser_id: str) -> str:  # type: ignore[override] # a merge has a third id here
        """A rep merges two contacts into a third; its id. The loser's own address is not mailed again."""
        winner, loser = self.record(winner_id), self.record(loser_id)
        new_id = self._portal.merge("contacts", winner["Id"], loser["Id"])
        if (loser["Email"] or "").lower() != (winner["Email"] or "").lower():
            self._stop_here(loser, StopKind.MERGED)
        return new_id

    def delete(self, record_id: str) -> None:
        """A rep deletes the contact."""
        row = self.record(record_id)
        self._portal.archive("contacts", row["Id"])
        self._stop_here(row, StopKind.DELETED)

    def undelete(self, record_id: str) -> None:
        """A rep restores the contact; it stays stopped until ticked again (B14)."""
        self._portal.restore("contacts", record_id)

    def change_owner(self, record_id: str, owner_id: str) -> None:
        """Somebody else takes over."""
        self.record(record_id)
        self._set(record_id, hubspot_owner_id=owner_id)

    def change_address(self, record_id: str, address: str) -> None:
        """The person's address is corrected: the old one is not mailed again."""
        row = self.record(record_id)
        self._set(record_id, email=address)
        if row["Email"]:
            self.moved[row["Email"].lower()] = address.lower()
        self._stop_here(row, StopKind.ADDRESS_CHANGED)

    # what the rep's connected mailbox logs

    def _log_letter(self, letter: Letter, occasion: Occasion) -> str:
        """Log a mail on the timelines of the contacts who sent it; the email's id, "" when nobody is known."""
        people = self.records_at(letter.sender)
        if not people:
            return ""
        headers = {
            "from": {"email": letter.sender, "firstName": letter.sender_name or ""},
            "to": [{"email": letter.recipient}],
        }
        values = {
            "hs_timestamp": to_ms(occasion.at),
            "hs_email_direction": "INCOMING_EMAIL",
            "hs_email_subject": letter.subject,
            "hs_email_text": letter.text or "",
            "hs_email_html": letter.html or "",
            "hs_email_headers": json.dumps(headers),
            "hs_email_message_id": letter.message_id,
            "hs_incoming_email_is_out_of_office": "true" if letter.truth is Truth.OUT_OF_OFFICE else "",
        }
        return self._portal.log_email([row["Id"] for row in people], values)

    def _log_inbound(self, address: str, text: str, *, to: AcceptedEmail | None, at: datetime | None) -> str:
        previous = to.subject if to is not None else "your note"
        headers = {"from": {"email": address}, "to": [{"email": to.sender}] if to is not None else []}
        values = {
            "hs_timestamp": show_stamp(to_ms(at or self._clock())),
            "hs_email_direction": "INCOMING_EMAIL",
            "hs_email_subject": previous if previous.lower().startswith("re:") else f"Re: {previous}",
            "hs_email_text": text,
            "hs_email_headers": json.dumps(headers),
        }
        return self._portal.log_email([row["Id"] for row in self.records_at(address)], values)
