"""The SQL connector keeps the CRM ports' promises, on SQLite and on PostgreSQL behind a socket."""

from __future__ import annotations

import pytest
from sql_driver import SqlDriver
from sql_peer import APART, WHOLE, PostgresqlPeer, SqlitePeer, shared_postgresql

from crmdrip.testing.crm import CrmContract


@pytest.fixture(scope="module")
def postgresql():
    """A server, started once."""
    return shared_postgresql()


class TestSqliteCrm(CrmContract):
    """Every promise of CrmContract, in a file."""

    title = "SQL (SQLite)"
    changes = WHOLE

    @pytest.fixture
    def peer(self, tmp_path):
        """A fresh file."""
        with SqlitePeer(tmp_path / "crm.sqlite3", self.changes) as peer:
            yield peer

    @pytest.fixture
    def crm(self, peer):
        """Whoever works in it."""
        return SqlDriver(peer)

    @pytest.fixture
    def source(self, peer):
        """The source under test."""
        return peer.source()

    @pytest.fixture
    def sink(self, peer, source):
        """The sink under test."""
        return peer.sink(source)


class TestSqliteCrmWithView(TestSqliteCrm):
    """The same promises where people are a view, and what crmdrip writes stands in a table of its own."""

    title = "SQL (SQLite, people in a view)"
    changes = APART


class TestPostgresqlCrm(TestSqliteCrm):
    """The same promises on a server, logged in as a user who may do what is needed and nothing else."""

    title = "SQL (PostgreSQL)"

    @pytest.fixture
    def peer(self, postgresql):
        """A database without rows."""
        with PostgresqlPeer(postgresql, self.changes) as peer:
            yield peer


class TestPostgresqlCrmWithView(TestPostgresqlCrm):
    """The same promises on a server where people are a view."""

    title = "SQL (PostgreSQL, people in a view)"
    changes = APART
