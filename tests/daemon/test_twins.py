"""Several records of one human: one run, and a stop on either that holds for all (B11, B12, B13, B22)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from stage import MONDAY, Stage

from crmdrip.core.model import RunStatus
from crmdrip.daemon import passes

ANN = "ann@acme.example"
AGAIN = {"Drip_Re_Enrollment__c": "After Days", "Drip_Re_Enroll_After_Days__c": 0}


def pair(stage: Stage) -> tuple[str, str]:
    """A contact and a lead of one address."""
    return stage.contact(ANN), stage.lead(ANN)


def test_of_two_records_of_one_address_the_second_is_refused(stage: Stage) -> None:
    """B13: one run per address, and the other record says whose."""
    contact, lead = pair(stage)
    sequence = stage.sequence()
    stage.tick(contact, sequence)
    stage.tick(lead, sequence)
    stage.turn()
    assert len(stage.sent()) == 1
    refused = [one for one in (contact, lead) if stage.shown(one)[0] == RunStatus.REFUSED]
    assert len(refused) == 1
    assert "same address as" in stage.shown(refused[0])[1]
    assert not stage.record(refused[0])["Drip_Enrolled__c"]


def test_an_address_is_the_same_however_it_is_written(stage: Stage) -> None:
    """B13: case and space make no other person."""
    sequence = stage.sequence()
    stage.tick(stage.contact("Ann@Acme.Example"), sequence)
    stage.turn()
    lead = stage.lead("ann@acme.example")
    stage.later(minutes=5)
    stage.tick(lead, sequence)
    stage.turn()
    assert len(stage.sent()) == 1
    assert stage.shown(lead)[0] == RunStatus.REFUSED


def test_an_opt_out_is_written_to_a_twin_that_never_was_in_a_sequence(stage: Stage) -> None:
    """B13, B22: the box of the other record is ticked as well."""
    contact, lead = pair(stage)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, HasOptedOutOfEmail=True)
    stage.turn()
    assert stage.record(lead)["HasOptedOutOfEmail"]
    assert stage.shown(contact)[0] == RunStatus.STOPPED


def test_an_opt_out_on_a_twin_stops_the_run(stage: Stage) -> None:
    """B13, P2: the lead was never enrolled; its opt-out speaks for the contact."""
    contact, lead = pair(stage)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.change(lead, HasOptedOutOfEmail=True)
    stage.turn()
    assert stage.shown(contact)[0] == RunStatus.STOPPED
    stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=12))
    assert len(stage.sent()) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"HasOptedOutOfEmail": True}, "opted out"),
        ({"EmailBouncedReason": "550 unknown", "EmailBouncedDate": MONDAY}, "bounced"),
    ],
)
def test_a_twin_that_opted_out_or_bounced_long_ago_keeps_everybody_out(stage: Stage, fields: dict, said: str) -> None:
    """B13: nobody told the daemon of it, so it asks for every record of the address when somebody enters."""
    lead = stage.lead(ANN)
    stage.do(stage.sandbox.org.update, lead, fields, by=stage.sandbox.org.integration_user_id)
    stage.at(MONDAY + timedelta(days=1))
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    status, reason = stage.shown(contact)
    assert status == RunStatus.REFUSED
    assert said in reason
    assert stage.sent() == []


def test_an_opt_out_is_told_once_and_not_again_at_every_pass(stage: Stage) -> None:
    """P5: our own write of the opt-out comes back with the next pull and causes nothing."""
    contact, lead = pair(stage)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.change(contact, HasOptedOutOfEmail=True)
    stage.play(MONDAY + timedelta(minutes=30), step=timedelta(minutes=10))
    assert stage.record(lead)["HasOptedOutOfEmail"]
    before = stage.record(contact)["SystemModstamp"], stage.record(lead)["SystemModstamp"]
    stage.play(MONDAY + timedelta(minutes=90), step=timedelta(minutes=10))
    assert (stage.record(contact)["SystemModstamp"], stage.record(lead)["SystemModstamp"]) == before


def test_an_opt_out_that_an_admin_cleared_lets_the_person_in_again(stage: Stage) -> None:
    """B22: the CRM's box is the CRM's: cleared on every record of the address, a new tick starts a new run."""
    contact, lead = pair(stage)
    sequence = stage.sequence(**AGAIN)
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(hours=1)
    stage.change(contact, HasOptedOutOfEmail=True)
    stage.turn()
    stage.later(hours=1)
    for one in (contact, lead):
        stage.change(one, HasOptedOutOfEmail=False)
    stage.turn()
    stage.later(hours=1)
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(days=1)
    stage.turn()
    assert len(stage.sent()) == 2
    assert stage.run(contact).run == 2


def test_an_opt_out_that_comes_back_on_the_twin_stops_again(stage: Stage) -> None:
    """B13, P2: cleared and set once more, it is heard once more."""
    contact, lead = pair(stage)
    sequence = stage.sequence(**AGAIN)
    stage.change(lead, HasOptedOutOfEmail=True)
    stage.turn()
    stage.later(hours=1)
    for one in (contact, lead):
        stage.change(one, HasOptedOutOfEmail=False)
    stage.turn()
    stage.later(minutes=10)
    stage.tick(contact, sequence)
    stage.turn()
    assert len(stage.sent()) == 1
    stage.later(hours=1)
    stage.change(lead, HasOptedOutOfEmail=True)
    stage.turn()
    assert stage.shown(contact)[0] == RunStatus.STOPPED


def test_an_unsubscribe_stays_although_the_box_was_cleared(stage: Stage) -> None:
    """B22: what the person said to the provider is not taken back by an admin's click."""
    contact = stage.contact(ANN)
    sequence = stage.sequence(**AGAIN)
    stage.tick(contact, sequence)
    stage.turn()
    stage.later(hours=1)
    stage.do(stage.sandbox.account.suppressions.add, "unsubscribes", ANN)
    stage.turn()
    assert stage.record(contact)["HasOptedOutOfEmail"]
    assert stage.shown(contact)[0] == RunStatus.STOPPED
    stage.later(hours=1)
    stage.change(contact, HasOptedOutOfEmail=False)
    stage.tick(contact, sequence)
    stage.turn()
    status, reason = stage.shown(contact)
    assert status == RunStatus.REFUSED
    assert "unsubscribed on" in reason
    assert len(stage.sent()) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("spam_reports", "spam"),
        ("bounces", "does not accept mail"),
        ("invalid_emails", "does not accept mail"),
        ("unsubscribes", "unsubscribed"),
    ],
)
def test_what_the_provider_suppresses_stops_the_run(stage: Stage, name: str, reason: str) -> None:
    """B22, P2: whatever no event told comes with the provider's lists, which are read every hour."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.do(
        stage.sandbox.account.suppressions.add,
        name,
        ANN,
        **({"ip": "127.0.0.1"} if name == "spam_reports" else {"reason": "550 unknown", "status": "5.1.1"}),
    )
    stage.turn()
    assert stage.shown(contact)[0] == RunStatus.STOPPED
    assert reason in stage.shown(contact)[1]


def test_a_block_on_the_provider_s_list_stops_nobody(stage: Stage) -> None:
    """B22, B23: one email was refused, and the next may arrive; read again with every overlap, it stays so."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.do(stage.sandbox.account.suppressions.add, "blocks", ANN, reason="452 mailbox full")
    stage.play(stage.now + timedelta(days=3), step=timedelta(hours=6))
    assert stage.run(contact).status.live
    assert len(stage.sent(ANN)) == 2


