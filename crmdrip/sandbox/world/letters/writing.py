"""Writes what comes back: from a truth and an occasion to a whole mail. The same random source, the same mail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from email.message import Message
from random import Random
from typing import Any

from crmdrip.sandbox.world.letters import mime
from crmdrip.sandbox.world.letters.letter import Letter, Occasion, Truth, Who
from crmdrip.sandbox.world.letters.phrases import phrases, write_date, write_moment
from crmdrip.sandbox.world.letters.quoting import Quoting, quote_html, quote_text

_RESPONDERS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")),
    (("Auto-Submitted", "auto-replied"), ("Precedence", "bulk"), ("X-Autoreply", "yes")),
    (("Auto-Submitted", "auto-replied (vacation)"),),
    (("X-Autorespond", "yes"), ("Precedence", "auto_reply")),
)
"""What automatic responders put into their headers: Exchange, Gmail, Sieve (RFC 5230), and an old one."""

_AUTO_HEADERS: Mapping[Truth, float] = {
    Truth.OUT_OF_OFFICE: 0.75,
    Truth.AUTO_REPLY: 0.8,
    Truth.LEFT_COMPANY: 0.7,
}
"""How many of each kind say in their headers that a machine wrote them. The others have to be recognized."""


@dataclass(kw_only=True, slots=True)
class _Sheet:
    """A mail while it is being written."""

    truth: Truth
    who: Who
    subject: str
    sender: str
    sender_name: str
    text: str = ""
    html: str = ""
    body: Message | None = None
    """Made of text and HTML where it is not given."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    shape: list[str] = field(default_factory=list)
    back: date | None = None
    threaded: bool = True


def write(truth: Truth, occasion: Occasion, random: Random, who: Who = Who.SELF) -> Letter:
    """A mail of a kind. who: for a reply, whose it is."""
    sheet = _WRITERS[truth](occasion, random, who)
    return _finish(sheet, occasion, random)


def write_words(text: str, occasion: Occasion, random: Random) -> Letter:
    """A reply with words given by somebody, above the history."""
    sheet = _sheet(Truth.REPLY, occasion, Who.SELF, _re(occasion, random))
    _quote(sheet, text, occasion, Quoting.TOP, random)
    return _finish(sheet, occasion, random)


def write_mailto(subject: str, occasion: Occasion, random: Random) -> Letter:
    """What a mail program sends for a mailto link of List-Unsubscribe."""
    sheet = _sheet(Truth.UNSUBSCRIBE, occasion, Who.SELF, subject or "unsubscribe")
    sheet.shape.append("mailto")
    sheet.threaded = False
    return _finish(sheet, occasion, random)


# the kinds


def _write_reply(occasion: Occasion, random: Random, who: Who) -> _Sheet:
    words = phrases(occasion.language)
    sheet = _sheet(Truth.REPLY, occasion, who, _re(occasion, random))
    kind = random.choices(["reply", "short", "vacation"], [70, 20, 10])[0]
    if who is Who.COLLEAGUE:
        kind = "colleague"
    sheet.shape.append(kind)
    answer = _fill(random.choice(words[kind]), occasion)
    if kind != "short":
        signature = occasion.other if who is Who.COLLEAGUE else occasion.first
        answer = f"{answer}\n\n{random.choice(words['closings'])}\n{signature}"
    if random.random() < 0.2:
        answer = f"{answer}\n\n{random.choice(words['mobile'])}"
    quoting = random.choices(list(Quoting), [45, 10, 8, 20, 17])[0]
    _quote(sheet, answer, occasion, quoting, random)
    sheet.threaded = random.random() < 0.93
    return sheet


def _write_unsubscribe(occasion: Occasion, random: Random, who: Who) -> _Sheet:
    sheet = _sheet(Truth.UNSUBSCRIBE, occasion, who, _re(occasion, random))
    answer = _fill(random.choice(phrases(occasion.language)["remove_me"]), occasion)
    _quote(sheet, answer, occasion, random.choice([Quoting.TOP, Quoting.BLOCK, Quoting.NONE]), random)
    return sheet


def _write_automatic(truth: Truth, section: str, occasion: Occasion, random: Random) -> _Sheet:
    """An out-of-office note or a ticket system's answer."""
    words = phrases(occasion.language)
    last = (occasion.at + timedelta(days=random.randrange(1, 16))).date()
    back = last + timedelta(days=1)
    dates = {
        "last": write_date(last, occasion.language, random),
        "back": write_date(back, occasion.language, random),
        "ticket": f"{random.choice(['#', 'CS-', 'T'])}{random.randrange(10_000, 999_999)}",
    }
    subject, text = random.choice(words[section]["subjects"]), random.choice(words[section]["texts"])
    sheet = _sheet(truth, occasion, Who.MACHINE, _fill(subject, occasion, **dates))
    sheet.text = _fill(text, occasion, **dates)
    if truth is Truth.OUT_OF_OFFICE:
        sheet.text = f"{sheet.text}\n\n{random.choice(words['closings'])}\n{occasion.first} {occasion.last}".rstrip()
        if any(name in subject + text for name in ("{back}", "{last}")):
            sheet.back = back
    elif random.random() < 0.5:
        sheet.sender, sheet.sender_name = f"support@{occasion.domain}", occasion.company
    _mark_automatic(sheet, random)
    if random.random() < 0.25:
        _quote(sheet, sheet.text, occasion, Quoting.TOP, random)
    return sheet


