"""The end of a process at any of its points: before and after each commit, each statement, each request, each answer.

Death is complete: from that moment on nothing reaches the ledger and nothing reaches the wire, whatever other threads
of the process still try. What was committed and what was answered before stays.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from sqlalchemy import Engine, event


class Killed(BaseException):
    """The process ends here, without another word."""


class Mortality:
    """Counts the points that are passed, and strikes at one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: int | None = None
        self.dead = False
        self.points: Counter[str] = Counter()
        """Those passed so far, by name."""
        self.struck_at = ""
        self.watching = False
        """Whether a process is at work; what tests do to the ledger themselves is no point."""

    def arm(self, points: int) -> None:
        """Die at the point that comes after so many others."""
        self._left = points

    def revive(self) -> None:
        """A new process begins."""
        self.dead, self._left, self.struck_at = False, None, ""

    def strike(self, name: str, process: str = "") -> bool:
        """A point is passed. Whether the process is dead by now. process: its number, where there are several."""
        with self._lock:
            if self.dead or not self.watching:
                return self.dead
            self.points[name] += 1
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    self.dead, self.struck_at = True, name
            return self.dead

    def haunt(self, engine: Engine) -> None:
        """Strike at a ledger's statements and commits as well."""
        dialect = engine.dialect
        commit = type(dialect).do_commit

        def do_commit(connection: Any) -> None:
            self._end_if(self.strike("commit"))
            commit(dialect, connection)
            self._end_if(self.strike("committed"))

        def on_statement(*_: Any) -> None:
            self._end_if(self.strike("statement"))

        dialect.do_commit = do_commit  # type: ignore[method-assign] # the one place that sees both sides of a commit
        event.listen(engine, "before_cursor_execute", on_statement)

    def _end_if(self, dead: bool) -> None:  # noqa: FBT001 - what strike said
        if dead:
            raise Killed
