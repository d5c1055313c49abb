"""Batches of records: at most a hundred inputs, all or none of them unless every one carries a trace id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from crmdrip.sandbox.hubspot.call import View
from crmdrip.sandbox.hubspot.kinds import Kind
from crmdrip.sandbox.hubspot.links import parse_links
from crmdrip.sandbox.hubspot.records import Records
from crmdrip.sandbox.hubspot.refusals import Refusal, invalid_input, some_not_found
from crmdrip.sandbox.hubspot.rules import Write
from crmdrip.sandbox.hubspot.store import Record

MOST = 100
"""Inputs of one batch (docs: using object APIs)."""
MOST_WITH_HISTORY = 50

TRACE = "objectWriteTraceId"


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What came of a batch."""

    results: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)


class Batches:
    """Batch operations of one portal. Results come in an order of their own, so nobody may count on the inputs'."""

    def __init__(self, records: Records, seed: int) -> None:
        self._records = records
        self._store = records.store
        self._random = Random(seed)

    def _finish(self, outcome: Outcome) -> Outcome:
        self._random.shuffle(outcome.results)
        return outcome

    def read(self, kind: Kind, body: Mapping[str, Any], view: View, *, archived: bool) -> Outcome:
        """Records by id, or by a property whose values are unique. Ids of merged records are not found."""
        rows = _inputs(body, most=MOST_WITH_HISTORY if view.history else MOST)
        key = _key(kind, body.get("idProperty"))
        outcome, missing = Outcome(), []
        seen: set[str] = set()
        for row in rows:
            given = _id(row)
            record = self._find(kind, key, given, archived=archived)
            if record is None:
                missing.append(given)
            elif record.id not in seen:
                seen.add(record.id)
                outcome.results.append(view.show(kind, record))
        if missing:
            outcome.errors.append(some_not_found(kind.singular, missing).row())
        return self._finish(outcome)

    def _find(self, kind: Kind, key: str | None, given: str, *, archived: bool) -> Record | None:
        if key is not None:
            found = self._store.owner_of(kind.name, key, given)
            return None if found is None or archived else self._store.find(kind.name, found)
        if archived:
            record = self._store.tables[kind.name].get(given)
            gone = record is not None and record.archived is not None and (kind.name, given) not in self._store.merged
            return record if gone and not kind.permanent else None
        return self._store.find(kind.name, given)

    def create(self, kind: Kind, body: Mapping[str, Any], write: Write) -> Outcome:
        """Create records with their associations."""
        rows = _inputs(body)
        outcome, traced = Outcome(), _all_traced(rows)
        for row in rows:
            try:
                with self._store.savepoint():
                    links = parse_links(self._records, kind, row.get("associations"))
                    record = self._records.create(kind, row.get("properties"), links, write)
            except Refusal as refusal:
                _refused(outcome, refusal, row, traced=traced)
                continue
            outcome.results.append(_traced(_whole(kind, record), row))
        return self._finish(outcome)

    def update(self, kind: Kind, body: Mapping[str, Any], write: Write) -> Outcome:
        """Change records by id or by a property whose values are unique. Ids of merged records are not found."""
        rows = _inputs(body)
        _refuse_twice(rows)
        outcome, traced = Outcome(), _all_traced(rows)
        missing: list[str] = []
        for row in rows:
            record = self._find(kind, _key(kind, row.get("idProperty")), _id(row), archived=False)
            if record is None:
                if traced:
                    error = some_not_found(kind.singular, [_id(row)]).row({TRACE: [row[TRACE]]})
                    outcome.errors.append(error)
                else:
                    missing.append(_id(row))
                continue
            try:
                with self._store.savepoint():
                    record = self._records.update(kind, record.id, row.get("properties"), write)
            except Refusal as refusal:
                _refused(outcome, refusal, row, traced=traced)
                continue
            outcome.results.append(_traced(_whole(kind, record), row))
        if missing:
            outcome.errors.append(some_not_found(kind.singular, missing).row())
        return self._finish(outcome)

    def upsert(self, kind: Kind, body: Mapping[str, Any], write: Write) -> Outcome:
        """Change or create records by a property whose values are unique. Associations in the inputs are ignored."""
        rows = _inputs(body)
        _refuse_twice(rows)
        names = {str(row.get("idProperty")) for row in rows}
        if len(names) > 1:
            raise Refusal("All inputs must have the same idProperty")
        # Partial upserts with email as the key are not supported (docs: using object APIs): one bad row refuses all.
        outcome, traced = Outcome(), _all_traced(rows) and names != {"email"}
        for row in rows:
            key = _key(kind, row.get("idProperty"))
            if key is None:
                raise Refusal("Some required fields were not set: [idProperty]")
            try:
                with self._store.savepoint():
                    shown = self._upsert_one(kind, key, row, write)
            except Refusal as refusal:
                _refused(outcome, refusal, row, traced=traced)
                continue
            outcome.results.append(_traced(shown, row))
        return self._finish(outcome)

    def _upsert_one(self, kind: Kind, key: str, row: Mapping[str, Any], write: Write) -> dict[str, Any]:
        given, properties = _id(row), row.get("properties")
        found = self._store.owner_of(kind.name, key, given)
        if found is not None:
            record = self._records.update(kind, found, properties, write)
            return {**_whole(kind, record), "new": False}
        if not isinstance(properties, Mapping):
            raise Refusal("Some required fields were not set: [properties]")
        record = self._records.create(kind, {**properties, key: given}, (), write)
        return {**_whole(kind, record), "new": True}

    def archive(self, kind: Kind, body: Mapping[str, Any], write: Write) -> None:
        """Delete records; those that are not there are no error."""
        for row in _inputs(body):
            self._records.archive(kind, _id(row), write)


