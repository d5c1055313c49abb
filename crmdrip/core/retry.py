"""Retry as a value: when to try again, decided from the error class and the attempt. Never sleeps, never sends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from crmdrip.core.errors import ErrorClass

FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(hours=1)
RATE_LIMIT_DELAY = timedelta(seconds=60)
"""Used where the other side gave no time: SendGrid and HubSpot may leave it out, Salesforce always does."""
MENDED_BY_PEOPLE = 4
"""The attempt from which failures that a person mends are no longer tried more rarely: every two to four minutes."""


class Verdict(StrEnum):
    """What to do with a failed item."""

    AGAIN = "again"
    PARK = "park"
    """Keep it, show it, wait for a person or a command."""
    DROP = "drop"
    """Nothing is left to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """One verdict. not_before is set for AGAIN alone."""

    verdict: Verdict
    attempt: int
    not_before: datetime | None = None


def backoff(attempt: int, jitter: float) -> timedelta:
    """Exponential, spread over its upper half: attempt 1 waits 15 to 30 s, later ones at most an hour.

    jitter: a number in [0, 1), from keys.share, so that the same item always waits the same time.
    """
    step = min(FIRST_DELAY * float(1 << min(attempt - 1, 12)), LONGEST_DELAY)
    return step * (0.5 + jitter / 2)


def decide_retry(
    error: ErrorClass, attempt: int, now: datetime, *, jitter: float, retry_after: float | None = None
) -> Retry:
    """The verdict on an item that failed for the attempt-th time.

    attempt counts from 1. Configuration and auth failures are tried again every few minutes at most: a person mends
    them outside of us, and then everything goes on by itself. retry_after: seconds, where the other side said.
    """
    if error is ErrorClass.SKIPPABLE:
        return Retry(verdict=Verdict.DROP, attempt=attempt)
    if error in (ErrorClass.REJECTED, ErrorClass.OUTCOME_UNKNOWN):
        return Retry(verdict=Verdict.PARK, attempt=attempt)
    if error is ErrorClass.RATE_LIMITED:
        wait = timedelta(seconds=max(retry_after, 1)) if retry_after is not None else RATE_LIMIT_DELAY
    elif error in (ErrorClass.AUTH, ErrorClass.CONFIGURATION):
        wait = backoff(min(attempt, MENDED_BY_PEOPLE), jitter)
    else:
        wait = backoff(attempt, jitter)
    return Retry(verdict=Verdict.AGAIN, attempt=attempt, not_before=now + wait)
