"""What mail servers and mail programs do with emails that reach them: deliveries, deferrals, opens, clicks, scans.

Most of it is no person's doing: proxies load pictures before anybody reads, and gateways follow every link.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from crmdrip.sandbox.sendgrid import AcceptedEmail, EventKind, SendGridAccount

_BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
_APPLE = {"useragent": "Mozilla/5.0", "ip": "192.0.2.17", "sg_machine_open": True}
"""Mail Privacy Protection: a proxy loads the pictures of every email."""
_HUMAN = {"useragent": _BROWSER, "ip": "203.0.113.40"}
_SCANNER = {"useragent": "LinkGuard/3.1", "ip": "198.51.100.9"}
_LINK = "https://www.acme.example/follow-ups"
_INDEX = {"index": 0, "type": "html"}

SCANNED = 10
"""One domain in so many has a gateway that follows every link."""


@dataclass(order=True, slots=True)
class _Coming:
    at: datetime
    number: int
    email: AcceptedEmail = field(compare=False)
    kind: EventKind | None = field(compare=False)
    """None for a gateway's visit to the links."""
    extra: Mapping[str, Any] = field(compare=False)


class Engagement:
    """Follows the emails of one account. scan: looks at a link as a gateway does; None where nobody can."""

    def __init__(self, account: SendGridAccount, *, seed: int, scan: Callable[[str], None] | None) -> None:
        self.scans = 0
        """Links that gateways looked at."""
        self._account = account
        self._seed = seed
        self._scan = scan
        self._coming: list[_Coming] = []
        self._number = 0

    def follow(self, email: AcceptedEmail, *, arrives: bool) -> None:
        """Decide what becomes of an email. arrives: whether its server takes it."""
        if not self._account.webhooks.listening and self._scan is None:
            return
        random = Random(f"{self._seed}|{email.to.lower()}|{email.touch or email.message_id}|mail")
        for after, kind, extra in _foresee(email, random, arrives=arrives):
            self._number += 1
            heapq.heappush(self._coming, _Coming(email.at + after, self._number, email, kind, extra))

    def advance(self, now: datetime) -> None:
        """Let everything happen that is due by now."""
        while self._coming and self._coming[0].at <= now:
            coming = heapq.heappop(self._coming)
            if coming.kind is not None:
                self._account.webhooks.emit(coming.kind, coming.email, coming.at, **coming.extra)
            elif self._scan is not None and coming.email.unsubscribe_url:
                self.scans += 1
                self._scan(coming.email.unsubscribe_url)


_Step = tuple[timedelta, EventKind | None, Mapping[str, Any]]


def is_scanned(domain: str) -> bool:
    """Whether a gateway stands before the mailboxes of a domain."""
    return zlib.crc32(domain.lower().encode()) % SCANNED == 0


def _foresee(email: AcceptedEmail, random: Random, *, arrives: bool) -> Iterator[_Step]:
    domain = email.to.rpartition("@")[2]
    after = timedelta(seconds=random.uniform(1, 40))
    if random.random() < 0.06:
        for attempt in range(1, random.randrange(2, 4)):
            response = "451 4.7.1 Greylisting in action, please come back later"
            yield after, EventKind.DEFERRED, {"response": response, "attempt": str(attempt), "domain": domain}
            after += timedelta(minutes=5 * attempt)
    if not arrives:
        return
    yield after, EventKind.DELIVERED, {"response": "250 2.0.0 OK", "ip": "192.0.2.25", "tls": 1}
    if is_scanned(domain):
        yield after + timedelta(seconds=2), None, {}
        yield after + timedelta(seconds=2), EventKind.OPEN, _SCANNER
        yield after + timedelta(seconds=3), EventKind.CLICK, {**_SCANNER, "url": _LINK, "url_offset": _INDEX}
    if random.random() < 0.3:
        yield after + timedelta(minutes=random.uniform(1, 20)), EventKind.OPEN, _APPLE
    if random.random() < 0.35:
        read = after + timedelta(hours=random.uniform(0.05, 40))
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            yield read, EventKind.OPEN, _HUMAN
            read += timedelta(hours=random.uniform(0.1, 20))
        if random.random() < 0.1:
            yield read, EventKind.CLICK, {**_HUMAN, "url": _LINK, "url_offset": _INDEX}
