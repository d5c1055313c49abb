"""What comes in by itself: through the door over HTTP, and into mailboxes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from crmdrip.core.model import Signal
from crmdrip.core.received import Delivery, RawMail
from crmdrip.ports.vendor import ConnectorContext


@dataclass(frozen=True, kw_only=True, slots=True)
class HookRequest:
    """A request at the door, as it came."""

    headers: Mapping[str, str]
    """Names in lower case; of one that was sent twice the last."""
    secret: str
    """What stood behind the hook's path in the address, "" when nothing did."""
    target: str = ""
    """Path and query as they were called, nothing decoded: some vendors sign them."""
    body: bytes
    """Untouched. b"" while only the headers have been read (`Hook.admits`)."""


class Hint(Protocol):
    """A way in by HTTP for whoever says that the CRM has changed: the next pull is made at once.

    Nothing else of it is believed, and nothing is stored. Called from several threads; makes no call.
    """

    source: str
    """"<connector>:<what>". The door answers at <prefix>/hooks/<connector>/<what>."""
    limit: int
    """Bytes of the largest body that is taken."""
    seconds: float
    """How long a whole body may take to come in."""

    def admits(self, request: HookRequest, now: datetime) -> bool:
        """Whether the headers and the address alone allow reading the body. Raises nothing."""
        ...

    def authentic(self, request: HookRequest, now: datetime) -> bool:
        """Whether the request with its body comes from the vendor. Raises nothing, whatever the bytes are (B28)."""
        ...


class Hook(Hint, Protocol):
    """A way in by HTTP whose deliveries, of its source, are stored and say something."""

    def read(self, delivery: Delivery) -> Iterable[Signal | RawMail]:
        """What a stored delivery says, in its order; the same every time it is read.

        A part that means nothing known is a Signal of kind UNKNOWN. Raises RejectedError for a delivery that cannot
        be read at all.
        """
        ...


@runtime_checkable
class OffersHints(Protocol):
    """A connector whose CRM tells of changes."""

    def build_hints(self, context: ConnectorContext) -> tuple[Hint, ...]:
        """The hints that the settings allow; makes no call. Raises ConfigurationError."""
        ...


@runtime_checkable
class OffersHooks(Protocol):
    """A connector whose vendor calls us."""

    def build_hooks(self, context: ConnectorContext) -> tuple[Hook, ...]:
        """The hooks that the settings allow; makes no call. Raises ConfigurationError."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class MailPage:
    """Emails since a cursor. Stored with its cursor in one transaction, none is lost and none is read twice."""

    mails: tuple[RawMail, ...]
    cursor: str
    """Opaque; give it back to continue after this page."""
    notes: tuple[str, ...] = ()
    """What people should know (an email too large to be read in full), without personal data."""


@runtime_checkable
class Mailbox(Protocol):
    """One folder into which people answer. Reads it and changes nothing: no flag, no email.

    One thread at a time drains and rests; wake and close may be called from any.
    """

    name: str
    """The account, and the folder where it is not the usual one: unique, for people and for the cursor."""
    source: str
    """Of its emails: "imap:<account>"."""

    def drain(self, cursor: str | None, within: float) -> Iterator[MailPage]:
        """Every email that was there when this was called and is new since the cursor, oldest first, in pages.

        Connects where it is needed, and asks a connection that was at rest whether it is still there: once the iterator
        has ended, nothing that came before the call is unread. The cursor None reads what came lately. After a page the
        iteration may be left off.
        within: seconds for the way to each page.
        Raises AuthError, RetriableError, RateLimitedError, ConfigurationError; what was yielded before stands.
        """
        ...

    def rest(self) -> None:
        """Return when an email may have come, after wake, or after a while. Raises RetriableError when cut off.

        Returns at once when nothing was drained yet, or the last drain failed.
        """
        ...

    def wake(self) -> None:
        """End the present rest; when there is none, the next. Raises nothing."""
        ...

    def close(self) -> None:
        """Give back the connection; nobody drains or rests any more. Raises nothing."""
        ...


@runtime_checkable
class OffersMailboxes(Protocol):
    """A connector of Role.MAILBOX."""

    def build_mailboxes(self, context: ConnectorContext) -> tuple[Mailbox, ...]:
        """The folders of one account; makes no call. Raises ConfigurationError."""
        ...
