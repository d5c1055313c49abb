"""A live run: one row per situation, to be checked by eye. What ends it, what holds it, and what is due.

Ada's run has sent step A on Sunday. It is Tuesday noon, and B is due.
"""

from __future__ import annotations

from typing import Any

import pytest
from run_values import (
    A_SENT,
    DAY,
    HOUR,
    LEAD,
    NOW,
    REP,
    WINNER,
    ada,
    held_for,
    new_run,
    run_of,
    seen,
    sequence_of,
    signal_of,
    steps_with,
    touched,
)
from schedule_values import make_step

from crmdrip.core.decisions import Finish, Hold, Move, Readdress, Send, Skip, Stop, Wait
from crmdrip.core.model import (
    BoxPending,
    Brake,
    OnConversion,
    OnElsewhere,
    OnOpportunity,
    Owner,
    RecordKind,
    RecordRef,
    SenderPolicy,
    SequenceStatus,
    SignalKind,
    TouchState,
)
from crmdrip.core.plan import plan
from crmdrip.core.reasons import HoldReason
from crmdrip.core.snapshot import Snapshot, View
from crmdrip.core.struct import replace

NOTHING = "nothing"
SEND = "send B as 2 of 3"
UNREADABLE = None
CONTACT = RecordRef(kind=RecordKind.CONTACT, id="003C")
MASS_STOP = run_of(**held_for(HoldReason.MASS_STOP, "40 of 50 people would be stopped at once"))


def row(
    case: str,
    then: str,
    *,
    record: dict[str, Any] | None = {},  # noqa: B006 - never changed; None stands for a record that is not there
    sequence: dict[str, Any] | None = {},  # noqa: B006 - never changed; None stands for a sequence that is not there
    **snapshot: Any,
) -> Any:
    """One line of the table: the situation, what differs from Ada's due step, and what comes of it."""
    who = ada(**record) if record is not None else None
    of = sequence_of(**sequence) if sequence is not None else None
    return pytest.param(seen(**({"record": who, "sequence": of} | snapshot)), then, id=case)


def outcome(snapshot: Snapshot) -> str:
    """What plan decides, in words."""
    match plan(snapshot, NOW):
        case ():
            return NOTHING
        case (Send(step=step, progress=progress),):
            return f"send {step.id} as {progress}"
        case (Stop(reason=reason, untick=untick),):
            return f"stop{', untick' if untick else ''}: {reason.sentence}"
        case (Hold(reason=reason, status=status, tell_rep=tell_rep),):
            return f"{status.value.lower()}{', tell the rep' if tell_rep else ''}: {reason.sentence}"
        case (Skip(reason=reason),):
            return f"skip: {reason.sentence}"
        case (Wait(step=step, opens_at=opens_at),):
            return f"wait with {step.id} until {opens_at:%a %d %b %H:%M}"
        case (Move(to=to, because=because),):
            return f"move to {to.kind} {to.id}: {because}"
        case (Readdress(address=address),):
            return f"readdress to {address}"
        case (Finish(),):
            return "finish"
        case other:
            return repr(other)


# --- what ends a run, from whichever side it is seen ---------------------------------------------------------------

REPLIED = "stop, untick: The person replied on 2 Nov 2026. No further email goes out."
UNSUBSCRIBED = "stop, untick: The person unsubscribed on 2 Nov 2026. No email goes out from any sequence."
COMPLAINED = "stop, untick: The person reported an email as spam. No email goes out from any sequence."
OPTED_OUT = "stop, untick: The CRM says that this person opted out of email. No email goes out from any sequence."
BOUNCED = "stop, untick: The address does not accept mail. Correct the address and tick the box again."
MET = "stop, untick: A meeting was booked on 2 Nov 2026. No further email goes out."
OPPORTUNITY = "stop, untick: An opportunity was created on 2 Nov 2026. No further email goes out."
QUALIFIED = "stop, untick: The sequence's stop condition is met: Status is Qualified. No further email goes out."
SAME_ADDRESS = "stop, untick: The address was changed to that of"
MOVED_AWAY = "paused, tell the rep: Waiting: the address moved to another domain"
UNTICKED = "stop: The box was unticked. Tick it again to start a new run, if the sequence allows one."

