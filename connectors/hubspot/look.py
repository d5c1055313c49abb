"""The last look: the contacts about to be mailed by id, with the brake in the same call, and what happened to them.

A hundred contacts a call, never through a search. The sequences stand in files and are read beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from connectors.hubspot.control import ControlReader
from connectors.hubspot.cursor import parse_cursor
from connectors.hubspot.definitions import stop_field
from connectors.hubspot.lists import ListFollower
from connectors.hubspot.merge_fields import MergeColumns, owner_field, resolve
from connectors.hubspot.portal import Portal
from connectors.hubspot.signals import SignalReader
from connectors.hubspot.values import Properties
from crmdrip.core.model import RecordRef
from crmdrip.ports import ControlWrite, Look, Purpose


class LastLook:
    """Reads by id, and never from memory."""

    def __init__(self, portal: Portal, control: ControlReader, signals: SignalReader, lists: ListFollower) -> None:
        self._portal = portal
        self._control = control
        self._signals = signals
        self._lists = lists

    def look(
        self,
        refs: Sequence[RecordRef],
        paths: frozenset[str],
        cursor: str | None,
        sequences: Iterable[str],
        heartbeat: ControlWrite | None,
    ) -> Look:
        """Raises what the client raises, and UnknownPathsError."""
        portal = self._portal
        state = parse_cursor(cursor, portal.identity().org_id)
        columns = resolve(portal, paths, Purpose.LOOK)
        drafts, wanted = portal.definitions.known(Purpose.LOOK), list(dict.fromkeys(sequences))
        stops = {one: name for one, draft in drafts.items() if (name := stop_field(draft))}
        names = portal.contacts.properties([*columns.own.values(), *stops.values()])
        ids = list(dict.fromkeys(ref.id for ref in refs))
        rows, brake = self._control.read_with(ids, names, Purpose.LOOK)
        at = portal.client.portal_now()
        gone = self._lists.gone_of(rows, Purpose.LOOK)
        enrolled = portal.contacts.name("enrolled")
        rows = {one: {**row, enrolled: None} if one in gone else row for one, row in rows.items()}
        fields = self._merge_fields(rows, columns)
        overlap = timedelta(minutes=portal.client.settings.overlap_minutes)
        heard = state.heard
        signals = self._signals.of_contacts(rows, heard - overlap, Purpose.LOOK) if heard is not None else []
        if heartbeat is not None:
            self._control.leave(heartbeat, Purpose.LOOK)
        sequence = portal.contacts.name("sequence")
        return Look(
            records={
                one: portal.contacts.read(
                    one, row, stop=stops.get(row.get(sequence) or "", ""), fields=fields.get(one, {})
                )
                for one, row in rows.items()
            },
            signals=tuple(signals),
            brake=brake,
            at=at,
            statuses=portal.definitions.statuses(wanted, Purpose.LOOK) if wanted else {},
        )

    def _merge_fields(self, rows: Mapping[str, Properties], columns: MergeColumns) -> dict[str, dict[str, Any]]:
        """The merge fields asked for of each row, those of its company and owner included."""
        portal, contacts = self._portal, self._portal.contacts
        fields = {one: {path: row.get(name) or None for path, name in columns.own.items()} for one, row in rows.items()}
        if columns.company:
            of = {one: company for one, row in rows.items() if (company := row.get(contacts.name("account")))}
            names = list(columns.company.values())
            known = portal.read_objects(portal.mapping.object("company"), list(of.values()), names, Purpose.LOOK)
            for one, found in fields.items():
                company = known.get(of.get(one, ""), {})
                found.update((path, company.get(name) or None) for path, name in columns.company.items())
        if columns.owner:
            owners = portal.owners(Purpose.LOOK)
            for one, found in fields.items():
                owner = owners.get(rows[one].get(contacts.name("owner")) or "")
                found.update((path, owner_field(owner, word)) for path, word in columns.owner.items())
        return fields
