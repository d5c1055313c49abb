"""The two CRMs in the same words: who is in them, what RevOps and admins change, and how each misbehaves.

What people and reps do to a record are the sandbox's own actions, which are the same for both. Everything here is to be
called in the thread that serves the stand-ins.
"""

# ruff: noqa: D102 - what each does is said by Org

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from crmdrip.sandbox.control import Sandbox
from crmdrip.sandbox.courier import Post
from crmdrip.sandbox.faults import Fault
from crmdrip.sandbox.hubspot.auth import APP_ID
from crmdrip.sandbox.hubspot.sandbox import HINTS, HubSpotSandbox
from crmdrip.sandbox.hubspot.trouble import TROUBLES as HUBSPOT_TROUBLES
from crmdrip.sandbox.salesforce.trouble import TROUBLES as SALESFORCE_TROUBLES
from crmdrip.sandbox.world import NOBODY_REACTS
from crmdrip.sandbox.world.reading import FIELDS, kind_of, select

HINT_SECRET = "a-secret-that-salesforce-knows"
APP_SECRET = "a-secret-of-the-app"
CHANGES = "/hooks/hubspot/changes"

ALWAYS = {
    "status": "Live",
    "send_days": "Mon;Tue;Wed;Thu;Fri;Sat;Sun",
    "send_from": "00:00",
    "send_until": "23:59",
    "time_zone": "UTC",
    "time_zone_policy": "Fixed",
    "sender": "Owner",
    "re_enroll_after_days": 0,
    "minimum_gap_hours": 1,
}
"""A sequence whose emails may go out at any hour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One record as a rep sees it."""

    id: str
    """Of the record that it is by now: another one after a merge in HubSpot."""
    email: str
    """In lower case, "" for none."""
    enrolled: bool
    status: str
    reason: str
    next_touch: datetime | None
    gone: bool
    """Deleted, merged away or converted."""
    opted_out: bool
    """Of all email."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An email of ours or an answer, as it stands on a timeline."""

    touch_id: str
    message_id: str
    opens: int


class Org(Protocol):
    """One CRM."""

    kinds: tuple[str, ...]
    """Kinds of people that it has."""
    troubles: Mapping[str, Fault]
    """What may go wrong with a call."""
    lag: float
    """Seconds after which its searches show a change."""

    @property
    def sandbox(self) -> Sandbox:
        """The whole sandbox."""

    def config(self) -> str:
        """The tables of config.toml that lead to it."""

    def calls(self) -> int:
        """API calls it has answered."""

    def add_sequence(self, name: str, delays: list[int], words: Mapping[str, Any]) -> str:
        """A sequence of emails that many days apart; its id."""

    def change_sequence(self, sequence_id: str, **words: Any) -> None:
        """RevOps changes fields of it."""

    def steps(self, sequence_id: str) -> list[str]:
        """The ids of its steps."""

    def add_step(self, sequence_id: str, **words: Any) -> None:
        """A further email."""

    def change_step(self, sequence_id: str, step_id: str, **words: Any) -> None:
        """A step is moved, switched off, rewritten."""

    def remove_step(self, sequence_id: str, step_id: str) -> None:
        """A step is deleted."""

    def add_person(self, kind: str, email: str, sequence_id: str = "") -> str:
        """A person of the first rep, with a ticked box where there is a sequence; the record's id."""

    def show(self, record_id: str) -> Shown:
        """The record as it is."""

    def count_touches(self) -> int:
        """Emails of ours that stand on timelines."""

    def timeline(self) -> list[Entry]:
        """Everything of ours that stands on timelines."""

    def post_hints(self, door: str, post: Post) -> None:
        """Tell the door of changes, where the CRM does so by itself."""

    def advance_hints(self, now: datetime) -> None:
        """Let them go out that are due by then."""

    def set_brake(self, *, pulled: bool) -> None:
        """An admin pulls the emergency brake, or lets it go."""

    def lock(self, record_id: str, writes: int) -> None:
        """The next writes to the record meet a lock."""

    def mend(self) -> None:
        """Everything works again."""