ENDS = [
    row("P2 replied", REPLIED, signals=(signal_of(SignalKind.REPLY),)),
    row("P2 meeting booked", MET, signals=(signal_of(SignalKind.MEETING),)),
    row("B22 unsubscribed", UNSUBSCRIBED, signals=(signal_of(SignalKind.UNSUBSCRIBE),)),
    row("P2 reported as spam", COMPLAINED, signals=(signal_of(SignalKind.SPAM_REPORT),)),
    row("B22 opted out, as a signal", OPTED_OUT, signals=(signal_of(SignalKind.OPT_OUT),)),
    row("B22 opted out, on the record", OPTED_OUT, record={"opted_out": True}),
    row(
        "P2 bounced",
        "stop, untick: The address does not accept mail (mailbox unknown). Correct the address and tick the box again.",
        signals=(signal_of(SignalKind.BOUNCE, detail="mailbox unknown"),),
    ),
    row("P2 bounced, as the CRM knows", BOUNCED, record={"bounced": True}),
    row(
        "B22 suppressed by another record",
        "stop, untick: This address unsubscribed on 1 Nov 2026. No email goes out to it from any sequence.",
        suppression="unsubscribed on 1 Nov 2026",
    ),
    row(
        "an unsubscribe outweighs a reply",
        UNSUBSCRIBED,
        signals=tuple(map(signal_of, (SignalKind.REPLY, SignalKind.UNSUBSCRIBE))),
    ),
    row("opportunity, and the sequence stops on that", OPPORTUNITY, signals=(signal_of(SignalKind.OPPORTUNITY),)),
    row("B9 unticked", UNTICKED, record={"enrolled": False}),
    row(
        "B9 the lookup was cleared",
        "stop, untick: This record names no sequence any more. Choose one and tick the box to start a new run.",
        record={"sequence_id": None},
    ),
    row(
        "B9 moved to another sequence",
        "stop: The record was moved to another sequence. This run has ended.",
        record={"sequence_id": "other"},
    ),
    row(
        "the CRM's own sequence has the person, and ours is to end then",
        "stop, untick: The person is in a sequence of HubSpot's own. No further email goes out; once they have left it,"
        " tick the box again.",
        record={"elsewhere": "a sequence of HubSpot's own", "on_elsewhere": OnElsewhere.STOP},
    ),
    row(
        "the stop condition is met",
        QUALIFIED,
        record={"stop_field": "Qualified"},
        sequence={"stop_field": "Status", "stop_values": frozenset({"qualified"})},
    ),
    row(
        "the sequence is retired",
        "stop, untick: The sequence was retired. No further email goes out.",
        sequence={"status": SequenceStatus.RETIRED},
    ),
    row(
        "B14 deleted",
        "stop: The record was deleted. If it is restored, tick the box to start a new run.",
        record={"deleted": True},
    ),
    row(
        "B14 deleted and restored",
        "stop, untick: The record was deleted and restored. Tick the box to start a new run.",
        restored=True,
    ),
    row("B12 merged", "move to contact 003W: merged", record={"merged_into": WINNER, "deleted": True}),
    row(
        "B12 merged into a record with a run of its own",
        "stop: The record was merged into 003W, which carries on the history.",
        record={"merged_into": WINNER, "deleted": True},
        moved_to_live_run=True,
    ),
    row(
        "B12 merged into a record that was stopped",
        "stop: The record was merged into 003W, which carries on the history.",
        record={"merged_into": WINNER, "deleted": True},
        winner_stopped=True,
    ),
    row(
        "B12 P2 unticked and then merged",
        UNTICKED,
        record={"merged_into": WINNER, "deleted": True, "enrolled": False},
    ),
    row(
        "B12 P2 merged into a record whose box somebody unticked in the midst of a run",
        UNTICKED,
        record={"merged_into": WINNER, "deleted": True, "enrolled": False, "status": "Active", "email": "lee@b.co"},
    ),
    row(
        "B12 P6 merged, and the CRM shows that the run was stopped: the ledger is an older copy",
        "stop: The record was merged into 003W, which carries on the history.",
        record={"merged_into": WINNER, "deleted": True, "enrolled": False, "status": "Stopped"},
    ),
    row(
        "B12 merged into a record that has finished another sequence",
        "move to contact 003W: merged",
        record={"merged_into": WINNER, "deleted": True, "enrolled": False, "status": "Finished", "email": "lee@b.co"},
    ),
    row(
        "B12 B9 merged while our own tick is on its way",
        "move to contact 003W: merged",
        record={"merged_into": WINNER, "deleted": True, "enrolled": False},
        box_pending=BoxPending.ON,
    ),
    row(
        "B11 converted with an opportunity",
        "stop, untick: The lead was converted and an opportunity was created. No further email goes out.",
        record={"ref": LEAD, "converted_to": CONTACT, "converted_opportunity": True},
    ),
    row(
        "B11 converted without an opportunity",
        "move to contact 003C: converted",
        record={"ref": LEAD, "converted_to": CONTACT},
    ),
    row(
        "B11 converted, and the sequence always stops on that",
        "stop, untick: The lead was converted. No further email goes out.",
        record={"ref": LEAD, "converted_to": CONTACT},
        sequence={"on_conversion": OnConversion.STOP},
    ),
    row(
        "B11 converted with an opportunity, and the sequence goes on",
        "move to contact 003C: converted",
        record={"ref": LEAD, "converted_to": CONTACT, "converted_opportunity": True},
        sequence={"on_conversion": OnConversion.CONTINUE},
    ),
    row(
        "B11 converted to a contact with a run of its own",
        "stop: The record was merged into 003C, which carries on the history.",
        record={"ref": LEAD, "converted_to": CONTACT},
        moved_to_live_run=True,
    ),
    row(
        "B13 the address became that of somebody in a sequence",
        f"{SAME_ADDRESS} lead 00Q, which is in a sequence already. This run has ended.",
        record={"email": "grace@example.com"},
        twin="lead 00Q",
    ),
    row(
        "B15 the new address is suppressed: that is asked first",
        "stop, untick: This address bounced on 1 Nov 2026. No email goes out to it from any sequence.",
        record={"email": "ada@elsewhere.example"},
        suppression="bounced on 1 Nov 2026",
    ),
    row(
        "B15 the address changed within its domain",
        "readdress to ada.byron@example.com",
        record={"email": "Ada.Byron@Example.com"},
    ),
    row(
        "B15 the address moved to another domain",
        f"{MOVED_AWAY} (elsewhere.example). Untick and tick the box to start anew.",
        record={"email": "ada@elsewhere.example"},
    ),
    row(
        "B15 the address was removed",
        "held: Waiting: missing Email. Fill it in and the email goes out at the next opening.",
        record={"email": ""},
    ),
    row(
        "B15 the address was changed to one that no provider takes",
        "held: Waiting: missing a valid Email. Fill it in and the email goes out at the next opening.",
        record={"email": "ada@-example.com"},
    ),
]


