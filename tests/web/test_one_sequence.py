"""Leaving one sequence: offered by its public name, kept on the record, and nothing more than was asked (B22, P2)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from open_door import KEY, Answer, OpenDoor
from stage import Stage

from crmdrip.core.keys import person_key
from crmdrip.core.model import RunStatus
from crmdrip.core.tokens import UnsubscribeTokens
from crmdrip.core.unsubscribing import LEFT
from crmdrip.daemon import passes
from crmdrip.ledger import people, suppressions

ANN = "ann@acme.example"
NEWS = "News & <views>"
ONLY = b"scope=sequence"


@pytest.fixture
def news(stage: Stage) -> str:
    """A sequence that may be left alone, and that runs again for whoever went through it."""
    return stage.sequence(Drip_Public_Name__c=NEWS, Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=0)


@pytest.fixture
def ann(stage: Stage, news: str) -> str:
    """A contact who has got her first email of it."""
    contact = stage.contact(ANN)
    stage.tick(contact, news)
    stage.turn()
    assert stage.sent(ANN)
    return contact


def leave(door: OpenDoor, path: str, body: bytes = ONLY) -> Answer:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = door.ask("POST", path, body, form)
    door.door.settle()
    return answer


def is_suppressed(stage: Stage, address: str) -> bool:
    with stage.parts.ledger.read() as connection:
        return bool(people.suppressed(connection, [person_key(address)]))


class TestOffer:
    """When there is a choice."""

    def test_the_page_offers_the_sequence_by_its_public_name(self, door: OpenDoor, ann: str) -> None:
        """B27: as text, whatever RevOps typed."""
        page = door.ask("GET", door.link(ANN)).body.decode()
        assert page.count("<button") == 2
        assert "News &amp; &lt;views&gt;" in page

    def test_a_sequence_without_a_public_name_offers_no_choice(self, door: OpenDoor, stage: Stage) -> None:
        """Its own name is for colleagues, and is shown to nobody else."""
        stage.tick(stage.contact(ANN), stage.sequence(Name="Cold leads, second try"))
        stage.turn()
        page = door.ask("GET", door.link(ANN)).body.decode()
        assert page.count("<button") == 1
        assert "Cold leads" not in page

    def test_an_older_link_offers_no_choice(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """P7: one that names no sequence still stops everything."""
        path = f"/u/{UnsubscribeTokens((KEY,)).sign(person_key(ANN), stage.parts.org_id)}"
        assert door.ask("GET", path).body.count(b"<button") == 1
        leave(door, path)
        assert is_suppressed(stage, ANN)


class TestLeaving:
    """Somebody presses the button for one sequence."""

    def test_the_run_stops_at_once_and_the_record_says_why(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """B22, P3: in plain words; the box goes off as with every stop."""
        answer = leave(door, door.link(ANN))
        assert (answer.status, b"News &amp; &lt;views&gt;" in answer.body) == (200, True)
        assert (stage.run(ann).status, stage.run(ann).reason) == (RunStatus.STOPPED, "stop.left_sequence")
        stage.turn()
        status, reason = stage.shown(ann)
        assert (status, stage.record(ann)["Drip_Enrolled__c"]) == ("Stopped", False)
        assert reason == (
            "The person unsubscribed from this sequence on 2 Nov 2026. Other sequences may still write to them."
        )

    def test_nobody_is_opted_out_of_everything(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """Less was asked, and no more is done."""
        leave(door, door.link(ANN))
        stage.turn()
        assert not stage.record(ann)["HasOptedOutOfEmail"]
        assert not is_suppressed(stage, ANN)

    def test_the_timeline_tells_it_once(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """However often it is pressed (B23)."""
        for _ in range(2):
            leave(door, door.link(ANN))
            stage.turn()
        told = [task for task in stage.tasks(ann) if task["Drip_Outcome__c"] == LEFT]
        assert [task["IsClosed"] for task in told] == [True]
        assert told[0]["Subject"].startswith("[Drip] Unsubscribed from ")

    def test_no_further_email_of_the_sequence_goes_out(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """P2: not in a week."""
        leave(door, door.link(ANN))
        stage.play(stage.now + timedelta(days=7), step=timedelta(hours=6))
        assert len(stage.sent(ANN)) == 1

    def test_ticking_the_box_again_is_refused(self, door: OpenDoor, stage: Stage, ann: str, news: str) -> None:
        """B9, B22: although the sequence may run again for everybody else."""
        leave(door, door.link(ANN))
        stage.turn()
        stage.later(days=2)
        stage.tick(ann, news)
        stage.turn()
        assert stage.shown(ann) == (
            "Refused",
            "Not started: the person unsubscribed from this sequence on 2 Nov 2026. Choose another.",
        )

    def test_another_record_of_the_address_is_refused_too(
        self, door: OpenDoor, stage: Stage, ann: str, news: str
    ) -> None:
        """B13: it is the person who left."""
        leave(door, door.link(ANN))
        twin = stage.lead(ANN)
        stage.tick(twin, news)
        stage.turn()
        assert stage.shown(twin)[0] == "Refused"

    def test_another_sequence_goes_on_writing(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """That is what was left of their consent."""
        leave(door, door.link(ANN))
        stage.turn()
        stage.later(days=1)
        stage.tick(ann, stage.sequence())
        stage.turn()
        assert len(stage.sent(ANN)) == 2

    def test_an_address_changed_meanwhile_does_not_undo_it(
        self, door: OpenDoor, stage: Stage, ann: str, news: str
    ) -> None:
        """B15: who leaves by an old email means themselves, not a mailbox."""
        path = door.link(ANN)
        stage.later(minutes=1)
        stage.change(ann, Email="ann.lee@acme.example")
        stage.turn()
        leave(door, path)
        with stage.parts.ledger.read() as connection:
            left = suppressions.left_sequences(connection, [person_key(ANN), person_key("ann.lee@acme.example")])
        assert [list(found) for found in left.values()] == [[news], [news]]

    def test_a_lost_ledger_learns_it_again(self, door: OpenDoor, stage: Stage, ann: str, news: str) -> None:
        """P6: the timeline holds it; the sequence may run again for everybody else, and not for them."""
        leave(door, door.link(ANN))
        stage.turn()
        stage.lose_ledger()
        passes.prepare(stage.parts)
        stage.later(days=2)
        stage.tick(ann, news)
        stage.turn()
        assert stage.shown(ann)[1] == (
            "Not started: the person unsubscribed from this sequence on 2 Nov 2026. Choose another."
        )

    def test_a_run_begun_while_the_ledger_was_lost_ends(
        self, door: OpenDoor, stage: Stage, ann: str, news: str
    ) -> None:
        """P2, P6: the box was ticked again before anybody could know."""
        leave(door, door.link(ANN))
        stage.turn()
        stage.lose_ledger()
        stage.later(days=2)
        stage.tick(ann, news)
        passes.prepare(stage.parts)
        stage.play(stage.now + timedelta(days=3), step=timedelta(hours=6))
        assert len(stage.sent(ANN)) == 1
        assert stage.shown(ann)[0] in ("Stopped", "Refused")

    def test_everything_can_still_be_stopped_on_the_next_page(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """The page that confirms has the other button."""
        path = door.link(ANN)
        assert leave(door, path).body.count(b"<button") == 1
        door.ask("POST", path, b"")
        assert is_suppressed(stage, ANN)

    @pytest.mark.parametrize("body", [b"", b"List-Unsubscribe=One-Click", b"scope=all", b"scope=sequence&x=\xff"])
    def test_whatever_else_is_posted_means_everything(
        self, door: OpenDoor, stage: Stage, ann: str, body: bytes
    ) -> None:
        """RFC 8058: a mail program showed no choice, so its user meant all of it."""
        leave(door, door.link(ANN), body)
        assert is_suppressed(stage, ANN)

    def test_a_one_click_request_with_a_scope_means_everything(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """RFC 8058 section 3.2: nothing beside it limits it."""
        leave(door, door.link(ANN), b"List-Unsubscribe=One-Click&scope=sequence")
        assert is_suppressed(stage, ANN)
