"""The last look: the records about to be mailed by id, what happened since the cursor, and the brake, in one call.

The sequences' own status comes along: a pull may have read it a minute or two ago, and somebody paused one since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from connectors.salesforce.brake import BrakeReader
from connectors.salesforce.client import Answers, Part
from connectors.salesforce.cursor import parse_cursor
from connectors.salesforce.definitions import in_our_words
from connectors.salesforce.merge_fields import MergeColumns, resolve
from connectors.salesforce.org import Org, read_rows, retrieve
from connectors.salesforce.records import RecordReader, Row
from connectors.salesforce.schema import Schema
from crmdrip.core.model import Record, RecordRef
from crmdrip.ports import ControlWrite, Look, Purpose

LOOK_SIZE = 2_000
"""Ids per collection retrieve (REST API guide, sObject Collections, POST retrieve)."""

_BY_ITSELF = 15
"""Sequences read by a request each: none of these is a query, and 25 fit into a call. More come as a collection."""

_SEQUENCE = "sequence_"


class LastLook:
    """Reads by id, never through a search index, and never from memory."""

    def __init__(self, org: Org, brake: BrakeReader) -> None:
        self._org = org
        self._brake = brake

    def look(
        self,
        schema: Schema,
        refs: Sequence[RecordRef],
        paths: frozenset[str],
        cursor: str | None,
        sequences: Iterable[str] = (),
        *,
        heartbeat: ControlWrite | None = None,
    ) -> Look:
        """One call for up to 2,000 contacts and 2,000 leads of 15 sequences. Raises what the client raises.

        Merge fields of accounts and owners take one further call together, unless read within the last minutes.
        """
        org = self._org
        columns = resolve(schema, paths)
        state = parse_cursor(cursor, schema.identity.org_id)
        readers = {kind: RecordReader(schema, kind) for kind in schema.kinds()}
        stops = {kind: org.stops(schema, kind) for kind in schema.kinds()}
        parts = self._brake.parts(schema)
        asked: dict[str, RecordReader] = {}
        for kind, reader in readers.items():
            ids = list(dict.fromkeys(ref.id for ref in refs if ref.kind is kind))
            names = reader.columns({**stops[kind], **columns[kind].own})
            for start in range(0, len(ids), LOOK_SIZE):
                part = retrieve(f"{kind.value}_{start}", reader.object.name, ids[start : start + LOOK_SIZE], names)
                asked[part.name] = reader
                parts.append(part)
        overlap = timedelta(minutes=org.client.settings.overlap_minutes)
        streams = [stream for stream in org.streams(schema) if stream.in_look]
        parts += [stream.ask(at - overlap) for stream in streams if (at := state.since_of(stream.name)) is not None]
        wanted = list(dict.fromkeys(sequences))
        parts += _ask_statuses(schema, wanted)
        if heartbeat is not None:
            parts += self._brake.leave(schema, heartbeat)
        answers = org.client.read(parts, Purpose.LOOK)
        records: dict[str, Record] = {}
        read = {name: [row for row in answers.body(name) if row is not None] for name in asked}
        self._fetch_parents(schema, [(asked[name], rows, columns[asked[name].kind]) for name, rows in read.items()])
        for name, reader in asked.items():
            rows = read[name]
            fields = self._merge_fields(schema, reader, rows, columns[reader.kind])
            found = read_rows(reader.reader(stops[reader.kind]), rows, fields)
            records.update((record.ref.id, record) for record in found)
        self._brake.demand_left(answers)
        problems = org.definitions.problems(schema, wanted)
        if problems:
            org.forget_schema()  # somebody may have granted the field by the next look
        return Look(
            records=records,
            signals=tuple(
                signal
                for stream in streams
                if stream.name in answers.parts
                for signal in org.signals(answers, stream, Purpose.LOOK)
            ),
            brake=self._brake.read(schema, answers, Purpose.LOOK),
            at=answers.at,
            statuses=_read_statuses(schema, answers, wanted),
            problems=problems,
        )

    def _fetch_parents(self, schema: Schema, read: Sequence[tuple[RecordReader, Sequence[Row], MergeColumns]]) -> None:
        """What merge fields need of accounts, in one call with the owners, whom whoever looks asks for next."""
        if not any(columns.parents for _, _, columns in read):
            return
        parents = self._org.parents
        ids: dict[str, dict[str, None]] = {"account": {}, "owner": {}}
        wanted: dict[str, set[str]] = {"account": set(), "owner": set(parents.owner_columns(schema))}
        for reader, rows, columns in read:
            for parent, names in columns.parents.items():
                wanted[parent].update(names.values())
            for parent, found in reader.parents(rows).items():
                ids[parent].update(dict.fromkeys(one for one in found if one))
        parents.fetch(schema, {one: (ids[one], names) for one, names in wanted.items() if names}, Purpose.LOOK)

    def _merge_fields(
        self, schema: Schema, reader: RecordReader, rows: Sequence[Row], columns: MergeColumns
    ) -> list[dict[str, Any]]:
        """The merge fields asked for of each row, those of its parents included."""
        ids = reader.parents(rows)
        found = [{path: row.get(column) for path, column in columns.own.items()} for row in rows]
        for parent, names in columns.parents.items():
            wanted = [one for one in ids[parent] if one]
            known = self._org.parents.rows(schema, parent, wanted, list(names.values()), Purpose.LOOK)
            for fields, parent_id in zip(found, ids[parent], strict=True):
                of = known.get(parent_id or "", _NO_ROW)
                fields.update((path, of.get(column)) for path, column in names.items())
        return found


_NO_ROW: Row = {}


def _ask_statuses(schema: Schema, ids: Sequence[str]) -> list[Part]:
    name, columns = schema.objects["sequence"].name, ["Id", schema.name("sequence", "status")]
    if len(ids) > _BY_ITSELF:
        starts = range(0, len(ids), LOOK_SIZE)
        return [retrieve(f"{_SEQUENCE}{start}", name, ids[start : start + LOOK_SIZE], columns) for start in starts]
    fields = ",".join(columns)
    return [
        Part(name=f"{_SEQUENCE}{number}", path=f"sobjects/{name}/{one}?fields={fields}")
        for number, one in enumerate(ids)
    ]


def _read_statuses(schema: Schema, answers: Answers, ids: Sequence[str]) -> dict[str, str | None]:
    """The statuses in our words, None for each sequence that is gone. Raises the fault's error."""
    found: dict[str, str | None] = dict.fromkeys(ids)
    status = schema.name("sequence", "status")
    for name, answer in answers.parts.items():
        gone = answer.fault is not None and answer.fault.status == 404
        if not name.startswith(_SEQUENCE) or gone:
            continue
        body = answers.body(name)
        for row in body if isinstance(body, list) else [body]:
            if row is not None:
                found[row["Id"]] = in_our_words(schema, "status", row[status]) or ""
    return found
