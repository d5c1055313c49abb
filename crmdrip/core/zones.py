"""Which time zone a person's send window is read in, and whose it is. Never decides when anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from crmdrip.core.model import Owner, Record, Sequence, ZonePolicy
from crmdrip.core.places import find_zone
from crmdrip.core.struct import Struct

_MISLEADING = frozenset({"Factory", "EST", "MST", "HST"})
"""Names of the tz database that do not mean what people mean: its EST is Panama's time, without summer time."""

_LONGEST = 80
"""Characters; a longer text is no name of anything, and is not worth folding or remembering."""


class ZoneSource(StrEnum):
    """Whose time zone was used."""

    RECIPIENT = "recipient"
    SENDER = "sender"
    SEQUENCE = "sequence"


class ZoneUsed(Struct, frozen=True, kw_only=True):
    """The zone a touch was planned in, kept with the touch."""

    zone: str
    """IANA name."""
    source: ZoneSource


def resolve_zone(policy: ZonePolicy, record: Record, owner: Owner | None, sequence: Sequence) -> ZoneUsed:
    """The zone the send window is read in for this person: recipient, then sender, then the sequence's own (B18).

    The recipient's is the record's time zone field, else that of its country and state. A name that is no IANA
    zone counts as empty. Raises nothing for a sequence that core.definition found valid.
    """
    if policy is ZonePolicy.RECIPIENT and (
        zone := _zone_of_place(record.time_zone[:_LONGEST], record.country[:_LONGEST], record.state[:_LONGEST])
    ):
        return _used(zone, ZoneSource.RECIPIENT)
    if policy is not ZonePolicy.FIXED and owner is not None and (zone := find_zone_name(owner.time_zone)):
        return _used(zone, ZoneSource.SENDER)
    return _used(sequence.time_zone, ZoneSource.SEQUENCE)


def find_zone_name(text: str) -> str:
    """The IANA name a text stands for, "" when it is none.

    Case and surrounding space do not matter, and Salesforce's way of showing a user's zone, "(GMT-08:00) Pacific
    Standard Time (America/Los_Angeles)", is read by its last part.
    """
    name = text.strip()
    if name.endswith(")"):
        name = name[name.rfind("(") + 1 : -1]
    return _zone_names().get(name.casefold(), "")


@lru_cache(maxsize=1024)
def load_zone(name: str) -> ZoneInfo:
    """The rules of an IANA zone, kept (zoneinfo itself remembers only eight). Raises ValueError when unknown."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{name!r} is no IANA time zone") from error


@lru_cache(maxsize=16_384)
def _zone_of_place(time_zone: str, country: str, state: str) -> str:
    return find_zone_name(time_zone) or find_zone(country, state)


@lru_cache(maxsize=2048)
def _used(zone: str, source: ZoneSource) -> ZoneUsed:
    return ZoneUsed(zone=zone, source=source)


@cache
def _zone_names() -> Mapping[str, str]:
    """Every name of the tz database by its folded form.

    Names are looked up here before zoneinfo sees them: it would try to open whatever text a CRM field holds as a
    file below the zone directories.
    """
    names = files("tzdata").joinpath("zones").read_text("utf-8").split()
    return {name.casefold(): name for name in names if name not in _MISLEADING}
