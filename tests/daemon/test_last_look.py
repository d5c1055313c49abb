"""Right before an email everything is looked at once more; what cannot be looked at waits (B5, B24 to B26, B29)."""

from __future__ import annotations

import tomllib
from datetime import timedelta

import pytest
from stage import MONDAY, Stage

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.model import RunStatus
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.ledger import marks
from crmdrip.sandbox.salesforce.trouble import TROUBLES

SECOND = MONDAY + timedelta(days=2)
"""When the second email is due."""
ANN = "ann@acme.example"


@pytest.fixture
def contact(stage: Stage) -> str:
    """A contact whose second email is due in a minute; everything before is written back."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.at(SECOND - timedelta(minutes=1))
    stage.turn()
    return contact


def dispatch(stage: Stage) -> None:
    """Only the dispatcher, at the second email's time: no pull has been made since what happened."""
    stage.at(SECOND)
    passes.dispatch(stage.parts)


def test_a_reply_minutes_before_a_due_send_stops_it(stage: Stage, contact: str) -> None:
    """B5, P2: no pull has seen the reply; the last look does."""
    stage.do(stage.sandbox.world.actions.reply, ANN, "Not now", to=stage.sent()[0])
    dispatch(stage)
    assert len(stage.sent()) == 1
    passes.write_back(stage.parts)
    status, reason = stage.shown(contact)
    assert status == RunStatus.STOPPED
    assert "replied" in reason
    assert stage.record(contact)["Drip_Replied_At__c"] is not None


def test_a_meeting_booked_a_moment_ago_stops_it(stage: Stage, contact: str) -> None:
    """B5, P2: events come with the last look."""
    stage.do(stage.sandbox.world.actions.book_meeting, contact)
    dispatch(stage)
    assert len(stage.sent()) == 1
    assert stage.run(contact).reason == "stop.meeting"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Drip_Enrolled__c": False}, "stop.unticked"),
        ({"HasOptedOutOfEmail": True}, "stop.opted_out"),
        ({"EmailBouncedReason": "550 gone", "EmailBouncedDate": MONDAY}, "stop.bounced"),
    ],
)
def test_a_change_of_the_record_a_moment_ago_stops_it(stage: Stage, contact: str, change: dict, reason: str) -> None:
    """B5, P2: the record is read by id right before the send."""
    stage.do(stage.sandbox.org.update, contact, change)
    dispatch(stage)
    assert len(stage.sent()) == 1
    assert stage.run(contact).reason == reason


def test_a_record_deleted_a_moment_ago_gets_nothing(stage: Stage, contact: str) -> None:
    """B14, P2: a record that is not there is not mailed; the pull tells what became of it."""
    stage.do(stage.sandbox.org.delete, contact)
    dispatch(stage)
    assert len(stage.sent()) == 1
    stage.turn()
    assert stage.run(contact).reason == "stop.deleted"


def test_the_brake_pulled_a_moment_ago_holds_everything(stage: Stage, contact: str) -> None:
    """P2: the control record is read with the last look; released, the email goes out by itself."""
    control = stage.do(stage.sandbox.org.select, "SELECT Id FROM Drip_Control__c")[0]["Id"]
    stage.change(control, Drip_Brake__c=True)
    dispatch(stage)
    assert len(stage.sent()) == 1
    stage.turn()
    assert "emergency brake" in stage.shown(contact)[1]
    stage.later(hours=1)
    stage.change(control, Drip_Brake__c=False)
    stage.turn()
    assert len(stage.sent()) == 2


def test_a_reply_between_the_tick_and_its_pull_stops_before_the_first_email(stage: Stage) -> None:
    """P2: the run counts from the tick, not from when the daemon heard of it."""
    contact = stage.contact(ANN)
    stage.turn()
    stage.tick(contact, stage.sequence())
    stage.later(minutes=2)
    stage.do(stage.sandbox.world.actions.reply, ANN, "Hello", to=None)
    stage.later(minutes=2)
    stage.turn()
    assert stage.sent() == []
    assert stage.run(contact).reason == "stop.replied"


def test_without_a_last_look_the_email_waits_and_goes_out_by_itself(stage: Stage, contact: str) -> None:
    """P4: the CRM is down for an hour; the record says why, and later the email goes."""
    stage.fail_crm(replace(TROUBLES["unavailable"], times=None))
    stage.at(SECOND + timedelta(minutes=20))
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1
    run = stage.run(contact)
    assert (run.status, run.reason) == (RunStatus.HELD, "hold.no_last_look")
    stage.mend()
    passes.write_back(stage.parts)
    assert "could not be read right before sending" in stage.shown(contact)[1]
    stage.later(minutes=2)
    stage.turn()
    assert len(stage.sent()) == 2


