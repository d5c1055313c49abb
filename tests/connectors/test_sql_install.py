"""crmdrip install on a database: what is missing is shown and made, nothing of anybody else's is touched."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sql_peer import APART, WHOLE, SteppedClock, load_mapping, shared_postgresql
from sqlalchemy import create_engine, text

from connectors.sql.database import Database
from connectors.sql.install import SqlInstaller
from connectors.sql.settings import SqlSettings
from crmdrip.core.errors import RejectedError
from crmdrip.ports import ChangeKind, NamesItsPlace

SCRIPTS = Path(__file__).parents[2] / "mappings" / "sql"


@pytest.fixture(scope="module")
def postgresql():
    """A server, started once."""
    return shared_postgresql()


@pytest.fixture
def file(tmp_path):
    """Where the database is, or will be."""
    return tmp_path / "crm.sqlite3"


def build(file: Path, changes=None, **settings: object) -> SqlInstaller:
    """An installer for a file."""
    given = SqlSettings(file=str(file), **settings)
    return SqlInstaller(Database(given, load_mapping(changes or {}), SteppedClock()))


def run(file: Path, script: str) -> None:
    """Somebody else's SQL."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)


def columns(file: Path, table: str) -> list[str]:
    """The names of a table's columns."""
    with closing(sqlite3.connect(file)) as connection:
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def kinds(installer: SqlInstaller) -> dict[str, ChangeKind]:
    """The preview by what it is about."""
    return {one.what: one.kind for one in installer.preview()}


def test_a_preview_of_a_file_that_is_not_there_makes_none(file):
    """What would be made is told, and nothing is."""
    assert set(kinds(build(file)).values()) == {ChangeKind.CREATE}
    assert not file.exists()


def test_everything_is_made_and_run_again_changes_nothing(file):
    """An empty file becomes a CRM; the second run has nothing to do."""
    installer, told = build(file, WHOLE), []
    made = installer.install(installer.preview(), told.append)
    assert [one.what for one in made] == [line.removesuffix(" made") for line in told[1:]]
    assert set(kinds(installer).values()) == {ChangeKind.KEEP}
    assert installer.install(installer.preview(), told.append) == []


def test_only_what_was_shown_is_made(file):
    """A change that the preview did not show waits for the next."""
    installer = build(file)
    shown = [one for one in installer.preview() if one.what == "drip_control"]
    assert [one.what for one in installer.install(shown, lambda _: None)] == ["drip_control"]
    assert columns(file, "contacts") == []


def test_people_that_are_there_get_columns_and_keep_the_rest(file):
    """Their own columns, rows and names stay as they are; the ids that point to them take their type."""
    run(file, "CREATE TABLE contacts (id TEXT PRIMARY KEY, email TEXT, opted_out INTEGER, note TEXT)")
    run(file, "INSERT INTO contacts VALUES ('a-1', 'ann@firm.example', 0, 'mine')")
    installer = build(file, {"objects": {"owner": ""}})
    installer.install(installer.preview(), lambda _: None)
    assert columns(file, "contacts")[:4] == ["id", "email", "opted_out", "note"]
    assert "drip_status" in columns(file, "contacts")
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT id, note, drip_status FROM contacts").fetchall() == [("a-1", "mine", None)]
        types = {row[1]: row[2] for row in connection.execute("PRAGMA table_info(drip_touches)")}
    assert types["contact_id"] == "TEXT"


def test_tables_of_people_are_never_made_beside_those_that_are_there(file):
    """Whoever has contacts has users somewhere: a person names them."""
    run(file, "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, opted_out INTEGER)")
    found = {one.what: one for one in build(file).preview()}
    assert found["users"].kind is ChangeKind.UNAVAILABLE
    assert 'owner = ""' in found["users"].detail


def test_a_missing_opt_out_is_a_conflict(file):
    """B26: it must be the CRM's own, so no empty one is made."""
    run(file, "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT)")
    found = {one.what: one for one in build(file).preview()}
    assert found["contacts.opted_out"].kind is ChangeKind.CONFLICT
    assert "[contact] opted_out" in found["contacts.opted_out"].detail


def test_a_column_that_holds_something_else_is_a_conflict(postgresql):
    """It is left as it is, and what it holds is told."""
    admin = create_engine(postgresql.url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE odd"))
    admin.dispose()
    settings = SqlSettings(url=f"postgresql://postgres@127.0.0.1:{postgresql.wire.port}/odd")
    database = Database(settings, load_mapping({}), SteppedClock())
    with database.engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE contacts (id uuid PRIMARY KEY, email text, opted_out boolean, drip_enrolled date)")
        )
    found = {one.what: one for one in SqlInstaller(database).preview()}
    assert found["contacts.drip_enrolled"].kind is ChangeKind.CONFLICT
    assert "holds a date, and a box is needed" in found["contacts.drip_enrolled"].detail
    database.close()


def test_a_view_gets_no_columns_and_the_way_out_is_told(file):
    """What crmdrip writes then needs a table of its own."""
    run(file, "CREATE TABLE base (id INTEGER PRIMARY KEY, email TEXT, opted_out INTEGER)")
    run(file, "CREATE VIEW contacts AS SELECT * FROM base")
    found = {one.what: one for one in build(file).preview()}
    assert found["contacts.drip_status"].kind is ChangeKind.CONFLICT
    assert "[objects] status" in found["contacts.drip_status"].detail
    apart = kinds(build(file, {"objects": {"status": "drip_status"}}))
    assert apart["drip_status"] is ChangeKind.CREATE
    assert "contacts.drip_status" not in apart


