"""The tables as they stand in the database, by the mapping's words: read from its catalogue, never guessed.

A name of the mapping is only ever used as the catalogue spells it, so nothing that is typed there can become a part of
a statement. What is needed and is not there is told all at once; what is optional and is not there is done without.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Column, Inspector, MetaData, Table, types
from sqlalchemy.exc import NoSuchTableError

from connectors.sql.settings import SqlSettings
from connectors.sql.values import Field, Form, form_of
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.mapping import CrmMapping

OURS = ("enrolled", "sequence", "status", "reason", "step", "next_touch", "last_touch", "run")
"""What every person's row needs beside what a CRM has anyway; it may stand in a table of its own."""
NEEDED: Mapping[str, tuple[str, ...]] = {
    "contact": ("id", "email", "opted_out"),
    "status": ("contact", *OURS),
    "sequence": ("id", "name", "status", "error"),
    "step": ("id", "sequence", "order", "subject", "body"),
    "touch": (
        *("number", "touch_id", "contact", "kind", "sequence_id", "step_id", "run", "outcome", "message_id"),
        *("at", "done_at", "subject", "body", "opens", "clicks"),
    ),
    "control": ("org_id", "brake", "heartbeat", "claim"),
    "owner": ("id", "name", "email"),
    "account": ("id",),
    "meeting": ("id", "contact", "created"),
    "opportunity": ("id", "contact", "created"),
    "reply": ("id", "contact", "created", "body"),
}
"""The words of each table that crmdrip cannot do without."""
OPTIONAL_TABLES = ("status", "owner", "account", "meeting", "opportunity", "reply")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapped:
    """One table or view."""

    word: str
    name: str
    """As people call it."""
    table: Table
    fields: Mapping[str, Field]
    """By our words; what is optional and not there is absent."""
    columns: Mapping[str, Field]
    """Every column, by its name."""
    absent: tuple[str, ...]
    """Names of the mapping that are optional and not there."""

    def __getitem__(self, word: str) -> Field:
        return self.fields[word]

    def get(self, word: str) -> Field | None:
        """The column of a word, None where there is none."""
        return self.fields.get(word)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """Every table that is there."""

    tables: Mapping[str, Mapped]
    """By our words."""

    @property
    def contact(self) -> Mapped:
        """People."""
        return self.tables["contact"]

    @property
    def ours(self) -> Mapped:
        """Where the box and the status of people stand."""
        return self.tables.get("status") or self.contact

    @property
    def apart(self) -> bool:
        """Whether that is a table of its own."""
        return "status" in self.tables

    def get(self, word: str) -> Mapped | None:
        """A table that may be missing."""
        return self.tables.get(word)

    def __getitem__(self, word: str) -> Mapped:
        return self.tables[word]


def reflect(inspector: Inspector, mapping: CrmMapping, settings: SqlSettings, spend: Callable[[], None]) -> Schema:
    """Read the catalogue. spend: called for each question.

    Raises SQLAlchemyError, and ConfigurationError with everything that is missing.
    """
    reader = Reader(inspector, mapping, settings, spend)
    tables: dict[str, Mapped] = {}
    problems: list[str] = []
    for word in NEEDED:
        if not mapping.objects.get(word) and word in OPTIONAL_TABLES:
            continue
        try:
            found = reader.read(word)
        except NoSuchTableError:
            if word != "owner":  # steps are sent from a fixed address then
                problems.append(reader.explain_missing(word))
            continue
        tables[word] = found
    if "contact" in tables:
        problems += _missing(tables, mapping)
        if tables["contact"].get("opted_out") is None:
            raise _no_opt_out(mapping)
    if problems:
        raise ConfigurationError(
            f"{'; '.join(problems)}.",
            where="[crm] mapping",
            do_next="Type crmdrip install sql to see what would be made, or name your own in the mapping.",
        )
    return Schema(tables=tables)


