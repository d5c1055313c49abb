"""Reading Salesforce: pull, last look, owners, people, touches. An idle pull is two calls, a last look is one.

Never writes, and never decides what a change means.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from connectors.salesforce import soql
from connectors.salesforce.client import Answers, Part, SalesforceClient
from connectors.salesforce.cursor import Cursor, Progress, parse_cursor
from connectors.salesforce.definitions import Definitions
from connectors.salesforce.merge_fields import MergeColumns, resolve
from connectors.salesforce.meter import Purpose
from connectors.salesforce.parents import Parents
from connectors.salesforce.records import RecordReader, Row, TouchReader, parse_time
from connectors.salesforce.schema import Schema, control_query, load_schema
from connectors.salesforce.signals import Stream, open_streams
from crmdrip.core.errors import ConfigurationError, ErrorClass
from crmdrip.core.model import Brake, Owner, Record, RecordKind, RecordRef, Signal, TouchRecord
from crmdrip.ports import Budget, Capability, CrmIdentity, CrmMapping, Look, PullPage

T = TypeVar("T")

LOOK_SIZE = 2_000
"""Ids per collection retrieve (REST API guide, sObject Collections, POST retrieve)."""

_FOUND = 50
"""People given for a name."""

_DEFINITIONS_LIFE = timedelta(hours=1)
"""After which sequences are read whole again: a purged one leaves no trace in what changed."""

_SEEN = 50_000
"""Rows remembered within the overlap; beyond it they are given out again, which is allowed."""

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


class SalesforceSource:
    """A CrmSource. Shares its client, and with it session and budget, with the sink."""

    def __init__(self, client: SalesforceClient, mapping: CrmMapping) -> None:
        self.client = client
        self.mapping = mapping
        self.parents = Parents(client)
        self._schema: Schema | None = None
        self._loading = threading.Lock()
        self._definitions = Definitions()
        self._seen: dict[str, str] = {}
        self._heard: set[str] = set()
        self._last_cursor: str | None = None
        self._refused: set[str] = set()
        self._control_id: str | None = None
        self._pulled_by: str | None = None

    # --- what the org is --------------------------------------------------------------------------------------------

    def schema(self) -> Schema:
        """The org's objects and fields, read once and again after a refusal. Raises as identity."""
        with self._loading:
            if self._schema is None:
                self._schema = load_schema(self.client, self.mapping)
                self._control_id = self._schema.control_id
            return self._schema

    def forget_schema(self) -> None:
        """Read objects and fields anew at the next use: an admin may have changed what we see."""
        with self._loading:
            self._schema = None

    def capabilities(self) -> frozenset[Capability]:
        """What this org offers: by the mapping before the first call, by its describes afterwards."""
        schema = self._schema
        leads = bool(self.mapping.objects.get("lead")) if schema is None else schema.has("lead")
        found = {Capability.MERGES}
        if leads:
            found |= {Capability.LEADS, Capability.CONVERSION}
        if schema is None or self._streams(schema):
            found.add(Capability.SIGNALS)
        return frozenset(found)

    def identity(self) -> CrmIdentity:
        """Which org answers. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        return self.schema().identity

    def budget(self) -> Budget:
        """As of the last answer."""
        return self.client.meter.budget()

    def control_id(self) -> str | None:
        """The control record, None while there is none."""
        return self._control_id

    def adopt_control(self, record_id: str) -> None:
        """The sink made the control record."""
        self._control_id = record_id

    # --- pull -------------------------------------------------------------------------------------------------------

    def pull(self, cursor: str | None) -> Iterator[PullPage]:
        """Everything changed since the cursor. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError.

        One reading of changes takes one call per five queries; the pages that follow are read for contacts and leads
        together. In the middle of a reading the cursor names the last row, so that a restart goes on right there.
        """
        opening, schema, state, whole = self._asking(lambda schema: self._open_pull(schema, cursor))
        self._last_cursor = None  # until a page is out, whatever is taken in below counts as not given
        readers = {kind: RecordReader(schema, kind) for kind in schema.kinds()}
        changed, removed = self._definitions.take(
            schema, self._drain(opening, "sequence"), self._drain(opening, "step"), whole=opening.at if whole else None
        )
        signals = [
            signal
            for stream in self._streams(schema)
            if stream.name in opening.parts
            for signal in self._signals(opening, stream)
            if signal.key not in self._heard
        ]
        brake = self._brake(schema, opening, Purpose.PULL)
        people = dict(state.people)
        answers, open_pages = opening, {kind.value: "" for kind in schema.kinds()}
        first = True
        while first or open_pages:
            records: list[Record] = []
            for kind in schema.kinds():
                if kind.value in open_pages:
                    url, rows = self._page(answers, kind.value)
                    progress = _advance(
                        people.get(kind.value), rows, schema.name(kind.value, "modified"), opening.at, url
                    )
                    people[kind.value] = progress
                    records += self._unseen(readers[kind].reader(self._stops(schema, kind)), rows, schema, kind)
                    open_pages.pop(kind.value)
                    if url:
                        open_pages[kind.value] = url
            point = Cursor(org_id=state.org_id, people=people, since=opening.at, hours=self.client.meter.hours()).dump()
            self._last_cursor = point
            yield PullPage(
                sequences=tuple(changed) if first else (),
                removed_sequences=tuple(removed) if first else (),
                records=tuple(records),
                signals=tuple(signals) if first else (),
                brake=brake if first else None,
                cursor=point,
            )
            self._heard.update(signal.key for signal in signals)
            first = False
            if open_pages:
                answers = self._next_pages(schema, open_pages, people)

    def _open_pull(self, schema: Schema, cursor: str | None) -> tuple[Answers, Schema, Cursor, bool]:
        """Ask for the first page of everything."""
        state = parse_cursor(cursor, schema.identity.org_id)
        self.client.meter.remember(state.hours)
        if cursor is None or cursor != self._last_cursor:
            # Whoever comes back with another cursor did not save what was given out after it.
            self._definitions, self._seen, self._heard = Definitions(), {}, set()
        overlap = timedelta(minutes=self.client.settings.overlap_minutes)
        loaded = self._definitions.loaded_at
        whole = loaded is None or state.since is None or state.since - loaded >= _DEFINITIONS_LIFE
        since = None if state.since is None else state.since - overlap
        parts = [*self._control_part(schema), *self._definitions.parts(schema, None if whole else since)]
        parts += [self._people_part(schema, kind, state.people.get(kind.value), overlap) for kind in schema.kinds()]
        if since is not None:
            parts += [stream.ask(since) for stream in self._streams(schema)]
        answers = self.client.read(parts, Purpose.PULL)
        for name in ("sequence", "step", *(kind.value for kind in schema.kinds())):
            answers.body(name)
        self._forget_before(answers.at - overlap)
        return answers, schema, state, whole

    def _people_part(self, schema: Schema, kind: RecordKind, progress: Progress | None, overlap: timedelta) -> Part:
        """People that are ticked or carry our status, changed since; of deleted and merged ones too."""
        word = kind.value
        stamp = schema.name(word, "modified")
        reader = RecordReader(schema, kind)
        where = [f"({schema.name(word, 'enrolled')} = true OR {schema.name(word, 'status')} != null)"]
        if progress is not None:
            position = progress.position
            if progress.then is None:
                position = soql.Position(at=position.at - overlap)
            where = [*soql.after(stamp, position), *where]
        columns = reader.columns(self._stops(schema, kind))
        text = soql.select(columns, reader.object.name, where=where, order=[stamp, "Id"])
        # Nobody deleted matters before the first pull.
        return soql.query(word, text) if progress is None else soql.query_all(word, text)

    def _next_pages(self, schema: Schema, pages: Mapping[str, str], people: Mapping[str, Progress]) -> Answers:
        answers = self.client.read([soql.next_page(word, url) for word, url in pages.items()], Purpose.PULL)
        expired = [
            word
            for word in pages
            if (fault := answers.parts[word].fault) is not None and fault.code == "INVALID_QUERY_LOCATOR"
        ]
        if expired:
            parts = [self._people_part(schema, RecordKind(word), people[word], timedelta()) for word in expired]
            again = self.client.read(parts, Purpose.PULL)
            answers = replace(answers, parts={**answers.parts, **again.parts})
        return answers

    def _page(self, answers: Answers, name: str) -> tuple[str, list[Row]]:
        """The next page's URL, "" for none, and the rows."""
        body = answers.body(name)
        return body.get("nextRecordsUrl") or "", body["records"]

    def _drain(self, answers: Answers, name: str) -> list[Row]:
        """All rows of a query, following its pages."""
        url, rows = self._page(answers, name)
        while url:
            url, more = self._page(self.client.read([soql.next_page(name, url)], Purpose.PULL), name)
            rows = [*rows, *more]
        return rows

    def _unseen(
        self, read: Callable[[Row], Record], rows: Sequence[Row], schema: Schema, kind: RecordKind
    ) -> list[Record]:
        """The records of rows that were not given out before just as they are."""
        stamp, seen = schema.name(kind.value, "modified"), self._seen
        fresh = [row for row in rows if seen.get(row["Id"]) != row[stamp]]
        if len(seen) < _SEEN:
            seen.update((row["Id"], row[stamp]) for row in fresh)
        return _read_all(read, fresh)

    def _forget_before(self, at: datetime) -> None:
        """Rows older than the overlap do not come again."""
        border = at.strftime("%Y-%m-%dT%H:%M:%S")
        self._seen = {one: stamp for one, stamp in self._seen.items() if stamp >= border}

    # --- signals, brake, stop conditions ----------------------------------------------------------------------------

    def _streams(self, schema: Schema) -> list[Stream]:
        return [stream for stream in open_streams(schema) if stream.name not in self._refused]

    def _signals(self, answers: Answers, stream: Stream) -> list[Signal]:
        """The stream's signals; a stream the org refuses for good is not asked again."""
        fault = answers.parts[stream.name].fault
        if fault is not None:
            if fault.error_class in {ErrorClass.RETRIABLE, ErrorClass.RATE_LIMITED, ErrorClass.AUTH}:
                raise fault.error(f"Salesforce ({stream.name})")
            self._refused.add(stream.name)
            return []
        return [signal for row in self._drain(answers, stream.name) if (signal := stream.read(row)) is not None]

    def _stops(self, schema: Schema, kind: RecordKind) -> dict[str, str]:
        """The stop condition's column by sequence id, where objects of this kind have it."""
        info = schema.objects[kind.value]
        fields = self._definitions.stop_fields(schema.stop_when)
        return {one: found.name for one, name in fields.items() if (found := info.find(name)) is not None}

    def _control_part(self, schema: Schema) -> list[Part]:
        """The control record: by id it is no query; searched for only while there is none."""
        if not schema.has("control"):
            return []
        names = schema.names("control", ("brake", "heartbeat", "modified_by"))
        if self._control_id is None:
            return [control_query(self.mapping, ["Id", *names.values()])]
        path = f"sobjects/{schema.objects['control'].name}/{self._control_id}?fields={','.join(names.values())}"
        return [Part(name="control", path=path)]

    def _brake(self, schema: Schema, answers: Answers, purpose: Purpose) -> Brake | None:
        answer = answers.parts.get("control")
        if answer is None:
            return None
        if (fault := answer.fault) is not None:
            if fault.status != 404:
                raise fault.error("Salesforce (control)")
            self._control_id = None  # deleted: searched for at the next reading
            return Brake(pulled=False)
        row = answer.body
        if "records" in row:
            if not row["records"]:
                return Brake(pulled=False)
            row = row["records"][0]
            self._control_id = row["Id"]
        pulled = bool(row.get(schema.name("control", "brake")))
        changed_by = row.get(schema.name("control", "modified_by"))
        # Our own heartbeat changes the record as well; the person is whoever was there when we were not.
        if not pulled:
            self._pulled_by = None
        elif changed_by is not None and changed_by[:15] != self.client.token.user_id[:15]:
            self._pulled_by = changed_by
        by = ""
        if self._pulled_by is not None:
            owner = self.parents.owners(schema, [self._pulled_by], purpose).get(self._pulled_by)
            by = owner.name if owner is not None else ""
        return Brake(pulled=pulled, by=by, heartbeat=parse_time(row.get(schema.name("control", "heartbeat"))))

    # --- last look --------------------------------------------------------------------------------------------------

    def look(self, refs: Iterable[RecordRef], paths: frozenset[str], cursor: str | None) -> Look:
        """Read the records by id, in one call for up to 2,000 contacts and 2,000 leads. Raises as pull.

        Merge fields of accounts and owners take one further call, unless read within the last minutes.
        """
        wanted = list(refs)
        return self._asking(lambda schema: self._look(schema, wanted, paths, cursor))

    def _look(self, schema: Schema, refs: Sequence[RecordRef], paths: frozenset[str], cursor: str | None) -> Look:
        columns = resolve(schema, paths)
        overlap = timedelta(minutes=self.client.settings.overlap_minutes)
        since = parse_cursor(cursor, schema.identity.org_id).since
        readers = {kind: RecordReader(schema, kind) for kind in schema.kinds()}
        stops = {kind: self._stops(schema, kind) for kind in schema.kinds()}
        parts: list[Part] = []
        for kind, reader in readers.items():
            ids = list(dict.fromkeys(ref.id for ref in refs if ref.kind is kind))
            names = reader.columns({**stops[kind], **columns[kind].own})
            parts += [
                retrieve(f"{kind.value}_{start}", reader.object.name, ids[start : start + LOOK_SIZE], names)
                for start in range(0, len(ids), LOOK_SIZE)
            ]
        streams = [stream for stream in self._streams(schema) if stream.in_look] if since is not None else []
        if since is not None:
            parts += [stream.ask(since - overlap) for stream in streams]
        parts += self._control_part(schema)
        answers = self.client.read(parts, Purpose.LOOK)
        records: dict[str, Record] = {}
        for kind, reader in readers.items():
            rows = [
                row
                for name in answers.parts
                if name.startswith(f"{kind.value}_")
                for row in answers.body(name)
                if row is not None
            ]
            found = _read_all(reader.reader(stops[kind]), rows)
            records.update(self._with_fields(schema, found, rows, columns[kind]))
        signals = [signal for stream in streams for signal in self._signals(answers, stream)]
        return Look(
            records=records,
            signals=tuple(signals),
            brake=self._brake(schema, answers, Purpose.LOOK),
            at=answers.at,
        )

    def _with_fields(
        self, schema: Schema, records: Sequence[Record], rows: Sequence[Row], columns: MergeColumns
    ) -> dict[str, Record]:
        """The records with the merge fields asked for, those of parents included."""
        if not columns.own and not columns.parents:
            return {record.ref.id: record for record in records}
        ids = {
            "account": {record.account_id for record in records if record.account_id},
            "owner": {record.owner_id for record in records if record.owner_id},
        }
        parents = {
            parent: self.parents.rows(schema, parent, ids[parent], list(names.values()), Purpose.LOOK)
            for parent, names in columns.parents.items()
        }
        found: dict[str, Record] = {}
        for record, row in zip(records, rows, strict=True):
            fields: dict[str, Any] = {path: row.get(column) for path, column in columns.own.items()}
            for parent, names in columns.parents.items():
                parent_id = record.account_id if parent == "account" else record.owner_id
                of = parents[parent].get(parent_id or "", {})
                fields.update((path, of.get(column)) for path, column in names.items())
            found[record.ref.id] = replace(record, fields=fields)
        return found

    # --- owners, people, touches ------------------------------------------------------------------------------------

    def owners(self, ids: Iterable[str]) -> Mapping[str, Owner]:
        """The users behind the ids, at most some minutes old; queues are no persons. Raises as pull."""
        wanted = list(dict.fromkeys(ids))
        return self._asking(lambda schema: self.parents.owners(schema, wanted, Purpose.LOOK))

    def find(self, text: str) -> tuple[Record, ...]:
        """Records by id, by email address, or by a part of the name; at most 50 of each object. Raises as pull."""
        return self._asking(lambda schema: self._find(schema, text.strip()))

    def _find(self, schema: Schema, text: str) -> tuple[Record, ...]:
        parts: list[Part] = []
        readers = {kind: RecordReader(schema, kind) for kind in schema.kinds()}
        stops = {kind: self._stops(schema, kind) for kind in readers}
        by_id = bool(_ID.fullmatch(text)) and any(text.startswith(r.object.prefix) for r in readers.values())
        for kind, reader in readers.items():
            if by_id and not text.startswith(reader.object.prefix):
                continue
            if by_id:
                where = f"Id = {soql.quote(text)}"
            elif "@" in text:
                where = f"{schema.name(kind.value, 'email')} = {soql.quote(text)}"
            else:
                where = f"{schema.name(kind.value, 'name')} LIKE {soql.quote_like(text)}"
            names = reader.columns(stops[kind])
            parts.append(
                soql.query(
                    kind.value, soql.select(names, reader.object.name, where=[where], order=["Id"], limit=_FOUND)
                )
            )
        answers = self.client.read(parts, Purpose.LOOK)
        return tuple(
            record
            for kind, reader in readers.items()
            if kind.value in answers.parts
            for record in _read_all(reader.reader(stops[kind]), answers.body(kind.value)["records"])
        )

    def touches(self, cursor: str | None) -> Iterator[tuple[tuple[TouchRecord, ...], str]]:
        """All touches by record id, 2,000 a call; deleted and archived ones count: they were sent. Raises as pull."""
        last = cursor or ""
        while True:
            rows = self._asking(lambda schema, last=last: self._touch_rows(schema, last))  # type: ignore[misc] # mypy cannot type a default of a lambda
            if not rows:
                return
            reader = TouchReader(self.schema())
            last = rows[-1]["Id"]
            yield tuple(reader.read(row) for row in rows), last

    def _touch_rows(self, schema: Schema, last: str) -> list[Row]:
        where = [f"{schema.name('task', 'touch_id')} != null"]
        if last:
            where.append(f"Id > {soql.quote(last)}")
        text = soql.select(
            TouchReader(schema).columns(), schema.objects["task"].name, where=where, order=["Id"], limit=LOOK_SIZE
        )
        return self._drain(self.client.read([soql.query_all("touches", text)], Purpose.PULL), "touches")

    def _asking(self, ask: Callable[[Schema], T]) -> T:
        """Ask with what is known of the org, and once more with fresh knowledge when it refuses a field (B26)."""
        schema = self._ready()
        try:
            return ask(schema)
        except ConfigurationError:
            self.forget_schema()
            fresh = self._ready()
            if fresh == schema:
                raise
            return ask(fresh)

    def _ready(self) -> Schema:
        """The schema, complete. Raises ConfigurationError naming what is missing; looks again the next time."""
        schema = self.schema()
        try:
            schema.demand()
        except ConfigurationError:
            self.forget_schema()
            raise
        return schema


def retrieve(name: str, object_name: str, ids: Sequence[str], columns: Sequence[str]) -> Part:
    """Up to 2,000 records by id, in the order asked; null for each that is gone."""
    body = {"ids": list(ids), "fields": list(dict.fromkeys(columns))}
    return Part(name=name, path=f"composite/sobjects/{object_name}", method="POST", body=body)


def _advance(before: Progress | None, rows: Sequence[Row], stamp: str, began: datetime, url: str) -> Progress:
    """How far the stream is read after these rows."""
    then = before.then if before is not None and before.then is not None else began
    if not url:
        return Progress(position=soql.Position(at=then))
    last = rows[-1]
    return Progress(position=soql.Position(at=datetime.fromisoformat(last[stamp]), id=last["Id"]), then=then)


def _read_all(read: Callable[[Row], Record], rows: Sequence[Row]) -> list[Record]:
    """Raises ConfigurationError when the org leaves out a field it was asked for: never read that as "not ticked"."""
    try:
        return [read(row) for row in rows]
    except KeyError as error:
        raise ConfigurationError(
            f"the field {error.args[0]} was asked for and did not come.",
            where="Salesforce",
            do_next="Type crmdrip doctor to see which field is hidden.",
        ) from None
