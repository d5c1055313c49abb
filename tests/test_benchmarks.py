"""The benchmark runs; what it measures is looked at by people."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_quick_benchmark_prints_every_figure_beside_a_baseline() -> None:
    """`python -m benchmarks --quick` ends well, and its own checks (everybody mailed once, nothing left owed) hold."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    rows = [line for line in result.stdout.splitlines() if re.match(r"\([a-d]\) ", line)]
    assert {line[:3] for line in rows} == {"(a)", "(b)", "(c)", "(d)"}
    assert all(re.search(r"(script|floor|enrolled) .*\d", line) for line in rows)


@pytest.mark.slow
def test_the_quick_benchmark_of_hubspot_prints_its_figures() -> None:
    """`python -m benchmarks.hubspot --quick` ends well: everybody was mailed once, over every way of writing."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.hubspot", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert len(re.findall(r"floor of a hundred a call 30\.5", result.stdout)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("part", ["peak", "backlog"])
def test_the_quick_benchmark_of_load_ends_with_everybody_mailed_once(part: str) -> None:
    """`python -m benchmarks.load --quick`: its own checks hold (nobody twice, nothing left owed, caps kept)."""
    command = [sys.executable, "-m", "benchmarks.load", "--quick", "--only", part]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "goal" in result.stdout


@pytest.mark.slow
def test_the_quick_benchmark_of_growth_shows_calls_becoming_fewer() -> None:
    """`python -m benchmarks.growth --quick`: ten people who are due together cost as many calls as one does."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    calls = re.findall(r"^1 +([\d.]+) |^10 +([\d.]+) ", result.stdout, re.MULTILINE)
    assert len(calls) == 2
    assert all(float(one or ten) <= 7 for one, ten in calls)


@pytest.mark.slow
def test_the_quick_benchmark_of_a_cluster_ends_with_everybody_mailed_once() -> None:
    """`python -m benchmarks.cluster --quick`: two daemons on one PostgreSQL ledger, and nobody twice."""
    command = [sys.executable, "-m", "benchmarks.cluster", "--quick"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert re.search(r"2 daemons, provider 200 ms away +[\d,]+/s, writing \d+%", result.stdout), result.stdout