def test_a_short_absence_of_the_crm_costs_it_no_write(stage: Stage, contact: str) -> None:
    """P5: a wait of seconds is not called a hold."""
    stage.fail_crm(replace(TROUBLES["unavailable"], times=None))
    dispatch(stage)
    assert [write.key for write in stage.owed()] == []
    stage.mend()
    stage.later(minutes=2)
    stage.turn()
    assert len(stage.sent()) == 2


@pytest.mark.parametrize("trouble", ["too_many_requests", "limit_exceeded", "cut"])
def test_every_way_of_not_answering_holds(stage: Stage, contact: str, trouble: str) -> None:
    """P4, B20: quota gone, told to wait, or no connection: never an email without a look."""
    stage.fail_crm(replace(TROUBLES[trouble], times=None))
    dispatch(stage)
    assert len(stage.sent()) == 1
    assert stage.run(contact).status.live


def test_owners_that_cannot_be_read_hold_as_well(stage: Stage, contact: str) -> None:
    """P4: who it is from belongs to the look."""

    def refuse(request):
        asks_for_users = b"sobjects/User" in request.body or b"FROM User" in request.body
        return replace(TROUBLES["unavailable"], times=None) if asks_for_users else None

    stage.restart()
    stage.do(lambda: setattr(stage.sandbox.org.faults, "predicate", refuse))
    dispatch(stage)
    assert len(stage.sent()) == 1
    stage.mend()
    stage.later(minutes=2)
    stage.turn()
    assert len(stage.sent()) == 2


# --- fields (B24, B26) --------------------------------------------------------------------------------------------


def test_an_empty_field_holds_that_person_and_goes_out_once_it_is_filled(stage: Stage) -> None:
    """B24: held with the field's name; filling it in is all that is needed."""
    sequence = stage.sequence({"Drip_Delay__c": 0, "Drip_Body__c": "As {{ contact.title }} you know."})
    empty, filled = stage.contact("a@acme.example"), stage.contact("b@acme.example", Title="CEO")
    stage.tick(empty, sequence)
    stage.tick(filled, sequence)
    stage.turn()
    assert [email.to for email in stage.sent()] == ["b@acme.example"]
    status, reason = stage.shown(empty)
    assert status == RunStatus.HELD
    assert "missing Title" in reason
    stage.later(minutes=10)
    stage.change(empty, Title="CTO")
    stage.turn()
    assert len(stage.sent()) == 2


def test_a_misspelled_field_holds_its_own_step_and_nobody_elses(stage: Stage) -> None:
    """B24: one template's typo is no reason not to look at the others."""
    typo = stage.sequence({"Drip_Delay__c": 0, "Drip_Body__c": "As {{ contact.titel }} you know."})
    right = stage.sequence()
    wrong, good = stage.contact("a@acme.example"), stage.contact("b@acme.example")
    stage.tick(wrong, typo)
    stage.tick(good, right)
    stage.turn()
    assert [email.to for email in stage.sent()] == ["b@acme.example"]
    assert "its step asks for titel, which is no field that can be seen" in stage.shown(wrong)[1]


def test_a_field_that_is_empty_beside_a_misspelled_one_is_not_what_the_rep_is_asked_for(stage: Stage) -> None:
    """B24: nobody can fill in what the template misspells; once it is corrected the empty field is named."""
    sequence = stage.sequence({"Drip_Delay__c": 0, "Drip_Body__c": "{{ contact.titel }} or {{ contact.title }}"})
    person = stage.contact(ANN, Title="")
    stage.tick(person, sequence)
    stage.turn()
    assert "asks for titel" in stage.shown(person)[1]
    rows = stage.sandbox.org.select("SELECT Id, Drip_Sequence__c FROM Drip_Step__c")
    step = next(row["Id"] for row in rows if row["Drip_Sequence__c"] == sequence)
    stage.change(step, Drip_Body__c="{{ contact.title }}")
    stage.later(minutes=10)
    stage.turn()
    assert "missing Title" in stage.shown(person)[1]


def test_a_misspelled_field_with_a_fallback_goes_out_with_it(stage: Stage) -> None:
    """B24: the declared fallback stands in for whatever is missing."""
    body = 'Hi {{ contact.frist_name | default: "there" }}.'
    stage.tick(stage.contact(ANN), stage.sequence({"Drip_Delay__c": 0, "Drip_Body__c": body}))
    stage.turn()
    assert "Hi there." in stage.sent()[0].text