def _write_out_of_office(occasion: Occasion, random: Random, _: Who) -> _Sheet:
    return _write_automatic(Truth.OUT_OF_OFFICE, "out_of_office", occasion, random)


def _write_auto_reply(occasion: Occasion, random: Random, _: Who) -> _Sheet:
    return _write_automatic(Truth.AUTO_REPLY, "auto_reply", occasion, random)


def _write_left_company(occasion: Occasion, random: Random, _: Who) -> _Sheet:
    words = phrases(occasion.language)
    subject = random.choice([f"{words['automatic']}: {occasion.email.subject}", _re(occasion, random)])
    sheet = _sheet(Truth.LEFT_COMPANY, occasion, Who.MACHINE, subject)
    sheet.text = _fill(random.choice(words["left_company"]), occasion)
    _mark_automatic(sheet, random)
    return sheet


def _write_calendar(occasion: Occasion, random: Random, _: Who) -> _Sheet:
    answer, status = random.choice([("accepted", "ACCEPTED"), ("declined", "DECLINED"), ("tentative", "TENTATIVE")])
    topic = f"Intro call: {occasion.company}"
    subject = str(phrases(occasion.language)["calendar"][answer]).format(topic=topic)
    sheet = _sheet(Truth.CALENDAR, occasion, Who.SELF, subject)
    sheet.shape.append(answer)
    start = (occasion.at + timedelta(days=3)).replace(minute=0, second=0, microsecond=0)
    lines = [
        *("BEGIN:VCALENDAR", "PRODID:-//Sandbox//Calendar//EN", "VERSION:2.0", "METHOD:REPLY", "BEGIN:VEVENT"),
        f"UID:{random.getrandbits(96):024x}@acme.example",
        f"DTSTAMP:{occasion.at:%Y%m%dT%H%M%SZ}",
        f"DTSTART:{start:%Y%m%dT%H%M%SZ}",
        f"DTEND:{start + timedelta(minutes=30):%Y%m%dT%H%M%SZ}",
        f"SUMMARY:{topic}",
        f"ORGANIZER:mailto:{occasion.email.sender}",
        f"ATTENDEE;PARTSTAT={status}:mailto:{occasion.address}",
        *("END:VEVENT", "END:VCALENDAR", ""),
    ]
    sheet.text, sheet.threaded = subject, False
    sheet.body = mime.invitation(subject, "\r\n".join(lines), random)
    return sheet


def _write_receipt(occasion: Occasion, random: Random, _: Who) -> _Sheet:
    words = phrases(occasion.language)["receipt"]
    moment = write_moment(occasion.at.date(), f"{occasion.at:%H:%M}", occasion.language)
    sheet = _sheet(Truth.RECEIPT, occasion, Who.MACHINE, str(words["subject"]).format(topic=occasion.email.subject))
    sheet.text = _fill(str(words["text"]), occasion, sent=moment)
    sheet.shape.append("disposition")
    notification = "\r\n".join(
        (
            f"Reporting-UA: mail.{occasion.domain}; Sandbox",
            f"Final-Recipient: rfc822;{occasion.address}",
            f"Original-Message-ID: {occasion.message_id}",
            "Disposition: manual-action/MDN-sent-automatically; displayed",
            "",
        )
    )
    parts = [("message/disposition-notification", notification)]
    sheet.body = mime.report("disposition-notification", sheet.text, "utf-8", parts, random)
    return sheet


def _write_bounce(occasion: Occasion, random: Random, _: Who) -> _Sheet:
    words = phrases(occasion.language)["returned"]
    sheet = _sheet(Truth.BOUNCE, occasion, Who.MACHINE, str(words["subject"]).format(topic=occasion.email.subject))
    sheet.sender, sheet.sender_name = f"MAILER-DAEMON@{occasion.domain}", "Mail Delivery System"
    sheet.text = f"{str(words['text']).format(person=occasion.address)}\n\n<{occasion.address}>: 550 5.1.1 User unknown"
    returned = _returned_headers(occasion)
    if random.random() < 0.25:
        # A server that never heard of RFC 3464.
        sheet.shape.append("prose")
        sheet.text = f"{sheet.text}\n\n--- Below this line is a copy of the message.\n\n{returned}\n"
        return sheet
    sheet.shape.append("rfc3464")
    sheet.headers.append(("Auto-Submitted", "auto-replied"))
    status = "\r\n".join(
        (
            *(f"Reporting-MTA: dns; mx.{occasion.domain}", ""),
            f"Final-Recipient: rfc822; {occasion.address}",
            *("Action: failed", "Status: 5.1.1", "Diagnostic-Code: smtp; 550 5.1.1 User unknown", ""),
        )
    )
    parts = [("message/delivery-status", status), ("text/rfc822-headers", returned)]
    sheet.body = mime.report("delivery-status", sheet.text, "utf-8", parts, random)
    return sheet


