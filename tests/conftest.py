"""What holds for every test: none is judged by how fast the machine happens to be. And the one PostgreSQL server.

In what order they run, and on how many workers, where there are several.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For -n auto: half as many again as there are cores, since tests wait for processes, servers and disks."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + -(-cores // 2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The slow ones first on every worker, so that none of them is begun when the others are through."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        items[:] = in_order(items, workers)


def in_order(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests as --dist worksteal hands them out: as many equal parts as there are workers, one after the other."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    files = [list(group) for _, group in groupby(slow, key=lambda item: item.path)]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        first = [item for file in files[worker::workers] for item in file]
        size = (len(items) - len(ordered)) // (workers - worker)
        rest = max(0, size - len(first))
        ordered += first + quick[:rest]
        del quick[:rest]
    return ordered + quick


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of this test session alone."""
    with running_server() as server:
        yield server
