"""What each component refers to has to be there: in the org, or in the same deployment."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping

from crmdrip.sandbox.salesforce.formula import FormulaError, UnknownFunctionError, compile_formula
from crmdrip.sandbox.salesforce.metadata.parts import Part, Problem
from crmdrip.sandbox.salesforce.metadata.permissions import check_permission_set
from crmdrip.sandbox.salesforce.metadata.xml import Node
from crmdrip.sandbox.salesforce.schema import Schema, SObject

Components = Container[tuple[str, str]]

_CUSTOM = re.compile(r"\b[A-Za-z]\w*?__[cr]\b")
_IMPORT = re.compile(rb"@salesforce/schema/(\w+)(?:\.([\w.]+))?")
_COMPONENT = re.compile(rb"<c-([a-z0-9-]+)")


def check_references(part: Part, schema: Schema, components: Components) -> Iterator[Problem]:
    """What is named and not there. schema and components: as they will be after the deployment."""
    if part.kind == "PermissionSet":
        yield from check_permission_set(part, schema, components)
    elif (checker := _CHECKERS.get(part.kind)) is not None:
        yield from checker(part, schema, components)


def kinds_of(spec: SObject) -> dict[str, str]:
    """The fields that formulas of the object may name, with their types."""
    return {each.name: each.type for each in spec.fields.values()}


def _node(part: Part) -> Node:
    assert part.node is not None  # noqa: S101 - every kind that is checked here is XML
    return part.node


def _at(node: Node, text: str, *, warning: bool = False) -> Problem:
    return Problem(text=text, line=node.line, column=node.column, warning=warning)


def _fields(spec: SObject | None, nodes: Iterator[Node], tag: str) -> Iterator[Problem]:
    """Custom fields that a component names are fields of its object; standard columns have names of their own."""
    for node in nodes:
        name = node.text.rpartition(".")[2]
        if spec is not None and name.endswith("__c") and spec.field(name) is None:
            yield _at(node, f"In field: {tag} - no CustomField named {spec.name}.{name} found")


def _object(part: Part, schema: Schema, name: str) -> tuple[SObject | None, list[Problem]]:
    spec = schema.get("Task" if name == "Activity" else name)
    missing = [] if spec is not None else [_at(_node(part), f"Entity Enumeration Or ID: bad value: {name}")]
    return spec, missing


def _check_list_view(part: Part, schema: Schema, _: Components) -> Iterator[Problem]:
    spec, missing = _object(part, schema, part.owner)
    yield from missing
    node = _node(part)
    yield from _fields(spec, node.all("columns"), "columns")
    for each in node.all("filters"):
        yield from _fields(spec, each.all("field"), "field")
        yield from _filter_values(spec, each)


def _filter_values(spec: SObject | None, each: Node) -> Iterator[Problem]:
    field = spec.field(each.get("field")) if spec is not None else None
    if field is None or not field.restricted or each.get("operation") not in ("equals", "notEqual"):
        return
    for value in filter(None, each.get("value").split(",")):
        if value.strip() not in field.values:
            yield _at(each, f"Picklist value: {value.strip()} in picklist: {field.name} not found")


def _check_layout(part: Part, schema: Schema, components: Components) -> Iterator[Problem]:
    spec, missing = _object(part, schema, part.name.partition("-")[0])
    yield from missing
    for node in _node(part).walk():
        if node.name == "layoutItems":
            yield from _fields(spec, node.all("field"), "field")
        elif node.name == "relatedLists":
            yield from _related(node, schema)
        elif node.name == "actionName" and "." in node.text and ("QuickAction", node.text) not in components:
            yield _at(node, f"In field: actionName - no QuickAction named {node.text} found")


def _related(node: Node, schema: Schema) -> Iterator[Problem]:
    owner, _, key = node.get("relatedList").partition(".")
    if not owner.endswith("__c"):
        return
    spec = schema.get(owner)
    if spec is None or spec.field(key) is None:
        yield _at(node, f"Cannot find related list:{node.get('relatedList')}")
    else:
        yield from _fields(spec, node.all("fields"), "fields")


def _check_tab(part: Part, schema: Schema, components: Components) -> Iterator[Problem]:
    node = _node(part)
    if node.flag("customObject") and part.name not in schema:
        yield _at(node, f"In field: customObject - no CustomObject named {part.name} found")
    yield from _exists(node, "flexiPage", "FlexiPage", components)
    yield from _exists(node, "lwcComponent", "LightningComponentBundle", components)
    if not node.get("motif"):
        yield _at(node, "Required field is missing: motif")


def _exists(node: Node, tag: str, kind: str, components: Components) -> Iterator[Problem]:
    for each in node.all(tag):
        if (kind, each.text) not in components:
            yield _at(each, f"In field: {tag} - no {kind} named {each.text} found")


def _check_application(part: Part, _: Schema, components: Components) -> Iterator[Problem]:
    node = _node(part)
    for each in node.all("tabs"):
        if not each.text.startswith("standard-") and ("CustomTab", each.text) not in components:
            yield _at(each, f"In field: tabs - no CustomTab named {each.text} found")
    yield from _exists(node, "utilityBar", "FlexiPage", components)
    for each in node.all("actionOverrides"):
        yield from _exists(each, "content", "FlexiPage", components)


def _check_quick_action(part: Part, schema: Schema, components: Components) -> Iterator[Problem]:
    spec, missing = _object(part, schema, part.owner)
    yield from missing
    node = _node(part)
    for each in node.walk():
        if each.name in ("fieldOverrides", "quickActionLayoutItems"):
            yield from _fields(spec, each.all("field"), "field")
    yield from _exists(node, "lightningWebComponent", "LightningComponentBundle", components)
    if node.get("type") == "Update" and node.find("quickActionLayout") is None:
        yield _at(node, "Required field is missing: quickActionLayout")


def _check_compact_layout(part: Part, schema: Schema, _: Components) -> Iterator[Problem]:
    spec, missing = _object(part, schema, part.owner)
    yield from missing
    for each in _node(part).all("fields"):
        if spec is not None and spec.field(each.text) is None:
            yield _at(each, f"In field: fields - no CustomField named {spec.name}.{each.text} found")


def _check_rule(part: Part, schema: Schema, _: Components) -> Iterator[Problem]:
    spec, missing = _object(part, schema, part.owner)
    yield from missing
    if spec is None:
        return
    node = _node(part)
    try:
        compile_formula(node.get("errorConditionFormula"), kinds_of(spec))
    except FormulaError as error:
        yield _at(node, str(error))
    except UnknownFunctionError as error:
        yield _at(node, f"This stand-in does not evaluate {error}: the rule refuses nothing here", warning=True)
    display = node.get("errorDisplayField")
    if display and spec.field(display) is None:
        yield _at(node, f"Field {display} does not exist. Check spelling.")
    if len(node.get("errorMessage")) > 255:
        yield _at(node, "Value too long for field: errorMessage maximum length is:255")


def _check_page(part: Part, schema: Schema, components: Components) -> Iterator[Problem]:
    node = _node(part)
    name = node.get("sobjectType")
    if name and name not in schema:
        yield _at(node, f"In field: sobjectType - no CustomObject named {name} found")
    spec = schema.get(name) if name else None
    for each in node.walk():
        if each.name == "fieldItem" and spec is not None:
            yield from _fields(spec, iter([each]), "fieldItem")
        if each.name == "componentName" and ":" not in each.text:
            bundle = ("LightningComponentBundle", each.text)
            if bundle not in components:
                yield _at(each, f"We couldn't retrieve or load the information on the component: c:{each.text}.")


def _check_words(part: Part, schema: Schema, components: Components) -> Iterator[Problem]:
    """Reports name fields in ways of their own; every custom name in them has to be one of the org's."""
    known = _known_names(schema)
    for node in _node(part).walk():
        if node.children or node.name in ("description", "label", "name", "title", "footer", "header"):
            continue
        for word in _CUSTOM.findall(node.text):
            if word not in known and ("ReportType", word) not in components:
                yield _at(node, f"Invalid field name: {word}")


