"""An empty ledger: in a file of its own, and on a PostgreSQL server, where the same statements must do the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_places import Server
from sqlalchemy import text

from crmdrip.ledger.schema import metadata
from crmdrip.ledger.store import Ledger, open_ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger's file is."""
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """The ledger, migrated and open."""
    ledger = open_ledger(f"sqlite:///{path}")
    yield ledger
    ledger.close()


@pytest.fixture
def url(postgresql: Server) -> Iterator[str]:
    """The address of an empty database on the server, without tables."""
    name = postgresql.create()
    yield postgresql.url_of(name)
    postgresql.drop(name)


@pytest.fixture(scope="session")
def postgresql_ledger(postgresql: Server) -> Iterator[Ledger]:
    """The one ledger on the server that most tests share."""
    ledger = open_ledger(postgresql.url_of(postgresql.create_blank()))
    yield ledger
    ledger.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_ledger(request: pytest.FixtureRequest) -> Ledger:
    """An empty ledger on each database."""
    if request.param == "sqlite":
        return request.getfixturevalue("ledger")
    ledger: Ledger = request.getfixturevalue("postgresql_ledger")
    names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables if table.name != "touch_move")
    with ledger.write() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    return ledger
