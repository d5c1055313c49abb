"""What vendors post: authenticity first, on the untouched body; then stored raw; then answered; read later by a pass.

Knows no vendor: who may post and what it means is the hook's to say. Nothing of a request that is not authentic is
stored, nothing tells it why, and its body is not read where its headers give it away (B28). What we could not store is
answered so that the vendor tries again.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crmdrip.core.errors import CrmdripError
from crmdrip.core.received import Delivery
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import received
from crmdrip.ports import Hint, Hook, HookRequest
from crmdrip.web.allowance import Allowance
from crmdrip.web.body import Body, Bounds, Refusal, Room

log = structlog.get_logger()

HINT_BOUNDS = Bounds(limit=64 * 1024, seconds=10)
"""Of a hint's body, which nobody looks at: a Salesforce flow sends what it likes."""
_LINES, _LINES_PER_SECOND = 100, 0.2
"""Refused requests that are logged one by one."""
HINTS = "crm:hint"
"""The source of hints, in figures."""


class Fate(StrEnum):
    """What became of a request."""

    STORED = "stored"
    REPEATED = "repeated"
    """Stored before: answered as if it were new."""
    HINTED = "hinted"
    NOT_AUTHENTIC = "not_authentic"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    CUT_OFF = "cut_off"
    NO_ROOM = "no_room"
    NOT_STORED = "not_stored"
    """Through our own fault."""


_ANSWERS: Mapping[Fate, tuple[int, Mapping[str, str]]] = {
    Fate.STORED: (200, {}),
    Fate.REPEATED: (200, {}),
    Fate.HINTED: (202, {}),
    # The rest of what is not read to its end would be taken for the next request.
    Fate.NOT_AUTHENTIC: (403, {"Connection": "close"}),
    Fate.EMPTY: (400, {}),
    Fate.TOO_LARGE: (413, {"Connection": "close"}),
    Fate.TOO_SLOW: (408, {"Connection": "close"}),
    Fate.CUT_OFF: (400, {"Connection": "close"}),
    Fate.NO_ROOM: (503, {"Connection": "close", "Retry-After": "30"}),
    Fate.NOT_STORED: (503, {"Retry-After": "60"}),
}


