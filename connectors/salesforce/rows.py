"""Write-backs into rows of Salesforce. Makes no call.

Texts are cut to what the field holds beforehand; fields our user may not write are left out where the record is still
right without them, and refused by name where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.salesforce.schema import Access, Schema
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.struct import Struct, replace
from crmdrip.ports import (
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

_NEEDED = frozenset({"status", "enrolled", "run", "opted_out", "error", "touch_id", "sequence_id", "step_id"})
"""Words whose loss makes a write pointless. The rest is shown to people only, and doctor reports it missing."""

_TASK_TEXT = 32_000
"""Characters a task's Description holds, where the describe does not say."""

_CONTROL_NAME = "Emergency brake"
"""Of the control record when the daemon makes it; without one, Salesforce names a record by its id."""


class RowWrite(Struct, frozen=True, kw_only=True):
    """One row to be written, and the write-backs it settles."""

    writes: tuple[Write, ...]
    object: str
    """API name."""
    id: str | None
    """None for a new record."""
    values: Mapping[str, Any]
    urgent: bool = False
    """Part of a stop: may use the reserve of calls."""
    tried: frozenset[str] = frozenset()
    """Which remedies were applied already; each is applied once."""

    @property
    def key(self) -> str:
        """What is in the unique field of a task, "" for anything else."""
        return timeline_id(self.writes[0])

    @property
    def insert(self) -> bool:
        """Whether it makes a new record."""
        return self.id is None

    def body(self) -> dict[str, Any]:
        """As a record of a collection."""
        found: dict[str, Any] = {"attributes": {"type": self.object}}
        if self.id is not None:
            found["id"] = self.id
        found.update(self.values)
        return found

    def without(self, names: Sequence[str], remedy: str) -> RowWrite:
        """The same row less some fields."""
        values = {name: value for name, value in self.values.items() if name not in names}
        return replace(self, values=values, tried=self.tried | {remedy})


@lru_cache(maxsize=1_024)  # the times of one batch are mostly the same
def moment(at: datetime | None) -> str | None:
    """A dateTime as the REST API takes it."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def plan_rows(
    schema: Schema,
    writes: Sequence[Write],
    *,
    control_id: str | None,
    zone_of: Callable[[str | None], str],
    tasks: Mapping[str, str],
) -> tuple[list[RowWrite], list[tuple[Write, ConfigurationError]]]:
    """The rows, at most one per record, urgent ones first; and the writes that cannot be rows in this org.

    Several writes to one record become one row: a collection may not hold an id twice, and one is cheaper than two.
    tasks: the tasks of the touches whose news are to be written, by touch id.
    """
    rows: dict[tuple[str, str], RowWrite] = {}
    refused: list[tuple[Write, ConfigurationError]] = []
    for write in writes:
        try:
            row = _row(schema, write, control_id, zone_of, tasks)
        except ConfigurationError as error:
            refused.append((write, error))
            continue
        key = (row.object, row.id or timeline_id(write) or "new")
        rows[key] = _join(rows[key], row) if key in rows else row
    return sorted(rows.values(), key=lambda row: not row.urgent), refused


def timeline_id(write: Write) -> str:
    """Under what a write makes a task at most once, "" for one that makes none."""
    match write:
        case TaskWrite():
            return write.touch_id
        case ReplyWrite():
            return write.reply_id
        case _:
            return ""


def split_row(schema: Schema, row: RowWrite) -> list[RowWrite]:
    """One row per write-back of a joined row that was refused: a bad reason text must not hold up an opt-out."""
    tasks = {write.touch_id: row.id for write in row.writes if isinstance(write, TouchWrite) and row.id is not None}
    return [
        replace(_row(schema, write, row.id, lambda _: "", tasks), tried=row.tried | {"split"}) for write in row.writes
    ]


def _join(first: RowWrite, second: RowWrite) -> RowWrite:
    return replace(
        first,
        writes=(*first.writes, *second.writes),
        values={**first.values, **second.values},
        urgent=first.urgent or second.urgent,
    )


def _row(
    schema: Schema,
    write: Write,
    control_id: str | None,
    zone_of: Callable[[str | None], str],
    tasks: Mapping[str, str],
) -> RowWrite:
    match write:
        case StatusWrite():
            word, values = write.ref.kind.value, _status(write)
            return _update(schema, word, write.ref.id, values, write, urgent=write.enrolled is False)
        case ApprovalWrite():
            return _update(schema, write.ref.kind.value, write.ref.id, {"approved": False}, write)
        case OptOutWrite():
            return _update(schema, write.ref.kind.value, write.ref.id, {"opted_out": True}, write, urgent=True)
        case BounceWrite():
            values = {"bounced_reason": write.reason or "bounced", "bounced_at": moment(write.at)}
            return _update(schema, write.ref.kind.value, write.ref.id, values, write, urgent=True)
        case SequenceWrite():
            values = {"version": write.version, "error": write.error or None, **write.counts}
            return _update(schema, "sequence", write.sequence_id, values, write)
        case ControlWrite():
            values = control_values(write) if control_id else {"name": _CONTROL_NAME, **control_values(write)}
            return _update(schema, "control", control_id, values, write)
        case ReplyWrite():
            return _update(schema, "task", None, _reply(schema, write, zone_of(write.owner_id)), write)
        case TouchWrite():
            values = {"outcome": write.outcome, "opens": write.opens, "clicks": write.clicks}
            return _update(schema, "task", tasks[write.touch_id], values, write)
        case TaskWrite():
            return _update(schema, "task", None, _task(schema, write, zone_of(write.owner_id)), write)


def control_values(write: ControlWrite) -> dict[str, Any]:
    """The control record's fields by our words."""
    return {
        "heartbeat": moment(write.heartbeat),
        "claim": write.claim or None,
        "state": write.state,
        "calls_used": write.calls_used,
        "calls_limit": write.calls_limit,
    }


