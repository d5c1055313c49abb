"""From the parts of a deployment to the schema as it would be, and what the vendor refuses about objects and fields."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from crmdrip.sandbox.salesforce.calculated import FormulaField, FormulaRule, RollUp
from crmdrip.sandbox.salesforce.formula import FormulaError, UnknownFunctionError, compile_formula
from crmdrip.sandbox.salesforce.metadata.fields import check_field, read_field
from crmdrip.sandbox.salesforce.metadata.parts import Part, Problem
from crmdrip.sandbox.salesforce.metadata.references import kinds_of
from crmdrip.sandbox.salesforce.schema import Field, Schema, SObject, audit_fields, build_object

MAX_FIELDS = 500
"""Custom fields of an object in Enterprise Edition (Salesforce help, "Custom Fields Allowed Per Object")."""
MAX_EXTERNAL_IDS = 25
MAX_RELATIONSHIPS = 40
_NO_DETAILS = frozenset({"Contact", "Lead", "Activity", "Task", "Event", "User", "Account", "Opportunity"})
"""Standard objects: of a master-detail relationship they can only be the master."""
_NAME_LENGTH = 80
_FIRST_PREFIX = "a0S"


@dataclass(kw_only=True, slots=True)
class Plan:
    """What would be."""

    schema: Schema
    objects: dict[str, SObject] = field(default_factory=dict)
    """New and changed."""
    created: set[str] = field(default_factory=set)
    added: dict[str, list[Field]] = field(default_factory=lambda: defaultdict(list))
    """New fields, by object."""
    formulas: dict[str, list[FormulaField]] = field(default_factory=lambda: defaultdict(list))
    roll_ups: list[RollUp] = field(default_factory=list)
    problems: list[tuple[Part, Problem]] = field(default_factory=list)


def plan_objects(schema: Schema, parts: Iterable[Part]) -> Plan:
    """Objects and fields alone. Nothing of the schema that is given is changed."""
    parts = list(parts)
    plan = Plan(schema=Schema(schema))
    fields: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        if part.kind == "CustomField":
            for name in ("Task", "Event") if part.owner == "Activity" else (part.owner,):
                fields[name].append(part)
    for part in parts:
        if part.kind == "CustomObject":
            _plan_object(plan, part)
    for name, own in fields.items():
        _plan_fields(plan, name, own)
    plan.schema.put(*plan.objects.values())
    for part in parts:
        if part.kind == "CustomField":
            plan.problems.extend((part, each) for each in _check_relations(plan, part))
            _compute(plan, part)
    return plan


def _plan_object(plan: Plan, part: Part) -> None:
    node = part.node
    assert node is not None  # noqa: S101 - an object is always XML
    known = plan.schema.get(part.name)
    if not part.name.endswith("__c"):
        if known is None:
            plan.problems.append((part, Problem(text=f"Entity Enumeration Or ID: bad value: {part.name}")))
        return
    for needed in ("label", "pluralLabel", "nameField", "sharingModel", "deploymentStatus"):
        if node.find(needed) is None:
            text = "Must specify a non-empty label for the CustomObject" if needed == "label" else needed
            text = text if needed == "label" else f"Required field is missing: {needed}"
            plan.problems.append((part, Problem(text=text, line=node.line, column=node.column)))
    if known is not None:
        plan.objects[part.name] = replace(known, label=node.get("label"), plural=node.get("pluralLabel"))
        return
    plan.created.add(part.name)
    first, last = audit_fields(deletable=True)
    name_node = node.find("nameField")
    numbered = name_node is not None and name_node.get("type") == "AutoNumber"
    name = Field(
        name="Name",
        type="string",
        length=_NAME_LENGTH,
        name_field=True,
        id_lookup=True,
        createable=not numbered,
        updateable=not numbered,
        given_label="" if name_node is None else name_node.get("label"),
    )
    owner = Field(
        name="OwnerId",
        type="reference",
        length=18,
        defaulted=True,
        reference_to=("Group", "User"),
        relationship="Owner",
    )
    controlled = node.get("sharingModel") == "ControlledByParent"
    taken = {spec.prefix for spec in (*plan.schema, *plan.objects.values())}
    plan.objects[part.name] = build_object(
        part.name,
        label=node.get("label"),
        plural=node.get("pluralLabel"),
        prefix=next(each for each in _prefixes() if each not in taken),
        deletable=True,
        createable=True,
        mergeable=False,
        fields=[*first, name, *(() if controlled else (owner,)), *last],
    )


def _prefixes() -> Iterator[str]:
    """The key prefixes of custom objects, in the order in which they are made."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    start = digits.index(_FIRST_PREFIX[2])
    for number in range(start, 62 * 62):
        yield f"a{digits[number // 62]}{digits[number % 62]}"


