"""A database to keep the ledger in: how each is opened, made durable, and kept to one writer at a time.

SQLite is a file of one machine, PostgreSQL a server for several. On both a transaction that writes holds the one right
to write from its first statement on, so what it reads is still true when it commits, whoever else is at work.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.struct import Struct

POSTGRESQL: Final = "postgresql+psycopg"

_KIND = 0x63726D64
"""PostgreSQL's advisory locks are named by two numbers of 32 bits: "crmd" and what the lock is for."""
DAEMON: Final = 1
"""Held by each daemon as long as it lives: alone, or shared where daemons work together."""
WRITER: Final = 2
"""Held by each transaction that writes, until it ends."""
PREPARING: Final = 3
"""Held by the one of several daemons that compares the ledger with the CRM before anything goes out."""
DRAINING: Final = 4
"""Held by the one of several daemons that reads what came in."""

PROCESS = f"crmdrip {os.getpid()} on {socket.gethostname()}"[:63]
"""The name that the server knows this process's connections by."""

AWAY = 20
"""Seconds after which a connection whose other end is silent counts as cut, on either side."""
STUCK = 60
"""Seconds after which PostgreSQL ends the transaction of a program that stopped in the middle of one, and after which
whoever waits for it gives up. Without it, one frozen machine would keep all others from writing."""


def parse_url(url: str) -> URL:
    """The address of a ledger. Raises ConfigurationError for what is none."""
    try:
        parsed = make_url(url)
    except ArgumentError:  # its text holds the whole URL, and that a password
        parsed = None
    if parsed is not None and parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername=POSTGRESQL)
    if parsed is None or parsed.drivername not in ("sqlite", POSTGRESQL):
        raise ConfigurationError(
            "this is no address of a ledger.",
            where="[ledger] url",
            do_next='Type "sqlite:///crmdrip.sqlite3" for a file, or "postgresql://USER@HOST/DATABASE".',
        )
    return parsed


def build_engine(url: URL) -> Engine:
    """The engine; nothing is opened yet. Raises ConfigurationError where the driver is not installed."""
    # A traceback in the log must not show addresses.
    options: dict[str, Any] = {"hide_parameters": True, "pool_use_lifo": True}
    if url.drivername == POSTGRESQL:
        options |= {
            "connect_args": {**CONNECT, "application_name": PROCESS},
            "pool_pre_ping": True,  # the server may have been started anew
            "max_overflow": 20,  # every loop and the door, each in a thread of its own
        }
    try:
        engine = create_engine(url, **options)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise ConfigurationError(
            "a ledger on PostgreSQL needs the driver psycopg, which is not installed.",
            where="[ledger] url",
            do_next='Type: pip install "crmdrip[postgres]".',
        ) from None
    if url.drivername == POSTGRESQL:
        event.listen(engine, "connect", _set_up_postgresql)
        event.listen(engine, "begin", _begin_postgresql)
    else:
        event.listen(engine, "do_connect", _keep_private)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


# --- SQLite -------------------------------------------------------------------------------------------------------


def create_privately(path: str | Path) -> None:
    """Make the file of a ledger, where there is none, readable by its user alone: it holds people's addresses.

    SQLite gives its journals the same permissions. Where it cannot be made, opening it says why.
    """
    with suppress(OSError):
        # O_EXCL: a file that is there must never be opened and closed here. Closing it would drop every lock that this
        # process has on it (POSIX), and another process would delete the journal of a database it believes unused
        # (sqlite.org/howtocorrupt.html, 2.2).
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _keep_private(_: Any, __: Any, arguments: list[Any], ___: dict[str, Any]) -> None:
    create_privately(arguments[0])


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver must not open transactions by itself: see _begin_sqlite
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # an intent is on disk before its request leaves
    cursor.execute("PRAGMA foreign_keys = ON")
    # A busy daemon changes the same pages again and again: they are copied to the file every 32 MB, not every 4.
    cursor.execute("PRAGMA wal_autocheckpoint = 8000")
    # What undoes a statement or a savepoint: in a file it costs two writes for each page of each row.
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.execute("PRAGMA cache_size = -4000")  # KiB, for each connection; with the default of 2,000 it reads twice
    # Bytes, for all connections of the process together: near it a cache reuses its own pages. Each thread has a
    # connection, so the bound above alone would be another 4 MB for each (measured: 4 MB less, no more CPU).
    cursor.execute("PRAGMA soft_heap_limit = 8000000")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # SQLAlchemy drops FOR UPDATE on SQLite; taking the write lock at the start gives the same promise.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _writes(connection: Connection) -> bool:
    writes: bool = connection.get_execution_options().get("crmdrip_write", False)
    return writes


