"""What a decision changes: the run, its record, the timeline and the sequence's figures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from run_values import (
    A_SENT,
    CONTACT,
    DAY,
    HOUR,
    LEAD,
    NOW,
    REP,
    STEPS,
    UTC_ZONE,
    WINNER,
    ada,
    held_for,
    new_run,
    run_of,
    sequence_of,
    setting_of,
    steps_with,
    touched,
)

from crmdrip.core import effects
from crmdrip.core.decisions import Enroll, Hold, Move, Readdress, Refuse, Skip, Stop, Wait
from crmdrip.core.effects import LATE, Effect, tell_suppression
from crmdrip.core.keys import person_key, touch_id
from crmdrip.core.model import BoxPending, RecordKind, RecordRef, RunStatus, SignalKind, StepKind, TouchState
from crmdrip.core.reasons import AnyReason, HoldReason, Reason, RefuseReason, SkipReason, StopReason
from crmdrip.core.struct import replace
from crmdrip.core.taken import Taken, take
from crmdrip.core.writes import BounceWrite, OptOutWrite, Priority, StatusWrite, TaskWrite

MINUTE = HOUR / 60
PAUSED = RunStatus.PAUSED


def status_of(effect: Effect) -> StatusWrite:
    """The one status that the effect writes."""
    (found,) = [write for write, _ in effect.writes if isinstance(write, StatusWrite)]
    return found


def tasks_of(effect: Effect) -> list[TaskWrite]:
    """What the effect puts on the timeline."""
    return [write for write, _ in effect.writes if isinstance(write, TaskWrite)]


def figures_of(effect: Effect) -> dict[str, int]:
    """How the sequence's figures change."""
    found: dict[str, int] = {}
    for word, difference in effect.totals:
        found[word] = found.get(word, 0) + difference
    return found


def shown(effect: Effect) -> tuple[str, str, str, datetime | None]:
    """What stands on the record: status, reason, step, next touch."""
    write = status_of(effect)
    return write.status, write.reason, write.step, write.next_touch


# --- entry ---------------------------------------------------------------------------------------------------------


def test_a_run_begins_queued_and_says_when_it_starts() -> None:
    """B10: the very record that was ticked says when its first email is expected."""
    decision = Enroll(sequence=sequence_of(), run=2, step=STEPS[0], due_at=NOW + DAY, zone=UTC_ZONE)
    effect = effects.enroll(decision, ada(), "ada@example.com", NOW)
    assert shown(effect) == ("Queued", "Queued, expected start 4 Nov 2026, 12:00 (UTC).", "1 of 3", NOW + DAY)
    assert effect.run is not None
    assert (effect.run.run, effect.run.due_at, effect.run.check_at) == (2, NOW + DAY, NOW + DAY)
    assert effect.run.person == person_key("ada@example.com")
    assert figures_of(effect) == {"active": 1}
    assert effect.box is BoxPending.NO


def test_a_refused_box_is_unticked_and_says_why() -> None:
    """B9: a box that is on means that email can still go out, so this one goes off."""
    effect = effects.refuse(Refuse(reason=Reason(code=RefuseReason.NO_ADDRESS)), ada(run=3, last_touch=NOW - DAY))
    assert shown(effect) == (
        "Refused",
        "Not started: this record has no email address. Add one and tick the box again.",
        "",
        None,
    )
    assert (status_of(effect).enrolled, effect.box, effect.run) == (False, BoxPending.OFF, None)
    assert (status_of(effect).run, status_of(effect).last_touch) == (3, NOW - DAY)


# --- stop ----------------------------------------------------------------------------------------------------------


def stop_for(code: StopReason, detail: str = "", *, untick: bool = True, run: Any = None, **more: Any) -> Effect:
    """The effect of a stop on Ada's run."""
    decision = Stop(reason=Reason(code=code, detail=detail), untick=untick, **more)
    return effects.stop(decision, run or run_of(), setting_of())


