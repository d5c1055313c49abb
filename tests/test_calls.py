"""The budget of calls that every CRM connector keeps (P5, B20)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crmdrip.core.errors import RateLimitedError
from crmdrip.ports import CallMeter, Purpose


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
