"""The stand-ins for Salesforce and SendGrid, with as many people as asked for. A program of its own: see workers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.workers import serve
from crmdrip.sandbox.certificate import make_certificate
from crmdrip.sandbox.control import Sandbox
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.sendgrid import Keep

PEOPLE_PER_ACCOUNT = 10
DOMAINS = 997

_NEVER_CLOSED = {
    "Drip_Send_Days__c": "Mon;Tue;Wed;Thu;Fri;Sat;Sun",
    "Drip_Send_From__c": "00:00",
    "Drip_Send_Until__c": "23:59",
    "Drip_Time_Zone__c": "UTC",
    "Drip_Time_Zone_Policy__c": "Fixed",
}

_SEQUENCE = (
    "Name",
    "Drip_Status__c",
    "Drip_Sender__c",
    "Drip_Re_Enrollment__c",
    "Drip_Minimum_Gap_Hours__c",
    "Drip_Confirmed__c",
    "Drip_On_Conversion__c",
)
_STEP = (
    "Name",
    "Drip_Order__c",
    "Drip_Kind__c",
    "Drip_Delay__c",
    "Drip_Delay_Unit__c",
    "Drip_Continue_Thread__c",
    "Drip_Subject__c",
    "Drip_Body__c",
)


class StandIns:
    """One sandbox, whose clock stands still until it is set."""

    def __init__(self) -> None:
        self._sandbox: Sandbox
        self._ids: list[str] = []
        self._owners: list[str] = []
        self._accounts: list[str] = []

    def open(self, now: str, folder: str = "") -> dict[str, str]:
        """Begin to serve an org with the example's sequences and nobody in it.

        folder: where a certificate is put, for TLS; "" for none. Returns the base URLs, and the file to trust.
        """
        self._sandbox = Sandbox(people=0, now=datetime.fromisoformat(now), keep=Keep.IDS, unsubscribes=False)
        ca_file = ""
        if folder:
            certificate, tls = make_certificate(Path(folder))
            self._sandbox.salesforce_server.tls = self._sandbox.sendgrid_server.tls = tls
            ca_file = str(certificate)
        self._sandbox.__enter__()
        users = self._sandbox.org.select("SELECT Id, Email FROM User WHERE IsActive = true")
        self._owners = [user["Id"] for user in users if user["Id"] in self._sandbox.world.reps]
        urls = {"salesforce": self._sandbox.salesforce_url, "sendgrid": self._sandbox.sendgrid_url}
        return {**urls, "ca_file": ca_file}

    def add_sequence(self, delay_hours: int, **more: Any) -> dict[str, str]:
        """The example's four steps, but the first one some hours after the box was ticked, at any time of the day.

        Returns the ids of the sequence and of its first step.
        """
        org, world = self._sandbox.org, self._sandbox.world
        example = next(iter(world.sequences.values()))

        def copy() -> dict[str, str]:
            sequence = {**_read(org, "Drip_Sequence__c", _SEQUENCE, f"Id = '{example}'")[0], **_NEVER_CLOSED, **more}
            draft = {**sequence, "OwnerId": world.reps[0], "Drip_Status__c": "Draft"}
            sequence_id = org.insert("Drip_Sequence__c", draft)
            ids: list[str] = []
            for step in _read(org, "Drip_Step__c", _STEP, f"Drip_Sequence__c = '{example}'"):
                first = {} if ids else {"Drip_Delay__c": delay_hours, "Drip_Delay_Unit__c": "Hours"}
                ids.append(org.insert("Drip_Step__c", {**step, **first, "Drip_Sequence__c": sequence_id}))
            org.update(sequence_id, {"Drip_Status__c": sequence["Drip_Status__c"]})
            return {"id": sequence_id, "step": ids[0]}

        return self._sandbox.call(copy)

    def example(self) -> str:
        """The id of the example's own sequence."""
        return next(iter(self._sandbox.world.sequences.values()))

    def seed(self, count: int, sequence: str, *, days_ago: int = 0, **more: Any) -> int:
        """Put ticked contacts into the org, as an import so many days ago would. more: further fields of each."""
        org = self._sandbox.org
        accounts = ({"Name": f"Company {number}"} for number in range(count // PEOPLE_PER_ACCOUNT + 1))
        self._accounts = self._sandbox.call(lambda: org.seed("Account", accounts))
        rows = self._rows(count, sequence, more)
        at = self._sandbox.clock() - timedelta(days=days_ago) if days_ago else None
        self._ids += self._sandbox.call(lambda: org.seed("Contact", rows, at=at))
        return len(self._ids)

    def _rows(self, count: int, sequence: str, more: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        begin = len(self._ids)
        for number in range(begin, begin + count):
            yield {
                "FirstName": f"Ann{number}",
                "LastName": f"Lee{number}",
                "Email": _address(number),
                "AccountId": self._accounts[number % len(self._accounts)],
                "OwnerId": self._owners[number % len(self._owners)],
                "MailingCountry": "United Kingdom",
                "Drip_Enrolled__c": True,
                "Drip_Sequence__c": sequence,
                **more,
            }

    def tick_again(self, sequence: str) -> int:
        """Tick the box of everybody whose run has ended. Returns how many."""
        org = self._sandbox.org

        def tick() -> int:
            ended = org.select("SELECT Id FROM Contact WHERE Drip_Enrolled__c = false")
            for row in ended:
                org.update(row["Id"], {"Drip_Enrolled__c": True, "Drip_Sequence__c": sequence})
            return len(ended)

        return self._sandbox.call(tick)

    def sent(self) -> list[tuple[str, str, str]]:
        """Day, sender and recipient of every email."""
        accepted = self._sandbox.call(lambda: list(self._sandbox.account.accepted))
        return [(one.at.date().isoformat(), self._sender(one.to), one.to) for one in accepted]

    def first_touches(self) -> int:
        """To how many people an email went."""
        return self._sandbox.call(lambda: len({one.to for one in self._sandbox.account.accepted}))

    def _sender(self, address: str) -> str:
        """The owner of the contact with the address."""
        return self._owners[int(address.partition("@")[0].rpartition(".")[2]) % len(self._owners)]

    def people(self, start: int, count: int) -> list[tuple[str, str]]:
        """Id and address of contacts, in the order in which they were seeded."""
        return [(one, _address(number)) for number, one in enumerate(self._ids[start : start + count], start)]

    def set_time(self, now: str) -> None:
        """Move the clock."""
        self._sandbox.call(lambda: self._sandbox.clock.set(datetime.fromisoformat(now)))

    def set_latency(self, seconds: float) -> None:
        """Answer everything so much later."""
        self._sandbox.salesforce_server.latency = self._sandbox.sendgrid_server.latency = seconds

    def counts(self) -> dict[str, float]:
        """What was asked of the stand-ins until now, and what it cost them."""
        sandbox = self._sandbox
        return self._sandbox.call(
            lambda: {
                "crm_calls": sandbox.org.api_calls,
                "accepted": len(sandbox.account.accepted),
                "duplicates": sum(sandbox.account.duplicates().values()),
                "errors": len(sandbox.salesforce_server.errors) + len(sandbox.sendgrid_server.errors),
                "cpu": time.process_time(),
            }
        )


def _read(org: SalesforceOrg, name: str, fields: Sequence[str], where: str) -> list[dict[str, Any]]:
    rows = org.select(f"SELECT {', '.join(fields)} FROM {name} WHERE {where} ORDER BY CreatedDate, Id")  # noqa: S608 - our own words
    return [{field: row[field] for field in fields} for row in rows]


def _address(number: int) -> str:
    return f"ann.lee.{number}@d{number % DOMAINS}.example"


if __name__ == "__main__":
    stand_ins = StandIns()
    serve(
        {
            "open": stand_ins.open,
            "example": stand_ins.example,
            "add_sequence": stand_ins.add_sequence,
            "seed": stand_ins.seed,
            "set_time": stand_ins.set_time,
            "set_latency": stand_ins.set_latency,
            "counts": stand_ins.counts,
            "people": stand_ins.people,
            "tick_again": stand_ins.tick_again,
            "sent": stand_ins.sent,
            "first_touches": stand_ins.first_touches,
        }
    )
