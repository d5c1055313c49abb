"""HTTP to one HubSpot portal through hubspot-api-client, wrapped once.

One of its API clients is kept and everything goes through its `call_api`, with raw JSON in and out. The generated
methods would call versions that end (hubspot-api-client 12.0.0 knows no dated path), build a connection pool at each
access, lose the errors inside a 201, have no time-outs, and have an exception class of their own in every package.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
import urllib3
from hubspot import HubSpot
from hubspot.crm.objects.exceptions import ApiException
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from urllib3.connection import HTTPConnection

from connectors.hubspot.faults import LOCKED, Fault, read_fault, row_fault
from connectors.hubspot.pace import Pace, Window
from connectors.hubspot.paths import path_of
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.values import parse_time
from crmdrip.core.errors import AuthError, ConfigurationError, ErrorClass, RetriableError
from crmdrip.ports import CallMeter, Clock, Purpose
from crmdrip.ports.lines import give_up

HOST = "https://api.hubapi.com"
BATCH = 100
"""Inputs of a batch of records (docs: using object APIs)."""
TRACE = "objectWriteTraceId"
"""Labels the rows of a batch, so that each has an answer of its own. It is no key: a repeat creates again."""

_READ_ATTEMPTS = 3
_SECONDLY_ATTEMPTS = 4
_CONNECTIONS = 16
_LOCKED_SECONDS = 2.0
"""As long as HubSpot asks to wait for a record that somebody is writing (docs: error handling, 423)."""

_RAISED = frozenset(
    {
        ErrorClass.AUTH,
        ErrorClass.CONFIGURATION,
        ErrorClass.RATE_LIMITED,
        ErrorClass.RETRIABLE,
        ErrorClass.OUTCOME_UNKNOWN,
    }
)
"""What ends a write as a whole; anything else is a matter of its rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back: a body, or a refusal of everything."""

    body: Any = None
    fault: Fault | None = None

    @property
    def completed_at(self) -> datetime | None:
        """When HubSpot had done a batch, by its own clock."""
        told = self.body.get("completedAt") if isinstance(self.body, Mapping) else None
        return parse_time(told) if isinstance(told, str) else None

    @property
    def results(self) -> list[dict[str, Any]]:
        """The rows of a list, a batch or a search; none of a refusal. Raises RetriableError where an answer has none.

        To take that for an empty list would pass over whoever stands in it.
        """
        found = self.body.get("results") if isinstance(self.body, Mapping) else None
        if isinstance(found, list):
            return list(found)
        if self.fault is not None:
            return []
        raise RetriableError("the answer holds no results.", where="HubSpot")

    @property
    def faults(self) -> list[tuple[Fault, Mapping[str, Any]]]:
        """The refused rows of a batch with their context. They come with 207 and, since 2026-09, with 200 and 201."""
        found = self.body.get("errors") if isinstance(self.body, Mapping) else None
        rows = [row_fault(each) for each in found] if isinstance(found, list) else []
        return [(row, row.context or {}) for row in rows]


def read_usage(headers: Mapping[str, str]) -> tuple[int, int] | None:
    """The portal's day as (used, limit) from an answer's headers; None for an OAuth app's, which do not tell it."""
    limit, left = (headers.get(f"x-hubspot-ratelimit-daily{what}", "") for what in ("", "-remaining"))
    if not (limit.isdecimal() and left.isdecimal()) or len(limit) > 15 or len(left) > 15:
        return None
    return int(limit) - int(left), int(limit)


