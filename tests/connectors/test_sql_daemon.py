"""The daemon on a CRM in a database: what docs/sql.md says to type becomes emails on time and touches in the table."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crmdrip.assembly import assemble, connect_crm
from crmdrip.config import load
from crmdrip.core.errors import ConfigurationError
from crmdrip.daemon import passes
from crmdrip.ledger.store import open_ledger
from crmdrip.ports import CheckLevel
from crmdrip.sandbox.control import Sandbox
from crmdrip.sandbox.world import Habits

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
MONDAY = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def block(language: str, number: int = 0) -> str:
    """A block of the page, as it stands there."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[number]


class Office:
    """A file, a mail account, and the daemon between them, as the page says."""

    def __init__(self, folder: Path, blank: Path) -> None:
        self.folder, self.blank = folder, blank
        quiet = Habits(**{spec.name: 0.0 for spec in fields(Habits)})
        self.sandbox = Sandbox(people=0, seed=1, now=MONDAY, habits=quiet)

    def __enter__(self):
        self.sandbox.__enter__()
        text = block("toml").replace("http://127.0.0.1:8182", self.sandbox.sendgrid_url)
        (self.folder / "config.toml").write_text(text, encoding="utf-8")
        self.settings = load(self.folder / "config.toml")
        self.crm = connect_crm(self.settings, self)
        installer = self.crm.connector.build_installer(self.crm.context)
        installer.install(installer.preview(), lambda _: None)
        shutil.copy(self.blank, self.folder / "crmdrip.sqlite3")
        return self

    def __exit__(self, *exc: object) -> None:
        self.sandbox.__exit__(*exc)

    def now(self) -> datetime:
        """The sandbox's time."""
        return self.sandbox.clock()

    def type(self, statements: str) -> None:
        """Somebody types SQL into the file."""
        with closing(sqlite3.connect(self.folder / "crm.sqlite3", timeout=5)) as connection:
            connection.executescript(statements)

    def ask(self, query: str) -> list[tuple]:
        """Somebody looks."""
        with closing(sqlite3.connect(self.folder / "crm.sqlite3", timeout=5)) as connection:
            return connection.execute(query).fetchall()

    def play(self, **by: float) -> None:
        """A process that begins, works through that time in passes four hours apart, and ends."""
        end = self.now() + timedelta(**by)
        with assemble(self.settings, self, exclusive=True) as parts:
            passes.prepare(parts)
            while self.now() < end:
                self.sandbox.set_time(self.now() + timedelta(hours=4))
                passes.run_all(parts)

    def lose_ledger(self) -> None:
        """Its file is gone."""
        for file in self.folder.glob("crmdrip.sqlite3*"):
            file.unlink()
        shutil.copy(self.blank, self.folder / "crmdrip.sqlite3")

    def sent(self) -> list[str]:
        """The subjects that the provider accepted, in order."""
        return [one.subject for one in self.sandbox.call(lambda: list(self.sandbox.account.accepted))]


