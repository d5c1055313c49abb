"""What holds of the schedule for any sequence, instant and zone, clock changes above all (B18, B19)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from schedule_values import ALL_DAYS, at, make_sequence, make_step

from crmdrip.core.holidays import is_holiday
from crmdrip.core.model import DelayUnit, Sequence, Step
from crmdrip.core.schedule import due_after, earliest_next, local_day, next_opening, plan_due, slip

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
)


def find_changes(zone: str) -> list[datetime]:
    """The instants at which the clocks of the zone change, from 2011 to 2030, to the quarter of an hour."""
    rules = ZoneInfo(zone)
    step = timedelta(minutes=15)
    found = []
    day = datetime(2011, 6, 1, tzinfo=UTC)
    while day.year < 2031:
        following = day + timedelta(days=1)
        if day.astimezone(rules).utcoffset() != following.astimezone(rules).utcoffset():
            instant = day
            while instant.astimezone(rules).utcoffset() == day.astimezone(rules).utcoffset():
                instant += step
            found.append(instant)
        day = following
    return found


CHANGES = {zone: find_changes(zone) for zone in ZONES}

untimed = settings(deadline=None)
"""The first question about a year reads its holidays, which takes longer than all the others."""

zones = st.sampled_from(ZONES)
calendars = st.sampled_from(("", "", "DE", "US-CA", "IL"))
minutes = st.integers(0, 24 * 60 - 1)


@st.composite
def instants(draw: st.DrawFn, zone: str) -> datetime:
    """Any instant of twenty years, more often than not within hours of a clock change."""
    if CHANGES[zone] and draw(st.booleans()):
        change = draw(st.sampled_from(CHANGES[zone]))
        return change + timedelta(seconds=draw(st.integers(-36 * 3600, 36 * 3600)))
    naive = draw(st.datetimes(datetime(2011, 6, 1), datetime(2030, 12, 31)))  # noqa: DTZ001 -- made aware below
    return naive.replace(tzinfo=UTC)


@st.composite
def sequences(draw: st.DrawFn) -> Sequence:
    """Any sequence that core.definition would let pass, with windows as short as a minute and at any hour."""
    first = draw(st.integers(0, 24 * 60 - 2))
    last = draw(st.integers(first + 1, 24 * 60 - 1))
    return make_sequence(
        send_days=draw(st.frozensets(st.integers(0, 6), min_size=1)),
        send_from=time(first // 60, first % 60),
        send_until=time(last // 60, last % 60),
        holiday_country=draw(calendars),
        minimum_gap_hours=draw(st.integers(0, 100)),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[datetime, str, Sequence]:
    """An instant, a zone and a sequence."""
    zone = draw(zones)
    return draw(instants(zone)), zone, draw(sequences())


steps = st.builds(make_step, st.integers(0, 60), st.sampled_from(tuple(DelayUnit)))


def is_open(instant: datetime, zone: str, sequence: Sequence) -> bool:
    """Whether a clock and a calendar on the wall say that email may go out: the oracle, straight from the promise."""
    local = instant.astimezone(ZoneInfo(zone))
    return (
        local.weekday() in sequence.send_days
        and sequence.send_from <= local.time() < sequence.send_until
        and not is_holiday(local.date(), sequence.holiday_country)
    )


GAP = (at("2026-03-29T00:00", "Europe/Berlin"), "Europe/Berlin", make_sequence(send_from=time(2), send_days=ALL_DAYS))
LOST_DAY = (at("2011-12-29T23:00", "Pacific/Apia"), "Pacific/Apia", make_sequence(send_days=frozenset({4})))


@untimed
@given(cases())
@example(GAP)
@example(LOST_DAY)
def test_an_opening_is_never_before_it_was_asked_for(case: tuple[datetime, str, Sequence]) -> None:
    """B18: nothing goes out early."""
    assert next_opening(*case) >= case[0]


@untimed
@given(cases())
@example(GAP)
@example(LOST_DAY)
def test_an_opening_is_inside_the_window_on_a_send_day_that_is_no_holiday(case: tuple[datetime, str, Sequence]) -> None:
    """B18: by the wall's own clock, whatever the clocks did that day."""
    assert is_open(next_opening(*case), case[1], case[2])


@untimed
@given(cases())
@example(GAP)
@example(LOST_DAY)
def test_an_opening_is_its_own_next_opening(case: tuple[datetime, str, Sequence]) -> None:
    """Asking again changes nothing, so a touch planned for an opening goes out at it."""
    opening = next_opening(*case)
    assert next_opening(opening, case[1], case[2]) == opening


