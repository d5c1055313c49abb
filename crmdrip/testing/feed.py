"""The contract of the SignalFeed port, as tests.

A connector's author subclasses `FeedContract` and gives two fixtures: `source`, the other side, and `feed`, the feed
under test connected to it. Run by pytest, the class then tests every promise of the port that can be seen from
outside.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from crmdrip.core.errors import AuthError
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import Signal, SignalKind
from crmdrip.ports import SignalFeed


class FeedSource(Protocol):
    """The other side: a real server on loopback."""

    kinds: frozenset[SignalKind]
    """What it can tell of."""

    def tell(self, kind: SignalKind, address: str) -> None:
        """Something happened to the address just now."""
        ...

    def revoke(self) -> None:
        """Refuse the feed's credentials from now on."""
        ...


def read_all(feed: SignalFeed, cursor: str | None) -> tuple[list[Signal], str | None]:
    """Every signal since the cursor, and the cursor after the last page."""
    signals: list[Signal] = []
    for page in feed.poll(cursor):
        signals.extend(page.signals)
        cursor = page.cursor
    return signals, cursor


class FeedContract:
    """Every promise of the port."""

    def test_everything_that_happened_is_told(self, source: FeedSource, feed: SignalFeed) -> None:
        """Each kind the source knows arrives as that kind, with its address."""
        for kind in source.kinds:
            source.tell(kind, f"{kind.value}@example.com")
        signals, _ = read_all(feed, None)
        assert {(signal.kind, signal.address) for signal in signals} == {
            (kind, f"{kind.value}@example.com") for kind in source.kinds
        }

    def test_addresses_are_normalized(self, source: FeedSource, feed: SignalFeed) -> None:
        """A signal must stop whoever is known under another spelling."""
        source.tell(next(iter(source.kinds)), "Ann.Lee@Example.COM")
        signals, _ = read_all(feed, None)
        assert [signal.address for signal in signals] == [normalize_address("Ann.Lee@Example.COM")]

    def test_times_are_aware_and_of_now(self, source: FeedSource, feed: SignalFeed) -> None:
        """Whether a signal belongs to a run is decided by its time."""
        source.tell(next(iter(source.kinds)), "ann@example.com")
        signals, _ = read_all(feed, None)
        assert all(abs(signal.at - datetime.now(UTC)) < timedelta(minutes=5) for signal in signals)

    def test_what_comes_after_the_cursor_is_not_missed(self, source: FeedSource, feed: SignalFeed) -> None:
        """A later poll brings what happened since, however soon after."""
        kind = next(iter(source.kinds))
        source.tell(kind, "first@example.com")
        _, cursor = read_all(feed, None)
        source.tell(kind, "second@example.com")
        signals, _ = read_all(feed, cursor)
        assert "second@example.com" in {signal.address for signal in signals}

    def test_a_repeat_carries_the_same_key(self, source: FeedSource, feed: SignalFeed) -> None:
        """B23: whatever is read twice is known by its key."""
        source.tell(next(iter(source.kinds)), "ann@example.com")
        once, _ = read_all(feed, None)
        again, _ = read_all(feed, None)
        assert [signal.key for signal in once] == [signal.key for signal in again]

    def test_keys_carry_no_address(self, source: FeedSource, feed: SignalFeed) -> None:
        """A person's data can be erased and the key kept."""
        source.tell(next(iter(source.kinds)), "ann@example.com")
        signals, _ = read_all(feed, None)
        assert all("ann" not in signal.key for signal in signals)

    def test_different_happenings_have_different_keys(self, source: FeedSource, feed: SignalFeed) -> None:
        """No signal is lost for another's sake."""
        for kind in source.kinds:
            source.tell(kind, "ann@example.com")
            source.tell(kind, "bob@example.com")
        signals, _ = read_all(feed, None)
        assert len({signal.key for signal in signals}) == 2 * len(source.kinds)

    def test_refused_credentials_are_said(self, source: FeedSource, feed: SignalFeed) -> None:
        """AuthError, not an empty list: silence would read as "nobody complained"."""
        source.revoke()
        with pytest.raises(AuthError):
            read_all(feed, None)
