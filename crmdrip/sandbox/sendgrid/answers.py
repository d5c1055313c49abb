"""SendGrid's answers: the error body every endpoint shares, and the few fixed ones.

Shape: official OpenAPI `ErrorResponse`; wording: twilio.com/docs/sendgrid/api-reference/mail-send/errors.
"""

from __future__ import annotations

from typing import NamedTuple

from crmdrip.sandbox.http import Response, json_response

HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message."
"""Every help link of mail/send starts with this."""


class Problem(NamedTuple):
    """One entry of an error body."""

    message: str
    field: str | None = None
    help: str | None = None


def refuse(status: int, *problems: Problem) -> Response:
    """An answer with SendGrid's error body."""
    return json_response(status, {"errors": [problem._asdict() for problem in problems]})


def unauthorized() -> Response:
    """No key, or one that is not known."""
    return refuse(401, Problem("authorization required"))


def forbidden() -> Response:
    """A known key that lacks the scope of the endpoint."""
    return refuse(403, Problem("access forbidden"))


def not_found() -> Response:
    """No such endpoint or item."""
    return refuse(404, Problem("not found"))


def not_allowed() -> Response:
    """An endpoint that exists, asked with another method."""
    return refuse(405, Problem("method not allowed"))


def too_large() -> Response:
    """A message over the size limit."""
    return refuse(413, Problem("content too large"))


def too_many(limit: int, reset: int) -> Response:
    """The rate limit is used up until `reset`, in epoch seconds."""
    answer = refuse(429, Problem("too many requests"))
    answer.headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(reset),
    }
    return answer
