"""A CRM that was there before, mapped as docs/sql.md says: UUIDs, times without a zone, boxes in text."""

# ruff: noqa: S608 - statements of a test against its own database

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sql_peer import SteppedClock, shared_postgresql
from sqlalchemy import create_engine, text

from connectors.sql.check import check_database
from connectors.sql.database import Database
from connectors.sql.install import SqlInstaller
from connectors.sql.settings import SqlSettings
from connectors.sql.sink import SqlSink
from connectors.sql.source import SqlSource
from crmdrip import registry
from crmdrip.core.model import RecordKind, RecordRef, SignalKind
from crmdrip.ports import BounceWrite, ChangeKind, OptOutWrite
from crmdrip.testing.crm import AT, NO_PATHS, read_all, status_write, task_write, write_all

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
ANN, BOB = (str(uuid.UUID(int=number)) for number in (1, 2))
CRM = f"""
CREATE SCHEMA sales;
CREATE TABLE sales.people (
    person_id uuid PRIMARY KEY, mail varchar(100), first_name text, no_mail char(1), changed_at timestamp,
    owner_id char(12), account_id bigint
);
CREATE TABLE employees (id char(12) PRIMARY KEY, name text, email text);
CREATE TABLE companies (id bigint PRIMARY KEY, name text, "Annual Revenue" numeric(12, 2));
CREATE TABLE appointments (id serial PRIMARY KEY, person_id uuid, subject text, booked_at timestamp);
INSERT INTO employees VALUES ('rita', 'Rita Rep', 'rita@acme.example');
INSERT INTO companies VALUES (9007199254740993, 'Firm', 12.50);
INSERT INTO sales.people VALUES
    ('{ANN}', 'ann@firm.example', 'Ann', 'N', '2026-11-02 09:30', 'rita', 9007199254740993),
    ('{BOB}', 'bob@firm.example', 'Bob', NULL, '2026-11-02 09:30', NULL, NULL);
"""


@pytest.fixture(scope="module")
def server():
    """A server, started once."""
    return shared_postgresql()


@pytest.fixture
def admin(server):
    """Whoever works in that CRM, which is made anew."""
    root = create_engine(server.url, isolation_level="AUTOCOMMIT")
    with root.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS own WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE own"))
    root.dispose()
    engine = create_engine(server.url.set(database="own"))
    with engine.begin() as connection:
        connection.exec_driver_sql(CRM)
    yield engine
    engine.dispose()


@pytest.fixture
def database(server, admin, tmp_path):
    """The connector's, with the page's mapping, after its installation. Times on the wall are Berlin's."""
    mapping = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "names.toml").write_text(mapping, encoding="utf-8")
    url = f"postgresql://postgres@127.0.0.1:{server.wire.port}/own"
    settings = SqlSettings(url=url, time_zone="Europe/Berlin")
    database = Database(settings, registry.mapping_for("sql", str(tmp_path / "names.toml")), SteppedClock())
    installer = SqlInstaller(database)
    installer.install(installer.preview(), lambda _: None)
    with admin.begin() as connection:
        connection.exec_driver_sql("INSERT INTO drip_sequences (name, status) VALUES ('Intro', 'Live')")
        ticked = "UPDATE sales.people SET drip_enrolled = true, drip_sequence_id = 1 WHERE mail LIKE 'ann%%'"
        connection.exec_driver_sql(ticked)
    yield database
    database.close()


@pytest.fixture
def source(database):
    """The source under test."""
    return SqlSource(database)


def one(admin, query: str) -> tuple:
    """A row, as somebody else sees it."""
    with admin.connect() as connection:
        return tuple(connection.execute(text(query)).one())


def person(record_id: str) -> RecordRef:
    """A reference."""
    return RecordRef(kind=RecordKind.CONTACT, id=record_id)


