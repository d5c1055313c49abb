"""What a database says is understood by its own code, whoever's database it is."""

from __future__ import annotations

import sqlite3

import pytest
from pydantic import ValidationError
from sqlalchemy import exc

from connectors.sql.faults import read_fault
from connectors.sql.settings import SqlSettings
from crmdrip.core.errors import ErrorClass


class PostgresqlError(Exception):
    """As psycopg raises it."""

    def __init__(self, state: str | None, text: str = "some words\nDETAIL: Key (email)=(ann@acme.example)") -> None:
        super().__init__(text)
        self.sqlstate = state


class MysqlError(Exception):
    """As PyMySQL raises it: a number, and a text."""


class OdbcError(Exception):
    """As pyodbc raises it: a state, and a text that ends with the server's number."""


def wrapped(cause: Exception, kind: type[exc.DBAPIError] = exc.OperationalError) -> exc.DBAPIError:
    """As SQLAlchemy passes it on."""
    return kind("SELECT 1", {}, cause)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("28P01", ErrorClass.AUTH),
        ("53300", ErrorClass.RATE_LIMITED),
        ("53200", ErrorClass.RETRIABLE),
        ("42501", ErrorClass.CONFIGURATION),
        ("42P01", ErrorClass.CONFIGURATION),
        ("3D000", ErrorClass.CONFIGURATION),
        ("55000", ErrorClass.RETRIABLE),
        ("55P03", ErrorClass.RETRIABLE),
        ("40P01", ErrorClass.RETRIABLE),
        ("57014", ErrorClass.RETRIABLE),
        ("25006", ErrorClass.RETRIABLE),
        ("22001", ErrorClass.REJECTED),
        ("23503", ErrorClass.REJECTED),
        ("P0001", ErrorClass.REJECTED),
    ],
)
def test_postgresql(state, expected):
    """B21: by SQLSTATE."""
    assert read_fault(wrapped(PostgresqlError(state))).error_class is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('FATAL:  password authentication failed for user "crmdrip"', ErrorClass.AUTH),
        ('FATAL:  role "crmdrip" is not permitted to log in', ErrorClass.AUTH),
        ('FATAL:  database "crn" does not exist', ErrorClass.CONFIGURATION),
        ('FATAL:  too many connections for role "crmdrip"', ErrorClass.RATE_LIMITED),
        ("server closed the connection unexpectedly", ErrorClass.RETRIABLE),
    ],
)
def test_a_refused_connection_has_a_text_and_no_code(text, expected):
    """P4: libpq passes on nothing else."""
    fault = read_fault(wrapped(PostgresqlError(None, text)))
    assert (fault.error_class, fault.lost) == (expected, True)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1045, ErrorClass.AUTH),
        (1040, ErrorClass.RATE_LIMITED),
        (1142, ErrorClass.CONFIGURATION),
        (1054, ErrorClass.CONFIGURATION),
        (1205, ErrorClass.RETRIABLE),
        (2013, ErrorClass.RETRIABLE),
        (1062, ErrorClass.REJECTED),
        (1644, ErrorClass.REJECTED),
    ],
)
def test_mysql_and_mariadb(number, expected):
    """B21: by number, whatever kind of exception the driver makes of it."""
    error = MysqlError(number, "Hands off")
    error.sqlstate = "HY000"
    fault = read_fault(wrapped(error))
    assert (fault.error_class, fault.message, fault.lost) == (expected, "Hands off", False)


@pytest.mark.parametrize(
    ("state", "number", "expected"),
    [
        ("28000", 18456, ErrorClass.AUTH),
        ("42S02", 208, ErrorClass.CONFIGURATION),
        ("42000", 229, ErrorClass.CONFIGURATION),
        ("42000", 1222, ErrorClass.RETRIABLE),
        ("40001", 1205, ErrorClass.RETRIABLE),
        ("23000", 2627, ErrorClass.REJECTED),
        ("42000", 50000, ErrorClass.REJECTED),
        ("HYT00", 0, ErrorClass.RETRIABLE),
        ("08S01", 0, ErrorClass.RETRIABLE),
    ],
)
def test_sql_server(state, number, expected):
    """B21: by the number where there is one, else by state. From its documentation: none was asked."""
    text = f"[{state}] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]Some words. ({number}) (SQLExecDirectW)"
    assert read_fault(wrapped(OdbcError(state, text))).error_class is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT * FROM nowhere", ErrorClass.CONFIGURATION),
        ("SELECT nothing FROM people", ErrorClass.CONFIGURATION),
        ("INSERT INTO people VALUES (1)", ErrorClass.REJECTED),
        ("INSERT INTO people VALUES (-1)", ErrorClass.REJECTED),
    ],
)
def test_sqlite(statement, expected):
    """B21: by the name of its result code."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE people (id INTEGER PRIMARY KEY CHECK (id > 0))")
    connection.execute("INSERT INTO people VALUES (1)")
    with pytest.raises(sqlite3.Error) as raised:
        connection.execute(statement)
    assert read_fault(wrapped(raised.value)).error_class is expected
    connection.close()


def test_no_value_of_a_row_is_passed_on():
    """What PostgreSQL tells in further lines are people's addresses."""
    assert read_fault(wrapped(PostgresqlError("23505"))).message == "some words"


def test_every_connection_in_use_is_waited_for():
    """P4: our own pool, not the server's."""
    assert read_fault(exc.TimeoutError("QueuePool limit")).error_class is ErrorClass.RETRIABLE


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "exactly one of file"),
        ({"file": "crm.sqlite3", "url": "postgresql://u@h/d"}, "exactly one of file"),
        ({"url": "postgresql://u:secret@h/d"}, "holds a password"),
        ({"url": "sqlite:///crm.sqlite3"}, "is an SQLite file"),
        ({"url": "not a url"}, "is no database URL"),
        ({"file": "crm.sqlite3", "time_zone": "Berlin"}, "is no time zone"),
    ],
)
def test_settings_say_what_to_type(given, told):
    """No password stands in a URL, and none is repeated in a message."""
    with pytest.raises(ValidationError, match=told) as raised:
        SqlSettings(**given)
    assert "secret" not in str(raised.value)


def test_the_password_is_put_in_for_the_driver_alone():
    """A plain URL of PostgreSQL's is psycopg's."""
    settings = SqlSettings(url="postgresql://crmdrip@db.acme.com/crm", password="sesame")
    address = settings.address()
    assert (address.drivername, address.password) == ("postgresql+psycopg", "sesame")
    assert "sesame" not in repr(settings) + str(address)
