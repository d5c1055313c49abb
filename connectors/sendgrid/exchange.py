"""What goes over a transport: requests to be made, answers, and how far what was not answered got."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Enum):
    """How far a request got for which no answer came."""

    NOT_SENT = "not_sent"
    """Not one byte of it was handed to the operating system."""
    IN_DOUBT = "in_doubt"
    """Some or all of it may have been read by the other side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the other side said."""

    status: int
    headers: dict[bytes, bytes]
    """Names in lower case; of a repeated name the last."""
    body: bytes
    """As far as it came: a connection may break after the status line."""


class Batch(Protocol[T]):
    """Requests to be made, and the place for what becomes of them. Called in the transport's thread only."""

    def waiting(self) -> int:
        """How many requests take() may still give."""
        ...

    def take(self) -> tuple[T, bytes] | None:
        """The next request with its body, None when there is none left."""
        ...

    def settle(self, ticket: T, answer: Answer) -> None:
        """The request was answered."""
        ...

    def lose(self, ticket: T, progress: Progress, why: str) -> None:
        """No answer came, and none will."""
        ...

    def abandon(self, why: str) -> None:
        """Nothing was sent of all that take() has not yet given, and nothing will be."""
        ...

    def report(self) -> None:
        """Hand over what was settled since the last report."""
        ...
