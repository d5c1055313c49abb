"""The folder a demo lives in: gone with the demo, or at the start of the next one where it was killed (SIGKILL)."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "crmdrip-demo-"
LOCK = "demo.lock"
"""Locked for as long as its demo lives, by the system itself, so that it tells whether a folder was left behind."""


@contextmanager
def demo_folder() -> Iterator[Path]:
    """A new folder; those that killed demos of the same user left are removed first."""
    sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _held(folder / LOCK):
            yield folder


def sweep(parent: Path) -> list[Path]:
    """Remove the folders in there of demos that no longer live; returns them. Nothing else is touched.

    A folder without a lock is not known to be left behind, and stays. So does every one where the system cannot lock.
    """
    removed = []
    for folder in parent.glob(f"{PREFIX}*"):
        lock = folder / LOCK
        if folder.is_symlink() or not lock.is_file() or not _is_ours(folder) or not _is_free(lock):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        removed.append(folder)
    return removed


def _is_ours(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    with lock.open("w", encoding="utf-8") as handle:
        try:
            import fcntl  # noqa: PLC0415 - not on every platform
        except ImportError:
            yield
            return
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _is_free(lock: Path) -> bool:
    try:
        import fcntl  # noqa: PLC0415 - not on every platform
    except ImportError:
        return False
    try:
        with lock.open("r+", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
