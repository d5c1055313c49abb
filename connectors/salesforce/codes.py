"""What Salesforce's error codes mean: one literal table, and the exceptions made from it.

Codes arrive as `errorCode` in an error answer and as `statusCode` in the row of a collection. Sources: REST API guide,
"Status Codes and Error Responses"; object reference, "Core Data Types", StatusCode; read 2026-11-24.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import requests

from crmdrip.core.errors import (
    AuthError,
    ConfigurationError,
    CrmdripError,
    ErrorClass,
    RateLimitedError,
    RejectedError,
    RetriableError,
    SkippableError,
)

_R = ErrorClass.RETRIABLE
_C = ErrorClass.CONFIGURATION
_X = ErrorClass.REJECTED
_S = ErrorClass.SKIPPABLE

CLASSES: dict[str, ErrorClass] = {
    "INVALID_SESSION_ID": ErrorClass.AUTH,
    "INVALID_AUTH_HEADER": ErrorClass.AUTH,
    "INVALID_OPERATION_WITH_EXPIRED_PASSWORD": ErrorClass.AUTH,
    "REQUEST_LIMIT_EXCEEDED": ErrorClass.RATE_LIMITED,
    "SERVER_UNAVAILABLE": _R,
    "UNKNOWN_EXCEPTION": _R,
    "UNABLE_TO_LOCK_ROW": _R,
    "QUERY_TIMEOUT": _R,
    "REQUEST_RUNNING_TOO_LONG": _R,
    "CONCURRENT_REQUEST_LIMIT_EXCEEDED": _R,
    "INVALID_QUERY_LOCATOR": _R,  # expired after two days: ask anew
    "PROCESSING_HALTED": _R,
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": _R,
    # A site switch or a release: "Updates can't be made during maintenance. Try again when maintenance is complete."
    "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": _R,
    "INVALID_READ_ONLY_USER_DML": _R,
    "TOO_MANY_APEX_REQUESTS": _R,
    "RECORD_IN_USE_BY_WORKFLOW": _R,
    "TERRITORY_REALIGN_IN_PROGRESS": _R,
    # Both go on by themselves, but only once a person made room, or decided: that may take days.
    "STORAGE_LIMIT_EXCEEDED": _C,
    "ENTITY_IS_LOCKED": _C,
    "API_CURRENTLY_DISABLED": _C,
    "API_DISABLED_FOR_ORG": _C,
    "INVALID_FIELD": _C,
    "INVALID_FIELD_FOR_INSERT_UPDATE": _C,
    "INVALID_TYPE": _C,
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": _C,
    "MALFORMED_QUERY": _C,
    "QUERY_TOO_COMPLICATED": _C,
    "UNSUPPORTED_API_VERSION": _C,
    "ENTITY_IS_DELETED": _S,
    "CANNOT_UPDATE_CONVERTED_LEAD": _S,  # the contact carries the run now (B11)
    "NOT_FOUND": _S,
    "INVALID_CROSS_REFERENCE_KEY": _S,  # merged, deleted or out of sight
    "MALFORMED_ID": _X,
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": _X,
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": _X,
    "CANNOT_EXECUTE_FLOW_TRIGGER": _X,
    "APEX_ERROR": _X,
    "REQUIRED_FIELD_MISSING": _X,
    "BAD_VALUE": _X,
    "STRING_TOO_LONG": _X,
    "INVALID_EMAIL_ADDRESS": _X,
    "FIELD_INTEGRITY_EXCEPTION": _X,
    "FIELD_FILTER_VALIDATION_EXCEPTION": _X,
    "DUPLICATES_DETECTED": _X,
    "DUPLICATE_VALUE": _X,  # the sink first looks whether the value is our own key
    "INSUFFICIENT_ACCESS_OR_READONLY": _X,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": _X,
    "INACTIVE_OWNER_OR_USER": _X,
    "OPERATION_WITH_INACTIVE_USER": _X,
    "OP_WITH_INVALID_USER_TYPE_EXCEPTION": _X,
    "TRANSFER_REQUIRES_READ": _X,
}

ERRORS: dict[ErrorClass, type[CrmdripError]] = {
    ErrorClass.RETRIABLE: RetriableError,
    ErrorClass.RATE_LIMITED: RateLimitedError,
    ErrorClass.AUTH: AuthError,
    ErrorClass.CONFIGURATION: ConfigurationError,
    ErrorClass.REJECTED: RejectedError,
    ErrorClass.SKIPPABLE: SkippableError,
}

_DO_NEXT = {
    ErrorClass.AUTH: "Check the connected user: it may be frozen, or its app access revoked.",
    ErrorClass.CONFIGURATION: "Type crmdrip doctor to see which object, field or permission is missing.",
    ErrorClass.RATE_LIMITED: "Wait: the org's count of API calls rolls on over 24 hours.",
}

_AUTOMATION = frozenset({"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER", "APEX_ERROR"})
"""The org's own triggers and flows: one that ran into a lock or a limit says so in its text only."""

