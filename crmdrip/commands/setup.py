"""What most commands begin with: settings, logs, and an open ledger or the whole of the parts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crmdrip import logs
from crmdrip.assembly import WallClock, assemble, connect_crm
from crmdrip.config import Settings, load
from crmdrip.core.errors import ConfigurationError
from crmdrip.daemon.garbage import collect_rarely
from crmdrip.daemon.parts import Parts
from crmdrip.inspection.rehearsal import copy_file
from crmdrip.ledger.copying import back_up
from crmdrip.ledger.store import Ledger, open_ledger
from crmdrip.ports import CrmSource


def read_settings(path: Path) -> Settings:
    """The settings. Raises ConfigurationError when there is no file, ConfigProblems when it is wrong."""
    if not path.exists():
        raise ConfigurationError(
            "there is no such file.",
            where=str(path),
            do_next="Type crmdrip init to write one that runs against the sandbox, or name yours with --config.",
        )
    return load(path)


def read_settings_to_work(path: Path) -> Settings:
    """The settings, with logs as they say: for commands that work like the daemon."""
    settings = read_settings(path)
    logs.configure(format=settings.log.format, level=settings.log.level)
    return settings


def read_settings_to_look(path: Path) -> Settings:
    """The settings, with logs kept quiet: for commands whose output is the point."""
    settings = read_settings(path)
    logs.configure(format="console", level="error")
    return settings


@contextmanager
def open_existing_ledger(settings: Settings) -> Iterator[Ledger]:
    """The ledger beside a daemon that may be running. Raises ConfigurationError when there is none yet."""
    ledger = Ledger(settings.ledger.url)
    try:
        require_existing(ledger)
        ledger.migrate()
        yield ledger
    finally:
        ledger.close()


def require_existing(ledger: Ledger) -> None:
    """Raises ConfigurationError when no daemon has made it yet, and LedgerBrokenError."""
    if not ledger.exists():
        raise ConfigurationError(
            "there is no ledger yet: no daemon has run with this configuration.",
            where=ledger.where if ledger.path is None else str(ledger.path),
            do_next="Type crmdrip run (or once), or correct [ledger] url.",
        )


@contextmanager
def read_existing_ledger(settings: Settings) -> Iterator[Ledger]:
    """As open_existing_ledger, for commands that only read: of a volume that is read-only, they read a copy (B30)."""
    file = settings.ledger.file
    if file is None or not file.exists() or is_writable(file.parent):
        with open_existing_ledger(settings) as ledger:
            yield ledger
        return
    with tempfile.TemporaryDirectory(prefix="crmdrip-read-") as name:
        copy = Path(name) / "copy.sqlite3"
        copy_file(file, copy)
        ledger = open_ledger(f"sqlite:///{copy}")
        ledger.where = f"{file} (read-only)"
        try:
            yield ledger
        finally:
            ledger.close()


def is_writable(folder: Path) -> bool:
    """Whether this user may make a file there; on a read-only volume nobody may."""
    return os.access(folder, os.W_OK)


@contextmanager
def look_around(settings: Settings) -> Iterator[Parts]:
    """The parts beside a daemon that may be running, for commands that change little or nothing."""
    with assemble(settings, WallClock(), exclusive=False) as parts:
        yield parts


@contextmanager
def rehearse(settings: Settings) -> Iterator[Parts]:
    """The parts with a copy of the ledger, thrown away afterwards: the file itself is read, and never made."""
    with tempfile.TemporaryDirectory(prefix="crmdrip-plan-") as name:
        copy = Path(name) / "copy.sqlite3"
        _copy_configured(settings, copy)
        copied = settings.ledger.model_copy(update={"url": f"sqlite:///{copy}"})
        with assemble(settings.model_copy(update={"ledger": copied}), WallClock(), exclusive=False) as parts:
            yield parts


def _copy_configured(settings: Settings, copy: Path) -> None:
    """The ledger as it is now in a file of its own; nothing where there is none. Raises LedgerBrokenError."""
    if settings.ledger.file is not None:
        copy_file(settings.ledger.file, copy)
        return
    ledger = Ledger(settings.ledger.url)
    try:
        if ledger.exists():
            ledger.migrate()
            back_up(ledger, copy)
    finally:
        ledger.close()


def open_crm(settings: Settings) -> CrmSource:
    """The CRM to read from, without a ledger. Makes no call. Raises ConfigurationError."""
    crm = connect_crm(settings, WallClock())
    return crm.connector.build_source(crm.context)


@contextmanager
def work(settings: Settings) -> Iterator[Parts]:
    """The parts for a daemon or a pass: every other daemon is kept off the ledger."""
    with assemble(settings, WallClock(), exclusive=True) as parts:
        collect_rarely()
        yield parts


@contextmanager
def work_together(settings: Settings) -> Iterator[Parts]:
    """The parts for one of several daemons that share the ledger."""
    with assemble(settings, WallClock(), exclusive=True, shared=True) as parts:
        collect_rarely()
        yield parts
