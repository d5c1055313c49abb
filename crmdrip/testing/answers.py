"""The contract of a CRM with regard to people's answers, as tests: those we write to its timeline, and its own.

`AnswerContract` takes the fixtures of `crmdrip.testing.crm.CrmContract`, and of the driver what `AnswerDriver` adds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from crmdrip.core.model import RecordKind, RecordRef, Signal
from crmdrip.ports import Capability, CrmSink, CrmSource, ReplyWrite
from crmdrip.testing.crm import AT, CrmDriver, read_all, status_write, task_write, write_all

REPLY_ID = "c" * 32


class AnswerDriver(CrmDriver, Protocol):
    """What else happens in a CRM."""

    def invite(self, ref: RecordRef, subject: str, organizer: RecordRef | None = None) -> None:
        """A rep books a meeting in the future with the person among those invited; organizer: its main person."""
        ...

    def meet(self, ref: RecordRef, subject: str, **how: bool) -> None:
        """A meeting with the person; past, private, series: what kind of one."""
        ...

    def log_email(self, ref: RecordRef, *, sender: str, subject: str, text: str, headers: str = "") -> None:
        """An email that came in is logged with the person. headers: as the CRM keeps them."""
        ...


_LOGGED = {
    "out_of_office": {"subject": "Automatic reply: Hello", "text": "I am out of the office until 20 November 2026."},
    "auto_reply": {
        "subject": "Re: Hello",
        "text": "Your ticket 4711 was opened.",
        "headers": "Auto-Submitted: auto-generated\r\n",
    },
    "unsubscribe": {"subject": "Re: Hello", "text": "Please remove me from your list. I do not want more emails."},
}
"""Emails by what they are."""


def reply_write(ref: RecordRef, **given: Any) -> ReplyWrite:
    """A reply's write with everything filled in."""
    values: dict[str, Any] = {
        "key": "reply",
        "reply_id": REPLY_ID,
        "owner_id": None,
        "at": AT,
        "subject": "Re: Quick question",
        "body": "Yes, let us talk.",
        "sequence": "Intro",
        "sequence_id": "s1",
        "step": "1 of 4",
        "run": 1,
        "message_id": "<1@acme.example>",
    }
    return ReplyWrite(ref=ref, **{**values, **given})


