"""An answer as it is sent on to the rep: one email that looks like the person's and is answered to the person.

It says what came in and no more: attachments stay where they are, since nobody here opens them, and are named. It is
marked as a machine's, so that no rep's own out-of-office answers it, and refused where it comes back (`is_loop`).
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from crmdrip.core.inbound import InboundMail
from crmdrip.core.keys import domain_of
from crmdrip.core.message import EmailMessage
from crmdrip.core.sender import clean_name, is_address
from crmdrip.core.struct import replace
from crmdrip.core.words import clip

LOOP = "X-Loop"
"""Carries the reply domain: a mail with ours in it was sent on by us already."""

TEXT_LIMIT = 100_000
"""Characters of the newest part and of what it quotes, each."""

REFERENCES = 10
NAMED = 10
"""Attachments that are named."""

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_BREAKS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwarding:
    """Where an answer is sent on."""

    id: str
    """32 lower-case hex characters: of this mail and this rep, the same however often it is read."""
    to: str
    """The rep: whom the email that is answered was from; "" while that is not known (`address_forward`)."""
    domain: str
    """The reply domain."""
    answers: str = ""
    """What it answers, as a clause: "step 2 of 4 of Intro"; "" where that is not known."""


def is_loop(mail: InboundMail, domain: str) -> bool:
    """Whether we sent the mail on already, so that it must go nowhere again."""
    return bool(domain) and any(domain.lower() in value.lower() for value in mail.headers.get(LOOP.lower(), ()))


def compose_forward(mail: InboundMail, forwarding: Forwarding) -> EmailMessage | None:
    """The email to the rep; None where there is no address to answer to, or what is to be its own is none."""
    person = next((one for one in (*mail.reply_to, mail.sender) if is_address(one)), "")
    if not person or (forwarding.to and not is_address(forwarding.to)):
        return None
    text = _text(mail, forwarding, person)
    thread = [one for one in (*mail.references, mail.message_id) if _MESSAGE_ID.fullmatch(one)][-REFERENCES:]
    headers = {
        LOOP: forwarding.domain,
        "Auto-Submitted": "auto-generated",  # RFC 3834: answer this with no vacation message
        "X-Auto-Response-Suppress": "All",  # the same for Exchange
    }
    if thread:
        headers |= {"In-Reply-To": thread[-1], "References": " ".join(thread)}
    subject = " ".join(_BREAKS.sub(" ", mail.subject).split())
    name = clean_name(mail.sender_name) or person
    message = EmailMessage(
        touch_id=forwarding.id,
        to_address="",
        to_name="",
        from_address="",
        from_name=clean_name(name),
        reply_to=person,
        subject=clip(subject) or "(no subject)",
        html=f'<html><body><div dir="auto" style="white-space:pre-wrap">{html.escape(text)}</div></body></html>',
        text=text,
        headers=headers,
    )
    return address_forward(message, forwarding.to) if forwarding.to else message


def address_forward(message: EmailMessage, to: str) -> EmailMessage:
    """The email from the rep to the rep, whose address it is."""
    own = {"Message-ID": f"<{message.touch_id}@{domain_of(to)}>"}
    return replace(message, to_address=to, from_address=to, headers={**own, **message.headers})


def _text(mail: InboundMail, forwarding: Forwarding, person: str) -> str:
    """What they wrote, what is said about it, and what they quote, in this order."""
    notes = [f"{_answered(mail, forwarding, person)} Your answer goes to {person}."]
    if mail.attachments:
        named = ", ".join(_BREAKS.sub(" ", one) for one in mail.attachments[:NAMED])
        more = f" and {len(mail.attachments) - NAMED} more" if len(mail.attachments) > NAMED else ""
        notes.append(f"Attached, and not sent on: {named}{more}. Ask for them where you need them.")
    if mail.truncated or len(mail.text) > TEXT_LIMIT or len(mail.quoted) > TEXT_LIMIT:
        notes.append("The email was longer; the rest is left out.")
    parts = [_clean(mail.text), "-- \n" + "\n".join(notes)]
    if mail.quoted.strip():
        parts.append("\n".join(f"> {line}" for line in _clean(mail.quoted).splitlines()))
    return "\n\n".join(part for part in parts if part) + "\n"


def _answered(mail: InboundMail, forwarding: Forwarding, person: str) -> str:
    who = clean_name(mail.sender_name) or person
    return f"{who} answered {forwarding.answers}." if forwarding.answers else f"{who} wrote this."


def _clean(text: str) -> str:
    """The text bounded, without what no mail may hold: a lone surrogate, a NUL."""
    shown = text[:TEXT_LIMIT].replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")
    return shown.encode("utf-8", "replace").decode("utf-8").strip()
