"""What came in by mail lately: what it was taken for, whom nobody here knows, what did not reach a rep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from crmdrip.core.whose import How
from crmdrip.ledger import forwards, mails

LATELY = timedelta(days=7)
SHOWN = 5
"""Strangers that are named, the newest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stranger:
    """Somebody nobody here knows, who wrote to us."""

    at: datetime
    sender: str
    subject: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerOverview:
    """The mail of the last seven days."""

    kinds: Mapping[str, int]
    """By what it was taken for, of people known here."""
    strangers: tuple[Stranger, ...]
    """At most five, the newest first."""
    unknown: int
    """Mail that belongs to nobody known, machines' included."""
    forwards: Mapping[str, int]
    """Answers on their way to reps, by state; concluded ones for a month."""


def read_answers(connection: Connection, now: datetime) -> AnswerOverview:
    """Look at it. Raises LedgerBrokenError by way of the connection."""
    since = now - LATELY
    kinds: dict[str, int] = {}
    unknown = 0
    for (kind, how), number in mails.count_by_kind(connection, since).items():
        if how == How.NOBODY.value:
            unknown += number
        elif how != How.OURSELVES.value:
            kinds[kind] = kinds.get(kind, 0) + number
    found = mails.of_nobody(connection, since, SHOWN)
    return AnswerOverview(
        kinds=dict(sorted(kinds.items())),
        strangers=tuple(Stranger(at=one.received_at, sender=one.sender, subject=one.subject) for one in found),
        unknown=unknown,
        forwards=forwards.count_by_state(connection),
    )


def describe_answers(answers: AnswerOverview) -> list[str]:
    """The same in words, one thing a line; nothing where nothing came in."""
    lines = []
    if answers.kinds:
        what = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in answers.kinds.items())
        lines.append(f"Mail in the last 7 days: {what}.")
    if answers.unknown:
        lines.append(f"Mail of nobody known here in the last 7 days: {answers.unknown}.")
    lines += [f"  {one.at:%Y-%m-%d %H:%M} UTC  {one.sender}: {one.subject}" for one in answers.strangers]
    lost = {
        state: answers.forwards[state] for state in (forwards.IN_DOUBT, forwards.FAILED) if state in answers.forwards
    }
    if lost:
        what = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in lost.items())
        lines.append(f"Answers that may not have reached the rep's mailbox: {what}. They are on the timeline.")
    return lines
