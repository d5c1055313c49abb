"""What comes in is kept raw, once, in order, until it is read (B5, B23)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_values import NOW
from sqlalchemy import text

from crmdrip.core.received import Delivery, RawMail, delivery_of, mail_of
from crmdrip.core.struct import replace
from crmdrip.ledger import received
from crmdrip.ledger.received import ReceivedCount

EVENTS = Delivery(
    source="sendgrid:events", key="k1", body=b"[\x00\xff]\r\n", content_type="application/json", received_at=NOW
)
MAIL = RawMail(
    source="imap:sales",
    key="7:1",
    body=b"From: \xe9\r\n\r\n",
    envelope_to=("reply+1@acme.example",),
    received_at=NOW,
)


def stored(any_ledger, *deliveries):
    """Keep them in one transaction; the new ones."""
    with any_ledger.write() as connection:
        return received.store(connection, deliveries)


def waiting(any_ledger, now=NOW, limit=100):
    """What is to be read now."""
    with any_ledger.write() as connection:
        return received.claim(connection, now, limit)


class TestKeeping:
    """What was handed over."""

    def test_a_delivery_comes_back_byte_by_byte(self, any_ledger):
        """A signature or an odd charset is still there to be looked at."""
        stored(any_ledger, EVENTS)
        assert [one.delivery for one in waiting(any_ledger)] == [EVENTS]

    def test_an_email_comes_back_with_its_envelope(self, any_ledger):
        """Who it was delivered by is surer than its To."""
        stored(any_ledger, delivery_of(MAIL))
        [found] = waiting(any_ledger)
        assert mail_of(found.delivery) == MAIL

    def test_what_is_no_email_is_not_taken_for_one(self):
        """A vendor's form is read by its hook."""
        with pytest.raises(ValueError, match="no email"):
            mail_of(EVENTS)

    def test_a_repeat_is_kept_once(self, any_ledger):
        """B23: vendors deliver again what they could not see us take."""
        assert stored(any_ledger, EVENTS, EVENTS) == [EVENTS]
        assert stored(any_ledger, EVENTS) == []
        assert len(waiting(any_ledger)) == 1

    def test_two_sources_may_use_one_key(self, any_ledger):
        """Keys are unique within their source alone."""
        other = replace(EVENTS, source="imap:sales")
        assert stored(any_ledger, EVENTS, other) == [EVENTS, other]

    def test_the_oldest_comes_first(self, any_ledger):
        """Whatever the clocks say, the order is that of arrival."""
        late = replace(EVENTS, key="k2", received_at=NOW - timedelta(hours=1))
        stored(any_ledger, EVENTS, late)
        assert [one.delivery.key for one in waiting(any_ledger)] == ["k1", "k2"]
        assert [one.delivery.key for one in waiting(any_ledger, limit=1)] == ["k1"]


