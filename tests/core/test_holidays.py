"""Which days are holidays and business days."""

from __future__ import annotations

from datetime import date

import pytest

from crmdrip.core.holidays import find_calendar, is_business_day, is_holiday


@pytest.mark.parametrize(
    ("day", "calendar", "holiday"),
    [
        (date(2026, 7, 3), "US", True),  # the fourth is a Saturday, so the third is observed
        (date(2026, 3, 31), "US", False),
        (date(2026, 3, 31), "US-CA", True),
        (date(2026, 12, 25), "", False),
        (date(2026, 10, 3), "DE", True),
        (date(1900, 10, 3), "DE", False),
    ],
)
def test_a_holiday_is_one_of_its_calendar(day: date, calendar: str, *, holiday: bool) -> None:
    """B18: national and state holidays with the days they are observed on; no calendar and no record means none."""
    assert is_holiday(day, calendar) is holiday


@pytest.mark.parametrize(
    ("day", "calendar", "business"),
    [
        (date(2026, 11, 6), "", True),
        (date(2026, 11, 7), "", False),
        (date(2026, 11, 6), "IL", False),
        (date(2026, 11, 8), "IL", True),
        (date(2026, 12, 25), "DE", False),
        (date(2026, 12, 25), "", True),
        (date(2026, 2, 14), "CN", True),  # a Saturday worked in exchange for the Spring Festival
    ],
)
def test_a_business_day_is_one_on_which_the_country_works(day: date, calendar: str, *, business: bool) -> None:
    """Each country has its own weekend, and some work on one to bridge another."""
    assert is_business_day(day, calendar) is business


@pytest.mark.parametrize(
    ("text", "calendar"),
    [
        ("DE", "DE"),
        ("germany", "DE"),
        ("us-ca", "US-CA"),
        ("GB-ENG", "GB-ENG"),
        ("AR-E", "AR-E"),
        ("UK", "GB"),
        ("Guinea-Bissau", "GW"),
        ("US-XX", ""),
        ("Atlantis", ""),
        ("", ""),
    ],
)
def test_a_calendar_is_found_by_code_or_name(text: str, calendar: str) -> None:
    """As RevOps types it; what is unknown finds nothing."""
    assert find_calendar(text) == calendar


def test_an_unknown_calendar_is_an_error() -> None:
    """A calendar that nobody checked does not silently have no holidays."""
    with pytest.raises(ValueError, match="there is no holiday calendar 'XX'"):
        is_holiday(date(2026, 1, 1), "XX")
