"""Which days are holidays and which are business days, by country or subdivision.

The calendars are those of the `holidays` package. A calendar is "" (no holidays, weekend on Saturday and Sunday), a
country ("DE") or a country and a subdivision ("US-CA"). Public holidays with the days on which they are observed
count, half days and bank-only holidays do not. Days before and after the years the package knows are ordinary days.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from crmdrip.core.places import find_country

if TYPE_CHECKING:
    from holidays import HolidayBase


def is_holiday(day: date, calendar: str) -> bool:
    """Whether the day is a public holiday in the calendar. Raises ValueError for an unknown calendar."""
    return bool(calendar) and day in _holidays_in(calendar, day.year)


def is_business_day(day: date, calendar: str) -> bool:
    """Whether people of the calendar work on that day.

    That is a day that is neither a holiday nor on the country's own weekend (Friday and Saturday in Israel), or a
    weekend day worked in exchange for a bridge day (China). Without a calendar: Monday to Friday.
    Raises ValueError for an unknown calendar.
    """
    if not calendar:
        return day.weekday() < 5
    return day not in _days_off_in(calendar, day.year)


def find_calendar(text: str) -> str:
    """The calendar a text stands for ("Germany" is "DE", "us-ca" is "US-CA"), "" when there is none of that name."""
    country, dash, subdivision = text.strip().partition("-")
    # Only a two-letter code takes a subdivision: Guinea-Bissau is one country, and AR-E lies in Argentina (ARE is not).
    by_code = bool(dash) and len(country) == 2
    code = find_country(country if by_code else text)
    subdivisions = _supported().get(code)
    if subdivisions is None:
        return ""
    if not by_code:
        return code
    wanted = subdivision.strip().casefold()
    return next((f"{code}-{known}" for known in subdivisions if known.casefold() == wanted), "")


@lru_cache(maxsize=1024)
def _holidays_in(calendar: str, year: int) -> frozenset[date]:
    return frozenset(day for day in _calendar(calendar, year) if day.year == year)


@lru_cache(maxsize=1024)
def _days_off_in(calendar: str, year: int) -> frozenset[date]:
    known = _calendar(calendar, year)
    first = date(year, 1, 1)
    days = (first + timedelta(days=number) for number in range((date(year, 12, 31) - first).days + 1))
    return frozenset(day for day in days if not known.is_working_day(day))


def _calendar(calendar: str, year: int) -> HolidayBase:
    # Imported on first use: it costs the start of every command 50 ms, and most sequences name no country.
    import holidays  # noqa: PLC0415

    country, _, subdivision = calendar.partition("-")
    try:
        return holidays.country_holidays(country, subdiv=subdivision or None, years=year)
    except NotImplementedError as error:
        raise ValueError(f"there is no holiday calendar {calendar!r}") from error


@cache
def _supported() -> Mapping[str, tuple[str, ...]]:
    """Subdivisions by country code, for every country the package knows."""
    import holidays  # noqa: PLC0415 -- as in _calendar

    return {code: tuple(subdivisions) for code, subdivisions in holidays.list_supported_countries().items()}
