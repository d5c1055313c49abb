"""A ledger moves between databases whole, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from filled import dump, fill
from ledger_places import Server
from ledger_values import run, touch
from sqlalchemy import text

from crmdrip.core.errors import RejectedError
from crmdrip.core.model import TouchState
from crmdrip.ledger import copying, marks, runs, touches
from crmdrip.ledger.copying import back_up, copy_ledger
from crmdrip.ledger.errors import LedgerBrokenError
from crmdrip.ledger.store import Ledger, open_ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger of its own to copy into."""
    if request.param == "sqlite":
        ledger = open_ledger(f"sqlite:///{tmp_path / 'target.sqlite3'}")
        yield ledger
        ledger.close()
        return
    server: Server = request.getfixturevalue("postgresql")
    name = server.create_blank()
    ledger = open_ledger(server.url_of(name))
    yield ledger
    ledger.close()
    server.drop(name)


def content(ledger: Ledger) -> dict[str, list[str]]:
    """Every row of every table, in an order of its own."""
    with ledger.read() as connection:
        return {table: sorted(map(repr, rows)) for table, rows in dump(connection).items()}


class TestCopies:
    """From either database to either."""

    def test_every_row_of_every_table_comes_along(self, any_ledger: Ledger, target: Ledger) -> None:
        """None is left out, and none is changed."""
        fill(any_ledger)
        copy_ledger(any_ledger, target)
        assert content(target) == content(any_ledger)
        assert all(rows for table, rows in content(target).items() if table != "suppression")

    def test_the_copy_goes_on_numbering(self, any_ledger: Ledger, target: Ledger) -> None:
        """The next run gets a number of its own, and its touch the guard of P1."""
        fill(any_ledger)
        copy_ledger(any_ledger, target)
        with target.write() as connection:
            runs.add_runs(connection, [run(9)])
            [added] = runs.runs_of_address(connection, "p9@example.com")
            touches.intend(connection, [touch(added.id, step_id="first")])
            assert added.id not in {1, 2, 3}
        with pytest.raises(LedgerBrokenError), target.write() as connection:
            touches.intend(connection, [touch(1)])

    def test_each_table_is_told_of_as_it_grows(self, ledger: Ledger, target: Ledger) -> None:
        """Whoever waits sees how far it is."""
        with ledger.write() as connection:
            runs.add_runs(connection, [run(number) for number in range(1, copying.TOGETHER + 2)])
        told: list[int] = []
        copy_ledger(ledger, target, lambda one: told.append(one.rows) if one.table == "enrollment" else None)
        assert told == [0, copying.TOGETHER, copying.TOGETHER + 1]

    def test_what_an_email_held_that_postgresql_cannot_comes_along_changed(
        self, ledger: Ledger, target: Ledger
    ) -> None:
        """B27: a NUL in a subject keeps nobody from moving."""
        with ledger.write() as connection:
            runs.add_runs(connection, [run()])
            touches.add_touches(connection, [touch(subject="a\0b", state=TouchState.ACCEPTED)])
        copy_ledger(ledger, target)
        with target.read() as connection:
            assert [one.subject for one in touches.touches_in_full(connection, [1])] == ["a\ufffdb"]


class TestRefusals:
    """What would lose or mix up something is not done."""

    def test_a_ledger_that_holds_something_is_not_copied_over(self, ledger: Ledger, target: Ledger) -> None:
        """One mark is enough."""
        fill(ledger)
        with target.write() as connection:
            marks.set_mark(connection, "a", "b")
        before = content(target)
        with pytest.raises(RejectedError, match="not empty"):
            copy_ledger(ledger, target)
        assert content(target) == before

    def test_a_copy_that_breaks_off_leaves_nothing(
        self, any_ledger: Ledger, target: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It can simply be tried again."""
        fill(any_ledger)

        def break_off(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(copying, "_go_on_numbering", break_off)
        with pytest.raises(ZeroDivisionError):
            copy_ledger(any_ledger, target)
        assert not any(content(target).values())

    def test_a_row_that_changed_on_its_way_undoes_the_copy(
        self, ledger: Ledger, target: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What came is read back; the same number of rows is not enough."""
        fill(ledger)
        store = copying._store

        def store_wrongly(connection: object, table: object, rows: list[tuple[object, ...]]) -> None:
            store(connection, table, [("x", *row[1:]) if row[0] == "org_id" else row for row in rows])

        monkeypatch.setattr(copying, "_store", store_wrongly)
        with pytest.raises(LedgerBrokenError, match="'meta' is not what was sent"):
            copy_ledger(ledger, target)
        assert not any(content(target).values())


class TestBackups:
    """A file, whatever database the ledger is on."""

    def test_a_backup_is_a_ledger(self, any_ledger: Ledger, tmp_path: Path) -> None:
        """It can be opened as it is."""
        fill(any_ledger)
        back_up(any_ledger, tmp_path / "backup.sqlite3")
        opened = open_ledger(f"sqlite:///{tmp_path / 'backup.sqlite3'}")
        assert content(opened) == content(any_ledger)
        opened.close()

    def test_a_backup_shows_one_moment(self, any_ledger: Ledger, tmp_path: Path) -> None:
        """What is being written meanwhile is not in it, and does not wait for it."""
        fill(any_ledger)
        before = content(any_ledger)
        with any_ledger.write() as connection:
            marks.set_mark(connection, "later", "1")
            back_up(any_ledger, tmp_path / "backup.sqlite3")
        opened = open_ledger(f"sqlite:///{tmp_path / 'backup.sqlite3'}")
        assert content(opened) == before
        opened.close()

    def test_a_file_that_is_there_is_not_written_over(self, ledger: Ledger, tmp_path: Path) -> None:
        """It may be the only older backup."""
        (tmp_path / "kept").write_text("kept")
        with pytest.raises(RejectedError, match="such a file already"):
            back_up(ledger, tmp_path / "kept")
        assert (tmp_path / "kept").read_text() == "kept"

    def test_half_a_backup_has_no_name(
        self, any_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What broke off cannot be taken for a backup, and leaves no file behind."""
        fill(any_ledger)

        def break_off(*_: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(copying, "_require_same", break_off)
        monkeypatch.setattr(copying, "_back_up_file", break_off)
        before = set(tmp_path.iterdir())
        with pytest.raises(sqlite3.OperationalError):
            back_up(any_ledger, tmp_path / "backup.sqlite3")
        assert set(tmp_path.iterdir()) == before

    def test_the_size_counts_rows_and_indexes(self, any_ledger: Ledger) -> None:
        """A thousand runs take more than none."""
        before = copying.size(any_ledger)
        with any_ledger.write() as connection:
            runs.add_runs(connection, [run(number) for number in range(1, 1001)])
            connection.execute(text("SELECT 1"))
        assert copying.size(any_ledger) > before