def test_a_stop_ends_the_run_unticks_the_box_and_goes_first() -> None:
    """P2, P5: when calls are scarce, stops are told before anything else."""
    effect = stop_for(StopReason.REPLIED, " on 2 Nov 2026")
    assert shown(effect) == ("Stopped", "The person replied on 2 Nov 2026. No further email goes out.", "1 of 3", None)
    assert [priority for _, priority in effect.writes] == [Priority.STOP]
    assert (status_of(effect).enrolled, effect.box) == (False, BoxPending.OFF)
    assert effect.run is not None
    assert (effect.run.due_at, effect.run.check_at, effect.run.next_step_id) == (None, None, None)
    assert figures_of(effect) == {"active": -1, "stopped": 1, "replied": 1}


def test_the_time_of_a_reply_is_written() -> None:
    """A rep sorts by who answered last."""
    decision = Stop(reason=Reason(code=StopReason.REPLIED), untick=True)
    effect = effects.stop(decision, run_of(), setting_of(), replied_at=NOW - HOUR)
    assert status_of(effect).replied_at == NOW - HOUR


@pytest.mark.parametrize(
    ("run", "change"),
    [
        (run_of(), {"active": -1, "stopped": 1}),
        (run_of(**held_for(HoldReason.BRAKE)), {"active": -1, "stopped": 1, "held": -1}),
        (run_of(**held_for(HoldReason.PAUSED_UNTIL, "", PAUSED)), {"active": -1, "stopped": 1, "held": -1}),
    ],
)
def test_a_stopped_run_is_no_longer_active_or_held(run: Any, change: dict[str, int]) -> None:
    """The figures of a sequence add up."""
    assert figures_of(stop_for(StopReason.OPPORTUNITY, run=run)) == change


def test_an_unticked_box_is_left_alone() -> None:
    """B9: it is off already, and may be on again by the time the write arrives: that tick is a new one."""
    effect = stop_for(StopReason.UNTICKED, untick=False)
    assert (status_of(effect).enrolled, effect.box) == (None, BoxPending.NO)


@pytest.mark.parametrize(("code", "deleted"), [(StopReason.DELETED, ("003",)), (StopReason.MERGED, ())])
def test_nothing_is_written_to_a_record_that_is_gone(code: StopReason, deleted: tuple[str, ...]) -> None:
    """B12, B14: a write could bring it back or fail for ever."""
    effect = stop_for(code, WINNER, untick=False)
    assert effect.writes == ()
    assert (effect.dropped, effect.deleted) == (("status:003",), deleted)
    assert effect.run is not None
    assert effect.run.status is RunStatus.STOPPED


def test_a_converted_lead_is_told_of_on_its_contact() -> None:
    """B11: no write to the lead; the contact shows the end, and a box that a field mapping copied goes off."""
    contact = RecordRef(kind=RecordKind.CONTACT, id="003C")
    effect = stop_for(StopReason.CONVERTED, run=run_of(ref=LEAD), shown_on=contact)
    assert status_of(effect).ref == contact
    assert effect.dropped == ("status:00Q",)
    assert (status_of(effect).enrolled, effect.box) == (False, BoxPending.OFF)
    assert effect.run is not None
    assert effect.run.ref == contact


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        (SignalKind.UNSUBSCRIBE, OptOutWrite),
        (SignalKind.SPAM_REPORT, OptOutWrite),
        (SignalKind.OPT_OUT, OptOutWrite),
        (SignalKind.BOUNCE, BounceWrite),
    ],
)
def test_a_suppression_is_told_on_every_record_of_the_address(kind: SignalKind, type_: type) -> None:
    """B13, B22: the lead as well as the contact, before all else."""
    writes = tell_suppression(kind, (CONTACT, LEAD), "", NOW)
    assert [(type(write), write.ref, priority) for write, priority in writes if isinstance(write, type_)] == [
        (type_, CONTACT, Priority.STOP),
        (type_, LEAD, Priority.STOP),
    ]


# --- hold ----------------------------------------------------------------------------------------------------------


