"""Accounts and users behind people's records, remembered for some minutes: many people share one.

A group or queue owns leads but cannot send; it is known by its id alone and never asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.salesforce.client import Part, SalesforceClient
from connectors.salesforce.records import Row, read_owner
from connectors.salesforce.schema import Schema
from crmdrip.core.model import Owner
from crmdrip.ports import Purpose

_LIFE = timedelta(minutes=5)
_KEPT = 20_000
"""Rows of one kind; beyond it all are forgotten and read again."""

_PER_CALL = 2_000
_OBJECTS: Mapping[str, str] = {"account": "account", "owner": "user"}
_OWNER = ("name", "email", "active", "time_zone", "title", "phone", "signature")


class Parents:
    """Rows of parents by "account" or "owner", then by id."""

    def __init__(self, client: SalesforceClient) -> None:
        self._client = client
        self._rows: dict[str, dict[str, tuple[datetime, dict[str, Any]]]] = {"account": {}, "owner": {}}
        self._columns: dict[str, set[str]] = {"account": set(), "owner": set()}
        self._lock = threading.Lock()

    def rows(
        self, schema: Schema, parent: str, ids: Iterable[str], columns: Sequence[str], purpose: Purpose
    ) -> dict[str, Row]:
        """The rows by id, absent where there is none. Raises what the client raises."""
        wanted = list(dict.fromkeys(ids))
        self.fetch(schema, {parent: (wanted, columns)}, purpose)
        with self._lock:
            kept = {one: self._rows[parent][one][1] for one in wanted if one in self._rows[parent]}
        return {one: row for one, row in kept.items() if row}

    def fetch(
        self, schema: Schema, wanted: Mapping[str, tuple[Iterable[str], Iterable[str]]], purpose: Purpose
    ) -> None:
        """Remember rows of several parents, what is missing of all of them in one call where it is not much.

        wanted: ids and columns by parent. Raises what the client raises.
        """
        now = self._client.clock.now()
        parts: list[Part] = []
        asked_for: dict[str, tuple[str, list[str]]] = {}
        for parent, (ids, columns) in wanted.items():
            info = schema.objects.get(_OBJECTS[parent])
            if info is None:
                continue
            with self._lock:
                if not self._columns[parent].issuperset(columns) or len(self._rows[parent]) > _KEPT:
                    self._columns[parent].update(columns)
                    self._rows[parent].clear()
                names = ["Id", *sorted(self._columns[parent])]
                missing = [one for one in dict.fromkeys(ids) if one.startswith(info.prefix)]
                missing = [one for one in missing if not self._fresh(parent, one, now)]
            for start in range(0, len(missing), _PER_CALL):
                chunk = missing[start : start + _PER_CALL]
                body = {"ids": chunk, "fields": names}
                path = f"composite/sobjects/{info.name}"
                part = Part(name=f"{parent}_{start}", path=path, method="POST", body=body)
                parts.append(part)
                asked_for[part.name] = (parent, chunk)
        if not parts:
            return
        answers = self._client.read(parts, purpose)
        for name, (parent, chunk) in asked_for.items():
            rows = answers.body(name)
            with self._lock:
                for one, row in zip(chunk, rows, strict=True):
                    self._rows[parent][one] = (now, row or {})

    def owner_columns(self, schema: Schema) -> list[str]:
        """What `owners` reads of a user."""
        return list(schema.names("user", _OWNER).values())

    def owners(self, schema: Schema, ids: Sequence[str], purpose: Purpose) -> dict[str, Owner]:
        """Users and queues by id. Raises what the client raises."""
        names = schema.names("user", _OWNER)
        rows = self.rows(schema, "owner", ids, list(names.values()), purpose)
        found = {one: read_owner(names, row) for one, row in rows.items()}
        prefix = schema.objects["user"].prefix
        for one in ids:
            if not one.startswith(prefix):
                found[one] = Owner(id=one, name="", email="", active=True, is_person=False)
        return found

    def zone_of(self, schema: Schema, owner_id: str | None) -> str:
        """The time zone of a user that is remembered, "" otherwise. Makes no call."""
        kept = self._rows["owner"].get(owner_id or "")
        return "" if kept is None else str(kept[1].get(schema.name("user", "time_zone")) or "")

    def _fresh(self, parent: str, one: str, now: datetime) -> bool:
        kept = self._rows[parent].get(one)
        return kept is not None and now - kept[0] < _LIFE
