"""The package as it is shipped: what a deployment would bring, read from the source tree and prepared once.

The sandbox knows no schema of its own beyond the standard objects: what it shows is what is installed in real orgs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from crmdrip.sandbox.salesforce.access import Grants
from crmdrip.sandbox.salesforce.calculated import FormulaRule
from crmdrip.sandbox.salesforce.metadata.archive import CHILDREN
from crmdrip.sandbox.salesforce.metadata.parts import Part
from crmdrip.sandbox.salesforce.metadata.permissions import read_permission_set
from crmdrip.sandbox.salesforce.metadata.planning import Plan, plan_objects, plan_rules
from crmdrip.sandbox.salesforce.metadata.xml import parse
from crmdrip.sandbox.salesforce.schema import load_schema

_META = "-meta.xml"
_SINGLE = ("fields", "validationRules")
"""What of an object the org lives by. List views and layouts it takes from deployments alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipped:
    """The package, ready to be applied to an org in which nothing is installed."""

    parts: tuple[Part, ...]
    plan: Plan
    rules: dict[str, list[tuple[str, FormulaRule | None]]]
    sets: tuple[Grants, ...]
    shapes: Mapping[tuple[str, str], object]
    """What each part says, by its key."""


@cache
def load_shipped() -> Shipped:
    """Read and prepared at the first call. Raises FileNotFoundError, and ValueError for a package that is not sound."""
    parts = tuple(_read(_find()))
    plan = plan_objects(load_schema(), parts)
    wrong = [f"{part.name}: {problem.text}" for part, problem in plan.problems if not problem.warning]
    if wrong:
        raise ValueError("; ".join(wrong))
    sets = tuple(read_permission_set(part) for part in parts if part.kind == "PermissionSet")
    return Shipped(
        parts=parts,
        plan=plan,
        rules=dict(plan_rules(plan.schema, parts)),
        sets=sets,
        shapes={part.key: part.shape for part in parts},
    )


def _find() -> Traversable:
    """In the wheel, or beside the package in a source tree."""
    package = files("crmdrip")
    for folder in (package / "_mappings", Path(str(package)).parent / "mappings"):
        tree = folder / "salesforce" / "force-app" / "main" / "default"
        if tree.is_dir():
            return tree
    raise FileNotFoundError("the Salesforce package is not installed with crmdrip")


def _read(tree: Traversable) -> Iterator[Part]:
    for folder in _sorted(tree / "objects"):
        own = folder / f"{folder.name}.object{_META}"
        if own.is_file():
            yield Part(kind="CustomObject", name=folder.name, file=str(own), node=parse(own.read_bytes()))
        for name in _SINGLE:
            for file in _sorted(folder / name):
                full = f"{folder.name}.{file.name.partition('.')[0]}"
                yield Part(kind=CHILDREN[name], name=full, file=str(file), node=parse(file.read_bytes()))
    for file in _sorted(tree / "permissionsets"):
        name = file.name.partition(".")[0]
        yield Part(kind="PermissionSet", name=name, file=str(file), node=parse(file.read_bytes()))


def _sorted(folder: Traversable) -> list[Traversable]:
    if not folder.is_dir():
        return []
    return sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda entry: entry.name)
