"""Bytes to an InboundMail. Any bytes: what cannot be read is left out, never raised about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from crmdrip.core.inbound import InboundMail
from crmdrip.core.keys import normalize_address
from crmdrip.inbound import limits
from crmdrip.inbound.addresses import is_plausible, join_addresses, read_addresses, read_message_ids
from crmdrip.inbound.calendar import read_calendar
from crmdrip.inbound.markup import HISTORY_MARK, html_to_text
from crmdrip.inbound.mime import Part, read_parts
from crmdrip.inbound.quotes import Split, split_text
from crmdrip.inbound.reports import read_report

_DELIVERED = (
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-to",
    "x-delivered-to",
    "x-forwarded-to",
    "apparently-to",
    "x-rcpt-to",
    "resent-to",
    "x-ms-exchange-organization-originalenveloperecipients",
)
"""Fields in which relays note whom a mail was for; none is standard, all are in use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Slot:
    """One text of a mail in the forms it comes in; "" where a form is missing."""

    plain: str
    html: str


def read_mail(raw: bytes, *, envelope_to: Iterable[str] = ()) -> InboundMail:
    """One mail from its bytes. envelope_to: the addresses it was delivered for, where the way in knows them."""
    root = read_parts(raw)
    headers = root.headers

    def addresses(*names: str) -> list[tuple[str, str]]:
        return [pair for name in names for value in headers.get(name, ()) for pair in read_addresses(value)]

    senders = addresses("from") or addresses("sender") or addresses("return-path")
    name, sender = senders[0] if senders else ("", "")
    slots = list(_texts(root))[: limits.TEXT_PARTS]
    whole = _join(slot.plain or html_to_text(slot.html).replace(HISTORY_MARK, "") for slot in slots)
    split = _split(slots)
    envelope = [one for one in map(normalize_address, envelope_to) if is_plausible(one)]
    to, cc = _only(addresses("to")), _only(addresses("cc"))
    parts = list(root.walk())
    return InboundMail(
        message_id=next(iter(read_message_ids(_first(root, "message-id"))), ""),
        in_reply_to=read_message_ids(" ".join(headers.get("in-reply-to", ()))),
        references=read_message_ids(" ".join(headers.get("references", ()))),
        sender=sender,
        sender_name=name,
        reply_to=_only(addresses("reply-to")),
        to=to,
        cc=cc,
        delivered_to=join_addresses(envelope, _only(addresses(*_DELIVERED)), to, cc),
        subject=_first(root, "subject")[: limits.SUBJECT_CHARACTERS],
        date=_read_date(_first(root, "date")),
        text=split.newest,
        signature=split.signature,
        quoted=split.quoted,
        headers=headers,
        calendar=next(
            filter(None, (read_calendar(part) for part in parts if part.media_type == "text/calendar")), None
        ),
        report=read_report(root, whole),
        attachments=tuple(part.filename for part in parts if part.filename)[: limits.ATTACHMENTS],
        truncated=len(raw) > limits.RAW_BYTES or any(part.cut for part in parts),
    )


def _first(part: Part, name: str) -> str:
    return part.headers.get(name, ("",))[0]


def _only(pairs: list[tuple[str, str]]) -> tuple[str, ...]:
    return join_addresses(address for _, address in pairs)


def _read_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value[:100])
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date
        date = date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return date if 1990 <= date.year <= 2100 else None


def _texts(part: Part) -> Iterator[_Slot]:
    """The texts a mail program would show, in order."""
    if part.media_type == "multipart/alternative":
        inner = [list(_texts(one)) for one in part.parts]
        plain = next((_join(slot.plain for slot in slots) for slots in inner if any(slot.plain for slot in slots)), "")
        html = next((_join(slot.html for slot in slots) for slots in inner if any(slot.html for slot in slots)), "")
        if plain or html:
            yield _Slot(plain=plain, html=html)
    elif part.parts:
        for one in part.parts:
            yield from _texts(one)
    elif part.attached or part.filename:
        return
    elif part.media_type == "text/html":
        if (html := part.text()).strip():
            yield _Slot(plain="", html=html)
    elif part.media_type in ("text/plain", "text/enriched", "text") and (plain := part.text()).strip():
        yield _Slot(plain=plain.replace(HISTORY_MARK, ""), html="")


def _join(texts: Iterable[str]) -> str:
    return "\n\n".join(text for text in texts if text.strip())[: limits.TEXT_CHARACTERS]


def _split(slots: list[_Slot]) -> Split:
    """The newest part and the rest: from plain text, unless only the HTML shows where the history begins."""
    split = split_text(_join(slot.plain or html_to_text(slot.html) for slot in slots))
    if split.fenced or not any(slot.plain and slot.html for slot in slots):
        return split
    other = split_text(_join(html_to_text(slot.html) if slot.html else slot.plain for slot in slots))
    return other if other.fenced and other.newest and len(other.newest) < len(split.newest) else split
