"""The contract of the CrmSource and CrmSink ports, as tests.

A connector's author subclasses `CrmContract` and gives three fixtures: `crm`, whoever works inside the CRM (a
`CrmDriver`), and `source` and `sink`, the connector under test with the CRM behind a real socket. Run by pytest, the
class then tests every promise of the ports that can be seen from outside. What a CRM cannot do is known by its
capabilities, never by its name. Promises are named by their rows in the behavior book (B11, B12, B14, B15, B20, B21).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Protocol

import pytest

from crmdrip.core.errors import (
    AuthError,
    ConfigurationError,
    ErrorClass,
    RateLimitedError,
    RetriableError,
    UnknownPathsError,
)
from crmdrip.core.model import Record, RecordKind, RecordRef, SequenceDraft, Signal, SignalKind, StepKind, TouchRecord
from crmdrip.ports import (
    BounceWrite,
    Capability,
    ControlWrite,
    CrmSink,
    CrmSource,
    OptOutWrite,
    PullPage,
    SequenceWrite,
    StatusWrite,
    TaskWrite,
    TouchWrite,
    Write,
    WriteOutcome,
)

AT = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
NO_PATHS: frozenset[str] = frozenset()


class CrmTrouble(Enum):
    """How the CRM can go wrong, from now on until `recover`."""

    LOGGED_OUT = "logged out"
    """Every session has ended; a new login works."""
    DENIED = "denied"
    """The credentials are refused for good."""
    DOWN = "down"
    """It answers that it is unavailable."""
    QUOTA_GONE = "quota gone"
    """It answers that the day's calls are used up."""
    CUT_AFTER_WRITE = "cut after write"
    """The next write is done, and the connection breaks before the answer."""
    OPT_OUT_HIDDEN = "opt-out hidden"
    """The connected user may not see who opted out."""


class CrmDriver(Protocol):
    """Whoever works inside the CRM: people, admins, and what befalls it. Words are the mapping's."""

    def add_person(self, kind: RecordKind, *, email: str, **words: Any) -> RecordRef:
        """A new record; words such as enrolled, sequence, opted_out, owner."""
        ...

    def change(self, ref: RecordRef, **words: Any) -> None:
        """A person changes fields of a record."""
        ...

    def read(self, ref: RecordRef, word: str) -> Any:
        """A field as it stands."""
        ...

    def add_sequence(self, name: str, steps: Sequence[str]) -> str:
        """A live sequence with one email step per subject, a day apart; returns its id."""
        ...

    def step_ids(self, sequence_id: str) -> list[str]:
        """The ids of its steps, in order."""
        ...

    def change_step(self, step_id: str, **words: Any) -> None:
        """RevOps edits a step."""
        ...

    def delete(self, record_id: str) -> None:
        """Delete a record, sequence or step."""
        ...

    def restore(self, record_id: str) -> None:
        """Bring it back."""
        ...

    def merge(self, winner: RecordRef, loser: RecordRef) -> None:
        """Merge two records."""
        ...

    def convert(self, lead: RecordRef, *, opportunity: bool) -> RecordRef:
        """Convert a lead; returns the contact."""
        ...

    def book_meeting(self, ref: RecordRef, subject: str) -> None:
        """A rep books a meeting in the future."""
        ...

    def open_opportunity(self, ref: RecordRef, name: str) -> None:
        """An opportunity that the contact plays a part in."""
        ...

    def set_brake(self, *, pulled: bool) -> None:
        """An admin pulls or releases the emergency brake, making the control record where there is none."""
        ...

    def control(self) -> Mapping[str, Any]:
        """The control record by the mapping's words."""
        ...

    def add_user(self, name: str, email: str, *, active: bool) -> str:
        """A user; returns the id."""
        ...

    def add_queue(self, name: str) -> str:
        """A queue that can own leads; returns its id."""
        ...

    def timeline(self, ref: RecordRef) -> list[Mapping[str, Any]]:
        """The touches on a person's timeline, by the mapping's words for tasks."""
        ...

    def finish_task(self, touch_id: str) -> None:
        """The rep completes the task."""
        ...

    def sequence(self, sequence_id: str) -> Mapping[str, Any]:
        """A sequence's fields by the mapping's words."""
        ...

    def refuse_changes_of(self, ref: RecordRef, message: str) -> None:
        """A validation rule refuses every change of this record from now on."""
        ...

    def lock(self, ref: RecordRef) -> None:
        """Somebody holds the record's row, until unlock."""
        ...

    def unlock(self, ref: RecordRef) -> None:
        """The row is free again."""
        ...

    def trouble(self, trouble: CrmTrouble) -> None:
        """From now on."""
        ...

    def recover(self) -> None:
        """The trouble ends."""
        ...

    def short_pages(self, rows: int) -> None:
        """From now on a page of results has at most so many rows."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Time goes by in the CRM."""
        ...


