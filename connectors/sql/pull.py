"""The pull: who changed since, by windows over the time of the last change, each read in the order of ids.

Every window begins again a few minutes back, since a long transaction commits rows under the time at which it began.
Going on behind the last id makes equal times harmless. A row that is deleted is in no window, and an UPDATE typed by
hand seldom sets the time: so whoever is in a sequence is read by id in each pull, some at a time, and now and then
everybody who is ticked is read whatever the time says. Where no column tells of changes, every pull reads so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, or_

from connectors.sql.control import ControlRow
from connectors.sql.cursor import Cursor, Reading, parse_cursor
from connectors.sql.database import Database, Transaction
from connectors.sql.definitions import digest, read_drafts, stop_columns
from connectors.sql.people import PeopleReader, Row
from connectors.sql.signals import SignalReader
from connectors.sql.values import read_key
from crmdrip.core.model import Record, RunStatus, SequenceDraft, Signal
from crmdrip.core.struct import replace
from crmdrip.ports import PullPage, Purpose

_WATCHED = 2_000
"""People in a sequence that one pull reads by id at most."""
_SEEN = 200_000
"""People whose last state is remembered; beyond it they are given out again, which is allowed."""
_LIVE = frozenset(status.value for status in RunStatus if status.live)


class Pull:
    """The pull of one process: it remembers what it gave out, so that neither overlap nor our own writes come again."""

    def __init__(self, database: Database, control: ControlRow, signals: SignalReader) -> None:
        self._database = database
        self._control = control
        self._signals = signals
        self._seen: dict[str, int] = {}
        """The digest of everybody given out, by id."""
        self._heard: frozenset[str] = frozenset()
        """The keys of the signals of the newest reading: all that its overlap can bring again."""
        self._watched: dict[str, None] | None = None
        """Who is in a sequence, the longest unread first; None until it is known."""
        self._missing: dict[str, None] = {}
        """Who was not there any more when read by id, and is not told yet."""
        self._told: dict[str, None] = {}
        """Who was given out as gone, until that is saved."""
        self._last: str | None = None
        """The cursor of the newest page given out; whoever comes back with it has everything before."""
        self.drafts: Mapping[str, SequenceDraft] | None = None
        """The sequences as they were read last."""

    def note_missing(self, ids: Iterable[str]) -> None:
        """A last look did not find them: the next pull tells."""
        self._missing.update(dict.fromkeys(ids))

    def pages(self, cursor: str | None) -> Iterator[PullPage]:
        """Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        database, now = self._database, self._database.clock.now()
        overlap = timedelta(minutes=database.settings.overlap_minutes)
        schema = database.schema(Purpose.PULL)
        people = PeopleReader(schema, database.zone)
        with database.read(Purpose.PULL) as transaction:
            control = self._control.read(transaction, schema)
            state = parse_cursor(cursor, control.org_id)
            database.meter.remember(state.hours)
            self._recall(cursor)
            since = None if state.heard is None else state.heard - overlap
            signals = [] if since is None else self._signals.read(transaction, schema, since)
            drafts = read_drafts(transaction, schema)
            watched, gone = self._watch_some(transaction, people, stop_columns(schema.contact, drafts))
        reading = state.reading or self._begin(state, people, now, overlap)
        heard = {one.key for one in signals}
        first, more = True, True
        while more:
            # A transaction for each page: none is open while the daemon is at work on one.
            with database.read(Purpose.PULL) as transaction:
                # As they stand before the people are read or after: whoever is ticked comes with their sequence.
                stops = stop_columns(schema.contact, drafts)
                rows, more = self._page(transaction, people, reading, stops.values())
                drafts = read_drafts(transaction, schema)
            if rows:
                reading = replace(reading, last_id=list(rows)[-1])
            records = [*gone, *self._records(people, {**watched, **rows}, stops)]
            digests = {one: digest(draft) for one, draft in drafts.items()}
            changed = [draft for one, draft in drafts.items() if state.sequences.get(one) != digests[one]]
            removed = sorted(set(state.sequences) - set(drafts))
            self.drafts = drafts
            state = replace(
                state,
                at=state.at if more else reading.end,
                swept=state.swept if more or not reading.full else reading.end,
                reading=reading if more else None,
                # Whoever goes on after a page has not heard of the people on the later ones.
                heard=state.heard if more else reading.end,
                sequences=digests,
                hours=database.meter.hours(),
            )
            self._last = state.dump()
            yield PullPage(
                records=tuple(records),
                sequences=tuple(changed),
                removed_sequences=tuple(removed),
                signals=self._new(signals),
                brake=control.brake if first else None,
                cursor=self._last,
            )
            first, signals, gone, watched = False, [], [], {}
        self._heard = frozenset(heard)

    def _new(self, signals: Sequence[Signal]) -> tuple[Signal, ...]:
        return tuple(one for one in signals if one.key not in self._heard)

    def _recall(self, cursor: str | None) -> None:
        """Forget what was given out when it was not saved."""
        if cursor is not None and cursor == self._last:
            self._told = {}
        else:
            # Whoever comes back with another cursor did not save what was given out after it.
            self._seen, self._heard = {}, frozenset()
            self._missing.update(self._told)
            self._told = {}
            self._watched = None if cursor is not None else {}
        self._last = None

    def _begin(self, state: Cursor, people: PeopleReader, now: datetime, overlap: timedelta) -> Reading:
        sweep = timedelta(minutes=self._database.settings.sweep_minutes)
        full = state.at is None or not people.tells_changes or state.swept is None or now - state.swept >= sweep
        return Reading(begin=None if state.at is None else state.at - overlap, end=now, full=full)

    def _page(
        self, transaction: Transaction, people: PeopleReader, reading: Reading, extra: Iterable[str]
    ) -> tuple[dict[str, Row], bool]:
        """The next people of a reading by id, and whether there may be more."""
        names = list(extra)
        wanted = people.ours()
        if reading.begin is not None:
            changed = people.changed(reading.begin, reading.end)
            # After the first reading, whoever opted out or bounced comes along: a twin of them may be in a sequence.
            refused = and_(changed, people.refused()) if people.tells_changes else people.refused()
            wanted = or_(wanted if reading.full else and_(changed, wanted), refused)
        statement = people.select(names).where(wanted).order_by(people.key).limit(self._database.page)
        if reading.last_id is not None:
            statement = statement.where(people.key > people.keys([reading.last_id])[0])
        found = transaction.rows(statement)
        return people.rows(found, names), len(found) == self._database.page

    def _records(self, people: PeopleReader, rows: Mapping[str, Row], stops: Mapping[str, str]) -> Iterator[Record]:
        """The records that are news."""
        for record_id, row in rows.items():
            record = people.read(row, stop=stops.get(str(row.get("sequence")), ""))
            if self._watched is not None:
                self._watched.pop(record_id, None)
                if not record.deleted and (record.enrolled or record.status in _LIVE):
                    self._watched[record_id] = None
            known = people.digest(row)
            if self._seen.get(record_id) == known:
                continue
            if len(self._seen) < _SEEN or record_id in self._seen:
                self._seen[record_id] = known
            yield record

    def _watch_some(
        self, transaction: Transaction, people: PeopleReader, stops: Mapping[str, str]
    ) -> tuple[dict[str, Row], list[Record]]:
        """Some of those in a sequence as they are now, and those that are not there any more."""
        if self._watched is None:
            self._watched = dict.fromkeys(self._find_live(transaction, people))
        asked = dict.fromkeys([*self._missing, *list(self._watched)[:_WATCHED]])
        names = list(dict.fromkeys(stops.values()))
        found: dict[str, Row] = {}
        for part in self._database.parts(people.keys(asked)):
            statement: Select[Any] = people.select(names).where(people.key.in_(part))
            found.update(people.rows(transaction.rows(statement), names))
        lost = [one for one in asked if one not in found]
        for one in asked:
            self._missing.pop(one, None)
        for one in lost:
            self._watched.pop(one, None)
            self._seen.pop(one, None)
        self._told.update(dict.fromkeys(lost))
        return found, [people.lost(one) for one in lost]

    def _find_live(self, transaction: Transaction, people: PeopleReader) -> Iterator[str]:
        """The ids of everybody who may be mailed, once after a start."""
        statement = people.select().where(people.live())
        for row in self._database.all_rows(transaction, statement, people.key, 0):
            yield read_key(row[0])
