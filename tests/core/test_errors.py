"""The error taxonomy: one class decides what happens next, and every message says what to do."""

from __future__ import annotations

import pytest

from crmdrip.core.errors import (
    AuthError,
    ConfigurationError,
    CrmdripError,
    ErrorClass,
    OutcomeUnknownError,
    RateLimitedError,
    RejectedError,
    RetriableError,
    SkippableError,
)

CLASSES: dict[type[CrmdripError], ErrorClass] = {
    RetriableError: ErrorClass.RETRIABLE,
    RateLimitedError: ErrorClass.RATE_LIMITED,
    AuthError: ErrorClass.AUTH,
    RejectedError: ErrorClass.REJECTED,
    SkippableError: ErrorClass.SKIPPABLE,
    OutcomeUnknownError: ErrorClass.OUTCOME_UNKNOWN,
    ConfigurationError: ErrorClass.CONFIGURATION,
}


@pytest.mark.parametrize(("error", "kind"), CLASSES.items(), ids=[error.__name__ for error in CLASSES])
def test_an_error_knows_its_class(error: type[CrmdripError], kind: ErrorClass) -> None:
    """Whoever catches it acts on the class alone."""
    assert error("it went wrong.").error_class is kind


def test_every_class_can_be_raised() -> None:
    """No class of the taxonomy is without an error that carries it."""
    assert set(CLASSES.values()) == set(ErrorClass)


@pytest.mark.parametrize(
    ("where", "do_next", "shown"),
    [
        ("", "", "it went wrong."),
        ("[mail]", "", "[mail]: it went wrong."),
        ("", "Type this.", "it went wrong. Type this."),
        ("[mail]", "Type this.", "[mail]: it went wrong. Type this."),
    ],
)
def test_a_message_is_where_what_and_what_to_do(where: str, do_next: str, shown: str) -> None:
    """In the order in which a person reads it."""
    assert str(CrmdripError("it went wrong.", where=where, do_next=do_next)) == shown


def test_a_limit_tells_how_long_to_wait_where_it_is_known() -> None:
    """B20: Salesforce never says, SendGrid mostly does."""
    assert RateLimitedError("slow down.", retry_after=7.0).retry_after == 7.0
    assert RateLimitedError("slow down.").retry_after is None
