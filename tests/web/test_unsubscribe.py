"""The unsubscribe link: one click for people, nothing for scanners, forgers and floods (B22, B28, P7)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from open_door import KEY, OpenDoor
from stage import Stage

from crmdrip.core.keys import person_key
from crmdrip.core.model import RunStatus
from crmdrip.core.tokens import UnsubscribeTokens
from crmdrip.ledger import people
from crmdrip.ledger.errors import LedgerBrokenError
from crmdrip.web.allowance import Allowance, Allowances
from crmdrip.web.unsubscribe import Unsubscribes

ANN = "ann@acme.example"


@pytest.fixture
def ann(stage: Stage) -> str:
    """A contact who has got her first email."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    assert stage.sent(ANN)
    return contact


def is_suppressed(stage: Stage, address: str) -> bool:
    with stage.parts.ledger.read() as connection:
        return bool(people.suppressed(connection, [person_key(address)]))


class TestPressing:
    """Somebody presses Unsubscribe."""

    def test_one_click_stops_the_run_at_once(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """B22: the run has ended before the provider has its answer."""
        assert door.press(door.link(ANN)).status == 200
        assert stage.run(ann).status is RunStatus.STOPPED
        assert stage.run(ann).reason == "stop.unsubscribed"

    def test_one_click_ticks_the_opt_out_in_the_crm(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """B22: it is written back like any other opt-out."""
        door.press(door.link(ANN))
        stage.turn()
        assert stage.record(ann)["HasOptedOutOfEmail"]

    def test_the_button_of_the_page_does_the_same(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """B22: a browser's form has an empty body, and works without scripts."""
        assert door.ask("POST", door.link(ANN), b"").status == 200
        assert stage.run(ann).status is RunStatus.STOPPED

    def test_a_twin_that_never_was_in_a_sequence_is_told(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """B13, B22: every record of the address shows the opt-out."""
        lead = stage.lead(ANN)
        door.press(door.link(ANN))
        stage.turn()
        assert stage.record(lead)["HasOptedOutOfEmail"]

    def test_the_address_the_record_has_by_now_is_suppressed_too(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """B15, B22: who unsubscribes by an old email means themselves, not a mailbox."""
        path = door.link(ANN)
        stage.later(minutes=1)
        stage.change(ann, Email="ann.lee@acme.example")
        stage.turn()
        door.press(path)
        assert is_suppressed(stage, ANN)
        assert is_suppressed(stage, "ann.lee@acme.example")

    def test_nothing_goes_out_afterwards(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """P2: not in a week."""
        door.press(door.link(ANN))
        stage.play(stage.now + timedelta(days=7), step=timedelta(hours=6))
        assert len(stage.sent(ANN)) == 1

    def test_a_second_press_changes_nothing(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """B23: providers repeat, and people press twice."""
        path = door.link(ANN)
        door.press(path)
        stage.turn()
        assert door.press(path).status == 200
        assert stage.owed() == []

    def test_somebody_the_ledger_has_forgotten_is_suppressed_all_the_same(self, door: OpenDoor, stage: Stage) -> None:
        """B4, B22: the token alone is enough, and the next tick of the box is refused."""
        token = UnsubscribeTokens((KEY,)).sign(person_key("gone@acme.example"), stage.parts.org_id)
        assert door.press(f"/u/{token}").status == 200
        contact = stage.contact("gone@acme.example")
        stage.tick(contact, stage.sequence())
        stage.turn()
        assert stage.shown(contact)[0] == "Refused"

    def test_links_signed_with_an_older_key_still_work(self, stage: Stage) -> None:
        """P7: a key may be replaced, and the emails of years ago keep their links."""
        old = UnsubscribeTokens((KEY,)).sign(person_key(ANN), stage.parts.org_id)
        assert Unsubscribes(stage.parts, ("a-newer-key-of-16-characters", KEY)).read(old) is not None


class TestLooking:
    """Somebody, or something, follows the link."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_opening_the_link_unsubscribes_nobody(self, door: OpenDoor, stage: Stage, ann: str, method: str) -> None:
        """B22: scanners follow every link in an email."""
        assert door.ask(method, door.link(ANN)).status == 200
        assert stage.run(ann).status.live
        assert not is_suppressed(stage, ANN)

    def test_the_page_has_a_button_and_no_script(self, door: OpenDoor, ann: str) -> None:
        """B22: it works in every browser, and runs nothing of anybody's."""
        answer = door.ask("GET", door.link(ANN))
        assert b'<form method="post"><button type="submit">Unsubscribe</button></form>' in answer.body
        assert b"<script" not in answer.body
        assert "default-src 'none'" in answer.headers["content-security-policy"]

    def test_the_token_goes_nowhere_else(self, door: OpenDoor, ann: str) -> None:
        """B28: not into the page, a cache, or another site's log."""
        path = door.link(ANN)
        answer = door.ask("GET", path)
        assert path.rpartition("/")[2].encode() not in answer.body
        assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")


class TestRefusing:
    """Requests that must not have an effect."""

    def forged(self, stage: Stage, path: str) -> list[str]:
        """Links that are not ours, each wrong in another way."""
        other_key = UnsubscribeTokens(("another-key-of-16-characters",)).sign(person_key(ANN), stage.parts.org_id)
        other_org = UnsubscribeTokens((KEY,)).sign(person_key(ANN), "00DOTHER")
        return [
            f"/u/{other_key}",
            f"/u/{other_org}",
            path[:-1],
            f"{path}x",
            "/u/x",
            "/u/",
            "/",
            "/nothing",
            "/u/" + "a" * 600,
        ]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_every_forged_link_gets_the_same_page(self, door: OpenDoor, stage: Stage, ann: str, method: str) -> None:
        """B28: nothing tells whether the person, the org or the signature was wrong."""
        answers = [door.ask(method, path) for path in self.forged(stage, door.link(ANN))]
        assert {(answer.status, answer.body) for answer in answers} == {(404, answers[0].body)}

    def test_a_forged_press_stops_nobody(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """B28: it is refused before anything is stored."""
        for path in self.forged(stage, door.link(ANN)):
            door.press(path)
        assert stage.run(ann).status.live
        assert not is_suppressed(stage, ANN)

    def test_an_oversized_press_is_refused(self, door: OpenDoor, stage: Stage, ann: str) -> None:
        """B28: even with a good token, nobody stores megabytes here."""
        answer = door.ask("POST", door.link(ANN), b"x" * 20_000)
        assert answer.status == 413
        assert stage.run(ann).status.live

    def test_an_unwritable_ledger_asks_the_provider_to_come_again(
        self, door: OpenDoor, ann: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """B30: an unsubscribe that could not be stored is never confirmed."""

        def full(who: object) -> list[object]:
            raise LedgerBrokenError("the disk is full", where="ledger")

        monkeypatch.setattr(door.unsubscribes, "accept", full)
        answer = door.press(door.link(ANN))
        assert (answer.status, answer.headers["retry-after"]) == (503, "60")
        assert b"disk" not in answer.body


class TestFloods:
    """More requests than people make."""

    @pytest.fixture
    def allowance(self) -> Allowances:
        """Two requests, and no more while the test runs; one for each client that a web server of ours names."""
        everybody = Allowance(per_second=1, burst=2, monotonic=lambda: 0.0)
        return Allowances(everybody, per_second=1, burst=1, monotonic=lambda: 0.0)

    def test_a_flood_is_told_to_slow_down(self, door: OpenDoor, ann: str) -> None:
        """B28: the ledger is not asked any more."""
        answers = [door.ask("POST", door.link(ANN)) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[2].headers["retry-after"] == "1"

    def test_one_client_does_not_use_up_what_is_there_for_all(self, door: OpenDoor, ann: str) -> None:
        """B28: the web server before the door says who asks; what stands before that is the client's own invention."""
        said = ("203.0.113.9", "198.51.100.7, 203.0.113.9", "8.8.8.8,203.0.113.9", "192.0.2.1")
        answers = [door.ask("GET", door.link(ANN), headers={"X-Forwarded-For": one}).status for one in said]
        assert answers == [200, 429, 429, 200]

    def test_the_allowance_comes_back_with_time(self) -> None:
        """Whoever slows down is answered again."""
        now = [0.0]
        bucket = Allowance(per_second=1, burst=1, monotonic=lambda: now[0])
        assert (bucket.take(), bucket.take()) == (True, False)
        now[0] = 1.0
        assert bucket.take()
