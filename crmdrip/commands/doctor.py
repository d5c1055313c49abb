"""crmdrip doctor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich.text import Text

from crmdrip import logs
from crmdrip.commands.output import console, print_json
from crmdrip.doctor import examine
from crmdrip.doctor.probing import probe
from crmdrip.ports import CheckLevel, CheckResult

_SIGNS = {CheckLevel.OK: ("ok  ", "green"), CheckLevel.WARN: ("warn", "yellow"), CheckLevel.FAIL: ("FAIL", "bold red")}


@click.command()
@click.option("--probe", "probing", is_flag=True, help="Also find out by writing to the CRM, and delete what it wrote.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def doctor(config: Path, *, probing: bool, as_json: bool) -> int:
    """Check everything that sending needs, and say how to mend what is wrong.

    Reads only, but for --probe, which says what it writes. Exit code 1 if a check failed.
    """
    logs.configure(format="console", level="error")
    results: list[CheckResult] = []
    for result in _run(config, results, probing=probing):
        results.append(result)
        if not as_json:
            _print(result)
            sys.stdout.flush()
    failed = [result for result in results if result.level is CheckLevel.FAIL]
    if as_json:
        print_json({"ok": not failed, "checks": results})
    else:
        console().print(f"\n{conclude(results)}")
    return 1 if failed else 0


def _run(config: Path, results: list[CheckResult], *, probing: bool) -> Iterator[CheckResult]:
    yield from examine(config)
    if probing and not any(one.level is CheckLevel.FAIL and one.code.startswith(("CFG-", "SF-")) for one in results):
        yield from probe(config)


def conclude(results: list[CheckResult]) -> str:
    """The last line."""
    failed = sum(result.level is CheckLevel.FAIL for result in results)
    if failed:
        return f"{failed} of {len(results)} checks failed."
    if any(result.code == "LEDGER-PAUSED" and result.level is CheckLevel.WARN for result in results):
        return "No check failed, and nothing goes out while it is paused."
    return "Ready to send."


def _print(result: CheckResult) -> None:
    sign, style = _SIGNS[result.level]
    out = console()
    out.print(Text(sign, style=style), Text(f"{result.code:<18} {result.what}"))
    if result.do_next and result.level is not CheckLevel.OK:
        out.print(Text(f"     {'':<18} {result.do_next}", style="dim"))
