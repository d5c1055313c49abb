"""The CRM contract as a table: every case, and what each CRM that was tested makes of it.

    python -m crmdrip.testing.table tests/connectors/test_acme_contract.py
    python -m crmdrip.testing.table --write docs/contract.md tests/connectors/*_contract.py

Runs the classes derived from `CrmContract` in the files or nodes named, by pytest, and prints Markdown. A case is
passed, or not applicable with the reason that its CRM gives; one that fails is named on standard error (exit code 1).
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crmdrip.testing.crm import CrmContract

_HEAD = """# The contract of a CRM

What every CRM connector must do, case by case, and what each does. Written by

    {command}

and checked by a test that runs it again (`--check`). A case is passed (✓) or not applicable to a CRM, for the reason
given below. Each is a test of `crmdrip.testing.crm.CrmContract`, which the author of a connector derives from
([adding a connector](../connectors/README.md)). B and P are the rows of the behavior book that it proves.
"""
_PASSED, _FAILED = "✓", "**failed**"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One promise."""

    name: str
    """Of the test, without its parameters."""
    suite: str
    """What its part of the contract is about."""
    promise: str
    """Its docstring."""


@dataclass(kw_only=True, slots=True)
class Results:
    """What became of the cases, by column and case: "" for passed, else why not."""

    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    """Node ids."""

    def note(self, column: str, case: str, outcome: str) -> None:
        """Add what became of a case; of several runs of one the worst counts."""
        known = self.columns.setdefault(column, {})
        known[case] = max(known.get(case, ""), outcome, key=lambda one: (one == _FAILED, bool(one)))


class Recorder:
    """A pytest plugin that listens to the contract's tests."""

    def __init__(self) -> None:
        self.results = Results()
        self._titles: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the contract's own tests, in the contract's order."""
        kept = []
        for item in items:
            owner = getattr(item, "cls", None)
            if owner is not None and issubclass(owner, CrmContract):
                self._titles[item.nodeid] = title_of(owner)
                kept.append(item)
        items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in the end of one test, or what ended it before."""
        if report.when != "call" and report.passed:
            return
        case = re.sub(r"\[.*$", "", report.nodeid.rpartition("::")[2])
        outcome = ""
        if report.skipped:
            outcome = _reason(report.longrepr)
        elif report.failed:
            outcome = _FAILED
            self.results.failed.append(report.nodeid)
        self.results.note(self._titles[report.nodeid], case, outcome)


def title_of(suite: type[CrmContract]) -> str:
    """How a CRM's column is headed: by its title, or by the words of its class's name."""
    if suite.title:
        return suite.title
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", suite.__name__.removeprefix("Test").removesuffix("Crm"))


def _reason(told: Any) -> str:
    return str(told[2] if isinstance(told, tuple) else told).removeprefix("Skipped: ").strip()


def cases() -> list[Case]:
    """Every case of the contract, in its order."""
    found = []
    for suite in CrmContract.__mro__[1:]:
        about = (inspect.getdoc(suite) or "").splitlines()[:1]
        for name, test in vars(suite).items():
            if name.startswith("test_"):
                promise = " ".join((inspect.getdoc(test) or "").split())
                found.append(Case(name=name, suite=" ".join(about).rstrip("."), promise=promise))
    return found


def run(paths: Iterable[str]) -> Results:
    """Run the contract's tests in the files or nodes named."""
    recorder = Recorder()
    with redirect_stdout(sys.stderr):
        pytest.main(["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider", *paths], plugins=[recorder])
    return recorder.results


def render(results: Results, command: str) -> str:
    """The page."""
    reasons: dict[str, int] = {}
    lines = [_HEAD.format(command=command)]
    columns = results.columns
    counts = {title: list(outcomes.values()) for title, outcomes in columns.items()}
    lines += [
        "| CRM | passed | not applicable |",
        "|---|---|---|",
        *(f"| {title} | {told.count('')} | {len(told) - told.count('')} |" for title, told in counts.items()),
        "",
    ]
    suite = ""
    for case in cases():
        if case.suite != suite:
            suite = case.suite
            lines += ["", f"## {suite}", "", f"| case | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
        cells = [_cell(outcomes, case.name, reasons) for outcomes in columns.values()]
        lines.append(f"| {case.promise.replace('|', chr(92) + '|')} | {' | '.join(cells)} |")
    lines += ["", "## Not applicable, because", ""]
    lines += [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join(lines) + "\n"


def _cell(outcomes: Mapping[str, str], case: str, reasons: dict[str, int]) -> str:
    if case not in outcomes:
        return "not run"
    outcome = outcomes[case]
    if outcome in ("", _FAILED):
        return outcome or _PASSED
    return f"n/a ({reasons.setdefault(outcome, len(reasons) + 1)})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and print or write the page. Returns the exit code: 1 when a case failed or none was found."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="python -m crmdrip.testing.table", description=(__doc__ or "").splitlines()[0]
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--write", type=Path, metavar="FILE", help="write the page there; else it is printed")
    place.add_argument("--check", type=Path, metavar="FILE", help="see whether the page there is still true")
    parser.add_argument("paths", nargs="+", help="test files, or nodes such as test_acme_contract.py::TestAcme")
    options = parser.parse_args(given)
    results = run(options.paths)
    if not results.columns:
        sys.stderr.write("No class there is derived from crmdrip.testing.crm.CrmContract.\n")
        return 1
    file = options.write or options.check
    told = ["--write", str(file)] if file is not None else []
    page = render(results, " ".join(["python -m crmdrip.testing.table", *told, *options.paths]))
    if options.check is not None:
        if page != file.read_text(encoding="utf-8"):
            sys.stderr.write(f"{file} is out of date. Type the command that stands in it.\n")
            return 1
    elif options.write is not None:
        file.write_text(page, encoding="utf-8")
    else:
        sys.stdout.write(page)
    for node in results.failed:
        sys.stderr.write(f"failed: {node}\n")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