# --- PostgreSQL ---------------------------------------------------------------------------------------------------

CONNECT: Final = {
    "connect_timeout": 10,
    "keepalives_idle": AWAY // 2,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": AWAY * 1000,
}
"""How every connection is made: to whoever is silent for AWAY it is cut."""

_SETTINGS = {
    "synchronous_commit": "on",  # an intent is on disk before its request leaves, whatever the server's default is
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": f"{STUCK}s",
    "lock_timeout": f"{STUCK}s",
    # So that the server, too, finds out that a machine was cut off, and gives its lock to another.
    "tcp_keepalives_idle": str(AWAY // 2),
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": f"{AWAY}s",
}


def _set_up_postgresql(connection: Any, _: Any) -> None:
    # Not as start-up options, which connection poolers such as PgBouncer refuse.
    before, connection.autocommit = connection.autocommit, True
    places = ", ".join("set_config(%s, %s, false)" for _ in _SETTINGS)
    connection.execute(f"SELECT {places}", [part for setting in _SETTINGS.items() for part in setting])
    connection.autocommit = before


def _begin_postgresql(connection: Connection) -> None:
    # Row locks alone would leave what was read of other rows, or of counters, free to change until the commit, and
    # transactions that lock rows in different orders would end each other.
    if _writes(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_KIND}, {WRITER})")


def try_lock(connection: Connection, purpose: int, *, shared: bool) -> bool:
    """Take an advisory lock for as long as the connection lasts; False where another holds it."""
    kind = "_shared" if shared else ""
    found = connection.exec_driver_sql(f"SELECT pg_try_advisory_lock{kind}({_KIND}, {purpose})")
    return bool(found.scalar())


def wait_for_lock(connection: Connection, purpose: int) -> None:
    """Take an advisory lock for as long as the connection lasts. Raises DatabaseError after STUCK seconds."""
    connection.exec_driver_sql(f"SELECT pg_advisory_lock({_KIND}, {purpose})")


def give_lock_back(connection: Connection, purpose: int) -> None:
    """Before the connection goes back to where others may use it."""
    connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_KIND}, {purpose})")


def cut_off(connection: Connection, process: str) -> None:
    """End every connection of a process, and with them all it holds."""
    connection.execute(_CUT, {"process": process})


_CUT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = :process AND datname = current_database() AND pid <> pg_backend_pid()"
)

_HOLDERS = text(
    "SELECT DISTINCT activity.application_name FROM pg_locks AS held JOIN pg_stat_activity AS activity USING (pid)"
    " WHERE held.locktype = 'advisory' AND held.granted AND held.classid = :kind AND held.objid = :purpose"
    " AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def holders(connection: Connection, purpose: int) -> list[str]:
    """Who holds an advisory lock, by the name each gave itself."""
    found = connection.execute(_HOLDERS, {"kind": _KIND, "purpose": purpose}).scalars()
    return sorted(name.removeprefix("crmdrip ") for name in found if name)


class Server(Struct, frozen=True, kw_only=True):
    """What a PostgreSQL server is like."""

    version: str
    durable: bool
    """Whether what it says is on disk is."""
    problem: str
    """Why it cannot keep a ledger, "" when it can."""
    do_next: str


OLDEST = (12, 0)
"""Whose ON CONFLICT, partial indexes and settings the ledger is written for."""

_ABOUT = text(
    "SELECT current_setting('fsync') AS fsync, current_setting('server_encoding') AS encoding,"
    " pg_is_in_recovery() AS standby, has_schema_privilege(current_schema(), 'CREATE') AS creates"
)


def examine(connection: Connection) -> Server:
    """Ask the server about itself. Raises DatabaseError."""
    about = connection.execute(_ABOUT).one()
    version = connection.dialect.server_version_info or (0, 0)
    problem, do_next = "", ""
    if version < OLDEST:
        problem, do_next = "the server is too old.", f"Install PostgreSQL {OLDEST[0]} or newer."
    elif about.encoding != "UTF8":
        problem = f"the database keeps text as {about.encoding}, which has no place for most people's names."
        do_next = "Create it anew: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."
    elif about.standby:
        problem, do_next = "this is a standby, which takes no changes.", "Name the primary server in [ledger] url."
    elif not about.creates:
        problem = "the database user may not make tables."
        do_next = "Make it the owner of the database: ALTER DATABASE ... OWNER TO ..."
    number = ".".join(map(str, version))
    return Server(version=number, durable=about.fsync == "on", problem=problem, do_next=do_next)