def test_a_touch_table_without_a_unique_id_gets_an_index(file):
    """P1: that is what keeps a repeated write single."""
    installer = build(file)
    installer.install(installer.preview(), lambda _: None)
    names = ", ".join(columns(file, "drip_touches"))
    run(file, "ALTER TABLE drip_touches RENAME TO old; CREATE TABLE drip_touches AS SELECT * FROM old; DROP TABLE old")
    assert ", ".join(columns(file, "drip_touches")) == names
    installer.install(installer.preview(), lambda _: None)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("INSERT INTO drip_touches (touch_id) VALUES ('a')")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO drip_touches (touch_id) VALUES ('a')")


def test_the_database_is_named_once(file):
    """B25: by the settings where they say so, else by chance; a row that is there stays."""
    installer = build(file, database_id="acme-crm")
    installer.install(installer.preview(), lambda _: None)
    assert kinds(build(file))["the row of drip_control"] is ChangeKind.KEEP
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT org_id, brake FROM drip_control").fetchall() == [("acme-crm", 0)]


def test_the_number_of_a_deleted_row_is_not_given_again(file):
    """B14: it would be somebody else under the same id."""
    installer = build(file)
    installer.install(installer.preview(), lambda _: None)
    with closing(sqlite3.connect(file)) as connection:
        (first,) = connection.execute("INSERT INTO contacts (email) VALUES ('a@x.example') RETURNING id").fetchone()
        connection.execute("DELETE FROM contacts")
        (second,) = connection.execute("INSERT INTO contacts (email) VALUES ('b@x.example') RETURNING id").fetchone()
    assert second > first


def test_a_check_tries_everything_and_leaves_nothing(file):
    """Where the database can take it back."""
    run(file, "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, opted_out INTEGER)")
    told: list[str] = []
    build(file).check(told.append)
    assert "accepted and taken back" in told[0]
    assert columns(file, "contacts") == ["id", "email", "opted_out"]
    assert columns(file, "drip_touches") == []


def test_a_refusal_is_told_in_the_database_s_words(file):
    """Nothing that was made before is lost."""
    run(file, "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, opted_out INTEGER)")
    installer = build(file)
    changes = installer.preview()
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(RejectedError, match="locked") as raised:
        build(file, lock_timeout=0.05).install(changes, lambda _: None)
    blocker.close()
    assert "--package" in raised.value.do_next


def test_the_package_is_a_script_that_makes_it(file, tmp_path):
    """Whoever may change the database runs it by its own tool."""
    installer = build(file)
    (command,) = installer.write_package(tmp_path / "package")
    assert command == f"sqlite3 {file} < {tmp_path}/package/crmdrip.sql"
    run(file, (tmp_path / "package" / "crmdrip.sql").read_text())
    assert set(kinds(installer).values()) == {ChangeKind.KEEP}


def test_the_script_for_sqlite_is_what_the_installer_makes(file):
    """mappings/sql/sqlite.sql, with the columns and the order of the installer."""
    run(file, (SCRIPTS / "sqlite.sql").read_text(encoding="utf-8"))
    assert set(kinds(build(file)).values()) == {ChangeKind.KEEP}
    other = file.with_name("other.sqlite3")
    installer = build(other)
    installer.install(installer.preview(), lambda _: None)
    for table in ("contacts", "drip_sequences", "drip_steps", "drip_touches", "drip_control", "users"):
        assert columns(file, table) == columns(other, table)


def test_the_script_s_triggers_tell_what_people_change(file):
    """And not what crmdrip writes, which is no news."""
    run(file, (SCRIPTS / "sqlite.sql").read_text(encoding="utf-8"))
    run(file, "INSERT INTO contacts (id, email) VALUES (1, 'ann@firm.example')")
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT updated_at IS NOT NULL FROM contacts").fetchone() == (1,)
        connection.execute("UPDATE contacts SET updated_at = '2000-01-01'")
        connection.execute("UPDATE contacts SET drip_status = 'Active'")
        assert connection.execute("SELECT updated_at FROM contacts").fetchone() == ("2000-01-01",)
        connection.execute("UPDATE contacts SET drip_enrolled = 1")
        assert connection.execute("SELECT updated_at > '2000-01-01' FROM contacts").fetchone() == (1,)


def test_the_script_for_postgresql_is_what_the_installer_makes(postgresql):
    """mappings/sql/postgresql.sql, with the rights of a user who has no others: the doctor finds nothing wrong."""
    from connectors.sql.check import check_database
    from connectors.sql.source import SqlSource

    admin = create_engine(postgresql.url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE scripted"))
    admin.dispose()
    scripted = create_engine(postgresql.url.set(database="scripted"))
    script = (SCRIPTS / "postgresql.sql").read_text(encoding="utf-8")
    assert "CREATE ROLE crmdrip LOGIN" in script
    with scripted.begin() as connection:  # the role is there already, as it is one of the whole server
        connection.exec_driver_sql(script.replace("CREATE ROLE crmdrip LOGIN", "SELECT 1"))
    url = f"postgresql://crmdrip@127.0.0.1:{postgresql.wire.port}/scripted"
    database = Database(SqlSettings(url=url, database_id="acme-crm"), load_mapping({}), SteppedClock())
    assert set(kinds(SqlInstaller(database)).values()) == {ChangeKind.KEEP}
    bad = [one for one in check_database(SqlSource(database)) if one.level != "ok" and one.code != "SQL-CLOCK"]
    assert bad == []
    database.close()
    scripted.dispose()


def test_an_installer_says_where_it_is_at_work(file):
    """Before there is anything that has a name."""
    installer = build(file, APART)
    assert isinstance(installer, NamesItsPlace)
    assert installer.place() == str(file)
