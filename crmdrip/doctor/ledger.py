"""The ledger: its file, folder and disk, who holds it, and whose it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from crmdrip.assembly import Connection
from crmdrip.config import Settings
from crmdrip.core.errors import CrmdripError
from crmdrip.doctor.finding import fail, ok, warn
from crmdrip.ledger import marks
from crmdrip.ledger.errors import LedgerBusyError
from crmdrip.ledger.store import ROOM, Ledger
from crmdrip.ports import CheckLevel, CheckResult


def check_ledger(path: Path) -> Iterator[CheckResult]:
    """The file, its folder, the disk, and whether a daemon holds it."""
    folder = path.parent
    if not folder.is_dir():
        yield fail("LEDGER-WRITABLE", f"the folder {folder} does not exist.", "Make it, or correct [ledger] url.")
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
        yield check_daemon(path)
        yield from check_pauses(path)


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


def check_daemon(path: Path) -> CheckResult:
    """Whether a daemon works on this ledger: good to know before starting another (B3)."""
    ledger = Ledger(f"sqlite:///{path}")
    try:
        ledger.lock()
    except LedgerBusyError as error:
        return ok("LEDGER-DAEMON", error.what)
    except CrmdripError as error:
        return fail("LEDGER-DAEMON", error.what, error.do_next)
    finally:
        ledger.close()
    return ok("LEDGER-DAEMON", "no daemon is running on this ledger.")


def check_pauses(path: Path) -> Iterator[CheckResult]:
    """Nothing is held back by command, and no brake was pulled when the CRM was last read."""
    ledger = Ledger(f"sqlite:///{path}")
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
    path = Path(settings.ledger.url.removeprefix("sqlite:///"))
    if not path.exists():
        return
    ledger = Ledger(settings.ledger.url)
    try:
        with ledger.read() as connection:
            known = marks.read_mark(connection, marks.ORG)
        found = crm.connector.build_source(crm.context).identity().org_id
    except CrmdripError as error:
        yield fail("LEDGER-ORG", str(error), error.do_next)
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
