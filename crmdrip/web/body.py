"""Reading a request's body within bounds: of its size, of its time, and of the memory that all bodies take together."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from enum import Enum
from typing import Self

from starlette.requests import ClientDisconnect, Request

CHUNK_SECONDS = 20.0
"""How long a sender may be silent in the middle of a body."""
ROOM = 96 * 1024 * 1024
"""Bytes of bodies held at once: three of the largest mails, or twenty batches of events."""


class Refusal(Enum):
    """Why a body was not read to its end."""

    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    NO_ROOM = "no_room"
    CUT_OFF = "cut_off"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How much of a body is read."""

    limit: int
    """Bytes."""
    seconds: float
    """For the whole body."""


class Room:
    """The memory that bodies may take together."""

    def __init__(self, size: int = ROOM) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether so many bytes more may be held; counts them if so."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        """So many bytes are held no more."""
        with self._lock:
            self._left += size


class Body:
    """One body while it is read and used; a context manager that gives its room back."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._room.give(self._taken)

    async def read(self, request: Request, bounds: Bounds) -> bytes | Refusal:
        """The whole body, untouched, or why there is none. What is refused is not read on."""
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdecimal() and int(announced[:18]) > bounds.limit:
            return Refusal.TOO_LARGE
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(bounds.seconds):
                stream = request.stream()
                while True:
                    async with asyncio.timeout(min(CHUNK_SECONDS, bounds.seconds)):
                        chunk = await anext(stream, None)
                    if chunk is None:
                        break
                    size += len(chunk)
                    if size > bounds.limit:
                        return Refusal.TOO_LARGE
                    if not self._take(len(chunk)):
                        return Refusal.NO_ROOM
                    chunks.append(chunk)
        except TimeoutError:
            return Refusal.TOO_SLOW
        except ClientDisconnect:
            return Refusal.CUT_OFF
        if not self._take(size):  # joined, it is held twice for a moment
            return Refusal.NO_ROOM
        return b"".join(chunks)

    def _take(self, size: int) -> bool:
        if not self._room.take(size):
            return False
        self._taken += size
        return True
