"""What people see of a mail that was taken: the timeline, the rep's mailbox and tasks, a record that had finished.

In the transaction in which its signals stop what they stop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from crmdrip.core import words
from crmdrip.core.forward import Forwarding, compose_forward
from crmdrip.core.hearing import HUMAN, Heard
from crmdrip.core.inbound import MailKind
from crmdrip.core.keys import domain_of, reply_id
from crmdrip.core.model import Enrollment, SignalKind
from crmdrip.core.reasons import Reason, StopReason
from crmdrip.core.status import shown_step, status_write
from crmdrip.core.steps import progress_of
from crmdrip.core.whose import Addressee, How
from crmdrip.core.writes import Priority, ReplyWrite, TaskWrite
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.snapshots import Background
from crmdrip.ledger import addressees, forwards, outbox, people, runs, tallies, touches
from crmdrip.ledger.definitions import KnownSequence

BODY_LIMIT = 30_000
"""Characters of an answer on the timeline."""

ATTACHMENTS = 10
"""Attachments that are named."""

NO_SUBJECT = "(no subject)"

ANSWERS_WITHIN = timedelta(days=30)
"""After an email to somebody, what they write counts as an answer to it for so long, where nothing in it says what it
answers. Later they write to the rep about something else, which is no business of ours."""

_LEFT = Reason(code=StopReason.LEFT_COMPANY).key


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answerer:
    """Somebody whose answer it is, with the newest run of their record as it was before the mail was acted on."""

    person: Addressee
    run: Enrollment | None
    sequence: KnownSequence | None
    step: str
    """Which step is answered, such as "2 of 4"; "" where that is not known."""
    first: bool
    """Whether the run had ended by itself and they answer for the first time."""

    @property
    def clause(self) -> str:
        """What is answered: "step 2 of 4 of Intro"."""
        step = f"step {self.step}" if self.step else ""
        return " of ".join(filter(None, [step, self.sequence.name if self.sequence is not None else ""]))


class Telling:
    """One mail's. Made before its signals are applied, since it must know what stood before."""

    def __init__(
        self, connection: Connection, parts: Parts, heard: Heard, background: Background, *, now: datetime
    ) -> None:
        self._connection = connection
        self._parts = parts
        self._heard = heard
        self._now = now
        self._answerers = [self._answerer(person, background) for person in heard.whose.people]

    def tell(self) -> None:
        """Owe all of it, after the signals were applied."""
        kind = self._heard.reading.kind
        if self._heard.whose.how is How.OURSELVES:
            return
        if kind in HUMAN:
            entries = [(self._entry(one), Priority.REPORT) for one in self._answerers if self._is_answer(one)]
            outbox.owe(self._connection, entries, self._now)
            self._tell_finished()
        if kind is MailKind.LEFT_COMPANY:
            self._tell_left()
        if kind in HUMAN or kind is MailKind.CALENDAR:
            self._forward()

    def _answerer(self, person: Addressee, background: Background) -> _Answerer:
        found = runs.runs_of_record(self._connection, person.ref.id)
        run = max(found, key=lambda one: (one.entered_at, one.id), default=None)
        sequence = background.sequences.get(run.sequence_id) if run is not None else None
        return _Answerer(
            person=person,
            run=run,
            sequence=sequence,
            step=self._step(person, run, sequence),
            first=run is not None and not run.status.live and not run.reason and self._is_first(person, run),
        )

    def _step(self, person: Addressee, run: Enrollment | None, sequence: KnownSequence | None) -> str:
        if run is None or sequence is None or sequence.good is None or not person.touch_id:
            return ""
        taken = touches.touches_in_full(self._connection, [run.id])
        answered = next((number for number, touch in enumerate(taken) if touch.id == person.touch_id), None)
        return "" if answered is None else progress_of(sequence.good, taken[answered].step_id, answered)

    def _is_first(self, person: Addressee, run: Enrollment) -> bool:
        before = people.signals_in_full(self._connection, person.ref.id, person.address)
        return not any(one.kind is SignalKind.REPLY and one.at >= run.entered_at for one in before)

    def _is_answer(self, one: _Answerer) -> bool:
        """Whether the mail answers us: by what it says itself, or by its time."""
        if one.person.touch_id or (one.run is not None and one.run.status.live):
            return True
        last = one.run.last_touch_at if one.run is not None else None
        return last is not None and self._heard.at - last <= ANSWERS_WITHIN

    def _entry(self, one: _Answerer) -> ReplyWrite:
        """The answer on one timeline."""
        mail, run = self._heard.mail, one.run
        asked = self._heard.reading.kind is MailKind.UNSUBSCRIBE
        text = mail.text.strip() or "(no text)"
        parts = [f"From {_named(mail.sender_name, mail.sender)}", text[:BODY_LIMIT]]
        if len(text) > BODY_LIMIT:
            parts.append("[...]")
        if mail.attachments:
            parts.append(f"Attached: {', '.join(mail.attachments[:ATTACHMENTS])}")
        identity = reply_id(self._parts.org_id, self._heard.key, one.person.ref.id)
        return ReplyWrite(
            key=f"reply:{identity}",
            reply_id=identity,
            ref=one.person.ref,
            owner_id=run.owner_id if run is not None else None,
            at=self._heard.at,
            subject=words.clip(" ".join(mail.subject.split())) or NO_SUBJECT,
            body=_storable("\n\n".join(parts)),
            sequence=one.sequence.name if one.sequence is not None else "",
            sequence_id=run.sequence_id if run is not None else "",
            step=one.step,
            run=run.run if run is not None else 0,
            outcome="Asked to be unsubscribed" if asked else "Replied",
            message_id=mail.message_id,
        )

    def _tell_finished(self) -> None:
        """A run that was finished cannot stop; its record says all the same that they replied, and it is counted."""
        for one in self._answerers:
            run = one.run
            if run is None or not one.first or not self._is_answer(one):
                continue
            good = one.sequence.good if one.sequence is not None else None
            sent = words.finished(run.steps_done, run.last_touch_at, run.last_touch_zone or "UTC")
            text = f"{sent} The person replied on {words.day(self._heard.at)}."
            write = status_write(run, text, shown_step(run, good), replied_at=self._heard.at)
            outbox.owe(self._connection, [(write, Priority.REPORT)], self._now)
            tallies.add_totals(self._connection, {(run.sequence_id, "replied"): 1})

    def _tell_left(self) -> None:
        """A task for the rep whose run just ended because the person is not there any more (B8)."""
        live = [one.run.id for one in self._answerers if one.run is not None and one.run.status.live]
        for run in runs.lock_runs(self._connection, live).values():
            if run.reason == _LEFT:
                sequence = next(one.sequence for one in self._answerers if one.run is not None and one.run.id == run.id)
                task = self._left_task(run, sequence.name if sequence is not None else "")
                outbox.owe(self._connection, [(task, Priority.REPORT)], self._now)

    def _left_task(self, run: Enrollment, sequence: str) -> TaskWrite:
        mail = self._heard.mail
        identity = reply_id(self._parts.org_id, self._heard.key, run.ref.id)
        sentence = Reason(code=StopReason.LEFT_COMPANY, detail=run.reason_detail).sentence
        return TaskWrite(
            key=f"task:{identity}",
            touch_id=identity,
            ref=run.ref,
            owner_id=run.owner_id,
            at=self._heard.at,
            subject="The person has left: please decide whom to write to",
            body=_storable("\n\n".join(filter(None, [sentence, mail.subject, mail.text[:BODY_LIMIT]]))),
            sequence=sequence,
            sequence_id=run.sequence_id,
            step="",
            step_id="",
            run=run.run,
            outcome="To do",
            open=True,
        )

    def _forward(self) -> None:
        """Have it sent on to one rep, where it came to us instead of them."""
        if not any(self._parts.replies.holds(address) for address in self._heard.mail.delivered_to):
            return
        reps = [one.person.sender for one in self._answerers if one.person.sender] or [*self._senders_nearby()]
        # After a rebuild nobody here knows any more who wrote: the CRM is asked before it is sent on.
        owners = [one.run.owner_id for one in self._answerers if one.run is not None and one.run.owner_id]
        if not reps and not owners:
            return
        clause = next((one.clause for one in self._answerers if one.clause), "")
        forwarding = Forwarding(
            id=reply_id(self._parts.org_id, self._heard.key, "rep"),
            to=reps[0] if reps else "",
            domain=self._parts.replies.domain,
            answers=clause,
        )
        message = compose_forward(self._heard.mail, forwarding)
        if message is not None:
            forwards.add(self._connection, message, self._now, owner_id="" if reps else owners[0])

    def _senders_nearby(self) -> Iterable[str]:
        """Who writes to the company of a stranger who answers."""
        if self._heard.whose.how is not How.COMPANY:
            return []
        found = addressees.addresses_at(self._connection, domain_of(self._heard.mail.sender))
        near = addressees.by_addresses(self._connection, found).values()
        return sorted({person.sender for person in near if person.sender})


def _named(name: str, address: str) -> str:
    return f"{name} <{address}>" if name else address


def _storable(text: str) -> str:
    """Without what a database or a CRM refuses: a NUL, a lone surrogate."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
