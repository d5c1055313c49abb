"""What a mail means for those it is from, as signals (B5 to B8, B22). Whose it is was found before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from crmdrip.core.inbound import Attendance, CalendarMethod, InboundMail, MailKind, Reading
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import Signal, SignalKind
from crmdrip.core.whose import Addressee, How, Whose, same_mailbox
from crmdrip.core.words import clip

SOURCE = "mail"

REPORTED_WITHIN = timedelta(days=8)
"""A report without our ids is believed for so long after an email to its address: servers try for five days. Anybody
can write one, and who is believed suppresses an address."""

HUMAN = frozenset({MailKind.REPLY, MailKind.UNSUBSCRIBE})
"""What a person wrote."""

_ADDRESSES = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5}")
_SUCCESSORS = 3
_SEARCHED = 5_000
"""Characters of a text that are searched for addresses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """One mail that was read, and what was found out about it."""

    key: str
    """The mail's own, the same by whatever way it comes."""
    mail: InboundMail
    reading: Reading
    whose: Whose
    at: datetime
    """When it came in."""
    reported: Mapping[str, datetime]
    """Addresses that a report speaks of and that were written to, with when they were last."""


def read_signals(heard: Heard) -> tuple[Signal, ...]:
    """Everything the mail says about people. Empty where it says nothing, or nothing about anybody known."""
    if heard.whose.how is How.OURSELVES:
        return ()
    match heard.reading.kind:
        case MailKind.REPLY:
            return tuple(_of_people(heard, SignalKind.REPLY, heard.mail.subject))
        case MailKind.UNSUBSCRIBE:
            return (*_unsubscribes(heard), *_of_people(heard, SignalKind.REPLY, heard.mail.subject))
        case MailKind.AUTO_REPLY:
            return tuple(_of_writer(heard, SignalKind.AUTO_REPLY, heard.mail.subject))
        case MailKind.OUT_OF_OFFICE:
            return tuple(_of_writer(heard, SignalKind.OUT_OF_OFFICE, heard.mail.subject))
        case MailKind.LEFT_COMPANY:
            return tuple(_of_writer(heard, SignalKind.LEFT_COMPANY, _successors(heard)))
        case MailKind.CALENDAR:
            return tuple(_calendar(heard))
        case MailKind.BOUNCE:
            return tuple(_bounces(heard))
        case MailKind.COMPLAINT:
            return tuple(_complaints(heard))
        case _:
            return ()


def reported_addresses(mail: InboundMail) -> list[str]:
    """The addresses a report speaks of, those we wrote to first."""
    if mail.report is None:
        return []
    return [one for recipient in mail.report.recipients for one in (recipient.original, recipient.address) if one]


def _signal(heard: Heard, kind: SignalKind, address: str, person: Addressee | None, detail: str) -> Signal:
    until = heard.reading.until if kind is SignalKind.OUT_OF_OFFICE else None
    return Signal(
        key=f"{SOURCE}:{kind}:{heard.key}:{person.ref.id if person is not None else address}"[:255],
        kind=kind,
        at=heard.at,
        source=SOURCE,
        record_id=person.ref.id if person is not None else None,
        address=address or None,
        touch_id=(person.touch_id or None) if person is not None else None,
        detail=clip(detail),
        until=until,
    )


def _of_people(heard: Heard, kind: SignalKind, detail: str) -> Iterable[Signal]:
    """One for everybody whose answer it is; of a stranger in a known company one for their own address."""
    for person in heard.whose.people:
        yield _signal(heard, kind, person.address, person, detail)
    if heard.whose.how is How.COMPANY:
        yield _signal(heard, kind, heard.mail.sender, None, detail)


def _of_writer(heard: Heard, kind: SignalKind, detail: str) -> Iterable[Signal]:
    """One for whoever's mailbox answered: a machine speaks for nobody else."""
    people = heard.whose.people
    own = [person for person in people if same_mailbox(person.address, heard.mail.sender)]
    for person in (own or list(people))[:1]:
        yield _signal(heard, kind, person.address, person, detail)


