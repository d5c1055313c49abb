"""Which elements may stand where. The list is the vendor's own (types.txt); read once, when the first archive comes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from crmdrip.sandbox.salesforce.metadata.parts import Problem
from crmdrip.sandbox.salesforce.metadata.xml import NAMESPACE, Node

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_SIMPLE = frozenset({"string", "boolean", "number"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One element that a type may hold."""

    kind: str
    optional: bool
    many: bool


@cache
def load_types() -> dict[str, dict[str, Rule]]:
    """Every type, with its elements by name."""
    types: dict[str, dict[str, Rule]] = {}
    for line in (files(__package__) / "types.txt").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, _, rest = line.partition(": ")
        types[name] = dict(_read(word) for word in rest.split())
    return types


def _read(word: str) -> tuple[str, Rule]:
    name, _, kind = word.partition("=")
    bare = kind.removeprefix("?").removesuffix("*")
    return name, Rule(kind=bare, optional=kind != bare, many=kind.endswith("*"))


def check(node: Node, kind: str) -> Iterator[Problem]:
    """Everything in an element of the type that the vendor would not read, or would miss."""
    rules = load_types()[kind]
    for child in node.children:
        rule = rules.get(child.name)
        if rule is None or (rule.kind not in _SIMPLE and rule.kind not in load_types()):
            text = f"Element {{{NAMESPACE}}}{child.name} invalid at this location in type {kind}"
            yield Problem(text=f"Error parsing file: {text}", line=child.line, column=child.column)
        elif rule.kind in _SIMPLE:
            yield from _check_value(child, rule.kind)
        else:
            yield from check(child, rule.kind)
    counts = Counter(child.name for child in node.children)
    for name, number in counts.items():
        if number > 1 and name in rules and not rules[name].many:
            text = f"Error parsing file: Duplicate element {name} in type {kind}"
            yield Problem(text=text, line=node.line, column=node.column)
    for name, rule in rules.items():
        # Booleans that are left out are false.
        if not rule.optional and rule.kind != "boolean" and name not in counts:
            yield Problem(text=f"Required field is missing: {name}", line=node.line, column=node.column)


def _check_value(node: Node, kind: str) -> Iterator[Problem]:
    if node.children:
        text = f"Error parsing file: Element {node.children[0].name} invalid at this location in type {kind}"
        yield Problem(text=text, line=node.line, column=node.column)
    elif (kind == "boolean" and node.text.lower() not in ("true", "false")) or (
        kind == "number" and _NUMBER.fullmatch(node.text) is None
    ):
        text = f"'{node.text}' is not a valid value for the type {'xsd:boolean' if kind == 'boolean' else 'xsd:int'}"
        yield Problem(text=text, line=node.line, column=node.column)
