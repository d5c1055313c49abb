"""Writing Salesforce: up to a thousand rows per call, every row's refusal understood by its code (B21).

A task is inserted, not upserted: our touch id is unique, so a repeated insert is refused as DUPLICATE_VALUE: it
stands. An upsert would fail on it (TaskSubtype can only be set at creation) and reopen a rep's finished task.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from connectors.salesforce.client import HEAVY_PARTS, Part
from connectors.salesforce.codes import Fault, read_fault
from connectors.salesforce.meter import Purpose
from connectors.salesforce.rows import RowWrite, plan_rows, split_row
from connectors.salesforce.schema import Schema
from connectors.salesforce.source import SalesforceSource
from crmdrip.core.errors import ErrorClass, RetriableError
from crmdrip.ports import ControlWrite, TaskWrite, Write, WriteOutcome

ROWS_PER_COLLECTION = 200

# Without the first, every update of a lead runs the org's assignment rules and gives the lead to somebody else; without
# the second, a duplicate rule on contacts refuses a change of our status field.
_HEADERS = {"Sforce-Auto-Assign": "FALSE", "Sforce-Duplicate-Rule-Header": "allowSave=true"}

_DUPLICATE_ID = re.compile(r"record with id:\s*([A-Za-z0-9]{15,18})")
_MAX_LENGTH = re.compile(r"max length=(\d+)")
_INACTIVE = frozenset({"INACTIVE_OWNER_OR_USER", "OPERATION_WITH_INACTIVE_USER"})

Batch = list[RowWrite]
Settled = list[WriteOutcome]


class SalesforceSink:
    """A CrmSink on the source's client, schema and budget."""

    def __init__(self, source: SalesforceSource) -> None:
        self._org = source.org
        self._width = HEAVY_PARTS
        """Collections per call; one after a call that ran too long, more again with each that did not."""

    def write(self, writes: Iterable[Write]) -> Iterator[WriteOutcome]:
        """Write everything, each at most once under its key; an outcome per write, as calls are answered.

        Raises AuthError, RateLimitedError, RetriableError, ConfigurationError when nothing further can be written
        now; what was not yielded was not settled.
        """
        schema = self._org.schema()
        rows, refused = plan_rows(
            schema,
            list(writes),
            control_id=self._org.control_id,
            zone_of=lambda owner_id: self._org.parents.zone_of(schema, owner_id),
        )
        for write, error in refused:
            yield WriteOutcome(key=write.key, error=error.error_class, code="HIDDEN_FIELD", detail=error.what)
        if refused:
            self._org.forget_schema()  # the next write sees whether an admin has mended it
        waiting = deque(_batches(rows))
        while waiting:
            batches = [waiting.popleft() for _ in range(min(self._width, len(waiting)))]
            urgent = any(row.urgent for batch in batches for row in batch)
            try:
                answers = self._send(batches, Purpose.STOP if urgent else Purpose.REPORT)
            except RetriableError:
                if len(batches) == 1:
                    raise
                # Too much at once for the org's triggers, perhaps. Every row is keyed, so it may be sent again.
                self._width = 1
                waiting.extendleft(reversed(batches))
                continue
            self._width = min(self._width * 2, HEAVY_PARTS)
            again: Batch = []
            for batch, faults in zip(batches, answers, strict=True):
                if isinstance(faults, Fault):
                    settled, halves = _halve(batch, faults)
                    yield from settled
                    waiting.extend(halves)
                    continue
                for row, result in zip(batch, faults, strict=True):
                    if isinstance(result, str):
                        if row.insert and isinstance(row.writes[0], ControlWrite):
                            self._org.control_id = result
                        yield from _settle(row)
                        continue
                    settled, remedied = self._judge(schema, row, result)
                    yield from settled
                    again += remedied
            waiting.extend(_batches(again))

    def _send(self, batches: Sequence[Batch], purpose: Purpose) -> list[Fault | list[Fault | str]]:
        """One call. Per batch its own fault, or per row a fault or the record's id."""
        parts = [
            Part(
                name=f"batch_{number}",
                method="POST" if batch[0].insert else "PATCH",
                path="composite/sobjects",
                body={"allOrNone": False, "records": [row.body() for row in batch]},
                headers=_HEADERS,
            )
            for number, batch in enumerate(batches)
        ]
        answers = self._org.client.write(parts, purpose)
        results: list[Fault | list[Fault | str]] = []
        for part, batch in zip(parts, batches, strict=True):
            answer = answers.parts[part.name]
            if answer.fault is not None:
                results.append(answer.fault)
            elif not isinstance(answer.body, list) or len(answer.body) != len(batch):
                results.append(Fault(status=502, code="", message="the answer does not match the rows sent"))
            else:
                results.append(
                    [str(row["id"]) if row.get("success") else read_fault(0, row.get("errors")) for row in answer.body]
                )
        return results

    def _judge(self, schema: Schema, row: RowWrite, fault: Fault) -> tuple[Settled, Batch]:
        """The outcomes of a refused row, or the rows to send in its place."""
        if fault.code == "DUPLICATE_VALUE" and row.insert:
            return _stands_already(schema, row, fault)
        if fault.code == "STRING_TOO_LONG" and "shortened" not in row.tried:
            return [], [_shorten(row, fault)]
        owner = schema.name("task", "owner")
        if fault.code in _INACTIVE and row.insert and owner in row.values and "ownerless" not in row.tried:
            return [], [row.without([owner], "ownerless")]  # it then belongs to our own user
        if len(row.writes) > 1 and fault.error_class not in {ErrorClass.RETRIABLE, ErrorClass.SKIPPABLE}:
            return [], split_row(schema, row)
        return _settle(row, fault), []


