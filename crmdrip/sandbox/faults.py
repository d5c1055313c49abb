"""Faults on demand: which request goes wrong, and how. Shared by every stand-in.

A fault is a value and can come from JSON, so that tests, the demo and the pages ask for the same trouble in the same
words. What a status or a body means belongs to the stand-in; here it is only answered, before or after the work.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from crmdrip.sandbox.http import Handler, Request, Response


class FaultKind(StrEnum):
    """What goes wrong."""

    ANSWER = "answer"
    """The given answer comes in the work's place: nothing was done."""
    ANSWER_AFTER = "answer_after"
    """The work is done, and then the given answer comes (a 503 after the commit)."""
    CUT = "cut"
    """The connection is cut, and nothing was done."""
    CUT_AFTER = "cut_after"
    """The work is done, and the connection is cut before the answer."""
    SLOW = "slow"
    """The work is done, and the true answer comes `delay` seconds late."""
    SHORT_PAGE = "short_page"
    """A page of results has at most `rows` rows, with a way to the next. Played by the stand-in itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One kind of trouble for the requests it matches."""

    kind: FaultKind
    method: str = ""
    """"" matches every method."""
    path: str = ""
    """A regular expression searched in the decoded path; "" matches every path."""
    after: int = 0
    """How many matching requests pass unharmed first."""
    times: int | None = 1
    """How many are harmed then; None is all of them."""
    probability: float = 1.0
    """Of being harmed, for each request that would be."""
    status: int = 503
    body: str = ""
    content_type: str = "application/json;charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the answer."""
    rows: int = 200
    """For SHORT_PAGE."""

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Fault:
        """The fault a JSON object describes by the field names above. Raises ValueError with what is wrong."""
        unknown = sorted(set(value) - {spec.name for spec in fields(Fault)})
        if unknown:
            raise ValueError(f"a fault has no {', '.join(unknown)}")
        if "kind" not in value:
            raise ValueError(f"a fault needs a kind, one of {', '.join(FaultKind)}")
        try:
            re.compile(str(value.get("path", "")))
        except re.error as error:
            raise ValueError(f"path is no regular expression: {error}") from error
        return Fault(**{**value, "kind": FaultKind(value["kind"])})

    def matches(self, request: Request) -> bool:
        """Whether the request is of the kind that is harmed."""
        return self.method in ("", request.method) and re.search(self.path, request.path) is not None

    def answer(self) -> Response:
        """The fault's own answer, for the kinds that have one."""
        return Response(
            status=self.status,
            body=self.body.encode(),
            content_type=self.content_type,
            headers=self.headers,
            delay=self.delay,
        )


@dataclass(kw_only=True, slots=True)
class _Armed:
    """A fault with what it has seen so far."""

    fault: Fault
    seen: int = 0
    harmed: int = 0


Predicate = Callable[[Request], Fault | None]


class Faults:
    """The faults armed on one stand-in. The first that matches harms the request; chance comes from the seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._armed: list[_Armed] = []
        self.predicate: Predicate | None = None
        """Asked when no armed fault harms the request: for trouble no Fault can describe."""
        self.played: list[Fault] = []
        """Every fault that harmed a request, in order."""

    def add(self, *faults: Fault) -> None:
        """Arm further faults."""
        self._armed.extend(_Armed(fault=fault) for fault in faults)

    def clear(self) -> None:
        """Disarm everything; what was played stays known."""
        self._armed.clear()
        self.predicate = None

    def take(self, request: Request) -> Fault | None:
        """The fault that harms this request, counted as played; None for none."""
        fault = self._first(request) if self._armed else None
        if fault is None and self.predicate is not None:
            fault = self.predicate(request)
        if fault is not None:
            self.played.append(fault)
        return fault

    def _first(self, request: Request) -> Fault | None:
        for armed in self._armed:
            fault = armed.fault
            if not fault.matches(request):
                continue
            armed.seen += 1
            if armed.seen <= fault.after or (fault.times is not None and armed.harmed >= fault.times):
                continue
            if fault.probability < 1.0 and self._random.random() >= fault.probability:
                continue
            armed.harmed += 1
            return fault
        return None

    def apply(self, request: Request, handler: Handler) -> Response:
        """Answer the request by the handler, harmed by the fault that is due."""
        fault = self.take(request)
        return handler(request) if fault is None else play(fault, request, handler)


def play(fault: Fault, request: Request, handler: Handler) -> Response:
    """Answer one request as the fault wants it. SHORT_PAGE changes nothing here."""
    match fault.kind:
        case FaultKind.ANSWER:
            return fault.answer()
        case FaultKind.CUT:
            return Response(cut=True, delay=fault.delay)
        case FaultKind.ANSWER_AFTER:
            handler(request)
            return fault.answer()
        case FaultKind.CUT_AFTER:
            handler(request)
            return Response(cut=True, delay=fault.delay)
        case FaultKind.SLOW:
            response = handler(request)
            response.delay += fault.delay
            return response
        case FaultKind.SHORT_PAGE:
            return handler(request)
