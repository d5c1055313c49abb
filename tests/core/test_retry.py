"""When a failed item is tried again, by its error class alone (B2, B20, B21)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_values import NOW

from crmdrip.core.errors import ErrorClass
from crmdrip.core.retry import LONGEST_DELAY, Verdict, backoff, decide_retry

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("error", "attempt", "retry_after", "verdict", "seconds"),
    [
        (ErrorClass.RETRIABLE, 1, None, Verdict.AGAIN, 15),
        (ErrorClass.RETRIABLE, 2, None, Verdict.AGAIN, 30),
        (ErrorClass.RETRIABLE, 5, None, Verdict.AGAIN, 240),
        (ErrorClass.RETRIABLE, 8, None, Verdict.AGAIN, 1800),
        (ErrorClass.RETRIABLE, 99, None, Verdict.AGAIN, 1800),
        (ErrorClass.RATE_LIMITED, 1, None, Verdict.AGAIN, 60),
        (ErrorClass.RATE_LIMITED, 9, 7.5, Verdict.AGAIN, 7.5),
        (ErrorClass.RATE_LIMITED, 1, 0.0, Verdict.AGAIN, 1),
        (ErrorClass.RATE_LIMITED, 1, -30.0, Verdict.AGAIN, 1),
        (ErrorClass.AUTH, 1, None, Verdict.AGAIN, 15),
        (ErrorClass.AUTH, 40, None, Verdict.AGAIN, 120),
        (ErrorClass.CONFIGURATION, 40, None, Verdict.AGAIN, 120),
        (ErrorClass.REJECTED, 1, None, Verdict.PARK, None),
        (ErrorClass.OUTCOME_UNKNOWN, 1, None, Verdict.PARK, None),
        (ErrorClass.SKIPPABLE, 1, None, Verdict.DROP, None),
    ],
)
def test_the_error_class_decides(
    error: ErrorClass, attempt: int, retry_after: float | None, verdict: Verdict, seconds: float | None
) -> None:
    """B2, B20, B21: the shortest wait of each class, and that what may have happened is never repeated."""
    retry = decide_retry(error, attempt, NOW, jitter=0.0, retry_after=retry_after)
    again = NOW + seconds * SECOND if seconds is not None else None
    assert (retry.verdict, retry.attempt, retry.not_before) == (verdict, attempt, again)


def test_every_error_class_has_a_verdict() -> None:
    """A class that was added is either tried again, parked or dropped, and only the first has a time."""
    for error in ErrorClass:
        retry = decide_retry(error, 1, NOW, jitter=0.5)
        assert (retry.not_before is not None) is (retry.verdict is Verdict.AGAIN)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_grow_within_bounds(attempt: int, jitter: float) -> None:
    """No wait is shorter than fifteen seconds or longer than an hour, and none shrinks with the attempts."""
    wait = backoff(attempt, jitter)
    assert 15 * SECOND <= wait <= LONGEST_DELAY
    assert backoff(attempt + 1, 0.0) >= backoff(attempt, 0.0)


def test_waits_of_one_attempt_are_spread() -> None:
    """A thousand items that failed together do not come back together."""
    assert [backoff(3, jitter) for jitter in (0.0, 0.5, 0.75)] == [60 * SECOND, 90 * SECOND, 105 * SECOND]