def test_a_merge_follows_the_winner(stage: Stage) -> None:
    """B12: the winner was in no sequence; it goes on with the loser's second step, and its box is on."""
    winner, loser = stage.contact("ann@acme.example"), stage.contact("ann@acme.example")
    stage.tick(loser, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.do(stage.sandbox.org.merge, winner, [loser])
    stage.turn()
    assert stage.record(winner)["Drip_Enrolled__c"]
    assert stage.run(winner).steps_done == 1
    stage.play(MONDAY + timedelta(days=8), step=timedelta(hours=12))
    assert len(stage.sent()) == 3
    assert stage.shown(winner)[0] == RunStatus.FINISHED


def test_a_step_sent_to_either_twin_counts_after_the_merge(stage: Stage) -> None:
    """B12: both were in the sequence under other addresses; the winner does not get the loser's step again."""
    sequence = stage.sequence()
    loser = stage.contact("ann.lee@acme.example")
    stage.tick(loser, sequence)
    stage.turn()
    stage.at(MONDAY + timedelta(days=1))
    winner = stage.contact("ann@acme.example")
    stage.tick(winner, sequence)
    passes.pull(stage.parts)
    stage.do(stage.sandbox.org.merge, winner, [loser])
    stage.turn()
    assert [email.to for email in stage.sent()] == ["ann.lee@acme.example"]
    stage.play(MONDAY + timedelta(days=9), step=timedelta(hours=12))
    assert [email.to for email in stage.sent()] == ["ann.lee@acme.example", "ann@acme.example", "ann@acme.example"]


def test_a_stop_on_either_twin_wins_after_the_merge(stage: Stage) -> None:
    """B12, P2: the loser had replied; the winner's run in the same sequence ends too."""
    sequence = stage.sequence()
    loser, winner = stage.contact("ann.lee@acme.example"), stage.contact("ann@acme.example")
    stage.tick(loser, sequence)
    stage.tick(winner, sequence)
    stage.turn()
    stage.later(hours=1)
    first = stage.sent("ann.lee@acme.example")[0]
    stage.do(stage.sandbox.world.actions.reply, "ann.lee@acme.example", "No", to=first)
    stage.turn()
    stage.later(hours=1)
    stage.do(stage.sandbox.org.merge, winner, [loser])
    stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=12))
    assert stage.shown(winner)[0] == RunStatus.STOPPED
    assert len(stage.sent()) == 2


