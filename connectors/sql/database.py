"""The connection to the database: short transactions with time-outs, every statement counted, every failure understood.

Values are always bound as parameters, and names come from the database's own catalogue (schema.py), so that nothing
that stands in a row or a setting becomes a part of a statement.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote
from zoneinfo import ZoneInfo

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Executable,
    Select,
    create_engine,
    event,
    exc,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.pool import QueuePool

from connectors.sql.faults import Fault, read_fault
from connectors.sql.schema import Schema, hidden_opt_out, reflect
from connectors.sql.settings import SqlSettings
from crmdrip.core.errors import ConfigurationError, CrmdripError, ErrorClass
from crmdrip.core.mapping import CrmMapping
from crmdrip.ports import CallMeter, Clock, Purpose

T = TypeVar("T")

BUSY_RETRY = 0.5
"""Seconds that a write waits for a lock when it is tried again after a batch has waited in full."""

_DRIVERS = {"psycopg": "psycopg[binary]", "pymysql": "pymysql", "pyodbc": "pyodbc", "oracledb": "oracledb"}


class Transaction:
    """Statements of one transaction."""

    def __init__(self, connection: Connection, meter: CallMeter, purpose: Purpose) -> None:
        self.connection = connection
        self._meter = meter
        self._purpose = purpose

    def rows(self, statement: Select[Any]) -> Sequence[Any]:
        """Every row. Raises SQLAlchemyError, and RateLimitedError when the cap is reached."""
        self._meter.spend(self._purpose)
        return self.connection.execute(statement).all()

    def change(self, statement: Executable, parameters: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Change rows; with parameters once for each. Raises as rows."""
        self._meter.spend(self._purpose)
        self.connection.execute(statement, list(parameters) if parameters is not None else None)


