"""Unsubscribing by mail and from one sequence alone: how a wish is addressed, read back, and shown on the timeline.

What RFC 2369 calls `mailto:` in List-Unsubscribe is for mail programs that do not know the one-click request of RFC
8058. Whoever sends such a mail need not be the person (a mail program may use any of their addresses): the signature
in the address or the subject says who is meant, and nothing else does. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from crmdrip.core.inbound import InboundMail
from crmdrip.core.keys import touch_id
from crmdrip.core.model import Enrollment, Sequence
from crmdrip.core.tokens import Unsubscriber, UnsubscribeTags, UnsubscribeTokens
from crmdrip.core.words import clip, day
from crmdrip.core.writes import TaskWrite

LOCAL = "unsubscribe"
"""What stands before the tag. With it a local part has 60 characters, and 64 may be (RFC 5321 section 4.5.3.1.1)."""

LEFT = "Unsubscribed from this sequence"
"""The outcome of a timeline entry by which a lost ledger learns again who left a sequence."""


def unsubscribe_address(tag: str, domain: str) -> str:
    """Where a mail unsubscribes the owner of a tokens.UnsubscribeTags tag."""
    return f"{LOCAL}+{tag}@{domain}"


def read_address(addresses: Iterable[str], domain: str, tags: UnsubscribeTags, org: str) -> Unsubscriber | None:
    """Who is unsubscribed by a mail to these normalized addresses; None when none of them is one of ours (B28).

    domain: the one whose mail comes to us. org: the CRM account.
    """
    prefix, suffix = f"{LOCAL}+", f"@{domain.lower()}"
    for address in addresses:
        local, at, host = address.lower().rpartition("@")
        if local.startswith(prefix) and at + host == suffix:
            who = tags.read(local.removeprefix(prefix), org)
            if who is not None:
                return who
    return None


def read_mail(
    mail: InboundMail, *, domain: str, tags: UnsubscribeTags, tokens: UnsubscribeTokens, org: str
) -> Unsubscriber | None:
    """Who is unsubscribed by a mail: by its address, else by a token as its subject, as `[unsubscribe] mailto` asks.

    Always from everything: whoever wrote such a mail saw no choice. None when it is no such mail (B28).
    """
    who = read_address(mail.delivered_to, domain, tags, org) if domain else None
    if who is None:
        who = tokens.read(mail.subject.strip())
        who = None if who is None or who.org != org else Unsubscriber(person=who.person, org=org)
    return who


def left_task(run: Enrollment, sequence: Sequence | None, org_id: str, at: datetime) -> TaskWrite:
    """The timeline entry that says a person left the run's sequence: for people, and for a rebuild (P6)."""
    name = sequence.name if sequence is not None else run.sequence_id
    touch = touch_id(org_id, run.person, run.sequence_id, run.run, f"left:{run.ref.id}")
    return TaskWrite(
        key=f"task:{touch}",
        touch_id=touch,
        ref=run.ref,
        owner_id=run.owner_id,
        at=at,
        subject=clip(f"Unsubscribed from {name}"),
        body=(
            f"On {day(at)} the person unsubscribed from this sequence alone. It does not write to them again. Other"
            " sequences may."
        ),
        sequence=name,
        sequence_id=run.sequence_id,
        step="",
        step_id="",
        run=run.run,
        outcome=LEFT,
        note=True,
    )
