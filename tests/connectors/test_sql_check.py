"""The doctor's checks of a database: each code, right and wrong, with what to type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sql_driver import SqlDriver
from sql_peer import WHOLE, PostgresqlPeer, SqlitePeer, SteppedClock, load_mapping, shared_postgresql
from sqlalchemy import text

from connectors.sql import connector
from connectors.sql.check import check_database
from connectors.sql.database import Database
from connectors.sql.settings import SqlSettings
from connectors.sql.source import SqlSource
from crmdrip.ports import CheckLevel, CheckResult, ConnectorContext
from crmdrip.testing.crm import CrmTrouble

OK, WARN, FAIL = CheckLevel.OK, CheckLevel.WARN, CheckLevel.FAIL


@pytest.fixture(scope="module")
def postgresql():
    """A server, started once."""
    return shared_postgresql()


@pytest.fixture
def peer(tmp_path):
    """A fresh file."""
    with SqlitePeer(tmp_path / "crm.sqlite3") as peer:
        yield peer


@pytest.fixture
def server(postgresql):
    """A database without rows, as a user with few rights."""
    with PostgresqlPeer(postgresql) as peer:
        yield peer


def by_hand(peer, statement: str) -> None:
    """Somebody's statement."""
    peer.run(lambda connection: connection.execute(text(statement)))


def check(source: SqlSource) -> dict[str, CheckResult]:
    """What is found, by code; of several the worst."""
    rank = {OK: 0, WARN: 1, FAIL: 2}
    found: dict[str, CheckResult] = {}
    for one in check_database(source):
        if one.code not in found or rank[one.level] > rank[found[one.code].level]:
            found[one.code] = one
    return found


def levels(source: SqlSource) -> dict[str, CheckLevel]:
    """The levels by code."""
    return {code: one.level for code, one in check(source).items()}


def test_a_database_that_is_ready_passes(peer):
    """Every code there is of a file; a name in the settings is all it takes."""
    by_hand(peer, "UPDATE drip_control SET org_id = 'acme'")
    found = levels(peer.source(database_id="acme"))
    assert set(found.values()) == {OK}
    assert set(found) == {
        *("SQL-LOGIN", "SQL-TABLES", "SQL-OPTOUT-HIDDEN", "SQL-DATABASE", "SQL-COLUMNS", "SQL-KEYS", "SQL-CHANGES"),
        *("SQL-PRIVILEGES", "SQL-SEQUENCES"),
    }


def test_a_check_changes_nothing(peer):
    """What it tries to write is rolled back."""
    SqlDriver(peer).add_sequence("Intro", ["Hello"])
    before = peer.file.read_bytes()
    check(peer.source())
    assert peer.file.read_bytes() == before


def test_a_file_that_is_not_there_is_told(tmp_path):
    """And is not made."""
    settings = SqlSettings(file=str(tmp_path / "none.sqlite3"))
    found = check(SqlSource(Database(settings, load_mapping({}), SteppedClock())))
    assert {code: one.level for code, one in found.items()} == {"SQL-REACH": FAIL}
    assert "crmdrip install sql" in found["SQL-REACH"].do_next
    assert not (tmp_path / "none.sqlite3").exists()


def test_a_driver_that_is_not_installed_is_told():
    """With what to type."""
    settings = SqlSettings(url="oracle+oracledb://u@h/d")
    context = ConnectorContext(settings=settings, mapping=load_mapping({}), clock=SteppedClock())
    (found,) = connector.check(context)
    assert (found.code, found.level, found.do_next) == ("SQL-REACH", FAIL, 'Type: pip install "oracledb".')


def test_a_server_that_is_down_and_a_login_that_is_refused_are_told_apart(server):
    """One is a matter of waiting."""
    crm, source = SqlDriver(server), server.source()
    crm.trouble(CrmTrouble.DOWN)
    assert levels(source) == {"SQL-REACH": FAIL}
    crm.recover()
    crm.trouble(CrmTrouble.DENIED)
    found = check(source)
    assert list(found) == ["SQL-LOGIN"]
    assert "password" in found["SQL-LOGIN"].do_next


