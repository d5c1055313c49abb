"""What goes over a transport: requests to be made, answers, and how far what was not answered got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


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

    def take_back(self, ticket: T) -> None:
        """Not one byte of the request was handed to the operating system: take() may give it again, if still wanted."""
        ...

    def settle(self, ticket: T, answer: Answer) -> None:
        """The request was answered."""
        ...

    def lose(self, ticket: T, why: str) -> None:
        """No answer came, and none will; some or all of the request may have been read by the other side."""
        ...

    def abandon(self, why: str) -> None:
        """Nothing was sent of all that take() has not yet given, and nothing will be."""
        ...

    def report(self) -> None:
        """Hand over what was settled since the last report."""
        ...
