"""Several daemons share the work, and what one of them leaves undone the others do (B3, P1)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from crew import Crew
from later import VERSION, make_later
from ledger_places import Server
from office import until

pytestmark = pytest.mark.slow


def settled(crew: Crew, people: int) -> bool:
    """Whether nothing of these people's first emails is left to be done."""
    return crew.states() == {"accepted": people}


def all_known(crew: Crew, people: int) -> bool:
    """Whether each of them has an email that is known to have gone out, or may have and is never sent again."""
    states, sent = crew.states(), len(crew.sent())
    doubtful = states.get("in_doubt", 0)
    return states.get("accepted", 0) == sent and sent + doubtful == people and not states.get("intended")


class TestSharing:
    """More daemons than one, all well."""

    def test_every_email_goes_out_once_by_either_of_them(self, crew: Crew) -> None:
        """P1: the work is spread."""
        crew.hire("ann", "bob")
        until(lambda: crew.at_work("ann", "bob"), crew.daemons["ann"])
        crew.office.slow_mail(0.2)
        crew.office.ticked(80)
        both: set[str] = set()

        def all_gone() -> bool:
            both.update(name for name, one in crew.signed_in().items() if one.runs)
            return settled(crew, 80)

        until(all_gone, crew.daemons["ann"])
        assert both == {"ann", "bob"}
        assert len(crew.sent()) == 80
        assert crew.office.twice() == {}

    def test_a_cap_holds_over_all_of_them(self, crew: Crew) -> None:
        """Twenty emails a day of one sender are twenty, whoever sends them."""
        crew.hire("ann", "bob", more="[limits]\nsender_per_day = 20\n")
        until(lambda: crew.at_work("ann", "bob"), crew.daemons["ann"])
        crew.office.slow_mail(0.1)
        crew.office.ticked(60)
        until(lambda: crew.held_for("hold.daily_cap") == 40, crew.daemons["ann"])
        assert sum(crew.sent().values()) == 20

    def test_a_daemon_that_would_be_alone_is_kept_off(self, crew: Crew) -> None:
        """B3: its configuration lacks [cluster]."""
        crew.hire("ann")
        until(lambda: crew.at_work("ann"), crew.daemons["ann"])
        assert crew.start("loner").wait() == 2
        assert "another daemon works on this ledger (process " in crew.log("loner")

    def test_who_would_share_is_kept_off_by_who_is_alone(self, crew: Crew) -> None:
        """B3: the other way round."""
        loner = crew.start("loner")
        until(lambda: "loner" in crew.log("loner") or crew.signed_in(), loner)
        crew.hire("ann")
        assert crew.daemons["ann"].wait() == 2
        assert "another daemon works on this ledger (process " in crew.log("ann")

    def test_an_orderly_end_hands_everything_over_at_once(self, crew: Crew) -> None:
        """A rolling upgrade: each is stopped and started in its turn, and nothing is in doubt."""
        crew.hire("ann", "bob", lease=60)
        until(lambda: crew.at_work("ann", "bob"), crew.daemons["ann"])
        crew.office.slow_mail(0.1)
        crew.office.ticked(60)
        until(lambda: len(crew.sent()) > 10)
        crew.daemons["ann"].send_signal(signal.SIGTERM)
        assert crew.daemons["ann"].wait() == 0
        assert set(crew.signed_in()) == {"bob"}
        crew.hire("ann", lease=60)
        until(lambda: settled(crew, 60), crew.daemons["bob"])
        assert crew.office.twice() == {}
        assert crew.states() == {"accepted": 60}


