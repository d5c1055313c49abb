"""Builds requests to the SendGrid stand-in, for its tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from crmdrip.sandbox.http import Request, Response
from crmdrip.sandbox.sendgrid import SCOPES, SendGridAccount

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
KEY = "SG.public-part.secret"
READ_ONLY_KEY = "SG.reader.secret"


class Desk:
    """An account with a clock that the test moves."""

    def __init__(self, **options: Any) -> None:
        self.now = NOW
        self.account = SendGridAccount(
            lambda: self.now,
            api_keys={KEY: SCOPES, READ_ONLY_KEY: ["suppression.bounces.read"]},
            verified_domains=["acme.example"],
            verified_senders=["lone@other.example"],
            **options,
        )

    def ask(self, method: str, path: str, body: Any = None, *, key: str = KEY, **headers: str) -> Response:
        """Make one request."""
        path, _, query = path.partition("?")
        sent = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return self.account.handle(Request(method=method, path=path, raw_query=query, headers=sent, body=raw))

    def send(self, body: Any = None, **options: Any) -> Response:
        """Send one email."""
        return self.ask("POST", "/v3/mail/send", message() if body is None else body, **options)


def message(to: str = "ann@example.com", touch: str = "t1", **changes: Any) -> dict[str, Any]:
    """A valid message; a change to None leaves the key out."""
    built: dict[str, Any] = {
        "personalizations": [{"to": [{"email": to, "name": "Ann"}], "custom_args": {"crmdrip_touch": touch}}],
        "from": {"email": "rep@acme.example", "name": "Rep"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "plain"}, {"type": "text/html", "value": "<p>html</p>"}],
    }
    built.update(changes)
    return {key: value for key, value in built.items() if value is not None}


def errors(response: Response) -> list[dict[str, Any]]:
    """The entries of an error body, whose shape is checked on the way."""
    body = orjson.loads(response.body)
    assert body.keys() == {"errors"}
    assert all(entry.keys() == {"message", "field", "help"} for entry in body["errors"])
    return list(body["errors"])
