"""What the readers of one org share: its schema, read again after a refusal, its definitions and streams."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from connectors.salesforce import soql
from connectors.salesforce.client import Answers, Part, SalesforceClient
from connectors.salesforce.definitions import Definitions
from connectors.salesforce.parents import Parents
from connectors.salesforce.records import Row
from connectors.salesforce.schema import Schema, load_schema
from connectors.salesforce.signals import Stream, open_streams
from crmdrip.core.errors import ConfigurationError, ErrorClass
from crmdrip.core.model import Record, RecordKind, Signal
from crmdrip.ports import CrmIdentity, CrmMapping, Purpose

T = TypeVar("T")

RIGHT_ORG = "Correct domain and credentials, or org_id if this org is meant."

_PASSING = frozenset({ErrorClass.RETRIABLE, ErrorClass.RATE_LIMITED, ErrorClass.AUTH})
"""Refusals of a stream that say nothing about whether the org has it."""


class Org:
    """One org as its readers know it. Used from several threads; only the pull changes the definitions."""

    def __init__(self, client: SalesforceClient, mapping: CrmMapping) -> None:
        self.client = client
        self.mapping = mapping
        self.parents = Parents(client)
        self.definitions = Definitions()
        self.known: Schema | None = None
        """The schema as last read, None before and after a refusal."""
        self.control_id: str | None = None
        """The control record, None while there is none."""
        self._loading = threading.Lock()
        self._refused: set[str] = set()

    def schema(self) -> Schema:
        """The org's objects and fields. Everything that reads or writes comes by here.

        Raises AuthError, RetriableError, RateLimitedError, and ConfigurationError when another org answers than the
        one that may be mailed from (B25).
        """
        schema = self.read_schema()
        if (what := wrong_org(schema.identity, self.client.settings.org_id)) is not None:
            raise ConfigurationError(f"{what} Nothing is sent or written.", where="Salesforce", do_next=RIGHT_ORG)
        return schema

    def read_schema(self) -> Schema:
        """As schema, whichever org answers: for the doctor alone."""
        with self._loading:
            if self.known is None:
                self.known = load_schema(self.client, self.mapping)
                self.control_id = self.known.control_id
            return self.known

    def forget_schema(self) -> None:
        """Read objects and fields anew at the next use: an admin may have changed what we see."""
        with self._loading:
            self.known = None

    def ask(self, question: Callable[[Schema], T]) -> T:
        """Ask with what is known of the org, and once more with fresh knowledge when it refuses a field (B26)."""
        schema = self.ready()
        try:
            return question(schema)
        except ConfigurationError:
            self.forget_schema()
            fresh = self.ready()
            if fresh == schema:
                raise
            return question(fresh)

    def ready(self) -> Schema:
        """The schema, complete. Raises ConfigurationError naming what is missing now; looks again each time."""
        remembered = self.known is not None
        schema = self.schema()
        try:
            schema.demand()
        except ConfigurationError:
            self.forget_schema()
            if not remembered:
                raise
            return self.ready()
        return schema

    def stops(self, schema: Schema, kind: RecordKind) -> dict[str, str]:
        """The stop condition's column by sequence id, where objects of this kind have it."""
        info = schema.objects[kind.value]
        fields = self.definitions.stop_fields(schema.stop_when)
        return {one: found.name for one, name in fields.items() if (found := info.find(name)) is not None}

    def streams(self, schema: Schema) -> list[Stream]:
        """The signals this org has not refused."""
        return [stream for stream in open_streams(schema) if stream.name not in self._refused]

    def signals(self, answers: Answers, stream: Stream, purpose: Purpose) -> list[Signal]:
        """The stream's signals; a stream the org refuses for good is not asked again. Raises what the client raises."""
        fault = answers.parts[stream.name].fault
        if fault is not None:
            if fault.error_class in _PASSING:
                raise fault.error(f"Salesforce ({stream.name})")
            self._refused.add(stream.name)
            return []
        rows = self.drain(answers, stream.name, purpose)
        return [signal for row in rows for signal in stream.read(row)]

    def drain(self, answers: Answers, name: str, purpose: Purpose) -> Sequence[Row]:
        """All rows of a query, following its pages. Raises its fault's error."""
        url, rows = page(answers, name)
        while url:
            url, more = page(self.client.read([soql.next_page(name, url)], purpose), name)
            rows = [*rows, *more]
        return rows


def wrong_org(found: CrmIdentity, org_id: str) -> str | None:
    """What is wrong with the org that answers, None when it is the configured one or none is configured (B25)."""
    if not org_id or org_id[:15] == found.org_id[:15]:
        return None
    return f"{describe_org(found)} answers, and only {org_id} may be mailed from."


def describe_org(found: CrmIdentity) -> str:
    """The org by name and id."""
    return f"{found.name} ({found.org_id}{', a sandbox' if found.sandbox else ''})"


def page(answers: Answers, name: str) -> tuple[str, Sequence[Row]]:
    """The next page's URL, "" for none, and the rows, decoded each time one goes through them.

    Raises the fault's error.
    """
    body = answers.body(name)
    return body.get("nextRecordsUrl") or "", body["records"]


def retrieve(name: str, object_name: str, ids: Sequence[str], columns: Sequence[str]) -> Part:
    """Up to 2,000 records by id, in the order asked; null for each that is gone."""
    body = {"ids": list(ids), "fields": list(dict.fromkeys(columns))}
    return Part(name=name, path=f"composite/sobjects/{object_name}", method="POST", body=body)


def read_rows(
    read: Callable[..., Record], rows: Iterable[Row], fields: Sequence[Mapping[str, Any]] | None = None
) -> list[Record]:
    """The rows as records, each with its merge fields.

    Raises ConfigurationError when the org leaves out a field it was asked for: never read that as "not ticked".
    """
    try:
        if fields is None:
            return [read(row) for row in rows]
        return [read(row, own) for row, own in zip(rows, fields, strict=True)]
    except KeyError as error:
        raise ConfigurationError(
            f"the field {error.args[0]} was asked for and did not come.",
            where="Salesforce",
            do_next="Type crmdrip doctor to see which field is hidden.",
        ) from None
