"""How requests leave: with time-outs always, and to a stand-in on this machine when one is configured.

simple-salesforce sets no time-out anywhere and writes https:// into every URL, so both belong below it, in the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from connectors.salesforce.settings import SalesforceSettings
from crmdrip.ports.lines import give_up

_POOL = 8
"""Kept connections: the daemon's four workers, the console and a command or two."""


class TimeoutAdapter(HTTPAdapter):
    """Every request has a time-out, whatever the caller forgot, and none arrives after it was given up."""

    def __init__(self, timeout: tuple[float, float], ca_file: Path | None = None) -> None:
        """timeout: seconds to connect, and to wait for a byte. ca_file: trusted instead of the system's."""
        self._timeout = timeout
        self._ca_file = ca_file
        super().__init__(pool_connections=_POOL, pool_maxsize=_POOL)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Called by requests when the adapter is made."""
        super().init_poolmanager(*args, **kwargs, socket_options=self._socket_options())

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Called by requests for what goes through a proxy."""
        return super().proxy_manager_for(proxy, **kwargs, socket_options=self._socket_options())

    def _socket_options(self) -> list[Any]:
        return [*HTTPConnection.default_socket_options, *give_up(self._timeout[1])]

    def send(  # noqa: PLR0917 - the signature of requests
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - the signature of requests
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002 - the signature of requests
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send with the time-out. Raises what requests raises."""
        trusted = verify if self._ca_file is None else str(self._ca_file)
        return super().send(request, stream, timeout or self._timeout, trusted, cert, proxies)


class LoopbackAdapter(TimeoutAdapter):
    """Takes requests for https://*.salesforce.com to a server on this machine; Host says who was meant."""

    def __init__(self, target: str, timeout: tuple[float, float], ca_file: Path | None = None) -> None:
        self._target = urlsplit(target)
        super().__init__(timeout, ca_file)

    def send(  # noqa: PLR0917 - the signature of requests
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - the signature of requests
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002 - the signature of requests
        cert: Any = None,  # noqa: ARG002 - the signature of requests
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002 - no proxy stands before this machine
    ) -> requests.Response:
        """Send to the stand-in; the answer carries the URL that was meant. Raises what requests raises."""
        meant = urlsplit(request.url or "")
        real = request.copy()
        real.headers["Host"] = str(meant.netloc)
        real.url = meant._replace(scheme=self._target.scheme, netloc=self._target.netloc).geturl()
        response = super().send(real, stream, timeout, verify=verify, cert=None, proxies={})
        response.url, response.request = request.url or "", request
        return response


def open_session(settings: SalesforceSettings) -> requests.Session:
    """A pooled session for Salesforce alone."""
    timeout = (settings.connect_timeout, settings.read_timeout)
    session = requests.Session()
    session.trust_env = not settings.base_url  # a proxy or .netrc of the environment is for the real Salesforce only
    session.mount(
        "https://",
        LoopbackAdapter(settings.base_url, timeout, settings.ca_file)
        if settings.base_url
        else TimeoutAdapter(timeout, settings.ca_file),
    )
    return session
