"""Refusals: what the portal says no to, with the vendor's status, category, message and context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

SCOPES_PAGE = "https://developers.hubspot.com/scopes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One property that cannot have the value it was given."""

    name: str
    code: str
    """Such as INVALID_OPTION."""
    message: str


class Refusal(Exception):  # noqa: N818 - a refusal is the portal's answer, not an error of the portal
    """One refused request, or one refused row of a batch.

    status: the HTTP status when the request stands alone. more: further members of the body.
    """

    def __init__(
        self,
        message: str,
        category: str = "VALIDATION_ERROR",
        *,
        status: int = 400,
        sub_category: str | None = None,
        context: Mapping[str, Sequence[str]] | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.category = category
        self.status = status
        self.sub_category = sub_category
        self.context = dict(context or {})
        self.errors = list(errors)
        self.more = dict(more or {})
        self.headers = dict(headers or {})

    def __str__(self) -> str:
        return f"{self.category}: {self.message}"

    def body(self, correlation_id: str) -> dict[str, Any]:
        """The body of a refused request."""
        return {**self._detail(), "correlationId": correlation_id, **self.more}

    def row(self, context: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
        """One entry of the errors of a batch's answer."""
        return {**self._detail({**self.context, **(context or {})}), "errors": self.errors}

    def _detail(self, context: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
        detail: dict[str, Any] = {"status": "error", "message": self.message, "category": self.category}
        if self.sub_category is not None:
            detail["subCategory"] = self.sub_category
        if context or self.context:
            detail["context"] = {name: list(values) for name, values in (context or self.context).items()}
        if self.errors:
            detail["errors"] = self.errors
        return detail


def invalid_values(problems: Iterable[Problem]) -> Refusal:
    """Properties that do not exist or cannot have those values: the message holds JSON, as the vendor's does."""
    found = list(problems)
    told = [
        {
            "isValid": False,
            "message": each.message,
            "error": each.code,
            "name": each.name,
            "localizedErrorMessage": each.message,
        }
        for each in found
    ]
    errors = [
        {"message": each.message, "code": each.code, "context": {"propertyName": [each.name]}} for each in found
    ]  # fmt: skip
    return Refusal(f"Property values were not valid: {orjson.dumps(told).decode()}", errors=errors)


def unset_properties(singular: str, names: Sequence[str]) -> Refusal:
    """A record cannot be created without these."""
    return Refusal(
        f"Error creating {singular.upper()}. Some required properties were not set.", context={"properties": names}
    )


def not_found(what: str = "resource not found") -> Refusal:
    """There is no such record, or no such path."""
    return Refusal(what, "OBJECT_NOT_FOUND", status=404)


def some_not_found(singular: str, ids: Sequence[str]) -> Refusal:
    """Rows of a batch that name records there are not."""
    return Refusal(
        f"Could not get some {singular.upper()} objects, they may be deleted or not exist. Check that ids are valid.",
        "OBJECT_NOT_FOUND",
        status=404,
        context={"ids": ids},
    )


def already_exists(singular: str, record_id: str) -> Refusal:
    """Another record has the address already."""
    return Refusal(f"{singular.capitalize()} already exists. Existing ID: {record_id}", "CONFLICT", status=409)


def missing_scopes(scopes: Sequence[str]) -> Refusal:
    """The token was not granted what the call needs."""
    return Refusal(
        "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: "
        f"{SCOPES_PAGE}.",
        "MISSING_SCOPES",
        status=403,
        errors=[
            {
                "message": "One or more of the following scopes are required.",
                "context": {"requiredGranularScopes": list(scopes)},
            }
        ],
        more={"links": {"scopes": SCOPES_PAGE}},
    )


def invalid_input(message: str) -> Refusal:
    """A body, path or parameter that cannot be understood."""
    return Refusal(f"Invalid input JSON on line 1, column 1: {message}")


def to_int(body: Mapping[str, Any], name: str, default: int) -> int:
    """A whole number among a body's members. Raises Refusal."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_input(f"Cannot deserialize value of {name} from {value!r}")
    return value


def to_rows(value: Any, name: str) -> list[dict[str, Any]]:
    """A list of objects among a body's members. Raises Refusal."""
    if not isinstance(value, list | tuple) or not all(isinstance(row, dict) for row in value):
        raise invalid_input(f"Cannot deserialize value of {name}")
    return list(value)


def to_strings(value: Any, name: str) -> list[str]:
    """A list of strings among a body's members. Raises Refusal."""
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise invalid_input(f"Cannot deserialize value of {name}")
    return list(value)
