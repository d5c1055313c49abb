"""The contract of CrmSource about signals: each once, with the record it is about, and none from before (P2, B4)."""

from __future__ import annotations

from datetime import timedelta

from crmdrip.core.model import RecordRef, SignalKind
from crmdrip.ports import Capability, CrmSink, CrmSource
from crmdrip.testing.crm.driver import CrmDriver
from crmdrip.testing.crm.reading import read_all
from crmdrip.testing.crm.suite import CrmSuite
from crmdrip.testing.crm.writing import task_write, write_all


class SignalContract(CrmSuite):
    """What a pull tells of what happened."""

    def test_the_first_pull_brings_no_old_signals(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """What happened before crmdrip came stops nobody."""
        crm.book_meeting(person, "Long ago")
        crm.pass_time(86_400)
        assert read_all(source).signals == []

    def test_what_happened_since_a_time_can_be_asked_for(
        self, crm: CrmDriver, source: CrmSource, person: RecordRef
    ) -> None:
        """B4: a ledger that was lost has lost what it had heard; what lies before the time does not come."""
        self.need(source, Capability.SIGNALS)
        cursor = read_all(source).cursor
        crm.book_meeting(person, "Before")
        (before,) = read_all(source, cursor).signals
        crm.pass_time(86_400)
        crm.book_meeting(person, "After")
        found = source.signals(before.at + timedelta(hours=1))
        assert [(one.kind, one.detail) for one in found] == [(SignalKind.MEETING, "After")]

    def test_a_meeting_is_a_signal(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """P2: a meeting booked after the cursor comes with the record it is with, and only once."""
        self.need(source, Capability.SIGNALS)
        cursor = read_all(source).cursor
        crm.book_meeting(person, "Demo")
        reading = read_all(source, cursor)
        assert [(one.kind, one.record_id, one.detail) for one in reading.signals] == [
            (SignalKind.MEETING, person.id, "Demo")
        ]
        assert read_all(source, reading.cursor).signals == []

    def test_an_opportunity_is_a_signal(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """P2: an opportunity created after the cursor comes with the contact in it."""
        self.need(source, Capability.SIGNALS)
        cursor = read_all(source).cursor
        crm.open_opportunity(person, "Big deal")
        found = read_all(source, cursor).signals
        assert [(one.kind, one.record_id, one.detail) for one in found] == [
            (SignalKind.OPPORTUNITY, person.id, "Big deal")
        ]

    def test_a_finished_rep_task_is_a_signal(
        self, crm: CrmDriver, source: CrmSource, sink: CrmSink, person: RecordRef
    ) -> None:
        """A rep's task that gets done comes with its touch id; our own completed emails do not."""
        self.need(source, Capability.SIGNALS)
        write_all(sink, task_write(person, "a" * 32, open=True), task_write(person, "b" * 32, key="mail"))
        cursor = read_all(source).cursor
        assert [one for one in read_all(source, cursor).signals if one.kind is SignalKind.TASK_DONE] == []
        crm.finish_task("a" * 32)
        found = [one for one in read_all(source, cursor).signals if one.kind is SignalKind.TASK_DONE]
        assert [one.touch_id for one in found] == ["a" * 32]
