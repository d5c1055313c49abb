"""Sequences with their steps, in one statement: what it gives stood there together at one moment."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import select

from connectors.sql.database import Transaction
from connectors.sql.schema import Mapped, Schema
from connectors.sql.values import read_key
from crmdrip.core.model import SequenceDraft, SequenceStatus, StepDraft

WRITTEN_BY_US = frozenset({"version", "error", "active", "sent", "replied", "meetings", "stopped", "held"})
"""Words of a sequence that nobody else writes. A step's own "active" is not among them."""
_KEYS = frozenset({"id", "sequence"})
_STOP_FIELD = re.compile(r"\s*(\w+)\s*=")


def read_drafts(transaction: Transaction, schema: Schema) -> dict[str, SequenceDraft]:
    """Every sequence by id, as it stands now. Raises as Transaction.rows."""
    sequence, step = schema["sequence"], schema["step"]
    said = {word: one for word, one in sequence.fields.items() if word not in WRITTEN_BY_US | _KEYS}
    told = {word: one for word, one in step.fields.items() if word not in _KEYS}
    keys = (sequence["id"].column, step["id"].column)
    source = sequence.table.outerjoin(step.table, step["sequence"].column == sequence["id"].column)
    columns = [*(one.column for one in said.values()), *(one.column for one in told.values())]
    fields: dict[str, dict[str, Any]] = {}
    steps: dict[str, list[StepDraft]] = {}
    for sequence_id, step_id, *values in transaction.rows(select(*keys, *columns).select_from(source)):
        one = read_key(sequence_id)
        fields.setdefault(one, _read(said, values[: len(said)]))
        if step_id is not None:
            draft = StepDraft(id=read_key(step_id), fields=_read(told, values[len(said) :]))
            steps.setdefault(one, []).append(draft)
    return {
        one: SequenceDraft(
            id=one,
            fields=values,
            steps=tuple(sorted(steps.get(one, ()), key=lambda step: step.id)),
            problems=_problems(schema.contact, values),
        )
        for one, values in fields.items()
    }


def read_statuses(transaction: Transaction, schema: Schema, ids: Iterable[str]) -> dict[str, str | None]:
    """By id in our words, as they stand now; None for one that is gone. Raises as Transaction.rows."""
    sequence = schema["sequence"]
    rows = transaction.rows(select(sequence["id"].column, sequence["status"].column))
    found = {read_key(one): in_our_words(status) for one, status in rows}
    return {one: found.get(one) for one in ids}


def in_our_words(status: Any) -> str:
    """A sequence's status as it is typed, in our words."""
    given = str(status or SequenceStatus.DRAFT.value).strip()
    return next((each.value for each in SequenceStatus if each.value.casefold() == given.casefold()), given)


def digest(draft: SequenceDraft) -> str:
    """Changes with the draft; the same in every process."""
    said = [draft.id, dict(draft.fields), [[step.id, dict(step.fields)] for step in draft.steps], list(draft.problems)]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def stop_column(contact: Mapped, draft: SequenceDraft) -> str:
    """The column a sequence's stop condition is about; "" for none, and for one that is not there."""
    name = _stop_name(draft.fields)
    return name if name in contact.columns else ""


def stop_columns(contact: Mapped, drafts: Mapping[str, SequenceDraft]) -> dict[str, str]:
    """The column of each sequence's stop condition, by sequence id, where contacts have it."""
    return {one: name for one, draft in drafts.items() if (name := stop_column(contact, draft))}


def _stop_name(fields: Mapping[str, Any]) -> str:
    match = _STOP_FIELD.match(str(fields.get("stop_when") or ""))
    return match[1] if match else ""


def _problems(contact: Mapped, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """A condition on a column that contacts do not have would never be met, and nobody would know."""
    name = _stop_name(fields)
    if not name or name in contact.columns:
        return ()
    return (f"Stop When names the column {name}, which {contact.name} does not have. Correct it.",)


def _read(fields: Mapping[str, Any], values: Iterable[Any]) -> dict[str, Any]:
    return {word: _plain(value) for word, value in zip(fields, values, strict=True)}


def _plain(value: Any) -> Any:
    """As a CRM's field has it: numbers, boxes and text."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, timedelta):  # a TIME of MySQL
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
