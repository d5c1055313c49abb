"""From settings to working parts: connectors by name, ledger, composer. Makes no call to a vendor but one: who answers.

The only place besides the command line where everything meets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from crmdrip import registry
from crmdrip.config import Settings
from crmdrip.core.compose import Composer
from crmdrip.core.compose_settings import ComposeSettings, ReplyTo
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.replyto import ReplyDomain
from crmdrip.daemon.mailboxes import Ear, Mailboxes
from crmdrip.daemon.parts import Limits, Parts
from crmdrip.daemon.passes import identify
from crmdrip.daemon.shares import OneOfAll
from crmdrip.ledger import engines, marks
from crmdrip.ledger.calls import KeptCalls
from crmdrip.ledger.store import Ledger
from crmdrip.ports import (
    Clock,
    Connector,
    ConnectorContext,
    CrmSource,
    Hint,
    Hook,
    Mailbox,
    OffersHints,
    OffersHooks,
    OffersMailboxes,
    Role,
)
from crmdrip.ports.calls import CountsCalls


class WallClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """A connector with what it is built from."""

    connector: Connector
    context: ConnectorContext


def connect_crm(settings: Settings, clock: Clock) -> Connection:
    """The configured CRM connector. Raises ConfigurationError; makes no call."""
    connector = registry.find(settings.crm.connector, Role.CRM)
    mapping = registry.mapping_for(settings.crm.connector, settings.crm.mapping)
    context = ConnectorContext(settings=settings.crm.settings, mapping=mapping, clock=clock)
    return Connection(connector=connector, context=context)


def connect_mail(settings: Settings, clock: Clock) -> Connection:
    """The configured mail connector. Raises ConfigurationError; makes no call."""
    connector = registry.find(settings.mail.connector, Role.MAILER)
    context = ConnectorContext(settings=settings.mail.settings, mapping=None, clock=clock)
    return Connection(connector=connector, context=context)


def connect_mailboxes(settings: Settings, clock: Clock) -> tuple[Connection, ...]:
    """The configured mailboxes' connectors, one for each account. Raises ConfigurationError; makes no call."""
    return tuple(
        Connection(
            connector=registry.find(one.connector, Role.MAILBOX),
            context=ConnectorContext(settings=one.settings, mapping=None, clock=clock, account=one.name),
        )
        for one in settings.mailbox
    )


def build_mailboxes(connections: Iterable[Connection], ledger: Ledger, clock: Clock) -> Mailboxes:
    """An ear for every folder of every account. Raises ConfigurationError; makes no call."""
    found: list[Mailbox] = []
    for one in connections:
        if not isinstance(one.connector, OffersMailboxes):
            raise ConfigurationError(
                f"the connector {one.connector.name!r} reads no mailboxes.", where="[[mailbox]] connector"
            )
        found += one.connector.build_mailboxes(one.context)
    return Mailboxes(Ear(mailbox, ledger, clock) for mailbox in found)


def build_composer(settings: Settings, org_id: str) -> Composer:
    """The composer of this installation. Raises ConfigurationError (P7)."""
    replies = build_replies(settings)
    if replies.domain and settings.sender.reply_to:
        raise ConfigurationError(
            "[replies] domain and [sender] reply_to both say where answers go.",
            where="config.toml",
            do_next="Keep domain for answers to come to crmdrip and on to the rep, else reply_to for a mailbox.",
        )
    if replies.domain:
        policy, address = ReplyTo.TOKEN, replies.address
    else:
        address = settings.sender.reply_to
        policy = ReplyTo.ADDRESS if address else ReplyTo.SENDER
    return Composer(
        ComposeSettings(
            company=settings.sender.company,
            postal_address=settings.sender.postal_address,
            unsubscribe_url=settings.unsubscribe.base_url,
            org_id=org_id,
            signing_keys=tuple(key.get_secret_value() for key in settings.unsubscribe.keys),
            unsubscribe_mailto=settings.unsubscribe.mailto,
            unsubscribe_domain=replies.domain,
            language=settings.sender.language,
            reply_to=policy,
            reply_address=address,
        )
    )


def build_replies(settings: Settings) -> ReplyDomain:
    """Where answers come to. Raises ConfigurationError."""
    keys = tuple(key.get_secret_value() for key in settings.unsubscribe.keys)
    return ReplyDomain(settings.replies.domain, keys)


def build_limits(settings: Settings) -> Limits:
    """Caps and safety nets."""
    return Limits(
        sender_per_day=settings.limits.sender_per_day,
        domain_per_hour=settings.limits.domain_per_hour,
        confirm_above=settings.safety.confirm_above,
        stop_share=settings.safety.stop_share,
        stop_minimum=settings.safety.stop_minimum,
        batch=settings.daemon.batch,
        doubt_first_look_minutes=settings.safety.in_doubt_first_look_minutes,
        doubt_deadline_hours=settings.safety.in_doubt_deadline_hours,
        engagement_minutes=settings.daemon.engagement_minutes,
    )


def build_hooks(*connections: Connection) -> dict[str, Hook]:
    """The ways in that the connectors offer, by their source. Raises ConfigurationError; makes no call."""
    return {
        hook.source: hook
        for one in connections
        if isinstance(one.connector, OffersHooks)
        for hook in one.connector.build_hooks(one.context)
    }


def build_hints(crm: Connection) -> dict[str, Hint]:
    """The ways in by which the CRM tells of changes, by their source. Raises ConfigurationError; makes no call."""
    if not isinstance(crm.connector, OffersHints):
        return {}
    return {hint.source: hint for hint in crm.connector.build_hints(crm.context)}


def identify_org(source: CrmSource, ledger: Ledger) -> str:
    """The id of the CRM account that answers, checked against the ledger's own (B25)."""
    with ledger.read() as connection:
        known = marks.read_mark(connection, marks.ORG)
    return identify(source, known, ledger.where)


@contextmanager
def assemble(settings: Settings, clock: Clock, *, exclusive: bool, shared: bool = False) -> Iterator[Parts]:
    """Everything a worker needs, given back at the end.

    exclusive: keep every other daemon off the ledger; commands that only look leave it False. shared: keep off those
    alone that would not share it. Raises ConfigurationError, LedgerBusyError, LedgerBrokenError, and what
    CrmSource.identity raises.
    """
    crm, mail = connect_crm(settings, clock), connect_mail(settings, clock)
    ledger = Ledger(settings.ledger.url)
    try:
        if shared:
            ledger.share(settings.cluster.name)
        elif exclusive:
            ledger.lock()
        ledger.migrate()  # after the lock: never under a daemon that is at work
        mailboxes = build_mailboxes(connect_mailboxes(settings, clock), ledger, clock)
        source = crm.connector.build_source(crm.context)
        if isinstance(source, CountsCalls):
            source.meter.keep(KeptCalls(ledger))
        mailer = mail.connector.build_mailer(mail.context)
        try:
            org_id = identify_org(source, ledger)
            yield Parts(
                org_id=org_id,
                ledger=ledger,
                source=source,
                sink=crm.connector.build_sink(crm.context, source),
                mailer=mailer,
                feed=mail.connector.build_feed(mail.context),
                composer=build_composer(settings, org_id),
                clock=clock,
                limits=build_limits(settings),
                replies=build_replies(settings),
                hooks=build_hooks(crm, mail),
                hints=build_hints(crm),
                mailboxes=mailboxes,
                draining=OneOfAll(ledger, engines.DRAINING) if shared else Lock(),
            )
        finally:
            mailboxes.close()
            mailer.close()
    finally:
        ledger.close()
