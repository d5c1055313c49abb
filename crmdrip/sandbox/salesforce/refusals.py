"""Refusals: what the org says no to, with the vendor's status, code and message."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):  # noqa: N818 - a refusal is the org's answer, not an error of the org
    """One refused request or row.

    status: the HTTP status when the request stands alone.
    """

    def __init__(self, code: str, message: str, *, fields: tuple[str, ...] = (), status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = fields
        self.status = status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def body(self) -> list[dict[str, Any]]:
        """The body of a refused request. Query errors carry no fields, record errors always do."""
        error: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.code not in _WITHOUT_FIELDS:
            error["fields"] = list(self.fields)
        return [error]

    def row(self) -> dict[str, Any]:
        """The result of a refused row of a collection: statusCode, not errorCode, and no id."""
        return {
            "success": False,
            "errors": [{"statusCode": self.code, "message": self.message, "fields": list(self.fields)}],
        }


_WITHOUT_FIELDS = frozenset(
    {
        "INVALID_FIELD",
        "INVALID_TYPE",
        "MALFORMED_QUERY",
        "INVALID_QUERY_LOCATOR",
        "INVALID_QUERY_FILTER_OPERATOR",
        "INVALID_SESSION_ID",
        "REQUEST_LIMIT_EXCEEDED",
        "NOT_FOUND",
        "METHOD_NOT_ALLOWED",
        "JSON_PARSER_ERROR",
        "UNSUPPORTED_MEDIA_TYPE",
        "EXCEEDED_ID_LIMIT",
        "LIMIT_EXCEEDED",
        "PROCESSING_HALTED",
    }
)


def not_found() -> Refusal:
    """No such resource: an unknown path, object or record id."""
    return Refusal("NOT_FOUND", "The requested resource does not exist", status=404)


def gone() -> Refusal:
    """The record is in the recycle bin."""
    return Refusal("ENTITY_IS_DELETED", "entity is deleted", status=404)