@untimed
@given(cases(), st.integers(0, 40 * 24 * 3600))
def test_openings_keep_the_order_of_what_was_asked(case: tuple[datetime, str, Sequence], seconds: int) -> None:
    """What is due later never goes out earlier."""
    instant, zone, sequence = case
    assert next_opening(instant, zone, sequence) <= next_opening(instant + timedelta(seconds=seconds), zone, sequence)


@untimed
@given(cases(), st.integers(0, 999))
def test_no_opening_is_passed_over(case: tuple[datetime, str, Sequence], permille: int) -> None:
    """Between what was asked for and the answer, the window is closed."""
    instant, zone, sequence = case
    opening = next_opening(instant, zone, sequence)
    assume(opening > instant)
    assert not is_open(instant + (opening - instant) * permille // 1000, zone, sequence)


@untimed
@given(st.sampled_from([(zone, change) for zone in ZONES for change in CHANGES[zone]]), sequences(), minutes)
def test_around_a_clock_change_the_answer_is_that_of_a_walk_by_the_minute(
    change: tuple[str, datetime], sequence: Sequence, lead: int
) -> None:
    """B18: the slow way and the quick way agree on every clock change since 2011."""
    zone, moment = change
    instant = moment - timedelta(minutes=lead)
    opening = next_opening(instant, zone, sequence)
    walked = (instant + timedelta(minutes=count) for count in range(2 * 24 * 60))
    expected = next((one for one in walked if is_open(one, zone, sequence)), None)
    if expected is None:
        assert opening >= instant + timedelta(days=2)
    else:
        assert opening == expected


@untimed
@given(cases(), steps)
def test_a_delay_never_ends_before_it_began(case: tuple[datetime, str, Sequence], step: Step) -> None:
    """Clocks set back do not make a step due before the touch it follows."""
    instant, zone, sequence = case
    assert due_after(step, instant, zone, sequence) >= instant


@untimed
@given(cases(), st.integers(1, 60))
def test_days_keep_the_time_on_the_wall(case: tuple[datetime, str, Sequence], days: int) -> None:
    """B18: except where the clocks skip that time, which makes it the first instant after the change."""
    instant, zone, sequence = case
    rules = ZoneInfo(zone)
    due = due_after(make_step(days), instant, zone, sequence).astimezone(rules)
    local = instant.astimezone(rules)
    if due.time() != local.time() or due.date() != local.date() + timedelta(days=days):
        before = (due.astimezone(UTC) - timedelta(microseconds=1)).astimezone(rules)
        assert before.replace(tzinfo=None) < datetime.combine(local.date() + timedelta(days=days), local.time())
        assert before.utcoffset() != due.utcoffset()


@untimed
@given(cases(), zones, steps, st.integers(0, 30 * 24 * 3600))
def test_two_touches_keep_the_gap_and_never_share_a_day(
    case: tuple[datetime, str, Sequence], last_zone: str, step: Step, seconds: int
) -> None:
    """B19: on neither clock, old or new, however late the touch before was."""
    anchor, zone, sequence = case
    last = anchor + timedelta(seconds=seconds)
    due = plan_due(step, anchor=anchor, last_touch_at=last, zone=zone, sequence=sequence, last_touch_zone=last_zone)
    assert due - last >= timedelta(hours=sequence.minimum_gap_hours)
    assert due >= due_after(step, anchor, zone, sequence)
    assert is_open(due, zone, sequence)
    assert local_day(due, zone) > local_day(last, zone)
    assert local_day(due, last_zone) > local_day(last, last_zone)


@untimed
@given(cases(), st.integers(0, 3 * 24 * 3600))
def test_a_touch_that_slips_moves_the_next_one_no_earlier(case: tuple[datetime, str, Sequence], seconds: int) -> None:
    """B18: later steps slip with it."""
    sent, zone, sequence = case
    later = sent + timedelta(seconds=seconds)
    on_time = earliest_next(sent, sent, zone, zone, sequence)
    assert earliest_next(later, later, zone, zone, sequence) >= on_time


@untimed
@given(cases(), st.integers(0, 10), st.integers(1, 3))
def test_overdue_work_never_exceeds_the_cap_on_a_day(
    case: tuple[datetime, str, Sequence], overdue: int, cap: int
) -> None:
    """B19: after an outage of three days there is no burst."""
    now, zone, sequence = case
    due = now - timedelta(days=3)
    times = [slip(now, due, zone, sequence, ahead=place, per_day=cap) for place in range(overdue)]
    days: list[date] = [local_day(one, zone) for one in times]
    assert all(days.count(day) <= cap for day in days)
    assert all(one >= now for one in times)
