"""A stage for each test, and nothing that waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
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
def stage(tmp_path: Path, blank_ledger: Path) -> Iterator[Stage]:
    """A stage on a Monday at nine, with the daemon prepared."""
    with Stage(tmp_path, blank_ledger) as ready:
        passes.prepare(ready.parts)
        yield ready
