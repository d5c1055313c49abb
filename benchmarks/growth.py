"""What a touch costs as more of them are due together: `python -m benchmarks.growth`, with --quick for a few only.

Calls are what an org has least of. They are few where many are due together, since each takes as many records as its
limit lets it; who sends ten emails a day pays more for each of them, and little in all.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.sending import STEPS, Played, play
from benchmarks.table import align

SIZES = (1, 10, 100, 1_000, 10_000)
QUICK = (1, 10)
HEAD = ("due together", "calls a pass", "calls per 1,000 touches", "CPU per email", "emails per second")


def measure(sizes: tuple[int, ...]) -> list[tuple[str, ...]]:
    """A row for each number of people who are due together, through all four steps of the example."""
    return [_row(people, play(people, 0.0)) for people in sizes]


def _row(people: int, played: Played) -> tuple[str, ...]:
    return (
        f"{people:,}",
        f"{played.calls / len(STEPS):,.1f}",
        f"{played.calls / played.emails * 1_000:,.1f}",
        f"{played.cpu / played.emails * 1e6:,.0f} us",
        f"{played.emails / played.wall:,.0f}",
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few people only: shows that it runs")
    print(align(HEAD, measure(QUICK if parser.parse_args().quick else SIZES)))
    print("A pass: the pull, the last look, sending, writing back, and our own writes pulled again. A pass in which")
    print("nothing happened is one call.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
