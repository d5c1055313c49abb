"""Inbound Parse: which host's mail is posted where, and the security policies that sign it.

Shapes: OpenAPI tsg_webhooks_v3.json. The `security_policy` of a parse setting stands in the guide alone
(parsing-email/securing-your-parse-webhooks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

from crmdrip.sandbox.courier import Errand
from crmdrip.sandbox.http import Request, Response, json_response
from crmdrip.sandbox.sendgrid.answers import Problem, not_found, refuse
from crmdrip.sandbox.sendgrid.deliveries import MAIL_EXPIRES, Deliveries, Delivery
from crmdrip.sandbox.sendgrid.form import CONTENT_TYPE, Arrival, parsed_form, raw_form
from crmdrip.sandbox.sendgrid.signing import SigningKey

MAX_MAIL = 30 * 1024 * 1024
"""Bytes of one mail, attachments included. Larger ones never arrive."""

_SETTING = frozenset({"url", "hostname", "spam_check", "send_raw", "security_policy"})


@dataclass(kw_only=True, slots=True)
class Setting:
    """Where one host's mail goes."""

    hostname: str
    url: str
    spam_check: bool = False
    send_raw: bool = False
    security_policy: str = ""
    """A policy's id, "" for none."""

    def show(self) -> dict[str, Any]:
        """As the API answers it."""
        shown = {
            "url": self.url,
            "hostname": self.hostname,
            "spam_check": self.spam_check,
            "send_raw": self.send_raw,
        }
        return shown | ({"security_policy": self.security_policy} if self.security_policy else {})


@dataclass(kw_only=True, slots=True)
class Policy:
    """How posts are made authentic."""

    id: str
    number: int
    """Which of the account's it is, from 1. Its key comes from it, as a webhook's does."""
    name: str
    oauth: dict[str, Any]
    key: SigningKey | None

    def show(self) -> dict[str, Any]:
        """As the API answers it."""
        shown: dict[str, Any] = {"id": self.id, "name": self.name}
        if self.oauth:
            shown["oauth"] = {name: value for name, value in self.oauth.items() if name != "client_secret"}
        if self.key is not None:
            shown["signature"] = {"public_key": self.key.public_key}
        return shown


