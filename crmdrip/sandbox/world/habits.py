"""What people do after an email reached them, with which probability, and when.

Pure and seeded: what a person does depends on the seed, the address and how many emails came before, never on the
order in which a busy sender happened to send.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from enum import StrEnum
from random import Random


class Deed(StrEnum):
    """What somebody does. Most are the person's, some the rep's or an admin's."""

    REPLY = "reply"
    AUTO_REPLY = "auto_reply"
    MEETING = "meeting"
    OPT_OUT = "opt_out"
    UNSUBSCRIBE = "unsubscribe"
    BOUNCE = "bounce"
    SPAM_REPORT = "spam_report"
    OPPORTUNITY = "opportunity"
    CONVERT = "convert"
    MERGE = "merge"
    DELETE = "delete"
    OWNER_CHANGE = "owner_change"
    ADDRESS_CHANGE = "address_change"
    UNTICK = "untick"
    PAUSE = "pause"
    TICK = "tick"
    """Not a habit: scheduled by the world."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """Probabilities per email that reached the person; what is left over does nothing. Field names are deeds."""

    reply: float = 0.055
    auto_reply: float = 0.03
    meeting: float = 0.02
    opt_out: float = 0.008
    unsubscribe: float = 0.015
    bounce: float = 0.004
    """On top of the mailboxes known to be dead, which always bounce."""
    spam_report: float = 0.003
    opportunity: float = 0.005
    convert: float = 0.012
    merge: float = 0.02
    """Only of people who are in the CRM twice."""
    delete: float = 0.006
    owner_change: float = 0.008
    address_change: float = 0.006
    untick: float = 0.012
    pause: float = 0.01

    def choose(self, random: Random) -> Deed | None:
        """Draw what happens after one email, None for nothing."""
        dice = random.random()
        for each in fields(self):
            dice -= getattr(self, each.name)
            if dice < 0:
                return Deed(each.name)
        return None


NOBODY_REACTS = Habits(**{each.name: 0.0 for each in fields(Habits)})
"""For benchmarks, and for tests that make things happen themselves."""

_HOURS: dict[Deed, tuple[float, float]] = {
    Deed.REPLY: (0.2, 60),
    Deed.AUTO_REPLY: (0.01, 0.05),
    Deed.MEETING: (2, 72),
    Deed.BOUNCE: (0.005, 0.5),
    Deed.SPAM_REPORT: (0.1, 30),
    Deed.UNSUBSCRIBE: (0.05, 40),
}
_ELSE = (1, 96)


def delay(deed: Deed, random: Random) -> timedelta:
    """How long after the email it happens: sooner more often than later."""
    least, most = _HOURS.get(deed, _ELSE)
    return timedelta(hours=least * (most / least) ** random.random())
