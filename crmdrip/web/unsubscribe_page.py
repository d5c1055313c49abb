"""The page behind every unsubscribe link: a GET asks and changes nothing (B22), a POST acts.

A mail program's one-click request (RFC 8058) always means all email: it shows no choice, and its user was asked no
question. Less than all is for who presses the other button of the page. There is no button that takes an unsubscribe
back: the link is in every forwarded copy of an email, and only the person can agree to be mailed again.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from crmdrip.core.errors import CrmdripError
from crmdrip.core.tokens import Unsubscriber
from crmdrip.web.allowance import Allowances
from crmdrip.web.body import Body, Bounds, Refusal, Room
from crmdrip.web.clients import Clients
from crmdrip.web.pages import HEADERS, SCOPE, SEQUENCE, Page, Pages
from crmdrip.web.unsubscribe import Unsubscribes

log = structlog.get_logger()

BODY_LIMIT = 8 * 1024
"""Bytes. RFC 8058's body has 26; a browser's form fewer."""
BODY_SECONDS = 10.0
_ROOM = 4 * 1024 * 1024
"""Bytes of bodies held at once: of more connections than there are."""
FIELDS = 10
"""Form fields that are read."""

After = Callable[[Callable[[], None]], object]
"""Runs a function once the answer is out; does not raise for what the function does."""


_STATUSES = {Refusal.TOO_LARGE: 413, Refusal.TOO_SLOW: 408, Refusal.CUT_OFF: 400, Refusal.NO_ROOM: 503}


class UnsubscribePage:
    """Answers requests to one unsubscribe link."""

    def __init__(
        self, *, unsubscribes: Unsubscribes, pages: Pages, clients: Clients, allowance: Allowances, after: After
    ) -> None:
        self._clients = clients
        self._room = Room(_ROOM)
        self._unsubscribes = unsubscribes
        self._pages = pages
        self._allowance = allowance
        self._after = after

    async def answer(self, request: Request) -> Response:
        """GET, HEAD or POST of a link. Raises nothing that was foreseen."""
        accepted = request.headers.get("accept-language", "")
        if not self._allowance.take(self._clients.of(request)):
            return _respond(self._pages.later(accepted), 429, {"Retry-After": "1"})
        who = self._unsubscribes.read(request.path_params["token"])
        if who is None:
            return self.refuse(request)
        try:
            if request.method != "POST":
                name = await run_in_threadpool(self._unsubscribes.public_name, who)
                return _respond(self._pages.ask(accepted, name))
            with Body(self._room) as reading:
                body = await reading.read(request, Bounds(limit=BODY_LIMIT, seconds=BODY_SECONDS))
            if isinstance(body, Refusal):
                page = self._pages.unknown(accepted) if body is Refusal.TOO_LARGE else self._pages.later(accepted)
                return _respond(page, _STATUSES[body], {"Connection": "close"})
            if who.sequence and _is_for_one_sequence(body):
                return await self._leave(who, accepted)
            new = await run_in_threadpool(self._unsubscribes.accept, who)
        except CrmdripError as error:
            log.error("unsubscribe_not_stored", error_class=error.error_class.value)  # noqa: TRY400 - no traceback: it was foreseen
            # Mail providers repeat a one-click POST that failed (RFC 8058 section 3.2 leaves it to them).
            return _respond(self._pages.later(accepted), 503, {"Retry-After": "60"})
        if new:
            self._after(lambda: self._unsubscribes.tell(new))
        return _respond(self._pages.done(accepted))

    def refuse(self, request: Request) -> Response:
        """For a link that is not ours."""
        return _respond(self._pages.unknown(request.headers.get("accept-language", "")), 404)

    async def _leave(self, who: Unsubscriber, accepted: str) -> Response:
        await run_in_threadpool(self._unsubscribes.leave, who)
        name = await run_in_threadpool(self._unsubscribes.public_name, who)
        return _respond(self._pages.left(accepted, name) if name else self._pages.done(accepted))


def _respond(page: Page, status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    return HTMLResponse(
        page.text, status_code=status, headers={**HEADERS, "Content-Language": page.language, **(headers or {})}
    )


def _is_for_one_sequence(body: bytes) -> bool:
    """Whether a form asks for less than everything. Whatever else is posted, readable or not, means all email."""
    try:
        form = parse_qs(body.decode("ascii"), max_num_fields=FIELDS)
    except ValueError:
        return False
    return form.get(SCOPE) == [SEQUENCE] and "List-Unsubscribe" not in form
