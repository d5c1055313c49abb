"""The proof of the promises, for as long as you like: `python -m benchmarks.proof --minutes 60`.

    python -m benchmarks.proof weeks --minutes 30 --crm hubspot     random weeks (tests/proof/lives.py)
    python -m benchmarks.proof weeks --crm hubspot --seed 37 --shrink
    python -m benchmarks.proof kills --minutes 30                   kill -9 at every point (tests/proof/kills.py)
    python -m benchmarks.proof kills --minutes 30 --done FILE       the same, going on where FILE says it ended
    python -m benchmarks.proof kills --crm salesforce --point "commit daemon.intents.decide #1"
    python -m benchmarks.proof kills --trouble torn --minutes 10    something else goes wrong beside the kill
    python -m benchmarks.proof kills --often --minutes 30           eight kills in each play
    python -m benchmarks.proof losses --people 2000                 the ledger lost (tests/proof/losses.py)
    python -m benchmarks.proof cuts --minutes 30                    two machines of a network of namespaces, of which
                                                                    one is cut off again and again; takes root
                                                                    (tests/cluster/cuts.py)

Without a word it does weeks and kills, half the time each. Prints one line for each violation, with the command that
plays it again, and the figures at the end; exit code 1 when there was a violation. What docs/guarantee.md tells of each
promise is what is checked.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import logging
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.workers import ROOT

sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "cluster"))
sys.path.insert(0, str(ROOT / "tests" / "proof"))

from cuts import Cuts, draw
from kills import Outcome
from lives import MACHINES, Lives
from losses import play_loss
from networks import NoNamespacesError
from scene import make_blank
from sweep import Log, Played, play, sweep
from troubles import TROUBLES

CRMS = tuple(MACHINES)
ROUND = 4
"""Weeks played with one seed."""
STEPS = 40


@dataclass(kw_only=True, slots=True)
class Report:
    """What was done, and what broke."""

    folder: Path
    violations: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def broke(self, again: str, what: str, story: str) -> None:
        """One violation: how to play it again, and a file with its story."""
        file = self.folder / f"violation-{len(self.violations) + 1}.txt"
        file.write_text(f"{again}\n\n{what}\n\n{story}\n", encoding="utf-8")
        self.violations.append(again)
        print(f"VIOLATION {what.splitlines()[0][:300] if what else ''}\n  again: {again}\n  story: {file}", flush=True)


def play_weeks(report: Report, crms: tuple[str, ...], first: int, minutes: float, *, shrink: bool) -> None:
    """Random weeks until the time is up, seed by seed; at least one seed for each CRM."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    often = settings(
        max_examples=ROUND,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=phases,
    )
    began, rounds = time.monotonic(), 0
    for number in itertools.count(first):
        for crm in crms:
            rounds += 1
            machine = seed(number)(type("Weeks", (MACHINES[crm],), {}))
            output = io.StringIO()
            try:
                with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                    run_state_machine_as_test(machine, settings=often)
            except Exception as error:  # noqa: BLE001 - whatever it was, it broke
                again = f"python -m benchmarks.proof weeks --crm {crm} --seed {number} --shrink"
                notes = "\n".join(getattr(error, "__notes__", []))
                report.broke(again, str(error), f"{traceback.format_exc()}\n{output.getvalue()}\n{notes}")
        if time.monotonic() - began >= 60 * minutes:
            break
    total = Lives.total
    report.lines.append(
        f"{Lives.plays} random weeks ({rounds} seeds from {first} on, {', '.join(crms)}): {total.emails} emails,"
        f" {total.looks} last looks, {total.stops} stops, {total.deaths} processes killed within,"
        f" {time.monotonic() - began:.0f} s."
    )
    report.lines.append(f"  posted to the door: {_told(total.posted)}; taken there: {_told(total.door)}.")


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"


def play_kills(  # noqa: PLR0917 - each is an option of the command
    report: Report,
    crms: tuple[str, ...],
    first: int,
    minutes: float,
    trouble: str = "",
    done: Path | None = None,
    *,
    often: bool = False,
    at_once: int = 1,
) -> None:
    """Kill at the points of a play, in a random order, until the time is up or every point was had."""
    played = sweep(crms, first, minutes, trouble, often=often, at_once=at_once, log=Log(done))
    courses = []
    for one in played:
        if isinstance(one, Played):
            _judge(report, one.course.crm, one.number, one.outcome, trouble, often=often)
        else:
            courses = one
    report.lines += [course.tell() for course in courses]


def play_point(report: Report, crms: tuple[str, ...], number: int, point: str, trouble: str, *, often: bool) -> None:
    """Kill at one point, as a violation names it."""
    for crm in crms:
        outcome = play(crm, point, number, trouble, often=often)
        _judge(report, crm, number, outcome, trouble, often=often)
        report.lines.append(f"{crm}: {outcome}")


