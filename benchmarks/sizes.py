"""How much of everything is measured: in full, and only to see that it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much of everything."""

    people: int
    """Who goes through the four steps, without latency."""
    people_slow: int
    """The same, with latency."""
    script_people: int
    script_people_slow: int
    latency: float
    """Seconds on every call."""
    enrolled: tuple[int, ...]
    """Sizes at which passes are measured, ascending."""
    pulled_up_to: int
    """Up to this size people enter through the pull; above it they are put into the ledger by its own functions."""
    due: int
    """To how many an email goes out in a pass that is measured."""
    rounds: int


FULL = Sizes(
    people=10_000,
    people_slow=10_000,
    script_people=1_000,
    script_people_slow=20,
    latency=0.1,
    enrolled=(10_000, 100_000, 1_000_000),
    pulled_up_to=100_000,
    due=100,
    rounds=11,
)
QUICK = Sizes(
    people=50,
    people_slow=50,
    script_people=10,
    script_people_slow=3,
    latency=0.02,
    enrolled=(60, 120),
    pulled_up_to=60,
    due=20,
    rounds=2,
)
