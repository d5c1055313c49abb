"""From rows of contacts, with what stands of them in a table of crmdrip's own, to Records. Pure but for the schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import FromClause, Select, and_, false, or_, select, true

from connectors.sql.schema import Schema
from connectors.sql.values import (
    LONG_AGO,
    Field,
    is_set,
    is_ticked,
    read_key,
    read_number,
    read_pause,
    read_text,
    read_time,
)
from crmdrip.core.model import Record, RecordKind, RecordRef, RunStatus

Row = Mapping[str, Any]
"""By our words; further columns by their name behind a dot."""

_ABOUT = (
    *("id", "email", "owner", "account", "time_zone", "country", "state", "opted_out", "bounced_reason", "bounced_at"),
    *("deleted", "merged_into", "modified"),
)
_OURS = ("enrolled", "sequence", "paused_until", "approved", "status", "last_touch", "run")
_BOTH = ("opted_out", "bounced_reason", "bounced_at", "modified")
"""What may stand in either of two tables."""
_NO_NEWS = frozenset({"status", "run", "last_touch", "modified", "own modified"})
"""What our own writes change, and whatever else touches a row: no news of the person."""
LIVE = tuple(status.value for status in RunStatus if status.live)


class PeopleReader:
    """Selects and reads people of one schema."""

    def __init__(self, schema: Schema, zone: ZoneInfo) -> None:
        self._schema = schema
        self._zone = zone
        contact, ours = schema.contact, schema.ours
        words = {word: contact.get(word) for word in _ABOUT}
        words |= {word: ours.get(word) for word in _OURS}
        if schema.apart:
            words |= {f"own {word}": ours.get(word) for word in _BOTH}
        self._fields: dict[str, Field] = {word: one for word, one in words.items() if one is not None}
        self.key = contact["id"].column

    @property
    def tells_changes(self) -> bool:
        """Whether the time of the last change is known of everything that a person can change."""
        return "modified" in self._fields and (not self._schema.apart or "own modified" in self._fields)

    def source(self) -> FromClause:
        """What to select from."""
        contact, ours = self._schema.contact, self._schema.ours
        if not self._schema.apart:
            return contact.table
        return contact.table.outerjoin(ours.table, ours["contact"].column == self.key)

    def select(self, extra: Iterable[str] = ()) -> Select[Any]:
        """Everybody, with further columns of contacts by their names. The id comes first."""
        columns = [one.column for one in self._fields.values()]
        further = [self._schema.contact.columns[name].column for name in dict.fromkeys(extra)]
        return select(*columns, *further).select_from(self.source())

    def rows(self, found: Iterable[Sequence[Any]], extra: Iterable[str] = ()) -> dict[str, Row]:
        """Selected rows by id."""
        words = [*self._fields, *(f".{name}" for name in dict.fromkeys(extra))]
        return {read_key(row[0]): dict(zip(words, row, strict=True)) for row in found}

    def keys(self, ids: Iterable[str]) -> list[Any]:
        """Ids as the column has them; those that it cannot have are left out."""
        found = []
        for one in ids:
            try:
                found.append(self._schema.contact["id"].show(one))
            except ValueError:
                continue
        return found

    # conditions

    def ours(self) -> Any:
        """Who is ticked or carries a status that we wrote."""
        status = self._fields["status"].column
        return or_(self._fields["enrolled"].ticked(), and_(status.is_not(None), status != ""))

    def live(self) -> Any:
        """Who may be mailed still."""
        return or_(self._fields["enrolled"].ticked(), self._fields["status"].column.in_(LIVE))

    def refused(self) -> Any:
        """Who opted out or bounced: a twin of them may be in a sequence."""
        conditions = [self._fields["opted_out"].ticked()]
        if "own opted_out" in self._fields:
            conditions.append(self._fields["own opted_out"].ticked())
        told = ("bounced_at", "own bounced_at", "bounced_reason", "own bounced_reason")
        conditions += [self._fields[word].column.is_not(None) for word in told if word in self._fields]
        return or_(*conditions)

    def changed(self, since: datetime, now: datetime) -> Any:
        """What was changed since, or has no time of its last change; nothing where no table tells."""
        conditions = []
        for word in ("modified", "own modified"):
            if word in self._fields:
                field = self._fields[word]
                # Whoever has no row in a table of crmdrip's own has not changed there.
                there = self._schema.ours["contact"].column.is_not(None) if word != "modified" else true()
                conditions += [field.changed_since(since, now), and_(there, field.column.is_(None))]
        return or_(false(), *conditions)

    # reading

    def digest(self, row: Row) -> int:
        """Changes with everything that is news of the person, and not with what we write ourselves."""
        return hash(tuple(str(value) for word, value in row.items() if word not in _NO_NEWS))

    def is_gone(self, row: Row) -> bool:
        """Whether the row only stands there still."""
        return is_set(row.get("deleted")) or bool(read_key(row.get("merged_into")))

    def read(self, row: Row, *, stop: str = "", fields: Mapping[str, Any] | None = None) -> Record:
        """The record. stop: the column of its sequence's stop condition, "" for none."""
        get, zone = row.get, self._zone
        merged = read_key(get("merged_into"))
        modified = [at for word in ("modified", "own modified") if (at := read_time(get(word), zone)) is not None]
        return Record(
            ref=RecordRef(kind=RecordKind.CONTACT, id=read_key(row["id"])),
            email=read_text(get("email")),
            enrolled=is_ticked(get("enrolled")),
            sequence_id=read_key(get("sequence")) or None,
            paused_until=read_pause(get("paused_until"), zone),
            approved=is_ticked(get("approved")),
            opted_out=is_set(get("opted_out")) or is_set(get("own opted_out")),
            bounced=any(get(word) for word in ("bounced_at", "own bounced_at", "bounced_reason", "own bounced_reason")),
            owner_id=read_key(get("owner")) or None,
            account_id=read_key(get("account")) or None,
            time_zone=read_text(get("time_zone")),
            country=read_text(get("country")),
            state=read_text(get("state")),
            status=read_text(get("status")).strip(),
            run=read_number(get("run")),
            last_touch=read_time(get("last_touch"), zone),
            modified_at=max(modified, default=LONG_AGO),
            deleted=is_set(get("deleted")) or bool(merged),
            merged_into=merged or None,
            stop_field=read_text(get(f".{stop}")) if stop else "",
            fields=fields or {},
        )

    def lost(self, record_id: str) -> Record:
        """The record of somebody whose row is not there any more."""
        return Record(
            ref=RecordRef(kind=RecordKind.CONTACT, id=record_id),
            email="",
            enrolled=False,
            sequence_id=None,
            modified_at=LONG_AGO,
            deleted=True,
        )
