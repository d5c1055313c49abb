"""What the provider told of each touch is kept whole, beside the touch (B1, B23)."""

from __future__ import annotations

from datetime import timedelta

from ledger_values import NOW, contact, run, signal, touch
from sqlalchemy import select

from crmdrip.core.engagement import Engagement
from crmdrip.core.model import Signal, SignalKind, TouchState
from crmdrip.core.struct import replace
from crmdrip.ledger import engagements, people, runs, schema, touches

KNOWN = Engagement(
    touch_id="a" * 32,
    outcome=SignalKind.BOUNCE,
    detail="5.1.1 gone",
    first_at=NOW,
    opens=2,
    machine_opens=1,
    clicks=3,
    told_at=NOW + timedelta(hours=1),
)
OTHER = Engagement(touch_id="b" * 32, outcome=SignalKind.DELIVERED, first_at=NOW)


def test_what_was_saved_comes_back_whole(any_ledger):
    """And what is saved again takes its place."""
    with any_ledger.write() as connection:
        engagements.save(connection, [KNOWN, OTHER])
        engagements.save(connection, [replace(OTHER, opens=1)])
        found = engagements.load(connection, [KNOWN.touch_id, OTHER.touch_id, "c" * 32])
    assert found == {KNOWN.touch_id: KNOWN, OTHER.touch_id: replace(OTHER, opens=1)}


def test_events_of_emails_are_forgotten_and_what_they_add_up_to_stays(any_ledger):
    """A ledger does not grow with every open for ever; what speaks of a person stays."""
    opened = signal(key="open", kind=SignalKind.OPENED, record_id=None, address=None, touch_id=KNOWN.touch_id)
    bounced = signal(key="bounce", kind=SignalKind.BOUNCE, record_id=None, address="p1@example.com")
    with any_ledger.write() as connection:
        engagements.save(connection, [KNOWN])
        people.add_signals(connection, [opened, bounced], NOW)
        engagements.forget_events(connection, NOW, 10)
        assert engagements.known_signals(connection, ["open", "bounce"]) == {"open", "bounce"}
        engagements.forget_events(connection, NOW + timedelta(seconds=1), 10)
        assert engagements.known_signals(connection, ["open", "bounce"]) == {"bounce"}
        assert engagements.load(connection, [KNOWN.touch_id]) == {KNOWN.touch_id: KNOWN}


def test_an_event_is_stored_once_and_comes_back_as_any_other_signal(any_ledger):
    """B23: also where a batch holds it twice; the order stays."""
    one, other = (
        signal(key=key, kind=SignalKind.OPENED, record_id=None, address=None, touch_id=KNOWN.touch_id, detail="said")
        for key in ("z", "a")
    )
    with any_ledger.write() as connection:
        assert engagements.add_events(connection, [one, other, one], NOW) == [one, other]
        assert engagements.add_events(connection, [other], NOW) == []
        rows = connection.execute(select(schema.signal).order_by(schema.signal.c.key.desc())).mappings().all()
    assert [Signal(**{name: row[name] for name in Signal.__struct_fields__}) for row in rows] == [one, other]


def test_a_doubt_is_settled_by_whatever_was_heard(any_ledger):
    """B1: only of what the provider told of is it known to have gone out."""
    with any_ledger.write() as connection:
        engagements.save(connection, [KNOWN])
        assert engagements.first_heard(connection, [KNOWN.touch_id, OTHER.touch_id]) == {KNOWN.touch_id: NOW}


def test_an_event_finds_its_touch_and_whom_it_went_to(any_ledger):
    """A dropped event may come without an address."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run()])
        touches.add_touches(connection, [touch(state=TouchState.IN_DOUBT, address="p1@example.com")])
        found = engagements.touches_told_of(connection, [touch().id, "c" * 32])
    assert list(found) == [touch().id]
    sent = found[touch().id]
    assert (sent.state, sent.address, sent.ref) == (TouchState.IN_DOUBT, "p1@example.com", contact())
