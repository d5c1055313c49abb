"""A PermissionSet as the Metadata API knows it, to what it grants; and what the vendor refuses about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator

from crmdrip.sandbox.salesforce.access import Grants, Name, knows, secured
from crmdrip.sandbox.salesforce.metadata.parts import Part, Problem
from crmdrip.sandbox.salesforce.metadata.xml import Node
from crmdrip.sandbox.salesforce.schema import Schema

_RIGHTS = {"allowRead": "read", "allowCreate": "create", "allowEdit": "edit", "allowDelete": "delete"}
_NEEDS = {"allowCreate": ("allowRead",), "allowEdit": ("allowRead",), "allowDelete": ("allowRead", "allowEdit")}
_NAMED = (
    ("applicationVisibilities", "application", "CustomApplication"),
    ("tabSettings", "tab", "CustomTab"),
    ("customPermissions", "name", "CustomPermission"),
    ("classAccesses", "apexClass", "ApexClass"),
)
_TAB_SETTINGS = frozenset({"Available", "None", "Visible"})

USER_PERMISSIONS = frozenset(
    {
        "ActivitiesAccess", "ApiEnabled", "ApiUserOnly", "AssignPermissionSets", "ConvertLeads", "EditEvent",
        "EditReadonlyFields", "EditTask", "ManageUsers", "ModifyAllData", "ModifyMetadata", "RunReports",
        "ViewAllData", "ViewAllUsers", "ViewSetup",
    }
)  # fmt: skip
"""Those that a package of this kind could ask for; the vendor knows some hundreds."""


def check_permission_set(part: Part, schema: Schema, components: Container[tuple[str, str]]) -> Iterator[Problem]:
    """Everything that it names and that is not there, or that nobody may be granted."""
    node = part.node
    assert node is not None  # noqa: S101 - a permission set is always XML
    seen: Counter[tuple[str, str]] = Counter()
    for each in node.all("fieldPermissions"):
        full = each.get("field")
        seen["fieldPermissions", full] += 1
        yield from _check_field(each, full, schema)
    for each in node.all("objectPermissions"):
        name = each.get("object")
        seen["objectPermissions", name] += 1
        if name not in schema:
            yield _problem(each, f"In field: object - no CustomObject named {name} found")
        for right, needed in _NEEDS.items():
            if each.flag(right) and not all(each.flag(other) for other in needed):
                yield _problem(each, f"Permission {right} on {name} depends on permission(s): {', '.join(needed)}")
    for tag, leaf, kind in _NAMED:
        for each in node.all(tag):
            name = each.get(leaf)
            seen[tag, name] += 1
            if (kind, name) not in components and not name.startswith("standard"):
                yield _problem(each, f"In field: {leaf} - no {kind} named {name} found")
            if tag == "tabSettings" and each.get("visibility") not in _TAB_SETTINGS:
                yield _problem(each, f"'{each.get('visibility')}' is not a valid value for the enum 'TabVisibility'")
    for each in node.all("userPermissions"):
        seen["userPermissions", each.get("name")] += 1
        if each.get("name") not in USER_PERMISSIONS:
            yield _problem(each, f"Unknown user permission: {each.get('name')}")
    for (tag, name), number in seen.items():
        if number > 1:
            yield _problem(node, f"Duplicate {tag} specified: {name}")


def _check_field(each: Node, full: str, schema: Schema) -> Iterator[Problem]:
    owner, _, name = full.partition(".")
    spec = schema.get(owner)
    if not name or not knows(schema, (owner, name)):
        yield _problem(each, f"In field: field - no CustomField named {full} found")
        return
    field = spec.field(name) if spec is not None else None
    if field is not None and not secured(field):
        if field.required or field.master_detail or field.defaulted:
            yield _problem(each, f"You cannot deploy to a required field: {full}")
        else:
            yield _problem(each, f"In field: field - no CustomField named {full} found")
    if each.flag("editable") and not each.flag("readable"):
        yield _problem(each, f"Field {full} is editable and not readable")


def read_permission_set(part: Part) -> Grants:
    """What it grants."""
    node = part.node
    assert node is not None  # noqa: S101 - a permission set is always XML
    fields = [(_name(each.get("field")), each) for each in node.all("fieldPermissions")]
    return Grants(
        name=part.name,
        label=node.get("label"),
        description=node.get("description"),
        readable=frozenset(name for name, each in fields if each.flag("readable")),
        editable=frozenset(name for name, each in fields if each.flag("editable")),
        objects={
            each.get("object"): frozenset(right for tag, right in _RIGHTS.items() if each.flag(tag))
            for each in node.all("objectPermissions")
        },
        user_permissions=frozenset(
            each.get("name") for each in node.all("userPermissions") if each.flag("enabled")
        ),
    )  # fmt: skip


def _name(full: str) -> Name:
    owner, _, name = full.partition(".")
    return owner, name


def _problem(node: Node, text: str) -> Problem:
    return Problem(text=text, line=node.line, column=node.column)
