"""Daemons that share a ledger share its caps, too, whoever looks first and whoever decides first (B10, B19, P5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from stage import MONDAY, Stage

from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.daemon.parts import Parts

pytestmark = pytest.mark.parametrize("ledger_place", ["postgresql"], indirect=True)

TUESDAY = MONDAY + timedelta(days=1)


class SlowLook:
    """A CRM that answers the first look only once something else is done."""

    def __init__(self, parts: Parts, happening: Callable[[], object]) -> None:
        self._source: Any = parts.source
        self._happening = [happening]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def look(self, refs: Any, *args: Any) -> Any:
        """Records by id; a heartbeat alone names none."""
        answer = self._source.look(refs, *args)
        while refs and self._happening:
            self._happening.pop()()
        return answer


def dispatch_slowly(first: Parts, other: Parts) -> None:
    """The first takes its batch, and while it looks the other sends whatever it can."""
    source = SlowLook(first, lambda: passes.dispatch(other))
    passes.dispatch(replace(first, source=source))


def one_step_done(stage: Stage, count: int, sequence: str) -> set[str]:
    """That many people whose second email is due on Tuesday; their addresses."""
    people = [stage.contact(f"old{number}@old{number}.example") for number in range(count)]
    for record_id in people:
        stage.tick(record_id, sequence)
    stage.turn()
    return {email.to for email in stage.sent()}


def test_follow_ups_go_before_first_emails_of_another_daemon(stage: Stage) -> None:
    """B19: the cap of their sender is kept for those that were due before, though their look takes longer."""
    sequence = stage.sequence({"Drip_Delay__c": 0}, {"Drip_Delay__c": 1})
    old = one_step_done(stage, 4, sequence)
    stage.at(TUESDAY)
    stage.ticked(sequence, 6)
    passes.pull(stage.parts)
    stage.limit(batch=4, sender_per_day=5)
    dispatch_slowly(*stage.share(2))
    assert Counter(email.to in old for email in stage.sent()[4:]) == {True: 4, False: 1}
    stage.later(minutes=1)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 4 + 5


@pytest.mark.parametrize(
    ("limits", "fields", "allowed"),
    [
        ({"sender_per_day": 5}, {}, 5),
        ({"domain_per_hour": 3}, {}, 3),
        ({}, {"Drip_Daily_Cap__c": 4}, 4),
        ({}, {"Drip_Domain_Cap__c": 2}, 2),
    ],
    ids=["sender", "domain", "sequence", "domain of a sequence"],
)
def test_a_cap_is_never_crossed_together(
    stage: Stage, limits: dict[str, int], fields: dict[str, int], allowed: int
) -> None:
    """B10, P5: what one has decided the other counts, whatever it looked at before."""
    sequence = stage.sequence({"Drip_Delay__c": 0}, **fields)
    for number in range(12):
        stage.tick(stage.contact(f"p{number}@acme.example"), sequence)
    passes.pull(stage.parts)
    stage.limit(batch=4, **limits)
    first, other = stage.share(2)
    dispatch_slowly(first, other)
    passes.dispatch(other)
    assert len(stage.sent()) == allowed


def test_entries_are_spread_by_one_count(stage: Stage) -> None:
    """B10: whichever of them pulls, no more begin on one day than the sequence lets in."""
    sequence = stage.sequence({"Drip_Delay__c": 0}, Drip_Entry_Cap__c=3)
    first, other = stage.share(2)
    for number, parts in enumerate((first, other, first)):
        for person in range(2):
            stage.tick(stage.contact(f"p{number}{person}@firm{number}{person}.example"), sequence)
        stage.later(minutes=1)
        for _ in range(2):
            passes.pull(parts)
    stage.later(minutes=1)
    dispatch_slowly(first, other)
    assert len(stage.sent()) == 3
    stage.at(TUESDAY + timedelta(hours=1))
    dispatch_slowly(other, first)
    assert len(stage.sent()) == 6


def test_a_run_is_with_one_daemon_at_a_time(stage: Stage) -> None:
    """P1, P5: what one looks at no other one asks the CRM about."""
    stage.ticked(stage.sequence({"Drip_Delay__c": 0}), 6)
    passes.pull(stage.parts)
    stage.limit(batch=3)
    first, other = stage.share(2)
    looked: list[int] = []

    def count() -> None:
        looked.append(int(passes.dispatch(other)["looked"]))

    passes.dispatch(replace(first, source=SlowLook(first, count)))
    assert looked == [3]
    assert len(stage.sent()) == 6
    assert stage.twice() == {}