@pytest.mark.parametrize("view", [View.LOOKED, View.PULLED])
@pytest.mark.parametrize(("snapshot", "then"), ENDS)
def test_what_ends_or_moves_a_run_does_so_from_pull_and_last_look(snapshot: Snapshot, then: str, view: View) -> None:
    """P2, B9, B11 to B15, B22: the stop rules, read from the top, whoever saw it first."""
    assert outcome(replace(snapshot, view=view)) == then


# --- what is no reason to end a run --------------------------------------------------------------------------------

GOES_ON = [
    row("nothing happened", SEND),
    row(
        "an opportunity, which this sequence ignores",
        SEND,
        sequence={"on_opportunity": OnOpportunity.IGNORE},
        signals=(signal_of(SignalKind.OPPORTUNITY),),
    ),
    row(
        "B23 delivered, opened and clicked",
        SEND,
        signals=tuple(map(signal_of, (SignalKind.DELIVERED, SignalKind.OPENED, SignalKind.CLICKED))),
    ),
    row("B8 an automatic reply", SEND, signals=(signal_of(SignalKind.AUTO_REPLY),)),
    row("B9 the box is off until our own tick stands", SEND, record={"enrolled": False}, box_pending=BoxPending.ON),
    row(
        "B12 the lookup is another until our own stands",
        SEND,
        record={"sequence_id": "other"},
        box_pending=BoxPending.ON,
    ),
    row(
        "the stop condition is not met",
        SEND,
        record={"stop_field": "Open"},
        sequence={"stop_field": "Status", "stop_values": frozenset({"Qualified"})},
    ),
    row("the stop condition's field is empty", SEND, sequence={"stop_field": "Status", "stop_values": frozenset({""})}),
    row("the address changed its case", SEND, record={"email": " ADA@Example.COM "}),
]


