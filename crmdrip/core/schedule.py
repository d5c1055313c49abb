"""When a touch may go out: delays, send windows, days, gaps, expiry. Never what is sent, or to whom.

Instants in and out are aware UTC; a zone is an IANA name. A window is open at an instant when a clock on the wall of
that zone shows a send day that is no holiday, and a time from Send From up to Send Until. So a day whose window is
swallowed by a clock change has no opening, and a window that a change begins in the middle of opens at the change.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from crmdrip.core.holidays import is_business_day, is_holiday
from crmdrip.core.model import DelayUnit, Sequence, Step
from crmdrip.core.zones import load_zone

_SEARCH_DAYS = 400
"""How far an opening is looked for: a year and a month. core.definition lets no sequence pass that has none."""

_ONE_DAY = timedelta(days=1)
_ONE_SECOND = timedelta(seconds=1)


def due_after(step: Step, anchor: datetime, zone: str, sequence: Sequence) -> datetime:
    """When the step's delay after its anchor is over; the anchor is the touch before it, or the enrollment.

    Minutes and hours are elapsed time. Days keep the time on the wall, so that a step due "3 days later" across a
    clock change is due at the same hour. Business days do as well, and count only days on which people of the
    sequence's holiday country work (Monday to Friday when it names none), whatever the send days are: one business
    day after any time from Friday to Sunday is Monday. A local time that a clock change skips becomes the first
    instant after it; one that comes twice is its first occurrence.
    Raises OverflowError when the delay reaches beyond the year 9999.
    """
    if step.delay <= 0:
        return anchor
    match step.delay_unit:
        case DelayUnit.MINUTES:
            return anchor + timedelta(minutes=step.delay)
        case DelayUnit.HOURS:
            return anchor + timedelta(hours=step.delay)
    return _days_after(anchor, step.delay, step.delay_unit, zone, sequence.holiday_country)


# People of one zone move together: everybody of a batch asks for the same instants, so the last answers are kept.


@lru_cache(maxsize=4_096)
def _days_after(anchor: datetime, days: int, unit: DelayUnit, zone: str, calendar: str) -> datetime:
    rules = load_zone(zone)
    local = anchor.astimezone(rules)
    if unit is DelayUnit.DAYS:
        day = local.date() + timedelta(days=days)
    else:
        day = add_business_days(local.date(), days, calendar)
    return _instant_of(day, local.time(), rules)


def next_opening(at: datetime, zone: str, sequence: Sequence) -> datetime:
    """The first instant, not before the given one, at which the send window is open in the zone (B18).

    Raises ValueError when it stays closed for 400 days.
    """
    window = _Window(sequence.send_days, sequence.send_from, sequence.send_until, sequence.holiday_country)
    opening = _opening(at, zone, window)
    if opening is None:
        raise ValueError(
            f"sequence {sequence.id} has no send day from {local_day(at, zone)} on for {_SEARCH_DAYS} days."
            " Choose at least one Send Day that is not always a holiday."
        )
    return opening


class _Window(NamedTuple):
    """What of a sequence decides when its window is open."""

    days: frozenset[int]
    opens: time
    closes: time
    calendar: str


@lru_cache(maxsize=4_096)
def _opening(at: datetime, zone: str, window: _Window) -> datetime | None:
    rules = load_zone(zone)
    local = at.astimezone(rules)
    if _is_open(local, window):
        return at
    day = local.date()
    for _ in range(_SEARCH_DAYS):
        if _is_send_day(day, window):
            for opening in _openings_on(day, rules, window):
                if opening >= at:
                    return opening
        day += _ONE_DAY
    return None


def earliest_next(
    due: datetime, last_touch: datetime | None, last_zone: str, zone: str, sequence: Sequence
) -> datetime:
    """The first instant at which the next touch may go out: due, in the window, and far enough from the last one.

    Far enough is the sequence's minimum gap, and a later local day: never two touches to one person on one day
    (B19), neither by the clock of the zone used now nor by that of the zone used last ("" when not known).
    Raises as next_opening.
    """
    if last_touch is None:
        return next_opening(due, zone, sequence)
    floor = max(due, last_touch + timedelta(hours=sequence.minimum_gap_hours), _next_day_after(last_touch, zone))
    if last_zone and last_zone != zone:
        floor = max(floor, _next_day_after(last_touch, last_zone))
    return next_opening(floor, zone, sequence)


def plan_due(
    step: Step,
    *,
    anchor: datetime,
    last_touch_at: datetime | None,
    zone: str,
    sequence: Sequence,
    last_touch_zone: str = "",
) -> datetime:
    """When the step of an enrollment is to go out.

    anchor is what really happened before it: the last touch, else the enrollment, or the passing over of a step
    where the delay shall count from that. A touch that slipped therefore takes the later ones with it, and their
    gaps stay (B18). Raises as due_after and next_opening.
    """
    due = due_after(step, anchor, zone, sequence)
    return earliest_next(due, last_touch_at, last_touch_zone, zone, sequence)


def expired(step: Step, due_at: datetime, now: datetime) -> bool:
    """Whether the step is too late to be of use (B19).

    due_at is when it was planned to go out, window and gaps included, so that no weekend makes a step expire.
    """
    return step.expires_after_hours is not None and now - due_at > timedelta(hours=step.expires_after_hours)


def slip(
    now: datetime, due: datetime, zone: str, sequence: Sequence, *, ahead: int = 0, per_day: int | None = None
) -> datetime:
    """When a touch goes out that could not at its time, so that overdue work is spread and never a burst (B19).

    ahead: touches that share a cap with this one and go before it. per_day: that cap, None for none. Every full cap
    of touches ahead moves this one to a further day with an opening, at most a year away: it is planned anew when that
    day comes. A touch not yet due keeps its time and only yields to the cap. Raises as next_opening.
    """
    at = next_opening(max(now, due), zone, sequence)
    if per_day is None:
        return at
    for _ in range(min(ahead // max(per_day, 1), 365)):
        at = next_opening(_next_day_after(at, zone), zone, sequence)
    return at


def local_day(at: datetime, zone: str) -> date:
    """The date a calendar on the wall of the zone shows. Raises ValueError for an unknown zone."""
    return at.astimezone(load_zone(zone)).date()


def noon_of(day: date, zone: str) -> datetime:
    """Noon of a day in the zone: shown anywhere from Alaska to Japan, it is the same date. Raises as local_day."""
    return _instant_of(day, time(12), load_zone(zone))


def start_of(day: date, zone: str) -> datetime:
    """The first instant of a day in the zone. Raises as local_day."""
    return _instant_of(day, time.min, load_zone(zone))


def _is_open(local: datetime, window: _Window) -> bool:
    return window.opens <= local.time() < window.closes and _is_send_day(local.date(), window)


def _is_send_day(day: date, window: _Window) -> bool:
    return day.weekday() in window.days and not is_holiday(day, window.calendar)


def _openings_on(day: date, rules: ZoneInfo, window: _Window) -> Iterator[datetime]:
    """The instants of a send day at which its window begins to be open, in order.

    Local dates are taken to go forward only, which holds in every zone since 2011 (Newfoundland changed its clocks at
    one minute past midnight before).
    """
    midnight, next_midnight = _wall(day, time.min, rules), _wall(day + _ONE_DAY, time.min, rules)
    opens = _both_readings(_wall(day, window.opens, rules))
    if midnight.utcoffset() == next_midnight.utcoffset():
        yield opens[0]
        return
    # The clocks change on this day: the window may open at Send From, at its second occurrence, or at the change.
    change = _find_change(min(_both_readings(midnight)), next_midnight.astimezone(UTC), rules)
    candidates = sorted({*opens, change})
    yield from (candidate for candidate in candidates if _is_open(candidate.astimezone(rules), window))


def add_business_days(day: date, count: int, calendar: str) -> date:
    """The day so many business days later. Raises ValueError for an unknown calendar."""
    for _ in range(count):
        day += _ONE_DAY
        while not is_business_day(day, calendar):
            day += _ONE_DAY
    return day


@lru_cache(maxsize=4_096)
def _next_day_after(at: datetime, zone: str) -> datetime:
    """The first instant of the local day after the given instant's."""
    rules = load_zone(zone)
    return _instant_of(at.astimezone(rules).date() + _ONE_DAY, time.min, rules)


