"""A small world on an org and a mail account, without servers, for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.http import Request
from crmdrip.sandbox.pages import Pages
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.sendgrid import SCOPES, AcceptedEmail, SendGridAccount
from crmdrip.sandbox.world import NOBODY_REACTS, SENDING_DOMAIN, Habits, Person, Trait, World
from crmdrip.sandbox.world.reading import select

MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Stage:
    """Everything a world needs; nobody reacts unless habits are given."""

    def __init__(self, *, people: int = 150, seed: int = 1, habits: Habits = NOBODY_REACTS) -> None:
        self.clock = SandboxClock(MONDAY)
        self.org = SalesforceOrg(self.clock)
        self.account = SendGridAccount(self.clock, api_keys={"key": SCOPES}, verified_domains=[SENDING_DOMAIN])
        self.world = World(self.org, self.account, self.clock, seed=seed, people=people, habits=habits)
        self.actions = self.world.actions
        self.pages = Pages(self.org, self.account, self.world, self.clock)

    def ordinary(self, kind: str = "Contact", number: int = 0) -> Person:
        """Somebody with an address, without a double, and without any trouble."""
        return [each for each in self.world.people.values() if each.kind == kind and not each.traits][number]

    def twins(self) -> tuple[Person, Person]:
        """A contact and a lead that share an address."""
        one = self.world.find(Trait.TWIN)[0]
        return one, self.world.people[one.partner]

    def rows(self, object_name: str, fields: str, rest: str = "") -> list[dict[str, Any]]:
        """Records of the org."""
        return select(self.org, object_name, fields.split(), rest)

    def field(self, record_id: str, name: str) -> Any:
        """One field of a record."""
        return self.actions.record(record_id)[name]

    def tick(self, person: Person) -> None:
        """Tick the box for the four-step sequence."""
        self.actions.tick(person.id, next(iter(self.world.sequences.values())))

    def send(self, address: str, touch: str = "", reply_to: str = "", **headers: str) -> AcceptedEmail:
        """Send one email to an address through the mail account."""
        number = len(self.account.accepted)
        body = {
            "personalizations": [{"to": [{"email": address}], "custom_args": {"crmdrip_touch": touch or f"t{number}"}}],
            "from": {"email": f"maya.okonkwo@{SENDING_DOMAIN}", "name": "Maya Okonkwo"},
            **({"reply_to": {"email": reply_to}} if reply_to else {}),
            "subject": "Hello & welcome",
            "content": [
                {"type": "text/plain", "value": "plain <text>"},
                {"type": "text/html", "value": "<p>rich</p><script>alert(1)</script>"},
            ],
            "headers": {
                "Message-ID": f"<{number}@acme.example>",
                "List-Unsubscribe": "<http://127.0.0.1:9/u/1>, <mailto:u1@acme.example?subject=unsubscribe>",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        }
        sent = self.account.handle(
            Request(
                method="POST",
                path="/v3/mail/send",
                raw_query="",
                headers={"authorization": "Bearer key", "content-type": "application/json"},
                body=orjson.dumps(body),
            )
        )
        assert sent.status == 202, sent.body
        return self.account.accepted[-1]
