"""How the demo times a stop: from the oldest request of a reading to its end, and only where runs ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from crmdrip.demo import latency
from crmdrip.demo.latency import Arrivals, Latency


class World:
    """A door, a clock and a ledger in one: `stopped` runs have ended, and each reading ends `next_stops` more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.stopped = 0
        self.next_stops = 0
        self.waiting: list[Callable[[], None]] = []
        monkeypatch.setattr(latency.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(latency.passes, "drain", lambda _: self._drain())
        monkeypatch.setattr(latency.runs, "count_stops", lambda _: {"replied": self.stopped})
        parts: Any = SimpleNamespace(ledger=SimpleNamespace(read=self._read))
        self.latency = Latency(parts, self.waiting.append)

    @contextmanager
    def _read(self) -> Iterator[None]:
        yield

    def _drain(self) -> None:
        self.now += 0.25
        self.stopped += self.next_stops

    def post(self) -> None:
        """A request arrives, and takes a while to be stored."""
        self.latency.arrived()
        self.now += 0.5
        self.latency.stored()

    def read(self) -> None:
        """What waits is read."""
        for work in self.waiting:
            work()
        self.waiting.clear()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_stop_is_timed_from_the_arrival_of_its_answer(world: World) -> None:
    """Storing and reading are part of it."""
    world.next_stops = 1
    world.post()
    world.read()
    assert world.latency.told() == {"median": 0.75, "max": 0.75}


def test_what_stops_nothing_is_not_timed(world: World) -> None:
    """An open, say."""
    world.post()
    world.read()
    assert world.latency.told() == {"median": 0.0, "max": 0.0}


def test_several_requests_read_together_count_from_the_oldest(world: World) -> None:
    """So that what is told is never too short; the next reading begins anew."""
    world.next_stops = 2
    world.post()
    world.post()
    world.read()
    world.next_stops = 1
    world.post()
    world.read()
    assert world.latency.seconds[0] == 1.25
    assert world.latency.told()["max"] == 1.25


def test_only_posts_to_hooks_are_arrivals(world: World) -> None:
    """An unsubscribe page is no webhook."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    for path in ("/u/token", "/hooks/sendgrid/events"):
        asyncio.run(Arrivals(app, world.latency)({"type": "http", "path": path}, None, None))  # type: ignore[arg-type]  # never called
    assert seen == ["/u/token", "/hooks/sendgrid/events"]
    world.next_stops = 1
    world.now += 2
    world.latency.stored()
    world.read()
    assert world.latency.told()["max"] == 2.25
