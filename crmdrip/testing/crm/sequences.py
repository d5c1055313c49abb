"""The contract of CrmSource.pull about sequences: they come whole, and as they are now (B17)."""

from __future__ import annotations

from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.ports import CrmSink, CrmSource, SequenceWrite
from crmdrip.testing.crm.driver import CrmDriver
from crmdrip.testing.crm.reading import read_all
from crmdrip.testing.crm.suite import CrmSuite
from crmdrip.testing.crm.writing import write_all


class SequenceContract(CrmSuite):
    """What a pull tells of sequences."""

    def test_the_first_pull_gives_sequences_whole(self, crm: CrmDriver, source: CrmSource, sequence: str) -> None:
        """A sequence comes with all its steps, by the mapping's words."""
        draft = read_all(source).sequences[sequence]
        assert draft.fields["name"] == "Intro"
        assert [step.fields["subject"] for step in sorted(draft.steps, key=lambda step: step.fields["order"])] == [
            "Hello",
            "Again",
        ]
        assert {step.id for step in draft.steps} == set(crm.step_ids(sequence))

    def test_a_changed_step_brings_its_sequence_whole(self, crm: CrmDriver, source: CrmSource, sequence: str) -> None:
        """B17: after an edit of one step the sequence comes again with all steps."""
        cursor = read_all(source).cursor
        first, second = crm.step_ids(sequence)
        crm.change_step(second, subject="Changed")
        draft = read_all(source, cursor).sequences[sequence]
        assert {step.id: step.fields["subject"] for step in draft.steps} == {first: "Hello", second: "Changed"}

    def test_a_deleted_step_is_missing_from_its_sequence(
        self, crm: CrmDriver, source: CrmSource, sequence: str
    ) -> None:
        """B17: after a step is deleted the sequence comes without it."""
        cursor = read_all(source).cursor
        first, second = crm.step_ids(sequence)
        crm.delete(second)
        assert [step.id for step in read_all(source, cursor).sequences[sequence].steps] == [first]

    def test_a_deleted_sequence_is_removed(self, crm: CrmDriver, source: CrmSource, sequence: str) -> None:
        """A deleted sequence is named among the removed."""
        cursor = read_all(source).cursor
        crm.delete(sequence)
        assert sequence in read_all(source, cursor).removed

    def test_a_tick_comes_with_the_sequence_as_it_is(
        self, crm: CrmDriver, source: CrmSource, person: RecordRef
    ) -> None:
        """B9, B17: a sequence made or edited and a box ticked a moment later are known together, in any pull."""
        cursor = read_all(source).cursor
        for number in range(4):
            new = crm.add_sequence(f"New {number}", ["Hi"])
            ref = crm.add_person(RecordKind.CONTACT, email=f"p{number}@acme.example", enrolled=True, sequence=new)
            reading = read_all(source, cursor)
            assert reading.records[ref.id].sequence_id == new
            assert new in reading.sequences
            cursor = reading.cursor
        assert person.id not in reading.records

    def test_our_own_counts_are_no_change_of_a_sequence(self, source: CrmSource, sink: CrmSink, sequence: str) -> None:
        """Writing version and counts does not bring the sequence back as changed."""
        cursor = read_all(source).cursor
        write_all(sink, SequenceWrite(key="s", sequence_id=sequence, version="v2", error="", counts={"sent": 3}))
        assert sequence not in read_all(source, cursor).sequences