class Reading:
    """One whole pull: everything its pages held."""

    def __init__(self, pages: Iterable[PullPage]) -> None:
        self.pages = list(pages)
        self.cursor = self.pages[-1].cursor
        self.records: dict[str, Record] = {record.ref.id: record for page in self.pages for record in page.records}
        self.signals: list[Signal] = [signal for page in self.pages for signal in page.signals]
        self.sequences: dict[str, SequenceDraft] = {draft.id: draft for page in self.pages for draft in page.sequences}
        self.removed: set[str] = {one for page in self.pages for one in page.removed_sequences}
        self.brakes = [page.brake for page in self.pages if page.brake is not None]


def read_all(source: CrmSource, cursor: str | None = None) -> Reading:
    """Pull to the end."""
    return Reading(source.pull(cursor))


def write_all(sink: CrmSink, *writes: Write) -> dict[str, WriteOutcome]:
    """Write, and the outcomes by key."""
    return {outcome.key: outcome for outcome in sink.write(writes)}


def status_write(ref: RecordRef, key: str = "status", **given: Any) -> StatusWrite:
    """A status write with everything filled in."""
    values: dict[str, Any] = {
        "status": "Active",
        "reason": "Step 2 of 4 is due.",
        "step": "2 of 4",
        "next_touch": AT,
        "last_touch": None,
        "run": 1,
    }
    return StatusWrite(key=key, ref=ref, **{**values, **given})


def task_write(ref: RecordRef, touch_id: str, key: str = "task", **given: Any) -> TaskWrite:
    """A touch's write with everything filled in."""
    values: dict[str, Any] = {
        "owner_id": None,
        "at": AT,
        "subject": "Quick question",
        "body": "Hello.",
        "sequence": "Intro",
        "sequence_id": "s1",
        "step": "1 of 4",
        "step_id": "t1",
        "run": 1,
        "outcome": "Sent",
        "message_id": f"<{touch_id}@acme.example>",
    }
    return TaskWrite(key=key, ref=ref, touch_id=touch_id, **{**values, **given})


def touch_write(ref: RecordRef, touch_id: str, outcome: str, opens: int = 0, clicks: int = 0) -> TouchWrite:
    """News of a touch."""
    return TouchWrite(key="touch", ref=ref, touch_id=touch_id, outcome=outcome, opens=opens, clicks=clicks)