def hold_for(code: HoldReason, detail: str = "", *, run: Any = None, setting: Any = None, **more: Any) -> Effect:
    """The effect of a hold on Ada's run, looked at again in an hour."""
    decision = Hold(**({"reason": Reason(code=code, detail=detail), "check_at": NOW + HOUR} | more))
    return effects.hold(decision, run or run_of(), setting or setting_of())


def test_a_held_run_says_for_what_at_which_step_and_promises_no_time() -> None:
    """P3: nobody knows when a missing title is filled in."""
    effect = hold_for(HoldReason.MISSING_FIELD, "Title")
    sentence = "Waiting: missing Title. Fill it in and the email goes out at the next opening."
    assert shown(effect) == ("Held", sentence, "2 of 3", None)
    assert figures_of(effect) == {"held": 1}
    assert effect.run is not None
    assert effect.run.check_at == NOW + HOUR


def test_a_run_that_is_held_before_its_first_step_is_at_the_first() -> None:
    """P3: "1 of 3", and not "0 of 3"."""
    assert shown(hold_for(HoldReason.SUSPICION, run=new_run()))[2] == "1 of 3"


def test_a_run_whose_sequence_is_gone_still_says_which_step() -> None:
    """P3: of how many is not known any more."""
    assert shown(hold_for(HoldReason.SEQUENCE_GONE, setting=setting_of(sequence=None)))[2] == "2"


@pytest.mark.parametrize("code", [HoldReason.PAUSED_UNTIL, HoldReason.DAILY_CAP])
def test_a_wait_whose_end_is_known_shows_it(code: HoldReason) -> None:
    """P3: the record says what happens next, and when."""
    assert shown(hold_for(code, check_at=NOW + 2 * DAY))[3] == NOW + 2 * DAY


def test_the_same_hold_is_written_once() -> None:
    """P5: a run that waits for a week costs the CRM one write."""
    first = hold_for(HoldReason.BRAKE, " by Ann")
    again = hold_for(HoldReason.BRAKE, " by Ann", run=first.run, check_at=NOW + 9 * HOUR)
    assert (again.writes, again.totals) == ((), ())
    assert again.run is not None
    assert again.run.check_at == NOW + 9 * HOUR


@pytest.mark.parametrize(
    ("code", "detail", "more"),
    [
        (HoldReason.BRAKE, " by Bob", {}),
        (HoldReason.SEQUENCE_PAUSED, "", {}),
        (HoldReason.BRAKE, " by Ann", {"status": RunStatus.PAUSED}),
    ],
    ids=["another detail", "another reason", "another status"],
)
def test_a_hold_that_shows_something_new_is_written(code: HoldReason, detail: str, more: dict[str, Any]) -> None:
    """P3: and still counts as held once."""
    effect = hold_for(code, detail, run=hold_for(HoldReason.BRAKE, " by Ann").run, **more)
    assert len(effect.writes) == 1
    assert effect.totals == ()


def test_a_later_turn_in_the_queue_is_written() -> None:
    """P3: a cap that is full again tomorrow moves the date on the record."""
    first = hold_for(HoldReason.DAILY_CAP, "the sender", check_at=NOW + DAY)
    assert (
        shown(hold_for(HoldReason.DAILY_CAP, "the sender", run=first.run, check_at=NOW + 2 * DAY))[3] == NOW + 2 * DAY
    )


@pytest.mark.parametrize(("late", "told"), [(LATE - MINUTE, False), (LATE, True)])
def test_a_crm_that_does_not_answer_for_some_minutes_is_no_hold_to_tell_of(late: Any, *, told: bool) -> None:
    """P4, P5: most such waits are seconds, and the CRM has enough to do."""
    effect = hold_for(HoldReason.NO_LAST_LOOK, "503", run=run_of(due_at=NOW - late))
    assert bool(effect.writes) is told
    assert effect.run is not None
    assert (effect.run.status is RunStatus.HELD) is told
    assert effect.run.check_at == NOW + HOUR


def test_a_record_that_is_not_there_is_not_written_to() -> None:
    """B14: the run waits for the pull to say why, and nothing else happens."""
    effect = hold_for(HoldReason.RECORD_GONE)
    assert effect.writes == ()
    assert effect.run is not None
    assert effect.run.status is RunStatus.HELD