class Database:
    """One database, for several threads. Opens nothing until it is asked."""

    def __init__(self, settings: SqlSettings, mapping: CrmMapping, clock: Clock) -> None:
        self.settings = settings
        self.mapping = mapping
        self.clock = clock
        self.page = settings.page
        self.meter = CallMeter(
            clock,
            vendor="database",
            account="database",
            renews="Wait.",
            daily_cap=settings.daily_cap,
            reserve=settings.reserve,
        )
        self._url = settings.address()
        self._engine = _build_engine(self._url, settings)
        # A port is never closed: its connections end with whoever holds it, or with the process.
        self._finalizer = weakref.finalize(self, self._engine.dispose)
        self._schema: Schema | None = None
        self._lock = threading.Lock()

    @property
    def where(self) -> str:
        """The database, for people: without user and password."""
        if self.settings.file is not None:
            return str(self._url.database)
        host = f"{self._url.host or ''}{f':{self._url.port}' if self._url.port else ''}"
        return f"{self._url.get_backend_name()}://{host}/{self._url.database or ''}"

    @property
    def dialect(self) -> str:
        """Its kind, such as "postgresql"."""
        return self._engine.dialect.name

    @property
    def zone(self) -> ZoneInfo:
        """Of times that are kept without one."""
        return ZoneInfo(self.settings.time_zone)

    @property
    def user(self) -> str:
        """Who logs in, as a GRANT names them."""
        return self._url.username or "CURRENT_USER"

    @property
    def locks_whole(self) -> bool:
        """Whether a lock is one of the whole database, so that no other row is worth trying."""
        return self.dialect == "sqlite"

    @property
    def engine(self) -> Engine:
        """For whoever changes tables (install.py)."""
        return self._engine

    def close(self) -> None:
        """Give back the connections."""
        self._finalizer()

    # transactions

    @contextmanager
    def read(self, purpose: Purpose) -> Iterator[Transaction]:
        """A transaction that reads. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
        with self._understood(), self.begin(purpose, writes=False) as transaction:
            yield transaction

    @contextmanager
    def write(self, purpose: Purpose) -> Iterator[Transaction]:
        """A transaction that writes, committed at its end. Raises as read, and RejectedError."""
        with self._understood(), self.begin(purpose, writes=True) as transaction:
            yield transaction

    @contextmanager
    def begin(self, purpose: Purpose, *, writes: bool, patience: float | None = None) -> Iterator[Transaction]:
        """A transaction whose failures are the database's own: raises SQLAlchemyError.

        patience: seconds to wait for locks, where not those of the settings.
        """
        with self._engine.connect().execution_options(crmdrip_writes=writes) as connection, connection.begin():
            if patience is not None:
                _wait_for_locks(connection, patience)
            try:
                yield Transaction(connection, self.meter, purpose)
            finally:
                if patience is not None and self.dialect != "postgresql" and not connection.invalidated:
                    _wait_for_locks(connection, self.settings.lock_timeout)

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except exc.SQLAlchemyError as error:
            raise self.explain(read_fault(error)) from error

    def explain(self, fault: Fault) -> CrmdripError:
        """A failure as an exception of the taxonomy, after a second look where something cannot be seen (B26)."""
        if fault.error_class is ErrorClass.CONFIGURATION:
            schema = self.schema_or_none()
            self.forget_schema()
            if schema is not None and not self._sees(schema, "opted_out"):
                return hidden_opt_out(schema, self.user)
        return fault.error(self.where)

    def _sees(self, schema: Schema, word: str) -> bool:
        """Whether a column of people can be read, asked for by itself."""
        column = schema.contact[word].column
        try:
            with self.begin(Purpose.LOOK, writes=False) as transaction:
                transaction.rows(select(column).limit(0))
        except exc.SQLAlchemyError as error:
            return read_fault(error).error_class is not ErrorClass.CONFIGURATION
        return True

    # what stands in it

    def schema(self, purpose: Purpose) -> Schema:
        """The tables by our words, read from the catalogue once. Raises as read."""
        with self._lock:
            if self._schema is None:
                with self._understood(), self.begin(purpose, writes=False) as transaction:
                    self._schema = reflect(
                        inspect(transaction.connection), self.mapping, self.settings, lambda: self.meter.spend(purpose)
                    )
            return self._schema

    def schema_or_none(self) -> Schema | None:
        """The tables as far as they were read."""
        return self._schema

    def forget_schema(self) -> None:
        """Somebody may have changed the tables."""
        self._schema = None

    def home(self, transaction: Transaction) -> str:
        """Where this database is: a copy of it that answers elsewhere, or from another server, has another home."""
        if self.dialect != "postgresql":
            return self.where
        # Readable by everybody (PostgreSQL, "Control Data Functions") but where a provider has taken it away; a dump
        # that was loaded elsewhere has another.
        identifier: Select[Any] = select(literal_column("system_identifier")).select_from(text("pg_control_system()"))
        try:
            with transaction.connection.begin_nested():
                return f"{self.where}#{transaction.rows(identifier)[0][0]}"
        except exc.ProgrammingError:
            return self.where

    # reading by parts

    def parts(self, ids: Iterable[T]) -> Iterator[list[T]]:
        """Ids in parts that one statement takes."""
        every = list(ids)
        return (every[start : start + self.page] for start in range(0, len(every), self.page))

    def all_rows(self, transaction: Transaction, select: Select[Any], key: Any, number: int) -> Iterator[Any]:
        """Every row, read in pages in the order of a unique column. number: its place in the select."""
        last: Any = None
        while True:
            page = select.order_by(key).limit(self.page)
            found = transaction.rows(page if last is None else page.where(key > last))
            yield from found
            if len(found) < self.page:
                return
            last = found[-1][number]


def _build_engine(url: URL, settings: SqlSettings) -> Engine:
    options: dict[str, Any] = {
        "hide_parameters": True,  # a traceback in the log must not show addresses
        "pool_size": settings.connections,
        "max_overflow": 0,
        "pool_timeout": settings.connect_timeout,
        "poolclass": QueuePool,
        "pool_pre_ping": True,  # the server may have been started anew
        "connect_args": _connect_args(url, settings),
    }
    if settings.file is not None:
        # As a URI, since by its plain name a file that is not there would be made.
        address = f"file:{quote(str(settings.file.resolve()))}"
        url = URL.create("sqlite", database=address, query={"mode": "rw", "uri": "true"})
    try:
        engine = create_engine(url, **options)
    except (ModuleNotFoundError, exc.NoSuchModuleError) as error:
        driver = url.get_driver_name() if not isinstance(error, exc.NoSuchModuleError) else url.drivername
        raise ConfigurationError(
            f"the driver for {url.drivername} is not installed.",
            where="[crm.sql] url",
            do_next=f'Type: pip install "{_DRIVERS.get(driver, driver)}".',
        ) from None
    event.listen(engine, "connect", _set_up(engine.dialect.name, settings))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _connect_args(url: URL, settings: SqlSettings) -> dict[str, Any]:
    seconds = int(settings.connect_timeout)
    match url.get_backend_name(), url.drivername:
        case "sqlite", _:
            return {"check_same_thread": False, "timeout": settings.lock_timeout}
        case "postgresql", _:
            return {"connect_timeout": seconds, "application_name": f"crmdrip {os.getpid()}"}
        case _, "mysql+pymysql" | "mariadb+pymysql":
            wait = int(settings.statement_timeout) + 5
            return {"connect_timeout": seconds, "read_timeout": wait, "write_timeout": wait}
        case "mssql", "mssql+pyodbc":
            return {"timeout": seconds}
        case _:
            return {}


def _set_up(dialect: str, settings: SqlSettings) -> Callable[[Any, Any], None]:
    statement, lock = int(settings.statement_timeout * 1000), int(settings.lock_timeout * 1000)
    commands = {
        "postgresql": [
            f"SET statement_timeout = {statement}",
            f"SET lock_timeout = {lock}",
            f"SET idle_in_transaction_session_timeout = {statement * 2}",
            "SET timezone = 'UTC'",
        ],
        "mysql": [f"SET SESSION innodb_lock_wait_timeout = {max(lock // 1000, 1)}", "SET SESSION time_zone = '+00:00'"],
        "mariadb": [
            f"SET SESSION innodb_lock_wait_timeout = {max(lock // 1000, 1)}",
            f"SET SESSION max_statement_time = {statement / 1000}",
            "SET SESSION time_zone = '+00:00'",
        ],
        "mssql": [f"SET LOCK_TIMEOUT {lock}"],
    }.get(dialect, [])

    def set_up(connection: Any, _: Any) -> None:
        if dialect == "sqlite":
            connection.isolation_level = None  # the driver must not open transactions by itself: see _begin_sqlite
            return
        cursor = connection.cursor()
        for command in commands:
            cursor.execute(command)
        cursor.close()
        connection.commit()

    return set_up


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("crmdrip_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _wait_for_locks(connection: Connection, seconds: float) -> None:
    """How long the statements that follow wait for what others hold."""
    millis = int(seconds * 1000)
    command = {
        "postgresql": f"SET LOCAL lock_timeout = {millis}",
        "mysql": f"SET SESSION innodb_lock_wait_timeout = {max(millis // 1000, 1)}",
        "mariadb": f"SET SESSION innodb_lock_wait_timeout = {max(millis // 1000, 1)}",
        "mssql": f"SET LOCK_TIMEOUT {millis}",
    }.get(connection.dialect.name)
    if command:
        connection.exec_driver_sql(command)
