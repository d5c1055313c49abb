"""The error taxonomy: what went wrong, decided once by the connector, so that everyone else acts on the class alone.

Whoever raises says what is wrong, where, and what a person should type or tick next.
"""

from __future__ import annotations

import math
from enum import StrEnum

LONGEST_TOLD = 604_800.0
"""Seconds. Whoever is told to wait longer than a week asks again after one."""


class ErrorClass(StrEnum):
    """How a failure is handled; stored in the ledger beside what failed."""

    RETRIABLE = "retriable"
    """Nothing happened, trying again later may work (503, lock, connection refused)."""
    RATE_LIMITED = "rate_limited"
    """The other side asked us to slow down; it may say until when."""
    AUTH = "auth"
    """The credentials were refused; nothing works until a person mends them."""
    REJECTED = "rejected"
    """This one item was refused for good (validation rule, invalid address)."""
    SKIPPABLE = "skippable"
    """Nothing is left to do for this item (record deleted, duplicate that is ours)."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """It may have happened: never repeat it, settle it by our own id."""
    CONFIGURATION = "configuration"
    """A setting, permission or installed package is wrong; the whole worker waits for a person."""


class CrmdripError(Exception):
    """Base of every error raised on purpose.

    what: one sentence on what is wrong, without personal data.
    where: the file, object, field or endpoint it concerns.
    do_next: what a person types or ticks to mend it.
    """

    error_class: ErrorClass = ErrorClass.RETRIABLE

    def __init__(self, what: str, *, where: str = "", do_next: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.do_next = do_next

    @property
    def problem(self) -> str:
        """Where and what, for those who show do_next on a line of its own."""
        return f"{self.where}: {self.what}" if self.where else self.what

    def __str__(self) -> str:
        return f"{self.problem} {self.do_next}".strip() if self.do_next else self.problem


class RetriableError(CrmdripError):
    """It certainly did not happen and may work later."""

    error_class = ErrorClass.RETRIABLE


class RateLimitedError(CrmdripError):
    """Told to slow down. retry_after: seconds to wait, None when the other side did not say."""

    error_class = ErrorClass.RATE_LIMITED

    def __init__(self, what: str, *, where: str = "", do_next: str = "", retry_after: float | None = None) -> None:
        super().__init__(what, where=where, do_next=do_next)
        self.retry_after = bound_wait(retry_after)


def bound_wait(seconds: float | None) -> float | None:
    """A wait as the other side told it, from none to a week; None for what is no number."""
    return None if seconds is None or math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_TOLD)


class AuthError(CrmdripError):
    """Credentials refused, after at most one refresh."""

    error_class = ErrorClass.AUTH


class RejectedError(CrmdripError):
    """The item was refused for good; repeating it gives the same answer."""

    error_class = ErrorClass.REJECTED


class SkippableError(CrmdripError):
    """There is nothing left to do for this item."""

    error_class = ErrorClass.SKIPPABLE


class OutcomeUnknownError(CrmdripError):
    """The request left and no answer came back: it may have happened."""

    error_class = ErrorClass.OUTCOME_UNKNOWN


class ConfigurationError(CrmdripError):
    """A setting, permission or installed package is wrong."""

    error_class = ErrorClass.CONFIGURATION


class UnknownPathsError(ConfigurationError):
    """Templates name fields that nobody here can see. paths: as they were asked for; everything else can be read."""

    def __init__(self, what: str, *, paths: frozenset[str], where: str = "", do_next: str = "") -> None:
        super().__init__(what, where=where, do_next=do_next)
        self.paths = paths
