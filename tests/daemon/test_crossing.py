"""A page that was read before our own write and is stored after it: what its box says is from before (B9)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from stage import Stage

from crmdrip.core.model import RunStatus
from crmdrip.core.struct import replace
from crmdrip.daemon import passes


class WrittenMeanwhile:
    """A source each of whose pages is read right before everything owed is written."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._source = stage.parts.source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def pull(self, cursor: str | None) -> Iterator[Any]:
        """The page comes when the write is done."""
        for page in self._source.pull(cursor):
            passes.write_back(self._stage.parts)
            yield page


def answered(stage: Stage, **fields: Any) -> str:
    """A contact who answered the first email; the untick is owed, and a new process reads the last minutes again."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence(**fields))
    stage.turn()
    stage.later(minutes=1)
    stage.do(stage.sandbox.world.actions.reply, "ann@acme.example", "No, thank you.")
    for _ in range(2):  # streams come by turns
        passes.pull(stage.parts)
    assert stage.run(contact).status is RunStatus.STOPPED
    stage.restart()
    return contact


@pytest.mark.parametrize("policy", ["Never", "After Days"])
def test_a_page_that_our_untick_overtook_is_no_new_tick(stage: Stage, policy: str) -> None:
    """B9, P3: whoever answered is told to have, and neither refused nor enrolled anew."""
    contact = answered(stage, Drip_Re_Enrollment__c=policy, Drip_Re_Enroll_After_Days__c=0)
    passes.pull(replace(stage.parts, source=WrittenMeanwhile(stage)))
    for _ in range(3):
        stage.later(minutes=1)
        stage.turn()
    assert len(stage.runs(contact)) == 1
    status, reason = stage.shown(contact)
    assert (status, "replied" in reason) == (RunStatus.STOPPED, True)
    assert not stage.record(contact)["Drip_Enrolled__c"]


def test_a_tick_after_our_untick_counts_although_a_page_crossed_it(stage: Stage) -> None:
    """B9: it comes with the next pull, whatever the page in between had shown."""
    contact = answered(stage, Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=0)
    passes.pull(replace(stage.parts, source=WrittenMeanwhile(stage)))
    stage.change(contact, Drip_Enrolled__c=True)
    stage.later(minutes=1)
    stage.turn()
    assert [run.status for run in stage.runs(contact)] == [RunStatus.STOPPED, RunStatus.QUEUED]
