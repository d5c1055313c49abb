"""Makes in a database what the mapping names and crmdrip needs: tables, columns, and the row that says which one it is.

In a database with people of its own, their table is given columns and nothing else of it is touched. In an empty one
everything is made. Nothing is ever deleted, renamed or changed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    create_engine,
    false,
    func,
    inspect,
    select,
    true,
)
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

from connectors.sql.database import Database
from connectors.sql.faults import read_fault
from connectors.sql.layout import ADDED, FITTING, OF_PEOPLE, Kind, is_key, is_numbered, kind_of, type_of
from connectors.sql.schema import NEEDED, OPTIONAL_TABLES, Mapped, Reader
from connectors.sql.values import Form
from crmdrip.core.errors import RejectedError
from crmdrip.ports import ChangeKind, Purpose, SchemaChange

_TRANSACTIONAL = frozenset({"postgresql", "sqlite", "mssql"})
"""Where a changed table can be rolled back."""
_REFERENCES = {
    ("contact", "sequence"): "sequence",
    ("contact", "owner"): "owner",
    ("contact", "account"): "account",
    ("contact", "merged_into"): "contact",
    ("status", "contact"): "contact",
    ("status", "sequence"): "sequence",
    ("step", "sequence"): "sequence",
    ("touch", "contact"): "contact",
    ("touch", "owner"): "owner",
    **{(word, "contact"): "contact" for word in ("meeting", "opportunity", "reply")},
}
"""Columns that hold the id of another table's row, and so have its type."""
_TYPES = {"sqlite": "sqlite3 {file} < {script}", "postgresql": "psql '{url}' -f {script}"}

