"""The demo on a HubSpot portal: installed by crmdrip install, played both ways, with trouble, and audited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from demo_play import BROKEN, MEASURED, play

pytestmark = pytest.mark.slow

SMALL = ("--crm", "hubspot", "--people", "60", "--days", "3")
OF_THE_WAY = {**MEASURED, "installed": 0, "crm_calls": 0, "crm_calls_per_1000_touches": 0}
"""What depends on where the sequences stand."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any], str]:
    """With the sequences in TOML files."""
    return play(tmp_path_factory.mktemp("files"), *SMALL)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any], str]:
    """With the sequences in custom objects of an Enterprise portal."""
    return play(tmp_path_factory.mktemp("objects"), *SMALL, "--definitions", "objects")


def test_the_promises_hold_with_sequences_in_files(files: tuple[int, dict[str, Any], str]) -> None:
    """P1, P2, P3: exit code 0 says so; people were enrolled and mailed."""
    code, found, _ = files
    assert (code, [found[name] for name in BROKEN]) == (0, [0] * len(BROKEN))
    assert found["touches_accepted"] > 10
    assert found["enrolled"] + found["refused"] == found["ticked"]


def test_the_promises_hold_with_sequences_in_custom_objects(objects: tuple[int, dict[str, Any], str]) -> None:
    """As in files."""
    code, found, _ = objects
    assert (code, [found[name] for name in BROKEN]) == (0, [0] * len(BROKEN))


def test_both_ways_do_the_very_same(
    files: tuple[int, dict[str, Any], str], objects: tuple[int, dict[str, Any], str]
) -> None:
    """The same people, emails and stops, figure for figure; what differs are calls and what was installed."""
    assert {**files[1], **OF_THE_WAY} == {**objects[1], **OF_THE_WAY}
    assert objects[1]["installed"] == files[1]["installed"] + 2  # the objects of sequences and of steps


def test_what_is_played_is_what_is_installed(files: tuple[int, dict[str, Any], str]) -> None:
    """The portal is bare before crmdrip install; its key may define no properties of emails."""
    assert files[1]["crm"] == "hubspot"
    assert files[1]["installed"] > 30
    assert "crmdrip install found a bare portal" in files[2]


def test_the_promises_hold_through_every_failure_of_both_vendors(tmp_path: Path) -> None:
    """B1, B2, B20, B21: limits by name, locks, 477, answers that lie, cut connections."""
    code, found, said = play(tmp_path, *SMALL, "--faults")
    assert (code, [found[name] for name in BROKEN]) == (0, [0] * len(BROKEN))
    assert "All promises held." in said
