"""Runs and touches: claimed in order, stored whole, recovered after a crash, woken when something changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_values import NOW, contact, run, touch

from crmdrip.core.model import Enrollment, RecordKind, RecordRef, RunStatus, TouchState
from crmdrip.core.struct import replace
from crmdrip.ledger import due_runs, runs, touches


def test_a_run_comes_back_as_it_was_stored(any_ledger):
    """Every field survives, also times with microseconds and a thread of several messages."""
    full = run(
        status=RunStatus.HELD,
        reason="hold.missing_field",
        reason_detail="Title",
        entered_at=NOW.replace(microsecond=123456),
        unproven=True,
        next_step_id="step",
        position=2.5,
        steps_done=3,
        last_touch_at=NOW - timedelta(days=1),
        last_touch_zone="Europe/Berlin",
        sender="rep@example.com",
        owner_id="005",
        thread=("<a@x>", "<b@x>"),
        thread_subject="Hello",
        ref=RecordRef(kind=RecordKind.LEAD, id="00Q"),
    )
    with any_ledger.write() as connection:
        runs.add_runs(connection, [full])
        [found] = runs.lock_runs(connection, [1]).values()
    expected = replace(full, id=1, revision=1)
    assert found == expected
    assert all(getattr(found, name) == getattr(expected, name) for name in Enrollment.__struct_fields__)


def test_a_saved_run_replaces_the_one_before(any_ledger):
    """The change is whole."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run()])
        [stored] = runs.lock_runs(connection, [1]).values()
        changed = replace(stored, status=RunStatus.ACTIVE, steps_done=1, check_at=NOW + timedelta(days=2))
        runs.save_runs(connection, [changed], NOW)
        assert runs.lock_runs(connection, [1]) == {1: replace(changed, revision=stored.revision + 1)}


@pytest.mark.parametrize(
    "change",
    [
        {"status": RunStatus.STOPPED, "check_at": None},
        {"address": "new@example.com"},
        {"ref": RecordRef(kind=RecordKind.LEAD, id="00Q")},
        {"steps_done": 2, "thread": ("<a@x>",)},
    ],
    ids=["ended", "readdressed", "moved", "gone on"],
)
def test_of_a_run_that_is_known_nothing_newer_is_overlooked(any_ledger, change):
    """P2: what was read before is taken for true only while nobody stored the run since; every change is stored."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run(), run(2)])
        known = runs.lock_runs(connection, [1, 2])
        runs.save_runs(connection, [replace(known[1], **change), known[2]], NOW)
        first = runs.lock_runs(connection, [1, 2])
        found = runs.lock_runs(connection, [1, 2], known)
        assert found == first
        assert found[1] == replace(known[1], **change, revision=known[1].revision + 1)
        again = runs.lock_runs(connection, [1, 2], first)
        assert all(again[number] is first[number] for number in first)


def test_a_run_that_is_to_be_proven_anew_is_not_taken_as_it_was(any_ledger):
    """B4: whoever read it before that learns of it."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run()])
        known = runs.lock_runs(connection, [1])
        runs.doubt_all(connection)
        assert runs.lock_runs(connection, [1], known)[1].unproven


def test_an_ended_run_is_never_claimed(any_ledger):
    """P2: the end takes the run out of the queue, whatever time stood there."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run()])
        [stored] = runs.lock_runs(connection, [1]).values()
        runs.save_runs(connection, [replace(stored, status=RunStatus.STOPPED)], NOW)
        assert due_runs.claim_due(connection, NOW + timedelta(days=9), 10) == []


def test_follow_ups_are_claimed_before_first_emails(any_ledger):
    """B19: among the overdue those go first who wait for the next of several; then the longest overdue."""
    people = [
        run(1, check_at=NOW - timedelta(hours=9)),
        run(2, check_at=NOW - timedelta(hours=1), steps_done=1),
        run(3, check_at=NOW - timedelta(hours=5), steps_done=2),
        run(4, check_at=NOW + timedelta(seconds=1), steps_done=1),
    ]
    with any_ledger.write() as connection:
        runs.add_runs(connection, people)
        claimed = due_runs.claim_due(connection, NOW, 10)
    assert [one.ref for one in claimed] == [contact(3), contact(2), contact(1)]


def test_no_more_are_claimed_than_asked_for(any_ledger):
    """A batch has a size."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run(number, steps_done=number % 2) for number in range(1, 8)])
        assert [len(due_runs.claim_due(connection, NOW, n)) for n in (0, 1, 4, 100)] == [0, 1, 4, 7]


def test_what_was_under_way_at_a_crash_is_in_doubt(any_ledger):
    """B1: an intent without an outcome may have gone out; its run is looked at so that the record says so."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run(check_at=None), run(2)])
        touches.add_touches(connection, [touch(1), touch(2, state=TouchState.ACCEPTED)])
    later = NOW + timedelta(hours=1)
    with any_ledger.write() as connection:
        assert touches.recover(connection, later) == 1
        states = {one.enrollment_id: one.state for one in touches.touches_in_full(connection, [1, 2])}
        assert states == {1: TouchState.IN_DOUBT, 2: TouchState.ACCEPTED}
        assert runs.lock_runs(connection, [1])[1].check_at == later
        assert touches.recover(connection, later) == 0


def test_doubtful_touches_are_looked_up_when_their_time_has_come(any_ledger):
    """The reconcile worker is given no touch twice in a row."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run()])
        touches.add_touches(connection, [touch(state=TouchState.IN_DOUBT, not_before=NOW + timedelta(minutes=5))])
        assert touches.unsettled(connection, NOW, 10) == []
        assert len(touches.unsettled(connection, NOW + timedelta(minutes=5), 10)) == 1
        touches.postpone(connection, touch().id, NOW + timedelta(hours=1))
        assert touches.unsettled(connection, NOW + timedelta(minutes=5), 10) == []


@pytest.mark.parametrize(
    ("status", "reason", "woken"),
    [
        (RunStatus.HELD, "hold.missing_field", True),
        (RunStatus.PAUSED, "hold.paused_until", True),
        (RunStatus.HELD, "hold.in_doubt", False),
        (RunStatus.HELD, "hold.needs_person", False),
        (RunStatus.HELD, "hold.daily_cap", False),
        (RunStatus.ACTIVE, "", False),
    ],
)
def test_a_changed_record_wakes_what_it_may_have_mended(any_ledger, status, reason, woken):
    """B24: filling the field is enough; doubts and caps are not mended by a record."""
    late = NOW + timedelta(days=3)
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run(status=status, reason=reason, check_at=late)])
        due_runs.wake_records(connection, [contact().id], NOW)
        found = runs.lock_runs(connection, [1])[1].check_at
    assert found == (NOW if woken else late)


def test_many_records_are_asked_for_at_once(any_ledger):
    """More ids than a database takes in one list."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run(number) for number in range(1, 1203)])
        found = runs.live_runs_of_records(connection, [contact(number).id for number in range(1, 1203)])
    assert len(found) == 1202


def test_a_touch_already_known_is_left_as_it_is(any_ledger):
    """P6: reading a timeline back never changes what the ledger knows better."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run()])
        assert touches.add_touches(connection, [touch(state=TouchState.IN_DOUBT)]) == 1
        assert touches.add_touches(connection, [touch(state=TouchState.ACCEPTED)]) == 0
        assert [one.state for one in touches.touches_in_full(connection, [1])] == [TouchState.IN_DOUBT]