def _returned_headers(occasion: Occasion) -> str:
    """The header fields of the email that came back, as far as they are ASCII."""
    email = occasion.email
    fields = [*email.headers.items(), ("From", email.sender), ("To", occasion.address), ("Subject", email.subject)]
    return "\n".join(f"{name}: {value if value.isascii() else '(not shown)'}" for name, value in fields)


_WRITERS: Mapping[Truth, Callable[[Occasion, Random, Who], _Sheet]] = {
    Truth.REPLY: _write_reply,
    Truth.UNSUBSCRIBE: _write_unsubscribe,
    Truth.OUT_OF_OFFICE: _write_out_of_office,
    Truth.AUTO_REPLY: _write_auto_reply,
    Truth.LEFT_COMPANY: _write_left_company,
    Truth.CALENDAR: _write_calendar,
    Truth.RECEIPT: _write_receipt,
    Truth.BOUNCE: _write_bounce,
}


# what they share


def _sheet(truth: Truth, occasion: Occasion, who: Who, subject: str) -> _Sheet:
    name = f"{occasion.first} {occasion.last}".strip()
    sheet = _Sheet(truth=truth, who=who, subject=subject, sender=occasion.address, sender_name=name)
    if who is Who.ALIAS:
        local = occasion.address.partition("@")[0].replace("+crm", "").replace(".", "")
        sheet.sender = f"{local}@mail.example"
    elif who is Who.COLLEAGUE:
        local = occasion.other.lower().replace(" ", ".")
        sheet.sender = occasion.other_address or f"{local}@{occasion.domain}"
        sheet.sender_name = occasion.other
    return sheet


def _mark_automatic(sheet: _Sheet, random: Random) -> None:
    """Say in the headers that a machine wrote it, as most machines do."""
    if random.random() < _AUTO_HEADERS[sheet.truth]:
        sheet.headers += random.choice(_RESPONDERS)
    else:
        sheet.shape.append("no headers")
    sheet.threaded = random.random() < 0.7


def _quote(sheet: _Sheet, answer: str, occasion: Occasion, quoting: Quoting, random: Random) -> None:
    sheet.text = quote_text(answer, occasion, quoting, random)
    sheet.shape.append(quoting.value)
    if random.random() < 0.6:
        sheet.html = quote_html(answer, occasion, quoting, random)
        sheet.shape.append("html")


def _re(occasion: Occasion, random: Random) -> str:
    subject, prefixes = occasion.email.subject, phrases(occasion.language)["prefixes"]
    lowered = subject.lower()
    if any(lowered.startswith(f"{prefix.lower()}:") for prefix in (*prefixes, "re")):
        return subject
    return f"{random.choice(prefixes)}: {subject}"


def _fill(text: str, occasion: Occasion, **more: Any) -> str:
    rep = (occasion.email.sender_name or occasion.email.sender).partition(" ")[0]
    values = {"first": occasion.first, "rep": rep, "other": occasion.other, "company": occasion.company}
    return text.format(**values, topic=occasion.email.subject, **more)


def _finish(sheet: _Sheet, occasion: Occasion, random: Random) -> Letter:
    machine = sheet.who is Who.MACHINE
    domain = sheet.sender.rpartition("@")[2]
    message_id = f"<{random.getrandbits(96):024x}@{domain}>"
    charset = "utf-8"
    body = sheet.body
    if body is None:
        charset = mime.choose_charset(occasion.language, sheet.text + sheet.html, random)
        if sheet.html:
            body = mime.alternative(sheet.text, sheet.html, charset, random)
        else:
            body = mime.text_part(sheet.text, "plain", charset, random)
        if sheet.truth is Truth.REPLY and random.random() < 0.1:
            body = mime.with_picture(body, random)
            sheet.shape.append("picture")
    headers = [
        ("From", mime.address(sheet.sender_name, sheet.sender)),
        ("To", occasion.recipient),
        ("Subject", sheet.subject),
        ("Message-ID", message_id),
        *sheet.headers,
    ]
    if sheet.threaded and occasion.message_id:
        headers += [("In-Reply-To", occasion.message_id), ("References", occasion.references)]
    elif sheet.truth is Truth.REPLY:
        sheet.shape.append("no thread")
    raw = mime.assemble(body, headers, occasion.at)
    return Letter(
        truth=sheet.truth,
        who=sheet.who,
        language=occasion.language,
        shape=(*sheet.shape, charset),
        message_id=message_id,
        sender=sheet.sender,
        sender_name=sheet.sender_name,
        envelope_sender="" if machine else sheet.sender,
        recipient=occasion.recipient,
        subject=sheet.subject,
        headers=mime.header_block(raw),
        text=sheet.text,
        html=sheet.html,
        raw=raw,
        back=sheet.back,
    )
