"""B8: who is out of office is left alone until a business day after they are back, and then goes on by themselves."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from run_values import DAY, HOUR, NOW, REP, SUNDAY, ada, run_of, seen, sequence_of, setting_of, signal_of
from schedule_values import at

from crmdrip.core import effects
from crmdrip.core.decisions import Hold, Send, Stop
from crmdrip.core.model import OnColleagueReply, RunStatus, SignalKind
from crmdrip.core.plan import plan
from crmdrip.core.reasons import HoldReason, StopReason
from crmdrip.core.snapshot import View
from crmdrip.core.writes import TaskWrite


def away(until: date | None, at: datetime = NOW, key: str = "away"):
    """An out-of-office answer, by default of this noon, Tuesday 3 November."""
    return signal_of(SignalKind.OUT_OF_OFFICE, key=key, at=at, until=until)


def planned(*signals, now=NOW, **changes):
    """The one decision about Ada's run after these signals."""
    (decision,) = plan(seen(signals=signals, **changes), now)
    return decision


class TestHowLong:
    """The day the run goes on."""

    @pytest.mark.parametrize(
        ("until", "resumes", "because"),
        [
            (date(2026, 11, 11), "2026-11-12", "back on Wednesday: Thursday"),
            (date(2026, 11, 13), "2026-11-16", "back on Friday: Monday"),
            (date(2026, 11, 14), "2026-11-16", "back on a Saturday: Monday"),
            (date(2026, 11, 3), "2026-11-04", "back today: tomorrow"),
            (None, "2026-11-06", "not told: three business days"),
            (date(2026, 5, 1), "2026-11-06", "over long ago: the answer was left on"),
            (date(2031, 1, 1), "2026-11-06", "years away: misread"),
        ],
    )
    def test_it_goes_on_a_business_day_after_the_return(self, until, resumes, because):
        """B8: the return date and one business day; three business days where none was told."""
        decision = planned(away(until))
        assert isinstance(decision, Hold)
        assert decision.check_at == at(f"{resumes}T00:00"), because

    def test_business_days_are_those_of_the_sequence(self):
        """B8: back on Wednesday before Thanksgiving, so Friday."""
        decision = planned(away(date(2026, 11, 25)), sequence=sequence_of(holiday_country="US"))
        assert decision.check_at == at("2026-11-27T00:00")

    def test_days_are_those_of_the_persons_zone(self):
        """B8: a day begins where the person is."""
        decision = planned(away(date(2026, 11, 11)), enrollment=run_of(last_touch_zone="Asia/Tokyo"))
        assert decision.check_at == at("2026-11-12T00:00", "Asia/Tokyo")

    def test_the_newest_answer_counts(self):
        """B8: an absence that was prolonged, or cut short."""
        decision = planned(away(date(2026, 11, 20), NOW - DAY, "first"), away(date(2026, 11, 11)))
        assert decision.check_at == at("2026-11-12T00:00")

    def test_it_ends_by_itself(self):
        """B8: once the day has come the email goes out at the next opening."""
        signal = away(date(2026, 11, 2), SUNDAY)
        assert isinstance(planned(signal, now=at("2026-11-02T23:59")), Hold)
        assert isinstance(planned(signal), Send)


class TestWhatItShows:
    """On the record."""

    def test_the_record_says_until_when(self):
        """B8: Paused, the reason with both days, and the field for list views."""
        decision = planned(away(date(2026, 11, 11)))
        effect = effects.hold(decision, run_of(), setting_of())
        [(write, _)] = effect.writes
        assert effect.run.status is RunStatus.PAUSED
        assert write.reason == (
            "Paused: the person is out of office until 11 Nov 2026; it goes on by itself on 12 Nov 2026."
        )
        assert write.out_of_office_until == at("2026-11-11T12:00")
        assert write.next_touch == at("2026-11-12T00:00")

    def test_an_absence_without_a_day_says_so(self):
        """B8: the field then shows the day we go on."""
        decision = planned(away(None))
        assert decision.reason.sentence.endswith("did not say until when; it goes on by itself on 6 Nov 2026.")
        assert decision.away_until == at("2026-11-06T12:00")

    def test_the_pull_shows_it_too(self):
        """B8: whichever pass looks first."""
        assert planned(away(None), view=View.PULLED).reason.code is HoldReason.OUT_OF_OFFICE

    def test_an_absence_is_no_reply(self):
        """B8: it never stops a run."""
        assert not isinstance(planned(away(None)), Stop)

    def test_a_reply_from_the_beach_stops(self):
        """B5: a person who answers has answered."""
        assert planned(away(None), signal_of(SignalKind.REPLY)).reason.code is StopReason.REPLIED