@pytest.mark.parametrize(("snapshot", "then"), GOES_ON)
def test_what_is_no_stop_lets_the_step_go_out(snapshot: Snapshot, then: str) -> None:
    """B8, B9, B23: none of this is a wish not to be mailed."""
    assert outcome(snapshot) == then


@pytest.mark.parametrize("snapshot", [one.values[0] for one in GOES_ON], ids=[one.id for one in GOES_ON])
def test_a_pull_never_sends(snapshot: Snapshot) -> None:
    """P2: what the pull shows may be minutes old, so it ends and pauses runs and nothing else."""
    assert outcome(replace(snapshot, view=View.PULLED)) == NOTHING


@pytest.mark.parametrize("record", [{"enrolled": False}, {"sequence_id": "other"}, {"sequence_id": None}], ids=str)
def test_a_box_that_is_read_again_is_no_news(record: dict[str, Any]) -> None:
    """B9: a pull reads an overlap again, and what it shows may be older than the box we set since."""
    assert outcome(seen(view=View.PULLED, record=ada(**record), reread=True)) == NOTHING


@pytest.mark.parametrize("kind", [SignalKind.REPLY, SignalKind.UNSUBSCRIBE, SignalKind.BOUNCE, SignalKind.MEETING])
def test_a_signal_ends_a_run_whose_record_cannot_be_read(kind: SignalKind) -> None:
    """P2, P4: the CRM may be down, and whoever replied is left alone all the same."""
    assert isinstance(plan(seen(view=View.BLIND, record=None, signals=(signal_of(kind),)), NOW)[0], Stop)


# --- what holds a run ----------------------------------------------------------------------------------------------

ROBO = replace(REP, name="Web Leads", is_person=False)
GONE_REP = replace(REP, active=False)
MUTE_REP = replace(REP, email="")
NEW_REP = Owner(id="006", name="Nora New", email="nora@acme.example", active=True)
OWNER_OR_HOLD = {"sender_policy": SenderPolicy.OWNER_OR_HOLD}
FIXED = {"sender_policy": SenderPolicy.FIXED, "from_address": "team@acme.example"}
CANNOT_SEND = "cannot send. Change the owner or mend the sender, and the email goes out."
IN_DOUBT = "held: Waiting: it is not known whether step 2 of 3 went out. It is being checked."
UNREAD = "held: Waiting: the record could not be read right before sending"
CROWD = "900 people were added within a day, more than 500"
SUSPECT = "40 of 50 people would be stopped at once"
CONFIRM_STOPS = (
    f"held: Waiting for confirmation: {SUSPECT}. Set Confirmed on the sequence to let them stop, or undo the change."
)
APPROVAL = {"steps": steps_with(B={"needs_approval": True})}

