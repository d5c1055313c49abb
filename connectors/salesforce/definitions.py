"""Sequences and steps as they stand in the org, kept whole in memory, so that a change costs no call of its own.

Both come with every second pull at least, as what changed since; a changed step is put into its sequence here, and the
sequence is given out whole. Our own writes (version, error, counts) move a sequence's stamp and are no change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from connectors.salesforce import soql
from connectors.salesforce.client import Part
from connectors.salesforce.records import Row, stop_field
from connectors.salesforce.schema import WRITTEN_BY_US, Schema
from crmdrip.core.model import SequenceDraft, StepDraft

_BOOKKEEPING = frozenset({"deleted", "modified"})


class Definitions:
    """All sequences of one org. Not for several threads: only the pull changes it."""

    def __init__(self) -> None:
        self._sequences: dict[str, dict[str, Any]] = {}
        self._steps: dict[str, dict[str, StepDraft]] = {}
        self.loaded_at: datetime | None = None
        """When everything was read last, on the CRM's clock; None before the first time."""

    def parts(self, schema: Schema, since: datetime | None) -> list[Part]:
        """The two queries. since None reads everything: of sequences the deleted ones too, which were removed."""
        parts = []
        for word in ("sequence", "step"):
            modified = schema.name(word, "modified")
            columns = ["Id", *_columns(schema, word).values(), schema.name(word, "deleted")]
            where = [] if since is None else soql.after(modified, soql.Position(at=since))
            text = soql.select(columns, schema.objects[word].name, where=where, order=[modified, "Id"])
            live = since is None and word == "step"
            parts.append(soql.query(word, text) if live else soql.query_all(word, text))
        return parts

    def take(
        self, schema: Schema, sequences: Iterable[Row], steps: Iterable[Row], *, whole: datetime | None
    ) -> tuple[list[SequenceDraft], list[str]]:
        """Take in what was read; the sequences that are different now, and the ids of those that are gone.

        whole: the time of a reading of everything, None for one of changes.
        """
        before = {one: self._draft(schema, one) for one in self._sequences}
        if whole is not None:
            self._sequences, self._steps, self.loaded_at = {}, {}, whole
        removed = set()
        deleted = schema.name("sequence", "deleted")
        columns = _columns(schema, "sequence")
        for row in sequences:
            if row.get(deleted):
                if whole is not None or row["Id"] in before:
                    removed.add(row["Id"])
                self._sequences.pop(row["Id"], None)
            else:
                self._sequences[row["Id"]] = _fields(schema, columns, row)
        self._take_steps(schema, steps)
        changed = [draft for one in self._sequences if (draft := self._draft(schema, one)) != before.get(one)]
        removed.update(one for one in before if one not in self._sequences)
        return changed, sorted(removed)

    def stop_fields(self, fallback: Mapping[str, str]) -> dict[str, str]:
        """The field of each sequence's stop condition by sequence id. fallback: raw ones, before the first take."""
        raw = fallback if self.loaded_at is None else {one: f.get("stop_when") for one, f in self._sequences.items()}
        return {one: name for one, condition in raw.items() if (name := stop_field(condition))}

    def problems(self, schema: Schema, sequences: Iterable[str]) -> dict[str, str]:
        """What is wrong with the stop conditions of these, as the schema is now."""
        fields = self.stop_fields(schema.stop_when)
        found = {one: " ".join(_check_stop_field(schema, fields.get(one, ""))) for one in sequences}
        return {one: problem for one, problem in found.items() if problem}

    def _take_steps(self, schema: Schema, steps: Iterable[Row]) -> None:
        deleted, parent = schema.name("step", "deleted"), schema.name("step", "sequence")
        columns = {word: name for word, name in _columns(schema, "step").items() if word != "sequence"}
        for row in steps:
            siblings = self._steps.setdefault(row[parent], {})
            if row.get(deleted):
                siblings.pop(row["Id"], None)
            else:
                siblings[row["Id"]] = StepDraft(id=row["Id"], fields=_fields(schema, columns, row))

    def _draft(self, schema: Schema, sequence_id: str) -> SequenceDraft:
        fields, steps = self._sequences[sequence_id], self._steps.get(sequence_id, {})
        return SequenceDraft(
            id=sequence_id,
            fields=fields,
            steps=tuple(steps[one] for one in sorted(steps)),
            problems=_check_stop_field(schema, stop_field(fields.get("stop_when"))),
        )


def _check_stop_field(schema: Schema, name: str) -> tuple[str, ...]:
    """A condition on a field that neither contacts nor leads have would never be met, and nobody would know."""
    if not name or any(schema.objects[kind.value].find(name) is not None for kind in schema.kinds()):
        return ()
    return (f"Stop When names the field {name}, which is not there or hidden. Correct it, or grant read access.",)


def _columns(schema: Schema, word: str) -> dict[str, str]:
    """API names by our words, without what we write ourselves."""
    ours = {*_BOOKKEEPING, *WRITTEN_BY_US[word]}
    return schema.names(word, (w for w in schema.mapping.fields[word] if w not in ours))


def in_our_words(schema: Schema, word: str, value: Any) -> Any:
    """The value of a sequence's or step's field; picklist values in our words, where the mapping has them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        values = schema.mapping.values.get(word, {})
        return next((ours for ours, theirs in values.items() if theirs.lower() == value.lower()), value)
    return value


def _fields(schema: Schema, columns: Mapping[str, str], row: Row) -> dict[str, Any]:
    """The row by our words."""
    return {word: in_our_words(schema, word, row.get(name)) for word, name in columns.items()}