def _unsubscribes(heard: Heard) -> Iterable[Signal]:
    """For everybody whose answer it is, and for the very address that asks, known or not (B22)."""
    people = heard.whose.people
    for person in people:
        yield _signal(heard, SignalKind.UNSUBSCRIBE, person.address, person, "asked in a reply")
    if heard.mail.sender and all(person.address != heard.mail.sender for person in people):
        yield _signal(heard, SignalKind.UNSUBSCRIBE, heard.mail.sender, None, "asked in a reply")


def _successors(heard: Heard) -> str:
    """Whom the mail names instead, for the sentence on the record; "" when it names nobody."""
    own = {heard.mail.sender, *heard.mail.to, *heard.mail.cc, *(one.address for one in heard.whose.people)}
    named = (normalize_address(found.group()) for found in _ADDRESSES.finditer(heard.mail.text[:_SEARCHED]))
    found = [one for one in dict.fromkeys(named) if one and one not in own][:_SUCCESSORS]
    return f", who names {' and '.join(found)}" if found else ""


def _calendar(heard: Heard) -> Iterable[Signal]:
    """Who accepts an invitation, or sends one, has a meeting with us; who proposes another time has answered."""
    calendar = heard.mail.calendar
    if calendar is None:
        return ()
    detail = calendar.summary or heard.mail.subject
    accepted = calendar.attendance in (Attendance.ACCEPTED, Attendance.TENTATIVE)
    if calendar.method is CalendarMethod.COUNTER:
        return _of_people(heard, SignalKind.REPLY, detail)
    if calendar.method is CalendarMethod.REQUEST or (calendar.method is CalendarMethod.REPLY and accepted):
        return _of_people(heard, SignalKind.MEETING, detail)
    return _of_people(heard, SignalKind.AUTO_REPLY, f"{calendar.attendance}: {detail}")


def _bounces(heard: Heard) -> Iterable[Signal]:
    """A failure for good suppresses the address; another is only noted (B7)."""
    report = heard.reading.report or heard.mail.report
    if report is None:
        return
    people = {person.mailed: person for person in heard.whose.people if person.mailed}
    seen: set[str] = set()
    for one in report.recipients:
        if one.action not in ("failed", "delayed"):
            continue
        address = _reported(heard, (one.original, one.address), people)
        if not address or address in seen:
            continue
        seen.add(address)
        kind = SignalKind.BOUNCE if one.permanent and one.action == "failed" else SignalKind.DEFERRED
        detail = " ".join(part for part in (one.status, one.diagnostic) if part)
        person = people.get(address)
        # An address that the person has no more says nothing of the one they have now (B15).
        current = person if person is not None and person.address == address else None
        yield _signal(heard, kind, address, current, detail)


def _complaints(heard: Heard) -> Iterable[Signal]:
    report = heard.reading.report or heard.mail.report
    if report is None or not report.is_complaint:
        return
    touched = [person for person in heard.whose.people if person.mailed]
    for person in touched[:1]:
        yield _signal(heard, SignalKind.SPAM_REPORT, person.address, person, "")
    if not touched:
        for address in dict.fromkeys(reported_addresses(heard.mail)):
            if _believed(heard, address):
                yield _signal(heard, SignalKind.SPAM_REPORT, address, None, "")


def _reported(heard: Heard, named: tuple[str, str], people: Mapping[str, Addressee]) -> str:
    """The address we wrote to that a report means, "" for none that is believed.

    With one of our ids in it that is known, whatever it names: the address may forward to another one.
    """
    meant = [address for address in named if address in people or (address and _believed(heard, address))]
    if meant:
        return meant[0]
    return next(iter(people)) if len(people) == 1 else ""


def _believed(heard: Heard, address: str) -> bool:
    written = heard.reported.get(address)
    return written is not None and heard.at - written <= REPORTED_WITHIN
