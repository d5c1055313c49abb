"""The pull: what changed since, by windows over the time of the last change, each read in the order of ids.

A search shows a change some seconds late, sees no deleted contact, and ends after 10,000 results. So every window
begins again a few minutes back, goes on behind the last id instead of by pages (equal time stamps do no harm), and
whoever is in a sequence is read by id every few minutes as well, which tells who was deleted or merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from connectors.hubspot.client import BATCH
from connectors.hubspot.control import ControlReader
from connectors.hubspot.cursor import Cursor, Reading, parse_cursor
from connectors.hubspot.definitions import digest, stop_field
from connectors.hubspot.lists import ListFollower
from connectors.hubspot.portal import Portal, condition
from connectors.hubspot.signals import SignalReader
from connectors.hubspot.values import Properties, show_box, to_millis
from crmdrip.core.model import Record, RunStatus, SequenceDraft
from crmdrip.core.struct import replace
from crmdrip.ports import PullPage, Purpose

_PAGE = 200
"""Results of one page of a search, the most there are."""
_WATCHED = 5 * BATCH - 1
"""People that one pull reads by id at most; the contact with the brake is read with them."""
_SEEN = 100_000
"""People whose last state is remembered; beyond it they are given out again, which is allowed."""
_LIVE = frozenset(status.value for status in RunStatus if status.live)


class Pull:
    """The pull of one process: it remembers what it gave out, so that neither overlap nor our own writes come again."""

    def __init__(self, portal: Portal, control: ControlReader, signals: SignalReader, lists: ListFollower) -> None:
        self._portal = portal
        self._control = control
        self._signals = signals
        self._lists = lists
        self._seen: dict[str, int] = {}
        """The digest of everybody given out, by id."""
        self._heard: frozenset[str] = frozenset()
        """The keys of the signals of the newest reading: all that its overlap can bring again."""
        self._watched: dict[str, datetime] | None = None
        """Who is in a sequence, with the time of the last reading; None until it is known."""
        self._missing: dict[str, None] = {}
        """Who was not there any more when read by id, and whose fate is not told yet."""
        self._told: dict[str, None] = {}
        """Who was given out as gone, until that is saved."""
        self._last: str | None = None
        """The cursor of the newest page given out; whoever comes back with it has everything before."""

    def note_missing(self, ids: Iterable[str]) -> None:
        """A last look did not find them: the next pull tells what became of them."""
        self._missing.update(dict.fromkeys(ids))

    def pages(self, cursor: str | None) -> Iterator[PullPage]:
        """Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        portal, client = self._portal, self._portal.client
        state = parse_cursor(cursor, portal.identity().org_id)
        client.meter.remember(state.hours)
        self._recall(cursor)
        now, overlap = client.clock.now(), timedelta(minutes=client.settings.overlap_minutes)
        extra, watched = self._stops(), self._due(now)
        names = portal.contacts.properties(extra.values())
        known, brake = self._control.read_with(watched, names, Purpose.PULL)
        now = client.portal_now()
        gone = [*(one for one in watched if one not in known), *self._missing]
        since = state.heard - overlap if state.heard is not None else None
        happened = self._signals.of_portal(since, Purpose.PULL) if since is not None else []
        fates = self._fates(gone, names)
        heard: set[str] = set()
        reading = state.reading or Reading(
            begin=state.at - overlap if state.at is not None else None, end=now, last_id="0"
        )
        first, more = True, True
        while more:
            rows, more = self._search(reading, names)
            if first:
                rows = {**known, **rows}
            signals = [*happened, *(self._signals.of_contacts(rows, since, Purpose.PULL) if since is not None else [])]
            heard.update(one.key for one in signals)
            records = [*fates, *self._records(rows, extra, now)]
            changed, removed, digests = self._definitions(state, now=first or not more)
            reading = replace(reading, last_id=max([reading.last_id, *rows], key=int))
            state = replace(
                state,
                at=state.at if more else reading.end,
                reading=reading if more else None,
                # Whoever goes on after a page has not heard of the people on the later ones.
                heard=state.heard if more else reading.end,
                sequences=digests,
                hours=client.meter.hours(),
            )
            self._last = state.dump()
            self._told.update((one.ref.id, None) for one in fates)
            yield PullPage(
                records=tuple(records),
                sequences=tuple(changed),
                removed_sequences=tuple(removed),
                signals=tuple({one.key: one for one in signals if one.key not in self._heard}.values()),
                brake=brake if first else None,
                cursor=self._last,
            )
            first, happened, fates = False, [], []
        self._heard = frozenset(heard)

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

    def _stops(self) -> dict[str, str]:
        """The property of each sequence's stop condition, by sequence id, where contacts have it."""
        named = {
            one: name
            for one, draft in self._portal.definitions.known(Purpose.PULL).items()
            if (name := stop_field(draft))
        }
        if not named:
            return {}
        known = self._portal.property_names(self._portal.mapping.object("contact"), Purpose.PULL)
        return {one: name for one, name in named.items() if name in known}

    def _due(self, now: datetime) -> list[str]:
        """Who is to be read by id, the longest unread first."""
        if self._watched is None:
            self._watched = dict.fromkeys(self._find_ticked(), datetime.min.replace(tzinfo=now.tzinfo))
        self._watched |= dict.fromkeys(self._lists.take_written(), datetime.min.replace(tzinfo=now.tzinfo))
        before = now - timedelta(minutes=self._portal.client.settings.watch_minutes)
        due = [one for one, at in self._watched.items() if at <= before]
        return sorted(due, key=self._watched.__getitem__)[:_WATCHED]

    def _find_ticked(self) -> Iterator[str]:
        """The ids of everybody ticked, once after a start."""
        name = self._portal.contacts.name("enrolled")
        filters = [condition(name, "EQ", value=show_box(ticked=True))]
        last, more = "0", True
        while more:
            rows, more = self._portal.search(
                self._portal.mapping.object("contact"), [filters], [name], Purpose.PULL, after_id=last, limit=_PAGE
            )
            yield from (row["id"] for row in rows)
            last, more = (rows[-1]["id"], more) if rows else (last, False)

    def _search(self, reading: Reading, names: Sequence[str]) -> tuple[dict[str, Properties], bool]:
        """The next page of people that are ticked or carry our status, changed since.

        Once reading changes, whoever opted out or bounced comes along as well: a twin of them may be in a sequence.
        """
        reader = self._portal.contacts
        ours = [
            [condition(reader.name("enrolled"), "EQ", value=show_box(ticked=True))],
            [condition(reader.name("status"), "HAS_PROPERTY")],
        ]
        if reading.begin is not None:
            ours += [[condition(name, "EQ", value=show_box(ticked=True))] for name in reader.opt_outs]
            if name := reader.name("bounced_at"):
                ours.append([condition(name, "HAS_PROPERTY")])
            changed = condition(reader.modified, "GTE", value=to_millis(reading.begin))
            ours = [[changed, *group] for group in ours]
        rows, more = self._portal.search(
            self._portal.mapping.object("contact"), ours, names, Purpose.PULL, after_id=reading.last_id, limit=_PAGE
        )
        found = {row["id"]: row["properties"] for row in rows}
        for row in found.values():
            reader.demand(row)
        return found, more and bool(rows)

    def _records(self, rows: Mapping[str, Properties], extra: Mapping[str, str], now: datetime) -> Iterator[Record]:
        """The records that are news, each followed by those that were merged into it."""
        reader = self._portal.contacts
        for record_id, row in rows.items():
            stop = extra.get(row.get(reader.name("sequence")) or "", "")
            record = reader.read(record_id, row, stop=stop)
            self._watch(record, now)
            known = reader.digest(row, extra.values())
            if self._seen.get(record_id) == known:
                continue
            new = record_id not in self._seen
            if len(self._seen) < _SEEN or not new:
                self._seen[record_id] = known
            yield record
            if new:
                for old in reader.merged(row):
                    yield reader.read(old, row, deleted=True, merged_into=record_id)
                    self._forget(old)

    def _watch(self, record: Record, now: datetime) -> None:
        if self._watched is None:
            return
        if record.enrolled or record.status in _LIVE:
            self._watched[record.ref.id] = now
        else:
            self._watched.pop(record.ref.id, None)

    def _forget(self, record_id: str) -> None:
        self._missing.pop(record_id, None)
        self._seen.pop(record_id, None)
        if self._watched is not None:
            self._watched.pop(record_id, None)

    def _fates(self, gone: Sequence[str], names: Sequence[str]) -> list[Record]:
        """What became of contacts that are not there any more: deleted, merged into another, or erased."""
        portal, reader = self._portal, self._portal.contacts
        ids = list(dict.fromkeys(gone))
        if not ids:
            return []
        deleted = portal.read_contacts(ids, names, Purpose.PULL, archived=True)
        found: list[Record] = []
        for one in ids:
            row: Properties = deleted.get(one, {})
            survivor = None if one in deleted else portal.survivor_of(one, names, Purpose.PULL)
            if survivor is not None and survivor[0] == one:
                self._missing.pop(one, None)  # there again
                continue
            into = survivor[0] if survivor is not None else None
            found.append(reader.read(one, survivor[1] if survivor is not None else row, deleted=True, merged_into=into))
            self._forget(one)
        return found

    def _definitions(self, state: Cursor, *, now: bool) -> tuple[list[SequenceDraft], list[str], dict[str, str]]:
        """The sequences that are different, the ids of those that are gone, and the digests of all.

        now: whether they have to be as they are at this moment.
        """
        definitions = self._portal.definitions
        read = definitions.drafts(Purpose.PULL) if now else definitions.known(Purpose.PULL)
        drafts = {one: self._checked(draft) for one, draft in read.items()}
        digests = {one: digest(draft) for one, draft in drafts.items()}
        changed = [draft for one, draft in drafts.items() if state.sequences.get(one) != digests[one]]
        return changed, sorted(set(state.sequences) - set(drafts)), digests

    def _checked(self, draft: SequenceDraft) -> SequenceDraft:
        """What is wrong by the portal's own knowledge: a list, or a property to stop by, that contacts do not have."""
        if problem := self._lists.problems.get(draft.id):
            draft = replace(draft, problems=(*draft.problems, problem))
        name = stop_field(draft)
        if not name or name in self._portal.property_names(self._portal.mapping.object("contact"), Purpose.PULL):
            return draft
        problem = f"Stop When names the property {name}, which contacts do not have. Correct it."
        return replace(draft, problems=(*draft.problems, problem))
