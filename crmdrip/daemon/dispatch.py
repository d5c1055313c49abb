"""The dispatch worker: due runs are looked at once more, decided, and their emails handed to the provider.

The order that keeps P1 and P2: last look, decide, render, commit the intents of the whole batch, only then the first
request, then commit the outcomes. Whatever breaks in between leaves touches in doubt, never sent twice. While the end
of one batch is still going out, the next one is looked at.
"""

from __future__ import annotations

import threading
import time
from collections import Counter as Multiset
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from crmdrip.core.caps import Counter
from crmdrip.core.errors import CrmdripError, ErrorClass
from crmdrip.core.model import Signal
from crmdrip.daemon import received, twins
from crmdrip.daemon.intents import Intents
from crmdrip.daemon.listening import take_mail
from crmdrip.daemon.look import look_once_more, unseen
from crmdrip.daemon.outcomes import conclude, withdraw
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.queue import Ready
from crmdrip.daemon.shares import share_of
from crmdrip.daemon.snapshots import halts, load_background
from crmdrip.ledger import received as store
from crmdrip.ledger import runs
from crmdrip.ledger.due_runs import DueRun
from crmdrip.ports import SendOutcome, SendStatus

log = structlog.get_logger()

OUTCOMES_PER_COMMIT = 500
COMMIT_EVERY = 0.25
"""At most so many outcomes, and seconds of them, are committed together: what a crash takes with it is in doubt."""

SHORT = 3.0
"""Seconds a batch may take to go out for the next one to be looked at meanwhile, so that connections never rest. Where
batches take longer, half of one has to be out first: each look is followed by its own emails within moments (P2)."""

_HOPELESS = frozenset({ErrorClass.AUTH, ErrorClass.CONFIGURATION, ErrorClass.RATE_LIMITED})
"""Refusals that the next email would meet as well."""

_COUNTED = {SendStatus.ACCEPTED: "accepted", SendStatus.REFUSED: "refused", SendStatus.UNKNOWN: "in_doubt"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatchCount:
    """What one pass did."""

    looked: int = 0
    accepted: int = 0
    refused: int = 0
    in_doubt: int = 0
    held: int = 0
    stopped: int = 0


def dispatch_once(parts: Parts, *, batches: int = 1_000_000) -> DispatchCount:
    """Work through everything that is due, batch by batch.

    Only one pass at a time may be under way, in a process and, where the ledger is not shared, in all: what an earlier
    pass of this daemon intended and never concluded is in doubt. Raises LedgerBrokenError when nothing could be
    remembered. Failures of the CRM hold the batch and raise nothing.
    """
    _doubt_leftovers(parts)
    queues: Multiset[Counter] = Multiset()
    total = DispatchCount()
    before: _Batch | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="sender") as sender:
        for _ in range(batches):
            if parts.stopping.is_set():
                break
            parts.ledger.require_room()
            under_way = before.run_ids if before is not None else frozenset[int]()
            due = share_of(parts.ledger).take(parts.clock.now(), parts.limits.batch, under_way)
            if not due:
                break
            batch = _Batch(parts, due, queues)
            batch.prepare()
            try:
                if before is not None:
                    total = _add(total, before.finish())
                batch.hear()
            except Exception:
                batch.withdraw()
                raise
            batch.begin(sender)
            batch.tell_twins()
            if len(due) < parts.limits.batch:
                before = batch
                break
            if before is None or before.seconds > SHORT:
                batch.half_sent.wait()
            before = batch
            if batch.in_vain:
                break
        return total if before is None else _add(total, before.finish())


def hold_due(parts: Parts, error: CrmdripError) -> None:
    """Nobody can be looked at: those who are due wait, and their records say for which permission (B26, P4).

    Raises LedgerBrokenError.
    """
    share = share_of(parts.ledger)
    due = share.take(parts.clock.now(), parts.limits.batch, frozenset())
    if due:
        Intents(parts, due, unseen(parts, error), Multiset()).decide()
        share.give_back([run.id for run in due])


def _add(one: DispatchCount, other: DispatchCount) -> DispatchCount:
    return DispatchCount(**{name: getattr(one, name) + getattr(other, name) for name in DispatchCount.__slots__})


def _doubt_leftovers(parts: Parts) -> None:
    """A pass that broke off between intents and outcomes, on a full disk for one, left touches in doubt (B1, B30)."""
    doubtful = share_of(parts.ledger).settle(parts.clock.now())
    if doubtful:
        log.warning("touches_in_doubt_after_break", touches=doubtful)


