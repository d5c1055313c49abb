"""What goes wrong with events on their way: copies under other ids, shuffled and late batches, bounces without our ids.

Probabilities from a seed; all zero unless somebody asks, through the control API or directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from random import Random
from typing import Any

from crmdrip.sandbox.sendgrid.events import Event, EventKind, bare, mint_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Disturbances:
    """Probabilities, each for itself."""

    duplicated: float = 0.0
    """Of an event: it comes again in a later batch, under another sg_event_id."""
    late: float = 0.0
    """Of an event: it comes minutes to hours after it happened."""
    bare: float = 0.0
    """Of a bounce: it comes without sg_message_id and custom arguments, as asynchronous ones do."""
    shuffled: float = 0.0
    """Of a batch: its events stand in any order."""
    repeated: float = 0.0
    """Of a batch: it is posted again although it was answered with 2xx."""

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Disturbances:
        """Those a JSON object names; the others are zero. Raises ValueError with what is wrong."""
        known = [spec.name for spec in fields(Disturbances)]
        if unknown := sorted(set(value) - set(known)):
            raise ValueError(f"no disturbance is called {', '.join(unknown)}; known: {', '.join(known)}")
        found = {name: float(number) for name, number in value.items()}
        if not all(0 <= number <= 1 for number in found.values()):
            raise ValueError("probabilities lie between 0 and 1")
        return Disturbances(**found)


LIVELY = Disturbances(duplicated=0.08, late=0.05, bare=0.3, shuffled=0.5, repeated=0.05)
"""For the demo: everything happens within a fortnight."""


def disturb(event: Event, due: datetime, chances: Disturbances, random: Random) -> Iterator[tuple[datetime, Event]]:
    """What becomes of one event: itself or what is left of it, and its copies, with the time each may be posted."""
    if event["event"] == EventKind.BOUNCE and random.random() < chances.bare:
        event = bare(event)
    if random.random() < chances.late:
        due += timedelta(minutes=random.uniform(10, 360))
    yield due, event
    if random.random() < chances.duplicated:
        yield due + timedelta(minutes=random.uniform(1, 20)), {**event, "sg_event_id": mint_id(random)}