def _inputs(body: Mapping[str, Any], *, most: int = MOST) -> list[Mapping[str, Any]]:
    rows = body.get("inputs")
    if not isinstance(rows, list):
        raise Refusal("Some required fields were not set: [inputs]")
    if len(rows) > most:
        raise Refusal(f"The maximum number of inputs supported in a batch request is {most}, received {len(rows)}")
    if not all(isinstance(row, dict) for row in rows):
        raise invalid_input("Cannot deserialize value of inputs")
    return rows


def _id(row: Mapping[str, Any]) -> str:
    given = row.get("id")
    if not isinstance(given, str | int) or isinstance(given, bool) or given == "":
        raise Refusal("Some required fields were not set: [id]")
    return str(given)


def _key(kind: Kind, name: object) -> str | None:
    """The property that stands for the id, None for the id itself. Raises Refusal when its values are not unique."""
    if name is None or name in ("hs_object_id", ""):
        return None
    spec = kind.property(name)
    if spec is None or not spec.unique:
        raise Refusal(f"Property {name} is not a unique property and cannot be used as idProperty")
    return spec.name


def _refuse_twice(rows: list[Mapping[str, Any]]) -> None:
    given = [_id(row).lower() for row in rows]
    if twice := sorted({each for each in given if given.count(each) > 1}):
        raise Refusal(
            f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique",
            sub_category="crm.batch.DUPLICATE_IDS",
        )


def _all_traced(rows: list[Mapping[str, Any]]) -> bool:
    """Whether every input has a trace id of its own: only then can a part of the batch succeed."""
    traces = [row.get(TRACE) for row in rows]
    return all(isinstance(each, str) and each for each in traces) and len(set(traces)) == len(traces)


def _refused(outcome: Outcome, refusal: Refusal, row: Mapping[str, Any], *, traced: bool) -> None:
    """Keep what is wrong with one row, or refuse the whole batch."""
    if not traced:
        raise refusal
    outcome.errors.append(refusal.row({TRACE: [row[TRACE]]}))


def _traced(shown: dict[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    trace = row.get(TRACE)
    return shown if not isinstance(trace, str) else {**shown, TRACE: trace}


def _whole(kind: Kind, record: Record) -> dict[str, Any]:
    """A record as a write answers it: everything that has a value."""
    names = tuple(name for name, text in record.properties.items() if text)
    return replace(View(), properties=names).show(kind, record)