def _known_names(schema: Schema) -> set[str]:
    names: set[str] = set()
    for spec in schema:
        if spec.custom:
            names.add(spec.name)
        for each in spec.fields.values():
            if each.custom:
                names |= {each.name, each.relationship or each.name, each.child_relationship or each.name}
    return names


def _check_report(part: Part, schema: Schema, components: Components) -> Iterator[Problem]:
    if "/" not in part.name:
        return
    node, folder = _node(part), part.name.partition("/")[0]
    if ("Report", folder) not in components:
        yield _at(node, f"Cannot find folder:{folder}")
    kind = node.get("reportType")
    if kind.endswith("__c") and ("ReportType", kind.removesuffix("__c")) not in components:
        yield _at(node, f"In field: reportType - no ReportType named {kind} found")
        return
    types = {kind}
    yield from (each for each in _check_words(part, schema, _With(components, types)))


class _With:
    """Components, and report types under the names that reports call them by."""

    def __init__(self, components: Components, types: set[str]) -> None:
        self._components = components
        self._types = types

    def __contains__(self, key: object) -> bool:
        return key in self._components or (isinstance(key, tuple) and key[1] in self._types)


def _check_report_type(part: Part, schema: Schema, components: Components) -> Iterator[Problem]:
    node = _node(part)
    base = node.get("baseObject")
    if base not in schema and base != "Activity":
        yield _at(node, f"In field: baseObject - no CustomObject named {base} found")
    yield from _check_words(part, schema, components)