class AnswerContract:
    """What a CRM shows and tells of people's answers. Subclass it and give the fixtures crm, source and sink."""

    @pytest.fixture
    def person(self, crm: AnswerDriver) -> RecordRef:
        """A contact with the box ticked."""
        sequence = crm.add_sequence("Intro", ["Hello", "Again"])
        return crm.add_person(RecordKind.CONTACT, email="Ann@Acme.example", enrolled=True, sequence=sequence)

    # --- what we write ----------------------------------------------------------------------------------------------

    def test_a_reply_stands_on_the_timeline(self, crm: AnswerDriver, sink: CrmSink, person: RecordRef) -> None:
        """B5: the rep reads it where the touches are, done already, with the text and no more."""
        assert write_all(sink, reply_write(person))["reply"].error is None
        (entry,) = crm.timeline(person)
        assert entry["subject"].endswith("Re: Quick question")
        assert (entry["body"], entry["person"]) == ("Yes, let us talk.", person.id)
        assert (entry["closed"], entry["sequence"], entry["step"]) == (True, "Intro", "1 of 4")

    def test_a_reply_written_again_stands_once(self, crm: AnswerDriver, sink: CrmSink, person: RecordRef) -> None:
        """B21: keyed by its id, a retry cannot duplicate it."""
        for _ in range(2):
            assert write_all(sink, reply_write(person))["reply"].error is None
        assert len(crm.timeline(person)) == 1

    def test_a_reply_and_a_touch_are_two(self, crm: AnswerDriver, sink: CrmSink, person: RecordRef) -> None:
        """B5: written together, in one call, they stand side by side."""
        outcomes = write_all(sink, reply_write(person), task_write(person, "a" * 32))
        assert {one.error for one in outcomes.values()} == {None}
        assert len(crm.timeline(person)) == 2

    def test_a_reply_is_no_touch(self, source: CrmSource, sink: CrmSink, person: RecordRef) -> None:
        """P6: a ledger that is rebuilt counts no reply as a step that was taken."""
        write_all(sink, reply_write(person), task_write(person, "a" * 32))
        found = {touch.touch_id: touch for page, _ in source.touches(None) for touch in page}
        assert found["a" * 32].step_id
        assert not found[REPLY_ID].step_id

    def test_a_reply_too_long_is_cut(self, crm: AnswerDriver, sink: CrmSink, person: RecordRef) -> None:
        """B27: ten thousand lines are no reason not to show the first."""
        long = reply_write(person, body="line\n" * 50_000, subject="word " * 200)
        assert write_all(sink, long)["reply"].error is None
        (entry,) = crm.timeline(person)
        assert entry["body"].startswith("line\nline")

    def test_a_reply_follows_a_converted_lead(self, crm: AnswerDriver, source: CrmSource, sink: CrmSink) -> None:
        """B11: it stands with the contact that the lead became."""
        if Capability.CONVERSION not in source.capabilities():
            pytest.skip("the CRM has no conversion")
        lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example")
        contact = crm.convert(lead, opportunity=False)
        assert write_all(sink, reply_write(lead))["reply"].error is None
        assert len(crm.timeline(contact)) == 1

    def test_when_they_replied_and_are_back_is_written(
        self, crm: AnswerDriver, sink: CrmSink, person: RecordRef
    ) -> None:
        """B8: for list views; and a later status leaves both alone."""
        away = datetime(2026, 12, 3, 12, 0, tzinfo=UTC)
        write_all(sink, status_write(person, replied_at=AT, out_of_office_until=away))
        write_all(sink, status_write(person))
        found = [datetime.fromisoformat(crm.read(person, word)) for word in ("replied_at", "out_of_office_until")]
        assert found == [AT, away]

    # --- what the CRM knows -----------------------------------------------------------------------------------------

    def signals(self, source: CrmSource, cursor: str) -> list[tuple[str, str | None]]:
        """Kind and record of what happened since."""
        found: list[Signal] = read_all(source, cursor).signals
        return [(signal.kind.value, signal.record_id) for signal in found]

    @pytest.fixture
    def cursor(self, source: CrmSource, person: RecordRef) -> str:
        """After everything that stands so far. Skips where the CRM tells nothing of people's answers."""
        if Capability.SIGNALS not in source.capabilities():
            pytest.skip("the CRM tells nothing of people's answers")
        assert person.id
        return read_all(source).cursor

    def test_an_invited_person_has_a_meeting(
        self, crm: AnswerDriver, source: CrmSource, person: RecordRef, cursor: str
    ) -> None:
        """P2: among those invited is as good as the main person."""
        other = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
        crm.invite(person, "Demo", organizer=other)
        assert sorted(self.signals(source, cursor)) == sorted([("meeting", person.id), ("meeting", other.id)])

    def test_a_meeting_with_invited_people_alone(
        self, crm: AnswerDriver, source: CrmSource, person: RecordRef, cursor: str
    ) -> None:
        """P2: it has no main person."""
        crm.invite(person, "Demo")
        assert self.signals(source, cursor) == [("meeting", person.id)]

    @pytest.mark.parametrize("how", ["past", "private", "series"])
    def test_what_is_no_meeting_that_was_booked(
        self, crm: AnswerDriver, source: CrmSource, person: RecordRef, cursor: str, how: str
    ) -> None:
        """P2: a call that was logged, somebody's private event, one more of a weekly series."""
        crm.meet(person, "Sync", **{how: True})
        assert self.signals(source, cursor) == []

    def test_an_email_that_came_in_is_a_reply(
        self, crm: AnswerDriver, source: CrmSource, person: RecordRef, cursor: str
    ) -> None:
        """B5: whoever or whatever logged it."""
        crm.log_email(person, sender="ann@acme.example", subject="Re: Hello", text="Yes, call me tomorrow.")
        assert self.signals(source, cursor) == [("reply", person.id)]

    @pytest.mark.parametrize("kind", ["out_of_office", "auto_reply", "unsubscribe"])
    def test_an_email_that_only_looks_like_a_reply(
        self, crm: AnswerDriver, source: CrmSource, person: RecordRef, cursor: str, kind: str
    ) -> None:
        """B8, B22: read as mail that comes in any other way."""
        crm.log_email(person, sender="ann@acme.example", **_LOGGED[kind])
        assert (kind, person.id) in self.signals(source, cursor)

    def test_what_an_email_quotes_decides_nothing(
        self, crm: AnswerDriver, source: CrmSource, person: RecordRef, cursor: str
    ) -> None:
        """B8: our own footer, quoted below an answer, unsubscribes nobody."""
        text = "Sounds good, let us talk on Monday.\r\n\r\nOn Tue, 3 Nov 2026 at 09:00, Rita <r@a.example> wrote:\r\n"
        text += "> Hello Ann\r\n> Unsubscribe me: please remove me from your list\r\n"
        crm.log_email(person, sender="ann@acme.example", subject="Re: Hello", text=text)
        assert self.signals(source, cursor) == [("reply", person.id)]

    def test_an_absence_logged_in_the_crm_has_its_end(
        self, crm: AnswerDriver, source: CrmSource, person: RecordRef, cursor: str
    ) -> None:
        """B8: the run goes on when the person is back."""
        text = "I am out of the office and will be back on 20 November 2026."
        crm.log_email(person, sender="ann@acme.example", subject="Out of office: Hello", text=text)
        (signal,) = read_all(source, cursor).signals
        assert signal.until is not None
        assert signal.until.isoformat() == "2026-11-20"
