"""Preflight checks of one account, each with a stable code. Reads, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from connectors.imap.session import ImapSession
from connectors.imap.settings import ImapSettings, Tls, build_tls
from crmdrip.core.errors import AuthError, ConfigurationError, CrmdripError
from crmdrip.ports import CheckResult, Clock
from crmdrip.ports.finding import fail, ok, warn

CLOCK_SLACK = timedelta(minutes=2)


def check_account(settings: ImapSettings, account: str, clock: Clock) -> Iterator[CheckResult]:
    """Login, folders, IDLE and clock. One connection per folder; raises nothing."""
    try:
        tls = build_tls(settings)
    except ConfigurationError as error:
        yield fail("IMAP-CA", error.what, error.do_next)
        return
    if settings.tls is Tls.NONE:
        yield warn(
            "IMAP-CLEAR",
            f"{account}: the connection is not protected, which only a server on this machine may do.",
            'For a real account: tls = "implicit".',
        )
    for folder in settings.folders:
        try:
            session = ImapSession(settings, tls, folder, within=settings.connect_timeout + settings.reply_timeout)
        except CrmdripError as error:
            yield _failure(account, error)
            if not _is_about_folder(error):
                return
            continue
        try:
            yield ok("IMAP-FOLDER", f"{account}: {folder} can be read, and stays as it is ({session.where}).")
            yield from _check_session(session, account, clock)
        except CrmdripError as error:
            yield _failure(account, error)
        finally:
            session.close()


def _check_session(session: ImapSession, account: str, clock: Clock) -> Iterator[CheckResult]:
    if session.idles:
        yield ok("IMAP-IDLE", f"{account}: new mail is told at once (IDLE).")
    else:
        yield warn(
            "IMAP-IDLE",
            f"{account}: the server knows no IDLE; the folder is asked every poll_seconds and before each look.",
            "Nothing; lower poll_seconds if stops shall be quicker.",
        )
    newest = session.fetch(session.highest) if session.highest else None
    if newest is None or newest.arrived_at is None:
        return
    ahead = newest.arrived_at - clock.now()
    if ahead > CLOCK_SLACK:
        yield warn(
            "IMAP-CLOCK",
            f"{account}: the newest email came {round(ahead.total_seconds())} seconds from now, by this clock.",
            "Set this machine's clock: whether an answer belongs to a run is decided by its time.",
        )
    else:
        yield ok("IMAP-CLOCK", f"{account}: the server's clock fits ours.")


def _is_about_folder(error: CrmdripError) -> bool:
    return error.what.startswith("the folder ")


def _failure(account: str, error: CrmdripError) -> CheckResult:
    what = f"{account}: {error.where}: {error.what}" if error.where else f"{account}: {error.what}"
    if isinstance(error, AuthError):
        code, do_next = "IMAP-LOGIN", "Check username, and password or token. Many providers want an app password."
    elif _is_about_folder(error):
        code, do_next = "IMAP-FOLDER", error.do_next
    else:
        code, do_next = "IMAP-REACH", error.do_next or "Check host, port, tls and the way out to the network."
    return fail(code, f"{what.rstrip('.')}.", do_next)
