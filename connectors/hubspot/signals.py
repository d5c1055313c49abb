"""What happened: meetings, answers and deals of contacts, and tasks that a rep has done.

Meetings and answers are found by stamps on the contact itself, which a last look reads without any search; only where
one is new the contact's meetings or emails are read. Deals and tasks come with the pull.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from connectors.hubspot.mails import read_kind
from connectors.hubspot.portal import Portal, condition
from connectors.hubspot.timeline import Timeline
from connectors.hubspot.values import Properties, parse_time, to_millis
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.model import Signal, SignalKind
from crmdrip.ports import Purpose

SOURCE = "hubspot"
_DETAIL = 255
_NO_MEETING = frozenset({"CANCELED", "NO_SHOW"})


class SignalReader:
    """Reads what happened since a time."""

    def __init__(self, portal: Portal, timeline: Timeline) -> None:
        self._portal = portal
        self._timeline = timeline
        self.closed: dict[str, str] = {}
        """What the key may not read, with the reason: deals, tasks."""

    def of_contacts(self, rows: Mapping[str, Properties], since: datetime, purpose: Purpose) -> list[Signal]:
        """Meetings and answers since a time of the contacts that were read. Raises as the client."""
        booked = self._stamped(rows, ("meeting_booked", "meeting_logged"), since)
        answered = self._stamped(rows, ("mail_replied",), since)
        signals = self._meetings(booked, since, purpose) if booked else []
        return signals + (self._answers(answered, since, purpose) if answered else [])

    def of_portal(self, since: datetime, purpose: Purpose) -> list[Signal]:
        """Deals and finished tasks since a time. What the key may not read is left out. Raises as the client."""
        signals: list[Signal] = []
        for name, read in (("deals", self._deals), ("tasks", self._tasks)):
            if name in self.closed:
                continue
            try:
                signals += read(since, purpose)
            except ConfigurationError as error:
                self.closed[name] = error.what
        return signals

    def _stamped(self, rows: Mapping[str, Properties], words: Sequence[str], since: datetime) -> list[str]:
        names = [name for word in words if (name := self._portal.contacts.name(word))]
        return [
            record_id
            for record_id, row in rows.items()
            if any((at := parse_time(row.get(name))) is not None and at > since for name in names)
        ]

    def _meetings(self, ids: Sequence[str], since: datetime, purpose: Purpose) -> list[Signal]:
        portal = self._portal
        links = portal.linked(portal.mapping.object("contact"), ids, portal.mapping.object("meeting"), purpose)
        names = {word: portal.mapping.field("meeting", word) for word in ("title", "start", "outcome", "created")}
        every = sorted({one for some in links.values() for one in some}, key=int)
        rows = portal.read_objects(portal.mapping.object("meeting"), every, list(names.values()), purpose)
        signals = []
        for person, meetings in links.items():
            for one in meetings:
                row = rows.get(one, {})
                # By when it was made: an old meeting that is moved stops nobody new.
                at = parse_time(row.get(names["created"]))
                if at is None or at <= since or row.get(names["outcome"]) in _NO_MEETING:
                    continue
                signals.append(
                    Signal(
                        key=f"{SOURCE}:{SignalKind.MEETING}:{one}:{person}",
                        kind=SignalKind.MEETING,
                        at=at,
                        source=SOURCE,
                        record_id=person,
                        detail=(row.get(names["title"]) or "")[:_DETAIL],
                    )
                )
        return signals

    def _answers(self, ids: Sequence[str], since: datetime, purpose: Purpose) -> list[Signal]:
        portal, value = self._portal, self._portal.mapping.value
        links = portal.linked(portal.mapping.object("contact"), ids, portal.mapping.object("email"), purpose)
        words = ("direction", "subject", "body", "html", "headers", "created", "touch_id", "away")
        names = {word: name for word in words if (name := portal.mapping.field("email", word))}
        every = sorted({one for some in links.values() for one in some}, key=int)
        rows = portal.read_objects(portal.mapping.object("email"), every, list(names.values()), purpose)
        signals: list[Signal] = []
        for person, emails in links.items():
            for one in emails:
                row = {word: rows.get(one, {}).get(name) or "" for word, name in names.items()}
                at = parse_time(row["created"])
                # What we logged ourselves was heard where it came in.
                if at is None or at <= since or row["direction"] != value("email", "in"):
                    continue
                if self._timeline.read_words("email", rows.get(one, {})).get("touch_id"):
                    continue
                kinds, until = read_kind(row, at)
                signals += [
                    Signal(
                        key=f"{SOURCE}:{kind}:{one}:{person}",
                        kind=kind,
                        at=at,
                        source=SOURCE,
                        record_id=person,
                        detail=row["subject"][:_DETAIL],
                        until=until,
                    )
                    for kind in kinds
                ]
        return signals

    def _deals(self, since: datetime, purpose: Purpose) -> list[Signal]:
        portal = self._portal
        name, created = portal.mapping.field("deal", "name"), portal.mapping.field("deal", "created")
        deals = self._search("deal", [condition(created, "GT", value=to_millis(since))], [name, created], purpose)
        links = portal.linked(portal.mapping.object("deal"), list(deals), portal.mapping.object("contact"), purpose)
        return [
            Signal(
                key=f"{SOURCE}:{SignalKind.OPPORTUNITY}:{deal}:{person}",
                kind=SignalKind.OPPORTUNITY,
                at=at,
                source=SOURCE,
                record_id=person,
                detail=(deals[deal].get(name) or "")[:_DETAIL],
            )
            for deal, people in links.items()
            if (at := parse_time(deals[deal].get(created))) is not None
            for person in people
        ]

    def _tasks(self, since: datetime, purpose: Purpose) -> list[Signal]:
        portal, field = self._portal, self._portal.mapping.field
        modified = field("task", "modified")
        filters = [
            *self._timeline.filters("task", purpose),
            condition(field("task", "status"), "EQ", value=portal.mapping.value("task", "done")),
            condition(modified, "GT", value=to_millis(since)),
        ]
        names = [*self._timeline.properties("task", purpose), modified]
        tasks = self._search("task", filters, names, purpose)
        links = portal.linked(portal.mapping.object("task"), list(tasks), portal.mapping.object("contact"), purpose)
        return [
            Signal(
                key=f"{SOURCE}:{SignalKind.TASK_DONE}:{touch_id}",
                kind=SignalKind.TASK_DONE,
                at=at,
                source=SOURCE,
                record_id=next(iter(links.get(task, ())), None),
                touch_id=touch_id,
            )
            for task, row in tasks.items()
            if (at := parse_time(row.get(modified))) is not None
            and (touch_id := self._timeline.read_words("task", row).get("touch_id"))
        ]

    def _search(
        self, word: str, filters: Sequence[Mapping[str, str]], names: Sequence[str], purpose: Purpose
    ) -> dict[str, Properties]:
        found: dict[str, Properties] = {}
        last, more = "0", True
        while more:
            rows, more = self._portal.search(
                self._portal.mapping.object(word), [filters], names, purpose, after_id=last
            )
            found.update((row["id"], row["properties"]) for row in rows)
            last = rows[-1]["id"] if rows else last
            more = more and bool(rows)
        return found