class Figures:
    """How many requests had which fate, since the door opened. In memory alone: a stranger writes nothing here."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Fate]] = {}
        self._lock = threading.Lock()

    def add(self, source: str, fate: Fate) -> None:
        """One more."""
        with self._lock:
            self._counts.setdefault(source, Counter())[fate] += 1

    def read(self) -> dict[str, dict[str, int]]:
        """By source and fate."""
        with self._lock:
            return {source: {fate.value: n for fate, n in counts.items()} for source, counts in self._counts.items()}


class Hooks:
    """The endpoints of all hooks, and of hints."""

    def __init__(
        self,
        parts: Parts,
        hint_secrets: Iterable[str] = (),
        *,
        on_stored: Callable[[], None],
        on_hint: Callable[[], None],
        room: Room | None = None,
    ) -> None:
        """hint_secrets: any of them opens the way for hints; none closes it.

        on_stored: something new waits to be read. on_hint: the CRM has changed. Both return at once.
        """
        self._parts = parts
        self._hooks = {source.replace(":", "/"): hook for source, hook in parts.hooks.items()}
        self._hints = {source.replace(":", "/"): hint for source, hint in parts.hints.items()}
        self._secrets = tuple(secret.encode() for secret in hint_secrets)
        self._on_stored = on_stored
        self._on_hint = on_hint
        self._room = room or Room()
        self.figures = Figures()
        self._lines = Allowance(per_second=_LINES_PER_SECOND, burst=_LINES)

    def routes(self, prefix: str) -> list[Route]:
        """prefix: of the paths, "" for none."""
        methods = ["POST", "HEAD"]
        paths = [f"{prefix}/hooks/{{connector}}/{{name}}", f"{prefix}/hooks/{{connector}}/{{name}}/{{secret}}"]
        routes = [Route(path, self.receive, methods=methods) for path in paths]
        if self._secrets:
            routes.append(Route(f"{prefix}/hints/{{secret}}", self.hint, methods=methods))
        return routes

    async def receive(self, request: Request) -> Response:
        """One post of a vendor."""
        path = "{connector}/{name}".format_map(request.path_params)
        hook, hint = self._hooks.get(path), self._hints.get(path)
        asked: Hint
        act: Callable[[HookRequest], Fate]
        if hook is not None:
            asked, act = hook, partial(self._store, hook)
        elif hint is not None:
            asked, act = hint, partial(self._wake, hint)
        else:
            raise HTTPException(404)
        if request.method == "HEAD":
            return Response(status_code=200)  # some consoles ask so whether anybody is there
        return self._answer(asked.source, await self._take(asked, request, act))

    async def hint(self, request: Request) -> Response:
        """The CRM says that something changed; nothing is believed but that it is worth a look."""
        if not self._knows(request.path_params["secret"]):
            return self._answer(HINTS, Fate.NOT_AUTHENTIC)
        if request.method == "HEAD":
            return Response(status_code=200)
        with Body(self._room) as body:
            read = await body.read(request, HINT_BOUNDS)
        if isinstance(read, Refusal):
            return self._answer(HINTS, Fate(read.value))
        self._on_hint()
        return self._answer(HINTS, Fate.HINTED)

    async def _take(self, hook: Hint, request: Request, act: Callable[[HookRequest], Fate]) -> Fate:
        asked = HookRequest(
            headers={name.lower(): value for name, value in request.headers.items()},
            secret=request.path_params.get("secret", ""),
            target=_target(request),
            body=b"",
        )
        now = self._parts.clock.now()
        if not hook.admits(asked, now):
            return Fate.NOT_AUTHENTIC
        with Body(self._room) as body:
            read = await body.read(request, Bounds(limit=hook.limit, seconds=hook.seconds))
            if isinstance(read, Refusal):
                return Fate(read.value)
            return await run_in_threadpool(act, replace(asked, body=read))

    def _wake(self, hint: Hint, asked: HookRequest) -> Fate:
        if not hint.authentic(asked, self._parts.clock.now()):
            return Fate.NOT_AUTHENTIC
        self._on_hint()
        return Fate.HINTED

    def _store(self, hook: Hook, asked: HookRequest) -> Fate:
        now = self._parts.clock.now()
        if not hook.authentic(asked, now):
            return Fate.NOT_AUTHENTIC
        if not asked.body:
            return Fate.EMPTY
        delivery = Delivery(
            source=hook.source,
            key=hashlib.sha256(asked.body).hexdigest(),
            body=asked.body,
            content_type=asked.headers.get("content-type", "")[:255],
            received_at=now,
        )
        try:
            self._parts.ledger.require_room()
            with self._parts.ledger.write() as connection:
                new = received.store(connection, [delivery])
        except CrmdripError as error:
            log.error("delivery_not_stored", source=hook.source, error_class=error.error_class.value)  # noqa: TRY400 - foreseen
            return Fate.NOT_STORED
        if not new:
            return Fate.REPEATED
        self._on_stored()
        return Fate.STORED

    def _knows(self, secret: str) -> bool:
        # All are compared, so that the time taken tells nothing.
        matches = [hmac.compare_digest(mine, secret.encode("utf-8", "replace")) for mine in self._secrets]
        return any(matches)

    def _answer(self, source: str, fate: Fate) -> Response:
        self.figures.add(source, fate)
        # The figures hold all of them; a line for each would let strangers fill the disk.
        if fate not in (Fate.STORED, Fate.REPEATED, Fate.HINTED) and self._lines.take():
            log.info("request_refused", source=source, fate=fate.value)
        status, headers = _ANSWERS[fate]
        return Response(status_code=status, headers=dict(headers))


def _target(request: Request) -> str:
    """Path and query as they were called."""
    path: bytes = request.scope.get("raw_path") or b""
    query: bytes = request.scope.get("query_string") or b""
    return (path + b"?" + query if query else path).decode("latin-1")
