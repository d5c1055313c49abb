"""What the core needs from outside, as protocols; what each method raises is part of the contract.

A connector implements one or more of these. `crmdrip.testing` has a contract suite for each. Every method is
synchronous, may block on the network within the connector's own time-outs, and is called from several threads.
Methods raise only members of the taxonomy in `crmdrip.core.errors`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from crmdrip.core.errors import ErrorClass
from crmdrip.core.mapping import CrmMapping
from crmdrip.core.message import EmailMessage
from crmdrip.core.model import (
    Brake,
    Owner,
    Record,
    RecordRef,
    SequenceDraft,
    Signal,
    TouchRecord,
)
from crmdrip.core.received import Delivery, RawMail
from crmdrip.core.struct import Struct
from crmdrip.core.writes import (
    ASKED,
    ApprovalWrite,
    BounceWrite,
    ControlWrite,
    OptOutWrite,
    ReplyWrite,
    SequenceWrite,
    StatusWrite,
    TaskWrite,
    TouchWrite,
    Write,
)

__all__ = [
    "ASKED",
    "ApprovalWrite",
    "BounceWrite",
    "Budget",
    "Capability",
    "CheckLevel",
    "CheckResult",
    "Clock",
    "Connector",
    "ConnectorContext",
    "ControlWrite",
    "CrmIdentity",
    "CrmMapping",
    "CrmSink",
    "CrmSource",
    "Delivery",
    "EmailMessage",
    "Finding",
    "Hint",
    "Hook",
    "HookRequest",
    "LogFinding",
    "Look",
    "MailPage",
    "Mailbox",
    "Mailer",
    "OffersHints",
    "OffersHooks",
    "OffersMailboxes",
    "OptOutWrite",
    "PullPage",
    "RawMail",
    "ReplyWrite",
    "Role",
    "SendOutcome",
    "SendStatus",
    "SequenceWrite",
    "SignalFeed",
    "SignalPage",
    "StatusWrite",
    "TaskWrite",
    "TouchWrite",
    "Write",
    "WriteOutcome",
]  # fmt: skip


class Clock(Protocol):
    """Where "now" comes from."""

    def now(self) -> datetime:
        """The current time, aware UTC."""
        ...


class Capability(StrEnum):
    """What a connector can do beyond the bare port."""

    LEADS = "leads"
    MERGES = "merges"
    CONVERSION = "conversion"
    SIGNALS = "signals"
    """Meetings, opportunities and inbound email come with the pull."""
    ONE_PER_ADDRESS = "one_per_address"
    """No two records have the same address; the CRM refuses a second and keeps addresses in lower case."""
    OUTCOME_LOOKUP = "outcome_lookup"
    """A mailer that can be asked whether a touch went out."""


# --- CRM, reading -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class CrmIdentity:
    """Which CRM account answers."""

    org_id: str
    name: str
    sandbox: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PullPage:
    """One page of changes. Saving its cursor with what it caused makes progress that is never lost."""

    sequences: tuple[SequenceDraft, ...] = ()
    """Changed sequences, each whole with all its steps."""
    removed_sequences: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    """Changed records that are ticked, or carry a status the daemon wrote; with deletions and merges. After the first
    pull also those that opted out or bounced: a twin may be in a sequence."""
    signals: tuple[Signal, ...] = ()
    brake: Brake | None = None
    """None when the page did not look."""
    cursor: str
    """Opaque; give it back to continue after this page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """The last look: the asked records as they are now, and what happened since the cursor."""

    records: Mapping[str, Record]
    """By record id. A record that is gone is absent."""
    signals: tuple[Signal, ...]
    brake: Brake | None
    at: datetime
    """The CRM's own time of the look, or ours where the CRM gives none."""
    statuses: Mapping[str, str | None] = field(default_factory=dict)
    """The status of each sequence asked for as it stands now, in our words; None for one that is gone. Empty where the
    CRM cannot tell within the look: then what was pulled last counts."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """What keeps a sequence asked for from being followed as it stands, as a sentence: a field of its stop condition
    that is hidden by now. Its people wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """CRM calls: what the CRM says of its limit and what was used. None where the CRM does not tell."""

    used: int | None
    limit: int | None
    calls_made: int
    """By this process since it began."""