def test_a_paused_record_into_which_somebody_who_replied_is_merged_says_so(stage: Stage) -> None:
    """B12, P3: its run ends by the reply, and not by the box that the daemon itself took off."""
    sequence = stage.sequence()
    loser, winner = stage.contact("ann.lee@acme.example"), stage.contact("ann@acme.example")
    stage.tick(loser, sequence)
    stage.tick(winner, sequence)
    stage.turn()
    stage.change(winner, Drip_Paused_Until__c=(stage.now + timedelta(days=9)).isoformat())
    stage.turn()
    assert stage.shown(winner)[0] == RunStatus.PAUSED
    first = stage.sent("ann.lee@acme.example")[0]
    stage.do(stage.sandbox.world.actions.reply, "ann.lee@acme.example", "No", to=first)
    stage.turn()
    stage.later(hours=1)
    stage.do(stage.sandbox.org.merge, winner, [loser])
    for _ in range(3):
        stage.turn()
        stage.later(hours=1)
    status, reason = stage.shown(winner)
    assert status == RunStatus.STOPPED
    assert reason.startswith("Another record of the same person was stopped before the merge (the person replied on ")
    assert not stage.record(winner)["Drip_Enrolled__c"]


def test_of_two_runs_that_are_merged_into_a_third_record_one_goes_on(stage: Stage) -> None:
    """B12: three duplicates at once, as Salesforce merges them; a step that either had counts, and the box stays on."""
    sequence = stage.sequence()
    winner, late, early = (stage.contact(f"{name}@acme.example") for name in ("ann", "alee", "ann.lee"))
    stage.tick(early, sequence)
    stage.turn()
    stage.at(MONDAY + timedelta(days=1))
    stage.tick(late, sequence)
    stage.play(MONDAY + timedelta(days=2, hours=2), step=timedelta(hours=6))
    assert len(stage.sent()) == 3
    stage.do(stage.sandbox.org.merge, winner, [late, early])
    stage.play(MONDAY + timedelta(days=9), step=timedelta(hours=12))
    assert [email.to for email in stage.sent()[3:]] == ["ann@acme.example"]
    assert stage.shown(winner)[0] == RunStatus.FINISHED


def test_a_stop_on_either_twin_wins_although_the_merge_changes_the_address(stage: Stage) -> None:
    """B12, B15, P2, P3: what the new address causes does not revive the run, and the record says why it ended."""
    sequence = stage.sequence()
    loser, winner = stage.contact("ann.lee@other.example"), stage.contact("ann@acme.example")
    stage.tick(loser, sequence)
    stage.tick(winner, sequence)
    stage.turn()
    stage.later(hours=1)
    first = stage.sent("ann.lee@other.example")[0]
    stage.do(stage.sandbox.world.actions.reply, "ann.lee@other.example", "No", to=first)
    stage.turn()
    stage.at(MONDAY + timedelta(days=2, hours=1))
    stage.do(stage.sandbox.org.merge, winner, [loser])
    stage.change(winner, Email="annie@acme.example")
    stage.turn()
    assert len(stage.sent()) == 2
    assert stage.shown(winner)[1].startswith("Another record of the same person was stopped")


def test_a_box_that_a_rep_unticked_stays_off_when_a_twin_is_merged_into_the_record(stage: Stage) -> None:
    """B9, B12, P2: the loser's box was on all the while; nobody is mailed whose own box somebody unticked."""
    sequence = stage.sequence()
    winner, loser = stage.contact("ann@acme.example"), stage.contact("ann.lee@acme.example")
    for record in (winner, loser):
        stage.tick(record, sequence)
    stage.turn()
    stage.do(stage.sandbox.world.actions.untick, winner)
    stage.turn()
    before = len(stage.sent())
    stage.do(stage.sandbox.org.merge, winner, [loser])
    stage.play(MONDAY + timedelta(days=8), step=timedelta(hours=12))
    assert len(stage.sent()) == before
    assert not stage.record(winner)["Drip_Enrolled__c"]
    assert stage.shown(winner)[0] == RunStatus.STOPPED


