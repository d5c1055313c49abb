"""kill -9 of `crmdrip run` at some of its points; `python -m benchmarks.proof kills` takes every one."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from kills import Play, Point, tear

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

POINTS = [
    Point(name="answer sendgrid POST /v3/mail/send", number=2),
    Point(name="committed", number=77),
]
"""Between accept and "sent" (B1), and the one that showed a page crossing our own untick (B9)."""


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_a_killed_process_that_starts_again_keeps_every_promise(tmp_path: Path, point: Point) -> None:
    """P1 to P4, B1: three days with a reply and an untick, over HTTP, with a real SIGKILL at the point."""
    with Play("salesforce", tmp_path) as play:
        outcome = play.run(point)
    assert outcome.kills == 1
    assert outcome.violations == [], outcome.story


def test_a_log_that_was_torn_by_the_crash_mails_nobody_twice(tmp_path: Path) -> None:
    """B4, B30, P1: the disk had lied about the last commits, those of intents included."""
    with Play("hubspot", tmp_path) as play:
        play.trouble = tear(Random(5))
        outcome = play.run(Point(name="answer sendgrid POST /v3/mail/send", number=4))
    assert outcome.kills == 1
    assert outcome.violations == [], outcome.story
