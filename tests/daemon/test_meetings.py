"""What happens in the CRM beside email: meetings, opportunities, and the sequence's own stop condition (P2)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from crmdrip.core.model import RunStatus


@pytest.fixture
def ann(stage):
    """Ann got the first email of her sequence an hour ago; her record."""
    record = stage.contact()
    stage.tick(record, stage.sequence(Drip_Stop_When__c="Title = Customer, Former Customer"))
    stage.turn()
    stage.later(hours=1)
    return record


def event(stage, person: str | None, *, start: timedelta = timedelta(days=3), **fields) -> str:
    """Somebody enters an event; its id."""
    begins: datetime = stage.now.replace(microsecond=0) + start
    known = {"WhoId": person, "Subject": "Demo", "StartDateTime": begins.isoformat(), "DurationInMinutes": 30}
    return stage.do(stage.sandbox.org.insert, "Event", {**known, **fields})


def invite(stage, event_id: str, person: str) -> None:
    """Somebody is invited to an event."""
    relation = {"EventId": event_id, "RelationId": person, "Status": "New"}
    stage.do(stage.sandbox.org.insert, "EventRelation", relation)


def opportunity(stage, person: str) -> None:
    """An opportunity with the person in a contact role."""
    deal = {"Name": "Big deal", "StageName": "Prospecting", "CloseDate": "2027-01-31"}
    created = stage.do(stage.sandbox.org.insert, "Opportunity", deal)
    role = {"OpportunityId": created, "ContactId": person}
    stage.do(stage.sandbox.org.insert, "OpportunityContactRole", role)


def next_step_due(stage) -> None:
    """The time of the second email."""
    stage.later(days=2)
    stage.turn()


class TestMeetings:
    """An event with the person."""

    def test_a_meeting_that_was_booked_stops(self, stage, ann):
        """P2: with the person as its Who."""
        event(stage, ann)
        stage.turn()
        assert stage.shown(ann) == ("Stopped", "A meeting was booked on 2 Nov 2026. No further email goes out.")

    def test_an_invitation_stops(self, stage, ann):
        """P2: among those invited (EventRelation), whoever the main person is."""
        invite(stage, event(stage, stage.contact("bob@acme.example")), ann)
        stage.turn()
        assert stage.run(ann).reason == "stop.meeting"

    def test_an_invitation_to_an_event_that_is_there_stops(self, stage, ann):
        """P2: an event made since, to which somebody is invited later and which is changed thereby."""
        made = event(stage, stage.contact("bob@acme.example"))
        stage.turn()
        stage.later(hours=1)
        invite(stage, made, ann)
        stage.change(made, Subject="Demo with Ann")
        stage.turn()
        assert stage.run(ann).reason == "stop.meeting"

    def test_it_stops_in_the_very_last_look(self, stage, ann):
        """P2: booked a moment before the second email."""
        stage.later(days=2)
        event(stage, ann)
        stage.turn()
        assert len(stage.sent("ann@acme.example")) == 1

    @pytest.mark.parametrize(
        "fields", [{"start": -timedelta(days=1)}, {"IsPrivate": True}], ids=["over when entered", "private"]
    )
    def test_what_is_no_meeting_with_us_stops_nothing(self, stage, ann, fields):
        """P2: a call that was logged, and what is nobody's business."""
        event(stage, ann, **fields)
        next_step_due(stage)
        assert len(stage.sent("ann@acme.example")) == 2

    def test_one_more_of_a_weekly_series_stops_nothing(self, stage, ann):
        """P2: it was booked with the series, long ago."""
        made = event(stage, ann)
        stage.do(stage.sandbox.org.store.update, "Event", made, {"RecurrenceActivityId": made})
        next_step_due(stage)
        assert len(stage.sent("ann@acme.example")) == 2

    def test_a_meeting_from_before_the_run_stops_nothing(self, stage):
        """P2: it is why they are in the sequence, perhaps; also when it is moved later on."""
        record = stage.contact()
        made = event(stage, record)
        stage.later(hours=1)
        stage.tick(record, stage.sequence())
        stage.turn()
        stage.change(made, Subject="Moved")
        stage.turn()
        assert stage.run(record).status is RunStatus.ACTIVE


class TestOpportunities:
    """An opportunity with the person in a contact role."""

    def test_it_stops(self, stage, ann):
        """P2: created after enrollment."""
        opportunity(stage, ann)
        stage.turn()
        assert stage.shown(ann)[1] == "An opportunity was created on 2 Nov 2026. No further email goes out."

    def test_it_is_ignored_where_the_sequence_says_so(self, stage):
        """P2: On Opportunity."""
        record = stage.contact()
        stage.tick(record, stage.sequence(Drip_On_Opportunity__c="Ignore"))
        stage.turn()
        opportunity(stage, record)
        next_step_due(stage)
        assert len(stage.sent("ann@acme.example")) == 2


class TestStopWhen:
    """The sequence's own condition."""

    @pytest.mark.parametrize("value", ["Customer", "former customer"])
    def test_the_field_has_the_value(self, stage, ann, value):
        """P2: whoever sets it, in any case."""
        stage.change(ann, Title=value)
        stage.turn()
        status, reason = stage.shown(ann)
        assert (status, reason) == (
            "Stopped",
            f"The sequence's stop condition is met: Title is {value}. No further email goes out.",
        )

    def test_another_value_stops_nothing(self, stage, ann):
        """P2: Title = Buyer."""
        stage.change(ann, Title="Buyer")
        next_step_due(stage)
        assert len(stage.sent("ann@acme.example")) == 2

    def test_it_is_read_in_the_last_look(self, stage, ann):
        """P2: set a moment before the second email."""
        stage.later(days=2)
        stage.change(ann, Title="Customer")
        stage.turn()
        assert len(stage.sent("ann@acme.example")) == 1
