"""The Email Logs API: its little query grammar, and what a log entry looks like.

Grammar (OpenAPI tsg_logs_v3.json): conditions joined by AND alone, no nesting; `sg_message_id =`, `subject =`,
`to_email =`, `reason =`, `status IN (...)`, `categories IN (...)`, `sg_message_id_created_at` with > < >= <= and
TIMESTAMP "..."; everything case-sensitive; there is no filter on custom arguments. Whatever else comes is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from crmdrip.sandbox.sendgrid.accepted import AcceptedEmail, Fate

RETENTION = timedelta(days=30)
MAX_LIMIT = 1_000
DEFAULT_LIMIT = 10

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'[^']*'|"[^"]*")
      | (?P<operator>>=|<=|=|>|<)
      | (?P<mark>[(),])
      | (?P<word>[A-Za-z_]+)
    )""",
    re.VERBOSE,
)
_EQUAL = frozenset({"sg_message_id", "subject", "to_email", "reason"})
_IN = frozenset({"status", "categories"})
_CREATED = "sg_message_id_created_at"
_COMPARE: dict[str, Callable[[datetime, datetime], bool]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}

Condition = Callable[[AcceptedEmail], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogQuery:
    """A parsed query."""

    conditions: tuple[Condition, ...]
    to_email: str | None = None
    """The address asked for, so that the search need not read every email."""

    def matches(self, email: AcceptedEmail) -> bool:
        """Whether the email meets every condition."""
        return all(condition(email) for condition in self.conditions)


class _Tokens:
    """The words of a query, one by one. Raises ValueError for what the grammar does not know."""

    def __init__(self, text: str) -> None:
        self._items: list[tuple[str, str]] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise ValueError(f"unexpected input at position {position}")
            self._items.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        self._next = 0

    def take(self, kind: str, *texts: str) -> str:
        """The next token, which must be of the kind and, if any are given, one of the texts."""
        if self._next >= len(self._items):
            raise ValueError("unexpected end of query")
        found, text = self._items[self._next]
        if found != kind or (texts and text not in texts):
            raise ValueError(f"unexpected {text}")
        self._next += 1
        return text

    def string(self) -> str:
        """The next token as a quoted string."""
        return self.take("string")[1:-1]

    def peek(self) -> str:
        """The next token's text, "" at the end."""
        return self._items[self._next][1] if self._next < len(self._items) else ""


def parse_query(text: str) -> LogQuery:
    """Read a query; an empty one matches everything. Raises ValueError saying what is not understood."""
    tokens = _Tokens(text)
    conditions: list[Condition] = []
    address: str | None = None
    while tokens.peek():
        if conditions:
            tokens.take("word", "AND")
        name = tokens.take("word")
        if name in _EQUAL:
            tokens.take("operator", "=")
            value = tokens.string()
            if name == "to_email":
                address = value
            conditions.append(_equals(name, value))
        elif name in _IN:
            tokens.take("word", "IN")
            conditions.append(_is_in(name, _strings(tokens)))
        elif name == _CREATED:
            compare = _COMPARE[tokens.take("operator", *_COMPARE)]
            tokens.take("word", "TIMESTAMP")
            conditions.append(_created(compare, _moment(tokens.string())))
        else:
            raise ValueError(f"unknown field {name}")
    return LogQuery(conditions=tuple(conditions), to_email=address)


def _strings(tokens: _Tokens) -> frozenset[str]:
    tokens.take("mark", "(")
    values = [tokens.string()]
    while tokens.take("mark", ",", ")") == ",":
        values.append(tokens.string())
    return frozenset(values)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a TIMESTAMP needs a time zone")
    return moment


_VALUES: dict[str, Callable[[AcceptedEmail], str]] = {
    "sg_message_id": lambda email: email.sg_message_id,
    "subject": lambda email: email.subject,
    "to_email": lambda email: email.to,
    "reason": lambda email: email.reason,
}


def _equals(name: str, value: str) -> Condition:
    read = _VALUES[name]
    return lambda email: read(email) == value


def _is_in(name: str, values: frozenset[str]) -> Condition:
    if name == "status":
        return lambda email: email.fate in values
    return lambda email: not values.isdisjoint(email.categories)


def _created(compare: Callable[[datetime, datetime], bool], moment: datetime) -> Condition:
    return lambda email: compare(email.at, moment)


def summarize(email: AcceptedEmail) -> dict[str, Any]:
    """The email as a row of POST /v3/logs (schema EmailLogsMessage)."""
    row = {
        "from_email": email.sender,
        "sg_message_id": email.sg_message_id,
        "subject": email.subject,
        "to_email": email.to,
        "status": email.fate.value,
        "sg_message_id_created_at": _format_time(email.at),
    }
    return {**row, "reason": email.reason} if email.reason else row


def detail(email: AcceptedEmail, custom_args: dict[str, str]) -> dict[str, Any]:
    """The email as GET /v3/logs/{sg_message_id} shows it (schema EmailLogsGetMessageByIdResponse)."""
    return {
        "from_email": email.sender,
        "sg_message_id": email.sg_message_id,
        "subject": email.subject,
        "to_email": email.to,
        "status": email.fate.value,
        "api_key_id": email.key_id,
        "client_ip": "127.0.0.1",
        "category": email.categories,
        "custom_args": custom_args,
        "events": list(_events(email, custom_args)),
    }


def _events(email: AcceptedEmail, custom_args: dict[str, str]) -> Iterable[dict[str, Any]]:
    """What happened to the email, oldest first (schemas ProcessedEvent, DeliveredEvent, DroppedEvent, BounceEvent)."""
    at = int(email.at.timestamp())

    def event(kind: str, seconds: int, **extra: Any) -> dict[str, Any]:
        return {
            "event": kind,
            "email": email.to,
            "sg_message_id": email.sg_message_id,
            "sg_event_id": f"{kind}-{email.message_id}-{email.recipient}",
            "smtp-id": f"<{email.message_id}@ismtpd-sandbox>",
            "timestamp": at + seconds,
            "custom_args": custom_args,
            **extra,
        }

    if email.fate is Fate.DROPPED:
        yield event("dropped", 0, reason=email.reason)
        return
    yield event("processed", 0)
    if email.fate is Fate.DELIVERED:
        yield event("delivered", 1, ip="127.0.0.1", response="250 2.0.0 OK", tls=1)
    elif email.fate in (Fate.BOUNCED, Fate.BLOCKED):
        kind = "bounce" if email.fate is Fate.BOUNCED else "blocked"
        yield event("bounce", 2, type=kind, reason=email.reason, status=email.reason[4:9], ip="127.0.0.1", tls=1)


def _format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
