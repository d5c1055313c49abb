"""The doctor: every check before sending, each with a stable code, what is wrong, and what to do. Changes nothing.

Codes of its own: CFG-INVALID, CFG-LOADED, CFG-CONNECTOR, PKG-CONNECTORS, LEDGER-FILE, LEDGER-WRITABLE, LEDGER-ROOM,
LEDGER-DAEMON, LEDGER-PAUSED, LEDGER-ORG, UNSUB-URL, UNSUB-KEYS, WEB-URL, WEB-REPLIES, TEMPLATES. Those of connectors
have letters of their own (SF-, SG-, IMAP-).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from crmdrip import registry
from crmdrip.assembly import Connection, WallClock, build_hooks, connect_crm, connect_mail, connect_mailboxes
from crmdrip.config import ConfigProblems, Settings, load
from crmdrip.core.compose import merge_paths
from crmdrip.core.definition import validate
from crmdrip.core.errors import ConfigurationError, CrmdripError, UnknownPathsError
from crmdrip.core.model import Sequence
from crmdrip.core.render import check_template
from crmdrip.inspection.preview import read_drafts
from crmdrip.ledger import marks
from crmdrip.ledger.errors import LedgerBusyError
from crmdrip.ledger.store import ROOM, Ledger
from crmdrip.ports import CheckLevel, CheckResult, CrmSource
from crmdrip.secrets import is_sandbox_constant
from crmdrip.settings import is_loopback


def examine(config: Path) -> Iterator[CheckResult]:
    """Every check, in order, as they are made. Raises nothing that was foreseen."""
    yield registry.check_connectors_owner()
    if not config.exists():
        yield _fail(
            "CFG-INVALID", f"{config}: there is no such file.", "Type crmdrip init, or name yours with --config."
        )
        return
    try:
        settings = load(config)
    except ConfigProblems as problems:
        for problem in problems.problems:
            place = f"{config}:{problem.line}" if problem.line else str(config)
            what = f"{place}: {problem.path} {problem.what}".replace("  ", " ")
            yield _fail("CFG-INVALID", what if what.endswith((".", "?")) else f"{what}.", problem.do_next)
        return
    yield _ok("CFG-LOADED", f"{config} is valid.")
    yield from check_ledger(Path(settings.ledger.url.removeprefix("sqlite:///")))
    yield from check_unsubscribe(settings)
    try:
        crm, mail = connect_crm(settings, WallClock()), connect_mail(settings, WallClock())
        mailboxes = connect_mailboxes(settings, WallClock())
    except ConfigurationError as error:
        yield _fail("CFG-CONNECTOR", str(error), error.do_next)
        return
    failed = False
    for result in crm.connector.check(crm.context):
        failed = failed or result.level is CheckLevel.FAIL
        yield result
    if not failed:
        yield from check_sequences(crm)
        yield from check_org(settings, crm)
    yield from check_door(settings, tuple(build_hooks(crm, mail)))
    yield from mail.connector.check(mail.context)
    for mailbox in mailboxes:
        yield from mailbox.connector.check(mailbox.context)


# --- the ledger ---------------------------------------------------------------------------------------------------


def check_ledger(path: Path) -> Iterator[CheckResult]:
    """The file, its folder, the disk, and whether a daemon holds it."""
    folder = path.parent
    if not folder.is_dir():
        yield _fail("LEDGER-WRITABLE", f"the folder {folder} does not exist.", "Make it, or correct [ledger] url.")
        return
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        yield _fail("LEDGER-WRITABLE", f"{path} cannot be written.", "Make it and its folder writable for this user.")
        return
    yield _ok("LEDGER-WRITABLE", f"{path} can be written.")
    free = shutil.disk_usage(folder).free
    if free <= ROOM:
        yield _fail(
            "LEDGER-ROOM", f"{free // 2**20} MB are free; below {ROOM // 2**20} MB nothing is sent.", "Free space."
        )
    else:
        yield _ok("LEDGER-ROOM", f"{free / 2**30:,.1f} GB are free.")
    if not path.exists():
        yield _ok("LEDGER-FILE", "there is no ledger yet; the daemon makes it and fills it from the CRM.")
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
            return _fail(
                "LEDGER-FILE", f"{path} cannot be opened.", "Type this as the daemon's user, who may write it."
            )
        return _fail(
            "LEDGER-FILE", f"{path} is no whole ledger ({error}).", "Move it away: it is rebuilt from the CRM."
        )
    if answer != "ok":
        return _fail("LEDGER-FILE", f"{path} is damaged ({answer}).", "Move it away: it is rebuilt from the CRM.")
    return _ok("LEDGER-FILE", "the ledger is whole.")


def check_daemon(path: Path) -> CheckResult:
    """Whether a daemon works on this ledger: good to know before starting another (B3)."""
    ledger = Ledger(f"sqlite:///{path}")
    try:
        ledger.lock()
    except LedgerBusyError as error:
        return _ok("LEDGER-DAEMON", error.what)
    except CrmdripError as error:
        return _fail("LEDGER-DAEMON", error.what, error.do_next)
    finally:
        ledger.close()
    return _ok("LEDGER-DAEMON", "no daemon is running on this ledger.")


def check_pauses(path: Path) -> Iterator[CheckResult]:
    """Nothing is held back by command, and no brake was pulled when the CRM was last read."""
    ledger = Ledger(f"sqlite:///{path}")
    try:
        with ledger.read() as connection:
            paused = marks.read_marks(connection, marks.PAUSED)
            brake = marks.read_mark(connection, marks.BRAKE)
    except CrmdripError as error:
        yield _fail("LEDGER-PAUSED", error.what, error.do_next)
        return
    finally:
        ledger.close()
    if brake is not None:
        yield _warn("LEDGER-PAUSED", "the emergency brake is pulled in the CRM.", "Release it there.")
    if paused:
        what = "everything is" if marks.PAUSED in paused else f"sequences are ({len(paused)})"
        yield _warn("LEDGER-PAUSED", f"{what} paused by command.", "Type crmdrip resume.")
    if brake is None and not paused:
        yield _ok("LEDGER-PAUSED", "nothing is paused.")


# --- the unsubscribe link -----------------------------------------------------------------------------------------


def check_unsubscribe(settings: Settings) -> Iterator[CheckResult]:
    """People can reach the page in every email, and nobody can forge its links (P7)."""
    url = settings.unsubscribe.base_url
    if is_loopback(urlsplit(url).hostname):
        yield _warn(
            "UNSUB-URL",
            f"{url} leads to this machine: nobody else can unsubscribe there.",
            "For real email, give the https address at which the world reaches [web] listen.",
        )
    elif settings.web.address is None:
        yield _warn(
            "UNSUB-URL",
            f"unsubscribe links lead to {urlsplit(url).hostname}, and this daemon has no door.",
            "Set [web] listen, or make sure that another crmdrip answers there on the same ledger.",
        )
    else:
        yield _ok("UNSUB-URL", f"unsubscribe links lead to {url}.")
    if any(is_sandbox_constant(key.get_secret_value()) for key in settings.unsubscribe.keys):
        yield _warn(
            "UNSUB-KEYS",
            "unsubscribe links are signed with the sandbox's key, which everybody knows.",
            'For real email: keys = [{ env = "UNSUBSCRIBE_KEY" }].',
        )
    else:
        yield _ok("UNSUB-KEYS", f"{len(settings.unsubscribe.keys)} signing keys.")


# --- the door -----------------------------------------------------------------------------------------------------


def check_door(settings: Settings, sources: tuple[str, ...]) -> Iterator[CheckResult]:
    """Vendors can post what they have to tell. sources: of the hooks that the connectors offer."""
    if settings.replies.domain and not any(source.endswith(":inbound") for source in sources):
        yield _warn(
            "WEB-REPLIES",
            f"answers go to {settings.replies.domain}, and nobody may post mail here: they stay unheard.",
            "Give the mail connector a key or a secret for inbound mail (docs/door.md), or remove [replies] domain.",
        )
    hints = bool(settings.web.hint_secrets)
    if not sources and not hints:
        yield _ok("WEB-URL", "nobody posts to the door: events and changes are asked for, and none is told.")
        return
    url = settings.web.public_url
    if settings.web.address is None:
        yield _warn("WEB-URL", "vendors are to post here, and this daemon has no door.", "Set [web] listen.")
    elif not url:
        yield _warn(
            "WEB-URL",
            "vendors are to post here, and it is not said where they reach the door.",
            "Set [web] public_url to its https address, and type the addresses that are shown then at the vendors.",
        )
    elif is_loopback(urlsplit(url).hostname):
        yield _warn("WEB-URL", f"{url} leads to this machine: no vendor can post there.", "Give its https address.")
    else:
        paths = [f"{url}/hooks/{source.replace(':', '/')}" for source in sources]
        paths += [f"{url}/hints/<secret>"] if hints else []
        yield _ok("WEB-URL", f"vendors post to {', '.join(paths)}.")


# --- the CRM's content --------------------------------------------------------------------------------------------


def check_sequences(crm: Connection) -> Iterator[CheckResult]:
    """Every sequence is valid, its templates too."""
    source = crm.connector.build_source(crm.context)
    try:
        drafts = read_drafts(source)
    except CrmdripError as error:
        yield _fail("TEMPLATES", f"the sequences cannot be read: {error}", error.do_next)
        return
    good: list[Sequence] = []
    for draft in drafts:
        result = validate(draft, check_template=check_template)
        if isinstance(result, Sequence):
            good.append(result)
            continue
        name = draft.fields.get("name") or draft.id
        yield _warn(
            "TEMPLATES",
            f"the sequence {name!r} is not valid, so its last good version stays in force: {' '.join(result)}",
            "Correct it in the CRM.",
        )
    yield from check_fields(source, good)
    if good:
        yield _ok("TEMPLATES", f"{len(good)} of {len(drafts)} sequences are valid.")
    elif not drafts:
        yield _warn("TEMPLATES", "there is no sequence yet.", "Make one in the CRM.")


def check_fields(source: CrmSource, sequences: list[Sequence]) -> Iterator[CheckResult]:
    """Every merge field of the templates is there: whoever comes to a step with another one waits (B24)."""
    paths = {sequence.name: merge_paths(sequence.steps) for sequence in sequences}
    try:
        source.look([], frozenset().union(*paths.values()), None)
    except UnknownPathsError as error:
        for name, used in paths.items():
            if unknown := sorted(used & error.paths):
                fields = ", ".join(f"{{{{ {path} }}}}" for path in unknown)
                what = f"the sequence {name!r} asks for {fields}, and no such field can be seen: its emails wait."
                yield _warn("TEMPLATES", what, error.do_next)
    except CrmdripError as error:
        yield _fail("TEMPLATES", f"the merge fields cannot be checked: {error}", error.do_next)


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
        yield _fail("LEDGER-ORG", str(error), error.do_next)
        return
    finally:
        ledger.close()
    if known is not None and known != found:
        yield _fail(
            "LEDGER-ORG",
            f"the ledger belongs to org {known}, and {found} answers.",
            "Give each org a ledger of its own in [ledger] url.",
        )
    else:
        yield _ok("LEDGER-ORG", f"the ledger belongs to org {found}.")


def _ok(code: str, what: str) -> CheckResult:
    return CheckResult(code=code, level=CheckLevel.OK, what=what)


def _warn(code: str, what: str, do_next: str) -> CheckResult:
    return CheckResult(code=code, level=CheckLevel.WARN, what=what, do_next=do_next)


def _fail(code: str, what: str, do_next: str) -> CheckResult:
    return CheckResult(code=code, level=CheckLevel.FAIL, what=what, do_next=do_next)
