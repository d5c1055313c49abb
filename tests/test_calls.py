"""The budget of calls that every CRM connector keeps (P5, B20)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crmdrip.core.errors import RateLimitedError
from crmdrip.ledger import marks
from crmdrip.ledger.calls import KeptCalls
from crmdrip.ledger.store import Ledger, open_ledger
from crmdrip.ports import CallMeter, Purpose
from crmdrip.ports.calls import LEASE


class _Clock:
    def __init__(self) -> None:
        self._now = datetime(2026, 3, 2, 9, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def move(self, **passed: float) -> None:
        self._now += timedelta(**passed)


def _open_meter(clock: _Clock | None = None, *, daily_cap: int | None = None, reserve: int = 0) -> CallMeter:
    return CallMeter(
        clock or _Clock(),
        vendor="Acme",
        account="account",
        renews="Wait until noon.",
        daily_cap=daily_cap,
        reserve=reserve,
    )


def test_calls_come_free_after_a_day() -> None:
    """The cap is on any 24 hours."""
    clock = _Clock()
    meter = _open_meter(clock, daily_cap=1)
    meter.spend(Purpose.PULL)
    clock.move(hours=24)
    assert not meter.allows(Purpose.PULL)
    clock.move(hours=1)
    assert meter.allows(Purpose.PULL)


def test_reporting_leaves_the_reserve_to_stops_and_looks() -> None:
    """P5: with only the reserve left, stops, looks and pulls go on, reporting waits."""
    meter = _open_meter(daily_cap=100, reserve=40)
    for _ in range(60):
        meter.spend(Purpose.REPORT)
    assert {purpose for purpose in Purpose if meter.allows(purpose)} == {Purpose.STOP, Purpose.LOOK, Purpose.PULL}


def test_the_accounts_own_limit_keeps_a_reserve_too() -> None:
    """P5: other programs use the same calls; what is left of them is kept for stops."""
    meter = _open_meter(reserve=100)
    meter.hear(14_950, 15_000)
    assert meter.allows(Purpose.STOP)
    with pytest.raises(RateLimitedError, match="the account has 50 API calls left today") as caught:
        meter.spend(Purpose.REPORT)
    assert caught.value.do_next == "Wait until noon. Or lower reserve."


def test_the_cap_outlives_a_restart() -> None:
    """P5: what an earlier process called counts."""
    meter = _open_meter(daily_cap=2)
    meter.spend(Purpose.PULL)
    meter.spend(Purpose.PULL)
    again = _open_meter(daily_cap=2)
    again.remember(meter.hours())
    with pytest.raises(RateLimitedError, match="daily cap of 2 Acme calls"):
        again.spend(Purpose.STOP)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Where calls are kept."""
    with closing(open_ledger(f"sqlite:///{tmp_path / 'calls.sqlite3'}")) as opened:
        yield opened


def _open_kept(ledger: Ledger, clock: _Clock, cap: int) -> CallMeter:
    meter = _open_meter(clock, daily_cap=cap)
    meter.keep(KeptCalls(ledger))
    return meter


def _spend(meter: CallMeter, most: int) -> int:
    """Spend until nothing is left; how many calls were made."""
    for made in range(most):
        if not meter.allows(Purpose.PULL):
            return made
        try:
            meter.spend(Purpose.PULL)
        except RateLimitedError:
            return made
    return most


def test_a_process_that_is_killed_again_and_again_does_not_renew_the_cap(ledger: Ledger) -> None:
    """P5: nothing of what it counted was saved by anybody, and its supervisor starts it anew each time."""
    clock = _Clock()
    made = sum(_spend(_open_kept(ledger, clock, 500), 7) for _ in range(200))
    assert 350 <= made <= 500


def test_daemons_on_one_ledger_have_one_cap(ledger: Ledger) -> None:
    """P5: they take turns, and together make no call too many."""
    clock = _Clock()
    one, other = _open_kept(ledger, clock, 100), _open_kept(ledger, clock, 100)
    made = 0
    while more := _spend(one, 3) + _spend(other, 2):
        made += more
    assert made == 100


def test_kept_calls_come_free_after_a_day_and_not_before(ledger: Ledger) -> None:
    """P5: what was taken and not used counts to the hour in which it was taken."""
    clock = _Clock()
    meter = _open_kept(ledger, clock, 1000)
    made = _spend(meter, 5)
    clock.move(hours=3)
    made += _spend(meter, 2000)
    assert 1000 - LEASE <= made <= 1000
    clock.move(hours=22)
    assert _spend(_open_kept(ledger, clock, 1000), 2000) <= LEASE
    clock.move(hours=3)
    assert _spend(_open_kept(ledger, clock, 1000), 2000) >= 900


def test_without_a_cap_nothing_is_written(ledger: Ledger) -> None:
    """Counting costs a commit only where somebody wants it."""
    meter = _open_meter()
    meter.keep(KeptCalls(ledger))
    meter.spend(Purpose.PULL)
    with ledger.read() as connection:
        assert marks.read_mark(connection, "calls") is None
