"""Python imports this first in a process that is to be killed: it asks before and after each commit whether to go on.

Whoever plays kills the process instead of answering. The product knows nothing of it. It is also where the process gets
its clock from, so that days pass in seconds: the machine's own, so many seconds ahead.
"""

from __future__ import annotations

import os
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


class Fate:
    """The line to whoever decides."""

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._line = socket.create_connection(("127.0.0.1", port))

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
        fate.ask("commit")
        commit(self, connection)
        fate.ask("committed")

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign] # the one place that sees both sides of a commit


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


if port := os.environ.get("CRMDRIP_PROOF_PORT"):
    haunt(Fate(int(port)))
    shift(Path(os.environ["CRMDRIP_PROOF_CLOCK"]))
    if most := os.environ["CRMDRIP_PROOF_BYTES"]:
        fill_disk(int(most))
