"""Settling a doubt: whether SendGrid's Email Logs know a touch.

The logs keep 30 days for every customer, filter by address and time but not by custom argument, and show custom
arguments in the single record only (tsg_logs_v3.json). So: list by address and time, open each, compare our own id.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.sendgrid.client import SendGridClient, path_segment
from connectors.sendgrid.payload import TOUCH_ARG
from crmdrip.core.errors import ConfigurationError, RejectedError, RetriableError
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
        message_id = hit["sg_message_id"]
        try:
            touch = _touch_of(client, message_id)
        except ConfigurationError:
            return unavailable
        if touch == touch_id:
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
    """The touch's id in one record of the log, None for an email without one.

    Raises RetriableError for a record that cannot be read: it may be ours, and "not found" sends again.
    """
    try:
        record = client.get(f"/v3/logs/{path_segment(message_id)}")
    except RejectedError as error:
        raise RetriableError("the log does not show an email that it lists", where="/v3/logs") from error
    if not isinstance(record, dict):
        raise RetriableError("a record of the log is none", where="/v3/logs")
    arguments = record.get("custom_args")
    if arguments is None:
        return None
    if not isinstance(arguments, dict) or not isinstance(arguments.get(TOUCH_ARG, ""), str):
        raise RetriableError("a record of the log has no custom arguments that can be read", where="/v3/logs")
    return arguments.get(TOUCH_ARG)


def _records(answer: Any) -> list[dict[str, Any]]:
    """The emails listed, each with its id. Raises RetriableError for what is no list of them, and not an empty one."""
    messages = answer.get("messages") if isinstance(answer, dict) else None
    if not isinstance(messages, list) or not all(
        isinstance(item, dict) and isinstance(item.get("sg_message_id"), str) and item["sg_message_id"]
        for item in messages
    ):
        raise RetriableError("the log's answer is no list of emails", where="/v3/logs")
    return messages


def _parse_time(value: Any) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
