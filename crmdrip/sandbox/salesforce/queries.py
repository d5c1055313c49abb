"""Running queries: pages, cursors, and the choice of the index for delta reads."""

# ruff: noqa: S608 - table and column names come from the schema, values are always bound

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from crmdrip.sandbox.salesforce import ids
from crmdrip.sandbox.salesforce.compile import Hidden, compile_query
from crmdrip.sandbox.salesforce.plan import Child, Plan, render
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.soql import parse
from crmdrip.sandbox.salesforce.store import Store, index_name, quote

PAGE = 2_000
SMALLEST_PAGE = 200
CURSOR_LIFE = timedelta(days=2)
"""Since API 56; there is no limit on open cursors."""

_FEW = 50_000
"""Up to so many rows past the stamp, a walk along the stamps beats every other plan."""


_SOURCE = re.compile(r"\bFROM (\w+)(.*)", re.DOTALL)
_INDEXED = re.compile(r"\b(Id|SystemModstamp|CreatedDate|OwnerId|Email|\w+_Sequence__c) (=|>|>=|IN)[ (]")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cursor:
    """A query's rows by rowid; values are read when a page is."""

    plan: Plan
    rowids: array[int]
    opened: datetime


class Queries:
    """The open cursors of one org."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self.scanned: set[str] = set()
        """Objects of millions of rows: a query that no index narrows down does not end in time."""
        self._cursors: dict[str, _Cursor] = {}
        self._opened = 0

    def run(self, soql: str, *, base: str, hidden: Hidden, everything: bool, page: int = PAGE) -> dict[str, Any]:
        """The first page of a query, as answered. everything: deleted and archived rows too (queryAll).

        base is the path before /sobjects and /query. Raises Refusal.
        """
        if self.scanned:
            self._refuse_scan(soql)
        schema = self._store.schema
        plan = compile_query(schema, parse(soql), hidden=hidden, everything=everything)
        index = self._index(plan)
        database = self._store.db
        if plan.counting:
            (total,) = database.execute(plan.count_sql(indexed=index), plan.parameters).fetchone()
            return {"totalSize": total, "done": True, "records": []}
        rows = database.execute(plan.sql(indexed=index), plan.parameters).fetchmany(page + 1)
        if len(rows) <= page:
            return {"totalSize": len(rows), "done": True, "records": self._records(plan, rows, base, page)}
        rowids = array("q", (row[0] for row in database.execute(plan.rowid_sql(indexed=index), plan.parameters)))
        locator = self._open(plan, rowids)
        return {
            "totalSize": len(rowids),
            "done": False,
            "nextRecordsUrl": f"{base}/query/{locator}-{page}",
            "records": self._records(plan, rows[:page], base, page),
        }

    def _refuse_scan(self, soql: str) -> None:
        """Raises Refusal for a query of a large object without a filter on an indexed field.

        Query and search optimization cheat sheet: ids, lookups, SystemModstamp, CreatedDate, Email of people. The code
        stands in the API guide ("ExceptionCode"); text and status are from memory.
        """
        found = _SOURCE.search(soql)
        if found is not None and found[1] in self.scanned and not _INDEXED.search(found[2]):
            raise Refusal("QUERY_TIMEOUT", "Your query request was running for too long.")

    def more(self, locator: str, *, base: str, page: int = PAGE) -> dict[str, Any]:
        """The page a locator such as 01g...-2000 names. The same locator gives the same page again."""
        key, _, start_text = locator.partition("-")
        cursor = self._cursors.get(key)
        if cursor is None or not start_text.isdigit() or self._clock() - cursor.opened > CURSOR_LIFE:
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        start = int(start_text)
        end = min(start + page, len(cursor.rowids))
        wanted = cursor.rowids[start:end]
        rows = {
            row[1]: row
            for row in self._store.db.execute(cursor.plan.page_sql(), (orjson.dumps(wanted.tolist()).decode(),))
        }
        ordered = [rows[rowid] for rowid in wanted if rowid in rows]
        answer: dict[str, Any] = {"totalSize": len(cursor.rowids), "done": end == len(cursor.rowids)}
        if end < len(cursor.rowids):
            answer["nextRecordsUrl"] = f"{base}/query/{key}-{end}"
        answer["records"] = self._records(cursor.plan, ordered, base, page)
        return answer

    def _open(self, plan: Plan, rowids: array[int]) -> str:
        now = self._clock()
        self._cursors = {key: each for key, each in self._cursors.items() if now - each.opened <= CURSOR_LIFE}
        self._opened += 1
        key = ids.mint("01g", self._opened)
        self._cursors[key] = _Cursor(plan=plan, rowids=rowids, opened=now)
        return key

    def _index(self, plan: Plan) -> str:
        """SQLite has no statistics here, and would rather walk a whole sequence than the few rows that changed."""
        if plan.since is None:
            return ""
        if not plan.by_stamp:
            table = quote(plan.source.name)
            (changed,) = self._store.db.execute(
                f'SELECT count(*) FROM (SELECT 1 FROM {table} WHERE "SystemModstamp" > ? LIMIT {_FEW})', (plan.since,)
            ).fetchone()
            if changed >= _FEW:
                return ""
        return index_name(plan.source.name, "SystemModstamp")

    def _records(self, plan: Plan, rows: Sequence[Sequence[Any]], base: str, page: int) -> list[dict[str, Any]]:
        schema = self._store.schema
        records = [render(schema, base, plan.source, plan.shape, row) for row in rows]
        for child in plan.children:
            self._attach(child, records, [row[0] for row in rows], base, page)
        return records

    def _attach(
        self, child: Child, records: list[dict[str, Any]], parents: Sequence[str], base: str, page: int
    ) -> None:  # fmt: skip
        grouped: dict[str, list[Sequence[Any]]] = {}
        parameters = (*child.plan.parameters, orjson.dumps(parents).decode())
        for row in self._store.db.execute(child.plan.sql(), parameters):
            of = grouped.setdefault(row[2], [])
            if child.limit is None or len(of) < child.limit:
                of.append(row)
        for record, parent in zip(records, parents, strict=True):
            rows = grouped.get(parent)
            if not rows:
                record[child.name] = None
                continue
            block: dict[str, Any] = {"totalSize": len(rows), "done": len(rows) <= page}
            if len(rows) > page:
                key = self._open(child.plan, array("q", (row[1] for row in rows)))
                block["nextRecordsUrl"] = f"{base}/query/{key}-{page}"
            block["records"] = [
                render(self._store.schema, base, child.plan.source, child.plan.shape, row) for row in rows[:page]
            ]
            record[child.name] = block