def colleague(**changes):
    """Bob of Ada's account has replied; the task's id is "ask"."""
    return signal_of(SignalKind.COLLEAGUE_REPLY, touch_id="ask", detail=" (bob@acme.example) on 2 Nov 2026", **changes)


class TestColleagues:
    """B6: the sequence's On Colleague Reply."""

    def test_pause_waits_for_the_rep(self):
        """B6: the run is paused, and the record says what to do."""
        decision = planned(colleague(), sequence=sequence_of(on_colleague_reply=OnColleagueReply.PAUSE))
        assert isinstance(decision, Hold)
        assert (decision.status, decision.check_at) == (RunStatus.PAUSED, None)
        assert decision.reason.sentence == (
            "Paused: a colleague replied (bob@acme.example) on 2 Nov 2026. Complete the task on your list to go on, or"
            " untick the box to stop."
        )

    def test_the_task_completed_lets_it_go_on(self):
        """B6: the rep has decided."""
        done = signal_of(SignalKind.TASK_DONE, touch_id="ask")
        assert isinstance(planned(colleague(), done), Send)

    def test_another_task_completed_decides_nothing(self):
        """B6: only the task that asks."""
        done = signal_of(SignalKind.TASK_DONE, touch_id="call her")
        assert planned(colleague(), done).reason.code is HoldReason.COLLEAGUE_REPLIED

    def test_a_later_answer_asks_again(self):
        """B6: the rep's decision was about the first answer."""
        done = signal_of(SignalKind.TASK_DONE, touch_id="ask")
        again = signal_of(SignalKind.COLLEAGUE_REPLY, key="again", touch_id="ask again", at=done.at + HOUR)
        assert planned(colleague(), done, again).task_id == "ask again"

    def test_one_task_completed_is_about_all_answers_before(self):
        """B6: the rep has one task, however many colleagues answered meanwhile."""
        again = signal_of(SignalKind.COLLEAGUE_REPLY, key="again", touch_id="ask again", at=SUNDAY + DAY + HOUR)
        done = signal_of(SignalKind.TASK_DONE, touch_id="ask", at=NOW)
        assert isinstance(planned(colleague(), again, done), Send)

    def test_the_rep_gets_a_task(self):
        """B6: under the id whose completion is waited for."""
        effect = effects.hold(planned(colleague()), run_of(), setting_of())
        [task] = [write for write, _ in effect.writes if isinstance(write, TaskWrite)]
        assert (task.touch_id, task.owner_id, task.open) == ("ask", REP.id, True)

    def test_stop_stops(self):
        """B6: one answer of the account ends all its runs."""
        decision = planned(colleague(), sequence=sequence_of(on_colleague_reply=OnColleagueReply.STOP))
        assert isinstance(decision, Stop)
        assert decision.reason.sentence == (
            "A colleague replied (bob@acme.example) on 2 Nov 2026. No further email goes out."
        )

    def test_ignore_goes_on(self):
        """B6: a colleague is somebody else."""
        decision = planned(colleague(), sequence=sequence_of(on_colleague_reply=OnColleagueReply.IGNORE))
        assert isinstance(decision, Send)


def test_who_has_left_is_not_written_to_again():
    """B8: "I no longer work here" ends the run, and names whom to ask instead."""
    left = signal_of(SignalKind.LEFT_COMPANY, detail=", who names eve@acme.example")
    decision = planned(left, record=ada())
    assert isinstance(decision, Stop)
    assert decision.reason.sentence == (
        "The address no longer belongs to the person, who names eve@acme.example. No further email goes out to it."
    )
