"""What HubSpot's refusals mean: status, category and context of an answer's body, or of one row of a batch's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

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

LOCKED, MOVING = 423, 477
"""Somebody else is writing the record; the account is moving to another data centre (docs: error handling)."""

_BY_STATUS: Mapping[int, ErrorClass] = {
    401: ErrorClass.AUTH,
    403: ErrorClass.CONFIGURATION,
    404: ErrorClass.SKIPPABLE,
    409: ErrorClass.REJECTED,
    LOCKED: ErrorClass.RETRIABLE,
    429: ErrorClass.RATE_LIMITED,
    MOVING: ErrorClass.RATE_LIMITED,
}

_BY_CATEGORY: Mapping[str, ErrorClass] = {
    "INVALID_AUTHENTICATION": ErrorClass.AUTH,
    "EXPIRED_AUTHENTICATION": ErrorClass.AUTH,
    "MISSING_SCOPES": ErrorClass.CONFIGURATION,
    "OBJECT_NOT_FOUND": ErrorClass.SKIPPABLE,
    "RATE_LIMITS": ErrorClass.RATE_LIMITED,
    "RECORD_LOCKED": ErrorClass.RETRIABLE,
    "VALIDATION_ERROR": ErrorClass.REJECTED,
    "CONFLICT": ErrorClass.REJECTED,
}
"""Rows of a batch carry no status of their own."""

_ERRORS: Mapping[ErrorClass, type[CrmdripError]] = {
    ErrorClass.RETRIABLE: RetriableError,
    ErrorClass.AUTH: AuthError,
    ErrorClass.REJECTED: RejectedError,
    ErrorClass.SKIPPABLE: SkippableError,
    ErrorClass.CONFIGURATION: ConfigurationError,
    ErrorClass.OUTCOME_UNKNOWN: OutcomeUnknownError,
}

_ADVICE = {
    ErrorClass.AUTH: "Make a new service key or rotate it, and put it where the configuration names it.",
    ErrorClass.CONFIGURATION: "Grant the scopes, then try again.",
}

_LIMIT = re.compile(r"reached your (\w+) limit", re.IGNORECASE)
_PAUSES = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0, "DAILY": 3_600.0}
"""Seconds until it is worth asking again; a 429 carries no Retry-After (docs: error handling)."""


class MissingScopesError(ConfigurationError):
    """The key may not do it. scopes: which it lacks for that, by HubSpot's own answer."""

    def __init__(self, scopes: tuple[str, ...], *, where: str) -> None:
        names = ", ".join(scopes)
        super().__init__(f"the key lacks the scopes {names}.", where=where, do_next=_ADVICE[ErrorClass.CONFIGURATION])
        self.scopes = scopes


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One refusal, of a request or of a row."""

    status: int = 0
    """0 for a row."""
    category: str = ""
    message: str = ""
    codes: tuple[str, ...] = ()
    """Of single properties, such as INVALID_OPTION."""
    names: tuple[str, ...] = ()
    """The properties blamed."""
    scopes: tuple[str, ...] = ()
    """Those that are missing."""
    policy: str = ""
    """Which limit was reached."""
    retry_after: float | None = None
    context: Mapping[str, Any] | None = None

    @property
    def error_class(self) -> ErrorClass:
        """How it is handled."""
        by_category = _BY_CATEGORY.get(self.category)
        # A lock and a limit are told by the status, whatever the category says of them.
        if self.status in (LOCKED, 429, MOVING):
            return _BY_STATUS[self.status]
        if by_category is not None:
            return by_category
        if self.status >= 500:
            return ErrorClass.RETRIABLE
        return _BY_STATUS.get(self.status, ErrorClass.REJECTED)

    @property
    def code(self) -> str:
        """The vendor's most precise code."""
        return self.codes[0] if self.codes else self.category or (f"HTTP_{self.status}" if self.status else "")

    def error(self, where: str) -> CrmdripError:
        """As an exception of the taxonomy."""
        known = self.error_class
        what = self.message or f"answered with status {self.status}"
        if self.scopes and known is ErrorClass.CONFIGURATION:
            return MissingScopesError(self.scopes, where=where)
        if known is ErrorClass.RATE_LIMITED:
            pause = self.retry_after if self.retry_after is not None else _PAUSES.get(self.policy)
            return RateLimitedError(what, where=where, retry_after=pause)
        return _ERRORS[known](what, where=where, do_next=_ADVICE.get(known, ""))


def read_fault(status: int, body: bytes, headers: Mapping[str, str]) -> Fault:
    """The refusal of a whole request. headers: names in lower case."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = {}
    after = headers.get("retry-after", "")
    return _read(value, status, float(after) if after.isdecimal() else None)


def row_fault(value: Any) -> Fault:
    """The refusal of one row of a batch."""
    return _read(value, 0, None)


def _policy_in(message: str) -> str:
    """The limit a message names: a search's refusal may carry no policyName (hubspot-api-nodejs, RetryDecorator)."""
    found = _LIMIT.search(message)
    return found[1].upper() if found else ""


def _read(value: Any, status: int, retry_after: float | None) -> Fault:
    if not isinstance(value, Mapping):
        value = {}
    details = [one for one in _list(value.get("errors")) if isinstance(one, Mapping)]
    contexts = [one.get("context") for one in details]
    return Fault(
        status=status,
        category=str(value.get("category") or ""),
        message=str(value.get("message") or ""),
        codes=tuple(str(one["code"]) for one in details if one.get("code")),
        names=tuple(
            str(name)
            for context in contexts
            if isinstance(context, Mapping)
            for name in _list(context.get("propertyName"))
        ),
        scopes=tuple(
            str(scope)
            for context in contexts
            if isinstance(context, Mapping)
            for scope in _list(context.get("requiredGranularScopes"))
        ),
        policy=str(value.get("policyName") or "") or _policy_in(str(value.get("message") or "")),
        retry_after=retry_after,
        context=value.get("context") if isinstance(value.get("context"), Mapping) else None,
    )


def _list(value: Any) -> list[Any]:
    """What should be a list, an empty one for anything else."""
    return value if isinstance(value, list) else []
