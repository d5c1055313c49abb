"""crmdrip ledger, typed by a person; and every other command on a ledger that is on a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_places import Server
from office import Office, Shell

from crmdrip.ledger import runs
from crmdrip.ledger.store import Ledger


@pytest.fixture
def url(postgresql: Server) -> Iterator[str]:
    """An empty database."""
    name = postgresql.create()
    yield postgresql.url_of(name)
    postgresql.drop(name)


@pytest.fixture
def served(office: Office, url: str, monkeypatch: pytest.MonkeyPatch) -> Office:
    """An office whose ledger is on PostgreSQL, by an address in the environment."""
    monkeypatch.setenv("LEDGER_URL", url)
    with office.config.open("a", encoding="utf-8") as file:
        file.write('[ledger]\nurl = { env = "LEDGER_URL" }\n')
    return office


class TestOnAServer:
    """Nothing but the address in the configuration is different."""

    def test_an_email_goes_out_and_everything_can_be_looked_at(self, served: Office, crmdrip: Shell, url: str) -> None:
        """Each command once."""
        [person] = served.ticked()
        assert crmdrip("once").code == 0
        assert [email.to for email in served.sent()] == ["p0@firm0.example"]
        for command in (
            "status",
            "why p0@firm0.example",
            "plan --days 5",
            "retry",
            "pause",
            "resume",
            "export p0@firm0.example",
            f"preview Hello {person}",
        ):
            answer = crmdrip(*command.split())
            assert answer.code == 0, answer.err
        assert "p0@firm0.example" in crmdrip("plan", "--days", "5").out
        assert crmdrip("erase", "--yes", "p0@firm0.example").code == 0
        assert crmdrip("ledger", "info", "--json").json["rows"]["enrollment"] == 1
        ledger = Ledger(url)
        with ledger.read() as connection:
            assert runs.runs_of_address(connection, "p0@firm0.example") == []
        ledger.close()

    def test_no_ledger_yet_is_said(self, served: Office, crmdrip: Shell) -> None:
        """A database without tables."""
        answer = crmdrip("status")
        assert (answer.code, "there is no ledger yet" in answer.err) == (2, True)

    def test_the_doctor_looks_at_the_server(self, served: Office, crmdrip: Shell) -> None:
        """Before the first start, and after it."""
        assert "LEDGER-SERVER" in crmdrip("doctor").out
        crmdrip("once")
        found = crmdrip("doctor").out
        assert "no daemon is running on this ledger" in found
        assert "LEDGER-DURABLE" in found  # the tests' server waits for no disk


class TestInfo:
    """Where, how large, of which version."""

    def test_it_counts_every_table(self, office: Office, crmdrip: Shell) -> None:
        """As one JSON object."""
        office.ticked()
        crmdrip("once")
        told = crmdrip("ledger", "info", "--json").json
        assert (told["database"].partition(" ")[0], told["version"]) == ("SQLite", "0001")
        assert told["rows"]["touch"] == 1
        assert told["bytes"] >= office.ledger_file.stat().st_size

    def test_words_are_for_people(self, office: Office, crmdrip: Shell) -> None:
        """With the name of the file."""
        crmdrip("once")
        assert "crmdrip.sqlite3\nSQLite " in crmdrip("ledger", "info").out


class TestCopy:
    """From a file to a server and back."""

    def test_a_daemon_goes_on_where_the_other_ledger_stopped(
        self, office: Office, crmdrip: Shell, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """P1: nothing is sent once more."""
        office.ticked()
        crmdrip("once")
        monkeypatch.setenv("LEDGER_URL", url)
        answer = crmdrip("ledger", "copy", "config", "env:LEDGER_URL")
        assert answer.code == 0
        assert "read back and compared" in answer.err
        with office.config.open("a", encoding="utf-8") as file:
            file.write('[ledger]\nurl = { env = "LEDGER_URL" }\n')
        assert crmdrip("once").code == 0
        assert len(office.sent()) == 1
        back = office.folder / "back.sqlite3"
        assert crmdrip("ledger", "copy", "config", str(back)).code == 0
        assert back.exists()

    def test_a_ledger_at_work_is_not_copied(self, office: Office, crmdrip: Shell, tmp_path: Path) -> None:
        """What it sends meanwhile would be missing."""
        crmdrip("once")
        holder = Ledger(f"sqlite:///{office.ledger_file}")
        holder.lock()
        answer = crmdrip("ledger", "copy", "config", str(tmp_path / "copy.sqlite3"))
        holder.close()
        assert answer.code == 2
        assert "another daemon works on this ledger" in answer.err
        assert not (tmp_path / "copy.sqlite3").exists()

    def test_a_ledger_that_is_not_there_is_no_empty_one(self, office: Office, crmdrip: Shell, tmp_path: Path) -> None:
        """A typing error must not be copied."""
        answer = crmdrip("ledger", "copy", str(tmp_path / "tipo.sqlite3"), str(tmp_path / "copy.sqlite3"))
        assert (answer.code, "there is no ledger yet" in answer.err) == (2, True)
        assert list(tmp_path.glob("*.sqlite3")) == []

    def test_a_ledger_is_not_copied_onto_itself(self, office: Office, crmdrip: Shell) -> None:
        """By whatever name."""
        crmdrip("once")
        answer = crmdrip("ledger", "copy", "config", str(office.ledger_file))
        assert (answer.code, "the same ledger" in answer.err) == (2, True)

    def test_a_password_on_the_command_line_is_refused(self, office: Office, crmdrip: Shell) -> None:
        """Everybody on the machine could read it."""
        answer = crmdrip("ledger", "copy", "config", "postgresql://user:secret@host/db")
        assert (answer.code, "list of processes" in answer.err, "secret" in answer.err) == (2, True, False)


def test_a_backup_is_made_beside_a_daemon(office: Office, crmdrip: Shell, tmp_path: Path) -> None:
    """It can take the ledger's place as it is."""
    office.ticked()
    crmdrip("once")
    holder = Ledger(f"sqlite:///{office.ledger_file}")
    holder.lock()
    answer = crmdrip("ledger", "backup", str(tmp_path / "backup.sqlite3"))
    holder.close()
    assert (answer.code, "is backed up in" in answer.err) == (0, True)
    backup = Ledger(f"sqlite:///{tmp_path / 'backup.sqlite3'}")
    with backup.read() as connection:
        assert len(runs.runs_of_address(connection, "p0@firm0.example")) == 1
    backup.close()