def _judge(report: Report, crm: str, number: int, outcome: Outcome, trouble: str, *, often: bool) -> None:
    if outcome.violations:
        again = f'python -m benchmarks.proof kills --crm {crm} --point "{outcome.target}" --seed {number}'
        again += (f" --trouble {trouble}" if trouble else "") + (" --often" if often else "")
        report.broke(again, "\n".join(outcome.violations), outcome.story)


def play_losses(report: Report, crms: tuple[str, ...], number: int, people: int) -> None:
    """The ledger is lost with so many people in flight, once for each CRM."""
    for crm in crms:
        began = time.monotonic()
        with _folder() as folder, _folder() as other:
            loss = play_loss(crm, folder, make_blank(other), people, Random(number))
        if loss.violations:
            again = f"python -m benchmarks.proof losses --crm {crm} --people {people} --seed {number}"
            report.broke(again, "\n".join(loss.violations), "")
        report.lines.append(
            f"{crm}: ledger lost with {loss.people} people in flight, {loss.unheard} emails no CRM had heard of,"
            f" {loss.doubtful} touches in doubt, {loss.owed} writes owed: filled in {loss.filled_seconds:.1f} s, all"
            f" looked up after {loss.proven_passes} passes; {loss.emails} emails in the end,"
            f" {len(loss.needs_person)} left to a person ({time.monotonic() - began:.0f} s)."
        )


def play_cuts(report: Report, first: int, minutes: float) -> None:
    """Cut one of two machines off from something, wave after wave, until the time is up; at least one wave."""
    began, random, cuts = time.monotonic(), Random(first), 0
    with _folder() as folder, Cuts(folder) as play:
        while not cuts or time.monotonic() - began < 60 * minutes:
            cut = draw(random)
            cuts += 1
            try:
                play.wave(24, cut)
                found = play.violations()
            except TimeoutError as error:
                found = [f"P3: {error}", *play.violations()]
            if found:
                again = f"python -m benchmarks.proof cuts --seed {first} --minutes {minutes:g}  # cut {cuts}: {cut}"
                report.broke(again, "\n".join(found), play.said())
                break
        done = play.figures
        report.lines.append(
            f"{cuts} cuts (seed {first}): {done.emails} emails, {play.watch.figures.looks} last looks, a daemon struck"
            f" off {done.struck_off} times and started again {done.restarts} times, {done.in_doubt} touches in doubt in"
            f" the end, at rest {done.slowest:.0f} s after the line was mended at the latest,"
            f" {time.monotonic() - began:.0f} s."
        )


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="crmdrip-proof-") as folder:
        yield Path(folder)


def main() -> int:
    """Play, and print what broke and the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.proof", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="?", choices=["weeks", "kills", "losses", "cuts"], help="weeks and kills without it"
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (%(default)s)")
    parser.add_argument("--crm", choices=CRMS, help="both unless given")
    parser.add_argument("--seed", type=int, default=1, help="the first one (%(default)s)")
    parser.add_argument("--shrink", action="store_true", help="look for the shortest week that breaks as well")
    parser.add_argument("--point", default="", help="one point alone, as a violation names it")
    parser.add_argument("--people", type=int, default=2_000, help="in flight when the ledger is lost (%(default)s)")
    parser.add_argument("--trouble", choices=list(TROUBLES), default="", help="what happens beside each kill")
    parser.add_argument("--often", action="store_true", help="kill again and again in each play")
    parser.add_argument("--done", type=Path, help="a file that remembers which points were killed at, to go on later")
    parser.add_argument("--at-once", type=int, default=1, help="plays at the same time: they mostly wait (%(default)s)")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that processes and namespaces end with this one
    crms = (options.crm,) if options.crm else CRMS
    report = Report(folder=Path(tempfile.mkdtemp(prefix="crmdrip-violations-")))
    minutes = options.minutes if options.what else options.minutes / 2
    if options.what == "cuts":
        try:
            play_cuts(report, options.seed, options.minutes)
        except NoNamespacesError as error:
            parser.exit(2, f"This machine makes no network namespaces: {error}. Run it as root, on Linux.\n")
    if options.what == "losses":
        play_losses(report, crms, options.seed, options.people)
    if options.what in (None, "weeks"):
        play_weeks(report, crms, options.seed, minutes, shrink=options.shrink)
    if options.point:
        play_point(report, crms, options.seed, options.point, options.trouble, often=options.often)
    elif options.what in (None, "kills"):
        if why := options.trouble and TROUBLES[options.trouble].why_not():
            parser.error(f"--trouble {options.trouble} cannot be played here: {why}")
        also = {"often": options.often, "at_once": options.at_once}
        play_kills(report, crms, options.seed, minutes, options.trouble, options.done, **also)
    print("\n".join([*report.lines, f"{len(report.violations)} violations."]))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
