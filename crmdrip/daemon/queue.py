"""Emails that are ready to go, and how those whose cap is full queue for their turn (B19)."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from crmdrip.core.caps import CapScope, Claim, Counter, counter_at
from crmdrip.core.decisions import Send
from crmdrip.core.keys import domain_of
from crmdrip.core.message import EmailMessage
from crmdrip.core.model import Enrollment, Touch
from crmdrip.core.schedule import next_opening, slip
from crmdrip.core.snapshot import Snapshot
from crmdrip.core.struct import Struct
from crmdrip.ledger.assignments import FollowUp


class Ready(Struct, frozen=True, kw_only=True):
    """A touch that will be handed over."""

    touch: Touch
    send: Send
    run: Enrollment
    snapshot: Snapshot
    message: EmailMessage


def claim_of(one: Ready, sender_per_day: int, domain_per_hour: int, now: datetime) -> Claim:
    """The touch with the caps that apply to it."""
    sequence = one.snapshot.sequence
    domain = domain_of(one.touch.address)
    caps = [
        (counter_at(CapScope.SENDER_DAY, one.touch.sender, now), sender_per_day),
        (counter_at(CapScope.DOMAIN_HOUR, domain, now), domain_per_hour),
    ]
    if sequence is not None and sequence.daily_cap is not None:
        caps.append((counter_at(CapScope.SEQUENCE_DAY, sequence.id, now), sequence.daily_cap))
    if sequence is not None and sequence.domain_cap is not None:
        key = f"{sequence.id}:{domain}"
        caps.append((counter_at(CapScope.SEQUENCE_DOMAIN_HOUR, key, now), sequence.domain_cap))
    due_at = one.run.due_at or now
    return Claim(touch_id=one.touch.id, follow_up=one.run.steps_done > 0, due_at=due_at, caps=tuple(caps))


LET_BY = timedelta(seconds=15)
"""How long a first email waits that lets another daemon's follow-ups go first: as long as a look takes at most."""


def room_for(follow_ups: Iterable[FollowUp], now: datetime) -> Mapping[Counter, int]:
    """What these will take of each counter, should all of them go out."""
    kept: Multiset[Counter] = Multiset()
    for one in follow_ups:
        domain = domain_of(one.address)
        kept[counter_at(CapScope.SENDER_DAY, one.sender, now)] += 1
        kept[counter_at(CapScope.DOMAIN_HOUR, domain, now)] += 1
        kept[counter_at(CapScope.SEQUENCE_DAY, one.sequence_id, now)] += 1
        kept[counter_at(CapScope.SEQUENCE_DOMAIN_HOUR, f"{one.sequence_id}:{domain}", now)] += 1
    return kept


CAP_WORDS = {
    CapScope.SENDER_DAY: "the sender",
    CapScope.DOMAIN_HOUR: "the recipient's domain",
    CapScope.SEQUENCE_DAY: "the sequence",
    CapScope.SEQUENCE_DOMAIN_HOUR: "the recipient's domain",
}


def place_in_queue(one: Ready, counter: Counter, limit: int, ahead: int) -> datetime:
    """When a touch whose cap is full has its turn: never a burst, and no look at it before (B19, P5).

    ahead: those that wait for the same counter and come first; every full cap of them takes a day or hour of its own.
    """
    sequence, zone = one.snapshot.sequence, one.send.zone.zone
    if sequence is None:
        raise ValueError("a send was planned without a sequence")
    if counter.ends - counter.start < timedelta(days=1):
        return next_opening(counter.ends + (ahead // max(limit, 1)) * timedelta(hours=1), zone, sequence)
    return slip(counter.ends, counter.ends, zone, sequence, ahead=ahead, per_day=limit)