HOLDS = [
    row("B1 in doubt", IN_DOUBT, touches=A_SENT | {"B": touched(TouchState.IN_DOUBT, 20.0)}),
    row("B1 on its way since a crash", IN_DOUBT, touches=A_SENT | {"B": touched(TouchState.INTENDED, 20.0)}),
    row(
        "B1 nobody could tell",
        "held: Nobody could tell if step 2 of 3 went out, so a person decides: "
        "whoever runs crmdrip types crmdrip retry.",
        touches=A_SENT | {"B": touched(TouchState.NEEDS_PERSON, 20.0)},
    ),
    row(
        "B4 history is being read back",
        "held: Waiting: history is being read back from the CRM. It goes out once that is done.",
        safe_mode=True,
    ),
    row(
        "B4 the next step may have gone out before the ledger was lost",
        "held: Waiting: history is being read back from the CRM. It goes out once that is done.",
        enrollment=run_of(unproven=True),
    ),
    row(
        "P4 the last look failed",
        f"{UNREAD} (the CRM answers 503). It goes out once it can.",
        view=View.BLIND,
        record=None,
        blind_because="the CRM answers 503.",
    ),
    row(
        "B12 B14 the record is not there, and the pull has not said why",
        "held: Waiting: the record is not there any more. The next pull tells whether it was deleted or merged.",
        record=None,
    ),
    row(
        "the brake is pulled",
        "held: Waiting: the emergency brake is pulled by Ann Admin. Release it and sending goes on.",
        brake=Brake(pulled=True, by="Ann Admin"),
    ),
    row(
        "paused by command",
        "held: Waiting: sending was paused by command. It goes on once whoever runs crmdrip types crmdrip resume.",
        paused=True,
    ),
    row(
        "the sequence is paused",
        "held: Waiting: the sequence is paused. Set it to Live and sending goes on.",
        sequence={"status": SequenceStatus.PAUSED},
    ),
    row(
        "the sequence is a draft again",
        "held: Waiting: the sequence is not Live yet. Set it to Live and the run starts.",
        sequence={"status": SequenceStatus.DRAFT},
    ),
    row(
        "the sequence was deleted or hidden: nobody is stopped for that",
        "held: Waiting: the sequence was deleted or is hidden from the daemon. Restore or share it, or untick the box.",
        sequence=UNREADABLE,
    ),
    row(
        "B10 too many entered, and this one has not begun",
        f"held: Waiting for confirmation: {CROWD}. Set Confirmed on the sequence to go on.",
        enrollment=new_run(),
        touches={},
        suspicion=CROWD,
    ),
    row("B10 too many entered, and this one had begun", SEND, suspicion=CROWD),
    row(
        "B10 one of too many unticked at once",
        CONFIRM_STOPS,
        record={"enrolled": False},
        enrollment=MASS_STOP,
        suspicion=SUSPECT,
    ),
    row("B10 one of too many, ticked again", SEND, enrollment=MASS_STOP, suspicion=SUSPECT),
    row("B10 one of too many, confirmed", UNTICKED, record={"enrolled": False}, enrollment=MASS_STOP),
    row(
        "B10 one of too many, who replied",
        REPLIED,
        record={"enrolled": False},
        enrollment=MASS_STOP,
        suspicion=SUSPECT,
        signals=(signal_of(SignalKind.REPLY),),
    ),
    row(
        "B10 unticked while too many had entered",
        UNTICKED,
        record={"enrolled": False},
        enrollment=new_run(),
        touches={},
        suspicion=CROWD,
    ),
    row(
        "paused by the rep",
        "paused: Paused until 5 Nov 2026, 12:00 (UTC). Clear Paused Until to go on sooner.",
        record={"paused_until": NOW + 2 * DAY},
    ),
    row("the pause is over", SEND, record={"paused_until": NOW}),
    row(
        "the CRM's own sequence has the person",
        "held: Waiting: the person is in a sequence of HubSpot's own. The email goes out once they have left it.",
        record={"elsewhere": "a sequence of HubSpot's own"},
    ),
    row(
        "the step waits for approval",
        "held: Waiting for approval: tick Approved on this record to let step 2 of 3 go out.",
        sequence=APPROVAL,
    ),
    row("the step is approved", SEND, sequence=APPROVAL, record={"approved": True}),
    row(
        "B16 no readable owner",
        f"held: Waiting: this record's owner, whom crmdrip cannot see, {CANNOT_SEND}",
        owner=None,
    ),
    row("B16 the owner is a queue", f"held: Waiting: the queue Web Leads {CANNOT_SEND}", owner=ROBO),
    row("B16 the owner is deactivated", f"held: Waiting: Rita Rep, who is deactivated, {CANNOT_SEND}", owner=GONE_REP),
    row(
        "B16 the owner has no address",
        f"held: Waiting: Rita Rep, who has no email address, {CANNOT_SEND}",
        owner=MUTE_REP,
    ),
    row("B16 a fixed sender needs no owner", SEND, owner=None, sequence=FIXED),
    row("B16 the owner changed, and the sequence follows", SEND, owner=NEW_REP),
    row(
        "B16 the owner changed, and the sequence waits",
        "held: Waiting: the owner changed to Nora New, and this sequence then waits. "
        "Change the owner back, or its Sender.",
        owner=NEW_REP,
        sequence=OWNER_OR_HOLD,
    ),
    row("B16 the owner changed back", SEND, sequence=OWNER_OR_HOLD),
    row(
        "B16 the owner changed before anything went out",
        "send A as 1 of 3",
        owner=NEW_REP,
        enrollment=new_run(),
        touches={},
        sequence=OWNER_OR_HOLD,
    ),
]


