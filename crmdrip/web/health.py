"""What the door tells of the daemon: whether it lives, whether it works, and how each loop fares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopHealth:
    """One loop."""

    failures: int
    """In a row; 0 when the last run was good."""
    last_success: datetime | None
    error: str
    """The last failure in words, "" after a success."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MailboxHealth:
    """One mailbox that is listened to."""

    heard_at: datetime | None
    """When it was last read to its end."""
    error: str
    """Why it cannot be read now, "" while it can."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The daemon at one moment."""

    alive: bool
    """Every loop is within its error budget: no restart would help."""
    ready: bool
    """Email goes out as it should: history is complete, no loop fails, and every mailbox can be read."""
    loops: Mapping[str, LoopHealth] = field(default_factory=dict)
    calls_used: int | None = None
    """CRM calls of the last 24 hours, of everybody, as the CRM told last."""
    calls_limit: int | None = None
    posts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What vendors posted since the door opened, by source and what became of it."""

    mailboxes: Mapping[str, MailboxHealth] = field(default_factory=dict)
    """By name. While one cannot be read no email goes out."""


Watch = Callable[[], Health]


def describe(health: Health, *, in_full: bool) -> dict[str, Any]:
    """For JSON. in_full: with loops and budget, for whoever asks on this machine itself."""
    brief: dict[str, Any] = {"alive": health.alive, "ready": health.ready}
    if not in_full:
        return brief
    loops = {
        name: {
            "failures": loop.failures,
            "last_success": loop.last_success.isoformat() if loop.last_success is not None else None,
            "error": loop.error,
        }
        for name, loop in health.loops.items()
    }
    mailboxes = {
        name: {"heard_at": one.heard_at.isoformat() if one.heard_at is not None else None, "error": one.error}
        for name, one in health.mailboxes.items()
    }
    calls = {"used": health.calls_used, "limit": health.calls_limit}
    posts = {key: dict(n) for key, n in health.posts.items()}
    return {**brief, "loops": loops, "crm_calls": calls, "posts": posts, "mailboxes": mailboxes}
