"""How each mail that came back was taken, held against what it really was. The truth comes from the world."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from crmdrip.core import words
from crmdrip.core.inbound import MailKind
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import SignalKind
from crmdrip.ledger.schema import mail, signal
from crmdrip.ledger.store import Ledger

Answer = Mapping[str, Any]
"""As the sandbox tells it."""

HUMAN = frozenset({"reply", "unsubscribe"})
"""Truths and kinds: a person wrote it."""
MACHINE = frozenset({"out_of_office", "auto_reply", "left_company", "receipt", "bounce"})
"""Nobody wrote it. A calendar's answer is a click of the person's, and neither."""

_TAKEN_FOR_MACHINE = frozenset(
    {
        *(MailKind.AUTO_REPLY, MailKind.OUT_OF_OFFICE, MailKind.LEFT_COMPANY),
        *(MailKind.BOUNCE, MailKind.COMPLAINT, MailKind.RECEIPT),
    }
)
_OF_CRM = (SignalKind.REPLY, SignalKind.UNSUBSCRIBE, SignalKind.AUTO_REPLY, SignalKind.OUT_OF_OFFICE)
"""What an email that was logged in the CRM can have become, the weightiest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What came back, and how it was taken."""

    replies: int = 0
    """Mails that people wrote."""
    auto_replies: int = 0
    """Mails that nobody wrote: absences, tickets, notices of leaving, receipts, delivery reports."""
    unheard: int = 0
    """Replies that came to the door, and that the ledger knows nothing of."""
    reply_taken_for_auto_reply: int = 0
    auto_reply_taken_for_reply: int = 0


def tally(answers: Iterable[Answer], ledger: Ledger) -> Tally:
    """Count, once everything is settled."""
    every = list(answers)
    with ledger.read() as connection:
        taken = _Taken(connection)
    unheard = reply_mistaken = machine_mistaken = 0
    for answer in every:
        kind = taken.kind_of(answer)
        if answer["truth"] in HUMAN:
            unheard += kind in ("", MailKind.UNREADABLE) and answer["way"] == "inbound_parse"
            reply_mistaken += kind in _TAKEN_FOR_MACHINE
        elif answer["truth"] in MACHINE:
            machine_mistaken += kind in HUMAN
    return Tally(
        replies=sum(answer["truth"] in HUMAN for answer in every),
        auto_replies=sum(answer["truth"] in MACHINE for answer in every),
        unheard=unheard,
        reply_taken_for_auto_reply=reply_mistaken,
        auto_reply_taken_for_reply=machine_mistaken,
    )


class _Taken:
    """What the ledger took mails for: those of the door by sender, subject and order, those of the CRM by their id."""

    def __init__(self, connection: Connection) -> None:
        self._by_mail: dict[tuple[str, str], deque[str]] = defaultdict(deque)
        for sender, subject, kind in connection.execute(
            select(mail.c.sender, mail.c.subject, mail.c.kind).order_by(mail.c.received_at)
        ):
            self._by_mail[sender, subject].append(kind)
        keys = connection.execute(select(signal.c.key).where(signal.c.kind.in_(_OF_CRM)))
        # "<crm>:<kind>:<record>", and the person behind that where a mail stands on several people's timelines.
        self._known = {tuple(key.split(":")[1:3]) for (key,) in keys}

    def kind_of(self, answer: Answer) -> str:
        """What it was taken for, "" for nothing at all."""
        if answer["way"] == "crm":
            found = (kind for kind in _OF_CRM if (kind.value, answer["record_id"]) in self._known)
            return next(found, "")
        kinds = self._by_mail[normalize_address(answer["sender"]), words.clip(" ".join(answer["subject"].split()))]
        return kinds.popleft() if kinds else ""
