"""Touches on timelines: emails that went out and tasks for the rep, read back for a ledger that was lost (P6)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from connectors.hubspot.meter import Purpose
from connectors.hubspot.portal import Portal, condition
from connectors.hubspot.values import Properties, parse_time, to_number
from crmdrip.core.model import StepKind, TouchRecord

_WORDS = ("touch_id", "sequence_id", "step_id", "run", "outcome", "subject", "created")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = (("email", StepKind.EMAIL), ("task", StepKind.TASK))


class TouchReader:
    """Reads emails and tasks that carry a touch id, 200 a call."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def pages(self, cursor: str | None) -> Iterator[tuple[tuple[TouchRecord, ...], str]]:
        """Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        self._portal.client.settle()
        last = dict(zip(("email", "task"), (cursor or "0:0").split(":"), strict=True))
        for word, kind in _KINDS:
            more = True
            while more:
                rows, more = self._portal.search(
                    self._portal.mapping.object(word),
                    [[condition(self._portal.mapping.field(word, "touch_id"), "HAS_PROPERTY")]],
                    self._names(word),
                    Purpose.PULL,
                    after_id=last[word],
                )
                if not rows:
                    break
                last[word] = rows[-1]["id"]
                yield self._read(word, kind, {row["id"]: row["properties"] for row in rows}), ":".join(last.values())

    def _names(self, word: str) -> list[str]:
        field = self._portal.mapping.field
        names = [field(word, each) for each in _WORDS]
        return [*names, field("email", "message_id")] if word == "email" else names

    def _read(self, word: str, kind: StepKind, rows: dict[str, Properties]) -> tuple[TouchRecord, ...]:
        portal, field = self._portal, self._portal.mapping.field
        links = portal.linked(portal.mapping.object(word), list(rows), portal.mapping.object("contact"), Purpose.PULL)
        return tuple(
            TouchRecord(
                touch_id=row[field(word, "touch_id")],
                record_id=next(iter(links.get(one, ())), ""),
                sequence_id=row.get(field(word, "sequence_id")) or "",
                step_id=row.get(field(word, "step_id")) or "",
                run=to_number(row.get(field(word, "run"))),
                kind=kind,
                at=parse_time(row.get(field(word, "created"))) or _LONG_AGO,
                outcome=row.get(field(word, "outcome")) or "",
                message_id=row.get(field("email", "message_id")) or "" if word == "email" else "",
                subject=row.get(field(word, "subject")) or "",
            )
            for one, row in rows.items()
        )
