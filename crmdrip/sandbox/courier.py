"""Carries the sandbox's own HTTP requests out: webhooks and clicks on links, to this machine alone.

Requests leave one after the other in the order they were handed over, so that a seed gives the same play twice.
"""

from __future__ import annotations

import base64
import http.client
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

TIMEOUT = 10.0
"""Seconds for one answer."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """One request to be made."""

    url: str
    """May carry user and password, which become Basic authentication."""
    method: str = "POST"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of it."""

    status: int = 0
    """0 when there was no answer."""
    problem: str = ""
    """Why it is no success; "" for any 2xx."""
    body: bytes = b""


Done = Callable[[Outcome], None]
Post = Callable[[Errand, Done], None]
"""Makes a request soon; must not block. `Done` is called exactly once, in the sandbox's own thread."""


class Courier:
    """Makes requests in a thread of its own.

    call: runs a function in the thread in which the sandbox lives.
    """

    def __init__(self, call: Callable[[Callable[[], None]], None]) -> None:
        self._call = call
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="courier")
        self.pending = 0
        """Handed over and not yet answered. Changed in the sandbox's thread alone."""

    def post(self, errand: Errand, done: Done) -> None:
        """Make the request soon."""
        self.pending += 1
        self._pool.submit(self._carry, errand, done)

    def _carry(self, errand: Errand, done: Done) -> None:
        outcome = carry(errand)

        def report() -> None:
            # What the answer leads to may hand over more: it is counted before this one is done.
            done(outcome)
            self.pending -= 1

        self._call(report)

    def close(self) -> None:
        """Drop what has not begun, and wait for the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def carry(errand: Errand) -> Outcome:
    """Make one request. Redirects are not followed (RFC 8058 section 3.1; Inbound Parse follows none either)."""
    parts = urlsplit(errand.url)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
        return Outcome(problem="the link does not lead to this machine")
    headers = dict(errand.headers)
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=TIMEOUT)
    try:
        connection.request(errand.method, target, errand.body or None, headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return Outcome(problem=f"no answer: {error}")
    finally:
        connection.close()
    good = 200 <= answer.status < 300
    return Outcome(status=answer.status, problem="" if good else f"answered with {answer.status}", body=body)
