"""Presses Unsubscribe for the people of the world: the one-click POST of RFC 8058, to links on this machine alone."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from crmdrip.sandbox.world import OneClick

BODY = b"List-Unsubscribe=One-Click"
TIMEOUT = 10.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Report = Callable[[OneClick, str], None]
"""Told of each unsubscribe: the problem, "" when it was answered with success."""


class Clicker:
    """Posts in threads of its own, so that whoever hands over an unsubscribe never waits."""

    def __init__(self, report: Report, *, threads: int = 4) -> None:
        self._report = report
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="one-click")
        self.pending = 0
        """Handed over and not yet answered. Changed in the caller's thread and in the report alone."""

    def post(self, click: OneClick) -> None:
        """Post soon. `report` is called from another thread, exactly once."""
        self.pending += 1
        self._pool.submit(lambda: self._report(click, press(click.url)))

    def close(self) -> None:
        """Drop what has not begun, and wait for the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def press(url: str) -> str:
    """Post to the link once; what went wrong, "" for success. Redirects are not followed (RFC 8058 section 3.1)."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
        return "the link does not lead to this machine"
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=TIMEOUT)
    try:
        connection.request("POST", target, BODY, {"Content-Type": "application/x-www-form-urlencoded"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    return "" if 200 <= status < 300 else f"answered with {status}"