def _plan_fields(plan: Plan, name: str, parts: list[Part]) -> None:
    spec = plan.objects.get(name) or plan.schema.get(name)
    if spec is None:
        for part in parts:
            plan.problems.append((part, _at(part, f"Entity Enumeration Or ID: bad value: {part.owner}")))
        return
    fields = dict(spec.fields)
    # Deployed fields stand before those that the org keeps itself, in the order of their names.
    tail = [each for each in fields.values() if each.name in ("CreatedDate", "CreatedById", "LastModifiedDate",
                                                             "LastModifiedById", "SystemModstamp")]  # fmt: skip
    for part in sorted(parts, key=lambda each: each.local):
        problems = [] if part.owner == "Activity" and name == "Event" else list(check_field(part))
        plan.problems.extend((part, each) for each in problems)
        if problems:
            continue
        each, known = read_field(part), fields.get(part.local)
        if known is None:
            plan.added[name].append(each)
        elif (problem := _changed(part, known, each)) is not None:
            plan.problems.append((part, problem))
        fields[each.name] = each
    for kept in tail:
        fields[kept.name] = fields.pop(kept.name)
    _check_limits(plan, parts, list(fields.values()))
    plan.objects[name] = build_object(
        name,
        label=spec.label,
        plural=spec.plural,
        prefix=spec.prefix,
        deletable=spec.deletable,
        createable=spec.createable,
        mergeable=spec.mergeable,
        fields=fields.values(),
    )


def _changed(part: Part, known: Field, wanted: Field) -> Problem | None:
    """What the vendor refuses of a change (its wording of these is not recorded)."""
    if known.type != wanted.type or known.html != wanted.html or known.calculated != wanted.calculated:
        return _at(part, f"Cannot change the type of {part.name} from {known.type} to {wanted.type}")
    if known.reference_to != wanted.reference_to:
        return _at(part, f"Cannot update referenceTo of {part.name}")
    return None


def _check_limits(plan: Plan, parts: list[Part], fields: list[Field]) -> None:
    custom = [each for each in fields if each.custom]
    for count, most, what in (
        (len(custom), MAX_FIELDS, "custom fields"),
        (sum(each.external_id for each in custom), MAX_EXTERNAL_IDS, "external ID fields"),
        (sum(each.type == "reference" for each in custom), MAX_RELATIONSHIPS, "relationships"),
    ):
        if count > most:
            text = f"You have reached the maximum number of {most} {what} on this object."
            plan.problems.append((parts[-1], _at(parts[-1], text)))


