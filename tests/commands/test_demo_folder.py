"""A killed demo leaves nothing for good: the next one removes its folder, and no other."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crmdrip.demo.folder import LOCK, PREFIX, demo_folder, sweep

HOLD = "from crmdrip.demo.folder import demo_folder\nwith demo_folder() as f: print(f, flush=True); input()"


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, also by further processes."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def held(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process with a demo's folder."""
    assert parent.is_dir()
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_folder_goes_with_its_demo(parent: Path) -> None:
    """In order, or by an error."""
    with demo_folder() as folder:
        assert folder.parent == parent
    assert list(parent.iterdir()) == []


def test_what_a_killed_demo_left_is_removed_by_the_next_one(parent: Path) -> None:
    """SIGKILL leaves no time for anything."""
    process, folder = held(parent)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert folder.is_dir()
    with demo_folder() as own:
        assert list(parent.iterdir()) == [own]


def test_the_folder_of_a_demo_that_plays_is_left_alone(parent: Path) -> None:
    """Two may play at once."""
    process, folder = held(parent)
    assert sweep(parent) == []
    process.communicate("\n")
    assert not folder.exists()


def test_nothing_else_is_touched(parent: Path) -> None:
    """Neither another name, nor a folder that does not say whose it is, nor what a link leads to."""
    (parent / "elsewhere").mkdir()
    (parent / "elsewhere" / LOCK).touch()
    (parent / f"{PREFIX}unknown").mkdir()
    (parent / f"{PREFIX}link").symlink_to(parent / "elsewhere")
    before = sorted(parent.rglob("*"))
    assert sweep(parent) == []
    assert sorted(parent.rglob("*")) == before
