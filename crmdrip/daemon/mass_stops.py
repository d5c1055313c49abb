"""Stops by the thousand, as a careless import causes them: held until somebody confirms (B10)."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Mapping
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core import effects
from crmdrip.core.decisions import Enroll, Hold, Stop
from crmdrip.core.effects import Effect, Setting
from crmdrip.core.model import Enrollment
from crmdrip.core.reasons import HoldReason, Reason, StopReason
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import definitions, tallies

log = structlog.get_logger()

BRAKED = frozenset(
    {StopReason.UNTICKED, StopReason.SEQUENCE_CHANGED, StopReason.SEQUENCE_CLEARED, StopReason.FIELD_CONDITION}
)
"""Stops that a careless import can cause by the thousand. Opt-outs, replies and deletions always stop at once."""

Planned = tuple[object, Effect]
"""A decision, and what follows from it."""


def hold_mass_stops(
    connection: Connection, parts: Parts, planned: list[Planned], by_id: Mapping[int, Enrollment], now: datetime
) -> list[Planned]:
    """Where an abnormal share of a sequence would be stopped at once, hold it instead and ask (B10)."""
    limits = parts.limits
    stops: Multiset[str] = Multiset()
    for decision, effect in planned:
        if _is_braked(decision) and effect.run is not None:
            stops[effect.run.sequence_id] += 1
    suspects = {}
    sequences = definitions.load_sequences(connection) if stops else {}
    for sequence_id, count in stops.items():
        active = tallies.totals(connection, [sequence_id])[sequence_id].get("active", 0)
        good = sequences[sequence_id].good if sequence_id in sequences else None
        confirmed = good is not None and good.confirmed
        if count >= limits.stop_minimum and count >= limits.stop_share * active and not confirmed:
            suspects[sequence_id] = f"{count} of {active} people would be stopped at once"
            definitions.suspect(connection, sequence_id, suspects[sequence_id])
            log.warning("sequence_suspect", sequence=sequence_id, stops=count, active=active)
    if not suspects:
        return planned
    kept: list[Planned] = []
    staying = {
        by_id[effect.run.id].address
        for decision, effect in planned
        if _is_braked(decision) and effect.run is not None and effect.run.sequence_id in suspects
    }
    for decision, effect in planned:
        if isinstance(decision, Enroll) and effect.run is not None and effect.run.address in staying:
            continue  # what it would take the place of has not ended
        run = by_id.get(effect.run.id) if effect.run is not None else None
        if _is_braked(decision) and run is not None and run.sequence_id in suspects:
            reason = Reason(code=HoldReason.MASS_STOP, detail=suspects[run.sequence_id])
            held = Hold(reason=reason, check_at=None)
            good = sequences[run.sequence_id].good if run.sequence_id in sequences else None
            setting = Setting(org_id=parts.org_id, now=now, sequence=good)
            kept.append((held, effects.hold(held, run, setting)))
        else:
            kept.append((decision, effect))
    return kept


def _is_braked(decision: object) -> bool:
    return isinstance(decision, Stop) and decision.reason.code in BRAKED
