"""When a touch may go out: the table of cases one can check against a calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from schedule_values import ALL_DAYS, at, make_sequence, make_step, wall

from crmdrip.core.model import DelayUnit
from crmdrip.core.schedule import due_after, earliest_next, expired, local_day, next_opening, plan_due, slip

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
APIA = "Pacific/Apia"
CASABLANCA = "Africa/Casablanca"
SANTIAGO = "America/Santiago"
HAVANA = "America/Havana"


class TestDueAfter:
    """How a delay is counted."""

    @pytest.mark.parametrize(
        ("delay", "unit", "anchor", "due"),
        [
            pytest.param(90, DelayUnit.MINUTES, "2026-11-03T10:00", "2026-11-03T11:30", id="minutes"),
            pytest.param(36, DelayUnit.HOURS, "2026-11-03T10:00", "2026-11-04T22:00", id="hours"),
            pytest.param(3, DelayUnit.DAYS, "2026-11-06T10:15", "2026-11-09T10:15", id="days count weekends"),
            pytest.param(
                1, DelayUnit.BUSINESS_DAYS, "2026-11-06T10:15", "2026-11-09T10:15", id="from Friday to Monday"
            ),
            pytest.param(1, DelayUnit.BUSINESS_DAYS, "2026-11-07T10:15", "2026-11-09T10:15", id="Saturday to Monday"),
            pytest.param(5, DelayUnit.BUSINESS_DAYS, "2026-11-04T08:00", "2026-11-11T08:00", id="five are a week"),
            pytest.param(0, DelayUnit.BUSINESS_DAYS, "2026-11-07T10:15", "2026-11-07T10:15", id="none is at once"),
            pytest.param(2, DelayUnit.DAYS, "2026-10-24T10:00", "2026-10-26T10:00", id="same hour after summer time"),
        ],
    )
    def test_a_delay_is_counted_in_its_unit(self, delay: int, unit: DelayUnit, anchor: str, due: str) -> None:
        """Local times in Berlin, where the clocks went back on 25 October 2026."""
        found = due_after(make_step(delay, unit), at(anchor, BERLIN), BERLIN, make_sequence())
        assert found == at(due, BERLIN)

    def test_hours_are_elapsed_time_across_a_clock_change(self) -> None:
        """24 hours after ten o'clock are nine o'clock on the day the clocks go back."""
        due = due_after(make_step(24, DelayUnit.HOURS), at("2026-10-24T10:00", BERLIN), BERLIN, make_sequence())
        assert wall(due, BERLIN) == "2026-10-25T09:00+01:00"

    def test_business_days_skip_the_holidays_of_the_sequence(self) -> None:
        """Good Friday and Easter Monday 2026 are no business days in Germany."""
        step = make_step(1, DelayUnit.BUSINESS_DAYS)
        due = due_after(step, at("2026-04-02T10:00", BERLIN), BERLIN, make_sequence(holiday_country="DE"))
        assert due == at("2026-04-07T10:00", BERLIN)

    def test_business_days_follow_the_weekend_of_the_holiday_country(self) -> None:
        """In Israel the business day after Thursday is Sunday."""
        step = make_step(1, DelayUnit.BUSINESS_DAYS)
        zone = "Asia/Jerusalem"
        due = due_after(step, at("2026-11-05T10:00", zone), zone, make_sequence(holiday_country="IL"))
        assert due == at("2026-11-08T10:00", zone)

    @pytest.mark.parametrize(
        ("anchor", "zone", "due"),
        [
            ("2026-03-28T02:30", BERLIN, "2026-03-29T03:00+02:00"),
            ("2026-03-07T02:59", NEW_YORK, "2026-03-08T03:00-04:00"),
            ("2026-10-03T02:10", LORD_HOWE, "2026-10-04T02:30+11:00"),
            ("2026-09-05T00:30", SANTIAGO, "2026-09-06T01:00-03:00"),
            ("2011-12-29T12:00", APIA, "2011-12-31T00:00+14:00"),
        ],
    )
    def test_a_due_time_in_a_gap_is_the_first_valid_minute(self, anchor: str, zone: str, due: str) -> None:
        """B18: one day later falls into the skipped hour, half hour, midnight or whole day."""
        assert wall(due_after(make_step(1), at(anchor, zone), zone, make_sequence()), zone) == due

    @pytest.mark.parametrize(
        ("anchor", "zone", "due"),
        [
            ("2026-10-24T02:30", BERLIN, "2026-10-25T02:30+02:00"),
            ("2026-10-31T01:30", NEW_YORK, "2026-11-01T01:30-04:00"),
            ("2026-04-04T01:45", LORD_HOWE, "2026-04-05T01:45+11:00"),
            ("2026-10-31T00:30", HAVANA, "2026-11-01T00:30-04:00"),
        ],
    )
    def test_a_due_time_that_comes_twice_is_the_first(self, anchor: str, zone: str, due: str) -> None:
        """B18: an overlap sends once, at the first occurrence."""
        assert wall(due_after(make_step(1), at(anchor, zone), zone, make_sequence()), zone) == due


class TestNextOpening:
    """When the window is open."""

    @pytest.mark.parametrize(
        ("given", "opening"),
        [
            pytest.param("2026-11-03T10:00", "2026-11-03T10:00", id="inside the window is now"),
            pytest.param("2026-11-03T09:00", "2026-11-03T09:00", id="Send From is inside"),
            pytest.param("2026-11-03T08:59:59.999999", "2026-11-03T09:00", id="just before waits for it"),
            pytest.param("2026-11-03T17:00", "2026-11-04T09:00", id="Send Until is outside"),
            pytest.param("2026-11-06T17:00", "2026-11-09T09:00", id="Friday evening is Monday morning"),
            pytest.param("2026-11-08T12:00", "2026-11-09T09:00", id="Sunday is Monday"),
            pytest.param("2026-12-24T18:00", "2026-12-28T09:00", id="Christmas and the weekend after it"),
        ],
    )
    def test_the_window_opens_on_send_days_that_are_no_holiday(self, given: str, opening: str) -> None:
        """B18: local times in Berlin, weekdays from nine to five, German holidays."""
        sequence = make_sequence(holiday_country="DE")
        assert next_opening(at(given, BERLIN), BERLIN, sequence) == at(opening, BERLIN)

    def test_the_window_is_read_in_the_given_zone(self) -> None:
        """B18: three in the afternoon in London is before the window in Los Angeles."""
        zone = "America/Los_Angeles"
        assert wall(next_opening(at("2026-11-03T15:00"), zone, make_sequence()), zone) == "2026-11-03T09:00-08:00"

    def test_a_holiday_of_a_subdivision_closes_only_there(self) -> None:
        """Epiphany is a holiday in Bavaria and a working day in Berlin."""
        given = at("2026-01-06T10:00", BERLIN)
        assert next_opening(given, BERLIN, make_sequence(holiday_country="DE")) == given
        moved = next_opening(given, BERLIN, make_sequence(holiday_country="DE-BY"))
        assert moved == at("2026-01-07T09:00", BERLIN)

    @pytest.mark.parametrize(
        ("given", "zone", "send_from", "opening"),
        [
            ("2026-03-29T00:00", BERLIN, time(2, 30), "2026-03-29T03:00+02:00"),
            ("2026-03-08T00:00", NEW_YORK, time(2, 0), "2026-03-08T03:00-04:00"),
            ("2026-10-04T00:00", LORD_HOWE, time(2, 15), "2026-10-04T02:30+11:00"),
            ("2026-03-22T00:00", CASABLANCA, time(2, 30), "2026-03-22T03:00+01:00"),
            ("2026-09-05T23:59", SANTIAGO, time(0, 0), "2026-09-06T01:00-03:00"),
            ("2026-09-05T18:00", SANTIAGO, time(0, 30), "2026-09-06T01:00-03:00"),
            ("2011-12-29T17:00", APIA, time(9, 0), "2011-12-31T09:00+14:00"),
        ],
    )
    def test_an_opening_in_a_gap_is_the_first_valid_minute(
        self, given: str, zone: str, send_from: time, opening: str
    ) -> None:
        """B18: the clocks jump over Send From, or over the whole day."""
        sequence = make_sequence(send_days=ALL_DAYS, send_from=send_from, send_until=time(17))
        assert wall(next_opening(at(given, zone), zone, sequence), zone) == opening

    def test_a_window_inside_the_gap_has_no_opening_that_day(self) -> None:
        """B18: a window from 02:10 to 02:50 does not exist on the day the clocks jump from two to three."""
        sequence = make_sequence(send_days=ALL_DAYS, send_from=time(2, 10), send_until=time(2, 50))
        opening = next_opening(at("2026-03-29T00:00", BERLIN), BERLIN, sequence)
        assert wall(opening, BERLIN) == "2026-03-30T02:10+02:00"

    @pytest.mark.parametrize(
        ("given", "zone", "send_from", "opening"),
        [
            ("2026-10-25T00:00", BERLIN, time(2, 30), "2026-10-25T02:30+02:00"),
            ("2026-11-01T00:00", NEW_YORK, time(1, 15), "2026-11-01T01:15-04:00"),
            ("2026-04-05T00:00", LORD_HOWE, time(1, 45), "2026-04-05T01:45+11:00"),
            ("2026-02-15T00:00", CASABLANCA, time(2, 30), "2026-02-15T02:30+01:00"),
            ("2026-10-31T18:00", HAVANA, time(0, 30), "2026-11-01T00:30-04:00"),
        ],
    )
    def test_an_opening_that_comes_twice_is_the_first(
        self, given: str, zone: str, send_from: time, opening: str
    ) -> None:
        """B18: the clocks show Send From twice on that day."""
        sequence = make_sequence(send_days=ALL_DAYS, send_from=send_from, send_until=time(17))
        assert wall(next_opening(at(given, zone), zone, sequence), zone) == opening

    def test_clocks_set_back_before_send_from_close_the_window_again(self) -> None:
        """B18: 02:10 comes a second time, and is before Send From the second time as well."""
        sequence = make_sequence(send_days=ALL_DAYS, send_from=time(2, 30), send_until=time(17))
        second = at("2026-10-25T02:10", BERLIN, fold=1)
        assert wall(next_opening(second, BERLIN, sequence), BERLIN) == "2026-10-25T02:30+01:00"

    def test_a_sequence_that_is_never_open_is_an_error(self) -> None:
        """The search ends, with the sequence and what to choose in the message."""
        with pytest.raises(ValueError, match=r"sequence seq has no send day .* Choose at least one Send Day"):
            next_opening(at("2026-11-03T10:00"), BERLIN, make_sequence(send_days=frozenset()))

    def test_an_unknown_zone_is_an_error(self) -> None:
        """A zone that nobody checked does not silently become UTC."""
        with pytest.raises(ValueError, match="'Mars/Olympus' is no IANA time zone"):
            next_opening(at("2026-11-03T10:00"), "Mars/Olympus", make_sequence())


class TestEarliestNext:
    """How far a touch stays from the one before."""

    def test_the_minimum_gap_is_kept(self) -> None:
        """Twenty hours after three in the afternoon are eleven in the morning."""
        last = at("2026-11-03T15:00", BERLIN)
        found = earliest_next(last, last, BERLIN, BERLIN, make_sequence(minimum_gap_hours=20))
        assert found == at("2026-11-04T11:00", BERLIN)

    def test_one_day_never_sees_two_touches_even_without_a_gap(self) -> None:
        """B19: a gap of zero hours still means the next local day."""
        last = at("2026-11-03T10:00", BERLIN)
        found = earliest_next(last, last, BERLIN, BERLIN, make_sequence(minimum_gap_hours=0))
        assert found == at("2026-11-04T09:00", BERLIN)

    @pytest.mark.parametrize(
        ("last", "last_zone", "zone", "expected"),
        [
            # Tuesday 00:30 in Tokyo is Monday in New York: Tuesday is over in Tokyo before New York opens on it.
            ("2026-11-03T00:30", "Asia/Tokyo", NEW_YORK, "2026-11-03T10:00-05:00"),
            # Tuesday 21:00 in New York is already Wednesday in Tokyo, so Wednesday there is spent.
            ("2026-11-03T21:00", NEW_YORK, "Asia/Tokyo", "2026-11-05T00:00+09:00"),
        ],
    )
    def test_one_day_is_one_day_by_the_old_clock_and_the_new(
        self, last: str, last_zone: str, zone: str, expected: str
    ) -> None:
        """B19: a person whose zone changes between touches gets no second one on either calendar's day."""
        sequence = make_sequence(minimum_gap_hours=0, send_from=time(0), send_until=time(23, 59))
        touched = at(last, last_zone)
        assert wall(earliest_next(touched, touched, last_zone, zone, sequence), zone) == expected

    def test_a_first_touch_waits_for_nothing_but_its_opening(self) -> None:
        """Without a touch before it, a step due in the window goes out when due."""
        due = at("2026-11-03T10:00", BERLIN)
        assert earliest_next(due, None, "", BERLIN, make_sequence()) == due


