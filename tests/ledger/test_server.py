"""What a ledger on PostgreSQL does that a file does not: locks that go with a connection, writers on many machines."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import psycopg
import pytest
from ledger_places import Server
from ledger_values import NOW, run, signal, touch
from sqlalchemy.exc import OperationalError

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.model import RunStatus, TouchState
from crmdrip.ledger import engines, erasure, marks, people, runs, touches
from crmdrip.ledger.errors import LedgerBrokenError, LedgerBusyError, LedgerTakenError, explain
from crmdrip.ledger.store import Ledger, open_ledger

HOLD = """
import sys
from crmdrip.ledger.store import Ledger
ledger = Ledger(sys.argv[1])
ledger.lock()
ledger.migrate()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the ledger's lock."""
    command = [sys.executable, "-c", HOLD, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


@pytest.fixture
def ours(url: str) -> Iterator[Ledger]:
    """The ledger, not locked."""
    ledger = open_ledger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def other(url: str, ours: Ledger) -> Iterator[Ledger]:
    """The same ledger as another daemon sees it."""
    ledger = Ledger(url)
    yield ledger
    ledger.close()


def start(ledger: Ledger) -> None:
    """As a daemon does."""
    ledger.lock()
    ledger.migrate()


def cut(server: Server, url: str) -> None:
    """Every connection to the ledger breaks."""
    name = url.partition("?")[0].rpartition("/")[2]
    server.do(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608 - a name of our own


class TestLock:
    """One daemon per ledger (B3)."""

    def test_a_second_daemon_is_refused_and_told_who_is_there(self, holder: subprocess.Popen[str], url: str) -> None:
        """By process and machine, and what to do."""
        ledger = Ledger(url)
        with pytest.raises(LedgerBusyError, match=f"process {holder.pid} on ") as caught:
            ledger.lock()
        assert "Stop that one first" in caught.value.do_next
        ledger.close()

    def test_the_lock_dies_with_its_process(self, holder: subprocess.Popen[str], url: str) -> None:
        """Nothing is left for anybody to delete by hand."""
        holder.kill()
        holder.wait()
        ledger = Ledger(url)
        start(ledger)
        ledger.close()

    def test_commands_read_and_write_beside_a_daemon(self, holder: subprocess.Popen[str], ours: Ledger) -> None:
        """Such as crmdrip pause."""
        with ours.write() as connection:
            marks.set_mark(connection, "paused", "1")
        with ours.read() as connection:
            assert marks.read_mark(connection, "paused") == "1"

    def test_a_lock_that_was_cut_is_taken_again_before_the_next_batch(
        self, ours: Ledger, other: Ledger, postgresql: Server
    ) -> None:
        """B30: the server was started anew, and nobody came in between."""
        start(ours)
        cut(postgresql, ours.url)
        ours.require_room()
        with pytest.raises(LedgerBusyError):
            other.lock()
        with ours.write() as connection:
            marks.set_mark(connection, "a", "b")

    def test_who_was_cut_off_and_replaced_writes_nothing_more(
        self, ours: Ledger, other: Ledger, postgresql: Server
    ) -> None:
        """B3, P1: it does not know yet that its lock is gone, and commits no intent."""
        start(ours)
        with ours.write() as connection:
            runs.add_runs(connection, [run()])
        cut(postgresql, ours.url)
        start(other)
        with pytest.raises(LedgerTakenError, match="taken this ledger over"), ours.write() as connection:
            touches.intend(connection, [touch()])
        with pytest.raises(LedgerBusyError):
            ours.require_room()
        with other.read() as connection:
            assert touches.touches_in_full(connection, [1]) == []

    def test_who_was_replaced_stays_so_once_the_other_has_gone(
        self, ours: Ledger, other: Ledger, postgresql: Server
    ) -> None:
        """P1: what the other sent is unknown to it."""
        start(ours)
        cut(postgresql, ours.url)
        start(other)
        other.close()
        with pytest.raises(LedgerTakenError), ours.write():
            pass

    def test_an_orderly_end_leaves_no_trace(self, ours: Ledger, other: Ledger) -> None:
        """The next one begins at once."""
        start(ours)
        ours.close()
        start(other)
        with other.write() as connection:
            marks.set_mark(connection, "a", "b")


class TestWriters:
    """Transactions that write take turns, whichever process and machine they are of."""

    def test_what_a_writer_reads_is_still_true_when_it_commits(self, ours: Ledger, other: Ledger) -> None:
        """Caps count right: two hundred times one more, from two places at once."""

        def count_up(ledger: Ledger) -> None:
            for _ in range(100):
                with ledger.write() as connection:
                    before = int(marks.read_mark(connection, "n") or 0)
                    marks.set_mark(connection, "n", str(before + 1))

        threads = [threading.Thread(target=count_up, args=(ledger,)) for ledger in (ours, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with ours.read() as connection:
            assert marks.read_mark(connection, "n") == "200"

    def test_a_reader_sees_one_moment(self, ours: Ledger, other: Ledger) -> None:
        """What is committed between two of its statements is not in the second."""
        with ours.read() as connection:
            assert marks.read_mark(connection, "a") is None
            with other.write() as writer:
                marks.set_mark(writer, "a", "b")
            assert marks.read_mark(connection, "a") is None

    def test_a_frozen_writer_holds_the_others_up_for_a_while_only(
        self, url: str, ours: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A machine that stopped in the middle: the server undoes what it had begun."""
        monkeypatch.setitem(engines._SETTINGS, "idle_in_transaction_session_timeout", "100ms")
        frozen = Ledger(url)

        def freeze() -> None:
            with frozen.write() as connection:
                marks.set_mark(connection, "a", "frozen")
                with ours.write() as free:
                    marks.set_mark(free, "a", "free")
                marks.set_mark(connection, "b", "frozen")

        with pytest.raises(LedgerBrokenError):
            freeze()
        frozen.close()
        with ours.read() as connection:
            assert marks.read_marks(connection, "") == {"a": "free"}

    def test_who_waits_too_long_is_told(self, url: str, ours: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        """Rather than waiting for ever with an email to send."""
        monkeypatch.setitem(engines._SETTINGS, "lock_timeout", "100ms")
        hasty = Ledger(url)
        with ours.write(), pytest.raises(LedgerBrokenError, match="keeps it from being written"), hasty.write():
            pass
        hasty.close()

    def test_a_commit_is_on_the_servers_disk(self, url: str, ours: Ledger, postgresql: Server) -> None:
        """Whatever the server does by itself."""
        postgresql.do(f'ALTER DATABASE "{url.partition("?")[0].rpartition("/")[2]}" SET synchronous_commit = off')
        fresh = Ledger(url)
        with fresh.write() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        fresh.close()


class TestHostileText:
    """B27: what PostgreSQL cannot hold does not stop the daemon."""

    def test_the_character_nul_becomes_the_sign_of_what_cannot_be_shown(self, ours: Ledger) -> None:
        """In rows stored one by one, in bulk, and in what is looked for."""
        with ours.write() as connection:
            runs.add_runs(connection, [run()])
            touches.intend(connection, [touch(subject="a\0b")])
            people.add_signals(connection, [signal(detail="c\0d", address="e\0@example.com")], NOW)
            assert [one.subject for one in touches.touches_in_full(connection, [1])] == ["a\ufffdb"]
            [found] = people.signals_about(connection, [], ["e\0@example.com"])[1].values()
        assert [one.detail for one in found] == ["c\ufffdd"]

    def test_a_text_may_be_longer_than_anybody_expects(self, ours: Ledger) -> None:
        """As in an SQLite file: nothing is cut off, and nothing is refused."""
        long = f"{'x' * 2000}@example.com"
        with ours.write() as connection:
            runs.add_runs(connection, [run(address=long)])
            assert [one.address for one in runs.runs_of_address(connection, long)] == [long]


class TestErasure:
    """What was erased is not left in what PostgreSQL keeps of old rows."""

    def test_the_tables_files_do_not_name_the_person_any_more(self, ours: Ledger, postgresql: Server) -> None:
        """Deleted and changed rows stay in a table's file until it is written anew."""
        with ours.write() as connection:
            runs.add_runs(connection, [run(number, status=RunStatus.STOPPED) for number in (1, 2)], ended_at=NOW)
            touches.add_touches(connection, [touch(state=TouchState.ACCEPTED, address="p1@example.com")])
            people.add_signals(connection, [signal()], NOW)
        with ours.write() as connection:
            erasure.erase(connection, erasure.find_traces(connection, ["p1@example.com"], []))
        erasure.scrub(ours)
        with ours.read() as connection:
            names = ("enrollment", "touch", "signal", "record", "mail", "outbox", "forward", "received", "engagement")
            files = [
                connection.exec_driver_sql(f"SELECT pg_read_binary_file(pg_relation_filepath('{name}'))").scalar_one()
                for name in names
            ]
        assert not any(b"p1@example.com" in bytes(file) for file in files)
        assert any(b"p2@example.com" in bytes(file) for file in files)


class TestWords:
    """B30: what is wrong is said in words, with what to do."""

    @pytest.mark.parametrize(
        ("error", "what", "do_next"),
        [
            (psycopg.errors.DiskFull("could not extend file"), "disk is full", "Free some space"),
            (psycopg.errors.TooManyConnections("sorry"), "no further connections", "max_connections"),
            (psycopg.errors.AdminShutdown("terminating"), "stopped or started", "by itself"),
            (psycopg.errors.ReadOnlySqlTransaction("cannot"), "standby", "primary"),
            (psycopg.errors.InsufficientPrivilege("denied"), "may not do this", "owner"),
            (psycopg.errors.DataCorrupted("invalid page"), "damaged", "backup"),
            (psycopg.OperationalError('FATAL:  database "x" does not exist'), "no such database", "CREATE DATABASE"),
            (psycopg.OperationalError("FATAL:  password authentication failed"), "refuses the user", "url"),
            (psycopg.OperationalError("connection refused"), "cannot be reached", "Check that it runs"),
        ],
    )
    def test_an_error_of_the_server_is_explained(self, error: psycopg.Error, what: str, do_next: str) -> None:
        """By the server's own code, where it gives one."""
        told = explain(OperationalError("SELECT", {}, error), "place")
        assert what in told.what
        assert do_next in told.do_next

    def test_a_server_that_is_not_there_is_named_without_the_password(self) -> None:
        """The address is shown, so that a typing error can be seen."""
        ledger = Ledger("postgresql://user:secret@127.0.0.1:1/ledger")
        with pytest.raises(LedgerBrokenError, match="cannot be reached") as caught, ledger.read():
            pass
        assert "secret" not in str(caught.value)
        assert "user:***@127.0.0.1:1/ledger" in str(caught.value)

    def test_a_missing_driver_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It comes as an extra."""
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(ConfigurationError, match="psycopg") as caught:
            Ledger("postgresql://user@host/ledger")
        assert 'pip install "crmdrip[postgres]"' in caught.value.do_next

    @pytest.mark.parametrize("url", ["mysql://user:secret@host/ledger", "nonsense secret"])
    def test_an_address_of_something_else_is_refused_unseen(self, url: str) -> None:
        """It may hold a password, and is not shown."""
        with pytest.raises(ConfigurationError, match="no address of a ledger") as caught:
            Ledger(url)
        assert "secret" not in str(caught.value)
