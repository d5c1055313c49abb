"""A stage for each test, and nothing that waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_places import FilePlace, Place, ServerPlace
from stage import Stage

from connectors.salesforce.client import SalesforceClient
from crmdrip.daemon import passes
from crmdrip.ledger.store import open_ledger


@pytest.fixture(scope="session")
def blank_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with tables and nothing in them: Alembic runs once for all tests."""
    file = tmp_path_factory.mktemp("blank") / "blank.sqlite3"
    open_ledger(f"sqlite:///{file}").close()
    return file


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated reads do not wait between tries."""
    monkeypatch.setitem(SalesforceClient.__init__.__kwdefaults__, "sleep", lambda _: None)


@pytest.fixture
def ledger_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where the test's ledger is: on PostgreSQL where the test, or the command line, says so."""
    usual = "postgresql" if request.config.getoption("everything_on_postgresql") else "sqlite"
    if getattr(request, "param", usual) == "sqlite":
        yield FilePlace(tmp_path / "crmdrip.sqlite3", request.getfixturevalue("blank_ledger"))
        return
    place = ServerPlace(request.getfixturevalue("postgresql"))
    yield place
    place.drop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is marked so is played on both databases."""
    if metafunc.definition.get_closest_marker("both_ledgers") and "ledger_place" in metafunc.fixturenames:
        metafunc.parametrize("ledger_place", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def stage(tmp_path: Path, ledger_place: Place) -> Iterator[Stage]:
    """A stage on a Monday at nine, with the daemon prepared."""
    with Stage(tmp_path, ledger_place) as ready:
        passes.prepare(ready.parts)
        yield ready
