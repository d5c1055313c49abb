"""Sequence definitions: the last good one of each, every one ever used, and what is wrong with the newest edit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, time
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, select, update

from crmdrip.core.model import (
    DelayUnit,
    OnColleagueReply,
    OnConversion,
    OnOpportunity,
    Reenrollment,
    SenderPolicy,
    Sequence,
    SequenceStatus,
    Step,
    StepKind,
    ZonePolicy,
)
from crmdrip.ledger.schema import definition, sequence
from crmdrip.ledger.statements import upsert

_SEQUENCE_TYPES: dict[str, Any] = {
    "status": SequenceStatus,
    "send_days": frozenset,
    "send_from": time.fromisoformat,
    "send_until": time.fromisoformat,
    "zone_policy": ZonePolicy,
    "sender_policy": SenderPolicy,
    "reenrollment": Reenrollment,
    "on_colleague_reply": OnColleagueReply,
    "on_opportunity": OnOpportunity,
    "on_conversion": OnConversion,
    "stop_values": frozenset,
}
_STORED = tuple(each.name for each in fields(Sequence) if each.init)
"""Everything but what follows from the rest."""
_STEP_TYPES: dict[str, Any] = {"kind": StepKind, "delay_unit": DelayUnit}


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownSequence:
    """What the ledger holds of a sequence."""

    id: str
    name: str
    good: Sequence | None
    """The last valid definition, None when there never was one."""
    error: str
    suspicion: str
    removed: bool


def encode_sequence(value: Sequence) -> bytes:
    """A definition as JSON."""
    return orjson.dumps({name: getattr(value, name) for name in _STORED}, default=sorted)


@lru_cache(maxsize=512)
def decode_sequence(body: bytes) -> Sequence:
    """A definition from JSON. Fields that a newer version added take their defaults."""
    raw = orjson.loads(body)
    values: dict[str, Any] = {name: _SEQUENCE_TYPES.get(name, _same)(raw[name]) for name in _STORED if name in raw}
    values["steps"] = tuple(_decode_step(step) for step in raw["steps"])
    return Sequence(**values)


def _decode_step(raw: dict[str, Any]) -> Step:
    values: dict[str, Any] = {name: _STEP_TYPES.get(name, _same)(raw[name]) for name in Step.__slots__ if name in raw}
    return Step(**values)


def _same(value: Any) -> Any:
    return value


def load_sequences(connection: Connection) -> dict[str, KnownSequence]:
    """Every sequence by id. Definitions that did not change are not decoded again."""
    return {
        row.id: KnownSequence(
            id=row.id,
            name=row.name,
            good=decode_sequence(row.definition) if row.definition is not None else None,
            error=row.error,
            suspicion=row.suspicion,
            removed=row.removed,
        )
        for row in connection.execute(select(sequence))
    }


def save_good(connection: Connection, value: Sequence, now: datetime) -> None:
    """Store a valid definition; it becomes the one in force, and stays readable by version for ever."""
    body = encode_sequence(value)
    connection.execute(
        upsert(connection, definition).on_conflict_do_nothing(),
        {"version": value.version, "sequence_id": value.id, "body": body, "seen_at": now},
    )
    statement = upsert(connection, sequence)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[sequence.c.id],
            set_={
                "name": new.name,
                "version": new.version,
                "definition": new.definition,
                "error": "",
                "removed": False,
                "changed_at": new.changed_at,
            },
        ),
        {
            "id": value.id,
            "name": value.name,
            "version": value.version,
            "definition": body,
            "error": "",
            "suspicion": "",
            "suspicion_cleared_at": None,
            "removed": False,
            "changed_at": now,
        },
    )


def save_broken(connection: Connection, sequence_id: str, name: str, error: str, now: datetime) -> None:
    """An edit is not valid: the last good definition stays in force, the error is kept beside it (B17)."""
    statement = upsert(connection, sequence)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[sequence.c.id], set_={"error": new.error, "removed": False, "changed_at": new.changed_at}
        ),
        {
            "id": sequence_id,
            "name": name,
            "version": "",
            "definition": None,
            "error": error,
            "suspicion": "",
            "suspicion_cleared_at": None,
            "removed": False,
            "changed_at": now,
        },
    )


def remove(connection: Connection, ids: Iterable[str], now: datetime) -> None:
    """The sequences are gone from the CRM."""
    for sequence_id in ids:
        connection.execute(update(sequence).where(sequence.c.id == sequence_id).values(removed=True, changed_at=now))


def suspect(connection: Connection, sequence_id: str, why: str) -> None:
    """Let the sequence wait for a confirmation (B10)."""
    connection.execute(update(sequence).where(sequence.c.id == sequence_id).values(suspicion=why))


def clear_suspicion(connection: Connection, sequence_id: str, now: datetime) -> None:
    """Somebody confirmed."""
    connection.execute(
        update(sequence).where(sequence.c.id == sequence_id).values(suspicion="", suspicion_cleared_at=now)
    )


def find_version(connection: Connection, version: str) -> Sequence | None:
    """A definition that was used once, None when it was never stored."""
    body = connection.execute(select(definition.c.body).where(definition.c.version == version)).scalar()
    return decode_sequence(body) if body is not None else None
