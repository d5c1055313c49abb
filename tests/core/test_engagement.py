"""How a touch fared: forward alone, whatever order its events come in (B23)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.core.engagement import OUTCOMES, RANKS, SENT, Engagement, fold, tell_at
from crmdrip.core.model import Signal, SignalKind
from crmdrip.core.struct import replace

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
TOUCH = "a" * 32


def signal(kind: SignalKind, at: datetime = NOW, detail: str = "") -> Signal:
    """One event."""
    return Signal(key=f"{kind}:{at}", kind=kind, at=at, source="s", touch_id=TOUCH, detail=detail)


def folded(*signals: Signal) -> Engagement:
    """What is known after all of them."""
    known = None
    for one in signals:
        known = fold(known, one, TOUCH)
    assert known is not None
    return known


@given(st.permutations([signal(kind, NOW + timedelta(minutes=n)) for n, kind in enumerate(RANKS)]), st.integers(1, 9))
def test_the_outcome_does_not_depend_on_the_order_of_events(signals: list[Signal], count: int) -> None:
    """B23: any of them in any order give what they give in their own."""
    some = signals[:count]
    assert folded(*some) == folded(*sorted(some, key=lambda one: one.at))


def test_what_comes_late_moves_nothing_back() -> None:
    """B23: a deferral that was overtaken by the delivery, a delivery by the bounce."""
    known = folded(signal(SignalKind.BOUNCE, detail="5.1.1 gone"), signal(SignalKind.DELIVERED, NOW + HOUR))
    assert (known.outcome, known.words) == (SignalKind.BOUNCE, "Bounced: 5.1.1 gone")
    assert (
        folded(known_signal := signal(SignalKind.DELIVERED), signal(SignalKind.DEFERRED)).outcome is known_signal.kind
    )


def test_opens_and_clicks_are_counted_and_machines_apart() -> None:
    """A scanner's open is no open, and proves the delivery all the same."""
    opened, machine = signal(SignalKind.OPENED), signal(SignalKind.MACHINE_OPENED)
    known = folded(opened, opened, machine, signal(SignalKind.CLICKED))
    assert (known.opens, known.machine_opens, known.clicks) == (2, 1, 1)
    assert folded(machine).outcome is SignalKind.DELIVERED


def test_the_first_sign_of_life_is_the_earliest() -> None:
    """B1: since when the provider has had it, whatever came in first."""
    assert folded(signal(SignalKind.OPENED), signal(SignalKind.ACCEPTED, NOW - HOUR)).first_at == NOW - HOUR


def test_what_says_nothing_of_a_touch_changes_nothing() -> None:
    """An unknown event proves nothing."""
    assert fold(None, signal(SignalKind.UNKNOWN), TOUCH) is None
    known = folded(signal(SignalKind.DELIVERED))
    assert fold(known, signal(SignalKind.REPLY), TOUCH) == known


def test_every_outcome_has_words_that_fit_their_field() -> None:
    """P3: in plain words, cut where the CRM would refuse them."""
    assert set(OUTCOMES) == set(RANKS)
    assert set(RANKS) < SENT
    assert len(folded(signal(SignalKind.DROPPED, detail="x" * 255)).words) == 255


class TestTelling:
    """When the CRM hears of it (P5)."""

    known = folded(signal(SignalKind.DELIVERED))

    def when(self, *news: SignalKind, told: timedelta | None = None) -> timedelta | None:
        """How long from now, for news about a touch told that long ago."""
        known = replace(self.known, told_at=None if told is None else NOW + told)
        at = tell_at(known, frozenset(news), NOW, HOUR)
        return None if at is None else at - NOW

    @pytest.mark.parametrize("kind", [SignalKind.ACCEPTED, SignalKind.DELIVERED, SignalKind.MACHINE_OPENED])
    def test_what_everybody_expects_costs_no_call(self, kind: SignalKind) -> None:
        """A thousand deliveries are not a thousand updates."""
        assert self.when(kind) is None

    def test_the_first_open_is_told_at_once(self) -> None:
        """The rep sees it while it matters."""
        assert self.when(SignalKind.OPENED) == timedelta()

    def test_further_ones_are_told_an_hour_after_the_last(self) -> None:
        """At most one update per touch and hour, however often it is opened."""
        assert self.when(SignalKind.OPENED, told=-HOUR / 4) == HOUR * 3 / 4
        assert self.when(SignalKind.CLICKED, told=-HOUR * 2) == timedelta()

    def test_what_comes_while_news_wait_waits_with_them(self) -> None:
        """One update tells all of it."""
        assert self.when(SignalKind.CLICKED, told=HOUR / 2) == HOUR / 2
        assert self.when(SignalKind.DELIVERED, told=HOUR / 2) == HOUR / 2

    def test_a_deferral_waits_to_see_what_becomes_of_it(self) -> None:
        """Most are over within the hour."""
        assert self.when(SignalKind.DEFERRED) == HOUR

    @pytest.mark.parametrize(
        "kind", [SignalKind.BOUNCE, SignalKind.DROPPED, SignalKind.SPAM_REPORT, SignalKind.UNSUBSCRIBE]
    )
    def test_what_ends_a_run_waits_for_nothing(self, kind: SignalKind) -> None:
        """P3: the timeline says why, at once."""
        assert self.when(kind, told=HOUR / 2) == timedelta()