Make = Callable[[Operations], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planned:
    """A change and how it is made."""

    change: SchemaChange
    make: Make | None = field(default=None, repr=False)


class SqlInstaller:
    """An Installer for one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mapping = database.mapping

    def place(self) -> str:
        """The database: it may be empty, and then has no name of its own."""
        return self._database.where

    def preview(self) -> Sequence[SchemaChange]:
        """What stands there and what would be made. Raises as the port says."""
        return [one.change for one in self._plan()]

    def install(self, changes: Sequence[SchemaChange], progress: Callable[[str], None]) -> Sequence[SchemaChange]:
        """Make what is missing, one thing after another. Raises as the port says."""
        wanted = {one.what for one in changes if one.kind is ChangeKind.CREATE}
        file = self._database.settings.file
        if file is not None and not file.exists():
            file.touch(mode=0o600)
            progress(f"{file.name} made")
        made = []
        for one in self._plan():
            if one.make is not None and one.change.what in wanted:
                self._make([one], keep=True)
                progress(f"{one.change.what} made")
                made.append(one.change)
        self._database.forget_schema()
        return made

    def check(self, progress: Callable[[str], None]) -> None:
        """Make everything in a transaction and take it back, where the database can. Raises as install."""
        if self._database.dialect not in _TRANSACTIONAL:
            progress(f"{self._database.dialect} makes tables at once and for good: nothing was tried")
            return
        planned = [one for one in self._plan() if one.make is not None]
        if self._is_new():
            progress(f"{len(planned)} changes, in a file that is made first")
            return
        self._make(planned, keep=False)
        progress(f"{len(planned)} changes were accepted and taken back")

    def write_package(self, folder: Path) -> Sequence[str]:
        """A script for whoever may change the database; returns how to run it."""
        planned = [one for one in self._plan() if one.make is not None]
        text = StringIO()
        options = {"as_sql": True, "output_buffer": text, "literal_binds": True}
        context = MigrationContext.configure(dialect=self._database.engine.dialect, opts=options)
        operations = Operations(context)
        for one in planned:
            text.write(f"-- {one.change.what}\n")
            if one.make is not None:
                one.make(operations)
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / "crmdrip.sql"
        script.write_text(text.getvalue(), encoding="utf-8")
        command = _TYPES.get(self._database.dialect)
        settings = self._database.settings
        return (command.format(file=settings.file, url=settings.url, script=script),) if command else ()

    # what is to be done

    def _is_new(self) -> bool:
        file = self._database.settings.file
        return file is not None and not file.exists()

    def _plan(self) -> list[_Planned]:
        if self._is_new():
            empty = create_engine("sqlite://")
            with empty.connect() as connection:
                return list(self._compare(connection))
        with self._database.read(Purpose.PULL) as transaction:
            return list(self._compare(transaction.connection))

    def _compare(self, connection: Connection) -> Iterator[_Planned]:
        reader = Reader(inspect(connection), self._mapping, self._database.settings, lambda: None)
        tables: dict[str, Mapped] = {}
        for word in self._words():
            try:
                tables[word] = reader.read(word)
            except NoSuchTableError:
                continue
        types = _Types(reader, tables)
        for word in self._words():
            if word in tables:
                yield from self._columns(reader, word, tables, types)
            elif word in OF_PEOPLE and "contact" in tables:
                yield _Planned(change=_elsewhere(word, self._mapping.object(word)))
            else:
                yield self._table(reader, word, types)
        yield from self._keys(reader, tables)
        yield from self._row(reader, connection, tables)

    def _words(self) -> Iterator[str]:
        """The tables that the mapping names, those first that others point to."""
        for word in NEEDED:
            if self._mapping.objects.get(word) or word not in OPTIONAL_TABLES:
                yield word

    def _named(self, word: str) -> Iterator[tuple[str, str]]:
        """Our words for a table's columns with their names, without what stands in a table of its own."""
        apart = bool(self._mapping.objects.get("status"))
        for ours, name in self._mapping.fields[word].items():
            if name and not (word == "contact" and apart and ours in ADDED):
                yield ours, name

    def _table(self, reader: Reader, word: str, types: _Types) -> _Planned:
        name, schema = reader.place(word)
        columns = [(ours, column) for ours, column in self._named(word)]
        # A table of people that is made here has a place for what templates ask by the mapping's words.
        asked = self._mapping.merge.get(word, {}) if word in OF_PEOPLE else {}
        columns += [(f"merge {ours}", name) for ours, name in asked.items() if name not in dict(columns).values()]

        def make(operations: Operations) -> None:
            # SQLite would give the number of a deleted row to the next one, which is somebody else.
            counted = {"sqlite_autoincrement": True} if any(is_numbered(word, ours) for ours, _ in columns) else {}
            made = [types.column(word, *one) for one in columns]
            operations.create_table(name, *made, schema=schema, **counted)

        shown = ", ".join(column for _, column in columns)
        return _Planned(change=SchemaChange(kind=ChangeKind.CREATE, what=name, detail=f"a table of {shown}"), make=make)

    def _columns(self, reader: Reader, word: str, tables: dict[str, Mapped], types: _Types) -> Iterator[_Planned]:
        mapped = tables[word]
        name, schema = reader.place(word)
        view = name in reader.inspector.get_view_names(schema)
        for ours, column in self._named(word):
            what, known = f"{mapped.name}.{column}", mapped.get(ours)
            if known is not None:
                yield _Planned(change=_judge(what, kind_of(word, ours), known.form))
            elif word in OF_PEOPLE and not (word == "contact" and ours in ADDED):
                yield _Planned(change=_not_ours(what, word, ours))
            elif view:
                yield _Planned(change=_of_a_view(what, mapped.name, word))
            else:
                yield _Planned(
                    change=SchemaChange(
                        kind=ChangeKind.CREATE, what=what, detail=f"a column for {kind_of(word, ours).value}"
                    ),
                    make=_adding(name, schema, partial(types.column, word, ours, column)),
                )

    def _keys(self, reader: Reader, tables: dict[str, Mapped]) -> Iterator[_Planned]:
        """The touch id of a table that was there before may not be unique."""
        if "touch" not in tables:
            return
        name, schema = reader.place("touch")
        touch_id = tables["touch"].get("touch_id")
        if touch_id is None or is_unique(reader, "touch", str(touch_id.column.name)):
            return
        column = str(touch_id.column.name)

        def make(operations: Operations) -> None:
            operations.create_index(f"{name}_{column}", name, [column], unique=True, schema=schema)

        change = SchemaChange(kind=ChangeKind.CREATE, what=f"{name} ({column}) unique", detail="an index")
        yield _Planned(change=change, make=make)

    def _row(self, reader: Reader, connection: Connection, tables: dict[str, Mapped]) -> Iterator[_Planned]:
        """The row that says which database this is."""
        name, schema = reader.place("control")
        field = self._mapping.field
        control = tables.get("control")
        if control is not None and connection.execute(select(func.count()).select_from(control.table)).scalar():
            yield _Planned(change=SchemaChange(kind=ChangeKind.KEEP, what=f"the row of {name}"))
            return
        org_id = self._database.settings.database_id or f"crm-{secrets.token_hex(4)}"
        types = _Types(reader, tables)
        columns = [types.column("control", word, field("control", word)) for word in ("org_id", "brake")]
        row = {field("control", "org_id"): org_id, field("control", "brake"): False}

        def make(operations: Operations) -> None:
            operations.bulk_insert(Table(name, MetaData(), *columns, schema=schema), [row])

        detail = "names this database, so that a copy of it is not mailed from"
        change = SchemaChange(kind=ChangeKind.CREATE, what=f"the row of {name}", detail=detail)
        yield _Planned(change=change, make=make)

    def _make(self, planned: Sequence[_Planned], *, keep: bool) -> None:
        engine: Engine = self._database.engine
        try:
            with engine.connect().execution_options(crmdrip_writes=True) as connection:
                work = connection.begin()
                operations = Operations(MigrationContext.configure(connection))
                for one in planned:
                    if one.make is not None:
                        one.make(operations)
                if keep:
                    work.commit()
                else:
                    work.rollback()
        except SQLAlchemyError as error:
            fault = read_fault(error)
            if len(planned) == 1 and not fault.lost:
                raise RejectedError(
                    f"{planned[0].change.what} was refused: {fault.message}.",
                    where=self._database.where,
                    do_next="Let somebody run it who may: crmdrip install sql --package writes a script.",
                ) from error
            raise self._database.explain(fault) from error


class _Types:
    """The types that columns are made with."""

    def __init__(self, reader: Reader, tables: dict[str, Mapped]) -> None:
        self._reader = reader
        self._tables = tables

    def column(self, table: str, word: str, name: str) -> Column[Any]:
        """A column of a word, not yet of any table."""
        if table == "touch" and word in ("sequence_id", "step_id"):
            return Column(name, String(64))  # history: what it names may be gone
        kind = kind_of(table, word)
        made = self._reference(table, word) if kind is Kind.KEY and not is_numbered(table, word) else None
        return Column(
            name,
            made or type_of(table, word),
            primary_key=is_key(table, word),
            autoincrement=is_numbered(table, word),
            unique=(table, word) == ("touch", "touch_id") or None,
            nullable=not is_key(table, word),
            server_default=_DEFAULTS.get((table, word), false() if kind is Kind.BOX else None),
        )

    def _reference(self, table: str, word: str) -> Any:
        """The type of the id that it points to, as that stands in the database; None where it is made too."""
        mapped = self._tables.get(_REFERENCES.get((table, word), ""))
        key = mapped.get("id") if mapped is not None else None
        if mapped is None or key is None:
            # Where people are there and no table of owners is, ids of owners may be anything.
            return String(64) if _REFERENCES.get((table, word)) == "owner" and "contact" in self._tables else None
        name, schema = self._reader.place(mapped.word)
        rows = self._reader.inspector.get_columns(name, schema=schema)
        return next(row["type"] for row in rows if row["name"] == key.column.name)


_DEFAULTS: dict[tuple[str, str], Any] = {("step", "active"): true(), ("owner", "active"): true()}
"""Boxes that are ticked where nothing is said."""


def _adding(table: str, schema: str | None, build: Callable[[], Column[Any]]) -> Make:
    return lambda operations: operations.add_column(table, build(), schema=schema)


def is_unique(reader: Reader, word: str, column: str) -> bool:
    """Whether a column takes each value once."""
    name, schema = reader.place(word)
    inspector = reader.inspector
    keys = [inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]]
    keys += [one["column_names"] for one in inspector.get_unique_constraints(name, schema=schema)]
    keys += [
        [str(part) for part in one["column_names"]]
        for one in inspector.get_indexes(name, schema=schema)
        if one["unique"]
    ]
    return [column] in keys


def _judge(what: str, kind: Kind, form: Form) -> SchemaChange:
    if form in FITTING[kind]:
        return SchemaChange(kind=ChangeKind.KEEP, what=what)
    return SchemaChange(
        kind=ChangeKind.CONFLICT,
        what=what,
        detail=f"holds {form.value}, and {kind.value} is needed: map another column",
    )


def _elsewhere(word: str, name: str) -> SchemaChange:
    return SchemaChange(
        kind=ChangeKind.UNAVAILABLE,
        what=name,
        detail=f'no such table, and yours is not made here: name it under [objects] {word}, or type {word} = ""',
    )


def _not_ours(what: str, word: str, ours: str) -> SchemaChange:
    needed = ours in NEEDED[word]
    return SchemaChange(
        kind=ChangeKind.CONFLICT if needed else ChangeKind.UNAVAILABLE,
        what=what,
        detail=f"no such column: name yours under [{word}] {ours}{'' if needed else ', or do without'}",
    )


def _of_a_view(what: str, name: str, word: str) -> SchemaChange:
    advice = ": name a table under [objects] status for it" if word == "contact" else ""
    return SchemaChange(
        kind=ChangeKind.CONFLICT, what=what, detail=f"{name} is a view, to which no column can be added{advice}"
    )
