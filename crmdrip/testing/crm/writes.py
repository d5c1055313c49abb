"""The contract of CrmSink.write: one outcome for each key, a repeat is harmless, a refusal harms nobody else (B21)."""

from __future__ import annotations

import pytest

from crmdrip.core.errors import ErrorClass, RetriableError
from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.ports import (
    ApprovalWrite,
    BounceWrite,
    Capability,
    ControlWrite,
    CrmSink,
    CrmSource,
    OptOutWrite,
    SequenceWrite,
    Write,
)
from crmdrip.testing.crm.driver import CrmDriver, CrmTrouble
from crmdrip.testing.crm.reading import read_all
from crmdrip.testing.crm.suite import CrmSuite
from crmdrip.testing.crm.writing import AT, status_write, task_write, touch_write, write_all


class WriteContract(CrmSuite):
    """What is written, once, and what is not."""

    def test_a_status_is_written(self, crm: CrmDriver, sink: CrmSink, person: RecordRef) -> None:
        """P3: status, reason, step and run stand on the record; the box is left alone."""
        assert write_all(sink, status_write(person, reason="r" * 400))["status"].error is None
        assert crm.read(person, "status") == "Active"
        assert crm.read(person, "step") == "2 of 4"
        assert crm.read(person, "reason").startswith("rrr")
        assert crm.read(person, "run") == 1
        assert crm.read(person, "enrolled") is True

    def test_a_run_that_moved_brings_its_sequence_along(
        self, crm: CrmDriver, source: CrmSource, sink: CrmSink, sequence: str
    ) -> None:
        """B11, B12: the box and the sequence of the new record are set together; a write without one leaves it."""
        winner = crm.add_person(RecordKind.CONTACT, email="ann.lee@acme.example")
        write_all(sink, status_write(winner, enrolled=True, sequence_id=sequence))
        write_all(sink, status_write(winner))
        found = source.look([winner], frozenset(), None).records[winner.id]
        assert (found.enrolled, found.sequence_id) == (True, sequence)

    def test_a_status_write_unticks_the_box(self, crm: CrmDriver, sink: CrmSink, person: RecordRef) -> None:
        """B9: on stop the box is unticked, and a next touch of None is cleared."""
        write_all(sink, status_write(person))
        write_all(sink, status_write(person, status="Stopped", enrolled=False, next_touch=None))
        assert crm.read(person, "enrolled") is False
        assert crm.read(person, "next_touch") is None

    def test_an_approval_that_was_used_is_unticked(self, crm: CrmDriver, sink: CrmSink, person: RecordRef) -> None:
        """The next step that needs one asks again; the box of the sequence is left alone."""
        crm.change(person, approved=True)
        write = ApprovalWrite(key=f"approval:{person.id}", ref=person)
        assert write_all(sink, write)[write.key].error is None
        assert crm.read(person, "approved") is False
        assert crm.read(person, "enrolled") is True

    def test_a_touch_is_written_once(self, crm: CrmDriver, sink: CrmSink, person: RecordRef) -> None:
        """P1, B21: the same touch id written twice makes one entry, and both writes are settled."""
        for _ in range(2):
            assert write_all(sink, task_write(person, "e" * 32))["task"].error is None
        assert [entry["touch_id"] for entry in crm.timeline(person)] == ["e" * 32]

    def test_a_write_whose_answer_was_lost_is_repeated_harmlessly(
        self, crm: CrmDriver, sink: CrmSink, person: RecordRef
    ) -> None:
        """B21: the connection breaks after the CRM has written; the repeat settles it, and there is one entry."""
        crm.read(person, "status")
        crm.trouble(CrmTrouble.CUT_AFTER_WRITE)
        with pytest.raises(RetriableError):
            write_all(sink, task_write(person, "e" * 32))
        crm.recover()
        assert write_all(sink, task_write(person, "e" * 32))["task"].error is None
        assert len(crm.timeline(person)) == 1

    def test_a_repeat_does_not_reopen_a_finished_task(self, crm: CrmDriver, sink: CrmSink, person: RecordRef) -> None:
        """A rep's task that is done stays done when its write is repeated."""
        write_all(sink, task_write(person, "e" * 32, open=True))
        crm.finish_task("e" * 32)
        write_all(sink, task_write(person, "e" * 32, open=True))
        assert [entry["closed"] for entry in crm.timeline(person)] == [True]

    def test_an_email_is_completed_and_a_rep_task_is_open(
        self, crm: CrmDriver, sink: CrmSink, person: RecordRef
    ) -> None:
        """The timeline shows what was sent as done and what the rep has to do as open."""
        write_all(sink, task_write(person, "e" * 32), task_write(person, "f" * 32, key="k", open=True))
        assert {entry["touch_id"]: entry["closed"] for entry in crm.timeline(person)} == {
            "e" * 32: True,
            "f" * 32: False,
        }

    def test_news_of_a_touch_are_folded_into_its_entry(self, crm: CrmDriver, sink: CrmSink, person: RecordRef) -> None:
        """Opens and clicks stand on the entry that is there; also when both are written together."""
        write_all(sink, task_write(person, "e" * 32), touch_write(person, "e" * 32, "Opened", opens=1))
        write_all(sink, touch_write(person, "e" * 32, "Clicked", opens=3, clicks=1))
        (entry,) = crm.timeline(person)
        assert (entry["outcome"], entry["opens"], entry["clicks"], entry["closed"]) == ("Clicked", 3, 1, True)

    def test_news_of_a_touch_that_is_on_no_timeline_make_none(
        self, crm: CrmDriver, sink: CrmSink, person: RecordRef
    ) -> None:
        """Somebody deleted it: there is nothing left to do, and no empty entry appears."""
        assert write_all(sink, touch_write(person, "e" * 32, "Opened"))["touch"].error is ErrorClass.SKIPPABLE
        assert crm.timeline(person) == []

    def test_an_opt_out_and_a_bounce_are_written(self, crm: CrmDriver, sink: CrmSink, person: RecordRef) -> None:
        """B22: the CRM's own opt-out box is ticked and the bounce shows, also together with a status."""
        outcomes = write_all(
            sink,
            status_write(person, status="Stopped", enrolled=False),
            OptOutWrite(key="o", ref=person),
            BounceWrite(key="b", ref=person, reason="550 unknown user", at=AT),
        )
        assert {key: outcome.error for key, outcome in outcomes.items()} == {"status": None, "o": None, "b": None}
        assert crm.read(person, "opted_out") is True
        assert crm.read(person, "bounced_reason") == "550 unknown user"
        assert crm.read(person, "status") == "Stopped"

    def test_a_sequence_shows_version_error_and_counts(self, crm: CrmDriver, sink: CrmSink, sequence: str) -> None:
        """B17: what is wrong with a sequence stands on its record, and goes when it is mended."""
        write = SequenceWrite(key="s", sequence_id=sequence, version="v1", error="Step 1 is empty.", counts={"sent": 7})
        assert write_all(sink, write)["s"].error is None
        shown = crm.sequence(sequence)
        assert (shown["version"], shown["error"], shown["sent"]) == ("v1", "Step 1 is empty.", 7)
        write_all(sink, SequenceWrite(key="s", sequence_id=sequence, version="v2", error="", counts={}))
        assert not crm.sequence(sequence)["error"]

    def test_the_heartbeat_is_one_record(self, crm: CrmDriver, source: CrmSource, sink: CrmSink) -> None:
        """The control record is made once and then updated; the brake on it is left alone."""
        for used in (1, 2):
            write = ControlWrite(key="c", heartbeat=AT, calls_used=used, calls_limit=100, state="Running.")
            assert write_all(sink, write)["c"].error is None
        assert (crm.control()["calls_used"], crm.control()["state"]) == (2, "Running.")
        (brake,) = read_all(source).brakes
        assert (brake.pulled, brake.heartbeat) == (False, AT)

    def test_a_refused_row_does_not_harm_the_others(
        self, crm: CrmDriver, sink: CrmSink, person: RecordRef, sequence: str
    ) -> None:
        """B21: a validation rule refuses one record for good, with the admin's message; the others are written."""
        other = crm.add_person(RecordKind.CONTACT, email="bob@acme.example", enrolled=True, sequence=sequence)
        crm.refuse_changes_of(other, "Hands off Bob")
        outcomes = write_all(sink, status_write(person, "good"), status_write(other, "bad"))
        assert outcomes["good"].error is None
        assert outcomes["bad"].error is ErrorClass.REJECTED
        assert "Hands off Bob" in outcomes["bad"].detail
        assert crm.read(person, "status") == "Active"

    def test_a_locked_row_may_be_written_later(self, crm: CrmDriver, sink: CrmSink, person: RecordRef) -> None:
        """B21: a row lock is retriable, and the retry works."""
        crm.lock(person)
        assert write_all(sink, status_write(person))["status"].error is ErrorClass.RETRIABLE
        crm.unlock(person)
        assert write_all(sink, status_write(person))["status"].error is None

    def test_a_deleted_record_is_skipped_and_not_created(
        self, crm: CrmDriver, source: CrmSource, sink: CrmSink, person: RecordRef
    ) -> None:
        """B14: nothing is left to write, and a deleted record is never recreated."""
        crm.delete(person.id)
        assert write_all(sink, status_write(person))["status"].error is ErrorClass.SKIPPABLE
        assert source.find("ann@acme.example") == ()

    def test_a_converted_lead_is_not_written(
        self, crm: CrmDriver, source: CrmSource, sink: CrmSink, sequence: str
    ) -> None:
        """B11: no write to the converted lead; there is nothing left to do on it."""
        self.need(source, Capability.CONVERSION)
        lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example", enrolled=True, sequence=sequence)
        crm.convert(lead, opportunity=False)
        assert write_all(sink, status_write(lead))["status"].error is ErrorClass.SKIPPABLE

    def test_many_writes_all_have_an_outcome(self, crm: CrmDriver, sink: CrmSink, sequence: str) -> None:
        """Every key comes back exactly once, over many records and batches."""
        refs = [
            crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example", enrolled=True, sequence=sequence)
            for n in range(30)
        ]
        writes: list[Write] = [status_write(ref, f"s{n}") for n, ref in enumerate(refs)]
        writes += [task_write(ref, f"{n:032x}", f"t{n}") for n, ref in enumerate(refs)]
        outcomes = list(sink.write(writes))
        assert sorted(one.key for one in outcomes) == sorted(write.key for write in writes)
        assert {one.error for one in outcomes} == {None}
