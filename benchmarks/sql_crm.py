"""What a CRM in a database is asked: statements and seconds of pulls, last looks and write-backs, in an SQLite file.

python -m benchmarks.sql_crm [--quick]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from connectors.sql.database import Database
from connectors.sql.install import SqlInstaller
from connectors.sql.settings import SqlSettings
from connectors.sql.sink import SqlSink
from connectors.sql.source import SqlSource
from crmdrip import registry
from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.daemon.clock import HandClock
from crmdrip.ports import Purpose, Write
from crmdrip.testing.crm import read_all, status_write, task_write

BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def fill(database: Database, people: int, ticked: int) -> None:
    """People who changed over the last year, the first of them with a ticked box."""
    contacts = database.schema(Purpose.PULL).contact.table
    rows = [
        {
            "id": number,
            "email": f"p{number}@firm{number % 997}.example",
            "first_name": "Ann",
            "opted_out": 0,
            "drip_enrolled": int(number <= ticked),
            "drip_sequence_id": 1 if number <= ticked else None,
            "updated_at": (BEGIN - timedelta(days=number % 365)).strftime("%Y-%m-%d %H:%M:%S"),
        }
        for number in range(1, people + 1)
    ]
    with database.write(Purpose.REPORT) as transaction:
        sequence = database.schema(Purpose.PULL)["sequence"].table
        transaction.change(insert(sequence), [{"id": 1, "name": "Intro", "status": "Live"}])
        for start in range(0, people, 10_000):
            transaction.change(insert(contacts), rows[start : start + 10_000])
        transaction.connection.exec_driver_sql("CREATE INDEX contacts_updated_at ON contacts (updated_at)")


def main(*, quick: bool) -> None:
    """Fill, measure, print."""
    people, ticked, touched = (5_000, 1_000, 200) if quick else (100_000, 20_000, 1_000)
    with tempfile.TemporaryDirectory() as folder:
        clock = HandClock(BEGIN)
        mapping = registry.mapping_for("sql")
        database = Database(SqlSettings(file=Path(folder) / "crm.sqlite3"), mapping, clock)
        installer = SqlInstaller(database)
        installer.install(installer.preview(), lambda _: None)
        fill(database, people, ticked)
        source = SqlSource(database)
        sink = SqlSink(source)

        def measure(name: str, work: Callable[[], object]) -> None:
            before, began = source.budget().calls_made, time.perf_counter()
            result = work()
            seconds, calls = time.perf_counter() - began, source.budget().calls_made - before
            print(f"{name:<44} {result!s:>8} {calls:>6} statements {seconds:8.2f} s")

        cursors: list[str | None] = [None]

        def pull() -> int:
            reading = read_all(source, cursors[-1])
            cursors.append(reading.cursor)
            return len(reading.records)

        print(f"{people} contacts, {ticked} in a sequence")
        measure("the first pull", pull)
        clock.move(BEGIN + timedelta(minutes=1))
        measure("an idle pull", pull)
        clock.move(BEGIN + timedelta(minutes=62))
        measure("a pull that sweeps", pull)
        refs = [RecordRef(kind=RecordKind.CONTACT, id=str(number)) for number in range(1, touched + 1)]
        paths = frozenset({"first_name", "owner.name"})
        measure(f"the last look of {touched}", lambda: len(source.look(refs, paths, cursors[-1], ["1"]).records))
        writes: list[Write] = [status_write(ref, f"s{ref.id}") for ref in refs]
        writes += [task_write(ref, f"{int(ref.id):032x}", f"t{ref.id}") for ref in refs]
        measure(
            f"{touched} statuses and {touched} touches",
            lambda: len([one for one in sink.write(writes) if not one.error]),
        )
        database.close()


if __name__ == "__main__":
    main(quick="--quick" in sys.argv[1:])