@pytest.mark.parametrize(("snapshot", "then"), HOLDS)
def test_what_is_in_the_way_is_said_on_the_record(snapshot: Snapshot, then: str) -> None:
    """P3, P4, B1, B4, B10, B16: the first hold that applies, and what would end it."""
    assert outcome(snapshot) == then


@pytest.mark.parametrize(("snapshot", "then"), HOLDS)
def test_a_pull_tells_of_pauses_at_once_and_of_other_holds_when_the_step_is_due(snapshot: Snapshot, then: str) -> None:
    """P5: most holds concern only what is due, and telling them earlier would write every record for nothing."""
    if snapshot.view is View.LOOKED and snapshot.record is not None:
        found = outcome(replace(snapshot, view=View.PULLED))
        assert found == (then if then.startswith(("paused", "stop")) else NOTHING)


def test_a_record_that_stays_away_was_deleted() -> None:
    """B14: the pull has had an hour to tell of a merge; what it did not mention is gone for good."""
    waiting = seen(record=None, enrollment=run_of(**held_for(HoldReason.RECORD_GONE)))
    assert outcome(waiting) == "stop: The record was deleted. If it is restored, tick the box to start a new run."


def test_a_rebuilt_run_with_no_step_left_needs_no_proof() -> None:
    """B4: only a step that could have gone out must be looked up; a run that is through just ends."""
    all_sent = {name: touched(order=order) for name, order in (("A", 10.0), ("B", 20.0), ("C", 30.0))}
    run = run_of(unproven=True, next_step_id=None, due_at=None, steps_done=3)
    assert outcome(seen(enrollment=run, touches=all_sent)) == "finish"


# --- what is due ---------------------------------------------------------------------------------------------------

C_NEXT = {"next_step_id": "C", "steps_done": 2, "position": 20.0, "last_touch_at": NOW - DAY}
B_SENT = A_SENT | {"B": touched(order=20.0, at=NOW - DAY)}
SATURDAY = {"send_days": frozenset({5})}
EVENING = {"send_from": NOW.time().replace(hour=18), "send_until": NOW.time().replace(hour=20)}
EXPIRES = {"steps": steps_with(B={"expires_after_hours": 24})}

