"""The reads of SendGrid's API: JSON over kept connections, safe to repeat, errors as members of the taxonomy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import urllib3
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random
from urllib3.connection import HTTPConnection

from connectors.sendgrid.exchange import Answer
from connectors.sendgrid.settings import SendGridSettings, build_tls
from connectors.sendgrid.verdict import describe_errors, wait_of
from crmdrip.core.errors import AuthError, ConfigurationError, RateLimitedError, RejectedError, RetriableError
from crmdrip.ports import Clock
from crmdrip.ports.lines import give_up

ATTEMPTS = 3
READ_TIMEOUT = 20.0
"""Seconds. Generous: filtering the Email Logs is slow on busy accounts."""


class SendGridClient:
    """Asks, and never sends. May be used from several threads."""

    def __init__(self, settings: SendGridSettings, clock: Clock) -> None:
        """Makes no call. Raises ConfigurationError when ca_file holds no certificate."""
        self._url = settings.url
        trusting = settings.url.startswith("https:") or settings.ca_file is not None
        self._clock = clock
        self._pool = urllib3.PoolManager(
            maxsize=4,
            retries=False,
            timeout=urllib3.Timeout(connect=settings.connect_timeout, read=READ_TIMEOUT),
            socket_options=[*HTTPConnection.default_socket_options, *give_up(READ_TIMEOUT)],
            ssl_context=build_tls(settings) if trusting else None,
            headers={
                "Authorization": f"Bearer {settings.api_key.get_secret_value()}",
                "Accept": "application/json",
            },
        )

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The JSON at a path.

        Raises AuthError (401), ConfigurationError (403: a missing permission; a redirect), RateLimitedError,
        RejectedError (404 and any other 4xx), RetriableError (no answer, or 5xx, three times).
        """
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path, None)

    def search(self, path: str, question: Mapping[str, Any]) -> Any:
        """The JSON a POST that only reads gives. Raises as get."""
        return self._ask("POST", path, orjson.dumps(question))

    def close(self) -> None:
        """Give back connections."""
        self._pool.clear()

    def _ask(self, method: str, target: str, body: bytes | None) -> Any:
        repeat = Retrying(
            retry=retry_if_exception_type(RetriableError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=0.1, max=2) + wait_random(0, 0.1),
            reraise=True,
        )
        return repeat(self._ask_once, method, target, body)

    def _ask_once(self, method: str, target: str, body: bytes | None) -> Any:
        where = f"{method} {target.partition('?')[0]}"
        headers = {**self._pool.headers, **({"Content-Type": "application/json"} if body is not None else {})}
        try:
            response = self._pool.request(method, self._url + target, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise RetriableError(f"SendGrid did not answer ({type(error).__name__})", where=where) from error
        status = response.status
        if status == 200:
            try:
                return orjson.loads(response.data)
            except orjson.JSONDecodeError as error:
                raise RetriableError("SendGrid's answer is not JSON", where=where) from error
        what = describe_errors(status, response.data)
        if status == 401:
            raise AuthError(what, where=where, do_next="Give mail.sendgrid.api_key a valid key.")
        if status in {403, 405} or 300 <= status < 400:
            raise ConfigurationError(what, where=where, do_next="Grant the API key this permission.")
        if status == 429:
            answer = Answer(
                status=status,
                headers={name.lower().encode(): value.encode() for name, value in response.headers.items()},
                body=b"",
            )
            raise RateLimitedError(what, where=where, retry_after=wait_of(answer, self._clock.now()))
        if status < 500:
            raise RejectedError(what, where=where)
        raise RetriableError(what, where=where)


def path_segment(value: str) -> str:
    """A value as one segment of a path."""
    return quote(value, safe="")
