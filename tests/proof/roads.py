"""What vendors and mail programs post, on its way to the door of the daemon that is at work.

The door is the daemon's own application, asked without a socket and in a thread of its own, as uvicorn would ask it.
What the stand-ins post comes by here: it arrives, or nobody is there; the answer is lost, so that it comes again; it
comes twice, or after what was posted later. Vendors post again as they do, by the sandbox's clock.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urlsplit

from mortality import Killed
from starlette.applications import Starlette
from watch import Watch

from crmdrip.config import Settings
from crmdrip.daemon.parts import Parts
from crmdrip.sandbox.courier import Done, Errand, Outcome
from crmdrip.web.door import build_app
from crmdrip.web.health import Health
from crmdrip.web.hooks import Hooks
from crmdrip.web.pages import Pages
from crmdrip.web.unsubscribe import Unsubscribes

NO_ANSWER = Outcome(problem="no answer")


class Fate(StrEnum):
    """What happens to one request on its way."""

    ARRIVES = "arrives"
    NOBODY_THERE = "nobody there"
    """Refused before anything was read: the vendor posts it again."""
    ANSWER_LOST = "answer lost"
    """It was taken, and the vendor believes that it was not."""
    TWICE = "twice"
    """At once, as it is."""
    OVERTAKEN = "overtaken"
    """By whatever is posted next."""


class Door:
    """The door of one process, until the process ends."""

    def __init__(self, parts: Parts, settings: Settings) -> None:
        self.hinted = False
        """Whether the CRM has told of a change since the last pull."""
        self._later: list[Callable[[], None]] = []
        keys = tuple(key.get_secret_value() for key in settings.unsubscribe.keys)
        secrets = [secret.get_secret_value() for secret in settings.web.hint_secrets]
        self._hooks = Hooks(parts, secrets, on_stored=lambda: None, on_hint=self._hint)
        self.app: Starlette = build_app(
            watch=lambda: Health(alive=True, ready=True),
            unsubscribes=Unsubscribes(parts, keys),
            pages=Pages(settings.sender.company, settings.sender.postal_address, settings.sender.language),
            base_url=settings.unsubscribe.base_url,
            after=self._later.append,
            hooks=self._hooks.routes(settings.web.prefix),
        )

    def _hint(self) -> None:
        self.hinted = True

    def settle(self) -> None:
        """What the door does once its answers are out. A process that ended before never did it."""
        while self._later:
            self._later.pop(0)()

    @property
    def fates(self) -> Counter[str]:
        """What became of all requests."""
        total: Counter[str] = Counter()
        for counts in self._hooks.figures.read().values():
            total.update(counts)
        return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a door answered."""

    status: int
    body: bytes


class Roads:
    """All roads to the door. A context manager.

    door: whose it is now, None while no process is there.
    """

    def __init__(self, door: Callable[[], Door | None], watch: Watch) -> None:
        self._door = door
        self._watch = watch
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="roads", daemon=True)
        self.fates: list[Fate] = []
        """Of the next requests."""
        self.posted = watch.figures.posted
        self.taken: list[Errand] = []
        """Those that were answered with 2xx, oldest first."""
        self._behind: list[tuple[Errand, Done]] = []

    def open(self) -> None:
        """From now on."""
        self._thread.start()

    def close(self) -> None:
        """No more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def post(self, errand: Errand, done: Done) -> None:
        """One request of somebody's, in the sandbox's thread."""
        fate = self.fates.pop(0) if self.fates else Fate.ARRIVES
        if fate is Fate.OVERTAKEN:
            self.posted[fate.value] += 1
            self._behind.append((errand, done))
            return
        self._carry(errand, done, fate)
        self.let_through()

    def let_through(self) -> None:
        """What was overtaken arrives as well."""
        while self._behind:
            self._carry(*self._behind.pop(0), Fate.ARRIVES)

    def post_again(self, number: int) -> None:
        """A vendor whose answer was lost long after it came, or somebody who replays what they saw (B23, B28)."""
        if self.taken:
            self.posted["replayed"] += 1
            self._carry(self.taken[-1 - number % len(self.taken)], lambda _: None, Fate.ARRIVES)

    def _carry(self, errand: Errand, done: Done, fate: Fate) -> None:
        if fate is not Fate.ARRIVES:
            self.posted[fate.value] += 1
        if fate is Fate.NOBODY_THERE:
            done(NO_ANSWER)
            return
        outcome = self._ask(errand)
        if fate is Fate.TWICE:
            outcome = self._ask(errand)
        self._watch.at_door = True
        try:
            done(NO_ANSWER if fate is Fate.ANSWER_LOST else outcome)
        finally:
            self._watch.at_door = False

    def _ask(self, errand: Errand) -> Outcome:
        door = self._door()
        what = name_of(errand)
        if door is None:
            self.posted["down"] += 1
            return NO_ANSWER
        self.posted[what] += 1
        try:
            answer = asyncio.run_coroutine_threadsafe(ask(door.app, errand), self._loop).result()
        except Killed:
            self.posted["killed"] += 1
            return NO_ANSWER
        good = 200 <= answer.status < 300
        if not good:
            self.posted[f"answered {answer.status}"] += 1
        elif self._door() is not door:
            return NO_ANSWER  # killed with the answer in its hands
        else:
            self.taken.append(errand)
            self._watch.heard(errand)
        problem = "" if good else f"answered with {answer.status}"
        return Outcome(status=answer.status, problem=problem, body=answer.body)


def name_of(errand: Errand) -> str:
    """What is posted: "events", "inbound", "changes", "hint", "unsubscribe"."""
    path = urlsplit(errand.url).path
    if path.startswith("/hooks/"):
        return path.split("/")[3]
    return "hint" if path.startswith("/hints/") else f"unsubscribe {errand.method}"


async def ask(app: Starlette, errand: Errand) -> Answer:
    """One request to an application. Raises what it raises."""
    url = urlsplit(errand.url)
    headers = {"host": url.netloc, "content-length": str(len(errand.body)), **errand.headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": errand.method,
        "scheme": "http",
        "path": unquote(url.path),
        "raw_path": url.path.encode(),
        "query_string": url.query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("203.0.113.9", 40_000),
        "server": (url.hostname, url.port),
    }
    sent: list[dict[str, Any]] = []
    bodies = [errand.body]

    async def receive() -> dict[str, Any]:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    body = b"".join(one.get("body", b"") for one in sent if one["type"] == "http.response.body")
    return Answer(status=int(sent[0]["status"]), body=body)
