"""What happened: meetings, answers and deals of contacts, and tasks that a rep has done.

Meetings and answers are found by stamps on the contact itself, which a last look reads without any search; only where
one is new the contact's meetings or emails are read. Deals and tasks come with the pull, and so do answers that were
logged without a stamp.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
        """What the key may not read, with the reason: deals, tasks, emails."""

    def of_contacts(self, rows: Mapping[str, Properties], since: datetime, purpose: Purpose) -> list[Signal]:
        """Meetings and answers since a time of the contacts that were read. Raises as the client."""
        booked = self._stamped(rows, ("meeting_booked", "meeting_logged"), since)
        answered = self._stamped(rows, ("mail_replied",), since)
        signals = self._meetings(booked, since, purpose) if booked else []
        return signals + (self._answers(answered, since, purpose) if answered else [])

    def of_portal(self, since: datetime, purpose: Purpose) -> list[Signal]:
        """Deals, finished tasks and answers since. What the key may not read is left out. Raises as the client."""
        signals: list[Signal] = []
        for name, read in (("deals", self._deals), ("tasks", self._tasks), ("emails", self._incoming)):
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
        portal = self._portal
        links = portal.linked(portal.mapping.object("contact"), ids, portal.mapping.object("email"), purpose)
        every = sorted({one for some in links.values() for one in some}, key=int)
        names = list(self._email_names().values())
        rows = portal.read_objects(portal.mapping.object("email"), every, names, purpose)
        pairs = ((person, one) for person, emails in links.items() for one in emails)
        return self._read_answers(pairs, rows, since)

    def _incoming(self, since: datetime, purpose: Purpose) -> list[Signal]:
        """Answers that stamp nobody: only a connected mailbox does, and other programs log incoming emails as well."""
        portal, names = self._portal, self._email_names()
        filters = [
            condition(names["direction"], "EQ", value=portal.mapping.value("email", "in")),
            condition(names["created"], "GT", value=to_millis(since)),
        ]
        rows = self._search("email", filters, list(names.values()), purpose)
        links = portal.linked(portal.mapping.object("email"), list(rows), portal.mapping.object("contact"), purpose)
        pairs = ((person, one) for one, people in links.items() for person in people)
        return self._read_answers(pairs, rows, since)

    def _email_names(self) -> dict[str, str]:
        words = ("direction", "subject", "body", "html", "headers", "created", "touch_id", "away")
        return {word: name for word in words if (name := self._portal.mapping.field("email", word))}

    def _read_answers(
        self, pairs: Iterable[tuple[str, str]], rows: Mapping[str, Properties], since: datetime
    ) -> list[Signal]:
        """What each email means. pairs: contact and email; rows: the emails' properties by id."""
        incoming, names = self._portal.mapping.value("email", "in"), self._email_names()
        signals: list[Signal] = []
        for person, one in pairs:
            row = {word: rows.get(one, {}).get(name) or "" for word, name in names.items()}
            at = parse_time(row["created"])
            if at is None or at <= since or row["direction"] != incoming:
                continue
            if self._timeline.read_words("email", rows.get(one, {})).get("touch_id"):
                continue  # what we logged ourselves was heard where it came in
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