def open_org(name: str, folder: Path, now: datetime | None) -> Org:
    """An empty org of that name, whose clock stands still at that time, or is the real one. It is not served yet."""
    return SalesforceOrg(now) if name == "salesforce" else HubSpotOrg(folder / "sequences", now)


EMAIL = {
    "kind": "Email",
    "delay_unit": "Days",
    "subject": "Hello",
    "body": "<p>Hi {{ contact.last_name }}, shall we talk?</p>",
    "active": True,
}


class SalesforceOrg:
    """A Salesforce org with contacts and leads."""

    kinds = ("Contact", "Lead")
    troubles = SALESFORCE_TROUBLES
    lag = 0.0

    def __init__(self, now: datetime | None) -> None:
        speed = 1.0 if now is None else 0.0
        self.sandbox = Sandbox(people=0, seed=1, now=now, speed=speed, habits=NOBODY_REACTS, unsubscribes=False)
        self.org = self.sandbox.org
        self._locked: set[str] = set()

    def config(self) -> str:
        return (
            f'[crm]\nconnector = "salesforce"\n[crm.salesforce]\ndomain = "acme.my"\n{{cap}}'
            f'base_url = "{self.sandbox.salesforce_url}"\n'
            '[crm.salesforce.auth.client_credentials]\nconsumer_key = "sandbox-consumer-key"\n'
            'consumer_secret = "sandbox-consumer-secret"\n'
        )

    def calls(self) -> int:
        return self.org.api_calls

    def add_sequence(self, name: str, delays: list[int], words: Mapping[str, Any]) -> str:
        draft = {"Name": name, **_fields({**ALWAYS, **words, "status": "Draft"})}
        sequence = self.org.insert("Drip_Sequence__c", draft)
        for number, delay in enumerate(delays, 1):
            self.add_step(sequence, name=f"Step {number}", order=10 * number, delay=delay)
        self.change_sequence(sequence, status="Live")
        return sequence

    def change_sequence(self, sequence_id: str, **words: Any) -> None:
        self.org.update(sequence_id, _fields(words))

    def steps(self, sequence_id: str) -> list[str]:
        soql = f"SELECT Id FROM Drip_Step__c WHERE Drip_Sequence__c = '{sequence_id}' ORDER BY Drip_Order__c, Id"  # noqa: S608 - against a stand-in
        return [row["Id"] for row in self.org.select(soql)]

    def add_step(self, sequence_id: str, **words: Any) -> None:
        name = words.pop("name", "Further")
        fields = {"Name": name, "Drip_Sequence__c": sequence_id, **_fields({**EMAIL, **words})}
        self.org.insert("Drip_Step__c", fields)

    def change_step(self, sequence_id: str, step_id: str, **words: Any) -> None:
        self.org.update(step_id, _fields(words))

    def remove_step(self, sequence_id: str, step_id: str) -> None:
        self.org.delete(step_id)

    def add_person(self, kind: str, email: str, sequence_id: str = "") -> str:
        box = {"Drip_Enrolled__c": True, "Drip_Sequence__c": sequence_id} if sequence_id else {}
        company = {"Company": "Acme"} if kind == "Lead" else {}
        name = email.partition("@")[0].title()
        fields = {"LastName": name, "Email": email, "OwnerId": self.sandbox.world.reps[0], **company, **box}
        return self.org.insert(kind, fields)

    def show(self, record_id: str) -> Shown:
        kind = kind_of(record_id)
        (row,) = select(self.org, kind, FIELDS[kind], f"WHERE Id = '{record_id}'", everything=True)
        next_touch = row["Drip_Next_Touch__c"]
        return Shown(
            id=record_id,
            email=(row["Email"] or "").lower(),
            enrolled=bool(row["Drip_Enrolled__c"]),
            status=row["Drip_Status__c"] or "",
            reason=row["Drip_Reason__c"] or "",
            next_touch=datetime.fromisoformat(next_touch) if next_touch else None,
            gone=bool(row["IsDeleted"] or row.get("IsConverted")),
            opted_out=bool(row["HasOptedOutOfEmail"]),
        )

    def count_touches(self) -> int:
        return self.org.count("SELECT COUNT() FROM Task WHERE Drip_Touch_Id__c != null")

    def timeline(self) -> list[Entry]:
        names = "Drip_Touch_Id__c, Drip_Message_Id__c, Drip_Opens__c"
        found = self.org.select(f"SELECT {names} FROM Task WHERE Drip_Touch_Id__c != null")  # noqa: S608 - against a stand-in
        return [
            Entry(
                touch_id=row["Drip_Touch_Id__c"],
                message_id=row["Drip_Message_Id__c"] or "",
                opens=int(row["Drip_Opens__c"] or 0),
            )
            for row in found
        ]

    def post_hints(self, door: str, post: Post) -> None:
        """A flow does, where an admin made one: Scene.hint."""

    def advance_hints(self, now: datetime) -> None:
        """None wait."""

    def set_brake(self, *, pulled: bool) -> None:
        for one in self.org.select("SELECT Id FROM Drip_Control__c"):
            self.org.update(one["Id"], {"Drip_Brake__c": pulled})

    def lock(self, record_id: str, writes: int) -> None:
        self._locked.add(record_id)
        self.org.lock_row(record_id, writes=writes)

    def mend(self) -> None:
        self.org.faults.clear()
        while self._locked:
            self.org.unlock_row(self._locked.pop())


