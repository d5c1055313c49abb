"""Whose answer a mail is (B6): by signed reply address, thread, address, another address of the same human, or company.

`read_clues` says what to look up, `find_whose` decides from what was found. Neither looks anything up, and neither
says what the mail is: a machine's answer is found to its person just the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from crmdrip.core.freemail import is_free_mail
from crmdrip.core.inbound import InboundMail
from crmdrip.core.keys import domain_of
from crmdrip.core.model import RecordRef

TOUCHES = 20
"""Touches a mail is looked up by: a long thread names the same ones again and again."""

_OURS = re.compile(r"<([0-9a-f]{32})@", re.IGNORECASE)
"""A Message-ID we minted (keys.message_id). It is no secret to whoever got the email, and to nobody else known."""

TOUCH_HEADER = "x-crmdrip-touch"
"""Carried by emails that go out by SMTP, and given back by reports that quote our headers."""

_TOUCH_ID = re.compile(r"[0-9a-f]{32}")

_NO_DOTS = frozenset({"gmail.com", "googlemail.com"})
"""Dots mean nothing there, and the two are one."""

_WORD = re.compile(r"[^\W\d_]+")
_ASIDE = re.compile(r"[(\[].*?[)\]]")
_SEPARATORS = re.compile(r"[._'-]+")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa", "ø": "oe", "æ": "ae", "ł": "l"})


class How(StrEnum):
    """By what a mail was found to belong to somebody."""

    TOKEN = "token"  # noqa: S105  the name of a way, no secret
    """Sent to the signed reply address of one touch."""
    THREAD = "thread"
    """It answers a Message-ID of ours."""
    ADDRESS = "address"
    """Written from the address we write to."""
    ALIAS = "alias"
    """Written from another address of the same human."""
    COMPANY = "company"
    """Written from the company of somebody we write to, by somebody we do not know."""
    OURSELVES = "ourselves"
    """Written by our own side: a copy of what we sent, or a colleague of the rep (B7)."""
    NOBODY = "nobody"


@dataclass(frozen=True, kw_only=True, slots=True)
class Clues:
    """What to look up for a mail."""

    tagged: tuple[str, ...] = ()
    """Touch ids by signed reply addresses."""
    threaded: tuple[str, ...] = ()
    """Touch ids by Message-IDs of ours, the one answered first."""
    copied: str = ""
    """The touch whose email this itself is, "" when it is none (B7)."""
    addresses: tuple[str, ...] = ()
    """Normalized addresses of whoever wrote it, as written and without what a tag adds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Addressee:
    """Somebody we write to, or wrote to."""

    address: str
    """Normalized."""
    ref: RecordRef
    sender: str = ""
    """Who wrote to them, normalized; "" where nobody did yet."""
    touch_id: str = ""
    """The touch by which they were found; "" where it was another way."""
    mailed: str = ""
    """Where that touch went, normalized: not `address`, where that was changed since."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the look-up found."""

    by_touch: Mapping[str, Addressee]
    """By the touch ids of the clues."""
    by_address: Mapping[str, Addressee]
    """By the addresses of the clues."""
    nearby: Sequence[Addressee] = ()
    """People with a run at the writer's domain, or at a free-mail domain with a like address."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Whose:
    """Whose mail it is."""

    how: How
    people: tuple[Addressee, ...] = ()
    """Those who answered by it, the surest first: whoever a forwarded email was for, and whoever wrote the answer.
    Empty for COMPANY, OURSELVES and NOBODY."""


def read_clues(mail: InboundMail, read_tag: Callable[[str], str | None]) -> Clues:
    """What to look up. read_tag: the touch id of a tag in a reply address (tokens.ReplyTokens.read)."""
    tags = (address.rpartition("@")[0].partition("+")[2] for address in mail.delivered_to)
    tagged = [touch for tag in tags if tag and (touch := read_tag(tag)) is not None]
    reported = mail.report.message_ids if mail.report is not None else ()
    returned = mail.report.headers.get(TOUCH_HEADER, ()) if mail.report is not None else ()
    named = [*mail.in_reply_to, *reversed(mail.references), *reported]
    threaded = [one for value in returned if _TOUCH_ID.fullmatch(one := value.strip().lower())]
    threaded += [found[1].lower() for name in named if (found := _OURS.match(name)) is not None]
    own = _OURS.match(mail.message_id)
    written = [address for address in (mail.sender, *mail.reply_to) if address]
    return Clues(
        tagged=tuple(dict.fromkeys(tagged))[:TOUCHES],
        threaded=tuple(dict.fromkeys(threaded))[:TOUCHES],
        copied=own[1].lower() if own is not None else "",
        addresses=tuple(dict.fromkeys(one for address in written for one in (address, strip_tag(address)))),
    )


def find_whose(mail: InboundMail, clues: Clues, known: Known) -> Whose:
    """Whose mail it is: by token, then thread, then address, then alias, then company."""
    if clues.copied in known.by_touch:
        return Whose(how=How.OURSELVES)
    for how, touches in ((How.TOKEN, clues.tagged), (How.THREAD, clues.threaded)):
        found = next((known.by_touch[touch] for touch in touches if touch in known.by_touch), None)
        if found is not None:
            if mail.report is None and _is_own_side(mail, found):  # our own server writes reports, too
                return Whose(how=How.OURSELVES)
            return Whose(how=how, people=_with_writer(found, mail, clues, known))
    writers = _writers(mail, clues, known)
    if writers:
        exact = writers[0].address in clues.addresses[:1]
        return Whose(how=How.ADDRESS if exact else How.ALIAS, people=writers)
    if any(is_company(domain_of(mail.sender)) and _same_company(mail.sender, one.address) for one in known.nearby):
        return Whose(how=How.COMPANY)
    return Whose(how=How.NOBODY)


def is_company(domain: str) -> bool:
    """Whether two people of the domain are colleagues."""
    return bool(domain) and not is_free_mail(domain)


def strip_tag(address: str) -> str:
    """The address without a tag: ann+crm@acme.example is ann@acme.example."""
    local, _, domain = address.rpartition("@")
    base = local.partition("+")[0]
    return f"{base}@{domain}" if base else address


def same_mailbox(one: str, other: str) -> bool:
    """Whether two normalized addresses are one mailbox: tags, Gmail's dots, a host below the domain (B6)."""
    (local, domain), (other_local, other_domain) = _mailbox(one), _mailbox(other)
    if local != other_local or not local:
        return False
    return domain == other_domain or (
        is_company(domain) and (domain.endswith(f".{other_domain}") or other_domain.endswith(f".{domain}"))
    )


