"""Opening, locking, and what is said when the file cannot be used (B3, B30)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from ledger_values import NOW, run
from sqlalchemy import text
from sqlalchemy.exc import StatementError

from crmdrip.core.caps import CapScope, counter_at
from crmdrip.ledger import marks, runs, store, tallies
from crmdrip.ledger.errors import LedgerBrokenError, LedgerBusyError, explain
from crmdrip.ledger.store import open_ledger

HOLD = """
import sys
from crmdrip.ledger.store import open_ledger
ledger = open_ledger(sys.argv[1])
ledger.lock()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(path):
    """Another process that holds the ledger's lock."""
    command = [sys.executable, "-c", HOLD, f"sqlite:///{path}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


class TestLock:
    """One daemon per ledger."""

    def test_a_second_daemon_is_refused_and_told_who_is_there(self, ledger, holder):
        """B3: with the holder's process number, and what to do."""
        with pytest.raises(LedgerBusyError, match=f"process {holder.pid}") as caught:
            ledger.lock()
        assert "Stop that one first" in caught.value.do_next

    def test_the_lock_dies_with_its_process(self, ledger, holder):
        """B3: no lock file is left for anybody to delete by hand."""
        holder.kill()
        holder.wait()
        ledger.lock()

    def test_commands_read_while_a_daemon_holds_the_lock(self, ledger, holder):
        """Looking is allowed."""
        with ledger.read() as connection:
            assert marks.read_mark(connection, "anything") is None

    @pytest.mark.parametrize("replaced", [False, True])
    def test_a_file_that_was_taken_away_under_the_daemon_is_written_no_more(self, ledger, path, replaced):
        """B3, P1: another daemon may be at work on the file in its place, and knows nothing of ours."""
        ledger.lock()
        path.unlink()
        if replaced:
            open_ledger(f"sqlite:///{path}").close()
        with (
            pytest.raises(LedgerBrokenError, match=r"moved, deleted or replaced.*Start the daemon again"),
            ledger.write(),
        ):
            pass

    def test_the_lock_is_given_back(self, ledger, path):
        """A daemon that ended in order leaves the ledger free."""
        ledger.lock()
        ledger.close()
        again = open_ledger(f"sqlite:///{path}")
        again.lock()
        again.close()


class TestTrouble:
    """B30: it is said what is wrong, and nothing is changed."""

    def test_a_file_that_is_no_database_is_named(self, tmp_path):
        """Some other file stands there."""
        path = tmp_path / "notes.txt"
        path.write_text("Not a database, and longer than a header. " * 50)
        with pytest.raises(LedgerBrokenError, match="no ledger"):
            open_ledger(f"sqlite:///{path}")
        assert path.read_text().startswith("Not a database")

    def test_a_folder_that_does_not_exist_is_named(self, tmp_path):
        """The url is mistyped."""
        with pytest.raises(LedgerBrokenError, match="cannot be opened"):
            open_ledger(f"sqlite:///{tmp_path}/missing/ledger.sqlite3")

    def test_a_read_only_file_refuses_to_be_written(self, ledger, path):
        """A volume mounted read-only; root writes through permissions, so SQLite itself is told."""
        ledger.close()
        closed = store.Ledger(f"sqlite:///file:{path}?mode=ro&uri=true")
        with pytest.raises(LedgerBrokenError, match="read-only"), closed.write() as connection:
            marks.set_mark(connection, "a", "b")
        closed.close()

    def test_a_full_disk_loses_nothing_that_stood(self, ledger):
        """The transaction that found no room is as if it had never been; what was before can be read."""
        with ledger.write() as connection:
            runs.add_runs(connection, [run()])

        def fill_up() -> None:
            with ledger.write() as connection:
                pages = connection.execute(text("PRAGMA page_count")).scalar_one()
                connection.execute(text(f"PRAGMA max_page_count = {pages}"))
                runs.add_runs(connection, [run(number) for number in range(2, 5000)])

        with pytest.raises(LedgerBrokenError, match="disk is full") as caught:
            fill_up()
        assert "Free some space" in caught.value.do_next
        with ledger.read() as connection:
            assert list(runs.lock_runs(connection, range(1, 5000))) == [1]

    def test_a_damaged_file_is_named(self, ledger, path):
        """Somebody wrote into the middle of it."""
        with ledger.write() as connection:
            runs.add_runs(connection, [run(number) for number in range(1, 2000)])
        with ledger.read() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        ledger.close()
        with path.open("r+b") as file:
            file.seek(4096 * 3)
            file.write(os.urandom(4096 * 60))
        damaged = store.Ledger(f"sqlite:///{path}")
        with pytest.raises(LedgerBrokenError, match="damaged"), damaged.read() as connection:
            runs.live_runs_of_records(connection, [run(number).ref.id for number in range(1, 2000)])
        damaged.close()

    def test_no_room_is_said_before_anything_is_sent(self, ledger, monkeypatch):
        """The daemon asks before it claims."""
        ledger.require_room()
        monkeypatch.setattr(store, "ROOM", 1 << 62)
        with pytest.raises(LedgerBrokenError, match="nearly full"):
            ledger.require_room()


class TestTransactions:
    """All or nothing."""

    def test_an_error_leaves_nothing_of_the_transaction(self, ledger):
        """Whatever raised."""

        def break_off() -> None:
            with ledger.write() as connection:
                marks.set_mark(connection, "a", "b")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            break_off()
        with ledger.read() as connection:
            assert marks.read_mark(connection, "a") is None

    def test_a_naive_time_is_refused(self, ledger):
        """B29: a time without a zone would be read back as another instant elsewhere."""
        with pytest.raises((ValueError, StatementError), match="without a zone"), ledger.write() as connection:
            runs.add_runs(connection, [run(due_at=datetime(2026, 1, 1))])  # noqa: DTZ001 - the very mistake

    def test_any_zone_comes_back_as_utc(self, ledger):
        """B29: the instant counts."""
        tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
        with ledger.write() as connection:
            runs.add_runs(connection, [run(due_at=tokyo)])
            found = runs.lock_runs(connection, [1])[1].due_at
        assert found == NOW
        assert found.utcoffset() == timedelta()


class TestTallies:
    """Counters for caps and figures."""

    def test_counters_add_up_and_down(self, ledger):
        """A refused touch gives its place back."""
        counter = counter_at(CapScope.SENDER_DAY, "rep@example.com", NOW)
        with ledger.write() as connection:
            tallies.add(connection, {counter: 5})
            tallies.add(connection, {counter: -2})
            assert tallies.counts(connection, [counter]) == {counter: 3}

    def test_periods_and_scopes_are_counted_apart(self, ledger):
        """Yesterday's emails do not fill today's cap."""
        today = counter_at(CapScope.SENDER_DAY, "a", NOW)
        yesterday = counter_at(CapScope.SENDER_DAY, "a", NOW - timedelta(days=1))
        hour = counter_at(CapScope.DOMAIN_HOUR, "a", NOW)
        with ledger.write() as connection:
            tallies.add(connection, {today: 1, yesterday: 2, hour: 4})
            assert tallies.counts(connection, [today, yesterday, hour]) == {today: 1, yesterday: 2, hour: 4}

    def test_old_periods_are_forgotten_and_totals_stay(self, ledger):
        """The ledger does not grow with every hour."""
        old = counter_at(CapScope.DOMAIN_HOUR, "a", NOW - timedelta(days=9))
        with ledger.write() as connection:
            tallies.add(connection, {old: 1})
            tallies.add_totals(connection, {("seq", "sent"): 7})
            tallies.forget_before(connection, NOW - timedelta(days=3))
            assert tallies.counts(connection, [old]) == {}
            assert tallies.totals(connection, ["seq"]) == {"seq": {"sent": 7}}


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such permissions")
def test_a_ledger_is_readable_by_its_user_alone(tmp_path: Path) -> None:
    """It holds people's addresses; its journals too."""
    file = tmp_path / "private.sqlite3"
    ledger = open_ledger(f"sqlite:///{file}")
    with ledger.read() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM enrollment")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if "sqlite3" in path.name}
    ledger.close()
    assert modes["private.sqlite3"] == 0o600
    assert {mode for name, mode in modes.items() if not name.endswith("lock")} == {0o600}


def test_another_process_that_looks_and_leaves_takes_nothing_away(tmp_path: Path) -> None:
    """P1: a daemon opens connections while it works; a command beside it must not believe the ledger unused."""
    file = tmp_path / "shared.sqlite3"
    look = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM meta'); c.close()"
    ledger = open_ledger(f"sqlite:///{file}")
    with ledger.read(), ledger.read():  # two at a time: the pool opens a second connection beside the first
        pass
    subprocess.run([sys.executable, "-c", look, file], check=True)
    with ledger.write() as connection:
        marks.set_mark(connection, marks.BRAKE, "Ann")
    journal = tmp_path / "shared.sqlite3-wal"
    assert journal.exists(), "the journal was deleted under an open ledger: what is written from now on is lost"
    ledger.close()
    again = open_ledger(f"sqlite:///{file}")
    with again.read() as connection:
        assert marks.read_mark(connection, marks.BRAKE) == "Ann"
    again.close()


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.EROFS, "the disk is read-only"),
        (errno.EACCES, "the file cannot be opened"),
        (errno.ENOENT, "its folder does not exist"),
    ],
)
def test_a_place_where_no_file_can_be_made_is_told_in_plain_words(number: int, what: str) -> None:
    """B30: the lock is the first file that is made, and the system says why it cannot be."""
    told = explain(OSError(number, os.strerror(number)), "ledger.sqlite3.lock")
    assert told.what.startswith(what)
    assert told.do_next