def test_missing_tables_and_columns_are_told_at_once(peer):
    """With the names of the mapping."""
    by_hand(peer, "ALTER TABLE contacts DROP COLUMN drip_run")
    by_hand(peer, "DROP TABLE drip_steps")
    found = check(peer.source())
    assert found["SQL-TABLES"].level is FAIL
    assert "drip_steps" in found["SQL-TABLES"].what
    assert "run (drip_run)" in found["SQL-TABLES"].what


def test_a_hidden_opt_out_is_told_with_the_right_to_grant(server):
    """B26: the daemon would refuse to send."""
    SqlDriver(server).trouble(CrmTrouble.OPT_OUT_HIDDEN)
    found = check(server.source())
    assert found["SQL-OPTOUT-HIDDEN"].level is FAIL
    assert "GRANT SELECT ON contacts TO crmdrip" in found["SQL-OPTOUT-HIDDEN"].do_next


def test_every_right_that_is_missing_is_told_as_a_grant(server):
    """B21: before anything is due, and not when it fails."""
    assert levels(server.source(database_id=""))["SQL-PRIVILEGES"] is OK
    by_hand(server, "REVOKE INSERT ON drip_touches FROM crmdrip")
    by_hand(server, "REVOKE UPDATE (drip_status) ON contacts FROM crmdrip")
    found = check(server.source())["SQL-PRIVILEGES"]
    assert found.level is FAIL
    assert "GRANT INSERT ON drip_touches TO crmdrip" in found.do_next
    assert "ON contacts TO crmdrip" in found.do_next
    assert "drip_control" not in found.do_next


def test_a_copy_and_an_unnamed_database_are_told(peer):
    """B25: the one is refused, the other warned of."""
    assert levels(peer.source())["SQL-DATABASE"] is WARN
    assert levels(peer.source(database_id="production"))["SQL-DATABASE"] is FAIL
    by_hand(peer, "UPDATE drip_control SET home = 'postgresql://db/crm'")
    assert levels(peer.source())["SQL-DATABASE"] is FAIL


def test_a_column_that_holds_something_else_is_told(server):
    """A date can hold no box."""
    changes = {**WHOLE, "contact": {**WHOLE["contact"], "approved": "bounced_at"}}
    source = SqlSource(Database(server.settings(), load_mapping(changes), server.clock))
    found = check(source)["SQL-COLUMNS"]
    assert found.level is FAIL
    assert "contacts.bounced_at holds a time with its zone, and a box is needed" in found.what
    source.database.close()


def test_what_is_optional_and_not_there_is_told(peer):
    """Done without, and said so."""
    by_hand(peer, "ALTER TABLE contacts DROP COLUMN country")
    found = check(peer.source())["SQL-COLUMNS"]
    assert (found.level, found.what) == (WARN, "not there, and done without: contacts.country.")


def test_touch_ids_that_may_stand_twice_are_told(peer):
    """P1: with the index to make."""
    by_hand(peer, "ALTER TABLE drip_touches RENAME TO old")
    by_hand(peer, "CREATE TABLE drip_touches AS SELECT * FROM old")
    found = check(peer.source())["SQL-KEYS"]
    assert found.level is FAIL
    assert found.do_next == "CREATE UNIQUE INDEX drip_touches_touch_id ON drip_touches (touch_id)."


def test_a_table_that_tells_no_changes_is_told(peer):
    """It works, by reading everybody."""
    changes = {**WHOLE, "contact": {**WHOLE["contact"], "modified": ""}}
    source = SqlSource(Database(peer.settings(), load_mapping(changes), peer.clock))
    assert levels(source)["SQL-CHANGES"] is WARN


def test_a_stop_condition_on_no_column_is_told(peer):
    """B17: it would never be met."""
    SqlDriver(peer).add_sequence("Intro", ["Hello"])
    by_hand(peer, "UPDATE drip_sequences SET stop_when = 'planet = Mars'")
    found = check(peer.source())["SQL-SEQUENCES"]
    assert found.level is WARN
    assert "planet" in found.what


def test_clocks_that_are_apart_are_told(server):
    """B29: changes would be read too late."""
    server.clock.at = datetime.now(UTC)
    assert levels(server.source())["SQL-CLOCK"] is OK
    server.clock.at += timedelta(minutes=10)
    found = check(server.source())["SQL-CLOCK"]
    assert found.level is WARN
    assert "seconds apart" in found.what