def _mailbox(address: str) -> tuple[str, str]:
    local, _, domain = strip_tag(address).rpartition("@")
    return (local.replace(".", ""), "gmail.com") if domain in _NO_DOTS else (local, domain)


def names_address(name: str, address: str) -> bool:
    """Whether a display name spells the address's local part: "Ann Lee" spells ann.lee@, alee@, lee.ann@, annl@."""
    spelled = set(_spellings(name))
    local = _SEPARATORS.sub("", strip_tag(address).rpartition("@")[0])
    return len(local) > 2 and local in spelled


def _spellings(name: str) -> Iterable[str]:
    bare = _ASIDE.sub(" ", name).casefold()
    for text in (bare.translate(_UMLAUTS), _without_accents(bare)):
        words = _WORD.findall(_without_accents(text).replace("'", ""))
        if len(words) < 2:
            continue
        for first, last in ((words[0], words[-1]), (words[-1], words[0])):
            yield from (first + last, first[0] + last, first + last[0])
        yield "".join(words)


def _without_accents(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))


def _is_own_side(mail: InboundMail, found: Addressee) -> bool:
    """Whether the rep, or somebody of the rep's company, wrote it in the thread: no answer of the person (B7)."""
    if not found.sender or same_mailbox(mail.sender, found.address):
        return False
    if same_mailbox(mail.sender, found.sender):
        return True
    domain = domain_of(mail.sender)
    return domain == domain_of(found.sender) and is_company(domain) and domain != domain_of(found.address)


def _with_writer(found: Addressee, mail: InboundMail, clues: Clues, known: Known) -> tuple[Addressee, ...]:
    """Whoever the email was for, and whoever answered it, where that is somebody else we write to (a forwarded one)."""
    others = [one for one in _writers(mail, clues, known) if one.address != found.address and one.ref != found.ref]
    return (found, *others)


def _writers(mail: InboundMail, clues: Clues, known: Known) -> tuple[Addressee, ...]:
    """Whoever wrote the mail: by address, else as another address of the same human, where only one can be meant."""
    exact = tuple(known.by_address[one] for one in clues.addresses if one in known.by_address)
    if exact:
        return tuple(dict.fromkeys(exact))
    same = [one for one in known.nearby if any(same_mailbox(one.address, written) for written in clues.addresses)]
    if not same:
        same = [
            one
            for one in known.nearby
            if _same_company(mail.sender, one.address) and names_address(mail.sender_name, one.address)
        ]
        if len({one.address for one in same}) > 1:
            return ()
    return tuple(dict.fromkeys(same))


def _same_company(one: str, other: str) -> bool:
    domain, other_domain = domain_of(one), domain_of(other)
    return is_company(domain) and (
        domain == other_domain or domain.endswith(f".{other_domain}") or other_domain.endswith(f".{domain}")
    )