def test_a_hidden_opt_out_field_refuses_to_send_and_says_what_to_grant(stage: Stage, contact: str) -> None:
    """B26, P4: the record names the permission, and once it is granted the email goes out by itself."""
    stage.do(stage.sandbox.org.hide_field, "Contact", "HasOptedOutOfEmail")
    dispatch(stage)
    assert len(stage.sent()) == 1
    passes.write_back(stage.parts)
    status, reason = stage.shown(contact)
    assert status == RunStatus.HELD
    assert "opt-out field is hidden" in reason
    assert "permission set Drip Integration" in reason
    stage.do(stage.sandbox.org.show_field, "Contact", "HasOptedOutOfEmail")
    stage.later(minutes=5)
    stage.turn()
    assert len(stage.sent()) == 2


def test_an_opt_out_field_that_is_hidden_at_the_start_is_told_to_those_who_are_due(stage: Stage, contact: str) -> None:
    """B26, P3: nothing is prepared, and their records name the permission all the same."""
    stage.do(stage.sandbox.org.hide_field, "Contact", "HasOptedOutOfEmail")
    stage.at(SECOND)
    stage.start()
    with pytest.raises(ConfigurationError, match="opt-out field is hidden"):
        passes.prepare(stage.parts)
    status, reason = stage.shown(contact)
    assert (status, len(stage.sent())) == (RunStatus.HELD, 1)
    assert "permission set Drip Integration" in reason
    stage.do(stage.sandbox.org.show_field, "Contact", "HasOptedOutOfEmail")
    stage.later(minutes=5)
    passes.prepare(stage.parts)
    stage.turn()
    assert len(stage.sent()) == 2


def test_a_held_run_costs_the_crm_nothing_while_nothing_changes(stage: Stage) -> None:
    """P5: a hold is written once, and our own write's echo does not begin it anew."""
    sequence = stage.sequence({"Drip_Delay__c": 0, "Drip_Body__c": "As {{ contact.title }} you know."})
    empty = stage.contact("a@acme.example")
    stage.tick(empty, sequence)
    stage.turn()
    stage.later(minutes=15)
    stage.turn()
    written = stage.record(empty)["SystemModstamp"]
    looked = 0
    for _ in range(6):
        stage.later(minutes=15)
        looked += stage.turn()["dispatch"]["looked"]
    assert stage.record(empty)["SystemModstamp"] == written
    assert looked == 0


# --- the clock (B29) and the org (B25) ----------------------------------------------------------------------------


def test_a_clock_that_jumps_ahead_sends_nothing_early(stage: Stage) -> None:
    """B29: this machine believes it is Wednesday; the CRM's clock counts."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.clock.ahead = timedelta(days=3)
    for _ in range(3):
        stage.turn()
        stage.later(minutes=10)
    assert len(stage.sent()) == 1
    stage.clock.ahead = timedelta()
    stage.play(SECOND + timedelta(hours=1), step=timedelta(hours=8))
    assert len(stage.sent()) == 2
    assert stage.sent()[1].at >= SECOND


def test_a_clock_that_jumps_back_sends_nothing_twice(stage: Stage) -> None:
    """B29, P1: what went out stays known; the rest goes out at its time once the clock is right."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.clock.ahead = timedelta(days=-2)
    for _ in range(3):
        stage.turn()
        stage.later(hours=8)
    assert len(stage.sent()) == 1
    stage.clock.ahead = timedelta()
    stage.play(MONDAY + timedelta(days=8), step=timedelta(hours=12))
    assert len(stage.sent()) == 3
    assert stage.twice() == {}


def test_a_reply_counts_although_our_clock_was_ahead_when_the_run_began(stage: Stage) -> None:
    """B29, P2: the run's beginning is the CRM's time of the tick."""
    stage.clock.ahead = timedelta(days=1)
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.clock.ahead = timedelta()
    stage.later(hours=1)
    stage.do(stage.sandbox.world.actions.reply, ANN, "Hello", to=None)
    stage.turn()
    assert stage.run(contact).reason == "stop.replied"


def test_another_org_is_refused(stage: Stage) -> None:
    """B25: a copy of production has another id than the one this ledger was begun with."""
    with stage.parts.ledger.write() as connection:
        marks.set_mark(connection, marks.ORG, "00D000000000000AAA")
    with pytest.raises(ConfigurationError, match="Nothing is sent"):
        stage.start()


def test_the_example_configuration_is_what_these_tests_run(stage: Stage) -> None:
    """The stage changes nothing of it but the addresses of the stand-ins."""
    known = tomllib.loads((stage.folder / "config.toml").read_text())
    assert known["crm"]["salesforce"]["base_url"] == stage.sandbox.salesforce_url