DUE = [
    row("due", SEND),
    row("overdue", SEND, enrollment=run_of(due_at=NOW - 3 * HOUR)),
    row("not due yet", "wait with B until Wed 04 Nov 12:00", enrollment=run_of(due_at=NOW + DAY)),
    row("B18 due in the evening's window", "wait with B until Tue 03 Nov 18:00", sequence=EVENING),
    row("B18 due on a Tuesday, sent on Saturdays", "wait with B until Sat 07 Nov 09:00", sequence=SATURDAY),
    row("B18 the day is a holiday", "wait with B until Wed 04 Nov 09:00", sequence={"holiday_country": "JP"}),
    row("B19 within its expiry", SEND, sequence=EXPIRES, enrollment=run_of(due_at=NOW - DAY)),
    row(
        "B19 past its expiry",
        "skip: Step 2 of 3 was not sent in time and had expired, so it was passed over.",
        sequence=EXPIRES,
        enrollment=run_of(due_at=NOW - DAY - HOUR),
    ),
    row(
        "B19 past its expiry, and the window is closed",
        "skip: Step 2 of 3 was not sent in time and had expired, so it was passed over.",
        sequence=EXPIRES | EVENING,
        enrollment=run_of(due_at=NOW - DAY - HOUR),
    ),
    row("the provider refused it for now", SEND, touches=A_SENT | {"B": touched(TouchState.REFUSED, 20.0)}),
    row(
        "every step was taken",
        "finish",
        touches=B_SENT | {"C": touched(order=30.0)},
        enrollment=run_of(**(C_NEXT | {"steps_done": 3})),
    ),
    row(
        "B17 the step was removed",
        "skip: Step 2 of 2 was removed from the sequence, so it was passed over.",
        sequence={"steps": tuple(step for step in steps_with() if step.id != "B")},
    ),
    row(
        "B17 the last step was removed",
        "skip: Step 3 of 3 was removed from the sequence, so it was passed over.",
        sequence={"steps": tuple(step for step in steps_with() if step.id != "C")},
        touches=B_SENT,
        enrollment=run_of(**C_NEXT),
    ),
    row(
        "B17 the step was switched off",
        "skip: Step 2 of 3 is switched off, so it was passed over.",
        sequence={"steps": steps_with(B={"active": False})},
    ),
    row(
        "B17 the step was switched off and moved to the end: what is next comes first",
        "wait with C until Thu 05 Nov 12:00",
        sequence={"steps": steps_with(B={"active": False, "order": 40.0})},
    ),
    row(
        "B17 the step moved to the end",
        "wait with C until Thu 05 Nov 12:00",
        sequence={"steps": steps_with(B={"order": 40.0})},
    ),
    row(
        "B17 the step moved before the one that was sent",
        "send B as 1 of 3",
        sequence={"steps": steps_with(B={"order": 5.0})},
    ),
    row(
        "B17 the step that was sent moved to the end",
        "send B as 1 of 3",
        sequence={"steps": steps_with(A={"order": 40.0})},
    ),
    row(
        "B17 a step was put before the person's position",
        "send B as 3 of 4",
        sequence={"steps": (make_step(0, id="N", order=5.0), *steps_with())},
    ),
    row(
        "B17 a step was put before the next one",
        "send N as 2 of 4",
        sequence={"steps": (steps_with()[0], make_step(1, id="N", order=15.0), *steps_with()[1:])},
    ),
    row("B17 the delay was changed after the step was planned", SEND, sequence={"steps": steps_with(B={"delay": 9})}),
]


@pytest.mark.parametrize(("snapshot", "then"), DUE)
def test_what_is_due_is_sent_passed_over_awaited_or_the_end(snapshot: Snapshot, then: str) -> None:
    """B17, B18, B19: with nothing in the way, the next step decides."""
    assert outcome(snapshot) == then


@pytest.mark.parametrize("then", [HOLDS, DUE, ENDS, GOES_ON], ids=["holds", "due", "ends", "goes on"])
def test_a_last_look_always_decides_one_thing(then: list[Any]) -> None:
    """P3: no due touch is passed over in silence."""
    assert all(len(plan(one.values[0], NOW)) == 1 for one in then)


def test_a_wait_keeps_the_time_from_which_lateness_counts() -> None:
    """B19: a window that is closed now does not make an overdue step look new."""
    decision = plan(seen(sequence=sequence_of(**EVENING), enrollment=run_of(due_at=NOW - HOUR)), NOW)[0]
    assert isinstance(decision, Wait)
    assert (decision.due_at, decision.opens_at) == (NOW - HOUR, NOW + 6 * HOUR)


def test_a_step_planned_anew_keeps_the_gap_to_the_last_touch() -> None:
    """B17, B19: a step put in front is due at once, and still never on the day of the touch before."""
    steps = (steps_with()[0], make_step(0, id="N", order=15.0), *steps_with()[1:])
    run = run_of(last_touch_at=NOW - HOUR)
    decision = plan(seen(sequence=sequence_of(steps=steps), enrollment=run), NOW)[0]
    assert isinstance(decision, Wait)
    assert decision.step.id == "N"
    assert decision.opens_at == NOW + 21 * HOUR


@pytest.mark.parametrize("status", [SequenceStatus.PAUSED, SequenceStatus.DRAFT])
def test_a_sequence_that_an_error_keeps_from_being_live_says_so(status: SequenceStatus) -> None:
    """B17, P3: setting it to Live alone would not help."""
    sequence = sequence_of(status=status)
    decision = plan(seen(sequence=sequence, sequence_error="Step 2 has no Body."), NOW)[0]
    assert isinstance(decision, Hold)
    assert "Step 2 has no Body" in decision.reason.sentence