class TestPlanDue:
    """When a step is to go out, all rules together."""

    def test_a_late_touch_takes_the_later_ones_with_it(self) -> None:
        """B18: step 2 goes out three days after step 1 really did, not after it was meant to."""
        step = make_step(3)
        sent = at("2026-11-05T11:20", BERLIN)
        due = plan_due(step, anchor=sent, last_touch_at=sent, zone=BERLIN, sequence=make_sequence())
        assert due == at("2026-11-09T09:00", BERLIN)

    def test_a_run_of_steps_after_an_outage_has_one_touch_a_day(self) -> None:
        """B19: five steps without delay that are all overdue take five days."""
        sequence = make_sequence(send_days=ALL_DAYS, minimum_gap_hours=0)
        back = at("2026-11-03T12:00", BERLIN)
        sent = [next_opening(back, BERLIN, sequence)]
        for _ in range(4):
            step = make_step(0)
            sent.append(plan_due(step, anchor=sent[-1], last_touch_at=sent[-1], zone=BERLIN, sequence=sequence))
        assert [local_day(one, BERLIN).day for one in sent] == [3, 4, 5, 6, 7]

    def test_a_removed_step_keeps_the_minimum_gap(self) -> None:
        """B17: the step that moves up is anchored long ago and still waits for the gap."""
        sequence = make_sequence(minimum_gap_hours=48)
        last = at("2026-11-03T10:00", BERLIN)
        due = plan_due(
            make_step(0), anchor=last - timedelta(days=9), last_touch_at=last, zone=BERLIN, sequence=sequence
        )
        assert due == at("2026-11-05T10:00", BERLIN)