def test_a_box_unticked_and_merged_before_anybody_looked_ends_the_run(stage: Stage) -> None:
    """B9, B12, P2: the run is not carried over to the winner, whose record says why."""
    winner, loser = stage.contact("ann@acme.example"), stage.contact("ann.lee@acme.example")
    stage.tick(loser, stage.sequence())
    stage.turn()
    stage.do(stage.sandbox.world.actions.untick, loser)
    stage.do(stage.sandbox.org.merge, winner, [loser])
    stage.play(MONDAY + timedelta(days=8), step=timedelta(hours=12))
    assert len(stage.sent()) == 1
    assert not stage.record(winner)["Drip_Enrolled__c"]
    assert stage.shown(winner)[1].startswith("The box was unticked.")


def test_a_converted_lead_goes_on_as_the_contact(stage: Stage) -> None:
    """B11: run and thread move to the contact, and nothing is written to the lead any more."""
    lead = stage.lead(ANN)
    stage.tick(lead, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    contact = stage.do(stage.sandbox.org.convert, lead).contact_id
    converted = stage.record(lead)["SystemModstamp"]
    stage.play(MONDAY + timedelta(days=8), step=timedelta(hours=12))
    assert stage.shown(contact)[0] == RunStatus.FINISHED
    assert len(stage.sent()) == 3
    assert stage.record(lead)["SystemModstamp"] == converted


def test_of_two_leads_that_the_last_look_finds_converted_to_one_contact_one_goes_on(stage: Stage) -> None:
    """B11, B12: both are due in one batch, and no pull has told of it yet; the contact's box stays on."""
    sequence = stage.sequence()
    leads = [stage.lead(f"{name}@acme.example") for name in ("ann.lee", "alee")]
    for lead in leads:
        stage.tick(lead, sequence)
    stage.turn()
    stage.at(MONDAY + timedelta(days=2, hours=1))
    contact = stage.contact(ANN)
    for lead in leads:
        stage.do(stage.sandbox.org.convert, lead, contact_id=contact)
    passes.dispatch(stage.parts)
    stage.play(MONDAY + timedelta(days=9), step=timedelta(hours=12))
    assert [email.to for email in stage.sent()[2:]] == [ANN, ANN]
    assert stage.shown(contact)[0] == RunStatus.FINISHED


def test_a_conversion_with_an_opportunity_stops(stage: Stage) -> None:
    """B11: the contact tells of it, its copied box is off, and no new run begins there."""
    lead = stage.lead(ANN)
    stage.tick(lead, stage.sequence(**AGAIN))
    stage.turn()
    stage.later(hours=1)
    contact = stage.do(stage.sandbox.org.convert, lead, opportunity_name="Pilot").contact_id
    converted = stage.record(lead)["SystemModstamp"]
    stage.play(MONDAY + timedelta(days=3), step=timedelta(hours=12))
    status, reason = stage.shown(contact)
    assert status == RunStatus.STOPPED
    assert "opportunity" in reason
    assert not stage.record(contact)["Drip_Enrolled__c"]
    assert len(stage.sent()) == 1
    assert stage.record(lead)["SystemModstamp"] == converted


def test_a_meeting_on_a_twin_stops_the_run(stage: Stage) -> None:
    """B13, P2: the lead was never enrolled; whoever met somebody met the same human."""
    contact, lead = pair(stage)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.do(stage.sandbox.world.actions.book_meeting, lead)
    stage.at(MONDAY + timedelta(days=2, hours=1))
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1
    passes.write_back(stage.parts)
    assert "meeting" in stage.shown(contact)[1]


def test_a_meeting_on_a_twin_that_comes_with_the_first_news_of_both_stops_the_run(stage: Stage) -> None:
    """B13, P2: nothing was pulled between the tick and the meeting."""
    contact, lead = pair(stage)
    stage.tick(contact, stage.sequence())
    stage.later(hours=1)
    stage.do(stage.sandbox.world.actions.book_meeting, lead)
    stage.turn()
    assert stage.sent() == []
    assert "meeting" in stage.shown(contact)[1]


def test_an_opportunity_with_a_twin_stops_the_run(stage: Stage) -> None:
    """B13, P2: it was opened with another contact of the same address."""
    contact, other = stage.contact(), stage.contact()
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(hours=1)
    stage.do(stage.sandbox.world.actions.open_opportunity, other)
    stage.turn()
    assert stage.shown(contact)[0] == RunStatus.STOPPED


def test_a_twin_that_was_only_seen_at_the_entrance_can_be_ticked_later(stage: Stage) -> None:
    """B9, B13, P3: that its address is remembered makes its box no old news."""
    contact, lead = pair(stage)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.tick(lead, stage.sequence())
    stage.turn()
    assert stage.shown(lead)[0] == RunStatus.REFUSED