class HubSpotClient:
    """One portal, one pool of connections, one budget; shared by source, sink and checks, and by their threads."""

    def __init__(
        self,
        settings: HubSpotSettings,
        clock: Clock,
        *,
        sleep: Callable[[float], None] = time.sleep,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.meter = CallMeter(
            clock,
            vendor="HubSpot",
            account="portal",
            renews="Wait for midnight in the account's time zone.",
            daily_cap=settings.daily_cap,
            reserve=settings.reserve,
        )
        self._pace = Pace(burst=settings.burst, searches=settings.searches, tick=tick, sleep=sleep)
        self._sleep = sleep
        self.ahead = timedelta()
        """How far our clock was ahead of HubSpot's with the last answer of a batch, which carries its time."""
        host = settings.base_url or HOST
        library = HubSpot(host=host, retry=False, connection_pool_maxsize=_CONNECTIONS)
        self._api = library.crm.objects.basic_api.api_client
        options = [*HTTPConnection.default_socket_options, *give_up(settings.read_timeout)]
        self._api.rest_client.pool_manager.connection_pool_kw["socket_options"] = options
        self._token = settings.auth.token.get_secret_value() if settings.auth.token is not None else ""
        self._renewing = threading.Lock()
        self._reads = Retrying(
            stop=stop_after_attempt(_READ_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.5, max=8),
            retry=retry_if_exception_type(RetriableError),
            sleep=sleep,
            reraise=True,
        )

    def portal_now(self) -> datetime:
        """The time by HubSpot's clock, as far as its answers told it: that is what its stamps follow (B29)."""
        return self.clock.now() - self.ahead

    def settle(self) -> None:
        """Wait until searches show everything that was written before."""
        self._sleep(self.settings.search_seconds)

    def get(
        self, family: str, path: str, purpose: Purpose, query: Mapping[str, str] | None = None, *, absent: bool = False
    ) -> Answer:
        """Read one thing. absent: whether a 404 is an answer, with its fault.

        Raises AuthError, RetriableError, RateLimitedError, ConfigurationError.
        """
        return self._read("GET", family, path, purpose, query=query, absent=absent)

    def ask(
        self,
        family: str,
        path: str,
        body: Mapping[str, Any],
        purpose: Purpose,
        query: Mapping[str, str] | None = None,
        *,
        refused: bool = False,
    ) -> Answer:
        """Read by POST: a search or a batch read. refused: whether a 400 or 404 is an answer, with its fault.

        Raises as get.
        """
        return self._read("POST", family, path, purpose, body=body, query=query, absent=refused, refused=refused)

    def change(
        self,
        method: str,
        family: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        purpose: Purpose,
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """Write, once. What was refused for its content comes back with its fault.

        Raises AuthError, RetriableError (it may have happened: only what has a key of its own may be repeated),
        RateLimitedError, ConfigurationError.
        """
        answer = self._call(method, family, path, purpose, body=body, query=query)
        if answer.fault is not None and answer.fault.error_class in _RAISED and answer.fault.status != LOCKED:
            raise answer.fault.error(f"HubSpot ({family}/{path})")
        return answer

    def _read(
        self,
        method: str,
        family: str,
        path: str,
        purpose: Purpose,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        absent: bool = False,
        refused: bool = False,
    ) -> Answer:
        def once() -> Answer:
            answer = self._call(method, family, path, purpose, body=body, query=query)
            fault = answer.fault
            if fault is None or (absent and fault.status == 404) or (refused and fault.status == 400):
                return answer
            error = fault.error(f"HubSpot ({family}/{_shape(path)})")
            if fault.status == LOCKED:
                self._sleep(_LOCKED_SECONDS)
            if fault.error_class in _RAISED:
                raise error
            raise ConfigurationError(error.what, where=error.where, do_next="Run crmdrip doctor.")

        answer: Answer = self._reads(once)
        return answer

    def _call(
        self,
        method: str,
        family: str,
        path: str,
        purpose: Purpose,
        *,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
    ) -> Answer:
        """One request, repeated where it certainly did not happen: a stale token, one search too many in a second."""
        if not self._token:
            self._renew("")
        window = _window_of(family, path)
        token, renewed, refused = self._token, False, 0
        target = path_of(family, path, self.settings.versions)
        while True:
            self.meter.spend(purpose)
            self._pace.wait(window)
            answer = self._send(method, target, token, body=body, query=query, window=window)
            fault = answer.fault
            if fault is None:
                return answer
            if fault.error_class is ErrorClass.AUTH and not renewed and self.settings.auth.oauth is not None:
                renewed, token = True, self._renew(token)
                continue
            if fault.policy == "SECONDLY" and refused < _SECONDLY_ATTEMPTS:
                refused += 1
                self._sleep(1.0)
                continue
            return answer

    def _send(
        self,
        method: str,
        path: str,
        token: str,
        *,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
        window: Window,
    ) -> Answer:
        try:
            response = self._api.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Authorization": f"Bearer {token}"},
                body=body,
                _preload_content=False,
                _request_timeout=(self.settings.connect_timeout, self.settings.read_timeout),
            )
            status, content, headers = response.status, response.data, _lower(response.headers)
        except ApiException as error:
            status, headers = error.status, _lower(error.headers or {})
            content = (error.body or "").encode()
        except urllib3.exceptions.HTTPError as error:
            # The cause's text may hold the path, and with it an address.
            raise RetriableError(
                f"no answer ({type(error).__name__}).",
                where=self.settings.base_url or "HubSpot",
                do_next="Start the sandbox: crmdrip sandbox --crm hubspot. For the real HubSpot remove base_url."
                if self.settings.base_url
                else "Check the way out to the network and status.hubspot.com, and try again later.",
            ) from None
        except AttributeError:
            # A TLS failure has no body, which the library decodes nevertheless (12.0.0, api_client.py, call_api).
            raise RetriableError("no secure connection.", where="HubSpot") from None
        if usage := read_usage(headers):
            self.meter.hear(*usage)
        if (most := headers.get("x-hubspot-ratelimit-max", "")).isdecimal() and len(most) <= 9:
            self._pace.hear(window, int(most))
        if status >= 300:
            return Answer(fault=read_fault(status, content, headers))
        try:
            answer = Answer(body=orjson.loads(content) if content else None)
        except orjson.JSONDecodeError:  # of a proxy, or cut short
            raise RetriableError("the answer is no JSON.", where=f"HubSpot ({_shape(path)})") from None
        if (at := answer.completed_at) is not None:
            self.ahead = self.clock.now() - at
        return answer

    def _renew(self, stale: str) -> str:
        """A token other than the stale one: a single renewal, however many threads met the same refusal."""
        app = self.settings.auth.oauth
        if app is None:
            return self._token
        with self._renewing:
            if self._token != stale:
                return self._token
            form = [
                ("grant_type", "refresh_token"),
                ("client_id", app.client_id),
                ("client_secret", app.client_secret.get_secret_value()),
                ("refresh_token", app.refresh_token.get_secret_value()),
            ]
            self.meter.spend(Purpose.STOP)
            try:
                response = self._api.call_api(
                    path_of("oauth", "token", self.settings.versions),
                    "POST",
                    header_params={"Content-Type": "application/x-www-form-urlencoded"},
                    post_params=form,
                    _preload_content=False,
                    _request_timeout=(self.settings.connect_timeout, self.settings.read_timeout),
                )
                token = str(orjson.loads(response.data)["access_token"])
            except ApiException as error:
                fault = read_fault(error.status, (error.body or "").encode(), _lower(error.headers or {}))
                if fault.error_class in (ErrorClass.RATE_LIMITED, ErrorClass.RETRIABLE):
                    raise fault.error("HubSpot (oauth/token)") from None
                raise AuthError(
                    "the app's refresh token is not accepted.",
                    where="HubSpot",
                    do_next="Install the app in the portal again, and set the refresh token it then gives.",
                ) from None
            except (urllib3.exceptions.HTTPError, AttributeError, KeyError, orjson.JSONDecodeError) as error:
                raise RetriableError(f"no new token ({type(error).__name__}).", where="HubSpot (oauth/token)") from None
            self._token = token
            return token


def _window_of(family: str, path: str) -> Window:
    """Which limit a call counts against: that of searches is one of objects alone."""
    if family == "associations":
        return Window.ASSOCIATIONS
    return Window.SEARCH if family == "objects" and path.endswith("/search") else Window.ALL


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _shape(path: str) -> str:
    """The path without what names a person."""
    return "/".join(part if not any(c.isdigit() or c == "%" for c in part) else "..." for part in path.split("/"))


def segment(text: str) -> str:
    """One part of a path, whatever stands in it."""
    return quote(text, safe="")


def chunks(values: Sequence[str], size: int = BATCH) -> Iterator[list[str]]:
    """The values in batches."""
    for start in range(0, len(values), size):
        yield list(values[start : start + size])
