"""Daemons that share a ledger: a run is with one of them, and who was silent is struck off with what that means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from ledger_values import NOW, run, touch
from sqlalchemy import text

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.model import TouchState
from crmdrip.ledger import assignments, runs, touches, workers
from crmdrip.ledger.errors import LedgerBusyError, LedgerTakenError
from crmdrip.ledger.store import Ledger

LEASE = 60.0
LATER = datetime(9999, 1, 1, tzinfo=UTC)
"""By when everything is due, also by the server's clock."""


@pytest.fixture
def ann(url: str) -> Iterator[Ledger]:
    """One of two."""
    ledger = Ledger(url)
    ledger.share("ann")
    ledger.migrate()
    yield ledger
    ledger.close()


@pytest.fixture
def bob(url: str, ann: Ledger) -> Iterator[Ledger]:
    """The other."""
    ledger = Ledger(url)
    ledger.share("bob")
    ledger.migrate()
    yield ledger
    ledger.close()


def take(ledger: Ledger, limit: int) -> list[int]:
    """The runs that a daemon looks at from now on."""
    assert ledger.worker is not None
    with ledger.write() as connection:
        return [due.id for due in assignments.take_due(connection, ledger.worker.id, LATER, limit)]


def fall_silent(ledger: Ledger, by: Ledger) -> None:
    """For longer than a lease."""
    assert ledger.worker is not None
    with by.write() as connection:
        connection.execute(
            text("UPDATE worker SET seen_at = seen_at - 100000000 WHERE id = :id"), {"id": ledger.worker.id}
        )


def strike_off(by: Ledger) -> list[str]:
    """Whoever is silent."""
    with by.write() as connection:
        return workers.strike_off(connection, LEASE)


class TestRuns:
    """Each is with one daemon at most."""

    def test_a_run_that_one_has_the_other_does_not_take(self, ann: Ledger, bob: Ledger) -> None:
        """No second look, and no second decision."""
        with ann.write() as connection:
            runs.add_runs(connection, [run(number) for number in range(1, 6)])
        first, second = take(ann, 3), take(bob, 3)
        assert (len(first), len(second)) == (3, 2)
        assert not set(first) & set(second)

    def test_a_run_that_was_given_back_can_be_taken(self, ann: Ledger, bob: Ledger) -> None:
        """It may be due again."""
        with ann.write() as connection:
            runs.add_runs(connection, [run()])
        [mine] = take(ann, 1)
        with ann.write() as connection:
            assignments.give_back(connection, [mine])
        assert take(bob, 1) == [mine]


class TestSilence:
    """Who does not sign in."""

    def test_what_a_silent_one_had_begun_is_in_doubt_and_the_rest_is_free(self, ann: Ledger, bob: Ledger) -> None:
        """B1, P1: of two runs one was being sent."""
        with ann.write() as connection:
            runs.add_runs(connection, [run(1), run(2)])
        first, second = take(ann, 2)
        with ann.write() as connection:
            touches.intend(connection, [touch(first)])
        fall_silent(ann, bob)
        assert strike_off(bob) == ["ann"]
        assert sorted(take(bob, 2)) == sorted([first, second])
        with bob.read() as connection:
            assert [one.state for one in touches.touches_in_full(connection, [first, second])] == [TouchState.IN_DOUBT]

    def test_who_was_struck_off_writes_nothing_more(self, ann: Ledger, bob: Ledger) -> None:
        """P1, B3: not even what it had begun before."""
        fall_silent(ann, bob)
        strike_off(bob)
        with pytest.raises(LedgerTakenError), ann.write():
            pass

    def test_who_signs_in_stays(self, ann: Ledger, bob: Ledger) -> None:
        """Just before the others would strike it off."""
        assert ann.worker is not None
        fall_silent(ann, bob)
        with ann.engine.begin() as connection:
            assert workers.sign_in(connection, ann.worker)
        assert strike_off(bob) == []

    def test_who_was_struck_off_learns_it_when_it_signs_in(self, ann: Ledger, bob: Ledger) -> None:
        """And ends."""
        assert ann.worker is not None
        fall_silent(ann, bob)
        strike_off(bob)
        with ann.engine.begin() as connection:
            assert not workers.sign_in(connection, ann.worker)

    def test_what_another_one_is_sending_is_no_crash(self, ann: Ledger, bob: Ledger) -> None:
        """B1: a daemon that joins doubts only what nobody has in hand."""
        with ann.write() as connection:
            runs.add_runs(connection, [run(1), run(2)])
        going, _ = take(ann, 2)
        with ann.write() as connection:
            touches.intend(connection, [touch(going)])
        with bob.write() as connection:
            assert assignments.recover_unassigned(connection, NOW) == 0
            assignments.give_back(connection, [going])
            assert assignments.recover_unassigned(connection, NOW) == 1


class TestCompany:
    """Who may work on the ledger beside whom."""

    def test_who_would_be_alone_waits_until_the_last_one_left(self, ann: Ledger, bob: Ledger, url: str) -> None:
        """B3: none of them is special."""
        loner = Ledger(url)
        for one in (ann, bob):
            with pytest.raises(LedgerBusyError):
                loner.lock()
            one.close()
        loner.lock()
        loner.migrate()
        loner.close()

    def test_a_file_is_not_shared(self, ledger: Ledger) -> None:
        """It has no server that would keep daemons of several machines apart."""
        with pytest.raises(ConfigurationError, match="PostgreSQL only"):
            ledger.share("ann")
