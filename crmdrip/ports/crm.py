"""The CRM: reading what should happen, writing what did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from crmdrip.core.errors import ErrorClass
from crmdrip.core.model import Brake, Owner, Record, RecordRef, SequenceDraft, Signal, TouchRecord
from crmdrip.core.struct import Struct
from crmdrip.core.writes import ControlWrite, Write
from crmdrip.ports.outside import Capability


@dataclass(frozen=True, kw_only=True, slots=True)
class CrmIdentity:
    """Which CRM account answers."""

    org_id: str
    name: str
    sandbox: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PullPage:
    """One page of changes. Saving its cursor with what it caused makes progress that is never lost."""

    sequences: tuple[SequenceDraft, ...] = ()
    """Changed sequences, each whole with all its steps."""
    removed_sequences: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    """Changed records that are ticked, or carry a status the daemon wrote; with deletions and merges. After the first
    pull also those that opted out or bounced: a twin may be in a sequence."""
    signals: tuple[Signal, ...] = ()
    brake: Brake | None = None
    """None when the page did not look."""
    cursor: str
    """Opaque; give it back to continue after this page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """The last look: the asked records as they are now, and what happened since the cursor."""

    records: Mapping[str, Record]
    """By record id. A record that is gone is absent."""
    signals: tuple[Signal, ...]
    brake: Brake | None
    at: datetime
    """The CRM's own time of the look, or ours where the CRM gives none."""
    statuses: Mapping[str, str | None] = field(default_factory=dict)
    """The status of each sequence asked for as it stands now, in our words; None for one that is gone. Empty where the
    CRM cannot tell within the look: then what was pulled last counts."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """What keeps a sequence asked for from being followed as it stands, as a sentence: a field of its stop condition
    that is hidden by now. Its people wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """CRM calls: what the CRM says of its limit and what was used. None where the CRM does not tell."""

    used: int | None
    limit: int | None
    calls_made: int
    """By this process since it began."""


@runtime_checkable
class CrmSource(Protocol):
    """Reads the CRM."""

    def capabilities(self) -> frozenset[Capability]:
        """What this CRM offers. Raises nothing."""
        ...

    def identity(self) -> CrmIdentity:
        """Which account answers. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        ...

    def pull(self, cursor: str | None) -> Iterator[PullPage]:
        """Everything changed since the cursor, page by page, oldest first; None reads all that is live.

        People come with every pull. Where that saves a call, other things may wait for the next one, but never the
        sequences for somebody who may enter one. Repeats are possible (an overlap is read again), losses are not. Each
        page can be saved by itself.
        Raises AuthError, RetriableError, RateLimitedError, ConfigurationError (a hidden field, a missing object).
        """
        ...

    def look(
        self,
        refs: Iterable[RecordRef],
        paths: frozenset[str],
        cursor: str | None,
        sequences: Iterable[str] = (),
        heartbeat: ControlWrite | None = None,
    ) -> Look:
        """Read the records by id, in as few calls as the limits allow, with the merge paths asked for.

        cursor: the newest pull cursor; signals since then come along. sequences: ids of those whose status is wanted
        too, where it costs little. heartbeat: left beside the brake, where there is a place for it; a look that could
        not leave it just now fails. Never uses a search index.
        Raises as pull, and UnknownPathsError for merge paths that nobody here can see.
        """
        ...

    def owners(self, ids: Iterable[str]) -> Mapping[str, Owner]:
        """The users behind the ids; absent when there is no such user. Raises as pull."""
        ...

    def find(self, text: str) -> tuple[Record, ...]:
        """Records by id, by email address, or by name: for commands that take a PERSON. Raises as pull."""
        ...

    def records_of(self, addresses: Iterable[str]) -> tuple[Record, ...]:
        """Every record of these normalized addresses, in sequences or not, in as few calls as the limits allow.

        Where an opt-out has to be written. Raises as pull.
        """
        ...

    def signals(self, since: datetime) -> tuple[Signal, ...]:
        """What happened since a time, whatever was pulled: for a ledger that was lost and with it what it had heard.

        Raises as pull.
        """
        ...

    def touches(self, cursor: str | None) -> Iterator[tuple[tuple[TouchRecord, ...], str]]:
        """All touches on timelines, page by page with a cursor each, archived ones included. Raises as pull."""
        ...

    def budget(self) -> Budget:
        """As of the last answer; makes no call. Raises nothing."""
        ...


@runtime_checkable
class FollowsLists(Protocol):
    """A CrmSource whose sequences may name a list of the CRM: everybody on it is to be in the sequence."""

    def follow_lists(self) -> None:
        """Tick the box of whoever joined such a list since, and untick that of whoever left it (B9).

        For the daemon alone, before each pull, since it writes: whoever only looks never calls it. Called again after
        a failure, it does what is left. Raises as pull.
        """
        ...

    def preview_lists(self) -> Mapping[RecordRef, str]:
        """Whose boxes would be ticked if that were called now, with the sequence of each; writes nothing.

        For commands that look ahead. Raises as pull.
        """
        ...


class WriteOutcome(Struct, frozen=True, kw_only=True):
    """What became of one write."""

    key: str
    error: ErrorClass | None = None
    """None when it stands in the CRM (also when it already stood there under our key)."""
    code: str = ""
    """The vendor's code (UNABLE_TO_LOCK_ROW)."""
    detail: str = ""
    """The vendor's message, for people."""


@runtime_checkable
class CrmSink(Protocol):
    """Writes the CRM."""

    def write(self, writes: Iterable[Write]) -> Iterator[WriteOutcome]:
        """Write everything, each at most once under its key, in as few calls as the limits allow.

        Yields one outcome per write, in any order, as batches are answered; after a batch fails as a whole its
        rows are tried one by one or in halves. Raises AuthError, RateLimitedError, RetriableError or
        ConfigurationError only when nothing further can be written now; what was not yielded was not settled.
        """
        ...
