"""Writing Salesforce: up to a thousand rows per call, every row's refusal understood by its code (B21).

A task is inserted, not upserted: our touch id is unique, so a repeated insert is refused as DUPLICATE_VALUE: it
stands. An upsert would fail on it (TaskSubtype can only be set at creation) and reopen a rep's finished task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from connectors.salesforce.client import HEAVY_PARTS, Part
from connectors.salesforce.codes import Fault, read_fault
from connectors.salesforce.rows import RowWrite, plan_rows
from connectors.salesforce.schema import Schema
from connectors.salesforce.source import SalesforceSource
from connectors.salesforce.verdicts import Batch, Verdicts
from connectors.salesforce.whereabouts import find_tasks, find_whereabouts
from crmdrip.core.errors import ConfigurationError, ErrorClass, RetriableError
from crmdrip.core.struct import replace
from crmdrip.ports import ControlWrite, Purpose, TouchWrite, Write, WriteOutcome, reads_answers_of

ROWS_PER_COLLECTION = 200
_FEW = 10
_TRY_MORE_AFTER = 50
"""Collections of a shorter length that went well, before a tenth more is tried."""

# Without the first, every update of a lead runs the org's assignment rules and gives the lead to somebody else; without
# the second, a duplicate rule on contacts refuses a change of our status field.
_HEADERS = {"Sforce-Auto-Assign": "FALSE", "Sforce-Duplicate-Rule-Header": "allowSave=true"}


@reads_answers_of("Salesforce")
class SalesforceSink:
    """A CrmSink on the source's org: one session, schema and budget for both."""

    def __init__(self, source: SalesforceSource) -> None:
        self._org = source.org
        self._width = HEAVY_PARTS
        """Collections per call; one after a call that ran too long, more again with each that did not."""
        self._length = ROWS_PER_COLLECTION
        """Rows per collection; half as many after one that a trigger could not take, slowly more again."""
        self._taken = 0
        """Full collections of that length since."""

    def write(self, writes: Iterable[Write]) -> Iterator[WriteOutcome]:
        """Write everything, each at most once under its key; an outcome per write, as calls are answered.

        Raises AuthError, RateLimitedError, RetriableError, ConfigurationError when nothing further can be written
        now; what was not yielded was not settled.
        """
        news: list[TouchWrite] = []
        others: list[Write] = []
        for write in writes:
            if isinstance(write, TouchWrite):
                news.append(write)
            else:
                others.append(write)
        yield from self._write(others, {})
        if not news:
            return
        # After the tasks themselves; and by their ids, since an upsert would make a task of what is not there.
        tasks = find_tasks(self._org, self._org.schema(), {one.touch_id for one in news}, Purpose.REPORT)
        yield from (_gone(one) for one in news if one.touch_id not in tasks)
        yield from self._write([one for one in news if one.touch_id in tasks], tasks)

    def _write(self, writes: Sequence[Write], tasks: Mapping[str, str]) -> Iterator[WriteOutcome]:
        schema = self._org.schema()
        rows, refused = self._plan(schema, writes, tasks)
        yield from _refuse(refused)
        waiting = deque(_batches(rows, self._length))
        while waiting:
            batches = [waiting.popleft() for _ in range(min(self._width, len(waiting)))]
            urgent = any(row.urgent for batch in batches for row in batch)
            purpose = Purpose.STOP if urgent else Purpose.REPORT
            try:
                results = self._send(batches, purpose)
            except RetriableError:
                if len(batches) == 1:
                    raise
                # Too much at once for the org's triggers, perhaps. Every row is keyed, so it may be sent again.
                self._width = 1
                waiting.extendleft(reversed(batches))
                continue
            self._width = min(self._width * 2, HEAVY_PARTS)
            verdicts = self._judge(schema, batches, results)
            yield from verdicts.settled
            waiting.extend(verdicts.smaller)
            waiting.extend(_batches(verdicts.again, self._length))
            if verdicts.replan:
                self._org.forget_schema()
                schema = self._org.schema()
                again, refused = self._plan(schema, [write for row in verdicts.replan for write in row.writes], tasks)
                yield from _refuse(refused)
                tried = [replace(row, tried=row.tried | {"replanned"}) for row in again]
                waiting.extend(_batches(tried, self._length))
            if verdicts.lost:
                found = self._chase(schema, verdicts.lost, purpose)
                yield from found.settled
                waiting.extend(_batches(found.again, self._length))

    def _plan(
        self, schema: Schema, writes: Sequence[Write], tasks: Mapping[str, str]
    ) -> tuple[list[RowWrite], list[tuple[Write, ConfigurationError]]]:
        rows, refused = plan_rows(
            schema,
            writes,
            control_id=self._org.control_id,
            zone_of=lambda owner_id: self._org.parents.zone_of(schema, owner_id),
            tasks=tasks,
        )
        if refused:
            self._org.forget_schema()  # the next write sees whether an admin has mended it
        return rows, refused

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

    def _judge(
        self, schema: Schema, batches: Sequence[Batch], results: Sequence[Fault | list[Fault | str]]
    ) -> Verdicts:
        verdicts = Verdicts(schema=schema)
        for batch, result in zip(batches, results, strict=True):
            if isinstance(result, Fault):
                verdicts.judge_batch(batch, result)
                continue
            if any(isinstance(one, Fault) and one.overrun for one in result):
                # Where even a single row is too much, it is not for their number, and the others need not go singly.
                fewer = max(1, min(self._length, len(batch) // 2)) if len(batch) > 1 else max(self._length, _FEW)
                self._length, self._taken = fewer, 0
            elif len(batch) == self._length < ROWS_PER_COLLECTION:
                self._taken += 1
                if self._taken == _TRY_MORE_AFTER:
                    self._length, self._taken = min(self._length + self._length // 10 + 1, ROWS_PER_COLLECTION), 0
            for row, one in zip(batch, result, strict=True):
                if isinstance(one, Fault):
                    verdicts.judge_row(row, one, alone=len(batch) == 1)
                    continue
                if row.insert and isinstance(row.writes[0], ControlWrite):
                    self._org.control_id = one
                verdicts.settle(row)
        return verdicts

    def _chase(self, schema: Schema, lost: Sequence[tuple[RowWrite, Fault]], purpose: Purpose) -> Verdicts:
        """Tasks whose person became another record follow it; those that stand already are settled."""
        person = schema.name("task", "person")
        touches = {row.key for row, fault in lost if fault.code == "DUPLICATE_VALUE"}
        people = {row.values[person] for row, fault in lost if fault.code != "DUPLICATE_VALUE"}
        where = find_whereabouts(self._org, schema, people=people, touches=touches, purpose=purpose)
        verdicts = Verdicts(schema=schema)
        for row, fault in lost:
            successor = where.successors.get(row.values[person])
            if row.key in where.standing:
                verdicts.settle(row)
            elif successor is not None:
                values = {**row.values, person: successor}
                verdicts.again.append(replace(row, values=values))
            else:
                verdicts.settle(row, fault)
        return verdicts


def _refuse(refused: Iterable[tuple[Write, ConfigurationError]]) -> Iterator[WriteOutcome]:
    """The outcomes of writes that need a field our user may not write."""
    for write, error in refused:
        yield WriteOutcome(key=write.key, error=error.error_class, code="HIDDEN_FIELD", detail=error.what)


def _gone(write: TouchWrite) -> WriteOutcome:
    """The outcome of news about a touch that is on no timeline: somebody deleted it, or it never got there."""
    return WriteOutcome(key=write.key, error=ErrorClass.SKIPPABLE, code="NOT_FOUND", detail="no task of this touch")


def _batches(rows: Sequence[RowWrite], length: int) -> Iterator[Batch]:
    """Collections of so many rows at most: updates of any object together, inserts apart; never an id twice in one."""
    for insert in (False, True):
        left = [row for row in rows if row.insert is insert]
        while left:
            batch: Batch = []
            later: Batch = []
            ids: set[str] = set()
            for row in left:
                if len(batch) == length or (row.id is not None and row.id in ids):
                    later.append(row)
                else:
                    batch.append(row)
                    ids.update([row.id] if row.id is not None else [])
            # At most ten runs of one type may alternate in a collection, so equals stand together.
            yield sorted(batch, key=lambda row: row.object)
            left = later
