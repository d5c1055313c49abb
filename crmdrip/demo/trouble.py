"""A bad fortnight: every kind of failure of both vendors, dealt by a seed over each day. Promises hold all the same."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from crmdrip.demo.crm import DemoCrm, Fault

_SEND = "/v3/mail/send"
_PAGE = "<html><body>upstream error</body></html>"


def _vendor(message: str) -> str:
    return f'{{"errors":[{{"message":"{message}","field":null,"help":null}}]}}'


_SENDGRID: tuple[Fault, ...] = (
    {
        "kind": "answer",
        "path": _SEND,
        "status": 401,
        "body": _vendor("The provided authorization grant is invalid, expired, or revoked"),
    },
    {"kind": "answer", "path": _SEND, "status": 429, "body": _vendor("too many requests")},
    {"kind": "answer", "path": _SEND, "status": 500, "body": _vendor("Internal Server Error")},
    # Accepted, and then an answer that does not say so: what a careless sender sends twice.
    {"kind": "answer_after", "path": _SEND, "status": 502, "body": _PAGE, "content_type": "text/html"},
    {"kind": "answer_after", "path": _SEND, "status": 503, "body": _PAGE, "content_type": "text/html"},
    {"kind": "cut", "path": _SEND},
    {"kind": "cut_after", "path": _SEND, "times": 2},
    {"kind": "slow", "path": _SEND, "delay": 0.2, "times": 2},
    {"kind": "answer", "path": "/v3/logs", "status": 500, "body": _vendor("Internal Server Error")},
    {"kind": "answer", "path": "/v3/suppression", "status": 500, "body": _vendor("Internal Server Error")},
)


def deal(seed: int, day: int, crm: DemoCrm) -> Mapping[str, list[Fault]]:
    """The faults of one day by stand-in, each hitting a request somewhere in the day's traffic."""
    random = Random(f"{seed}|trouble|{day}")  # noqa: S311 - a play, no secret

    def shuffled(faults: tuple[Fault, ...], within: int) -> list[Fault]:
        dealt: list[Fault] = [{**fault, "after": random.randrange(within)} for fault in faults]
        random.shuffle(dealt)
        return dealt

    return {crm.name: shuffled(crm.faults, 60), "sendgrid": shuffled(_SENDGRID, 25)}
