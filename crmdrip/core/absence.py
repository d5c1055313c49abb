"""How long somebody who is out of office is left alone (B8). Never decides whether they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from crmdrip.core.model import Enrollment, Sequence, Signal, SignalKind
from crmdrip.core.schedule import add_business_days, local_day, noon_of, start_of
from crmdrip.core.words import day

SETTLING_DAYS = 1
"""Business days after the return on which nobody is written to: the mailbox is full."""

UNTOLD_DAYS = 3
"""Business days of an absence whose end was not told."""

LONGEST = timedelta(days=400)
"""An end that is farther away was misread, or is no absence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Absence:
    """An absence that lasts."""

    back_at: datetime
    """Noon of the day the person is back, or of the one we go on where they did not say."""
    resumes_at: datetime
    """When the run goes on: the first instant of a day."""
    told: str
    """For the record, after "the person is out of office"."""


def find_absence(signals: Iterable[Signal], run: Enrollment, sequence: Sequence, now: datetime) -> Absence | None:
    """The absence that was told last, None when there is none or it is over.

    Days are those of the zone the run was last planned in, business days those of the sequence's holiday country.
    """
    told = [signal for signal in signals if signal.kind is SignalKind.OUT_OF_OFFICE]
    if not told:
        return None
    newest = max(told, key=lambda signal: signal.at)
    absence = _absence(newest, run.last_touch_zone or sequence.time_zone, sequence.holiday_country)
    return absence if absence.resumes_at > now else None


def _absence(signal: Signal, zone: str, calendar: str) -> Absence:
    heard = local_day(signal.at, zone)
    back = _believable(signal.until, heard)
    if back is None:
        resumes = add_business_days(heard, UNTOLD_DAYS, calendar)
        told = f"and did not say until when; it goes on by itself on {day(resumes)}"
        return Absence(back_at=noon_of(resumes, zone), resumes_at=start_of(resumes, zone), told=told)
    resumes = add_business_days(back, SETTLING_DAYS, calendar)
    told = f"until {day(back)}; it goes on by itself on {day(resumes)}"
    return Absence(back_at=noon_of(back, zone), resumes_at=start_of(resumes, zone), told=told)


def _believable(until: date | None, heard: date) -> date | None:
    """The day they said. One that was over when we heard of it is an answer that somebody forgot to switch off."""
    return until if until is not None and heard <= until <= heard + LONGEST else None