MOVED = {"status": PAUSED, "tell_rep": True, "check_at": None}


def test_a_rep_is_asked_once_when_an_address_moves_away() -> None:
    """B15: one open task, and none at the next look, nor when the reason has changed and come back."""
    first = hold_for(HoldReason.ADDRESS_CHANGED, "b.example", **MOVED)
    (note,) = tasks_of(first)
    assert (note.open, note.owner_id, note.ref) == (True, REP.id, CONTACT)
    assert note.body == Reason(code=HoldReason.ADDRESS_CHANGED, detail="b.example").sentence
    assert hold_for(HoldReason.ADDRESS_CHANGED, "b.example", run=first.run, **MOVED).writes == ()
    elsewhere = hold_for(HoldReason.ADDRESS_CHANGED, "c.example", run=first.run, **MOVED)
    assert tasks_of(elsewhere) == []
    assert "c.example" in status_of(elsewhere).reason
    emptied = hold_for(HoldReason.MISSING_FIELD, "Email", run=elsewhere.run)
    (same,) = tasks_of(hold_for(HoldReason.ADDRESS_CHANGED, "d.example", run=emptied.run, **MOVED))
    assert same.key == note.key


# --- wait ----------------------------------------------------------------------------------------------------------


def wait_until(opens_at: datetime, *, run: Any = None, due_at: datetime = NOW, step: Any = STEPS[1]) -> Effect:
    """The effect of a wait on Ada's run."""
    return effects.wait(Wait(step=step, due_at=due_at, opens_at=opens_at, zone=UTC_ZONE), run or run_of(), setting_of())


def test_a_run_that_waits_as_the_record_says_is_not_written() -> None:
    """P5: a look that finds nothing new costs no call."""
    run = run_of(due_at=NOW + DAY, check_at=NOW + DAY)
    effect = wait_until(NOW + DAY, due_at=NOW + DAY, run=replace(run, check_at=NOW))
    assert (effect.writes, effect.run) == ((), run)


def test_a_time_that_moved_is_written() -> None:
    """P3: the window was narrowed, and the record shows when the email goes out now."""
    effect = wait_until(NOW + 3 * HOUR)
    assert shown(effect) == ("Active", "Step 2 of 3 is due 3 Nov 2026, 15:00 (UTC).", "2 of 3", NOW + 3 * HOUR)


def test_a_step_that_changed_is_written() -> None:
    """B17: another step is next, at the same time."""
    assert shown(wait_until(NOW, step=STEPS[2]))[2] == "3 of 3"


def test_a_hold_that_is_over_is_written() -> None:
    """P3: the reason goes, and the run counts as held no more."""
    effect = wait_until(NOW + DAY, run=run_of(**held_for(HoldReason.BRAKE)))
    assert shown(effect)[0] == "Active"
    assert figures_of(effect) == {"held": -1}
    assert effect.run is not None
    assert (effect.run.reason, effect.run.reason_detail) == ("", "")


def test_a_run_before_its_first_step_is_queued() -> None:
    """B10: expected start moves with the queue."""
    effect = wait_until(NOW + DAY, run=new_run(), step=STEPS[0])
    assert shown(effect)[:2] == ("Queued", "Queued, expected start 4 Nov 2026, 12:00 (UTC).")


def test_lateness_counts_from_when_the_step_was_planned() -> None:
    """B19: waiting for the window moves the look, not the due time from which a step expires."""
    effect = wait_until(NOW + DAY, due_at=NOW - HOUR)
    assert effect.run is not None
    assert (effect.run.due_at, effect.run.check_at) == (NOW - HOUR, NOW + DAY)


# --- take ----------------------------------------------------------------------------------------------------------

B_ID = touch_id("00D", person_key("ada@example.com"), "seq", 1, "B")


