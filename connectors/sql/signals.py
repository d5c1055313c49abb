"""What happened: meetings, opportunities and answers where a table tells of them, and tasks that a rep has done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select

from connectors.sql.database import Database, Transaction
from connectors.sql.mails import read_kind
from connectors.sql.schema import Mapped, Schema
from connectors.sql.values import is_set, read_key, read_text, read_time
from crmdrip.core.model import Signal, SignalKind

SOURCE = "sql"
_DETAIL = 255
_TABLES = (("meeting", "subject"), ("opportunity", "name"))
_KINDS = {"meeting": SignalKind.MEETING, "opportunity": SignalKind.OPPORTUNITY}


class SignalReader:
    """Reads what happened since a time, by when it was entered: an old meeting that is moved stops nobody new."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._zone = database.zone

    def read(self, transaction: Transaction, schema: Schema, since: datetime) -> list[Signal]:
        """Everything since. Raises as Transaction.rows."""
        signals = list(self._tasks(transaction, schema, since))
        for word, detail in _TABLES:
            if (mapped := schema.get(word)) is not None:
                signals += self._happened(transaction, mapped, detail, since)
        if (mapped := schema.get("reply")) is not None:
            signals += self._answers(transaction, mapped, since)
        return signals

    def _rows(
        self,
        transaction: Transaction,
        mapped: Mapped,
        words: Sequence[str],
        since: datetime,
        *also: ColumnElement[bool],
    ) -> Iterator[dict[str, Any]]:
        """Rows since a time, by our words; the first is the key."""
        given = [word for word in words if mapped.get(word) is not None]
        time = "done_at" if "done_at" in given else "created"
        wanted = mapped[time].changed_since(since, self._database.clock.now())
        statement = select(*(mapped[word].column for word in given)).where(wanted, *also)
        for row in self._database.all_rows(transaction, statement, mapped[given[0]].column, 0):
            found = dict(zip(given, row, strict=True))
            found["at"] = read_time(found[time], self._zone)
            if found["at"] is not None and found["at"] >= since:
                yield found

    def _happened(self, transaction: Transaction, mapped: Mapped, detail: str, since: datetime) -> Iterator[Signal]:
        kind = _KINDS[mapped.word]
        for row in self._rows(transaction, mapped, ("id", "contact", "created", detail, "cancelled"), since):
            if not is_set(row.get("cancelled")):
                yield from _signal(row, kind, read_text(row.get(detail)))

    def _answers(self, transaction: Transaction, mapped: Mapped, since: datetime) -> Iterator[Signal]:
        words = ("id", "contact", "created", "sender", "subject", "body", "headers")
        for row in self._rows(transaction, mapped, words, since):
            said = {word: read_text(row.get(word)) for word in ("sender", "subject", "body", "headers")}
            kinds, until = read_kind(said, row["at"])
            for kind in kinds:
                yield from _signal(row, kind, said["subject"], until=until)

    def _tasks(self, transaction: Transaction, schema: Schema, since: datetime) -> Iterator[Signal]:
        touch = schema["touch"]
        words, open_ones = ("number", "touch_id", "contact", "done_at"), touch["kind"].column == "task"
        for row in self._rows(transaction, touch, words, since, open_ones):
            touch_id = read_key(row["touch_id"])
            yield Signal(
                key=f"{SOURCE}:{SignalKind.TASK_DONE}:{touch_id}",
                kind=SignalKind.TASK_DONE,
                at=row["at"],
                source=SOURCE,
                record_id=read_key(row["contact"]) or None,
                touch_id=touch_id,
            )


def _signal(row: dict[str, Any], kind: SignalKind, detail: str, **further: Any) -> Iterator[Signal]:
    person = read_key(row["contact"])
    if person:
        yield Signal(
            key=f"{SOURCE}:{kind}:{read_key(row['id'])}:{person}",
            kind=kind,
            at=row["at"],
            source=SOURCE,
            record_id=person,
            detail=detail[:_DETAIL],
            **further,
        )
