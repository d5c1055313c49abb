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
    REMOVE_ME = "remove_me"
    """Asks in words to get no more email."""
    OUT_OF_OFFICE = "out_of_office"
    AUTO_REPLY = "auto_reply"
    LEFT_COMPANY = "left_company"
    CALENDAR = "calendar"
    RECEIPT = "receipt"
    RETURNED = "returned"
    """A delivery report comes by mail."""
    MEETING = "meeting"
    APPOINTMENT = "appointment"
    """Something is entered in the calendar that is no meeting: a call that is over, or a private matter."""
    OPT_OUT = "opt_out"
    UNSUBSCRIBE = "unsubscribe"
    UNSUBSCRIBE_PAGE = "unsubscribe_page"
    """By the link in the email and the button behind it."""
    UNSUBSCRIBE_MAIL = "unsubscribe_mail"
    """By the mailto address of List-Unsubscribe."""
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
    remove_me: float = 0.006
    out_of_office: float = 0.035
    auto_reply: float = 0.008
    left_company: float = 0.005
    calendar: float = 0.004
    receipt: float = 0.005
    returned: float = 0.003
    meeting: float = 0.02
    appointment: float = 0.01
    opt_out: float = 0.008
    unsubscribe: float = 0.01
    unsubscribe_page: float = 0.005
    unsubscribe_mail: float = 0.003
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
    Deed.REMOVE_ME: (0.1, 40),
    Deed.OUT_OF_OFFICE: (0.01, 0.05),
    Deed.AUTO_REPLY: (0.01, 0.05),
    Deed.LEFT_COMPANY: (0.01, 0.05),
    Deed.CALENDAR: (1, 60),
    Deed.RECEIPT: (0.1, 40),
    Deed.RETURNED: (0.01, 8),
    Deed.MEETING: (2, 72),
    Deed.BOUNCE: (0.005, 0.5),
    Deed.SPAM_REPORT: (0.1, 30),
    Deed.UNSUBSCRIBE: (0.05, 40),
    Deed.UNSUBSCRIBE_PAGE: (0.05, 40),
    Deed.UNSUBSCRIBE_MAIL: (0.05, 40),
}
_ELSE = (1, 96)


def delay(deed: Deed, random: Random) -> timedelta:
    """How long after the email it happens: sooner more often than later."""
    least, most = _HOURS.get(deed, _ELSE)
    return timedelta(hours=least * (most / least) ** random.random())