class TestExpired:
    """When a step is too late to be of use."""

    @pytest.mark.parametrize(
        ("hours", "late", "gone"),
        [
            (24, timedelta(hours=24), False),
            (24, timedelta(hours=24, seconds=1), True),
            (24, timedelta(hours=-5), False),
            (None, timedelta(days=900), False),
        ],
    )
    def test_a_step_expires_after_its_hours(self, hours: int | None, late: timedelta, *, gone: bool) -> None:
        """B19: counted from when it was to go out; without a number it never expires."""
        due = at("2026-11-03T10:00")
        assert expired(make_step(0, expires_after_hours=hours), due, due + late) is gone


class TestSlip:
    """How overdue work is spread."""

    def test_overdue_work_goes_out_at_the_next_opening(self) -> None:
        """B18: what was due on Friday goes out on Monday, when the daemon is back on Sunday."""
        now, due = at("2026-11-08T12:00", BERLIN), at("2026-11-06T10:00", BERLIN)
        assert slip(now, due, BERLIN, make_sequence()) == at("2026-11-09T09:00", BERLIN)

    def test_a_touch_not_yet_due_keeps_its_time(self) -> None:
        """Spreading never brings anything forward."""
        now, due = at("2026-11-03T12:00", BERLIN), at("2026-11-05T10:00", BERLIN)
        assert slip(now, due, BERLIN, make_sequence(), ahead=3, per_day=5) == due

    def test_overdue_work_is_spread_under_the_cap(self) -> None:
        """B19: of 250 overdue touches and a cap of 100, a hundred go today, a hundred tomorrow, fifty after that."""
        now = at("2026-11-05T12:00", BERLIN)
        due = now - timedelta(days=3)
        days = [
            local_day(slip(now, due, BERLIN, make_sequence(), ahead=place, per_day=100), BERLIN) for place in range(250)
        ]
        assert [days.count(date(2026, 11, day)) for day in (5, 6, 7, 8, 9)] == [100, 100, 0, 0, 50]

    def test_an_endless_backlog_is_planned_at_most_a_year_ahead(self) -> None:
        """A million touches under a cap of one a day do not walk through three thousand years."""
        sequence = make_sequence(send_days=ALL_DAYS)
        now = at("2026-11-05T12:00")
        last = slip(now, now, "UTC", sequence, ahead=1_000_000, per_day=1)
        assert last - now < timedelta(days=366)


def test_the_local_day_is_that_of_the_zone() -> None:
    """One instant is Tuesday in Tokyo and Monday in New York."""
    instant = datetime(2026, 11, 2, 18, tzinfo=UTC)
    assert (local_day(instant, "Asia/Tokyo"), local_day(instant, NEW_YORK)) == (date(2026, 11, 3), date(2026, 11, 2))
