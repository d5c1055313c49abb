"""The contract of CrmSource where it is asked: for owners, people, records of an address, touches (B13, B16, P6)."""

from __future__ import annotations

from crmdrip.core.model import RecordKind, RecordRef, StepKind, TouchRecord
from crmdrip.ports import Capability, CrmSink, CrmSource
from crmdrip.testing.crm.driver import CrmDriver
from crmdrip.testing.crm.suite import CrmSuite
from crmdrip.testing.crm.writing import task_write, write_all


class LookupContract(CrmSuite):
    """What is found when it is asked for."""

    def test_owners_are_read_by_id(self, crm: CrmDriver, source: CrmSource) -> None:
        """B16: name, address and whether the user is active; no such user is absent."""
        here = crm.add_user("Rita Rep", "rita@acme.example", active=True)
        left = crm.add_user("Lou Left", "lou@acme.example", active=False)
        owners = source.owners([here, left])
        assert {one: (o.name, o.email, o.active) for one, o in owners.items()} == {
            here: ("Rita Rep", "rita@acme.example", True),
            left: ("Lou Left", "lou@acme.example", False),
        }

    def test_a_queue_is_no_person(self, crm: CrmDriver, source: CrmSource) -> None:
        """B16: a queue can own a lead but not send."""
        queue = crm.add_queue("Inbound")
        assert not source.owners([queue])[queue].is_person

    def test_people_are_found_by_id_address_and_name(
        self, crm: CrmDriver, source: CrmSource, person: RecordRef
    ) -> None:
        """A PERSON on the command line may be any of the three, without case; nobody is found for nonsense."""
        crm.change(person, first_name="Annabel")
        for text in (person.id, "ann@acme.EXAMPLE", "annabel"):
            assert [record.ref for record in source.find(text)] == [person]
        assert source.find("nobody@nowhere.example") == ()
        assert source.find("100%_'\\") == ()

    def test_all_records_of_an_address_are_found(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """B13, B22: every record of the address comes, enrolled or not, whatever its case; nobody else does."""
        crm.add_person(RecordKind.CONTACT, email="joann@acme.example")
        refs = {person}
        if Capability.ONE_PER_ADDRESS not in source.capabilities():
            refs.add(crm.add_person(RecordKind.CONTACT, email="ANN@acme.example"))
        if Capability.LEADS in source.capabilities():
            refs.add(crm.add_person(RecordKind.LEAD, email="ann@Acme.example"))
        found = source.records_of(["ann@acme.example", "nobody@acme.example"])
        assert {record.ref for record in found} == refs
        assert source.records_of([]) == ()

    def test_touches_are_read_back(self, source: CrmSource, sink: CrmSink, person: RecordRef) -> None:
        """P6: what was written as a touch comes back whole, page by page with cursors."""
        write_all(sink, task_write(person, "c" * 32, subject="Hello Ann"), task_write(person, "d" * 32, "k", open=True))
        found = {touch.touch_id: touch for page, _ in source.touches(None) for touch in page}
        assert found["c" * 32] == TouchRecord(
            touch_id="c" * 32,
            record_id=person.id,
            sequence_id="s1",
            step_id="t1",
            run=1,
            kind=StepKind.EMAIL,
            at=found["c" * 32].at,
            outcome="Sent",
            message_id=f"<{'c' * 32}@acme.example>",
            subject="Hello Ann",
        )
        assert found["d" * 32].kind is StepKind.TASK

    def test_touches_go_on_from_a_cursor(self, source: CrmSource, sink: CrmSink, person: RecordRef) -> None:
        """P6: after the last page's cursor only newer touches come."""
        write_all(sink, task_write(person, "c" * 32))
        (*_, (_, cursor)) = source.touches(None)
        write_all(sink, task_write(person, "d" * 32))
        assert [touch.touch_id for page, _ in source.touches(cursor) for touch in page] == ["d" * 32]
