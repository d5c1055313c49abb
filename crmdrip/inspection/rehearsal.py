"""Stand-ins for what is around the daemon in a forecast: the CRM is read once, nothing is written, all email taken."""

# ruff: noqa: D102 - what each method does is said by the ports

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlalchemy import event

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.message import EmailMessage
from crmdrip.core.model import Owner, Record, RecordRef, Signal, TouchRecord
from crmdrip.core.struct import replace
from crmdrip.core.writes import Write
from crmdrip.ledger.errors import explain
from crmdrip.ledger.store import Ledger
from crmdrip.ports import (
    Budget,
    Capability,
    Clock,
    ControlWrite,
    CrmIdentity,
    CrmSource,
    Finding,
    FollowsLists,
    LogFinding,
    Look,
    PullPage,
    SendOutcome,
    SendStatus,
    WriteOutcome,
)


def copy_file(origin: Path, copy: Path) -> None:
    """Copy a ledger's file beside a daemon that may be writing; nothing where there is none.

    Raises LedgerBrokenError.
    """
    if not origin.exists():
        return
    address = f"{origin.resolve().as_uri()}?mode=ro"
    try:
        try:
            _copy(address, copy)
        except sqlite3.OperationalError:
            if os.access(origin.parent, os.W_OK):
                raise
            # SQLite reads a file in WAL mode only where it can put another beside it, unless told that nobody writes:
            # here nobody can (B30).
            _copy(f"{address}&immutable=1", copy)
    except sqlite3.DatabaseError as error:
        raise explain(error, str(origin)) from error


def _copy(address: str, copy: Path) -> None:
    with closing(sqlite3.connect(address, uri=True)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def hurry(ledger: Ledger) -> None:
    """A ledger that is thrown away need not survive a power cut: no commit waits for the disk any more."""
    ledger.engine.dispose()
    event.listen(ledger.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))


class OnceRead:
    """A CrmSource that pulls once and then knows of no further change.

    Whoever has joined a list that a sequence names is ticked by then, as the daemon would tick them before that pull.
    """

    def __init__(self, source: CrmSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        """The dispatcher looks at the next batch while the present one goes out."""
        self._pulled = False
        self._records: dict[str, Record] = {}
        self._asked: set[str] = set()
        self._first: Look | None = None
        self._joining: Mapping[RecordRef, str] = {}
        """Who has joined a list and is not ticked yet, with the sequence of each."""
        self.paths: frozenset[str] = frozenset()
        """Merge paths to read with every record; set before the first look."""
        self.refs: tuple[RecordRef, ...] = ()
        """Records to read together with the first that is asked for: all that will be needed."""

    def capabilities(self) -> frozenset[Capability]:
        return self._source.capabilities()

    def identity(self) -> CrmIdentity:
        return self._source.identity()

    def pull(self, cursor: str | None) -> Iterator[PullPage]:
        if not self._pulled:
            if isinstance(self._source, FollowsLists):
                self._joining = self._source.preview_lists()
            for page in self._source.pull(cursor):
                yield replace(page, records=tuple(map(self._ticked, page.records)))
                cursor = page.cursor
            if self._joining and cursor is not None:
                look = self._source.look(self._joining, frozenset(), cursor)
                yield PullPage(records=tuple(map(self._ticked, look.records.values())), cursor=cursor)
            self._pulled = True

    def look(
        self,
        refs: Iterable[RecordRef],
        paths: frozenset[str],
        cursor: str | None,
        sequences: Iterable[str] = (),
        heartbeat: ControlWrite | None = None,
    ) -> Look:
        # Sequences were pulled a moment ago, and none of them changes during a rehearsal, which leaves no trace.
        del sequences, heartbeat
        with self._lock:
            return self._look(list(refs), paths, cursor)

    def _look(self, wanted: list[RecordRef], paths: frozenset[str], cursor: str | None) -> Look:
        if self._first is None or any(ref.id not in self._asked for ref in wanted):
            self._read(wanted, paths, cursor)
        assert self._first is not None  # noqa: S101 - for the type checker; _read sets it
        found = {ref.id: self._records[ref.id] for ref in wanted if ref.id in self._records}
        signals, self._first = (
            self._first.signals,
            Look(records={}, signals=(), brake=self._first.brake, at=self._first.at),
        )
        return Look(records=found, signals=signals, brake=self._first.brake, at=self._clock.now())

    def _read(self, wanted: list[RecordRef], paths: frozenset[str], cursor: str | None) -> None:
        refs = {ref.id: ref for ref in (*wanted, *self.refs) if ref.id not in self._asked}
        try:
            look = self._source.look(refs.values(), paths | self.paths, cursor)
        except ConfigurationError:
            # Some other sequence asks for a field that is not there: that must not hide what these people get.
            look = self._source.look(refs.values(), paths, cursor)
        self._records.update((one, self._ticked(record)) for one, record in look.records.items())
        self._asked.update(refs)
        if self._first is None:
            # The heartbeat is that of the daemon whose ledger was copied.
            self._first = replace(look, brake=replace(look.brake, heartbeat=None) if look.brake is not None else None)

    def _ticked(self, record: Record) -> Record:
        """As the record stands once the lists were followed."""
        sequence = self._joining.get(record.ref)
        return record if sequence is None else replace(record, enrolled=True, sequence_id=sequence)

    def owners(self, ids: Iterable[str]) -> Mapping[str, Owner]:
        return self._source.owners(ids)

    def find(self, text: str) -> tuple[Record, ...]:
        return self._source.find(text)

    def records_of(self, addresses: Iterable[str]) -> tuple[Record, ...]:
        return self._source.records_of(addresses)

    def signals(self, since: datetime) -> tuple[Signal, ...]:
        return self._source.signals(since)

    def touches(self, cursor: str | None) -> Iterator[tuple[tuple[TouchRecord, ...], str]]:
        return self._source.touches(cursor)

    def budget(self) -> Budget:
        return self._source.budget()

    def name_of(self, record_id: str) -> str:
        """The person's name, "" when the record was never needed."""
        record = self._records.get(record_id)
        fields = record.fields if record is not None else {}
        return " ".join(str(part) for part in (fields.get("first_name"), fields.get("last_name")) if part)


class NothingWritten:
    """A CrmSink that says yes to everything."""

    def write(self, writes: Iterable[Write]) -> Iterator[WriteOutcome]:
        for write in writes:
            yield WriteOutcome(key=write.key)


class EverythingTaken:
    """A Mailer that takes every email, and whose log has none of before."""

    def capabilities(self) -> frozenset[Capability]:
        return frozenset({Capability.OUTCOME_LOOKUP})

    def send(self, messages: Iterable[EmailMessage]) -> Generator[SendOutcome, None, None]:
        for message in messages:
            yield SendOutcome(touch_id=message.touch_id, status=SendStatus.ACCEPTED)

    def find(self, touch_id: str, address: str, since: object) -> LogFinding:
        del address, since
        return LogFinding(touch_id=touch_id, finding=Finding.NOT_FOUND)

    def close(self) -> None:
        return
