"""SObject collections: up to 200 rows in one request, each with its own result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from crmdrip.sandbox.salesforce import ids
from crmdrip.sandbox.salesforce.lifecycle import Lifecycle
from crmdrip.sandbox.salesforce.records import Records
from crmdrip.sandbox.salesforce.refusals import Refusal, not_found
from crmdrip.sandbox.salesforce.rules import Write
from crmdrip.sandbox.salesforce.schema import SObject
from crmdrip.sandbox.salesforce.values import Shower, shower

MAX_ROWS = 200
MAX_CHUNKS = 10
"""Consecutive rows of one type are a chunk."""
MAX_RETRIEVED = 2_000

_WHOLE = "JSON_PARSER_ERROR"
"""Refuses the whole request: a value of the wrong type is found while the body is read. An unknown field is not."""

T = TypeVar("T")

Typed = tuple[SObject, dict[str, Any]]
"""A row with what it is one of."""

_type = itemgetter(0)


class _RolledBack(Exception):  # noqa: N818 - a signal to the savepoint
    """An allOrNone request failed."""


class Collections:
    """Reads and writes of many records of one org."""

    def __init__(self, records: Records, lifecycle: Lifecycle) -> None:
        self._records = records
        self._lifecycle = lifecycle
        self._schema = records.schema
        self._store = records.store

    def create(self, body: Any, write: Write) -> list[dict[str, Any]]:
        """POST composite/sobjects."""
        rows = self._rows(body)
        overrun = self._overrun(rows)

        def save(typed: Typed) -> dict[str, Any]:
            spec, row = typed
            if spec.name in overrun:
                raise _limit_exception(spec)
            return {"id": self._records.insert(spec, row, write), "success": True, "errors": []}

        return self._each(rows, save, body)

    def update(self, body: Any, write: Write) -> list[dict[str, Any]]:
        """PATCH composite/sobjects."""
        rows = self._rows(body)
        given = [_id_of(row) for _, row in rows]
        repeated = _repeated(given)
        overrun = self._overrun(rows)

        def save(named: tuple[str | None, Typed]) -> dict[str, Any]:
            record_id, (spec, row) = named
            if record_id is None:
                raise Refusal("MISSING_ARGUMENT", "Id not specified in an update call")
            if record_id in repeated:
                raise Refusal("DUPLICATE_VALUE", f"Duplicate id specified: {record_id}")
            if spec.name in overrun:
                raise _limit_exception(spec)
            self._records.update(spec, record_id, row, write)
            return {"id": record_id, "success": True, "errors": []}

        return self._each(zip(given, rows, strict=True), save, body)

    def upsert(self, object_name: str, field_name: str, body: Any, write: Write) -> list[dict[str, Any]]:
        """PATCH composite/sobjects/X/FIELD."""
        spec = self._schema.get(object_name)
        if spec is None:
            raise not_found()
        key = self._records.upsert_key(spec, field_name)
        rows = self._rows(body)
        if any(each is not spec for each, _ in rows):
            raise Refusal("INVALID_INPUT", "records of one upsert must be of one type")
        lowered = key.name.lower()
        repeated = _repeated(_folded(_value_of(row, lowered)) for _, row in rows)

        def save(typed: Typed) -> dict[str, Any]:
            row = typed[1]
            value = _value_of(row, lowered)
            if _folded(value) in repeated:
                raise Refusal("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", fields=(key.name,))
            record_id, created = self._records.upsert(spec, key, value, row, write)
            return {"id": record_id, "success": True, "errors": [], "created": created}

        return self._each(rows, save, body)

    def _overrun(self, rows: Sequence[Typed]) -> frozenset[str]:
        """The objects whose triggers cannot take so many rows at once."""
        limits = self._records.heavy_triggers
        if not limits:
            return frozenset()
        counts = Counter(spec.name for spec, _ in rows)
        return frozenset(name for name, most in limits.items() if counts[name] > most)

    def delete(self, given: Sequence[str], *, all_or_none: bool, write: Write) -> list[dict[str, Any]]:
        """DELETE composite/sobjects?ids=..."""
        if len(given) > MAX_ROWS:
            raise _too_many()

        def save(record_id: str) -> dict[str, Any]:
            self._lifecycle.delete(record_id, write)
            return {"id": ids.normalize(record_id), "success": True, "errors": []}

        return self._each(given, save, {"allOrNone": all_or_none})

    def retrieve(
        self, spec: SObject, given: Iterable[str], names: Iterable[str], base: str
    ) -> list[dict[str, Any] | None]:  # fmt: skip
        """Records by id in the order asked, None for what is gone. Raises Refusal."""
        wanted = list(given)
        if len(wanted) > MAX_RETRIEVED:
            raise Refusal(
                "EXCEEDED_ID_LIMIT", "record limit reached. cannot retrieve more than 2000 records in this call"
            )  # fmt: skip
        columns: dict[str, Shower | None] = {}
        for name in names:
            each = spec.field(name)
            if each is None or self._records.hidden(spec.name, each.name):
                raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {spec.name}")
            columns[each.name] = shower(each)
        full_ids: list[str] = []
        for each_id in wanted:
            full = ids.normalize(each_id)
            if full is None:
                raise Refusal("MALFORMED_ID", f"malformed id {each_id}")
            full_ids.append(full)
        shown = [(name, place, show) for place, (name, show) in enumerate(columns.items(), 1)]
        rows = self._store.fetch_living(spec, full_ids, tuple(columns))
        found: list[dict[str, Any] | None] = []
        for full in full_ids:
            row = rows.get(full)
            if row is None:
                found.append(None)
                continue
            record: dict[str, Any] = {
                "attributes": {"type": spec.name, "url": f"{base}/sobjects/{spec.name}/{full}"},
            }
            for name, place, show in shown:
                record[name] = row[place] if show is None else show(row[place])
            record.setdefault("Id", full)
            found.append(record)
        return found

    def _rows(self, body: Any) -> list[Typed]:
        rows = body.get("records") if isinstance(body, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Refusal("JSON_PARSER_ERROR", "The request needs a list of records at [line:1, column:1]")
        if len(rows) > MAX_ROWS:
            raise _too_many()
        typed = [(self._type_of(row), row) for row in rows]
        if sum(1 for _ in groupby(typed, key=_type)) > MAX_CHUNKS:
            raise Refusal(
                "LIMIT_EXCEEDED",
                "Cannot have more than 10 chunks in a single operation. Please rearrange the data to reduce chunking.",
            )
        return typed

    def _type_of(self, row: dict[str, Any]) -> SObject:
        attributes = row.get("attributes")
        name = attributes.get("type") if isinstance(attributes, dict) else None
        if not isinstance(name, str):
            raise Refusal("INVALID_TYPE", "attributes.type is missing from a record")
        spec = self._schema.get(name)
        if spec is None:
            raise Refusal("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return spec

    def _each(self, rows: Iterable[T], save: Callable[[T], dict[str, Any]], body: Any) -> list[dict[str, Any]]:
        all_or_none = bool(body.get("allOrNone"))
        results: list[dict[str, Any]] = []
        try:
            with self._store.savepoint():
                for row in rows:
                    try:
                        results.append(save(row))
                    except Refusal as refusal:
                        if refusal.code == _WHOLE:
                            raise
                        results.append(refusal.row())
                if all_or_none and not all(result["success"] for result in results):
                    raise _RolledBack  # noqa: TRY301 - it has to pass through the savepoint
        except _RolledBack:
            return [_rolled_back() if result["success"] else result for result in results]
        return results


def _rolled_back() -> dict[str, Any]:
    return Refusal(
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "Record rolled back because not all records were valid and the request was using AllOrNone header",
    ).row()


def _limit_exception(spec: SObject) -> Refusal:
    """A governor limit in a trigger cannot be caught: every row it was called for fails (Apex developer guide)."""
    name = f"{spec.name}Trigger"
    text = f"{name}: execution of BeforeUpdate caused by: System.LimitException: {name}: Too many SOQL queries: 101"
    return Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text)


def _too_many() -> Refusal:
    return Refusal(
        "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records into this call"
    )  # fmt: skip


def _id_of(row: dict[str, Any]) -> str | None:
    value = row.get("id", row.get("Id"))
    return value if value is None else str(ids.normalize(value) or value)


def _value_of(row: dict[str, Any], lowered: str) -> Any:
    return next((value for name, value in row.items() if name.lower() == lowered), None)


def _folded(value: Any) -> str | None:
    """Keys are compared in any case, and as text."""
    return None if value is None else str(value).lower()


def _repeated(values: Iterable[str | None]) -> set[str]:
    return {value for value, count in Counter(values).items() if value is not None and count > 1}
