"""What changed since the cursor, page by page. An idle pull is one call.

One reading asks for people and for the streams whose turn it is at once, then follows the pages of contacts and leads
together. In the middle of a reading the cursor names the last row given out, so that a restart goes on right there;
afterwards it names the time the reading began. From there the next one reads some minutes back, because a long
transaction commits rows under the stamp of its beginning. Every stream has such a time of its own, which stays where
it is while the stream waits for its turn, so that nothing is lost by waiting.

The second call is for what must not wait: after a start, after a pause, and for whoever was ticked, since a box is
judged by the sequence as it is now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from sys import intern

from connectors.salesforce import soql
from connectors.salesforce.brake import BrakeReader
from connectors.salesforce.client import HEAVY_PARTS, Answers, Part
from connectors.salesforce.cursor import Cursor, Progress, parse_cursor
from connectors.salesforce.definitions import Definitions
from connectors.salesforce.org import Org, page, read_rows
from connectors.salesforce.records import RecordReader, Row
from connectors.salesforce.schema import Schema
from connectors.salesforce.turns import take_turns
from crmdrip.core.model import Record, RecordKind, SequenceDraft, Signal
from crmdrip.core.struct import replace
from crmdrip.ports import PullPage, Purpose

_DEFINITIONS = "definitions"
"""The stream of sequences and steps, which are always asked for together."""

_PATIENCE = timedelta(minutes=5)
"""A stream that was not read for so long waits for no turn: the CRM was away for a while, or pulls are rare."""

_DEFINITIONS_LIFE = timedelta(hours=1)
"""After which sequences are read whole again: a purged one leaves no trace in what changed."""

_SEEN = 20_000
"""Rows remembered within the overlap, at 120 bytes each; beyond it they are given out again, which is allowed."""

_TOO_SLOW = frozenset({"QUERY_TIMEOUT", "REQUEST_RUNNING_TOO_LONG"})

_SHALLOW = timedelta(minutes=1)
"""The overlap between two full ones while the full one is too crowded for one page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opening:
    """The first answers of one reading."""

    schema: Schema
    state: Cursor
    answers: Answers
    streams: frozenset[str]
    """Every stream of this org, by name."""
    read: frozenset[str]
    """Those that were asked for."""
    whole: bool
    """Whether all sequences were asked for, not only what changed."""

    def cursor(self, people: Mapping[str, Progress], hours: Mapping[str, int]) -> str:
        """The point that is reached with so much of the people given out, and everything else."""
        at, before = self.answers.at, self.state
        since = {name: at if name in self.read else before.since_of(name) or at for name in sorted(self.streams)}
        return Cursor(
            org_id=before.org_id, people=people, since=since, passed_over=self.streams - self.read, hours=hours
        ).dump()


