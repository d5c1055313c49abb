"""What the workers work with: assembled once, by the command line, from configuration and connectors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Event, Lock

from crmdrip.core.compose import Composer
from crmdrip.core.replyto import ReplyDomain
from crmdrip.daemon.mailboxes import Mailboxes
from crmdrip.daemon.refusals import Refusals
from crmdrip.ledger.store import Ledger
from crmdrip.ports import Clock, CrmSink, CrmSource, Hint, Hook, Mailer, SignalFeed


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Caps and safety nets that hold for all sequences."""

    sender_per_day: int = 200
    domain_per_hour: int = 100
    confirm_above: int = 500
    """Entries a day above which a sequence waits for a confirmation, where it names no number of its own."""
    stop_share: float = 0.3
    stop_minimum: int = 20
    """At least this many, and at least this share of a sequence's live runs, stopped at once is suspicious."""
    batch: int = 1000
    """Runs looked at and mailed together."""
    doubt_first_look_minutes: float = 5
    doubt_deadline_hours: float = 72
    engagement_minutes: float = 60
    """Between two updates of one touch's opens and clicks on the timeline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Everything a worker needs."""

    org_id: str
    ledger: Ledger
    source: CrmSource
    sink: CrmSink
    mailer: Mailer
    feed: SignalFeed | None
    composer: Composer
    clock: Clock
    limits: Limits
    replies: ReplyDomain
    """Where answers come to, and the readers of what is signed into them."""
    hooks: Mapping[str, Hook] = field(default_factory=dict)
    """The ways in by HTTP, by the source of what they bring."""
    hints: Mapping[str, Hint] = field(default_factory=dict)
    """Those by which the CRM says that it has changed, by their source."""
    mailboxes: Mailboxes = field(default_factory=Mailboxes)
    """The folders into which people answer."""
    draining: AbstractContextManager[object] = field(default_factory=Lock)
    """Held by whoever reads what came in: one at a time, and a last look waits for it."""
    refusals: Refusals = field(default_factory=Refusals)
    """How often which tick was refused lately."""
    stood_down: Event = field(default_factory=Event)
    """Set once another daemon claimed the org: this process sends nothing more (B3)."""
    stopping: Event = field(default_factory=Event)
    """Set when the process is to end: passes leave off at the next point where nothing is under way."""
