"""Timeline entries of ours: how they are told from others, found again, and read back for a lost ledger (P6).

Where the touch id is a property with unique values it is the key of everything. Where a portal has no such property it
stands in the text (trail.py), and an entry is found among those of its contact: through associations, which are up to
date at once, and never through a search, which is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.hubspot.client import Answer
from connectors.hubspot.portal import Portal, condition
from connectors.hubspot.trail import WORD, WORDS, split_trail
from connectors.hubspot.values import Properties, parse_time, to_number
from crmdrip.core.model import StepKind, TouchRecord
from crmdrip.ports import Purpose

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = (("email", StepKind.EMAIL), ("task", StepKind.TASK))
_KNOWN = 50_000
"""Entries whose touch id is remembered, where it stands in the text."""


class Timeline:
    """The timeline of one portal. For several threads."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._keyed: dict[str, bool] = {}
        self._known: dict[str, str] = {}
        """Touch ids by entry id, "" for one that is not ours; of entries without our properties."""

    def is_keyed(self, word: str, purpose: Purpose) -> bool:
        """Whether touch ids are values of a unique property; asked once in a process. Raises as the client."""
        if word not in self._keyed:
            name = self._portal.mapping.field(word, "touch_id")
            self._keyed[word] = bool(name) and self._accepts_key(word, name, purpose)
        return self._keyed[word]

    def _accepts_key(self, word: str, name: str, purpose: Purpose) -> bool:
        """HubSpot refuses an idProperty that is not there or not unique; its schema may be hidden from the key."""
        body = {"inputs": [{"id": "none"}], "properties": [], "idProperty": name}
        path = f"{self._portal.mapping.object(word)}/batch/read"
        answer: Answer = self._portal.client.ask("objects", path, body, purpose, refused=True)
        return answer.fault is None or answer.fault.status == 404

    def properties(self, word: str, purpose: Purpose) -> list[str]:
        """What to ask for, so that read_words can tell."""
        mapping = self._portal.mapping
        asked = ("subject", "created", "body", "direction", *(WORDS if self.is_keyed(word, purpose) else ()))
        return [name for each in asked if (name := mapping.fields[word].get(each, ""))]

    def read_words(self, word: str, row: Properties) -> dict[str, str]:
        """What identifies the entry, by the mapping's words; no touch_id when it is not ours."""
        fields = self._portal.mapping.fields[word]
        given = {each: str(row.get(fields.get(each, "")) or "") for each in WORDS}
        # Where there is a property for it, a line in the text is somebody's own words.
        known = given["touch_id"] or self._keyed.get(word)
        return given if known else split_trail(row.get(fields["body"]) or "")[1]

    def filters(self, word: str, purpose: Purpose) -> list[dict[str, Any]]:
        """Of a search: entries that are ours."""
        field = self._portal.mapping.field
        if self.is_keyed(word, purpose):
            return [condition(field(word, "touch_id"), "HAS_PROPERTY")]
        return [condition(field(word, "body"), "CONTAINS_TOKEN", value=WORD)]

    def find(self, word: str, contacts: Sequence[str], purpose: Purpose) -> dict[str, str]:
        """Entry ids by touch id, of those that stand on the timelines of contacts and carry their id in the text."""
        portal = self._portal
        links = portal.linked(portal.mapping.object("contact"), contacts, portal.mapping.object(word), purpose)
        entries = list(dict.fromkeys(one for some in links.values() for one in some))
        unread = [one for one in entries if one not in self._known]
        rows = portal.read_objects(portal.mapping.object(word), unread, self.properties(word, purpose), purpose)
        read = {one: self.read_words(word, row).get("touch_id", "") for one, row in rows.items()}
        if len(self._known) + len(read) > _KNOWN:
            self._known = {}
        self._known.update(read)
        return {touch: one for one in entries if (touch := read.get(one) or self._known.get(one, ""))}

    def read(self, word: str, ids: Iterable[str], purpose: Purpose) -> dict[str, Properties]:
        """Entries by id."""
        return self._portal.read_objects(
            self._portal.mapping.object(word), list(ids), self.properties(word, purpose), purpose
        )

    def touches(self, cursor: str | None) -> Iterator[tuple[tuple[TouchRecord, ...], str]]:
        """Every email and task of ours, 200 a call. Raises as the client."""
        self._portal.client.settle()
        last = dict(zip(("email", "task"), (cursor or "0:0").split(":"), strict=True))
        for word, kind in _KINDS:
            filters, names = self.filters(word, Purpose.PULL), self.properties(word, Purpose.PULL)
            more = True
            while more:
                rows, more = self._portal.search(
                    self._portal.mapping.object(word), [filters], names, Purpose.PULL, after_id=last[word]
                )
                if not rows:
                    break
                last[word] = rows[-1]["id"]
                yield self._read(word, kind, {row["id"]: row["properties"] for row in rows}), ":".join(last.values())

    def _read(self, word: str, kind: StepKind, rows: Mapping[str, Properties]) -> tuple[TouchRecord, ...]:
        portal, field = self._portal, self._portal.mapping.field
        links = portal.linked(portal.mapping.object(word), list(rows), portal.mapping.object("contact"), Purpose.PULL)
        direction, incoming = field("email", "direction"), portal.mapping.value("email", "in")
        found = []
        for one, row in rows.items():
            words = self.read_words(word, row)
            if not words.get("touch_id") or row.get(direction) == incoming:
                continue  # a person can write the word of our line as well
            found.append(
                TouchRecord(
                    touch_id=words["touch_id"],
                    record_id=next(iter(links.get(one, ())), ""),
                    sequence_id=words.get("sequence_id", ""),
                    step_id=words.get("step_id", ""),
                    run=to_number(words.get("run")),
                    kind=kind,
                    at=parse_time(row.get(field(word, "created"))) or _LONG_AGO,
                    outcome=words.get("outcome", ""),
                    message_id=words.get("message_id", ""),
                    subject=row.get(field(word, "subject")) or "",
                )
            )
        return tuple(found)
