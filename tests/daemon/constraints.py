"""Constraints that a test adds to the ledger or takes away, in the words of the database it is kept in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from crmdrip.ledger.store import Ledger


@contextmanager
def refusing(ledger: Ledger, moment: str, table: str, condition: str) -> Iterator[None]:
    """No row of a table may be stored that meets the condition. moment: INSERT or UPDATE."""
    with ledger.write() as connection:
        for statement in _refusal(connection, moment, table, condition):
            connection.exec_driver_sql(statement)
    yield
    with ledger.write() as connection:
        _drop(connection, "refuse", table)


def let_touches_move(connection: Connection) -> None:
    """Whatever state a touch is in, it may be brought to any other one."""
    _drop(connection, "touch_moves_legally", "touch")


def _refusal(connection: Connection, moment: str, table: str, condition: str) -> list[str]:
    if connection.dialect.name != "postgresql":
        refuse = "BEGIN SELECT RAISE(ABORT, 'no'); END"
        return [f"CREATE TRIGGER refuse BEFORE {moment} ON {table} WHEN {condition} {refuse}"]
    refuse = "BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END"
    return [
        f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${refuse}$$",
        f"CREATE TRIGGER refuse BEFORE {moment} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()",
    ]


def _drop(connection: Connection, trigger: str, table: str) -> None:
    where = f" ON {table}" if connection.dialect.name == "postgresql" else ""
    connection.exec_driver_sql(f"DROP TRIGGER {trigger}{where}")
