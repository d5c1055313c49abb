"""A SendGrid account whose webhooks a test answers, without a network."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import orjson
from sendgrid_request import Desk, message

from crmdrip.sandbox.courier import Done, Errand, Outcome

EVENTS_URL = "http://127.0.0.1:9/hooks/sendgrid/events"
MAIL_URL = "http://127.0.0.1:9/hooks/sendgrid/inbound"
HOST = "reply.acme.example"
BASE = "/v3/user/webhooks"
ALL = dict.fromkeys(
    (
        *("processed", "deferred", "delivered", "bounce", "dropped", "open", "click", "spam_report"),
        *("unsubscribe", "group_unsubscribe", "group_resubscribe", "enabled"),
    ),
    True,
)


class Mailroom(Desk):
    """Collects what is posted; `status` is what the receiving end answers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.status = 200
        self.posted: list[Errand] = []
        self.account.deliveries.post = self._take

    def _take(self, errand: Errand, done: Done) -> None:
        self.posted.append(errand)
        done(Outcome(status=self.status, problem="" if self.status < 300 else f"answered with {self.status}"))

    def pass_time(self, **units: float) -> None:
        """Move the clock and let go out what is due."""
        self.now += timedelta(**units)
        self.account.advance(self.now)

    def listen(self, *, signed: bool = True, **settings: Any) -> str:
        """Create an Event Webhook and return its id."""
        created = self.ask("POST", f"{BASE}/event/settings", {"url": EVENTS_URL, **ALL, **settings})
        assert created.status == 201, created.body
        webhook_id: str = orjson.loads(created.body)["id"]
        if signed:
            self.ask("PATCH", f"{BASE}/event/settings/signed/{webhook_id}", {"enabled": True})
        return webhook_id

    def public_key(self, webhook_id: str) -> str:
        """The key that a webhook's signatures are verified with."""
        key: str = self.json("GET", f"{BASE}/event/settings/signed/{webhook_id}")["public_key"]
        return key

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request that must succeed."""
        answer = self.ask(method, path, body)
        assert answer.status < 300, answer.body
        return orjson.loads(answer.body) if answer.body else None

    def deliver(self, address: str = "ann@example.com", touch: str = "t1") -> None:
        """Send one email to an address."""
        assert self.send(message(to=address, touch=touch)).status == 202

    def events(self) -> list[dict[str, Any]]:
        """Every event posted so far, in order."""
        return [event for errand in self.posted for event in orjson.loads(errand.body)]

    def kinds(self) -> list[str]:
        """The names of the events posted so far."""
        return [event["event"] for event in self.events()]


def read_form(errand: Errand) -> dict[str, bytes]:
    """The fields of a multipart body byte for byte (RFC 7578), attachments among them."""
    boundary = errand.headers["Content-Type"].partition("boundary=")[2].encode()
    first, *parts, last = errand.body.split(b"--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    found = {}
    for part in parts:
        head, _, rest = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'; name="([^"]+)"', head)
        assert name is not None
        found[name.group(1).decode()] = rest.removesuffix(b"\r\n")
    return found


def day(moment: datetime) -> str:
    """A date as settings answer it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
