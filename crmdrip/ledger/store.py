"""Opening the ledger: engine, migrations, transactions, and the lock that keeps a second daemon out (B3)."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, IntegrityError

from crmdrip.ledger.errors import LedgerBrokenError, LedgerBusyError, explain

HEAD = "0001"
"""The newest migration. A test holds it to ledger/migrations."""

ROOM = 32 * 1024 * 1024
"""Bytes of free disk below which nothing is sent any more: enough to finish what has begun."""

_LOCK_NUMBER = 0x63726D6472697000
"""PostgreSQL's advisory locks are numbers: "crmdrip"."""


class Ledger:
    """An open ledger. Transactions come from `read` and `write`; everything else is in the modules beside."""

    def __init__(self, url: str) -> None:
        self.url = url
        parsed = make_url(url)
        self.where = parsed.render_as_string(hide_password=True)
        self.path = Path(parsed.database) if parsed.drivername.startswith("sqlite") and parsed.database else None
        self.engine = _engine(url)
        self._turn = threading.Lock() if self.path is not None else nullcontext()
        self._lock_file: IO[str] | None = None
        self._file: tuple[int, int] | None = None
        """Device and inode of the file that was locked."""
        self._lock_connection: Connection | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view. Raises LedgerBrokenError."""
        try:
            with self.engine.connect() as connection, connection.begin():
                yield connection
        except DatabaseError as error:
            raise explain(error, self.where) from error

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One durable transaction: on return it is on disk, on any error nothing of it is.

        Writers take turns, so that what is read inside is still true when it is written (on PostgreSQL the rows
        read for update are). Raises LedgerBrokenError.
        """
        self._require_own_file()
        try:
            # Waiting for each other here costs nothing; SQLite would have the second ask again every few milliseconds.
            with (
                self._turn,
                self.engine.connect().execution_options(crmdrip_write=True) as connection,
                connection.begin(),
            ):
                yield connection
        except IntegrityError as error:
            raise explain(error, self.where) from None  # its text holds what was to be stored: people's addresses
        except DatabaseError as error:
            raise explain(error, self.where) from error

    def migrate(self) -> None:
        """Bring the schema to HEAD; makes it when there is none. Raises LedgerBrokenError."""
        try:
            with self.engine.connect() as connection:
                known = inspect(connection).has_table("alembic_version")
                version = (
                    connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if known else None
                )
        except DatabaseError as error:
            raise explain(error, self.where) from error
        if version == HEAD:
            self._remember_file()
            return
        from crmdrip.ledger.migrate import upgrade  # noqa: PLC0415 - Alembic costs 0.3 s and is rarely needed

        try:
            upgrade(self.engine)
        except DatabaseError as error:
            raise explain(error, self.where) from error
        self._remember_file()

    def _remember_file(self) -> None:
        if self._lock_file is not None and self.path is not None:
            self._file = _identity_of(self.path)

    def _require_own_file(self) -> None:
        """A file that was deleted or replaced is no ledger: another daemon may be at work on the one in its place."""
        if self._file is not None and self.path is not None and _identity_of(self.path) != self._file:
            raise LedgerBrokenError(
                "the file was moved, deleted or replaced while the daemon was at work. Nothing is sent any more.",
                where=self.where,
                do_next="Start the daemon again: what the ledger lacks is read back from the CRM.",
            )

    def lock(self) -> None:
        """Keep every other daemon off this ledger until `close` or the end of the process.

        Raises LedgerBusyError, naming who holds it.
        """
        if self.path is not None:
            self._lock_sqlite(self.path)
        elif self.engine.dialect.name == "postgresql":
            connection = self.engine.connect()
            if not connection.execute(text("SELECT pg_try_advisory_lock(:n)"), {"n": _LOCK_NUMBER}).scalar():
                connection.close()
                raise LedgerBusyError("another daemon works on this ledger.", where=self.where, do_next=_BUSY_NEXT)
            self._lock_connection = connection

    def _lock_sqlite(self, path: Path) -> None:
        import fcntl  # noqa: PLC0415 - not on every platform

        lock_path = path.with_name(path.name + ".lock")
        try:
            handle = lock_path.open("a+", encoding="utf-8")
        except OSError as error:
            raise explain(error, str(lock_path)) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            handle.close()
            raise LedgerBusyError(
                f"another daemon works on this ledger ({holder}).", where=str(path), do_next=_BUSY_NEXT
            ) from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}")
        handle.flush()
        self._lock_file = handle
        self._remember_file()

    def room_left(self) -> bool:
        """Whether the disk has room to remember what is about to be sent (B30)."""
        if self.path is None:
            return True
        return shutil.disk_usage(self.path.resolve().parent).free > ROOM

    def require_room(self) -> None:
        """Raises LedgerBrokenError when room_left is false."""
        if not self.room_left():
            raise LedgerBrokenError(
                "the disk is nearly full. Nothing is sent until there is room.",
                where=self.where,
                do_next="Free some space; sending goes on by itself.",
            )

    def close(self) -> None:
        """Give everything back, the lock last."""
        if self._lock_connection is not None:
            self._lock_connection.close()
            self._lock_connection = None
        self.engine.dispose()
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None


def _identity_of(path: Path) -> tuple[int, int] | None:
    """Device and inode, None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_BUSY_NEXT = "Stop that one first, or give this one a ledger of its own in [ledger] url."


def open_ledger(url: str) -> Ledger:
    """Open and migrate. Raises LedgerBrokenError."""
    ledger = Ledger(url)
    ledger.migrate()
    return ledger


def _engine(url: str) -> Engine:
    # A traceback in the log must not show addresses.
    engine = create_engine(url, hide_parameters=True, pool_use_lifo=True, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver must not open transactions by itself: see _begin_sqlite
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # an intent is on disk before its request leaves
    cursor.execute("PRAGMA foreign_keys = ON")
    # A busy daemon changes the same pages again and again: they are copied to the file every 32 MB, not every 4.
    cursor.execute("PRAGMA wal_autocheckpoint = 8000")
    cursor.execute("PRAGMA cache_size = -4000")  # KiB, for each connection; with the default of 2,000 it reads twice
    # Bytes, for all connections of the process together: near it a cache reuses its own pages. Each thread has a
    # connection, so the bound above alone would be another 4 MB for each (measured: 4 MB less, no more CPU).
    cursor.execute("PRAGMA soft_heap_limit = 8000000")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # SQLAlchemy drops FOR UPDATE on SQLite; taking the write lock at the start gives the same promise.
    write = connection.get_execution_options().get("crmdrip_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
