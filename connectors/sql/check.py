"""The doctor's checks of a database, each with a stable code. Some statements; what it tries to write is rolled back.

SQL-LOGIN, SQL-REACH, SQL-TABLES, SQL-OPTOUT-HIDDEN, SQL-DATABASE, SQL-COLUMNS, SQL-KEYS, SQL-CHANGES, SQL-PRIVILEGES,
SQL-SEQUENCES, SQL-CLOCK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from sqlalchemy import Executable, func, insert, inspect, literal, select, update
from sqlalchemy.exc import SQLAlchemyError

from connectors.sql.database import Database
from connectors.sql.definitions import WRITTEN_BY_US, read_drafts
from connectors.sql.faults import read_fault
from connectors.sql.install import is_unique
from connectors.sql.layout import FITTING, kind_of
from connectors.sql.people import PeopleReader
from connectors.sql.schema import Mapped, Reader, Schema
from connectors.sql.source import SqlSource
from connectors.sql.values import read_time
from crmdrip.core.errors import AuthError, ConfigurationError, CrmdripError
from crmdrip.ports import CheckResult, Purpose
from crmdrip.ports.finding import fail, ok, warn

_PEOPLE = (
    *("status", "reason", "step", "next_touch", "last_touch", "run", "enrolled", "sequence", "approved"),
    *("opted_out", "bounced_reason", "bounced_at", "replied_at", "out_of_office_until"),
)
_NEWS = ("outcome", "opens", "clicks")
_BEAT = ("heartbeat", "claim", "state", "calls_used", "calls_limit", "home")


def unopened(error: ConfigurationError) -> CheckResult:
    """What kept the connection from being tried at all."""
    return fail("SQL-REACH", error.what, error.do_next)


def check_database(source: SqlSource) -> Iterator[CheckResult]:
    """Every check, in order. Stops early when the database cannot be asked. Raises nothing."""
    database = source.database
    file = database.settings.file
    if file is not None and not file.is_file():
        yield fail(
            "SQL-REACH", f"there is no file {file}.", "Correct [crm.sql] file, or type crmdrip install sql to make it."
        )
        return
    try:
        with database.read(Purpose.LOOK) as transaction:
            transaction.rows(select(literal(1)))
        yield ok("SQL-LOGIN", f"{database.where} answers.")
        schema = database.schema(Purpose.LOOK)
        yield ok("SQL-TABLES", f"{', '.join(one.name for one in schema.tables.values())} are there.")
    except CrmdripError as error:
        yield _failed(error)
        return
    checks: Sequence[Callable[[SqlSource, Schema], Iterator[CheckResult]]] = (
        _check_opt_out,
        _check_identity,
        _check_columns,
        _check_keys,
        _check_changes,
        _check_privileges,
        _check_sequences,
        _check_clock,
    )
    for check in checks:
        try:
            yield from check(source, schema)
        except CrmdripError as error:
            yield _failed(error)
            return


def _failed(error: CrmdripError) -> CheckResult:
    code = "SQL-LOGIN" if isinstance(error, AuthError) else "SQL-REACH"
    if isinstance(error, ConfigurationError):
        code = "SQL-OPTOUT-HIDDEN" if "opt-out" in error.what else "SQL-TABLES"
    return fail(code, error.what, error.do_next or "Try again later.")


def _check_opt_out(source: SqlSource, schema: Schema) -> Iterator[CheckResult]:
    """Who opted out can be read, and people as well."""
    people = PeopleReader(schema, source.database.zone)
    with source.database.read(Purpose.LOOK) as transaction:
        transaction.rows(people.select().limit(1))
    yield ok("SQL-OPTOUT-HIDDEN", f"{schema.contact.name}.{schema.contact['opted_out'].column.name} can be read.")


def _check_identity(source: SqlSource, schema: Schema) -> Iterator[CheckResult]:
    """Which database it is (B25)."""
    settings = source.database.settings
    try:
        with source.database.read(Purpose.LOOK) as transaction:
            control = source.control.read(transaction, schema)
            here = source.control.home(transaction)
    except ConfigurationError as error:
        yield fail("SQL-DATABASE", error.what, error.do_next)
        return
    if not settings.database_id and not control.home:
        yield warn(
            "SQL-DATABASE",
            f"{control.org_id} answers, and neither database_id nor {schema['control'].name}.home is set: a copy"
            " of it would be mailed from as well.",
            f'Set database_id = "{control.org_id}"; home is set with the first heartbeat, to {here}.',
        )
    else:
        yield ok("SQL-DATABASE", f"{control.org_id} answers.")


def _check_columns(source: SqlSource, schema: Schema) -> Iterator[CheckResult]:
    """Every column holds what is expected of it; what is optional and not there is told."""
    del source
    wrong = [
        f"{mapped.name}.{field.column.name} holds {field.form.value}, and {kind_of(mapped.word, word).value} is needed"
        for mapped in schema.tables.values()
        for word, field in mapped.fields.items()
        if word != "deleted" and field.form not in FITTING[kind_of(mapped.word, word)]
    ]
    absent = [f"{mapped.name}.{name}" for mapped in schema.tables.values() for name in _missed(schema, mapped)]
    if wrong:
        yield fail("SQL-COLUMNS", f"{'; '.join(wrong)}.", "Map other columns.")
    if absent:
        yield warn(
            "SQL-COLUMNS",
            f"not there, and done without: {', '.join(absent)}.",
            'Name yours in the mapping, or switch them off with "".',
        )
    if not wrong and not absent:
        yield ok("SQL-COLUMNS", "every column of the mapping is there.")


def _missed(schema: Schema, mapped: Mapped) -> Iterator[str]:
    """What is not there of a table, without what stands in a table of its own."""
    mapping_names = {field.column.name for field in schema.ours.fields.values()} if schema.apart else set()
    for name in mapped.absent:
        if not (schema.apart and mapped.word == "contact" and (name in mapping_names or name.startswith("drip_"))):
            yield name


def _check_keys(source: SqlSource, schema: Schema) -> Iterator[CheckResult]:
    """What keeps a repeated write single."""
    database, touch = source.database, schema["touch"]
    column = str(touch["touch_id"].column.name)
    with database.read(Purpose.LOOK) as transaction:
        reader = Reader(inspect(transaction.connection), database.mapping, database.settings, lambda: None)
        unique = is_unique(reader, "touch", column)
    if unique:
        yield ok("SQL-KEYS", f"{touch.name}.{column} takes each value once.")
    else:
        yield fail(
            "SQL-KEYS",
            f"{touch.name}.{column} may have one value several times.",
            f"CREATE UNIQUE INDEX {touch.table.name}_{column} ON {touch.name} ({column}).",
        )


def _check_changes(source: SqlSource, schema: Schema) -> Iterator[CheckResult]:
    """How changes are noticed."""
    if PeopleReader(schema, source.database.zone).tells_changes:
        yield ok("SQL-CHANGES", f"changes are read by {schema.contact.name}.{schema.contact['modified'].column.name}.")
        return
    yield warn(
        "SQL-CHANGES",
        "no column tells when a person was changed, so everybody in or after a sequence is read in each pull.",
        "Map [contact] modified (and [status] modified) to a column that every change sets: a trigger does.",
    )


def _check_privileges(source: SqlSource, schema: Schema) -> Iterator[CheckResult]:
    """Everything that crmdrip writes may be written; tried with no row, and rolled back."""
    database = source.database
    lacking: list[str] = []
    for mapped, words, creates in (
        (schema.ours, _PEOPLE, schema.apart),
        (schema["touch"], _NEWS, True),
        (schema["sequence"], tuple(sorted(WRITTEN_BY_US)), False),
        (schema["control"], _BEAT, False),
    ):
        names = [str(mapped[word].column.name) for word in words if word in mapped.fields]
        change = (
            update(mapped.table).where(literal(1) == literal(0)).values({one: mapped.table.c[one] for one in names})
        )
        if (refusal := _refusal(database, change)) is not None:
            lacking.append(f"GRANT UPDATE ({', '.join(names)}) ON {mapped.name} TO {database.user} ({refusal})")
        if creates:
            number = mapped.get("number")
            copied = [column for column in mapped.table.columns if number is None or column is not number.column]
            nothing = select(*copied).where(literal(1) == literal(0))
            made = insert(mapped.table).from_select([column.name for column in copied], nothing)
            if (refusal := _refusal(database, made)) is not None:
                lacking.append(f"GRANT INSERT ON {mapped.name} TO {database.user} ({refusal})")
    if lacking:
        yield fail(
            "SQL-PRIVILEGES",
            f"{len(lacking)} {'thing' if len(lacking) == 1 else 'things'} that crmdrip writes may not be written.",
            f"Type: {'; '.join(lacking)}.",
        )
    else:
        yield ok("SQL-PRIVILEGES", "everything that crmdrip writes may be written.")


def _check_sequences(source: SqlSource, schema: Schema) -> Iterator[CheckResult]:
    """They can be read."""
    with source.database.read(Purpose.LOOK) as transaction:
        drafts = read_drafts(transaction, schema)
    problems = [problem for draft in drafts.values() for problem in draft.problems]
    if problems:
        yield warn("SQL-SEQUENCES", " ".join(problems), "Correct the sequences.")
    else:
        yield ok("SQL-SEQUENCES", f"{len(drafts)} sequences stand in {schema['sequence'].name}.")


def _check_clock(source: SqlSource, schema: Schema) -> Iterator[CheckResult]:
    """The database's clock is ours, or changes are read too late."""
    del schema
    database = source.database
    if database.dialect == "sqlite":
        return
    with database.read(Purpose.LOOK) as transaction:
        told = transaction.rows(select(func.current_timestamp()))[0][0]
    at = read_time(told, database.zone)
    apart = abs(database.clock.now() - at) if at is not None else timedelta()
    if apart > timedelta(minutes=database.settings.overlap_minutes) / 2:
        yield warn(
            "SQL-CLOCK",
            f"the database's clock and this machine's are {int(apart.total_seconds())} seconds apart.",
            "Set both by NTP, or raise [crm.sql] overlap_minutes.",
        )
    else:
        yield ok("SQL-CLOCK", "the database's clock agrees with this machine's.")


def _refusal(database: Database, statement: Executable) -> str | None:
    """Why a statement is refused that changes nothing, None when it is not."""
    try:
        database.meter.spend(Purpose.LOOK)
        with database.engine.connect().execution_options(crmdrip_writes=True) as connection:
            connection.execute(statement)
            connection.rollback()
    except SQLAlchemyError as error:
        return read_fault(error).message
    return None
