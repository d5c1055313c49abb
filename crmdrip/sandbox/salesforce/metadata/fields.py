"""A CustomField as the Metadata API knows it, to a field of the schema; and what the vendor refuses about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from crmdrip.sandbox.salesforce.formula import (
    FormulaError,
    Scope,
    UnknownFunctionError,
    compile_formula,
)
from crmdrip.sandbox.salesforce.metadata.parts import Part, Problem
from crmdrip.sandbox.salesforce.metadata.xml import Node
from crmdrip.sandbox.salesforce.schema import Field

_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*__c")
_NAME_LENGTH = 40
"""Characters of a custom name without __c."""
_LIMITS = {"label": 40, "inlineHelpText": 510, "description": 1_000}

_TYPES: Mapping[str, str] = {
    "Text": "string",
    "TextArea": "textarea",
    "LongTextArea": "textarea",
    "Html": "textarea",
    "Checkbox": "boolean",
    "Number": "double",
    "Currency": "currency",
    "Percent": "percent",
    "Date": "date",
    "DateTime": "datetime",
    "Time": "time",
    "Email": "email",
    "Phone": "phone",
    "Url": "url",
    "Picklist": "picklist",
    "MultiselectPicklist": "multipicklist",
    "Lookup": "reference",
    "MasterDetail": "reference",
    "Summary": "double",
}
"""The types of the Metadata API that this stand-in has, as describe calls them."""

_LENGTHS = {"TextArea": 255, "Email": 80, "Phone": 40, "Url": 255, "Picklist": 255, "MultiselectPicklist": 4_099}
_NUMBERS = frozenset({"Number", "Currency", "Percent"})

_ALLOWED: Mapping[str, frozenset[str]] = {
    "length": frozenset({"Text", "LongTextArea", "Html"}),
    "visibleLines": frozenset({"LongTextArea", "Html", "MultiselectPicklist"}),
    "precision": _NUMBERS,
    "scale": _NUMBERS,
    "unique": frozenset({"Text", "Number", "Email"}),
    "caseSensitive": frozenset({"Text"}),
    "externalId": frozenset({"Text", "Number", "Email"}),
    "valueSet": frozenset({"Picklist", "MultiselectPicklist"}),
    "referenceTo": frozenset({"Lookup", "MasterDetail"}),
    "relationshipName": frozenset({"Lookup", "MasterDetail"}),
    "relationshipLabel": frozenset({"Lookup", "MasterDetail"}),
    "deleteConstraint": frozenset({"Lookup"}),
    "relationshipOrder": frozenset({"MasterDetail"}),
    "reparentableMasterDetail": frozenset({"MasterDetail"}),
    "writeRequiresMasterRead": frozenset({"MasterDetail"}),
    "summaryForeignKey": frozenset({"Summary"}),
    "summaryOperation": frozenset({"Summary"}),
    "summaryFilterItems": frozenset({"Summary"}),
    "summarizedField": frozenset({"Summary"}),
    "defaultValue": frozenset({"Checkbox", "Text", "TextArea", *_NUMBERS, "Date", "DateTime", "Time"}),
    "required": frozenset({*_TYPES} - {"Checkbox", "LongTextArea", "Html", "MasterDetail", "Summary"}),
}
"""Elements that only some types may carry. required may stand as false everywhere."""

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "Text": ("length",),
    "LongTextArea": ("length", "visibleLines"),
    "Html": ("length", "visibleLines"),
    "Checkbox": ("defaultValue",),
    "Number": ("precision", "scale"),
    "Currency": ("precision", "scale"),
    "Percent": ("precision", "scale"),
    "Picklist": ("valueSet",),
    "MultiselectPicklist": ("valueSet", "visibleLines"),
    "Lookup": ("referenceTo", "relationshipName"),
    "MasterDetail": ("referenceTo", "relationshipName"),
    "Summary": ("summaryForeignKey", "summaryOperation"),
}
_BOUNDS: Mapping[str, tuple[int, int]] = {"Text": (1, 255), "LongTextArea": (256, 131_072), "Html": (256, 131_072)}
_FLAGS = frozenset({"unique", "caseSensitive", "externalId", "required"})
"""Elements that say nothing where they say false."""


def check_field(part: Part) -> Iterator[Problem]:
    """What is wrong with it by itself, whatever else there is in the org."""
    node = part.node
    assert node is not None  # noqa: S101 - a field is always XML
    kind = node.get("type")

    def problem(text: str, at: str = "") -> Problem:
        place = (node.find(at) if at else None) or node
        return Problem(text=text, line=place.line, column=place.column)

    if _NAME.fullmatch(part.local) is None or len(part.local) > _NAME_LENGTH + 3:
        yield problem(f"The name '{part.local}' is not valid: 40 characters at most, and it ends with __c", "fullName")
    if not node.get("label"):
        yield problem("Must specify a non-empty label for the CustomField")
    for name, most in _LIMITS.items():
        if len(node.get(name)) > most:
            yield problem(f"Value too long for field: {name} maximum length is:{most}", name)
    if kind not in _TYPES:
        yield problem(f"'{kind}' is not a valid value for the enum 'FieldType' of this stand-in", "type")
        return
    formula = node.find("formula") is not None
    for name, kinds in _ALLOWED.items():
        given = node.find(name)
        if given is None or (name in _FLAGS and given.text != "true"):
            continue
        if kind not in kinds and not (formula and name in ("precision", "scale")):
            yield problem(f"Can not specify '{name}' for a CustomField of type {kind}", name)
    for name in () if formula else _NEEDED.get(kind, ()):
        if node.find(name) is None:
            yield problem(f"Must specify '{name}' for a CustomField of type {kind}")
    yield from _check_values(node, kind, problem_at=node)


def _check_values(node: Node, kind: str, problem_at: Node) -> Iterator[Problem]:
    line, column = problem_at.line, problem_at.column
    least, most = _BOUNDS.get(kind, (0, 0))
    length = node.number("length")
    if most and length is not None and not least <= length <= most:
        text = f"Invalid value for length: {length}. It must be between {least} and {most} for type {kind}"
        yield Problem(text=text, line=line, column=column)
    precision, scale = node.number("precision"), node.number("scale")
    if kind in _NUMBERS and precision is not None and scale is not None and not scale <= precision <= 18:
        text = f"Invalid precision {precision} and scale {scale}: at most 18 digits, and no more after the point"
        yield Problem(text=text, line=line, column=column)
    values = [value.get("fullName") for value in _values(node)]
    for value in sorted({value for value in values if values.count(value) > 1}):
        yield Problem(text=f"Duplicate picklist value: {value}", line=line, column=column)
    if kind == "Lookup" and node.flag("required") and node.get("deleteConstraint", "SetNull") == "SetNull":
        text = "must specify either cascade delete or restrict delete for required lookup foreign key"
        yield Problem(text=text, line=line, column=column)


def read_field(part: Part) -> Field:
    """The field. It was checked before."""
    node = part.node
    assert node is not None  # noqa: S101 - a field is always XML
    kind = node.get("type")
    values = _values(node)
    default = next((value.get("fullName") for value in values if value.flag("default")), None)
    lookup, detail = kind in ("Lookup", "MasterDetail"), kind == "MasterDetail"
    calculated = kind == "Summary" or node.find("formula") is not None
    length = node.number("length") or _LENGTHS.get(kind, 0)
    if calculated and kind == "Text":
        length = 1_300
    return Field(
        name=part.local,
        type=_TYPES[kind],
        length=18 if lookup else length,
        precision=node.number("precision") or (18 if _TYPES[kind] in ("double", "currency", "percent") else 0),
        scale=node.number("scale") or 0,
        createable=not calculated,
        updateable=not calculated and not (detail and not node.flag("reparentableMasterDetail")),
        required=node.flag("required") or detail,
        unique=node.flag("unique"),
        case_sensitive=node.flag("caseSensitive"),
        external_id=node.flag("externalId"),
        id_lookup=node.flag("externalId") or node.flag("unique"),
        restricted=(value_set := node.find("valueSet")) is not None and value_set.flag("restricted"),
        html=kind == "Html",
        filterable=kind not in ("LongTextArea", "Html"),
        default=default if default is not None else _default(node, kind),
        values=tuple(value.get("fullName") for value in values),
        reference_to=(node.get("referenceTo"),) if lookup else (),
        relationship=part.local[:-1] + "r" if lookup else None,
        child_relationship=node.get("relationshipName") + "__r" if lookup else None,
        given_label=node.get("label"),
        help_text=node.get("inlineHelpText"),
        cascade=detail or node.get("deleteConstraint") == "Cascade",
        master_detail=detail,
        calculated=calculated,
        formula=node.get("formula"),
    )


def _values(node: Node) -> list[Node]:
    value_set = node.find("valueSet")
    definition = None if value_set is None else value_set.find("valueSetDefinition")
    return [] if definition is None else list(definition.all("value"))


def _default(node: Node, kind: str) -> object:
    text = node.get("defaultValue")
    if kind == "Checkbox":
        return text == "true" or None
    if not text:
        return None
    try:
        return compile_formula(text, {}).value(Scope(row={}))
    except (FormulaError, UnknownFunctionError):
        return None  # a default that depends on the time or the user
