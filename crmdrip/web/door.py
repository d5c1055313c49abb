"""The HTTP door: a Starlette application served by uvicorn in a thread of the daemon.

/healthz, /readyz, the address in every List-Unsubscribe header, and what vendors post (web.hooks). A GET changes
nothing (B22); a request is bounded in size, and nothing of it is stored unless it proves where it comes from (B28).
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Self
from urllib.parse import urlsplit

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmdrip.core.errors import ConfigurationError
from crmdrip.settings import is_loopback
from crmdrip.web.allowance import Allowance, Allowances
from crmdrip.web.clients import Clients, Network, read_networks
from crmdrip.web.health import Watch, describe
from crmdrip.web.pages import Pages
from crmdrip.web.unsubscribe import Unsubscribes
from crmdrip.web.unsubscribe_page import UnsubscribePage
from crmdrip.web.wire import HEAD_SECONDS, bounded_protocol

log = structlog.get_logger()

PER_SECOND = 200.0
BURST = 1_000
"""Requests: far above what people do, far below what keeps a ledger busy."""
CLIENT_PER_SECOND = 20.0
CLIENT_BURST = 200
"""Of one client: a mail scanner follows every link of a company's mail, and may share its address with people."""
CONCURRENT = 200
_LAST_PORT = 65535
START_SECONDS = 10.0
"""How long the server may take to listen."""

LOOPBACK = read_networks(("127.0.0.0/8", "::1/128"))
"""Where a web server before the door usually is."""

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Any of them: the request came through a proxy, so it is not from this machine whatever its address says."""


def build_app(
    *,
    watch: Watch,
    unsubscribes: Unsubscribes,
    pages: Pages,
    base_url: str,
    after: Callable[[Callable[[], None]], object],
    allowance: Allowances | None = None,
    hooks: Iterable[Route] = (),
    proxies: Iterable[Network] = LOOPBACK,
) -> Starlette:
    """The application. base_url: of unsubscribe links; its path is answered here. hooks: what vendors post to.

    after: runs a function once the answer is out; it must not raise for what the function does. proxies: the web
    servers before it, whose X-Forwarded-For is believed.
    """
    page = UnsubscribePage(
        unsubscribes=unsubscribes,
        pages=pages,
        clients=Clients(proxies),
        allowance=allowance or default_allowances(),
        after=after,
    )

    def healthz(request: Request) -> Response:
        health = watch()
        return JSONResponse(describe(health, in_full=_is_local(request)), status_code=200 if health.alive else 503)

    def readyz(request: Request) -> Response:
        health = watch()
        return JSONResponse(describe(health, in_full=_is_local(request)), status_code=200 if health.ready else 503)

    prefix = urlsplit(base_url).path.rstrip("/")
    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *hooks,
            Route(f"{prefix}/{{token}}", page.answer, methods=["GET", "POST"]),
        ],
        exception_handlers={404: lambda request, _: page.refuse(request)},
    )


def default_allowances() -> Allowances:
    """What the door answers of unsubscribe links."""
    everybody = Allowance(per_second=PER_SECOND, burst=BURST)
    return Allowances(everybody, per_second=CLIENT_PER_SECOND, burst=CLIENT_BURST)


def _is_local(request: Request) -> bool:
    """Whether whoever asks sits on this very machine, with no proxy between."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback(request.client.host)


def listen(address: tuple[str, int]) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises ConfigurationError when the address cannot be had.

    It is PortTakenError when another program has the port.
    """
    host, port = address
    try:
        return socket.create_server(
            address, family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=256, reuse_port=False
        )
    except OSError as error:
        raise explain_refusal(error, host, port) from error


class PortTakenError(ConfigurationError):
    """Another program listens where the door is to."""


def explain_refusal(error: OSError, host: str, port: int) -> ConfigurationError:
    """Why an address cannot be listened on, with what to type. host: as configured, without brackets."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return PortTakenError(
                f"another program has the port {port} of {host} already.",
                where="[web] listen",
                do_next=f"Stop it (ss -ltnp 'sport = :{port}' shows which it is), or type another port, such as"
                f' listen = "{place.removesuffix(str(port))}{port + 1 if port < _LAST_PORT else port - 1}"; or'
                ' listen = "" for no door.',
            )
        case errno.EACCES:
            why, advice = "this user may not take that port", f'Type a port above 1023, such as listen = "{host}:8025".'
        case errno.EADDRNOTAVAIL:
            why = "this machine has no such address"
            advice = f'Type listen = "127.0.0.1:{port}" for this machine alone, "0.0.0.0:{port}" for all its addresses.'
        case _:
            why, advice = error.strerror or str(error), 'Correct it, or type listen = "" for no door.'
    return ConfigurationError(f"the door cannot listen on {place} ({why}).", where="[web] listen", do_next=advice)


class Door:
    """Serves an application from a thread of its own; a context manager."""

    def __init__(self, bound: socket.socket) -> None:
        """bound: from `listen`, before anything else is begun, so that a taken port is known at once."""
        self._socket = bound
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._later = ThreadPoolExecutor(1, thread_name_prefix="door-after")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def after(self, work: Callable[[], None]) -> None:
        """Run it soon, one at a time; what it raises is logged."""

        def guarded() -> None:
            try:
                work()
            except Exception:
                log.exception("door_work_broke")

        self._later.submit(guarded)

    def settle(self) -> None:
        """Wait until everything given to `after` is done."""
        self._later.submit(lambda: None).result()

    def serve(
        self, app: Starlette, *, proxies: Iterable[Network] = LOOPBACK, head_seconds: float = HEAD_SECONDS
    ) -> Self:
        """Begin to answer. Raises ConfigurationError when the server does not come up.

        proxies: as in build_app. head_seconds: how long whoever asks may take to say what.
        """
        config = uvicorn.Config(
            app,
            loop="asyncio",
            # On h11, which bounds a request's head at 64 KB; httptools does not.
            http=bounded_protocol(Clients(proxies), connections=CONCURRENT, seconds=head_seconds),
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",  # a warning for each request that is none would let strangers fill the disk
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONCURRENT,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        self._server = server
        self._thread = threading.Thread(target=server.run, kwargs={"sockets": [self._socket]}, name="door", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise ConfigurationError("the door did not open.", where="[web] listen", do_next="See the log.")
            time.sleep(0.005)
        log.info("door_opened", port=self.port)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=10)
        self._later.shutdown(wait=True)
        self._socket.close()
