"""What came in is read before every last look, once, whatever order it comes in (P2, B1, B5, B22, B23)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from letters import answer
from stage import MONDAY, Stage

from connectors.sendgrid.events import read_events
from crmdrip.core.errors import RejectedError, RetriableError
from crmdrip.core.keys import person_key
from crmdrip.core.model import RunStatus, Signal, SignalKind, TouchState
from crmdrip.core.received import MAIL_TYPE, Delivery, RawMail
from crmdrip.core.struct import replace
from crmdrip.core.writes import TouchWrite
from crmdrip.daemon import dispatch, passes, received
from crmdrip.daemon.reconcile import Verdict, settle_by_person
from crmdrip.ledger import engagements, people
from crmdrip.ledger import received as store
from crmdrip.ledger.errors import LedgerBrokenError
from crmdrip.ledger.received import ReceivedCount
from crmdrip.sandbox.faults import Fault, FaultKind

ANN = "ann@acme.example"
SOURCE = "sendgrid:events"
CUT_AFTER = Fault(kind=FaultKind.CUT_AFTER, path="/v3/mail/send")


class EventReader:
    """Reads SendGrid's events; who posted them is the door's affair."""

    source = SOURCE
    limit = 1_000_000
    seconds = 1.0

    def __init__(self) -> None:
        self.breaks: list[Exception] = []
        """Raised one by one instead of reading."""

    def admits(self, *_: object) -> bool:
        """Not asked here."""
        return True

    authentic = admits

    def read(self, delivery: Delivery) -> Iterator[Signal | RawMail]:
        """The events, unless something breaks."""
        if self.breaks:
            raise self.breaks.pop(0)
        return iter(read_events(delivery.body, delivery.received_at))


class Vendor:
    """SendGrid, as far as it tells of emails."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.reader = EventReader()
        self.stage.parts = replace(stage.parts, hooks={SOURCE: self.reader})
        self._number = 0

    def event(self, name: str, touch: str = "", **fields: Any) -> dict[str, Any]:
        """One event of now."""
        about = {"crmdrip_touch": touch} if touch else {}
        return {"event": name, "email": ANN, "timestamp": int(self.stage.now.timestamp()), **about, **fields}

    def post(self, *events: object) -> None:
        """One batch, as the door stores it."""
        self._number += 1
        delivery = Delivery(
            source=SOURCE,
            key=str(self._number),
            body=json.dumps(events).encode(),
            content_type="application/json",
            received_at=self.stage.now,
        )
        with self.stage.parts.ledger.write() as connection:
            store.store(connection, [delivery])

    def tell(self, *events: object) -> received.DrainCount:
        """Post a batch, and have it read."""
        self.post(*events)
        return received.drain(self.stage.parts, passes.take_mail)


@pytest.fixture
def vendor(stage: Stage) -> Vendor:
    """The provider of the stage."""
    return Vendor(stage)


@pytest.fixture
def ann(stage: Stage, vendor: Vendor) -> str:
    """A contact whose first email went out, and stands on her timeline."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    assert stage.sent(ANN)
    return contact


def touch_of(stage: Stage, contact: str) -> str:
    """The id of the newest touch."""
    return stage.touches(contact)[-1].id


def is_suppressed(stage: Stage) -> bool:
    """Whether Ann's address is never mailed again."""
    with stage.parts.ledger.read() as connection:
        return bool(people.suppressed(connection, [person_key(ANN)]))


def counts(stage: Stage) -> ReceivedCount:
    """How much waits, failed, or was not understood."""
    with stage.parts.ledger.read() as connection:
        return store.count(connection)


def outcome(stage: Stage, contact: str) -> tuple[str, int, int]:
    """Outcome, opens and clicks of the newest touch, as they stand on the timeline."""
    row = stage.record(stage.tasks(contact)[-1]["Id"])
    return row["Drip_Outcome__c"], int(row["Drip_Opens__c"] or 0), int(row["Drip_Clicks__c"] or 0)


