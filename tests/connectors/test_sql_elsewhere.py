"""The same promises on whichever database CRMDRIP_SQL_URL names, which must be empty: its tables are made and dropped.

CRMDRIP_SQL_URL=mysql+pymysql://crmdrip@127.0.0.1/empty pytest tests/connectors/test_sql_elsewhere.py
"""

# ruff: noqa: S608 - statements of a test against its own database

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from sql_driver import SqlDriver
from sql_peer import PAGE, WHOLE, SqlPeer, make_tables
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from connectors.sql.settings import SqlSettings
from crmdrip.core.model import RecordRef
from crmdrip.testing.crm import CrmContract, CrmTrouble

URL = os.environ.get("CRMDRIP_SQL_URL", "")
TABLES = ("contacts", "users", "accounts", "meetings", "deals", "incoming_emails", "drip_sequences", "drip_steps")
TABLES += ("drip_touches", "drip_control")

if not URL:
    pytest.skip("CRMDRIP_SQL_URL names no empty database", allow_module_level=True)


class OtherPeer(SqlPeer):
    """A database of which nothing is known but its URL."""

    def __init__(self) -> None:
        super().__init__(WHOLE)
        self.engine = create_engine(URL)

    def settings(self, **given: object) -> SqlSettings:
        """As a person would type it."""
        url = make_url(URL)
        plain = url.set(password=None).render_as_string() if url.password else URL
        password = {"password": url.password} if url.password else {}
        return SqlSettings(**{"url": plain, **password, "lock_timeout": 1.0, "page": PAGE, **given})


class OtherDriver(SqlDriver):
    """What befalls it as far as it can be played anywhere."""

    def refuse_changes_of(self, ref: RecordRef, message: str) -> None:
        """By a trigger, where its language is known here."""
        if self.peer.engine.dialect.name not in ("mysql", "mariadb"):
            pytest.skip("how a trigger is written there is not known here")
        self._do(
            "CREATE TRIGGER hands_off BEFORE UPDATE ON contacts FOR EACH ROW BEGIN"
            f" IF NEW.id = {ref.id} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{message}'; END IF; END"
        )

    def trouble(self, trouble: CrmTrouble) -> None:
        """A column that is gone; nothing else can be played on a server of somebody's."""
        if trouble is not CrmTrouble.OPT_OUT_HIDDEN:
            pytest.skip("this server is nobody's to break")
        self._rename("opted_out", "opted_out_once")


@pytest.fixture(scope="module")
def tables():
    """Everything that the CRM has, and at the end nothing."""
    engine = create_engine(URL)
    strange = set(inspect(engine).get_table_names()) - set(TABLES)
    if strange:
        pytest.fail(f"{URL.rpartition('/')[2]} is not empty: {', '.join(sorted(strange)[:5])}")
    _drop(engine)
    peer = OtherPeer()
    make_tables(peer.settings(), WHOLE)
    yield
    _drop(engine)
    engine.dispose()


def _drop(engine) -> None:
    for table in TABLES:
        with suppress(SQLAlchemyError), engine.begin() as connection:
            connection.execute(text(f"DROP TABLE {table}"))


@pytest.mark.usefixtures("tables")
class TestOtherCrm(CrmContract):
    """Every promise of CrmContract that can be asked for anywhere."""

    @pytest.fixture
    def peer(self):
        """The database without rows."""
        peer = OtherPeer()
        with suppress(SQLAlchemyError), peer.engine.begin() as connection:
            connection.execute(text("DROP TRIGGER hands_off"))
        with peer.engine.begin() as connection:
            for table in TABLES[:-1]:
                connection.execute(text(f"DELETE FROM {table}"))
            connection.execute(text("UPDATE drip_control SET brake = 0, heartbeat = NULL, claim = ''"))
        yield peer
        for one in peer.opened:
            one.close()
        peer.engine.dispose()

    @pytest.fixture
    def crm(self, peer):
        """Whoever works in it."""
        return OtherDriver(peer)

    @pytest.fixture
    def source(self, peer):
        """The source under test."""
        return peer.source()

    @pytest.fixture
    def sink(self, peer, source):
        """The sink under test."""
        return peer.sink(source)