def taken(step: Any = STEPS[1], **changes: Any) -> Taken:
    """Step B went out at noon."""
    fields: dict[str, Any] = {
        "touch_id": B_ID,
        "step": step,
        "at": NOW,
        "zone": UTC_ZONE,
        "sender": REP.email,
        "owner_id": REP.id,
        "subject": "Re: Hello",
        "body": "Shall we talk?",
        "message_id": "<b@acme.example>",
        "begins_thread": False,
    }
    return Taken(**(fields | changes))


def test_a_step_that_went_out_plans_the_next_and_stands_on_the_timeline() -> None:
    """P3: what was, what comes and when."""
    effect = take(taken(), run_of(), setting_of())
    monday = NOW.replace(day=9, hour=9)  # four days on is a Saturday
    sentence = "Step 2 of 3 went out 3 Nov 2026, 12:00 (UTC). Step 3 of 3 is due 9 Nov 2026, 09:00 (UTC)."
    assert shown(effect) == ("Active", sentence, "3 of 3", monday)
    (task,) = tasks_of(effect)
    assert (task.touch_id, task.subject, task.step, task.step_id, task.open) == (
        B_ID,
        "Re: Hello",
        "2 of 3",
        "B",
        False,
    )
    assert figures_of(effect) == {"sent": 1}


def test_a_step_that_went_out_is_remembered_by_the_run() -> None:
    """B17, B18: position, count, time and zone, from which the next one is planned."""
    run = take(taken(), run_of(unproven=True), setting_of()).run
    assert run is not None
    assert (run.position, run.steps_done, run.last_touch_at, run.last_touch_zone) == (20.0, 2, NOW, "UTC")
    assert (run.next_step_id, run.unproven) == ("C", False)


def test_a_thread_goes_on_with_its_first_subject() -> None:
    """Answers stay together in the reader's mailbox."""
    run = take(taken(), run_of(), setting_of()).run
    assert run is not None
    assert (run.thread, run.thread_subject) == (("<a@acme.example>", "<b@acme.example>"), "Hello")


def test_a_new_thread_belongs_to_whoever_began_it() -> None:
    """B16: after an owner change the thread is the new owner's."""
    other = taken(sender="nora@acme.example", owner_id="006", subject="Hello again", begins_thread=True)
    run = take(other, run_of(), setting_of()).run
    assert run is not None
    assert (run.thread, run.thread_subject, run.sender, run.owner_id) == (
        ("<b@acme.example>",),
        "Hello again",
        "nora@acme.example",
        "006",
    )


def test_a_thread_keeps_its_root_and_its_newest() -> None:
    """References must not grow without end, and the root is what threads are found by."""
    long = tuple(f"<{number}@acme.example>" for number in range(10))
    run = take(taken(), run_of(thread=long), setting_of()).run
    assert run is not None
    assert run.thread == (long[0], *long[2:], "<b@acme.example>")


def test_a_task_for_the_rep_is_open_and_touches_no_thread() -> None:
    """A call to make is nobody's email."""
    steps = steps_with(B={"kind": StepKind.TASK})
    effect = take(
        taken(steps[1], message_id="", sender="", outcome="To do"),
        run_of(),
        setting_of(sequence=sequence_of(steps=steps)),
    )
    (task,) = tasks_of(effect)
    assert (task.open, task.outcome) == (True, "To do")
    assert effect.run is not None
    assert (effect.run.thread, effect.run.sender) == (("<a@acme.example>",), REP.email)


def test_a_run_that_was_held_is_held_no_more_once_its_step_went_out() -> None:
    """B1: in doubt, and found in the provider's log."""
    effect = take(taken(), run_of(**held_for(HoldReason.IN_DOUBT, "2 of 3")), setting_of())
    assert shown(effect)[0] == "Active"
    assert figures_of(effect) == {"sent": 1, "held": -1}


def test_the_last_step_finishes_the_run_and_unticks_the_box() -> None:
    """B9: on finish the box says that no email goes out any more."""
    run = run_of(next_step_id="C", position=20.0, steps_done=2)
    setting = setting_of(touches=A_SENT | {"B": touched(order=20.0)})
    effect = take(taken(STEPS[2]), run, setting)
    assert shown(effect) == (
        "Finished",
        "Finished: 3 steps went out, the last 3 Nov 2026, 12:00 (UTC).",
        "3 of 3",
        None,
    )
    assert (status_of(effect).enrolled, effect.box) == (False, BoxPending.OFF)
    assert figures_of(effect) == {"sent": 1, "active": -1, "finished": 1}


