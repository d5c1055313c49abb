"""Settling a doubt: whether SendGrid's Email Logs know a touch.

The logs keep 30 days for every customer, filter by address and time but not by custom argument, and show custom
arguments in the single record only (tsg_logs_v3.json). So: list by address and time, open each, compare our own id.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.sendgrid.client import SendGridClient, path_segment
from connectors.sendgrid.payload import TOUCH_ARG
from crmdrip.core.errors import ConfigurationError, RejectedError
from crmdrip.ports import Finding, LogFinding

MARGIN = timedelta(minutes=1)
"""Our clock may be ahead of SendGrid's."""
LIMIT = 1000
"""The most the API gives; it has no second page."""


def find_touch(client: SendGridClient, touch_id: str, address: str, since: datetime) -> LogFinding:
    """What the log says of a touch sent to an address since a time.

    UNAVAILABLE when the log cannot be asked: the key lacks the permission, or the address cannot be put in a query.
    Raises AuthError, RetriableError, RateLimitedError.
    """
    unavailable = LogFinding(touch_id=touch_id, finding=Finding.UNAVAILABLE)
    query = build_query(address, since)
    if query is None:
        return unavailable
    try:
        answer = client.search("/v3/logs", {"query": query, "limit": LIMIT})
    except (ConfigurationError, RejectedError):
        return unavailable
    for hit in _records(answer):
        message_id = str(hit.get("sg_message_id") or "")
        if message_id and _touch_of(client, message_id) == touch_id:
            return LogFinding(
                touch_id=touch_id,
                finding=Finding.SENT,
                # "<X-Message-Id>.recvd-<host>-...": the part before the dot is what the answer to the send carried.
                provider_id=message_id.partition(".")[0],
                at=_parse_time(hit.get("sg_message_id_created_at")),
            )
    return LogFinding(touch_id=touch_id, finding=Finding.NOT_FOUND)


def build_query(address: str, since: datetime) -> str | None:
    """The filter, None for an address that no quoting can hold.

    Strings stand in either quotes in the vendor's examples, and no way to escape one is described.
    """
    quotes = [mark for mark in "'\"" if mark not in address]
    if not quotes or not address.isprintable():
        return None
    start = (since.astimezone(UTC) - MARGIN).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'to_email = {quotes[0]}{address}{quotes[0]} AND sg_message_id_created_at >= TIMESTAMP "{start}"'


def _touch_of(client: SendGridClient, message_id: str) -> str | None:
    """The touch's id in one record of the log, None when the record or the id is absent."""
    try:
        record = client.get(f"/v3/logs/{path_segment(message_id)}")
    except (RejectedError, ConfigurationError):
        return None
    arguments = record.get("custom_args") if isinstance(record, dict) else None
    return arguments.get(TOUCH_ARG) if isinstance(arguments, dict) else None


def _records(answer: Any) -> list[dict[str, Any]]:
    messages = answer.get("messages") if isinstance(answer, dict) else None
    return [item for item in messages if isinstance(item, dict)] if isinstance(messages, list) else []


def _parse_time(value: Any) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
