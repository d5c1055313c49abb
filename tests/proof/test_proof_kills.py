"""kill -9 of `crmdrip run` at some of its points; `python -m benchmarks.proof kills` takes every one."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from kills import Play, Target
from sweep import Course
from troubles import TROUBLES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

SENT = "answer sendgrid POST /v3/mail/send #2"
"""Between accept and "sent" (B1)."""
POINTS = [SENT, "committed daemon.writeback._store #1"]
"""The second showed a page that crosses our own untick (B9)."""
BESIDE = {
    "torn": ("hubspot", "answer sendgrid POST /v3/mail/send #4"),
    "full": ("salesforce", SENT),
    "read-only": ("salesforce", "committed daemon.intents.decide #0"),
    "failing": ("salesforce", SENT),
    "jump": ("salesforce", SENT),
    "pair": ("salesforce", SENT),
    "rivals": ("salesforce", "committed daemon.outcomes.conclude #0"),
    "crew": ("salesforce", SENT),
}
"""By trouble: the CRM and the point (B3, B4, B29, B30)."""


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_process_that_starts_again_keeps_every_promise(tmp_path: Path, point: str) -> None:
    """P1 to P4, B1: three days with a reply and an untick, over HTTP, with a real SIGKILL at the point."""
    with Play("salesforce", tmp_path) as play:
        outcome = play.run(Target.parse(point))
    assert outcome.kills == 1
    assert outcome.violations == [], outcome.story


@pytest.mark.parametrize("trouble", list(BESIDE))
def test_what_happens_beside_a_kill_breaks_no_promise(tmp_path: Path, trouble: str) -> None:
    """P1 to P4: a torn log, a full or dying disk, a clock that jumps, a second daemon; nobody is forgotten either."""
    if why := TROUBLES[trouble].why_not():
        pytest.skip(why)
    crm, point = BESIDE[trouble]
    with Play(crm, tmp_path, TROUBLES[trouble](Random(5))) as play:
        outcome = play.run(Target.parse(point))
    assert outcome.struck
    assert outcome.violations == [], outcome.story


class TestCourse:
    """Which points were killed at, as docs/guarantee.md counts them."""

    @staticmethod
    def entry(target: str, *, struck: bool, **after: int) -> dict[str, object]:
        """One play."""
        figures = dict.fromkeys(("kills", "emails", "asked", "starts"), 1)
        return {"target": target, "struck": struck, "violations": [], "after": after, **figures}

    def test_a_point_that_was_not_reached_counts_as_not_killed_at(self) -> None:
        """It is tried again, and then listed."""
        course = Course(crm="salesforce")
        course.begin({"commit": 2})
        course.note(self.entry("commit #0", struck=True))
        for _ in range(4):
            assert course.left() == ["commit #1"]
            course.note(self.entry("commit #1", struck=False))
        assert course.left() == []
        assert "killed at: 1 of 2" in course.tell()
        assert course.unreached() == ["commit #1"]

    def test_what_only_a_start_after_a_kill_passes_is_killed_at_as_well(self) -> None:
        """The points at which touches in doubt are looked up are passed by no undisturbed play."""
        course = Course(crm="salesforce")
        course.begin({"commit": 1})
        course.note(self.entry("commit #0", struck=True, look=2))
        assert course.left() == ["commit #0 then look #0", "commit #0 then look #1"]