class TestStops:
    """What an event ends."""

    @pytest.mark.parametrize(
        ("event", "reason"),
        [
            ({"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 no such user"}, "stop.bounced"),
            ({"event": "spamreport"}, "stop.spam_report"),
            ({"event": "unsubscribe"}, "stop.unsubscribed"),
            ({"event": "group_unsubscribe", "asm_group_id": 7}, "stop.unsubscribed"),
            ({"event": "dropped", "reason": "Bounced Address", "email": ""}, "stop.bounced"),
            ({"event": "dropped", "reason": "Unsubscribed Address", "email": ""}, "stop.unsubscribed"),
            ({"event": "dropped", "reason": "Spam Reporting Address", "email": ""}, "stop.spam_report"),
        ],
    )
    def test_what_speaks_of_the_address_suppresses_it_and_stops(
        self, stage: Stage, vendor: Vendor, ann: str, event: dict[str, str], reason: str
    ) -> None:
        """B22: at once, from the event alone; a drop says what we had not heard of."""
        vendor.tell({**vendor.event("", touch_of(stage, ann)), **event})
        assert (stage.run(ann).status, stage.run(ann).reason) == (RunStatus.STOPPED, reason)
        assert is_suppressed(stage)

    @pytest.mark.parametrize(
        "event",
        [
            {"event": "bounce", "type": "blocked", "reason": "452 mailbox full"},
            {"event": "deferred", "response": "450 later"},
            {"event": "dropped", "reason": "Recipient List over Package Quota"},
            {"event": "delivered"},
            {"event": "open"},
            {"event": "click", "url": "https://acme.example"},
            {"event": "group_resubscribe"},
            {"event": "purred"},
        ],
    )
    def test_what_speaks_of_one_email_stops_nothing(
        self, stage: Stage, vendor: Vendor, ann: str, event: dict[str, str]
    ) -> None:
        """The next email may arrive; opens and clicks decide nothing."""
        vendor.tell({**vendor.event("", touch_of(stage, ann)), **event})
        stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=6))
        assert stage.run(ann).status.live
        assert len(stage.sent(ANN)) == 2

    def test_a_bounce_that_names_no_touch_is_matched_by_its_address(
        self, stage: Stage, vendor: Vendor, ann: str
    ) -> None:
        """B22: asynchronous bounces come without our id."""
        vendor.tell(vendor.event("bounce", type="bounce"))
        assert stage.run(ann).reason == "stop.bounced"

    def test_a_bounce_stands_on_every_record_of_the_address(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """B13, B22: also on one that never was in a sequence."""
        lead = stage.lead(ANN)
        vendor.tell(vendor.event("bounce", touch_of(stage, ann), type="bounce", reason="550 no such user"))
        stage.turn()
        assert stage.record(ann)["EmailBouncedReason"] == "550 no such user"
        assert stage.record(lead)["EmailBouncedReason"] == "550 no such user"

    def test_an_unsubscribe_at_the_provider_ticks_the_opt_out(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """B22: whichever way they said it."""
        vendor.tell(vendor.event("unsubscribe", touch_of(stage, ann)))
        stage.turn()
        assert stage.record(ann)["HasOptedOutOfEmail"]

    def test_a_stop_that_came_in_a_moment_ago_is_heard_by_the_last_look(
        self, stage: Stage, vendor: Vendor, ann: str
    ) -> None:
        """P2, B5: the pass that sends reads what waits before it looks."""
        stage.at(MONDAY + timedelta(days=2, hours=1))
        vendor.post(vendor.event("unsubscribe"))
        passes.dispatch(stage.parts)
        assert len(stage.sent(ANN)) == 1

    def test_what_comes_in_while_a_batch_goes_out_is_heard_before_the_next(self, stage: Stage, vendor: Vendor) -> None:
        """P2, B5: a pass of many batches reads what waits before each of their looks."""
        contacts = stage.ticked(stage.sequence(), 3)
        stage.limit(batch=1)
        passes.pull(stage.parts)
        mailer, told = stage.parts.mailer, []

        class Telling:
            def __getattr__(self, name):
                return getattr(mailer, name)

            def send(self, messages):
                messages = list(messages)
                if not told:
                    addresses = {f"p{n}@firm{n}.example" for n in range(3)} - {one.to_address for one in messages}
                    told.extend(addresses)
                    vendor.post(*(vendor.event("unsubscribe", email=address) for address in addresses))
                yield from mailer.send(messages)

        stage.parts = replace(stage.parts, mailer=Telling())
        passes.dispatch(stage.parts)
        # The second batch may have been looked at already while the first went out.
        assert 1 <= len(stage.sent()) <= 2
        assert [stage.run(contact).status for contact in contacts].count(RunStatus.STOPPED) >= 1


class TestTouches:
    """What becomes of an email is shown with it."""

    def test_opens_and_clicks_stand_on_the_timeline(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """The rep sees them where the email is."""
        touch = touch_of(stage, ann)
        vendor.tell(vendor.event("delivered", touch), vendor.event("open", touch), vendor.event("click", touch))
        stage.turn()
        assert outcome(stage, ann) == ("Clicked", 1, 1)

    def test_many_opens_are_one_update_an_hour(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """P5: a newsletter lover costs two updates, and both together tell of every open."""
        updates = 0
        sink = stage.parts.sink

        class Counting:
            def write(self, writes):
                nonlocal updates
                writes = list(writes)
                updates += sum(isinstance(write, TouchWrite) for write in writes)
                yield from sink.write(writes)

        stage.parts = replace(stage.parts, sink=Counting())
        for _ in range(30):
            vendor.tell(vendor.event("open", touch_of(stage, ann)))
            passes.write_back(stage.parts)
            stage.later(minutes=1)
        stage.later(hours=1)
        passes.write_back(stage.parts)
        assert updates == 2
        assert outcome(stage, ann) == ("Opened", 30, 0)

    def test_deliveries_alone_cost_the_crm_nothing(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """P5: they are what everybody expects."""
        stage.turn()
        vendor.tell(vendor.event("processed", touch_of(stage, ann)), vendor.event("delivered", touch_of(stage, ann)))
        assert stage.owed() == []

    def test_a_machines_open_is_no_open(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """B23: it is counted apart, and shown to nobody."""
        touch = touch_of(stage, ann)
        vendor.tell(vendor.event("open", touch, sg_machine_open=True))
        with stage.parts.ledger.write() as connection:
            known = engagements.load(connection, [touch])[touch]
        assert (known.opens, known.machine_opens) == (0, 1)
        assert not [write for write in stage.owed() if isinstance(write, TouchWrite)]

    @pytest.mark.parametrize(
        ("event", "says"),
        [
            ({"event": "dropped", "reason": "Spam Content"}, "Not sent on: dropped by SendGrid: Spam Content"),
            (
                {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "no such user"},
                "Bounced: 5.1.1 no such user",
            ),
        ],
    )
    def test_an_email_that_did_not_arrive_says_why(
        self, stage: Stage, vendor: Vendor, ann: str, event: dict[str, str], says: str
    ) -> None:
        """P3: on the timeline, within one write-back."""
        vendor.tell({**vendor.event("", touch_of(stage, ann)), **event})
        stage.turn()
        assert outcome(stage, ann)[0] == says

    def test_order_repeats_and_lateness_change_nothing(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """B23: shuffled, doubled, in batches cut anywhere, the touch ends up the same."""
        touch = touch_of(stage, ann)
        events = [
            vendor.event("processed", touch),
            vendor.event("deferred", touch, response="450 busy"),
            vendor.event("delivered", touch),
            vendor.event("open", touch),
            vendor.event("open", touch, timestamp=int(stage.now.timestamp()) + 60),
            vendor.event("click", touch, url="https://a.example"),
            vendor.event("click", touch, url="https://b.example"),
        ]
        shuffled = random.Random(7)
        seen = [*events, *({**event, "sg_event_id": str(n)} for n, event in enumerate(events))]
        shuffled.shuffle(seen)
        for start in range(0, len(seen), 3):
            vendor.tell(*seen[start : start + 3])
        stage.later(hours=2)
        stage.turn()
        assert outcome(stage, ann) == ("Clicked", 2, 2)

    def test_a_last_look_reads_no_opens(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """However often somebody opens, sending to them takes as long as ever."""
        vendor.tell(*(vendor.event("open", touch_of(stage, ann), timestamp=n) for n in range(1, 50)))
        with stage.parts.ledger.read() as connection:
            by_record, by_address = people.signals_about(connection, [ann], [ANN])
        assert not by_record[ann]
        assert not by_address[ANN]

    def test_events_of_emails_that_are_not_ours_are_harmless(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """Others send through the same account; an old ledger's touches are told of, too."""
        count = vendor.tell(vendor.event("open"), vendor.event("open", "f" * 32), vendor.event("delivered"))
        assert (count.deliveries, count.failed, count.put_off) == (1, 0, 0)
        stage.turn()
        assert outcome(stage, ann)[0] == "Sent"


class TestDoubts:
    """Whether an email went out (B1)."""

    @pytest.fixture
    def doubtful(self, stage: Stage, vendor: Vendor) -> str:
        """A contact of whose first email nobody knows; the provider's log cannot be asked."""
        contact = stage.contact(ANN)
        stage.tick(contact, stage.sequence())
        stage.fail_mail(CUT_AFTER, Fault(kind=FaultKind.CUT, path="/v3/logs", times=None))
        passes.pull(stage.parts)
        passes.dispatch(stage.parts)
        assert stage.touches(contact)[-1].state is TouchState.IN_DOUBT
        return contact

    @pytest.mark.parametrize("name", ["processed", "delivered", "open", "deferred", "dropped"])
    def test_any_event_of_the_touch_settles_the_doubt(
        self, stage: Stage, vendor: Vendor, doubtful: str, name: str
    ) -> None:
        """B1, P1: the provider has it, so it went out, and the run goes on without a second one."""
        vendor.tell(vendor.event(name, touch_of(stage, doubtful)))
        assert stage.touches(doubtful)[-1].state is TouchState.ACCEPTED
        assert stage.run(doubtful).steps_done == 1
        stage.mend()
        stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=6))
        assert (len(stage.sent(ANN)), stage.twice()) == (2, {})

    def test_an_event_that_came_before_the_doubt_settles_it_too(self, stage: Stage, vendor: Vendor) -> None:
        """B1: the event can be faster than the answer that never came."""
        contact = stage.contact(ANN)
        stage.tick(contact, stage.sequence())
        stage.fail_mail(CUT_AFTER, Fault(kind=FaultKind.CUT, path="/v3/logs", times=None))
        passes.pull(stage.parts)
        mailer = stage.parts.mailer

        class Told:
            def __getattr__(self, name):
                return getattr(mailer, name)

            def send(self, messages):
                messages = list(messages)
                vendor.tell(*(vendor.event("delivered", message.touch_id) for message in messages))
                yield from mailer.send(messages)

        stage.parts = replace(stage.parts, mailer=Told())
        passes.dispatch(stage.parts)
        assert stage.touches(contact)[-1].state is TouchState.IN_DOUBT
        stage.later(minutes=6)
        passes.reconcile(stage.parts)
        assert stage.touches(contact)[-1].state is TouchState.ACCEPTED

    @pytest.mark.parametrize("hours", [0.5, 30], ids=["in the log", "past the deadline"])
    def test_an_event_that_comes_while_the_log_is_asked_counts_once(
        self, stage: Stage, vendor: Vendor, doubtful: str, hours: float
    ) -> None:
        """B1, P3: the email is counted once, on the thread once, and no person is asked about what is known by then."""
        mailer, touch = stage.parts.mailer, touch_of(stage, doubtful)
        stage.mend()
        stage.later(hours=hours)
        if hours > 1:
            stage.do(stage.sandbox.account.accepted.clear)
        stage.limit(doubt_deadline_hours=24)

        class Told:
            def __getattr__(self, name: str) -> Any:
                return getattr(mailer, name)

            def find(self, *about: Any) -> Any:
                found = mailer.find(*about)
                vendor.tell(vendor.event("delivered", touch))
                return found

        counts = passes.reconcile(replace(stage.parts, mailer=Told()))
        assert counts == {"sent": 0, "needs_person": 0, "proven": 0}
        run = stage.run(doubtful)
        assert (run.steps_done, len(run.thread)) == (1, 1)
        assert stage.touches(doubtful)[-1].state is TouchState.ACCEPTED

    def test_an_event_of_an_unknown_kind_settles_nothing(self, stage: Stage, vendor: Vendor, doubtful: str) -> None:
        """B1: nobody knows what it says."""
        vendor.tell(vendor.event("purred", touch_of(stage, doubtful)))
        assert stage.touches(doubtful)[-1].state is TouchState.IN_DOUBT

    def test_a_person_need_not_decide_what_an_event_tells(self, stage: Stage, vendor: Vendor, doubtful: str) -> None:
        """B1: also after the deadline."""
        stage.limit(doubt_deadline_hours=1)
        stage.mend()
        stage.do(stage.sandbox.account.accepted.clear)
        stage.later(hours=2)
        passes.reconcile(stage.parts)
        assert stage.touches(doubtful)[-1].state is TouchState.NEEDS_PERSON
        vendor.tell(vendor.event("delivered", touch_of(stage, doubtful)))
        assert stage.touches(doubtful)[-1].state is TouchState.ACCEPTED
        with pytest.raises(RejectedError, match="nothing to decide"):
            settle_by_person(stage.parts, touch_of(stage, doubtful), Verdict.DID_NOT_GO_OUT)

    def test_whoever_was_wrong_about_it_causes_no_second_email(
        self, stage: Stage, vendor: Vendor, doubtful: str
    ) -> None:
        """P1: a person said that it did not go out, and the provider's event comes before it is sent again."""
        stage.limit(doubt_deadline_hours=1)
        stage.mend()
        log = list(stage.sent())
        stage.do(stage.sandbox.account.accepted.clear)
        stage.later(hours=2)
        passes.reconcile(stage.parts)
        settle_by_person(stage.parts, touch_of(stage, doubtful), Verdict.DID_NOT_GO_OUT)
        stage.do(stage.sandbox.account.accepted.extend, log)
        vendor.post(vendor.event("delivered", touch_of(stage, doubtful)))
        stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=6))
        assert (len(stage.sent(ANN)), stage.twice()) == (2, {})
        assert stage.run(doubtful).steps_done == 2


class TestTrouble:
    """What cannot be read."""

    def test_a_batch_that_is_none_is_kept_and_shown_and_stops_nobody_else(
        self, stage: Stage, vendor: Vendor, ann: str
    ) -> None:
        """P3: it can never be read, and what stands beside it is."""
        self.post_raw(stage, b"<html>")
        assert vendor.tell(vendor.event("unsubscribe")) == received.DrainCount(deliveries=1, signals=1, failed=1)
        assert counts(stage) == ReceivedCount(failed=1)
        assert stage.run(ann).status is RunStatus.STOPPED

    def post_raw(self, stage: Stage, body: bytes, source: str = SOURCE, content_type: str = "") -> None:
        """Anything at all."""
        delivery = Delivery(source=source, key="raw", body=body, content_type=content_type, received_at=stage.now)
        with stage.parts.ledger.write() as connection:
            store.store(connection, [delivery])

    def test_what_nobody_reads_any_more_is_kept_as_failed(self, stage: Stage, vendor: Vendor) -> None:
        """Another provider was configured meanwhile."""
        self.post_raw(stage, b"[]", source="mailgun:events")
        assert received.drain(stage.parts, passes.take_mail).failed == 1

    def test_an_event_that_nobody_knows_is_kept_raw_and_counted(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """What stands beside it in the batch counts."""
        count = vendor.tell(vendor.event("purred"), vendor.event("unsubscribe"))
        assert (count.unknown, counts(stage)) == (1, ReceivedCount(unclear=1))
        assert stage.run(ann).status is RunStatus.STOPPED

    def test_what_comes_in_during_the_last_look_withdraws_its_email(
        self, stage: Stage, vendor: Vendor, ann: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """P2: everything that had come in was read, then somebody complained while the records were read."""
        look = stage.parts.source.look
        complaint = vendor.event("spamreport", touch_of(stage, ann))

        def look_slowly(*args: Any, **kwargs: Any) -> Any:
            found = look(*args, **kwargs)
            vendor.post(complaint)
            return found

        stage.at(MONDAY + timedelta(days=2, hours=1))
        monkeypatch.setattr(stage.parts.source, "look", look_slowly)
        passes.dispatch(stage.parts)
        assert len(stage.sent(ANN)) == 1
        assert stage.run(ann).reason == "stop.spam_report"
        assert stage.touches(ann)[-1].state is TouchState.REFUSED

    def test_what_another_loop_read_just_after_the_decision_withdraws_the_email(
        self, stage: Stage, vendor: Vendor, ann: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """P2: whoever read it waited for the decision to be stored; by the time the sender asks nothing waits."""
        hear, complaint = dispatch._Batch.hear, vendor.event("spamreport", touch_of(stage, ann))

        def hear_late(batch: Any) -> None:
            vendor.tell(complaint)
            hear(batch)

        stage.at(MONDAY + timedelta(days=2, hours=1))
        monkeypatch.setattr(dispatch._Batch, "hear", hear_late)
        passes.dispatch(stage.parts)
        assert len(stage.sent(ANN)) == 1
        assert stage.run(ann).reason == "stop.spam_report"

    def test_an_absence_that_comes_in_during_the_last_look_withdraws_its_email(
        self, stage: Stage, vendor: Vendor, ann: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """B8: whoever is away is not mailed, and the record says until when; nothing of it is the provider's doing."""
        look = stage.parts.source.look
        body = answer(
            stage.sent(ANN)[0], "I am out of the office until 30 November 2026.", Auto_Submitted="auto-replied"
        )

        def look_slowly(*args: Any, **kwargs: Any) -> Any:
            found = look(*args, **kwargs)
            self.post_raw(stage, body, source="sendgrid:inbound", content_type=MAIL_TYPE)
            return found

        stage.at(MONDAY + timedelta(days=2, hours=1))
        with monkeypatch.context() as during:
            during.setattr(stage.parts.source, "look", look_slowly)
            passes.dispatch(stage.parts)
        assert len(stage.sent(ANN)) == 1
        stage.turn()
        assert len(stage.sent(ANN)) == 1
        assert stage.shown(ann)[0] == RunStatus.PAUSED
        stage.play(MONDAY + timedelta(days=31), step=timedelta(hours=12))
        assert (len(stage.sent(ANN)), stage.twice()) == (2, {})

    def test_what_comes_in_during_the_last_look_and_cannot_be_read_holds_the_batch(
        self, stage: Stage, vendor: Vendor, ann: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """P2, P4: it may be somebody's answer; the email goes out once it was read."""
        look = stage.parts.source.look

        def look_slowly(*args: Any, **kwargs: Any) -> Any:
            found = look(*args, **kwargs)
            vendor.post(vendor.event("delivered", "0" * 32))
            return found

        stage.at(MONDAY + timedelta(days=2, hours=1))
        with monkeypatch.context() as during:
            during.setattr(stage.parts.source, "look", look_slowly)
            vendor.reader.breaks = [RetriableError("not now")]
            passes.dispatch(stage.parts)
        passes.write_back(stage.parts)
        assert len(stage.sent(ANN)) == 1
        assert "provider" not in stage.shown(ann)[1]
        stage.play(stage.now + timedelta(hours=3))
        assert len(stage.sent(ANN)) == 2

    def test_nothing_goes_out_while_something_waits_to_be_read(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """P2, P4: it may be the unsubscribe of whoever is mailed next; once it was read the sending goes on."""
        stage.at(MONDAY + timedelta(days=2, hours=1))
        vendor.reader.breaks = [RetriableError("not now")]
        vendor.post(vendor.event("delivered"))
        passes.dispatch(stage.parts)
        assert len(stage.sent(ANN)) == 1
        stage.later(minutes=1)
        passes.dispatch(stage.parts)
        assert len(stage.sent(ANN)) == 2

    def test_a_fault_of_ours_holds_nothing_up_for_ever(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """P3: after some tries the delivery is kept as failed, and the sending goes on."""
        stage.at(MONDAY + timedelta(days=2, hours=1))
        vendor.reader.breaks = [ZeroDivisionError("ours")] * 100
        vendor.post(vendor.event("delivered"))
        for _ in range(len(received.PAUSES) + 1):
            passes.dispatch(stage.parts)
            stage.later(minutes=3)
        assert counts(stage) == ReceivedCount(failed=1)
        passes.dispatch(stage.parts)
        assert len(stage.sent(ANN)) == 2

    def test_one_that_breaks_the_storing_takes_no_other_with_it(
        self, stage: Stage, vendor: Vendor, ann: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Deliveries are stored together, and one by one once that broke."""
        real = received.take_signals

        def touchy(connection, parts, signals, now):
            if any(signal.detail == "purred" for signal in signals):
                raise ZeroDivisionError("ours")
            return real(connection, parts, signals, now)

        monkeypatch.setattr(received, "take_signals", touchy)
        vendor.post(vendor.event("purred"))
        vendor.post(vendor.event("unsubscribe"))
        count = received.drain(stage.parts, passes.take_mail)
        assert (count.deliveries, count.put_off) == (1, 1)
        assert stage.run(ann).status is RunStatus.STOPPED

    def test_a_broken_ledger_is_no_fault_of_the_delivery(
        self, stage: Stage, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """B30: it waits unharmed until there is room again."""

        def full(*_: object) -> None:
            raise LedgerBrokenError("the disk is full", where="ledger")

        vendor.post(vendor.event("delivered"))
        with monkeypatch.context() as patch:
            patch.setattr(received, "take_signals", full)
            with pytest.raises(LedgerBrokenError):
                received.drain(stage.parts, passes.take_mail)
        assert received.drain(stage.parts, passes.take_mail).deliveries == 1

    def test_what_failed_can_be_read_again_by_command(self, stage: Stage, vendor: Vendor, ann: str) -> None:
        """P3: a newer version may understand it."""
        vendor.reader.breaks = [RejectedError("not yet")]
        vendor.tell(vendor.event("unsubscribe"))
        assert stage.run(ann).status.live
        with stage.parts.ledger.write() as connection:
            assert store.retry_failed(connection, stage.now) == 1
        received.drain(stage.parts, passes.take_mail)
        assert stage.run(ann).status is RunStatus.STOPPED


class TestMail:
    """Emails are handed on."""

    def test_an_email_is_handed_on_once_with_its_envelope(self, stage: Stage) -> None:
        """B6: by whichever way it came."""
        taken: list[RawMail] = []

        def take(parts: object, mail: RawMail, now: datetime) -> None:
            taken.append(mail)

        mail = Delivery(
            source="imap:sales",
            key="1",
            body=b"From: a@b.example\r\n\r\nYes",
            content_type=MAIL_TYPE,
            received_at=stage.now,
            envelope_to=("reply+1@r.example",),
        )
        with stage.parts.ledger.write() as connection:
            store.store(connection, [mail])
        assert received.drain(stage.parts, take).mails == 1
        assert received.drain(stage.parts, take).mails == 0
        assert [(one.body, one.envelope_to) for one in taken] == [(mail.body, mail.envelope_to)]


def test_a_signal_kind_that_stops_is_one_of_the_address() -> None:
    """Nothing that is folded into a touch can end a run."""
    assert received.STOPPING.isdisjoint(
        {SignalKind.OPENED, SignalKind.MACHINE_OPENED, SignalKind.CLICKED, SignalKind.DELIVERED, SignalKind.DEFERRED}
    )
