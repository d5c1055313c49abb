"""Logs: one line per event on standard error, in one format for our own and for every library's, without personal data.

Events are named in the past tense and carry ids. What looks like an address, a key or a token is masked wherever it
stands: in values, in tracebacks, in the lines of libraries.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any, Literal, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from crmdrip.secrets import hide_known

Format = Literal["console", "json"]
Level = Literal["debug", "info", "warning", "error"]

ADDRESS = "[address]"
SECRET = "[secret]"  # noqa: S105 - the mask, not a secret
BODY = "[body]"

_SECRET_NAMES = re.compile(
    r"password|passwd|secret|token|api_?key|authorization|cookie|private_?key|assertion|session_?id|credential",
    re.IGNORECASE,
)
_BODY_NAMES = frozenset({"body", "html", "subject"})
"""Names under which text of an email might be logged by mistake. It is never printed."""

_OURS = frozenset({"timestamp", "level"})
"""Written by this module's own processors."""

_SECRETS = re.compile(
    r"""
      -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | \bSG\.[\w-]{6,}\.[\w-]{6,}                            # SendGrid API key
    | \b00D[A-Za-z0-9]{12,15}![\w.]{8,}                     # Salesforce session id
    | \beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?                # JSON web token
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                       # user and password in a URL
    | \b(?:bearer|basic|oauth)\s+(?=[\w.~+/=!-]*\d)[\w.~+/=!-]{8,}    # Authorization header
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_NAMED_SECRETS = re.compile(
    r"""(?P<name>\b[\w-]*(?:password|passwd|secret|token|api_?key|assertion)["']?\s*[=:]\s*"""
    # With "=" alone, since Salesforce answers "INVALID_SESSION_ID: Session expired or invalid".
    r"""|\b(?:session_?id|sid)=)"""
    r"""(?!["']?\[secret\])(?:"[^"]*"|'[^']*'|[^\s"'&,;)}]+)""",
    re.IGNORECASE,
)
_PLAIN_ID = re.compile(r"(?:[a-z0-9_]+|[A-Za-z0-9]{15}|[A-Za-z0-9]{18})")
"""Event names, touch ids and record ids: most of what is logged, and no secret of any form above."""
_ADDRESSES = re.compile(r"""(?:"[^"\n]{1,64}"|[^\s@<>"'(),;:=\[\]{}/?&|]{1,64})(?:@|%40)[^\W_](?:[\w.-]*[^\W_])?""")

_FLOORS = {
    # Logs every request's headers, Authorization among them, at DEBUG (read in python_http_client/client.py 3.3.7).
    "python_http_client": logging.WARNING,
    # Log paths with their queries at DEBUG, and with SOQL those carry addresses.
    "urllib3": logging.WARNING,
    "simple_salesforce": logging.WARNING,
    "requests_oauthlib": logging.WARNING,
    # One line per request, with unsubscribe tokens in the path.
    "uvicorn.access": logging.WARNING,
    # One line per tick of every loop.
    "apscheduler": logging.WARNING,
    "httptools": logging.INFO,
    "asyncio": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "alembic": logging.WARNING,
}
"""The least level of loggers that say too much below it."""


def configure(*, format: Format, level: Level) -> None:  # noqa: A002 - the word of config.toml
    """Set up structlog and the standard library's logging for the whole process; the last call counts."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    stream = cast("TextIO", _StandardError())
    renderer = _renderer(format)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_SHARED, redact, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)
    for name, floor in _FLOORS.items():
        logging.getLogger(name).setLevel(max(floor, threshold))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    logging.captureWarnings(capture=True)


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001 - structlog's signature
    """Mask everything in an event that looks like an address, a key or a token (a structlog processor)."""
    for name, value in event.items():
        if name not in _OURS:
            event[name] = _masked(name, value)
    return event


def mask_text(text: str) -> str:
    """The text with addresses, keys and tokens masked."""
    if _PLAIN_ID.fullmatch(text):
        return text
    text = _SECRETS.sub(SECRET, hide_known(text))
    if "=" in text or ":" in text:
        text = _NAMED_SECRETS.sub(rf"\g<name>{SECRET}", text)
    return _ADDRESSES.sub(ADDRESS, text) if "@" in text or "%40" in text else text


def _masked(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_NAMES.search(name):
        return SECRET
    if name in _BODY_NAMES:
        return BODY
    if isinstance(value, str) and not isinstance(value, Enum):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {mask_text(str(key)): _masked(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked("", item) for item in value]
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str | int) else value.name
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return mask_text(str(value) if isinstance(value, BaseException) else repr(value))


def _event_first(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001 - structlog's signature
    """Put time, level and event before the rest, so that JSON lines can be read by eye."""
    first = ("timestamp", "level", "event")
    return {name: event[name] for name in first if name in event} | {
        name: value for name, value in event.items() if name not in first
    }


_SHARED: list[Processor] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def _to_json(event: MutableMapping[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def _json_line(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return _to_json(_event_first(logger, method, event))


def _renderer(format: Format) -> Processor:  # noqa: A002 - the word of config.toml
    if format == "json":
        return _json_line
    # structlog's own traceback formatter prints local variables, secrets among them; ours are text by then.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=28
    )


class _StandardError:
    """Standard error as it is when a line is written, and never a reason for work to fail.

    A line may be written between a provider's answer and saving it: were a full disk behind the log to raise
    there, the email would be in doubt for nothing.
    """

    def write(self, text: str) -> int:
        try:
            return sys.stderr.write(text)
        except (OSError, ValueError):
            return 0

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            return
