"""What is read besides a page about those who may begin a run with it: owners, and other records of their address."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from crmdrip.core.model import Owner, Record
from crmdrip.daemon import twins
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrance:
    """What must be known besides the page about the people who may enter with it."""

    owners: Mapping[str, Owner]
    """Their time zone may decide when the first email is due."""
    twins: tuple[Record, ...]
    """The other records of their addresses."""


def look_up_entering(parts: Parts, records: Iterable[Record]) -> Entrance:
    """Read what decides about the ticked records among these that may begin a run. Raises what look_up raises."""
    ticked = [record for record in records if record.enrolled]
    with parts.ledger.read() as connection:
        live = runs.briefs_of_records(connection, [record.ref.id for record in ticked])
    entering = [r for r in ticked if r.ref.id not in live or live[r.ref.id].sequence_id != r.sequence_id]
    return look_up(parts, entering)


def look_up(parts: Parts, entering: Collection[Record]) -> Entrance:
    """Read what must be known besides these records; no call when there are none.

    Raises what CrmSource.owners and CrmSource.records_of raise.
    """
    if not entering:
        return Entrance(owners={}, twins=())
    return Entrance(
        owners=parts.source.owners({record.owner_id for record in entering if record.owner_id}),
        twins=tuple(twins.twins_of(parts, entering)),
    )
