"""One of two machines is cut off in the middle of a batch; `python -m benchmarks.proof cuts` draws what breaks."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from cuts import LEASE, Cut, Cuts
from networks import NoNamespacesError, Way

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PEOPLE = 16
LONGER = 2 * LEASE
"""Than a daemon may be silent before the others take its work over."""


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cuts]:
    """Two daemons at work, for all of these tests; what one has left the next one goes on with."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with Cuts(tmp_path_factory.mktemp("cuts")) as ready:
            yield ready
    except NoNamespacesError as error:
        pytest.skip(f"this machine makes no network namespaces: {error}")
    finally:
        structlog.reset_defaults()


@pytest.mark.parametrize(
    "cut", [Cut(what="crm", seconds=LONGER), Cut(what="mail", way=Way.ANSWERS, seconds=LEASE)], ids=str
)
def test_nobody_is_mailed_twice_or_forgotten_when_one_is_cut_off(play: Cuts, cut: Cut) -> None:
    """P1 to P4: in a network of its own, until the line is mended and each record says what became of its person."""
    play.wave(PEOPLE, cut)
    assert play.violations() == [], play.said()


@pytest.mark.parametrize("cut", [Cut(what="ledger", seconds=LONGER), Cut(what="everything", seconds=LONGER)], ids=str)
def test_who_is_cut_off_from_the_ledger_is_struck_off_and_comes_back(play: Cuts, cut: Cut) -> None:
    """B3, P1 to P4: the other one settles what it had begun; nobody is mailed twice, and nobody is forgotten."""
    before = play.figures.struck_off
    play.wave(PEOPLE, cut)
    assert play.violations() == [], play.said()
    assert play.figures.struck_off > before
    assert play.at_work()