@runtime_checkable
class CrmSource(Protocol):
    """Reads the CRM."""

    def capabilities(self) -> frozenset[Capability]:
        """What this CRM offers. Raises nothing."""
        ...

    def identity(self) -> CrmIdentity:
        """Which account answers. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        ...

    def pull(self, cursor: str | None) -> Iterator[PullPage]:
        """Everything changed since the cursor, page by page, oldest first; None reads all that is live.

        People come with every pull. Where that saves a call, other things may wait for the next one, but never the
        sequences for somebody who may enter one. Repeats are possible (an overlap is read again), losses are not. Each
        page can be saved by itself.
        Raises AuthError, RetriableError, RateLimitedError, ConfigurationError (a hidden field, a missing object).
        """
        ...

    def look(
        self,
        refs: Iterable[RecordRef],
        paths: frozenset[str],
        cursor: str | None,
        sequences: Iterable[str] = (),
        heartbeat: ControlWrite | None = None,
    ) -> Look:
        """Read the records by id, in as few calls as the limits allow, with the merge paths asked for.

        cursor: the newest pull cursor; signals since then come along. sequences: ids of those whose status is wanted
        too, where it costs little. heartbeat: left beside the brake, where there is a place for it; a look that could
        not leave it just now fails. Never uses a search index.
        Raises as pull, and UnknownPathsError for merge paths that nobody here can see.
        """
        ...

    def owners(self, ids: Iterable[str]) -> Mapping[str, Owner]:
        """The users behind the ids; absent when there is no such user. Raises as pull."""
        ...

    def find(self, text: str) -> tuple[Record, ...]:
        """Records by id, by email address, or by name: for commands that take a PERSON. Raises as pull."""
        ...

    def records_of(self, addresses: Iterable[str]) -> tuple[Record, ...]:
        """Every record of these normalized addresses, in sequences or not, in as few calls as the limits allow.

        Where an opt-out has to be written. Raises as pull.
        """
        ...

    def signals(self, since: datetime) -> tuple[Signal, ...]:
        """What happened since a time, whatever was pulled: for a ledger that was lost and with it what it had heard.

        Raises as pull.
        """
        ...

    def touches(self, cursor: str | None) -> Iterator[tuple[tuple[TouchRecord, ...], str]]:
        """All touches on timelines, page by page with a cursor each, archived ones included. Raises as pull."""
        ...

    def budget(self) -> Budget:
        """As of the last answer; makes no call. Raises nothing."""
        ...


# --- CRM, writing -----------------------------------------------------------------------------------------------


class WriteOutcome(Struct, frozen=True, kw_only=True):
    """What became of one write."""

    key: str
    error: ErrorClass | None = None
    """None when it stands in the CRM (also when it already stood there under our key)."""
    code: str = ""
    """The vendor's code (UNABLE_TO_LOCK_ROW)."""
    detail: str = ""
    """The vendor's message, for people."""


@runtime_checkable
class CrmSink(Protocol):
    """Writes the CRM."""

    def write(self, writes: Iterable[Write]) -> Iterator[WriteOutcome]:
        """Write everything, each at most once under its key, in as few calls as the limits allow.

        Yields one outcome per write, in any order, as batches are answered; after a batch fails as a whole its
        rows are tried one by one or in halves. Raises AuthError, RateLimitedError, RetriableError or
        ConfigurationError only when nothing further can be written now; what was not yielded was not settled.
        """
        ...


# --- mail ---------------------------------------------------------------------------------------------------------


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


# --- what comes in by the door ------------------------------------------------------------------------------------


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


# --- what comes in by mail ----------------------------------------------------------------------------------------


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


# --- doctor and registry ------------------------------------------------------------------------------------------


class CheckLevel(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    """The daemon refuses to send."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """One finding of the doctor."""

    code: str
    """Stable, such as "SF-OPTOUT-HIDDEN"."""
    level: CheckLevel
    what: str
    do_next: str = ""


class Role(StrEnum):
    """The ports a connector can fill."""

    CRM = "crm"
    MAILER = "mailer"
    MAILBOX = "mailbox"
    """Implements OffersMailboxes as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectorContext:
    """What a connector is built with."""

    settings: Any
    """An instance of the connector's own settings model, already validated."""
    mapping: CrmMapping | None
    """For CRM connectors."""
    clock: Clock
    account: str = ""
    """For mailboxes: the name the account has in the configuration."""
    extras: Mapping[str, Any] = field(default_factory=dict)


class Connector(Protocol):
    """What an entry point of group "crmdrip.connectors" names: how to configure, build and check a vendor."""

    name: str
    role: Role
    settings_model: type[Any]
    """A pydantic model (strict); its fields are documented in config.example.toml."""

    def build_source(self, context: ConnectorContext) -> CrmSource:
        """For Role.CRM. Makes no call. Raises ConfigurationError."""
        ...

    def build_sink(self, context: ConnectorContext, source: CrmSource) -> CrmSink:
        """For Role.CRM; shares the source's session and budget. Makes no call."""
        ...

    def build_mailer(self, context: ConnectorContext) -> Mailer:
        """For Role.MAILER. Makes no call. Raises ConfigurationError."""
        ...

    def build_feed(self, context: ConnectorContext) -> SignalFeed | None:
        """For Role.MAILER: the provider's suppression lists, None when it has none."""
        ...

    def check(self, context: ConnectorContext) -> Iterator[CheckResult]:
        """Every preflight check of this vendor, in order; makes calls; raises nothing."""
        ...
