"""The Event Webhook: its settings API, and the batches of events on their way to each webhook.

Shapes: OpenAPI tsg_webhooks_v3.json. Events are posted every 30 seconds or 768 kilobytes (tracking-events/event).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlsplit

import orjson

from crmdrip.sandbox.courier import Errand
from crmdrip.sandbox.http import Request, Response, json_response
from crmdrip.sandbox.sendgrid.accepted import AcceptedEmail
from crmdrip.sandbox.sendgrid.deliveries import EVENTS_EXPIRE, Deliveries, Delivery
from crmdrip.sandbox.sendgrid.disturbances import Disturbances, disturb
from crmdrip.sandbox.sendgrid.events import SWITCHES, URGENT, Event, EventKind, build
from crmdrip.sandbox.sendgrid.signing import SigningKey

MAX_WEBHOOKS = 5
BATCH_GAP = timedelta(seconds=30)
BATCH_BYTES = 768 * 1024

_TEXTS = ("friendly_name", "oauth_client_id", "oauth_client_secret", "oauth_token_url")
_KNOWN = frozenset(("enabled", "url", "account_status_change", *SWITCHES, *_TEXTS))
_HEADERS = {"Content-Type": "application/json", "User-Agent": "SendGrid Event API"}


@dataclass(kw_only=True, slots=True)
class Webhook:
    """One webhook."""

    id: str
    number: int
    """Which of the account's it is, from 1. Its key comes from it: the first of every sandbox has the same."""
    url: str
    created: datetime
    updated: datetime
    settings: dict[str, Any] = field(default_factory=dict)
    """What was given beside the address, by the API's names."""
    key: SigningKey | None = None
    """None while it is not signed."""
    held: list[tuple[datetime, Event]] = field(default_factory=list)
    """Events not posted yet, with the time from which they may be."""

    def wants(self, kind: str) -> bool:
        """Whether it is on and lets the kind of event through."""
        settings = self.settings
        return bool(settings.get("enabled")) and any(settings.get(n) for n, value in SWITCHES.items() if value == kind)

    def show(self) -> dict[str, Any]:
        """Its settings as every answer has them."""
        settings = self.settings
        shown: dict[str, Any] = {"enabled": bool(settings.get("enabled")), "url": self.url}
        shown |= {name: bool(settings.get(name)) for name in ("account_status_change", *SWITCHES)}
        shown |= {name: settings[name] for name in _TEXTS if settings.get(name) and name != "oauth_client_secret"}
        return shown | {"friendly_name": settings.get("friendly_name", ""), "id": self.id}

    def show_key(self) -> dict[str, Any]:
        """Its public key, where it is signed."""
        return {"public_key": self.key.public_key} if self.key is not None else {}

    def show_dates(self) -> dict[str, Any]:
        """When it was made and changed."""
        return {"created_date": _stamp(self.created), "updated_date": _stamp(self.updated)}


