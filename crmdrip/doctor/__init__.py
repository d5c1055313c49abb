"""The doctor: every check before sending, each with a stable code, what is wrong, and what to do. Changes nothing.

Codes of its own: CFG-INVALID, CFG-LOADED, CFG-CONNECTOR, PKG-CONNECTORS, LEDGER-FILE, LEDGER-WRITABLE, LEDGER-ROOM,
LEDGER-SERVER, LEDGER-DURABLE, LEDGER-DAEMON, LEDGER-PAUSED, LEDGER-ORG, UNSUB-URL, UNSUB-KEYS, WEB-PORT, WEB-URL,
WEB-REPLIES, TEMPLATES, DNS-REACH, DNS-SPF, DNS-DMARC, DNS-REPLIES, DNS-LINKS. Those of connectors have letters of
their own (SF-, SG-, IMAP-).
"""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parseaddr
from pathlib import Path

from crmdrip import registry
from crmdrip.assembly import WallClock, build_hints, build_hooks, connect_crm, connect_mail, connect_mailboxes
from crmdrip.config import ConfigProblems, load
from crmdrip.core.errors import ConfigurationError, CrmdripError
from crmdrip.doctor.door import check_door, check_port, check_unsubscribe
from crmdrip.doctor.ledger import check_ledger, check_org
from crmdrip.doctor.names import Names, check_names
from crmdrip.doctor.sequences import check_sequences
from crmdrip.ports import CheckLevel, CheckResult, CrmSource, PullPage
from crmdrip.ports.finding import fail, ok


def examine(config: Path) -> Iterator[CheckResult]:
    """Every check, in order, as they are made. Raises nothing that was foreseen."""
    yield registry.check_connectors_owner()
    if not config.exists():
        yield fail(
            "CFG-INVALID", f"{config}: there is no such file.", "Type crmdrip init, or name yours with --config."
        )
        return
    try:
        settings = load(config)
    except ConfigProblems as problems:
        for problem in problems.problems:
            place = f"{config}:{problem.line}" if problem.line else str(config)
            yield fail("CFG-INVALID", f"{place}: {problem.told}", problem.do_next)
        return
    yield ok("CFG-LOADED", f"{config} is valid.")
    yield from check_ledger(settings.ledger)
    yield from check_unsubscribe(settings)
    yield from check_port(settings)
    try:
        crm, mail = connect_crm(settings, WallClock()), connect_mail(settings, WallClock())
        mailboxes = connect_mailboxes(settings, WallClock())
    except ConfigurationError as error:
        yield fail("CFG-CONNECTOR", error.problem, error.do_next)
        return
    failed = False
    for result in crm.connector.check(crm.context):
        failed = failed or result.level is CheckLevel.FAIL
        yield result
    senders: frozenset[str] = frozenset()
    if not failed:
        source = crm.connector.build_source(crm.context)
        try:
            page = next(iter(source.pull(None)))
            senders = read_senders(source, page)
        except CrmdripError as error:
            yield fail("TEMPLATES", f"the sequences cannot be read: {error}", error.do_next)
        else:
            yield from check_sequences(source, page.sequences)
        yield from check_org(settings, crm)
    yield from check_door(settings, (*build_hooks(crm, mail), *build_hints(crm)))
    yield from mail.connector.check(mail.context)
    for mailbox in mailboxes:
        yield from mailbox.connector.check(mailbox.context)
    yield from check_names(
        {*senders, settings.sender.reply_to}, settings.replies.domain, settings.unsubscribe.base_url, Names()
    )


def read_senders(source: CrmSource, page: PullPage) -> frozenset[str]:
    """From whom emails will come: fixed addresses of sequences, and the owners of people on the page.

    Raises what CrmSource.owners raises.
    """
    fixed = {parseaddr(str(draft.fields.get("from_address") or ""))[1] for draft in page.sequences}
    owners = source.owners({record.owner_id for record in page.records if record.owner_id})
    return frozenset((fixed | {owner.email for owner in owners.values() if owner.active}) - {""})