def _batches(rows: Sequence[RowWrite]) -> Iterator[Batch]:
    """Collections of up to 200: updates of any object together, inserts apart; never an id twice in one."""
    for insert in (False, True):
        left = [row for row in rows if row.insert is insert]
        while left:
            batch: Batch = []
            later: Batch = []
            ids: set[str] = set()
            for row in left:
                if len(batch) == ROWS_PER_COLLECTION or (row.id is not None and row.id in ids):
                    later.append(row)
                else:
                    batch.append(row)
                    ids.update([row.id] if row.id is not None else [])
            # At most ten runs of one type may alternate in a collection, so equals stand together.
            yield sorted(batch, key=lambda row: row.object)
            left = later


def _halve(batch: Batch, fault: Fault) -> tuple[Settled, list[Batch]]:
    """A batch that failed as a whole: smaller ones, down to the single row that is to blame."""
    kinds: dict[frozenset[str], Batch] = {}
    for row in batch:
        kinds.setdefault(frozenset(row.values), []).append(row)
    if fault.error_class is ErrorClass.CONFIGURATION and len(kinds) > 1:
        return [], list(kinds.values())
    if len(batch) == 1 or fault.error_class is ErrorClass.CONFIGURATION:
        # A field or object that is not there is not there for the other rows either.
        return [outcome for row in batch for outcome in _settle(row, fault)], []
    middle = len(batch) // 2
    return [], [batch[:middle], batch[middle:]]


def _settle(row: RowWrite, fault: Fault | None = None) -> Settled:
    if fault is None:
        return [WriteOutcome(key=write.key) for write in row.writes]
    return [
        WriteOutcome(key=write.key, error=fault.error_class, code=fault.code, detail=fault.message)
        for write in row.writes
    ]


def _stands_already(schema: Schema, row: RowWrite, fault: Fault) -> tuple[Settled, Batch]:
    """Our own touch id is there: the task was created by an earlier try. Its outcome may have become known since."""
    if schema.name("task", "touch_id").lower() not in fault.message.lower():
        return _settle(row, fault), []  # a unique field of the org's own
    found = _DUPLICATE_ID.search(fault.message)
    newer = {schema.name("task", word) for word in ("outcome", "message_id")} - {""}
    values = {name: value for name, value in row.values.items() if name in newer and value is not None}
    if found is None or not values or not all(isinstance(write, TaskWrite) for write in row.writes):
        return _settle(row), []
    return [], [replace(row, id=found[1], values=values)]


def _shorten(row: RowWrite, fault: Fault) -> RowWrite:
    """The texts the org blames, cut to the length it names; all texts to 255 when it names nothing."""
    limit = int(found[1]) if (found := _MAX_LENGTH.search(fault.message)) else 255
    blamed = {name.lower() for name in fault.fields} or {name.lower() for name in row.values}
    values = {
        name: value[:limit] if isinstance(value, str) and name.lower() in blamed else value
        for name, value in row.values.items()
    }
    return replace(row, values=values, tried=row.tried | {"shortened"})
