"""Every point that is known, killed at one after another, over as many sittings as it takes.

A first play finds the points, and writes them into a file; every later one that is killed adds its line. Threads take
turns as they like, so a point that did not come is tried again, and after some tries listed as not reached. What a play
passes after its kill that no undisturbed one passes is found as well, and killed at in turn: after the first kill, in
the start that settles what it left.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from kills import Outcome, Play, Point, Target, find_points
from troubles import TROUBLES, Trouble

TRIES = 4
"""After so many a point counts as not reached."""


@dataclass(kw_only=True, slots=True)
class Course:
    """What is known of the points of one CRM under one trouble, and which were killed at."""

    crm: str
    trouble: str = ""
    known: dict[str, int] = field(default_factory=dict)
    """How often an undisturbed play passes each, by name."""
    targets: dict[str, int] = field(default_factory=dict)
    """All that are to be had, with the tries that each took so far."""
    struck: set[str] = field(default_factory=set)
    """Those that were reached."""
    after: set[str] = field(default_factory=set)
    """Names that were passed after a kill alone."""
    kills: int = 0
    plays: int = 0
    emails: int = 0
    asked: int = 0
    restarts: int = 0
    violations: list[str] = field(default_factory=list)

    def begin(self, known: Mapping[str, int]) -> None:
        """The points of an undisturbed play."""
        self.known = dict(known)
        for name, number in known.items():
            self.targets |= {str(Target((Point(name=name, number=one),))): 0 for one in range(number)}

    def note(self, entry: Mapping[str, Any]) -> None:
        """A play is over."""
        target = entry["target"]
        self.plays += 1
        self.kills += entry["kills"]
        self.emails += entry["emails"]
        self.asked += entry["asked"]
        self.restarts += entry["starts"] - 1
        self.targets[target] = self.targets.get(target, 0) + 1
        if entry["violations"]:
            self.violations.append(target)
        if entry["struck"]:
            self.struck.add(target)
            for name, number in entry["after"].items():
                if name not in self.after:
                    self.after.add(name)
                    more = (f"{target} then {name} #{one}" for one in range(number))
                    self.targets |= dict.fromkeys(more, 0)

    def left(self) -> list[str]:
        """Those that are to be tried, in their order."""
        return [target for target, tries in self.targets.items() if target not in self.struck and tries < TRIES]

    def unreached(self) -> list[str]:
        """Those that were tried often enough."""
        return [target for target, tries in self.targets.items() if target not in self.struck and tries >= TRIES]

    def tell(self) -> str:
        """The figures in one paragraph."""
        first = {target for target in self.targets if " then " not in target}
        text = (
            f"{self.crm}{f', {self.trouble}' if self.trouble else ''}: points killed at: {len(first & self.struck)} of"
            f" {len(first)} ({len(self.known)} by name)"
        )
        if more := self.targets.keys() - first:
            text += f", and {len(more & self.struck)} of {len(more)} that only a start after a kill passes"
        text += (
            f"; {self.kills} kills in {self.plays} plays, {self.restarts} restarts, {self.emails} emails,"
            f" {self.asked} touches left to a person; {len(self.violations)} violations."
        )
        if unreached := self.unreached():
            text += f" Not reached in {TRIES} tries: {'; '.join(sorted(unreached))}."
        return text


class Log:
    """The file that remembers, a line of JSON for each play; none at all without a path."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> Iterator[dict[str, Any]]:
        """Every line."""
        if self._path is not None and self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                yield json.loads(line)

    def add(self, **entry: Any) -> None:
        """One more."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(entry)}\n")


def play(crm: str, target: str, number: int, trouble: str = "", *, often: bool = False) -> Outcome:
    """One play, whatever happened before it."""
    with _folder() as folder, Play(crm, folder, make_trouble(trouble, number), forked=True) as one:
        return one.run(Target.parse(target), again=Random(number) if often else None)


def make_trouble(name: str, number: int) -> Trouble:
    """By name and seed; none for ""."""
    return TROUBLES[name](Random(number)) if name else Trouble(Random(number))


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """One play of a sweep."""

    course: Course
    number: int
    outcome: Outcome


def sweep(
    crms: tuple[str, ...], first: int, minutes: float, trouble: str, *, often: bool, at_once: int, log: Log
) -> Iterator[list[Course] | Played]:
    """Kill at every point that is left, in a random order, until the time is up; the courses first, then each play."""
    courses = {crm: Course(crm=crm, trouble=trouble) for crm in crms}
    yield list(courses.values())
    seeds = count(first)
    for entry in log.read():
        if entry["trouble"] == trouble and entry["crm"] in courses and entry["often"] == often:
            course = courses[entry["crm"]]
            course.begin(entry["known"]) if "known" in entry else course.note(entry)
            next(seeds)
    for crm, course in courses.items():
        if not course.known:
            with _folder() as folder:
                known = find_points(crm, folder, make_trouble(trouble, first))
            course.begin(known)
            log.add(crm=crm, trouble=trouble, often=often, known=known)
    end = time.monotonic() + 60 * minutes
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        running: dict[Future[Outcome], tuple[Course, str, int]] = {}
        while True:
            while len(running) < at_once and time.monotonic() < end:
                drawn = _draw(courses, {target for _, target, _ in running.values()}, Random(next(seeds)))
                if drawn is None:
                    break
                number = next(seeds)
                future = pool.submit(play, drawn[0].crm, drawn[1], number, trouble, often=often)
                running[future] = (*drawn, number)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                course, target, number = running.pop(future)
                outcome = future.result()
                entry = _describe(course, target, number, outcome)
                course.note(entry)
                log.add(crm=course.crm, trouble=trouble, often=often, **entry)
                yield Played(course=course, number=number, outcome=outcome)


def _draw(courses: Mapping[str, Course], busy: set[str], random: Random) -> tuple[Course, str] | None:
    """What is next: one of the points that were tried least."""
    found = [(course, target) for course in courses.values() for target in course.left() if target not in busy]
    if not found:
        return None
    fewest = min(course.targets[target] for course, target in found)
    return random.choice([one for one in found if one[0].targets[one[1]] == fewest])


def _describe(course: Course, target: str, number: int, outcome: Outcome) -> dict[str, Any]:
    """For the log."""
    after = Counter(outcome.points) if outcome.struck and " then " not in target else Counter()
    return {
        "target": target,
        "seed": number,
        "struck": outcome.struck,
        "kills": outcome.kills,
        "starts": outcome.starts,
        "emails": outcome.emails,
        "asked": outcome.needs_person,
        "seconds": round(outcome.seconds, 1),
        "violations": outcome.violations,
        "said": outcome.said,
        "after": {name: times for name, times in after.items() if name not in course.known},
    }


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="crmdrip-proof-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