class EventWebhooks:
    """The webhooks of one account. `disturbances` is what goes wrong on the way."""

    def __init__(self, clock: Callable[[], datetime], deliveries: Deliveries, *, seed: int) -> None:
        self.disturbances = Disturbances()
        self._clock = clock
        self._deliveries = deliveries
        self._random = Random(f"{seed}|events")
        self._created = 0
        self._webhooks: dict[str, Webhook] = {}

    # events

    @property
    def listening(self) -> bool:
        """Whether anybody wants events at all."""
        return any(webhook.settings.get("enabled") for webhook in self._webhooks.values())

    @property
    def next_due(self) -> datetime | None:
        """When the next batch with something urgent in it goes out."""
        return min(
            (at for webhook in self._webhooks.values() for at, event in webhook.held if event["event"] in URGENT),
            default=None,
        )

    def emit(self, kind: EventKind, email: AcceptedEmail, at: datetime, **extra: Any) -> None:
        """Something happened to an email. extra: the fields of its kind."""
        wanting = [webhook for webhook in self._webhooks.values() if webhook.wants(kind)]
        if not wanting:
            return
        event = build(kind, email, at, self._random, **extra)
        for webhook in wanting:
            for due, each in disturb(dict(event), at + BATCH_GAP, self.disturbances, self._random):
                webhook.held.append((due, each))

    def advance(self, now: datetime) -> None:
        """Hand over every batch that is full or old enough."""
        for webhook in self._webhooks.values():
            ready = [(due, event) for due, event in webhook.held if due <= now]
            if not ready:
                continue
            webhook.held = [(due, event) for due, event in webhook.held if due > now]
            events = [event for _, event in sorted(ready, key=lambda each: each[0])]
            if self._random.random() < self.disturbances.shuffled:
                self._random.shuffle(events)
            for body in _batches(events):
                self._send(webhook, body, now)

    def _send(self, webhook: Webhook, body: bytes, now: datetime) -> None:
        delivery = Delivery(
            errand=Errand(url=webhook.url, body=body, headers=_HEADERS), key=webhook.key, expires=now + EVENTS_EXPIRE
        )
        self._deliveries.add(delivery, now)
        if self._random.random() < self.disturbances.repeated:
            # The answer was lost on the way, so the vendor believes that nobody has the batch.
            self._deliveries.add(delivery, now + timedelta(minutes=1))

    # the settings API

    def routes(self) -> Iterator[tuple[str, str, str, Callable[..., Response]]]:
        """Method, path, scope and function of every endpoint. `*` stands for an id."""
        base, scope = "/v3/user/webhooks/event", "user.webhooks.event.settings"
        yield "GET", f"{base}/settings/all", f"{scope}.read", lambda _: self._list()
        yield "GET", f"{base}/settings/signed", f"{scope}.read", lambda _: self._show_key("")
        yield "PATCH", f"{base}/settings/signed", f"{scope}.update", lambda request: self._sign(request, "")
        yield "GET", f"{base}/settings/signed/*", f"{scope}.read", lambda _, name: self._show_key(name)
        yield "PATCH", f"{base}/settings/signed/*", f"{scope}.update", self._sign
        yield "POST", f"{base}/settings", f"{scope}.create", self._create
        yield "GET", f"{base}/settings", f"{scope}.read", lambda _: self._show("")
        yield "PATCH", f"{base}/settings", f"{scope}.update", lambda request: self._update(request, "")
        yield "GET", f"{base}/settings/*", f"{scope}.read", lambda _, name: self._show(name)
        yield "PATCH", f"{base}/settings/*", f"{scope}.update", self._update
        yield "DELETE", f"{base}/settings/*", f"{scope}.delete", lambda _, name: self._delete(name)
        yield "POST", f"{base}/test", "user.webhooks.event.test.create", self._test

    def _list(self) -> Response:
        found = [webhook.show() | webhook.show_key() | webhook.show_dates() for webhook in self._webhooks.values()]
        return json_response(200, {"max_allowed": MAX_WEBHOOKS, "webhooks": found})

    def _create(self, request: Request) -> Response:
        body, problem = self._read(request, "")
        if problem is not None:
            return problem
        if "url" not in body:
            return _refuse("'' is not a valid url")
        if len(self._webhooks) >= MAX_WEBHOOKS:
            return _refuse("You have reached the maximum number of webhooks per your current billing plan.")
        self._created += 1
        number, now = self._created, self._clock()
        webhook_id = f"77d4a5da-7015-11ed-{number:04x}-{self._random.getrandbits(48):012x}"
        webhook = Webhook(id=webhook_id, number=number, url=body.pop("url"), created=now, updated=now)
        webhook.settings = body
        self._webhooks[webhook.id] = webhook
        return json_response(201, webhook.show() | webhook.show_dates())

    def _update(self, request: Request, webhook_id: str) -> Response:
        webhook = self._find(webhook_id)
        if webhook is None:
            return _unknown()
        body, problem = self._read(request, webhook.id)
        if problem is not None:
            return problem
        webhook.url = body.pop("url", webhook.url)
        webhook.settings |= body
        webhook.updated = self._clock()
        return json_response(200, webhook.show() | webhook.show_dates())

    def _show(self, webhook_id: str) -> Response:
        webhook = self._find(webhook_id)
        # A single one comes without dates (EventWebhookNoDatesResponse).
        return json_response(200, webhook.show() | webhook.show_key()) if webhook is not None else _unknown()

    def _delete(self, webhook_id: str) -> Response:
        return Response(status=204) if self._webhooks.pop(webhook_id, None) is not None else _unknown()

    def _show_key(self, webhook_id: str) -> Response:
        webhook = self._find(webhook_id)
        if webhook is None:
            return _unknown()
        key = webhook.key.public_key if webhook.key is not None else ""
        return json_response(200, {"id": webhook_id, "public_key": key})

    def _sign(self, request: Request, webhook_id: str) -> Response:
        webhook = self._find(webhook_id)
        if webhook is None:
            return _unknown()
        try:
            enabled = request.json()["enabled"]
        except (ValueError, KeyError, TypeError):
            return _refuse("enabled is required")
        webhook.key = SigningKey(f"sandbox|webhook|{webhook.number}") if enabled is True else None
        webhook.updated = self._clock()
        return self._show_key(webhook_id)

    def _test(self, request: Request) -> Response:
        """Posts one example of each kind, unsigned events of nobody."""
        try:
            url = str(request.json()["url"])
        except (ValueError, KeyError, TypeError):
            return _refuse("url is required")
        now = self._clock()
        email = AcceptedEmail(
            at=now, message_id="14c5d75ce93dfd2ef2a1c0", touch="", to="example@test.com", recipient=0, key_id=""
        )
        (body,) = _batches([build(kind, email, now, self._random) for kind in EventKind])
        errand = Errand(url=url, body=body, headers=_HEADERS)
        self._deliveries.add(Delivery(errand=errand, expires=now), now)
        self._deliveries.advance(now)
        return Response(status=204)

    def _find(self, webhook_id: str) -> Webhook | None:
        """A webhook by id; the oldest when none is given."""
        return self._webhooks.get(webhook_id) if webhook_id else next(iter(self._webhooks.values()), None)

    def _read(self, request: Request, webhook_id: str) -> tuple[dict[str, Any], Response | None]:
        """The request's settings, and what is wrong with them."""
        try:
            body = request.json()
        except ValueError:
            return {}, _refuse("Bad Request")
        if not isinstance(body, dict) or not body.keys() <= _KNOWN:
            return {}, _refuse("Bad Request")
        flags = {name: value for name, value in body.items() if name != "url" and name not in _TEXTS}
        if not all(isinstance(value, bool) for value in flags.values()):
            return {}, _refuse("Bad Request")
        url = body.get("url")
        if url is None:
            return body, None
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            return {}, _refuse(f"'{url}' is not a valid url")
        for other in self._webhooks.values():
            if other.url == url and other.id != webhook_id:
                message = f"Webhook at '{url}' already exists. Please provide a unique URL."
                return {}, json_response(400, {"errors": [{"id": other.id, "message": message, "url": url}]})
        return body, None


def _batches(events: list[Event]) -> Iterator[bytes]:
    """The bodies of the requests. They end with a line break, which the signature covers."""
    lines: list[bytes] = []
    size = 0
    for event in events:
        line = orjson.dumps(event)
        if lines and size + len(line) > BATCH_BYTES:
            yield b"[" + b",\r\n".join(lines) + b"]\r\n"
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 3
    if lines:
        yield b"[" + b",\r\n".join(lines) + b"]\r\n"


def _refuse(message: str) -> Response:
    return json_response(400, {"errors": [{"message": message}]})


def _unknown() -> Response:
    return json_response(404, {"errors": [{"message": "Invalid id provided."}]})


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
