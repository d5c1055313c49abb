"""What holds for every test: none is judged by how fast the machine happens to be. And the one PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from ledger_places import Server, running_server

settings.register_profile("crmdrip", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crmdrip")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Both databases for everything, where somebody wants to wait for it."""
    parser.addoption(
        "--everything-on-postgresql",
        action="store_true",
        help="Play the daemon's scenarios with the ledger on PostgreSQL, and none of them on SQLite.",
    )


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of this test session alone."""
    with running_server() as server:
        yield server
