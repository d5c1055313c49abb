"""What came in by the door and by mailboxes is read: before every last look, so that nothing here is unheard (P2, B5).

Events stop runs, settle doubts and are folded into touches; emails are handed on. What cannot be read now is
tried again, and nothing goes out until then; what can never be read is kept and shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core.engagement import SENT, Engagement, fold, tell_at
from crmdrip.core.errors import CrmdripError, ErrorClass, RejectedError
from crmdrip.core.model import Signal, SignalKind, TouchState
from crmdrip.core.received import MAIL_TYPE, RawMail, mail_of
from crmdrip.core.struct import replace
from crmdrip.core.writes import Priority, TouchWrite
from crmdrip.daemon.enact import enact
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.reconcile import taken_effect
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import load_background
from crmdrip.daemon.twins import tell
from crmdrip.ledger import engagements, outbox, received, runs, touches
from crmdrip.ledger.engagements import Sent
from crmdrip.ledger.errors import LedgerBrokenError, LedgerConflictError
from crmdrip.ledger.received import Received
from crmdrip.ledger.touches import TouchMove

log = structlog.get_logger()

TOGETHER = 50
"""Deliveries read in one transaction."""

PAUSES = tuple(timedelta(seconds=s) for s in (2, 10, 30, 120))
"""Before each further try of what broke the reading; after the last it is kept as failed. About three minutes, during
which nothing goes out: it may be somebody's answer."""

KEPT = timedelta(days=7)
"""How long the keys of what was read, and of the events in it, are kept: the longest that a vendor repeats is three
days."""
FORGOTTEN_TOGETHER = 20_000
"""Events, so that no transaction is long. Every five minutes that is six million a day."""

STOPPING = frozenset({SignalKind.BOUNCE, SignalKind.SPAM_REPORT, SignalKind.UNSUBSCRIBE})
"""Events that speak of an address, and end what runs to it."""

