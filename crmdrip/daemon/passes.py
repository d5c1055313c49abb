"""The loops by name, what each does in one pass, and what comes before the first.

Used alike by the daemon, by `crmdrip once`, and by the demo on its fast clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import structlog

from crmdrip.core.errors import ConfigurationError, CrmdripError
from crmdrip.daemon import received
from crmdrip.daemon.claim import RUNNING, Found, announce, beat, read_state
from crmdrip.daemon.dispatch import dispatch_once, hold_due
from crmdrip.daemon.forwarding import forward_once, recover_forwards
from crmdrip.daemon.intake import PullCount, pull_once
from crmdrip.daemon.listening import forget_mails, take_mail
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.rebuild import Watch, doubt_last_look, needs_rebuild, rebuild, tell_log
from crmdrip.daemon.reconcile import reconcile_once
from crmdrip.daemon.shares import share_of
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import load_background
from crmdrip.daemon.twins import tell
from crmdrip.daemon.writeback import owe_figures, write_back_once
from crmdrip.ledger import marks
from crmdrip.ledger.errors import LedgerBrokenError
from crmdrip.ports import CrmSource, FollowsLists

log = structlog.get_logger()

FEED = "feed"

Pass = Callable[[Parts], Mapping[str, Any]]


def identify(source: CrmSource, ledger_org: str | None, where: str) -> str:
    """The id of the CRM that answers, which must be the one this ledger was begun with (B25).

    Raises ConfigurationError for another one, and what CrmSource.identity raises.
    """
    identity = source.identity()
    if ledger_org is not None and ledger_org != identity.org_id:
        raise ConfigurationError(
            f"this ledger belongs to org {ledger_org}, and org {identity.org_id} answers"
            f"{' (a sandbox)' if identity.sandbox else ''}. Nothing is sent.",
            where=where,
            do_next="Give each org a ledger of its own in [ledger] url.",
        )
    return identity.org_id


def prepare(parts: Parts, watch: Watch = tell_log) -> PullCount:
    """Before the first pass: settle what a crash left, and make sure that the ledger knows what the CRM knows.

    The provider's lists are read as well, as far as they can be now: what was heard while nobody ran comes before the
    first email. On an ordinary start this takes two calls to the CRM. Raises ConfigurationError (B25),
    LedgerBusyError where another daemon claimed the org (B3), LedgerBrokenError, and what the CRM's ports raise. Until
    it returned nothing may be dispatched. Can be called again. watch: told how far a ledger that has to be filled is.
    Returns whom it refused and stopped while it was.
    """
    with parts.ledger.write() as connection:
        marks.set_mark(connection, marks.ORG, parts.org_id)
        doubtful = share_of(parts.ledger).recover(connection, parts.clock.now())
        doubt_last_look(connection, parts.clock.now())
    recover_forwards(parts)
    if doubtful:
        log.warning("touches_in_doubt_after_restart", touches=doubtful)
    try:
        filled = rebuild(parts, watch) if needs_rebuild(parts) or announce(parts) is Found.OTHER else PullCount()
    except ConfigurationError as error:
        _tell_hindrance(parts, error)
        raise
    try:
        feed(parts)
    except LedgerBrokenError:
        raise
    except CrmdripError as error:
        log.warning("feed_not_read", error_class=error.error_class.value)
    return filled


def _tell_hindrance(parts: Parts, error: ConfigurationError) -> None:
    """A permission is missing since before the start: whoever is due sees on the record which one (B26)."""
    hold_due(parts, error)
    try:
        write_back_once(parts)
    except LedgerBrokenError:
        raise
    except CrmdripError as refused:
        log.warning("hindrance_not_told", error_class=refused.error_class.value)


def pull(parts: Parts) -> Mapping[str, Any]:
    """CRM to ledger. A brake that was pulled or released is confirmed in the CRM at once, not with the next beat."""
    if isinstance(parts.source, FollowsLists):
        parts.source.follow_lists()
    counts = asdict(pull_once(parts))
    with parts.ledger.read() as connection:
        news = read_state(connection) != (marks.read_mark(connection, marks.STATE) or RUNNING)
    if news:
        figures(parts)
    return counts


def feed(parts: Parts) -> Mapping[str, Any]:
    """The provider's suppression lists to the ledger."""
    if parts.feed is None:
        return {}
    with parts.ledger.read() as connection:
        cursor = marks.read_cursor(connection, FEED)
    count = 0
    for page in parts.feed.poll(cursor):
        now = parts.clock.now()
        with parts.ledger.write() as connection:
            background = load_background(connection)
            suppressing = apply_signals(connection, page.signals, background, parts.org_id, now)
            marks.save_cursor(connection, FEED, page.cursor, now)
        tell(parts, suppressing)
        count += len(page.signals)
    return {"signals": count}


def drain(parts: Parts) -> Mapping[str, Any]:
    """What came in by the door and by mailboxes to the ledger."""
    return asdict(received.drain(parts, take_mail))


def dispatch(parts: Parts) -> Mapping[str, Any]:
    """Due to provider, once everything that came in has been read (P2, P4)."""
    parts.mailboxes.drain()  # where one cannot be read, the look says so
    return asdict(dispatch_once(parts)) if received.is_heard(parts, take_mail) else {}


def forward(parts: Parts) -> Mapping[str, Any]:
    """Answers that came to us to the reps."""
    return asdict(forward_once(parts))


def write_back(parts: Parts) -> Mapping[str, Any]:
    """Ledger to CRM."""
    return asdict(write_back_once(parts))


def reconcile(parts: Parts) -> Mapping[str, Any]:
    """In doubt to settled."""
    return asdict(reconcile_once(parts))


def figures(parts: Parts) -> Mapping[str, Any]:
    """Heartbeat and state to the CRM, sequence figures to the outbox; what nobody asks for any more is forgotten."""
    received.forget_old(parts)
    forget_mails(parts)
    owe_figures(parts)
    beat(parts)
    return {}


PASSES: Mapping[str, Pass] = {
    "pull": pull,
    "feed": feed,
    "received": drain,
    "dispatch": dispatch,
    "forward": forward,
    "reconcile": reconcile,
    "figures": figures,
    "write_back": write_back,
}
"""In the order of a full pass."""


def run_all(parts: Parts) -> dict[str, Mapping[str, Any]]:
    """One full pass, for `crmdrip once` and for clocks that are moved by hand. Raises what the passes raise."""
    return {name: run(parts) for name, run in PASSES.items()}
