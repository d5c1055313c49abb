"""A mail that came in is read, found to its person, and acted on, in one transaction (B5 to B8, B22).

Whatever says "stop" stops every run of the person at once; what only looks like an answer does not. What a person wrote
goes on the timeline, and on to the rep where it came to us instead of them. Never twice, by however many ways it comes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from crmdrip.core import unsubscribing, words
from crmdrip.core.forward import is_loop
from crmdrip.core.freemail import is_free_mail
from crmdrip.core.hearing import HUMAN, SOURCE, Heard, read_signals, reported_addresses
from crmdrip.core.inbound import InboundMail, MailKind, Reading
from crmdrip.core.keys import domain_of
from crmdrip.core.model import Signal
from crmdrip.core.received import RawMail
from crmdrip.core.whose import Addressee, Clues, How, Known, Whose, find_whose, read_clues
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import load_background
from crmdrip.daemon.telling import Telling
from crmdrip.daemon.twins import tell
from crmdrip.daemon.unsubscribing import unsubscribe
from crmdrip.inbound import classify, read_mail
from crmdrip.ledger import addressees, mails
from crmdrip.ledger.mails import ReadMail

log = structlog.get_logger()

KEPT_LIMIT = 1_000_000
"""Bytes kept of what somebody wrote whom nobody here knows."""

KEPT = timedelta(days=90)
"""How long it is known what a mail was taken for, and what a stranger wrote is kept."""

MAILBOX = "imap:"
"""How the source of a listened mailbox begins. Most that comes there is nobody's business here, and nothing of it is
kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    """A mail that was read, before anything is known of whose it is."""

    key: str
    raw: RawMail
    mail: InboundMail
    reading: Reading
    at: datetime


def take_mail(parts: Parts, raw: RawMail, now: datetime) -> None:
    """Read one mail and do everything it causes; a mail that was taken before changes nothing.

    Raises LedgerBrokenError, and nothing else whatever the bytes are.
    """
    opened = _open(raw, now)
    with parts.ledger.read() as connection:
        # Before the transaction in which it is acted on: a stranger's mail is compared with everybody at their domain,
        # and nobody should wait for that.
        if mails.is_known(connection, opened.key):
            return
        heard = _find(connection, parts, opened)
    with parts.ledger.write() as connection:
        if mails.is_known(connection, opened.key):
            return
        suppressing = _take(connection, parts, opened, heard, now=now)
    tell(parts, suppressing)


def forget_mails(parts: Parts) -> None:
    """Drop what is known of mails that came in long ago."""
    with parts.ledger.write() as connection:
        mails.forget_before(connection, parts.clock.now() - KEPT)


def _open(raw: RawMail, now: datetime) -> _Opened:
    mail = read_mail(raw.body, envelope_to=raw.envelope_to)
    at = min(raw.received_at, now)  # a mailbox's clock may be ahead
    return _Opened(key=_key(raw, mail), raw=raw, mail=mail, reading=classify(mail, at), at=at)


def _key(raw: RawMail, mail: InboundMail) -> str:
    """The same for one mail that comes twice, or by two ways: each way adds headers of its own."""
    told = f"{mail.message_id}\x1f{mail.sender}\x1f{mail.subject}".encode() if mail.message_id else raw.body
    return hashlib.sha256(b"mail\x1f" + told).hexdigest()[:32]


def _take(connection: Connection, parts: Parts, opened: _Opened, heard: Heard, *, now: datetime) -> list[Signal]:
    """Returns the signals that every record of their address is to be told of."""
    mail, replies = opened.mail, parts.replies
    if is_loop(mail, replies.domain):
        _keep(connection, opened, Whose(how=How.OURSELVES))
        return []
    who = unsubscribing.read_mail(
        mail, domain=replies.domain, tags=replies.tags, tokens=replies.unsubscribes, org=parts.org_id
    )
    if who is not None:
        _keep(connection, opened, Whose(how=How.TOKEN), kind=MailKind.UNSUBSCRIBE)
        return unsubscribe(connection, who, SOURCE, now)
    background = load_background(connection)
    telling = Telling(connection, parts, heard, background, now=now)
    suppressing = apply_signals(connection, read_signals(heard), background, parts.org_id, now)
    telling.tell()
    _keep(connection, opened, heard.whose)
    log.info(
        "mail_read",
        mail=opened.key,
        source=opened.raw.source,
        kind=opened.reading.kind.value,
        why=opened.reading.why,
        how=heard.whose.how.value,
        records=[person.ref.id for person in heard.whose.people],
    )
    return suppressing


def _find(connection: Connection, parts: Parts, opened: _Opened) -> Heard:
    """The mail with whose it is."""
    mail = opened.mail
    return Heard(
        key=opened.key,
        mail=mail,
        reading=opened.reading,
        whose=_find_whose(connection, parts, mail),
        at=opened.at,
        reported=addressees.last_mailed(connection, reported_addresses(mail)),
    )


def _find_whose(connection: Connection, parts: Parts, mail: InboundMail) -> Whose:
    clues = read_clues(mail, parts.replies.tokens.read)
    touches = {*clues.tagged, *clues.threaded, *filter(None, [clues.copied])}
    found = addressees.by_touches(connection, touches)
    exact = addressees.by_addresses(connection, clues.addresses)
    needs_nearby = not exact and not any(touch in found for touch in touches)
    nearby = _nearby(connection, mail.sender, clues) if needs_nearby else []
    return find_whose(mail, clues, Known(by_touch=found, by_address=exact, nearby=nearby))


def _nearby(connection: Connection, sender: str, clues: Clues) -> list[Addressee]:
    """People at the writer's company, or at free mail under a like name."""
    domain = domain_of(sender)
    if not domain:
        return []
    if is_free_mail(domain):
        found = {one for address in clues.addresses for one in addressees.addresses_like(connection, address)}
    else:
        found = set(addressees.addresses_at(connection, domain))
    return list(addressees.by_addresses(connection, sorted(found)).values())


def _keep(connection: Connection, opened: _Opened, whose: Whose, *, kind: MailKind | None = None) -> None:
    """Remember that it was read; all of it, where a person wrote to us whom nobody here knows (P3)."""
    mail, raw = opened.mail, opened.raw
    kind = kind or opened.reading.kind
    stranger = whose.how is How.NOBODY and kind in (*HUMAN, MailKind.UNREADABLE, MailKind.CALENDAR)
    private = whose.how is How.NOBODY and raw.source.startswith(MAILBOX)
    person = whose.people[0] if whose.people else None
    mails.keep(
        connection,
        ReadMail(
            key=opened.key,
            received_at=opened.at,
            source=raw.source[:64],
            kind=kind.value,
            why=opened.reading.why[:64],
            how=whose.how.value,
            sender="" if private else mail.sender[:320],
            subject="" if private else words.clip(mail.subject).replace("\x00", ""),
            address=person.address if person is not None else "",
            record_id=person.ref.id if person is not None else "",
            touch_id=person.touch_id if person is not None else "",
            body=raw.body[:KEPT_LIMIT] if stranger and not private else b"",
        ),
    )
    if stranger and not private:
        log.warning("mail_of_nobody_known", mail=opened.key, source=raw.source, kind=kind.value)
