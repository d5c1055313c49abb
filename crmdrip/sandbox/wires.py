"""The wires from the mail provider to a door on this machine, laid through the provider's own settings API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from crmdrip.sandbox.http import Request
from crmdrip.sandbox.sendgrid import SendGridAccount
from crmdrip.sandbox.sendgrid.events import SWITCHES
from crmdrip.sandbox.world import SENDING_DOMAIN

REPLY_DOMAIN = f"reply.{SENDING_DOMAIN}"
"""Whose mail the provider posts, once it is connected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wires:
    """The keys that verify what the provider posts, as they stand in a configuration."""

    event_key: str
    inbound_key: str


def connect(account: SendGridAccount, key: str, door: str) -> Wires:
    """Have every event and every reply posted to the door, signed. The keys are the same for every sandbox.

    key: of the account's API. door: its address without a trailing slash. Raises ValueError with what was refused.
    """
    events = {"url": f"{door}/hooks/sendgrid/events", "enabled": True, **dict.fromkeys(SWITCHES, True)}
    webhook = _ask(account, key, "POST", "event/settings", events)
    signed = _ask(account, key, "PATCH", f"event/settings/signed/{webhook['id']}", {"enabled": True})
    wanted = {"name": "crmdrip", "signature": {"enabled": True}}
    policy = _ask(account, key, "POST", "security/policies", wanted)["policy"]
    inbound = {"url": f"{door}/hooks/sendgrid/inbound", "send_raw": True, "security_policy": policy["id"]}
    _ask(account, key, "POST", "parse/settings", {"hostname": REPLY_DOMAIN, **inbound})
    return Wires(event_key=signed["public_key"], inbound_key=policy["signature"]["public_key"])


def change_form(account: SendGridAccount, key: str, *, raw: bool) -> None:
    """Have replies posted as they came, or taken apart. Raises ValueError when nothing is connected."""
    _ask(account, key, "PATCH", f"parse/settings/{REPLY_DOMAIN}", {"send_raw": raw})


def _ask(account: SendGridAccount, key: str, method: str, path: str, body: Mapping[str, Any]) -> Any:
    request = Request(
        method=method,
        path=f"/v3/user/webhooks/{path}",
        raw_query="",
        headers={"authorization": f"Bearer {key}"},
        body=orjson.dumps(body),
    )
    answer = account.handle(request)
    if answer.status >= 300:
        raise ValueError(answer.body.decode())
    return orjson.loads(answer.body)
