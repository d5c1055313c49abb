"""The SendGrid stand-in as a peer of the mailer contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Self

import orjson

from crmdrip.sandbox.faults import Fault, FaultKind, play
from crmdrip.sandbox.http import Request, Response, Server, ServerThread
from crmdrip.sandbox.sendgrid import SCOPES, SendGridAccount
from crmdrip.testing.mailer import Carried, Trouble

KEY = "SG.testid.testsecret"
SEND = "/v3/mail/send"


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)


class SendGridPeer:
    """One account on loopback that counts what it is offered before anything can go wrong."""

    troubles = frozenset(Trouble)

    def __init__(self, scopes: Collection[str] = SCOPES) -> None:
        self.account = SendGridAccount(
            lambda: datetime.now(UTC), api_keys={KEY: scopes}, verified_domains=["sender.example"]
        )
        self.server = Server(self._handle)
        self.requests: list[Request] = []
        self._troubles: dict[str, Trouble] = {}
        self._thread = ServerThread(self.server)

    def __enter__(self) -> Self:
        self._thread.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.__exit__(*exc)
        assert self.server.errors == []

    def call(self, function):
        """Run something in the server's thread."""
        return self._thread.call(function)

    def _handle(self, request: Request) -> Response:
        self.requests.append(request)
        trouble = self._troubles.get(_recipient(request)) if request.path == SEND else None
        if trouble is None:
            return self.account.handle(request)
        return play(_FAULTS[trouble](), request, self.account.handle)

    def offered(self) -> Counter[str]:
        """How often a whole email came for each address."""
        return self.call(lambda: Counter(_recipient(r) for r in self.requests if r.path == SEND))

    def accepted(self) -> list[Carried]:
        """What was taken."""
        return self.call(lambda: [_carried(email.message) for email in self.account.accepted])

    def misbehave(self, trouble: Trouble, addresses: Collection[str]) -> None:
        """From now on, with emails to these addresses."""
        self.call(lambda: self._troubles.update(dict.fromkeys(addresses, trouble)))

    def hang_up(self) -> None:
        """Cut what is open."""
        self.call(lambda: [transport.abort() for transport in list(self.server.connections)])
        self.call(lambda: None)

    def stop(self) -> None:
        """Listen no more."""
        self._thread.stop_listening()
        self.hang_up()


def _errors(message: str, field: str | None = None) -> str:
    return orjson.dumps({"errors": [{"message": message, "field": field, "help": None}]}).decode()


_FAULTS = {
    Trouble.CUT_AFTER_ACCEPT: lambda: Fault(kind=FaultKind.CUT_AFTER),
    Trouble.CUT_BEFORE_ACCEPT: lambda: Fault(kind=FaultKind.CUT),
    Trouble.SLOW: lambda: Fault(kind=FaultKind.SLOW, delay=60),
    Trouble.REFUSE: lambda: Fault(kind=FaultKind.ANSWER, status=503, body=_errors("service unavailable")),
    Trouble.REJECT: lambda: Fault(
        kind=FaultKind.ANSWER,
        status=400,
        body=_errors("Does not contain a valid address: person2@example.com", "personalizations.0.to.0.email"),
    ),
    Trouble.RATE_LIMIT: lambda: Fault(
        kind=FaultKind.ANSWER,
        status=429,
        body=_errors("too many requests"),
        headers={"X-RateLimit-Reset": str(int(datetime.now(UTC).timestamp()) + 30)},
    ),
    Trouble.DENY: lambda: Fault(kind=FaultKind.ANSWER, status=401, body=_errors("authorization required")),
}


def _recipient(request: Request) -> str:
    return request.json()["personalizations"][0]["to"][0]["email"]


def _carried(message) -> Carried:
    to = message["personalizations"][0]["to"][0]
    bodies = {part["type"]: part["value"] for part in message["content"]}
    return Carried(
        touch_id=message["custom_args"]["crmdrip_touch"],
        to_address=to["email"],
        to_name=to.get("name", ""),
        from_address=message["from"]["email"],
        from_name=message["from"].get("name", ""),
        reply_to=message.get("reply_to", {}).get("email", ""),
        subject=message["subject"],
        html=bodies.get("text/html", ""),
        text=bodies.get("text/plain", ""),
        headers=message.get("headers", {}),
        metadata=orjson.dumps([message.get("custom_args"), message.get("categories")]).decode(),
    )