class CrmContract:
    """Every promise of CrmSource and CrmSink. Subclass it and give the fixtures crm, source and sink."""

    @pytest.fixture
    def sequence(self, crm: CrmDriver) -> str:
        """A live sequence of two steps."""
        return crm.add_sequence("Intro", ["Hello", "Again"])

    @pytest.fixture
    def person(self, crm: CrmDriver, sequence: str) -> RecordRef:
        """A contact with the box ticked."""
        return crm.add_person(RecordKind.CONTACT, email="Ann@Acme.example", enrolled=True, sequence=sequence)

    # --- pull -------------------------------------------------------------------------------------------------------

    def test_the_first_pull_gives_sequences_whole(self, crm: CrmDriver, source: CrmSource, sequence: str) -> None:
        """A sequence comes with all its steps, by the mapping's words."""
        draft = read_all(source).sequences[sequence]
        assert draft.fields["name"] == "Intro"
        assert [step.fields["subject"] for step in sorted(draft.steps, key=lambda step: step.fields["order"])] == [
            "Hello",
            "Again",
        ]
        assert {step.id for step in draft.steps} == set(crm.step_ids(sequence))

    def test_the_first_pull_gives_everybody_ticked(
        self, crm: CrmDriver, source: CrmSource, sequence: str, person: RecordRef
    ) -> None:
        """Who is ticked comes with address and sequence; who is not ticked and never was does not come."""
        other = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
        records = read_all(source).records
        assert (records[person.id].email, records[person.id].sequence_id) == ("Ann@Acme.example", sequence)
        assert records[person.id].enrolled
        assert other.id not in records

    def test_leads_come_like_contacts(self, crm: CrmDriver, source: CrmSource, sequence: str) -> None:
        """A ticked lead is pulled where the CRM has leads."""
        self._need(source, Capability.LEADS)
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
        self._need(source, Capability.MERGES)
        winner = crm.add_person(RecordKind.CONTACT, email="ann@acme.example", enrolled=True, sequence=sequence)
        cursor = read_all(source).cursor
        crm.merge(winner, person)
        assert read_all(source, cursor).records[person.id].merged_into == winner.id

    @pytest.mark.parametrize("opportunity", [True, False])
    def test_a_conversion_names_the_contact(
        self, crm: CrmDriver, source: CrmSource, sequence: str, *, opportunity: bool
    ) -> None:
        """B11: a converted lead comes with its contact, and says whether an opportunity was created."""
        self._need(source, Capability.CONVERSION)
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

    def test_what_may_wait_comes_within_two_pulls(
        self, crm: CrmDriver, source: CrmSource, sequence: str, person: RecordRef
    ) -> None:
        """P2, B17: a meeting and an edit, in whichever of the next two pulls, and each once."""
        self._need(source, Capability.SIGNALS)
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

    def test_our_own_counts_are_no_change_of_a_sequence(self, source: CrmSource, sink: CrmSink, sequence: str) -> None:
        """Writing version and counts does not bring the sequence back as changed."""
        cursor = read_all(source).cursor
        write_all(sink, SequenceWrite(key="s", sequence_id=sequence, version="v2", error="", counts={"sent": 3}))
        assert sequence not in read_all(source, cursor).sequences

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

    def test_the_first_pull_brings_no_old_signals(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """What happened before crmdrip came stops nobody."""
        crm.book_meeting(person, "Long ago")
        crm.pass_time(86_400)
        assert read_all(source).signals == []

    def test_what_happened_since_a_time_can_be_asked_for(
        self, crm: CrmDriver, source: CrmSource, person: RecordRef
    ) -> None:
        """B4: a ledger that was lost has lost what it had heard; what lies before the time does not come."""
        self._need(source, Capability.SIGNALS)
        cursor = read_all(source).cursor
        crm.book_meeting(person, "Before")
        (before,) = read_all(source, cursor).signals
        crm.pass_time(86_400)
        crm.book_meeting(person, "After")
        found = source.signals(before.at + timedelta(hours=1))
        assert [(one.kind, one.detail) for one in found] == [(SignalKind.MEETING, "After")]

    def test_a_meeting_is_a_signal(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """P2: a meeting booked after the cursor comes with the record it is with, and only once."""
        self._need(source, Capability.SIGNALS)
        cursor = read_all(source).cursor
        crm.book_meeting(person, "Demo")
        reading = read_all(source, cursor)
        assert [(one.kind, one.record_id, one.detail) for one in reading.signals] == [
            (SignalKind.MEETING, person.id, "Demo")
        ]
        assert read_all(source, reading.cursor).signals == []

    def test_an_opportunity_is_a_signal(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """P2: an opportunity created after the cursor comes with the contact in it."""
        self._need(source, Capability.SIGNALS)
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
        self._need(source, Capability.SIGNALS)
        write_all(sink, task_write(person, "a" * 32, open=True), task_write(person, "b" * 32, key="mail"))
        cursor = read_all(source).cursor
        assert [one for one in read_all(source, cursor).signals if one.kind is SignalKind.TASK_DONE] == []
        crm.finish_task("a" * 32)
        found = [one for one in read_all(source, cursor).signals if one.kind is SignalKind.TASK_DONE]
        assert [one.touch_id for one in found] == ["a" * 32]

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

    # --- last look --------------------------------------------------------------------------------------------------

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
        self._need(source, Capability.SIGNALS)
        cursor = read_all(source).cursor
        crm.book_meeting(person, "Demo")
        found = source.look([person], NO_PATHS, cursor).signals
        assert [(one.kind, one.record_id) for one in found] == [(SignalKind.MEETING, person.id)]

    def test_a_signal_of_the_look_comes_with_the_next_pull_under_the_same_key(
        self, crm: CrmDriver, source: CrmSource, person: RecordRef
    ) -> None:
        """B23: the look takes nothing away from the pull, and the key is the same."""
        self._need(source, Capability.SIGNALS)
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
        write = ControlWrite(key="c", heartbeat=first, calls_used=1, calls_limit=100, state="Running.")
        if write_all(sink, write)["c"].error is not None:
            pytest.skip("the CRM has no place for a heartbeat")
        cursor = read_all(source).cursor
        beats = [source.look([], NO_PATHS, cursor, (), second).brake, source.look([], NO_PATHS, cursor).brake]
        assert [brake.heartbeat for brake in beats if brake is not None] == [first, second]

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

    # --- owners, find, touches --------------------------------------------------------------------------------------

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
        twin = crm.add_person(RecordKind.CONTACT, email="ANN@acme.example")
        crm.add_person(RecordKind.CONTACT, email="joann@acme.example")
        refs = {twin, person}
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

    # --- writing ----------------------------------------------------------------------------------------------------

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
        winner = crm.add_person(RecordKind.CONTACT, email="ann@acme.example")
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
        self._need(source, Capability.CONVERSION)
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

    # --- what goes wrong --------------------------------------------------------------------------------------------

    def test_an_ended_session_is_renewed(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """A session that ended is replaced without anybody noticing."""
        cursor = read_all(source).cursor
        crm.trouble(CrmTrouble.LOGGED_OUT)
        assert person.id in source.look([person], NO_PATHS, cursor).records

    def test_refused_credentials_are_an_auth_error(self, crm: CrmDriver, source: CrmSource) -> None:
        """Credentials that are refused raise AuthError from every kind of reading."""
        crm.trouble(CrmTrouble.DENIED)
        with pytest.raises(AuthError):
            source.identity()
        with pytest.raises(AuthError):
            read_all(source)
        with pytest.raises(AuthError):
            source.look([], NO_PATHS, None)

    def test_a_crm_that_is_down_is_retriable(
        self, crm: CrmDriver, source: CrmSource, sink: CrmSink, person: RecordRef
    ) -> None:
        """P4: no last look, no pull and no write while the CRM is down; all of them work afterwards."""
        cursor = read_all(source).cursor
        crm.trouble(CrmTrouble.DOWN)
        with pytest.raises(RetriableError):
            source.look([person], NO_PATHS, cursor)
        with pytest.raises(RetriableError):
            read_all(source, cursor)
        with pytest.raises(RetriableError):
            write_all(sink, status_write(person))
        crm.recover()
        assert person.id in source.look([person], NO_PATHS, cursor).records

    def test_a_used_up_quota_is_rate_limited(
        self, crm: CrmDriver, source: CrmSource, sink: CrmSink, person: RecordRef
    ) -> None:
        """B20: the CRM's own limit raises RateLimitedError from reading and writing, and the cursor is still good."""
        cursor = read_all(source).cursor
        crm.trouble(CrmTrouble.QUOTA_GONE)
        with pytest.raises(RateLimitedError):
            read_all(source, cursor)
        with pytest.raises(RateLimitedError):
            write_all(sink, status_write(person))
        crm.recover()
        crm.change(person, email="new@acme.example")
        assert read_all(source, cursor).records[person.id].email == "new@acme.example"

    def test_a_hidden_opt_out_field_is_a_configuration_error(
        self, crm: CrmDriver, source: CrmSource, person: RecordRef
    ) -> None:
        """B26: without sight of the opt-out field there is no pull and no look; it works again once granted."""
        cursor = read_all(source).cursor
        crm.trouble(CrmTrouble.OPT_OUT_HIDDEN)
        with pytest.raises(ConfigurationError, match="opt-out"):
            source.look([person], NO_PATHS, cursor)
        with pytest.raises(ConfigurationError, match="opt-out"):
            read_all(source, cursor)
        crm.recover()
        assert person.id in source.look([person], NO_PATHS, cursor).records

    def test_the_budget_is_counted(self, source: CrmSource, sequence: str) -> None:
        """P5: calls made are counted, asking for the budget makes none."""
        assert source.budget().calls_made == 0
        read_all(source)
        made = source.budget().calls_made
        assert made > 0
        assert source.budget().calls_made == made
        assert sequence

    def _need(self, source: CrmSource, capability: Capability) -> None:
        """Skip what the CRM says it cannot do."""
        if capability not in source.capabilities():
            pytest.skip(f"the CRM has no {capability}")
