"""Opening the ledger: migrations, transactions, and the lock that keeps a second daemon out (B3)."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from crmdrip.core.errors import ConfigurationError, CrmdripError
from crmdrip.ledger import engines, workers
from crmdrip.ledger.errors import LedgerBrokenError, LedgerBusyError, explain
from crmdrip.ledger.workers import Worker

HEAD = "0001"
"""The newest migration. A test holds it to ledger/migrations."""

ROOM = 32 * 1024 * 1024
"""Bytes of free disk below which nothing is sent any more: enough to finish what has begun."""


class Ledger:
    """An open ledger. Transactions come from `read` and `write`; everything else is in the modules beside."""

    def __init__(self, url: str) -> None:
        """Opens nothing yet. Raises ConfigurationError for what is no address, or needs a driver that is not there."""
        parsed = engines.parse_url(url)
        self.url = parsed.render_as_string(hide_password=False)
        self.where = parsed.render_as_string(hide_password=True)
        self.path = Path(parsed.database) if parsed.drivername == "sqlite" and parsed.database else None
        self.engine = engines.build_engine(parsed)
        self._turn = threading.Lock()
        self._lock_file: IO[str] | None = None
        self._file: tuple[int, int] | None = None
        """Device and inode of the file that was locked."""
        self._hold: Connection | None = None
        """The connection to PostgreSQL with which the lock is lost."""
        self._holding = threading.Lock()
        self.shared = False
        """Whether other daemons write as well, each for a part of the work."""
        self._signing: Worker | None = None
        """Who is to stand in the ledger once there are tables."""
        self.worker: Worker | None = None
        """Who writes, where the database has to be asked whether it still may."""
        self.held_until: datetime | None = None
        """Where it is shared: the time, by this machine's clock, until which no other daemon takes our work over."""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view. Raises LedgerBrokenError."""
        try:
            with self._reader() as connection, connection.begin():
                yield connection
        except DatabaseError as error:
            raise explain(error, self.where) from error

    def _reader(self) -> Connection:
        connection = self.engine.connect()
        if self.path is not None:
            return connection
        # By itself PostgreSQL shows each statement what was committed before it, not before the first one.
        return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One durable transaction: on return it is on disk, on any error nothing of it is.

        Writers take turns, on PostgreSQL those of all machines, so that what is read inside is still true when it is
        written. Raises LedgerBrokenError, and LedgerBusyError once another daemon has taken the ledger over.
        """
        self._require_own_file()
        try:
            # Waiting for each other here costs nothing; SQLite would have the second ask again every few milliseconds,
            # and on PostgreSQL each would wait with a connection.
            with (
                self._turn,
                self.engine.connect().execution_options(crmdrip_write=True) as connection,
                connection.begin(),
            ):
                if self.worker is not None:
                    workers.require(connection, self.worker)
                yield connection
        except IntegrityError as error:
            raise explain(error, self.where) from None  # its text holds what was to be stored: people's addresses
        except DatabaseError as error:
            raise explain(error, self.where) from error

    def migrate(self) -> None:
        """Bring the schema to HEAD; makes it when there is none.

        Raises LedgerBrokenError, and LedgerNewerError for a ledger that a newer program has changed.
        """
        try:
            version = self.version()
            if version != HEAD:
                from crmdrip.ledger.migrate import upgrade  # noqa: PLC0415 - Alembic costs 0.3 s and is rarely needed

                upgrade(self.engine, self.where)
        except DatabaseError as error:
            raise explain(error, self.where) from error
        self._settle_in()

    def exists(self) -> bool:
        """Whether somebody has begun it. Raises LedgerBrokenError."""
        if self.path is not None:
            return self.path.exists()
        try:
            return self.version() is not None
        except DatabaseError as error:
            raise explain(error, self.where) from error

    def version(self) -> str | None:
        """The last migration that was run, None for an empty database. Raises DatabaseError."""
        with self.engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return found

    def _settle_in(self) -> None:
        """Remember what was locked, now that there are tables."""
        if self._lock_file is not None and self.path is not None:
            self._file = _identity_of(self.path)
        if self._signing is not None:
            with self.write() as connection:
                (workers.join if self.shared else workers.stand_alone)(connection, self._signing)
            self.worker, self._signing = self._signing, None

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

        Raises LedgerBusyError, naming who holds it, and LedgerBrokenError.
        """
        if self.path is not None:
            self._lock_file = _lock_file(self.path)
            self._settle_in()
        else:
            self._hold = self._take_hold()
            self._signing = workers.new_worker()

    def share(self, name: str) -> None:
        """Keep every daemon off this ledger that would be alone with it; others that share it are welcome.

        name: as people know this daemon, "" for that of the machine and the process. Raises LedgerBusyError,
        LedgerBrokenError, and ConfigurationError for a file.
        """
        if self.path is not None:
            raise ConfigurationError(
                "daemons can share a ledger on PostgreSQL only, and this one is an SQLite file.",
                where="[cluster] enabled",
                do_next="Name a database in [ledger] url, to which crmdrip ledger copy moves what there is; or type"
                " enabled = false.",
            )
        self.shared = True
        self._hold = self._take_hold()
        self._signing = workers.new_worker(name)

    def _take_hold(self) -> Connection:
        """A connection that keeps all others off for as long as it lasts."""
        try:
            # Outside of any transaction, or it would be ended for being idle in one.
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if engines.try_lock(connection, engines.DAEMON, shared=self.shared):
                return connection
            others = ", ".join(engines.holders(connection, engines.DAEMON)) or "another process"
            connection.close()
        except DatabaseError as error:
            raise explain(error, self.where) from error
        raise LedgerBusyError(
            f"another daemon works on this ledger (process {others}).", where=self.where, do_next=_BUSY_NEXT
        )

    def require_hold(self) -> None:
        """The ledger is still ours; a lock that went with its connection is taken again where nobody else has.

        Raises LedgerBusyError where somebody has, and LedgerBrokenError where the database cannot be reached.
        """
        with self._holding:
            if self._hold is None:
                return
            try:
                self._hold.exec_driver_sql("SELECT 1")
            except DatabaseError:
                self._hold.invalidate()
                self._hold.close()
                self._hold = self._take_hold()

    @contextmanager
    def only_one(self, purpose: int) -> Iterator[None]:
        """What is done inside is done by no other daemon that shares the ledger. Raises LedgerBrokenError."""
        try:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                engines.wait_for_lock(connection, purpose)
                try:
                    yield
                finally:
                    with suppress(DatabaseError):  # whose connection is gone has lost the lock with it
                        engines.give_lock_back(connection, purpose)
        except DatabaseError as error:
            raise explain(error, self.where) from error

    def room_left(self) -> bool:
        """Whether the disk has room to remember what is about to be sent (B30). A server looks after its own."""
        if self.path is None:
            return True
        return shutil.disk_usage(self.path.resolve().parent).free > ROOM

    def require_room(self) -> None:
        """What is about to be sent can be remembered, and nobody else is about to send it.

        Raises LedgerBrokenError when room_left is false, and what require_hold raises.
        """
        if not self.room_left():
            raise LedgerBrokenError(
                "the disk is nearly full. Nothing is sent until there is room.",
                where=self.where,
                do_next="Free some space; sending goes on by itself.",
            )
        self.require_hold()

    def close(self) -> None:
        """Give everything back, the lock last."""
        if self.worker is not None:
            with suppress(CrmdripError), self.write() as connection:
                workers.leave(connection, self.worker)
            self.worker = None
        if self._hold is not None:
            self._hold.close()
            self._hold = None
        self.engine.dispose()  # also what went back to the pool with the lock on it
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None


def _lock_file(path: Path) -> IO[str]:
    """An open file that no other process has locked. Raises LedgerBusyError, LedgerBrokenError."""
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
    return handle


def _identity_of(path: Path) -> tuple[int, int] | None:
    """Device and inode, None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_BUSY_NEXT = "Stop that one first. Several daemons share the work on PostgreSQL alone: docs/ledger.md."


def open_ledger(url: str) -> Ledger:
    """Open and migrate. Raises ConfigurationError, LedgerBrokenError."""
    ledger = Ledger(url)
    ledger.migrate()
    return ledger