def _status(write: StatusWrite) -> dict[str, Any]:
    values: dict[str, Any] = {
        "status": write.status,
        "reason": write.reason or None,
        "step": write.step or None,
        "next_touch": moment(write.next_touch),
        "last_touch": moment(write.last_touch),
        "run": write.run,
    }
    left_alone_when_none = {
        "enrolled": write.enrolled,
        "sequence": write.sequence_id,
        "replied_at": moment(write.replied_at),
        "out_of_office_until": moment(write.out_of_office_until),
    }
    values.update((word, value) for word, value in left_alone_when_none.items() if value is not None)
    return values


def _task(schema: Schema, write: TaskWrite, zone: str) -> dict[str, Any]:
    """A task. Completed at once: inserting an open one with a date locks the account and the person (facts 3.3)."""
    value = schema.mapping.value
    form = "task" if write.open else "note" if write.note else "email"
    values: dict[str, Any] = {
        "touch_id": write.touch_id,
        "sequence": write.sequence,
        "sequence_id": write.sequence_id,
        "step": write.step,
        "step_id": write.step_id,
        "run": write.run,
        "outcome": write.outcome,
        "message_id": write.message_id or None,
        "subject": value("task", f"{form}_subject") + write.subject,
        "body": write.body,
        "person": write.ref.id,  # and no WhatId: a lead's task must not have one
        "date": _local_date(write.at, zone),
        "status": value("task", "open") if write.open else schema.done_status,
        "subtype": value("task", "email_subtype" if form == "email" else "task_subtype"),
    }
    if form == "email":
        values["type"] = value("task", "email_type")
    if write.owner_id is not None:
        values["owner"] = write.owner_id
    return values


def _reply(schema: Schema, write: ReplyWrite, zone: str) -> dict[str, Any]:
    """As _task, for an email that came in. Without a step's id: it is no touch, and a rebuild passes it over (P6)."""
    value = schema.mapping.value
    values: dict[str, Any] = {
        "touch_id": write.reply_id,
        "sequence": write.sequence or None,
        "sequence_id": write.sequence_id or None,
        "step": write.step or None,
        "run": write.run or None,
        "outcome": write.outcome,
        "message_id": write.message_id or None,
        "subject": value("task", "reply_subject") + write.subject,
        "body": write.body,
        "person": write.ref.id,
        "date": _local_date(write.at, zone),
        "status": schema.done_status,
        "subtype": value("task", "email_subtype"),
        "type": value("task", "email_type"),
    }
    if write.owner_id is not None:
        values["owner"] = write.owner_id
    return values


@lru_cache(maxsize=1_024)
def _local_date(at: datetime, zone: str) -> str:
    """The day as the owner sees it, UTC's where the owner's zone is not known."""
    try:
        local = at.astimezone(ZoneInfo(zone)) if zone else at.astimezone(UTC)
    except (ZoneInfoNotFoundError, ValueError):
        local = at.astimezone(UTC)
    return local.date().isoformat()


def _update(
    schema: Schema, word: str, record_id: str | None, values: Mapping[str, Any], write: Write, *, urgent: bool = False
) -> RowWrite:
    """A row of the fields that may be written. Raises ConfigurationError naming a needed one that may not."""
    info = schema.objects.get(word)
    if info is None:
        raise ConfigurationError(
            f"the org has no {schema.mapping.objects.get(word) or word}, or hides it.", where="Salesforce"
        )
    writable = schema.writable(word, Access.CREATE if record_id is None else Access.UPDATE)
    columns: dict[str, Any] = {}
    for field_word, value in values.items():
        found = writable.get(field_word)
        if found is None:
            if field_word in _NEEDED:
                mapped = schema.mapping.fields[word].get(field_word) or field_word
                raise ConfigurationError(
                    f"{info.name}.{mapped} cannot be written by the connected user.", where="Salesforce"
                )
            continue
        columns[found.name] = value[: found.length or _TASK_TEXT] if isinstance(value, str) else value
    if record_id is None:
        for name, text in schema.constants(word).items():
            if (own := info.find(name)) is not None and own.createable:
                columns.setdefault(own.name, text)
    return RowWrite(writes=(write,), object=info.name, id=record_id, values=columns, urgent=urgent)
