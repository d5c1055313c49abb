"""HTTP to one Salesforce org through simple-salesforce, wrapped once.

Everything leaves as the composite resource: up to 25 requests, of them at most five queries or collections, count as
one API call (REST API guide, "Send Multiple Requests Using Composite", read 2026-11-24). Knows no record or mapping.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import orjson
import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from connectors.salesforce.auth import Token, request_token
from connectors.salesforce.codes import Fault, read_fault, response_fault
from connectors.salesforce.envelope import open_envelope, read_json
from connectors.salesforce.library import Salesforce
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.transport import open_session
from crmdrip.core.errors import RetriableError
from crmdrip.ports import CallMeter, Clock, Purpose

PARTS = 25
HEAVY_PARTS = 5
_READ_ATTEMPTS = 3
_USAGE = re.compile(r"(?<![\w-])api-usage=([0-9]{1,15})/([0-9]{1,15})(?![0-9])")

_REFUSED_INSIDE = frozenset({"NOT_FOUND", "METHOD_NOT_ALLOWED", "INVALID_INPUT", "UNSUPPORTED_OPERATION"})
"""Codes by which an org may refuse a collection inside a composite that it takes on its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One request inside a composite call."""

    name: str
    """Letters, digits and underscores (the vendor's rule for referenceId)."""
    path: str
    """Below /services/data/vNN.0/."""
    method: str = "GET"
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def collection(self) -> bool:
        """Whether it is a request for many records."""
        return self.path.startswith("composite/sobjects")

    @property
    def query(self) -> bool:
        """Whether it is a query, or a further page of one."""
        return self.path.startswith("query")

    @property
    def heavy(self) -> bool:
        """Whether it counts among the five."""
        return self.collection or self.query


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back for one part."""

    status: int
    body: Any
    refusal: Fault | None = None
    """Where it was understood already."""

    @property
    def fault(self) -> Fault | None:
        """None for a success."""
        return None if self.status < 300 else self.refusal or read_fault(self.status, self.body)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What came back for all parts."""

    parts: Mapping[str, Answer]
    at: datetime
    """A time at or before which everything was read: the CRM's own clock where it tells, else ours."""

    def body(self, name: str) -> Any:
        """The part's body. Raises the error of its fault."""
        answer = self.parts[name]
        if (fault := answer.fault) is not None:
            raise fault.error(f"Salesforce ({name})")
        return answer.body


class Refused(Exception):  # noqa: N818 - an answer on its way up, not an error yet
    """The org answered, and not with a success."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


class Wire(Salesforce):
    """simple-salesforce reduced to `restful`.

    Its own request loop logs in up to three times per 401, drops per-call headers on the way, and fails on error bodies
    that are no list; its `sf.Contact` path loops without end (1.12.10, api.py). The loop is ours: one refresh per 401.
    """

    def __init__(
        self,
        *,
        session: requests.Session,
        version: str,
        login: Callable[[], Token],
        before: Callable[[Purpose], None],
        after: Callable[[requests.Response], None],
    ) -> None:
        self._login = login
        self._before = before
        self._after = after
        self._renewing = threading.Lock()
        self.token = login()
        super().__init__(session_id=self.token.access_token, instance=self.token.host, version=version, session=session)

    def _call_salesforce(
        self, method: str, url: str, name: str = "", retries: int = 0, max_retries: int = 3, **kwargs: Any
    ) -> requests.Response:
        """One request. Raises Refused and the taxonomy's errors; nothing of simple-salesforce or requests."""
        del retries, max_retries
        purpose: Purpose = kwargs.pop("purpose")
        extra = kwargs.pop("headers", None) or {}
        token, renewed = self.token, False
        while True:
            self._before(purpose)
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token.access_token}", **extra}
            target = url.replace(f"https://{self.sf_instance}/", f"https://{token.host}/", 1)
            try:
                # To follow a redirect would make a GET of a POST, without its body.
                response = self.session.request(method, target, headers=headers, allow_redirects=False, **kwargs)
            except requests.RequestException as error:
                # The cause's text holds the URL, and with it addresses in a query.
                raise RetriableError(f"no answer ({type(error).__name__}).", where=f"Salesforce ({name})") from None
            self._after(response)
            # The session has ended; or the org has moved, and a login tells where to.
            if (response.status_code == 401 or response.is_redirect) and not renewed:
                renewed, token = True, self._renew(token)
                continue
            if response.status_code >= 300:
                raise Refused(response_fault(response))
            return response

    def _renew(self, stale: Token) -> Token:
        """A token other than the stale one: a single login, however many threads met the same 401."""
        with self._renewing:
            if self.token is stale:
                self.token = self._login()
            return self.token

    def parse_result_to_json(self, result: requests.Response) -> Any:
        """Leave the body as it came: whoever asked decodes as much of it as is needed at a time."""
        return result.content

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(name)  # no sf.Contact, no sf.bulk: those paths loop and have no time-outs


