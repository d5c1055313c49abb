"""Python imports this first in a process that is to be killed: it asks before and after each commit whether to go on.

Whoever plays kills the process instead of answering. The product knows nothing of it. It is also where the process gets
its clock from, so that days pass in seconds: the machine's own, so many seconds ahead.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


class Fate:
    """The line to whoever decides."""

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._line = socket.create_connection(("127.0.0.1", port))
        self._line.sendall(f"{os.getpid()}\n".encode())

    def ask(self, point: str) -> None:
        """Returns when the process may go on, which may be never."""
        with self._lock:
            self._line.sendall(f"{point}\n".encode())
            if not self._line.recv(1):
                threading.Event().wait()  # whoever decides has gone, and ends this process as well


def haunt(fate: Fate) -> None:
    """Ask at each commit that has changed something."""
    from sqlalchemy.engine.default import DefaultDialect

    commit = DefaultDialect.do_commit
    seen: dict[int, int] = {}

    def do_commit(self: Any, connection: Any) -> None:
        changes = getattr(connection, "total_changes", None)
        idle = changes is not None and seen.get(id(connection), 0) == changes
        seen[id(connection)] = changes or 0
        if idle:
            commit(self, connection)
            return
        place = _place()
        fate.ask(f"commit {place}")
        commit(self, connection)
        fate.ask(f"committed {place}")

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign] # the one place that sees both sides of a commit


def _place() -> str:
    """The function of the product whose transaction ends: daemon.dispatch._record."""
    frame = sys._getframe(2)  # that of do_commit's caller
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("crmdrip.") and module != "crmdrip.ledger.store":
            return f"{module.removeprefix('crmdrip.')}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "elsewhere"


def sign() -> None:
    """Say in each request whose it is: there may be two at work."""
    from http.client import HTTPConnection

    from connectors.sendgrid.connection import Connection

    end, write = HTTPConnection.endheaders, Connection.write

    def endheaders(self: HTTPConnection, *args: Any, **kwargs: Any) -> None:
        self.putheader("X-Proof-Process", str(os.getpid()))
        end(self, *args, **kwargs)

    def written(self: Any, batch: Any, ticket: Any, data: bytes, deadline: float) -> bool:
        signed = data.replace(b"\r\n", b"\r\nX-Proof-Process: %d\r\n" % os.getpid(), 1)
        return write(self, batch, ticket, signed, deadline)

    HTTPConnection.endheaders = endheaders  # type: ignore[method-assign] # below every client but that of emails
    Connection.write = written


def shift(file: Path) -> None:
    """The clock is so many seconds ahead as the file says now."""
    from crmdrip.assembly import WallClock

    def now(self: WallClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(file.read_text(encoding="utf-8")))

    WallClock.now = now  # type: ignore[method-assign] # the daemon's one clock


def fill_disk(most: int) -> None:
    """No file may grow beyond so many bytes: the disk is full."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def sleep_beside_faketime() -> None:
    """Sleep by another call of the system.

    faketime that leaves the monotonic clock alone, as a jump of a real clock does, breaks clock_nanosleep; and one that
    does not leaves every wait with a time-out waiting for ever (0.9.10 with Python 3.11, whose sem_clockwait it does
    not know; measured 2026-11-24).
    """
    import select
    import time

    def sleep(seconds: float) -> None:
        select.select([], [], [], seconds)

    time.sleep = sleep


def doom(environment: Mapping[str, str]) -> None:
    """All of it, as the environment says."""
    haunt(Fate(int(environment["CRMDRIP_PROOF_PORT"])))
    sign()
    if clock := environment["CRMDRIP_PROOF_CLOCK"]:
        shift(Path(clock))
    else:
        sleep_beside_faketime()
    if most := environment["CRMDRIP_PROOF_BYTES"]:
        fill_disk(int(most))


if "CRMDRIP_PROOF_PORT" in os.environ:
    doom(os.environ)
