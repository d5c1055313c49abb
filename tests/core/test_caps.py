"""Caps: who of a batch goes now, and where a queued run begins (B10, B19)."""

from __future__ import annotations

from collections import Counter as Multiset
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_values import DAY, HOUR, NOW

from crmdrip.core.caps import CapScope, Claim, Counter, allot, counter_at, first_free

DAY_OF_REP = counter_at(CapScope.SENDER_DAY, "rita@acme.example", NOW)
HOUR_OF_DOMAIN = counter_at(CapScope.DOMAIN_HOUR, "example.com", NOW)


def claim(name: str, *caps: tuple[Counter, int], follow_up: bool = False, late: int = 0) -> Claim:
    """A touch that would go out now, due so many hours ago."""
    return Claim(touch_id=name, follow_up=follow_up, due_at=NOW - late * HOUR, caps=caps)


def test_follow_ups_go_before_first_emails() -> None:
    """Who has heard from us once is not left waiting for newcomers, however long those are due."""
    rep = (DAY_OF_REP, 2)
    found = allot([claim("new", rep, late=9), claim("f1", rep, follow_up=True), claim("f2", rep, follow_up=True)], {})
    assert found.go == ("f1", "f2")
    assert dict(found.wait) == {"new": DAY_OF_REP}


def test_the_longest_due_goes_first_and_ties_are_broken_by_id() -> None:
    """The same batch is always let through in the same order."""
    rep = (DAY_OF_REP, 2)
    assert allot([claim("b", rep), claim("a", rep), claim("z", rep, late=1)], {}).go == ("z", "a")


def test_what_was_used_before_counts() -> None:
    """A cap holds across batches, workers and restarts, since its count is the ledger's."""
    assert allot([claim("a", (DAY_OF_REP, 200))], {DAY_OF_REP: 200}).wait == {"a": DAY_OF_REP}


def test_one_full_cap_leaves_the_others_untouched() -> None:
    """A touch that waits for its domain takes nothing from its sender."""
    found = allot([claim("a", (DAY_OF_REP, 1), (HOUR_OF_DOMAIN, 0)), claim("b", (DAY_OF_REP, 1))], {})
    assert found.go == ("b",)
    assert dict(found.used) == {DAY_OF_REP: 1}


def test_no_cap_is_no_limit() -> None:
    """A touch without caps goes."""
    assert allot([claim("a")], {}).go == ("a",)


COUNTERS = [counter_at(CapScope.SENDER_DAY, name, NOW) for name in "xyz"]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.sets(st.sampled_from(range(3)))), max_size=25),
    st.lists(st.integers(0, 6), min_size=3, max_size=3),
    st.lists(st.integers(0, 4), min_size=3, max_size=3),
)
def test_caps_are_never_exceeded_and_never_left_empty_for_nothing(
    drawn: list[tuple[bool, int, set[int]]], limits: list[int], held: list[int]
) -> None:
    """B19: whoever goes fits, whoever waits did not, and everybody does one or the other."""
    claims = [
        claim(f"t{number}", *((COUNTERS[i], limits[i]) for i in sorted(caps)), follow_up=follow_up, late=late)
        for number, (follow_up, late, caps) in enumerate(drawn)
    ]
    counts = dict(zip(COUNTERS, held, strict=True))
    found = allot(claims, counts)
    by_id = {one.touch_id: one for one in claims}
    assert sorted([*found.go, *found.wait]) == sorted(by_id)
    used = Multiset(counter for name in found.go for counter, _ in by_id[name].caps)
    assert dict(found.used) == dict(used)
    for counter, limit in zip(COUNTERS, limits, strict=True):
        assert used[counter] <= max(limit - counts[counter], 0)
    for name, counter in found.wait.items():
        assert counts[counter] + used[counter] >= dict(by_id[name].caps)[counter]
    assert [by_id[name].follow_up for name in found.go] == sorted((by_id[n].follow_up for n in found.go), reverse=True)


@pytest.mark.parametrize(
    ("scope", "start", "ends"),
    [
        (CapScope.SENDER_DAY, datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC)),
        (CapScope.DOMAIN_HOUR, datetime(2026, 11, 3, 12, tzinfo=UTC), datetime(2026, 11, 3, 13, tzinfo=UTC)),
    ],
)
def test_a_counter_spans_its_day_or_hour(scope: CapScope, start: datetime, ends: datetime) -> None:
    """Counted in UTC, so that every daemon and every sender agree."""
    counter = counter_at(scope, "key", NOW + timedelta(minutes=59, microseconds=1))
    assert (counter.start, counter.ends) == (start, ends)


def test_every_scope_has_a_period() -> None:
    """A scope that was added without one would fail when it is first counted."""
    assert {counter_at(scope, "key", NOW).scope for scope in CapScope} == set(CapScope)


@pytest.mark.parametrize(("kept", "goes"), [(0, True), (1, False), (3, False)], ids=["none", "the last one", "all"])
def test_a_first_email_gives_way_to_follow_ups_elsewhere(kept: int, goes: bool) -> None:  # noqa: FBT001 - a case
    """B19: it neither takes their room nor counts as held for want of any; a follow-up takes what there is."""
    counter = counter_at(CapScope.SENDER_DAY, "kim@acme.example", NOW)
    claims = [
        Claim(touch_id=name, follow_up=name == "further", due_at=NOW, caps=((counter, 3),))
        for name in ("first", "further")
    ]
    found = allot(claims, {counter: 1}, {counter: kept})
    assert found.go == (("further", "first") if goes else ("further",))
    assert (found.gave_way, found.wait) == (() if goes else ("first",), {})


@pytest.mark.parametrize(
    ("held", "days_later"),
    [([], 0), ([4], 0), ([5], 1), ([9], 1), ([5, 5, 4], 2), ([5, 0, 5], 1)],
    ids=["empty", "room today", "full today", "overfull", "third day", "gap"],
)
def test_a_queued_run_begins_on_the_first_day_with_room(held: list[int], days_later: int) -> None:
    """B10: with five a day, twenty thousand boxes become a queue."""
    today = counter_at(CapScope.ENTRY_DAY, "seq", NOW)
    counts = {counter_at(CapScope.ENTRY_DAY, "seq", NOW + number * DAY): n for number, n in enumerate(held)}
    assert first_free(CapScope.ENTRY_DAY, "seq", NOW, 5, counts).start == today.start + days_later * DAY


def test_a_queue_that_lets_nobody_in_is_a_mistake() -> None:
    """B10: core.definition answers an entry cap of zero with what to do instead."""
    with pytest.raises(ValueError, match="never lets anybody through"):
        first_free(CapScope.ENTRY_DAY, "seq", NOW, 0, {})


@given(st.integers(1, 4), st.integers(1, 30))
def test_a_crowd_is_spread_evenly(cap: int, people: int) -> None:
    """B10: no day begins more runs than the cap, and no day before the last one fewer."""
    counts: dict[Counter, int] = {}
    for _ in range(people):
        counter = first_free(CapScope.ENTRY_DAY, "seq", NOW, cap, counts)
        counts[counter] = counts.get(counter, 0) + 1
    assert sorted(counts.values(), reverse=True)[: people // cap] == [cap] * (people // cap)
    assert max(counts.values()) <= cap