def read_usage(header: str | None) -> tuple[int, int] | None:
    """The org's day as (used, limit) from a Sforce-Limit-Info header ("api-usage=18/15000; api-bursts=1/750")."""
    found = _USAGE.search(header or "")
    return (int(found[1]), int(found[2])) if found else None


class SalesforceClient:
    """One org, one session, one budget; shared by source, sink and checks, and by their threads."""

    def __init__(
        self, settings: SalesforceSettings, clock: Clock, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.meter = CallMeter(
            clock,
            vendor="Salesforce",
            account="org",
            renews="Wait: the org's count rolls on over 24 hours.",
            daily_cap=settings.daily_cap,
            reserve=settings.reserve,
        )
        self._session = open_session(settings)
        self._wire: Wire | None = None
        self._opening = threading.Lock()
        self._dates = threading.local()
        self._collections_apart = False
        self.skew: float | None = None
        """Seconds our clock was ahead of the org's at the last answer, None before the first that told."""
        self._reads = Retrying(
            stop=stop_after_attempt(_READ_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.5, max=8),
            retry=retry_if_exception_type(RetriableError),
            sleep=sleep,
            reraise=True,
        )

    @property
    def token(self) -> Token:
        """The present session; logs in at first use. Raises AuthError, RetriableError, ConfigurationError."""
        return self._open().token

    def user_id(self) -> str:
        """Our own user. A login tells it; a session that somebody else has opened is asked, in a call.

        Raises AuthError, RetriableError, RateLimitedError, ConfigurationError.
        """
        if told := self.token.user_id:
            return told
        # The resources of a version end with "identity": https://login.salesforce.com/id/00D.../005... (REST API guide,
        # "List Available REST Resources").
        found = str((self.call("GET", "", Purpose.LOOK) or {}).get("identity", "")).rpartition("/")[2]
        return found if found.startswith("005") else ""

    def read(self, parts: Sequence[Part], purpose: Purpose) -> Answers:
        """Answer all parts in as few calls as the limits allow; a failed call is repeated, being only a read.

        A part's own failure is in its answer. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError.
        """
        return self._gather(parts, lambda chunk: self._reads.copy()(self._composite, chunk, purpose), purpose)

    def write(self, parts: Sequence[Part], purpose: Purpose) -> Answers:
        """As read, but each call goes out once: the caller knows by its keys what may be repeated."""
        return self._gather(parts, lambda chunk: self._composite(chunk, purpose), purpose)

    def call(
        self, method: str, path: str, purpose: Purpose, *, content: bytes | None = None, content_type: str = ""
    ) -> Any:
        """One request as it is, outside of any composite, and once; the answer's body. Raises the taxonomy's errors."""
        headers = {"Content-Type": content_type} if content_type else {}
        try:
            answer: bytes | None = self._open().restful(
                path, method=method, purpose=purpose, headers=headers, data=content
            )
        except Refused as refused:
            raise refused.fault.error(f"Salesforce ({path.partition('/')[0]})") from None
        return read_json(answer) if answer else None

    def _gather(
        self, parts: Sequence[Part], call: Callable[[Sequence[Part]], Mapping[str, Answer]], purpose: Purpose
    ) -> Answers:
        answers: dict[str, Answer] = {}
        earliest: datetime | None = None
        for chunk in _chunks(parts):
            apart = [part for part in chunk if self._collections_apart and part.collection]
            together = [part for part in chunk if part not in apart]
            if together:
                answers.update(call(together))
                at = self._heard()
                earliest = at if earliest is None else min(at, earliest)
            refused = [part for part in together if part.collection and _refused_inside(answers[part.name])]
            for part in (*apart, *refused):
                answers[part.name] = self._alone(part, purpose)
                self._collections_apart |= part in refused and answers[part.name].fault is None
                earliest = self._heard() if earliest is None else earliest
        return Answers(parts=answers, at=earliest or self.clock.now())

    def _composite(self, parts: Sequence[Part], purpose: Purpose) -> dict[str, Answer]:
        root = f"/services/data/v{self.settings.api_version}/"
        subrequests = []
        for part in parts:
            one: dict[str, Any] = {"method": part.method, "url": root + part.path, "referenceId": part.name}
            if part.body is not None:
                one["body"] = part.body
            if part.headers:
                one["httpHeaders"] = dict(part.headers)
            subrequests.append(one)
        # Uncollated: collation would reorder writes, and ignores our headers.
        body = {"allOrNone": False, "collateSubrequests": False, "compositeRequest": subrequests}
        headers: dict[str, str] = {}
        for part in parts:
            headers.update(part.headers)
        try:
            subresponses = open_envelope(self._send("POST", "composite", body, headers, purpose))
        except Refused as refused:
            raise refused.fault.error("Salesforce (composite)") from None
        queries = {part.name for part in parts if part.query}
        if {one.referenceId for one in subresponses} != {part.name for part in parts}:
            raise RetriableError("the answer is not about what was asked.", where="Salesforce (composite)")
        found = {
            one.referenceId: Answer(
                status=one.httpStatusCode,
                body=one.read_query() if one.httpStatusCode < 300 and one.referenceId in queries else one.read(),
            )
            for one in subresponses
        }
        for fault in (one.fault for one in found.values()):
            if fault is not None and fault.code in {"REQUEST_LIMIT_EXCEEDED", "INVALID_SESSION_ID"}:
                raise fault.error("Salesforce (composite)")
        return found

    def _alone(self, part: Part, purpose: Purpose) -> Answer:
        """One part as a call of its own, for an org that takes no collections inside a composite."""
        try:
            content = self._send(part.method, part.path, part.body, part.headers, purpose)
        except Refused as refused:
            return Answer(status=refused.fault.status, body=None, refusal=refused.fault)
        return Answer(status=200, body=read_json(content) if content else None)

    def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str], purpose: Purpose) -> bytes:
        """The body of the answer, as it came."""
        self._dates.asked, self._dates.answered = self.clock.now(), None
        content: bytes | None = self._open().restful(
            path,
            method=method,
            purpose=purpose,
            headers=dict(headers),
            data=None if body is None else orjson.dumps(body),
        )
        return content or b""  # it makes None of an empty one

    def _open(self) -> Wire:
        with self._opening:
            if self._wire is None:
                self._wire = Wire(
                    session=self._session,
                    version=self.settings.api_version,
                    login=lambda: request_token(self._session, self.settings, self.clock.now()),
                    before=self.meter.spend,
                    after=self._hear,
                )
            return self._wire

    def _hear(self, response: requests.Response) -> None:
        if usage := read_usage(response.headers.get("Sforce-Limit-Info")):
            self.meter.hear(*usage)
        if date := response.headers.get("Date"):
            try:
                told = parsedate_to_datetime(date).astimezone(UTC)
            except (ValueError, OverflowError):
                return
            self._dates.answered = told - response.elapsed
            self.skew = (self.clock.now() - told).total_seconds()

    def _heard(self) -> datetime:
        """The time of the last call of this thread, on the CRM's clock, rounded down to the second."""
        at: datetime = self._dates.answered or self._dates.asked
        return at.replace(microsecond=0) - timedelta(seconds=1)


def _refused_inside(answer: Answer) -> bool:
    fault = answer.fault
    return fault is not None and fault.code in _REFUSED_INSIDE


def _chunks(parts: Sequence[Part]) -> Iterator[Sequence[Part]]:
    """Split into calls of at most 25 parts, five of them heavy; the order is kept."""
    chunk: list[Part] = []
    heavy = 0
    for part in parts:
        if len(chunk) == PARTS or (part.heavy and heavy == HEAVY_PARTS):
            yield chunk
            chunk, heavy = [], 0
        chunk.append(part)
        heavy += part.heavy
    if chunk:
        yield chunk
