"""The wires from the mail provider to the door, laid as an admin lays them: through the provider's own API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

from crmdrip.core.errors import RetriableError

REPLY_DOMAIN = "reply.acme.example"
"""Whose mail the provider posts to the door."""
_KEY = "SG.sandbox.sandbox-secret"
_EVENTS = (
    *("processed", "deferred", "delivered", "bounce", "dropped", "open", "click"),
    *("spam_report", "unsubscribe", "group_unsubscribe", "group_resubscribe"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wires:
    """What the daemon has to know to believe the provider."""

    event_key: str
    """Verifies signatures of the Event Webhook."""
    inbound_key: str
    """Verifies those of Inbound Parse."""


class Provider:
    """The provider's settings, as its owner sees them."""

    def __init__(self, url: str) -> None:
        self._base = f"{url}/v3/user/webhooks"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {_KEY}"

    def connect(self, door: str) -> Wires:
        """Have every event and every reply posted to the door, signed. Raises RetriableError."""
        events = {"url": f"{door}/hooks/sendgrid/events", "enabled": True, **dict.fromkeys(_EVENTS, True)}
        webhook = self._ask("POST", "event/settings", events)
        signed = self._ask("PATCH", f"event/settings/signed/{webhook['id']}", {"enabled": True})
        policy = self._ask("POST", "security/policies", {"name": "crmdrip", "signature": {"enabled": True}})["policy"]
        inbound = {
            "hostname": REPLY_DOMAIN,
            "url": f"{door}/hooks/sendgrid/inbound",
            "spam_check": False,
            "send_raw": True,
            "security_policy": policy["id"],
        }
        self._ask("POST", "parse/settings", inbound)
        return Wires(event_key=signed["public_key"], inbound_key=policy["signature"]["public_key"])

    def change_form(self, *, raw: bool) -> None:
        """Have replies posted as they came, or taken apart. Raises RetriableError."""
        self._ask("PATCH", f"parse/settings/{REPLY_DOMAIN}", {"send_raw": raw})

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> Any:
        answer = self._session.request(method, f"{self._base}/{path}", json=body, timeout=30)
        if answer.status_code >= 300:
            raise RetriableError(f"answered {answer.status_code}: {answer.text[:200]}.", where=answer.url)
        return answer.json()
