"""A wait that the other side tells is a number of seconds that a clock can add."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from crmdrip.core.errors import LONGEST_TOLD, ErrorClass, RateLimitedError
from crmdrip.core.retry import decide_retry

NOW = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "waited"),
    [
        (None, None),
        (30.0, 30.0),
        (-1.0, 0.0),
        (1e300, LONGEST_TOLD),
        (float("inf"), LONGEST_TOLD),
        (float("nan"), None),
    ],
)
def test_a_told_wait_is_bounded(told: float | None, waited: float | None) -> None:
    """B20: a proxy may say anything, and the loop must be able to wait for it."""
    error = RateLimitedError("slow down", retry_after=told)
    assert error.retry_after == waited


def test_a_bounded_wait_makes_a_time() -> None:
    """B20: the longest too."""
    retry = decide_retry(ErrorClass.RATE_LIMITED, 1, NOW, jitter=0, retry_after=LONGEST_TOLD)
    assert retry.not_before is not None
    assert retry.not_before > NOW