def ended_for(code: AnyReason, detail: str = "") -> Any:
    """Ada's run, ended while B was on its way."""
    return run_of(**held_for(code, detail, RunStatus.STOPPED), due_at=None, check_at=None, next_step_id=None)


def test_a_run_stopped_while_its_email_was_on_its_way_stays_stopped() -> None:
    """P2, P3: the email is told on the timeline, the record shows it, and nothing further is planned."""
    effect = take(taken(), ended_for(StopReason.OPTED_OUT), setting_of())
    assert effect.run is not None
    assert (effect.run.status, effect.run.due_at, effect.run.next_step_id) == (RunStatus.STOPPED, None, None)
    assert len(tasks_of(effect)) == 1
    assert shown(effect)[0] == "Stopped"
    assert shown(effect)[2:] == ("2 of 3", None)
    assert status_of(effect).last_touch == NOW
    assert figures_of(effect) == {"sent": 1}


def test_the_time_of_a_reply_is_not_overwritten_by_an_email_that_was_on_its_way() -> None:
    """P3: a newer status takes an owed one's place, and this one does not know when the reply came."""
    effect = take(taken(), ended_for(StopReason.REPLIED), setting_of())
    assert [type(write) for write, _ in effect.writes] == [TaskWrite]


def test_an_email_on_its_way_is_no_reason_to_write_to_a_record_that_is_gone() -> None:
    """B14: the touch is owed to the timeline, wherever that went; the status is not."""
    effect = take(taken(), ended_for(StopReason.DELETED), setting_of())
    assert [type(write) for write, _ in effect.writes] == [TaskWrite]


def test_a_step_taken_while_the_sequence_went_out_of_sight_ends_nothing() -> None:
    """A hidden sequence is no finished one: the run is looked at again, and then held for that."""
    effect = take(taken(), run_of(), setting_of(sequence=None))
    assert effect.run is not None
    assert (effect.run.status, effect.run.check_at, effect.box) == (RunStatus.ACTIVE, NOW, BoxPending.NO)
    assert status_of(effect).enrolled is None


# --- skip, finish, move, readdress ---------------------------------------------------------------------------------


def skip_of(step_id: str, order: float, code: SkipReason, *, run: Any = None, **setting: Any) -> Effect:
    """The effect of passing a step over."""
    decision = Skip(step_id=step_id, order=order, reason=Reason(code=code, detail="2 of 3"))
    return effects.skip(decision, run or run_of(), setting_of(**setting), UTC_ZONE)


def test_an_expired_step_is_passed_over_and_the_gap_to_the_next_kept() -> None:
    """B19: a run that lies three days behind stays three days behind, and does not catch up in a burst."""
    effect = skip_of("B", 20.0, SkipReason.EXPIRED)
    sentence = "Step 2 of 3 was not sent in time and had expired, so it was passed over."
    assert shown(effect)[1] == f"{sentence} Step 3 of 3 is due 9 Nov 2026, 09:00 (UTC)."
    (touch,) = effect.touches
    assert (touch.step_id, touch.state, touch.id, touch.detail) == ("B", TouchState.SKIPPED, B_ID, "skip.expired")
    assert effect.run is not None
    assert (effect.run.steps_done, effect.run.position, effect.run.next_step_id) == (1, 20.0, "C")


def test_a_removed_step_leaves_no_gap() -> None:
    """B17: the next step comes four days after the last touch, as the sequence now stands."""
    effect = skip_of("X", 10.0, SkipReason.REMOVED, sequence=sequence_of(steps=(STEPS[0], STEPS[2])))
    assert shown(effect)[3] == NOW + 2 * DAY
    assert effect.run is not None
    assert (effect.run.next_step_id, effect.run.position) == ("C", 10.0)