class Pull:
    """The pull of one process: it remembers what it gave out, so that the overlap costs the daemon nothing."""

    def __init__(self, org: Org, brake: BrakeReader) -> None:
        self._org = org
        self._brake = brake
        self._seen: dict[str, str] = {}
        self._border = ""
        """The stamp from which rows come again with the next overlap."""
        self._heard: dict[str, frozenset[str]] = {}
        """The keys of what each stream gave when it was read last: all that its next overlap can bring again."""
        self._crowded: dict[str, datetime] = {}
        """By object word, when the full overlap was read last, while it fills more than a page."""
        self._last: str | None = None
        """The cursor of the newest page given out; whoever comes back with it has everything before."""

    def pages(self, cursor: str | None) -> Iterator[PullPage]:
        """Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        opening = self._org.ask(lambda schema: self._open(schema, cursor))
        self._last = None  # until a page is out, whatever is taken in below counts as not given
        schema, answers, state, began = opening.schema, opening.answers, opening.state, opening.answers.at
        changed, removed = self._definitions(opening)
        signals = self._signals(opening)
        brake = self._brake.read(schema, answers, Purpose.PULL)
        # From here on pages are let go of as they are read: the text of one is megabytes.
        opening = replace(opening, answers=replace(answers, parts={}))
        people = dict(state.people)
        waiting = {kind.value: "" for kind in schema.kinds()}
        first = True
        while first or waiting:
            records: list[Record] = []
            for word in list(waiting):
                url, rows = page(answers, word)
                records += self._read(schema, RecordKind(word), rows)
                people[word] = _advance(people.get(word), rows, schema.name(word, "modified"), began, url)
                waiting[word] = url
                del rows
            del answers
            waiting = {word: url for word, url in waiting.items() if url}
            point = self._last = opening.cursor(people, self._org.client.meter.hours())
            given = PullPage(records=tuple(records), cursor=point)
            del records
            if first:
                given = replace(
                    given,
                    sequences=tuple(changed),
                    removed_sequences=tuple(removed),
                    signals=tuple(signals),
                    brake=brake,
                )
            yield given
            del given  # while the next page is read nobody holds this one: a page is five megabytes
            if first:
                self._note_crowds(state, waiting, began)
            first = False
            if waiting:
                answers = self._follow(schema, waiting, people)

    def _open(self, schema: Schema, cursor: str | None) -> _Opening:
        """Ask for the first page of people, and for the streams that are to be read now."""
        org, client = self._org, self._org.client
        state = parse_cursor(cursor, schema.identity.org_id)
        client.meter.remember(state.hours)
        goes_on = cursor is not None and cursor == self._last
        if not goes_on:
            # Whoever comes back with another cursor did not save what was given out after it.
            org.definitions, self._seen, self._heard, self._crowded = Definitions(), {}, {}, {}
        overlap = timedelta(minutes=client.settings.overlap_minutes)
        loaded, now = org.definitions.loaded_at, client.clock.now()
        whole = loaded is None or now - loaded >= _DEFINITIONS_LIFE
        asks = self._asks(schema, state, overlap, whole=whole)
        always = self._brake.parts(schema)
        always += [self._people(schema, kind, state.people.get(kind.value), overlap) for kind in schema.kinds()]
        answers, read = self._ask(schema, always, asks, due=_due(asks, state, now) if goes_on else asks)
        answers = self._narrow(schema, state, answers)
        for name in ("sequence", "step", *(kind.value for kind in schema.kinds())):
            if name in answers.parts:
                answers.body(name)  # a refusal is known before anything is taken in
        # What this overlap brings again was given out before its own border: only what is older is forgotten.
        self._seen = {one: stamp for one, stamp in self._seen.items() if stamp >= self._border}
        self._border = (answers.at - overlap).strftime("%Y-%m-%dT%H:%M:%S")
        names = frozenset({_DEFINITIONS, *(stream.name for stream in org.streams(schema))})
        return _Opening(schema=schema, state=state, answers=answers, streams=names, read=read, whole=whole)

    def _ask(
        self, schema: Schema, always: list[Part], asks: Mapping[str, list[Part]], *, due: Collection[str]
    ) -> tuple[Answers, frozenset[str]]:
        """The answers, with the streams that were read. Sequences are read after people, so that they are no older."""
        client = self._org.client
        queries = {name: len(parts) for name, parts in asks.items()}
        read = take_turns(queries, due=due, places=HEAVY_PARTS - sum(part.heavy for part in always))
        answers = client.read([*always, *(part for name in asks if name in read for part in asks[name])], Purpose.PULL)
        if _DEFINITIONS in read or not self._somebody_ticked(schema, answers):
            return answers, read
        more = client.read([part for name in asks if name not in read for part in asks[name]], Purpose.PULL)
        return replace(answers, parts={**answers.parts, **more.parts}), frozenset(asks)

    def _asks(self, schema: Schema, state: Cursor, overlap: timedelta, *, whole: bool) -> dict[str, list[Part]]:
        """What there is to ask each stream for, the most urgent first. Signals begin with the first reading."""
        asks: dict[str, list[Part]] = {}
        for stream in self._org.streams(schema):
            if (since := state.since_of(stream.name)) is not None:
                asks[stream.name] = [stream.ask(since - overlap)]
        since = state.since_of(_DEFINITIONS)
        changes = None if whole or since is None else since - overlap
        asks[_DEFINITIONS] = self._org.definitions.parts(schema, changes)
        return asks

    def _somebody_ticked(self, schema: Schema, answers: Answers) -> bool:
        """Whether a ticked record was changed, or may have been on a further page."""
        for kind in schema.kinds():
            url, rows = page(answers, kind.value)
            enrolled = schema.name(kind.value, "enrolled")
            if url or any(row.get(enrolled) for row in self._fresh(schema, kind, rows)):
                return True
        return False

    def _narrow(self, schema: Schema, state: Cursor, answers: Answers) -> Answers:
        """Where the very first reading takes the org too long, only people with a sequence: lookups have an index.

        Neither the box nor the status has one, and in an org of millions a query by them alone is given up. Left out is
        who was ticked before the first reading without a sequence: nothing could have gone out to them.
        """
        slow = [
            kind
            for kind in schema.kinds()
            if state.people.get(kind.value) is None
            and (fault := answers.parts[kind.value].fault) is not None
            and fault.code in _TOO_SLOW
        ]
        if not slow:
            return answers
        parts = [self._people(schema, kind, None, timedelta(), indexed=True) for kind in slow]
        more = self._org.client.read(parts, Purpose.PULL)
        return replace(answers, parts={**answers.parts, **more.parts})

    def _people(
        self,
        schema: Schema,
        kind: RecordKind,
        progress: Progress | None,
        overlap: timedelta,
        *,
        indexed: bool = False,
    ) -> Part:
        """People that are ticked or carry our status, changed since; of deleted and merged ones too.

        indexed: of those only who has a sequence.

        Once reading changes, whoever opted out or bounced comes along as well: a twin of them may be in a sequence.
        """
        word = kind.value
        stamp = schema.name(word, "modified")
        reader = RecordReader(schema, kind)
        ours = [f"{schema.name(word, 'enrolled')} = true", f"{schema.name(word, 'status')} != null"]
        if progress is not None:
            ours.append(f"{schema.name(word, 'opted_out')} = true")
            if schema.sees(word, "bounced_at"):
                ours.append(f"{schema.name(word, 'bounced_at')} != null")
        where = [f"({' OR '.join(ours)})"]
        if indexed:
            sequences = soql.select(["Id"], schema.objects["sequence"].name)
            where = [f"{schema.name(word, 'sequence')} IN ({sequences})", *where]
        if progress is not None:
            position = progress.position
            if progress.then is None:
                position = soql.Position(at=position.at - self._depth(word, position.at, overlap))
            where = [*soql.after(stamp, position), *where]
        columns = reader.columns(self._org.stops(schema, kind))
        text = soql.select(columns, reader.object.name, where=where, order=[stamp, "Id"])
        # Nobody deleted matters before the first pull.
        return soql.query(word, text) if progress is None else soql.query_all(word, text)

    def _depth(self, word: str, at: datetime, overlap: timedelta) -> timedelta:
        """How far to read back: all the way, but only twice per overlap while that takes more than a page."""
        read_at = self._crowded.get(word)
        return min(_SHALLOW, overlap) if read_at is not None and at - read_at < overlap / 2 else overlap

    def _note_crowds(self, state: Cursor, waiting: Mapping[str, str], at: datetime) -> None:
        """Remember which overlaps did not fit on one page: after an import of thousands each pull would page."""
        overlap = timedelta(minutes=self._org.client.settings.overlap_minutes)
        for word, progress in state.people.items():
            full = progress.then is None and self._depth(word, progress.position.at, overlap) == overlap
            if full and word in waiting:
                self._crowded[word] = at
            elif full:
                self._crowded.pop(word, None)

    def _follow(self, schema: Schema, waiting: Mapping[str, str], people: Mapping[str, Progress]) -> Answers:
        """The next page of each object, all in one call; from the last row again where the locator has expired."""
        client = self._org.client
        answers = client.read([soql.next_page(word, url) for word, url in waiting.items()], Purpose.PULL)
        expired = [
            word
            for word in waiting
            if (fault := answers.parts[word].fault) is not None and fault.code == "INVALID_QUERY_LOCATOR"
        ]
        if expired:
            parts = [self._people(schema, RecordKind(word), people[word], timedelta()) for word in expired]
            again = client.read(parts, Purpose.PULL)
            answers = replace(answers, parts={**answers.parts, **again.parts})
        return answers

    def _fresh(self, schema: Schema, kind: RecordKind, rows: Sequence[Row]) -> Iterator[Row]:
        """The rows that were not given out before just as they are."""
        stamp = schema.name(kind.value, "modified")
        return (row for row in rows if self._seen.get(row["Id"]) != row[stamp])

    def _read(self, schema: Schema, kind: RecordKind, rows: Sequence[Row]) -> list[Record]:
        """The records of the fresh ones among the rows."""
        fresh = self._noted(schema.name(kind.value, "modified"), self._fresh(schema, kind, rows))
        return read_rows(RecordReader(schema, kind).reader(self._org.stops(schema, kind)), fresh)

    def _noted(self, stamp: str, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows, each remembered as it passes."""
        seen, border, has_room = self._seen, self._border, len(self._seen) < _SEEN
        for row in rows:
            if has_room and row[stamp] >= border:
                # Rows that were changed together share one stamp: kept once, it is half of what remembering them takes.
                seen[row["Id"]] = intern(row[stamp])
            yield row

    def _definitions(self, opening: _Opening) -> tuple[list[SequenceDraft], list[str]]:
        """The sequences that are different now, and the ids of those that are gone."""
        if _DEFINITIONS not in opening.read:
            return [], []
        sequences, steps = (self._org.drain(opening.answers, name, Purpose.PULL) for name in ("sequence", "step"))
        whole = opening.answers.at if opening.whole else None
        return self._org.definitions.take(opening.schema, sequences, steps, whole=whole)

    def _signals(self, opening: _Opening) -> list[Signal]:
        """The signals that were not given out before."""
        fresh: list[Signal] = []
        for stream in self._org.streams(opening.schema):
            if stream.name in opening.read:
                signals = self._org.signals(opening.answers, stream, Purpose.PULL)
                heard = self._heard.get(stream.name, frozenset())
                fresh += [signal for signal in signals if signal.key not in heard]
                self._heard[stream.name] = frozenset(signal.key for signal in signals)
        return fresh


def _due(names: Iterable[str], state: Cursor, now: datetime) -> set[str]:
    """The streams that were passed over before, came to light since, or were not read for long."""
    long_ago = now - _PATIENCE
    return {
        name for name in names if name in state.passed_over or name not in state.since or state.since[name] < long_ago
    }


def _advance(before: Progress | None, rows: Sequence[Row], stamp: str, began: datetime, url: str) -> Progress:
    """How far the stream is read after these rows."""
    then = before.then if before is not None and before.then is not None else began
    if not url:
        return Progress(position=soql.Position(at=then))
    last = rows[-1]
    return Progress(position=soql.Position(at=datetime.fromisoformat(last[stamp]), id=last["Id"]), then=then)
