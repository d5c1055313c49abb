"""The contract of CrmSource.pull about pages and cursors: nothing is lost wherever it breaks off (B20)."""

from __future__ import annotations

from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.ports import Capability, CrmSource
from crmdrip.testing.crm.driver import CrmDriver
from crmdrip.testing.crm.reading import read_all
from crmdrip.testing.crm.suite import CrmSuite


class PageContract(CrmSuite):
    """How a pull goes on."""

    def test_what_may_wait_comes_within_two_pulls(
        self, crm: CrmDriver, source: CrmSource, sequence: str, person: RecordRef
    ) -> None:
        """P2, B17: a meeting and an edit, in whichever of the next two pulls, and each once."""
        self.need(source, Capability.SIGNALS)
        cursor = read_all(source).cursor
        for number in range(4):
            crm.book_meeting(person, f"Demo {number}")
            crm.change_step(crm.step_ids(sequence)[0], subject=f"Subject {number}")
            first = read_all(source, cursor)
            second = read_all(source, first.cursor)
            cursor = second.cursor
            assert [one.detail for one in (*first.signals, *second.signals)] == [f"Demo {number}"]
            drafts = [one.sequences[sequence] for one in (first, second) if sequence in one.sequences]
            assert next(step.fields["subject"] for draft in drafts for step in draft.steps) == f"Subject {number}"

    def test_every_page_can_be_saved(self, crm: CrmDriver, source: CrmSource, sequence: str) -> None:
        """B20: whichever page a pull breaks off after, going on from its cursor loses nobody."""
        everybody = {
            crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example", enrolled=True, sequence=sequence).id
            for n in range(25)
        }
        crm.short_pages(10)
        pages = len(list(source.pull(None)))
        assert pages > 1
        for broken_after in range(1, pages + 1):
            seen: set[str] = set()
            cursor = None
            for number, page in enumerate(source.pull(None), 1):
                seen |= {record.ref.id for record in page.records}
                cursor = page.cursor
                if number == broken_after:
                    break
            seen |= set(read_all(source, cursor).records)
            assert seen >= everybody

    def test_a_page_that_was_not_saved_comes_again(self, crm: CrmDriver, source: CrmSource, sequence: str) -> None:
        """B20: pulling again from an older cursor repeats what was given out after it."""
        cursor = read_all(source).cursor
        ref = crm.add_person(RecordKind.CONTACT, email="bob@acme.example", enrolled=True, sequence=sequence)
        crm.change_step(crm.step_ids(sequence)[0], subject="Changed")
        crm.book_meeting(ref, "Call")
        first, again = read_all(source, cursor), read_all(source, cursor)
        assert ref.id in again.records
        assert again.sequences == first.sequences != {}
        assert again.signals == first.signals

    def test_an_idle_pull_gives_nothing(self, source: CrmSource, person: RecordRef) -> None:
        """Nothing changed, nothing comes, and the cursor still moves on."""
        reading = read_all(source, read_all(source, read_all(source).cursor).cursor)
        assert (reading.records, reading.sequences, reading.signals) == ({}, {}, [])
        assert person.id not in reading.records

    def test_the_brake_comes_with_every_pull(self, crm: CrmDriver, source: CrmSource, sequence: str) -> None:
        """The emergency brake is read in each pull, with who pulled it."""
        assert [brake.pulled for brake in read_all(source).brakes] == [False]
        crm.set_brake(pulled=True)
        (brake,) = read_all(source).brakes
        assert brake.pulled
        assert brake.by
        crm.set_brake(pulled=False)
        assert [brake.pulled for brake in read_all(source).brakes] == [False]
        assert sequence

    def test_the_budget_is_counted(self, source: CrmSource, sequence: str) -> None:
        """P5: calls made are counted, asking for the budget makes none."""
        assert source.budget().calls_made == 0
        read_all(source)
        made = source.budget().calls_made
        assert made > 0
        assert source.budget().calls_made == made
        assert sequence
