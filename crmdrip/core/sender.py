"""Who an email is from, and how they sign. Never decides whether a sender may change (core.plan does)."""

from __future__ import annotations

import html
import re
from email.utils import parseaddr
from functools import lru_cache

from crmdrip.core.body import plain_to_html
from crmdrip.core.keys import normalize_address
from crmdrip.core.markup import clean_source
from crmdrip.core.model import Owner, SenderPolicy, Sequence
from crmdrip.core.plaintext import to_plaintext
from crmdrip.core.reasons import HoldReason, Reason
from crmdrip.core.sanitize import looks_like_html, sanitize
from crmdrip.core.struct import Struct
from crmdrip.core.values import UNPRINTABLE

NAME_LIMIT = 100
SIGNATURE_LIMIT = 20_000
"""Characters; a longer one holds the email."""

_ADDRESS = re.compile(r"[^\s@<>,;:\"\\()\[\]]+@[^\s@<>,;:\"\\()\[\]]+")
_NOT_IN_NAMES = re.compile(r"[\"<>\\{}]")


class Sender(Struct, frozen=True, kw_only=True):
    """Whoever the email is from."""

    address: str
    name: str
    """Fit for a display name; "" when there is none."""
    title: str = ""
    phone: str = ""
    signature: str = ""
    """As the CRM keeps it: HTML or plain text."""


class SignOff(Struct, frozen=True, kw_only=True):
    """How a sender signs, in both forms; each "" when there is nothing to sign with."""

    html: str
    text: str


def resolve_sender(sequence: Sequence, owner: Owner | None) -> Sender | Reason:
    """Who this sequence's email is from. owner: the user whose email it is, as core.plan decided.

    A fixed sender signs as its owner only when the address is theirs.
    """
    if sequence.sender_policy is SenderPolicy.FIXED:
        name, address = parseaddr(sequence.from_address)
        if not is_address(address):
            return Reason(code=HoldReason.SENDER_BROKEN, detail="the sequence's From Address")
        if owner is not None and normalize_address(owner.email) == normalize_address(address):
            return _person(owner, address, name or owner.name)
        return Sender(address=address, name=clean_name(name))
    if owner is None:
        return Reason(code=HoldReason.SENDER_BROKEN, detail="the record's owner")
    shown = clean_name(owner.name) or owner.id
    if not owner.is_person:
        return Reason(code=HoldReason.SENDER_BROKEN, detail=f"{shown} is a queue and")
    if not owner.active:
        return Reason(code=HoldReason.SENDER_BROKEN, detail=f"{shown} is deactivated and")
    address = owner.email.strip()
    if not is_address(address):
        return Reason(code=HoldReason.SENDER_BROKEN, detail=f"{shown} has no valid email address and")
    return _person(owner, address, owner.name)


def is_address(text: str) -> bool:
    """Whether a text is one bare email address, with a domain that exists in ASCII."""
    return _ADDRESS.fullmatch(text) is not None and (text.isascii() or bool(normalize_address(text)))


def _person(owner: Owner, address: str, name: str) -> Sender:
    return Sender(
        address=address, name=clean_name(name), title=owner.title, phone=owner.phone, signature=owner.signature
    )


@lru_cache(maxsize=4096)
def clean_name(name: str) -> str:
    """A name as it may stand beside an address: one line, no quotes, brackets or braces."""
    return " ".join(_NOT_IN_NAMES.sub("", UNPRINTABLE.sub(" ", name)).split())[:NAME_LIMIT].rstrip()


@lru_cache(maxsize=1024)
def sign_off(sender: Sender) -> SignOff | Reason:
    """The sender's signature, or name, title and phone where there is none."""
    given = sender.signature.strip()
    if not given:
        lines = [clean_name(line) for line in (sender.name, sender.title, sender.phone)]
        lines = [line for line in lines if line]
        if not lines:
            return SignOff(html="", text="")
        return SignOff(html=f"<p>{'<br>'.join(map(html.escape, lines))}</p>", text="\n".join(lines))
    if len(given) > SIGNATURE_LIMIT or "{" in given or "}" in given:
        who = sender.name or sender.address
        return Reason(code=HoldReason.TEMPLATE_BROKEN, detail=f"the signature of {who} has a brace or is too long")
    given = clean_source(given)
    clean = sanitize(given).html if looks_like_html(given) else plain_to_html(given)
    return SignOff(html=clean, text=to_plaintext(clean))
