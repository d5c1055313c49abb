"""An office for each test, and logs as they were before."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from office import Office, Shell


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """An org and a folder."""
    with Office(tmp_path) as ready:
        yield ready


@pytest.fixture
def crmdrip(office: Office, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Types a command."""
    return Shell(office, capsys)


@pytest.fixture(autouse=True)
def logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands set up logs for the whole process."""
    monkeypatch.delenv("CRMDRIP_CONFIG", raising=False)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
