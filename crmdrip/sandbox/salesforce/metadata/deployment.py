"""Deployments: an archive is checked as a whole, and then applied as a whole or not at all. Nothing is ever deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crmdrip.sandbox.salesforce import ids
from crmdrip.sandbox.salesforce.access import Grants, secured
from crmdrip.sandbox.salesforce.calculated import FormulaRule
from crmdrip.sandbox.salesforce.metadata.archive import Archive, ArchiveError, Failure, read_archive
from crmdrip.sandbox.salesforce.metadata.parts import Part, Problem
from crmdrip.sandbox.salesforce.metadata.permissions import read_permission_set
from crmdrip.sandbox.salesforce.metadata.planning import Plan, plan_objects, plan_rules
from crmdrip.sandbox.salesforce.metadata.references import check_references
from crmdrip.sandbox.salesforce.metadata.tree import Shipped
from crmdrip.sandbox.salesforce.values import show_datetime, to_ms

if TYPE_CHECKING:
    from crmdrip.sandbox.salesforce.org import SalesforceOrg

_IN_PARTS = frozenset({"CustomObject", "CustomField"})
"""Checked while the schema is planned."""
_BEFORE_DONE = 2
"""How many times one has to ask before a deployment is through: pending, in progress, done."""


@dataclass(kw_only=True, slots=True)
class Deployment:
    """One request, and what came of it."""

    id: str
    options: Mapping[str, Any]
    user_id: str
    created: datetime
    parts: tuple[Part, ...] = ()
    failures: list[Failure] = field(default_factory=list)
    successes: list[dict[str, Any]] = field(default_factory=list)
    refused: str = ""
    """Why the whole of it could not be read."""
    asked: int = 0

    @property
    def errors(self) -> list[Failure]:
        """Failures that are no mere warnings."""
        return [each for each in self.failures if not each.problem.warning]


class Deployments:
    """What was deployed to one org."""

    def __init__(self, org: SalesforceOrg) -> None:
        self._org = org
        self._requests: dict[str, Deployment] = {}
        self._components: dict[tuple[str, str], object] = {}
        """What is installed, and what each says."""
        self._rules: dict[str, dict[str, FormulaRule | None]] = {}
        self.watch: Callable[[], None] | None = None
        """Called after each deployment that changed the org."""

    def install(self, shipped: Shipped) -> None:
        """Put the package in as if it had been deployed, all of it at once."""
        self._apply(shipped.plan, shipped.rules, shipped.sets)
        self._components.update(shipped.shapes)

    def request(self, content: bytes, options: Mapping[str, Any], user_id: str) -> Deployment:
        """Check the archive, and apply it unless that fails or only the check was asked for."""
        number = len(self._requests) + 1
        found = Deployment(
            id=ids.mint("0Af", number), options=options, user_id=user_id, created=self._org.server_time()
        )
        self._requests[found.id] = found
        try:
            archive = read_archive(content)
        except ArchiveError as error:
            found.refused = str(error)
            return found
        found.parts = archive.parts
        found.failures = list(archive.failures)
        if not found.errors:
            self._deploy(found, archive)
        return found

    def find(self, deployment_id: str) -> Deployment | None:
        """One request by its id."""
        return self._requests.get(ids.normalize(deployment_id) or "")

    def _deploy(self, found: Deployment, archive: Archive) -> None:
        plan = plan_objects(self._org.schema, archive.parts)
        keys = {*self._components, *(part.key for part in archive.parts)}
        for part, problem in plan.problems:
            found.failures.append(_failure(part, problem))
        broken = {(each.kind, each.name) for each in found.errors}
        for part in archive.parts:
            # What refers to a broken object or field fails by itself; the vendor goes through all of them as well.
            if part.kind not in _IN_PARTS or (part.kind == "CustomObject" and part.key not in broken):
                for problem in check_references(part, plan.schema, keys):
                    found.failures.append(_failure(part, problem))
        if found.errors:
            return
        found.successes = [self._success(part) for part in archive.parts]
        if found.options.get("checkOnly"):
            return
        sets = [read_permission_set(part) for part in archive.parts if part.kind == "PermissionSet"]
        self._apply(plan, plan_rules(plan.schema, archive.parts), sets)
        for part in archive.parts:
            self._components[part.key] = part.shape
        if self.watch is not None:
            self.watch()

    def _success(self, part: Part) -> dict[str, Any]:
        known = self._components.get(part.key)
        return {
            "componentType": part.kind,
            "fullName": part.name,
            "fileName": part.file,
            "created": part.key not in self._components,
            "changed": known != part.shape,
            "deleted": False,
            "success": True,
            "warning": False,
            "problem": None,
            "problemType": None,
        }

    def _apply(
        self,
        plan: Plan,
        rules: Mapping[str, list[tuple[str, FormulaRule | None]]],
        sets: Iterable[Grants],
    ) -> None:
        org = self._org
        for name in plan.created:
            org.store.add_object(plan.objects[name])
            org.access.packaged.add(name)
        org.schema.put(*plan.objects.values())
        for name, fields in plan.added.items():
            if name not in plan.created:
                org.store.add_columns(name, fields)
            org.access.deployed.update((name, each.name) for each in fields if secured(each))
        calculations = org.records.calculations
        for name, formulas in plan.formulas.items():
            kept = {each.name: each for each in (*calculations.fields.get(name, ()), *formulas)}
            calculations.fields[name] = list(kept.values())
        for roll_up in plan.roll_ups:
            others = [one for one in calculations.roll_ups.get(roll_up.detail, ()) if one.field != roll_up.field]
            calculations.roll_ups[roll_up.detail] = [*others, roll_up]
        for name, found in rules.items():
            known = self._rules.setdefault(name, {})
            known.update(dict(found))
            calculations.rules[name] = [rule for rule in known.values() if rule is not None]
        for grants in sets:
            self._grant(grants)
        org.access.changed()

    def _grant(self, grants: Grants) -> None:
        org = self._org
        text = {"Label": grants.label, "Description": grants.description, "IsCustom": 1}
        if grants.name in org.access.sets:
            (found,) = org.store.ids_where("PermissionSet", "Name", grants.name)
            org.store.update("PermissionSet", found, {**text, "SystemModstamp": org.next_stamp()})
        else:
            org.seed("PermissionSet", [{"Name": grants.name, **text}])
        org.access.sets[grants.name] = grants


def _failure(part: Part, problem: Problem) -> Failure:
    return Failure(file=part.file, problem=problem, kind=part.kind, name=part.name)


def answer(found: Deployment, *, details: bool) -> dict[str, Any]:
    """What the REST resource answers. Each time one asks, the deployment is a step further."""
    stage = min(found.asked, _BEFORE_DONE)
    found.asked += 1
    done = stage == _BEFORE_DONE
    errors, total = len(found.errors), len(found.parts)
    good = not errors and not found.refused
    status = ("Pending", "InProgress", "Succeeded" if good else "Failed")[stage]
    result: dict[str, Any] = {
        "id": found.id,
        "checkOnly": bool(found.options.get("checkOnly")),
        "rollbackOnError": True,
        "ignoreWarnings": bool(found.options.get("ignoreWarnings")),
        "runTestsEnabled": False,
        "createdDate": show_datetime(to_ms(found.created)),
        "createdBy": found.user_id,
        "status": status,
        "done": done,
        "success": done and good,
        "numberComponentsTotal": total if stage else 0,
        "numberComponentsDeployed": (0, total // 2 if good else 0, total if good else 0)[stage],
        "numberComponentErrors": errors if done else 0,
        "numberTestsTotal": 0,
        "numberTestsCompleted": 0,
        "numberTestErrors": 0,
        "stateDetail": None,
        "errorStatusCode": "UNKNOWN_EXCEPTION" if done and found.refused else None,
        "errorMessage": found.refused if done and found.refused else None,
    }
    if details and done:
        result["details"] = {
            "componentFailures": [_told(each) for each in found.failures],
            "componentSuccesses": found.successes,
            "runTestResult": {"numFailures": 0, "numTestsRun": 0, "failures": [], "successes": []},
        }
    return {"id": found.id, "validatedDeployRequestId": None, "deployOptions": None, "deployResult": result}


def _told(each: Failure) -> dict[str, Any]:
    problem = each.problem
    return {
        "componentType": each.kind,
        "fullName": each.name,
        "fileName": each.file,
        "problem": problem.text,
        "problemType": "Warning" if problem.warning else "Error",
        "lineNumber": problem.line or None,
        "columnNumber": problem.column or None,
        "created": False,
        "changed": False,
        "deleted": False,
        "success": False,
        "warning": problem.warning,
    }