_EXEMPT = "exempt the user that crmdrip logs in as"
_NEXT: Mapping[str, str] = {
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": (
        f"In this validation rule {_EXEMPT}, or give the field a value under [values.new_task] in the mapping."
    ),
    "REQUIRED_FIELD_MISSING": (
        "Give the field a default value in Setup, or a value under [values.new_task] in the mapping."
    ),
    **dict.fromkeys(_AUTOMATION, f"A trigger or flow of the org refuses it: there {_EXEMPT}."),
    "STORAGE_LIMIT_EXCEEDED": "Make room (Setup, Storage Usage); it goes on by itself.",
    "UNSUPPORTED_API_VERSION": "Remove api_version from the settings, or set one that the org still has.",
    "API_DISABLED_FOR_ORG": "Tick API Enabled for the user; Professional Edition needs the API add-on.",
    "API_CURRENTLY_DISABLED": "Tick API Enabled for the user; Professional Edition needs the API add-on.",
    "INVALID_OPERATION_WITH_EXPIRED_PASSWORD": (
        "The user's password has expired: tick Password Never Expires on its profile, or set a new one."
    ),
}
"""What a person does about single codes."""

_TRANSIENT_TEXT = re.compile(r"UNABLE_TO_LOCK_ROW|lock|time(d)? ?out", re.IGNORECASE)
_OVERRUN_TEXT = re.compile(r"LimitException|CPU time|heap size|Too many \w+", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s'\"<>()=,;]+@[^\s'\"<>()=,;]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One refusal, as far as it may be shown: no address, no query."""

    status: int
    """HTTP status, 0 for a row of a collection."""
    code: str
    message: str
    fields: tuple[str, ...] = ()
    """API names the vendor blames."""
    retry_after: float | None = None
    """Seconds, where the answer said."""

    @property
    def error_class(self) -> ErrorClass:
        """How to handle it."""
        if self.code in CLASSES:
            found = CLASSES[self.code]
            if self.overrun or (self.code in _AUTOMATION and _TRANSIENT_TEXT.search(self.message)):
                return ErrorClass.RETRIABLE
            return found
        if self.status == 401:
            return ErrorClass.AUTH
        if 300 <= self.status < 400:
            return ErrorClass.CONFIGURATION
        if self.status == 429 or (self.status == 503 and self.retry_after is not None):
            return ErrorClass.RATE_LIMITED
        if self.status >= 500:
            return ErrorClass.RETRIABLE
        return ErrorClass.REJECTED

    @property
    def overrun(self) -> bool:
        """Whether a trigger or flow ran into a governor limit: fewer rows at once may pass."""
        return self.code in _AUTOMATION and _OVERRUN_TEXT.search(self.message) is not None

    @property
    def do_next(self) -> str:
        """What a person does about it, "" where that depends."""
        # "ConcurrentPerOrgLongTxn Limit exceeded." and its like: too many long requests at once, not too many a day.
        if self.code == "REQUEST_LIMIT_EXCEEDED" and self.message.startswith("Concurrent"):
            return "Wait: other programs keep the org busy with long requests; it goes on by itself."
        return _NEXT.get(self.code) or _DO_NEXT.get(self.error_class, "")

    def error(self, where: str) -> CrmdripError:
        """The exception of this fault's class."""
        found = self.error_class
        what = (
            f"{self.code or f'HTTP {self.status}'}: {self.message}" if self.message else f"{self.code or self.status}."
        )
        if found is ErrorClass.RATE_LIMITED:
            return RateLimitedError(what, where=where, do_next=self.do_next, retry_after=self.retry_after)
        return ERRORS[found](what, where=where, do_next=self.do_next)


def scrub(message: str) -> str:
    """The vendor's text without addresses, and of a query error only what follows the quoted query."""
    text = message.rpartition("ERROR at Row:")[2].partition("\n")[2] or message
    return _ADDRESS.sub("<address>", " ".join(text.split()))[:300]


def read_fault(status: int, body: Any, retry_after: str | None = None) -> Fault:
    """Understand an error's body: a list of errors, OAuth's dict, a row's errors, or anything else."""
    first = body[0] if isinstance(body, list) and body else body
    after = float(retry_after) if retry_after and retry_after.strip().isdecimal() else None
    if not isinstance(first, dict):
        return Fault(status=status, code="", message="", retry_after=after)
    code = first.get("errorCode") or first.get("statusCode") or first.get("error") or ""
    return Fault(
        status=status,
        code=str(code),
        message=scrub(str(first.get("message") or first.get("error_description") or "")),
        fields=tuple(str(name) for name in blamed) if isinstance(blamed := first.get("fields"), list) else (),
        retry_after=after,
    )


def response_fault(response: requests.Response) -> Fault:
    """Understand a response that is no success. HTML and empty bodies occur (proxies, maintenance pages)."""
    try:
        body = orjson.loads(response.content)
    except ValueError:
        body = None
    return read_fault(response.status_code, body, response.headers.get("Retry-After"))
