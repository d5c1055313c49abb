"""When touches go out: windows, zones, holidays, and no burst after the daemon was away (B18, B19)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from stage import MONDAY, Stage

from crmdrip.core.model import RunStatus

ANN = "ann@acme.example"


def test_a_touch_that_is_due_at_the_weekend_goes_out_on_monday(stage: Stage) -> None:
    """B18: the first email on Thursday, the second two days later, so after the weekend."""
    stage.at(MONDAY + timedelta(days=3))
    stage.tick(stage.contact(ANN), stage.sequence())
    stage.turn()
    stage.play(MONDAY + timedelta(days=8), step=timedelta(hours=4))
    assert [email.at.date().isoformat() for email in stage.sent()] == ["2026-11-05", "2026-11-09"]


def test_a_holiday_is_no_send_day(stage: Stage) -> None:
    """B18: Thanksgiving, 26 November 2026."""
    stage.at(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
    stage.tick(stage.contact(ANN), stage.sequence(Drip_Holiday_Country__c="US"))
    stage.turn()
    stage.play(datetime(2026, 11, 28, 0, 0, tzinfo=UTC), step=timedelta(hours=6))
    assert [email.at.date().isoformat() for email in stage.sent()] == ["2026-11-24", "2026-11-27"]


def test_the_window_is_read_in_the_recipients_zone(stage: Stage) -> None:
    """B18: nine o'clock in Tokyo is midnight UTC."""
    stage.at(MONDAY + timedelta(hours=10))
    contact = stage.contact(ANN, MailingCountry="Japan")
    stage.tick(contact, stage.sequence(Drip_Time_Zone_Policy__c="Recipient"))
    stage.turn()
    assert "09:00 (Asia/Tokyo)" in stage.shown(contact)[1]
    stage.play(MONDAY + timedelta(hours=16), step=timedelta(hours=1))
    assert [email.at for email in stage.sent()] == [MONDAY + timedelta(hours=15)]


def test_a_clock_change_between_two_touches_keeps_the_hour_on_the_wall(stage: Stage) -> None:
    """B18: Berlin leaves summer time on 25 October 2026; nine o'clock stays nine o'clock."""
    with_berlin = {"Drip_Time_Zone__c": "Europe/Berlin"}
    stage.at(datetime(2026, 11, 3, 9, 0, tzinfo=UTC))
    stage.tick(stage.contact(ANN), stage.sequence({"Drip_Delay__c": 0}, {"Drip_Delay__c": 145}, **with_berlin))
    stage.turn()
    # Summer time begins again on 28 March 2027, which is day 145: Sunday, so the touch goes out on Monday the 29th.
    stage.at(datetime(2027, 3, 29, 6, 59, tzinfo=UTC))
    stage.turn()
    assert len(stage.sent()) == 1
    stage.at(datetime(2027, 3, 29, 7, 0, tzinfo=UTC))
    stage.turn()
    assert len(stage.sent()) == 2


def test_after_three_days_of_absence_nothing_bursts(stage: Stage) -> None:
    """B19: what is overdue is spread under the sequence's cap, follow-ups before first emails, one a day to each."""
    sequence = stage.sequence(Drip_Daily_Cap__c=3)
    follow_ups = stage.ticked(sequence, 3)
    stage.turn()
    assert len(stage.sent()) == 3
    stage.later(hours=9)
    newcomers = [
        stage.contact(f"n{n}@new{n}.example", Drip_Enrolled__c=True, Drip_Sequence__c=sequence) for n in range(2)
    ]
    stage.turn()
    stage.at(MONDAY + timedelta(days=3))
    stage.turn()
    assert {email.to for email in stage.sent()[3:]} == {f"p{n}@firm{n}.example" for n in range(3)}
    assert {stage.shown(one)[0] for one in newcomers} == {RunStatus.HELD}
    stage.play(MONDAY + timedelta(days=21), step=timedelta(hours=8))
    days = Counter(email.at.date() for email in stage.sent())
    assert max(days.values()) == 3
    assert max(Counter((email.to, email.at.date()) for email in stage.sent()).values()) == 1
    assert {stage.shown(one)[0] for one in (*follow_ups, *newcomers)} == {RunStatus.FINISHED}
    assert len(stage.sent()) == 15


def test_a_step_past_its_expiry_is_passed_over_with_the_reason(stage: Stage) -> None:
    """B19: an invitation to a webinar of last week helps nobody."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence({"Drip_Delay__c": 0}, {"Drip_Expires_After_Hours__c": 24}, {}))
    stage.turn()
    stage.at(MONDAY + timedelta(days=7))
    stage.turn()
    assert len(stage.sent()) == 1
    assert "had expired" in stage.shown(contact)[1]
    stage.play(MONDAY + timedelta(days=10), step=timedelta(hours=8))
    assert len(stage.sent()) == 2


def test_never_two_to_one_person_on_one_day(stage: Stage) -> None:
    """B19: two overdue steps go out on two days, with the gap between them kept."""
    stage.tick(stage.contact(ANN), stage.sequence({"Drip_Delay__c": 0}, {"Drip_Delay__c": 1}, {"Drip_Delay__c": 1}))
    stage.turn()
    stage.at(MONDAY + timedelta(days=7))
    for _ in range(8):
        stage.turn()
        stage.later(hours=1)
    assert len(stage.sent()) == 2
    stage.play(MONDAY + timedelta(days=9), step=timedelta(hours=4))
    assert len(stage.sent()) == 3


@pytest.mark.parametrize(("limit", "value"), [("sender_per_day", 2), ("domain_per_hour", 2)])
def test_the_settings_caps_hold_for_all_sequences(stage: Stage, limit: str, value: int) -> None:
    """B19, P3: the rest waits, and its records say for what."""
    stage.limit(**{limit: value})
    sequence = stage.sequence()
    people = [stage.contact(f"p{n}@acme.example", Drip_Enrolled__c=True, Drip_Sequence__c=sequence) for n in range(3)]
    stage.turn()
    assert len(stage.sent()) == 2
    (waiting,) = [one for one in people if stage.run(one).steps_done == 0]
    assert "limit for the" in stage.shown(waiting)[1]
    stage.play(MONDAY + timedelta(days=1, hours=1), step=timedelta(hours=2))
    assert {stage.run(one).steps_done for one in people} == {1}


def test_what_the_provider_refused_counts_against_no_cap(stage: Stage) -> None:
    """B2, B19: a refused email gives its place in the cap back."""
    stage.limit(sender_per_day=1)
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.do(lambda: setattr(stage.sandbox.account, "rate_limit", 0))
    stage.turn()
    assert stage.sent() == []
    stage.do(lambda: setattr(stage.sandbox.account, "rate_limit", None))
    stage.play(MONDAY + timedelta(hours=1), step=timedelta(minutes=10))
    assert len(stage.sent()) == 1