class _Batch:
    """One batch on its way: claimed, looked at, decided, committed, sent, concluded."""

    def __init__(self, parts: Parts, due: list[DueRun], queues: Multiset[Counter]) -> None:
        self._parts = parts
        self._queues = queues
        self._due = due
        self._count = dict.fromkeys(DispatchCount.__slots__, 0)
        self._count["looked"] = len(due)
        self._ahead = timedelta()
        self._going: list[Ready] = []
        self._sending: Future[None]
        self._suppressing: list[Signal] = []
        self.half_sent = threading.Event()
        self.seconds = 0.0
        """How long it took to go out."""
        self.in_vain = False
        """Whether a further batch now would fare no better."""

    @property
    def run_ids(self) -> AbstractSet[int]:
        """The runs in it."""
        return {run.id for run in self._due}

    def prepare(self) -> None:
        """Look, decide, and commit the intents of what goes out."""
        seen = look_once_more(self._parts, self._due)
        self._ahead = seen.ahead
        # Behind a clock that is ahead, what is not due yet would be claimed for ever.
        self.in_vain |= seen.blind is not None or bool(seen.ahead)
        intents = Intents(self._parts, self._due, seen, self._queues)
        self._going, self._suppressing = intents.decide()
        self._count["held"] += intents.held
        self._count["stopped"] += intents.stopped

    def begin(self, sender: Executor) -> None:
        """Hand it over in the sender's thread, beside the preparation of the next batch."""
        self._sending = sender.submit(self._send)

    def finish(self) -> DispatchCount:
        """Wait until every outcome is committed. Raises LedgerBrokenError."""
        self._sending.result()
        share_of(self._parts.ledger).give_back(self.run_ids)
        return DispatchCount(**self._count)

    def withdraw(self) -> None:
        """It will not be begun: nothing of it is in doubt, if the ledger can still be told so."""
        with suppress(CrmdripError):
            self._take_back(self._going, "the ledger broke before it was begun")

    def hear(self) -> None:
        """What was heard since the look counts as well, while nothing has gone out by that look (P2).

        Whose run has changed is not mailed, whoever read what changed it: ended, paused, carried over, at another
        address, or to be looked at again for what somebody wrote (B8). Nor is anybody whose sequence was halted, or
        while something that came in at the door cannot be read.
        """
        if not self._going:
            return
        with self._parts.ledger.read() as connection:
            waiting = store.newest_waiting(connection) is not None
        if waiting and not received.is_heard(self._parts, take_mail):
            self._take_back(self._going, "something that came in has not been read yet")
            self._going, self.in_vain = [], True
        else:
            self._withdraw_changed()

    def _withdraw_changed(self) -> None:
        with self._parts.ledger.read() as connection:
            untouched = runs.untouched_among(connection, [one.run for one in self._going])
            background = load_background(connection)
        halted = {one for one in {one.run.sequence_id for one in self._going} if halts(background, one)}
        stays = [one.run.id in untouched and one.run.sequence_id not in halted for one in self._going]
        if not all(stays):
            changed = [one for one, stay in zip(self._going, stays, strict=True) if not stay]
            self._take_back(changed, "something has changed since the last look")
            self._going = [one for one, stay in zip(self._going, stays, strict=True) if stay]

    def _take_back(self, unsent: list[Ready], why: str) -> None:
        """Their runs are looked at again."""
        withdraw(self._parts, unsent, why)
        self._count["refused"] += len(unsent)

    def _send(self) -> None:
        by_id = {one.touch.id: one for one in self._going}
        began = time.monotonic()
        try:
            # Closed when an outcome cannot be stored: what was not begun by then is not sent (B30).
            with closing(self._parts.mailer.send([one.message for one in self._going])) as outcomes:
                for chunk in _chunks(self._listen(outcomes, len(by_id) / 2)):
                    self._conclude(by_id, chunk)
        finally:
            self.seconds = time.monotonic() - began
            self.half_sent.set()

    def _listen(self, outcomes: Iterator[SendOutcome], half: float) -> Iterator[SendOutcome]:
        for number, outcome in enumerate(outcomes, 1):
            if number >= half:
                self.half_sent.set()
            yield outcome

    def _conclude(self, ready: Mapping[str, Ready], outcomes: list[SendOutcome]) -> None:
        self.in_vain |= any(outcome.error in _HOPELESS for outcome in outcomes)
        conclude(self._parts, ready, outcomes, self._parts.clock.now() - self._ahead)
        for outcome in outcomes:
            self._count[_COUNTED[outcome.status]] += 1

    def tell_twins(self) -> None:
        """Write the suppressions that came with the look on every record of their addresses."""
        twins.tell(self._parts, self._suppressing)


def _chunks(outcomes: Iterator[SendOutcome]) -> Iterator[list[SendOutcome]]:
    """The outcomes as they come, gathered for a moment."""
    chunk: list[SendOutcome] = []
    began = time.monotonic()
    for outcome in outcomes:
        chunk.append(outcome)
        if len(chunk) == OUTCOMES_PER_COMMIT or time.monotonic() - began >= COMMIT_EVERY:
            yield chunk
            chunk, began = [], time.monotonic()
    if chunk:
        yield chunk