TakeMail = Callable[[Parts, RawMail, datetime], None]
"""Reads one email and acts on it; called again for the same email after a crash in between. Raises CrmdripError only
while it cannot be known what the email means."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrainCount:
    """What one drain did."""

    deliveries: int = 0
    signals: int = 0
    """New ones."""
    mails: int = 0
    unknown: int = 0
    put_off: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Reading:
    """One delivery, read."""

    one: Received
    signals: list[Signal]
    mails: list[RawMail]
    problem: Exception | None = None

    @property
    def unknown(self) -> set[str]:
        """What in it nobody knows."""
        return {signal.detail for signal in self.signals if signal.kind is SignalKind.UNKNOWN}


def drain(parts: Parts, take_mail: TakeMail) -> DrainCount:
    """Read everything that has come in by now, in its order. Only one at a time does it; a second waits.

    Raises LedgerBrokenError. Nothing else: what fails is put off by itself.
    """
    with parts.draining:
        with parts.ledger.read() as connection:
            last = received.newest_waiting(connection)
        total = DrainCount()
        while last is not None and not parts.stopping.is_set():
            with parts.ledger.read() as connection:
                batch = received.claim(connection, parts.clock.now(), TOGETHER, last)
            if not batch:
                break
            taking = _Taking(parts, take_mail)
            taking.take([_read(parts, one) for one in batch])
            total = _add(total, taking.count)
            tell(parts, taking.suppressing)  # calls the CRM: what was heard is stored by now
        return total


def is_heard(parts: Parts, take_mail: TakeMail) -> bool:
    """Drain; whether everything that had come in by then has been read, so that a last look may follow (P2, P4).

    Nothing waiting costs one look into an index.
    """
    with parts.ledger.read() as connection:
        last = received.newest_waiting(connection)
    if last is None:
        return True
    drain(parts, take_mail)
    with parts.ledger.read() as connection:
        heard = not received.is_waiting(connection, last)
    if not heard:
        log.warning("nothing_goes_out_until_all_is_read")
    return heard


def forget_old(parts: Parts) -> None:
    """Drop the keys of what nobody repeats any more."""
    before = parts.clock.now() - KEPT
    with parts.ledger.write() as connection:
        received.forget_before(connection, before)
        engagements.forget_events(connection, before, FORGOTTEN_TOGETHER)


def _add(one: DrainCount, other: DrainCount) -> DrainCount:
    return DrainCount(**{name: getattr(one, name) + getattr(other, name) for name in DrainCount.__slots__})


def _read(parts: Parts, one: Received) -> _Reading:
    """What the delivery says; what is wrong with it is told later."""
    reading = _Reading(one=one, signals=[], mails=[])
    delivery = one.delivery
    try:
        if delivery.content_type == MAIL_TYPE:
            reading.mails.append(mail_of(delivery))
            return reading
        hook = parts.hooks.get(delivery.source)
        if hook is None:
            raise RejectedError(f"nobody here reads what comes from {delivery.source}")  # noqa: TRY301 - as hooks do
        for said in hook.read(delivery):
            if isinstance(said, Signal):
                reading.signals.append(said)
            else:
                reading.mails.append(said)
    except Exception as error:  # noqa: BLE001 - anybody's bytes: whatever they break, the others are read
        reading.problem = error
    return reading


class _Taking:
    """Acts on a batch of deliveries, and counts."""

    def __init__(self, parts: Parts, take_mail: TakeMail) -> None:
        self._parts = parts
        self._take_mail = take_mail
        self.count = DrainCount()
        self.suppressing: list[Signal] = []
        """To be told to every record of their address."""

    def take(self, readings: list[_Reading]) -> None:
        """Events together, and each by itself once they broke something together; emails one by one."""
        self._guarded([reading for reading in readings if reading.problem is None and not reading.mails])
        for reading in readings:
            if reading.problem is not None:
                self._set_back(reading, reading.problem)
            elif reading.mails:
                self._guarded([reading])

    def _guarded(self, readings: list[_Reading]) -> None:
        """Whatever one of them breaks, the others are taken. Raises LedgerBrokenError when nothing can be stored."""
        if not readings:
            return
        try:
            self._store(readings)
        except Exception as error:
            if isinstance(error, LedgerBrokenError) and not isinstance(error, LedgerConflictError):
                raise
            if len(readings) == 1:
                self._set_back(readings[0], error)
                return
            for reading in readings:
                self._guarded([reading])

    def _store(self, readings: list[_Reading]) -> None:
        """Act on them, and be done with them in the transaction that stores what their events say."""
        parts = self._parts
        mails = [mail for reading in readings for mail in reading.mails]
        for mail in mails:
            self._take_mail(parts, mail, parts.clock.now())
        signals = [signal for reading in readings for signal in reading.signals]
        with parts.ledger.write() as connection:
            new, suppressing = take_signals(connection, parts, signals, parts.clock.now())
            for reading in readings:
                if names := ", ".join(sorted(reading.unknown)):
                    received.finish_unclear(connection, [reading.one.id], f"not known: {names}")
                else:
                    received.finish(connection, [reading.one.id])
        self.suppressing += suppressing
        unknown = sum(len(reading.unknown) for reading in readings)
        if unknown:
            log.warning("events_not_known", kinds=unknown)
        self.count = _add(
            self.count,
            DrainCount(deliveries=len(readings), signals=new, mails=len(mails), unknown=unknown),
        )

    def _set_back(self, reading: _Reading, error: Exception) -> None:
        """Try again later: for as long as it takes where others can mend it, else a few times."""
        source, attempt = reading.one.delivery.source, reading.one.attempt
        lasting = LedgerBrokenError  # of which a conflict alone comes here: a fault of ours
        foreseen = error if isinstance(error, CrmdripError) and not isinstance(error, lasting) else None
        if foreseen is None:
            log.error("delivery_broke_its_reading", source=source, attempt=attempt + 1, exc_info=error)
            hopeless = attempt >= len(PAUSES)
        else:
            hopeless = foreseen.error_class is ErrorClass.REJECTED
        what = str(error) if isinstance(error, CrmdripError) else type(error).__name__
        with self._parts.ledger.write() as connection:
            if hopeless:
                received.fail(connection, reading.one.id, what)
            else:
                pause = PAUSES[min(attempt, len(PAUSES) - 1)]
                received.put_off(connection, reading.one.id, self._parts.clock.now() + pause, what)
        if hopeless:
            log.error("delivery_not_read", source=source, delivery=reading.one.id, error=what)
        self.count = _add(self.count, DrainCount(failed=1) if hopeless else DrainCount(put_off=1))


# --- events -------------------------------------------------------------------------------------------------------


def take_signals(
    connection: Connection, parts: Parts, signals: list[Signal], now: datetime
) -> tuple[int, list[Signal]]:
    """Store what a provider told: stop, suppress, settle doubts, fold the rest into touches.

    Returns how many signals were new, and those to be told to all records of their address.
    """
    sent = engagements.touches_told_of(connection, {signal.touch_id for signal in signals if signal.touch_id})
    of_people = [_addressed(signal, sent) for signal in signals if signal.kind in STOPPING]
    # An opened email says nothing of its person: kept by its touch alone, it is never read by a last look.
    of_touches = [replace(signal, address=None) for signal in signals if signal.kind not in STOPPING]
    known = engagements.known_signals(connection, [signal.key for signal in of_people])
    suppressing = []
    if of_people:
        suppressing = apply_signals(connection, of_people, load_background(connection), parts.org_id, now)
    new = engagements.add_events(connection, of_touches, now)
    new += [signal for signal in {one.key: one for one in of_people}.values() if signal.key not in known]
    _fold(connection, parts, new, sent, now)
    told_of = {signal.touch_id: signal for signal in signals if signal.kind in SENT}
    for touch in sent.values():
        if touch.state in _SETTLED_AS and touch.id in told_of:
            settle(connection, parts, touch.id, told_of[touch.id].at)
    return len(new), suppressing


_SETTLED_AS = {
    TouchState.IN_DOUBT: TouchState.ACCEPTED,
    TouchState.NEEDS_PERSON: TouchState.ACCEPTED,
    # Somebody was wrong who said that it did not go out. It would be sent once more (P1).
    TouchState.REFUSED: TouchState.SKIPPED,
}
"""What becomes of a touch whose email the provider turns out to have."""


def _addressed(signal: Signal, sent: Mapping[str, Sent]) -> Signal:
    """With the address of its touch, where the event brought none."""
    touch = sent.get(signal.touch_id or "")
    return signal if signal.address or touch is None else replace(signal, address=touch.address or None)


def _fold(connection: Connection, parts: Parts, new: Iterable[Signal], sent: Mapping[str, Sent], now: datetime) -> None:
    """Keep what became of each touch, and owe its entry on the timeline what is worth a call."""
    by_touch: dict[str, list[Signal]] = defaultdict(list)
    for signal in new:
        if signal.touch_id:
            by_touch[signal.touch_id].append(signal)
    before = engagements.load(connection, by_touch)
    every = timedelta(minutes=parts.limits.engagement_minutes)
    after: list[Engagement] = []
    owed: dict[datetime, list[tuple[TouchWrite, Priority]]] = defaultdict(list)
    for touch_id, signals in by_touch.items():
        known = before.get(touch_id)
        for signal in signals:
            known = fold(known, signal, touch_id)
        if known is None:
            continue
        touch = sent.get(touch_id)
        at = tell_at(known, frozenset(signal.kind for signal in signals), now, every) if touch is not None else None
        if touch is not None and at is not None:
            known = replace(known, told_at=at)
            write = TouchWrite(
                key=f"touch:{touch_id}",
                touch_id=touch_id,
                ref=touch.ref,
                outcome=known.words,
                opens=known.opens,
                clicks=known.clicks,
            )
            owed[at].append((write, Priority.FIGURES))
        after.append(known)
    engagements.save(connection, after)
    for at, writes in owed.items():
        outbox.owe(connection, writes, now, not_before=at)


def settle(connection: Connection, parts: Parts, touch_id: str, at: datetime) -> None:
    """The provider tells of an email of which that was not known: it went out, and is not sent again (B1)."""
    touch = touches.find_touch(connection, touch_id)
    if touch is None or touch.state not in _SETTLED_AS:
        return
    run = runs.lock_runs(connection, [touch.enrollment_id])[touch.enrollment_id]
    if touch.state is TouchState.REFUSED:
        if not run.status.live or run.next_step_id != touch.step_id:
            return
        log.error("touch_refused_and_sent", touch=touch_id)
    state, detail = _SETTLED_AS[touch.state], "the provider told of it"
    touches.move_touches(
        connection, [TouchMove(id=touch_id, state=state, provider_id=touch.provider_id, detail=detail)]
    )
    now = parts.clock.now()
    enact(connection, [taken_effect(connection, parts, touch, run, min(at, now))], now)
    log.info("touch_settled", touch=touch_id, finding="sent", by="event")
