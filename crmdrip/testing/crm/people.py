"""The contract of CrmSource.pull about people: who is ticked, and what became of their records (B9, B11, B12)."""

from __future__ import annotations

import pytest

from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.ports import Capability, CrmSink, CrmSource
from crmdrip.testing.crm.driver import CrmDriver
from crmdrip.testing.crm.reading import read_all
from crmdrip.testing.crm.suite import CrmSuite
from crmdrip.testing.crm.writing import status_write, write_all


class PeopleContract(CrmSuite):
    """What a pull tells of people."""

    def test_the_first_pull_gives_everybody_ticked(
        self, crm: CrmDriver, source: CrmSource, sequence: str, person: RecordRef
    ) -> None:
        """Who is ticked comes with address and sequence; who is not ticked and never was does not come."""
        other = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
        records = read_all(source).records
        shown = "ann@acme.example" if Capability.ONE_PER_ADDRESS in source.capabilities() else "Ann@Acme.example"
        assert (records[person.id].email, records[person.id].sequence_id) == (shown, sequence)
        assert records[person.id].enrolled
        assert other.id not in records

    def test_leads_come_like_contacts(self, crm: CrmDriver, source: CrmSource, sequence: str) -> None:
        """A ticked lead is pulled where the CRM has leads."""
        self.need(source, Capability.LEADS)
        lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example", enrolled=True, sequence=sequence)
        assert read_all(source).records[lead.id].ref == lead

    def test_a_tick_after_the_cursor_is_seen(self, crm: CrmDriver, source: CrmSource, sequence: str) -> None:
        """B9: ticking the box shows in the next pull."""
        ref = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
        cursor = read_all(source).cursor
        crm.change(ref, enrolled=True, sequence=sequence)
        assert read_all(source, cursor).records[ref.id].enrolled

    def test_an_untick_is_seen(self, crm: CrmDriver, source: CrmSource, sink: CrmSink, person: RecordRef) -> None:
        """B9: unticking the box of somebody with a status shows in the next pull."""
        write_all(sink, status_write(person))
        cursor = read_all(source).cursor
        crm.change(person, enrolled=False)
        assert not read_all(source, cursor).records[person.id].enrolled

    def test_a_deletion_is_seen(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """B14: a deleted record comes as deleted."""
        cursor = read_all(source).cursor
        crm.delete(person.id)
        assert read_all(source, cursor).records[person.id].deleted

    def test_a_restored_record_is_seen_alive(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """B14: a record brought back comes as not deleted."""
        crm.delete(person.id)
        cursor = read_all(source).cursor
        crm.restore(person.id)
        assert not read_all(source, cursor).records[person.id].deleted

    def test_a_merge_names_the_winner(
        self, crm: CrmDriver, source: CrmSource, sequence: str, person: RecordRef
    ) -> None:
        """B12: the loser of a merge comes with the winner's id."""
        self.need(source, Capability.MERGES)
        winner = crm.add_person(RecordKind.CONTACT, email="ann.lee@acme.example", enrolled=True, sequence=sequence)
        cursor = read_all(source).cursor
        survivor = crm.merge(winner, person)
        assert read_all(source, cursor).records[person.id].merged_into == survivor.id

    @pytest.mark.parametrize("opportunity", [True, False])
    def test_a_conversion_names_the_contact(
        self, crm: CrmDriver, source: CrmSource, sequence: str, *, opportunity: bool
    ) -> None:
        """B11: a converted lead comes with its contact, and says whether an opportunity was created."""
        self.need(source, Capability.CONVERSION)
        lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example", enrolled=True, sequence=sequence)
        cursor = read_all(source).cursor
        contact = crm.convert(lead, opportunity=opportunity)
        record = read_all(source, cursor).records[lead.id]
        assert (record.converted_to, record.converted_opportunity) == (contact, opportunity)

    def test_a_changed_address_is_seen(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """B15: a new address comes with the next pull."""
        cursor = read_all(source).cursor
        crm.change(person, email="ann@other.example")
        assert read_all(source, cursor).records[person.id].email == "ann@other.example"

    def test_an_opt_out_is_seen(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """B22: the CRM's own opt-out box comes with the record."""
        cursor = read_all(source).cursor
        crm.change(person, opted_out=True)
        assert read_all(source, cursor).records[person.id].opted_out
