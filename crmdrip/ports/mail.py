"""The mail provider: handing over emails, asking its log, and what it tells when asked."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from crmdrip.core.errors import ErrorClass
from crmdrip.core.message import EmailMessage
from crmdrip.core.model import Signal
from crmdrip.core.struct import Struct
from crmdrip.ports.outside import Capability


class SendStatus(StrEnum):
    """What is known after handing one email to the provider."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """Certainly not taken; error says whether it may be tried again."""
    UNKNOWN = "unknown"
    """It may have been taken."""


class SendOutcome(Struct, frozen=True, kw_only=True):
    """The outcome of one email."""

    touch_id: str
    status: SendStatus
    provider_id: str = ""
    """The provider's id of the request, when accepted."""
    error: ErrorClass | None = None
    detail: str = ""
    """Status and message for people; no address, no body. Begins with "address:" when the recipient's address itself
    was refused."""
    retry_after: float | None = None
    """Seconds, where the provider said."""


class Finding(StrEnum):
    """What the provider's log says of a touch."""

    SENT = "sent"
    NOT_FOUND = "not_found"
    """The log has no such touch. Proves nothing soon after the attempt."""
    UNAVAILABLE = "unavailable"
    """The log cannot be asked (SMTP, missing scope)."""


class LogFinding(Struct, frozen=True, kw_only=True):
    """An answer to "did this touch go out?"."""

    touch_id: str
    finding: Finding
    provider_id: str = ""
    at: datetime | None = None

    def sent_at(self, now: datetime, *, otherwise: datetime) -> datetime:
        """When the log says that it went out, unless that cannot be: years ago, or still to come."""
        if self.at is None or not now - _LONG_AGO <= self.at <= now + _CLOCKS_APART:
            return otherwise
        return self.at


_LONG_AGO, _CLOCKS_APART = timedelta(days=3_650), timedelta(days=1)


@runtime_checkable
class Mailer(Protocol):
    """Hands emails to a provider, one message per request."""

    def capabilities(self) -> frozenset[Capability]:
        """What this provider offers. Raises nothing."""
        ...

    def send(self, messages: Iterable[EmailMessage]) -> Generator[SendOutcome, None, None]:
        """Hand over each message once, several at a time; yields one outcome per message, as they come.

        Closing the generator ends the sending: what had not been begun then is not sent. A message whose not_after is
        past is not begun either, and comes back REFUSED with ErrorClass.RETRIABLE.
        Never repeats a request by itself. A definite refusal, a refused connection and a failed name look-up are
        REFUSED; anything after the body may have left is UNKNOWN. Raises nothing once sending has begun: an
        AuthError for the first message is an outcome with ErrorClass.AUTH, and the rest are not attempted and
        come back REFUSED with the same class.
        """
        ...

    def find(self, touch_id: str, address: str, since: datetime) -> LogFinding:
        """Ask the provider's log whether the touch went out.

        Raises AuthError, RetriableError, RateLimitedError.
        """
        ...

    def close(self) -> None:
        """Give back connections. Raises nothing."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalPage:
    """Signals since a cursor."""

    signals: tuple[Signal, ...]
    cursor: str


@runtime_checkable
class SignalFeed(Protocol):
    """A source of signals that is asked regularly (a provider's suppression lists)."""

    def poll(self, cursor: str | None) -> Iterator[SignalPage]:
        """Signals since the cursor, page by page. Raises AuthError, RetriableError, RateLimitedError."""
        ...