def _check_dashboard(part: Part, _: Schema, components: Components) -> Iterator[Problem]:
    if "/" not in part.name:
        return
    node, folder = _node(part), part.name.partition("/")[0]
    if ("Dashboard", folder) not in components:
        yield _at(node, f"Cannot find folder:{folder}")
    for each in node.walk():
        if each.name == "report" and ("Report", each.text) not in components:
            yield _at(each, f"In field: report - no Report named {each.text} found")


def _check_bundle(part: Part, schema: Schema, components: Components) -> Iterator[Problem]:
    for owner, path in _IMPORT.findall(part.content):
        spec, name = schema.get(owner.decode()), path.decode().partition(".")[0]
        field = None if spec is None else spec.field(name) or spec.relationships.get(name.lower())
        if spec is None or (name and field is None):
            full = owner.decode() + (f".{path.decode()}" if path else "")
            text = f'Invalid reference {full} of type sobjectField in file "{part.name}.js"'
            yield Problem(text=text)
    for tag in _COMPONENT.findall(part.content):
        head, *rest = tag.decode().split("-")
        name = head + "".join(word.capitalize() for word in rest)
        if ("LightningComponentBundle", name) not in components:
            yield Problem(text=f"No MODULE named markup://c:{name} found : [markup://c:{part.name}]")


def _check_object(part: Part, schema: Schema, components: Components) -> Iterator[Problem]:
    node = _node(part)
    assigned = node.get("compactLayoutAssignment", "SYSTEM")
    if assigned != "SYSTEM" and ("CompactLayout", f"{part.name}.{assigned}") not in components:
        yield _at(node, f"In field: compactLayoutAssignment - no CompactLayout named {part.name}.{assigned} found")
    for each in node.all("actionOverrides"):
        if each.get("type").lower() == "flexipage":
            yield from _exists(each, "content", "FlexiPage", components)
    spec = schema.get(part.name)
    controlled = node.get("sharingModel") == "ControlledByParent"
    detail = spec is not None and any(each.master_detail for each in spec.fields.values())
    if controlled and not detail:
        text = "Cannot set sharingModel to ControlledByParent on a CustomObject without a MasterDetail relationship"
        yield _at(node, f"{text} field")
    if detail and not controlled:
        yield _at(node, "Detail entity must have sharingModel ControlledByParent")


_CHECKERS: Mapping[str, Callable[[Part, Schema, Components], Iterator[Problem]]] = {
    "CustomObject": _check_object,
    "ListView": _check_list_view,
    "Layout": _check_layout,
    "CustomTab": _check_tab,
    "CustomApplication": _check_application,
    "QuickAction": _check_quick_action,
    "CompactLayout": _check_compact_layout,
    "ValidationRule": _check_rule,
    "FlexiPage": _check_page,
    "ReportType": _check_report_type,
    "Report": _check_report,
    "Dashboard": _check_dashboard,
    "LightningComponentBundle": _check_bundle,
}