@pytest.fixture(scope="module")
def blank_ledger(tmp_path_factory):
    """A ledger with tables and nothing in them: Alembic runs once for all tests."""
    file = tmp_path_factory.mktemp("blank") / "blank.sqlite3"
    open_ledger(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def office(tmp_path, blank_ledger):
    """A Monday at nine, with what the page says to type."""
    with Office(tmp_path, blank_ledger) as office:
        office.type(block("sql"))
        yield office


def test_the_page_s_example_runs(office):
    """P3: both emails go out two days apart, stand among the touches, and the row says that it is finished."""
    office.play(days=5)
    assert office.sent() == ["A question about Firm", "Once more"]
    assert office.ask("SELECT drip_status, drip_step, drip_enrolled FROM contacts") == [("Finished", "2 of 2", 0)]
    touches = office.ask("SELECT contact_id, kind, subject, outcome FROM drip_touches")
    assert touches == [(1, "email", "A question about Firm", "Sent"), (1, "email", "Once more", "Sent")]
    ((sent, error),) = office.ask("SELECT sent_count, error FROM drip_sequences")
    assert (sent, error) == (2, "")


def test_what_the_page_says_to_ask_can_be_asked(office):
    """The reason and the next date stand on the row in between."""
    office.play(hours=4)
    look, touches = (one.strip() for one in block("sql", 1).split(";")[:2])
    ((status, reason, step, following),) = office.ask(look)
    assert (status, step) == ("Active", "2 of 2")
    assert reason
    assert following > "2026-11-03"
    assert [row[1:] for row in office.ask(touches)] == [("A question about Firm", "Sent")]


@pytest.mark.parametrize("column", ["opted_out = 1", "drip_enrolled = 0"])
def test_whoever_opts_out_or_is_unticked_gets_no_second_email(office, column):
    """P2, B9, B22: by an UPDATE that tells no time of change."""
    office.play(hours=4)
    office.type(f"UPDATE contacts SET {column}")  # noqa: S608 - one of the two above
    office.play(days=4)
    assert office.sent() == ["A question about Firm"]
    assert office.ask("SELECT drip_status FROM contacts") == [("Stopped",)]


def test_an_opt_out_stands_on_every_row_of_the_address(office):
    """B13, B22: a twin that is in no sequence, and is typed otherwise, is opted out too."""
    office.type("INSERT INTO contacts (id, email) VALUES (2, ' ANN@firm.example')")
    office.play(hours=4)
    office.type("UPDATE contacts SET opted_out = 1 WHERE id = 1")
    office.play(hours=4)
    assert office.ask("SELECT opted_out FROM contacts WHERE id = 2") == [(1,)]


def test_an_answer_that_another_program_stores_stops_the_run(office, tmp_path):
    """P2: it stands in a table of emails before the second step is due."""
    office.type(
        "CREATE TABLE incoming (id INTEGER PRIMARY KEY, contact_id INTEGER, subject TEXT, body TEXT, created_at TEXT)"
    )
    (tmp_path / "names.toml").write_text('[objects]\nreply = "incoming"\n')
    text = (tmp_path / "config.toml").read_text().replace('"sql"\n', '"sql"\nmapping = "names.toml"\n', 1)
    (tmp_path / "config.toml").write_text(text)
    office.settings = load(tmp_path / "config.toml")
    office.play(hours=4)
    office.type("INSERT INTO incoming VALUES (1, 1, 'Re: A question', 'Call me tomorrow.', '2026-11-02 14:00:00')")
    office.play(days=4)
    assert office.sent() == ["A question about Firm"]
    ((status, reason),) = office.ask("SELECT drip_status, drip_reason FROM contacts")
    assert status == "Stopped"
    assert "eplied" in reason


def test_a_lost_ledger_mails_nobody_twice(office):
    """P6: it is filled again from the tables, and the run goes on with its second step."""
    office.play(hours=4)
    office.lose_ledger()
    office.play(days=4)
    assert office.sent() == ["A question about Firm", "Once more"]


def test_the_brake_holds_everybody(office):
    """One UPDATE of one row, by anybody who may."""
    office.type("UPDATE drip_control SET brake = 1, brake_by = 'Ada'")
    office.play(days=2)
    assert office.sent() == []
    assert "Ada" in office.ask("SELECT drip_reason FROM contacts")[0][0]
    office.type("UPDATE drip_control SET brake = 0")
    office.play(days=1)
    assert office.sent() == ["A question about Firm"]


def test_a_deleted_row_is_mailed_no_more(office):
    """B14: neither is it made again."""
    office.play(hours=4)
    office.type("DELETE FROM contacts")
    office.play(days=4)
    assert office.sent() == ["A question about Firm"]
    assert office.ask("SELECT count(*) FROM contacts") == [(0,)]


def test_a_copy_of_the_file_is_not_mailed_from(office, tmp_path):
    """B25: after the first heartbeat the database is at home where it is."""
    office.play(hours=4)
    (tmp_path / "crm.sqlite3").rename(tmp_path / "copy.sqlite3")
    text = (tmp_path / "config.toml").read_text().replace("crm.sqlite3", "copy.sqlite3")
    (tmp_path / "config.toml").write_text(text)
    office.settings = load(tmp_path / "config.toml")
    with pytest.raises(ConfigurationError, match="copy, or it was moved"):
        office.play(hours=2)


@pytest.mark.slow
def test_the_quick_benchmark_of_a_database_prints_its_figures():
    """`python -m benchmarks.sql_crm --quick` ends well, and finds everybody."""
    given = [sys.executable, "-m", "benchmarks.sql_crm", "--quick"]
    done = subprocess.run(given, cwd=PAGE.parents[1], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = [int(count) for count in re.findall(r" (\d+) +\d+ statements", done.stdout)]
    assert found == [1_000, 0, 0, 200, 400]


def test_the_page_s_example_passes_the_doctor(office):
    """Nothing keeps it from sending, and what is left to say is said."""
    found = {one.code: one for one in office.crm.connector.check(office.crm.context)}
    assert [one for one in found.values() if one.level is CheckLevel.FAIL] == []
    assert found["SQL-DATABASE"].level is CheckLevel.WARN
