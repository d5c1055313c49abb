"""Proposes which of an org's own fields stand for the words of the mapping. Pure; never guesses in silence.

A field is proposed by what it is called and what it can hold. One that is called the same is a proposal; one that only
resembles it is a question, which a person answers; one that resembles it and cannot hold it is named with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from crmdrip.ports import Candidate, Place

_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_EMPTY = frozenset({"c", "the", "is", "of", "a", "an", "drip", "crmdrip", "field", "in", "on", "at", "date", "time"})

_ALIKE: Sequence[frozenset[str]] = (
    frozenset({"sequence", "cadence", "program", "flow", "playbook", "campaign", "outreach"}),
    frozenset({"enrolled", "enroll", "enrol", "enrollment", "member", "participating"}),
    frozenset({"step", "stage", "touchpoint"}),
    frozenset({"touch", "touched", "contacted", "email", "mail", "send", "sent"}),
    frozenset({"paused", "pause", "snooze", "snoozed", "hold"}),
    frozenset({"until", "till", "to", "through"}),
    frozenset({"replied", "reply", "answered", "response", "responded"}),
    frozenset({"reason", "why", "detail", "details", "cause"}),
    frozenset({"status", "state"}),
    frozenset({"approved", "approve", "approval", "ok"}),
    frozenset({"run", "runs", "round", "attempt", "iteration"}),
    frozenset({"order", "number", "position", "index", "sort"}),
    frozenset({"body", "text", "content", "html", "message"}),
    frozenset({"subject", "title", "headline"}),
    frozenset({"delay", "wait", "gap", "interval"}),
    frozenset({"next", "upcoming", "due"}),
    frozenset({"last", "latest", "recent", "previous"}),
    frozenset({"brake", "stop", "halt", "emergency", "killswitch"}),
    frozenset({"control", "settings", "switchboard"}),
    frozenset({"ooo", "office", "absence", "absent", "vacation"}),
    frozenset({"active", "enabled", "live"}),
)
"""Words that people use for one another here."""
_FAMILY = {word: number for number, words in enumerate(_ALIKE) for word in words}
_FLAVOUR = _FAMILY["sequence"]
"""What an org's people put before everything of theirs, such as Cadence: like our Drip, it tells nothing apart."""

_BOX = "enrolled"
_SAME, _LIKE = 0.99, 0.45
"""From how much likeness on something is a proposal, and a question."""


class Confidence(StrEnum):
    """How sure a proposal is."""

    THERE = "there"
    """What is mapped now is there."""
    PROPOSED = "proposed"
    """One field is called so and can hold it."""
    QUESTION = "question"
    """Something resembles it: a person decides."""
    MISSING = "missing"
    """Nothing does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """What could stand for one word."""

    place: Place
    confidence: Confidence
    candidate: Candidate | None = None
    """The one proposed or asked about."""
    others: tuple[Candidate, ...] = ()
    """What resembles it as well."""

    @property
    def why(self) -> str:
        """In a few words."""
        if self.candidate is None:
            return "" if self.confidence is Confidence.THERE else "nothing here is called so"
        found = f'"{self.candidate.label}", {self.candidate.kind}'
        if self.candidate.problems:
            return f"{found}: {'; '.join(self.candidate.problems)}"
        return found


def propose(places: Iterable[Place]) -> list[Proposal]:
    """One proposal for each word. A field is proposed for one word of its object at most."""
    proposals = [_propose(place) for place in places]
    taken: dict[tuple[str, str], int] = {}
    for one in proposals:
        if one.confidence is Confidence.PROPOSED and one.candidate is not None:
            key = (one.place.table, one.candidate.name)
            taken[key] = taken.get(key, 0) + 1
    return [_doubt(one, taken) for one in proposals]


def _propose(place: Place) -> Proposal:
    if place.there:
        return Proposal(place=place, confidence=Confidence.THERE)
    ranked = sorted(
        ((compare(place, one), one) for one in place.candidates),
        key=lambda pair: (-pair[0], bool(pair[1].problems), len(pair[1].name), pair[1].name),
    )
    alike = [(score, one) for score, one in ranked if score >= _LIKE]
    if not alike:
        return Proposal(place=place, confidence=Confidence.MISSING)
    best, first = alike[0]
    fits = not first.problems
    alone = sum(score >= _SAME and not one.problems for score, one in alike) == 1
    sure = best >= _SAME and fits and alone
    return Proposal(
        place=place,
        confidence=Confidence.PROPOSED if sure else Confidence.QUESTION,
        candidate=first,
        others=tuple(one for _, one in alike[1:4]),
    )


def _doubt(one: Proposal, taken: Mapping[tuple[str, str], int]) -> Proposal:
    if one.confidence is not Confidence.PROPOSED or one.candidate is None:
        return one
    if taken[one.place.table, one.candidate.name] == 1:
        return one
    return Proposal(place=one.place, confidence=Confidence.QUESTION, candidate=one.candidate, others=one.others)


def compare(place: Place, candidate: Candidate) -> float:
    """How much alike the two are called: 0 not at all, 1 the same."""
    wanted = {_families(place.label), _families(place.word.replace("_", " "))}
    found = {_families(candidate.label), _families(candidate.name)}
    if place.word == _BOX and frozenset({_FLAVOUR}) in found:
        return _LIKE  # a box that is called Cadence and nothing else is often the one
    return max(_overlap(one, other) for one in wanted for other in found)


def _families(text: str) -> frozenset[object]:
    """What a name says: its words, each by the family it belongs to."""
    words = [word.lower() for part in text.split("_") for word in _TOKEN.findall(part)]
    families = [_FAMILY.get(word, word) for word in words if word not in _EMPTY]
    told = [each for each in families if each != _FLAVOUR]
    return frozenset(told or families)


def _overlap(one: frozenset[object], other: frozenset[object]) -> float:
    if not one or not other:
        return 0.0
    return len(one & other) / len(one | other)


def write_mapping(name: str, proposals: Sequence[Proposal]) -> str:
    """The mapping's file: the names that differ, each with why; questions and what is missing stand as comments."""
    lines = [
        f"# The names this CRM ({name}) has for what crmdrip reads and writes, where they are not the package's.",
        "# Proposed by crmdrip map from names and types: read it through. A line that begins with # is not in force.",
    ]
    table = ""
    for one in proposals:
        if one.confidence is Confidence.THERE:
            continue
        if one.place.table != table:
            table = one.place.table
            lines += ["", f"[{table}]"]
        lines.append(_line(one))
    return "\n".join(lines) + "\n"


def _line(one: Proposal) -> str:
    word = one.place.word
    if one.confidence is Confidence.PROPOSED and one.candidate is not None:
        return f'{word} = "{one.candidate.name}"  # {_safe(one.why)}'
    if one.candidate is not None:
        question = "cannot hold it:" if one.candidate.problems else "is it this?"
        others = f" Or {', '.join(other.name for other in one.others)}?" if one.others else ""
        return f'# {word} = "{one.candidate.name}"  # {question} {_safe(one.why)}.{others}'
    kept = f"missing; the package brings {one.place.name} ({one.place.kind})"
    return f'# {word} = ""  # {kept}'


def _safe(text: str) -> str:
    """Text of a CRM as a comment: one line, and nothing that a terminal or TOML takes for anything else."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