def _wall(day: date, at: time, rules: ZoneInfo) -> datetime:
    return datetime.combine(day, at, rules)


def _instant_of(day: date, at: time, rules: ZoneInfo) -> datetime:
    """The instant at which the wall shows this time: its first occurrence, or the first instant past a gap it is in."""
    wall = _wall(day, at, rules)
    instant = wall.astimezone(UTC)
    if instant.astimezone(rules).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return instant
    before, after = sorted(_both_readings(wall))
    return _find_change(before, after, rules)


def _both_readings(wall: datetime) -> tuple[datetime, datetime]:
    """The instants a wall time stands for: its first and second occurrence, the same one on an ordinary day.

    In a gap the first is read with the offset before the change, so it lies after the change, and the second before
    it (PEP 495).
    """
    return wall.replace(fold=0).astimezone(UTC), wall.replace(fold=1).astimezone(UTC)


def _find_change(before: datetime, after: datetime, rules: ZoneInfo) -> datetime:
    """The instant between the two at which the zone's offset becomes that of the later one, to the second."""
    low, high = before.replace(microsecond=0), after.replace(microsecond=0)
    target = high.astimezone(rules).utcoffset()
    while high - low > _ONE_SECOND:
        middle = low + timedelta(seconds=(high - low) // _ONE_SECOND // 2)
        if middle.astimezone(rules).utcoffset() == target:
            high = middle
        else:
            low = middle
    return high
