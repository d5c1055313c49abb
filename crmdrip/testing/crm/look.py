"""The contract of CrmSource.look: everything as it is at this moment (P2, B24)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crmdrip.core.errors import UnknownPathsError
from crmdrip.core.model import RecordKind, RecordRef, SignalKind
from crmdrip.core.struct import replace
from crmdrip.ports import Capability, ControlWrite, CrmSink, CrmSource
from crmdrip.testing.crm.driver import CrmDriver
from crmdrip.testing.crm.reading import NO_PATHS, read_all
from crmdrip.testing.crm.suite import CrmSuite
from crmdrip.testing.crm.writing import AT, write_all


class LookContract(CrmSuite):
    """What the last look shows."""

    def test_a_look_reads_the_record_as_it_is_now(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """P2: what changed a moment before the look is in it."""
        cursor = read_all(source).cursor
        crm.change(person, opted_out=True, enrolled=False)
        record = source.look([person], NO_PATHS, cursor).records[person.id]
        assert (record.opted_out, record.enrolled) == (True, False)

    def test_a_deleted_record_is_absent_from_the_look(
        self, crm: CrmDriver, source: CrmSource, person: RecordRef
    ) -> None:
        """P2, B14: a record that is gone is not in the look, the others are."""
        other = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
        crm.delete(person.id)
        assert set(source.look([person, other], NO_PATHS, None).records) == {other.id}

    def test_a_look_brings_signals_since_the_cursor(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """P2: a meeting booked after the newest pull comes with the look."""
        self.need(source, Capability.SIGNALS)
        cursor = read_all(source).cursor
        crm.book_meeting(person, "Demo")
        found = source.look([person], NO_PATHS, cursor).signals
        assert [(one.kind, one.record_id) for one in found] == [(SignalKind.MEETING, person.id)]

    def test_a_signal_of_the_look_comes_with_the_next_pull_under_the_same_key(
        self, crm: CrmDriver, source: CrmSource, person: RecordRef
    ) -> None:
        """B23: the look takes nothing away from the pull, and the key is the same."""
        self.need(source, Capability.SIGNALS)
        cursor = read_all(source).cursor
        crm.book_meeting(person, "Demo")
        looked = source.look([person], NO_PATHS, cursor).signals
        assert {one.key for one in read_all(source, cursor).signals} == {one.key for one in looked} != set()

    def test_a_look_sees_the_brake(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """A brake pulled a moment before the look is in it."""
        crm.set_brake(pulled=False)
        cursor = read_all(source).cursor
        crm.set_brake(pulled=True)
        brake = source.look([person], NO_PATHS, cursor).brake
        assert brake is not None
        assert brake.pulled

    def test_a_look_leaves_the_heartbeat(self, source: CrmSource, sink: CrmSink) -> None:
        """B4: an older copy of the ledger is told by it, and the look that leaves it still shows the one before."""
        first, second = AT, AT + timedelta(seconds=1)
        write = ControlWrite(key="c", heartbeat=first, claim="a", calls_used=1, calls_limit=100, state="Running.")
        if write_all(sink, write)["c"].error is not None:
            pytest.skip("the CRM has no place for a heartbeat")
        cursor = read_all(source).cursor
        later = replace(write, heartbeat=second, claim="b")
        beats = [source.look([], NO_PATHS, cursor, (), later).brake, source.look([], NO_PATHS, cursor).brake]
        assert [(brake.heartbeat, brake.claim) for brake in beats if brake is not None] == [(first, "a"), (second, "b")]

    def test_a_look_shows_the_status_of_the_sequences_asked_for(
        self, crm: CrmDriver, source: CrmSource, sequence: str, person: RecordRef
    ) -> None:
        """P2: a sequence that is gone since the pull is seen, where the CRM can tell within the look."""
        gone = crm.add_sequence("Gone", ["Hi"])
        cursor = read_all(source).cursor
        crm.delete(gone)
        statuses = source.look([person], NO_PATHS, cursor, [sequence, gone]).statuses
        if not statuses:
            pytest.skip("the CRM's look shows no sequences")
        assert statuses == {sequence: "Live", gone: None}

    def test_a_look_reads_the_merge_fields_asked_for(
        self, crm: CrmDriver, source: CrmSource, person: RecordRef
    ) -> None:
        """Merge fields come by the path asked for; an empty one is None."""
        crm.change(person, first_name="Ann")
        paths = frozenset({"first_name", "title"})
        assert source.look([person], paths, None).records[person.id].fields == {"first_name": "Ann", "title": None}

    def test_an_unknown_merge_path_is_named(self, source: CrmSource, person: RecordRef) -> None:
        """B24: a misspelled merge field is a configuration error with its name, all of them at once."""
        with pytest.raises(UnknownPathsError, match=r"frist_name.*shoe_size") as raised:
            source.look([person], frozenset({"first_name", "frist_name", "shoe_size"}), None)
        assert raised.value.paths == {"frist_name", "shoe_size"}
