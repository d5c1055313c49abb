"""The Mailer port over SendGrid: which email is handed over, and what became of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from importlib.metadata import version
from queue import SimpleQueue
from urllib.parse import urlsplit

from connectors.sendgrid.client import SendGridClient
from connectors.sendgrid.exchange import Answer
from connectors.sendgrid.log import find_touch
from connectors.sendgrid.payload import PayloadBuilder
from connectors.sendgrid.settings import SendGridSettings, build_tls
from connectors.sendgrid.transport import Endpoint, Transport
from connectors.sendgrid.verdict import RULES, SANDBOX_RULES, Rules, judge, wait_of
from crmdrip.core.errors import ErrorClass, RejectedError
from crmdrip.ports import Capability, Clock, EmailMessage, LogFinding, SendOutcome, SendStatus

REPORT_SIZE = 128
"""Outcomes handed over at once; fewer when a moment passes first."""

STOPPING = frozenset({ErrorClass.AUTH, ErrorClass.RATE_LIMITED})
"""What holds for every further email as well, so that asking for each would only cost."""


class SendGridMailer:
    """Hands emails to SendGrid, one per request."""

    def __init__(self, settings: SendGridSettings, clock: Clock, client: SendGridClient) -> None:
        """Makes no call. Raises ConfigurationError when ca_file holds no certificate."""
        self._clock = clock
        self._client = client
        self._builder = PayloadBuilder(settings)
        self._rules = SANDBOX_RULES if settings.sandbox_mode else RULES
        self._transport: Transport[EmailMessage] = Transport(build_endpoint(settings))

    def capabilities(self) -> frozenset[Capability]:
        """The Email Logs can be asked."""
        return frozenset({Capability.OUTCOME_LOOKUP})

    def send(self, messages: Iterable[EmailMessage]) -> Generator[SendOutcome, None, None]:
        """Hand over each message once, `connections` at a time. Begins at the first outcome asked for.

        Whoever stops asking stops the sending: what had not been begun then is not sent.
        """
        batch = _Sending(list(messages), self._builder, self._clock, self._rules)
        self._transport.begin(batch)
        try:
            yield from batch.outcomes()
        finally:
            batch.give_up()

    def find(self, touch_id: str, address: str, since: datetime) -> LogFinding:
        """Ask the Email Logs. Raises AuthError, RetriableError, RateLimitedError."""
        return find_touch(self._client, touch_id, address, since)

    def close(self) -> None:
        """Drop all connections; emails under way come back UNKNOWN."""
        self._transport.close()
        self._client.close()


def build_endpoint(settings: SendGridSettings) -> Endpoint:
    """Where and how emails are posted. Raises ConfigurationError when ca_file holds no certificate."""
    parts = urlsplit(settings.url)
    secure = parts.scheme == "https"
    head = (
        "POST /v3/mail/send HTTP/1.1\r\n"
        f"Host: {parts.netloc}\r\n"
        f"Authorization: Bearer {settings.api_key.get_secret_value()}\r\n"
        "Content-Type: application/json\r\n"
        "Accept: application/json\r\n"
        f"User-Agent: crmdrip/{version('crmdrip')}\r\n"
    )
    return Endpoint(
        host=parts.hostname or "",
        port=parts.port or (443 if secure else 80),
        tls=build_tls(settings) if secure else None,
        head=head.encode("latin-1"),
        connections=settings.connections,
        connect_timeout=settings.connect_timeout,
        request_timeout=settings.request_timeout,
        idle_timeout=settings.idle_timeout,
    )


class _Sending:
    """One call of send. It lives in the transport's thread, except for `outcomes` and `give_up`."""

    def __init__(self, messages: list[EmailMessage], builder: PayloadBuilder, clock: Clock, rules: Rules) -> None:
        self._waiting = deque(messages)
        self._builder = builder
        self._clock = clock
        self._rules = rules
        self._total = self._unsettled = len(messages)
        self._ready: list[SendOutcome] = []
        self._reported: SimpleQueue[list[SendOutcome]] = SimpleQueue()
        self._unwanted = False

    # the caller's thread

    def outcomes(self) -> Iterator[SendOutcome]:
        """One outcome per message, as they come."""
        left = self._total
        while left:
            chunk = self._reported.get()
            left -= len(chunk)
            yield from chunk

    def give_up(self) -> None:
        """Nobody asks for outcomes any more: begin no further message."""
        self._unwanted = True

    # transport.Batch

    def waiting(self) -> int:
        return len(self._waiting)

    def take(self) -> tuple[EmailMessage, bytes] | None:
        if self._unwanted:
            self._waiting.clear()
        while self._waiting:
            message = self._waiting.popleft()
            if message.not_after is not None and self._clock.now() > message.not_after:
                self._refuse(message, ErrorClass.RETRIABLE, "not attempted: the last look at the record is too old")
                continue
            try:
                return message, self._builder.build(message)
            except RejectedError as error:
                self._refuse(message, ErrorClass.REJECTED, error.what)
            except Exception as error:  # noqa: BLE001 - whatever a broken email raises, its sender must not wait for ever
                self._refuse(message, ErrorClass.REJECTED, f"the email cannot be written ({type(error).__name__})")
        return None

    def take_back(self, ticket: EmailMessage) -> None:
        self._waiting.appendleft(ticket)

    def settle(self, ticket: EmailMessage, answer: Answer) -> None:
        verdict = judge(answer, self._rules)
        retry_after = wait_of(answer, self._clock.now()) if verdict.error is ErrorClass.RATE_LIMITED else None
        self._add(
            SendOutcome(
                touch_id=ticket.touch_id,
                status=verdict.status,
                provider_id=verdict.provider_id,
                error=verdict.error,
                detail=verdict.detail,
                retry_after=retry_after,
            )
        )
        if verdict.error in STOPPING:
            self._refuse_waiting(verdict.error, f"not attempted after {verdict.detail}"[:255], retry_after)

    def lose(self, ticket: EmailMessage, why: str) -> None:
        self._add(
            SendOutcome(
                touch_id=ticket.touch_id, status=SendStatus.UNKNOWN, error=ErrorClass.OUTCOME_UNKNOWN, detail=why
            )
        )

    def abandon(self, why: str) -> None:
        self._refuse_waiting(ErrorClass.RETRIABLE, why)

    def report(self) -> None:
        if self._ready:
            ready, self._ready = self._ready, []
            self._reported.put(ready)

    def _refuse_waiting(self, error: ErrorClass, detail: str, retry_after: float | None = None) -> None:
        waiting, self._waiting = self._waiting, deque()
        for message in waiting:
            self._refuse(message, error, detail, retry_after)

    def _refuse(self, message: EmailMessage, error: ErrorClass, detail: str, retry_after: float | None = None) -> None:
        self._add(
            SendOutcome(
                touch_id=message.touch_id,
                status=SendStatus.REFUSED,
                error=error,
                detail=detail,
                retry_after=retry_after,
            )
        )

    def _add(self, outcome: SendOutcome) -> None:
        self._ready.append(outcome)
        self._unsettled -= 1
        if self._unsettled == 0 or len(self._ready) >= REPORT_SIZE:
            self.report()
