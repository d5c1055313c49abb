"""The contract's table tells what is true of every CRM, and of one that breaks a promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from crmdrip.testing.table import Results, cases, render

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "contract.md"


@pytest.mark.slow
def test_the_page_says_what_the_contract_s_tests_say():
    """It is written by the command that stands in it; run again, that finds nothing to change."""
    (command,) = re.findall(r"^    python (-m crmdrip\.testing\.table --write .+)$", PAGE.read_text(), re.MULTILINE)
    given = command.replace("--write", "--check").split()
    done = subprocess.run([sys.executable, *given], cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]


def test_three_crms_and_every_case_stand_on_the_page():
    """Each case with its promise, and for each CRM that it was passed, or why not."""
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "✓" in line]
    assert len(rows) == len(cases())
    assert {case.promise for case in cases()} == {row.split(" | ")[0].removeprefix("| ") for row in rows}
    for crm in ("Salesforce", "HubSpot", "SQL (SQLite)", "SQL (PostgreSQL)"):
        assert f"| {crm} |" in text
    assert "not run" not in text
    assert "failed" not in text.partition("\n## ")[2]


def test_every_case_has_a_promise():
    """Its docstring is what people read."""
    assert len(cases()) > 60
    assert [case.name for case in cases() if not case.promise] == []


BROKEN = """
import pytest
from crmdrip.testing.crm import CrmContract

class TestOddCrm(CrmContract):
    @pytest.fixture
    def crm(self):
        pytest.skip("this CRM has nobody in it")
    @pytest.fixture
    def source(self):
        raise ValueError("no such thing")
    sink = source

def test_something_else():
    assert False
"""


def test_a_broken_promise_is_named(tmp_path, capsys):
    """A case that cannot even begin has failed; one that the CRM gives a reason for is not applicable."""
    (tmp_path / "test_odd_contract.py").write_text(BROKEN)
    given = [sys.executable, "-m", "crmdrip.testing.table", "test_odd_contract.py"]
    done = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "| Odd |" in done.stdout
    assert "| **failed** |" in done.stdout
    assert "1. this CRM has nobody in it" in done.stdout
    assert "TestOddCrm::test_an_unknown_merge_path_is_named" in done.stderr
    assert "test_something_else" not in done.stdout + done.stderr


def test_a_file_without_the_contract_is_told(tmp_path):
    """Nothing to make a table of."""
    (tmp_path / "test_nothing.py").write_text("def test_one(): pass\n")
    given = [sys.executable, "-m", "crmdrip.testing.table", "test_nothing.py"]
    done = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "CrmContract" in done.stderr


def test_of_several_runs_of_a_case_the_worst_counts():
    """A case with parameters stands once."""
    results = Results()
    for outcome in ("", "**failed**", "no leads"):
        results.note("Acme", cases()[0].name, outcome)
    assert "| **failed** |" in render(results, "command")
