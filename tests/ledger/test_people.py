"""Records, signals and suppressions as the ledger remembers them."""

from __future__ import annotations

import pytest
from ledger_values import NOW, contact, record, signal

from crmdrip.core.keys import person_key
from crmdrip.core.model import BoxPending, SignalKind
from crmdrip.core.struct import replace
from crmdrip.ledger import people


def box(any_ledger) -> BoxPending:
    """What is pending for person 1's box."""
    with any_ledger.read() as connection:
        return people.pending_boxes(connection, [contact().id]).get(contact().id, BoxPending.NO)


@pytest.mark.parametrize(
    ("pending", "seen_ticked", "left"),
    [
        (BoxPending.OFF, True, BoxPending.OFF),
        (BoxPending.OFF, False, BoxPending.NO),
        (BoxPending.ON, False, BoxPending.ON),
        (BoxPending.ON, True, BoxPending.NO),
    ],
)
def test_a_box_counts_again_once_it_is_seen_as_we_set_it(any_ledger, pending, seen_ticked, left):
    """B9: until then how it stands is only what our own write has not reached yet."""
    with any_ledger.write() as connection:
        people.remember_records(connection, [record()])
        people.expect_box(connection, [contact()], pending)
        people.remember_records(connection, [record(enrolled=seen_ticked)])
    assert box(any_ledger) is left


def test_a_written_box_is_confirmed(any_ledger):
    """B9: the CRM took our unticking."""
    with any_ledger.write() as connection:
        people.remember_records(connection, [record()])
        people.expect_box(connection, [contact()], BoxPending.OFF)
        people.confirm_box(connection, [(contact().id, False)])
        assert not people.known_records(connection, [contact().id])[contact().id].enrolled
    assert box(any_ledger) is BoxPending.NO


def test_an_older_write_does_not_confirm_a_newer_wish(any_ledger):
    """B12: unticked long ago, to be ticked now by a merge."""
    with any_ledger.write() as connection:
        people.remember_records(connection, [record()])
        people.expect_box(connection, [contact()], BoxPending.ON)
        people.confirm_box(connection, [(contact().id, False)])
    assert box(any_ledger) is BoxPending.ON


def test_twins_are_found_by_normalized_address(any_ledger):
    """B13: spelling does not make two people; a deleted record is nobody's twin."""
    with any_ledger.write() as connection:
        people.remember_records(
            connection, [record(), record(2, email="p1@example.com "), record(3, email="p1@example.com", deleted=True)]
        )
        found = people.records_of_addresses(connection, ["p1@example.com"])
    assert {one.ref for one in found["p1@example.com"]} == {contact(1), contact(2)}


@pytest.mark.parametrize(
    ("kind", "suppresses"),
    [
        (SignalKind.UNSUBSCRIBE, True),
        (SignalKind.SPAM_REPORT, True),
        (SignalKind.BOUNCE, True),
        (SignalKind.REPLY, False),
        (SignalKind.MEETING, False),
        (SignalKind.OPENED, False),
    ],
)
def test_some_signals_suppress_the_address(any_ledger, kind, suppresses):
    """B22: whatever the way it became known, the address is not mailed again."""
    key = person_key("p1@example.com")
    with any_ledger.write() as connection:
        people.add_signals(connection, [signal(kind=kind)], NOW)
        assert (key in people.suppressed(connection, [key])) is suppresses


def test_the_first_reason_of_a_suppression_stays(any_ledger):
    """A complaint after an unsubscribe changes nothing about the unsubscribe."""
    key = person_key("p1@example.com")
    with any_ledger.write() as connection:
        people.add_signals(connection, [signal("a"), signal("b", kind=SignalKind.SPAM_REPORT)], NOW)
        assert people.suppressed(connection, [key])[key][0] is SignalKind.UNSUBSCRIBE


def test_what_happened_is_found_by_record_and_by_address(any_ledger):
    """P2: a signal without the one has the other."""
    with any_ledger.write() as connection:
        people.add_signals(connection, [signal("a", address=None), signal("b", record_id=None)], NOW)
        by_record, by_address = people.signals_about(connection, [contact().id], ["p1@example.com"])
    assert [one.key for one in by_record[contact().id]] == ["a"]
    assert [one.key for one in by_address["p1@example.com"]] == ["b"]


def test_a_signal_comes_back_as_it_was_stored(any_ledger):
    """Every field survives."""
    full = replace(signal(), touch_id="t", detail="550 5.1.1")
    with any_ledger.write() as connection:
        people.add_signals(connection, [full], NOW)
        assert people.signals_in_full(connection, contact().id, "p1@example.com") == [full]
