"""Every ledger there ever was is read on: from each version's dump to the newest, on both databases."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from filled import DUMPS, STEP, WRITES, load
from ledger_values import NOW, contact
from sqlalchemy import func, select, text

from crmdrip.core.model import TouchState
from crmdrip.ledger import copying, definitions, engagements, forwards, mails, outbox, people, received, runs, touches
from crmdrip.ledger.errors import LedgerBrokenError, LedgerNewerError
from crmdrip.ledger.migrate import upgrade, versions
from crmdrip.ledger.schema import metadata
from crmdrip.ledger.store import HEAD, Ledger, open_ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def nothing(request: pytest.FixtureRequest, path: Path) -> Iterator[Ledger]:
    """A database without tables."""
    ledger = Ledger(f"sqlite:///{path}" if request.param == "sqlite" else request.getfixturevalue("url"))
    yield ledger
    ledger.close()


def read_dump(version: str) -> dict[str, list[dict[str, Any]]]:
    """What a ledger of that version held."""
    found: dict[str, list[dict[str, Any]]] = json.loads((DUMPS / f"{version}.json").read_text(encoding="utf-8"))
    return found


def test_every_version_has_a_dump() -> None:
    """Whoever adds a migration stores what the version before it wrote, and what the new one writes (filled.py)."""
    assert {file.stem for file in DUMPS.glob("*.json")} == set(versions())


@pytest.mark.parametrize("version", versions())
class TestEarlierLedgers:
    """A ledger of each version, with something in every table, opened by the present program."""

    @pytest.fixture
    def opened(self, nothing: Ledger, version: str) -> Ledger:
        """The ledger as that version left it, brought up to date."""
        upgrade(nothing.engine, nothing.where, version)
        load(nothing.engine, read_dump(version))
        nothing.migrate()
        return nothing

    def test_its_schema_is_the_present_one(self, opened: Ledger) -> None:
        """As if it had been made today."""
        with opened.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    def test_no_row_is_lost(self, opened: Ledger, version: str) -> None:
        """Of those tables that there still are."""
        dumped = read_dump(version)
        with opened.read() as connection:
            for table in copying.tables():
                if table.name in dumped:
                    assert connection.execute(select(func.count()).select_from(table)).scalar() == len(
                        dumped[table.name]
                    ), table.name

    def test_runs_and_touches_are_what_they_were(self, opened: Ledger) -> None:
        """P1: what went out, and what may have gone out, stays known."""
        with opened.write() as connection:
            assert set(runs.lock_runs(connection, [1, 2, 3])) == {1, 2, 3}
            assert runs.live_runs_of_records(connection, [contact(1).id])[contact(1).id].thread == ("<1@example.com>",)
            assert [one.state for one in touches.touches_in_full(connection, [1, 2, 3])] == [
                TouchState.ACCEPTED,
                TouchState.IN_DOUBT,
                TouchState.NEEDS_PERSON,
            ]

    def test_its_triggers_still_refuse(self, opened: Ledger) -> None:
        """P1: a migration that made the table anew would have dropped them."""
        with pytest.raises(LedgerBrokenError, match="illegal move"), opened.write() as connection:
            connection.execute(text("UPDATE touch SET state = 'intended' WHERE state = 'accepted'"))
        with pytest.raises(LedgerBrokenError, match="never deleted"), opened.write() as connection:
            connection.execute(text("DELETE FROM touch"))

    def test_everything_kept_as_bytes_is_understood(self, opened: Ledger) -> None:
        """Write-backs of each kind, definitions, deliveries, answers on their way."""
        with opened.write() as connection:
            owed = {one.write.key: one.write for one in outbox.due(connection, NOW, 100)}
            known = definitions.load_sequences(connection)
            assert known["seq"].good is not None
            assert known["seq"].good.steps == (STEP,)
            assert len(received.claim(connection, NOW, 10)) == 2
            assert [one.message.to_address for one in forwards.claim(connection, NOW, 10)] != []
            assert mails.is_known(connection, "m" * 32)
            assert engagements.first_heard(connection, [f"{1:032x}"]) == {f"{1:032x}": NOW}
            assert len(people.known_records(connection, [contact(n).id for n in (1, 2, 3)])) == 3
        for write in WRITES:
            assert owed[write.key] == write


class TestOthers:
    """Ledgers that this program must not touch."""

    def test_a_newer_ledger_is_left_alone(self, nothing: Ledger) -> None:
        """Whoever goes back to an older program is told, and what to do."""
        nothing.migrate()
        with nothing.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(LedgerNewerError, match=f"version 9999.*none newer than {HEAD}") as caught:
            nothing.migrate()
        assert "pip install --upgrade crmdrip" in caught.value.do_next
        assert nothing.version() == "9999"

    def test_the_database_of_another_program_is_left_alone(self, nothing: Ledger) -> None:
        """It counts its versions in a table of the same name."""
        with nothing.write() as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('abc')"))
        with pytest.raises(LedgerBrokenError, match="another program"):
            nothing.migrate()

    def test_a_migration_that_breaks_off_leaves_what_was_there(
        self, nothing: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next start begins with it anew."""
        run = command.upgrade

        def break_off(*args: Any) -> None:
            run(*args)
            raise ZeroDivisionError

        monkeypatch.setattr(command, "upgrade", break_off)
        with pytest.raises(ZeroDivisionError):
            nothing.migrate()
        assert nothing.version() is None

    def test_two_that_start_together_make_one_ledger(self, nothing: Ledger) -> None:
        """Neither is in the other's way."""
        program = "import sys; from crmdrip.ledger.store import open_ledger; open_ledger(sys.argv[1]).close()"
        started = [subprocess.Popen([sys.executable, "-c", program, nothing.url]) for _ in range(2)]
        assert [process.wait() for process in started] == [0, 0]
        assert nothing.version() == HEAD
        open_ledger(nothing.url).close()