class TestTrouble:
    """One of them is gone, or seems to be."""

    def test_what_a_killed_one_had_begun_is_settled_by_the_others(self, crew: Crew) -> None:
        """B1: in doubt, looked up in the provider's log, and never sent again; all others' emails go out."""
        crew.hire("ann", "bob")
        until(lambda: crew.at_work("ann", "bob"), crew.daemons["ann"])
        crew.office.slow_mail(0.3)
        crew.office.ticked(60)
        until(lambda: crew.in_hand("ann") and crew.sent_by("ann"), crew.daemons["ann"])
        crew.kill("ann")
        crew.office.slow_mail(0)
        until(lambda: set(crew.signed_in()) == {"bob"}, crew.daemons["bob"])
        until(lambda: all_known(crew, 60), crew.daemons["bob"])
        assert crew.office.twice() == {}
        assert crew.states().get("in_doubt", 0) <= 10  # two batches, of which what was sent is settled
        assert "daemon_struck_off" in crew.log("bob")

    def test_who_slept_beyond_its_lease_sends_nothing_when_it_wakes(self, crew: Crew) -> None:
        """P1, B3, B29: the others have taken its work over; it ends, for its supervisor to start it anew."""
        crew.hire("ann", "bob", batch=40)
        until(lambda: crew.at_work("ann", "bob"), crew.daemons["ann"])
        crew.office.slow_mail(0.5)
        crew.office.ticked(160)
        until(lambda: crew.in_hand("ann") and crew.sent_by("ann"), crew.daemons["ann"])
        crew.freeze("ann")
        until(lambda: set(crew.signed_in()) == {"bob"}, crew.daemons["bob"])
        before = crew.sent_by("ann")
        crew.thaw("ann")
        assert crew.daemons["ann"].wait() == 1
        assert crew.sent_by("ann") == before
        assert crew.office.twice() == {}
        assert "taken its work over" in crew.log("ann")

    def test_nothing_is_sent_while_the_database_is_away(self, crew: Crew, postgresql: Server) -> None:
        """B30: what cannot be remembered is not sent; once it is back, all go on by themselves."""
        crew.hire("ann", "bob")
        until(lambda: crew.at_work("ann", "bob"), crew.daemons["ann"])
        crew.office.slow_mail(0.1)
        crew.office.ticked(80)
        until(lambda: len(crew.sent()) > 10, crew.daemons["ann"])
        with crew.without_database(postgresql):
            until(lambda: all(crew.log(name).count("not_signed_in") > 1 for name in ("ann", "bob")))
            before = len(crew.sent())  # what was under way has come to its end
            until(lambda: all(crew.log(name).count("not_signed_in") > 3 for name in ("ann", "bob")))
            assert len(crew.sent()) == before < 80
        until(lambda: all_known(crew, 80), crew.daemons["ann"])
        assert crew.office.twice() == {}
        assert set(crew.signed_in()) == {"ann", "bob"}


class TestTwoVersions:
    """A rolling upgrade: two programs at work, on a ledger that the newer one has brought up to date."""

    def test_both_work_on_the_newer_ones_ledger_until_the_older_is_replaced(self, crew: Crew, tmp_path: Path) -> None:
        """A version only adds what the one before it can leave alone; each sends, and nobody is mailed twice (P1)."""
        later = make_later(tmp_path / "later")
        crew.hire("ann", lease=60)
        until(lambda: crew.at_work("ann"), crew.daemons["ann"])
        crew.office.ticked(10)
        until(lambda: settled(crew, 10), crew.daemons["ann"])
        crew.hire("bob", lease=60, program=later)
        until(lambda: crew.at_work("ann", "bob"), crew.daemons["bob"])
        assert {name: one.version == VERSION for name, one in crew.signed_in().items()} == {"ann": False, "bob": True}
        crew.office.slow_mail(0.5)
        crew.tick_more(70)
        until(lambda: crew.sent_by("ann") > 10 and crew.sent_by("bob"), crew.daemons["bob"])
        crew.daemons["ann"].send_signal(signal.SIGTERM)
        assert crew.daemons["ann"].wait() == 0
        crew.hire("ann", lease=60, program=later)
        until(lambda: crew.at_work("ann", "bob") and settled(crew, 80), crew.daemons["ann"])
        assert crew.office.twice() == {}
        assert {one.version for one in crew.signed_in().values()} == {VERSION}
        assert 0 < crew.count("SELECT count(*) FROM later") <= 70

    def test_an_older_one_that_is_started_is_refused_and_told_what_to_install(self, crew: Crew, tmp_path: Path) -> None:
        """Going back is refused; whoever is at work goes on."""
        crew.hire("bob", program=make_later(tmp_path / "later"))
        until(lambda: crew.at_work("bob"), crew.daemons["bob"])
        crew.hire("ann")
        assert crew.daemons["ann"].wait() == 2
        assert "the ledger has version 0002" in crew.log("ann")
        assert crew.at_work("bob")


def test_status_lists_the_daemons(crew: Crew) -> None:
    """With what each has in hand, since when it is at work, and its version."""
    crew.hire("ann", "bob")
    until(lambda: crew.at_work("ann", "bob"), crew.daemons["ann"])
    told = crew.type("status")
    assert [line.split()[0] for line in told.splitlines() if " on " in line and line.startswith(("ann", "bob"))] == [
        one.name for one in crew.signed_in().values()
    ]
