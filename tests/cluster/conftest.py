"""A crew for each test, on a database of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_places import Server

sys.path.append(str(Path(__file__).parents[1] / "commands"))  # the office is the commands' own
sys.path.append(str(Path(__file__).parents[1] / "proof"))  # and the oracle the proof's

from crew import Crew
from office import Office


@pytest.fixture
def crew(tmp_path: Path, postgresql: Server) -> Iterator[Crew]:
    """Nobody is at work yet."""
    name = postgresql.create()
    with Office(tmp_path) as office, Crew(tmp_path, office, postgresql.url_of(name)) as ready:
        yield ready
    postgresql.drop(name)
