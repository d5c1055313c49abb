"""Reading Salesforce: the CrmSource port. The pull and the last look have modules of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from connectors.salesforce import soql
from connectors.salesforce.brake import BrakeReader
from connectors.salesforce.client import Part, SalesforceClient
from connectors.salesforce.look import LOOK_SIZE, LastLook
from connectors.salesforce.org import Org, read_rows
from connectors.salesforce.pull import Pull
from connectors.salesforce.records import RecordReader, TouchReader
from connectors.salesforce.schema import Schema
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import Owner, Record, RecordKind, RecordRef, Signal, TouchRecord
from crmdrip.ports import (
    Budget,
    CallMeter,
    Capability,
    ControlWrite,
    CrmIdentity,
    CrmMapping,
    Look,
    PullPage,
    Purpose,
    reads_answers_of,
)

_FOUND = 50
"""People given for a name."""

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


@reads_answers_of("Salesforce")
class SalesforceSource:
    """A CrmSource. Shares its org, and with it session, schema and budget, with the sink."""

    def __init__(self, client: SalesforceClient, mapping: CrmMapping) -> None:
        self.org = Org(client, mapping)
        brake = BrakeReader(self.org)
        self._pull = Pull(self.org, brake)
        self._look = LastLook(self.org, brake)

    def capabilities(self) -> frozenset[Capability]:
        """What this org offers: by the mapping before the first call, by its describes afterwards."""
        schema = self.org.known
        leads = bool(self.org.mapping.objects.get("lead")) if schema is None else schema.has("lead")
        found = {Capability.MERGES}
        if leads:
            found |= {Capability.LEADS, Capability.CONVERSION}
        if schema is None or self.org.streams(schema):
            found.add(Capability.SIGNALS)
        return frozenset(found)

    def identity(self) -> CrmIdentity:
        """Which org answers. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        return self.org.schema().identity

    @property
    def meter(self) -> CallMeter:
        """What counts its calls, and those of the sink."""
        return self.org.client.meter

    def budget(self) -> Budget:
        """As of the last answer."""
        return self.org.client.meter.budget()

    def pull(self, cursor: str | None) -> Iterator[PullPage]:
        """What changed since the cursor. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        return self._pull.pages(cursor)

    def look(
        self,
        refs: Iterable[RecordRef],
        paths: frozenset[str],
        cursor: str | None,
        sequences: Iterable[str] = (),
        heartbeat: ControlWrite | None = None,
    ) -> Look:
        """The records and sequences as they are now, with what happened since the cursor. Raises as pull."""
        wanted, ids = list(refs), list(sequences)
        return self.org.ask(lambda schema: self._look.look(schema, wanted, paths, cursor, ids, heartbeat=heartbeat))

    def owners(self, ids: Iterable[str]) -> Mapping[str, Owner]:
        """The users behind the ids, at most some minutes old; queues are no persons. Raises as pull."""
        wanted = list(dict.fromkeys(ids))
        return self.org.ask(lambda schema: self.org.parents.owners(schema, wanted, Purpose.LOOK))

    def find(self, text: str) -> tuple[Record, ...]:
        """Records by id, by email address, or by a part of the name; at most 50 of each object. Raises as pull."""
        wanted = text.strip()
        return self.org.ask(lambda schema: self._find(schema, wanted)) if wanted else ()

    def records_of(self, addresses: Iterable[str]) -> tuple[Record, ...]:
        """Every record of these normalized addresses, 500 addresses per call. Raises as pull."""
        wanted = {address for address in addresses if address}
        return self.org.ask(lambda schema: self._records_of(schema, wanted)) if wanted else ()

    def signals(self, since: datetime) -> tuple[Signal, ...]:
        """What happened since a time, in one call where it is not much. Raises as pull."""
        return self.org.ask(lambda schema: self._signals(schema, since))

    def touches(self, cursor: str | None) -> Iterator[tuple[tuple[TouchRecord, ...], str]]:
        """All touches by record id, 2,000 a call; deleted and archived ones count: they were sent. Raises as pull."""
        last = cursor or ""
        while touches := self.org.ask(lambda schema: self._touches(schema, last)):  # noqa: B023 - asked at once
            last = touches[-1][0]
            yield tuple(touch for _, touch in touches), last

    def _find(self, schema: Schema, text: str) -> tuple[Record, ...]:
        prefixes = {kind: schema.objects[kind.value].prefix for kind in schema.kinds()}
        by_id = bool(_ID.fullmatch(text)) and text.startswith(tuple(prefixes.values()))
        conditions: list[tuple[RecordKind, str]] = []
        for kind, prefix in prefixes.items():
            if by_id and text.startswith(prefix):
                conditions.append((kind, f"Id = {soql.quote(text)}"))
            elif not by_id and "@" in text:
                conditions.append((kind, f"{schema.name(kind.value, 'email')} = {soql.quote(text)}"))
            elif not by_id and not _can_filter(schema, kind, "name"):
                raise ConfigurationError(
                    "names are encrypted in this org, so nobody can be found by theirs.",
                    where="Salesforce",
                    do_next="Give the record's id or the email address.",
                )
            elif not by_id:
                conditions.append((kind, f"{schema.name(kind.value, 'name')} LIKE {soql.quote_like(text)}"))
        return self._query(schema, conditions, Purpose.LOOK, limit=_FOUND)

    def _records_of(self, schema: Schema, addresses: set[str]) -> tuple[Record, ...]:
        spelled = sorted({spelling for address in addresses for spelling in _spellings(address)})
        conditions = [
            (kind, soql.in_list(schema.name(kind.value, "email"), spelled[start : start + soql.IDS_PER_LIST]))
            for start in range(0, len(spelled), soql.IDS_PER_LIST)
            for kind in schema.kinds()
        ]
        found = self._query(schema, conditions, Purpose.STOP, limit=None)
        return tuple(record for record in found if normalize_address(record.email) in addresses)

    def _query(
        self, schema: Schema, conditions: Sequence[tuple[RecordKind, str]], purpose: Purpose, *, limit: int | None
    ) -> tuple[Record, ...]:
        """The records that meet a condition each, all asked for together."""
        stops = {kind: self.org.stops(schema, kind) for kind, _ in conditions}
        readers = {kind: RecordReader(schema, kind) for kind in stops}
        parts: list[tuple[RecordKind, Part]] = []
        for number, (kind, where) in enumerate(conditions):
            reader = readers[kind]
            text = soql.select(
                reader.columns(stops[kind]), reader.object.name, where=[where], order=["Id"], limit=limit
            )
            parts.append((kind, soql.query(f"{kind.value}_{number}", text)))
        answers = self.org.client.read([part for _, part in parts], purpose)
        return tuple(
            record
            for kind, part in parts
            for record in read_rows(readers[kind].reader(stops[kind]), self.org.drain(answers, part.name, purpose))
        )

    def _signals(self, schema: Schema, since: datetime) -> tuple[Signal, ...]:
        streams = self.org.streams(schema)
        answers = self.org.client.read([stream.ask(since) for stream in streams], Purpose.STOP)
        return tuple(signal for one in streams for signal in self.org.signals(answers, one, Purpose.STOP))

    def _touches(self, schema: Schema, last: str) -> list[tuple[str, TouchRecord]]:
        """The next touches after a task id, each with its task's id."""
        reader = TouchReader(schema)
        where = [f"{schema.name('task', 'touch_id')} != null"]
        if last:
            where.append(f"Id > {soql.quote(last)}")
        text = soql.select(reader.columns(), schema.objects["task"].name, where=where, order=["Id"], limit=LOOK_SIZE)
        answers = self.org.client.read([soql.query_all("touches", text)], Purpose.PULL)
        rows = self.org.drain(answers, "touches", Purpose.PULL)
        return [(row["Id"], reader.read(row)) for row in rows]


def _can_filter(schema: Schema, kind: RecordKind, word: str) -> bool:
    found = schema.objects[kind.value].find(schema.name(kind.value, word))
    return found is None or found.filterable


def _spellings(address: str) -> set[str]:
    """The ways a normalized address may stand in the CRM; case does not matter there, an international domain does."""
    local, _, domain = address.rpartition("@")
    try:
        return {address, f"{local}@{domain.encode('ascii').decode('idna')}"}
    except UnicodeError:
        return {address}