def _check_relations(plan: Plan, part: Part) -> Iterator[Problem]:
    """Whether what it points at is there, and may be pointed at so."""
    node = part.node
    assert node is not None  # noqa: S101 - a field is always XML
    target, kind = node.get("referenceTo"), node.get("type")
    if kind not in ("Lookup", "MasterDetail"):
        return
    if target not in plan.schema:
        text = f"referenceTo value of '{target}' does not resolve to a valid sObject type"
        yield _at(part, text)
        return
    if kind == "MasterDetail" and part.owner in _NO_DETAILS:
        yield _at(part, f"A MasterDetail relationship cannot be made on {part.owner}")
    wanted = node.get("relationshipName") + "__r"
    counts = Counter(
        (key.child_relationship, child.name, key.name)
        for child, key in plan.schema.children(target)
        if key.child_relationship == wanted
    )
    owners = {(child, name) for _, child, name in counts if not (child in ("Task", "Event") and name == part.local)}
    if owners - {(part.owner, part.local)}:
        yield _at(part, f"There is already a Child Relationship named {node.get('relationshipName')} on {target}.")


def _compute(plan: Plan, part: Part) -> None:
    """Formulas and roll-ups, once every field is known."""
    node = part.node
    spec = plan.schema.get("Task" if part.owner == "Activity" else part.owner)
    if node is None or spec is None:
        return
    if node.find("formula") is not None:
        try:
            formula = compile_formula(node.get("formula"), kinds_of(spec))
        except FormulaError as error:
            plan.problems.append((part, _at(part, str(error))))
        except UnknownFunctionError as error:
            text = f"This stand-in does not evaluate {error}: the field stays empty here"
            plan.problems.append((part, replace(_at(part, text), warning=True)))
        else:
            plan.formulas[spec.name].append(FormulaField(name=part.local, formula=formula))
    if node.get("type") == "Summary":
        roll_up, problem = _roll_up(plan, part)
        if problem is not None:
            plan.problems.append((part, problem))
        elif roll_up is not None:
            plan.roll_ups.append(roll_up)


def _roll_up(plan: Plan, part: Part) -> tuple[RollUp | None, Problem | None]:
    node = part.node
    assert node is not None  # noqa: S101 - a field is always XML
    detail, _, key = node.get("summaryForeignKey").partition(".")
    spec = plan.schema.get(detail)
    link = spec.field(key) if spec is not None else None
    if spec is None or link is None or not link.master_detail or link.reference_to != (part.owner,):
        text = f"Invalid summaryForeignKey: {node.get('summaryForeignKey')} is no detail of {part.owner}"
        return None, _at(part, text)
    filters = list(node.all("summaryFilterItems"))
    condition: tuple[str, Any] | None = None
    if node.get("summaryOperation") != "count" or len(filters) > 1:
        return None, _at(part, "This stand-in rolls up by count alone, with one filter at most")
    for each in filters:
        owner, _, name = each.get("field").partition(".")
        found = plan.schema[owner].field(name) if owner in plan.schema else None
        if found is None or each.get("operation") != "equals":
            return None, _at(part, f"In field: summaryFilterItems - no CustomField named {each.get('field')} found")
        value: Any = each.get("value")
        condition = (found.name, int(value.lower() == "true") if found.type == "boolean" else value)
    return RollUp(master=part.owner, field=part.local, detail=detail, key=key, condition=condition), None


def plan_rules(schema: Schema, parts: Iterable[Part]) -> Mapping[str, list[tuple[str, FormulaRule | None]]]:
    """Validation rules by object, each with its name; None for one that is off, or that cannot be worked out here."""
    found: dict[str, list[tuple[str, FormulaRule | None]]] = defaultdict(list)
    for part in parts:
        node = part.node
        if part.kind != "ValidationRule" or node is None:
            continue
        rule = None
        if node.flag("active"):
            try:
                formula = compile_formula(node.get("errorConditionFormula"), kinds_of(schema[part.owner]))
            except UnknownFunctionError:
                formula = None
            if formula is not None:
                message, place = node.get("errorMessage"), node.get("errorDisplayField")
                rule = FormulaRule(name=part.name, formula=formula, message=message, field=place)
        found[part.owner].append((part.name, rule))
    return found


def _at(part: Part, text: str) -> Problem:
    line, column = (0, 0) if part.node is None else (part.node.line, part.node.column)
    return Problem(text=text, line=line, column=column)
