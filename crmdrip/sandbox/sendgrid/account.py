"""One SendGrid account over HTTP: keys, verified senders, sending, logs, suppressions, limits and faults.

It keeps what it accepted; it sends nothing anywhere.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

import orjson

from crmdrip.sandbox.faults import Faults
from crmdrip.sandbox.http import Request, Response, json_response
from crmdrip.sandbox.sendgrid import answers, identities, logs
from crmdrip.sandbox.sendgrid.accepted import AcceptedEmail, Fate, Keep, recipients
from crmdrip.sandbox.sendgrid.answers import Problem, refuse
from crmdrip.sandbox.sendgrid.deliveries import Deliveries
from crmdrip.sandbox.sendgrid.events import EventKind
from crmdrip.sandbox.sendgrid.identities import Identities
from crmdrip.sandbox.sendgrid.message import check_message
from crmdrip.sandbox.sendgrid.parse import InboundParse
from crmdrip.sandbox.sendgrid.suppressions import Suppressions
from crmdrip.sandbox.sendgrid.webhooks import EventWebhooks

MAX_MESSAGE = 30 * 1024 * 1024
"""Bytes of one mail/send request."""

SCOPES = (
    "mail.send",
    "messages.read",
    "asm.groups.create",
    "asm.groups.read",
    "asm.groups.suppressions.create",
    "asm.groups.suppressions.delete",
    "asm.groups.suppressions.read",
    "asm.suppressions.global.create",
    "asm.suppressions.global.delete",
    "asm.suppressions.global.read",
    "asm.suppressions.read",
    "suppression.blocks.delete",
    "suppression.blocks.read",
    "suppression.bounces.delete",
    "suppression.bounces.read",
    "suppression.invalid_emails.delete",
    "suppression.invalid_emails.read",
    "suppression.spam_reports.delete",
    "suppression.spam_reports.read",
    "suppression.unsubscribes.read",
    "user.webhooks.event.settings.create",
    "user.webhooks.event.settings.delete",
    "user.webhooks.event.settings.read",
    "user.webhooks.event.settings.update",
    "user.webhooks.event.test.create",
    "user.webhooks.parse.settings.create",
    "user.webhooks.parse.settings.delete",
    "user.webhooks.parse.settings.read",
    "user.webhooks.parse.settings.update",
    "whitelabel.read",
)
"""What a key with full access to these endpoints carries."""

_UNVERIFIED = (
    "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved."
    " Visit https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see the Sender Identity"
    " requirements"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Key:
    """An API key as the account knows it."""

    id: str
    scopes: frozenset[str]


_Route = tuple[str, "re.Pattern[str]", str, Callable[..., Response]]


class SendGridAccount:
    """A stand-in for one account; `handle` is the handler of an HTTP server.

    clock: the account's time, aware UTC.
    api_keys: scopes by key ("SG.<id>.<secret>"); verified_domains and verified_senders: who mail may be from.
    touch_arg: the custom argument that names a touch, for `AcceptedEmail.touch` and `duplicates`.
    rate_limit: accepted mail/send requests per second of the clock, None for no limit.
    indexing_delay: how long an email stays invisible to the logs.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        api_keys: Mapping[str, Iterable[str]],
        verified_domains: Iterable[str] = (),
        verified_senders: Iterable[str] = (),
        touch_arg: str = "crmdrip_touch",
        keep: Keep = Keep.EVERYTHING,
        rate_limit: int | None = None,
        indexing_delay: timedelta = timedelta(0),
        seed: int = 0,
    ) -> None:
        self.identities = Identities(verified_domains, verified_senders)
        self.suppressions = Suppressions(clock)
        self.deliveries = Deliveries(clock)
        """Webhook requests on their way. Nothing leaves before it has a `post`."""
        self.webhooks = EventWebhooks(clock, self.deliveries, seed=seed)
        self.parse = InboundParse(clock, self.deliveries, self.identities.domains, seed=seed)
        self.accepted: list[AcceptedEmail] = []
        """Every email ever accepted, one record per recipient, oldest first."""
        self.calls: Counter[str] = Counter()
        """Requests by method and route, such as "POST /v3/mail/send"."""
        self.faults = Faults(seed)
        """What goes wrong on demand: 401, 429, 5xx before or after accepting, a cut after accepting, slowness."""
        self.rate_limit = rate_limit
        self.indexing_delay = indexing_delay
        self._clock = clock
        self._keep = keep
        self._touch_arg = touch_arg
        self._random = Random(seed)
        self._keys = {
            f"Bearer {key}": _Key(id=([*key.split("."), ""])[1], scopes=frozenset(scopes))
            for key, scopes in api_keys.items()
        }
        self._second = 0
        self._in_second = 0
        self._by_address: dict[str, list[AcceptedEmail]] = {}
        self._indexed = 0
        self._routes = self._build_routes()

    # what tests and the world ask and do

    def duplicates(self) -> dict[str, int]:
        """How often each touch was accepted, for those accepted more than once. P1 says: empty."""
        counts = Counter(email.touch for email in self.accepted if email.touch)
        return {touch: count for touch, count in counts.items() if count > 1}

    def to(self, address: str) -> list[AcceptedEmail]:
        """Every email accepted for the address, oldest first, compared without case."""
        for email in self.accepted[self._indexed :]:
            self._by_address.setdefault(email.to.lower(), []).append(email)
        self._indexed = len(self.accepted)
        return self._by_address.get(address.lower(), [])

    def bounce(self, address: str, *, reason: str = "550 5.1.1 The email account does not exist") -> None:
        """The newest email to the address bounced hard: it goes on the bounce list and into the log."""
        self.suppressions.add("bounces", address, reason=reason, status=reason[4:9])
        for email in self.to(address)[-1:]:
            email.fate, email.reason = Fate.BOUNCED, reason
            self._emit_bounce(email, "bounce", "Invalid Address")

    def block(self, address: str, *, reason: str = "421 4.7.0 Try again later") -> None:
        """The newest email to the address was blocked for now."""
        self.suppressions.add("blocks", address, reason=reason, status=reason[4:9])
        for email in self.to(address)[-1:]:
            email.fate, email.reason = Fate.BLOCKED, reason
            self._emit_bounce(email, "blocked", "Reputation")

    def revoke_keys(self) -> None:
        """Somebody deleted every API key."""
        self._keys.clear()

    def report_spam(self, address: str) -> None:
        """The person reported the newest email as spam."""
        self.suppressions.add("spam_reports", address, ip="127.0.0.1")
        for email in self.to(address)[-1:]:
            self.webhooks.emit(EventKind.SPAM_REPORT, email, self._clock())

    def leave_group(self, address: str, group_id: int) -> None:
        """The person left an unsubscribe group by the newest email. Raises KeyError for an unknown group."""
        self.suppressions.join(group_id, address)
        for email in self.to(address)[-1:]:
            extra = {"asm_group_id": group_id, "ip": "203.0.113.7", "useragent": "Mozilla/5.0"}
            self.webhooks.emit(EventKind.GROUP_UNSUBSCRIBE, email, self._clock(), **extra)

    def unsubscribe(self, address: str) -> None:
        """The person used the vendor's own unsubscribe link in the newest email."""
        self.suppressions.add("unsubscribes", address)
        for email in self.to(address)[-1:]:
            self.webhooks.emit(EventKind.UNSUBSCRIBE, email, self._clock())

    def advance(self, now: datetime) -> None:
        """Let the webhooks go out that are due by now."""
        self.webhooks.advance(now)
        self.deliveries.advance(now)

    @property
    def next_due(self) -> datetime | None:
        """When the next webhook goes out that is worth moving a clock for."""
        due = (self.webhooks.next_due, self.deliveries.next_due)
        return min((at for at in due if at is not None), default=None)

    def _emit_bounce(self, email: AcceptedEmail, kind: str, classification: str) -> None:
        extra = {"type": kind, "bounce_classification": classification, "ip": "192.0.2.25", "tls": 1}
        self.webhooks.emit(
            EventKind.BOUNCE, email, self._clock(), reason=email.reason, status=email.reason[4:9], **extra
        )

    # HTTP

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        return self.faults.apply(request, self._answer)

    def _answer(self, request: Request) -> Response:
        path = request.path
        if path == "/v3/mail/send":
            self.calls["POST /v3/mail/send"] += 1
            return self._send(request) if request.method == "POST" else answers.not_allowed()
        found = False
        for method, pattern, scope, function in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            found = True
            if method != request.method:
                continue
            self.calls[f"{method} {pattern.pattern}"] += 1
            key = self._keys.get(request.headers.get("authorization", ""))
            if key is None:
                return answers.unauthorized()
            if scope and scope not in key.scopes:
                return answers.forbidden()
            return function(request, *match.groups())
        return answers.not_allowed() if found else answers.not_found()

    def _build_routes(self) -> list[_Route]:
        lists = self.suppressions

        def route(method: str, path: str, scope: str, function: Callable[..., Response]) -> _Route:
            return method, re.compile(path.replace("*", "([^/]+)")), scope, function

        routes = [
            route("GET", "/v3/scopes", "", self._list_scopes),
            route("GET", "/v3/whitelabel/domains", identities.SCOPE, self.identities.list_domains),
            route("GET", "/v3/verified_senders", identities.SCOPE, self.identities.list_senders),
            route("POST", "/v3/logs", "messages.read", self._search_logs),
            route("GET", "/v3/logs/*", "messages.read", self._show_log),
            route("POST", "/v3/asm/suppressions/global", "asm.suppressions.global.create", lists.global_add),
            route(
                "GET",
                "/v3/asm/suppressions/global/*",
                "asm.suppressions.global.read",
                lambda _, email: lists.global_entry(email),
            ),
            route(
                "DELETE",
                "/v3/asm/suppressions/global/*",
                "asm.suppressions.global.delete",
                lambda _, email: lists.global_delete(email),
            ),
            route("GET", "/v3/asm/groups", "asm.groups.read", lambda _: lists.groups()),
            route("POST", "/v3/asm/groups", "asm.groups.create", lists.group_create),
            route("GET", "/v3/asm/groups/*", "asm.groups.read", lambda _, group: lists.group(group)),
            route("POST", "/v3/asm/groups/*/suppressions", "asm.groups.suppressions.create", lists.group_add),
            route(
                "GET",
                "/v3/asm/groups/*/suppressions",
                "asm.groups.suppressions.read",
                lambda _, group: lists.group_members(group),
            ),
            route("POST", "/v3/asm/groups/*/suppressions/search", "asm.groups.suppressions.read", lists.group_search),
            route(
                "DELETE",
                "/v3/asm/groups/*/suppressions/*",
                "asm.groups.suppressions.delete",
                lambda _, group, email: lists.group_delete(group, email),
            ),
            route("GET", "/v3/asm/suppressions", "asm.suppressions.read", lambda _: lists.group_suppressions()),
            route("GET", "/v3/asm/suppressions/*", "asm.suppressions.read", lambda _, email: lists.groups_of(email)),
        ]
        routes += [route(*each) for each in (*self.webhooks.routes(), *self.parse.routes())]
        for name in ("bounces", "blocks", "invalid_emails", "spam_reports", "unsubscribes"):
            path, scope = f"/v3/suppression/{name}", f"suppression.{name}"
            routes.append(route("GET", path, f"{scope}.read", lambda request, n=name: lists.list_page(request, n)))
            if name == "unsubscribes":
                continue
            routes += [
                route("DELETE", path, f"{scope}.delete", lambda request, n=name: lists.list_delete(request, n)),
                route("GET", f"{path}/*", f"{scope}.read", lambda _, email, n=name: lists.entry(n, email)),
                route("DELETE", f"{path}/*", f"{scope}.delete", lambda _, email, n=name: lists.entry_delete(n, email)),
            ]
        return routes

    # sending

    def _send(self, request: Request) -> Response:
        headers = request.headers
        key = self._keys.get(headers.get("authorization", ""))
        if key is None:
            return answers.unauthorized()
        if "mail.send" not in key.scopes:
            return answers.forbidden()
        now = self._clock()
        seconds = now.timestamp()
        if self.rate_limit is not None and not self._within_limit(int(seconds)):
            return answers.too_many(self.rate_limit, int(seconds) + 1)
        if len(request.body) > MAX_MESSAGE:
            return answers.too_large()
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refuse(415, Problem("Content-Type should be application/json."))
        try:
            message = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return refuse(400, Problem("Bad Request"))
        problems = check_message(message, seconds)
        if problems:
            return refuse(400, *problems)
        if not self._all_verified(message):
            return refuse(403, Problem(_UNVERIFIED, "from"))
        if message.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
            return Response(status=200, content_type="text/plain; charset=utf-8")
        message_id = self._mint_id()
        self._accept(message, request.body, now, message_id, key)
        return Response(status=202, content_type="text/plain; charset=utf-8", headers={"X-Message-Id": message_id})

    def _within_limit(self, second: int) -> bool:
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self.rate_limit is None or self._in_second <= self.rate_limit

    def _all_verified(self, message: Mapping[str, Any]) -> bool:
        if not self.identities.allow(message["from"]["email"]):
            return False
        return all(self.identities.allow(b["from"]["email"]) for b in message["personalizations"] if "from" in b)

    def _mint_id(self) -> str:
        return urlsafe_b64encode(self._random.randbytes(18))[:22].decode()

    def _accept(self, message: Mapping[str, Any], body: bytes, now: datetime, message_id: str, key: _Key) -> None:
        common = message.get("custom_args", {}).get(self._touch_arg, "")
        blocks = message["personalizations"]
        kept = body if self._keep is Keep.EVERYTHING else b""
        bypass = message.get("mail_settings", {}).get("bypass_list_management", {}).get("enable", False)
        group = message.get("asm", {}).get("group_id")
        listening = self.webhooks.listening
        for number, (index, address) in enumerate(recipients(message)):
            reason = "" if bypass else self.suppressions.drop_reason(address, group)
            self.accepted.append(
                AcceptedEmail(
                    at=now,
                    message_id=message_id,
                    touch=blocks[index].get("custom_args", {}).get(self._touch_arg, common),
                    to=address,
                    recipient=number,
                    key_id=key.id,
                    fate=Fate.DROPPED if reason else Fate.DELIVERED,
                    reason=reason,
                    block=index,
                    body=kept,
                )
            )
            if listening:
                email = self.accepted[-1]
                kind, extra = (EventKind.DROPPED, {"reason": reason}) if reason else (EventKind.PROCESSED, {})
                self.webhooks.emit(kind, email, now, **extra)

    # reading

    def _list_scopes(self, request: Request) -> Response:
        return json_response(200, {"scopes": sorted(self._keys[request.headers["authorization"]].scopes)})

    def _search_logs(self, request: Request) -> Response:
        try:
            body = request.json()
        except ValueError:
            return refuse(400, Problem("Bad Request"))
        if not isinstance(body, dict) or not body.keys() <= {"query", "limit", "subusers"}:
            return refuse(400, Problem("Bad Request"))
        limit = body.get("limit", logs.DEFAULT_LIMIT)
        if type(limit) is not int or not 1 <= limit <= logs.MAX_LIMIT:
            return refuse(400, Problem(f"limit must be between 1 and {logs.MAX_LIMIT}", "limit"))
        try:
            query = logs.parse_query(str(body.get("query", "")))
        except ValueError as error:
            return refuse(400, Problem(f"invalid query: {error}", "query"))
        emails = self.accepted if query.to_email is None else self.to(query.to_email)
        found: list[dict[str, Any]] = []
        for email in reversed(emails):
            if len(found) == limit:
                break
            if self._logged(email) and query.matches(email):
                found.append(logs.summarize(email))
        return json_response(200, {"messages": found})

    def _show_log(self, _: Request, sg_message_id: str) -> Response:
        for email in reversed(self.accepted):
            if email.sg_message_id == sg_message_id and self._logged(email):
                arguments = dict(email.custom_args) or ({self._touch_arg: email.touch} if email.touch else {})
                return json_response(200, logs.detail(email, arguments))
        return refuse(404, Problem("message not found"))

    def _logged(self, email: AcceptedEmail) -> bool:
        """Whether the log shows the email: indexed already, and not yet older than it keeps."""
        return self.indexing_delay <= self._clock() - email.at <= logs.RETENTION