def _fields(words: Mapping[str, Any]) -> dict[str, Any]:
    """re_enroll_after_days is Drip_Re_Enroll_After_Days__c."""
    return {f"Drip_{'_'.join(part.title() for part in word.split('_'))}__c": value for word, value in words.items()}


class HubSpotOrg:
    """A HubSpot portal, with its sequences in a folder."""

    kinds = ("Contact",)
    troubles = HUBSPOT_TROUBLES
    lag = 8.0

    def __init__(self, folder: Path, now: datetime | None) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        speed = 1.0 if now is None else 0.0
        self.sandbox = HubSpotSandbox(people=0, seed=1, now=now, speed=speed, habits=NOBODY_REACTS, unsubscribes=False)
        self.portal = self.sandbox.portal
        self.portal.meter.limits = None  # those are real seconds, and here weeks pass in one
        if now is None:
            self.portal.store.lag = 500  # milliseconds, and nobody waits for more
        self._locked: set[str] = set()
        self._written = 0
        self._webhooks = ""

    def config(self) -> str:
        return (
            '[crm]\nconnector = "hubspot"\n[crm.hubspot]\nsequences = "sequences"\nsearch_seconds = 0.0\n{cap}'
            f'base_url = "{self.sandbox.hubspot_url}"\n{self._webhooks}'
            '[crm.hubspot.auth]\ntoken = { env = "HUBSPOT_TOKEN" }\n'
        )

    def calls(self) -> int:
        return self.portal.api_calls

    def add_sequence(self, name: str, delays: list[int], words: Mapping[str, Any]) -> str:
        sequence = name.lower().replace(" ", "-")
        steps = [{"id": f"s{n}", **EMAIL, "order": 10 * n, "delay": delay} for n, delay in enumerate(delays, 1)]
        self._write(sequence, {"name": name, **ALWAYS, **words, "step": steps})
        return sequence

    def change_sequence(self, sequence_id: str, **words: Any) -> None:
        self._write(sequence_id, {**self._document(sequence_id), **words})

    def steps(self, sequence_id: str) -> list[str]:
        return [row["id"] for row in self._document(sequence_id)["step"]]

    def add_step(self, sequence_id: str, **words: Any) -> None:
        document = self._document(sequence_id)
        self._written += 1
        document["step"].append({"id": f"n{self._written}", **EMAIL, **words})
        self._write(sequence_id, document)

    def change_step(self, sequence_id: str, step_id: str, **words: Any) -> None:
        document = self._document(sequence_id)
        document["step"] = [{**row, **words} if row["id"] == step_id else row for row in document["step"]]
        self._write(sequence_id, document)

    def remove_step(self, sequence_id: str, step_id: str) -> None:
        document = self._document(sequence_id)
        document["step"] = [row for row in document["step"] if row["id"] != step_id]
        self._write(sequence_id, document)

    def _document(self, sequence_id: str) -> dict[str, Any]:
        return tomllib.loads((self.folder / f"{sequence_id}.toml").read_text())

    def _write(self, sequence_id: str, document: Mapping[str, Any]) -> None:
        fields = {word: value for word, value in document.items() if word != "step"}
        lines = [f"{word} = {orjson.dumps(value).decode()}" for word, value in fields.items()]
        for step in document["step"]:
            lines += ["", "[[step]]", *(f"{word} = {orjson.dumps(value).decode()}" for word, value in step.items())]
        # Whole, as every editor and every check-out does: the daemon may be reading.
        part = self.folder / f"{sequence_id}.part"
        part.write_text("\n".join(lines) + "\n")
        part.replace(self.folder / f"{sequence_id}.toml")

    def add_person(self, kind: str, email: str, sequence_id: str = "") -> str:
        box = {"crmdrip_enrolled": "true", "crmdrip_sequence": sequence_id} if sequence_id else {}
        name = email.partition("@")[0].title()
        owner = self.sandbox.world.reps[0]
        return self.portal.create("contacts", {"lastname": name, "email": email, "hubspot_owner_id": owner, **box})

    def show(self, record_id: str) -> Shown:
        record = self.portal.get("contacts", record_id)
        next_touch = record.get("crmdrip_next_touch")
        return Shown(
            id=record.id,
            email=(record.get("email") or "").lower(),
            enrolled=record.get("crmdrip_enrolled") == "true",
            status=record.get("crmdrip_status") or "",
            reason=record.get("crmdrip_reason") or "",
            next_touch=datetime.fromisoformat(next_touch) if next_touch else None,
            gone=record.archived is not None,
            opted_out=self.portal.preferences.is_opted_out(record.get("email") or ""),
        )

    def count_touches(self) -> int:
        return sum(bool(one.get("hs_email_direction") != "INCOMING_EMAIL") for one in self.portal.all("emails"))

    def timeline(self) -> list[Entry]:
        return [
            Entry(
                touch_id=one.get("crmdrip_touch_id") or "",
                message_id=one.get("crmdrip_message_id") or "",
                opens=int(one.get("crmdrip_opens") or 0),
            )
            for one in self.portal.all("emails")
            if one.get("crmdrip_touch_id") and one.archived is None
        ]

    def post_hints(self, door: str, post: Post) -> None:
        url = f"{door}{CHANGES}"
        self.portal.webhooks.post = post
        self.portal.webhooks.subscribe(url, APP_SECRET, HINTS, app_id=APP_ID)
        self._webhooks = f'webhook_url = "{url}"\nclient_secrets = [{{ env = "APP_SECRET" }}]\n'

    def advance_hints(self, now: datetime) -> None:
        self.portal.advance(now)

    def set_brake(self, *, pulled: bool) -> None:
        for one in self.portal.all("contacts"):
            if one.get("crmdrip_key") == "crmdrip":
                self.portal.update("contacts", one.id, {"crmdrip_brake": str(pulled).lower()})

    def lock(self, record_id: str, writes: int) -> None:
        self._locked.add(record_id)
        self.portal.lock(record_id, writes=writes)

    def mend(self) -> None:
        self.portal.faults.clear()
        while self._locked:
            self.portal.unlock(self._locked.pop())