def test_installing_adds_columns_and_finds_nothing_wrong(database, admin):
    """Neither does the doctor, but for what is optional and that nothing says where the database is at home."""
    kinds = {one.kind for one in SqlInstaller(database).preview()}
    assert kinds == {ChangeKind.KEEP, ChangeKind.UNAVAILABLE}
    names = "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns WHERE"
    (columns,) = one(admin, f"{names} table_name = 'people'")
    assert columns.startswith("person_id mail first_name no_mail changed_at owner_id account_id bounced_reason")
    assert one(admin, "SELECT data_type FROM information_schema.columns WHERE column_name = 'contact_id'") == ("uuid",)
    database.clock.at = datetime.now(UTC)
    bad = [each.code for each in check_database(SqlSource(database)) if each.level != "ok"]
    assert sorted(bad) == ["SQL-COLUMNS", "SQL-DATABASE"]


def test_people_are_read_by_their_own_names(source):
    """UUIDs, a CHAR that is filled up with blanks, and a time on the wall of Berlin."""
    record = read_all(source).records[ANN]
    assert (record.email, record.owner_id, record.account_id) == ("ann@firm.example", "rita", "9007199254740993")
    assert (record.opted_out, record.enrolled, record.sequence_id) == (False, True, "1")
    assert record.modified_at == datetime(2026, 11, 2, 8, 30, tzinfo=UTC)
    assert source.owners(["rita"])["rita"].email == "rita@acme.example"
    assert [each.ref.id for each in source.find(BOB)] == [BOB]


def test_merge_fields_have_their_own_names_too(source):
    """Any column by its name, and those of the account."""
    fields = source.look([person(ANN)], frozenset({"first_name", "account.name", "no_mail"}), None).records[ANN].fields
    assert fields == {"first_name": "Ann", "account.name": "Firm", "no_mail": "N"}


def test_what_is_written_stands_in_their_columns(source, database, admin):
    """A box in text by its words, a time with a zone, and touches under a UUID."""
    sink = SqlSink(source)
    outcomes = write_all(
        sink,
        status_write(person(ANN), enrolled=False),
        OptOutWrite(key="o", ref=person(ANN)),
        BounceWrite(key="b", ref=person(BOB), reason="550", at=AT),
        task_write(person(ANN), "a" * 32, owner_id="rita"),
        status_write(person("no-uuid"), "odd"),
    )
    assert {key for key, outcome in outcomes.items() if outcome.error is not None} == {"odd"}
    assert one(admin, f"SELECT no_mail, drip_status, drip_next_touch FROM sales.people WHERE person_id = '{ANN}'") == (
        "Y",
        "Active",
        AT,
    )
    assert one(admin, "SELECT contact_id, rtrim(owner_id) FROM drip_touches") == (uuid.UUID(ANN), "rita")
    assert [touch.record_id for page, _ in source.touches(None) for touch in page] == [ANN]
    assert read_all(source).records[ANN].opted_out


def test_a_change_is_seen_by_the_wall_s_time(source, database, admin):
    """Pulls compare with times that have no zone."""
    cursor = read_all(source).cursor
    database.clock.move(minutes=30)
    cursor = read_all(source, cursor).cursor
    at = (database.clock.now() + timedelta(hours=1)).strftime("%Y-%m-%d %H:%M")
    with admin.begin() as connection:
        connection.exec_driver_sql(f"UPDATE sales.people SET drip_enrolled = true, changed_at = '{at}'")
    assert set(read_all(source, cursor).records) == {BOB}


def test_an_appointment_is_a_meeting(source, database, admin):
    """P2: it is with the last look, by when it was booked."""
    cursor = read_all(source).cursor
    booked = f"INSERT INTO appointments (person_id, subject, booked_at) VALUES ('{ANN}', 'Demo', '2026-11-02 10:00:30')"
    with admin.begin() as connection:
        connection.exec_driver_sql(booked)
    (signal,) = source.look([person(ANN)], NO_PATHS, cursor).signals
    assert (signal.kind, signal.record_id, signal.detail) == (SignalKind.MEETING, ANN, "Demo")
    assert signal.at == datetime(2026, 11, 2, 9, 0, 30, tzinfo=UTC)
