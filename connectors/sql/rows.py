"""From what is owed to the CRM to values of columns, by our words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.sql.schema import Mapped
from crmdrip.core.struct import replace
from crmdrip.ports import (
    ApprovalWrite,
    BounceWrite,
    OptOutWrite,
    ReplyWrite,
    SequenceWrite,
    StatusWrite,
    TaskWrite,
    TouchWrite,
    Write,
)

_FOR_PEOPLE = frozenset(
    {"reason", "step", "status", "bounced_reason", "subject", "body", "sequence", "error", "outcome"}
)
"""Texts that may be cut to what their column holds; ids may not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row to change or to make, which settles one or more writes."""

    writes: tuple[Write, ...]
    key: str
    """The contact's, sequence's or touch's id."""
    values: Mapping[str, Any]
    """By our words."""

    @property
    def urgent(self) -> bool:
        """Whether it tells of a stop."""
        return any(
            isinstance(one, OptOutWrite | BounceWrite) or (isinstance(one, StatusWrite) and one.enrolled is False)
            for one in self.writes
        )


def person_row(write: StatusWrite | ApprovalWrite | OptOutWrite | BounceWrite) -> Row:
    """What changes of a person."""
    values: dict[str, Any]
    match write:
        case ApprovalWrite():
            values = {"approved": False}
        case OptOutWrite():
            values = {"opted_out": True}
        case BounceWrite():
            values = {"bounced_reason": write.reason, "bounced_at": write.at}
        case StatusWrite():
            values = {
                word: getattr(write, word) for word in ("status", "reason", "step", "next_touch", "last_touch", "run")
            }
            further = {
                "enrolled": write.enrolled,
                "sequence": write.sequence_id,
                "replied_at": write.replied_at,
                "out_of_office_until": write.out_of_office_until,
            }
            values |= {word: value for word, value in further.items() if value is not None}
    return Row(writes=(write,), key=write.ref.id, values=values)


def join(one: Row, other: Row) -> Row:
    """Both changes of a row as one."""
    return replace(one, writes=(*one.writes, *other.writes), values={**one.values, **other.values})


def touch_row(write: TaskWrite | ReplyWrite) -> Row:
    """What happened. Only a task that the rep has to do is not done."""
    values: dict[str, Any] = {
        "contact": write.ref.id,
        "owner": write.owner_id,
        "sequence": write.sequence,
        "sequence_id": write.sequence_id,
        "step": write.step,
        "run": write.run,
        "outcome": write.outcome,
        "message_id": write.message_id,
        "subject": write.subject,
        "body": write.body,
        "at": write.at,
        "done_at": write.at,
        "opens": 0,
        "clicks": 0,
    }
    if isinstance(write, ReplyWrite):
        values |= {"touch_id": write.reply_id, "kind": "reply", "step_id": ""}
    else:
        kind = "task" if write.open else "note" if write.note else "email"
        values |= {"touch_id": write.touch_id, "kind": kind, "step_id": write.step_id}
        if write.open:
            values["done_at"] = None
    return Row(writes=(write,), key=values["touch_id"], values=values)


def news_row(write: TouchWrite) -> Row:
    """How a touch has fared since."""
    values = {"outcome": write.outcome, "opens": write.opens, "clicks": write.clicks}
    return Row(writes=(write,), key=write.touch_id, values=values)


def sequence_row(write: SequenceWrite) -> Row:
    """What crmdrip shows on a sequence."""
    values = {"version": write.version, "error": write.error, **write.counts}
    return Row(writes=(write,), key=write.sequence_id, values=values)


def column_values(mapped: Mapped, values: Mapping[str, Any]) -> dict[str, Any]:
    """By the names of columns, as they take them; what has no column is left out. Raises ValueError."""
    found = {}
    for word, value in values.items():
        field = mapped.get(word)
        if field is not None:
            text = isinstance(value, str) and word in _FOR_PEOPLE and field.length is not None
            found[str(field.column.name)] = field.fit(value) if text else field.show(value)
    return found