def test_a_removed_step_never_brings_two_touches_close_together() -> None:
    """B17: the minimum gap holds, whatever the next step's delay."""
    steps = (STEPS[0], replace(STEPS[2], delay=0))
    run = run_of(last_touch_at=NOW - HOUR)
    effect = skip_of("X", 10.0, SkipReason.REMOVED, run=run, sequence=sequence_of(steps=steps))
    assert shown(effect)[3] == NOW.replace(day=4, hour=9)


def test_a_last_step_that_is_passed_over_is_told_with_the_end() -> None:
    """P3: three of three is not what happened, and the record says so."""
    run = run_of(next_step_id="C", position=20.0, steps_done=2, last_touch_at=NOW - DAY)
    effect = skip_of("C", 30.0, SkipReason.EXPIRED, run=run, touches=A_SENT | {"B": touched(order=20.0)})
    skipped = "Step 2 of 3 was not sent in time and had expired, so it was passed over."
    sentence = f"{skipped} Finished: 2 steps went out, the last 2 Nov 2026, 12:00 (UTC)."
    assert shown(effect) == ("Finished", sentence, "2 of 3", None)


def test_a_task_that_is_passed_over_is_a_task() -> None:
    """History shows what it was."""
    effect = skip_of("B", 20.0, SkipReason.EXPIRED, sequence=sequence_of(steps=steps_with(B={"kind": StepKind.TASK})))
    assert effect.touches[0].kind is StepKind.TASK


def test_a_run_without_a_step_left_finishes() -> None:
    """B9: the box goes off, and the figures follow."""
    effect = effects.finish(run_of(**held_for(HoldReason.BRAKE), last_touch_zone="Europe/Berlin"), setting_of())
    assert shown(effect)[:2] == ("Finished", "Finished: 1 step went out, the last 1 Nov 2026, 13:00 (Europe/Berlin).")
    assert figures_of(effect) == {"active": -1, "finished": 1, "held": -1}
    assert effect.box is BoxPending.OFF


CONTACT_OF_LEAD = RecordRef(kind=RecordKind.CONTACT, id="003C")


def test_a_run_moves_with_its_box_and_its_sequence() -> None:
    """B11, B12: the record that took the place shows the run, and its box is on, since email can still go out."""
    effect = effects.move(
        Move(to=CONTACT_OF_LEAD, because="converted"), run_of(ref=LEAD, due_at=NOW + DAY), setting_of()
    )
    write = status_of(effect)
    assert (write.ref, write.enrolled, write.sequence_id, write.run) == (CONTACT_OF_LEAD, True, "seq", 1)
    sentence = "Carried over: the record was converted. Step 2 of 3 is due 4 Nov 2026, 12:00 (UTC)."
    assert shown(effect) == ("Active", sentence, "2 of 3", NOW + DAY)
    assert (effect.box, effect.dropped) == (BoxPending.ON, ("status:00Q",))
    assert effect.run is not None
    assert (effect.run.ref, effect.run.thread, effect.run.check_at) == (CONTACT_OF_LEAD, ("<a@acme.example>",), NOW)


def test_a_held_run_that_moves_still_says_for_what_it_waits() -> None:
    """P3: carried over, and why it does not go on."""
    run = run_of(ref=LEAD, **held_for(HoldReason.BRAKE, " by Ann"))
    effect = effects.move(Move(to=CONTACT_OF_LEAD, because="converted"), run, setting_of())
    assert shown(effect)[0] == "Held"
    assert shown(effect)[1].endswith(Reason(code=HoldReason.BRAKE, detail=" by Ann").sentence)


def test_a_new_address_begins_a_new_thread() -> None:
    """B15: the person behind it may never have seen the old one, and the old address is not mailed again."""
    run = effects.readdress(Readdress(address="ada.byron@example.com"), run_of(), setting_of()).run
    assert run is not None
    assert (run.address, run.thread, run.thread_subject, run.sender) == ("ada.byron@example.com", (), "", "")
    assert (run.check_at, run.due_at, run.person) == (NOW, NOW, person_key("ada@example.com"))