def _missing(tables: Mapping[str, Mapped], mapping: CrmMapping) -> Iterator[str]:
    """A sentence on each table that lacks something it needs."""
    for word, mapped in tables.items():
        needed = (*NEEDED[word], *(OURS if word == "contact" and "status" not in tables else ()))
        lacking = [
            f"{each} ({mapping.field(word, each) or 'not mapped'})" for each in needed if each not in mapped.fields
        ]
        if lacking:
            yield f"{mapped.name} has no column for {', '.join(lacking)}"


def hidden_opt_out(schema: Schema, user: str) -> ConfigurationError:
    """Who opted out cannot be seen, so nobody may be mailed (B26)."""
    contact = schema.contact
    column = contact["opted_out"].column.name
    return ConfigurationError(
        f"the opt-out column {contact.name}.{column} cannot be read, so it is not known who opted out.",
        where="[crm] mapping",
        do_next=f"GRANT SELECT ON {contact.name} TO {user}, or correct [contact] opted_out in the mapping.",
    )


def _no_opt_out(mapping: CrmMapping) -> ConfigurationError:
    name = mapping.field("contact", "opted_out") or "(none)"
    return ConfigurationError(
        f"{mapping.object('contact')} has no opt-out column {name}, so it is not known who opted out.",
        where="[crm] mapping",
        do_next="Correct [contact] opted_out in the mapping, or add the column.",
    )


class Reader:
    """Reads one table at a time."""

    def __init__(
        self, inspector: Inspector, mapping: CrmMapping, settings: SqlSettings, spend: Callable[[], None]
    ) -> None:
        self.inspector = inspector
        self._mapping = mapping
        self._schema = settings.table_schema
        self._zone = ZoneInfo(settings.time_zone)
        self._raw = inspector.dialect.name == "sqlite"
        self._spend = spend

    def place(self, word: str) -> tuple[str, str | None]:
        """Name and schema of a table, as the mapping has them."""
        schema, _, name = self._mapping.object(word).rpartition(".")
        return name, schema or self._schema or None

    def read(self, word: str) -> Mapped:
        """The table of a word. Raises NoSuchTableError."""
        name, schema = self.place(word)
        self._spend()
        rows = self.inspector.get_columns(name, schema=schema)
        if not rows:
            raise NoSuchTableError(name)
        made = [Column(row["name"], types.NullType() if self._raw else row["type"]) for row in rows]
        table = Table(name, MetaData(), *made, schema=schema)
        columns = {row["name"]: self._field(table.columns[row["name"]], row["type"]) for row in rows}
        folded = {each.casefold(): each for each in columns}
        fields: dict[str, Field] = {}
        absent: list[str] = []
        for ours, mapped in self._mapping.fields.get(word, {}).items():
            spelt = mapped if mapped in columns else folded.get(mapped.casefold(), "")
            if spelt:
                fields[ours] = columns[spelt]
            elif mapped:
                absent.append(mapped)
        return Mapped(
            word=word,
            name=f"{schema}.{name}" if schema else name,
            table=table,
            fields=fields,
            columns=columns,
            absent=tuple(absent),
        )

    def _field(self, column: Column[Any], kind: types.TypeEngine[Any]) -> Field:
        form = form_of(kind)
        if self._raw:
            # SQLite keeps whatever it is given: times are text there, a box is a number.
            form = {Form.BOX: Form.NUMBER, Form.NUMBER: Form.NUMBER}.get(form, Form.TEXT)
        value, length = self._mapping.value, getattr(kind, "length", None)  # "max" in SQL Server
        return Field(
            column=column,
            form=form,
            zone=self._zone,
            yes=value("box", "yes"),
            no=value("box", "no"),
            length=length if isinstance(length, int) and form is Form.TEXT and not self._raw else None,
        )

    def explain_missing(self, word: str) -> str:
        """A sentence on a table that is not there."""
        name, schema = self.place(word)
        self._spend()
        known = [*self.inspector.get_table_names(schema), *self.inspector.get_view_names(schema)]
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        return f"there is no table {name} for {word}{f' (did you mean {close[0]}?)' if close else ''}"