class InboundParse:
    """The settings of one account, and its mail server. domains: those that are authenticated."""

    def __init__(
        self, clock: Callable[[], datetime], deliveries: Deliveries, domains: set[str], *, seed: int
    ) -> None:  # fmt: skip
        self.received: list[Arrival] = []
        """Every mail that was taken, oldest first."""
        self._clock = clock
        self._deliveries = deliveries
        self._domains = domains
        self._random = Random(f"{seed}|parse")
        self._created = 0
        self._settings: dict[str, Setting] = {}
        self._policies: dict[str, Policy] = {}

    # mail

    def accepts(self, address: str) -> bool:
        """Whether mail to the address comes here."""
        return address.rpartition("@")[2].lower() in self._settings

    def receive(
        self, raw: bytes, *, sender: str, recipient: str, done: Callable[[], None] | None = None
    ) -> bool:  # fmt: skip
        """Take a mail from another server and post it on; whether it was taken. done: told once it was answered.

        sender, recipient: the envelope's, sender "" for a bounce.
        """
        setting = self._settings.get(recipient.rpartition("@")[2].lower())
        if setting is None or len(raw) > MAX_MAIL:
            return False
        now = self._clock()
        ip = f"192.0.2.{self._random.randrange(1, 255)}"
        trace = (
            f"Received: from mail.example ([{ip}]) by mx.sendgrid.net with ESMTP id {self._random.getrandbits(60):x}"
            f" for <{recipient}>; {now:%a, %d %b %Y %H:%M:%S} +0000 (UTC)\r\n"
        )
        score = round(self._random.uniform(-1, 2), 3) if setting.spam_check else None
        arrival = Arrival(raw=trace.encode() + raw, sender=sender, recipient=recipient, sender_ip=ip, spam_score=score)
        self.received.append(arrival)
        body = raw_form(arrival) if setting.send_raw else parsed_form(arrival)
        policy = self._policies.get(setting.security_policy)
        errand = Errand(url=setting.url, body=body, headers={"Content-Type": CONTENT_TYPE, "User-Agent": "Sendlib/1.0"})
        delivery = Delivery(
            errand=errand, expires=now + MAIL_EXPIRES, key=policy.key if policy is not None else None, done=done
        )
        self._deliveries.add(delivery, now)
        return True

    # the settings API

    def routes(self) -> Iterator[tuple[str, str, str, Callable[..., Response]]]:
        """Method, path, scope and function of every endpoint. `*` stands for a hostname or an id."""
        base, scope = "/v3/user/webhooks/parse/settings", "user.webhooks.parse.settings"
        yield "GET", base, f"{scope}.read", lambda _: self._list()
        yield "POST", base, f"{scope}.create", self._create
        yield "GET", f"{base}/*", f"{scope}.read", lambda _, host: self._show(host)
        yield "PATCH", f"{base}/*", f"{scope}.update", self._update
        yield "DELETE", f"{base}/*", f"{scope}.delete", lambda _, host: self._delete(host)
        base, scope = "/v3/user/webhooks/security/policies", "user.webhooks.parse.settings"
        yield "GET", base, f"{scope}.read", lambda _: self._list_policies()
        yield "POST", base, f"{scope}.create", self._create_policy
        yield "GET", f"{base}/*", f"{scope}.read", lambda _, name: self._show_policy(name)
        yield "PATCH", f"{base}/*", f"{scope}.update", self._update_policy
        yield "DELETE", f"{base}/*", f"{scope}.delete", self._delete_policy

    def _list(self) -> Response:
        return json_response(200, {"result": [setting.show() for setting in self._settings.values()]})

    def _show(self, hostname: str) -> Response:
        setting = self._settings.get(hostname.lower())
        return json_response(200, setting.show()) if setting is not None else not_found()

    def _create(self, request: Request) -> Response:
        body, problem = self._read(request)
        if problem is not None:
            return problem
        missing = next((name for name in ("hostname", "url") if not body.get(name)), None)
        if missing is not None:
            return refuse(400, Problem(f"{missing} is required", missing))
        hostname = str(body["hostname"]).lower()
        if not any(hostname == domain or hostname.endswith(f".{domain}") for domain in self._domains):
            # "Only authenticated domains may be used when configuring Inbound Parse" (parsing-email/inbound-email).
            return refuse(400, Problem("The domain has not been authenticated", "hostname"))
        if hostname in self._settings:
            return refuse(400, Problem("A parse setting already exists for that hostname", "hostname"))
        self._settings[hostname] = Setting(**{**body, "hostname": hostname})
        return json_response(201, self._settings[hostname].show())

    def _update(self, request: Request, hostname: str) -> Response:
        setting = self._settings.get(hostname.lower())
        if setting is None:
            return not_found()
        body, problem = self._read(request)
        if problem is not None:
            return problem
        for name, value in body.items():
            if name != "hostname":
                setattr(setting, name, value)
        return json_response(200, setting.show())

    def _delete(self, hostname: str) -> Response:
        return Response(status=204) if self._settings.pop(hostname.lower(), None) is not None else not_found()

    def _read(self, request: Request) -> tuple[dict[str, Any], Response | None]:
        body = _object(request)
        if body is None or not body.keys() <= _SETTING:
            return {}, refuse(400, Problem("Bad Request"))
        for name, value in body.items():
            if not isinstance(value, bool if name in ("spam_check", "send_raw") else str):
                return {}, refuse(400, Problem(f"invalid {name}", name))
        if (policy := body.get("security_policy")) and policy not in self._policies:
            return {}, refuse(400, Problem("security policy not found", "security_policy"))
        return body, None

    # policies

    def _list_policies(self) -> Response:
        return json_response(200, {"policies": [policy.show() for policy in self._policies.values()]})

    def _show_policy(self, policy_id: str) -> Response:
        policy = self._policies.get(policy_id)
        return json_response(200, {"policy": policy.show()}) if policy is not None else not_found()

    def _create_policy(self, request: Request) -> Response:
        body = _object(request)
        if body is None or not (_signed(body) or body.get("oauth")):
            return refuse(400, Problem("one of signature or oauth must be given"))
        policy_id = f"{self._random.getrandbits(128):032x}"
        self._created += 1
        self._policies[policy_id] = Policy(
            id=policy_id,
            number=self._created,
            name=str(body.get("name", "")),
            oauth=dict(body.get("oauth") or {}),
            key=_key(self._created) if _signed(body) else None,
        )
        return json_response(201, {"policy": self._policies[policy_id].show()})

    def _update_policy(self, request: Request, policy_id: str) -> Response:
        policy, body = self._policies.get(policy_id), _object(request)
        if policy is None:
            return not_found()
        if body is None:
            return refuse(400, Problem("Bad Request"))
        policy.name = str(body.get("name", policy.name))
        policy.oauth = dict(body.get("oauth") or policy.oauth)
        if "signature" in body:
            policy.key = _key(policy.number) if _signed(body) else None
        return json_response(200, {"policy": policy.show()})

    def _delete_policy(self, request: Request, policy_id: str) -> Response:
        if policy_id not in self._policies:
            return not_found()
        used = [setting for setting in self._settings.values() if setting.security_policy == policy_id]
        if used and request.query().get("force") != "true":
            return refuse(400, Problem("the security policy is in use"))
        for setting in used:
            setting.security_policy = ""
        del self._policies[policy_id]
        return json_response(200, {"policy": None})


def _key(number: int) -> SigningKey:
    return SigningKey(f"sandbox|policy|{number}")


def _object(request: Request) -> dict[str, Any] | None:
    try:
        body = request.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _signed(body: dict[str, Any]) -> bool:
    signature = body.get("signature")
    return isinstance(signature, dict) and signature.get("enabled") is True
