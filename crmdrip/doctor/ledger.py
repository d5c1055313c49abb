"""The ledger: its file, folder and disk, or its server; who holds it, and whose it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from crmdrip.assembly import Connection
from crmdrip.config import LedgerSettings, Settings
from crmdrip.core.errors import ConfigurationError, CrmdripError
from crmdrip.ledger import engines, marks
from crmdrip.ledger.errors import LedgerBusyError
from crmdrip.ledger.store import ROOM, Ledger
from crmdrip.ports import CheckLevel, CheckResult
from crmdrip.ports.finding import fail, ok, warn


def check_ledger(settings: LedgerSettings) -> Iterator[CheckResult]:
    """It can be written, there is room for it, it is whole, and whether a daemon holds it."""
    return check_place(settings.file) if settings.file is not None else check_server(settings.url)


def check_place(path: Path) -> Iterator[CheckResult]:
    """The file, its folder, the disk, and whether a daemon holds it."""
    folder = path.parent
    if not folder.is_dir():
        yield fail("LEDGER-WRITABLE", f"the folder {folder} does not exist.", "Make it, or correct [ledger] url.")
        return
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        remount = "The system's log (dmesg) says why; mount it writable again: mount -o remount,rw."
        yield fail("LEDGER-WRITABLE", f"the file system of {folder} is read-only.", remount)
        return
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        yield fail("LEDGER-WRITABLE", f"{path} cannot be written.", "Make it and its folder writable for this user.")
        return
    yield ok("LEDGER-WRITABLE", f"{path} can be written.")
    free = shutil.disk_usage(folder).free
    if free <= ROOM:
        yield fail(
            "LEDGER-ROOM", f"{free // 2**20} MB are free; below {ROOM // 2**20} MB nothing is sent.", "Free space."
        )
    else:
        yield ok("LEDGER-ROOM", f"{free / 2**30:,.1f} GB are free.")
    if not path.exists():
        yield ok("LEDGER-FILE", "there is no ledger yet; the daemon makes it and fills it from the CRM.")
        return
    file = check_file(path)
    yield file
    if file.level is CheckLevel.OK:
        yield check_daemon(f"sqlite:///{path}")
        yield from check_pauses(f"sqlite:///{path}")


def check_file(path: Path) -> CheckResult:
    """The file is a ledger, and whole."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            answer = connection.execute("PRAGMA quick_check").fetchone()[0]
            connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        if "unable to open" in str(error):  # which says nothing about what is in it
            return fail("LEDGER-FILE", f"{path} cannot be opened.", "Type this as the daemon's user, who may write it.")
        return fail("LEDGER-FILE", f"{path} is no whole ledger ({error}).", "Move it away: it is rebuilt from the CRM.")
    if answer != "ok":
        return fail("LEDGER-FILE", f"{path} is damaged ({answer}).", "Move it away: it is rebuilt from the CRM.")
    return ok("LEDGER-FILE", "the ledger is whole.")


def check_server(url: str) -> Iterator[CheckResult]:
    """The database answers and can keep a ledger, and whether a daemon holds it."""
    try:
        ledger = Ledger(url)
    except ConfigurationError as error:
        yield fail("LEDGER-SERVER", error.what, error.do_next)
        return
    try:
        begun = ledger.exists()
        with ledger.read() as connection:
            server = engines.examine(connection)
    except CrmdripError as error:
        yield fail("LEDGER-SERVER", error.what, error.do_next)
        return
    finally:
        ledger.close()
    if server.problem:
        yield fail("LEDGER-SERVER", f"{ledger.where}: {server.problem}", server.do_next)
        return
    yield ok("LEDGER-SERVER", f"{ledger.where} answers, PostgreSQL {server.version}.")
    if not server.durable:
        yield warn(
            "LEDGER-DURABLE",
            "the database server runs with fsync off: after a power cut it may have forgotten what was sent.",
            "Set fsync = on in its postgresql.conf.",
        )
    if not begun:
        yield ok("LEDGER-FILE", "there is no ledger yet; the daemon makes it and fills it from the CRM.")
        return
    yield check_daemon(url)
    yield from check_pauses(url)


def check_daemon(url: str) -> CheckResult:
    """Whether a daemon works on this ledger: good to know before starting another (B3)."""
    try:
        return ok("LEDGER-DAEMON", tell_holder(url) or "no daemon is running on this ledger.")
    except CrmdripError as error:
        return fail("LEDGER-DAEMON", error.what, error.do_next)


def tell_holder(url: str) -> str:
    """The sentence on the daemon that works on this ledger, "" where none does. Raises LedgerBrokenError."""
    ledger = Ledger(url)
    try:
        ledger.lock()
    except LedgerBusyError as error:
        return error.what.replace("another daemon", "a daemon", 1)  # whoever asks is none
    finally:
        ledger.close()
    return ""


def check_pauses(url: str) -> Iterator[CheckResult]:
    """Nothing is held back by command, and no brake was pulled when the CRM was last read."""
    ledger = Ledger(url)
    try:
        with ledger.read() as connection:
            paused = marks.read_marks(connection, marks.PAUSED)
            brake = marks.read_mark(connection, marks.BRAKE)
    except CrmdripError as error:
        yield fail("LEDGER-PAUSED", error.what, error.do_next)
        return
    finally:
        ledger.close()
    if brake is not None:
        yield warn("LEDGER-PAUSED", "the emergency brake is pulled in the CRM.", "Release it there.")
    if paused:
        what = "everything is" if marks.PAUSED in paused else f"sequences are ({len(paused)})"
        yield warn("LEDGER-PAUSED", f"{what} paused by command.", "Type crmdrip resume.")
    if brake is None and not paused:
        yield ok("LEDGER-PAUSED", "nothing is paused.")


def check_org(settings: Settings, crm: Connection) -> Iterator[CheckResult]:
    """The ledger belongs to the org that answers (B25)."""
    try:
        ledger = Ledger(settings.ledger.url)
    except ConfigurationError:
        return  # which LEDGER-SERVER tells
    try:
        if not ledger.exists():
            return
        with ledger.read() as connection:
            known = marks.read_mark(connection, marks.ORG)
        found = crm.connector.build_source(crm.context).identity().org_id
    except CrmdripError as error:
        yield fail("LEDGER-ORG", error.problem, error.do_next)
        return
    finally:
        ledger.close()
    if known is not None and known != found:
        yield fail(
            "LEDGER-ORG",
            f"the ledger belongs to org {known}, and {found} answers.",
            "Give each org a ledger of its own in [ledger] url.",
        )
    else:
        yield ok("LEDGER-ORG", f"the ledger belongs to org {found}.")
