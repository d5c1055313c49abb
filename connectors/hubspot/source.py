"""Reading HubSpot: the CrmSource port. The pull, the last look and lists have modules of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.control import ControlReader
from connectors.hubspot.lists import ListFollower
from connectors.hubspot.look import LastLook
from connectors.hubspot.portal import Portal, condition
from connectors.hubspot.pull import Pull
from connectors.hubspot.signals import SignalReader
from connectors.hubspot.timeline import Timeline
from connectors.hubspot.values import Properties, show_box, to_millis
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
_WORD = re.compile(r"[^\W_]+")


@reads_answers_of("HubSpot")
class HubSpotSource:
    """A CrmSource that FollowsLists. Shares its portal, and with it connections and budget, with the sink."""

    def __init__(self, client: HubSpotClient, mapping: CrmMapping) -> None:
        self.portal = Portal(client, mapping)
        self.control = ControlReader(self.portal)
        self.timeline = Timeline(self.portal)
        self.signal_reader = SignalReader(self.portal, self.timeline)
        self.lists = ListFollower(self.portal)
        self._pull = Pull(self.portal, self.control, self.signal_reader, self.lists)
        self._look = LastLook(self.portal, self.control, self.signal_reader, self.lists)

    def capabilities(self) -> frozenset[Capability]:
        """HubSpot has contacts alone: no leads here, and nothing is converted."""
        return frozenset({Capability.MERGES, Capability.SIGNALS, Capability.ONE_PER_ADDRESS})

    def identity(self) -> CrmIdentity:
        """Which portal answers. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        return self.portal.read_identity()

    @property
    def meter(self) -> CallMeter:
        """What counts its calls, and those of the sink."""
        return self.portal.client.meter

    def budget(self) -> Budget:
        """As of the last answer."""
        return self.portal.client.meter.budget()

    def pull(self, cursor: str | None) -> Iterator[PullPage]:
        """What changed since the cursor. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        return self._pull.pages(cursor)

    def follow_lists(self) -> None:
        """Tick whoever joined a list that a sequence names, untick whoever left it. Raises as pull."""
        self.portal.identity()  # nothing is written to another portal (B25)
        self.lists.follow()

    def preview_lists(self) -> Mapping[RecordRef, str]:
        """Whom that would tick now, with the sequence of each; writes nothing. Raises as pull."""
        joining = self.lists.read_joining()
        return {RecordRef(kind=RecordKind.CONTACT, id=one): sequence for one, sequence in joining.items()}

    def look(
        self,
        refs: Iterable[RecordRef],
        paths: frozenset[str],
        cursor: str | None,
        sequences: Iterable[str] = (),
        heartbeat: ControlWrite | None = None,
    ) -> Look:
        """The contacts and sequences as they are now, with what happened since the cursor. Raises as pull."""
        wanted = list(refs)
        look = self._look.look(wanted, paths, cursor, sequences, heartbeat)
        self._pull.note_missing(ref.id for ref in wanted if ref.id not in look.records)
        return look

    def owners(self, ids: Iterable[str]) -> Mapping[str, Owner]:
        """The users behind the ids, at most some minutes old. Raises as pull."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        known = self.portal.owners(Purpose.LOOK)
        if any(one not in known for one in wanted):
            self.portal.forget_owners()
            known = self.portal.owners(Purpose.LOOK)
        return {one: known[one] for one in wanted if one in known}

    def find(self, text: str) -> tuple[Record, ...]:
        """Records by id, by email address, or by words of the name; at most 50. Raises as pull."""
        wanted = text.strip()
        if wanted.isdecimal():
            return self._read([wanted])
        if "@" in wanted:
            return self._read([wanted.lower()], key=self.portal.contacts.name("email"))
        words = _WORD.findall(wanted)
        if not words:
            return ()
        field = self.portal.mapping.field
        names = (field("contact", "first_name"), field("contact", "last_name"))
        groups = [[condition(name, "CONTAINS_TOKEN", value=f"{word}*")] for word in words[:2] for name in names]
        properties = [*self.portal.contacts.properties(), *names]
        rows, _ = self.portal.search(
            self.portal.mapping.object("contact"), groups, properties, Purpose.LOOK, limit=_FOUND
        )
        return self._records(
            {
                row["id"]: row["properties"]
                for row in rows
                if all(
                    any(word.lower() in (row["properties"].get(name) or "").lower() for name in names) for word in words
                )
            }
        )

    def records_of(self, addresses: Iterable[str]) -> tuple[Record, ...]:
        """The contact of each normalized address, a hundred a call; also where it is a further one. Raises as pull."""
        wanted = sorted({address for address in addresses if address})
        return self._read(wanted, key=self.portal.contacts.name("email"), purpose=Purpose.STOP) if wanted else ()

    def signals(self, since: datetime) -> tuple[Signal, ...]:
        """What happened since a time to everybody who is or was in a sequence. Raises as pull."""
        reader = self.portal.contacts
        ours = [
            condition(reader.name("enrolled"), "EQ", value=show_box(ticked=True)),
            condition(reader.name("status"), "HAS_PROPERTY"),
        ]
        changed = condition(reader.modified, "GT", value=to_millis(since))
        rows: dict[str, Properties] = {}
        last, more = "0", True
        while more:
            page, more = self.portal.search(
                self.portal.mapping.object("contact"),
                [[changed, each] for each in ours],
                reader.properties(),
                Purpose.STOP,
                after_id=last,
            )
            rows.update((row["id"], row["properties"]) for row in page)
            last, more = (page[-1]["id"], more) if page else (last, False)
        return (
            *self.signal_reader.of_portal(since, Purpose.STOP),
            *self.signal_reader.of_contacts(rows, since, Purpose.STOP),
        )

    def touches(self, cursor: str | None) -> Iterator[tuple[tuple[TouchRecord, ...], str]]:
        """All touches by the ids of their emails and tasks, page by page. Raises as pull."""
        return self.timeline.touches(cursor)

    def _read(self, ids: Sequence[str], *, key: str = "", purpose: Purpose = Purpose.LOOK) -> tuple[Record, ...]:
        return self._records(self.portal.read_contacts(ids, self.portal.contacts.properties(), purpose, key=key))

    def _records(self, rows: Mapping[str, Any]) -> tuple[Record, ...]:
        for row in rows.values():
            self.portal.contacts.demand(row)
        return tuple(self.portal.contacts.read(one, row) for one, row in rows.items())
