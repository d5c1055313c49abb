"""The demo from end to end: two weeks of a small world, with and without trouble, and the promises audited."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from demo_play import BROKEN, MEASURED, play
from office import environment, now, until

from crmdrip.demo.audit import Findings, explained
from crmdrip.demo.crm import Shown

pytestmark = pytest.mark.slow

FIELDS = [
    *(
        "crm",
        "installed",
        "people",
        "ticked",
        "enrolled",
        "refused",
        "touches_accepted",
        "duplicate_touches",
        "touches_after_stop",
    ),
    *("unexplained_due", "stops", "replies", "auto_replies", "replies_unheard"),
    *("reply_taken_for_auto_reply", "auto_reply_taken_for_reply", "opt_outs_unasked", "stop_latency_seconds"),
    *("write_backs_pending", "crm_calls", "crm_calls_per_1000_touches", "provider_requests", "seconds"),
]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any], str]:
    """Two weeks in which only people surprise."""
    return play(tmp_path_factory.mktemp("quiet"), "--people", "150")


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any], str]:
    """The same two weeks with every failure of both vendors."""
    return play(tmp_path_factory.mktemp("troubled"), "--people", "150", "--faults")


class TestQuiet:
    """Without trouble."""

    def test_the_promises_hold(self, quiet: tuple[int, dict[str, Any], str]) -> None:
        """P1, P2, P3: exit code 0 says so."""
        code, found, _ = quiet
        assert code == 0
        assert [found[name] for name in BROKEN] == [0] * len(BROKEN)

    def test_it_prints_one_object_with_every_figure(self, quiet: tuple[int, dict[str, Any], str]) -> None:
        """And nothing else on standard output."""
        assert list(quiet[1]) == FIELDS

    def test_every_ticked_box_is_answered(self, quiet: tuple[int, dict[str, Any], str]) -> None:
        """P3: enrolled, or refused with a reason."""
        found = quiet[1]
        assert (found["people"], found["ticked"]) == (150, 75)
        assert found["enrolled"] + found["refused"] == found["ticked"]

    def test_the_world_was_lively(self, quiet: tuple[int, dict[str, Any], str]) -> None:
        """The promises were put to the test: people were mailed, replied, and unsubscribed in one click."""
        found = quiet[1]
        assert found["touches_accepted"] > found["enrolled"]
        assert {"replied", "meeting", "unsubscribed", "bounced"} <= found["stops"].keys()

    def test_people_and_machines_answered_and_were_told_apart(self, quiet: tuple[int, dict[str, Any], str]) -> None:
        """B7, B8: no reply was taken for a machine's."""
        found = quiet[1]
        assert found["replies"] > 5
        assert found["auto_replies"] > 5
        assert found["reply_taken_for_auto_reply"] == 0

    def test_an_answer_at_the_door_ends_its_run_at_once(self, quiet: tuple[int, dict[str, Any], str]) -> None:
        """P2: in seconds, on whatever machine."""
        latency = quiet[1]["stop_latency_seconds"]
        assert 0 < latency["median"] <= latency["max"] < 30

    def test_progress_is_told_on_standard_error(self, quiet: tuple[int, dict[str, Any], str]) -> None:
        """Day by day where there is no terminal."""
        assert "Mon 16 Mar" in quiet[2]
        assert "All promises held." in quiet[2]


class TestTroubled:
    """With --faults."""

    def test_the_promises_hold(self, troubled: tuple[int, dict[str, Any], str]) -> None:
        """B1, B2, B20, B21: through expired sessions, limits, cut connections and answers that lie."""
        code, found, _ = troubled
        assert code == 0
        assert (found["duplicate_touches"], found["touches_after_stop"], found["unexplained_due"]) == (0, 0, 0)

    def test_the_trouble_was_real(
        self, quiet: tuple[int, dict[str, Any], str], troubled: tuple[int, dict[str, Any], str]
    ) -> None:
        """It cost calls, and the same people entered all the same."""
        assert troubled[1]["crm_calls"] > quiet[1]["crm_calls"]
        assert troubled[1]["enrolled"] == quiet[1]["enrolled"]


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that has come to its end and keeps its pages open: its process, and their address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crmdrip.cli", "demo", "--people", "20", "--days", "1"],
        env={**environment(), "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        yield process, next(line for line in process.stderr if "as a rep sees it" in line).split()[-1]
    finally:
        process.kill()
        process.communicate(timeout=60)


def is_up(address: str) -> bool:
    """Whether a server answers there."""
    try:
        return requests.get(address, timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


def test_whatever_ends_the_demo_ends_its_sandbox(tmp_path: Path) -> None:
    """A closed terminal or a supervisor's SIGTERM leaves no server and no folder behind."""
    with serving(tmp_path) as (process, address):
        assert is_up(address)
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert not is_up(address)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_killed_takes_its_sandbox_with_it(tmp_path: Path) -> None:
    """Nobody is there to end it: it notices by itself."""
    with serving(tmp_path) as (process, address):
        assert is_up(address)
        process.kill()
        until(lambda: not is_up(address))


def test_a_seed_gives_the_same_fortnight(tmp_path: Path) -> None:
    """Figure for figure, but for the time it took."""
    one, other = (play(tmp_path, "--people", "60", "--days", "4", "--seed", "7")[1] for _ in range(2))
    assert {**one, **MEASURED} == {**other, **MEASURED}


NOTHING_WRONG = Findings(
    crm="salesforce",
    installed=0,
    people=1,
    ticked=1,
    enrolled=1,
    refused=0,
    touches_accepted=1,
    duplicate_touches=0,
    touches_after_stop=0,
    unexplained_due=0,
    stops={},
    replies=0,
    auto_replies=0,
    replies_unheard=0,
    reply_taken_for_auto_reply=0,
    auto_reply_taken_for_reply=0,
    opt_outs_unasked=0,
    stop_latency_seconds={"median": 0.0, "max": 0.0},
    write_backs_pending=0,
    crm_calls=1,
    crm_calls_per_1000_touches=1.0,
    provider_requests=1,
    seconds=1.0,
)


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_promise_fails_the_demo(name: str) -> None:
    """The audit can fail."""
    assert NOTHING_WRONG.kept
    assert not replace(NOTHING_WRONG, **{name: 1}).kept  # type: ignore[arg-type]  # every one of them is a count


SOON, LONG_AGO = timedelta(days=1), timedelta(days=-1)


@pytest.mark.parametrize(
    ("ticked", "status", "reason", "next_touch", "good"),
    [
        (True, "Active", "Step 2 of 4 is due.", SOON, True),
        (True, "Active", "Step 2 of 4 is due.", None, False),
        (True, "Active", "Step 2 of 4 is due.", LONG_AGO, False),
        (True, "Active", "", SOON, False),
        (True, "Held", "Waiting: missing Title.", None, True),
        (True, "Held", "", None, False),
        (False, "Stopped", "The person replied.", None, True),
        (True, "Stopped", "The person replied.", None, False),
        (True, "", "", None, False),
        (False, "", "", None, True),
    ],
)
def test_a_record_must_say_what_comes_next(
    *, ticked: bool, status: str, reason: str, next_touch: timedelta | None, good: bool
) -> None:
    """P3, B9: the audit's own rule, read by eye."""
    at = now() + next_touch if next_touch is not None else None
    one = Shown(id="1", ticked=ticked, status=status, reason=reason, step="", next_touch=at)
    assert explained(one, now()) is good