class TestReading:
    """What becomes of it."""

    def test_what_was_read_waits_no_more_and_is_still_known(self, any_ledger):
        """B23: a repeat after reading is passed over too."""
        stored(any_ledger, EVENTS)
        with any_ledger.write() as connection:
            [one] = received.claim(connection, NOW, 1)
            received.finish(connection, [one.id])
        assert waiting(any_ledger) == []
        assert stored(any_ledger, EVENTS) == []

    def test_what_was_understood_in_full_leaves_no_body(self, any_ledger):
        """Mail is personal: it is kept for as long as it is needed."""
        stored(any_ledger, EVENTS)
        with any_ledger.write() as connection:
            [one] = received.claim(connection, NOW, 1)
            received.finish(connection, [one.id])
            assert bytes(connection.execute(text("SELECT body FROM received")).scalar()) == b""

    def test_what_was_not_understood_in_full_is_kept_raw(self, any_ledger):
        """An event that nobody knew yet can be read by a newer version."""
        stored(any_ledger, EVENTS)
        with any_ledger.write() as connection:
            [one] = received.claim(connection, NOW, 1)
            received.finish_unclear(connection, [one.id], "unknown events: purred")
            assert bytes(connection.execute(text("SELECT body FROM received")).scalar()) == EVENTS.body
            assert received.count(connection) == ReceivedCount(unclear=1)

    def test_what_was_put_off_is_due_later(self, any_ledger):
        """It still waits, so a last look knows that something is unread."""
        stored(any_ledger, EVENTS)
        with any_ledger.write() as connection:
            [one] = received.claim(connection, NOW, 1)
            received.put_off(connection, one.id, NOW + timedelta(minutes=1), "no answer")
            assert received.is_waiting(connection, one.id)
        assert waiting(any_ledger) == []
        [again] = waiting(any_ledger, NOW + timedelta(minutes=1))
        assert again.attempt == 1

    def test_what_failed_is_shown_and_can_be_tried_again(self, any_ledger):
        """P3: nothing that came in is lost silently."""
        stored(any_ledger, EVENTS)
        with any_ledger.write() as connection:
            [one] = received.claim(connection, NOW, 1)
            received.fail(connection, one.id, "no JSON")
            assert received.newest_waiting(connection) is None
            assert [(f.source, f.error) for f in received.failures(connection)] == [("sendgrid:events", "no JSON")]
            assert received.count(connection) == ReceivedCount(failed=1)
            assert received.retry_failed(connection, NOW) == 1
        assert [one.delivery for one in waiting(any_ledger)] == [EVENTS]

    def test_what_comes_meanwhile_is_left_for_the_next_time(self, any_ledger):
        """B5: a last look waits for what was there, and not for a flood that goes on."""
        stored(any_ledger, EVENTS)
        with any_ledger.read() as connection:
            last = received.newest_waiting(connection)
        stored(any_ledger, delivery_of(MAIL))
        with any_ledger.write() as connection:
            [one] = received.claim(connection, NOW, 10, last)
            received.finish(connection, [one.id])
            assert not received.is_waiting(connection, last)
            assert received.newest_waiting(connection) > last

    def test_few_large_ones_are_held_in_memory_at_once(self, any_ledger, monkeypatch):
        """B27: fifty mails of 30 MB would be 1.5 GB; one that is too large comes alone."""
        monkeypatch.setattr(received, "ROOM", 25)
        bodies = [b"x" * size for size in (10, 10, 10, 40, 1)]
        stored(any_ledger, *(replace(EVENTS, key=str(key), body=body) for key, body in enumerate(bodies)))
        sizes = []
        while batch := waiting(any_ledger):
            sizes.append([len(one.delivery.body) for one in batch])
            with any_ledger.write() as connection:
                received.finish(connection, [one.id for one in batch])
        assert sizes == [[10, 10], [10], [40], [1]]

    def test_old_keys_go_and_failures_stay(self, any_ledger):
        """After the longest time a vendor repeats, nobody needs the key; a failure waits for a person."""
        stored(any_ledger, EVENTS, replace(EVENTS, key="k2"), replace(EVENTS, key="k3"))
        with any_ledger.write() as connection:
            first, second, _ = received.claim(connection, NOW, 3)
            received.finish(connection, [first.id])
            received.fail(connection, second.id, "no JSON")
            received.forget_before(connection, NOW + timedelta(seconds=1))
            assert received.count(connection) == ReceivedCount(waiting=1, failed=1)
        assert stored(any_ledger, EVENTS) == [EVENTS]


def test_asking_whether_anything_waits_reads_no_row_that_was_read(ledger):
    """Each last look asks: it must not grow with history."""
    with ledger.read() as connection:
        asked = str(received._NEWEST.compile(dialect=connection.dialect))
        plan = connection.execute(text(f"EXPLAIN QUERY PLAN {asked}"))
        assert "received_waiting" in " ".join(str(row) for row in plan)
